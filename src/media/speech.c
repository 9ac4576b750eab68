#include "media/speech.h"

#include "base/base.h"
#include "base/hmap.h"
#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "espeak-ng"
#define TIMEOUT_MS 10000
#define CACHE_BYTES (32u << 20)
#define OUTPUT_MAX (22050u * 2 * 600) /* ten minutes */
#define SPEED_WPM 160
#define VOICE_MAX 16
#define WAV_HEADER_MAX 4096

struct entry { /* of the cache */
	struct hnode node;
	struct entry *newer, *older;
	char *key;
	struct sound *sound;
	size_t bytes;
};

struct job {
	struct job *next, **prev; /* in speech->jobs, while anybody waits */
	struct speech *speech;	  /* NULL: forgotten */
	uint64_t ticket;
	speech_fn *on_done;
	void *arg;
	char *key, *text, *program;
	char voice[VOICE_MAX];
	unsigned speed_wpm, timeout_ms;
	int r;
	struct sound *sound;
};

struct speech {
	struct speech_config config;
	struct hmap cache;
	struct entry *newest, *oldest;
	size_t cached;
	struct job *jobs;
	uint64_t tickets;
};

METRIC_COUNTER(speech_failed, "jackfield_speech_failed_total", "Texts that could not be spoken",
	       NULL);

static const char *const voices[] = {
	"af", "ar",	"bg", "bn", "ca", "cs", "cy", "da", "de", "el",	   "en", "en-gb", "en-us",
	"es", "es-419", "et", "eu", "fa", "fi", "fr", "ga", "gl", "gu",	   "he", "hi",	  "hr",
	"hu", "hy",	"id", "is", "it", "ja", "ka", "kk", "kn", "ko",	   "lt", "lv",	  "mk",
	"ml", "mr",	"ms", "nb", "ne", "nl", "pa", "pl", "pt", "pt-br", "ro", "ru",	  "sk",
	"sl", "sq",	"sr", "sv", "sw", "ta", "te", "tr", "uk", "ur",	   "vi", "cmn",	  "yue",
};

bool speech_voice_ok(const char *voice)
{
	for (size_t i = 0; voice && i < ARRAY_LEN(voices); i++)
		if (!strcmp(voices[i], voice))
			return true;
	return false;
}

/* ---- the child ---- */

