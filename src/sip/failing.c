/* sip/failing.c - targets that failed go last, for 30 s and longer each time, until one answers */
#include "sip/resolve_private.h"

#define FAILING_MAX 4096u
#define FAILING_FIRST_MS 30000u
#define FAILING_LAST_MS 600000u

struct failing {
	struct hnode node;
	struct failing *older, *newer;
	enum sip_transp transport;
	struct sa addr;
	uint64_t until_ms;
	uint32_t penalty_ms;
};

void failing_init(struct failing_set *set, struct wheel *wheel)
{
	*set = (struct failing_set){ .wheel = wheel };
	hmap_init(&set->map);
}

static uint64_t failing_hash(enum sip_transp transport, const struct sa *addr)
{
	char text[64];

	re_snprintf(text, sizeof(text), "%d %J", transport, addr);
	return hkey_text(text);
}

static struct failing *failing_find(const struct failing_set *set, const struct target *target)
{
	struct hnode *node;

	if (!set->map.count)
		return NULL;
	node = hmap_first(&set->map, failing_hash(target->transport, &target->addr));
	for (; node; node = hmap_same(node)) {
		struct failing *failing = container_of_(node, struct failing, node);

		if (failing->transport == target->transport &&
		    sa_cmp(&failing->addr, &target->addr, SA_ALL))
			return failing;
	}
	return NULL;
}

static void failing_free(struct failing_set *set, struct failing *failing)
{
	hmap_del(&set->map, &failing->node);
	*(failing->older ? &failing->older->newer : &set->oldest) = failing->newer;
	*(failing->newer ? &failing->newer->older : &set->newest) = failing->older;
	free(failing);
}

bool failing_has(const struct failing_set *set, const struct target *target)
{
	const struct failing *failing = failing_find(set, target);

	return failing && wheel_now_ms(set->wheel) < failing->until_ms;
}

void failing_report(struct failing_set *set, const struct target *target, bool ok)
{
	struct failing *failing = failing_find(set, target);

	if (ok) {
		if (failing)
			failing_free(set, failing);
		return;
	}
	if (!failing) {
		if (set->map.count >= FAILING_MAX)
			failing_free(set, set->oldest);
		failing = xzalloc(sizeof(*failing));
		failing->transport = target->transport;
		failing->addr = target->addr;
		hmap_add(&set->map, &failing->node, failing_hash(target->transport, &target->addr));
		failing->older = set->newest;
		*(failing->older ? &failing->older->newer : &set->oldest) = failing;
		set->newest = failing;
	}
	failing->penalty_ms = !failing->penalty_ms			  ? FAILING_FIRST_MS
			      : failing->penalty_ms * 2 < FAILING_LAST_MS ? failing->penalty_ms * 2
									  : FAILING_LAST_MS;
	failing->until_ms = wheel_now_ms(set->wheel) + failing->penalty_ms;
}

void failing_sort(const struct failing_set *set, struct target *targets, unsigned count)
{
	struct target last[RESOLVE_MAX_TARGETS];
	unsigned good = 0, bad = 0;

	if (!set->map.count)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (failing_has(set, &targets[i]))
			last[bad++] = targets[i];
		else
			targets[good++] = targets[i];
	}
	memcpy(targets + good, last, bad * sizeof(*last));
}

void failing_fini(struct failing_set *set)
{
	while (set->oldest)
		failing_free(set, set->oldest);
	hmap_fini(&set->map);
}
