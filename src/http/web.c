/* The web thread: an epoll loop of our own around MHD's, so that timers, workers' answers and connections meet on
 * one thread and need no lock. MHD's own timeout knows only silence; the deadlines here are for whole phases
 * (headers, body, answer), which is what a client that drips bytes runs into.
 */
#include "http/private.h"

#include "base/metric.h"
#include "base/work.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RING_CAPACITY 16384
#define HEADERS_MAX (16 * 1024)
#define STOP_MS 8000
#define READERS 4 /* of files on their way out */

METRIC_COUNTER(requests_2xx, "jackfield_http_requests_total", "Requests answered", "class=\"2xx\"");
METRIC_COUNTER(requests_4xx, "jackfield_http_requests_total", "Requests answered", "class=\"4xx\"");
METRIC_COUNTER(requests_5xx, "jackfield_http_requests_total", "Requests answered", "class=\"5xx\"");
METRIC_HISTOGRAM(request_time, "jackfield_http_request_seconds", "From first byte to last", NULL);
METRIC_COUNTER(refused_metric, "jackfield_http_refused_total",
	       "Requests refused because the queue was full", NULL);

struct web {
	struct web_setup setup;
	char *origins;
	struct router *router;
	struct crew *crew;
	struct MHD_Daemon *mhd;
	struct door door;
	int epoll_fd;
	unsigned port;
	struct web_bell *bell;
	struct ring *ring; /* the bell's */
	struct wheel *wheel;
	pthread_t thread;
	bool thread_runs;
	atomic_bool stopping;
	uint64_t stop_at_ms;
	struct work_pool *readers;
	struct hmap suspended; /* requests with a worker or a reader, in the queue or parked */
	unsigned parked, live, sources;
};

void web_send(struct web *web, const struct web_msg *msg)
{
	/* Requests in work and parked are bounded far below the ring's capacity. */
	bug_on(!ring_push(web->ring, msg));
}

struct ws *web_ws(const struct web *web)
{
	return web->setup.ws;
}

bool web_is_stopping(const struct web *web)
{
	return atomic_load_explicit(&web->stopping, memory_order_relaxed);
}

size_t web_default_body_max(const struct web *web)
{
	return web->setup.body_max;
}

bool web_trusts_forwarded(const struct web *web)
{
	return web->setup.trust_forwarded;
}

const struct router *web_router(const struct web *web)
{
	return web->router;
}

unsigned web_port(const struct web *web)
{
	return web->port;
}

const char *web_cors_origin(const struct web *web, const char *origin)
{
	const char *list = web->origins;
	size_t want = strlen(origin);

	while (list && *list) {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == want && strncasecmp(list, origin, len) == 0)
			return origin;
		list += len;
	}
	return NULL;
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct web *web = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = peer_new(conn, web->wheel, web->setup.header_timeout_s);
	else
		*context = peer_free(*context);
}

struct web_bell *web_bell_ref(struct web *web)
{
	return bell_ref(web->bell);
}

/* For a phase in which so many bytes go over the line. */
static void req_deadline(struct web_req *req, uint64_t bytes)
{
	uint64_t more = bytes / WEB_BYTES_PER_S;
	unsigned seconds =
		req->web->setup.body_timeout_s + (unsigned)(more < 864000 ? more : 864000);

	req->deadline_ms = clock_mono_ms() + seconds * 1000ull;
	peer_deadline(req->conn, seconds);
}

/* The same phase goes on; what we took of it ourselves is given back. */
static void req_deadline_again(struct web_req *req)
{
	uint64_t now = clock_mono_ms(), left;

	req->deadline_ms += now - req->suspended_ms;
	left = req->deadline_ms > now ? req->deadline_ms - now : 0;
	peer_deadline(req->conn, (unsigned)(left / 1000) + 1);
}

/* ---- Requests ---- */

static void req_resume(struct web_req *req)
{
	if (!req->suspended)
		return;
	req->suspended = false;
	hmap_del(&req->web->suspended, &req->by_id);
	MHD_resume_connection(req->conn);
}

static void req_refuse(struct web_req *req)
{
	metric_add(&refused_metric, 1);
	if (req->begun) {
		req->piece.abort = true;
		req->state = REQ_SENT;
		req_resume(req);
		return;
	}
	web_add_header(req, "Retry-After", "1");
	req_error(req, 503, "overloaded", "Too many requests are waiting. Try again in a moment.");
	req_resume(req);
}

