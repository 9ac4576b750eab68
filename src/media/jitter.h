/* media/jitter.h - an adaptive jitter buffer of undecoded packets
 *
 * Packets come by sequence number in any order; the reader takes one each time its PCM runs out.
 * The delay it keeps follows the network: the spread of transit times over the last seconds, within
 * 20..200 ms. Bounded, no allocation.
 */
#pragma once

#include "media/packet.h"

#define JITTER_SLOTS 64 /* a power of two; 10 ms packets for 640 ms */
#define JITTER_MIN_US 20000
#define JITTER_MAX_US 200000

struct jitter_slot {
	bool used;
	uint8_t pt, codec;
	uint16_t seq;
	uint16_t len;
	uint32_t timestamp, ssrc;
	uint64_t arrived_us;
	uint8_t data[PACKET_HEADER + PACKET_PAYLOAD_MAX]; /* payload behind room for a header */
};

struct jitter {
	uint32_t clock_rate;
	bool begun;   /* `next` is valid */
	bool played;  /* something was: what is older comes too late for good */
	bool playing; /* else filling */
	uint32_t ssrc;
	uint16_t next; /* to be played */
	uint16_t newest;
	unsigned count;
	unsigned starved; /* empty takes in a row */
	/* delay estimation: transit relative to the fastest packet of the last windows */
	uint32_t base_timestamp;
	uint64_t base_us;
	int64_t floor_us, floor_next_us;
	uint64_t floor_since_us;
	uint32_t target_us;
	/* counters */
	uint64_t late, lost, skipped;
	struct jitter_slot slots[JITTER_SLOTS];
};

enum jitter_got {
	JITTER_PACKET,	/* *ret is to be decoded */
	JITTER_LOST,	/* it never came, others after it have: conceal */
	JITTER_STARVED, /* nothing there, though there should be: conceal a little, then silence */
	JITTER_WAIT,	/* filling, or the far end has paused: silence */
};

void jitter_init(struct jitter *jitter, uint32_t clock_rate);
void jitter_put(struct jitter *jitter, const struct packet *packet, uint64_t now_us);
/* The slot is the reader's until the next call. */
enum jitter_got jitter_take(struct jitter *jitter, uint64_t now_us, struct jitter_slot **ret);
/* What follows the packet that was just lost, if it is there already (for Opus' in-band FEC). */
const struct jitter_slot *jitter_peek(const struct jitter *jitter);
/* Oldest first, whatever is missing between. NULL when empty. */
struct jitter_slot *jitter_unload(struct jitter *jitter);
/* More is buffered than the network needs: the reader may leave out a frame that is quiet. */
bool jitter_is_long(const struct jitter *jitter, uint64_t now_us);
uint32_t jitter_delay_us(const struct jitter *jitter); /* the target */
