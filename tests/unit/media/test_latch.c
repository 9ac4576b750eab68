/* From whom a stream takes packets, and where it sends. */
#include "leg.h"
#include "unit.h"

static uint8_t sound[160];

struct scene {
	struct world *world;
	struct leg *leg;
	union media_addr signalled, nat, other, attacker;
};

static struct scene scene_new(enum media_latch mode)
{
	struct scene scene = { .world = world_new() };

	scene.signalled = test_addr("192.0.2.1", 4000);
	scene.nat = test_addr("198.51.100.7", 31234);
	scene.other = test_addr("192.0.2.1", 4444);
	scene.attacker = test_addr("203.0.113.66", 6666);
	scene.leg = leg_new(scene.world, MEDIA_CODEC_PCMU, 440);
	scene.leg->quiet = true;
	scene.leg->params.latch = mode;
	scene.leg->params.remote = scene.signalled;
	stream_update(scene.leg->stream, &scene.leg->params);
	return scene;
}

static void say_pt(struct scene *scene, const union media_addr *from, uint8_t pt, uint16_t seq,
		   uint32_t ssrc)
{
	leg_packet(scene->leg, from, pt, seq, seq * 160u, ssrc, sound, sizeof(sound));
}

static void say(struct scene *scene, const union media_addr *from, uint16_t seq, uint32_t ssrc)
{
	say_pt(scene, from, 0, seq, ssrc);
}

static uint64_t taken(struct scene *scene)
{
	return receiver_received(&scene->leg->stream->receiver);
}

static void expect_remote(struct scene *scene, const union media_addr *addr, unsigned reports)
{
	assert_true(media_addr_eq(&scene->leg->stream->remote, addr));
	world_collect(scene->world);
	assert_int_equal(world_count(scene->world, MEDIA_EVENT_REMOTE), reports);
	if (reports)
		assert_true(
			media_addr_eq(&world_last(scene->world, MEDIA_EVENT_REMOTE)->remote, addr));
}

static void the_signalled_address_is_taken_at_once(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	world_run(scene.world, 60000); /* however late */
	say(&scene, &scene.signalled, 1, 7);
	assert_int_equal(taken(&scene), 1);
	expect_remote(&scene, &scene.signalled, 0);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_STARTED), 1);
	world_free(scene.world);
}

static void another_port_of_the_signalled_ip_is_taken_at_once(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	say(&scene, &scene.other, 1, 7);
	assert_int_equal(taken(&scene), 1);
	expect_remote(&scene, &scene.other, 1);
	world_free(scene.world);
}

static void another_ip_proves_itself_by_two_packets_in_sequence(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	say(&scene, &scene.nat, 10, 7);
	assert_int_equal(taken(&scene), 0);
	say(&scene, &scene.nat, 20, 7); /* not the next */
	say(&scene, &scene.nat, 21, 8); /* not the same */
	assert_int_equal(taken(&scene), 0);
	say(&scene, &scene.nat, 22, 8);
	assert_int_equal(taken(&scene), 1);
	expect_remote(&scene, &scene.nat, 1);
	world_free(scene.world);
}

static void a_payload_type_that_was_not_negotiated_never_latches(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	for (uint16_t i = 0; i < 10; i++)
		say_pt(&scene, &scene.nat, 96, i, 7);
	say_pt(&scene, &scene.signalled, 96, 1, 7);
	assert_int_equal(taken(&scene), 0);
	expect_remote(&scene, &scene.signalled, 0);
	world_free(scene.world);
}

static void after_three_seconds_a_stranger_is_not_believed(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	world_run(scene.world, 3100);
	for (uint16_t i = 0; i < 10; i++)
		say(&scene, &scene.attacker, i, 7);
	assert_int_equal(taken(&scene), 0);
	expect_remote(&scene, &scene.signalled, 0);
	assert_int_equal(scene.leg->stream->dropped, 10);
	world_free(scene.world);
}

static void an_attacker_cannot_take_over_what_is_latched(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	say(&scene, &scene.signalled, 1, 7);
	for (uint16_t i = 0; i < 10; i++)
		say(&scene, &scene.attacker, i, 9);
	for (uint16_t i = 2; i < 12; i++) /* not even with the right numbers */
		say(&scene, &scene.attacker, i, 7);
	assert_int_equal(taken(&scene), 1);
	expect_remote(&scene, &scene.signalled, 0);
	world_free(scene.world);
}

static void the_announced_one_wins_over_a_stranger_that_came_first(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	say(&scene, &scene.attacker, 1, 9);
	say(&scene, &scene.attacker, 2, 9);
	expect_remote(&scene, &scene.attacker, 1);
	say(&scene, &scene.signalled, 100, 7);
	say(&scene, &scene.signalled, 101, 7);
	expect_remote(&scene, &scene.signalled, 2);
	say(&scene, &scene.attacker, 3, 9);
	say(&scene, &scene.attacker, 4, 9);
	expect_remote(&scene, &scene.signalled, 2); /* for good */
	world_free(scene.world);
}

