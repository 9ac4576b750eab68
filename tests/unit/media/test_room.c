/* A conference's bridge: all pairs, many members, who speaks, chimes, the watchdog of a member. */
#include "leg.h"
#include "unit.h"

static void command(struct world *world, struct command what)
{
	mloop_command(world->loop, &what);
	for (unsigned i = 0; i < world->leg_count; i++)
		world->legs[i].stream->tx = world->legs[0].stream->tx;
}

static void watch(struct world *world)
{
	command(world, (struct command){ .kind = CMD_BRIDGE_WATCH,
					 .id = world->bridge->object.id,
					 .on = true });
}

static void mute(struct world *world, struct leg *leg, bool muted, bool deaf)
{
	command(world, (struct command){ .kind = CMD_BRIDGE_MUTE,
					 .id = leg->stream->object.id,
					 .on = muted,
					 .on2 = deaf });
}

/* Forgets what was heard until now. */
static void listen_anew(struct world *world)
{
	for (unsigned i = 0; i < world->leg_count; i++)
		world->legs[i].heard_count = 0;
}

static void three_hear_each_other_and_nobody_hears_himself(void **state)
{
	static const double tones[] = { 440, 1000, 1700 };
	static const enum media_codec codecs[] = { MEDIA_CODEC_PCMU, MEDIA_CODEC_G722,
						   MEDIA_CODEC_OPUS };
	struct world *world = world_new();
	struct leg *legs[3];

	(void)state;
	watch(world);
	for (unsigned i = 0; i < 3; i++) {
		legs[i] = leg_new(world, codecs[i], tones[i]);
		leg_join(world, legs[i]);
	}
	world_run(world, 500);
	listen_anew(world);
	world_run(world, 2000);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < 3; j++) {
			if (i == j)
				assert_true(leg_hears(legs[i], tones[j]) < 0.02);
			else
				assert_true(leg_hears(legs[i], tones[j]) > 0.25);
		}
		assert_continuous(legs[i]);
	}
	world_free(world);
}

static void of_fifty_each_sample_hears_all_who_speak(void **state)
{
	struct world *world = world_new();
	struct leg *legs[50];

	(void)state;
	watch(world);
	for (unsigned i = 0; i < 50; i++) {
		legs[i] = leg_new(world, i % 2 ? MEDIA_CODEC_PCMA : MEDIA_CODEC_PCMU, 400 + 50 * i);
		leg_join(world, legs[i]);
		legs[i]->quiet = i % 10 != 0;
	}
	world_run(world, 500);
	listen_anew(world);
	world_run(world, 1000);
	for (unsigned i = 0; i < 50; i += 7) {
		assert_true(legs[i]->heard_count > 7000);
		for (unsigned talker = 0; talker < 50; talker += 10) {
			double share = leg_hears(legs[i], 400 + 50 * talker);

			if (talker == i)
				assert_true(share < 0.02);
			else
				assert_true(share > 0.12);
		}
		assert_true(leg_hears(legs[i], 400 + 50 * 11) < 0.01); /* who is quiet */
		assert_continuous(legs[i]);
	}
	world_free(world);
}

static bool says_talking(struct world *world, const struct leg *leg, bool talking)
{
	const struct media_event *last = NULL;

	world_collect(world);
	for (unsigned i = 0; i < world->log_count; i++)
		if (world->log[i].type == MEDIA_EVENT_TALK &&
		    media_id_eq(world->log[i].stream, leg->stream->object.id))
			last = &world->log[i];
	return last && last->talking == talking;
}

static void who_speaks_is_told(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	unsigned told;

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	b->quiet = true;
	world_run(world, 1000);
	assert_int_equal(a->stream->source, SOURCE_MIX); /* never relayed: it must be decoded */
	assert_true(says_talking(world, a, true));
	assert_false(says_talking(world, b, true));
	a->quiet = true;
	world_run(world, 200);
	assert_true(says_talking(world, a, true)); /* the hang between words */
	world_run(world, 600);
	assert_true(says_talking(world, a, false));
	/* However often it changes, it is told at most four times a second. */
	told = world_count(world, MEDIA_EVENT_TALK);
	for (unsigned i = 0; i < 20; i++) {
		a->quiet = i % 2;
		world_run(world, i % 2 ? 320 : 80);
	}
	world_collect(world);
	assert_true(world_count(world, MEDIA_EVENT_TALK) - told <= 16);
	world_free(world);
}

/* Without a listener nothing is decoded, so nobody would notice that it falls silent. */
static void whom_nobody_listens_to_does_not_go_on_talking(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	b->quiet = true;
	world_run(world, 1000);
	assert_true(says_talking(world, a, true));
	mute(world, b, false, true);
	assert_true(says_talking(world, a, false));
	mute(world, b, false, false);
	world_run(world, 1000);
	assert_true(says_talking(world, a, true));
	world_free(world);
}

/* Not even where only two are in it: the other one might be anybody, and the digits a PIN. */
static void digits_of_a_room_are_nobody_elses(void **state)
{
	static const uint8_t event[] = { 5, 10, 0, 160 }, end[] = { 5, 0x80 | 10, 3, 32 };
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMA, 1000);

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	a->quiet = true;
	leg_packet(a, &a->addr, 101, a->seq++, a->timestamp, a->ssrc, event, 4);
	world_run(world, 40);
	leg_packet(a, &a->addr, 101, a->seq++, a->timestamp, a->ssrc, end, 4);
	world_run(world, 100);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
	for (size_t i = 0; i < b->packet_count; i++)
		assert_int_not_equal(b->packets[i].header.pt, 101);
	world_free(world);
}

