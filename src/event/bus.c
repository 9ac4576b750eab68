#include "event/bus.h"

#include "base/base.h"
#include "base/hmap.h"
#include "base/metric.h"

#define RING_DEFAULT 16384
#define WAITING_DEFAULT 100000

METRIC_COUNTER(published, "jackfield_events_total", "Events published", NULL);
METRIC_GAUGE(waiting_now, "jackfield_events_waiting",
	     "Events that wait for room in the journal's ring", NULL);
METRIC_COUNTER(journal_lost, "jackfield_events_lost_total", "Events that found no room",
	       "reader=\"journal\"");
METRIC_COUNTER(hub_lost_count, "jackfield_events_lost_total", "Events that found no room",
	       "reader=\"hub\"");

struct bus_tenant {
	struct hnode node;
	struct id id;
	uint64_t seq;
};

struct event_bus {
	struct ring *journal, *hub;
	struct hmap tenants;
	atomic_bool hub_lost;
	/* Events that wait for the journal's ring, oldest first: a circle that grows up to waiting_max. */
	struct event **waiting;
	size_t room, first, count, waiting_max;
};

struct event_bus *event_bus_new(const struct event_bus_opts *opts)
{
	struct event_bus *bus = xzalloc(sizeof(*bus));
	struct event_bus_opts o = opts ? *opts : (struct event_bus_opts){ 0 };

	bus->journal =
		ring_new(sizeof(struct event_msg), o.journal_ring ? o.journal_ring : RING_DEFAULT);
	bus->hub = ring_new(sizeof(struct event_msg), o.hub_ring ? o.hub_ring : RING_DEFAULT);
	bus->waiting_max = o.waiting_max ? o.waiting_max : WAITING_DEFAULT;
	return bus;
}

static void ring_empty(struct ring *ring)
{
	struct event_msg msg;

	while (ring_pop(ring, &msg)) {
		event_unref(msg.event);
		event_snapshot_free(msg.snapshot);
		if (msg.sync)
			ticket_give(msg.sync, NULL);
	}
}

struct event_bus *event_bus_free(struct event_bus *bus)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	if (!bus)
		return NULL;
	ring_empty(bus->journal);
	ring_empty(bus->hub);
	ring_free(bus->journal);
	ring_free(bus->hub);
	for (size_t i = 0; i < bus->count; i++)
		event_unref(bus->waiting[(bus->first + i) % bus->room]);
	free(bus->waiting);
	while ((node = hmap_iter(&bus->tenants, &cursor, NULL))) {
		hmap_del(&bus->tenants, node);
		free(container_of_(node, struct bus_tenant, node));
		cursor = 0;
	}
	hmap_fini(&bus->tenants);
	free(bus);
	return NULL;
}

static struct bus_tenant *tenant_get(struct event_bus *bus, struct id id)
{
	uint64_t hash = id_hash(id);
	struct bus_tenant *tenant;

	for (struct hnode *n = hmap_first(&bus->tenants, hash); n; n = hmap_same(n)) {
		tenant = container_of_(n, struct bus_tenant, node);
		if (id_eq(tenant->id, id))
			return tenant;
	}
	tenant = xzalloc(sizeof(*tenant));
	tenant->id = id;
	hmap_add(&bus->tenants, &tenant->node, hash);
	return tenant;
}

void event_bus_seed(struct event_bus *bus, struct id tenant, uint64_t seq)
{
	struct bus_tenant *have = tenant_get(bus, tenant);

	if (have->seq < seq)
		have->seq = seq;
}

uint64_t event_bus_seq(struct event_bus *bus, struct id tenant)
{
	return tenant_get(bus, tenant)->seq;
}

void event_bus_each_seq(struct event_bus *bus,
			void (*on_seq)(void *arg, struct id tenant, uint64_t seq), void *arg)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	while ((node = hmap_iter(&bus->tenants, &cursor, node))) {
		struct bus_tenant *tenant = container_of_(node, struct bus_tenant, node);

		on_seq(arg, tenant->id, tenant->seq);
	}
}

static void waiting_grow(struct event_bus *bus)
{
	size_t room = bus->room ? bus->room * 2 : 256;
	struct event **waiting = xzalloc_array(room, sizeof(struct event *));

	for (size_t i = 0; i < bus->count; i++)
		waiting[i] = bus->waiting[(bus->first + i) % bus->room];
	free(bus->waiting);
	bus->waiting = waiting;
	bus->room = room;
	bus->first = 0;
}

/* The newest gives way: what waits longer is in order with what the journal has, and the next event of a call
 * brings the whole call again.
 */
static void waiting_add(struct event_bus *bus, struct event *event)
{
	if (bus->count >= bus->waiting_max) {
		metric_add(&journal_lost, 1);
		log_rated(LOG_ERROR_, "event lost: the journal does not keep up",
			  LOG_STR("type", event_type_names[event->type]),
			  LOG_ID("call", event->call_id));
		event_unref(event);
		return;
	}
	if (bus->count == bus->room)
		waiting_grow(bus);
	bus->waiting[(bus->first + bus->count++) % bus->room] = event;
}

size_t event_bus_flush(struct event_bus *bus)
{
	while (bus->count) {
		struct event_msg msg = { .event = bus->waiting[bus->first] };

		if (!ring_push(bus->journal, &msg))
			break;
		bus->first = (bus->first + 1) % bus->room;
		bus->count--;
	}
	metric_set(&waiting_now, (int64_t)bus->count);
	return bus->count;
}

static void hub_push(struct event_bus *bus, const struct event_msg *msg)
{
	if (ring_push(bus->hub, msg))
		return;
	metric_add(&hub_lost_count, 1);
	atomic_store(&bus->hub_lost, true);
	event_unref(msg->event);
	event_snapshot_free(msg->snapshot);
}

void event_publish(struct event_bus *bus, struct event *event)
{
	struct event_msg msg = { .event = event };

	event->seq = ++tenant_get(bus, event->tenant)->seq;
	if (!event->time)
		event->time = clock_wall_us();
	metric_add(&published, 1);
	event_ref(event);
	hub_push(bus, &msg);
	if (event_bus_flush(bus) || !ring_push(bus->journal, &msg))
		waiting_add(bus, event);
}

void event_pass(struct event_bus *bus, struct event *event)
{
	struct event_msg msg = { .event = event };

	event->time = clock_wall_us();
	if (!ring_push(event_bus_hub_ring(bus), &msg))
		event_unref(event);
}

void event_snapshot_send(struct event_bus *bus, struct event_snapshot *snapshot)
{
	struct event_msg msg = { .snapshot = snapshot };

	snapshot->as_of_seq = event_bus_seq(bus, snapshot->tenant);
	hub_push(bus, &msg);
}

struct ring *event_bus_journal_ring(struct event_bus *bus)
{
	return bus->journal;
}

struct ring *event_bus_hub_ring(struct event_bus *bus)
{
	return bus->hub;
}

bool event_bus_hub_lost(struct event_bus *bus)
{
	return atomic_exchange(&bus->hub_lost, false);
}
