/* http/private.h - what the files of this folder share */
#pragma once

#include "base/hmap.h"
#include "base/ring.h"
#include "base/wheel.h"
#include "http/web.h"
#include "http/ws.h"

#include <microhttpd.h>
#include <pthread.h>

#define WEB_QUERY_MAX 64
#define WEB_PARAM_MAX 4
#define WEB_HEADER_MAX 16
#define WEB_URI_MAX 8192
#define WEB_PARKED_MAX 1024
/* What is read and thrown away of a body that is too large, so that its sender gets to read the 413. */
#define WEB_DRAIN_MAX (8u << 20)
/* The same where large bodies are expected. */
#define WEB_DRAIN_LARGE (64u << 20)
/* The slowest peer that is waited for, beyond the phase's own time */
#define WEB_BYTES_PER_S (16u << 10)

/* ---- route.c ---- */
struct router;
struct route_match {
	const struct web_route *route; /* NULL: see allow */
	const char *
		allow; /* the path exists with these methods ("GET, HEAD, OPTIONS"); NULL: it does not */
	unsigned param_count;
	struct {
		const char *name; /* not NUL-terminated: the route's own text */
		size_t name_len;
		const char *value; /* in the path given, not NUL-terminated */
		size_t value_len;
	} param[WEB_PARAM_MAX];
};
struct router *router_new(const struct web_route *routes);
struct router *router_free(struct router *router);
void router_find(const struct router *router, const char *method, const char *path,
		 struct route_match *ret);

/* ---- req.c ---- */
struct web_pair {
	const char *name, *value;
};

enum req_state {
	REQ_READING, /* the web thread gathers headers and body */
	REQ_QUEUED,  /* waits for a worker */
	REQ_WORKING, /* a worker has it */
	REQ_PARKED,
	REQ_ANSWERED, /* the answer is set; the web thread gives it to MHD */
	REQ_SENT,
};

struct web_req {
	struct web *web;
	struct MHD_Connection *conn;
	struct arena *arena;
	struct id id;
	struct hnode by_id;   /* while parked or worked upon */
	struct web_req *next; /* in the queue */
	enum req_state state;
	bool suspended, woken, too_large, head;
	bool before_body; /* the turn before the body is due or under way */
	bool begun;	  /* MHD has the answer's head */
	unsigned turn, park_ms;
	struct timer park_timer;
	uint64_t begin_us;

	char *uri; /* raw */
	const char *query_text, *method, *path;
	char peer[46];
	const struct web_route *route;
	unsigned param_count;
	struct web_pair param[WEB_PARAM_MAX];
	size_t query_count;
	struct web_pair *query;
	bool query_bad;

	char *body;
	size_t body_len, body_cap, body_max, drain_max, drained;
	int64_t body_declared; /* Content-Length; -1: chunked; 0: none */
	bool has_sink;
	struct web_sink sink;
	int sink_status;
	size_t sunk;
	struct form *form;

	void *owner;
	void (*owner_free)(void *owner);

	int status;
	const char *type;
	char *answer;
	size_t answer_len;
	unsigned header_count;
	struct web_pair header[WEB_HEADER_MAX];
	struct web_source source; /* of a file's answer; free is NULL else */
	uint64_t file_at, file_len;
	uint64_t deadline_ms,
		suspended_ms; /* when its phase has to be over; since when that stands still */
	bool streaming;
	struct web_piece {
		char *data;
		size_t len, sent;
		bool last, abort;
	} piece;

	const struct ws_endpoint *endpoint; /* the answer is an upgrade */
	void *ws_arg;
	void (*ws_arg_free)(void *arg);
};

struct web_req *req_new(struct web *web, struct MHD_Connection *conn, const char *uri);
struct web_req *req_free(struct web_req *req);
/* Once the headers are there: path, query, route. Return: false when the request was answered. */
bool req_begin(struct web_req *req, const char *method, const char *path);
/* Gives the answer to MHD. */
enum MHD_Result req_send(struct web_req *req);
void req_error(struct web_req *req, int status, const char *code, const char *detail);

uint64_t req_answer_len(const struct web_req *req);

/* ---- body.c ---- */
/* Looks at Content-Length. Return: false when the request was answered. */
bool body_begin(struct web_req *req);
/* Return: false when the peer sends so much that the connection should be cut. */
bool body_take(struct web_req *req, const char *data, size_t len);
/* All has come. Return: false when the request was answered. */
bool body_end(struct web_req *req);
/* An answer that is there before the body: whether it goes out at once rather than once the body has been read away */
bool body_is_unwanted(const struct web_req *req);

