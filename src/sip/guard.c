/* sip/guard.c - the flood guard: who may be listened to, before anything is parsed
 *
 * A table of token buckets of fixed size, four to a set, keyed by a secret hash of the source. A
 * source that is not in its set takes the place of the one longest unheard. A flood from more
 * sources than the table holds thus gets no memory from us, and meets the bucket that all strangers
 * share.
 */
#include "sip/private.h"

#define SETS 4096u /* power of two */
#define WAYS 4u
#define UNIT 1000u	   /* tokens are kept in thousandths */
#define ALL_STRANGERS 200u /* the shared bucket, as a multiple of one source's */

struct bucket {
	uint64_t key;
	uint32_t tokens;
	uint32_t at_ms;
};

struct trusted {
	struct hnode node;
	struct sa addr;
	unsigned count;
};

struct guard {
	struct wheel *wheel;
	unsigned rate, burst;
	struct bucket shared;
	struct hmap trusted;
	struct bucket buckets[SETS][WAYS];
};

struct guard *guard_new(struct wheel *wheel, const struct wire_limits *limits)
{
	struct guard *guard = xzalloc(sizeof(*guard));

	guard->wheel = wheel;
	guard->rate = limits->rate;
	guard->burst = limits->burst;
	guard->shared.tokens = guard->burst * ALL_STRANGERS * UNIT;
	guard->shared.at_ms = (uint32_t)wheel_now_ms(wheel);
	hmap_init(&guard->trusted);
	return guard;
}

struct guard *guard_free(struct guard *guard)
{
	size_t cursor = 0;
	struct hnode *node;

	if (!guard)
		return NULL;
	node = hmap_iter(&guard->trusted, &cursor, NULL);
	while (node) {
		struct trusted *entry = container_of_(node, struct trusted, node);

		node = hmap_iter(&guard->trusted, &cursor, node);
		free(entry);
	}
	hmap_fini(&guard->trusted);
	free(guard);
	return NULL;
}

/* One address of IPv4; of IPv6 a /64, which is what one site has at the least. */
static uint64_t source_key(const struct sa *from)
{
	struct sa net = *from;

	if (sa_af(from) == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&from->u.in6.sin6_addr))
		memset(net.u.in6.sin6_addr.s6_addr + 8, 0, 8);
	return addr_hash(&net, false) | 1; /* 0 is an empty bucket */
}

static struct trusted *trusted_find(const struct guard *guard, const struct sa *addr)
{
	struct hnode *node;

	if (!guard->trusted.count)
		return NULL;
	node = hmap_first(&guard->trusted, addr_hash(addr, false));
	for (; node; node = hmap_same(node)) {
		struct trusted *entry = container_of_(node, struct trusted, node);

		if (sa_cmp(&entry->addr, addr, SA_ADDR))
			return entry;
	}
	return NULL;
}

static void bucket_refill(struct bucket *bucket, uint32_t now_ms, uint64_t rate, uint64_t burst)
{
	uint64_t tokens =
		bucket->tokens + (uint64_t)(uint32_t)(now_ms - bucket->at_ms) * rate * UNIT / 1000;

	bucket->tokens = (uint32_t)(tokens < burst * UNIT ? tokens : burst * UNIT);
	bucket->at_ms = now_ms;
}

static struct bucket *bucket_get(struct guard *guard, const struct sa *from)
{
	uint64_t key = source_key(from);
	struct bucket *set = guard->buckets[(key >> 1) & (SETS - 1)];
	uint32_t now_ms = (uint32_t)wheel_now_ms(guard->wheel);
	struct bucket *oldest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].key == key) {
			bucket_refill(&set[i], now_ms, guard->rate, guard->burst);
			return &set[i];
		}
		if (!set[i].key || (oldest->key && now_ms - set[i].at_ms > now_ms - oldest->at_ms))
			oldest = &set[i];
	}
	*oldest = (struct bucket){ .key = key, .tokens = guard->burst * UNIT, .at_ms = now_ms };
	return oldest;
}

bool guard_pass(struct guard *guard, const struct sa *from)
{
	struct bucket *bucket;

	if (trusted_find(guard, from))
		return true;

	bucket = bucket_get(guard, from);
	if (bucket->tokens < UNIT)
		return false;
	bucket->tokens -= UNIT;

	bucket_refill(&guard->shared, (uint32_t)wheel_now_ms(guard->wheel),
		      (uint64_t)guard->rate * ALL_STRANGERS,
		      (uint64_t)guard->burst * ALL_STRANGERS);
	if (guard->shared.tokens < UNIT)
		return false;
	guard->shared.tokens -= UNIT;
	return true;
}

void guard_trust(struct guard *guard, const struct sa *addr)
{
	struct trusted *entry = trusted_find(guard, addr);

	if (!entry) {
		entry = xzalloc(sizeof(*entry));
		entry->addr = *addr;
		hmap_add(&guard->trusted, &entry->node, addr_hash(addr, false));
	}
	entry->count++;
}

void guard_untrust(struct guard *guard, const struct sa *addr)
{
	struct trusted *entry = trusted_find(guard, addr);

	if (!entry || --entry->count)
		return;
	hmap_del(&guard->trusted, &entry->node);
	free(entry);
}

bool guard_is_trusted(const struct guard *guard, const struct sa *addr)
{
	return trusted_find(guard, addr) != NULL;
}

void guard_penalize(struct guard *guard, const struct sa *addr, unsigned cost)
{
	struct bucket *bucket = bucket_get(guard, addr);
	uint64_t tokens = (uint64_t)cost * UNIT;

	bucket->tokens = bucket->tokens > tokens ? (uint32_t)(bucket->tokens - tokens) : 0;
}
