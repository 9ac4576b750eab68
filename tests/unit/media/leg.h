/* tests/unit/media/leg.h - legs on a media loop that no thread runs: virtual time, no sockets
 *
 * A leg speaks a tone of its own in its codec, and keeps what the loop sends to it, header and
 * sound.
 */
#pragma once

#include "media/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LEGS_MAX 64
#define HEARD_MAX (48000 * 12)
#define PACKETS_MAX 4000

struct heard_packet {
	struct packet header;
	uint64_t at_us;
	size_t len;
	uint8_t payload[160]; /* its beginning */
};

struct leg {
	struct mstream *stream;
	struct media_params params;
	union media_addr addr;
	/* speaking */
	enum media_codec codec;
	uint8_t pt;
	unsigned ptime_ms, rate;
	double freq, phase;
	void *coder;
	uint16_t seq;
	uint32_t timestamp, ssrc;
	uint64_t next_us;
	double drift_us; /* a frame of its clock is so much longer than one of ours */
	double drifted_us;
	bool quiet;  /* sends nothing */
	bool silent; /* sends silence */
	/* hearing */
	void *decoder;
	enum media_codec decoder_codec;
	int16_t *heard;
	size_t heard_count;
	struct heard_packet *packets;
	size_t packet_count;
};

struct world {
	struct ring *events;
	struct mloop *loop;
	struct leg legs[LEGS_MAX];
	unsigned leg_count;
	struct mbridge *bridge;
	struct media_event log[4096];
	unsigned log_count;
};

struct world *world_new(void);
void world_free(struct world *world);
struct leg *leg_new(struct world *world, enum media_codec codec, double freq);
void leg_update(struct world *world, struct leg *leg);
void leg_join(struct world *world, struct leg *leg);
/* Everybody speaks and the ticks run. */
void world_run(struct world *world, unsigned ms);
void world_collect(struct world *world);
unsigned world_count(const struct world *world, enum media_event_type type);
/* The last of that kind; there must be one. */
const struct media_event *world_last(const struct world *world, enum media_event_type type);
void leg_forget(struct leg *leg);
/* Level of a frequency in what it heard, as a share of the whole energy: 0..1. */
double leg_hears(const struct leg *leg, double freq);
double tone_share(const int16_t *pcm, size_t samples, unsigned rate, double freq);
double energy_rms(const int16_t *pcm, size_t samples);
union media_addr test_addr(const char *ip, uint16_t port);
/* A packet as if it had come from the network. */
void leg_packet(struct leg *leg, const union media_addr *from, uint8_t pt, uint16_t seq,
		uint32_t timestamp, uint32_t ssrc, const void *payload, size_t len);
/* Sequence without holes and timestamps that never go back, one SSRC. */
void assert_continuous(const struct leg *leg);
