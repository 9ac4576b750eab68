/* Live events for many clients.
 *
 * Each tenant has one history: a circle of frames numbered by seq without holes. A client is a place in it (the
 * next seq it has not been sent). New events append; then every client that can take a frame is given what
 * it lacks. A client whose connection is full stays where it is until it calls hub_client_ready(); if the
 * history has moved on too far by then it is closed. So nothing is queued a client.
 */
#include "event/hub.h"

#include "base/base.h"
#include "base/hmap.h"
#include "base/metric.h"
#include "event/hub_private.h"

METRIC_GAUGE(clients_now, "jackfield_event_clients", "Connected event clients", NULL);
METRIC_COUNTER(frames_sent, "jackfield_event_frames_total", "Frames given to clients", NULL);
METRIC_COUNTER(closed_slow, "jackfield_event_closed_total", "Clients closed", "reason=\"slow\"");
METRIC_COUNTER(closed_resync, "jackfield_event_closed_total", "Clients closed",
	       "reason=\"resync\"");
METRIC_GAUGE(history_now, "jackfield_event_history_bytes", "Bytes of event history", NULL);

/* ---- clients ---- */

static void client_unlink(struct hub_client *client)
{
	struct hub *hub = client->hub;

	if (client->next)
		client->next->prev = client->prev;
	if (client->prev)
		client->prev->next = client->next;
	else
		client->tenant->clients = client->next;
	client->tenant->clients_left_at = hub->now_s;
	hmap_del(&hub->clients, &client->node);
	metric_set(&clients_now, (int64_t)hub->clients.count);
}

static void client_free(struct hub_client *client)
{
	client_unlink(client);
	for (unsigned i = 0; i < client->own_count; i++)
		hub_frame_unref(client->own[i]);
	free(client);
}

void hub_client_remove(struct hub_client *client)
{
	client_free(client);
}

void hub_client_close(struct hub_client *client, int code, const char *reason)
{
	const struct hub_client_ops *ops = client->ops;
	void *arg = client->arg;

	if (code == HUB_CLOSE_SLOW)
		metric_add(&closed_slow, 1);
	if (code == HUB_CLOSE_RESYNC)
		metric_add(&closed_resync, 1);
	client_free(client);
	ops->close(arg, code, reason);
}

static bool client_sees(const struct hub_client *client, const struct hub_entry *entry)
{
	if (!(client->topics & (1u << entry->topic)))
		return false;
	if (id_is_none(client->who.user) || id_eq(client->who.user, entry->user) ||
	    id_eq(client->who.user, entry->other))
		return true;
	for (unsigned i = 0; i < entry->viewer_count; i++)
		if (id_eq(client->who.user, entry->viewers[i]))
			return true;
	return false;
}

static bool client_is_behind(const struct hub_client *client)
{
	const struct hub_tenant *tenant = client->tenant;
	const struct hub_opts *opts = &client->hub->opts;

	if (client->next_seq >= tenant->next_seq)
		return false;
	if (client->next_seq < hub_oldest(tenant))
		return true;
	return tenant->next_seq - client->next_seq > opts->lag_events ||
	       tenant->offset - hub_entry_at(tenant, client->next_seq)->offset > opts->lag_bytes;
}

static bool client_send(struct hub_client *client, struct hub_frame *frame)
{
	if (!client->ops->send(client->arg, frame)) {
		client->full = true;
		return false;
	}
	metric_add(&frames_sent, 1);
	return true;
}

/* Gives a client what it lacks, as far as it can take it. Return: false when it was closed. */
static bool client_pump(struct hub_client *client)
{
	struct hub_tenant *tenant = client->tenant;

	while (client->own_count && !client->full) {
		if (!client_send(client, client->own[0]))
			break;
		hub_frame_unref(client->own[0]);
		client->own_count--;
		memmove(client->own, client->own + 1, client->own_count * sizeof(client->own[0]));
	}
	if (client->state != HUB_LIVE)
		return true;
	while (!client->full && !client->own_count && client->next_seq < tenant->next_seq) {
		const struct hub_entry *entry;

		if (client->next_seq < hub_oldest(tenant))
			break;
		entry = hub_entry_at(tenant, client->next_seq);
		if (client_sees(client, entry) && !client_send(client, entry->frame))
			break;
		client->next_seq++;
	}
	if (!client_is_behind(client))
		return true;
	hub_client_close(client, HUB_CLOSE_SLOW, "too slow");
	return false;
}

