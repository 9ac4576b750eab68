/* Live events: tickets for browsers, the WebSocket endpoint, and the hub that lives on the ws thread */
#include "api/private.h"

#include "base/wheel.h"
#include "event/hub.h"

#include <sodium.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#define TICKETS 4096
#define TICKET_LIFE_US (30 * 1000000ll)
#define TICKET_SECRET 32
#define GATHER_MS 5
#define BACKLOG_MAX                                                                                \
	(128 * 1024) /* more than this waits in the hub's history, not in the socket's queue */

/* ---- Tickets: one use, 30 s; a table of words that workers swap, so no lock ---- */

struct ticket_entry {
	uint8_t secret[TICKET_SECRET];
	struct api_user user;
	int64_t expires_at;
};

struct tickets {
	atomic_uint next;
	_Atomic(struct ticket_entry *) slots[TICKETS];
};

struct tickets *tickets_new(void)
{
	return xzalloc(sizeof(struct tickets));
}

static void ticket_entry_free(struct ticket_entry *entry)
{
	if (entry)
		explicit_bzero(entry, sizeof(*entry));
	free(entry);
}

struct tickets *tickets_free(struct tickets *tickets)
{
	for (unsigned i = 0; tickets && i < TICKETS; i++)
		ticket_entry_free(atomic_load(&tickets->slots[i]));
	free(tickets);
	return NULL;
}

/* The ticket says in which slot it lies; the oldest gives way to the newest. */
static void ticket_make(struct tickets *tickets, const struct api_user *user,
			char ret[static 2 * TICKET_SECRET + 9])
{
	unsigned slot = atomic_fetch_add(&tickets->next, 1) % TICKETS;
	struct ticket_entry *entry = xzalloc(sizeof(*entry));

	randombytes_buf(entry->secret, sizeof(entry->secret));
	entry->user = *user;
	entry->expires_at = clock_wall_us() + TICKET_LIFE_US;
	snprintf(ret, 9, "%08x", slot);
	sodium_bin2hex(ret + 8, 2 * TICKET_SECRET + 1, entry->secret, sizeof(entry->secret));
	ticket_entry_free(atomic_exchange(&tickets->slots[slot], entry));
}

static bool ticket_take(struct tickets *tickets, const char *text, struct api_user *ret)
{
	uint8_t secret[TICKET_SECRET];
	struct ticket_entry *entry, *none = NULL;
	unsigned slot = 0;
	size_t len = 0;
	bool good;

	if (strlen(text) != 8 + 2 * TICKET_SECRET || sscanf(text, "%8x", &slot) != 1 ||
	    slot >= TICKETS ||
	    sodium_hex2bin(secret, sizeof(secret), text + 8, 2 * TICKET_SECRET, NULL, &len, NULL) !=
		    0 ||
	    len != sizeof(secret))
		return false;
	entry = atomic_exchange(&tickets->slots[slot], NULL);
	if (!entry)
		return false;
	if (sodium_memcmp(entry->secret, secret, sizeof(secret)) != 0) {
		/* Somebody guesses: the owner keeps the ticket, unless the slot has a new one by now. */
		if (!atomic_compare_exchange_strong(&tickets->slots[slot], &none, entry))
			ticket_entry_free(entry);
		return false;
	}
	good = entry->expires_at > clock_wall_us();
	if (good)
		*ret = entry->user;
	ticket_entry_free(entry);
	return good;
}

static struct api_done *ws_ticket(struct api_req *req)
{
	char text[2 * TICKET_SECRET + 9];
	struct api_done *answer;

	ticket_make(req->api->tickets, req->user, text);
	answer = api_json(req, 201,
			  json_pack("{s:s, s:i}", "ticket", text, "expires_in",
				    (int)(TICKET_LIFE_US / 1000000)));
	explicit_bzero(text, sizeof(text));
	return answer;
}

/* ---- The hub's home ---- */

struct events {
	struct api *api;
	struct hub *hub; /* the ws thread's */
	struct timer tick, gather;
	atomic_bool begun, ended;
};

static bool ask_snapshot(void *arg, uint64_t client, struct id tenant, struct id user)
{
	struct events *events = arg;
	struct command command = {
		.type = COMMAND_SNAPSHOT,
		.asker = { .tenant = tenant,
			   .user = user,
			   .role = id_is_none(user) ? ASKER_ADMIN : ASKER_AGENT },
		.client = client,
	};

	return api_tell(events->api, &command);
}

