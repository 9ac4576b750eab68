/* event/bus.h - the way of events from the call loop to the journal and the hub */
#pragma once

#include "base/ring.h"
#include "event/event.h"

/* How far a tenant's seq jumps at a start: more than can have been published and not been journalled when the
 * last run died, so that no number is used twice.
 */
#define EVENT_SEQ_JUMP 1000000ull

struct event_bus_opts {
	size_t journal_ring, hub_ring; /* capacities; 0: 16384 each */
	size_t waiting_max;	       /* events kept while the journal's ring is full; 0: 100000 */
};

/* Made by the main thread before the others start, freed by it after they ended. */
struct event_bus *event_bus_new(const struct event_bus_opts *opts);
struct event_bus *event_bus_free(struct event_bus *bus);
DEFINE_CLEANUP(struct event_bus *, event_bus_free)

/* Before the call loop starts: the last seq that the database knows of this tenant. */
void event_bus_seed(struct event_bus *bus, struct id tenant, uint64_t seq);
/* The call loop: hands waiting events on; call it every second or so. Return: how many still wait. */
size_t event_bus_flush(struct event_bus *bus);
/* The call loop: the tenant's last seq. */
uint64_t event_bus_seq(struct event_bus *bus, struct id tenant);

/* Before the call loop starts: every seq that was seeded. */
void event_bus_each_seq(struct event_bus *bus,
			void (*on_seq)(void *arg, struct id tenant, uint64_t seq), void *arg);

/* What the rings carry: one reference each. */
struct event_msg {
	struct event *event;		 /* or */
	struct event_snapshot *snapshot; /* (hub only), or */
	struct ticket *
		sync; /* (journal only) given once all before it is safe; may be NULL: just wakes it */
};
struct ring *event_bus_journal_ring(struct event_bus *bus); /* read by the journal */
struct ring *event_bus_hub_ring(struct event_bus *bus);	    /* read by the hub */
/* The hub: true once after events were lost because its ring was full. */
bool event_bus_hub_lost(struct event_bus *bus);
