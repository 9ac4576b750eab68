/* event/hub.h - live events for many clients: history, resume, snapshots, topics
 *
 * Lives on one loop thread (http/'s WebSocket loop) and knows no sockets: a connection gives it two functions.
 * An event's JSON is rendered once; every client of the tenant sends the same frame. A client has no
 * queue of its own but a place in its tenant's history, so that ten thousand idle ones cost nothing; one
 * that falls too far behind is closed with 4408 and may resume.
 *
 * The protocol is API.md section 9; the hub reads the clients' texts and writes all of the server's.
 */
#pragma once

#include "event/bus.h"

#define HUB_HEARTBEAT_MS 25000

enum {
	HUB_CLOSE_TOKEN = 4401,
	HUB_CLOSE_FORBIDDEN = 4403,
	HUB_CLOSE_SLOW = 4408,
	HUB_CLOSE_RESYNC = 4410,
	HUB_CLOSE_BAD_TEXT = 1007, /* RFC 6455 7.4.1: not JSON, or not what the protocol knows */
	HUB_CLOSE_GOING_AWAY = 1001,
};

struct hub_opts {
	unsigned history_events; /* a tenant; 0: 50000 */
	size_t history_bytes;	 /* a tenant; 0: 32 MiB */
	size_t history_total;	 /* all tenants; 0: 256 MiB: the longest histories give way */
	unsigned history_s;	 /* 0: 600 */
	unsigned lag_events;	 /* a client; 0: 5000 */
	size_t lag_bytes;	 /* a client; 0: 4 MiB */
	/* Asks the call loop for a snapshot (COMMAND_SNAPSHOT); false when that cannot be done now: the
	 * client is closed with 4410. It comes back through the bus.
	 */
	bool (*ask_snapshot)(void *arg, uint64_t client, struct id tenant, struct id user);
	void *arg;
};

struct hub;
struct hub_client;

/* One text frame's payload, shared by all who send it. Not changed after it was made. */
struct hub_frame {
	unsigned refs;
	size_t len;
	char text[]; /* UTF-8, NUL-terminated beside its length */
};
struct hub_frame *hub_frame_ref(struct hub_frame *frame);
struct hub_frame *hub_frame_unref(struct hub_frame *frame);

struct hub_client_ops {
	/* Takes a frame to send (and a reference of its own if it keeps it). Return: false when it cannot take one now:
	 * it then calls hub_client_ready() as soon as it can, and the frame comes again. Must not call the hub.
	 */
	bool (*send)(void *arg, struct hub_frame *frame);
	/* Close with this code. The client is out of the hub already: arg is not called again, and the
	 * struct hub_client is gone.
	 */
	void (*close)(void *arg, int code, const char *reason);
};

struct hub_who {
	struct id tenant;
	struct id user;	    /* an agent: only what is this user's; ID_NONE: the whole tenant */
	struct id account;  /* the user in any case, for hub_kick() */
	int64_t expires_at; /* of the access token; 0: never */
};

/* After the bus was seeded (journal_open()) and before the call loop starts. */
struct hub *hub_new(const struct hub_opts *opts, struct event_bus *bus);
/* Closes all clients with 1001. */
struct hub *hub_free(struct hub *hub);
DEFINE_CLEANUP(struct hub *, hub_free)

/* Readable when hub_drain() has something to do. */
int hub_fd(const struct hub *hub);
void hub_drain(struct hub *hub);
/* As hub_drain() for who comes again by itself soon: hub_fd() tells of nothing until the next hub_drain().
 * Return: whether there was anything to do.
 */
bool hub_drain_hushed(struct hub *hub);
/* Once a second: old history goes, expired tokens close. */
void hub_tick(struct hub *hub, int64_t now_us);

/* A connection that is allowed in. It is sent `hello` before this returns. Return: the client; never NULL. */
struct hub_client *hub_client_add(struct hub *hub, const struct hub_who *who,
				  const struct hub_client_ops *ops, void *arg);
/* The connection went away: close() is not called. */
void hub_client_remove(struct hub_client *client);
/* A text from the client. May close it (then false comes back and the client is gone). */
must_check bool hub_client_text(struct hub_client *client, const char *text, size_t len);
/* There is room again. May close it, as above. */
must_check bool hub_client_ready(struct hub_client *client);
/* A fresh access token was shown. */
void hub_client_renew(struct hub_client *client, int64_t expires_at);
/* Closes all clients of a user (removed, role changed): the code is the caller's. */
void hub_kick(struct hub *hub, struct id tenant, struct id user, int code, const char *reason);
size_t hub_client_count(const struct hub *hub);
