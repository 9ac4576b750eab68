#include "http/web.h"
#include "http/ws.h"
#include "peer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

static atomic_int handled, opened, closed_code;
static atomic_bool gate_open;
static struct web_token parked_token[3];
static atomic_bool parked;

static void answer_text(struct web_req *req, int status, const char *text)
{
	char *body = xstrdup(text);

	web_answer(req, status, "text/plain", body, strlen(body));
}

static void handle_echo(struct web_req *req)
{
	struct buf out = BUF_MAX(1 << 20);
	const char *name, *value, *body;
	size_t len = 0;

	body = web_body(req, &len);
	buf_addf(&out, "%s %s", web_method(req), web_path(req));
	if (web_param(req, "id"))
		buf_addf(&out, " id=%s", web_param(req, "id"));
	for (size_t i = 0; i < web_query_count(req); i++) {
		web_query_at(req, i, &name, &value);
		buf_addf(&out, " %s=%s", name, value);
	}
	buf_addf(&out, " body=%zu:", len);
	buf_add(&out, body, len < 100 ? len : 100);
	web_answer(req, 200, "text/plain", out.data, out.len);
}

static void handle_wait(struct web_req *req)
{
	while (!atomic_load(&gate_open))
		usleep(1000);
	answer_text(req, 200, "waited");
}

static void handle_park(struct web_req *req)
{
	if (web_turn(req)) {
		answer_text(req, 200, web_stopping(req) ? "stopping" : "woken");
		return;
	}
	if (!atomic_exchange(&parked, true))
		for (unsigned i = 0; i < 3; i++)
			parked_token[i] = web_park_token(req);
	web_park(req, 2000);
}

/* The echo's own WebSocket endpoint */

static void *echo_open(struct ws_conn *conn, void *arg)
{
	atomic_fetch_add(&opened, 1);
	ws_send_text(conn, "hi", 2);
	return arg;
}

static void echo_message(struct ws_conn *conn, void *state, bool text, const uint8_t *data,
			 size_t len)
{
	(void)state;
	if (text && len == 5 && memcmp(data, "close", 5) == 0)
		ws_close(conn, WS_CLOSE_EXPIRED, "bye");
	else if (text && len == 5 && memcmp(data, "flood", 5) == 0)
		for (unsigned i = 0; i < 4000; i++)
			ws_send_text(conn, (char[1024]){ [0 ... 1023] = 'x' }, 1024);
	else if (text)
		ws_send_text(conn, (const char *)data, len);
	else
		ws_send_binary(conn, data, len);
}

static void echo_closed(struct ws_conn *conn, void *state, int code)
{
	(void)conn;
	(void)state;
	atomic_store(&closed_code, code);
}

static const struct ws_endpoint echo_endpoint = {
	.name = "echo",
	.message_max = 100000,
	.out_max = 256 * 1024,
	.open = echo_open,
	.message = echo_message,
	.closed = echo_closed,
};

static void handle_ws(struct web_req *req)
{
	if (!web_upgradable(req))
		return;
	web_upgrade(req, &echo_endpoint, web_offers_subprotocol(req, "echo.v1") ? "echo.v1" : NULL,
		    NULL, NULL);
}

typedef void handler_fn(struct web_req *req);

static const struct web_route routes[] = {
	{ "GET", "/api/things/", 0, 0, handle_echo },
	{ "POST", "/api/things/", 0, 0, handle_echo },
	{ "GET", "/api/things/{id}/", 0, 0, handle_echo },
	{ "DELETE", "/api/things/{id}/", 0, 0, handle_echo },
	{ "GET", "/api/wait/", 0, 0, handle_wait },
	{ "GET", "/api/park/", 0, 0, handle_park },
	{ "GET", "/ws/echo", 0, 0, handle_ws },
	{ 0 },
};

static void *worker_start(void *arg, unsigned index)
{
	(void)index;
	return arg ? arg : (void *)routes;
}

static void worker_handle(void *state, struct web_req *req)
{
	handler_fn *handler = (handler_fn *)(uintptr_t)web_route_arg(req);

	(void)state;
	atomic_fetch_add(&handled, 1);
	handler(req);
}

static void worker_stop(void *state)
{
	(void)state;
}

struct fixture {
	struct ws *ws;
	struct web *web;
	unsigned port;
};

