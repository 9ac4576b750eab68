/* Text to speech with the real espeak-ng, and with programs that misbehave. */
#include "base/base.h"
#include "media/speech.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct scene {
	struct work_pool *pool;
	struct ring *home;
	struct speech *speech;
	int answers, r;
	uint32_t ms;
};

static void on_done(int r, struct sound *sound, void *arg)
{
	struct scene *scene = arg;

	scene->answers++;
	scene->r = r;
	scene->ms = sound ? sound_ms(sound) : 0;
}

static void scene_init(struct scene *scene, const char *program, unsigned timeout_ms, size_t cache)
{
	*scene = (struct scene){ 0 };
	scene->pool = work_pool_new("speech", 2, 16);
	scene->home = ring_new(sizeof(struct work), 64);
	scene->speech = speech_new(&(struct speech_config){ .pool = scene->pool,
							    .home = scene->home,
							    .program = program,
							    .timeout_ms = timeout_ms,
							    .cache_bytes = cache });
}

static void scene_fini(struct scene *scene)
{
	speech_free(scene->speech);
	work_pool_free(scene->pool);
	ring_ack(scene->home);
	work_reap(scene->home);
	ring_free(scene->home);
}

static int say(struct scene *scene, const char *voice, const char *text, uint64_t *ticket)
{
	struct speech_request request = { .text = text, .voice = voice };

	return speech_say(scene->speech, &request, on_done, scene, ticket);
}

static void await(struct scene *scene, int answers)
{
	uint64_t until_ms = clock_mono_ms() + 15000;

	while (scene->answers < answers && clock_mono_ms() < until_ms) {
		struct pollfd pfd = { .fd = ring_fd(scene->home), .events = POLLIN };

		if (poll(&pfd, 1, 100) > 0) {
			ring_ack(scene->home);
			work_reap(scene->home);
		}
	}
	assert_int_equal(scene->answers, answers);
}

static void text_becomes_sound_and_the_second_time_at_once(void **state)
{
	struct scene scene;
	uint32_t ms;
	uint64_t ticket;

	(void)state;
	scene_init(&scene, NULL, 0, 0);
	assert_int_equal(say(&scene, "en", "Your call is very important to us.", &ticket), 0);
	assert_true(ticket != 0);
	await(&scene, 1);
	assert_int_equal(scene.r, 0);
	assert_in_range(scene.ms, 800, 6000);
	ms = scene.ms;
	assert_int_equal(say(&scene, "en", "Your call is very important to us.", &ticket), 0);
	assert_int_equal(scene.answers, 2);
	assert_int_equal(ticket, 0);
	assert_int_equal(scene.ms, ms);
	assert_int_equal(say(&scene, "de", "Grüße aus Köln -- $(reboot); `reboot`", NULL), 0);
	await(&scene, 3);
	assert_int_equal(scene.r, 0);
	scene_fini(&scene);
}

static void what_cannot_be_said_is_refused_at_once(void **state)
{
	struct scene scene;
	char *text = xzalloc(SPEECH_TEXT_MAX + 2);

	(void)state;
	scene_init(&scene, NULL, 0, 0);
	memset(text, 'a', SPEECH_TEXT_MAX + 1);
	assert_int_equal(say(&scene, "en", text, NULL), SPEECH_E_TEXT);
	assert_int_equal(say(&scene, "en", "", NULL), SPEECH_E_TEXT);
	assert_int_equal(say(&scene, "en", "   ", NULL), SPEECH_E_TEXT);
	assert_int_equal(say(&scene, "en", NULL, NULL), SPEECH_E_TEXT);
	assert_int_equal(say(&scene, "en", "a\xff", NULL), SPEECH_E_TEXT);
	assert_int_equal(say(&scene, "../../etc/passwd", "a", NULL), SPEECH_E_VOICE);
	assert_int_equal(say(&scene, "-h", "a", NULL), SPEECH_E_VOICE);
	assert_int_equal(scene.answers, 0);
	scene_fini(&scene);
	free(text);
}

static void script(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", text);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
}

static void a_program_that_fails_hangs_or_babbles_is_survived(void **state)
{
	static const char *const programs[] = { "exit 1", "exec sleep 60", "exec cat /dev/zero",
						"echo RIFF", "kill -9 $$" };
	char dir[] = "/tmp/jackfield-speech-XXXXXX", path[64];
	struct scene scene;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/tts", dir);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		uint64_t begun_ms = clock_mono_ms();

		script(path, programs[i]);
		scene_init(&scene, path, 1000, 0);
		assert_int_equal(say(&scene, "en", "hello", NULL), 0);
		await(&scene, 1);
		assert_int_equal(scene.r, SPEECH_E_FAILED);
		assert_true(clock_mono_ms() - begun_ms < 5000);
		scene_fini(&scene);
	}
	unlink(path);
	rmdir(dir);
	scene_init(&scene, "/nonexistent/tts", 1000, 0);
	assert_int_equal(say(&scene, "en", "hello", NULL), 0);
	await(&scene, 1);
	assert_int_equal(scene.r, SPEECH_E_FAILED);
	scene_fini(&scene);
}

static void a_cancelled_request_is_never_answered(void **state)
{
	struct scene scene;
	uint64_t ticket;

	(void)state;
	scene_init(&scene, NULL, 0, 0);
	assert_int_equal(say(&scene, "en", "never mind", &ticket), 0);
	speech_cancel(scene.speech, ticket);
	assert_int_equal(say(&scene, "en", "mind", &ticket), 0);
	await(&scene, 1);
	assert_int_equal(say(&scene, "en", "gone before it is said", NULL), 0);
	scene_fini(&scene); /* forgets it */
	assert_int_equal(scene.answers, 1);
}

static void the_cache_stays_within_its_bytes(void **state)
{
	struct scene scene;
	char text[32];

	(void)state;
	scene_init(&scene, NULL, 0, 150000); /* two or three seconds */
	for (int i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), "number %d", i);
		assert_int_equal(say(&scene, "en", text, NULL), 0);
		await(&scene, i + 1);
	}
	assert_int_equal(say(&scene, "en", "number 5", NULL), 0);
	assert_int_equal(scene.answers, 7); /* the newest is there */
	assert_int_equal(say(&scene, "en", "number 0", NULL), 0);
	assert_int_equal(scene.answers, 7); /* the oldest has gone */
	await(&scene, 8);
	scene_fini(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_becomes_sound_and_the_second_time_at_once),
		cmocka_unit_test(what_cannot_be_said_is_refused_at_once),
		cmocka_unit_test(a_program_that_fails_hangs_or_babbles_is_survived),
		cmocka_unit_test(a_cancelled_request_is_never_answered),
		cmocka_unit_test(the_cache_stays_within_its_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
