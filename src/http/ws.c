/* The ws thread. wslay reads (frames, fragments, masks, UTF-8, the closing handshake); what goes out is a queue of
 * our own, because a frame of a server is the same for every client: its text is made once and shared. wslay's own
 * control frames join that queue whole, so frames never mix.
 *
 * Whatever a callback does, a connection is taken apart only at the end of a round (ws->reap), and written to only
 * then (ws->flush), many frames to a system call.
 */
#include "http/private.h"

#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wslay/wslay.h>

#define POSTS 16384
#define WATCHES 8
#define ROUND_BYTES (64 * 1024) /* read from one client before the others have their turn */
#define IOVECS 32
/* What the kernel may hold for one client. Left alone it grows to megabytes, which hides a client that does not read. */
#define SOCKET_ROOM (64 * 1024)

METRIC_GAUGE(clients_metric, "jackfield_ws_clients", "Open WebSocket connections", NULL);
METRIC_COUNTER(slow_metric, "jackfield_ws_slow_total", "WebSocket clients closed because they did not read", NULL);
METRIC_COUNTER(sent_metric, "jackfield_ws_frames_sent_total", "WebSocket messages queued", NULL);

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

/* Something waiting to go out: a frame's head and, after it, its text. */
struct chunk {
	struct chunk *next;
	const uint8_t *data;
	size_t len;
	size_t sent; /* of head and data together */
	void (*release)(void *arg);
	void *release_arg;
	uint8_t head_len;
	uint8_t head[10];
	uint8_t own[]; /* the text when it is not shared */
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

struct post {
	void (*fn)(void *arg);
	void *arg;
};

/* ---- What goes out ---- */

static void chunk_free(struct chunk *chunk)
{
	if (chunk->release)
		chunk->release(chunk->release_arg);
	free(chunk);
}

static void conn_kill(struct ws_conn *conn, int code)
{
	if (conn->dead)
		return;
	conn->dead = true;
	if (!conn->code)
		conn->code = code;
	timer_stop(&conn->timer);
	conn->reap_next = conn->ws->reap;
	conn->ws->reap = conn;
}

static void conn_flush_later(struct ws_conn *conn)
{
	if (conn->in_flush || conn->dead)
		return;
	conn->in_flush = true;
	conn->flush_next = conn->ws->flush;
	conn->ws->flush = conn;
}

static void conn_push(struct ws_conn *conn, struct chunk *chunk)
{
	*conn->out_tail = chunk;
	conn->out_tail = &chunk->next;
	conn->out_bytes += chunk->head_len + chunk->len;
	conn_flush_later(conn);
}

static struct chunk *chunk_new(const void *data, size_t len)
{
	struct chunk *chunk = xzalloc(sizeof(*chunk) + len);

