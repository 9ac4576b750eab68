/* Prompts over HTTP: uploads that are sounds and those that are not, who may, ranges */
#include "rig.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#include "../http/peer.h"

#define TYPE "Content-Type: multipart/form-data; boundary=xYx\r\n"

static void le(struct buf *out, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_addc(out, (char)(value >> (8 * i)));
}

/* A WAV of 16-bit PCM with a tone. */
static void wav_of(struct buf *out, unsigned rate, unsigned channels, unsigned ms)
{
	uint32_t frames = (uint32_t)((uint64_t)rate * ms / 1000), bytes = frames * channels * 2;

	buf_adds(out, "RIFF");
	le(out, 36 + bytes, 4);
	buf_adds(out, "WAVEfmt ");
	le(out, 16, 4);
	le(out, 1, 2);
	le(out, channels, 2);
	le(out, rate, 4);
	le(out, rate * channels * 2, 4);
	le(out, channels * 2, 2);
	le(out, 16, 2);
	buf_adds(out, "data");
	le(out, bytes, 4);
	for (uint32_t i = 0; i < frames; i++)
		for (unsigned c = 0; c < channels; c++)
			le(out, (uint16_t)(int16_t)(9000 * sin(2 * M_PI * 700 * i / rate)), 2);
}

/* ask() for bodies that are not text */
static void upload(const struct rig *rig, const char *token, const char *name,
		   const char *file_name, const struct buf *file, const char *extra,
		   struct got *ret)
{
	auto_(buf_fini) struct buf body = BUF_MAX(64 << 20);
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 20);
	int fd = peer_connect(rig->port);
	char head[3000];

	if (name)
		buf_addf(&body,
			 "--xYx\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n%s\r\n",
			 name);
	if (file) {
		buf_addf(
			&body,
			"--xYx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n\r\n",
			file_name);
		buf_add(&body, file->data, file->len);
		buf_adds(&body, "\r\n");
	}
	buf_adds(&body, "--xYx--\r\n");
	snprintf(head, sizeof(head),
		 "POST /api/prompts/ HTTP/1.1\r\nHost: x\r\n%s%s%s" TYPE
		 "%sContent-Length: %zu\r\n\r\n",
		 token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "",
		 extra ? extra : "", body.len);
	peer_text(fd, head);
	peer_send(fd, body.data, body.len);
	*ret = (struct got){ .status = peer_answer(fd, &text, false) };
	assert_non_null(text.data);
	ret->json = json_loads(strstr(text.data, "\r\n\r\n") + 4, 0, NULL);
	str_copy(ret->head, sizeof(ret->head), text.data);
	close(fd);
}

static long number(const struct got *got, const char *name)
{
	return (long)json_integer_value(json_object_get(got->json, name));
}

static bool file_exists(const struct rig *rig, const struct person *person, const char *id)
{
	auto_(free) char *path = xasprintf("%s/prompts/%s/%s.wav", rig->dir, person->tenant, id);

	return access(path, R_OK) == 0;
}

