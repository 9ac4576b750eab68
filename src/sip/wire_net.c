/* sip/wire_net.c - the real wire: listeners, datagrams, and which of our addresses a peer sees */
#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <unistd.h>

#include "sip/net_private.h"

#define DATAGRAMS_A_TURN 64u /* a flood on one socket must not starve the others */
#define DATAGRAM_MAX 65536u
#define PAUSE_MS 200u

METRIC_COUNTER(dropped_truncated, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"truncated\"");
METRIC_COUNTER(send_failed, "jackfield_sip_send_errors_total", "Datagrams that the system refused",
	       NULL);

/* ---- which address of ours ---- */

static bool addr_fits(const struct sa *bound, const struct sa *remote)
{
	return sa_is_any(bound) || sa_is_loopback(bound) == sa_is_loopback(remote);
}

struct listener *net_listener_for(struct net *net, enum sip_transp transport,
				  const struct sa *remote, const struct sa *local)
{
	struct listener *second = NULL;

	for (unsigned i = 0; i < net->listener_count; i++) {
		struct listener *listener = &net->listeners[i];

		if (listener->transport != transport || sa_af(&listener->addr) != sa_af(remote))
			continue;
		if (local &&
		    (sa_cmp(&listener->addr, local, SA_ALL) ||
		     (sa_is_any(&listener->addr) && sa_port(&listener->addr) == sa_port(local))))
			return listener;
		if (!second ||
		    (!addr_fits(&second->addr, remote) && addr_fits(&listener->addr, remote)))
			second = listener;
	}
	return second;
}

/* The address that the system would send from: asked of a socket that never sends. */
static void local_for(const struct listener *listener, const struct sa *remote,
		      struct sa *ret_local)
{
	socklen_t len = sizeof(ret_local->u);
	int fd;

	*ret_local = listener->addr;
	if (!sa_is_any(&listener->addr))
		return;
	fd = socket(sa_af(remote), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, &remote->u.sa, remote->len) == 0 &&
	    getsockname(fd, &ret_local->u.sa, &len) == 0)
		ret_local->len = len;
	close(fd);
	sa_set_port(ret_local, sa_port(&listener->addr));
}

void net_sent_by(const struct net *net, enum sip_transp transport, const struct sa *local,
		 const struct sa *remote, char *buf, size_t size)
{
	struct sa addr = *local;

	for (unsigned i = 0; i < net->listener_count; i++) {
		const struct listener *listener = &net->listeners[i];

		if (listener->transport == transport && sa_af(&listener->addr) == sa_af(local)) {
			sa_set_port(&addr, sa_port(&listener->addr));
			break;
		}
	}
	/* Neighbours cannot be expected to reach our public address from inside. */
	if (net->public_addr && !address_is_private(remote))
		snprintf(buf, size, strchr(net->public_addr, ':') ? "[%s]:%u" : "%s:%u",
			 net->public_addr, sa_port(&addr));
	else
		addr_print(&addr, buf, size);
}

/* ---- datagrams ---- */

