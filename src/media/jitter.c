#include "media/jitter.h"

/* A packet this far from what is expected means that the source has restarted. */
#define RESTART_SEQ 1000
#define FLOOR_WINDOW_US 4000000
/* The target falls by a tenth of its excess every so many packets, and rises at once. */
#define DECAY_SHIFT 8
/* Takes without a packet after which it fills anew. */
#define STARVED_MAX 5

void jitter_init(struct jitter *jitter, uint32_t clock_rate)
{
	memset(jitter, 0, offsetof(struct jitter, slots));
	for (unsigned i = 0; i < JITTER_SLOTS; i++)
		jitter->slots[i].used = false;
	jitter->clock_rate = clock_rate;
	jitter->target_us = 2 * JITTER_MIN_US;
}

uint32_t jitter_delay_us(const struct jitter *jitter)
{
	return jitter->target_us;
}

static struct jitter_slot *slot_of(struct jitter *jitter, uint16_t seq)
{
	return &jitter->slots[seq % JITTER_SLOTS];
}

static void clear(struct jitter *jitter)
{
	for (unsigned i = 0; i < JITTER_SLOTS; i++)
		jitter->slots[i].used = false;
	jitter->count = 0;
	jitter->begun = jitter->playing = jitter->played = false;
	jitter->starved = 0;
}

/* ---- how late packets are ---- */

static void estimate_begin(struct jitter *jitter, uint32_t timestamp, uint64_t now_us)
{
	jitter->base_timestamp = timestamp;
	jitter->base_us = now_us;
	jitter->floor_us = jitter->floor_next_us = 0;
	jitter->floor_since_us = now_us;
}

static int64_t units_to_us(const struct jitter *jitter, int32_t units)
{
	return (int64_t)units * 1000000 / jitter->clock_rate;
}

static void estimate(struct jitter *jitter, uint32_t timestamp, uint64_t now_us)
{
	int64_t transit = (int64_t)(now_us - jitter->base_us) -
			  units_to_us(jitter, (int32_t)(timestamp - jitter->base_timestamp));
	int64_t spread;

	if (transit > 2000000 || transit < -2000000) { /* the source's clock was set anew */
		estimate_begin(jitter, timestamp, now_us);
		return;
	}
	if (transit < jitter->floor_next_us)
		jitter->floor_next_us = transit;
	if (transit < jitter->floor_us)
		jitter->floor_us = transit;
	/* The floor of a window becomes the reference of the next, so that clock drift does not
	 * look like jitter.
	 */
	if (now_us - jitter->floor_since_us > FLOOR_WINDOW_US) {
		jitter->floor_us = jitter->floor_next_us;
		jitter->floor_next_us = transit;
		jitter->floor_since_us = now_us;
	}
	spread = transit - jitter->floor_us + JITTER_MIN_US;
	if (spread > JITTER_MAX_US)
		spread = JITTER_MAX_US;
	if (spread > jitter->target_us)
		jitter->target_us = (uint32_t)spread;
	else
		jitter->target_us -= (uint32_t)((jitter->target_us - spread) >> DECAY_SHIFT);
	if (jitter->target_us < JITTER_MIN_US)
		jitter->target_us = JITTER_MIN_US;
}

/* ---- in ---- */

static void begin(struct jitter *jitter, const struct packet *packet, uint64_t now_us)
{
	clear(jitter);
	jitter->begun = true;
	jitter->ssrc = packet->ssrc;
	jitter->next = jitter->newest = packet->seq;
	estimate_begin(jitter, packet->timestamp, now_us);
}

static void make_room(struct jitter *jitter, uint16_t seq)
{
	while ((int16_t)(seq - jitter->next) >= JITTER_SLOTS) {
		struct jitter_slot *slot = slot_of(jitter, jitter->next++);

		if (slot->used) {
			slot->used = false;
			jitter->count--;
			jitter->skipped++;
		}
	}
}

