/* sip/wire_sim.c - a network in memory, under a virtual clock
 *
 * Whatever travels is a parcel with a timer of its own; parcels of a stream all take the same time,
 * so they keep their order (timers of the same tick fire in the order in which they were started).
 */
#include "sip/wire_sim.h"

#include "sip/private.h"

#include <errno.h>

struct endpoint {
	struct hnode node;
	struct sa addr;
	struct wire *wire;
	sim_raw_fn *raw;
	void *raw_arg;
	bool silent, refuse;
};

struct conn {
	struct conn *next;
	struct sim_net *net;
	enum sip_transp transport;
	struct sa addr[2];    /* who connected, who was connected to */
	struct flow *flow[2]; /* NULL: a raw end, or closed */
	bool closed;
};

struct parcel {
	struct parcel *next, **pprev;
	struct timer timer;
	struct sim_net *net;
	enum sip_transp transport;
	struct sa from, to;
	struct conn *conn; /* NULL: a datagram */
	unsigned to_end;   /* 0, 1: of conn */
	enum { PARCEL_DATA, PARCEL_SYN, PARCEL_FIN } kind;
	size_t len;
	uint8_t data[];
};

struct sim_net {
	struct wheel *wheel;
	uint64_t random;
	struct sim_weather weather;
	struct hmap endpoints;
	struct conn *conns;
	struct parcel *parcels;
	uint16_t next_port;
	void (*tap)(enum sip_transp transport, const struct sa *from, const struct sa *to,
		    const char *text, size_t len, void *arg);
	void *tap_arg;
};

struct sim_wire {
	struct sim_net *net;
	struct endpoint *endpoint;
};

/* ---- the net ---- */

struct sim_net *sim_net_new(struct wheel *wheel, uint32_t seed)
{
	struct sim_net *net = xzalloc(sizeof(*net));

	net->wheel = wheel;
	net->random = seed * 2654435761u + 1;
	net->weather.delay_ms = 1;
	net->next_port = 40000;
	hmap_init(&net->endpoints);
	return net;
}

/* splitmix64: the same weather for the same seed */
static uint32_t net_random(struct sim_net *net)
{
	uint64_t z = (net->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)(z >> 32);
}

static void parcel_free(struct parcel *parcel)
{
	timer_stop(&parcel->timer);
	*parcel->pprev = parcel->next;
	if (parcel->next)
		parcel->next->pprev = parcel->pprev;
	free(parcel);
}

struct sim_net *sim_net_free(struct sim_net *net)
{
	struct hnode *node;
	struct conn *conn;

	if (!net)
		return NULL;
	while (net->parcels)
		parcel_free(net->parcels);
	while ((conn = net->conns)) {
		net->conns = conn->next;
		free(conn);
	}
	for (size_t cursor = 0; (node = hmap_iter(&net->endpoints, &cursor, NULL)); cursor = 0) {
		hmap_del(&net->endpoints, node);
		free(container_of_(node, struct endpoint, node));
	}
	hmap_fini(&net->endpoints);
	free(net);
	return NULL;
}

void sim_net_weather(struct sim_net *net, const struct sim_weather *weather)
{
	net->weather = *weather;
}

static struct endpoint *endpoint_find(const struct sim_net *net, const struct sa *addr)
{
	struct hnode *node = hmap_first(&net->endpoints, addr_hash(addr, true));

	for (; node; node = hmap_same(node)) {
		struct endpoint *endpoint = container_of_(node, struct endpoint, node);

		if (sa_cmp(&endpoint->addr, addr, SA_ALL))
			return endpoint;
	}
	return NULL;
}

static struct sa addr_parse(const char *addr_port)
{
	struct sa addr;

	bug_on(sa_decode(&addr, addr_port, strlen(addr_port)) != 0);
	return addr;
}

static struct endpoint *endpoint_get(struct sim_net *net, const char *addr_port)
{
	struct sa addr = addr_parse(addr_port);
	struct endpoint *endpoint = endpoint_find(net, &addr);

	if (endpoint)
		return endpoint;
	endpoint = xzalloc(sizeof(*endpoint));
	endpoint->addr = addr;
	hmap_add(&net->endpoints, &endpoint->node, addr_hash(&addr, true));
	return endpoint;
}

void sim_raw_bind(struct sim_net *net, const char *addr_port, sim_raw_fn *fn, void *arg)
{
	struct endpoint *endpoint = endpoint_get(net, addr_port);

	endpoint->raw = fn;
	endpoint->raw_arg = arg;
}