	if (len)
		memcpy(chunk->own, data, len);
	chunk->data = chunk->own;
	chunk->len = len;
	return chunk;
}

/* RFC 6455 5.2: FIN, opcode, no mask */
static void chunk_head(struct chunk *chunk, uint8_t opcode)
{
	size_t len = chunk->len;

	chunk->head[0] = 0x80 | opcode;
	if (len < 126) {
		chunk->head[1] = (uint8_t)len;
		chunk->head_len = 2;
	} else if (len < 65536) {
		chunk->head[1] = 126;
		chunk->head[2] = (uint8_t)(len >> 8);
		chunk->head[3] = (uint8_t)len;
		chunk->head_len = 4;
	} else {
		chunk->head[1] = 127;
		for (unsigned i = 0; i < 8; i++)
			chunk->head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
		chunk->head_len = 10;
	}
}

/* Drops what has not begun to leave. */
static void conn_drop_out(struct ws_conn *conn)
{
	struct chunk *chunk = conn->out, *first = NULL;

	if (chunk && chunk->sent) {
		first = chunk;
		chunk = chunk->next;
		first->next = NULL;
	}
	while (chunk) {
		struct chunk *next = chunk->next;

		conn->out_bytes -= chunk->head_len + chunk->len;
		chunk_free(chunk);
		chunk = next;
	}
	conn->out = first;
	conn->out_tail = first ? &first->next : &conn->out;
}

static void conn_send(struct ws_conn *conn, uint8_t opcode, struct chunk *chunk)
{
	size_t max = conn->endpoint->out_max ?: 1024 * 1024;

	if (conn->closing || conn->dead) {
		chunk_free(chunk);
		return;
	}
	if (conn->out_bytes + chunk->len > max) {
		chunk_free(chunk);
		ws_close(conn, WS_CLOSE_SLOW, "too slow");
		return;
	}
	chunk_head(chunk, opcode);
	metric_add(&sent_metric, 1);
	conn_push(conn, chunk);
}

void ws_send_text(struct ws_conn *conn, const char *text, size_t len)
{
	conn_send(conn, WSLAY_TEXT_FRAME, chunk_new(text, len));
}

void ws_send_binary(struct ws_conn *conn, const uint8_t *data, size_t len)
{
	conn_send(conn, WSLAY_BINARY_FRAME, chunk_new(data, len));
}

void ws_send_shared(struct ws_conn *conn, const char *text, size_t len, void (*release)(void *arg), void *arg)
{
	struct chunk *chunk = xzalloc(sizeof(*chunk));

	chunk->data = (const uint8_t *)text;
	chunk->len = len;
	chunk->release = release;
	chunk->release_arg = arg;
	conn_send(conn, WSLAY_TEXT_FRAME, chunk);
}

void ws_want_drained(struct ws_conn *conn)
{
	conn->wants_drained = true;
	conn_flush_later(conn);
}

size_t ws_conn_backlog(const struct ws_conn *conn)
{
	return conn->out_bytes;
}

static void conn_poll(struct ws_conn *conn, bool out)
{
	struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = &conn->source };

	if (conn->polls_out == out)
		return;
	if (epoll_ctl(conn->ws->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) < 0)
		conn_kill(conn, 1006);
	conn->polls_out = out;
}

static size_t out_gather(const struct ws_conn *conn, struct iovec *iov)
{
	size_t count = 0;

	for (const struct chunk *chunk = conn->out; chunk && count + 2 <= IOVECS; chunk = chunk->next) {
		size_t skip = chunk->sent;

		if (skip < chunk->head_len) {
			iov[count].iov_base = (void *)(uintptr_t)(chunk->head + skip);
			iov[count++].iov_len = chunk->head_len - skip;
			skip = 0;
		} else {
			skip -= chunk->head_len;
		}
		if (chunk->len > skip) {
			iov[count].iov_base = (void *)(uintptr_t)(chunk->data + skip);
			iov[count++].iov_len = chunk->len - skip;
		}
	}
	return count;
}

static void out_sent(struct ws_conn *conn, size_t sent)
{
	conn->out_bytes -= sent;
	while (conn->out) {
		struct chunk *chunk = conn->out;
		size_t left = chunk->head_len + chunk->len - chunk->sent;

		if (sent < left) {
			chunk->sent += sent;
			return;
		}
		sent -= left;
		conn->out = chunk->next;
		if (!conn->out)
			conn->out_tail = &conn->out;
		chunk_free(chunk);
	}
}

static void conn_flush(struct ws_conn *conn)
{
	struct iovec iov[IOVECS];

	while (conn->out && !conn->dead) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = out_gather(conn, iov) };
		ssize_t sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN) {
			conn_kill(conn, 1006);
			return;
		}
		if (sent < 0)
			break;
		out_sent(conn, (size_t)sent);
	}
	conn_poll(conn, conn->out != NULL);
	if (conn->out || conn->dead)
		return;
	if (!wslay_event_want_read(conn->wslay) && !wslay_event_want_write(conn->wslay)) {
		conn_kill(conn, 1006); /* the closing handshake is over */
	} else if (conn->wants_drained && !conn->closing) {
		conn->wants_drained = false;
		if (conn->endpoint->drained)
			conn->endpoint->drained(conn, conn->state);
	}
}