void jitter_put(struct jitter *jitter, const struct packet *packet, uint64_t now_us)
{
	struct jitter_slot *slot;
	int16_t ahead;

	if (packet->payload_len > PACKET_PAYLOAD_MAX)
		return;
	ahead = (int16_t)(packet->seq - jitter->next);
	if (!jitter->begun || packet->ssrc != jitter->ssrc || ahead > RESTART_SEQ ||
	    ahead < -RESTART_SEQ) {
		begin(jitter, packet, now_us);
		ahead = 0;
	}
	estimate(jitter, packet->timestamp, now_us);
	if (ahead < 0) {
		if (jitter->played || jitter->playing ||
		    (int16_t)(jitter->newest - packet->seq) >= JITTER_SLOTS) {
			jitter->late++;
			return;
		}
		jitter->next = packet->seq; /* the first to arrive was not the first sent */
	}
	make_room(jitter, packet->seq);
	if ((int16_t)(packet->seq - jitter->newest) > 0)
		jitter->newest = packet->seq;
	slot = slot_of(jitter, packet->seq);
	if (slot->used)
		return; /* a duplicate */
	*slot = (struct jitter_slot){ 0 };
	slot->used = true;
	slot->pt = packet->pt;
	slot->codec = packet->codec;
	slot->seq = packet->seq;
	slot->timestamp = packet->timestamp;
	slot->ssrc = packet->ssrc;
	slot->arrived_us = now_us;
	slot->len = (uint16_t)packet->payload_len;
	memcpy(slot->data + PACKET_HEADER, packet->payload, packet->payload_len);
	jitter->count++;
}

/* ---- out ---- */

static struct jitter_slot *oldest(struct jitter *jitter)
{
	for (unsigned i = 0; jitter->count && i < JITTER_SLOTS; i++) {
		struct jitter_slot *slot = slot_of(jitter, (uint16_t)(jitter->next + i));

		if (slot->used)
			return slot;
	}
	return NULL;
}

static bool is_filled(const struct jitter *jitter, const struct jitter_slot *first, uint64_t now_us)
{
	return now_us - first->arrived_us + JITTER_MIN_US / 4 >=
		       jitter->target_us - JITTER_MIN_US ||
	       jitter->count >= JITTER_SLOTS / 2;
}

static struct jitter_slot *pass(struct jitter *jitter, struct jitter_slot *slot)
{
	slot->used = false;
	jitter->count--;
	jitter->starved = 0;
	jitter->played = true;
	jitter->next = (uint16_t)(slot->seq + 1);
	return slot;
}

enum jitter_got jitter_take(struct jitter *jitter, uint64_t now_us, struct jitter_slot **ret)
{
	struct jitter_slot *slot = oldest(jitter);

	if (!jitter->begun)
		return JITTER_WAIT;
	if (!jitter->playing) {
		if (!slot || !is_filled(jitter, slot, now_us))
			return JITTER_WAIT;
		jitter->playing = true;
		jitter->next = slot->seq; /* nothing was lost that anybody waited for */
	}
	if (!slot) {
		if (++jitter->starved >= STARVED_MAX)
			jitter->playing = false;
		return JITTER_STARVED;
	}
	if (slot->seq != jitter->next) {
		jitter->next++;
		jitter->lost++;
		return JITTER_LOST;
	}
	*ret = pass(jitter, slot);
	return JITTER_PACKET;
}

const struct jitter_slot *jitter_peek(const struct jitter *jitter)
{
	const struct jitter_slot *slot = &jitter->slots[jitter->next % JITTER_SLOTS];

	return slot->used && slot->seq == jitter->next ? slot : NULL;
}

struct jitter_slot *jitter_unload(struct jitter *jitter)
{
	struct jitter_slot *slot = oldest(jitter);

	return slot ? pass(jitter, slot) : NULL;
}

/* The oldest packet has waited longer than any of late took longer than the fastest. */
bool jitter_is_long(const struct jitter *jitter, uint64_t now_us)
{
	const struct jitter_slot *slot = oldest((struct jitter *)jitter);

	return slot && jitter->playing &&
	       now_us - slot->arrived_us > jitter->target_us + JITTER_MIN_US;
}
