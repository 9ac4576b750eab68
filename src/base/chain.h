/* base/chain.h - an intrusive doubly linked list: O(1) to append and remove, no allocation an entry
 *
 * Embed a struct chain_link; a link is in at most one chain. One thread.
 */
#pragma once

#include "base/hmap.h"

struct chain_link {
	struct chain_link *next, *prev;
	bool linked;
};

/* Usable zeroed. */
struct chain {
	struct chain_link *head, *tail;
	unsigned count;
};

/* Before `where`, or at the end when that is NULL. */
static inline void chain_insert(struct chain *chain, struct chain_link *where,
				struct chain_link *link)
{
	struct chain_link *prev = where ? where->prev : chain->tail;

	link->linked = true;
	link->next = where;
	link->prev = prev;
	if (prev)
		prev->next = link;
	else
		chain->head = link;
	if (where)
		where->prev = link;
	else
		chain->tail = link;
	chain->count++;
}

static inline void chain_append(struct chain *chain, struct chain_link *link)
{
	chain_insert(chain, NULL, link);
}

/* A link that is in no chain is fine. */
static inline void chain_remove(struct chain *chain, struct chain_link *link)
{
	if (!link->linked)
		return;
	if (link->prev)
		link->prev->next = link->next;
	else
		chain->head = link->next;
	if (link->next)
		link->next->prev = link->prev;
	else
		chain->tail = link->prev;
	*link = (struct chain_link){ 0 };
	chain->count--;
}

#define chain_owner(link, type, member)                                                            \
	({                                                                                         \
		struct chain_link *_link = (link);                                                 \
		_link ? container_of_(_link, type, member) : NULL;                                 \
	})
/* The body must not remove any entry; chain_each_safe: may remove the present one. */
#define chain_each(pos, chain, member)                                                             \
	for ((pos) = chain_owner((chain)->head, __typeof__(*(pos)), member); (pos);                \
	     (pos) = chain_owner((pos)->member.next, __typeof__(*(pos)), member))
#define chain_each_safe(pos, then, chain, member)                                                  \
	for ((pos) = chain_owner((chain)->head, __typeof__(*(pos)), member);                       \
	     (pos) &&                                                                              \
	     ((then) = chain_owner((pos)->member.next, __typeof__(*(pos)), member), true);         \
	     (pos) = (then))
