/* Recordings, by ear: what each side said is where and when it said it, whatever the call went through. */
#include "leg.h"
#include "media/codec.h"
#include "media/recorder.h"
#include "media/sound.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALONE 0.85
#define NOTHING 0.02

struct studio {
	struct world *world;
	struct recorder *recorder;
	char dir[64], path[96];
	struct media_recorded end;
	unsigned ends, kept;
	struct media_record record;
	int16_t *pcm; /* of the file, left then right where it is stereo */
	size_t samples;
};

static void on_end(void *arg, const struct media_recorded *end)
{
	struct studio *studio = arg;

	studio->end = *end;
	studio->ends++;
}

static void before_files(void *arg)
{
	struct studio *studio = arg;

	assert_int_equal(access(studio->path, F_OK), -1);
	studio->kept++;
}

static void studio_open(struct studio *studio, bool stereo, bool wideband, uint64_t min_free)
{
	struct recorder_setup setup = { .before_files = before_files,
					.arg = studio,
					.on_end = on_end,
					.end_arg = studio,
					.min_free = min_free };

	*studio = (struct studio){ .world = world_new() };
	(void)snprintf(studio->dir, sizeof(studio->dir), "/tmp/jf-record-XXXXXX");
	assert_non_null(mkdtemp(studio->dir));
	(void)snprintf(studio->path, sizeof(studio->path), "%s/a", studio->dir);
	studio->recorder = recorder_new_manual(&setup);
	studio->record = (struct media_record){ .path = studio->path,
						.stereo = stereo,
						.wideband = wideband };
	randombytes_buf(studio->record.key, sizeof(studio->record.key));
	randombytes_buf(studio->record.label, sizeof(studio->record.label));
}

static uint64_t now_tick(const struct studio *studio)
{
	return studio->world->loop->now_us / TICK_US;
}

static void start(struct studio *studio)
{
	recorder_open(studio->recorder, 1, &studio->record, now_tick(studio));
}

static void tap(struct studio *studio, struct leg *leg, enum media_side side)
{
	tap_set(leg->stream,
		tap_new(studio->recorder, 1, side, studio->record.wideband ? 16000 : 8000));
}

static void run(struct studio *studio, unsigned ms)
{
	for (; ms; ms -= 20) {
		world_run(studio->world, 20);
		if (ms % 100 == 0)
			recorder_round(studio->recorder, now_tick(studio));
	}
}

static void stop(struct studio *studio)
{
	recorder_close(studio->recorder, 1, now_tick(studio));
	run(studio, 500);
	for (unsigned i = 0; i < 1000 && !studio->ends; i++)
		recorder_round(studio->recorder, now_tick(studio) + 100);
	assert_int_equal(studio->ends, 1);
	run(studio, 100);
	assert_int_equal(studio->ends, 1);
}

static void load(struct studio *studio)
{
	auto_(vault_reader_free) struct vault_reader *reader = NULL;
	unsigned channels = studio->record.stereo ? 2 : 1;
	size_t got = 0, n;
	uint8_t *raw;

	assert_int_equal(
		vault_open(studio->path, studio->record.key, studio->record.label, &reader), 0);
	assert_int_equal(vault_size(reader), studio->end.bytes);
	raw = xzalloc(vault_size(reader) + 1);
	for (; vault_read(reader, got, raw + got, vault_size(reader) - got, &n) == 0 && n; got += n)
		;
	assert_int_equal(got, vault_size(reader));
	studio->samples = got / 2 / channels;
	studio->pcm = xzalloc(got + 2);
	for (size_t i = 0; i < studio->samples; i++)
		for (unsigned c = 0; c < channels; c++)
			memcpy(&studio->pcm[c * studio->samples + i], raw + (i * channels + c) * 2,
			       2);
	free(raw);
}

static unsigned rate(const struct studio *studio)
{
	return studio->record.wideband ? 16000 : 8000;
}

/* Of a side (0: left or the only one) between two times. */
static double share(const struct studio *studio, unsigned side, double from, double until,
		    double freq)
{
	size_t a = (size_t)(from * rate(studio)), b = (size_t)(until * rate(studio));

	assert_true(b <= studio->samples && a < b);
	return tone_share(studio->pcm + side * studio->samples + a, b - a, rate(studio), freq);
}