/* ---- What comes in ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws_conn *conn = arg;
	ssize_t got;

	(void)flags;
	if (conn->early_at < conn->early_len) {
		size_t part = conn->early_len - conn->early_at;

		part = part < len ? part : len;
		memcpy(buf, conn->early + conn->early_at, part);
		conn->early_at += part;
		return (ssize_t)part;
	}
	if (conn->round_bytes >= ROUND_BYTES) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	do {
		got = recv(conn->fd, buf, len, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		conn->round_bytes += (size_t)got;
		conn->missed = 0;
		return got;
	}
	conn->eof = got == 0 || errno != EAGAIN;
	wslay_event_set_error(ctx, conn->eof ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
	return -1;
}

/* wslay's own frames: pongs and closes. */
static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct ws_conn *conn = arg;

	(void)ctx;
	(void)flags;
	conn_push(conn, chunk_new(data, len));
	return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg, void *arg)
{
	struct ws_conn *conn = arg;

	(void)ctx;
	if (msg->opcode == WSLAY_CONNECTION_CLOSE) {
		if (!conn->code)
			conn->code = msg->status_code ? msg->status_code : WSLAY_CODE_NO_STATUS_RCVD;
		conn->closing = true;
	} else if (!wslay_is_ctrl_frame(msg->opcode) && !conn->closing && !conn->dead) {
		conn->endpoint->message(conn, conn->state, msg->opcode == WSLAY_TEXT_FRAME,
					msg->msg ? msg->msg : (const uint8_t *)"", msg->msg_length);
	}
}

static void conn_read(struct ws_conn *conn)
{
	size_t max = conn->endpoint->out_max ?: 1024 * 1024;

	conn->round_bytes = 0;
	if (wslay_event_want_read(conn->wslay)) {
		int r = wslay_event_recv(conn->wslay);

		if (r != 0 || conn->eof) {
			conn_kill(conn, 1006);
			return;
		}
	} else {
		/* Nothing more is wanted; what still comes is read away, so that our close can leave. */
		uint8_t waste[4096];
		ssize_t got = recv(conn->fd, waste, sizeof(waste), MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_kill(conn, 1006);
			return;
		}
	}
	if (!wslay_event_want_read(conn->wslay))
		conn->closing = true; /* wslay found something wrong, or the peer closes */
	/* A peer that pings and never reads fills the queue with pongs. */
	if (conn->out_bytes > max + 4096) {
		metric_add(&slow_metric, 1);
		conn_kill(conn, WS_CLOSE_SLOW);
		return;
	}
	wslay_event_send(conn->wslay);
	conn_flush_later(conn);
}

void ws_close(struct ws_conn *conn, int code, const char *reason)
{
	if (conn->closing || conn->dead)
		return;
	if (code == WS_CLOSE_SLOW) {
		metric_add(&slow_metric, 1);
		conn_drop_out(conn); /* so that at least the reason gets through */
	}
	wslay_event_queue_close(conn->wslay, (uint16_t)code, (const uint8_t *)reason, reason ? strlen(reason) : 0);
	wslay_event_send(conn->wslay);
	conn->closing = true;
	conn->code = code;
	timer_start(&conn->timer, conn->ws->setup.close_ms);
	conn_flush_later(conn);
}

static void on_timer(struct timer *timer, void *arg)
{
	struct ws_conn *conn = arg;
	struct wslay_event_msg ping = { .opcode = WSLAY_PING };

	if (conn->closing || conn->missed >= 2) {
		/* It had its time: what the kernel still holds is not sent any more. */
		struct linger now = { .l_onoff = 1 };

		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		conn_kill(conn, 1006);
		return;
	}
	conn->missed++;
	wslay_event_queue_msg(conn->wslay, &ping);
	wslay_event_send(conn->wslay);
	timer_start(timer, conn->ws->setup.ping_ms);
}