void sim_net_silence(struct sim_net *net, const char *addr_port, bool silent)
{
	endpoint_get(net, addr_port)->silent = silent;
}

void sim_net_refuse(struct sim_net *net, const char *addr_port, bool refuse)
{
	endpoint_get(net, addr_port)->refuse = refuse;
}

void sim_net_tap(struct sim_net *net,
		 void (*fn)(enum sip_transp transport, const struct sa *from, const struct sa *to,
			    const char *text, size_t len, void *arg),
		 void *arg)
{
	net->tap = fn;
	net->tap_arg = arg;
}

/* ---- parcels ---- */

static void datagram_arrive(struct parcel *parcel, struct endpoint *endpoint)
{
	struct wire *wire = endpoint->wire;
	struct flow *flow;
	struct mbuf *mb;

	if (!wire_admit(wire, &parcel->from))
		return;
	flow = wire_udp_flow(wire, &endpoint->addr, &parcel->from);
	if (flow) {
		flow_ref(flow);
	} else {
		struct target target = { .transport = SIP_TRANSP_UDP, .addr = parcel->from };

		if (wire_open(wire, &target, NULL, &flow))
			return;
	}
	mb = mbuf_alloc(parcel->len);
	mbuf_write_mem(mb, parcel->data, parcel->len);
	mb->pos = 0;
	flow_receive(flow, mb);
	mem_deref(mb);
	flow_unref(flow);
}

static void datagram_deliver(struct parcel *parcel)
{
	struct endpoint *to = endpoint_find(parcel->net, &parcel->to);
	struct endpoint *from = endpoint_find(parcel->net, &parcel->from);

	if (!to || to->silent)
		return;
	if (to->refuse) {
		struct flow *flow = from && from->wire
					    ? wire_udp_flow(from->wire, &parcel->from, &parcel->to)
					    : NULL;

		if (flow)
			flow_bounced(flow, ECONNREFUSED);
	} else if (to->raw) {
		to->raw(parcel->transport, &parcel->from, (const char *)parcel->data, parcel->len,
			to->raw_arg);
	} else if (to->wire) {
		datagram_arrive(parcel, to);
	}
}

static void stream_syn(struct parcel *parcel);

static void stream_deliver(struct parcel *parcel)
{
	struct conn *conn = parcel->conn;
	struct flow *flow = conn->flow[parcel->to_end];
	struct endpoint *endpoint = endpoint_find(parcel->net, &parcel->to);

	if (parcel->kind == PARCEL_SYN) {
		stream_syn(parcel);
	} else if (parcel->kind == PARCEL_FIN) {
		conn->closed = true;
		if (flow)
			flow_gone(flow, ECONNRESET);
	} else if (flow) {
		flow_feed(flow, parcel->data, parcel->len);
	} else if (endpoint && endpoint->raw && !endpoint->silent) {
		endpoint->raw(parcel->transport, &parcel->from, (const char *)parcel->data,
			      parcel->len, endpoint->raw_arg);
	}
}

static void parcel_fire(struct timer *timer, void *arg)
{
	struct parcel *parcel = arg;

	(void)timer;
	if (parcel->conn)
		stream_deliver(parcel);
	else
		datagram_deliver(parcel);
	parcel_free(parcel);
}

static struct parcel *parcel_send(struct sim_net *net, enum sip_transp transport,
				  const struct sa *from, const struct sa *to, const void *data,
				  size_t len, unsigned delay_ms)
{
	struct parcel *parcel = xzalloc(sizeof(*parcel) + len);

	parcel->net = net;
	parcel->transport = transport;
	parcel->from = *from;
	parcel->to = *to;
	parcel->len = len;
	if (len)
		memcpy(parcel->data, data, len);
	parcel->next = net->parcels;
	parcel->pprev = &net->parcels;
	if (parcel->next)
		parcel->next->pprev = &parcel->next;
	net->parcels = parcel;
	timer_init(&parcel->timer, net->wheel, parcel_fire, parcel);
	timer_start(&parcel->timer, delay_ms);
	return parcel;
}

static void net_tap(struct sim_net *net, enum sip_transp transport, const struct sa *from,
		    const struct sa *to, const void *data, size_t len)
{
	if (net->tap)
		net->tap(transport, from, to, data, len, net->tap_arg);
}