static double loudness(const struct studio *studio, unsigned side, double from, double until)
{
	size_t a = (size_t)(from * rate(studio)), b = (size_t)(until * rate(studio));

	return energy_rms(studio->pcm + side * studio->samples + a, b - a);
}

/* When a side is first heard, in seconds. */
static double onset(const struct studio *studio, unsigned side)
{
	const int16_t *pcm = studio->pcm + side * studio->samples;

	for (size_t i = 0; i < studio->samples; i++)
		if (abs(pcm[i]) > 1500)
			return (double)i / rate(studio);
	return -1;
}

static void studio_close(struct studio *studio)
{
	(void)unlink(studio->path);
	(void)rmdir(studio->dir);
	free(studio->pcm);
	world_free(studio->world);
	recorder_free(studio->recorder);
}

static void each_side_has_its_own_channel(void **state)
{
	struct studio s;
	struct leg *a, *b;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMA, 1000);
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 4000);
	stop(&s);
	load(&s);
	assert_int_equal(s.end.error, 0);
	assert_int_equal(s.kept, 1);
	assert_int_equal(s.samples, 4 * 8000);
	assert_int_equal(s.end.ms, 4000);
	assert_true(share(&s, 0, 0.2, 3.9, 440) > ALONE && share(&s, 0, 0.2, 3.9, 1000) < NOTHING);
	assert_true(share(&s, 1, 0.2, 3.9, 1000) > ALONE && share(&s, 1, 0.2, 3.9, 440) < NOTHING);
	assert_true(fabs(onset(&s, 0) - onset(&s, 1)) <= 0.020);
	studio_close(&s);
}

static void mono_has_both_and_wideband_its_rate(void **state)
{
	struct studio s;
	struct leg *a, *b;

	(void)state;
	studio_open(&s, false, true, 0);
	a = leg_new(s.world, MEDIA_CODEC_G722, 440);
	b = leg_new(s.world, MEDIA_CODEC_OPUS, 5000); /* beyond what 8 kHz could hold */
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 3000);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 3 * 16000);
	assert_true(share(&s, 0, 0.5, 2.9, 440) > 0.3 && share(&s, 0, 0.5, 2.9, 5000) > 0.3);
	studio_close(&s);
}

static void a_relayed_call_stays_relayed_and_loses_nothing(void **state)
{
	struct studio s;
	struct leg *a, *b;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMU, 1000);
	leg_join(s.world, a);
	leg_join(s.world, b);
	run(&s, 1000);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 2000);
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	tap_set(a->stream, NULL);
	tap_set(b->stream, NULL);
	stop(&s);
	run(&s, 1000);
	assert_continuous(a);
	assert_continuous(b);
	/* 1 s before, 2 s recorded, 1.6 s after: a packet each 20 ms */
	assert_in_range(a->packet_count, 230, 231);
	assert_in_range(b->packet_count, 230, 231);
	load(&s);
	assert_true(share(&s, 0, 0.2, 1.9, 440) > ALONE && share(&s, 1, 0.2, 1.9, 1000) > ALONE);
	studio_close(&s);
}

static void a_beep_is_heard_by_both_and_the_relay_goes_on(void **state)
{
	struct sound *beep = sound_new_tone(&(struct sound_tone){ { 1400 }, { 200 }, -20 });
	struct studio s;
	struct leg *a, *b;
	size_t at;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMU, 1000);
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 1000);
	for (unsigned i = 0; i < 2; i++) {
		at = a->heard_count;
		mloop_command(s.world->loop, &(struct command){ .kind = CMD_BRIDGE_CHIME,
								.id = s.world->bridge->object.id,
								.object = sound_ref(beep) });
		run(&s, 500);
		assert_true(tone_share(a->heard + at, 200 * 8, 8000, 1400) > 0.1);
		assert_true(tone_share(b->heard + at, 200 * 8, 8000, 1400) > 0.1);
		assert_int_equal(a->stream->source, SOURCE_RELAY);
		assert_int_equal(b->stream->source, SOURCE_RELAY);
		run(&s, 1000);
		assert_true(leg_hears(a, 1000) > ALONE && leg_hears(b, 440) > ALONE);
	}
	stop(&s);
	assert_continuous(a);
	assert_continuous(b);
	load(&s);
	assert_true(share(&s, 0, 0.2, 3.9, 440) > ALONE && share(&s, 1, 0.2, 3.9, 1000) > ALONE);
	assert_true(share(&s, 0, 0.2, 3.9, 1400) < NOTHING);
	sound_unref(beep);
	studio_close(&s);
}

