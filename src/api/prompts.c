/* Prompts: sounds of a tenant, uploaded or spoken, that calls can be given to hear. Everybody in the tenant may use
 * them; supervisors and admins make them. Whatever comes is decoded and kept as 16-bit WAV, mono, 16 kHz: the
 * widest that telephone codecs but one carry, and one format less to trust when a call plays it.
 */
#include "api/private.h"

#include "base/work.h"
#include "media/sound.h"
#include "media/speech.h"
#include "media/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLOAD_MAX (25u << 20)
#define LENGTH_MAX_MS (10u * 60 * 1000)
#define PROMPTS_MAX 1000 /* of a tenant */
#define NAME_MAX_LEN 128
#define RATE 16000
#define MAKE_WAIT_MS 40000

enum make_result {
	MAKE_UNFINISHED,
	MAKE_DONE,
	MAKE_NO_SOUND, /* not a sound that we can read */
	MAKE_TOO_LONG,
	MAKE_EMPTY,
	MAKE_NO_SPEECH,
	MAKE_NO_FILE,
};

/* Made by a worker, run by a maker; whoever lets go last cleans up. */
struct make_job {
	atomic_int refs, result;
	struct web_token token;
	struct prompt prompt; /* its strings are the job's */
	int fd;		      /* the upload, or -1 */
	char *path;
	char sha256[2 * crypto_hash_sha256_BYTES + 1];
	bool stored, kept; /* the file is there; the row is, too */
};

static void job_unref(void *arg)
{
	struct make_job *job = arg;

	if (atomic_fetch_sub(&job->refs, 1) != 1)
		return;
	if (job->stored && !job->kept)
		unlink(job->path);
	if (job->fd >= 0)
		close(job->fd);
	free((char *)(uintptr_t)job->prompt.name);
	free((char *)(uintptr_t)job->prompt.say);
	free((char *)(uintptr_t)job->prompt.voice);
	free(job->path);
	free(job);
}

bool api_prompt_path(const struct api *api, struct id tenant, struct id id, char *ret, size_t size)
{
	int len = snprintf(ret, size, "%s/prompts/%s/%s.wav", api->setup.data_dir, id_str(tenant),
			   id_str(id));

	return len > 0 && (size_t)len < size;
}

/* ---- A maker's part: decoding, speaking, writing ---- */

static enum make_result job_sound(const struct make_job *job, struct sound **ret)
{
	static const struct sound_limits limits = { .max_ms = LENGTH_MAX_MS,
						    .max_bytes = UPLOAD_MAX };
	struct speech_request request = { .text = job->prompt.say, .voice = job->prompt.voice };

	if (job->fd < 0)
		return speech_make(&request, ret) ? MAKE_NO_SPEECH : MAKE_DONE;
	switch (sound_load_fd(job->fd, &limits, ret)) {
	case 0:
		return MAKE_DONE;
	case SOUND_E_TOO_LONG:
		return MAKE_TOO_LONG;
	case SOUND_E_EMPTY:
		return MAKE_EMPTY;
	default:
		return MAKE_NO_SOUND;
	}
}

/* The same file that recordings are given out as: 16-bit PCM, one channel. */
static uint8_t *wav_make(const int16_t *pcm, size_t samples, size_t *ret_len)
{
	static const struct vault_form form = { .rate = RATE, .channels = 1 };
	uint8_t *wav = xzalloc(WAV_HEADER + samples * 2);
	uint8_t *at = wav + WAV_HEADER;

	wav_header(wav, &form, samples * 2);
	for (size_t i = 0; i < samples; i++) {
		*at++ = (uint8_t)pcm[i];
		*at++ = (uint8_t)((uint16_t)pcm[i] >> 8);
	}
	*ret_len = WAV_HEADER + samples * 2;
	return wav;
}

static bool write_whole(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t put = write(fd, data, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		data += put;
		len -= (size_t)put;
	}
	return fsync(fd) == 0;
}

static void dirs_make(const char *path)
{
	auto_(free) char *dir = xstrdup(path);
	char *tenant = strrchr(dir, '/'), *prompts;

	*tenant = '\0';
	prompts = strrchr(dir, '/');
	*prompts = '\0';
	mkdir(dir, 0700);
	*prompts = '/';
	mkdir(dir, 0700); /* what is wrong shows when the file is made */
}