static void an_upload_is_kept_listed_heard_and_deleted(void **state)
{
	struct rig *rig = *state;
	auto_(buf_fini) struct buf wav = BUF_MAX(1 << 20);
	auto_(free) char *path = NULL, *audio = NULL, *condition = NULL;
	struct person ada;
	char id[40];

	sign_up(rig, &ada);
	wav_of(&wav, 44100, 2, 500);
	{
		auto_got got;

		upload(rig, ada.access, NULL, "Good morning.wav", &wav, NULL, &got);
		assert_int_equal(got.status, 201);
		assert_string_equal(got_str(&got, "name"), "Good morning");
		assert_string_equal(got_str(&got, "source"), "upload");
		assert_in_range(number(&got, "duration_ms"), 495, 505);
		assert_in_range(number(&got, "size"), 15900, 16200);
		assert_string_equal(got_str(&got, "created_by"), ada.id);
		str_copy(id, sizeof(id), got_str(&got, "id"));
		assert_non_null(strstr(got.head, "Location: /api/prompts/"));
		condition = xasprintf("If-None-Match: \"%s\"\r\n", got_str(&got, "sha256"));
	}
	assert_true(file_exists(rig, &ada, id));
	path = xasprintf("/api/prompts/%s/", id);
	audio = xasprintf("/api/prompts/%s/audio/", id);
	{
		auto_got got;

		ask(rig, "GET", "/api/prompts/?search=MORN", ada.access, NULL, NULL, &got);
		assert_int_equal(number(&got, "count"), 1);
	}
	{
		auto_got got;

		ask(rig, "GET", audio, ada.access, "Range: bytes=0-3\r\n", NULL, &got);
		assert_int_equal(got.status, 206);
		assert_string_equal(got.text, "RIFF");
		assert_non_null(strstr(got.head, "audio/wav"));
		assert_non_null(strstr(got.head, "filename=\"Good morning.wav\""));
	}
	{
		auto_got got;

		ask(rig, "GET", audio, ada.access, condition, NULL, &got);
		assert_int_equal(got.status, 304);
	}
	{
		auto_got got;

		ask(rig, "DELETE", path, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 204);
	}
	{
		auto_got got;

		ask(rig, "GET", audio, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 404);
	}
	assert_false(file_exists(rig, &ada, id));
}

/* The same tone as a file of another kind. */
static void sound_of(struct buf *out, int format)
{
	SF_INFO info = { .samplerate = 44100, .channels = 2, .format = format };
	char path[] = "/tmp/jackfield-sound-XXXXXX", chunk[4096];
	auto_(free) short *pcm = xzalloc_array(44100 * 2, sizeof(*pcm));
	int fd = mkstemp(path);
	SNDFILE *file;
	ssize_t got;

	for (int i = 0; i < 44100 * 2; i++)
		pcm[i] = (short)(9000 * sin(2 * M_PI * 700 * (i / 2) / 44100));
	assert_true(fd >= 0);
	unlink(path);
	file = sf_open_fd(fd, SFM_WRITE, &info, SF_FALSE);
	assert_non_null(file);
	assert_int_equal(sf_writef_short(file, pcm, 44100), 44100);
	sf_close(file);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(out, chunk, (size_t)got);
	close(fd);
}

static void every_kind_that_is_promised_is_taken(void **state)
{
	static const int kinds[] = {
		SF_FORMAT_WAV | SF_FORMAT_FLOAT,  SF_FORMAT_FLAC | SF_FORMAT_PCM_24,
		SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
		SF_FORMAT_WAV | SF_FORMAT_ULAW,
	};
	struct rig *rig = *state;
	struct person ada;

	sign_up(rig, &ada);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_(buf_fini) struct buf sound = BUF_MAX(4 << 20);
		auto_got got;

		sound_of(&sound, kinds[i]);
		upload(rig, ada.access, NULL, "tone", &sound, NULL, &got);
		if (got.status != 201)
			fail_msg("kind %zu: %s", i, got.head);
		assert_in_range(number(&got, "duration_ms"), 990, 1080); /* MP3 pads */
	}
}

