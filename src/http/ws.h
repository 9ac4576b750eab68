/* http/ws.h - WebSocket connections: one epoll thread that owns upgraded sockets (RFC 6455)
 *
 * An endpoint is a table of callbacks, called on the ws thread only; a `struct ws_conn` lives from `open` until
 * `closed` returns and is never given to another thread (give its ws_conn_id() away instead). Everything is
 * bounded: messages in, bytes waiting to go out, clients in all and from one address. A client that does not read
 * is closed, never waited for. Pings go out every 25 s; two without any sign of life close the connection.
 */
#pragma once

#include "base/base.h"
#include "base/wheel.h"

struct ws;
struct ws_conn;

enum {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_RESTART = 1012,
	WS_CLOSE_EXPIRED = 4401, /* the token's time is up, or it was revoked */
	WS_CLOSE_FORBIDDEN = 4403,
	WS_CLOSE_SLOW = 4408,
	WS_CLOSE_RESYNC = 4410,
};

struct ws_endpoint {
	const char *name;   /* for logs and metrics */
	size_t message_max; /* bytes in; 0: 64 KiB */
	size_t out_max;	    /* bytes waiting to go out; 0: 1 MiB */
	/* `arg` came with web_upgrade() and is the endpoint's from here on. Return: the connection's state. */
	void *(*open)(struct ws_conn *conn, void *arg);
	/* A whole message; text is valid UTF-8 but not NUL-terminated. */
	void (*message)(struct ws_conn *conn, void *state, bool text, const uint8_t *data,
			size_t len);
	/* After ws_want_drained(). May be NULL. */
	void (*drained)(struct ws_conn *conn, void *state);
	/* Gone, with the peer's code, ours, or 1006. Frees state. ws_send() is ignored from here on. */
	void (*closed)(struct ws_conn *conn, void *state, int code);
};

struct ws_setup {
	unsigned max_clients;	  /* 0: 50,000 */
	unsigned max_per_address; /* 0: 1,000 */
	unsigned ping_ms;	  /* 0: 25,000 */
	unsigned close_ms;	  /* how long a close handshake may take; 0: 5,000 */
};

must_check int ws_start(const struct ws_setup *setup, struct ws **ret_ws);
/* Closes every client with 1012 (an `open` never comes after this), runs what was posted, joins. */
struct ws *ws_stop(struct ws *ws);
DEFINE_CLEANUP(struct ws *, ws_stop)

/* Any thread: fn(arg) on the ws thread, in order for each caller. Return: false when the ring is full (not taken). */
must_check bool ws_post(struct ws *ws, void (*fn)(void *arg), void *arg);

/* ---- The ws thread only ---- */

struct wheel *ws_wheel(struct ws *ws);
/* fn(arg) whenever fd is readable (a ring's); level-triggered. At most 8. May also be called before ws thread work
 * begins, through ws_post(). Return: 0 or negative. The fd stays the caller's.
 */
must_check int ws_watch(struct ws *ws, int fd, void (*fn)(void *arg), void *arg);
void ws_unwatch(struct ws *ws, int fd);

uint64_t ws_conn_id(const struct ws_conn *conn);	 /* never used twice */
struct ws_conn *ws_conn_get(struct ws *ws, uint64_t id); /* NULL when gone */
const char *ws_conn_peer(const struct ws_conn *conn);
struct ws *ws_conn_ws(const struct ws_conn *conn);
void *ws_conn_state(const struct ws_conn *conn);

void ws_send_text(struct ws_conn *conn, const char *text, size_t len);
void ws_send_binary(struct ws_conn *conn, const uint8_t *data, size_t len);
/* A text made once for many clients: not copied; release(arg) runs on the ws thread once it was sent or dropped. */
void ws_send_shared(struct ws_conn *conn, const char *text, size_t len, void (*release)(void *arg),
		    void *arg);
/* Asks for one call of the endpoint's `drained` when everything waiting has left. */
void ws_want_drained(struct ws_conn *conn);
/* Sends the close frame; `closed` follows when the peer answers or close_ms passes. Again: ignored. */
void ws_close(struct ws_conn *conn, int code, const char *reason);
/* Bytes waiting to go out. */
size_t ws_conn_backlog(const struct ws_conn *conn);

/* ---- For web_upgrade() (the web thread): the socket is taken over in any case ---- */
struct ws_birth {
	int fd;
	const struct ws_endpoint *endpoint;
	void *arg;
	void (*arg_free)(void *arg);
	uint8_t *early; /* bytes that came with the handshake; from malloc */
	size_t early_len;
	char peer[46];
};
void ws_adopt(struct ws *ws, struct ws_birth *birth);
