/* Who hears whom, by listening: each member speaks a tone of its own. */
#include "leg.h"
#include "unit.h"

#include <math.h>

#define ALONE 0.85 /* share of the energy when it is the only tone */
#define NOTHING 0.02

static void command(struct world *world, struct command what)
{
	mloop_command(world->loop, &what);
	for (unsigned i = 0; i < world->leg_count; i++)
		world->legs[i].stream->tx = world->legs[0].stream->tx; /* as before: kept */
}

static void hear(struct world *world, struct leg *listener, struct leg *talker, bool hears)
{
	command(world, (struct command){ .kind = CMD_BRIDGE_HEAR,
					 .id = listener->stream->object.id,
					 .other = talker->stream->object.id,
					 .bridge = world->bridge->object.id,
					 .on = hears });
}

/* A guest, heard by all, by `to` alone, or (aside, without one) by nobody. */
static void guest(struct world *world, struct leg *leg, bool aside, struct leg *to)
{
	struct media_id id = leg->stream->object.id;

	command(world, (struct command){ .kind = CMD_BRIDGE_GUEST, .id = id });
	command(world, (struct command){ .kind = CMD_BRIDGE_ASIDE,
					 .id = id,
					 .other = to ? to->stream->object.id : MEDIA_NONE,
					 .on = aside });
}

static void two_with_the_same_codec_are_relayed(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 2000);
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	assert_null(a->stream->intake);
	assert_ptr_equal(a->stream->on_rtp, rx_relay);
	assert_false(world->bridge->mixing);
	assert_true(leg_hears(a, 1000) > ALONE);
	assert_true(leg_hears(b, 440) > ALONE);
	assert_continuous(a);
	assert_continuous(b);
	assert_int_equal(a->packet_count, 100);
	world_free(world);
}

static void codecs_that_differ_are_converted_both_ways(void **state)
{
	static const enum media_codec codecs[] = { MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMA,
						   MEDIA_CODEC_G722, MEDIA_CODEC_OPUS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		for (size_t j = 0; j < ARRAY_LEN(codecs); j++) {
			struct world *world = world_new();
			struct leg *a = leg_new(world, codecs[i], 440),
				   *b = leg_new(world, codecs[j], 1000);

			leg_join(world, a);
			leg_join(world, b);
			world_run(world, 2000);
			assert_int_equal(a->stream->source, i == j ? SOURCE_RELAY : SOURCE_MIX);
			assert_true(leg_hears(a, 1000) > ALONE);
			assert_true(leg_hears(b, 440) > ALONE);
			assert_true(leg_hears(a, 440) < NOTHING);
			assert_continuous(a);
			assert_continuous(b);
			world_free(world);
		}
	}
}

static void opus_runs_narrowband_towards_g711(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_OPUS, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMA, 1000);
	struct leg *c;

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	assert_int_equal(world->bridge->rate, 8000);
	c = leg_new(world, MEDIA_CODEC_G722, 600);
	leg_join(world, c);
	assert_int_equal(world->bridge->rate, 16000);
	leg_join(world, leg_new(world, MEDIA_CODEC_OPUS, 700));
	assert_int_equal(world->bridge->rate, 48000);
	world_run(world, 1500);
	assert_true(leg_hears(b, 440) > 0.2 && leg_hears(b, 600) > 0.2 && leg_hears(b, 700) > 0.2);
	world_free(world);
}

static void in_a_conference_everybody_hears_the_others_and_not_itself(void **state)
{
	static const double tones[] = { 350, 500, 700, 950, 1300 };
	struct world *world = world_new();
	struct leg *legs[5];

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		leg_join(world,
			 legs[i] = leg_new(world, i % 2 ? MEDIA_CODEC_PCMA : MEDIA_CODEC_PCMU,
					   tones[i]));
	world_run(world, 2000);
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned j = 0; j < 5; j++) {
			double share = leg_hears(legs[i], tones[j]);

			assert_true(i == j ? share < NOTHING : share > 0.2 && share < 0.3);
		}
		assert_continuous(legs[i]);
	}
	world_free(world);
}

