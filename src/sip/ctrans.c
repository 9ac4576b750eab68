/* sip/ctrans.c - client transactions: RFC 3261 17.1, RFC 6026
 *
 * ACK to a failure and CANCEL repeat lines of the request (17.1.1.3, 9.1); since we wrote it
 * ourselves, they are picked from its bytes by their names.
 */
#include "sip/private.h"

enum ctrans_event {
	EV_TIMEOUT,
	EV_PROVISIONAL,
	EV_SUCCESS,
	EV_FAILURE,
	EV_ERROR, /* it could not be sent */
};

enum ctrans_state { ST_CALLING, ST_PROCEEDING, ST_COMPLETED, ST_ACCEPTED, ST_ENDED };

struct ctrans {
	struct trans_grave grave;
	struct stack *stack;
	struct hnode node;
	char branch[TOKEN_SIZE];
	char method[32];
	bool invite, final, cancel_wanted, cancel_sent, broken;
	struct fsm fsm;
	struct timer resend; /* Timers A and E; a failed send's event */
	uint32_t resend_ms;
	uint64_t timeout_at_ms; /* Timer F runs through both its states */
	struct flow *flow;
	struct flow_watch watch;
	struct mbuf *request; /* once completed: the ACK */
	char *cancel_extra;
	const struct ctrans_handlers *handlers;
	void *arg;
};

METRIC_GAUGE(transactions, "jackfield_sip_transactions", "Transactions alive", "side=\"client\"");
METRIC_COUNTER(timeouts, "jackfield_sip_unanswered_total", "Requests that got no final response",
	       NULL);

static uint64_t ctrans_hash(const char *branch, size_t len)
{
	return hkey_bytes(branch, len);
}

static void ctrans_free(struct trans_grave *grave)
{
	struct ctrans *ct = container_of_(grave, struct ctrans, grave);

	fsm_fini(&ct->fsm);
	timer_stop(&ct->resend);
	flow_watch_stop(&ct->watch);
	mem_deref(ct->request);
	flow_unref(ct->flow);
	free(ct->cancel_extra);
	free(ct);
}

static void ctrans_end(struct ctrans *ct, enum trans_end end)
{
	const struct ctrans_handlers *handlers = ct->handlers;

	if (end != TRANS_DONE)
		metric_add(&timeouts, 1);
	fsm_go(&ct->fsm, ST_ENDED);
	timer_stop(&ct->resend);
	flow_watch_stop(&ct->watch);
	hmap_del(&ct->stack->clients, &ct->node);
	metric_add(&transactions, -1);
	ct->handlers = NULL;
	stack_bury(ct->stack, &ct->grave);
	if (handlers && handlers->on_end)
		handlers->on_end(ct, end, ct->arg);
}

void ctrans_end_all(struct stack *stack)
{
	struct hnode *node;

	for (size_t cursor = 0; (node = hmap_iter(&stack->clients, &cursor, NULL)); cursor = 0) {
		struct ctrans *ct = container_of_(node, struct ctrans, node);

		hmap_del(&stack->clients, node);
		metric_add(&transactions, -1);
		ctrans_free(&ct->grave);
	}
}

/* ---- ACK and CANCEL out of the request ---- */

static bool line_begins(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && memcmp(line, name, n) == 0 && line[n] == ':';
}

/* `to`: the response's To for ACK, NULL for CANCEL. */
static struct mbuf *derive(const struct ctrans *ct, const char *method, const struct pl *to,
			   const char *extra)
{
	const char *p = (const char *)ct->request->buf, *end = p + ct->request->end;
	struct mbuf *mb = mbuf_alloc(512);
	bool via_done = false;
	int err = mbuf_printf(mb, "%s", method);

	for (const char *line = p; line < end;) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		size_t len = eol ? (size_t)(eol + 1 - line) : (size_t)(end - line);

		if (len <= 2)
			break;
		if (line == p) {
			const char *rest = memchr(line, ' ', len);

			err |= mbuf_write_mem(mb, (const uint8_t *)rest,
					      (size_t)(line + len - rest));
		} else if (line_begins(line, len, "Via")) {
			if (!via_done)
				err |= mbuf_write_mem(mb, (const uint8_t *)line, len);
			via_done = true;
		} else if (line_begins(line, len, "To") && to) {
			err |= mbuf_printf(mb, "To: %r\r\n", to);
		} else if (line_begins(line, len, "CSeq")) {
			err |= mbuf_printf(mb, "CSeq: %u %s\r\n",
					   (unsigned)strtoul(line + 5, NULL, 10), method);
		} else if (line_begins(line, len, "From") || line_begins(line, len, "To") ||
			   line_begins(line, len, "Call-ID") || line_begins(line, len, "Route") ||
			   line_begins(line, len, "Max-Forwards") ||
			   line_begins(line, len, "User-Agent")) {
			err |= mbuf_write_mem(mb, (const uint8_t *)line, len);
		}
		line += len;
	}
	err |= mbuf_printf(mb, "%sContent-Length: 0\r\n\r\n", extra ? extra : "");
	bug_on(err);
	mb->pos = 0;
	return mb;
}