/* To a worker, or into the queue; else it is refused: resumed, and answered when MHD calls again. */
static void req_submit(struct web_req *req)
{
	if (!crew_submit(req->web->crew, req))
		req_refuse(req);
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	struct web *web = cls;

	web->live++;
	return req_new(web, conn, uri);
}

static void req_suspend(struct web_req *req)
{
	peer_deadline(req->conn, 0);
	req->suspended_ms = clock_mono_ms();
	MHD_suspend_connection(req->conn);
	req->suspended = true;
	hmap_add(&req->web->suspended, &req->by_id, id_hash(req->id));
}

/* A turn, if there is room for it. Return: false when the request was answered instead. */
static bool req_give_turn(struct web_req *req)
{
	struct web *web = req->web;

	if (web_is_stopping(web)) {
		web_add_header(req, "Retry-After", "5");
		req_error(req, 503, "stopping", "The server is stopping.");
		return false;
	}
	if (!crew_has_room(web->crew)) {
		req_refuse(req);
		return false;
	}
	req_suspend(req);
	req_submit(req);
	return true;
}

static enum MHD_Result req_answer(struct web_req *req)
{
	req_deadline(req, req_answer_len(req));
	return req_send(req);
}

bool web_want_piece(struct web_req *req)
{
	struct web *web = req->web;

	if (web->stop_at_ms && clock_mono_ms() > web->stop_at_ms)
		return false;
	req->turn++;
	req_suspend(req);
	req_submit(req);
	return true;
}

bool web_read(struct web_req *req, const struct work *work)
{
	struct web *web = req->web;

	if ((web->stop_at_ms && clock_mono_ms() > web->stop_at_ms) ||
	    !work_submit(web->readers, work))
		return false;
	req_suspend(req);
	return true;
}

bool web_sources_more(struct web *web)
{
	if (web->sources >= web->setup.max_files)
		return false;
	web->sources++;
	return true;
}

void web_sources_less(struct web *web)
{
	web->sources--;
}

/* The headers are there. */
static enum MHD_Result on_head(struct web_req *req, const char *method, const char *url)
{
	peer_deadline(req->conn, req->web->setup.body_timeout_s);
	if (!req_begin(req, method, url))
		return req_send(req);
	if (!(req->route->flags & WEB_BODY_LATER)) {
		req_deadline(req, req->body_declared > 0 ? (uint64_t)req->body_declared : 0);
		return MHD_YES;
	}
	req->before_body = true;
	if (req_give_turn(req))
		return MHD_YES;
	req->before_body = false;
	return body_is_unwanted(req) ? req_answer(req) : MHD_YES;
}

/* The turn before the body is over, MHD asks for the first time again. */
static enum MHD_Result on_head_again(struct web_req *req)
{
	req->before_body = false;
	if (req->state == REQ_ANSWERED && body_is_unwanted(req))
		return req_answer(req);
	req_deadline(req, req->body_declared > 0 ? (uint64_t)req->body_declared : req->body_max);
	return MHD_YES;
}

static enum MHD_Result on_complete_body(struct web_req *req)
{
	if (!body_end(req))
		return req_answer(req);
	if (req->route->flags & WEB_BODY_LATER)
		req->turn++;
	return req_give_turn(req) ? MHD_YES : req_answer(req);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **arg)
{
	struct web_req *req = *arg;

	(void)cls;
	(void)conn;
	(void)version;
	if (!req)
		return MHD_NO;
	if (!req->method)
		return on_head(req, method, url);
	if (*data_size) {
		bool go_on = body_take(req, data, *data_size);

		*data_size = 0;
		return go_on ? MHD_YES : MHD_NO;
	}
	if (req->before_body)
		return on_head_again(req);
	if (req->state == REQ_READING)
		return on_complete_body(req);
	if (req->state == REQ_ANSWERED)
		return req_answer(req);
	return MHD_YES;
}

static void req_log(const struct web_req *req, bool whole)
{
	int64_t us = (int64_t)(clock_mono_us() - req->begin_us);

	metric_observe_us(&request_time, us);
	metric_add(req->status >= 500	? &requests_5xx
		   : req->status >= 400 ? &requests_4xx
					: &requests_2xx,
		   1);
	if (req->route && (req->route->flags & WEB_QUIET) && req->status < 400)
		return;
	log_info("request", LOG_STR("method", req->method), LOG_STR("path", req->path),
		 LOG_INT("status", req->status), LOG_INT("bytes", req_answer_len(req)),
		 LOG_INT("us", us), LOG_PII("peer", req->peer), LOG_ID("request", req->id),
		 LOG_STR("end", whole ? "sent" : "cut"));
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **arg,
			 enum MHD_RequestTerminationCode code)
{
	struct web *web = cls;
	struct web_req *req = *arg;