static void what_is_no_sound_is_refused_by_name(void **state)
{
	struct rig *rig = *state;
	auto_(buf_fini) struct buf junk = BUF_MAX(1 << 20);
	auto_(buf_fini) struct buf empty = BUF_MAX(16);
	auto_(buf_fini) struct buf silent = BUF_MAX(1 << 20);
	auto_(buf_fini) struct buf many = BUF_MAX(1 << 20);
	auto_(buf_fini) struct buf lengthy = BUF_MAX(32 << 20);
	struct buf *files[] = { &junk, &empty, &silent, &many, &lengthy, NULL };
	struct person ada;

	sign_up(rig, &ada);
	for (unsigned i = 0; i < 5000; i++)
		buf_addc(&junk, (char)(i * 7));
	wav_of(&silent, 8000, 1, 0);
	wav_of(&many, 8000, 12, 100);
	wav_of(&lengthy, 8000, 1, 601000);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_got got;

		upload(rig, ada.access, "x", "a.wav", files[i], NULL, &got);
		if (got.status != 400)
			fail_msg("file %zu: %s", i, got.head);
		assert_true(json_is_array(json_object_get(got.json, "file")));
	}
	{
		auto_got got;
		auto_(free) char *long_name = xzalloc(200);

		memset(long_name, 'n', 199);
		upload(rig, ada.access, long_name, "a.wav", &many, NULL, &got);
		assert_int_equal(got.status, 400);
		assert_true(json_is_array(json_object_get(got.json, "name")));
	}
	{
		auto_got got;

		ask(rig, "GET", "/api/prompts/", ada.access, NULL, NULL, &got);
		assert_int_equal(number(&got, "count"), 0);
	}
}

static void too_much_is_413_and_nobodys_bytes_are_401(void **state)
{
	struct rig *rig = *state;
	auto_(buf_fini) struct buf big = BUF_MAX(32 << 20);
	auto_(free) char *chunk = xzalloc(1 << 20);
	struct person ada;

	sign_up(rig, &ada);
	for (unsigned i = 0; i < 26; i++)
		buf_add(&big, chunk, 1 << 20);
	{
		auto_got got;

		upload(rig, ada.access, "x", "a.wav", &big, NULL, &got);
		assert_int_equal(got.status, 413);
		assert_string_equal(got_str(&got, "code"), "too_large");
	}
	{
		auto_got got;

		upload(rig, NULL, "x", "a.wav", &big, NULL, &got);
		assert_int_equal(got.status, 401);
	}
}

static void a_text_is_spoken(void **state)
{
	static const char *const bad[] = {
		"{\"name\": \"x\"}",
		"{\"say\": \"x\"}",
		"{\"name\": \"x\", \"say\": \"\"}",
		"{\"name\": \"x\", \"say\": \" \\n \"}",
		"{\"name\": \"x\", \"say\": \"hello\", \"voice\": \"../../etc\"}",
		"{\"name\": \"x\", \"say\": 7}",
		"[]",
	};
	struct rig *rig = *state;
	struct person ada;

	sign_up(rig, &ada);
	{
		auto_got got;

		ask(rig, "POST", "/api/prompts/", ada.access, NULL,
		    "{\"name\": \"Hi\", \"say\": \"Good\\nmorning\", \"voice\": \"en-gb\"}", &got);
		assert_int_equal(got.status, 201);
		assert_string_equal(got_str(&got, "source"), "speech");
		assert_string_equal(got_str(&got, "say"), "Good morning");
		assert_string_equal(got_str(&got, "voice"), "en-gb");
		assert_true(number(&got, "duration_ms") > 300);
		assert_true(file_exists(rig, &ada, got_str(&got, "id")));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_got got;

		ask(rig, "POST", "/api/prompts/", ada.access, NULL, bad[i], &got);
		assert_int_equal(got.status, 400);
	}
}