/* The first event after a quiet time goes out at once; while more come, they are gathered. */
static void on_hub(void *arg)
{
	struct events *events = arg;

	if (hub_drain_hushed(events->hub))
		timer_start(&events->gather, GATHER_MS);
	else
		hub_drain(events->hub);
}

static void on_gather(struct timer *timer, void *arg)
{
	(void)timer;
	on_hub(arg);
}

static void on_tick(struct timer *timer, void *arg)
{
	struct events *events = arg;

	hub_tick(events->hub, clock_wall_us());
	timer_start(timer, 1000);
}

static void events_begin(void *arg)
{
	struct events *events = arg;
	struct hub_opts opts = { .ask_snapshot = ask_snapshot, .arg = events };
	int r;

	events->hub = hub_new(&opts, events->api->setup.bus);
	r = ws_watch(events->api->ws, hub_fd(events->hub), on_hub, events);
	bug_on(r); /* it is the first */
	timer_init(&events->gather, ws_wheel(events->api->ws), on_gather, events);
	timer_init(&events->tick, ws_wheel(events->api->ws), on_tick, events);
	timer_start(&events->tick, 1000);
	atomic_store(&events->begun, true);
}

static void events_end(void *arg)
{
	struct events *events = arg;

	timer_stop(&events->tick);
	timer_stop(&events->gather);
	ws_unwatch(events->api->ws, hub_fd(events->hub));
	events->hub = hub_free(events->hub);
	atomic_store(&events->ended, true);
}

struct events *events_new(struct api *api)
{
	struct events *events = xzalloc(sizeof(*events));

	events->api = api;
	bug_on(!ws_post(api->ws, events_begin, events)); /* its ring is empty */
	/* The hub begins at the numbers that the bus has now: nothing may be published before. */
	while (!atomic_load(&events->begun))
		usleep(200);
	return events;
}

/* Before ws_stop(), which still closes the sockets of the hub's clients. */
static void events_finish(struct events *events)
{
	while (!ws_post(events->api->ws, events_end, events))
		usleep(1000);
	while (!atomic_load(&events->ended))
		usleep(1000);
}

struct events *events_free(struct events *events)
{
	if (!events)
		return NULL;
	events_finish(events);
	free(events);
	return NULL;
}

/* ---- A client ---- */

struct listener {
	struct events *events;
	struct ws_conn *conn;
	struct hub_client *client; /* NULL once the hub let go of it */
	struct hub_who who;
};

static void frame_release(void *frame)
{
	hub_frame_unref(frame);
}

static bool listener_send(void *arg, struct hub_frame *frame)
{
	struct listener *listener = arg;

	if (ws_conn_backlog(listener->conn) > BACKLOG_MAX) {
		ws_want_drained(listener->conn);
		return false;
	}
	ws_send_shared(listener->conn, frame->text, frame->len, frame_release,
		       hub_frame_ref(frame));
	return true;
}

static void listener_close(void *arg, int code, const char *reason)
{
	struct listener *listener = arg;

	listener->client = NULL;
	ws_close(listener->conn, code, reason);
}

static const struct hub_client_ops listener_ops = { .send = listener_send,
						    .close = listener_close };

static void *listener_open(struct ws_conn *conn, void *arg)
{
	struct listener *listener = arg;

	listener->conn = conn;
	if (!listener->events->hub)
		ws_close(conn, WS_CLOSE_RESTART, "going away");
	else
		listener->client = hub_client_add(listener->events->hub, &listener->who,
						  &listener_ops, listener);
	return listener;
}

/* {"type": "auth", "access": TOKEN}: a client that stays longer than its token shows the next one, of
 * the same user: what it may see was decided when it came.
 */
static bool listener_renew(struct listener *listener, const char *text, size_t len)
{
	struct token_claims claims;
	json_t *json;
	const char *token;
	bool ours;

	if (len > TOKEN_MAX + 256 || !memmem(text, len, "\"auth\"", 6))
		return false;
	json = json_loadb(text, len, 0, NULL);
	ours = str_eq(json_string_value(json_object_get(json, "type")), "auth");
	token = json_string_value(json_object_get(json, "access"));
	if (ours && token &&
	    token_check(listener->events->api->key, token, clock_wall_us() / 1000000, &claims) ==
		    0 &&
	    id_eq(claims.tenant, listener->who.tenant) && id_eq(claims.user, listener->who.account))
		hub_client_renew(listener->client, claims.expires_at * 1000000);
	else if (ours)
		hub_client_remove(take(listener->client));
	json_decref(json);
	return ours;
}