bool hub_client_own(struct hub_client *client, struct hub_frame *frame)
{
	if (client->own_count == HUB_OWN_MAX) {
		hub_frame_unref(frame);
		hub_client_close(client, HUB_CLOSE_SLOW, "too slow");
		return false;
	}
	client->own[client->own_count++] = frame;
	return client_pump(client);
}

bool hub_client_ready(struct hub_client *client)
{
	client->full = false;
	return client_pump(client);
}

void hub_client_renew(struct hub_client *client, int64_t expires_at)
{
	client->who.expires_at = expires_at;
}

bool hub_client_go_live(struct hub_client *client, uint64_t next_seq)
{
	client->state = HUB_LIVE;
	client->next_seq = next_seq;
	return client_pump(client);
}

struct hub_client *hub_client_add(struct hub *hub, const struct hub_who *who,
				  const struct hub_client_ops *ops, void *arg)
{
	struct hub_client *client = xzalloc(sizeof(*client));
	struct hub_tenant *tenant = hub_tenant_get(hub, who->tenant);

	client->hub = hub;
	client->tenant = tenant;
	client->who = *who;
	client->ops = ops;
	client->arg = arg;
	client->handle = ++hub->handles;
	client->next = tenant->clients;
	if (tenant->clients)
		tenant->clients->prev = client;
	tenant->clients = client;
	hmap_add(&hub->clients, &client->node, client->handle);
	metric_set(&clients_now, (int64_t)hub->clients.count);
	if (!tenant->keeps) { /* from here on somebody may resume */
		tenant->keeps = true;
		hub_tenant_forget(tenant);
	}
	bug_on(!hub_client_own(client, hub_hello(client)));
	return client;
}

size_t hub_client_count(const struct hub *hub)
{
	return hub->clients.count;
}

static struct hub_client *client_find(struct hub *hub, uint64_t handle)
{
	struct hnode *node = hmap_first(&hub->clients, handle);

	return node ? container_of_(node, struct hub_client, node) : NULL;
}

/* ---- tenants and their histories ---- */

struct hub_tenant *hub_tenant_get(struct hub *hub, struct id id)
{
	uint64_t hash = id_hash(id);
	struct hub_tenant *tenant;

	for (struct hnode *n = hmap_first(&hub->tenants, hash); n; n = hmap_same(n)) {
		tenant = container_of_(n, struct hub_tenant, node);
		if (id_eq(tenant->id, id))
			return tenant;
	}
	tenant = xzalloc(sizeof(*tenant));
	tenant->hub = hub;
	tenant->id = id;
	tenant->next_seq = 1;
	hmap_add(&hub->tenants, &tenant->node, hash);
	return tenant;
}

static size_t entry_cost(const struct hub_entry *entry)
{
	return entry->frame->len + sizeof(*entry) + entry->viewer_count * sizeof(struct id);
}

static void entry_fini(struct hub_entry *entry)
{
	hub_frame_unref(entry->frame);
	free(entry->viewers);
}

static void viewers_init(struct hub_entry *entry, const struct conference_view *conference)
{
	entry->viewers = xzalloc_array(conference->member_count + 1, sizeof(*entry->viewers));
	entry->viewers[entry->viewer_count++] = conference->created_by;
	for (unsigned i = 0; i < conference->member_count; i++)
		if (!id_is_none(conference->members[i].user_id))
			entry->viewers[entry->viewer_count++] = conference->members[i].user_id;
}

static void entry_init(struct hub_entry *entry, const struct event *event)
{
	*entry = (struct hub_entry){
		.frame = hub_event_frame(event),
		.topic = event_type_topic(event->type),
		.user = event->user_id,
		.other = event->other_user_id,
	};
	if (event->conference)
		viewers_init(entry, event->conference);
}

static void history_drop(struct hub_tenant *tenant)
{
	struct hub_entry *entry = &tenant->entries[tenant->first % tenant->room];
	size_t cost = entry_cost(entry);

	tenant->bytes -= cost;
	tenant->hub->bytes -= cost;
	entry_fini(entry);
	tenant->first = (tenant->first + 1) % tenant->room;
	tenant->count--;
}

void hub_tenant_forget(struct hub_tenant *tenant)
{
	while (tenant->count)
		history_drop(tenant);
	free(tenant->entries);
	tenant->entries = NULL;
	tenant->room = tenant->first = 0;
}

static void history_grow(struct hub_tenant *tenant)
{
	size_t room = tenant->room ? tenant->room * 2 : 64;
	struct hub_entry *entries = xzalloc_array(room, sizeof(*entries));

	for (size_t i = 0; i < tenant->count; i++)
		entries[i] = tenant->entries[(tenant->first + i) % tenant->room];
	free(tenant->entries);
	tenant->entries = entries;
	tenant->room = room;
	tenant->first = 0;
}