static void datagram_send(struct sim_net *net, const struct sa *from, const struct sa *to,
			  const void *data, size_t len)
{
	const struct sim_weather *weather = &net->weather;
	unsigned copies = 1;

	net_tap(net, SIP_TRANSP_UDP, from, to, data, len);
	if (net_random(net) % 100 < weather->loss_percent)
		return;
	if (net_random(net) % 100 < weather->twice_percent)
		copies = 2;
	while (copies--)
		parcel_send(net, SIP_TRANSP_UDP, from, to, data, len,
			    weather->delay_ms + net_random(net) % (weather->jitter_ms + 1));
}

static void stream_send(struct conn *conn, unsigned from_end, const void *data, size_t len,
			int kind)
{
	struct parcel *parcel;

	if (conn->closed)
		return;
	if (kind == PARCEL_DATA)
		net_tap(conn->net, conn->transport, &conn->addr[from_end], &conn->addr[!from_end],
			data, len);
	parcel = parcel_send(conn->net, conn->transport, &conn->addr[from_end],
			     &conn->addr[!from_end], data, len, conn->net->weather.delay_ms);
	parcel->conn = conn;
	parcel->to_end = !from_end;
	parcel->kind = kind;
}

/* ---- flows ---- */

static int sim_udp_send(struct flow *flow, const struct mbuf *mb)
{
	struct sim_wire *sim = flow_impl(flow);

	datagram_send(sim->net, flow_local(flow), flow_remote(flow), mbuf_buf(mb),
		      mbuf_get_left(mb));
	return 0;
}

static const struct flow_ops sim_udp_ops = { .send = sim_udp_send };

static unsigned stream_end(const struct flow *flow)
{
	return flow_is_inbound(flow) ? 1 : 0;
}

static int sim_stream_send(struct flow *flow, const struct mbuf *mb)
{
	struct conn *conn = flow_impl(flow);

	if (conn->closed)
		return -EPIPE;
	stream_send(conn, stream_end(flow), mbuf_buf(mb), mbuf_get_left(mb), PARCEL_DATA);
	return 0;
}

static void sim_stream_close(struct flow *flow)
{
	struct conn *conn = flow_impl(flow);
	unsigned end = stream_end(flow);

	if (conn->flow[end] != flow)
		return;
	stream_send(conn, end, NULL, 0, PARCEL_FIN);
	conn->flow[end] = NULL;
	flow_unref(flow);
}

static const struct flow_ops sim_stream_ops = { .send = sim_stream_send,
						.close = sim_stream_close };

static struct flow *stream_flow(struct wire *wire, struct conn *conn, unsigned end,
				const char *host)
{
	struct sim_wire *sim = wire->impl;
	char sent_by[64];
	struct flow *flow;

	addr_print(&sim->endpoint->addr, sent_by, sizeof(sent_by));
	flow = flow_new(wire, &(struct flow_setup){
				      .ops = &sim_stream_ops,
				      .impl = conn,
				      .transport = conn->transport,
				      .local = conn->addr[end],
				      .remote = conn->addr[!end],
				      .sent_by = sent_by,
				      .host = host,
				      .inbound = end == 1,
				      .connecting = end == 0,
			      });
	conn->flow[end] = flow;
	return flow;
}

/* A connection attempt arrives, or its fate comes back. */
static void stream_syn(struct parcel *parcel)
{
	struct conn *conn = parcel->conn;
	struct endpoint *to = endpoint_find(conn->net, &conn->addr[1]);

	if (parcel->to_end == 1) {
		if (to && to->silent)
			return;
		if (to && to->wire && !to->refuse)
			stream_flow(to->wire, conn, 1, NULL);
		stream_send(conn, 1, NULL, 0, PARCEL_SYN);
	} else if (conn->flow[0]) {
		if (!to || to->refuse || (!to->wire && !to->raw))
			flow_gone(conn->flow[0], ECONNREFUSED);
		else
			flow_opened(conn->flow[0], &conn->addr[0]);
	}
}

static struct conn *conn_new(struct sim_net *net, enum sip_transp transport, const struct sa *from,
			     const struct sa *to)
{
	struct conn *conn = xzalloc(sizeof(*conn));

	conn->net = net;
	conn->transport = transport;
	conn->addr[0] = *from;
	conn->addr[1] = *to;
	conn->next = net->conns;
	net->conns = conn;
	return conn;
}

/* ---- the wire ---- */