/* ---- Birth and death ---- */

static struct address *address_get(struct ws *ws, const char *text)
{
	uint64_t hash = hkey_text(text);
	struct address *address;

	for (struct hnode *node = hmap_first(&ws->addresses, hash); node; node = hmap_same(node)) {
		address = container_of_(node, struct address, node);
		if (str_eq(address->text, text))
			return address;
	}
	address = xzalloc(sizeof(*address));
	str_copy(address->text, sizeof(address->text), text);
	hmap_add(&ws->addresses, &address->node, hash);
	return address;
}

static void address_put(struct ws *ws, struct address *address)
{
	if (--address->clients)
		return;
	hmap_del(&ws->addresses, &address->node);
	free(address);
}

static void birth_free(struct ws_birth *birth)
{
	if (birth->fd >= 0)
		close(birth->fd);
	if (birth->arg && birth->arg_free)
		birth->arg_free(birth->arg);
	free(birth->early);
	free(birth);
}

static const struct wslay_event_callbacks wslay_callbacks = {
	.recv_callback = on_recv,
	.send_callback = on_send,
	.on_msg_recv_callback = on_message,
};

static struct ws_conn *conn_new(struct ws *ws, struct ws_birth *birth)
{
	struct ws_conn *conn = xzalloc(sizeof(*conn));

	conn->source.kind = SOURCE_CONN;
	conn->ws = ws;
	conn->id = ++ws->next_id;
	conn->fd = birth->fd;
	conn->endpoint = birth->endpoint;
	conn->early = take(birth->early);
	conn->early_len = birth->early_len;
	conn->out_tail = &conn->out;
	bug_on(wslay_event_context_server_init(&conn->wslay, &wslay_callbacks, conn) != 0);
	wslay_event_config_set_max_recv_msg_length(conn->wslay, conn->endpoint->message_max ?: 64 * 1024);
	timer_init(&conn->timer, ws->wheel, on_timer, conn);
	birth->fd = -1;
	return conn;
}

struct ws_arrival {
	struct ws *ws;
	struct ws_birth *birth;
};