static void agents_use_prompts_supervisors_make_them(void **state)
{
	struct rig *rig = *state;
	auto_(buf_fini) struct buf wav = BUF_MAX(1 << 20);
	auto_(free) char *path = NULL, *audio = NULL;
	struct person ada, agent, supervisor, stranger;

	sign_up(rig, &ada);
	sign_up(rig, &stranger);
	add_user(rig, &ada, "agent", &agent);
	add_user(rig, &ada, "supervisor", &supervisor);
	wav_of(&wav, 8000, 1, 100);
	{
		auto_got got;

		upload(rig, agent.access, "x", "a.wav", &wav, NULL, &got);
		assert_int_equal(got.status, 403);
	}
	{
		auto_got got;

		upload(rig, supervisor.access, "x", "a.wav", &wav, NULL, &got);
		assert_int_equal(got.status, 201);
		path = xasprintf("/api/prompts/%s/", got_str(&got, "id"));
		audio = xasprintf("/api/prompts/%s/audio/", got_str(&got, "id"));
	}
	const struct {
		const char *method, *path, *token;
		int status;
	} tries[] = {
		{ "GET", path, agent.access, 200 },
		{ "GET", audio, agent.access, 200 },
		{ "DELETE", path, agent.access, 403 },
		{ "GET", path, stranger.access, 404 },
		{ "GET", audio, stranger.access, 404 },
		{ "DELETE", path, stranger.access, 404 },
		{ "DELETE", path, supervisor.access, 204 },
	};
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		auto_got got;

		ask(rig, tries[i].method, tries[i].path, tries[i].token, NULL, NULL, &got);
		assert_int_equal(got.status, tries[i].status);
	}
}

static void the_same_upload_again_with_its_key_is_one_prompt(void **state)
{
	struct rig *rig = *state;
	auto_(buf_fini) struct buf wav = BUF_MAX(1 << 20);
	auto_(buf_fini) struct buf other = BUF_MAX(1 << 20);
	struct person ada;
	char id[40];

	sign_up(rig, &ada);
	wav_of(&wav, 8000, 1, 100);
	wav_of(&other, 8000, 1, 120);
	for (unsigned i = 0; i < 2; i++) {
		auto_got got;

		upload(rig, ada.access, "x", "a.wav", &wav, "Idempotency-Key: k1\r\n", &got);
		assert_int_equal(got.status, 201);
		if (i)
			assert_string_equal(got_str(&got, "id"), id);
		str_copy(id, sizeof(id), got_str(&got, "id"));
	}
	{
		auto_got got;

		upload(rig, ada.access, "x", "a.wav", &other, "Idempotency-Key: k1\r\n", &got);
		assert_int_equal(got.status, 409);
	}
	{
		auto_got got;

		ask(rig, "GET", "/api/prompts/", ada.access, NULL, NULL, &got);
		assert_int_equal(number(&got, "count"), 1);
	}
}

static void an_owner_that_is_none_is_complained_of(void **state)
{
	struct rig *rig = *state;
	struct person ada, bob, agent;
	const struct {
		const struct person *who, *owner;
		int status;
	} tries[] = {
		{ &ada, &bob, 400 },
		{ &agent, &ada, 400 },
		{ &ada, &agent, 201 },
		{ &agent, &agent, 201 },
	};

	sign_up(rig, &ada);
	sign_up(rig, &bob);
	add_user(rig, &ada, "agent", &agent);
	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		auto_(buf_fini) struct buf body = BUF_MAX(1024);
		char user[16];
		auto_got got;

		snprintf(user, sizeof(user), "own%zu", i);
		buf_addf(&body,
			 "{\"server\": \"sip.example.com\", \"username\": \"%s\","
			 " \"password\": \"x\", \"owner\": \"%s\"}",
			 user, tries[i].owner->id);
		ask(rig, "POST", "/api/add-sip-profile/", tries[i].who->access, NULL, body.data,
		    &got);
		assert_int_equal(got.status, tries[i].status);
		if (got.status == 400)
			assert_true(json_is_array(json_object_get(got.json, "owner")));
		else
			assert_string_equal(got_str(&got, "owner"), tries[i].owner->id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upload_is_kept_listed_heard_and_deleted),
		cmocka_unit_test(every_kind_that_is_promised_is_taken),
		cmocka_unit_test(what_is_no_sound_is_refused_by_name),
		cmocka_unit_test(too_much_is_413_and_nobodys_bytes_are_401),
		cmocka_unit_test(a_text_is_spoken),
		cmocka_unit_test(agents_use_prompts_supervisors_make_them),
		cmocka_unit_test(the_same_upload_again_with_its_key_is_one_prompt),
		cmocka_unit_test(an_owner_that_is_none_is_complained_of),
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
