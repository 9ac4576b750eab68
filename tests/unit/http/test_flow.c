/* Large bodies in and out: sinks, forms, files with ranges, answers made piece by piece */
#include "http/web.h"
#include "peer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define FILE_SIZE 100000
#define PIECES 40

static atomic_int turns, streams_freed, sources_freed;
static size_t sunk;
static unsigned sunk_sum;

static void answer_text(struct web_req *req, int status, char *body)
{
	web_answer(req, status, "text/plain", body, strlen(body));
}

static int sink_put(void *arg, const char *data, size_t len)
{
	(void)arg;
	sunk += len;
	for (size_t i = 0; i < len; i++)
		sunk_sum += (unsigned char)data[i];
	if (memchr(data, '!', len))
		return 400;
	return memchr(data, '#', len) ? 507 : 0;
}

static void handle_sink(struct web_req *req)
{
	static const struct web_sink sink = { .max = 1 << 20, .put = sink_put };

	atomic_fetch_add(&turns, 1);
	if (web_turn(req)) {
		answer_text(req, 200, xasprintf("sunk %zu %u", sunk, sunk_sum));
		return;
	}
	if (web_query(req, "no")) {
		web_answer_error(req, 401, "not_authenticated", "No.");
		return;
	}
	sunk = 0;
	sunk_sum = 0;
	web_receive(req, web_query(req, "memory") ? NULL : &sink);
}

static void handle_memory(struct web_req *req)
{
	const char *body;
	size_t len = 0;

	if (!web_turn(req)) {
		web_receive(req, NULL);
		return;
	}
	body = web_body(req, &len);
	answer_text(req, 200, xasprintf("kept %zu:%.5s", len, body));
}

static void handle_form(struct web_req *req)
{
	static const struct web_form_limits limits = {
		.dir = "/tmp", .file = "file", .file_max = 200000, .texts_max = 2, .text_max = 20
	};
	const char *name = NULL, *text;
	char head[6] = "";
	uint64_t size = 0;
	int fd;

	if (!web_turn(req)) {
		if (web_is_form(req))
			web_receive_form(req, &limits);
		else
			web_answer_error(req, 415, "unsupported_media_type", "A form, please.");
		return;
	}
	fd = web_form_file(req, &size, &name);
	if (fd >= 0)
		assert_true(read(fd, head, 5) >= 0);
	text = web_form_text(req, "name");
	answer_text(req, 200,
		    xasprintf("text=%s file=%s size=%llu head=%s", text ? text : "-",
			      name ? name : "-", (unsigned long long)size, fd >= 0 ? head : "-"));
}

static int file_make(size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	auto_(free) char *data = xzalloc(size + 1);

	for (size_t i = 0; i < size; i++)
		data[i] = (char)('a' + i % 26);
	bug_on(fd < 0 || write(fd, data, size) != (ssize_t)size);
	return fd;
}

static void handle_file(struct web_req *req)
{
	size_t size = web_query(req, "empty") ? 0 : web_query(req, "big") ? 64u << 20 : FILE_SIZE;

	web_answer_file(req, &(struct web_file){ .fd = file_make(size),
						 .type = "audio/wav",
						 .etag = "v1",
						 .name = "Gr\xc3\xbc\xc3\x9f \"x\".wav",
						 .attachment = true });
}

/* A disk that takes its time: a tenth of a second for what is asked at once. */
static ssize_t slow_read(void *arg, uint64_t at, char *buf, size_t max)
{
	size_t part = max < 30000 ? max : 30000;

	usleep(100000);
	if (arg && at >= 100000)
		return -1;
	for (size_t i = 0; i < part; i++)
		buf[i] = (char)('a' + (at + i) % 26);
	return (ssize_t)part;
}

static void slow_free(void *arg)
{
	(void)arg;
	atomic_fetch_add(&sources_freed, 1);
}

static void handle_slow(struct web_req *req)
{
	struct web_source source = {
		.size = 200000,
		.read = slow_read,
		.free = slow_free,
		.arg = web_query(req, "broken") ? &sources_freed : NULL,
	};

	web_answer_file(req,
			&(struct web_file){
				.source = &source, .fd = -1, .type = "audio/wav", .etag = "s1" });
}

