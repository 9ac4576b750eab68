/* sip/resolve_cache.c - what name servers said, and who waits for what they will say
 *
 * A name's records of one type are asked for once, however many want them, and kept for their time.
 */
#include "sip/resolve_private.h"

#define CACHE_MAX 8192u

struct cached {
	struct hnode node;
	struct cached *older, *newer;
	char name[256];
	uint16_t type;
	uint64_t got_ms, until_ms;
	struct dns_records *records; /* NULL: being asked */
	struct dns_lookup *lookup;
	struct dns_cache *cache;
	struct dns_waiter *waiting;
};

struct dns_cache {
	struct wheel *wheel;
	struct dns_client *client;
	struct hmap map;
	struct cached *oldest, *newest;
};

static uint64_t cache_hash(const char *name, uint16_t type)
{
	return hkey_text_nocase(name) + (uint64_t)type * 0x9e3779b97f4a7c15ull;
}

static struct cached *cache_find(const struct dns_cache *cache, const char *name, uint16_t type)
{
	struct hnode *node = hmap_first(&cache->map, cache_hash(name, type));

	for (; node; node = hmap_same(node)) {
		struct cached *cached = container_of_(node, struct cached, node);

		if (cached->type == type && strcasecmp(cached->name, name) == 0)
			return cached;
	}
	return NULL;
}

static void records_free(struct dns_records *records)
{
	if (!records)
		return;
	free(records->record);
	free(records);
}

static void cached_free(struct cached *cached)
{
	struct dns_cache *cache = cached->cache;

	hmap_del(&cache->map, &cached->node);
	*(cached->older ? &cached->older->newer : &cache->oldest) = cached->newer;
	*(cached->newer ? &cached->newer->older : &cache->newest) = cached->older;
	dns_lookup_cancel(cached->lookup);
	records_free(cached->records);
	free(cached);
}

static struct cached *cached_new(struct dns_cache *cache, const char *name, uint16_t type)
{
	struct cached *cached = xzalloc(sizeof(*cached));

	if (cache->map.count >= CACHE_MAX && cache->oldest && !cache->oldest->waiting)
		cached_free(cache->oldest);
	cached->cache = cache;
	str_copy(cached->name, sizeof(cached->name), name);
	cached->type = type;
	hmap_add(&cache->map, &cached->node, cache_hash(name, type));
	cached->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = cached;
	cache->newest = cached;
	return cached;
}

const struct dns_records *dns_cache_get(const struct dns_cache *cache, const char *name,
					uint16_t type, uint64_t since_ms)
{
	const struct cached *cached = cache_find(cache, name, type);

	return cached && cached->records &&
			       (wheel_now_ms(cache->wheel) < cached->until_ms ||
				cached->got_ms > since_ms)
		       ? cached->records
		       : NULL;
}

void dns_cache_forget(struct dns_cache *cache, const char *name, uint16_t type)
{
	struct cached *cached = cache_find(cache, name, type);

	if (cached && !cached->lookup && !cached->waiting)
		cached_free(cached);
}

void dns_waiter_leave(struct dns_waiter *waiter)
{
	if (!waiter->pprev)
		return;
	*waiter->pprev = waiter->next;
	if (waiter->next)
		waiter->next->pprev = waiter->pprev;
	waiter->pprev = NULL;
}

static void on_records(struct dns_records *records, void *arg)
{
	struct cached *cached = arg;
	struct dns_waiter *waiter;

	cached->lookup = NULL;
	records_free(cached->records);
	cached->records = records;
	cached->got_ms = wheel_now_ms(cached->cache->wheel);
	cached->until_ms = cached->got_ms + (uint64_t)records->ttl_s * 1000;
	/* Each goes on by a timer of its own: what one does must not touch the list under us. */
	while ((waiter = cached->waiting)) {
		dns_waiter_leave(waiter);
		timer_start(waiter->timer, 0);
	}
}

void dns_cache_wait(struct dns_cache *cache, const char *name, uint16_t type,
		    struct dns_waiter *waiter)
{
	struct cached *cached = cache_find(cache, name, type);

	if (!cached)
		cached = cached_new(cache, name, type);
	if (!cached->lookup)
		cached->lookup = dns_lookup_start(cache->client, name, type, on_records, cached);
	waiter->next = cached->waiting;
	waiter->pprev = &cached->waiting;
	if (waiter->next)
		waiter->next->pprev = &waiter->next;
	cached->waiting = waiter;
}

struct dns_cache *dns_cache_new(struct wheel *wheel, struct dns_client *client)
{
	struct dns_cache *cache = xzalloc(sizeof(*cache));

	cache->wheel = wheel;
	cache->client = client;
	hmap_init(&cache->map);
	return cache;
}

void dns_cache_flush(struct dns_cache *cache)
{
	struct cached *cached, *newer;

	for (cached = cache->oldest; cached; cached = newer) {
		newer = cached->newer;
		if (!cached->lookup && !cached->waiting)
			cached_free(cached);
	}
}

struct dns_cache *dns_cache_free(struct dns_cache *cache)
{
	while (cache->oldest)
		cached_free(cache->oldest);
	hmap_fini(&cache->map);
	free(cache);
	return NULL;
}
