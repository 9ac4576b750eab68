/* Digits as they go out and come in, by every way there is. */
#include "leg.h"
#include "unit.h"

#include <math.h>

#define EVENT_PT 101

static const char keys[] = "0123456789*#ABCD";

static void send_digit(struct world *world, struct leg *leg, char digit, bool inband,
		       uint16_t duration_ms, uint16_t gap_ms)
{
	mloop_command(world->loop,
		      &(struct command){ .kind = CMD_DIGIT,
					 .id = leg->stream->object.id,
					 .digit = { digit, inband, duration_ms, gap_ms } });
}

static void listen_at(struct world *world, struct leg *leg)
{
	mloop_command(world->loop, &(struct command){ .kind = CMD_LISTEN,
						      .id = leg->stream->object.id,
						      .on = true });
}

/* One telephone-event as RFC 4733 has it, judged packet by packet. Return: how many packets. */
static unsigned check_event(const struct heard_packet *packets, size_t count, char digit,
			    unsigned units, unsigned step)
{
	unsigned said = 0, ends = 0, last = 0;

	for (size_t i = 0; i < count; i++) {
		const struct heard_packet *packet = &packets[i];
		unsigned duration;

		if (packet->header.pt != EVENT_PT)
			continue;
		duration = read_u16(packet->payload + 2);
		assert_int_equal(packet->len, 4);
		assert_int_equal(keys[packet->payload[0]], digit);
		assert_int_equal(packet->payload[1] & 0x7f, 10);
		assert_int_equal(packet->header.marker, said == 0);
		assert_int_equal(packet->header.timestamp, packets[i - said].header.timestamp);
		assert_int_equal(duration, ends ? units : last + step);
		last = duration;
		ends += packet->payload[1] >> 7;
		assert_true(!!(packet->payload[1] & 0x80) == (duration == units));
		said++;
	}
	assert_int_equal(last, units);
	assert_int_equal(ends, 3);
	return said;
}

struct way {
	enum media_codec mine, theirs;
	enum source source;
};

static void a_digit_is_one_event_whatever_feeds_the_leg(void **state)
{
	static const struct way ways[] = {
		{ MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMU, SOURCE_RELAY },
		{ MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMA, SOURCE_MIX },
		{ MEDIA_CODEC_G722, MEDIA_CODEC_PCMA, SOURCE_MIX },
		{ MEDIA_CODEC_OPUS, MEDIA_CODEC_OPUS, SOURCE_RELAY },
		{ MEDIA_CODEC_OPUS, MEDIA_CODEC_PCMU, SOURCE_MIX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct world *world = world_new();
		struct leg *a = leg_new(world, ways[i].mine, 440),
			   *b = leg_new(world, ways[i].theirs, 1000);
		unsigned khz = codec_get(ways[i].mine)->info.clock_rate / 1000;

		leg_join(world, a);
		leg_join(world, b);
		world_run(world, 1000);
		assert_int_equal(a->stream->source, ways[i].source);
		leg_forget(b);
		a->packet_count = 0;
		send_digit(world, a, '#', false, 160, 80);
		world_run(world, 500);
		assert_int_equal(check_event(a->packets, a->packet_count, '#', 160 * khz, 20 * khz),
				 10);
		assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_SENT), 1);
		assert_continuous(a);
		/* No audio among it, and the timeline goes on behind it as if there had been. */
		for (size_t p = 1, in = 0, out = 0; p < a->packet_count; p++) {
			bool event = a->packets[p].header.pt == EVENT_PT;
			bool was = a->packets[p - 1].header.pt == EVENT_PT;

			in += event && !was;
			out += !event && was;
			assert_true(in <= 1 && out <= 1);
			if (!event && was)
				assert_in_range(a->packets[p].header.timestamp -
							a->packets[p - 1].header.timestamp,
						180 * khz, 260 * khz);
		}
		assert_int_equal(a->stream->source, ways[i].source);
		world_run(world, 1000);
		assert_true(leg_hears(a, 1000) > 0.85);
		assert_true(leg_hears(b, 440) > 0.85);
		assert_int_equal(world_count(world, MEDIA_EVENT_DTMF), 0);
		world_free(world);
	}
}

static void a_leg_that_is_fed_by_nobody_sends_digits(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMA, 440);

	(void)state;
	for (const char *key = keys; *key; key++) {
		a->packet_count = 0;
		send_digit(world, a, *key, false, 50, 0);
		world_run(world, 200);
		assert_int_equal(check_event(a->packets, a->packet_count, *key, 480, 160), 5);
	}
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_SENT), 16);
	assert_false(a->stream->ticked);
	world_free(world);
}