static void on_arrival(void *arg)
{
	struct ws_arrival *arrival = arg;
	struct ws *ws = arrival->ws;
	struct ws_birth *birth = arrival->birth;
	struct epoll_event event = { .events = EPOLLIN };
	struct address *address;
	struct ws_conn *conn;
	int one = 1, room = SOCKET_ROOM, flags;

	free(arrival);
	address = address_get(ws, birth->peer);
	address->clients++;
	flags = fcntl(birth->fd, F_GETFL);
	if (ws->stopping || ws->conns.count >= ws->setup.max_clients ||
	    address->clients > ws->setup.max_per_address || flags < 0 ||
	    fcntl(birth->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		log_rated(LOG_WARN_, "websocket: refused, too many clients or stopping");
		address_put(ws, address);
		birth_free(birth);
		return;
	}
	setsockopt(birth->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(birth->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	conn = conn_new(ws, birth);
	conn->address = address;
	hmap_add(&ws->conns, &conn->by_id, conn->id * 0x9e3779b97f4a7c15ull);
	metric_set(&clients_metric, (int64_t)ws->conns.count);
	event.data.ptr = &conn->source;
	conn->state = conn->endpoint->open(conn, take(birth->arg));
	birth_free(birth);
	if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		conn_kill(conn, 1006);
	else if (!conn->closing)
		timer_start(&conn->timer, ws->setup.ping_ms);
	if (conn->early_len && !conn->dead)
		conn_read(conn);
}

void ws_adopt(struct ws *ws, struct ws_birth *birth)
{
	struct ws_arrival *arrival = xzalloc(sizeof(*arrival));

	arrival->ws = ws;
	arrival->birth = (struct ws_birth *)(void *)xmemdup(birth, sizeof(*birth));
	if (!ws_post(ws, on_arrival, arrival)) {
		birth_free(arrival->birth);
		free(arrival);
	}
}

static void conn_free(struct ws_conn *conn)
{
	struct ws *ws = conn->ws;

	hmap_del(&ws->conns, &conn->by_id);
	metric_set(&clients_metric, (int64_t)ws->conns.count);
	conn->endpoint->closed(conn, conn->state, conn->code);
	conn_drop_out(conn);
	if (conn->out)
		chunk_free(conn->out);
	address_put(ws, conn->address);
	wslay_event_context_free(conn->wslay);
	/* The web thread may not have closed its end of the dup() yet, and epoll watches what both stand for. */
	epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	close(conn->fd);
	free(conn->early);
	free(conn);
}

/* ---- The thread ---- */

static void ws_round_end(struct ws *ws)
{
	struct ws_conn *conn = take(ws->flush);

	while (conn) {
		struct ws_conn *next = conn->flush_next;

		conn->in_flush = false;
		if (!conn->dead)
			conn_flush(conn);
		conn = next;
	}
	/* A dead one may still be on the new flush list: take those out first. */
	for (struct ws_conn **at = &ws->flush; *at;) {
		if ((*at)->dead)
			*at = (*at)->flush_next;
		else
			at = &(*at)->flush_next;
	}
	while ((conn = ws->reap)) {
		ws->reap = conn->reap_next;
		conn_free(conn);
	}
}

static void ws_run_posts(struct ws *ws)
{
	struct post post;

	ring_ack(ws->posts);
	while (ring_pop(ws->posts, &post))
		post.fn(post.arg);
}

static void ws_on_source(struct ws *ws, struct source *source, uint32_t events)
{
	struct ws_conn *conn;
	struct watch *watch;

	switch (source->kind) {
	case SOURCE_RING:
		ws_run_posts(ws);
		break;
	case SOURCE_WATCH:
		watch = (struct watch *)source;
		if (watch->fn)
			watch->fn(watch->arg);
		break;
	case SOURCE_CONN:
		conn = (struct ws_conn *)source;
		if (conn->dead)
			break;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			conn_read(conn);
		if ((events & EPOLLOUT) && !conn->dead)
			conn_flush_later(conn);
		break;
	}
}

static int ws_wait_ms(const struct ws *ws)
{
	uint64_t wait = wheel_wait_ms(ws->wheel);

	if (ws->flush)
		return 0;
	if (ws->stopping && wait > 20)
		wait = 20;
	return wait > 60000 ? 60000 : (int)wait;
}

static bool ws_is_done(const struct ws *ws)
{
	return ws->stopping && (ws->conns.count == 0 || clock_mono_ms() > ws->stop_at_ms);
}

static void ws_kill_all(struct ws *ws)
{
	size_t cursor = 0;
	struct hnode *node = NULL;

	while ((node = hmap_iter(&ws->conns, &cursor, node)))
		conn_kill(container_of_(node, struct ws_conn, by_id), 1006);
	ws_round_end(ws);
}

static void *ws_main(void *arg)
{
	struct ws *ws = arg;
	struct epoll_event events[256];

	while (!ws_is_done(ws)) {
		int count = epoll_wait(ws->epoll_fd, events, ARRAY_LEN(events), ws_wait_ms(ws));

		wheel_advance(ws->wheel);
		for (int i = 0; i < count; i++)
			ws_on_source(ws, events[i].data.ptr, events[i].events);
		ws_round_end(ws);
	}
	ws_kill_all(ws);
	ws_run_posts(ws); /* what still waits is run, so that nothing it owns is lost */
	ws_round_end(ws);
	return NULL;
}

static int ws_begin(struct ws *ws)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &ws->ring_source };

	ws->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ws->epoll_fd < 0)
		return err_newf(errno, "epoll_create1");
	if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, ring_fd(ws->posts), &event) < 0)
		return err_newf(errno, "epoll_ctl");
	if (pthread_create(&ws->thread, NULL, ws_main, ws) != 0)
		return err_newf(EAGAIN, "start of the ws thread");
	pthread_setname_np(ws->thread, "ws");
	ws->thread_runs = true;
	return 0;
}

