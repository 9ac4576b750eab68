/* Each counter is one 64-bit word: half of it says whose it is, half when its bucket will be empty again (the
 * generic cell rate algorithm). A word is changed by compare-and-swap, so workers share the table without a lock;
 * it has a fixed size, four places for each key, and whoever is nearest to done gives way.
 */
#include "api/private.h"

#include <sodium.h>
#include <stdio.h>

#define WAYS 4
#define SETS (1u << 14)

struct throttle {
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t begin_ms;
	atomic_uint_fast64_t slots[SETS][WAYS];
};

/* A burst of tries at once, then one a period. Times are in ticks of 100 ms, so that half a word lasts 13 years. */
#define TICK_MS 100
static const struct {
	uint32_t period; /* ticks */
	unsigned burst;
} limits[THROTTLE_KINDS] = {
	[THROTTLE_LOGIN_PAIR] = { 300, 6 },	[THROTTLE_LOGIN_ADDRESS] = { 20, 100 },
	[THROTTLE_LOGIN_ACCOUNT] = { 100, 60 }, [THROTTLE_SIGNUP] = { 20, 300 },
	[THROTTLE_ROOM_PIN] = { 300, 10 },	[THROTTLE_OPUS] = { 50, 20 },
};

struct throttle *throttle_new(void)
{
	struct throttle *throttle = xzalloc(sizeof(*throttle));

	randombytes_buf(throttle->key, sizeof(throttle->key));
	throttle->begin_ms = clock_mono_ms();
	return throttle;
}

struct throttle *throttle_free(struct throttle *throttle)
{
	free(throttle);
	return NULL;
}

static uint64_t throttle_hash(const struct throttle *throttle, enum throttle_kind kind,
			      const char *a, const char *b)
{
	char text[640];
	uint64_t hash;
	int len = snprintf(text, sizeof(text), "%d\n%s\n%s", (int)kind, a, b ? b : "");

	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)text, (size_t)len, throttle->key);
	return hash;
}

static uint32_t word_tag(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

/* When the bucket will be empty, in ticks since the table was made. */
static uint32_t word_due(uint64_t word)
{
	return (uint32_t)word;
}

static atomic_uint_fast64_t *throttle_slot(struct throttle *throttle, uint64_t hash, uint32_t tag)
{
	atomic_uint_fast64_t *set = throttle->slots[hash & (SETS - 1)], *least = &set[0];

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t word = atomic_load_explicit(&set[i], memory_order_relaxed);

		if (word_tag(word) == tag)
			return &set[i];
		if (word_due(word) < word_due(atomic_load_explicit(least, memory_order_relaxed)))
			least = &set[i];
	}
	return least;
}

unsigned throttle_take(struct throttle *throttle, enum throttle_kind kind, const char *a,
		       const char *b, uint64_t now_ms)
{
	uint64_t hash = throttle_hash(throttle, kind, a, b), word, next;
	uint32_t tag = (uint32_t)(hash >> 32) | 1,
		 now = (uint32_t)((now_ms - throttle->begin_ms) / TICK_MS) + 1, due;
	uint32_t room = limits[kind].period * (limits[kind].burst - 1);
	atomic_uint_fast64_t *slot = throttle_slot(throttle, hash, tag);

	word = atomic_load_explicit(slot, memory_order_relaxed);
	do {
		due = word_tag(word) == tag && word_due(word) > now ? word_due(word) : now;
		if (due > now + room)
			return (due - now - room + 9) / 10;
		next = (uint64_t)tag << 32 | (due + limits[kind].period);
	} while (!atomic_compare_exchange_weak_explicit(slot, &word, next, memory_order_relaxed,
							memory_order_relaxed));
	return 0;
}

void throttle_give_back(struct throttle *throttle, enum throttle_kind kind, const char *a,
			const char *b)
{
	uint64_t hash = throttle_hash(throttle, kind, a, b), word, next;
	uint32_t tag = (uint32_t)(hash >> 32) | 1;
	atomic_uint_fast64_t *slot = throttle_slot(throttle, hash, tag);

	word = atomic_load_explicit(slot, memory_order_relaxed);
	do {
		if (word_tag(word) != tag || word_due(word) <= limits[kind].period)
			return;
		next = (uint64_t)tag << 32 | (word_due(word) - limits[kind].period);
	} while (!atomic_compare_exchange_weak_explicit(slot, &word, next, memory_order_relaxed,
							memory_order_relaxed));
}