static void a_third_one_in_the_bridge_changes_nothing_of_it(void **state)
{
	struct studio s;
	struct leg *a, *b, *c;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMU, 1000);
	c = leg_new(s.world, MEDIA_CODEC_PCMA, 700);
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 2000);
	leg_join(s.world, c); /* mixed now; not tapped, so not in the recording */
	run(&s, 2000);
	mloop_command(s.world->loop,
		      &(struct command){ .kind = CMD_BRIDGE_REMOVE, .id = c->stream->object.id });
	run(&s, 2000);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 6 * 8000);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(share(&s, 0, 2 * i + 0.3, 2 * i + 1.9, 440) > ALONE);
		assert_true(share(&s, 1, 2 * i + 0.3, 2 * i + 1.9, 1000) > ALONE);
		assert_true(share(&s, 0, 2 * i + 0.3, 2 * i + 1.9, 700) < NOTHING);
	}
	studio_close(&s);
}

static void tape(struct studio *studio)
{
	struct mix_tape *tape = xzalloc(sizeof(*tape));

	tape->recorder = studio->recorder;
	tape->number = 1;
	tape->rate = studio->record.wideband ? 16000 : 8000;
	mloop_command(studio->world->loop,
		      &(struct command){ .kind = CMD_BRIDGE_TAPE,
					 .id = studio->world->bridge->object.id,
					 .object = tape });
}

static void to_leg(struct studio *studio, const struct leg *leg, struct command command)
{
	command.id = leg->stream->object.id;
	mloop_command(studio->world->loop, &command);
}

/* Members come and go, one of them brings the wideband that the room then has, one is not to be recorded, one leaves its
 * second line for the end.
 */
static void a_room_is_recorded_as_one_whoever_comes_and_goes(void **state)
{
	struct studio s;
	struct leg *a, *b, *c, *d;

	(void)state;
	studio_open(&s, false, true, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_G722, 1000);
	leg_join(s.world, a);
	start(&s);
	tape(&s);
	run(&s, 1000); /* alone: it is in the room all the same */
	leg_join(s.world, b);
	run(&s, 1000);
	c = leg_new(s.world, MEDIA_CODEC_OPUS, 5000);
	leg_join(s.world, c);
	run(&s, 1000);
	to_leg(&s, a, (struct command){ .kind = CMD_BRIDGE_UNRECORDED, .on = true });
	d = leg_new(s.world, MEDIA_CODEC_PCMA, 2300);
	leg_join(s.world, d);
	run(&s, 1000);
	to_leg(&s, b, (struct command){ .kind = CMD_BRIDGE_REMOVE });
	to_leg(&s, c, (struct command){ .kind = CMD_BRIDGE_MUTE, .on = true });
	run(&s, 1000);
	stop(&s);
	load(&s);
	assert_int_equal(s.end.error, 0);
	assert_int_equal(s.samples, 5 * 16000);
	assert_true(fabs(onset(&s, 0)) <= 0.08);
	assert_true(share(&s, 0, 0.1, 0.95, 440) > ALONE);
	assert_true(share(&s, 0, 1.2, 1.95, 440) > 0.3 && share(&s, 0, 1.2, 1.95, 1000) > 0.3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(share(&s, 0, 2.3, 2.95, (double[]){ 440, 1000, 5000 }[i]) > 0.2);
	assert_true(share(&s, 0, 3.3, 3.95, 440) < NOTHING);
	for (unsigned i = 0; i < 3; i++)
		assert_true(share(&s, 0, 3.3, 3.95, (double[]){ 1000, 5000, 2300 }[i]) > 0.2);
	assert_true(share(&s, 0, 4.3, 4.95, 2300) > ALONE);
	studio_close(&s);
}

static void a_room_in_which_nobody_listens_is_recorded(void **state)
{
	struct studio s;
	struct leg *a, *b;

	(void)state;
	studio_open(&s, false, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMU, 1000);
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tape(&s);
	to_leg(&s, a, (struct command){ .kind = CMD_BRIDGE_MUTE, .on2 = true });
	to_leg(&s, b, (struct command){ .kind = CMD_BRIDGE_MUTE, .on2 = true });
	run(&s, 1000);
	to_leg(&s, b,
	       (struct command){
		       .kind = CMD_BRIDGE_ASIDE, .on = true, .other = a->stream->object.id });
	run(&s, 1000);
	stop(&s);
	load(&s);
	assert_true(share(&s, 0, 0.2, 0.95, 440) > 0.3 && share(&s, 0, 0.2, 0.95, 1000) > 0.3);
	assert_true(share(&s, 0, 1.2, 1.95, 440) > ALONE);
	studio_close(&s);
}

static void a_pause_is_silence_of_equal_length(void **state)
{
	struct studio s;
	struct leg *a;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	leg_join(s.world, a);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	run(&s, 1000);
	recorder_pause(s.recorder, 1, true, now_tick(&s));
	run(&s, 2000);
	recorder_pause(s.recorder, 1, false, now_tick(&s));
	run(&s, 1000);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 4 * 8000);
	assert_true(share(&s, 0, 0.2, 1.0, 440) > ALONE);
	assert_true(loudness(&s, 0, 1.0, 3.0) < 1);
	assert_true(share(&s, 0, 3.1, 4.0, 440) > ALONE);
	studio_close(&s);
}