/* All 64 settings of the cells of three members. */
static void the_matrix_holds_cell_by_cell(void **state)
{
	static const double tones[] = { 400, 800, 1500 };
	struct world *world = world_new();
	struct leg *legs[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		leg_join(world,
			 legs[i] = leg_new(world, i == 2 ? MEDIA_CODEC_PCMA : MEDIA_CODEC_PCMU,
					   tones[i]));
	for (unsigned cells = 0; cells < 64; cells++) {
		unsigned bit = 0;

		for (unsigned i = 0; i < 3; i++)
			for (unsigned j = 0; j < 3; j++)
				if (i != j)
					hear(world, legs[i], legs[j], cells >> bit++ & 1);
		for (unsigned i = 0; i < 3; i++)
			leg_forget(legs[i]);
		world_run(world, 900);
		bit = 0;
		for (unsigned i = 0; i < 3; i++) {
			for (unsigned j = 0; j < 3; j++) {
				double share = leg_hears(legs[i], tones[j]);
				bool on = i != j && cells >> bit++ & 1;

				assert_true(on ? share > 0.4 : share < NOTHING);
			}
		}
	}
	world_free(world);
}

static void a_listener_joins_and_leaves_without_a_gap_for_the_two(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	struct leg *c = leg_new(world, MEDIA_CODEC_PCMU, 2000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	leg_join(world, c); /* barges in: all three are mixed */
	world_run(world, 1000);
	assert_int_equal(a->stream->source, SOURCE_MIX);
	assert_true(leg_hears(a, 1000) > 0.4 && leg_hears(a, 2000) > 0.4);
	command(world, (struct command){
			       .kind = CMD_BRIDGE_MUTE, .id = c->stream->object.id, .on = true });
	assert_int_equal(a->stream->source,
			 SOURCE_RELAY); /* listens only: the two are relayed again */
	assert_int_equal(c->stream->source, SOURCE_MIX);
	world_run(world, 1000);
	assert_true(leg_hears(c, 440) > 0.4 && leg_hears(c, 1000) > 0.4);
	assert_true(leg_hears(a, 1000) > ALONE);
	command(world, (struct command){ .kind = CMD_BRIDGE_REMOVE, .id = c->stream->object.id });
	world_run(world, 1000);
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_null(a->stream->intake);
	assert_continuous(a);
	assert_continuous(b);
	for (size_t i = 1; i < a->packet_count; i++) /* no hole in time either */
		assert_true(a->packets[i].at_us - a->packets[i - 1].at_us <= 41000);
	/* 4 s of packets, and the few that were buffered */
	assert_in_range(a->packet_count, 198, 204);
	world_free(world);
}

/* Each leg hears exactly those whose bits are set in its word, in what came since. */
static void ears(struct world *world, struct leg *const *legs, const double *tones, unsigned count,
		 const unsigned *words)
{
	for (unsigned i = 0; i < count; i++)
		leg_forget(legs[i]);
	world_run(world, 900);
	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++) {
			double share = leg_hears(legs[i], tones[j]);
			bool on = words[i] >> j & 1;

			if (on ? share < 0.2 : share > NOTHING)
				print_message("leg %u, tone %u: %g\n", i, j, share);
			assert_true(on ? share > 0.2 : share < NOTHING);
		}
		assert_continuous(legs[i]);
	}
}

