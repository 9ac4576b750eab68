/* sip/stream.c - TCP and TLS connections: connecting, handshake, reading, what waits to be written
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <openssl/err.h>

#include "sip/net_private.h"

#define READ_SIZE 16384u
#define READS_A_TURN 4u
#define ACCEPTS_A_TURN 64u
#define DEAD_PEER_MS 30000 /* unacknowledged data for so long ends a connection */

METRIC_GAUGE(streams, "jackfield_sip_connections", "TCP and TLS connections", NULL);
METRIC_COUNTER(refused_source, "jackfield_sip_connections_refused_total", "Connections refused",
	       "reason=\"source_limit\"");
METRIC_COUNTER(refused_total, "jackfield_sip_connections_refused_total", "Connections refused",
	       "reason=\"limit\"");
METRIC_COUNTER(refused_flood, "jackfield_sip_connections_refused_total", "Connections refused",
	       "reason=\"flood\"");
METRIC_COUNTER(handshake_failed, "jackfield_sip_tls_failures_total", "TLS handshakes that failed",
	       NULL);

#define TLS_SILENT                                                                                 \
	"Connected, but nothing answers in TLS: is it another port? (TLS is mostly at 5061)"

struct stream {
	struct net *net;
	struct flow *flow;
	int fd;
	SSL *ssl;
	enum { STREAM_CONNECTING, STREAM_HANDSHAKE, STREAM_UP, STREAM_CLOSED } state;
	bool want_write; /* what the descriptor is watched for besides reading */
	bool counted;	 /* in sources */
	uint64_t heard_ms;
	struct timer timer; /* connecting and handshake; then idleness */
	uint8_t *out;
	size_t out_at, out_end, out_cap;
};

static void stream_event(unsigned events, void *arg);

/* ---- how many from where ---- */

static struct source *source_find(const struct net *net, const struct sa *addr)
{
	struct hnode *node = hmap_first(&net->sources, addr_hash(addr, false));

	for (; node; node = hmap_same(node)) {
		struct source *source = container_of_(node, struct source, node);

		if (sa_cmp(&source->addr, addr, SA_ADDR))
			return source;
	}
	return NULL;
}

/* Return: false when that address has enough. */
static bool source_count(struct net *net, const struct sa *addr)
{
	struct source *source = source_find(net, addr);

	if (source && source->count >= net->wire->limits.per_source &&
	    !wire_is_trusted(net->wire, addr))
		return false;
	if (!source) {
		source = xzalloc(sizeof(*source));
		source->addr = *addr;
		hmap_add(&net->sources, &source->node, addr_hash(addr, false));
	}
	source->count++;
	return true;
}

static void source_uncount(struct net *net, const struct sa *addr)
{
	struct source *source = source_find(net, addr);

	if (!source || --source->count)
		return;
	hmap_del(&net->sources, &source->node);
	free(source);
}

void net_sources_free(struct net *net)
{
	struct hnode *node;

	for (size_t cursor = 0; (node = hmap_iter(&net->sources, &cursor, NULL)); cursor = 0) {
		hmap_del(&net->sources, node);
		free(container_of_(node, struct source, node));
	}
	hmap_fini(&net->sources);
}

/* ---- the end ---- */

static void stream_close(struct flow *flow)
{
	struct stream *stream = flow_impl(flow);

	if (stream->state == STREAM_CLOSED)
		return;
	if (stream->ssl && stream->state == STREAM_UP)
		(void)SSL_shutdown(stream->ssl); /* says goodbye, waits for nothing */
	ERR_clear_error();
	stream->state = STREAM_CLOSED;
	timer_stop(&stream->timer);
	poller_unwatch(stream->fd);
	SSL_free(stream->ssl);
	stream->ssl = NULL;
	close(stream->fd);
	stream->net->stream_count--;
	metric_add(&streams, -1);
	if (stream->counted)
		source_uncount(stream->net, flow_remote(flow));
	flow_unref(flow);
}

static void stream_free(struct flow *flow)
{
	struct stream *stream = flow_impl(flow);

	free(stream->out);
	free(stream);
}

static void stream_fail(struct stream *stream, int errnum, const char *why)
{
	flow_explain(stream->flow, why ? why : strerror(errnum));
	flow_gone(stream->flow, errnum);
}

/* ---- writing ---- */

