/* sip/flow.c - flows: references, watches, keepalive, and what waits for a connection */
#include "sip/flow_private.h"

#define PONG_MS 10000u
#define BOUNCE_MS 20u

METRIC_GAUGE(flows_open, "jackfield_sip_flows", "Paths to peers that are alive", NULL);
METRIC_COUNTER(flows_unanswered, "jackfield_sip_flow_failures_total",
	       "Flows that closed by themselves", "reason=\"no_pong\"");
METRIC_COUNTER(flows_failed, "jackfield_sip_flow_failures_total", "Flows that closed by themselves",
	       "reason=\"transport\"");

static uint64_t remote_key(enum sip_transp transport, const struct sa *remote)
{
	return addr_hash(remote, true) * 31 + (uint64_t)transport;
}

struct flow *flow_ref(struct flow *flow)
{
	flow->refs++;
	return flow;
}

static void flow_unlist(struct flow *flow)
{
	if (!flow->listed)
		return;
	flow->listed = false;
	hmap_del(&flow->wire->by_id, &flow->id_node);
	hmap_del(&flow->wire->by_remote, &flow->remote_node);
	metric_add(&flows_open, -1);
}

struct flow *flow_unref(struct flow *flow)
{
	if (!flow)
		return NULL;
	bug_on(flow->refs == 0);
	if (--flow->refs)
		return NULL;

	bug_on(flow->watches != NULL);
	if (flow->state != FLOW_CLOSED && flow->ops->close)
		flow->ops->close(flow);
	flow_unlist(flow);
	timer_stop(&flow->keepalive);
	timer_stop(&flow->pong);
	timer_stop(&flow->farewell);
	if (flow->ops->free)
		flow->ops->free(flow);
	mem_deref(flow->held);
	free(flow->rx);
	free(flow->host);
	free(flow->why);
	free(flow);
	return NULL;
}

uint64_t flow_id(const struct flow *flow)
{
	return flow->id;
}

enum sip_transp flow_transport(const struct flow *flow)
{
	return flow->transport;
}

bool flow_is_stream(const struct flow *flow)
{
	return flow->transport != SIP_TRANSP_UDP;
}

bool flow_is_secure(const struct flow *flow)
{
	return flow->transport == SIP_TRANSP_TLS || flow->transport == SIP_TRANSP_WSS;
}

bool flow_is_open(const struct flow *flow)
{
	return flow->state == FLOW_OPEN;
}

bool flow_is_inbound(const struct flow *flow)
{
	return flow->inbound;
}

const struct sa *flow_local(const struct flow *flow)
{
	return &flow->local;
}

const struct sa *flow_remote(const struct flow *flow)
{
	return &flow->remote;
}

const char *flow_sent_by(const struct flow *flow)
{
	return flow->sent_by;
}

const char *flow_why(const struct flow *flow)
{
	return flow->why ? flow->why : "";
}

void flow_explain(struct flow *flow, const char *why)
{
	free(flow->why);
	flow->why = xstrdup(why);
}

const char *flow_via_token(const struct flow *flow)
{
	static const char *const names[] = { "UDP", "TCP", "TLS", "WS", "WSS" };

	return names[flow->transport];
}

const char *flow_uri_param(const struct flow *flow)
{
	static const char *const params[] = { "", ";transport=tcp", ";transport=tls",
					      ";transport=ws", ";transport=ws" };

	return params[flow->transport];
}

void *flow_impl(const struct flow *flow)
{
	return flow->impl;
}

struct wire *flow_wire(const struct flow *flow)
{
	return flow->wire;
}

const char *flow_host(const struct flow *flow)
{
	return flow->host;
}

/* Bytes for a stream that is still connecting. */
static int flow_hold(struct flow *flow, const struct mbuf *mb)
{
	size_t len = mbuf_get_left(mb);

	if (!flow->held)
		flow->held = mbuf_alloc(len);
	if (flow->held->end + len > flow->wire->limits.write_queue)
		return FLOW_E_FULL;
	mbuf_write_mem(flow->held, mbuf_buf(mb), len);
	return 0;
}

int flow_send(struct flow *flow, const struct mbuf *mb)
{
	int r;

	if (flow->state == FLOW_CLOSED)
		return FLOW_E_CLOSED;
	if (mbuf_get_left(mb) > FLOW_MAX_MESSAGE)
		return FLOW_E_TOO_LARGE;
	r = flow->state == FLOW_OPENING ? flow_hold(flow, mb) : flow->ops->send(flow, mb);
	if (r == 0 && flow->wire->trace)
		flow->wire->trace(flow, true, mbuf_buf(mb), mbuf_get_left(mb),
				  flow->wire->trace_arg);
	return r;
}

static int flow_send_text(struct flow *flow, const char *text, size_t len)
{
	struct mbuf mb = { .buf = (uint8_t *)text, .size = len, .pos = 0, .end = len };

	return flow->state == FLOW_OPEN ? flow->ops->send(flow, &mb) : FLOW_E_CLOSED;
}