static void listener_message(struct ws_conn *conn, void *state, bool is_text, const uint8_t *data,
			     size_t len)
{
	struct listener *listener = state;
	const char *text = (const char *)data;

	if (!listener->client)
		return;
	if (!is_text) {
		hub_client_remove(take(listener->client));
		ws_close(conn, WS_CLOSE_UNSUPPORTED, "only text is spoken here");
		return;
	}
	if (listener_renew(listener, text, len)) {
		if (!listener->client)
			ws_close(conn, WS_CLOSE_EXPIRED, "the token is not valid");
		return;
	}
	if (!hub_client_text(listener->client, text, len))
		listener->client = NULL;
}

static void listener_drained(struct ws_conn *conn, void *state)
{
	struct listener *listener = state;

	(void)conn;
	if (listener->client && !hub_client_ready(listener->client))
		listener->client = NULL;
}

static void listener_closed(struct ws_conn *conn, void *state, int code)
{
	struct listener *listener = state;

	(void)conn;
	(void)code;
	if (listener->client)
		hub_client_remove(listener->client);
	free(listener);
}

static const struct ws_endpoint events_endpoint = {
	.name = "events",
	.message_max = 16 * 1024,
	.out_max = 4 * 1024 * 1024, /* the hub keeps far below it */
	.open = listener_open,
	.message = listener_message,
	.drained = listener_drained,
	.closed = listener_closed,
};

/* ---- The way in ---- */

static struct api_done *ws_authenticate(struct api_req *req, struct api_user *user)
{
	const char *ticket = web_query(req->web, "ticket"),
		   *token = web_offered_after(req->web, "bearer.");
	const char *header = web_header(req->web, "Authorization");

	if (ticket)
		return ticket_take(req->api->tickets, ticket, user)
			       ? NULL
			       : api_unauthorized(req, "token_not_valid");
	if (token)
		return api_authenticate(req, token, user);
	if (header && strncasecmp(header, "Bearer ", 7) == 0)
		return api_authenticate(req, header + 7, user);
	return api_unauthorized(req, "not_authenticated");
}

static struct api_done *ws_events(struct api_req *req)
{
	struct api_user user;
	struct listener *listener;
	struct api_done *no = ws_authenticate(req, &user);

	if (no)
		return no;
	if (!(user.scopes & 1u << req->route->scope))
		return api_forbidden(req);
	if (!web_upgradable(req->web))
		return api_gone(req);
	listener = xzalloc(sizeof(*listener));
	listener->events = req->api->events;
	listener->who.tenant = user.tenant;
	listener->who.account = user.id;
	listener->who.user = user.role == USER_AGENT ? user.id : ID_NONE;
	listener->who.expires_at = user.expires_at;
	web_upgrade(req->web, &events_endpoint,
		    web_offers_subprotocol(req->web, "jackfield.v1") ? "jackfield.v1" : NULL,
		    listener, free);
	return api_gone(req);
}

/* ---- Rights that change ---- */

struct kick {
	struct events *events;
	struct id tenant, user;
};

static void on_kick(void *arg)
{
	struct kick *kick = arg;

	if (kick->events->hub)
		hub_kick(kick->events->hub, kick->tenant, kick->user, HUB_CLOSE_TOKEN,
			 "signed out");
	free(kick);
}

void events_kick(struct events *events, struct id tenant, struct id user)
{
	struct kick *kick = xzalloc(sizeof(*kick));

	kick->events = events;
	kick->tenant = tenant;
	kick->user = user;
	if (!ws_post(events->api->ws, on_kick, kick)) {
		log_rated(LOG_ERROR_,
			  "event clients of a changed user stay until their tokens expire");
		free(kick);
	}
}

const struct api_route event_routes[] = {
	{ "POST", "/api/ws-ticket/", "createWsTicket", ws_ticket, SCOPE_CALLS_READ, 0 },
	{ "GET", "/ws/events", "openEvents", ws_events, SCOPE_CALLS_READ,
	  API_RAW | API_OWN_ACCESS },
	{ 0 },
};