static int setup(void **state)
{
	struct fixture *fix = xzalloc(sizeof(*fix));
	struct ws_setup ws_setup = { .ping_ms = 200, .close_ms = 500 };
	struct web_setup web_setup = {
		.listen = "127.0.0.1:0",
		.origins = "https://friend.example",
		.header_timeout_s = 1,
		.body_timeout_s = 1,
		.idle_timeout_s = 2,
		.crew = { .workers = 2,
			  .queue = 3,
			  .start = worker_start,
			  .handle = worker_handle,
			  .stop = worker_stop },
	};

	atomic_store(&gate_open, false);
	atomic_store(&parked, false);
	atomic_store(&closed_code, 0);
	assert_int_equal(ws_start(&ws_setup, &fix->ws), 0);
	web_setup.ws = fix->ws;
	assert_int_equal(web_start(&web_setup, routes, &fix->web), 0);
	fix->port = web_port(fix->web);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	atomic_store(&gate_open, true);
	web_stop(fix->web);
	ws_stop(fix->ws);
	free(fix);
	return 0;
}

#define expect(port_, request, status_, ...)                                                       \
	do {                                                                                       \
		auto_(buf_fini) struct buf text_ = BUF_MAX(1 << 20);                               \
		int fd_ = peer_connect(port_);                                                     \
		const char *const parts_[] = { __VA_ARGS__ __VA_OPT__(, ) NULL };                  \
		peer_text(fd_, request);                                                           \
		assert_int_equal(peer_answer(fd_, &text_, false), status_);                        \
		for (unsigned i_ = 0; parts_[i_]; i_++)                                            \
			if (!strstr(text_.data, parts_[i_]))                                       \
				fail_msg("%s is not in %s", parts_[i_], text_.data);               \
		close(fd_);                                                                        \
	} while (0)