/* All histories together are over their limit: the largest gives a quarter, so that this is rare. */
static void histories_shrink(struct hub *hub)
{
	struct hub_tenant *largest = NULL;
	struct hnode *node = NULL;
	size_t cursor = 0, goal;

	while ((node = hmap_iter(&hub->tenants, &cursor, node))) {
		struct hub_tenant *tenant = container_of_(node, struct hub_tenant, node);

		if (!largest || tenant->bytes > largest->bytes)
			largest = tenant;
	}
	if (!largest)
		return;
	goal = largest->bytes - largest->bytes / 4;
	while (largest->count > 1 && largest->bytes > goal)
		history_drop(largest);
}

static void history_add(struct hub_tenant *tenant, const struct event *event)
{
	struct hub *hub = tenant->hub;
	struct hub_entry *entry;
	size_t cost;

	while (tenant->count && (tenant->count >= hub->opts.history_events ||
				 tenant->bytes > hub->opts.history_bytes))
		history_drop(tenant);
	if (tenant->count == tenant->room)
		history_grow(tenant);
	entry = &tenant->entries[(tenant->first + tenant->count) % tenant->room];
	entry_init(entry, event);
	entry->at_s = hub->now_s;
	entry->offset = tenant->offset;
	cost = entry_cost(entry);
	tenant->offset += cost;
	tenant->bytes += cost;
	hub->bytes += cost;
	tenant->count++;
	if (hub->bytes > hub->opts.history_total)
		histories_shrink(hub);
}

/* ---- what comes from the bus ---- */

static void tenant_pump(struct hub_tenant *tenant)
{
	struct hub_client *next;

	for (struct hub_client *client = tenant->clients; client; client = next) {
		next = client->next;
		client_pump(client);
	}
}

static void tenant_resync(struct hub_tenant *tenant)
{
	while (tenant->clients)
		hub_client_close(tenant->clients, HUB_CLOSE_RESYNC, "events were lost");
	hub_tenant_forget(tenant);
}

static void tenant_touch(struct hub_tenant *tenant)
{
	struct hub *hub = tenant->hub;

	if (tenant->touched)
		return;
	tenant->touched = true;
	tenant->next_touched = hub->touched;
	hub->touched = tenant;
}

/* To those who have everything before it; a client that does not keep up has better things to get. */
static void on_passing(struct hub_tenant *tenant, const struct event *event)
{
	struct hub_client *client, *next;
	struct hub_entry entry;

	if (!tenant->clients)
		return;
	entry_init(&entry, event);
	for (client = tenant->clients; client; client = next) {
		next = client->next;
		if (client->state == HUB_LIVE && client_sees(client, &entry) &&
		    client_pump(client) && !client->full && !client->own_count &&
		    client->next_seq == tenant->next_seq)
			(void)client_send(client, entry.frame);
	}
	entry_fini(&entry);
}

static void on_event(struct hub *hub, struct event *event)
{
	struct hub_tenant *tenant = hub_tenant_get(hub, event->tenant);

	if (!event->seq) {
		on_passing(tenant, event);
		return;
	}

	if (event->seq != tenant->next_seq && tenant->next_seq > 1) {
		log_warn("event stream has a hole", LOG_ID("tenant", event->tenant),
			 LOG_INT("seq", event->seq), LOG_INT("expected", tenant->next_seq));
		tenant_resync(tenant);
	}
	tenant->next_seq = event->seq;
	if (tenant->keeps) {
		history_add(tenant, event);
		tenant_touch(tenant);
	}
	tenant->next_seq++;
}

/* Everything up to as_of_seq came before it through the same ring, so that what follows starts right after it. */
static void on_snapshot(struct hub *hub, struct event_snapshot *snapshot)
{
	struct hub_client *client = client_find(hub, snapshot->client);
	struct hub_tenant *tenant;

	if (!client || client->state != HUB_ASKED || !id_eq(client->who.tenant, snapshot->tenant) ||
	    !id_eq(client->who.user, snapshot->user_id))
		return; /* gone, or asked again meanwhile */
	tenant = client->tenant;
	if (tenant->next_seq < snapshot->as_of_seq + 1) {
		hub_tenant_forget(tenant);
		tenant->next_seq = snapshot->as_of_seq + 1;
	}
	client->state = HUB_IDLE;
	if (hub_client_own(client, hub_snapshot_frame(client, snapshot)))
		hub_client_go_live(client, snapshot->as_of_seq + 1);
}