/* RFC 5626 4.4.1: 80 to 100 per cent of the interval, so that phones do not march in step. */
static void keepalive_schedule(struct flow *flow)
{
	uint64_t ms = (uint64_t)flow->keepalive_s * 1000;

	if (ms)
		timer_start(&flow->keepalive, ms - rand_u32() % (ms / 5 + 1));
	else
		timer_stop(&flow->keepalive);
}

static void keepalive_fire(struct timer *timer, void *arg)
{
	struct flow *flow = arg;

	(void)timer;
	if (flow->state == FLOW_OPEN && flow_send_text(flow, "\r\n\r\n", 4) == 0 &&
	    flow_is_stream(flow)) {
		flow->ping_out = true;
		if (flow->ponged && !timer_running(&flow->pong))
			timer_start(&flow->pong, PONG_MS);
	}
	if (flow->state != FLOW_CLOSED)
		keepalive_schedule(flow);
}

static void pong_missing(struct timer *timer, void *arg)
{
	(void)timer;
	metric_add(&flows_unanswered, 1);
	flow_gone(arg, ETIMEDOUT);
}

void flow_ponged(struct flow *flow)
{
	flow->ping_out = false;
	flow->ponged = true;
	timer_stop(&flow->pong);
}

void flow_pinged(struct flow *flow)
{
	if (flow_send_text(flow, "\r\n", 2) < 0)
		log_rated(LOG_DEBUG_, "pong not sent", LOG_INT("flow", flow->id));
}

/* The shortest interval anybody asked for counts. Thousands may watch one flow, so how many asked for just that is
 * known, and all are looked at only when the last of them has left.
 */
static void keepalive_set(struct flow *flow, unsigned least, unsigned users)
{
	bool changed = least != flow->keepalive_s;

	flow->keepalive_s = least;
	flow->keepalive_users = users;
	if (changed)
		keepalive_schedule(flow);
}

static void keepalive_join(struct flow *flow, unsigned wish_s)
{
	if (wish_s && wish_s == flow->keepalive_s)
		flow->keepalive_users++;
	else if (wish_s && (!flow->keepalive_s || wish_s < flow->keepalive_s))
		keepalive_set(flow, wish_s, 1);
}

static void keepalive_leave(struct flow *flow, unsigned wish_s)
{
	unsigned least = 0, users = 0;

	if (!wish_s || wish_s != flow->keepalive_s || --flow->keepalive_users)
		return;
	for (const struct flow_watch *watch = flow->watches; watch; watch = watch->next) {
		if (!watch->keepalive_s || (least && watch->keepalive_s > least))
			continue;
		users = watch->keepalive_s == least ? users + 1 : 1;
		least = watch->keepalive_s;
	}
	keepalive_set(flow, least, users);
}

void flow_watch_start(struct flow_watch *watch, struct flow *flow, unsigned keepalive_s,
		      void (*on_closed)(struct flow_watch *watch, int errnum, void *arg), void *arg)
{
	flow_watch_stop(watch);
	watch->flow = flow_ref(flow);
	watch->on_closed = on_closed;
	watch->arg = arg;
	watch->keepalive_s = keepalive_s;
	watch->on_bounced = NULL;
	watch->bounce = flow->bounces;
	watch->next = flow->watches;
	watch->pprev = &flow->watches;
	if (watch->next)
		watch->next->pprev = &watch->next;
	flow->watches = watch;
	if (flow->state == FLOW_CLOSED)
		timer_start(&flow->farewell, 0);
	else
		keepalive_join(flow, keepalive_s);
}

void flow_watch_stop(struct flow_watch *watch)
{
	struct flow *flow = watch->flow;

	if (!watch->pprev)
		return;
	if (flow->bounce_next == watch)
		flow->bounce_next = watch->next;
	*watch->pprev = watch->next;
	if (watch->next)
		watch->next->pprev = watch->pprev;
	watch->next = NULL;
	watch->pprev = NULL;
	watch->flow = NULL;
	if (flow->state != FLOW_CLOSED)
		keepalive_leave(flow, watch->keepalive_s);
	flow_unref(flow);
}

static void farewell_fire(struct timer *timer, void *arg)
{
	auto_(flow_unref) struct flow *flow = flow_ref(arg);
	struct flow_watch *watch;

	(void)timer;
	while ((watch = flow->watches)) {
		flow_watch_stop(watch);
		watch->on_closed(watch, flow->errnum, watch->arg);
	}
}

static void flow_shut(struct flow *flow, int errnum)
{
	if (flow->state == FLOW_CLOSED)
		return;
	flow->state = FLOW_CLOSED;
	flow->errnum = errnum;
	timer_stop(&flow->keepalive);
	timer_stop(&flow->pong);
	flow_unlist(flow);
	flow->held = mem_deref(flow->held);
	if (flow->watches)
		timer_start(&flow->farewell, 0);
	if (flow->ops->close)
		flow->ops->close(flow);
}

