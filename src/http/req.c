/* A request from its first line to its answer. The web thread makes, fills and frees it; in between exactly one
 * worker reads it and sets the answer. The ring between them orders the two.
 */
#include "http/private.h"

#include "base/jot.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

struct web_req *req_new(struct web *web, struct MHD_Connection *conn, const char *uri)
{
	struct web_req *req = xzalloc(sizeof(*req));

	req->web = web;
	req->conn = conn;
	req->id = id_new();
	req->begin_us = clock_mono_us();
	req->arena = arena_new();
	req->uri = arena_strndup(req->arena, uri, strnlen(uri, WEB_URI_MAX + 1));
	req->query_text = "";
	return req;
}

struct web_req *req_free(struct web_req *req)
{
	if (!req)
		return NULL;
	if (req->owner_free)
		req->owner_free(req->owner);
	if (req->ws_arg && req->ws_arg_free)
		req->ws_arg_free(req->ws_arg);
	/* Bodies and answers carry passwords and tokens. */
	if (req->body)
		explicit_bzero(req->body, req->body_len);
	free(req->body);
	form_free(req->form);
	free(req->answer);
	free(req->piece.data);
	if (req->source.free)
		req->source.free(req->source.arg);
	arena_free(req->arena);
	free(req);
	return NULL;
}

static void req_find_peer(struct web_req *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *addr = info ? info->client_addr : NULL;
	const char *forwarded = NULL, *last;
	struct in6_addr any;

	if (addr && addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr,
			  req->peer, sizeof(req->peer));
	else if (addr && addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr,
			  req->peer, sizeof(req->peer));

	if (!web_trusts_forwarded(req->web))
		return;
	forwarded = web_header(req, "X-Forwarded-For");
	if (!forwarded)
		return;
	last = strrchr(forwarded, ',');
	last = last ? last + 1 : forwarded;
	last += strspn(last, " \t");
	if (inet_pton(AF_INET, last, &any) == 1 || inet_pton(AF_INET6, last, &any) == 1)
		str_copy(req->peer, sizeof(req->peer), last);
}

static enum MHD_Result query_take(void *cls, enum MHD_ValueKind kind, const char *name,
				  size_t name_len, const char *value, size_t value_len)
{
	struct web_req *req = cls;

	(void)kind;
	if (!value)
		value = "";
	if (req->query_count == WEB_QUERY_MAX || !str_is_clean_utf8(name, name_len) ||
	    !str_is_clean_utf8(value, value_len)) {
		req->query_bad = true;
		return MHD_NO;
	}
	req->query[req->query_count].name = name;
	req->query[req->query_count].value = value;
	req->query_count++;
	return MHD_YES;
}

static void req_take_query(struct web_req *req)
{
	const char *mark = strchr(req->uri, '?');

	if (!mark)
		return;
	req->query_text = mark + 1;
	req->query = arena_alloc(req->arena, WEB_QUERY_MAX * sizeof(*req->query));
	MHD_get_connection_values_n(req->conn, MHD_GET_ARGUMENT_KIND, query_take, req);
}

/* RFC 7231 4.3.7; for a browser's preflight also the Fetch standard's headers. */
static void req_options(struct web_req *req, const char *allow)
{
	const char *origin = web_header(req, "Origin");
	char *body = xasprintf("{\"methods\": \"%s\"}", allow);

	web_add_header(req, "Allow", allow);
	if (origin && web_cors_origin(req->web, origin)) {
		web_add_header(req, "Access-Control-Allow-Methods", allow);
		web_add_header(
			req, "Access-Control-Allow-Headers",
			"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match,"
			" If-Range, Range");
		web_add_header(req, "Access-Control-Max-Age", "600");
	}
	req->status = 200;
	req->type = "application/json";
	req->answer_len = strlen(body);
	req->answer = body;
	req->state = REQ_ANSWERED;
}

static bool req_take_match(struct web_req *req, const struct route_match *match)
{
	if (!match->allow) {
		req_error(req, 404, "not_found",
			  "There is nothing at this path. /api/docs/ shows what there is.");
		return false;
	}
	if (str_eq(req->method, "OPTIONS")) {
		req_options(req, match->allow);
		return false;
	}
	if (!match->route) {
		char text[80];

		snprintf(text, sizeof(text), "Method \"%.32s\" not allowed.", req->method);
		web_add_header(req, "Allow", match->allow);
		req_error(req, 405, "method_not_allowed", text);
		return false;
	}
	req->route = match->route;
	req->param_count = match->param_count;
	for (unsigned i = 0; i < match->param_count; i++) {
		req->param[i].name =
			arena_strndup(req->arena, match->param[i].name, match->param[i].name_len);
		req->param[i].value =
			arena_strndup(req->arena, match->param[i].value, match->param[i].value_len);
	}
	return true;
}