/* What was on its way from the old port when the far end was moved to another one of the same host. */
static void a_port_that_was_left_does_not_keep_the_new_one_out(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	union media_addr left = scene.signalled, moved = test_addr("192.0.2.1", 5002);

	(void)state;
	say(&scene, &left, 1, 7);
	world_run(scene.world, 10000);
	scene.leg->params.remote = moved;
	stream_update(scene.leg->stream, &scene.leg->params);
	say(&scene, &left, 2, 7);
	say(&scene, &moved, 700, 8);
	expect_remote(&scene, &moved, 2);
	say(&scene, &left, 3, 7);
	say(&scene, &moved, 701, 8);
	say(&scene, &left, 4, 7);
	say(&scene, &left, 5, 7);
	expect_remote(&scene, &moved, 2);
	assert_int_equal(taken(&scene), 4);
	world_free(scene.world);
}

/* The same behind a NAT that gives each port of theirs another one than it signals. */
static void another_port_follows_one_that_has_fallen_silent(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	union media_addr next = test_addr("192.0.2.1", 4446);

	(void)state;
	say(&scene, &scene.other, 1, 7);
	say(&scene, &next, 50, 8); /* while the other speaks it is somebody else's */
	say(&scene, &next, 51, 8);
	expect_remote(&scene, &scene.other, 1);
	world_run(scene.world, 200);
	say(&scene, &next, 60, 8);
	expect_remote(&scene, &scene.other, 1);
	say(&scene, &next, 61, 8);
	expect_remote(&scene, &next, 2);
	assert_int_equal(taken(&scene), 2);
	world_run(scene.world, 3000);
	say(&scene, &scene.other, 80, 9);
	say(&scene, &scene.other, 81, 9);
	expect_remote(&scene, &next, 2);
	world_free(scene.world);
}

static void a_nat_that_binds_anew_is_followed(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	union media_addr rebound = scene.nat;

	(void)state;
	say(&scene, &scene.nat, 1, 7);
	say(&scene, &scene.nat, 2, 7);
	world_run(scene.world, 10000);
	media_addr_set_port(&rebound, 40000);
	say(&scene, &rebound, 3, 1234); /* another SSRC: somebody else behind that NAT */
	expect_remote(&scene, &scene.nat, 1);
	say(&scene, &rebound, 3, 7);
	expect_remote(&scene, &rebound, 2);
	assert_int_equal(taken(&scene), 2);
	world_free(scene.world);
}

static void a_rebinding_is_not_believed_while_the_source_still_sends(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	union media_addr rebound = scene.signalled;

	(void)state;
	say(&scene, &scene.signalled, 1, 7);
	world_run(scene.world, 20);
	media_addr_set_port(&rebound, 40000);
	say(&scene, &rebound, 2, 7);
	expect_remote(&scene, &scene.signalled, 0);
	world_free(scene.world);
}

static void a_new_offer_answer_opens_the_window_again(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	union media_addr moved = test_addr("192.0.2.99", 5000);
	uint32_t ssrc = scene.leg->stream->sender.ssrc;

	(void)state;
	say(&scene, &scene.signalled, 1, 7);
	world_run(scene.world, 10000);
	scene.leg->params.remote = moved;
	stream_update(scene.leg->stream, &scene.leg->params);
	assert_true(media_addr_eq(&scene.leg->stream->remote, &moved));
	say(&scene, &scene.nat, 50, 8);
	say(&scene, &scene.nat, 51, 8);
	expect_remote(&scene, &scene.nat, 1);
	assert_int_equal(scene.leg->stream->sender.ssrc, ssrc);
	world_free(scene.world);
}

static void a_refresh_with_the_same_address_costs_no_audio(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	say(&scene, &scene.nat, 1, 7);
	say(&scene, &scene.nat, 2, 7);
	world_run(scene.world, 10000);
	stream_update(scene.leg->stream, &scene.leg->params);
	expect_remote(&scene, &scene.nat, 1);
	say(&scene, &scene.nat, 3, 7);
	assert_int_equal(taken(&scene), 2);
	world_run(scene.world, 10000);
	stream_update(scene.leg->stream, &scene.leg->params);
	say(&scene, &scene.attacker, 30,
	    9); /* the window is open for others as well, if they prove themselves */
	say(&scene, &scene.nat, 4, 7);
	say(&scene, &scene.attacker, 31, 9);
	expect_remote(&scene, &scene.nat, 1);
	world_free(scene.world);
}