static void hub_pump_touched(struct hub *hub)
{
	while (hub->touched) {
		struct hub_tenant *tenant = hub->touched;

		hub->touched = tenant->next_touched;
		tenant->touched = false;
		tenant_pump(tenant);
	}
}

static void hub_resync_all(struct hub *hub)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	while ((node = hmap_iter(&hub->tenants, &cursor, node)))
		tenant_resync(container_of_(node, struct hub_tenant, node));
}

static bool drain(struct hub *hub)
{
	struct ring *ring = event_bus_hub_ring(hub->bus);
	struct event_msg msg;
	bool any = false;

	for (; ring_pop(ring, &msg); any = true) {
		if (msg.event)
			on_event(hub, msg.event);
		if (msg.snapshot) {
			hub_pump_touched(hub); /* their place is before it */
			on_snapshot(hub, msg.snapshot);
		}
		event_unref(msg.event);
		event_snapshot_free(msg.snapshot);
	}
	if (event_bus_hub_lost(hub->bus))
		hub_resync_all(hub);
	hub_pump_touched(hub);
	metric_set(&history_now, (int64_t)hub->bytes);
	return any;
}

void hub_drain(struct hub *hub)
{
	ring_ack(event_bus_hub_ring(hub->bus));
	(void)drain(hub);
}

bool hub_drain_hushed(struct hub *hub)
{
	ring_hush(event_bus_hub_ring(hub->bus));
	return drain(hub);
}

int hub_fd(const struct hub *hub)
{
	return ring_fd(event_bus_hub_ring(hub->bus));
}

/* ---- time ---- */

static void tenant_tick(struct hub_tenant *tenant, int64_t now_us)
{
	struct hub *hub = tenant->hub;
	struct hub_client *next;
	int64_t oldest = hub->now_s - hub->opts.history_s;

	for (struct hub_client *client = tenant->clients; client; client = next) {
		next = client->next;
		if (client->who.expires_at && client->who.expires_at <= now_us)
			hub_client_close(client, HUB_CLOSE_TOKEN, "token expired");
	}
	while (tenant->count && tenant->entries[tenant->first % tenant->room].at_s < oldest)
		history_drop(tenant);
	if (tenant->keeps && !tenant->clients && tenant->clients_left_at < oldest) {
		tenant->keeps = false; /* nobody is left who could resume */
		hub_tenant_forget(tenant);
	}
}

void hub_tick(struct hub *hub, int64_t now_us)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	hub->now_s = now_us / 1000000;
	while ((node = hmap_iter(&hub->tenants, &cursor, node)))
		tenant_tick(container_of_(node, struct hub_tenant, node), now_us);
}

void hub_kick(struct hub *hub, struct id tenant_id, struct id user, int code, const char *reason)
{
	struct hub_tenant *tenant = hub_tenant_get(hub, tenant_id);
	struct hub_client *next;

	for (struct hub_client *client = tenant->clients; client; client = next) {
		next = client->next;
		if (id_eq(client->who.account, user))
			hub_client_close(client, code, reason);
	}
}

/* ---- the hub ---- */

static void seed(void *arg, struct id tenant, uint64_t seq)
{
	hub_tenant_get(arg, tenant)->next_seq = seq + 1;
}

struct hub *hub_new(const struct hub_opts *opts, struct event_bus *bus)
{
	struct hub *hub = xzalloc(sizeof(*hub));
	struct hub_opts *o = &hub->opts;

	*o = *opts;
	o->history_events = o->history_events ? o->history_events : 50000;
	o->history_bytes = o->history_bytes ? o->history_bytes : 32u << 20;
	o->history_total = o->history_total ? o->history_total : 256u << 20;
	o->history_s = o->history_s ? o->history_s : 600;
	o->lag_events = o->lag_events ? o->lag_events : 5000;
	o->lag_bytes = o->lag_bytes ? o->lag_bytes : 4u << 20;
	hub->bus = bus;
	hub->now_s = clock_wall_us() / 1000000;
	event_bus_each_seq(bus, seed, hub);
	return hub;
}

struct hub *hub_free(struct hub *hub)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	if (!hub)
		return NULL;
	while ((node = hmap_iter(&hub->tenants, &cursor, NULL))) {
		struct hub_tenant *tenant = container_of_(node, struct hub_tenant, node);

		while (tenant->clients)
			hub_client_close(tenant->clients, HUB_CLOSE_GOING_AWAY, "going away");
		hub_tenant_forget(tenant);
		hmap_del(&hub->tenants, &tenant->node);
		free(tenant);
		cursor = 0;
	}
	hmap_fini(&hub->tenants);
	hmap_fini(&hub->clients);
	free(hub);
	return NULL;
}
