/* http/ws_private.h - a WebSocket connection and its thread, as ws.c, ws_conn.c and ws_out.c share them */
#pragma once

#include "http/private.h"

#include <wslay/wslay.h>

#define WATCHES 8

struct chunk; /* something waiting to go out: ws_out.c */

enum source_kind { SOURCE_RING, SOURCE_WATCH, SOURCE_CONN };

struct source {
	enum source_kind kind;
};

struct watch {
	struct source source;
	int fd;
	void (*fn)(void *arg);
	void *arg;
};

struct address {
	struct hnode node;
	unsigned clients;
	char text[46];
};

struct ws_conn {
	struct source source;
	struct ws *ws;
	uint64_t id;
	struct hnode by_id;
	struct address *address;
	int fd;
	wslay_event_context_ptr wslay;
	const struct ws_endpoint *endpoint;
	void *state;
	struct chunk *out, **out_tail;
	size_t out_bytes;
	struct timer timer; /* the next ping, or the end of patience with a close */
	unsigned missed;
	size_t round_bytes;
	uint8_t *early;
	size_t early_len, early_at;
	bool closing, dead, eof, polls_out, in_flush, wants_drained;
	int code; /* how it ended */
	struct ws_conn *flush_next, *reap_next;
};

struct ws {
	struct ws_setup setup;
	struct source ring_source;
	struct ring *posts;
	struct wheel *wheel;
	int epoll_fd;
	pthread_t thread;
	bool thread_runs, stopping;
	uint64_t stop_at_ms, next_id;
	struct hmap conns, addresses;
	struct watch watches[WATCHES];
	struct ws_conn *flush, *reap;
};

/* ws_out.c: what goes out. Anything may be queued at any time; it leaves at the end of the round. */
void ws_conn_raw(struct ws_conn *conn, const uint8_t *data, size_t len); /* wslay's own frames */
void ws_conn_flush_later(struct ws_conn *conn);
void ws_conn_flush(struct ws_conn *conn);
void ws_conn_drop_out(struct ws_conn *conn, bool all); /* else but what has begun to leave */

/* ws_conn.c: birth, reading, death */
size_t ws_conn_out_max(const struct ws_conn *conn);
void ws_conn_read(struct ws_conn *conn);
/* Takes it out of service; it is freed at the end of the round. */
void ws_conn_kill(struct ws_conn *conn, int code);
void ws_conn_free(struct ws_conn *conn);