static void routes_are_found_with_and_without_slash(void **state)
{
	struct fixture *fix = *state;

	expect(fix->port, "GET /api/things/ HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /api/things/",
	       "nosniff", "no-store");
	expect(fix->port, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET /api/things");
	expect(fix->port, "GET /api/things/42/?a=1&b=x%20y HTTP/1.1\r\nHost: x\r\n\r\n", 200,
	       "id=42 a=1 b=x y");
	expect(fix->port, "GET /api/things/42 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "id=42");
	expect(fix->port, "GET /api/nothing/ HTTP/1.1\r\nHost: x\r\n\r\n", 404,
	       "{\"detail\":\"There is nothing at this path. /api/docs/ shows what there is.\","
	       "\"code\":\"not_found\"}");
	expect(fix->port, "GET /api//things HTTP/1.1\r\nHost: x\r\n\r\n", 404);
	expect(fix->port, "GET /api/things/a/b HTTP/1.1\r\nHost: x\r\n\r\n", 404);
	expect(fix->port, "GET /api/things/a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400,
	       "non_field_errors");
	expect(fix->port, "GET /api/things?a=%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400,
	       "non_field_errors");
}

static void methods_are_told(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd;

	expect(fix->port, "PUT /api/things/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405,
	       "Allow: GET, POST, HEAD, OPTIONS", "Method \\\"PUT\\\" not allowed.");
	/* What is said back of it is JSON, whatever it was. */
	expect(fix->port, "P\xff\x01\\ /api/things/ HTTP/1.1\r\nHost: x\r\n\r\n", 405,
	       "{\"detail\":\"Method \\\"P?\\u0001\\\\\\\" not allowed.\",");
	expect(fix->port, "OPTIONS /api/things/1 HTTP/1.1\r\nHost: x\r\n\r\n", 200,
	       "Allow: GET, DELETE, HEAD, OPTIONS");
	fd = peer_connect(fix->port);
	peer_text(
		fd,
		"HEAD /api/things/ HTTP/1.1\r\nHost: x\r\n\r\nGET /api/things/7 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, true), 200);
	assert_non_null(strstr(text.data, "Content-Length: "));
	assert_int_equal(peer_answer(fd, &text, false), 200);
	assert_non_null(strstr(text.data, "id=7"));
	close(fd);
}

static void only_named_origins_get_cors_headers(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd = peer_connect(fix->port);

	expect(fix->port,
	       "OPTIONS /api/things HTTP/1.1\r\nHost: x\r\nOrigin: https://friend.example\r\n\r\n",
	       200, "Access-Control-Allow-Origin: https://friend.example",
	       "Access-Control-Allow-Headers: Authorization");
	peer_text(fd,
		  "GET /api/things HTTP/1.1\r\nHost: x\r\nOrigin: https://other.example\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, false), 200);
	assert_null(strstr(text.data, "Access-Control"));
	close(fd);
}

static void requests_may_come_in_pieces_and_in_a_row(void **state)
{
	struct fixture *fix = *state;
	static const char request[] =
		"POST /api/things/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd = peer_connect(fix->port);

	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		peer_send(fd, request + i, 1);
		if (i % 16 == 0)
			usleep(1000);
	}
	assert_int_equal(peer_answer(fd, &text, false), 200);
	assert_non_null(strstr(text.data, "body=5:hello"));
	for (unsigned i = 0; i < 20; i++)
		peer_text(fd, request);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(peer_answer(fd, &text, false), 200);
	peer_text(fd, "POST /api/things/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, false), 200);
	assert_non_null(strstr(text.data, "body=7:abcdefg"));
	close(fd);
}

static void large_bodies_are_refused_readably(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *body = xzalloc(1 << 20);
	char head[128];
	int fd = peer_connect(fix->port);

	memset(body, 'a', 1 << 20);
	peer_text(fd, "POST /api/things/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
	peer_send(fd, body, 1 << 20);
	assert_int_equal(peer_answer(fd, &text, false), 413);
	assert_non_null(strstr(text.data, "too_large"));
	/* the connection is still in step */
	peer_text(fd, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, false), 200);
	close(fd);

	fd = peer_connect(fix->port);
	peer_text(fd, "POST /api/things/ HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n");
	peer_send(fd, body, 65536);
	assert_int_equal(peer_answer(fd, &text, false), 200);
	peer_text(fd,
		  "POST /api/things/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 3; i++) {
		snprintf(head, sizeof(head), "%x\r\n", 30000);
		peer_text(fd, head);
		peer_send(fd, body, 30000);
		peer_text(fd, "\r\n");
	}
	peer_text(fd, "0\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, false), 413);
	close(fd);

	expect(fix->port,
	       "POST /api/things/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413);
	expect(fix->port,
	       "POST /api/things/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n",
	       413);
}

static void huge_headers_and_addresses_are_refused(void **state)
{
	struct fixture *fix = *state;
	auto_(free) char *big = xzalloc(40001);
	auto_(buf_fini) struct buf request = BUF_MAX(1 << 17);
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd = peer_connect(fix->port), status;

	memset(big, 'a', 40000);
	buf_addf(&request, "GET /api/things HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", big);
	peer_send(fd, request.data, request.len);
	status = peer_answer(fd, &text, false);
	assert_true(status == 431 || status == 413);
	assert_true(peer_closed(fd, 1000));
	close(fd);
	buf_reset(&request);
	big[9000] = '\0';
	buf_addf(&request, "GET /api/%s HTTP/1.1\r\nHost: x\r\n\r\n", big);
	fd = peer_connect(fix->port);
	peer_send(fd, request.data, request.len);
	assert_int_equal(peer_answer(fd, &text, false), 414);
	close(fd);
}

static void slow_clients_are_cut_in_every_phase(void **state)
{
	struct fixture *fix = *state;
	uint64_t begin = clock_mono_ms();
	int fd[3];

	for (unsigned i = 0; i < 3; i++)
		fd[i] = peer_connect(fix->port);
	peer_text(fd[1], "GET /api/things HTTP/1.1\r\n");
	peer_text(fd[2], "POST /api/things HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
	for (unsigned i = 0; i < 20 && clock_mono_ms() - begin < 900; i++) {
		peer_text(fd[1], "X: y\r\n"); /* drips, never silent */
		peer_text(fd[2], "z");
		usleep(50000);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_true(peer_closed(fd[i], 1500));
		close(fd[i]);
	}
	assert_true(clock_mono_ms() - begin >= 900);
}

static void a_full_queue_says_when_to_come_again(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd[5], extra;

	/* two workers busy, three in the queue */
	for (unsigned i = 0; i < 5; i++) {
		fd[i] = peer_connect(fix->port);
		peer_text(fd[i], "GET /api/wait HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	usleep(200000);
	extra = peer_connect(fix->port);
	peer_text(extra, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(peer_answer(extra, &text, false), 503);
	assert_non_null(strstr(text.data, "Retry-After: "));
	close(extra);
	atomic_store(&gate_open, true);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(peer_answer(fd[i], &text, false), 200);
		close(fd[i]);
	}
}

static void a_parked_request_holds_no_worker(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd[6];

	for (unsigned i = 0; i < 6; i++) {
		fd[i] = peer_connect(fix->port);
		peer_text(fd[i], "GET /api/park HTTP/1.1\r\nHost: x\r\n\r\n");
		usleep(20000); /* the queue is short: one at a time */
	}
	assert_true(atomic_load(&parked));
	expect(fix->port, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n", 200);
	web_wake(parked_token[0]);
	web_wake(parked_token[1]);
	for (unsigned i = 0; i < 6; i++) { /* the others' time runs out */
		assert_int_equal(peer_answer(fd[i], &text, false), 200);
		assert_non_null(strstr(text.data, "woken"));
		close(fd[i]);
	}
	web_wake(parked_token[2]); /* long gone */
	expect(fix->port, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n", 200);
}

static void a_client_that_leaves_while_parked_harms_nobody(void **state)
{
	struct fixture *fix = *state;
	int fd = peer_connect(fix->port);

	peer_text(fd, "GET /api/park HTTP/1.1\r\nHost: x\r\n\r\n");
	usleep(50000);
	close(fd);
	for (unsigned i = 0; i < 3; i++)
		web_wake(parked_token[i]);
	expect(fix->port, "GET /api/things HTTP/1.1\r\nHost: x\r\n\r\n", 200);
}

static void stopping_answers_what_is_in_work(void **state)
{
	struct fixture *fix = *state;
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	int fd = peer_connect(fix->port);

	peer_text(fd, "GET /api/park HTTP/1.1\r\nHost: x\r\n\r\n");
	usleep(50000);
	fix->web = web_stop(fix->web);
	assert_int_equal(peer_answer(fd, &text, false), 200);
	assert_non_null(strstr(text.data, "stopping"));
	close(fd);
	for (unsigned i = 0; i < 3; i++) /* the server has gone, the tokens have not */
		web_wake(parked_token[i]);
}

/* ---- WebSocket ---- */

#define WS_HEAD                                                                                    \
	"GET /ws/echo HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define WS_REST "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static int ws_peer(struct fixture *fix)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	uint8_t frame[64];
	size_t len = 0;
	int fd = peer_connect(fix->port);

	peer_text(fd, WS_HEAD "Sec-WebSocket-Protocol: other, echo.v1\r\n" WS_REST);
	assert_int_equal(peer_answer(fd, &text, true), 101);
	assert_non_null(strstr(text.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_non_null(strstr(text.data, "Sec-WebSocket-Protocol: echo.v1\r\n"));
	assert_int_equal(peer_frame_read(fd, frame, sizeof(frame), &len), 0x81);
	assert_memory_equal(frame, "hi", 2);
	return fd;
}

/* Reads frames until a close frame. Return: its code, 0 without one. */
static int ws_close_code(int fd)
{
	uint8_t frame[200000];
	size_t len = 0;
	int first;

	while ((first = peer_frame_read(fd, frame, sizeof(frame), &len)) >= 0)
		if (first == 0x88)
			return len >= 2 ? frame[0] << 8 | frame[1] : 1005;
	return 0;
}

static void handshakes_are_checked(void **state)
{
	struct fixture *fix = *state;

	expect(fix->port, "GET /ws/echo HTTP/1.1\r\nHost: here\r\n\r\n", 426, "Upgrade: websocket");
	expect(fix->port,
	       WS_HEAD
	       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
	       426, "Sec-WebSocket-Version: 13");
	expect(fix->port, WS_HEAD "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
	       400);
	expect(fix->port, WS_HEAD "Sec-WebSocket-Version: 13\r\n\r\n", 400);
	expect(fix->port, WS_HEAD "Origin: https://evil.example\r\n" WS_REST, 403,
	       "origin_not_allowed");
	close(ws_peer(fix));
	{
		auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
		int fd = peer_connect(fix->port);

		peer_text(fd, WS_HEAD "Origin: http://here\r\n" WS_REST);
		assert_int_equal(peer_answer(fd, &text, true), 101);
		close(fd);
		fd = peer_connect(fix->port);
		peer_text(fd, WS_HEAD "Origin: https://friend.example\r\n" WS_REST);
		assert_int_equal(peer_answer(fd, &text, true), 101);
		close(fd);
	}
}

static void messages_come_back_whole(void **state)
{
	struct fixture *fix = *state;
	static uint8_t big[90000], back[100000];
	size_t len = 0;
	int fd = ws_peer(fix), first, seen = 0;

	peer_frame(fd, 0x81, "hello", 5);
	assert_int_equal(peer_frame_read(fd, back, sizeof(back), &len), 0x81);
	assert_int_equal(len, 5);
	/* fragments with a ping between them */
	peer_frame(fd, 0x01, "hel", 3);
	peer_frame(fd, 0x89, "p", 1);
	peer_frame(fd, 0x80, "lo!", 3);
	/* the pong may come before or after it */
	for (unsigned i = 0; i < 2; i++) {
		first = peer_frame_read(fd, back, sizeof(back), &len);
		seen |= first == 0x8a ? 1 : 0;
		if (first == 0x81) {
			assert_memory_equal(back, "hello!", 6);
			seen |= 2;
		}
	}
	assert_int_equal(seen, 3);
	memset(big, 'b', sizeof(big));
	peer_frame(fd, 0x82, big, sizeof(big));
	assert_int_equal(peer_frame_read(fd, back, sizeof(back), &len), 0x82);
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(back, big, sizeof(big));
	close(fd);
}

static void broken_frames_close_with_their_code(void **state)
{
	struct fixture *fix = *state;
	static uint8_t big[100001];
	int fd = ws_peer(fix);

	peer_send(fd, "\x81\x02hi", 4); /* unmasked */
	assert_int_equal(ws_close_code(fd), 1002);
	assert_true(peer_closed(fd, 1000));
	close(fd);

	fd = ws_peer(fix);
	peer_frame(fd, 0x81, "\xc3\x28", 2); /* not UTF-8 */
	assert_int_equal(ws_close_code(fd), 1007);
	close(fd);

	fd = ws_peer(fix);
	peer_frame(fd, 0x82, big, sizeof(big)); /* above message_max */
	assert_int_equal(ws_close_code(fd), 1009);
	close(fd);

	fd = ws_peer(fix);
	peer_frame(fd, 0x80, "x", 1); /* nothing to continue */
	assert_int_equal(ws_close_code(fd), 1002);
	close(fd);

	fd = ws_peer(fix);
	peer_frame(fd, 0xc1, "x", 1); /* RSV1 without an extension */
	assert_int_equal(ws_close_code(fd), 1002);
	close(fd);
}

static void both_sides_may_close(void **state)
{
	struct fixture *fix = *state;
	int fd = ws_peer(fix);

	peer_frame(fd, 0x88, "\x03\xe8", 2);
	assert_int_equal(ws_close_code(fd), 1000);
	assert_true(peer_closed(fd, 1000));
	close(fd);
	assert_int_equal(atomic_load(&closed_code), 1000);

	fd = ws_peer(fix);
	peer_frame(fd, 0x81, "close", 5);
	assert_int_equal(ws_close_code(fd), 4401);
	peer_frame(fd, 0x88, "\x11\x31", 2);
	assert_true(peer_closed(fd, 1000));
	close(fd);
	assert_int_equal(atomic_load(&closed_code), 4401);

	fd = ws_peer(fix);
	peer_frame(fd, 0x81, "close", 5);
	assert_int_equal(ws_close_code(fd), 4401);
	assert_true(peer_closed(fd, 1500)); /* who never answers the close is cut */
	close(fd);
}

static void who_does_not_read_is_closed(void **state)
{
	struct fixture *fix = *state;
	int fd = ws_peer(fix);

	peer_frame(fd, 0x81, "flood", 5);
	for (unsigned i = 0; i < 60 && atomic_load(&closed_code) != WS_CLOSE_SLOW; i++)
		usleep(50000);
	assert_int_equal(atomic_load(&closed_code), WS_CLOSE_SLOW);
	close(fd);
}

static void who_does_not_answer_pings_is_closed(void **state)
{
	struct fixture *fix = *state;
	uint8_t frame[64];
	size_t len = 0;
	uint64_t begin = clock_mono_ms();
	int fd = ws_peer(fix), pings = 0, first;

	while ((first = peer_frame_read(fd, frame, sizeof(frame), &len)) >= 0)
		pings += first == 0x89;
	assert_int_equal(pings, 2);
	assert_in_range(clock_mono_ms() - begin, 500, 1500);
	close(fd);

	fd = ws_peer(fix);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(peer_frame_read(fd, frame, sizeof(frame), &len), 0x89);
		peer_frame(fd, 0x8a, NULL, 0);
	}
	close(fd);
}

static void stopping_tells_websockets(void **state)
{
	struct fixture *fix = *state;
	int fd = ws_peer(fix);

	fix->web = web_stop(fix->web);
	fix->ws = ws_stop(fix->ws);
	assert_int_equal(ws_close_code(fd), 1012);
	close(fd);
}

static void addresses_that_cannot_be_had_are_outcomes(void **state)
{
	struct fixture *fix = *state;
	struct web_setup web_setup = {
		.listen = "nonsense",
		.crew = { .workers = 1,
			  .queue = 1,
			  .start = worker_start,
			  .handle = worker_handle,
			  .stop = worker_stop },
	};
	struct web *web = NULL;
	char taken[32];

	assert_int_equal(web_start(&web_setup, routes, &web), WEB_E_ADDRESS);
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", fix->port);
	web_setup.listen = taken;
	assert_int_equal(web_start(&web_setup, routes, &web), WEB_E_BUSY);
	assert_null(web);
}

static bool is_answered(int fd, int ms)
{
	return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ms) > 0;
}

/* One that was there before stays open all the while. */
static void who_finds_no_descriptor_is_taken_later(void **state)
{
	static const char request[] = "GET /api/things/ HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *fix = *state;
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)fix->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_(buf_fini) struct buf text = BUF_MAX(65536);
	int stays = peer_connect(fix->port), late = socket(AF_INET, SOCK_STREAM, 0), next;
	struct rlimit was, none;

	peer_text(stays, request);
	assert_int_equal(peer_answer(stays, &text, false), 200);
	next = dup(late);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ (rlim_t)next, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(late, (struct sockaddr *)&to, sizeof(to)), 0);
	peer_text(late, request);
	assert_false(is_answered(late, 150));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(is_answered(late, 2000));
	peer_text(stays, request);
	assert_int_equal(peer_answer(stays, &text, false), 200);
	close(stays);
	close(late);
}

static void who_comes_to_a_full_house_waits_for_a_place(void **state)
{
	static const char request[] = "GET /api/things/ HTTP/1.1\r\nHost: x\r\n\r\n";
	struct web_setup setup = { .listen = "127.0.0.1:0",
				   .max_connections = 2,
				   .crew = { .workers = 1,
					     .queue = 1,
					     .start = worker_start,
					     .handle = worker_handle,
					     .stop = worker_stop } };
	struct web *web = NULL;
	int fds[3];

	(void)state;
	assert_int_equal(web_start(&setup, routes, &web), 0);
	for (unsigned i = 0; i < 3; i++) {
		fds[i] = peer_connect(web_port(web));
		peer_text(fds[i], request);
		assert_int_equal(is_answered(fds[i], i < 2 ? 2000 : 150), i < 2);
	}
	close(fds[0]);
	assert_true(is_answered(fds[2], 2000));
	close(fds[1]);
	close(fds[2]);
	web_stop(web);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(routes_are_found_with_and_without_slash),
		TEST(methods_are_told),
		TEST(only_named_origins_get_cors_headers),
		TEST(requests_may_come_in_pieces_and_in_a_row),
		TEST(large_bodies_are_refused_readably),
		TEST(huge_headers_and_addresses_are_refused),
		TEST(slow_clients_are_cut_in_every_phase),
		TEST(a_full_queue_says_when_to_come_again),
		TEST(a_parked_request_holds_no_worker),
		TEST(a_client_that_leaves_while_parked_harms_nobody),
		TEST(stopping_answers_what_is_in_work),
		TEST(handshakes_are_checked),
		TEST(messages_come_back_whole),
		TEST(broken_frames_close_with_their_code),
		TEST(both_sides_may_close),
		TEST(who_does_not_read_is_closed),
		TEST(who_does_not_answer_pings_is_closed),
		TEST(stopping_tells_websockets),
		TEST(addresses_that_cannot_be_had_are_outcomes),
		TEST(who_finds_no_descriptor_is_taken_later),
		TEST(who_comes_to_a_full_house_waits_for_a_place),
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, NULL, NULL);
}