/* Each watch once. A call may take any of them off: the next in turn is known to flow_watch_stop(). Thousands of
 * transactions watch a flow, so nothing here may begin again from the start.
 */
void flow_bounced(struct flow *flow, int errnum)
{
	auto_(flow_unref) struct flow *keep = flow_ref(flow);
	uint64_t now = wheel_now_ms(flow->wire->wheel);
	struct flow_watch *watch;

	/* A dead peer may bounce each of many datagrams: one word is enough for all who wait. */
	if (flow->bounces && now - flow->bounced_ms < BOUNCE_MS)
		return;
	flow->bounced_ms = now;
	flow->bounces++;
	keep->bounce_next = keep->watches;
	while ((watch = keep->bounce_next)) {
		keep->bounce_next = watch->next;
		if (!watch->on_bounced || watch->bounce == keep->bounces)
			continue;
		watch->bounce = keep->bounces;
		watch->on_bounced(watch, errnum, watch->arg);
	}
}

void flow_close(struct flow *flow)
{
	flow_shut(flow, 0);
}

void flow_gone(struct flow *flow, int errnum)
{
	if (flow->state != FLOW_CLOSED && errnum)
		metric_add(&flows_failed, 1);
	flow_shut(flow, errnum);
}

void flow_say_farewell(struct flow *flow)
{
	if (flow->watches)
		farewell_fire(&flow->farewell, flow);
}

struct flow *flow_new(struct wire *wire, const struct flow_setup *setup)
{
	static uint64_t last_id;
	struct flow *flow = xzalloc(sizeof(*flow));

	flow->refs = 1;
	flow->id = ++last_id;
	flow->wire = wire;
	flow->ops = setup->ops;
	flow->impl = setup->impl;
	flow->transport = setup->transport;
	flow->local = setup->local;
	flow->remote = setup->remote;
	flow->host = xstrdup(setup->host);
	flow->inbound = setup->inbound;
	flow->state = setup->connecting ? FLOW_OPENING : FLOW_OPEN;
	str_copy(flow->sent_by, sizeof(flow->sent_by), setup->sent_by);
	timer_init(&flow->keepalive, wire->wheel, keepalive_fire, flow);
	timer_init(&flow->pong, wire->wheel, pong_missing, flow);
	timer_init(&flow->farewell, wire->wheel, farewell_fire, flow);
	hmap_add(&wire->by_id, &flow->id_node, flow->id * 0x9e3779b97f4a7c15ull);
	hmap_add(&wire->by_remote, &flow->remote_node, remote_key(flow->transport, &flow->remote));
	flow->listed = true;
	metric_add(&flows_open, 1);
	return flow;
}

void flow_opened(struct flow *flow, const struct sa *local)
{
	auto_(flow_unref) struct flow *keep = flow_ref(flow);
	struct mbuf *held = flow->held;
	int r;

	if (keep->state != FLOW_OPENING)
		return;
	flow->state = FLOW_OPEN;
	flow->local = *local;
	if (!held)
		return;
	flow->held = NULL;
	held->pos = 0;
	r = flow->ops->send(flow, held);
	mem_deref(held);
	if (r)
		flow_gone(flow, r < 0 ? -r : EPIPE);
}

struct flow *wire_udp_flow(const struct wire *wire, const struct sa *local, const struct sa *remote)
{
	struct hnode *node = hmap_first(&wire->by_remote, remote_key(SIP_TRANSP_UDP, remote));

	for (; node; node = hmap_same(node)) {
		struct flow *flow = container_of_(node, struct flow, remote_node);

		if (flow->transport == SIP_TRANSP_UDP && sa_cmp(&flow->remote, remote, SA_ALL) &&
		    (!local || sa_cmp(&flow->local, local, SA_ALL)))
			return flow;
	}
	return NULL;
}

/* A stream may serve another request to the same place; over TLS only when the same name was
 * verified.
 */
static bool flow_serves(const struct flow *flow, const struct target *target)
{
	if (flow->transport != target->transport || !sa_cmp(&flow->remote, &target->addr, SA_ALL))
		return false;
	if (!flow_is_secure(flow) || target->unverified)
		return true;
	return !flow->inbound && flow->host && strcasecmp(flow->host, target->host) == 0;
}

struct flow *wire_stream_to(const struct wire *wire, const struct target *target)
{
	struct hnode *node =
		hmap_first(&wire->by_remote, remote_key(target->transport, &target->addr));

	for (; node; node = hmap_same(node)) {
		struct flow *flow = container_of_(node, struct flow, remote_node);

		if (flow_serves(flow, target))
			return flow;
	}
	return NULL;
}