static void cancel_send(struct ctrans *ct)
{
	struct mbuf *mb = derive(ct, "CANCEL", NULL, ct->cancel_extra);

	ct->cancel_sent = true;
	ctrans_new(ct->stack, ct->flow, mb, "CANCEL", ct->branch, NULL, NULL);
	mem_deref(mb);
	/* 9.1: no final response within 64*T1 of the CANCEL: as if it were dead */
	fsm_deadline(&ct->fsm, 64 * TRANS_T1);
}

/* PROCEEDING has no limit of its own: whoever waits for the answer sets one. With nobody left (the
 * session of a re-INVITE is over) a peer that never answers would keep the transaction for ever.
 */
static void nobody_waits(struct ctrans *ct)
{
	fsm_deadline(&ct->fsm, 64 * TRANS_T1);
}

/* ---- sending ---- */

static bool ctrans_send(struct ctrans *ct)
{
	int r = flow_send(ct->flow, ct->request);

	if (r == 0)
		return true;
	/* A datagram that the system refused may pass the next time, but a first one tells of no
	 * route.
	 */
	if (!flow_is_stream(ct->flow) && r > 0 && r != FLOW_E_TOO_LARGE)
		return true;
	ct->broken = true;
	timer_start(&ct->resend, 0);
	return false;
}

static void resend_fire(struct timer *timer, void *arg)
{
	struct ctrans *ct = arg;
	uint32_t limit = ct->invite ? UINT32_MAX : TRANS_T2;

	(void)timer;
	if (ct->broken) {
		fsm_send(&ct->fsm, EV_ERROR, NULL);
		return;
	}
	if (flow_send(ct->flow, ct->request) < 0)
		log_rated(LOG_DEBUG_, "not resent", LOG_STR("method", ct->method));
	ct->resend_ms = ct->fsm.state == ST_PROCEEDING ? TRANS_T2 : ct->resend_ms * 2;
	if (ct->resend_ms > limit)
		ct->resend_ms = limit;
	timer_start(&ct->resend, ct->resend_ms);
}

static void flow_closed(struct flow_watch *watch, int errnum, void *arg)
{
	struct ctrans *ct = arg;

	(void)watch;
	(void)errnum;
	/* Once the peer has answered, its final response may come over another connection (18.2.2).
	 */
	if (ct->fsm.state == ST_CALLING)
		fsm_send(&ct->fsm, EV_ERROR, NULL);
}

static void hand_up(struct ctrans *ct, const struct inmsg *in)
{
	if (ct->handlers && ct->handlers->on_response)
		ct->handlers->on_response(ct, in, ct->arg);
}

/* ---- INVITE ---- */

static void ack_send(struct ctrans *ct)
{
	if (flow_send(ct->flow, ct->request) < 0)
		log_rated(LOG_DEBUG_, "ACK not sent");
}

static void invite_failed(struct ctrans *ct, const struct inmsg *in)
{
	struct mbuf *ack = derive(ct, "ACK", &in->msg->to.val, NULL);
	bool stream = flow_is_stream(ct->flow);

	timer_stop(&ct->resend);
	mem_deref(ct->request);
	ct->request = ack;
	ct->final = true;
	ack_send(ct);
	fsm_go(&ct->fsm, ST_COMPLETED);
	hand_up(ct, in);
	if (stream && ct->fsm.state == ST_COMPLETED)
		ctrans_end(ct, TRANS_DONE); /* Timer D is 0 there */
}

static void invite_success(struct ctrans *ct, const struct inmsg *in)
{
	timer_stop(&ct->resend);
	ct->final = true;
	if (ct->fsm.state != ST_ACCEPTED)
		fsm_go(&ct->fsm, ST_ACCEPTED);
	hand_up(ct, in);
}

static void invite_provisional(struct ctrans *ct, const struct inmsg *in)
{
	timer_stop(&ct->resend);
	if (ct->fsm.state == ST_CALLING) {
		fsm_go(&ct->fsm, ST_PROCEEDING);
		if (!ct->handlers)
			nobody_waits(ct);
	}
	if (ct->cancel_wanted && !ct->cancel_sent)
		cancel_send(ct);
	hand_up(ct, in);
}