/* More than the thread's ring takes while its disk does not answer. */
static void hang(struct studio *studio)
{
	for (unsigned i = 0; i < 5000; i++)
		recorder_pause(studio->recorder, 1, false, now_tick(studio));
}

static void go_on(struct studio *studio)
{
	for (unsigned i = 0; i < 2; i++) {
		recorder_round(studio->recorder, now_tick(studio));
		recorder_flush(studio->recorder);
	}
}

static void no_order_is_lost_though_the_recorder_hangs(void **state)
{
	struct studio s;
	struct leg *a;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	leg_join(s.world, a);
	hang(&s);
	start(&s);
	assert_int_equal(s.ends, 0);
	go_on(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	run(&s, 1000);
	hang(&s);
	recorder_pause(s.recorder, 1, true, now_tick(&s));
	go_on(&s);
	run(&s, 2000);
	hang(&s);
	recorder_close(s.recorder, 1, now_tick(&s));
	go_on(&s);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 3 * 8000);
	assert_true(share(&s, 0, 0.2, 1.0, 440) > ALONE);
	assert_true(loudness(&s, 0, 1.0, 3.0) < 1);
	studio_close(&s);
}

static void silence_mute_and_a_new_codec_keep_the_clock(void **state)
{
	struct studio s;
	struct leg *a, *b;

	(void)state;
	studio_open(&s, true, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	b = leg_new(s.world, MEDIA_CODEC_PCMU, 1000);
	leg_join(s.world, a);
	leg_join(s.world, b);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	tap(&s, b, MEDIA_SIDE_RIGHT);
	run(&s, 1000);
	a->quiet = true; /* sends nothing at all */
	mloop_command(s.world->loop, &(struct command){ .kind = CMD_BRIDGE_MUTE,
							.id = b->stream->object.id,
							.on = true });
	run(&s, 1000);
	a->quiet = false;
	mloop_command(s.world->loop,
		      &(struct command){ .kind = CMD_BRIDGE_MUTE, .id = b->stream->object.id });
	run(&s, 1000);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 3 * 8000);
	assert_true(share(&s, 0, 0.2, 0.9, 440) > ALONE);
	assert_true(loudness(&s, 0, 1.25, 1.95) < 30);
	assert_true(loudness(&s, 1, 1.05, 1.95) < 1);
	assert_true(share(&s, 0, 2.3, 2.9, 440) > ALONE);
	assert_true(share(&s, 1, 2.1, 2.9, 1000) > ALONE);
	studio_close(&s);
}

