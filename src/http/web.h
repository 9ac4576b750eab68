/* http/web.h - the HTTP server: one epoll thread around libmicrohttpd, and a crew of workers
 *
 * The web thread owns every connection, parses, gathers bodies up to a stated maximum and finds the route.
 * A request is then handed to one worker at a time while its connection is suspended; the web thread never
 * blocks and no worker ever touches a socket. Requests wait for a free worker in a bounded queue; when that is
 * full the answer is 503 with Retry-After.
 *
 * A worker ends its turn with exactly one of web_answer(), web_park() and web_upgrade(). A parked request
 * belongs to nobody until web_wake(); it then gets another turn on some worker. Thus a long wait costs
 * memory, not a thread.
 *
 * (The prefix is web_ because http_ is libre's.)
 */
#pragma once

#include "base/base.h"

struct web;
struct web_req;
struct ws;

enum {
	WEB_QUIET = 1 << 0, /* not in the access log unless it fails (health checks, metrics) */
	/* The first turn comes before the body: it answers, or says with web_receive() where the body is to go, which
	 * is followed by another turn. So nobody's bytes are kept before it is known who sends them.
	 */
	WEB_BODY_LATER = 1 << 1,
};

/* One method of one path. `path` is made of literal segments and {name} segments, which match one segment each;
 * requests may come with or without the slash at the end. A GET route also answers HEAD; OPTIONS, 404 and 405
 * (with Allow) are the router's own.
 */
struct web_route {
	const char *method;
	const char *path;
	size_t body_max; /* bytes of a request's body, beyond: 413. 0: the server's default */
	unsigned flags;
	const void *arg; /* the owner's; see web_route_arg() */
};

/* What works on requests. All are called on the worker's own thread. */
struct web_crew {
	unsigned workers;
	unsigned queue; /* requests that may wait for a worker */
	void *(*start)(void *arg,
		       unsigned index); /* Return: the worker's state, NULL to fail web_start() */
	void (*handle)(void *state, struct web_req *req);
	void (*stop)(void *state);
	void *arg;
};

struct web_setup {
	const char *listen; /* "127.0.0.1:8080", "[::1]:8080"; port 0 takes a free one */
	const char *
		origins; /* comma-separated origins allowed by CORS and to WebSockets; NULL: same host only */
	bool trust_forwarded;	   /* the last X-Forwarded-For is the peer (behind an own proxy) */
	unsigned max_connections;  /* 0: 10,000 */
	unsigned max_per_address;  /* connections from one address; 0: 500 */
	size_t body_max;	   /* 0: 64 KiB */
	unsigned header_timeout_s; /* from connection to complete headers; 0: 15 */
	/* From headers to complete body, and for the answer to leave; 0: 60. Long ones get a second more for each
	 * 16 KiB: who is slower than that is cut.
	 */
	unsigned body_timeout_s;
	unsigned idle_timeout_s; /* between requests of a connection; 0: 75 */
	unsigned
		max_files; /* on their way out at once, 64 KiB of memory each; beyond: 503; 0: 1,024 */
	struct web_crew crew;
	struct ws *ws; /* for web_upgrade(); NULL: none. Outlives the server */
};

/* `routes` ends with a NULL method and outlives the server, as does `setup`'s text until this returns.
 * Return: 0 with *ret_web, WEB_E_* or negative.
 */
enum {
	WEB_E_ADDRESS = 1, /* `listen` cannot be parsed */
	WEB_E_BUSY,	   /* the address is taken, or not ours */
	WEB_E_CREW,	   /* a worker's start() failed */
};
must_check int web_start(const struct web_setup *setup, const struct web_route *routes,
			 struct web **ret_web);
/* Stops accepting, wakes every parked request (web_stopping() is then true), answers what is in work, and joins. */
struct web *web_stop(struct web *web);
DEFINE_CLEANUP(struct web *, web_stop)
unsigned web_port(const struct web *web);

/* ---- A request, seen by the worker that has it. Strings live as long as the request. ---- */

const void *web_route_arg(const struct web_req *req);
const char *web_method(const struct web_req *req); /* HEAD stays "HEAD" */
const char *web_path(const struct web_req *req);   /* percent-decoded, without the query */
const char *web_param(const struct web_req *req,
		      const char *name); /* a {name} of the route, or NULL */
/* Query parameters, decoded, in their order: clean UTF-8 (others were answered 400). */
const char *web_query(const struct web_req *req,
		      const char *name); /* the first of that name, or NULL */
size_t web_query_count(const struct web_req *req);
void web_query_at(const struct web_req *req, size_t index, const char **ret_name,
		  const char **ret_value);
const char *web_query_text(const struct web_req *req); /* as it came, without '?'; "" if none */
const char *web_header(const struct web_req *req, const char *name); /* case-insensitive, or NULL */
const char *web_body(const struct web_req *req, size_t *ret_len); /* NUL-terminated, never NULL */
const char *web_peer(const struct web_req *req);		  /* IP address, no port */
struct id web_request_id(const struct web_req *req);
bool web_stopping(const struct web_req *req);
/* How many turns this request had before: 0 on the first. */
unsigned web_turn(const struct web_req *req);

/* The owner's own state of a request, from turn to turn; `free_fn` runs (on the web thread) when the request
 * ends. NULL takes the present one back, unfreed.
 */
void web_set_state(struct web_req *req, void *state, void (*free_fn)(void *state));
void *web_state(const struct web_req *req);

/* ---- Ends of a turn. The request is not to be touched afterwards. ---- */