static void stream_watch(struct stream *stream, bool want_write)
{
	if (stream->want_write == want_write)
		return;
	stream->want_write = want_write;
	if (poller_watch(stream->fd, want_write ? POLLER_READ | POLLER_WRITE : POLLER_READ,
			 stream_event, stream))
		log_rated(LOG_WARN_, "cannot watch a connection", LOG_INT("fd", stream->fd));
}

/* Return: bytes taken, 0 when it would block, negative when it is broken. */
static ssize_t stream_put(struct stream *stream, const uint8_t *data, size_t len)
{
	ssize_t n;

	if (!stream->ssl) {
		n = send(stream->fd, data, len, MSG_NOSIGNAL);
		return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
	}
	ERR_clear_error();
	n = SSL_write(stream->ssl, data, (int)len);
	if (n > 0)
		return n;
	switch (SSL_get_error(stream->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -EPIPE;
	}
}

static int stream_flush(struct stream *stream)
{
	while (stream->out_at < stream->out_end) {
		ssize_t n = stream_put(stream, stream->out + stream->out_at,
				       stream->out_end - stream->out_at);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		stream->out_at += (size_t)n;
	}
	if (stream->out_at == stream->out_end) {
		free(stream->out);
		stream->out = NULL;
		stream->out_at = stream->out_end = stream->out_cap = 0;
	}
	stream_watch(stream, stream->out_end > 0);
	return 0;
}

/* Return: false when the peer has not read for too long. */
static bool stream_queue(struct stream *stream, const uint8_t *data, size_t len)
{
	size_t waiting = stream->out_end - stream->out_at;

	if (waiting + len > stream->net->wire->limits.write_queue)
		return false;
	if (stream->out_at) {
		memmove(stream->out, stream->out + stream->out_at, waiting);
		stream->out_at = 0;
		stream->out_end = waiting;
	}
	if (stream->out_end + len > stream->out_cap) {
		stream->out_cap = stream->out_end + len + 4096;
		stream->out = xrealloc(stream->out, stream->out_cap);
	}
	memcpy(stream->out + stream->out_end, data, len);
	stream->out_end += len;
	return true;
}

static int stream_send(struct flow *flow, const struct mbuf *mb)
{
	struct stream *stream = flow_impl(flow);
	const uint8_t *data = mbuf_buf(mb);
	size_t len = mbuf_get_left(mb);
	ssize_t n = 0;

	if (stream->out_at == stream->out_end) {
		n = stream_put(stream, data, len);
		if (n < 0) {
			stream_fail(stream, (int)-n, NULL);
			return (int)n;
		}
		if ((size_t)n == len)
			return 0;
	}
	if (!stream_queue(stream, data + n, len - (size_t)n)) {
		/* Half a message cannot be taken back, and a whole one may be missed: the next is
		 * refused alone.
		 */
		if (n == 0)
			return FLOW_E_FULL;
		stream_fail(stream, ENOBUFS, NULL);
		return -ENOBUFS;
	}
	stream_watch(stream, true);
	return 0;
}

static const struct flow_ops stream_flow_ops = { .send = stream_send,
						 .close = stream_close,
						 .free = stream_free };

/* ---- reading ---- */

/* Return: bytes, 0 when there is no more for now, negative when it has ended. */
static ssize_t stream_get(struct stream *stream, uint8_t *data, size_t size)
{
	ssize_t n;

	if (!stream->ssl) {
		n = recv(stream->fd, data, size, 0);
		return n > 0				   ? n
		       : n == 0				   ? -ECONNRESET
		       : errno == EAGAIN || errno == EINTR ? 0
							   : -errno;
	}
	ERR_clear_error();
	n = SSL_read(stream->ssl, data, (int)size);
	if (n > 0)
		return n;
	switch (SSL_get_error(stream->ssl, (int)n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -ECONNRESET;
	}
}

static void stream_read(struct stream *stream)
{
	static uint8_t data[READ_SIZE]; /* the call loop's alone */
	auto_(flow_unref) struct flow *flow = flow_ref(stream->flow);

	/* What TLS has decrypted does not make the descriptor readable again: it must all be taken.
	 */
	for (unsigned turn = 0; turn < READS_A_TURN || stream->ssl; turn++) {
		ssize_t n = stream_get(stream, data, sizeof(data));

		if (n == 0)
			return;
		if (n < 0) {
			stream_fail(stream, (int)-n, NULL);
			return;
		}
		stream->heard_ms = wheel_now_ms(stream->net->wheel);
		if (!flow_feed(flow, data, (size_t)n) || stream->state != STREAM_UP)
			return;
	}
}

/* ---- becoming usable ---- */

static void stream_idle(struct stream *stream)
{
	const struct wire_limits *limits = &stream->net->wire->limits;
	uint64_t silent_ms = wheel_now_ms(stream->net->wheel) - stream->heard_ms;

	if (stream->flow->inbound && !stream->flow->rx_any) {
		stream_fail(stream, ETIMEDOUT, "no message came");
		return;
	}
	/* Nobody but us holds it, and nothing has come for long. */
	if (stream->flow->refs == 1 && silent_ms >= (uint64_t)limits->idle_s * 1000) {
		flow_close(stream->flow);
		return;
	}
	timer_start(&stream->timer, (uint64_t)limits->idle_s * 500);
}

static void stream_timer(struct timer *timer, void *arg)
{
	struct stream *stream = arg;

	(void)timer;
	if (stream->state == STREAM_UP)
		stream_idle(stream);
	else
		stream_fail(stream, ETIMEDOUT,
			    stream->state == STREAM_HANDSHAKE ? TLS_SILENT : NULL);
}

static void stream_up(struct stream *stream)
{
	const struct wire_limits *limits = &stream->net->wire->limits;
	bool inbound = stream->flow->inbound;

	stream->state = STREAM_UP;
	if (stream->ssl)
		flow_explain(stream->flow, "");
	stream->heard_ms = wheel_now_ms(stream->net->wheel);
	timer_start(&stream->timer,
		    (uint64_t)(inbound ? limits->first_message_s : limits->idle_s) * 1000);
	stream_watch(stream, false);
	flow_opened(stream->flow, flow_local(stream->flow));
}

static void stream_handshake(struct stream *stream)
{
	char why[160];
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(stream->ssl);
	if (n == 1) {
		stream_up(stream);
		return;
	}
	switch (SSL_get_error(stream->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		stream_watch(stream, false);
		break;
	case SSL_ERROR_WANT_WRITE:
		stream_watch(stream, true);
		break;
	default:
		metric_add(&handshake_failed, 1);
		tls_explain(stream->ssl, why, sizeof(why));
		log_rated(LOG_INFO_, "TLS handshake failed", LOG_INT("flow", flow_id(stream->flow)),
			  LOG_STR("reason", why));
		stream_fail(stream, EPROTO, why);
	}
}

static void stream_connected(struct stream *stream)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (err) {
		stream_fail(stream, err, NULL);
		return;
	}
	if (!stream->ssl) {
		stream_up(stream);
		return;
	}
	stream->state = STREAM_HANDSHAKE;
	flow_explain(stream->flow, TLS_SILENT);
	stream_handshake(stream);
}

static void stream_event(unsigned events, void *arg)
{
	struct stream *stream = arg;
	auto_(flow_unref) struct flow *keep = flow_ref(stream->flow);
	int r = 0;

	switch (stream->state) {
	case STREAM_CONNECTING:
		if (events & (POLLER_WRITE | POLLER_ERROR))
			stream_connected(stream);
		return;
	case STREAM_HANDSHAKE:
		stream_handshake(stream);
		if (stream->state != STREAM_UP)
			return;
		break; /* the first message may have come along */
	case STREAM_UP:
		break;
	case STREAM_CLOSED:
		return;
	}
	/* TLS may need to write for a read and the other way round: both are tried on either. */
	if (stream->out_at < stream->out_end)
		r = stream_flush(stream);
	if (r < 0)
		stream_fail(stream, -r, NULL);
	else
		stream_read(stream);
}

/* ---- making one ---- */

static void socket_tune(int fd)
{
	int on = 1, dead = DEAD_PEER_MS;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof(dead));
}

/* Takes over fd and ssl. Return: the flow; the reference is the stream's. NULL: it could not be
 * watched.
 */
static struct flow *stream_new(struct net *net, int fd, SSL *ssl, const struct flow_setup *setup,
			       int state)
{
	struct stream *stream = xzalloc(sizeof(*stream));
	struct flow_setup full = *setup;
	char sent_by[64];

	stream->net = net;
	stream->fd = fd;
	stream->ssl = ssl;
	stream->state = state;
	stream->want_write = state == STREAM_CONNECTING;
	if (poller_watch(fd, stream->want_write ? POLLER_READ | POLLER_WRITE : POLLER_READ,
			 stream_event, stream)) {
		free(stream);
		return NULL;
	}
	net_sent_by(net, setup->transport, &setup->local, &setup->remote, sent_by, sizeof(sent_by));
	full.ops = &stream_flow_ops;
	full.impl = stream;
	full.sent_by = sent_by;
	full.connecting = true;
	stream->flow = flow_new(net->wire, &full);
	timer_init(&stream->timer, net->wheel, stream_timer, stream);
	timer_start(&stream->timer, (uint64_t)net->wire->limits.connect_s * 1000);
	net->stream_count++;
	metric_add(&streams, 1);
	return stream->flow;
}

/* From the address that we listen on, so that the peer sees one of us only. */
static int socket_connect(struct net *net, const struct target *target, struct sa *ret_local)
{
	struct listener *listener = net_listener_for(net, target->transport, &target->addr, NULL);
	int fd, on = 1;

	if (!listener)
		listener = net_listener_for(net, SIP_TRANSP_UDP, &target->addr, NULL);
	fd = socket(sa_af(&target->addr), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	socket_tune(fd);
	if (listener && !sa_is_any(&listener->addr)) {
		struct sa from = listener->addr;

		sa_set_port(&from, 0);
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, &from.u.sa, from.len))
			goto fail;
	}
	if (connect(fd, &target->addr.u.sa, target->addr.len) && errno != EINPROGRESS)
		goto fail;
	ret_local->len = sizeof(ret_local->u);
	if (getsockname(fd, &ret_local->u.sa, &ret_local->len))
		goto fail;
	return fd;
fail:
	close(fd);
	return -1;
}

