/* base/hmap.c - chained hash map with a power-of-two table, doubled when entries outnumber slots */
#include "base/hmap.h"

#include "base/err.h"

#include <pthread.h>
#include <sodium.h>

#define FIRST_SLOTS 16

void hmap_init(struct hmap *map)
{
	*map = (struct hmap){ 0 };
}

void hmap_fini(struct hmap *map)
{
	free(map->slots);
	*map = (struct hmap){ 0 };
}

static void hmap_grow(struct hmap *map)
{
	size_t old_count = map->slots ? map->mask + 1 : 0;
	size_t count = old_count ? old_count * 2 : FIRST_SLOTS;
	struct hnode **slots = xzalloc_array(count, sizeof(struct hnode *));

	for (size_t i = 0; i < old_count; i++) {
		struct hnode *node = map->slots[i];

		while (node) {
			struct hnode *next = node->next;
			struct hnode **slot = &slots[node->hash & (count - 1)];

			node->next = *slot;
			*slot = node;
			node = next;
		}
	}
	free(map->slots);
	map->slots = slots;
	map->mask = count - 1;
}

void hmap_add(struct hmap *map, struct hnode *node, uint64_t hash)
{
	struct hnode **slot;

	if (!map->slots || map->count > map->mask)
		hmap_grow(map);
	slot = &map->slots[hash & map->mask];
	node->hash = hash;
	node->next = *slot;
	*slot = node;
	map->count++;
}

void hmap_del(struct hmap *map, struct hnode *node)
{
	struct hnode **at;

	bug_on(!map->slots);
	at = &map->slots[node->hash & map->mask];
	while (*at != node) {
		bug_on(!*at);
		at = &(*at)->next;
	}
	*at = node->next;
	node->next = NULL;
	map->count--;
}

static struct hnode *skip_to(struct hnode *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hnode *hmap_first(const struct hmap *map, uint64_t hash)
{
	return map->slots ? skip_to(map->slots[hash & map->mask], hash) : NULL;
}

struct hnode *hmap_same(const struct hnode *node)
{
	return skip_to(node->next, node->hash);
}

struct hnode *hmap_iter(const struct hmap *map, size_t *cursor, struct hnode *prev)
{
	if (!map->slots)
		return NULL;
	if (prev && prev->next)
		return prev->next;
	for (size_t i = prev ? *cursor + 1 : 0; i <= map->mask; i++)
		if (map->slots[i]) {
			*cursor = i;
			return map->slots[i];
		}
	return NULL;
}

/* Peers choose most of the keys (Call-IDs, tags, numbers): without a secret they could choose collisions. */
static uint8_t secret[crypto_shorthash_KEYBYTES];

static void secret_make(void)
{
	randombytes_buf(secret, sizeof(secret));
}

static const uint8_t *secret_get(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, secret_make);
	return secret;
}

uint64_t hkey_bytes(const void *data, size_t len)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, data, len, secret_get());
	return hash;
}

uint64_t hkey_text(const char *str)
{
	return hkey_bytes(str, strlen(str));
}

/* Folded a piece at a time, each piece led by the hash of those before it. */
uint64_t hkey_text_nocase(const char *str)
{
	struct {
		uint64_t before;
		char text[120];
	} piece = { 0 };
	size_t len = 0;

	for (; *str; str++) {
		piece.text[len++] = (char)(*str >= 'A' && *str <= 'Z' ? *str + ('a' - 'A') : *str);
		if (len == sizeof(piece.text)) {
			piece.before = hkey_bytes(&piece, sizeof(piece));
			len = 0;
		}
	}
	return hkey_bytes(&piece, sizeof(piece.before) + len);
}