static void a_slow_disk_loses_only_what_the_ring_does_not_hold(void **state)
{
	struct studio s;
	struct leg *a;

	(void)state;
	studio_open(&s, false, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	leg_join(s.world, a);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	run(&s, 1000);
	world_run(s.world, 5000); /* nobody reads the ring meanwhile */
	run(&s, 1000);
	stop(&s);
	load(&s);
	assert_int_equal(s.samples, 7 * 8000);
	for (unsigned i = 0; i < 7; i++)
		assert_true(share(&s, 0, i + 0.2, i + 0.95, 440) > ALONE);
	studio_close(&s);
}

static void a_full_disk_keeps_the_part_that_was_written(void **state)
{
	struct rlimit old, small = { 60000, 60000 };
	struct studio s;
	struct leg *a;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	studio_open(&s, false, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	leg_join(s.world, a);
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	run(&s, 10000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.end.error, -EFBIG);
	assert_int_equal(s.end.bytes, 3 * VAULT_CHUNK); /* whole chunks below 60,000 */
	load(&s);
	assert_true(share(&s, 0, 0.2, 2.9, 440) > ALONE);
	studio_close(&s);
}

static void a_disk_below_its_reserve_is_not_written_to(void **state)
{
	struct studio s;

	(void)state;
	studio_open(&s, false, false, UINT64_MAX / 2);
	start(&s);
	run(&s, 200);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.end.error, -ENOSPC);
	assert_int_equal(s.end.bytes, 0);
	assert_int_equal(access(s.path, F_OK), -1);
	studio_close(&s);
}

/* ---- the file itself ---- */

static void any_part_can_be_read_and_none_be_changed(void **state)
{
	struct vault_form form = { 8000, 2 };
	auto_(free) uint8_t *data = xzalloc(100001);
	struct vault_reader *reader = NULL;
	struct vault *vault;
	struct studio s;
	uint8_t got[5000];
	size_t n, have;
	int fd;

	(void)state;
	studio_open(&s, true, false, 0);
	randombytes_buf(data, 100000);
	assert_int_equal(vault_create(s.path, s.record.key, s.record.label, &form, &vault), 0);
	assert_int_equal(vault_append(vault, data, 60001), 0);
	assert_int_equal(vault_append(vault, data + 60001, 39999), 0);
	assert_int_equal(vault_finish(vault), 0);
	assert_int_equal(vault_written(vault), 100000);
	vault_free(vault);

	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	assert_int_equal(vault_size(reader), 100000);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = randombytes_uniform(100000);
		size_t want = 1 + randombytes_uniform(4999);

		for (have = 0; have < want && at + have < 100000; have += n) {
			assert_int_equal(vault_read(reader, at + have, got, want - have, &n), 0);
			assert_true(n > 0);
			assert_memory_equal(got, data + at + have, n);
		}
	}
	reader = vault_reader_free(reader);

	s.record.label[3] ^= 1;
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), VAULT_E_BAD);
	s.record.label[3] ^= 1;
	fd = open(s.path, O_RDWR);
	assert_true(pread(fd, got, 1, 20000) == 1); /* in the second chunk */
	got[0] ^= 4;
	assert_true(pwrite(fd, got, 1, 20000) == 1);
	close(fd);
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	assert_int_equal(vault_read(reader, 0, got, 100, &n), 0);
	assert_int_equal(vault_read(reader, VAULT_CHUNK + 5, got, 100, &n), VAULT_E_BAD);
	assert_int_equal(vault_read(reader, 2 * VAULT_CHUNK, got, 100, &n), 0);
	vault_reader_free(reader);
	studio_close(&s);
}

static void a_file_cut_anywhere_keeps_its_whole_chunks(void **state)
{
	struct vault_form form = { 8000, 1 };
	auto_(free) uint8_t *data = xzalloc(50000);
	struct vault_reader *reader = NULL;
	struct vault *vault;
	struct studio s;
	struct stat st;

	(void)state;
	studio_open(&s, false, false, 0);
	assert_int_equal(vault_create(s.path, s.record.key, s.record.label, &form, &vault), 0);
	assert_int_equal(vault_append(vault, data, 50000), 0);
	vault_free(vault); /* as a crash leaves it */
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	assert_int_equal(vault_size(reader), 3 * VAULT_CHUNK);
	reader = vault_reader_free(reader);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(truncate(s.path, st.st_size - 7), 0);
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	assert_int_equal(vault_size(reader), 2 * VAULT_CHUNK);
	reader = vault_reader_free(reader);
	assert_int_equal(truncate(s.path, 30), 0);
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), VAULT_E_BAD);
	studio_close(&s);
}