/* Under another name first: a prompt is there whole or not at all. */
static bool file_write(const char *path, const uint8_t *data, size_t len)
{
	auto_(free) char *part = xasprintf("%s.part", path);
	bool good;
	int fd;

	dirs_make(path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	good = write_whole(fd, data, len);
	close(fd);
	good = good && rename(part, path) == 0;
	if (!good)
		unlink(part);
	return good;
}

static enum make_result job_store(struct make_job *job, const struct sound *sound)
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	size_t samples = 0, len = 0;
	const int16_t *pcm = sound_pcm(sound, RATE, &samples);
	auto_(free) uint8_t *wav = wav_make(pcm, samples, &len);

	crypto_hash_sha256(digest, wav, len);
	sodium_bin2hex(job->sha256, sizeof(job->sha256), digest, sizeof(digest));
	job->prompt.sha256 = job->sha256;
	job->prompt.size = (int64_t)len;
	job->prompt.duration_ms = (int)sound_ms(sound);
	if (!file_write(job->path, wav, len)) {
		log_error("a prompt could not be stored", LOG_INT("errno", errno));
		return MAKE_NO_FILE;
	}
	job->stored = true;
	return MAKE_DONE;
}

static void job_run(void *arg)
{
	struct make_job *job = arg;
	struct sound *sound = NULL;
	enum make_result result = job_sound(job, &sound);

	if (result == MAKE_DONE)
		result = job_store(job, sound);
	sound_unref(sound);
	atomic_store(&job->result, result);
	web_wake(job->token);
	job_unref(job);
}

/* ---- A worker's part ---- */

static struct api_done *make_failed(struct api_req *req, enum make_result result)
{
	switch (result) {
	case MAKE_NO_SOUND:
		return api_invalid_field(
			req, "file",
			"Upload a WAV, FLAC, Ogg or MP3 file of at most 8 channels. This one is none, or broken.");
	case MAKE_TOO_LONG:
		return api_invalid_field(req, "file",
					 "Ensure this sound is no longer than 10 minutes.");
	case MAKE_EMPTY:
		return api_invalid_field(req, "file", "The submitted file is empty.");
	case MAKE_NO_SPEECH:
		return api_error(req, 503, "speech_failed");
	case MAKE_NO_FILE:
		return api_error(req, 507, "no_space");
	case MAKE_UNFINISHED:
	case MAKE_DONE:
		break;
	}
	web_add_header(req->web, "Retry-After", "5");
	return api_error(req, 503, "overloaded");
}

static struct api_done *prompt_made(struct api_req *req, void *state)
{
	struct make_job *job = state;
	enum make_result result = (enum make_result)atomic_load(&job->result);
	int r;

	if (result != MAKE_DONE)
		return make_failed(req, result);
	r = prompt_insert(req->db, &job->prompt, PROMPTS_MAX, req->arena);
	if (r == PROMPT_E_FULL)
		return api_too_many(req, "limit", 3600);
	if (r)
		return api_fail(req, r);
	job->kept = true;
	return api_created(req, "/api/prompts/", job->prompt.id,
			   field_to_json(prompt_fields, &job->prompt));
}

/* `fd` is taken over. */
static struct api_done *prompt_make(struct api_req *req, const struct prompt *prompt, int fd)
{
	struct make_job *job = xzalloc(sizeof(*job));
	struct work work = { .run = job_run, .arg = job };
	char path[512];

	atomic_init(&job->refs, 2);
	atomic_init(&job->result, MAKE_UNFINISHED);
	job->fd = fd;
	job->prompt = *prompt;
	job->prompt.id = id_new();
	job->prompt.tenant_id = req->user->tenant;
	job->prompt.created_by = req->user->id;
	job->prompt.name = xstrdup(prompt->name);
	job->prompt.say = xstrdup(prompt->say);
	job->prompt.voice = xstrdup(prompt->voice);
	job->token = web_park_token(req->web);
	if (api_prompt_path(req->api, req->user->tenant, job->prompt.id, path, sizeof(path)))
		job->path = xstrdup(path);
	if (!job->path || !work_submit(req->api->makers, &work)) {
		web_token_drop(job->token);
		atomic_store(&job->refs, 1);
		job_unref(job);
		return make_failed(req, MAKE_UNFINISHED);
	}
	return api_park(req, MAKE_WAIT_MS, prompt_made, job, job_unref);
}

/* "dir/Greeting.wav" is named Greeting. */
static const char *name_of_file(struct api_req *req, const char *file_name)
{
	const char *dot = file_name ? strrchr(file_name, '.') : NULL;
	size_t len = dot && dot > file_name ? (size_t)(dot - file_name)
		     : file_name	    ? strlen(file_name)
					    : 0;

	if (!len)
		return "Prompt";
	while (len > NAME_MAX_LEN)
		do
			len--;
		while (len && ((unsigned char)file_name[len] & 0xc0) == 0x80);
	return arena_strndup(req->arena, file_name, len);
}

static struct api_done *prompt_upload(struct api_req *req)
{
	struct prompt prompt = { .source = PROMPT_UPLOAD };
	const char *file_name = NULL;
	json_t *complaints = NULL;
	uint64_t size = 0;
	int fd = web_form_file(req->web, &size, &file_name);