/* ---- form.c ---- */
struct form;
struct form *form_free(struct form *form);

/* ---- stream.c ---- */
struct MHD_Response *stream_response(struct web_req *req);

/* ---- peer.c: kept by MHD as the connection's socket context ---- */
struct peer;
struct peer *peer_new(struct MHD_Connection *conn, struct wheel *wheel, unsigned seconds);
struct peer *peer_free(struct peer *peer);
/* The connection is cut then; 0: never. */
void peer_deadline(struct MHD_Connection *conn, unsigned seconds);

/* ---- bell.c ---- */
struct web_bell *bell_new(struct ring *ring); /* owns the ring from here on */
struct web_bell *bell_ref(struct web_bell *bell);
void bell_unref(struct web_bell *bell);

/* ---- file.c ---- */
enum file_range { RANGE_NONE, RANGE_GOOD, RANGE_BEYOND };
/* One range of bytes; anything else is none (RFC 9110 14.2: may be ignored), several among it. */
enum file_range file_range_parse(const char *text, uint64_t size, uint64_t *ret_at,
				 uint64_t *ret_len);
/* Whether a list of entity tags names ours. Weak ones count only where `weak` (RFC 9110 8.8.3.2). */
bool file_etag_listed(const char *list, const char *etag, bool weak);

/* ---- source.c ---- */
struct MHD_Response *source_response(struct web_req *req);

/* ---- listen.c ---- */
/* Return: 0, WEB_E_ADDRESS, WEB_E_BUSY or negative; *ret_fd is to be closed even then if it is not -1. */
must_check int listen_open(const char *text, int *ret_fd, unsigned *ret_port);

/* ---- door.c: takes connections in; the web thread's ---- */
struct door {
	int fd; /* listens; -1: shut */
	int epoll_fd;
	struct MHD_Daemon *mhd;
	unsigned max; /* connections at once */
	struct timer pause;
};
/* `fd`, `epoll_fd` and `mhd` are set; from here on the fd is to be watched in the epoll. */
must_check int door_open(struct door *door, struct wheel *wheel, unsigned max);
void door_take(struct door *door); /* the fd is readable */
/* Nobody more comes in. Idempotent. */
void door_shut(struct door *door);

/* ---- crew.c: the workers and the queue before them; the web thread's but for the worker threads' own part ---- */
struct crew;
struct crew *crew_new(struct web *web, const struct web_crew *setup);
/* Return: false when a start() failed. */
bool crew_start(struct crew *crew);
struct crew *crew_free(struct crew *crew);
/* Return: false when the queue is full; never for an answer that has begun. */
bool crew_submit(struct crew *crew, struct web_req *req);
void crew_worker_idle(struct crew *crew, unsigned worker);
bool crew_has_room(const struct crew *crew);

/* ---- web.c ---- */
enum web_msg_kind {
	WEB_MSG_ANSWERED,
	WEB_MSG_FILLED,	 /* a piece of a source has been read */
	WEB_MSG_RECEIVE, /* the body may come */
	WEB_MSG_PARKED,
	WEB_MSG_WAKE,
	WEB_MSG_IDLE,
	WEB_MSG_STOP,
};
struct web_msg {
	enum web_msg_kind kind;
	struct web_req *req;
	unsigned worker;
	struct id request;
	uint32_t turn;
};
void web_send(struct web *web, const struct web_msg *msg);
/* The web thread's: one more piece of a streamed answer is wanted. Return: false when there is no time for it. */
bool web_want_piece(struct web_req *req);
/* The web thread's: a piece of a source is to be read; WEB_MSG_FILLED follows. Return: as above. */
struct work;
bool web_read(struct web_req *req, const struct work *work);
/* How many sources are open. Return: false when it may be no more. */
bool web_sources_more(struct web *web);
void web_sources_less(struct web *web);
struct web_bell *web_bell_ref(struct web *web);
const char *web_cors_origin(const struct web *web,
			    const char *origin); /* the origin itself if allowed, or NULL */
struct ws *web_ws(const struct web *web);
bool web_is_stopping(const struct web *web);
size_t web_default_body_max(const struct web *web);
bool web_trusts_forwarded(const struct web *web);
const struct router *web_router(const struct web *web);

/* ---- upgrade.c ---- */
struct MHD_Response *upgrade_response(struct web_req *req);
/* The accept value of RFC 6455 4.2.2: 28 characters and the NUL. */
void ws_accept_key(const char *key, char out[static 29]);