bool req_begin(struct web_req *req, const char *method, const char *path)
{
	struct route_match match;

	req->method = arena_strndup(req->arena, method, strnlen(method, 32));
	req->head = str_eq(method, "HEAD");
	req->path = arena_strdup(req->arena, path);
	req_find_peer(req);

	if (strlen(req->uri) > WEB_URI_MAX) {
		req_error(req, 414, "uri_too_long", "The address is too long.");
		return false;
	}
	/* A NUL would end the decoded text early for us, and not for whoever stands before us. */
	if (strstr(req->uri, "%00") || !str_is_clean_utf8(path, strlen(path))) {
		req_error(req, 400, "bad_uri",
			  "The address holds characters that are not allowed.");
		return false;
	}
	req_take_query(req);
	if (req->query_bad) {
		req_error(
			req, 400, "bad_query",
			"The query holds too many parameters or characters that are not allowed.");
		return false;
	}
	router_find(web_router(req->web), req->method, req->path, &match);
	if (!req_take_match(req, &match))
		return false;

	return body_begin(req);
}

/* ---- What a worker sees ---- */

const void *web_route_arg(const struct web_req *req)
{
	return req->route->arg;
}

const char *web_method(const struct web_req *req)
{
	return req->method;
}

const char *web_path(const struct web_req *req)
{
	return req->path;
}

const char *web_param(const struct web_req *req, const char *name)
{
	for (unsigned i = 0; i < req->param_count; i++)
		if (str_eq(req->param[i].name, name))
			return req->param[i].value;
	return NULL;
}

const char *web_query(const struct web_req *req, const char *name)
{
	for (size_t i = 0; i < req->query_count; i++)
		if (str_eq(req->query[i].name, name))
			return req->query[i].value;
	return NULL;
}

size_t web_query_count(const struct web_req *req)
{
	return req->query_count;
}

void web_query_at(const struct web_req *req, size_t index, const char **ret_name,
		  const char **ret_value)
{
	bug_on(index >= req->query_count);
	*ret_name = req->query[index].name;
	*ret_value = req->query[index].value;
}

const char *web_query_text(const struct web_req *req)
{
	return req->query_text;
}