	prompt.name = web_form_text(req->web, "name");
	if (!prompt.name || !*prompt.name)
		prompt.name = name_of_file(req, file_name);
	if (strlen(prompt.name) > NAME_MAX_LEN)
		field_complain(&complaints, "name",
			       "Ensure this field has no more than 128 characters.");
	if (fd < 0)
		field_complain(&complaints, "file", "No file was submitted.");
	else if (!size)
		field_complain(&complaints, "file", "The submitted file is empty.");
	if (complaints)
		return api_invalid(req, complaints);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return api_fail(req, err_newf(errno, "dup of an upload"));
	return prompt_make(req, &prompt, fd);
}

static struct api_done *prompt_say(struct api_req *req)
{
	struct prompt prompt = { .source = PROMPT_SPEECH };
	json_t *complaints = field_from_json(prompt_fields, req->body, false, req->arena, &prompt);
	char *say;

	if (!complaints && prompt.voice && !speech_voice_ok(prompt.voice))
		field_complain(&complaints, "voice", "There is no such voice.");
	if (complaints)
		return api_invalid(req, complaints);
	prompt.voice = prompt.voice ?: "en";
	prompt.say = say = arena_strdup(req->arena, prompt.say);
	for (char *c = say; *c; c++) /* line ends are but space in speech */
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	if (!say[strspn(say, " ")])
		return api_invalid_field(req, "say", "This field may not be blank.");
	return prompt_make(req, &prompt, -1);
}

static struct api_done *prompt_create(struct api_req *req)
{
	return web_is_form(req->web) ? prompt_upload(req) : prompt_say(req);
}

static struct api_done *prompts_list(struct api_req *req)
{
	struct prompt_filter filter = { 0 };
	struct db_page_info info;
	struct prompt *rows = NULL;
	json_t *complaints = NULL, *results;
	struct api_done *no = api_page(req, &filter.page);
	int r;

	if (no)
		return no;
	filter.search = api_filter_text(req, "search", &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = prompt_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	results = json_array();
	for (size_t i = 0; i < info.rows; i++)
		json_array_append_new(results, field_to_json(prompt_fields, &rows[i]));
	return api_list(req, &info, results);
}

static struct api_done *path_prompt(struct api_req *req, struct prompt *ret)
{
	struct id id;
	int r;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	r = prompt_get(req->db, req->arena, req->user->tenant, id, ret);
	return r ? api_fail(req, r) : NULL;
}

static struct api_done *prompt_read(struct api_req *req)
{
	struct prompt prompt = { 0 };
	struct api_done *no = path_prompt(req, &prompt);

	return no ?: api_ok(req, 200, prompt_fields, &prompt);
}

static struct api_done *prompt_remove(struct api_req *req)
{
	struct prompt prompt = { 0 };
	struct api_done *no = path_prompt(req, &prompt);
	char path[512];
	int r;

	if (no)
		return no;
	r = prompt_delete(req->db, req->user->tenant, prompt.id);
	if (r)
		return api_fail(req, r);
	/* Calls that play it have it in memory. */
	if (api_prompt_path(req->api, req->user->tenant, prompt.id, path, sizeof(path)) &&
	    unlink(path) < 0)
		log_warn("a prompt's file could not be removed", LOG_ID("prompt", prompt.id),
			 LOG_INT("errno", errno));
	return api_no_content(req);
}

static struct api_done *prompt_audio(struct api_req *req)
{
	struct web_file file = { .type = "audio/wav" };
	struct prompt prompt = { 0 };
	struct api_done *no = path_prompt(req, &prompt);
	char path[512];

	if (no)
		return no;
	file.fd = api_prompt_path(req->api, req->user->tenant, prompt.id, path, sizeof(path))
			  ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
			  : -1;
	if (file.fd < 0) {
		log_error("a prompt's file is gone", LOG_ID("prompt", prompt.id));
		return api_not_found(req);
	}
	file.etag = prompt.sha256;
	file.name = arena_printf(req->arena, "%s.wav", prompt.name);
	web_add_header(req->web, "Cache-Control", "private, no-cache");
	return api_file(req, &file);
}

const struct api_route prompt_routes[] = {
	{ "GET", "/api/prompts/", "listPrompts", prompts_list, SCOPE_PROMPTS_READ, 0 },
	{ "POST", "/api/prompts/", "createPrompt", prompt_create, SCOPE_PROMPTS_WRITE, API_CREATES,
	  .upload_max = UPLOAD_MAX },
	{ "GET", "/api/prompts/{id}/", "getPrompt", prompt_read, SCOPE_PROMPTS_READ, 0 },
	{ "DELETE", "/api/prompts/{id}/", "deletePrompt", prompt_remove, SCOPE_PROMPTS_WRITE, 0 },
	{ "GET", "/api/prompts/{id}/audio/", "getPromptAudio", prompt_audio, SCOPE_PROMPTS_READ,
	  0 },
	{ 0 },
};