static void invite_waiting(struct fsm *fsm, void *owner, int event, void *data)
{
	struct ctrans *ct = owner;

	(void)fsm;
	switch (event) {
	case EV_PROVISIONAL:
		invite_provisional(ct, data);
		break;
	case EV_SUCCESS:
		invite_success(ct, data);
		break;
	case EV_FAILURE:
		invite_failed(ct, data);
		break;
	case EV_ERROR:
		ctrans_end(ct, TRANS_TRANSPORT);
		break;
	default:
		ctrans_end(ct, TRANS_TIMEOUT);
	}
}

static void invite_completed(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	(void)data;
	if (event == EV_FAILURE)
		ack_send(owner);
	else if (event == EV_TIMEOUT)
		ctrans_end(owner, TRANS_DONE);
}

static void invite_accepted(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	if (event == EV_SUCCESS)
		hand_up(owner, data);
	else if (event == EV_TIMEOUT)
		ctrans_end(owner, TRANS_DONE);
}

#define BIT FSM_BIT
#define RESPONSES (BIT(EV_PROVISIONAL) | BIT(EV_SUCCESS) | BIT(EV_FAILURE))

static const char *const event_names[] = { "TIMEOUT", "PROVISIONAL", "SUCCESS",
					   "FAILURE", "ERROR",	     NULL };

static const struct fsm_state invite_states[] = {
	[ST_CALLING] = {
		.name = "CALLING",
		.timeout_ms = 64 * TRANS_T1, /* Timer B */
		.handle = invite_waiting,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES | BIT(EV_ERROR),
		.leads_to = BIT(ST_PROCEEDING) | BIT(ST_COMPLETED) | BIT(ST_ACCEPTED) | BIT(ST_ENDED),
	},
	[ST_PROCEEDING] = {
		.name = "PROCEEDING", /* no limit of its own; after a CANCEL 64*T1 */
		.handle = invite_waiting,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES | BIT(EV_ERROR),
		.leads_to = BIT(ST_COMPLETED) | BIT(ST_ACCEPTED) | BIT(ST_ENDED),
	},
	[ST_COMPLETED] = {
		.name = "COMPLETED",
		.timeout_ms = 64 * TRANS_T1, /* Timer D */
		.handle = invite_completed,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES,
		.leads_to = BIT(ST_ENDED),
	},
	[ST_ACCEPTED] = {
		.name = "ACCEPTED",
		.timeout_ms = 64 * TRANS_T1, /* Timer M, RFC 6026 */
		.handle = invite_accepted,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES,
		.leads_to = BIT(ST_ENDED),
	},
	[ST_ENDED] = { .name = "ENDED" },
};

static const struct fsm_table invite_client = {
	.name = "invite-client-transaction",
	.states = invite_states,
	.state_count = ARRAY_LEN(invite_states),
	.event_names = event_names,
};
FSM_REGISTER(invite_client);

/* ---- all others ---- */

static void other_proceeding_enter(struct fsm *fsm, void *owner)
{
	struct ctrans *ct = owner;
	uint64_t now = wheel_now_ms(ct->stack->wheel);

	fsm_deadline(fsm, ct->timeout_at_ms > now ? (uint32_t)(ct->timeout_at_ms - now) : 1);
}

static void other_final(struct ctrans *ct, const struct inmsg *in)
{
	bool stream = flow_is_stream(ct->flow);

	timer_stop(&ct->resend);
	ct->request = mem_deref(ct->request);
	ct->final = true;
	fsm_go(&ct->fsm, ST_COMPLETED);
	hand_up(ct, in);
	if (stream && ct->fsm.state == ST_COMPLETED)
		ctrans_end(ct, TRANS_DONE); /* Timer K is 0 there */
}

static void other_waiting(struct fsm *fsm, void *owner, int event, void *data)
{
	struct ctrans *ct = owner;

	switch (event) {
	case EV_PROVISIONAL:
		if (fsm->state == ST_CALLING)
			fsm_go(fsm, ST_PROCEEDING);
		hand_up(ct, data);
		break;
	case EV_SUCCESS:
	case EV_FAILURE:
		other_final(ct, data);
		break;
	case EV_ERROR:
		ctrans_end(ct, TRANS_TRANSPORT);
		break;
	default:
		ctrans_end(ct, TRANS_TIMEOUT);
	}
}

static void other_completed(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	(void)data;
	if (event == EV_TIMEOUT)
		ctrans_end(owner, TRANS_DONE);
}

