/* What goes out to a WebSocket: a queue of our own, because a frame of a server is the same for every client: its text
 * is made once and shared. wslay's own control frames join that queue whole, so frames never mix.
 */
#include "http/ws_private.h"

#include "base/metric.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOVECS 32

METRIC_COUNTER(sent_metric, "jackfield_ws_frames_sent_total", "WebSocket messages queued", NULL);

/* A frame's head and, after it, its text */
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

static void chunk_free(struct chunk *chunk)
{
	if (chunk->release)
		chunk->release(chunk->release_arg);
	free(chunk);
}

void ws_conn_flush_later(struct ws_conn *conn)
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
	ws_conn_flush_later(conn);
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

void ws_conn_drop_out(struct ws_conn *conn, bool all)
{
	struct chunk *chunk = conn->out, *first = NULL;

	if (chunk && chunk->sent && !all) {
		first = chunk;
		chunk = chunk->next;
		first->next = NULL;
	}
	while (chunk) {
		struct chunk *next = chunk->next;

		conn->out_bytes -= chunk->head_len + chunk->len - chunk->sent;
		chunk_free(chunk);
		chunk = next;
	}
	conn->out = first;
	conn->out_tail = first ? &first->next : &conn->out;
}

static void conn_send(struct ws_conn *conn, uint8_t opcode, struct chunk *chunk)
{
	size_t max = ws_conn_out_max(conn);

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

void ws_send_shared(struct ws_conn *conn, const char *text, size_t len, void (*release)(void *arg),
		    void *arg)
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
	ws_conn_flush_later(conn);
}

size_t ws_conn_backlog(const struct ws_conn *conn)
{
	return conn->out_bytes;
}

static void conn_poll(struct ws_conn *conn, bool out)
{
	struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0),
				     .data.ptr = &conn->source };

	if (conn->polls_out == out)
		return;
	if (epoll_ctl(conn->ws->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) < 0)
		ws_conn_kill(conn, 1006);
	conn->polls_out = out;
}

static size_t out_gather(const struct ws_conn *conn, struct iovec *iov)
{
	size_t count = 0;

	for (const struct chunk *chunk = conn->out; chunk && count + 2 <= IOVECS;
	     chunk = chunk->next) {
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

void ws_conn_flush(struct ws_conn *conn)
{
	struct iovec iov[IOVECS];

	while (conn->out && !conn->dead) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = out_gather(conn, iov) };
		ssize_t sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN) {
			ws_conn_kill(conn, 1006);
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
		ws_conn_kill(conn, 1006); /* the closing handshake is over */
	} else if (conn->wants_drained && !conn->closing) {
		conn->wants_drained = false;
		if (conn->endpoint->drained)
			conn->endpoint->drained(conn, conn->state);
	}
}

/* wslay makes its control frames whole. */
void ws_conn_raw(struct ws_conn *conn, const uint8_t *data, size_t len)
{
	conn_push(conn, chunk_new(data, len));
}
