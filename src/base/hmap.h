/* base/hmap.h - an intrusive hash map that grows: no allocation an entry, O(1) all round
 *
 * Embed a struct hnode; keys live in the owner. One thread.
 */
#pragma once

#include "base/mem.h"

struct hnode {
	struct hnode *next;
	uint64_t hash;
};

struct hmap {
	struct hnode **slots;
	size_t mask, count;
};

#define container_of_(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

void hmap_init(struct hmap *map); /* also usable zeroed */
void hmap_fini(struct hmap *map); /* entries are the owner's */
void hmap_add(struct hmap *map, struct hnode *node, uint64_t hash);
void hmap_del(struct hmap *map, struct hnode *node);
/* First node with that hash, then the next with the same; the caller compares keys. */
struct hnode *hmap_first(const struct hmap *map, uint64_t hash);
struct hnode *hmap_same(const struct hnode *node);
/* Iteration in no order; the map must not change meanwhile. NULL at the end. */
struct hnode *hmap_iter(const struct hmap *map, size_t *cursor, struct hnode *prev);

uint64_t hkey_bytes(const void *data,
		    size_t len); /* keyed by a random secret a process: flood-safe */
uint64_t hkey_text(const char *str);
uint64_t hkey_text_nocase(const char *str);