/* a and b talk; c and d are their guests, in every pair of voices that two guests can have. */
static void guests_are_heard_by_whom_they_speak_to(void **state)
{
	static const double tones[] = { 400, 700, 1100, 1700 };
	struct world *world = world_new();
	struct leg *legs[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		legs[i] = leg_new(world, i == 1 ? MEDIA_CODEC_PCMA : MEDIA_CODEC_PCMU, tones[i]);
	leg_join(world, legs[0]);
	leg_join(world, legs[1]);
	leg_join(world, legs[2]);
	leg_join(world, legs[3]);
	/* 0: nobody, 1: a, 2: b, 3: all */
	for (unsigned c = 0; c < 4; c++) {
		for (unsigned d = 0; d < 4; d++) {
			unsigned words[] = { 2, 1, 3, 3 };

			guest(world, legs[2], c != 3, c == 1 ? legs[0] : c == 2 ? legs[1] : NULL);
			guest(world, legs[3], d != 3, d == 1 ? legs[0] : d == 2 ? legs[1] : NULL);
			for (unsigned i = 0; i < 4; i++) {
				words[i] |= i != 2 && (c == 3 || (i < 2 && c == i + 1)) ? 4 : 0;
				words[i] |= i != 3 && (d == 3 || (i < 2 && d == i + 1)) ? 8 : 0;
			}
			ears(world, legs, tones, 4, words);
		}
	}
	world_free(world);
}

static void a_listening_guest_leaves_the_two_relayed(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000),
		   *c = leg_new(world, MEDIA_CODEC_PCMA, 2000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	guest(world, c, true, NULL);
	leg_join(world, c); /* as a guest, nobody hears it: not for one packet */
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	world_run(world, 1000);
	assert_true(leg_hears(c, 440) > 0.4 && leg_hears(c, 1000) > 0.4);
	guest(world, c, true, a); /* whispers: the other direction goes on as it was */
	assert_int_equal(a->stream->source, SOURCE_MIX);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	world_run(world, 1000);
	assert_true(leg_hears(a, 2000) > 0.4 && leg_hears(b, 440) > ALONE);
	command(world, (struct command){ .kind = CMD_BRIDGE_REMOVE, .id = c->stream->object.id });
	assert_int_equal(a->stream->source, SOURCE_RELAY);
	assert_null(a->stream->intake);
	world_run(world, 1000);
	assert_continuous(a);
	assert_continuous(b);
	for (size_t i = 1; i < b->packet_count; i++)
		assert_true(b->packets[i].at_us - b->packets[i - 1].at_us <= 21000);
	world_free(world);
}

static void who_comes_later_does_not_hear_what_is_said_aside(void **state)
{
	static const double tones[] = { 400, 700, 1100, 1700 };
	static const unsigned three[] = { 6, 1, 3 }, four[] = { 14, 9, 11, 3 };
	struct world *world = world_new();
	struct leg *legs[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		legs[i] = leg_new(world, MEDIA_CODEC_PCMU, tones[i]);
	for (unsigned i = 0; i < 3; i++)
		leg_join(world, legs[i]);
	guest(world, legs[2], true, legs[0]);
	ears(world, legs, tones, 3, three);
	leg_join(world, legs[3]);
	ears(world, legs, tones, 4, four);
	/* Whom it spoke to goes and comes again: nobody hears it until it is said anew. */
	command(world,
		(struct command){ .kind = CMD_BRIDGE_REMOVE, .id = legs[0]->stream->object.id });
	leg_join(world, legs[0]);
	ears(world, legs, tones, 4, (unsigned[]){ 10, 9, 11, 3 });
	world_free(world);
}

/* Beside a guest who is heard, the digits of one party still reach the other; those of the guest reach nobody. */
static void digits_pass_beside_a_guest(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000),
		   *c = leg_new(world, MEDIA_CODEC_PCMU, 2000);
	uint8_t event[] = { 5, 10, 0, 160 };
	unsigned events[3] = { 0 };
	struct leg *legs[] = { a, b, c };

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	leg_join(world, c);
	guest(world, c, false, NULL);
	world_run(world, 500);
	assert_int_equal(b->stream->source, SOURCE_MIX);
	a->quiet = c->quiet = true;
	leg_packet(a, &a->addr, 101, a->seq, a->timestamp, a->ssrc, event, sizeof(event));
	event[0] = 7;
	leg_packet(c, &c->addr, 101, c->seq, c->timestamp, c->ssrc, event, sizeof(event));
	world_run(world, 100);
	for (unsigned i = 0; i < 3; i++)
		for (size_t p = 0; p < legs[i]->packet_count; p++)
			if (legs[i]->packets[p].header.pt == 101) {
				assert_int_equal(legs[i]->packets[p].payload[0], 5);
				events[i]++;
			}
	assert_int_equal(events[0], 0);
	assert_int_equal(events[1], 1);
	assert_int_equal(events[2], 0);
	world_free(world);
}

static void turning_to_relaying_loses_no_packet(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	uint8_t mark[160];

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	command(world, (struct command){
			       .kind = CMD_BRIDGE_GAIN, .id = a->stream->object.id, .gain_db = 3 });
	world_run(world, 1000);
	assert_int_equal(b->stream->source, SOURCE_MIX);
	assert_int_equal(a->stream->source, SOURCE_RELAY); /* the other direction is as it was */
	a->quiet = true;
	memset(mark, 0x55, sizeof(mark));
	leg_packet(a, &a->addr, 0, a->seq, a->timestamp, a->ssrc, mark, sizeof(mark));
	command(world, (struct command){
			       .kind = CMD_BRIDGE_GAIN, .id = a->stream->object.id, .gain_db = 0 });
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	assert_memory_equal(b->packets[b->packet_count - 1].payload, mark, 64);
	assert_continuous(b);
	world_free(world);
}

static void packets_of_every_length_are_taken_and_made(void **state)
{
	static const unsigned lengths[] = { 10, 20, 30, 40, 50, 60 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct world *world = world_new();
		struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
			   *b = leg_new(world, MEDIA_CODEC_PCMA, 1000);

		a->ptime_ms = lengths[i];
		b->params.ptime_ms = lengths[ARRAY_LEN(lengths) - 1 - i];
		leg_update(world, b);
		leg_join(world, a);
		leg_join(world, b);
		world_run(world, 2400);
		assert_true(leg_hears(b, 440) > ALONE);
		assert_true(leg_hears(a, 1000) > ALONE);
		assert_int_equal(b->packets[10].len, b->params.ptime_ms * 8);
		assert_continuous(b);
		world_free(world);
	}
}

static void gain_changes_the_level_by_what_it_says(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	double full, half;

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	full = energy_rms(b->heard + b->heard_count - 4000, 4000);
	command(world, (struct command){ .kind = CMD_BRIDGE_GAIN,
					 .id = a->stream->object.id,
					 .gain_db = -6 });
	world_run(world, 1000);
	half = energy_rms(b->heard + b->heard_count - 4000, 4000);
	assert_true(fabs(20 * log10(full / half) - 6) < 0.3);
	world_free(world);
}

static struct mplayer *player_of(struct sound *sound, bool loop)
{
	struct mplayer *player = xzalloc(sizeof(*player));

	player->id = (struct media_id){ 0, 77 };
	player->sound = sound;
	player->loop = loop;
	player->gain = GAIN_UNITY;
	player->note = (struct note){ .kind = NOTE_PLAYED, .object = player };
	return player;
}

static void a_player_is_heard_by_one_while_the_others_go_on(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	struct sound *sound = sound_new_tone(&(struct sound_tone){ { 600, 0 }, { 1000 } });

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	command(world, (struct command){ .kind = CMD_PLAY,
					 .id = a->stream->object.id,
					 .object = player_of(sound, false) });
	world_run(world, 800);
	assert_true(leg_hears(a, 600) > ALONE);
	assert_true(leg_hears(b, 440) > ALONE);
	world_run(world, 1200);
	assert_true(leg_hears(a, 1000) > ALONE); /* it has ended by itself */
	assert_int_equal(world_count(world, MEDIA_EVENT_PLAYED), 1);
	assert_continuous(a);
	assert_continuous(b);
	world_free(world);
}

static void a_player_loops_and_is_stopped(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_OPUS, 440);
	struct sound *sound = sound_new_tone(&(struct sound_tone){ { 600, 0 }, { 100 } });

	(void)state;
	command(world, (struct command){ .kind = CMD_PLAY,
					 .id = a->stream->object.id,
					 .object = player_of(sound, true) });
	world_run(world, 2000);
	assert_true(leg_hears(a, 600) > 0.6);
	assert_int_equal(world_count(world, MEDIA_EVENT_PLAYED), 0);
	command(world, (struct command){
			       .kind = CMD_STOP, .id = a->stream->object.id, .other = { 0, 77 } });
	leg_forget(a);
	world_run(world, 500);
	assert_int_equal(a->packet_count, 0);
	assert_int_equal(world_count(world, MEDIA_EVENT_PLAYED), 1);
	assert_false(world_last(world, MEDIA_EVENT_PLAYED)->played.complete);
	assert_in_range(world_last(world, MEDIA_EVENT_PLAYED)->played.ms, 1960, 2000);
	world_free(world);
}