static const struct fsm_state other_states[] = {
	[ST_CALLING] = {
		.name = "TRYING",
		.timeout_ms = 64 * TRANS_T1, /* Timer F */
		.handle = other_waiting,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES | BIT(EV_ERROR),
		.leads_to = BIT(ST_PROCEEDING) | BIT(ST_COMPLETED) | BIT(ST_ENDED),
	},
	[ST_PROCEEDING] = {
		.name = "PROCEEDING",
		.timeout_ms = 64 * TRANS_T1, /* what is left of Timer F */
		.enter = other_proceeding_enter,
		.handle = other_waiting,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES | BIT(EV_ERROR),
		.leads_to = BIT(ST_COMPLETED) | BIT(ST_ENDED),
	},
	[ST_COMPLETED] = {
		.name = "COMPLETED",
		.timeout_ms = TRANS_T4, /* Timer K */
		.handle = other_completed,
		.accepts = BIT(EV_TIMEOUT) | RESPONSES,
		.leads_to = BIT(ST_ENDED),
	},
	[ST_ACCEPTED] = { .name = "ACCEPTED" }, /* INVITE only */
	[ST_ENDED] = { .name = "ENDED" },
};

static const struct fsm_table other_client = {
	.name = "client-transaction",
	.states = other_states,
	.state_count = ARRAY_LEN(other_states),
	.event_names = event_names,
};
FSM_REGISTER(other_client);

/* ---- what the user calls, what comes in ---- */

struct ctrans *ctrans_new(struct stack *stack, struct flow *flow, struct mbuf *mb,
			  const char *method, const char *branch,
			  const struct ctrans_handlers *handlers, void *arg)
{
	struct ctrans *ct = xzalloc(sizeof(*ct));

	ct->grave.free = ctrans_free;
	ct->stack = stack;
	bug_on(!str_copy(ct->branch, sizeof(ct->branch), branch));
	bug_on(!str_copy(ct->method, sizeof(ct->method), method));
	ct->invite = strcmp(method, "INVITE") == 0;
	ct->flow = flow_ref(flow);
	ct->request = mem_ref(mb);
	ct->handlers = handlers;
	ct->arg = arg;
	ct->timeout_at_ms = wheel_now_ms(stack->wheel) + 64 * TRANS_T1;
	fsm_init(&ct->fsm, ct->invite ? &invite_client : &other_client, ct, stack->wheel,
		 ST_CALLING);
	timer_init(&ct->resend, stack->wheel, resend_fire, ct);
	hmap_add(&stack->clients, &ct->node, ctrans_hash(ct->branch, strlen(ct->branch)));
	metric_add(&transactions, 1);

	if (!ctrans_send(ct))
		return ct;
	flow_watch_start(&ct->watch, flow, 0, flow_closed, ct);
	ct->watch.on_bounced = flow_closed;
	if (!flow_is_stream(flow)) {
		ct->resend_ms = TRANS_T1; /* Timers A and E */
		timer_start(&ct->resend, ct->resend_ms);
	}
	return ct;
}

void ctrans_detach(struct ctrans *ct)
{
	ct->handlers = NULL;
	if (ct->invite && ct->fsm.state == ST_PROCEEDING && !ct->cancel_sent)
		nobody_waits(ct);
}

void ctrans_cancel(struct ctrans *ct, const char *extra)
{
	if (!ct->invite || ct->final || ct->cancel_wanted)
		return;
	ct->cancel_wanted = true;
	ct->cancel_extra = xstrdup(extra);
	if (ct->fsm.state == ST_PROCEEDING)
		cancel_send(ct);
}

static struct ctrans *ctrans_find(const struct stack *stack, const struct sip_msg *msg)
{
	const struct pl *branch = &msg->via.branch;
	struct hnode *node = hmap_first(&stack->clients, ctrans_hash(branch->p, branch->l));

	for (; node; node = hmap_same(node)) {
		struct ctrans *ct = container_of_(node, struct ctrans, node);

		if (pl_is(branch, ct->branch) && pl_is(&msg->cseq.met, ct->method))
			return ct;
	}
	return NULL;
}

bool ctrans_receive(struct stack *stack, const struct inmsg *in)
{
	struct ctrans *ct = ctrans_find(stack, in->msg);
	uint16_t code = in->msg->scode;
	bool stray;

	if (!ct)
		return false;
	/* A 2xx to an INVITE that nobody holds any more wants ACK and BYE from somebody. */
	stray = ct->invite && code / 100 == 2 && !ct->handlers;
	fsm_send(&ct->fsm,
		 code < 200   ? EV_PROVISIONAL
		 : code < 300 ? EV_SUCCESS
			      : EV_FAILURE,
		 (void *)(uintptr_t)in);
	return !stray;
}