/* RFC 4733 2.5.1.3: six seconds at 48 kHz do not fit into one segment; a receiver sees one digit. */
static void a_long_digit_goes_out_in_segments_and_is_one_digit(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_OPUS, 440),
		   *b = leg_new(world, MEDIA_CODEC_OPUS, 1000);
	unsigned segments = 0, markers = 0;

	(void)state;
	b->params.rx[1].clock_rate = 48000;
	leg_update(world, b);
	a->quiet = b->quiet = true;
	send_digit(world, a, '5', false, 6000, 80);
	world_run(world, 6300);
	for (size_t i = 0; i < a->packet_count; i++) {
		const struct packet *header = &a->packets[i].header;

		segments += !i || header->timestamp != a->packets[i - 1].header.timestamp;
		markers += header->marker;
		leg_packet(b, &b->addr, EVENT_PT, header->seq, header->timestamp, header->ssrc,
			   a->packets[i].payload, a->packets[i].len);
	}
	world_run(world, 500);
	assert_int_equal(segments, 5);
	assert_int_equal(markers, 1);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF), 1);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
	assert_in_range(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.duration_ms, 5990, 6000);
	world_free(world);
}

static void without_telephone_event_nothing_is_sent_and_audio_goes_on(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	a->params.tx_event_pt = MEDIA_PT_NONE;
	leg_update(world, a);
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	a->packet_count = 0;
	send_digit(world, a, '1', false, 160, 80);
	world_run(world, 400);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_SENT), 1);
	assert_int_equal(a->packet_count, 20);
	world_free(world);
}

/* On hold when it was dialled: what comes out of it later is a digit with a beginning and a time. */
static void a_digit_begins_with_its_first_packet(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	struct command direction = { .kind = CMD_STREAM_DIRECTION,
				     .id = a->stream->object.id,
				     .on2 = true };
	size_t events = 0;

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	mloop_command(world->loop, &direction);
	send_digit(world, a, '7', false, 160, 80);
	world_run(world, 60);
	direction.on = true;
	mloop_command(world->loop, &direction);
	a->packet_count = 0;
	world_run(world, 400);
	for (size_t i = 0; i < a->packet_count; i++) {
		if (a->packets[i].header.pt != EVENT_PT)
			continue;
		assert_int_equal(a->packets[i].header.marker, !events);
		events++;
	}
	assert_true(events > 3);
	assert_continuous(a);
	world_free(world);
}

/* The same source: stragglers of the last event are not events, but a clock that was set back does not deafen us. */
static void a_source_may_set_its_clock_back(void **state)
{
	static const uint8_t one[] = { 1, 0x80 | 10, 3, 32 }, two[] = { 2, 0x80 | 10, 3, 32 };
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440);

	(void)state;
	a->quiet = true;
	leg_packet(a, &a->addr, EVENT_PT, 10, 800000, 7, one, 4);
	leg_packet(a, &a->addr, EVENT_PT, 11, 801600, 7, two, 4);
	leg_packet(a, &a->addr, EVENT_PT, 9, 800000, 7, one, 4);
	world_run(world, 300);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 2);
	world_run(world, 2000);
	leg_packet(a, &a->addr, EVENT_PT, 12, 160, 7, one, 4);
	leg_packet(a, &a->addr, EVENT_PT, 13, 160, 7, one, 4);
	world_run(world, 300);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 3);
	assert_int_equal(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.digit, '1');
	world_free(world);
}

/* ---- tones ---- */

/* Sends every digit as tones from one leg and listens for them on another. */
static void tones_arrive(enum media_codec codec, unsigned lose_every)
{
	static const char wanted[] = "0123456789*#ABCD00112233";
	struct world *world = world_new();
	struct leg *a = leg_new(world, codec, 440), *b = leg_new(world, codec, 1000);
	unsigned got = 0;

	a->quiet = b->quiet = true;
	listen_at(world, b);
	mloop_command(world->loop, &(struct command){ .kind = CMD_STREAM_IDLE,
						      .id = a->stream->object.id,
						      .on = true });
	for (const char *key = wanted; *key; key++) {
		a->packet_count = 0;
		send_digit(world, a, *key, true, 100, 80);
		world_run(world, 240);
		for (size_t i = 0; i < a->packet_count; i++) {
			struct heard_packet *packet = &a->packets[i];

			assert_true(packet->header.pt != EVENT_PT);
			if (lose_every && packet->header.seq % lose_every == 0)
				continue;
			leg_packet(b, &b->addr, packet->header.pt, packet->header.seq,
				   packet->header.timestamp, packet->header.ssrc, packet->payload,
				   packet->len);
		}
	}
	world_run(world, 500);
	for (unsigned i = 0; i < world->log_count; i++) {
		if (world->log[i].type != MEDIA_EVENT_DTMF_END)
			continue;
		assert_true(world->log[i].dtmf.inband);
		assert_int_equal(world->log[i].dtmf.digit, wanted[got]);
		if (!lose_every)
			assert_in_range(world->log[i].dtmf.duration_ms, 60, 140);
		got++;
	}
	assert_int_equal(got, strlen(wanted));
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_SENT), strlen(wanted));
	assert_continuous(a);
	world_free(world);
}