/* One more header of the answer. At most 16; name and value are copied; CR and LF are our own bug. */
void web_add_header(struct web_req *req, const char *name, const char *value);
/* The answer's body is taken over (freed with free()); NULL for none. `type`: Content-Type, static; NULL for none. */
void web_answer(struct web_req *req, int status, const char *type, char *body, size_t len);
/* {"detail": ..., "code": ...}: for what goes wrong outside a resource's handler. */
void web_answer_error(struct web_req *req, int status, const char *code, const char *detail);

/* ---- Large bodies that come in (WEB_BODY_LATER) ---- */

/* Where a body goes, on the web thread, in pieces of a few KiB. */
struct web_sink {
	size_t max; /* bytes; beyond: 413, which the sender gets to read. 0: what the route says */
	/* Must not block beyond a write to a local file. Return: 0, or the status to answer instead of going on: 400
	 * (the body is not what its type says), 413 (a part is too large), 507 (no room). The rest is thrown away.
	 */
	int (*put)(void *arg, const char *data, size_t len);
	int (*end)(void *arg); /* the body is whole; may be NULL. Return: as put() */
	void *arg;	       /* outlives the request: see web_set_state() */
};
/* Ends the turn; NULL: into memory, for web_body(). A further turn follows unless the body was answered already. */
void web_receive(struct web_req *req, const struct web_sink *sink);

/* multipart/form-data (RFC 7578): short texts in memory, at most one file, which goes into an unnamed file of `dir`
 * as it comes. Kept by the request.
 */
struct web_form_limits {
	const char *dir;    /* exists */
	const char *file;   /* the file's field; files in other fields are 400 */
	uint64_t file_max;  /* bytes; beyond: 413 */
	unsigned texts_max; /* at most 16 */
	unsigned text_max;  /* bytes of each */
};
bool web_is_form(const struct web_req *req); /* by its Content-Type */
/* Ends the turn, as web_receive() does. */
void web_receive_form(struct web_req *req, const struct web_form_limits *limits);
/* The first text of that name, clean UTF-8 (others were answered 400), or NULL. */
const char *web_form_text(const struct web_req *req, const char *name);
/* Return: a descriptor of the request's own, at its beginning (dup() it to keep it), or -1: no file came. `ret_name`,
 * what the sender calls it, without a path, or NULL.
 */
int web_form_file(const struct web_req *req, uint64_t *ret_size, const char **ret_name);

/* ---- Large bodies that go out; no worker is held while they do ---- */

/* Bytes that are made as they are asked for, on a thread that may wait for the disk; one read at a time.
 */
struct web_source {
	uint64_t size;
	/* Return: bytes put into buf, at most max; 0 or less cuts the connection. */
	ssize_t (*read)(void *arg, uint64_t at, char *buf, size_t max);
	void (*free)(void *arg); /* on another thread than `read` */
	void *arg;
};
struct web_file {
	const struct web_source *source; /* copied; its arg is taken over; NULL: fd */
	int fd;				 /* a regular file; taken over */
	const char *type;		 /* static */
	const char *etag;		 /* a strong one, without its quotes; NULL: none */
	const char *name;		 /* of the download, UTF-8; NULL: none */
	bool attachment;		 /* to be saved rather than shown */
};
/* A file, or what was asked for of it: HEAD, If-None-Match (304), If-Match (412), Range with If-Range (206, 416)
 * are seen to (RFC 9110 13, 14). Several ranges at once are answered with the whole.
 */
void web_answer_file(struct web_req *req, const struct web_file *file);

/* An answer of unknown length, made piece by piece: each turn gives one piece; the next turn comes when that has
 * left for the client. HEAD has no turn but the first. A client that goes away ends it: the request's state is freed.
 * First web_stream(), then, as the end of this turn and of each that follows, web_stream_piece().
 */
#define WEB_PIECE_MAX (1u << 20)
void web_stream(struct web_req *req, int status, const char *type);
/* `data` is taken over (free()); at most WEB_PIECE_MAX; NULL: nothing this time. `last`: the body is whole. */
void web_stream_piece(struct web_req *req, char *data, size_t len, bool last);
/* Instead of a piece: something went wrong, the connection is cut so that the client can tell. */
void web_stream_abort(struct web_req *req);
bool web_is_streaming(const struct web_req *req);

/* Parks until web_wake(), or until `timeout_ms` passes if it is not 0. Call it as the last thing: whoever has the
 * token may wake before it returns. One further turn follows, whatever comes first; what comes later is ignored.
 */
struct web_bell;
struct web_token {
	struct web_bell *bell;
	struct id request;
	uint32_t turn;
};
/* Each token is used up by one web_wake() or web_token_drop(), any thread, even after the server has gone: a
 * request that went on or ended meanwhile is left alone.
 */
struct web_token web_park_token(const struct web_req *req);
void web_wake(struct web_token token);
void web_token_drop(struct web_token token);
void web_park(struct web_req *req, unsigned timeout_ms);

/* For a request that web_upgradable() found good: answers 101 and hands the socket to the ws thread, whose endpoint's
 * `open` gets `arg`. `subprotocol` is one the client offered, or NULL. `arg_free` frees arg if the socket dies before.
 */
struct ws_endpoint;
void web_upgrade(struct web_req *req, const struct ws_endpoint *endpoint, const char *subprotocol,
		 void *arg, void (*arg_free)(void *arg));
/* RFC 6455 4.2.1 and the Origin (same host, or configured): Return: true, or false and the request was answered
 * (400, 403, or 426 with Sec-WebSocket-Version).
 */
must_check bool web_upgradable(struct web_req *req);
/* Return: true if the client offers this subprotocol (RFC 6455 4.1 item 10). */
bool web_offers_subprotocol(const struct web_req *req, const char *name);
/* The first offered subprotocol that begins with `prefix`, without it, or NULL (`bearer.<token>`). Kept by the request. */
const char *web_offered_after(struct web_req *req, const char *prefix);
