/* A WebSocket connection: wslay reads (frames, fragments, masks, UTF-8, the closing handshake) */
#include "http/ws_private.h"

#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUND_BYTES (64 * 1024) /* read from one client before the others have their turn */
/* What the kernel may hold for one client. Left alone it grows to megabytes, which hides a client that does not read. */
#define SOCKET_ROOM (64 * 1024)

METRIC_GAUGE(clients_metric, "jackfield_ws_clients", "Open WebSocket connections", NULL);
METRIC_COUNTER(slow_metric, "jackfield_ws_slow_total",
	       "WebSocket clients closed because they did not read", NULL);

size_t ws_conn_out_max(const struct ws_conn *conn)
{
	return conn->endpoint->out_max ?: 1024 * 1024;
}

void ws_conn_kill(struct ws_conn *conn, int code)
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
static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
		       void *arg)
{
	struct ws_conn *conn = arg;

	(void)ctx;
	(void)flags;
	ws_conn_raw(conn, data, len);
	return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg,
		       void *arg)
{
	struct ws_conn *conn = arg;

	(void)ctx;
	if (msg->opcode == WSLAY_CONNECTION_CLOSE) {
		if (!conn->code)
			conn->code =
				msg->status_code ? msg->status_code : WSLAY_CODE_NO_STATUS_RCVD;
		conn->closing = true;
	} else if (!wslay_is_ctrl_frame(msg->opcode) && !conn->closing && !conn->dead) {
		conn->endpoint->message(conn, conn->state, msg->opcode == WSLAY_TEXT_FRAME,
					msg->msg ? msg->msg : (const uint8_t *)"", msg->msg_length);
	}
}

void ws_conn_read(struct ws_conn *conn)
{
	size_t max = ws_conn_out_max(conn);

	conn->round_bytes = 0;
	if (wslay_event_want_read(conn->wslay)) {
		int r = wslay_event_recv(conn->wslay);

		if (r != 0 || conn->eof) {
			ws_conn_kill(conn, 1006);
			return;
		}
	} else {
		/* Nothing more is wanted; what still comes is read away, so that our close can leave. */
		uint8_t waste[4096];
		ssize_t got = recv(conn->fd, waste, sizeof(waste), MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			ws_conn_kill(conn, 1006);
			return;
		}
	}
	if (!wslay_event_want_read(conn->wslay))
		conn->closing = true; /* wslay found something wrong, or the peer closes */
	/* A peer that pings and never reads fills the queue with pongs. */
	if (conn->out_bytes > max + 4096) {
		metric_add(&slow_metric, 1);
		ws_conn_kill(conn, WS_CLOSE_SLOW);
		return;
	}
	wslay_event_send(conn->wslay);
	ws_conn_flush_later(conn);
}

void ws_close(struct ws_conn *conn, int code, const char *reason)
{
	if (conn->closing || conn->dead)
		return;
	if (code == WS_CLOSE_SLOW) {
		metric_add(&slow_metric, 1);
		ws_conn_drop_out(conn, false); /* so that at least the reason gets through */
	}
	wslay_event_queue_close(conn->wslay, (uint16_t)code, (const uint8_t *)reason,
				reason ? strlen(reason) : 0);
	wslay_event_send(conn->wslay);
	conn->closing = true;
	conn->code = code;
	timer_start(&conn->timer, conn->ws->setup.close_ms);
	ws_conn_flush_later(conn);
}

static void on_timer(struct timer *timer, void *arg)
{
	struct ws_conn *conn = arg;
	struct wslay_event_msg ping = { .opcode = WSLAY_PING };

	if (conn->closing || conn->missed >= 2) {
		/* It had its time: what the kernel still holds is not sent any more. */
		struct linger now = { .l_onoff = 1 };

		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		ws_conn_kill(conn, 1006);
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

static const struct wslay_event_callbacks ws_conn_callbacks = {
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
	bug_on(wslay_event_context_server_init(&conn->wslay, &ws_conn_callbacks, conn) != 0);
	wslay_event_config_set_max_recv_msg_length(conn->wslay,
						   conn->endpoint->message_max ?: 64 * 1024);
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
		ws_conn_kill(conn, 1006);
	else if (!conn->closing)
		timer_start(&conn->timer, ws->setup.ping_ms);
	if (conn->early_len && !conn->dead)
		ws_conn_read(conn);
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

void ws_conn_free(struct ws_conn *conn)
{
	struct ws *ws = conn->ws;

	hmap_del(&ws->conns, &conn->by_id);
	metric_set(&clients_metric, (int64_t)ws->conns.count);
	conn->endpoint->closed(conn, conn->state, conn->code);
	ws_conn_drop_out(conn, true);
	address_put(ws, conn->address);
	wslay_event_context_free(conn->wslay);
	/* The web thread may not have closed its end of the dup() yet, and epoll watches what both stand for. */
	epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	close(conn->fd);
	free(conn->early);
	free(conn);
}

uint64_t ws_conn_id(const struct ws_conn *conn)
{
	return conn->id;
}

struct ws_conn *ws_conn_get(struct ws *ws, uint64_t id)
{
	for (struct hnode *node = hmap_first(&ws->conns, id * 0x9e3779b97f4a7c15ull); node;
	     node = hmap_same(node)) {
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