/* Which of our datagrams were refused, and where they had been sent (IP_RECVERR). */
static void udp_bounces(const struct listener *listener)
{
	for (unsigned i = 0; i < DATAGRAMS_A_TURN; i++) {
		uint8_t control[512], data[64];
		struct sa to = { .len = sizeof(to.u) };
		struct iovec vec = { .iov_base = data, .iov_len = sizeof(data) };
		struct msghdr msg = {
			.msg_name = &to.u,
			.msg_namelen = sizeof(to.u),
			.msg_iov = &vec,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct cmsghdr *part;
		struct flow *flow;

		if (recvmsg(listener->fd, &msg, MSG_ERRQUEUE) < 0)
			return;
		to.len = msg.msg_namelen;
		flow = wire_udp_flow(listener->net->wire, NULL, &to);
		for (part = CMSG_FIRSTHDR(&msg); part && flow; part = CMSG_NXTHDR(&msg, part)) {
			struct sock_extended_err err;

			if (part->cmsg_type != IP_RECVERR && part->cmsg_type != IPV6_RECVERR)
				continue;
			memcpy(&err, CMSG_DATA(part), sizeof(err));
			if (err.ee_errno != EMSGSIZE)
				flow_bounced(flow, (int)err.ee_errno);
			break;
		}
	}
}

static bool is_bounce(int errnum)
{
	return errnum == ECONNREFUSED || errnum == EHOSTUNREACH || errnum == ENETUNREACH ||
	       errnum == EHOSTDOWN || errnum == EPROTO || errnum == ENOPROTOOPT || errnum == EACCES;
}

static int udp_send_(struct flow *flow, const struct mbuf *mb)
{
	const struct listener *listener = flow_impl(flow);
	const struct sa *to = flow_remote(flow);

	if (mbuf_get_left(mb) > 65507)
		return FLOW_E_TOO_LARGE;
	/* The first failure may tell of an earlier datagram to somebody else. */
	for (unsigned tries = 0; tries < 2; tries++) {
		if (sendto(listener->fd, mbuf_buf(mb), mbuf_get_left(mb), MSG_NOSIGNAL, &to->u.sa,
			   to->len) >= 0)
			return 0;
		if (!is_bounce(errno))
			break;
	}
	metric_add(&send_failed, 1);
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return 0; /* as lost as any datagram may be */
	return -errno;
}

static const struct flow_ops udp_flow_ops = { .send = udp_send_ };

static struct flow *udp_flow_new(struct listener *listener, const struct sa *local,
				 const struct sa *remote)
{
	char sent_by[64];

	net_sent_by(listener->net, SIP_TRANSP_UDP, local, remote, sent_by, sizeof(sent_by));
	return flow_new(listener->net->wire, &(struct flow_setup){
						     .ops = &udp_flow_ops,
						     .impl = listener,
						     .transport = SIP_TRANSP_UDP,
						     .local = *local,
						     .remote = *remote,
						     .sent_by = sent_by,
					     });
}

/* A reference. A peer that we know is found without asking the system for our address. */
static struct flow *udp_flow(struct listener *listener, const struct sa *remote)
{
	bool any = sa_is_any(&listener->addr);
	struct flow *flow =
		wire_udp_flow(listener->net->wire, any ? NULL : &listener->addr, remote);
	struct sa local;

	if (flow && flow_impl(flow) == listener)
		return flow_ref(flow);
	local_for(listener, remote, &local);
	return udp_flow_new(listener, &local, remote);
}

static void udp_take(struct listener *listener, const struct sa *from, const uint8_t *data,
		     size_t len)
{
	struct flow *flow;
	struct mbuf *mb;

	if (!wire_admit(listener->net->wire, from))
		return;
	mb = mbuf_alloc(len);
	mbuf_write_mem(mb, data, len);
	mb->pos = 0;
	flow = udp_flow(listener, from);
	flow_receive(flow, mb);
	flow_unref(flow);
	mem_deref(mb);
}

static void udp_readable(unsigned events, void *arg)
{
	static uint8_t data[DATAGRAM_MAX]; /* the call loop's alone */
	struct listener *listener = arg;

	if (events & POLLER_ERROR)
		udp_bounces(listener);
	for (unsigned i = 0; i < DATAGRAMS_A_TURN; i++) {
		struct sa from = { .len = sizeof(from.u) };
		ssize_t n = recvfrom(listener->fd, data, sizeof(data), MSG_TRUNC, &from.u.sa,
				     &from.len);

		if (n < 0 && (errno == EINTR || is_bounce(errno)))
			continue;
		if (n < 0)
			break;
		if ((size_t)n > sizeof(data))
			metric_add(&dropped_truncated, 1);
		else if (n > 4) /* not a keepalive */
			udp_take(listener, &from, data, (size_t)n);
	}
}

/* ---- listeners ---- */

static void tcp_readable(unsigned events, void *arg)
{
	(void)events;
	stream_accept(arg);
}

static void pause_over(struct timer *timer, void *arg)
{
	struct listener *listener = arg;

	(void)timer;
	if (poller_watch(listener->fd, POLLER_READ, tcp_readable, listener))
		timer_start(&listener->pause, PAUSE_MS);
}

static int listener_bind(struct listener *listener)
{
	bool udp = listener->transport == SIP_TRANSP_UDP;
	int on = 1, size = 4 * 1024 * 1024, fd;
	struct sa *addr = &listener->addr;
	socklen_t len = sizeof(addr->u);

	fd = socket(sa_af(addr), (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return -errno;
	listener->fd = fd;
	if (sa_af(addr) == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (udp) {
		(void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
		if (sa_af(addr) == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	}
	if (udp) /* as much as the system lets us have: a burst of calls must fit */
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	else
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &addr->u.sa, addr->len) || getsockname(fd, &addr->u.sa, &len) ||
	    (!udp && listen(fd, 1024)))
		return -errno;
	addr->len = len;
	return poller_watch(fd, POLLER_READ, udp ? udp_readable : tcp_readable, listener);
}

static int net_listen(struct net *net, const struct wire_listen *listens, unsigned count)
{
	if (count > NET_MAX_LISTENERS)
		return err_new(E2BIG);
	for (unsigned i = 0; i < count; i++) {
		struct listener *listener = &net->listeners[net->listener_count++];
		char addr[64];
		int r;

		listener->net = net;
		listener->transport = listens[i].transport;
		listener->addr = listens[i].addr;
		listener->fd = -1;
		timer_init(&listener->pause, net->wheel, pause_over, listener);
		r = listener_bind(listener);
		addr_print(&listens[i].addr, addr, sizeof(addr));
		if (r)
			return err_newf(-r, "listen on %s", addr);
	}
	return 0;
}

/* ---- the wire ---- */

static int net_open(struct wire *wire, const struct target *target, const struct flow *from,
		    struct flow **ret_flow)
{
	struct net *net = wire->impl;
	struct listener *listener;
	struct sa local;

	if (target->transport == SIP_TRANSP_TCP || target->transport == SIP_TRANSP_TLS)
		return stream_open(net, target, ret_flow);
	if (target->transport != SIP_TRANSP_UDP)
		return WIRE_E_UNREACHABLE;
	listener = net_listener_for(net, SIP_TRANSP_UDP, &target->addr,
				    from ? flow_local(from) : NULL);
	if (!listener)
		return WIRE_E_UNREACHABLE;
	local_for(listener, &target->addr, &local);
	*ret_flow = udp_flow_new(listener, &local, &target->addr);
	return 0;
}

static bool net_has(const struct wire *wire, enum sip_transp transport, int af)
{
	const struct net *net = wire->impl;

	for (unsigned i = 0; i < net->listener_count; i++) {
		const struct listener *listener = &net->listeners[i];

		/* A stream can be opened from here without anybody listening for that transport. */
		if (sa_af(&listener->addr) == af &&
		    (listener->transport == transport || transport == SIP_TRANSP_TCP ||
		     transport == SIP_TRANSP_TLS))
			return true;
	}
	return false;
}

static bool net_is_own(const struct wire *wire, const struct sa *addr)
{
	const struct net *net = wire->impl;

	for (unsigned i = 0; i < net->listener_count; i++) {
		const struct sa *own = &net->listeners[i].addr;

		if (sa_port(own) == sa_port(addr) &&
		    (sa_cmp(own, addr, SA_ADDR) || (sa_is_any(own) && sa_is_loopback(addr))))
			return true;
	}
	return false;
}

static void net_free(struct wire *wire)
{
	struct net *net = wire->impl;

	for (unsigned i = 0; i < net->listener_count; i++) {
		struct listener *listener = &net->listeners[i];

		timer_stop(&listener->pause);
		if (listener->fd < 0)
			continue;
		poller_unwatch(listener->fd);
		close(listener->fd);
	}
	net_sources_free(net);
	SSL_CTX_free(net->tls_client);
	SSL_CTX_free(net->tls_server);
	free(net->public_addr);
	free(net->cert_file);
	free(net->key_file);
	free(net->data_dir);
	free(net->ca_file);
	free(net);
}

static const struct wire_ops net_ops = {
	.open = net_open, .has = net_has, .is_own = net_is_own, .free = net_free
};

int wire_net_new(const struct wire_net_setup *setup, struct wire **ret_wire)
{
	auto_(wire_free) struct wire *wire = NULL;
	struct net *net = xzalloc(sizeof(*net));
	int r;

	net->wheel = setup->wheel;
	net->public_addr =
		xstrdup(setup->public_addr && *setup->public_addr ? setup->public_addr : NULL);
	net->cert_file = xstrdup(setup->cert_file);
	net->key_file = xstrdup(setup->key_file);
	net->data_dir = xstrdup(setup->data_dir);
	net->ca_file = xstrdup(setup->ca_file);
	hmap_init(&net->sources);
	net->wire = wire = wire_new(&net_ops, net, setup->wheel, &setup->limits);

	r = tls_contexts_make(net, &net->tls_client, &net->tls_server);
	if (r == 0)
		r = net_listen(net, setup->listens, setup->listen_count);
	if (r)
		return err_pass(r);
	*ret_wire = take(wire);
	return 0;
}

int wire_net_reload_tls(struct wire *wire)
{
	struct net *net = wire->impl;
	SSL_CTX *client = NULL, *server = NULL;
	int r = tls_contexts_make(net, &client, &server);

	if (r)
		return err_pass(r);
	/* Connections that are up hold references of their own. */
	SSL_CTX_free(net->tls_client);
	SSL_CTX_free(net->tls_server);
	net->tls_client = client;
	net->tls_server = server;
	return 0;
}

bool wire_net_bound(const struct wire *wire, enum sip_transp transport, struct sa *ret_addr)
{
	const struct net *net = wire->impl;

	for (unsigned i = 0; i < net->listener_count; i++) {
		if (net->listeners[i].transport == transport) {
			*ret_addr = net->listeners[i].addr;
			return true;
		}
	}
	return false;
}