static void stream_freed(void *arg)
{
	free(arg);
	atomic_fetch_add(&streams_freed, 1);
}

static void handle_stream(struct web_req *req)
{
	unsigned *made = web_state(req);
	unsigned width = web_query(req, "wide") ? 1000000 : 1000;
	char *piece;

	atomic_fetch_add(&turns, 1);
	if (!made) {
		made = xzalloc(sizeof(*made));
		web_set_state(req, made, stream_freed);
		web_stream(req, 200, "text/csv");
		web_stream_piece(req, xstrdup("head\n"), 5, false);
		return;
	}
	assert_true(web_is_streaming(req));
	if (++*made == 3 && web_query(req, "abort")) {
		web_answer_error(req, 500, "error", "Too late for that.");
		return;
	}
	if (*made == 2) { /* nothing this time */
		web_stream_piece(req, NULL, 0, false);
		return;
	}
	piece = xzalloc(width + 1);
	memset(piece, 'p', width);
	web_stream_piece(req, piece, width, *made == PIECES);
}

typedef void handler_fn(struct web_req *req);

static const struct web_route routes[] = {
	{ "POST", "/sink", 1 << 21, WEB_BODY_LATER, handle_sink },
	{ "POST", "/memory", 1 << 21, WEB_BODY_LATER, handle_memory },
	{ "POST", "/form", 1 << 21, WEB_BODY_LATER, handle_form },
	{ "GET", "/file", 0, 0, handle_file },
	{ "GET", "/slow", 0, 0, handle_slow },
	{ "GET", "/stream", 0, 0, handle_stream },
	{ 0 },
};

static void *worker_start(void *arg, unsigned index)
{
	(void)arg;
	(void)index;
	return (void *)(uintptr_t)routes;
}

static void worker_handle(void *state, struct web_req *req)
{
	handler_fn *handler = (handler_fn *)(uintptr_t)web_route_arg(req);

	(void)state;
	handler(req);
}

static void worker_stop(void *state)
{
	(void)state;
}

static int setup(void **state)
{
	struct web_setup web_setup = {
		.listen = "127.0.0.1:0",
		.header_timeout_s = 1,
		.body_timeout_s = 1,
		.idle_timeout_s = 2,
		.max_files = 10,
		.crew = { .workers = 1,
			  .queue = 3,
			  .start = worker_start,
			  .handle = worker_handle,
			  .stop = worker_stop },
	};
	struct web *web = NULL;

	atomic_store(&turns, 0);
	atomic_store(&streams_freed, 0);
	atomic_store(&sources_freed, 0);
	assert_int_equal(web_start(&web_setup, routes, &web), 0);
	*state = web;
	return 0;
}

static int teardown(void **state)
{
	web_stop(*state);
	return 0;
}

static int ask_on(int fd, struct buf *text, const char *request)
{
	peer_text(fd, request);
	return peer_answer(fd, text,
			   strncmp(request, "HEAD", 4) == 0 ||
				   strstr(request, "If-None-Match") != NULL);
}

static void has(const struct buf *text, const char *part)
{
	if (!strstr(text->data, part))
		fail_msg("%s is not in %s", part, text->data);
}

/* ---- in ---- */