static int sim_open(struct wire *wire, const struct target *target, const struct flow *from,
		    struct flow **ret_flow)
{
	struct sim_wire *sim = wire->impl;
	struct sa local = sim->endpoint->addr;
	char sent_by[64];
	struct conn *conn;

	(void)from;
	if (sa_af(&target->addr) != sa_af(&local) || target->transport > SIP_TRANSP_TLS)
		return WIRE_E_UNREACHABLE;
	if (target->transport == SIP_TRANSP_UDP) {
		addr_print(&local, sent_by, sizeof(sent_by));
		*ret_flow = flow_new(wire, &(struct flow_setup){
						   .ops = &sim_udp_ops,
						   .impl = sim,
						   .transport = SIP_TRANSP_UDP,
						   .local = local,
						   .remote = target->addr,
						   .sent_by = sent_by,
					   });
		return 0;
	}
	sa_set_port(&local, sim->net->next_port++);
	conn = conn_new(sim->net, target->transport, &local, &target->addr);
	*ret_flow = flow_ref(stream_flow(wire, conn, 0, target->host));
	stream_send(conn, 0, NULL, 0, PARCEL_SYN);
	return 0;
}

static bool sim_has(const struct wire *wire, enum sip_transp transport, int af)
{
	const struct sim_wire *sim = wire->impl;

	return transport <= SIP_TRANSP_TLS && af == sa_af(&sim->endpoint->addr);
}

static bool sim_is_own(const struct wire *wire, const struct sa *addr)
{
	const struct sim_wire *sim = wire->impl;

	return sa_cmp(&sim->endpoint->addr, addr, SA_ALL);
}

static void sim_free(struct wire *wire)
{
	struct sim_wire *sim = wire->impl;

	sim->endpoint->wire = NULL;
	free(sim);
}

static const struct wire_ops sim_ops = {
	.open = sim_open, .has = sim_has, .is_own = sim_is_own, .free = sim_free
};

struct wire *wire_sim_new(struct sim_net *net, const char *addr_port,
			  const struct wire_limits *limits)
{
	struct sim_wire *sim = xzalloc(sizeof(*sim));
	struct wire *wire = wire_new(&sim_ops, sim, net->wheel, limits);

	sim->net = net;
	sim->endpoint = endpoint_get(net, addr_port);
	bug_on(sim->endpoint->wire != NULL);
	sim->endpoint->wire = wire;
	return wire;
}

/* ---- raw endpoints ---- */

static struct conn *conn_find(struct sim_net *net, enum sip_transp transport, const struct sa *from,
			      const struct sa *to, unsigned *ret_end)
{
	for (struct conn *conn = net->conns; conn; conn = conn->next) {
		if (conn->transport != transport || conn->closed)
			continue;
		for (unsigned end = 0; end < 2; end++) {
			if (sa_cmp(&conn->addr[end], from, SA_ALL) &&
			    sa_cmp(&conn->addr[!end], to, SA_ALL)) {
				*ret_end = end;
				return conn;
			}
		}
	}
	return NULL;
}

void sim_raw_send(struct sim_net *net, enum sip_transp transport, const char *from_text,
		  const char *to_text, const void *data, size_t len)
{
	struct sa from = addr_parse(from_text), to = addr_parse(to_text);
	struct conn *conn;
	unsigned end = 0;

	if (transport == SIP_TRANSP_UDP) {
		datagram_send(net, &from, &to, data, len);
		return;
	}
	conn = conn_find(net, transport, &from, &to, &end);
	if (!conn) {
		conn = conn_new(net, transport, &from, &to);
		stream_send(conn, 0, NULL, 0, PARCEL_SYN);
	}
	stream_send(conn, end, data, len, PARCEL_DATA);
}

void sim_net_cut(struct sim_net *net, const char *addr_port)
{
	struct sa addr = addr_parse(addr_port);

	for (struct conn *conn = net->conns; conn; conn = conn->next) {
		bool hit = false;

		for (unsigned end = 0; end < 2; end++)
			hit |= sa_cmp(&conn->addr[end], &addr, sa_port(&addr) ? SA_ALL : SA_ADDR) ||
			       (conn->flow[end] && sa_cmp(&conn->addr[end], &addr, SA_ADDR));
		if (!hit || conn->closed)
			continue;
		conn->closed = true;
		for (unsigned end = 0; end < 2; end++)
			if (conn->flow[end])
				flow_gone(conn->flow[end], ECONNRESET);
	}
}