int ws_start(const struct ws_setup *setup, struct ws **ret_ws)
{
	struct ws *ws = xzalloc(sizeof(*ws));
	int r;

	ws->setup = *setup;
	ws->setup.max_clients = setup->max_clients ?: 50000;
	ws->setup.max_per_address = setup->max_per_address ?: 1000;
	ws->setup.ping_ms = setup->ping_ms ?: 25000;
	ws->setup.close_ms = setup->close_ms ?: 5000;
	ws->epoll_fd = -1;
	ws->ring_source.kind = SOURCE_RING;
	ws->posts = ring_new(sizeof(struct post), POSTS);
	ws->wheel = wheel_new();
	for (unsigned i = 0; i < WATCHES; i++)
		ws->watches[i] = (struct watch){ .source.kind = SOURCE_WATCH, .fd = -1 };
	r = ws_begin(ws);
	if (r) {
		ws_stop(ws);
		return err_pass(r);
	}
	*ret_ws = ws;
	return 0;
}

static void on_stop(void *arg)
{
	struct ws *ws = arg;
	size_t cursor = 0;
	struct hnode *node = NULL;

	ws->stopping = true;
	ws->stop_at_ms = clock_mono_ms() + (ws->setup.close_ms < 1000 ? ws->setup.close_ms : 1000);
	while ((node = hmap_iter(&ws->conns, &cursor, node)))
		ws_close(container_of_(node, struct ws_conn, by_id), WS_CLOSE_RESTART, "going away");
}

struct ws *ws_stop(struct ws *ws)
{
	if (!ws)
		return NULL;
	if (ws->thread_runs) {
		while (!ws_post(ws, on_stop, ws))
			usleep(1000);
		pthread_join(ws->thread, NULL);
	}
	if (ws->epoll_fd >= 0)
		close(ws->epoll_fd);
	hmap_fini(&ws->conns);
	hmap_fini(&ws->addresses);
	ring_free(ws->posts);
	wheel_free(ws->wheel);
	free(ws);
	return NULL;
}

bool ws_post(struct ws *ws, void (*fn)(void *arg), void *arg)
{
	return ring_push(ws->posts, &(struct post){ .fn = fn, .arg = arg });
}

struct wheel *ws_wheel(struct ws *ws)
{
	return ws->wheel;
}

int ws_watch(struct ws *ws, int fd, void (*fn)(void *arg), void *arg)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		struct watch *watch = &ws->watches[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &watch->source };

		if (watch->fd >= 0)
			continue;
		if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			return err_newf(errno, "epoll_ctl");
		watch->fd = fd;
		watch->fn = fn;
		watch->arg = arg;
		return 0;
	}
	return err_new(ENOSPC);
}

void ws_unwatch(struct ws *ws, int fd)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		struct watch *watch = &ws->watches[i];

		if (watch->fd != fd)
			continue;
		epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		watch->fd = -1;
		watch->fn = NULL;
	}
}

uint64_t ws_conn_id(const struct ws_conn *conn)
{
	return conn->id;
}

struct ws_conn *ws_conn_get(struct ws *ws, uint64_t id)
{
	for (struct hnode *node = hmap_first(&ws->conns, id * 0x9e3779b97f4a7c15ull); node; node = hmap_same(node)) {
		struct ws_conn *conn = container_of_(node, struct ws_conn, by_id);

		if (conn->id == id)
			return conn->dead ? NULL : conn;
	}
	return NULL;
}

const char *ws_conn_peer(const struct ws_conn *conn)
{
	return conn->address->text;
}

struct ws *ws_conn_ws(const struct ws_conn *conn)
{
	return conn->ws;
}

void *ws_conn_state(const struct ws_conn *conn)
{
	return conn->state;
}