static void what_comes_before_damage_is_heard(void **state)
{
	struct vault_form form = { 8000, 2 };
	auto_(free) uint8_t *data = xzalloc(100000);
	struct vault_reader *reader = NULL;
	char text[65], want[65];
	uint8_t wav[WAV_HEADER + 2 * VAULT_CHUNK], hash[32], got[64];
	struct wav_hash *hashing;
	struct vault *vault;
	struct studio s;
	size_t n;
	int fd;

	(void)state;
	studio_open(&s, true, false, 0);
	randombytes_buf(data, 100000);
	assert_int_equal(vault_create(s.path, s.record.key, s.record.label, &form, &vault), 0);
	assert_int_equal(vault_append(vault, data, 100000), 0);
	assert_int_equal(vault_finish(vault), 0);
	vault_free(vault);
	fd = open(s.path, O_RDWR);
	assert_true(pwrite(fd, data, 9, 40000) == 9); /* in the third chunk */
	close(fd);

	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	hashing = wav_hash_new(reader);
	while (!wav_hash_step(hashing, 1))
		;
	assert_true(wav_hash_damaged(hashing));
	assert_int_equal(vault_size(reader), 2 * VAULT_CHUNK);
	wav_header(wav, &form, 2 * VAULT_CHUNK);
	memcpy(wav + WAV_HEADER, data, 2 * VAULT_CHUNK);
	crypto_hash_sha256(hash, wav, sizeof(wav));
	sodium_bin2hex(want, sizeof(want), hash, sizeof(hash));
	wav_hash_text(hashing, text);
	assert_string_equal(text, want);
	wav_hash_free(hashing);

	/* Cut inside of a chunk: not a byte more is given. */
	vault_cut(reader, VAULT_CHUNK + 10);
	assert_int_equal(vault_read(reader, VAULT_CHUNK + 4, got, sizeof(got), &n), 0);
	assert_int_equal(n, 6);
	assert_memory_equal(got, data + VAULT_CHUNK + 4, 6);
	assert_int_equal(vault_read(reader, VAULT_CHUNK + 10, got, sizeof(got), &n), 0);
	assert_int_equal(n, 0);
	vault_reader_free(reader);
	studio_close(&s);
}

/* ---- an hour ---- */

#define HOUR_MS 3600000
#define BURSTS 60
#define BURST_MS 400

/* When a side is first heard from that second on; -1: not within two more. */
static double burst_at(struct vault_reader *reader, unsigned side, double from)
{
	uint64_t first = (uint64_t)(from * 8000), at;
	int16_t pcm[2];
	size_t n;

	for (at = first; at < first + 2 * 8000; at++)
		if (vault_read(reader, at * 4, pcm, sizeof(pcm), &n) == 0 && n == sizeof(pcm) &&
		    abs(pcm[side]) > 1500)
			return (double)at / 8000;
	return -1;
}

/* When it begins to speak: its next packet, and that is as old as it is long. */
static double speaks_at(const struct leg *leg, uint64_t began_us)
{
	return ((double)(leg->next_us - began_us) - 20000) / 1e6;
}

/* Clocks of two far ends that are 150 ppm fast and slow are half a second off after an hour; the file is not. */
static void an_hour_is_an_hour_whatever_their_clocks_say(void **state)
{
	auto_(vault_reader_free) struct vault_reader *reader = NULL;
	double spoken[2][BURSTS];
	struct leg *legs[2];
	struct studio s;
	uint64_t began_us;

	(void)state;
	studio_open(&s, true, false, 0);
	legs[0] = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	legs[1] = leg_new(s.world, MEDIA_CODEC_PCMA, 1000);
	legs[0]->drift_us = 20000 * 150e-6;
	legs[1]->drift_us = -20000 * 150e-6;
	began_us = s.world->loop->now_us;
	start(&s);
	for (unsigned side = 0; side < 2; side++) {
		leg_join(s.world, legs[side]);
		tap(&s, legs[side], side ? MEDIA_SIDE_RIGHT : MEDIA_SIDE_LEFT);
		legs[side]->silent = true;
	}
	for (unsigned burst = 0; burst < BURSTS; burst++) {
		run(&s, 1000);
		for (unsigned side = 0; side < 2; side++) {
			spoken[side][burst] = speaks_at(legs[side], began_us);
			legs[side]->silent = false;
		}
		run(&s, BURST_MS);
		legs[0]->silent = legs[1]->silent = true;
		run(&s, HOUR_MS / BURSTS - 1000 - BURST_MS);
	}
	stop(&s);
	assert_int_equal(s.end.error, 0);
	assert_int_equal(s.end.ms, HOUR_MS);
	assert_int_equal(vault_open(s.path, s.record.key, s.record.label, &reader), 0);
	for (unsigned burst = 0; burst < BURSTS; burst++) {
		double off[2];

		for (unsigned side = 0; side < 2; side++) {
			off[side] =
				burst_at(reader, side, burst * 60.0 + 0.9) - spoken[side][burst];
			assert_true(fabs(off[side]) <= 0.012);
		}
		assert_true(fabs(off[0] - off[1]) < 0.020);
	}
	studio_close(&s);
}