static void an_echo_returns_its_own_packets_undecoded(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_OPUS, 440);

	(void)state;
	command(world, (struct command){
			       .kind = CMD_STREAM_ECHO, .id = a->stream->object.id, .on = true });
	world_run(world, 1000);
	assert_true(leg_hears(a, 440) > ALONE);
	assert_null(a->stream->intake);
	assert_int_equal(a->packet_count, 51);
	assert_continuous(a);
	world_free(world);
}

static void a_direction_that_is_off_stays_silent(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	command(world, (struct command){ .kind = CMD_STREAM_DIRECTION,
					 .id = a->stream->object.id,
					 .on = true });
	leg_forget(b);
	leg_forget(a);
	world_run(world, 500);
	assert_int_equal(b->packet_count, 0); /* what A says is not taken */
	assert_int_equal(a->packet_count, 25);
	command(world, (struct command){
			       .kind = CMD_STREAM_IDLE, .id = b->stream->object.id, .on = true });
	world_run(world, 1000);
	assert_in_range(b->packet_count, 49, 51); /* silence keeps it alive */
	assert_true(energy_rms(b->heard, b->heard_count) < 10);
	world_free(world);
}

static void digits_pass_a_relay_and_a_conversion(void **state)
{
	(void)state;
	for (int converted = 0; converted < 2; converted++) {
		struct world *world = world_new();
		struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440);
		struct leg *b =
			leg_new(world, converted ? MEDIA_CODEC_OPUS : MEDIA_CODEC_PCMU, 1000);
		unsigned events = 0, ends = 0;
		uint32_t timestamp = 0;

		b->params.tx_event_pt = 97;
		b->params.tx_event_rate = converted ? 48000 : 8000;
		leg_update(world, b);
		leg_join(world, a);
		leg_join(world, b);
		world_run(world, 500);
		leg_forget(b);
		a->quiet = true;
		for (unsigned i = 1; i <= 8; i++) { /* 160 ms of '5', the end three times */
			uint8_t event[4] = { 5, (uint8_t)(i >= 6 ? 0x8a : 0x0a), 0, 0 };

			write_u16(event + 2, (uint16_t)(i < 6 ? i * 160 : 960));
			leg_packet(a, &a->addr, 101, a->seq++, a->timestamp, a->ssrc, event, 4);
			world_run(world, 20);
		}
		for (size_t i = 0; i < b->packet_count; i++) {
			if (b->packets[i].header.pt != 97)
				continue;
			assert_int_equal(b->packets[i].payload[0], 5);
			if (events++)
				assert_int_equal(b->packets[i].header.timestamp, timestamp);
			timestamp = b->packets[i].header.timestamp;
			ends += b->packets[i].payload[1] >> 7;
			if (b->packets[i].payload[1] & 0x80)
				assert_int_equal(read_u16(b->packets[i].payload + 2),
						 converted ? 5760 : 960);
		}
		assert_int_equal(events, 8);
		assert_int_equal(ends, 3);
		assert_int_equal(world_count(world, MEDIA_EVENT_DTMF), 1);
		assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
		assert_int_equal(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.digit, '5');
		assert_int_equal(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.duration_ms, 120);
		assert_continuous(b);
		world_free(world);
	}
}

