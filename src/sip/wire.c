/* sip/wire.c - what all wires have in common: the table of flows, the receiver, trust */
#include "sip/flow_private.h"

METRIC_COUNTER(dropped_flood, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"flood\"");
METRIC_COUNTER(received, "jackfield_sip_received_total", "Messages received", NULL);

static void limits_default(struct wire_limits *limits)
{
#define DEFAULT(member, value) limits->member = limits->member ? limits->member : (value)
	DEFAULT(rate, 20);
	DEFAULT(burst, 60);
	DEFAULT(connections, 20000);
	DEFAULT(per_source, 32);
	DEFAULT(idle_s, 300);
	DEFAULT(first_message_s, 10);
	DEFAULT(write_queue, 256 * 1024);
	DEFAULT(connect_s, 10);
#undef DEFAULT
}

struct wire *wire_new(const struct wire_ops *ops, void *impl, struct wheel *wheel,
		      const struct wire_limits *limits)
{
	struct wire *wire = xzalloc(sizeof(*wire));

	wire->ops = ops;
	wire->impl = impl;
	wire->wheel = wheel;
	if (limits)
		wire->limits = *limits;
	limits_default(&wire->limits);
	hmap_init(&wire->by_id);
	hmap_init(&wire->by_remote);
	wire->guard = guard_new(wheel, &wire->limits);
	return wire;
}

static struct flow *wire_any_flow(const struct wire *wire)
{
	size_t cursor = 0;
	struct hnode *node = hmap_iter(&wire->by_id, &cursor, NULL);

	return node ? container_of_(node, struct flow, id_node) : NULL;
}

struct wire *wire_free(struct wire *wire)
{
	struct flow *flow;

	if (!wire)
		return NULL;
	wire->closing = true;
	wire->receive = NULL;
	while ((flow = wire_any_flow(wire))) {
		flow_ref(flow);
		flow_close(flow);
		flow_say_farewell(flow);
		flow_unref(flow);
	}
	wire->ops->free(wire);
	guard_free(wire->guard);
	hmap_fini(&wire->by_id);
	hmap_fini(&wire->by_remote);
	free(wire);
	return NULL;
}

int wire_open(struct wire *wire, const struct target *target, const struct flow *from,
	      struct flow **ret_flow)
{
	struct flow *flow;

	if (wire->closing)
		return WIRE_E_UNREACHABLE;
	if (target->transport == SIP_TRANSP_UDP)
		flow = wire_udp_flow(wire, from ? &from->local : NULL, &target->addr);
	else
		flow = wire_stream_to(wire, target);
	if (flow) {
		*ret_flow = flow_ref(flow);
		return 0;
	}
	return wire->ops->open(wire, target, from, ret_flow);
}

bool wire_has(const struct wire *wire, enum sip_transp transport, int af)
{
	return wire->ops->has(wire, transport, af);
}

bool wire_is_own(const struct wire *wire, const struct sa *addr)
{
	return wire->ops->is_own(wire, addr);
}

struct flow *wire_flow_by_id(const struct wire *wire, uint64_t id)
{
	struct hnode *node = hmap_first(&wire->by_id, id * 0x9e3779b97f4a7c15ull);

	for (; node; node = hmap_same(node)) {
		struct flow *flow = container_of_(node, struct flow, id_node);

		if (flow->id == id)
			return flow;
	}
	return NULL;
}

struct wheel *wire_wheel(const struct wire *wire)
{
	return wire->wheel;
}

size_t wire_flow_count(const struct wire *wire)
{
	return wire->by_id.count;
}

void wire_set_receiver(struct wire *wire, wire_receive_fn *fn, void *arg)
{
	wire->receive = fn;
	wire->receive_arg = arg;
}

void wire_set_trace(struct wire *wire, wire_trace_fn *fn, void *arg)
{
	wire->trace = fn;
	wire->trace_arg = arg;
}

bool wire_admit(struct wire *wire, const struct sa *from)
{
	if (guard_pass(wire->guard, from))
		return true;
	metric_add(&dropped_flood, 1);
	return false;
}

void flow_receive(struct flow *flow, struct mbuf *mb)
{
	struct wire *wire = flow->wire;

	/* Datagrams were looked at before they cost a flow. */
	if (flow_is_stream(flow) && !wire_admit(wire, &flow->remote))
		return;
	metric_add(&received, 1);
	flow->rx_any = true;
	if (wire->trace)
		wire->trace(flow, false, mbuf_buf(mb), mbuf_get_left(mb), wire->trace_arg);
	if (wire->receive)
		wire->receive(flow, mb, wire->receive_arg);
}

void wire_trust(struct wire *wire, const struct sa *addr)
{
	guard_trust(wire->guard, addr);
}

void wire_untrust(struct wire *wire, const struct sa *addr)
{
	guard_untrust(wire->guard, addr);
}

bool wire_is_trusted(const struct wire *wire, const struct sa *addr)
{
	return guard_is_trusted(wire->guard, addr);
}

void wire_penalize(struct wire *wire, const struct sa *addr, unsigned cost)
{
	guard_penalize(wire->guard, addr, cost);
}

void addr_print(const struct sa *addr, char *buf, size_t size)
{
	re_snprintf(buf, size, "%J", addr);
}

/* IPv4 inside IPv6 counts as IPv4. */
static size_t addr_bytes(const struct sa *addr, uint8_t bytes[static 16])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (sa_af(addr) == AF_INET) {
		memcpy(bytes, &addr->u.in.sin_addr, 4);
		return 4;
	}
	memcpy(bytes, &addr->u.in6.sin6_addr, 16);
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		memmove(bytes, bytes + 12, 4);
		return 4;
	}
	return 16;
}

uint64_t addr_hash(const struct sa *addr, bool with_port)
{
	uint8_t key[18];
	size_t len = addr_bytes(addr, key);

	if (with_port) {
		uint16_t port = sa_port(addr);

		memcpy(key + len, &port, sizeof(port));
		len += sizeof(port);
	}
	return hkey_bytes(key, len);
}