static void mute_and_deaf_hold_for_the_whole_room(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000),
		   *c = leg_new(world, MEDIA_CODEC_PCMU, 1700);

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	leg_join(world, c);
	mute(world, a, true, false);
	mute(world, b, false, true);
	world_run(world, 500);
	listen_anew(world);
	world_run(world, 1000);
	assert_true(leg_hears(c, 440) < 0.02 && leg_hears(c, 1000) > 0.85);
	assert_true(leg_hears(a, 1000) > 0.25 && leg_hears(a, 1700) > 0.25);
	assert_true(energy_rms(b->heard, b->heard_count) < 10);
	world_free(world);
}

static void aside(struct world *world, struct leg *leg, const struct leg *to)
{
	command(world, (struct command){ .kind = CMD_BRIDGE_ASIDE,
					 .id = leg->stream->object.id,
					 .on = to != NULL,
					 .other = to ? to->stream->object.id : MEDIA_NONE });
}

static void what_is_said_aside_one_alone_hears(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMA, 1000),
		   *guest = leg_new(world, MEDIA_CODEC_G722, 1700), *late;

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	leg_join(world, guest);
	aside(world, guest, a);
	world_run(world, 500);
	late = leg_new(world, MEDIA_CODEC_PCMU, 2300); /* who comes later does not hear it either */
	leg_join(world, late);
	world_run(world, 500);
	listen_anew(world);
	world_run(world, 1000);
	for (unsigned i = 0; i < 3; i++)
		assert_true(leg_hears(a, (double[]){ 1000, 1700, 2300 }[i]) > 0.2);
	assert_true(leg_hears(b, 1700) < 0.01 && leg_hears(late, 1700) < 0.01);
	assert_true(leg_hears(b, 440) > 0.3 && leg_hears(b, 2300) > 0.3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(leg_hears(guest, (double[]){ 440, 1000, 2300 }[i]) > 0.2);
	assert_true(leg_hears(guest, 1700) < 0.01);
	/* Who was spoken to goes: nobody hears it. */
	command(world, (struct command){ .kind = CMD_BRIDGE_REMOVE, .id = a->stream->object.id });
	world_run(world, 300);
	listen_anew(world);
	world_run(world, 500);
	assert_true(leg_hears(b, 1700) < 0.01 && leg_hears(late, 1700) < 0.01);
	aside(world, guest, NULL);
	world_run(world, 300);
	listen_anew(world);
	world_run(world, 500);
	assert_true(leg_hears(b, 1700) > 0.3 && leg_hears(late, 1700) > 0.3);
	world_free(world);
}

/* A call of two that is not mixed: the one who hears only what is said aside is relayed it. */
static void two_with_one_aside(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000),
		   *guest = leg_new(world, MEDIA_CODEC_PCMU, 1700);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	leg_join(world, guest);
	aside(world, guest, a);
	mute(world, b, true, false);
	world_run(world, 300);
	listen_anew(world);
	world_run(world, 700);
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	assert_true(leg_hears(a, 1700) > 0.9 && leg_hears(b, 440) > 0.9);
	assert_true(leg_hears(guest, 440) > 0.9);
	mute(world, b, false, false);
	world_run(world, 300);
	listen_anew(world);
	world_run(world, 700);
	assert_true(leg_hears(a, 1700) > 0.3 && leg_hears(a, 1000) > 0.3);
	assert_true(leg_hears(b, 1700) < 0.01 && leg_hears(b, 440) > 0.9);
	world_free(world);
}

static void a_chime_is_heard_by_all_over_the_voices(void **state)
{
	static const struct sound_tone tone = { { 2000 }, { 200 }, -10 };
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_OPUS, 1000);

	(void)state;
	watch(world);
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	command(world, (struct command){ .kind = CMD_BRIDGE_CHIME,
					 .id = world->bridge->object.id,
					 .object = sound_new_tone(&tone) });
	world_run(world, 240);
	assert_true(leg_hears(a, 2000) > 0.05 && leg_hears(a, 1000) > 0.1);
	assert_true(leg_hears(b, 2000) > 0.05 && leg_hears(b, 440) > 0.1);
	world_run(world, 100);
	assert_null(world->bridge->chime);
	listen_anew(world);
	world_run(world, 500);
	assert_true(leg_hears(a, 2000) < 0.01 && leg_hears(b, 2000) < 0.01);
	world_free(world);
}

static void the_watchdog_of_a_member_is_its_own(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	command(world, (struct command){ .kind = CMD_STREAM_WATCHDOG,
					 .id = a->stream->object.id,
					 .ms = 3000 });
	a->quiet = b->quiet = true;
	world_run(world, 2500);
	world_collect(world);
	assert_int_equal(world_count(world, MEDIA_EVENT_SILENT), 0);
	world_run(world, 2000);
	world_collect(world);
	assert_int_equal(world_count(world, MEDIA_EVENT_SILENT), 1);
	assert_true(
		media_id_eq(world_last(world, MEDIA_EVENT_SILENT)->stream, a->stream->object.id));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_hear_each_other_and_nobody_hears_himself),
		cmocka_unit_test(of_fifty_each_sample_hears_all_who_speak),
		cmocka_unit_test(who_speaks_is_told),
		cmocka_unit_test(whom_nobody_listens_to_does_not_go_on_talking),
		cmocka_unit_test(digits_of_a_room_are_nobody_elses),
		cmocka_unit_test(mute_and_deaf_hold_for_the_whole_room),
		cmocka_unit_test(what_is_said_aside_one_alone_hears),
		cmocka_unit_test(two_with_one_aside),
		cmocka_unit_test(a_chime_is_heard_by_all_over_the_voices),
		cmocka_unit_test(the_watchdog_of_a_member_is_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