static void strict_takes_the_signalled_address_and_port_only(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_STRICT);

	(void)state;
	say(&scene, &scene.other, 1, 7);
	say(&scene, &scene.nat, 2, 7);
	say(&scene, &scene.nat, 3, 7);
	assert_int_equal(taken(&scene), 0);
	say(&scene, &scene.signalled, 4, 7);
	assert_int_equal(taken(&scene), 1);
	say(&scene, &scene.other, 5, 7);
	assert_int_equal(taken(&scene), 1);
	say(&scene, &scene.signalled, 6, 7);
	assert_int_equal(taken(&scene), 2);
	expect_remote(&scene, &scene.signalled, 0);
	world_free(scene.world);
}

static void open_waits_for_the_first_source_however_long(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_OPEN);

	(void)state;
	world_run(scene.world, 60000);
	say(&scene, &scene.nat, 1, 7);
	say(&scene, &scene.nat, 2, 7);
	expect_remote(&scene, &scene.nat, 1);
	say(&scene, &scene.attacker, 3, 9);
	say(&scene, &scene.attacker, 4, 9);
	expect_remote(&scene, &scene.nat, 1);
	world_free(scene.world);
}

static void nothing_is_sent_to_an_address_not_known(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	scene.leg->params.remote = test_addr("0.0.0.0", 4000);
	stream_update(scene.leg->stream, &scene.leg->params);
	assert_int_equal(scene.leg->stream->remote_len, 0);
	scene.leg->params.remote = test_addr("192.0.2.1", 0);
	stream_update(scene.leg->stream, &scene.leg->params);
	assert_int_equal(scene.leg->stream->remote_len, 0);
	world_free(scene.world);
}

static void silence_is_reported_once_and_its_end_too(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);

	(void)state;
	scene.leg->params.watchdog_ms = 5000;
	stream_update(scene.leg->stream, &scene.leg->params);
	say(&scene, &scene.signalled, 1, 7);
	world_run(scene.world, 4000);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 0);
	world_run(scene.world, 10000);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 1);
	say(&scene, &scene.signalled, 2, 7);
	world_collect(scene.world);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_BACK), 1);
	world_free(scene.world);
}

static void hold_suspends_the_watchdog(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	struct command hold = { .kind = CMD_STREAM_DIRECTION,
				.id = scene.leg->stream->object.id,
				.on = true };

	(void)state;
	scene.leg->params.watchdog_ms = 5000;
	stream_update(scene.leg->stream, &scene.leg->params);
	mloop_command(scene.world->loop, &hold);
	world_run(scene.world, 60000);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 0);
	hold.on2 = true;
	mloop_command(scene.world->loop, &hold);
	world_run(scene.world, 4000); /* it counts from here */
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 0);
	world_run(scene.world, 3000);
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 1);
	world_free(scene.world);
}

static void rtcp_counts_as_life(void **state)
{
	struct scene scene = scene_new(MEDIA_LATCH_WINDOW);
	uint8_t report[8] = { 0x80, 201, 0, 1, 0, 0, 0, 7 };

	(void)state;
	scene.leg->params.watchdog_ms = 5000;
	stream_update(scene.leg->stream, &scene.leg->params);
	for (int i = 0; i < 10; i++) {
		stream_take_rtcp(scene.leg->stream, report, sizeof(report), &scene.other);
		world_run(scene.world, 3000);
	}
	assert_int_equal(world_count(scene.world, MEDIA_EVENT_SILENT), 0);
	world_free(scene.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_signalled_address_is_taken_at_once),
		cmocka_unit_test(another_port_of_the_signalled_ip_is_taken_at_once),
		cmocka_unit_test(another_ip_proves_itself_by_two_packets_in_sequence),
		cmocka_unit_test(a_payload_type_that_was_not_negotiated_never_latches),
		cmocka_unit_test(after_three_seconds_a_stranger_is_not_believed),
		cmocka_unit_test(an_attacker_cannot_take_over_what_is_latched),
		cmocka_unit_test(the_announced_one_wins_over_a_stranger_that_came_first),
		cmocka_unit_test(a_port_that_was_left_does_not_keep_the_new_one_out),
		cmocka_unit_test(another_port_follows_one_that_has_fallen_silent),
		cmocka_unit_test(a_nat_that_binds_anew_is_followed),
		cmocka_unit_test(a_rebinding_is_not_believed_while_the_source_still_sends),
		cmocka_unit_test(a_new_offer_answer_opens_the_window_again),
		cmocka_unit_test(a_refresh_with_the_same_address_costs_no_audio),
		cmocka_unit_test(strict_takes_the_signalled_address_and_port_only),
		cmocka_unit_test(open_waits_for_the_first_source_however_long),
		cmocka_unit_test(nothing_is_sent_to_an_address_not_known),
		cmocka_unit_test(silence_is_reported_once_and_its_end_too),
		cmocka_unit_test(hold_suspends_the_watchdog),
		cmocka_unit_test(rtcp_counts_as_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