static void a_digit_whose_end_was_lost_ends_by_silence(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440);
	uint8_t event[4] = { 11, 0x0a, 0, 160 };

	(void)state;
	world_run(world, 100);
	a->quiet = true;
	leg_packet(a, &a->addr, 101, a->seq++, a->timestamp, a->ssrc, event, 4);
	world_run(world, 100);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF), 1);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 0);
	world_run(world, 400);
	assert_int_equal(world_count(world, MEDIA_EVENT_DTMF_END), 1);
	assert_int_equal(world_last(world, MEDIA_EVENT_DTMF_END)->dtmf.digit, '#');
	world_free(world);
}

static void a_far_end_that_changes_codec_is_still_heard(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);

	(void)state;
	a->params.rx[2] = (struct media_format){ MEDIA_CODEC_PCMA, 8, 0 };
	leg_update(world, a);
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 500);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	a->codec = MEDIA_CODEC_PCMA;
	a->pt = 8;
	world_run(world, 1000);
	assert_int_equal(b->stream->source, SOURCE_MIX);
	assert_true(leg_hears(b, 440) > ALONE);
	a->codec = MEDIA_CODEC_PCMU;
	a->pt = 0;
	world_run(world, 1000);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	assert_true(leg_hears(b, 440) > ALONE);
	assert_continuous(b);
	world_free(world);
}