/* Packets that are late, lost, doubled and in the wrong order. */
static void a_bad_network_moves_nothing(void **state)
{
	static const struct {
		unsigned seq, at_ms;
	} come[] = { { 0, 0 },	  { 1, 20 },   { 2, 150 },  { 3, 151 },	 { 5, 152 },
		     { 4, 153 },  { 4, 154 },  { 6, 155 },  { 7, 170 },	 { 9, 180 },
		     { 10, 200 }, { 8, 205 },  { 11, 220 }, { 12, 250 }, { 14, 280 },
		     { 15, 300 }, { 16, 330 }, { 17, 340 }, { 13, 345 }, { 18, 360 } };
	struct studio s;
	struct leg *a;
	uint64_t began_ms;
	uint8_t payload[160];

	(void)state;
	studio_open(&s, false, false, 0);
	a = leg_new(s.world, MEDIA_CODEC_PCMU, 440);
	a->quiet = true;
	start(&s);
	tap(&s, a, MEDIA_SIDE_LEFT);
	run(&s, 100);
	began_ms = s.world->loop->now_us / 1000;
	for (unsigned i = 0; i < ARRAY_LEN(come); i++) {
		while (s.world->loop->now_us / 1000 < began_ms + come[i].at_ms)
			world_run(s.world, 1);
		/* Each has a level of its own. */
		memset(payload, g711_linear_to_ulaw((int16_t)(2000 + 1000 * come[i].seq)), 160);
		leg_packet(a, &a->addr, 0, (uint16_t)(65530 + come[i].seq),
			   0xfffff000u + 160 * come[i].seq, 77, payload, 160);
	}
	run(&s, 1000);
	stop(&s);
	load(&s);
	for (unsigned seq = 0; seq <= 18; seq++) {
		/* The first took 20 ms to be spoken. */
		size_t middle = (80 + 20 * seq) * 8 + 80;
		int want = g711_ulaw_to_linear(g711_linear_to_ulaw((int16_t)(2000 + 1000 * seq)));

		if (seq == 13) /* too late: what replaces it is no louder than what was before */
			assert_in_range(s.pcm[middle], 1, 14500);
		else
			assert_int_equal(s.pcm[middle], want);
	}
	studio_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_side_has_its_own_channel),
		cmocka_unit_test(mono_has_both_and_wideband_its_rate),
		cmocka_unit_test(a_relayed_call_stays_relayed_and_loses_nothing),
		cmocka_unit_test(a_beep_is_heard_by_both_and_the_relay_goes_on),
		cmocka_unit_test(a_third_one_in_the_bridge_changes_nothing_of_it),
		cmocka_unit_test(a_room_is_recorded_as_one_whoever_comes_and_goes),
		cmocka_unit_test(a_room_in_which_nobody_listens_is_recorded),
		cmocka_unit_test(a_pause_is_silence_of_equal_length),
		cmocka_unit_test(no_order_is_lost_though_the_recorder_hangs),
		cmocka_unit_test(silence_mute_and_a_new_codec_keep_the_clock),
		cmocka_unit_test(a_slow_disk_loses_only_what_the_ring_does_not_hold),
		cmocka_unit_test(a_full_disk_keeps_the_part_that_was_written),
		cmocka_unit_test(a_disk_below_its_reserve_is_not_written_to),
		cmocka_unit_test(any_part_can_be_read_and_none_be_changed),
		cmocka_unit_test(a_file_cut_anywhere_keeps_its_whole_chunks),
		cmocka_unit_test(what_comes_before_damage_is_heard),
		cmocka_unit_test(a_bad_network_moves_nothing),
		cmocka_unit_test(an_hour_is_an_hour_whatever_their_clocks_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