static void tones_are_sent_and_heard(void **state)
{
	(void)state;
	tones_arrive(MEDIA_CODEC_PCMU, 0);
	tones_arrive(MEDIA_CODEC_PCMA, 0);
	tones_arrive(MEDIA_CODEC_G722, 0);
}

static void a_lost_packet_does_not_split_a_tone(void **state)
{
	(void)state;
	tones_arrive(MEDIA_CODEC_PCMU, 13);
}

static void tones_stand_in_place_of_speech(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	send_digit(world, a, '1', true, 1000, 80);
	world_run(world, 900);
	assert_true(leg_hears(a, 697) > 0.4 && leg_hears(a, 1209) > 0.4);
	assert_true(leg_hears(a, 1000) < 0.02);
	world_run(world, 1500);
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_true(leg_hears(a, 1000) > 0.85);
	assert_true(leg_hears(b, 440) > 0.85);
	assert_continuous(a);
	world_free(world);
}

static void speech_is_no_digit(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 697),
		   *b = leg_new(world, MEDIA_CODEC_PCMA, 1000);

	(void)state;
	listen_at(world, a);
	listen_at(world, b);
	world_run(world, 5000);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF), 0);
	world_free(world);
}

/* 20 ms of a key's tones from sample `at` on, in PCMU; silence where on is false. */
static void tones_20ms(uint8_t *payload, double low, double high, size_t at, size_t from, size_t to)
{
	const struct codec *codec = codec_get(MEDIA_CODEC_PCMU);
	void *coder = codec->coder_new(&(struct coder_setup){ .rate = 8000 });
	int16_t pcm[160];

	for (size_t i = 0; i < 160; i++) {
		double t = (double)(at + i) / 8000;

		pcm[i] = at + i < from || at + i >= to
				 ? 0
				 : (int16_t)(6000 *
					     (sin(2 * M_PI * low * t) + sin(2 * M_PI * high * t)));
	}
	assert_int_equal(codec->encode(coder, pcm, 160, payload, 160), 160);
	codec->coder_free(coder);
}

/* Whatever the phase between the digit, the packets, the ticks and the detector's blocks. */
static void a_digit_that_is_taken_out_is_not_heard_at_all(void **state)
{
	(void)state;
	for (unsigned phase = 0; phase < 40; phase++) {
		struct world *world = world_new();
		struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
			   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
		size_t from = 8000 + phase * 17, to = from + 800;
		uint8_t payload[160];
		double loudest = 0;

		leg_join(world, a);
		leg_join(world, b);
		listen_at(world, a);
		mloop_command(world->loop, &(struct command){ .kind = CMD_TAKE_OUT,
							      .id = a->stream->object.id,
							      .on = true });
		a->quiet = true;
		for (unsigned n = 0; n < 150; n++) {
			world_run(world, phase % 20);
			tones_20ms(payload, 770, 1336, (size_t)n * 160, from, to);
			leg_packet(a, &a->addr, 0, (uint16_t)n, n * 160, 77, payload, 160);
			world_run(world, 20 - phase % 20);
		}
		assert_int_equal(b->stream->source, SOURCE_MIX);
		assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
		for (size_t i = 0; i < b->heard_count; i++)
			if (abs(b->heard[i]) > loudest)
				loudest = abs(b->heard[i]);
		assert_true(loudest <= 60);
		world_free(world);
	}
}

static void an_event_ends_the_listening(void **state)
{
	static const uint8_t event[4] = { 7, 0x8a, 0x05, 0x00 };
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440);

	(void)state;
	listen_at(world, a);
	world_run(world, 100);
	assert_non_null(a->stream->ear);
	leg_packet(a, &a->addr, EVENT_PT, a->seq++, a->timestamp, a->ssrc, event, 4);
	assert_null(a->stream->ear);
	world_run(world, 100);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
	assert_false(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.inband);
	world_free(world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_digit_is_one_event_whatever_feeds_the_leg),
		cmocka_unit_test(a_leg_that_is_fed_by_nobody_sends_digits),
		cmocka_unit_test(a_long_digit_goes_out_in_segments_and_is_one_digit),
		cmocka_unit_test(without_telephone_event_nothing_is_sent_and_audio_goes_on),
		cmocka_unit_test(a_digit_begins_with_its_first_packet),
		cmocka_unit_test(a_source_may_set_its_clock_back),
		cmocka_unit_test(tones_are_sent_and_heard),
		cmocka_unit_test(a_lost_packet_does_not_split_a_tone),
		cmocka_unit_test(tones_stand_in_place_of_speech),
		cmocka_unit_test(speech_is_no_digit),
		cmocka_unit_test(an_event_ends_the_listening),
		cmocka_unit_test(a_digit_that_is_taken_out_is_not_heard_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