static void losses_stay_visible_through_a_relay(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	uint16_t before;

	(void)state;
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 200);
	before = b->packets[b->packet_count - 1].header.seq;
	a->seq += 3;
	a->timestamp += 480;
	leg_forget(b);
	world_run(world, 20);
	assert_int_equal((uint16_t)(b->packets[0].header.seq - before), 4);
	world_free(world);
}

static void speak(struct leg *leg, enum media_codec codec)
{
	codec_get(leg->codec)->coder_free(leg->coder);
	leg->codec = codec;
	leg->pt = (uint8_t)media_codec_info(codec)->static_pt;
	leg->coder = codec_get(codec)->coder_new(
		&(struct coder_setup){ .rate = leg->rate, .ptime_ms = 20 });
}

/* What waits in the jitter buffer when relaying begins again is in the codec of before. */
static void a_codec_that_changes_and_comes_back_makes_no_noise(void **state)
{
	struct world *world = world_new();
	struct leg *a = leg_new(world, MEDIA_CODEC_PCMU, 440),
		   *b = leg_new(world, MEDIA_CODEC_PCMU, 1000);
	int loudest = 0;

	(void)state;
	a->params.rx[2] = (struct media_format){ MEDIA_CODEC_PCMA, 8, 0 };
	leg_update(world, a);
	leg_join(world, a);
	leg_join(world, b);
	world_run(world, 1000);
	assert_int_equal(b->stream->source, SOURCE_RELAY);
	for (size_t i = 0; i < b->heard_count; i++)
		loudest = abs(b->heard[i]) > loudest ? abs(b->heard[i]) : loudest;
	for (unsigned turn = 0; turn < 6; turn++) {
		speak(a, turn % 2 ? MEDIA_CODEC_PCMU : MEDIA_CODEC_PCMA);
		world_run(world, 507);
		assert_int_equal(b->stream->source, turn % 2 ? SOURCE_RELAY : SOURCE_MIX);
	}
	for (size_t i = 0; i < b->heard_count; i++)
		assert_in_range(abs(b->heard[i]), 0, loudest * 11 / 10);
	assert_true(leg_hears(b, 440) > 0.85);
	assert_continuous(b);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_with_the_same_codec_are_relayed),
		cmocka_unit_test(codecs_that_differ_are_converted_both_ways),
		cmocka_unit_test(opus_runs_narrowband_towards_g711),
		cmocka_unit_test(in_a_conference_everybody_hears_the_others_and_not_itself),
		cmocka_unit_test(the_matrix_holds_cell_by_cell),
		cmocka_unit_test(a_listener_joins_and_leaves_without_a_gap_for_the_two),
		cmocka_unit_test(guests_are_heard_by_whom_they_speak_to),
		cmocka_unit_test(a_listening_guest_leaves_the_two_relayed),
		cmocka_unit_test(who_comes_later_does_not_hear_what_is_said_aside),
		cmocka_unit_test(digits_pass_beside_a_guest),
		cmocka_unit_test(turning_to_relaying_loses_no_packet),
		cmocka_unit_test(packets_of_every_length_are_taken_and_made),
		cmocka_unit_test(gain_changes_the_level_by_what_it_says),
		cmocka_unit_test(a_player_is_heard_by_one_while_the_others_go_on),
		cmocka_unit_test(a_player_loops_and_is_stopped),
		cmocka_unit_test(an_echo_returns_its_own_packets_undecoded),
		cmocka_unit_test(a_direction_that_is_off_stays_silent),
		cmocka_unit_test(digits_pass_a_relay_and_a_conversion),
		cmocka_unit_test(a_digit_whose_end_was_lost_ends_by_silence),
		cmocka_unit_test(a_far_end_that_changes_codec_is_still_heard),
		cmocka_unit_test(losses_stay_visible_through_a_relay),
		cmocka_unit_test(a_codec_that_changes_and_comes_back_makes_no_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