int stream_open(struct net *net, const struct target *target, struct flow **ret_flow)
{
	struct flow_setup setup = { .transport = target->transport, .remote = target->addr };
	char address[64];
	SSL *ssl = NULL;
	struct flow *flow;
	int fd;

	if (net->stream_count >= net->wire->limits.connections)
		return WIRE_E_FULL;
	fd = socket_connect(net, target, &setup.local);
	if (fd < 0)
		return WIRE_E_UNREACHABLE;
	if (target->transport == SIP_TRANSP_TLS) {
		re_snprintf(address, sizeof(address), "%j", &target->addr);
		if (!target->unverified)
			setup.host = target->host[0] ? target->host : address;
		ssl = tls_connect_new(net, fd, setup.host);
	}
	flow = target->transport == SIP_TRANSP_TLS && !ssl
		       ? NULL
		       : stream_new(net, fd, ssl, &setup, STREAM_CONNECTING);
	if (!flow) {
		SSL_free(ssl);
		close(fd);
		return WIRE_E_UNREACHABLE;
	}
	*ret_flow = flow_ref(flow);
	return 0;
}

/* Takes over fd. Return: false when it was refused. */
static bool stream_adopt(struct listener *listener, int fd, const struct sa *remote)
{
	struct flow_setup setup = { .transport = listener->transport,
				    .remote = *remote,
				    .inbound = true };
	struct net *net = listener->net;
	struct stream *stream;
	struct flow *flow;
	SSL *ssl = NULL;

	if (net->stream_count >= net->wire->limits.connections) {
		metric_add(&refused_total, 1);
		return false;
	}
	if (!wire_admit(net->wire, remote)) { /* a connection costs more than a message */
		metric_add(&refused_flood, 1);
		return false;
	}
	if (!source_count(net, remote)) {
		metric_add(&refused_source, 1);
		return false;
	}
	socket_tune(fd);
	setup.local.len = sizeof(setup.local.u);
	if (getsockname(fd, &setup.local.u.sa, &setup.local.len) == 0 &&
	    (listener->transport != SIP_TRANSP_TLS || (ssl = tls_accept_new(net, fd)))) {
		flow = stream_new(net, fd, ssl, &setup, ssl ? STREAM_HANDSHAKE : STREAM_UP);
		if (flow) {
			stream = flow_impl(flow);
			stream->counted = true;
			if (!ssl)
				stream_up(stream);
			return true;
		}
	}
	SSL_free(ssl);
	source_uncount(net, remote);
	return false;
}

void stream_accept(struct listener *listener)
{
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sa remote = { .len = sizeof(remote.u) };
		int fd = accept4(listener->fd, &remote.u.sa, &remote.len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			/* Out of descriptors: the connection stays in the queue and would wake us
			 * for ever.
			 */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS) {
				poller_unwatch(listener->fd);
				timer_start(&listener->pause, 200);
				log_rated(LOG_WARN_, "no descriptors left for connections");
			}
			return;
		}
		if (!stream_adopt(listener, fd, &remote))
			close(fd);
	}
}