static void a_body_goes_where_the_handler_says(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *body = xzalloc(500000);
	int fd = peer_connect(web_port(*state));

	memset(body, 1, 500000);
	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n");
	peer_send(fd, body, 500000);
	assert_int_equal(peer_answer(fd, &text, false), 200);
	has(&text, "sunk 500000 500000");
	assert_int_equal(atomic_load(&turns), 2);
	/* In chunks, after "100 Continue", with nothing, in memory: on the same connection */
	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "3\r\n\1\1\1\r\n4\r\n\1\1\1\1\r\n0\r\n\r\n");
	assert_int_equal(peer_answer(fd, &text, false), 200);
	has(&text, "sunk 7 7");
	assert_int_equal(ask_on(fd, &text,
				"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
			 200);
	has(&text, "sunk 0 0");
	assert_int_equal(
		ask_on(fd, &text,
		       "POST /memory HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
		200);
	has(&text, "kept 5:hello");
	assert_int_equal(ask_on(fd, &text,
				"POST /memory HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
				"Content-Length: 5\r\n\r\n"),
			 100);
	assert_int_equal(ask_on(fd, &text, "hello"), 200);
	has(&text, "kept 5:hello");
	close(fd);
}

static void who_may_not_is_told_so_whatever_is_sent(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *body = xzalloc(1 << 20);
	int fd = peer_connect(web_port(*state));

	peer_text(fd, "POST /sink?no=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
	peer_send(fd, body, 1 << 20);
	assert_int_equal(peer_answer(fd, &text, false), 401);
	assert_int_equal(atomic_load(&turns), 1);
	assert_int_equal(sunk, 0);
	/* The connection is still in step, and who asks first need not send it. */
	assert_int_equal(ask_on(fd, &text,
				"POST /sink?no=1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
				"Content-Length: 1048576\r\n\r\n"),
			 401);
	close(fd);
}

static void what_is_too_large_or_wrong_is_refused_readably(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(free) char *body = xzalloc(2 << 20);
	int fd = peer_connect(web_port(*state));

	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n");
	peer_send(fd, body, 2 << 20);
	assert_int_equal(peer_answer(fd, &text, false), 413);
	peer_text(fd, "POST /memory HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
	peer_send(fd, body, 100000);
	assert_int_equal(peer_answer(fd, &text, false), 413);
	body[70000] = '!';
	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
	peer_send(fd, body, 300000);
	assert_int_equal(peer_answer(fd, &text, false), 400);
	has(&text, "non_field_errors");
	body[70000] = '#';
	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
	peer_send(fd, body, 300000);
	assert_int_equal(peer_answer(fd, &text, false), 507);
	has(&text, "no_space");
	close(fd);
}

static void who_stops_in_the_middle_is_cut(void **state)
{
	int fd = peer_connect(web_port(*state));

	peer_text(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nabc");
	assert_true(peer_closed(fd, 2500));
	close(fd);
}

/* ---- forms ---- */

#define TYPE "Content-Type: multipart/form-data; boundary=xYx\r\n"
#define PART(name) "--xYx\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_PART(name, file)                                                                      \
	"--xYx\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"" file             \
	"\"\r\nContent-Type: audio/wav\r\n\r\n"

static int post_form(unsigned port, const char *type, const void *body, size_t len,
		     struct buf *text)
{
	int fd = peer_connect(port), status;
	char head[200];

	snprintf(head, sizeof(head),
		 "POST /form HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n", type, len);
	peer_text(fd, head);
	for (size_t at = 0; at < len; at += 7000) /* in pieces that suit no boundary */
		peer_send(fd, (const char *)body + at, len - at < 7000 ? len - at : 7000);
	status = peer_answer(fd, text, false);
	close(fd);
	return status;
}

static void forms_are_taken_apart(void **state)
{
	unsigned port = web_port(*state);
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(buf_fini) struct buf body = BUF_MAX(1 << 20);
	auto_(free) char *noise = xzalloc(150000);

	for (size_t i = 0; i < 150000; i++)
		noise[i] = (char)(i * 31 % 251); /* with CRs, LFs and dashes in it */
	buf_adds(&body, PART("name") "Hello\r\n" FILE_PART("file", "C:\\\\dir/tone.wav"));
	buf_add(&body, noise, 150000);
	buf_adds(&body, "\r\n--xYx--\r\n");
	assert_int_equal(post_form(port, TYPE, body.data, body.len, &text), 200);
	has(&text, "text=Hello file=tone.wav size=150000");
	assert_int_equal(post_form(port, TYPE, PART("other") "x\r\n--xYx--\r\n",
				   strlen(PART("other") "x\r\n--xYx--\r\n"), &text),
			 200);
	has(&text, "text=- file=- size=0 head=-");
	assert_int_equal(post_form(port, "Content-Type: text/plain\r\n", "x", 1, &text), 415);
}

static void bad_forms_are_refused(void **state)
{
	static const struct {
		const char *type, *body;
		int status;
	} bad[] = {
		{ TYPE, "nonsense", 400 },
		{ TYPE, FILE_PART("file", "a") "abc", 400 }, /* ends in the middle */
		{ TYPE, FILE_PART("other", "a") "abc\r\n--xYx--\r\n", 400 },
		{ TYPE,
		  FILE_PART("file", "a") "abc\r\n" FILE_PART("file", "b") "abc\r\n--xYx--\r\n",
		  400 },
		{ TYPE, PART("name") "123456789012345678901234567890\r\n--xYx--\r\n", 413 },
		{ TYPE, PART("name") "\xff\r\n--xYx--\r\n", 400 },
		{ TYPE, PART("a") "1\r\n" PART("b") "2\r\n" PART("c") "3\r\n--xYx--\r\n", 400 },
		{ "Content-Type: multipart/form-data\r\n", "--xYx", 400 },
		{ "Content-Type: multipart/form-data; boundary=\r\n", "--xYx", 400 },
		{ "Content-Type: multipart/form-data; boundary="
		  "123456789012345678901234567890123456789012345678901234567890123456789012345\r\n",
		  "--xYx", 400 },
	};
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 16);
	auto_(buf_fini) struct buf body = BUF_MAX(1 << 20);
	auto_(free) char *much = xzalloc(250000);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int status = post_form(web_port(*state), bad[i].type, bad[i].body,
				       strlen(bad[i].body), &text);

		if (status != bad[i].status)
			fail_msg("%zu: %d %s", i, status, text.data);
	}
	buf_adds(&body, FILE_PART("file", "big"));
	buf_add(&body, much, 250000);
	buf_adds(&body, "\r\n--xYx--\r\n");
	assert_int_equal(post_form(web_port(*state), TYPE, body.data, body.len, &text), 413);
}

/* ---- out: files ---- */

static void a_file_or_a_part_of_it(void **state)
{
	static const struct {
		const char *range;
		int status;
		const char *header, *body;
	} tries[] = {
		{ "bytes=0-4", 206, "Content-Range: bytes 0-4/100000", "\r\n\r\nabcde" },
		{ "bytes=26-28", 206, "Content-Length: 3\r\n", "\r\n\r\nabc" },
		{ "bytes=99998-", 206, "Content-Range: bytes 99998-99999/100000", "\r\n\r\ncd" },
		{ "bytes=99998-200000", 206, "bytes 99998-99999/100000", "\r\n\r\ncd" },
		{ "bytes=-2", 206, "bytes 99998-99999/100000", "\r\n\r\ncd" },
		{ "bytes=-200000", 206, "bytes 0-99999/100000", "abc" },
		{ "bytes=100000-", 416, "Content-Range: bytes */100000", "range_not_satisfiable" },
		{ "bytes=-0", 416, "bytes */100000", "" },
		{ "bytes=5-4", 200, "Content-Length: 100000", "" },
		{ "bytes=0-1,3-4", 200, "Content-Length: 100000", "" },
		{ "bytes=99999999999999999999999-", 416, "bytes */100000", "" },
		{ "bytes=--5", 200, "Content-Length: 100000", "" },
		{ "lines=1-2", 200, "Content-Length: 100000", "" },
	};
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 18);
	char request[200];
	int fd = peer_connect(web_port(*state));

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		snprintf(request, sizeof(request),
			 "GET /file HTTP/1.1\r\nHost: x\r\nRange: %s\r\n\r\n", tries[i].range);
		if (ask_on(fd, &text, request) != tries[i].status)
			fail_msg("%s: %.300s", tries[i].range, text.data);
		has(&text, tries[i].header);
		has(&text, tries[i].body);
	}
	assert_int_equal(ask_on(fd, &text, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	has(&text, "Accept-Ranges: bytes");
	has(&text, "ETag: \"v1\"");
	has(&text, "Content-Type: audio/wav");
	has(&text,
	    "attachment; filename=\"Gr____ _x_.wav\"; filename*=UTF-8''Gr%C3%BC%C3%9F%20%22x%22.wav");
	assert_true(text.len > FILE_SIZE);
	assert_string_equal(text.data + text.len - 3, "bcd");
	assert_int_equal(ask_on(fd, &text,
				"HEAD /file HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n"),
			 200);
	has(&text, "Content-Length: 100000");
	assert_int_equal(ask_on(fd, &text, "GET /file?empty=1 HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	has(&text, "Content-Length: 0");
	close(fd);
}

static void files_are_asked_for_conditionally(void **state)
{
	static const struct {
		const char *headers;
		int status;
	} tries[] = {
		{ "If-None-Match: \"v1\"", 304 },
		{ "If-None-Match: \"v0\", W/\"v1\"", 304 },
		{ "If-None-Match: *", 304 },
		{ "If-Match: \"v1\"", 200 },
		{ "If-Match: \"v0\"", 412 },
		{ "If-Match: W/\"v1\"", 412 },
		{ "If-Match: nonsense", 412 },
		{ "Range: bytes=0-1\r\nIf-Range: \"v1\"", 206 },
		{ "Range: bytes=0-1\r\nIf-Range: \"v0\"", 200 },
		{ "Range: bytes=0-1\r\nIf-Range: W/\"v1\"", 200 },
		{ "Range: bytes=0-1\r\nIf-Range: Wed, 21 Oct 2015 07:28:00 GMT", 200 },
	};
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 18);
	char request[200];
	int fd = peer_connect(web_port(*state));

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		snprintf(request, sizeof(request), "GET /file HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n",
			 tries[i].headers);
		if (ask_on(fd, &text, request) != tries[i].status)
			fail_msg("%s: %.300s", tries[i].headers, text.data);
	}
	close(fd);
}

static void a_slow_reader_holds_no_worker(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 18);
	unsigned port = web_port(*state);
	int slow[3], fd = peer_connect(port);

	for (unsigned i = 0; i < 3; i++) {
		slow[i] = peer_connect(port);
		peer_text(slow[i], i == 2 ? "GET /stream?wide=1 HTTP/1.1\r\nHost: x\r\n\r\n"
					  : "GET /file?big=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	usleep(300000);
	assert_int_equal(ask_on(fd, &text, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	close(fd);
	for (unsigned i = 0; i < 3; i++)
		close(slow[i]);
}

#define SLOW "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"

static void a_slow_disk_delays_nobody_else(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 19);
	unsigned port = web_port(*state);
	int slow[10], fd = peer_connect(port);
	uint64_t began, longest = 0;

	for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
		slow[i] = peer_connect(port);
		peer_text(slow[i], SLOW);
		usleep(10000); /* the queue before the worker is short */
	}
	for (unsigned i = 0; i < 20; i++) {
		began = clock_mono_ms();
		assert_int_equal(ask_on(fd, &text, "GET /file?empty=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
				 200);
		if (clock_mono_ms() - began > longest)
			longest = clock_mono_ms() - began;
		usleep(5000);
	}
	assert_in_range(longest, 0, 50);
	/* One more than may be on their way: it is told when to come again, and nothing of the file. */
	assert_int_equal(ask_on(fd, &text, SLOW), 503);
	has(&text, "Retry-After: ");
	assert_null(strstr(text.data, "ETag"));
	for (unsigned i = 0; i < ARRAY_LEN(slow); i++)
		close(slow[i]);
	close(fd);
	for (unsigned i = 0; i < 300 && atomic_load(&sources_freed) < 11; i++)
		usleep(10000);
	assert_int_equal(atomic_load(&sources_freed), 11);
}

static void what_is_read_in_pieces_comes_whole(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 19);
	int fd = peer_connect(web_port(*state));
	const char *body;

	assert_int_equal(ask_on(fd, &text,
				"GET /slow HTTP/1.1\r\nHost: x\r\nRange: bytes=29-180028\r\n\r\n"),
			 206);
	body = strstr(text.data, "\r\n\r\n") + 4;
	assert_int_equal(text.len - (size_t)(body - text.data), 180000);
	for (unsigned i = 0; i < 180000; i++)
		assert_int_equal(body[i], 'a' + (29 + i) % 26);
	assert_int_equal(ask_on(fd, &text, "HEAD /slow HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	has(&text, "Content-Length: 200000");
	/* A file that cannot be read to its end is seen to fail. */
	assert_int_equal(ask_on(fd, &text, "GET /slow?broken=1 HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
	assert_true(peer_closed(fd, 500));
	close(fd);
	assert_int_equal(atomic_load(&sources_freed), 3);
}

/* ---- out: pieces ---- */

/* What came until the peer closed or a second passed. */
static size_t read_all(int fd, struct buf *text)
{
	char chunk[65536];
	ssize_t got;

	buf_reset(text);
	while (recv(fd, chunk, 1, MSG_PEEK) > 0 && (got = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		buf_add(text, chunk, (size_t)got);
	return text->len;
}

static void a_stream_comes_in_chunks_to_its_end(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 20);
	int fd = peer_connect(web_port(*state));
	size_t letters = 0;

	peer_text(fd, "GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	read_all(fd, &text);
	has(&text, "Transfer-Encoding: chunked");
	has(&text, "head\n");
	has(&text, "\r\n0\r\n\r\n");
	for (const char *c = strstr(text.data, "\r\n\r\n"); *c; c++)
		letters += *c == 'p';
	assert_int_equal(letters, (PIECES - 1) * 1000);
	assert_int_equal(atomic_load(&turns), PIECES + 1);
	assert_int_equal(atomic_load(&streams_freed), 1);
	close(fd);
	/* Of HTTP 1.0 the end is the connection's. */
	fd = peer_connect(web_port(*state));
	peer_text(fd, "GET /stream HTTP/1.0\r\nHost: x\r\n\r\n");
	read_all(fd, &text);
	assert_null(strstr(text.data, "chunked"));
	assert_string_equal(text.data + text.len - 3, "ppp");
	close(fd);
}

static void the_head_of_a_stream_takes_one_turn(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 18);
	int fd = peer_connect(web_port(*state));

	assert_int_equal(ask_on(fd, &text, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	assert_int_equal(atomic_load(&turns), 1);
	has(&text, "Connection: close");
	assert_true(peer_closed(fd, 1000));
	close(fd);
}

static void a_stream_that_fails_is_seen_to_fail(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1 << 18);
	int fd = peer_connect(web_port(*state));

	peer_text(fd, "GET /stream?abort=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	read_all(fd, &text);
	has(&text, "ppp");
	assert_null(strstr(text.data, "\r\n0\r\n\r\n"));
	assert_null(strstr(text.data, "Too late"));
	close(fd);
}

static void who_leaves_a_stream_ends_it(void **state)
{
	uint64_t begin = clock_mono_ms();
	int fd = peer_connect(web_port(*state));

	peer_text(fd, "GET /stream?wide=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	close(fd);
	while (!atomic_load(&streams_freed) && clock_mono_ms() - begin < 5000)
		usleep(10000);
	assert_int_equal(atomic_load(&streams_freed), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_body_goes_where_the_handler_says),
		TEST(who_may_not_is_told_so_whatever_is_sent),
		TEST(what_is_too_large_or_wrong_is_refused_readably),
		TEST(who_stops_in_the_middle_is_cut),
		TEST(forms_are_taken_apart),
		TEST(bad_forms_are_refused),
		TEST(a_file_or_a_part_of_it),
		TEST(files_are_asked_for_conditionally),
		TEST(a_slow_reader_holds_no_worker),
		TEST(a_slow_disk_delays_nobody_else),
		TEST(what_is_read_in_pieces_comes_whole),
		TEST(a_stream_comes_in_chunks_to_its_end),
		TEST(the_head_of_a_stream_takes_one_turn),
		TEST(a_stream_that_fails_is_seen_to_fail),
		TEST(who_leaves_a_stream_ends_it),
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, NULL, NULL);
}