static int text_file(const char *text)
{
	int fd = memfd_create("speech", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd >= 0 && (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int spawn(const struct job *job, int in, int out, pid_t *ret_pid)
{
	char speed[12];
	const char *const argv[] = { job->program, "-b",  "1",	     "-v",	 job->voice,
				     "-s",	   speed, "--stdin", "--stdout", NULL };
	const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, pipe_signal;
	int r;

	snprintf(speed, sizeof(speed), "%u", job->speed_wpm);
	sigemptyset(&none);
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe_signal);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* POSIX promises that it changes neither strings nor arrays. */
	r = posix_spawnp(ret_pid, job->program, &files, &attr, (char *const *)(uintptr_t)argv,
			 (char *const *)(uintptr_t)env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* Return: whether the child ended its output itself, within time and size. */
static bool read_output(int fd, unsigned timeout_ms, struct buf *out)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	char chunk[16384];

	while (!out->failed) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint64_t now_ms = clock_mono_ms();
		ssize_t n;

		if (now_ms >= until_ms || poll(&pfd, 1, (int)(until_ms - now_ms)) <= 0)
			return false;
		n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			buf_add(out, chunk, (size_t)n);
	}
	return false;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* WAV as written to a pipe: the lengths in its header are made up, what came is what there is. */
static struct sound *parse_wav(const uint8_t *data, size_t len)
{
	size_t at = 12;
	unsigned rate = 0;

	if (len < 44 || memcmp(data, "RIFF", 4) || memcmp(data + 8, "WAVE", 4))
		return NULL;
	while (at + 8 <= len && at < WAV_HEADER_MAX) {
		uint32_t size = le32(data + at + 4);

		if (!memcmp(data + at, "data", 4)) {
			at += 8;
			break;
		}
		if (!memcmp(data + at, "fmt ", 4) && at + 24 <= len) {
			if (data[at + 8] != 1 || data[at + 10] != 1 || data[at + 22] != 16)
				return NULL; /* not linear, mono, 16 bits */
			rate = le32(data + at + 12);
		}
		if (size > WAV_HEADER_MAX)
			return NULL;
		at += 8 + size;
	}
	if (rate < 8000 || rate > 48000 || at + 2 > len)
		return NULL;
	{
		size_t samples = (len - at) / 2;
		auto_(free) int16_t *pcm = (int16_t *)(void *)xmemdup(data + at, samples * 2);

		return sound_new(pcm, samples, rate);
	}
}

static int speak(const struct job *job, struct sound **ret)
{
	auto_(buf_fini) struct buf out = BUF_MAX(OUTPUT_MAX);
	int pipe_fds[2], in, r, status = 0;
	bool whole = false;
	pid_t pid;

	in = text_file(job->text);
	if (in < 0)
		return SPEECH_E_FAILED;
	if (pipe2(pipe_fds, O_CLOEXEC)) {
		close(in);
		return SPEECH_E_FAILED;
	}
	r = spawn(job, in, pipe_fds[1], &pid);
	close(in);
	close(pipe_fds[1]);
	if (!r) {
		whole = read_output(pipe_fds[0], job->timeout_ms, &out);
		if (!whole)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pipe_fds[0]);
	if (r || !whole || !WIFEXITED(status) || WEXITSTATUS(status))
		return SPEECH_E_FAILED;
	*ret = parse_wav((const uint8_t *)out.data, out.len);
	return *ret ? 0 : SPEECH_E_FAILED;
}

/* ---- the cache ---- */

static void unlink_entry(struct speech *speech, struct entry *entry)
{
	*(entry->newer ? &entry->newer->older : &speech->newest) = entry->older;
	*(entry->older ? &entry->older->newer : &speech->oldest) = entry->newer;
}

static void link_newest(struct speech *speech, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = speech->newest;
	*(speech->newest ? &speech->newest->newer : &speech->oldest) = entry;
	speech->newest = entry;
}

static void evict(struct speech *speech, struct entry *entry)
{
	unlink_entry(speech, entry);
	hmap_del(&speech->cache, &entry->node);
	speech->cached -= entry->bytes;
	sound_unref(entry->sound);
	free(entry->key);
	free(entry);
}

static struct sound *cache_get(struct speech *speech, const char *key)
{
	for (struct hnode *node = hmap_first(&speech->cache, hkey_text(key)); node;
	     node = hmap_same(node)) {
		struct entry *entry = container_of_(node, struct entry, node);

		if (strcmp(entry->key, key))
			continue;
		unlink_entry(speech, entry);
		link_newest(speech, entry);
		return entry->sound;
	}
	return NULL;
}

static void cache_put(struct speech *speech, const char *key, struct sound *sound)
{
	size_t bytes = (size_t)sound_ms(sound) * (8 + 16) * sizeof(int16_t);
	struct entry *entry;

	if (bytes > speech->config.cache_bytes || cache_get(speech, key))
		return;
	while (speech->cached + bytes > speech->config.cache_bytes)
		evict(speech, speech->oldest);
	entry = xzalloc(sizeof(*entry));
	entry->key = xstrdup(key);
	entry->sound = sound_ref(sound);
	entry->bytes = bytes;
	speech->cached += bytes;
	link_newest(speech, entry);
	hmap_add(&speech->cache, &entry->node, hkey_text(key));
}

/* ---- jobs ---- */

static void job_unlink(struct job *job)
{
	if (job->prev) {
		*job->prev = job->next;
		if (job->next)
			job->next->prev = job->prev;
	}
	job->prev = NULL;
}

static void job_free(struct job *job)
{
	sound_unref(job->sound);
	free(job->key);
	free(job->text);
	free(job->program);
	free(job);
}

static void job_run(void *arg)
{
	struct job *job = arg;

	job->r = speak(job, &job->sound);
}

static void job_done(void *arg)
{
	struct job *job = arg;
	struct speech *speech = job->speech;

	job_unlink(job);
	if (job->r)
		metric_add(&speech_failed, 1);
	if (speech && !job->r)
		cache_put(speech, job->key, job->sound);
	if (speech && job->on_done)
		job->on_done(job->r, job->sound, job->arg);
	job_free(job);
}

struct speech *speech_new(const struct speech_config *config)
{
	struct speech *speech = xzalloc(sizeof(*speech));

	speech->config = *config;
	speech->config.program = config->program ? config->program : PROGRAM;
	if (!config->timeout_ms)
		speech->config.timeout_ms = TIMEOUT_MS;
	if (!config->cache_bytes)
		speech->config.cache_bytes = CACHE_BYTES;
	hmap_init(&speech->cache);
	return speech;
}

struct speech *speech_free(struct speech *speech)
{
	if (!speech)
		return NULL;
	while (speech->jobs) {
		speech->jobs->speech = NULL;
		job_unlink(speech->jobs);
	}
	while (speech->oldest)
		evict(speech, speech->oldest);
	hmap_fini(&speech->cache);
	free(speech);
	return NULL;
}

static struct job *job_new(struct speech *speech, const struct speech_request *request, char *key)
{
	struct job *job = xzalloc(sizeof(*job));

	job->speech = speech;
	job->ticket = ++speech->tickets;
	job->key = key;
	job->text = xstrdup(request->text);
	job->program = xstrdup(speech->config.program);
	str_copy(job->voice, sizeof(job->voice), request->voice ? request->voice : "en");
	job->speed_wpm = request->speed_wpm ? request->speed_wpm : SPEED_WPM;
	job->timeout_ms = speech->config.timeout_ms;
	job->next = speech->jobs;
	job->prev = &speech->jobs;
	if (job->next)
		job->next->prev = &job->next;
	speech->jobs = job;
	return job;
}

static bool text_is_sayable(const char *text)
{
	size_t len = text ? strnlen(text, SPEECH_TEXT_MAX + 1) : 0;

	return len && len <= SPEECH_TEXT_MAX && str_is_clean_utf8(text, len) &&
	       text[strspn(text, " ")];
}

static bool speed_is_good(unsigned speed_wpm)
{
	return !speed_wpm || (speed_wpm >= 80 && speed_wpm <= 400);
}

int speech_make(const struct speech_request *request, struct sound **ret)
{
	struct job job = {
		.text = (char *)(uintptr_t)request->text,
		.program = (char *)(uintptr_t)PROGRAM,
		.speed_wpm = request->speed_wpm ? request->speed_wpm : SPEED_WPM,
		.timeout_ms = TIMEOUT_MS,
	};
	const char *voice = request->voice ? request->voice : "en";
	int r;

	if (!text_is_sayable(request->text))
		return SPEECH_E_TEXT;
	if (!speech_voice_ok(voice) || !speed_is_good(request->speed_wpm))
		return SPEECH_E_VOICE;
	str_copy(job.voice, sizeof(job.voice), voice);
	r = speak(&job, ret);
	if (r)
		metric_add(&speech_failed, 1);
	return r;
}

int speech_say(struct speech *speech, const struct speech_request *request, speech_fn *on_done,
	       void *arg, uint64_t *ret_ticket)
{
	const char *voice = request->voice ? request->voice : "en";
	struct work work = { .run = job_run, .done = job_done, .home = speech->config.home };
	struct sound *sound;
	struct job *job;
	char *key;

	if (!text_is_sayable(request->text))
		return SPEECH_E_TEXT;
	if (!speech_voice_ok(voice) || !speed_is_good(request->speed_wpm))
		return SPEECH_E_VOICE;
	key = xasprintf("%s %u %s", voice, request->speed_wpm ? request->speed_wpm : SPEED_WPM,
			request->text);
	sound = cache_get(speech, key);
	if (sound) {
		free(key);
		if (ret_ticket)
			*ret_ticket = 0;
		sound_ref(sound); /* the callback may say so much that it falls out of the cache */
		on_done(0, sound, arg);
		sound_unref(sound);
		return 0;
	}
	job = job_new(speech, request, key);
	job->on_done = on_done;
	job->arg = arg;
	work.arg = job;
	if (!work_submit(speech->config.pool, &work)) {
		job_unlink(job);
		job_free(job);
		return SPEECH_E_BUSY;
	}
	if (ret_ticket)
		*ret_ticket = job->ticket;
	return 0;
}

void speech_cancel(struct speech *speech, uint64_t ticket)
{
	for (struct job *job = speech->jobs; job; job = job->next)
		if (job->ticket == ticket)
			job->on_done = NULL;
}
