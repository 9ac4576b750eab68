/* Properties of the jitter buffer under networks of many kinds, and of what is counted about them.
 */
#include "leg.h"
#include "media/jitter.h"
#include "unit.h"

#include <math.h>

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(seed >> 8) * below >> 24);
}

struct network {
	unsigned packets, frame_ms;
	unsigned loss_pct, dup_pct;
	unsigned delay_ms, jitter_ms; /* uniform: reorders when beyond a frame */
	double drift;		      /* the source's clock against ours */
	uint16_t first_seq;
	uint32_t first_timestamp;
};

struct flight {
	uint64_t at_us;
	unsigned n;
};

struct outcome {
	unsigned sent, played, lost, starved, waits;
	unsigned twice, backwards, wrong;
	uint64_t wait_max_us; /* of a packet in the buffer */
	unsigned depth_max;
};

static int by_time(const void *a, const void *b)
{
	const struct flight *x = a, *y = b;

	return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

static unsigned fly(const struct network *net, struct flight *flights)
{
	unsigned count = 0;

	for (unsigned n = 0; n < net->packets; n++) {
		uint64_t at_us = 1000000 + (uint64_t)(n * net->frame_ms * 1000 * (1 - net->drift)) +
				 net->delay_ms * 1000 +
				 (net->jitter_ms ? rnd(net->jitter_ms * 1000) : 0);

		if (rnd(100) < net->loss_pct)
			continue;
		flights[count++] = (struct flight){ at_us, n };
		if (rnd(100) < net->dup_pct)
			flights[count++] = (struct flight){ at_us + rnd(40000), n };
	}
	qsort(flights, count, sizeof(*flights), by_time);
	return count;
}

static void put(struct jitter *jitter, const struct network *net, const struct flight *flight)
{
	uint8_t payload[4];
	struct packet packet = { .payload = payload, .payload_len = 4, .ssrc = 1 };

	write_u32(payload, flight->n);
	packet.seq = (uint16_t)(net->first_seq + flight->n);
	packet.timestamp = net->first_timestamp + flight->n * net->frame_ms * 8;
	jitter_put(jitter, &packet, flight->at_us);
}

static void take_one(struct jitter *jitter, const struct network *net, uint64_t now_us,
		     uint8_t *seen, int64_t *last, struct outcome *out)
{
	struct jitter_slot *slot;
	unsigned n;

	switch (jitter_take(jitter, now_us, &slot)) {
	case JITTER_PACKET:
		n = read_u32(slot->data + PACKET_HEADER);
		out->played++;
		out->twice += seen[n];
		seen[n] = 1;
		out->backwards += n <= *last;
		out->wrong += slot->seq != (uint16_t)(net->first_seq + n);
		*last = n;
		if (now_us - slot->arrived_us > out->wait_max_us)
			out->wait_max_us = now_us - slot->arrived_us;
		break;
	case JITTER_LOST:
		out->lost++;
		break;
	case JITTER_STARVED:
		out->starved++;
		break;
	case JITTER_WAIT:
		out->waits++;
		break;
	}
}

static struct outcome run(const struct network *net, struct jitter *jitter)
{
	struct flight *flights = xzalloc_array(net->packets * 2, sizeof(*flights));
	uint8_t *seen = xzalloc(net->packets);
	struct outcome out = { 0 };
	unsigned count = fly(net, flights), at = 0;
	uint64_t now_us = 1000000, end_us = flights[count - 1].at_us + 400000;
	int64_t last = -1;

	out.sent = count;
	jitter_init(jitter, 8000);
	for (; now_us < end_us; now_us += net->frame_ms * 1000) {
		for (; at < count && flights[at].at_us <= now_us; at++)
			put(jitter, net, &flights[at]);
		take_one(jitter, net, now_us, seen, &last, &out);
		if (jitter->count > out.depth_max)
			out.depth_max = jitter->count;
	}
	free(flights);
	free(seen);
	return out;
}

static void assert_sane(const struct outcome *out)
{
	assert_int_equal(out->twice, 0);
	assert_int_equal(out->backwards, 0);
	assert_int_equal(out->wrong, 0);
	assert_true(out->depth_max <= JITTER_SLOTS);
}

static void whatever_the_network_does_packets_come_once_and_in_order(void **state)
{
	struct jitter jitter;

	(void)state;
	for (seed = 1; seed < 400;) {
		uint32_t round = seed;
		struct network net = {
			.packets = 400,
			.frame_ms = (unsigned[]){ 10, 20, 30, 60 }[rnd(4)],
			.loss_pct = rnd(40),
			.dup_pct = rnd(30),
			.delay_ms = rnd(300),
			.jitter_ms = rnd(400),
			.drift = (rnd(2000) - 1000.0) / 100000,
			.first_seq = (uint16_t)(65400 + rnd(300)),
			.first_timestamp = 0xffffff00u - rnd(5000),
		};
		struct outcome out = run(&net, &jitter);

		assert_sane(&out);
		seed = round + 1;
	}
}

static void a_perfect_network_loses_nothing_and_waits_little(void **state)
{
	struct network net = { .packets = 2000,
			       .frame_ms = 20,
			       .delay_ms = 5,
			       .first_seq = 65000,
			       .first_timestamp = 0xfffff000u };
	struct jitter jitter;
	struct outcome out = run(&net, &jitter);

	(void)state;
	assert_sane(&out);
	assert_int_equal(out.played, 2000);
	assert_int_equal(out.lost, 0);
	assert_true(out.wait_max_us <= 40000);
	assert_true(jitter_delay_us(&jitter) <= 2 * JITTER_MIN_US);
}

static void jitter_and_reordering_within_its_reach_cost_few_packets(void **state)
{
	struct network net = {
		.packets = 5000, .frame_ms = 20, .jitter_ms = 80, .first_seq = 60000
	};
	struct jitter jitter;
	struct outcome out;

	(void)state;
	seed = 7;
	out = run(&net, &jitter);
	assert_sane(&out);
	assert_true(out.played >= 4950); /* it learns at the beginning */
	assert_true(out.wait_max_us <= 250000);
	assert_in_range(jitter_delay_us(&jitter), 60000, 120000);
}

static void losses_are_counted_as_such(void **state)
{
	struct network net = { .packets = 5000, .frame_ms = 20, .loss_pct = 10, .first_seq = 1 };
	struct jitter jitter;
	struct outcome out;

	(void)state;
	seed = 9;
	out = run(&net, &jitter);
	assert_sane(&out);
	assert_int_equal(out.played, out.sent);
	assert_in_range(out.lost + out.starved, 400, 700);
}

static void the_delay_rises_at_once_and_falls_slowly(void **state)
{
	struct network rough = { .packets = 500, .frame_ms = 20, .jitter_ms = 150 };
	struct jitter jitter;
	struct packet packet = { .payload = (uint8_t[4]){ 0 }, .payload_len = 4, .ssrc = 1 };
	uint32_t high;

	(void)state;
	seed = 3;
	run(&rough, &jitter);
	high = jitter_delay_us(&jitter);
	assert_in_range(high, 100000, JITTER_MAX_US);
	for (unsigned n = 500; n < 2500; n++) { /* 40 s of calm */
		struct jitter_slot *slot;

		packet.seq = (uint16_t)n;
		packet.timestamp = n * 160;
		jitter_put(&jitter, &packet, 1000000 + n * 20000);
		(void)jitter_take(&jitter, 1000000 + n * 20000, &slot);
		if (n == 520)
			assert_true(jitter_delay_us(&jitter) > high * 3 / 4);
	}
	assert_true(jitter_delay_us(&jitter) < 30000);
}

static void a_source_that_starts_over_is_played(void **state)
{
	struct jitter jitter;
	struct packet packet = { .payload = (uint8_t[4]){ 0 }, .payload_len = 4, .ssrc = 1 };
	unsigned played = 0;

	(void)state;
	jitter_init(&jitter, 8000);
	for (unsigned n = 0; n < 300; n++) {
		struct jitter_slot *slot;
		unsigned run_at = n / 100; /* another SSRC, then another sequence */

		packet.ssrc = run_at ? 2 : 1;
		packet.seq = (uint16_t)(n + run_at * 20000);
		packet.timestamp = n * 160 + run_at * 0x40000000u;
		jitter_put(&jitter, &packet, 1000000 + n * 20000);
		played += jitter_take(&jitter, 1000000 + n * 20000, &slot) == JITTER_PACKET;
	}
	assert_true(played >= 285);
}

static void a_pause_is_silence_and_not_loss(void **state)
{
	struct jitter jitter;
	struct packet packet = { .payload = (uint8_t[4]){ 0 }, .payload_len = 4, .ssrc = 1 };
	struct jitter_slot *slot;
	uint64_t now_us = 1000000;
	unsigned played = 0;

	(void)state;
	jitter_init(&jitter, 8000);
	for (unsigned n = 0; n < 400; n++, now_us += 20000) {
		bool speaks =
			n % 100 <
			50; /* a second on, a second off; sequence numbers go on without a gap */

		if (speaks) {
			packet.seq = (uint16_t)(n / 100 * 50 + n % 100);
			packet.timestamp = n * 160;
			jitter_put(&jitter, &packet, now_us);
		}
		played += jitter_take(&jitter, now_us, &slot) == JITTER_PACKET;
	}
	assert_int_equal(played, 200);
	assert_int_equal(jitter.lost, 0);
	assert_int_equal(jitter.late, 0);
}

/* A source whose clock is half a percent fast or slow, for ten minutes: neither delay nor gaps pile
 * up.
 */
static void clock_drift_does_not_pile_up(void **state)
{
	(void)state;
	for (int fast = -1; fast <= 1; fast += 2) {
		struct intake *intake = intake_new();
		uint8_t payload[160];
		struct packet packet = {
			.payload = payload, .payload_len = 160, .ssrc = 1, .codec = MEDIA_CODEC_PCMU
		};
		double next_us = 1000000;
		int16_t pcm[160];
		unsigned silent = 0, ticks = 0, left = 0;

		intake_set(intake, MEDIA_CODEC_PCMU, 8000);
		memset(payload, 0x55, sizeof(payload));
		for (uint64_t now_us = 1000000; now_us < 601000000; now_us += 20000, ticks++) {
			while (next_us <= (double)now_us) {
				intake_put(intake, &packet, (uint64_t)next_us);
				packet.seq++;
				packet.timestamp += 160;
				next_us += 20000 * (1 - fast * 0.005);
			}
			silent += !intake_pull(intake, pcm, 160, now_us);
		}
		while (intake_unload(intake, &packet))
			left++;
		assert_true(left <= 10);	  /* 200 ms */
		assert_true(silent < ticks / 50); /* of the slow one half a percent is missing */
		intake_free(intake);
	}
}

/* ---- receiver arithmetic ---- */

static void feed(struct receiver *rx, uint16_t seq, uint64_t now_us)
{
	struct packet packet = { .seq = seq, .timestamp = seq * 160u, .ssrc = 5 };

	(void)receiver_take(rx, &packet, 8000, now_us);
}

static void losses_and_duplicates_are_counted_over_the_wrap(void **state)
{
	struct receiver rx = { 0 };
	struct report_block block;

	(void)state;
	for (unsigned n = 0; n < 200; n++)
		if (n % 10 != 3)
			feed(&rx, (uint16_t)(65436 + n), 1000000 + n * 20000);
	assert_int_equal(receiver_expected(&rx), 200);
	assert_int_equal(receiver_received(&rx), 180);
	assert_int_equal(receiver_lost(&rx), 20);
	receiver_report(&rx, &block);
	assert_int_equal(block.lost, 20);
	assert_int_equal(block.fraction, 256 / 10);
	assert_int_equal(block.max_seq, 0x10000 + 99);
	for (unsigned n = 200; n < 300; n++) { /* all twice */
		feed(&rx, (uint16_t)(65436 + n), 1000000 + n * 20000);
		feed(&rx, (uint16_t)(65436 + n), 1000000 + n * 20000);
	}
	receiver_report(&rx, &block);
	assert_int_equal(block.fraction, 0);
	assert_int_equal(block.lost, -80);
	assert_int_equal(receiver_lost(&rx), 0);
}

static void one_stray_sequence_number_is_dropped_and_two_are_a_restart(void **state)
{
	struct receiver rx = { 0 };
	struct packet packet = { .ssrc = 5, .seq = 100 };

	(void)state;
	assert_true(receiver_take(&rx, &packet, 8000, 1000000));
	packet.seq = 30000;
	assert_false(receiver_take(&rx, &packet, 8000, 1020000));
	packet.seq = 101;
	assert_true(receiver_take(&rx, &packet, 8000, 1040000));
	packet.seq = 40000;
	assert_false(receiver_take(&rx, &packet, 8000, 1060000));
	packet.seq = 40001;
	assert_true(receiver_take(&rx, &packet, 8000, 1080000));
	assert_int_equal(receiver_expected(&rx), 3);
	assert_int_equal(receiver_received(&rx), 3);
}

static void interarrival_jitter_is_that_of_the_rfc(void **state)
{
	struct receiver rx = { 0 };
	double expect = 0;

	(void)state;
	for (unsigned n = 0; n < 500; n++) {
		/* every other packet 8 ms late: D is 8 ms each time */
		feed(&rx, (uint16_t)n, 1000000 + n * 20000 + (n % 2 ? 8000 : 0));
		if (n)
			expect += (64 - expect) / 16;
	}
	assert_true(fabs(receiver_jitter_us(&rx) / 125.0 - expect) < 2);
}

static void mos_falls_with_delay_loss_and_the_codec(void **state)
{
	struct mos_codec g711 = { 0, 25.1 }, g722 = { 13, 14 };

	(void)state;
	assert_in_range(mos_x100(&g711, 20, 0), 435, 442); /* 4.4: the best of narrowband */
	assert_in_range(mos_x100(&g711, 20, 1), 425, 440);
	assert_in_range(mos_x100(&g711, 20, 5), 360, 420);
	assert_in_range(mos_x100(&g711, 400, 0), 300, 390);
	assert_true(mos_x100(&g722, 20, 3) < mos_x100(&g711, 20, 3));
	assert_true(mos_x100(&g711, 2000, 100) == 100);
}

/* ---- RTCP ---- */

static void a_report_about_us_gives_loss_jitter_and_round_trip(void **state)
{
	struct world *world = world_new();
	struct leg *leg = leg_new(world, MEDIA_CODEC_PCMU, 440);
	struct media_quality quality;
	uint64_t now = (uint64_t)clock_wall_us();
	uint32_t middle =
		(uint32_t)(((now / 1000000 + 2208988800u) << 16) + (now % 1000000 << 16) / 1000000);
	uint8_t rr[32] = { 0x81, 201, 0, 7 };

	(void)state;
	leg->quiet = true;
	write_u32(rr + 8, leg->stream->sender.ssrc);
	rr[12] = 64; /* a quarter lost */
	write_u32(rr + 20, 80);
	write_u32(rr + 24, middle - 65536 / 2);
	write_u32(rr + 28, 65536 / 4);
	stream_take_rtcp(leg->stream, rr, sizeof(rr), &leg->addr);
	report_quality(leg->stream, &quality);
	assert_int_equal(quality.far_loss_permille, 250);
	assert_int_equal(quality.far_jitter_us, 10000);
	assert_in_range(quality.rtt_us, 249000, 300000);
	write_u32(rr + 8, leg->stream->sender.ssrc + 1); /* about somebody else */
	rr[12] = 0;
	stream_take_rtcp(leg->stream, rr, sizeof(rr), &leg->addr);
	report_quality(leg->stream, &quality);
	assert_int_equal(quality.far_loss_permille, 250);
	for (size_t cut = 0; cut < sizeof(rr); cut++) { /* never beyond what came */
		uint8_t *copy = (uint8_t *)xmemdup(rr, cut + 1);

		stream_take_rtcp(leg->stream, copy, cut, &leg->addr);
		free(copy);
	}
	world_free(world);
}

static void quality_is_reported_with_each_interval(void **state)
{
	struct world *world = world_new();
	struct leg *leg = leg_new(world, MEDIA_CODEC_PCMU, 440);
	const struct media_quality *quality;

	(void)state;
	world_run(world, 60000);
	/* 60 s over 5 s / 1.21828 on average */
	assert_in_range(world_count(world, MEDIA_EVENT_QUALITY), 9, 25);
	quality = &world_last(world, MEDIA_EVENT_QUALITY)->quality;
	assert_int_equal(quality->rx_lost, 0);
	assert_true(quality->jitter_us < 2000);
	assert_true(quality->mos_x100 > 430);
	leg->seq += 1000;
	world_run(world, 10000);
	quality = &world_last(world, MEDIA_EVENT_QUALITY)->quality;
	assert_int_equal(quality->rx_lost, 1000);
	assert_true(quality->mos_x100 < 300);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_network_does_packets_come_once_and_in_order),
		cmocka_unit_test(a_perfect_network_loses_nothing_and_waits_little),
		cmocka_unit_test(jitter_and_reordering_within_its_reach_cost_few_packets),
		cmocka_unit_test(losses_are_counted_as_such),
		cmocka_unit_test(the_delay_rises_at_once_and_falls_slowly),
		cmocka_unit_test(a_source_that_starts_over_is_played),
		cmocka_unit_test(a_pause_is_silence_and_not_loss),
		cmocka_unit_test(clock_drift_does_not_pile_up),
		cmocka_unit_test(losses_and_duplicates_are_counted_over_the_wrap),
		cmocka_unit_test(one_stray_sequence_number_is_dropped_and_two_are_a_restart),
		cmocka_unit_test(interarrival_jitter_is_that_of_the_rfc),
		cmocka_unit_test(mos_falls_with_delay_loss_and_the_codec),
		cmocka_unit_test(a_report_about_us_gives_loss_jitter_and_round_trip),
		cmocka_unit_test(quality_is_reported_with_each_interval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