/* MHD leaves a suspended connection's headers alone, so a worker may read them. */
const char *web_header(const struct web_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

const char *web_body(const struct web_req *req, size_t *ret_len)
{
	*ret_len = req->body_len;
	return req->body ? req->body : "";
}

const char *web_peer(const struct web_req *req)
{
	return req->peer;
}

struct id web_request_id(const struct web_req *req)
{
	return req->id;
}

bool web_stopping(const struct web_req *req)
{
	return web_is_stopping(req->web);
}

unsigned web_turn(const struct web_req *req)
{
	return req->turn;
}

void web_set_state(struct web_req *req, void *state, void (*free_fn)(void *state))
{
	bug_on(req->owner && state && req->owner != state);
	req->owner = state;
	req->owner_free = free_fn;
}

void *web_state(const struct web_req *req)
{
	return req->owner;
}

/* ---- Ends of a turn ---- */

void web_add_header(struct web_req *req, const char *name, const char *value)
{
	bug_on(req->header_count == WEB_HEADER_MAX);
	bug_on(strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"));
	req->header[req->header_count].name = arena_strdup(req->arena, name);
	req->header[req->header_count].value = arena_strdup(req->arena, value);
	req->header_count++;
}

void web_answer(struct web_req *req, int status, const char *type, char *body, size_t len)
{
	bug_on(req->state != REQ_WORKING || req->answer);
	if (req->begun) {
		free(body); /* a stream's head is out already */
		web_stream_abort(req);
		return;
	}
	req->streaming = false;
	req->status = status;
	req->type = type;
	req->answer = body;
	req->answer_len = body ? len : 0;
	web_send(req->web, &(struct web_msg){ .kind = WEB_MSG_ANSWERED, .req = req });
}

/* A 400 has the form of a form's errors. `detail` may hold what the client sent (a method). */
static char *error_body(int status, const char *code, const char *detail)
{
	struct buf text = BUF_MAX(1024);
	struct jot out = { .buf = &text };

	jot_open(&out, NULL, '{');
	if (status == 400) {
		jot_open(&out, "non_field_errors", '[');
		jot_text(&out, NULL, detail);
		jot_close(&out, ']');
	} else {
		jot_text(&out, "detail", detail);
		jot_word(&out, "code", code);
	}
	jot_close(&out, '}');
	bug_on(text.failed);
	return text.data;
}

void web_answer_error(struct web_req *req, int status, const char *code, const char *detail)
{
	char *body = error_body(status, code, detail);

	web_answer(req, status, "application/json", body, strlen(body));
}

/* The same on the web thread, where there is nobody to tell. */
void req_error(struct web_req *req, int status, const char *code, const char *detail)
{
	free(req->answer);
	req->status = status;
	req->type = "application/json";
	req->answer = error_body(status, code, detail);
	req->answer_len = strlen(req->answer);
	req->state = REQ_ANSWERED;
}

struct web_token web_park_token(const struct web_req *req)
{
	return (struct web_token){ .bell = web_bell_ref(req->web),
				   .request = req->id,
				   .turn = req->turn };
}

void web_park(struct web_req *req, unsigned timeout_ms)
{
	bug_on(req->state != REQ_WORKING);
	req->park_ms = timeout_ms;
	web_send(req->web, &(struct web_msg){ .kind = WEB_MSG_PARKED, .req = req });
}

void web_upgrade(struct web_req *req, const struct ws_endpoint *endpoint, const char *subprotocol,
		 void *arg, void (*arg_free)(void *arg))
{
	req->endpoint = endpoint;
	req->ws_arg = arg;
	req->ws_arg_free = arg_free;
	if (subprotocol)
		web_add_header(req, "Sec-WebSocket-Protocol", subprotocol);
	web_answer(req, 101, NULL, NULL, 0);
}

/* ---- The answer, given to MHD ---- */

static struct MHD_Response *answer_response(struct web_req *req)
{
	struct MHD_Response *response;

	if (req->streaming)
		return stream_response(req);
	if (req->source.free)
		return source_response(req);
	if (req->answer) {
		response = MHD_create_response_from_buffer_with_free_callback(req->answer_len,
									      req->answer, free);
		if (response)
			req->answer = NULL;
	} else {
		response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "",
							   MHD_RESPMEM_PERSISTENT);
	}
	return response;
}

static void answer_headers(struct web_req *req, struct MHD_Response *response)
{
	const char *origin = web_header(req, "Origin");
	bool has_cache = false, has_policy = false;

	for (unsigned i = 0; i < req->header_count; i++) {
		MHD_add_response_header(response, req->header[i].name, req->header[i].value);
		has_cache = has_cache || strcasecmp(req->header[i].name, "Cache-Control") == 0;
		has_policy = has_policy ||
			     strcasecmp(req->header[i].name, "Content-Security-Policy") == 0;
	}
	if (req->endpoint)
		return;
	if (req->type)
		MHD_add_response_header(response, "Content-Type", req->type);
	MHD_add_response_header(response, "X-Request-Id", id_str(req->id));
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "X-Frame-Options", "DENY");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	if (!has_policy)
		MHD_add_response_header(response, "Content-Security-Policy",
					"default-src 'none'; frame-ancestors 'none'");
	if (!has_cache)
		MHD_add_response_header(response, "Cache-Control", "no-store");
	/* After the head of an answer without a length MHD 0.9.75 sends the end of its body, too. */
	if (web_is_stopping(req->web) || (req->streaming && req->head))
		MHD_add_response_header(response, "Connection", "close");
	if (origin && web_cors_origin(req->web, origin)) {
		MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
		MHD_add_response_header(
			response, "Access-Control-Expose-Headers",
			"Accept-Ranges, Content-Disposition, Content-Range, ETag, Location,"
			" Retry-After, X-Request-Id");
		MHD_add_response_header(response, "Vary", "Origin");
	}
}

/* As many files are on their way as may be. */
static void req_defer(struct web_req *req)
{
	req->source.free(req->source.arg);
	req->source.free = NULL;
	req->file_len = 0;
	req->header_count = 0; /* they told of the file */
	web_add_header(req, "Retry-After", "5");
	req_error(req, 503, "overloaded", "Too many files are being sent. Try again in a moment.");
}

enum MHD_Result req_send(struct web_req *req)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (req->source.free && !web_sources_more(req->web))
		req_defer(req);
	response = req->endpoint ? upgrade_response(req) : answer_response(req);
	if (!response)
		return MHD_NO;
	answer_headers(req, response);
	result = MHD_queue_response(req->conn, (unsigned)req->status, response);
	MHD_destroy_response(response);
	req->state = REQ_SENT;
	req->begun = true;
	return result;
}

uint64_t req_answer_len(const struct web_req *req)
{
	if (req->streaming)
		return req->piece.len;
	return req->file_len ? req->file_len : req->answer_len;
}