	if (!req)
		return;
	*arg = NULL;
	bug_on(req->suspended);
	timer_stop(&req->park_timer);
	if (req->method)
		req_log(req, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	req_free(req);
	web->live--;
	peer_deadline(conn, web->setup.idle_timeout_s);
}

/* ---- Messages from workers ---- */

static void req_next_turn(struct web_req *req)
{
	timer_stop(&req->park_timer);
	if (req->state == REQ_PARKED)
		req->web->parked--;
	req->woken = false;
	req->turn++;
	req_submit(req);
}

static void on_park_timeout(struct timer *timer, void *arg)
{
	(void)timer;
	req_next_turn(arg);
}

static void web_parked(struct web *web, struct web_req *req)
{
	if (web->parked >= WEB_PARKED_MAX) {
		req_refuse(req);
		return;
	}
	req->state = REQ_PARKED;
	web->parked++;
	if (req->woken || web_is_stopping(web)) {
		req_next_turn(req);
		return;
	}
	timer_init(&req->park_timer, web->wheel, on_park_timeout, req);
	if (req->park_ms)
		timer_start(&req->park_timer, req->park_ms);
}

static struct web_req *web_find(const struct web *web, struct id id)
{
	for (struct hnode *node = hmap_first(&web->suspended, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct web_req *req = container_of_(node, struct web_req, by_id);

		if (id_eq(req->id, id))
			return req;
	}
	return NULL;
}

static void web_woken(struct web *web, const struct web_msg *msg)
{
	struct web_req *req = web_find(web, msg->request);

	if (!req || req->turn != msg->turn)
		return;
	if (req->state == REQ_PARKED)
		req_next_turn(req);
	else if (req->state == REQ_WORKING)
		req->woken = true; /* its worker is about to park it */
}

static void web_stopping_begin(struct web *web)
{
	size_t cursor = 0, count = 0;
	struct hnode *node = NULL;
	struct web_req *parked[WEB_PARKED_MAX];

	door_shut(&web->door);
	web->stop_at_ms = clock_mono_ms() + STOP_MS;
	while ((node = hmap_iter(&web->suspended, &cursor, node))) {
		struct web_req *req = container_of_(node, struct web_req, by_id);

		if (req->state == REQ_PARKED)
			parked[count++] = req;
	}
	for (size_t i = 0; i < count; i++)
		req_next_turn(parked[i]);
}

static void web_on_message(struct web *web, const struct web_msg *msg)
{
	switch (msg->kind) {
	case WEB_MSG_ANSWERED:
		msg->req->state = msg->req->begun ? REQ_SENT : REQ_ANSWERED;
		if (msg->req->begun)
			req_deadline(msg->req, msg->req->piece.len);
		req_resume(msg->req);
		break;
	case WEB_MSG_FILLED:
		req_deadline_again(msg->req);
		req_resume(msg->req);
		break;
	case WEB_MSG_RECEIVE:
		msg->req->state = REQ_READING;
		req_resume(msg->req);
		break;
	case WEB_MSG_PARKED:
		web_parked(web, msg->req);
		break;
	case WEB_MSG_WAKE:
		web_woken(web, msg);
		break;
	case WEB_MSG_IDLE:
		crew_worker_idle(web->crew, msg->worker);
		break;
	case WEB_MSG_STOP:
		web_stopping_begin(web);
		break;
	}
}

/* ---- The loop ---- */

static int web_wait_ms(struct web *web)
{
	uint64_t wait = wheel_wait_ms(web->wheel);
	MHD_UNSIGNED_LONG_LONG mhd_wait = 0;

	if (MHD_get_timeout(web->mhd, &mhd_wait) == MHD_YES && mhd_wait < wait)
		wait = mhd_wait;
	if (web->stop_at_ms && wait > 20)
		wait = 20;
	return wait > 60000 ? 60000 : (int)wait;
}

static bool web_is_done(const struct web *web)
{
	if (!web->stop_at_ms)
		return false;
	/* A request with a worker always ends (its waits are bounded); sending may take for ever. */
	return web->suspended.count == 0 && (web->live == 0 || clock_mono_ms() > web->stop_at_ms);
}

static void *web_main(void *arg)
{
	struct web *web = arg;
	struct epoll_event events[8];
	struct web_msg msg;

	while (!web_is_done(web)) {
		int count = epoll_wait(web->epoll_fd, events, ARRAY_LEN(events), web_wait_ms(web));

		wheel_advance(web->wheel);
		ring_ack(web->ring);
		while (ring_pop(web->ring, &msg))
			web_on_message(web, &msg);
		for (int i = 0; i < count; i++)
			if (web->door.fd >= 0 && events[i].data.fd == web->door.fd)
				door_take(&web->door);
		MHD_run(web->mhd);
	}
	MHD_stop_daemon(web->mhd);
	web->mhd = NULL;
	return NULL;
}

static int web_watch(struct web *web, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(web->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return err_newf(errno, "epoll_ctl");
	return 0;
}

/* ---- Start and stop ---- */

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
	char text[200];

	(void)cls;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(text, sizeof(text), fmt, ap);
#pragma GCC diagnostic pop
	text[strcspn(text, "\r\n")] = '\0';
	log_rated(LOG_DEBUG_, "http library", LOG_STR("says", text));
}

static int web_start_mhd(struct web *web)
{
	const union MHD_DaemonInfo *info;
	int r;

	web->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, web, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
		MHD_OPTION_CONNECTION_LIMIT, web->setup.max_connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, web->setup.max_per_address,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_NOTIFY_COMPLETED, on_completed, web,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_URI_LOG_CALLBACK,
		on_uri, web, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!web->mhd)
		return err_newf(errno ? errno : EINVAL, "start of the HTTP library");
	info = MHD_get_daemon_info(web->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return err_newf(ENOTSUP, "epoll in the HTTP library");
	web->door.mhd = web->mhd;
	web->door.epoll_fd = web->epoll_fd;
	r = web_watch(web, info->epoll_fd);
	if (!r)
		r = door_open(&web->door, web->wheel, web->setup.max_connections);
	return r ? err_pass(r) : 0;
}

static void web_defaults(struct web_setup *setup)
{
	setup->max_connections = setup->max_connections ?: 10000;
	setup->max_per_address = setup->max_per_address ?: 500;
	setup->max_files = setup->max_files ?: 1024;
	setup->body_max = setup->body_max ?: 64 * 1024;
	setup->header_timeout_s = setup->header_timeout_s ?: 15;
	setup->body_timeout_s = setup->body_timeout_s ?: 60;
	setup->idle_timeout_s = setup->idle_timeout_s ?: 75;
}

static int web_begin(struct web *web)
{
	int r = listen_open(web->setup.listen, &web->door.fd, &web->port);

	if (r)
		return r < 0 ? err_pass(r) : r;
	web->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (web->epoll_fd < 0)
		return err_newf(errno, "epoll_create1");
	r = web_watch(web, ring_fd(web->ring));
	if (r)
		return err_pass(r);
	web->readers = work_pool_new("reader", READERS, web->setup.max_files);
	if (!crew_start(web->crew))
		return WEB_E_CREW;
	r = web_start_mhd(web);
	if (r)
		return err_pass(r);
	if (pthread_create(&web->thread, NULL, web_main, web) != 0)
		return err_newf(EAGAIN, "start of the web thread");
	pthread_setname_np(web->thread, "web");
	web->thread_runs = true;
	return 0;
}

int web_start(const struct web_setup *setup, const struct web_route *routes, struct web **ret_web)
{
	struct web *web = xzalloc(sizeof(*web));
	int r;

	web->setup = *setup;
	web_defaults(&web->setup);
	web->origins = xstrdup(setup->origins);
	web->door.fd = web->epoll_fd = -1;
	web->router = router_new(routes);
	web->ring = ring_new(sizeof(struct web_msg), RING_CAPACITY);
	web->bell = bell_new(web->ring);
	web->wheel = wheel_new();
	web->crew = crew_new(web, &setup->crew);
	r = web_begin(web);
	web->setup.listen = web->setup.origins = NULL; /* the caller's again */
	if (r) {
		web_stop(web);
		return r;
	}
	*ret_web = web;
	return 0;
}

struct web *web_stop(struct web *web)
{
	if (!web)
		return NULL;
	atomic_store(&web->stopping, true);
	if (web->thread_runs) {
		web_send(web, &(struct web_msg){ .kind = WEB_MSG_STOP });
		pthread_join(web->thread, NULL);
	} else if (web->mhd) {
		MHD_stop_daemon(web->mhd);
	}
	crew_free(web->crew);
	work_pool_free(web->readers);
	door_shut(&web->door);
	if (web->epoll_fd >= 0)
		close(web->epoll_fd);
	hmap_fini(&web->suspended);
	bell_unref(web->bell);
	wheel_free(web->wheel);
	router_free(web->router);
	free(web->origins);
	free(web);
	return NULL;
}
