/* sip/strans.c - server transactions: RFC 3261 17.2, RFC 6026
 *
 * The INVITE machine has the ACCEPTED state of RFC 6026: after a 2xx the transaction lives on for
 * 64*T1, so that retransmitted INVITEs find it instead of starting a second call; it also does the
 * resending of the 2xx, which RFC 3261 13.3.1.4 leaves to the transaction's user.
 */
#include "sip/private.h"

#define TRYING_MS 200u

enum strans_event {
	EV_TIMEOUT,
	EV_REQUEST, /* the same request again */
	EV_ACK,
	EV_PROVISIONAL,
	EV_SUCCESS,
	EV_FAILURE,
	EV_ERROR, /* a response could not be sent */
};

enum strans_state { ST_PROCEEDING, ST_COMPLETED, ST_CONFIRMED, ST_ACCEPTED, ST_ENDED };

struct trans_key {
	uint64_t a, b;
};

struct strans {
	struct trans_grave grave;
	struct stack *stack;
	struct hnode node, merge_node;
	struct trans_key key, merge_key;
	bool merge_listed, invite, acked, replied, final, broken;
	struct fsm fsm;
	struct timer resend; /* 100 after 200 ms; Timer G; the 2xx; a failed send's event */
	uint32_t resend_ms;
	struct inmsg in;
	struct flow *flow; /* where replies go */
	struct mbuf *last;
	char *to_tag;
	const struct strans_handlers *handlers;
	void *arg;
};

METRIC_GAUGE(transactions, "jackfield_sip_transactions", "Transactions alive", "side=\"server\"");
METRIC_COUNTER(merged, "jackfield_sip_refused_total", "Requests refused without state",
	       "reason=\"merged\"");

/* ---- keys ---- */

static struct trans_key key_make(const uint64_t *parts, size_t count)
{
	uint64_t salted[8] = { 0 };
	struct trans_key key;

	memcpy(salted + 1, parts, count * sizeof(*parts));
	key.a = hkey_bytes(salted, (count + 1) * sizeof(*parts));
	salted[0] = 1;
	key.b = hkey_bytes(salted, (count + 1) * sizeof(*parts));
	return key;
}

static uint64_t pl_hash(const struct pl *pl)
{
	return hkey_bytes(pl->l ? pl->p : "", pl->l);
}

/* 17.2.3. `method` stands for the request's own: ACK and CANCEL look for the INVITE. */
static struct trans_key strans_key(const struct sip_msg *msg, const struct pl *method)
{
	const struct sip_via *via = &msg->via;

	if (via->branch.l > 7 && strncmp(via->branch.p, "z9hG4bK", 7) == 0) {
		uint64_t parts[] = { pl_hash(&via->branch), pl_hash(&via->sentby),
				     pl_hash(method) };

		return key_make(parts, ARRAY_LEN(parts));
	}
	uint64_t parts[] = { pl_hash(&msg->ruri), pl_hash(&msg->from.tag), pl_hash(&msg->callid),
			     msg->cseq.num,	  pl_hash(&via->val),	   pl_hash(method) };

	return key_make(parts, ARRAY_LEN(parts));
}

/* 8.2.2.2. The Request-URI belongs to it: one INVITE that was forked to two of the accounts that
 * live here is two calls.
 */
static struct trans_key merge_key(const struct sip_msg *msg)
{
	uint64_t parts[] = { pl_hash(&msg->from.tag), pl_hash(&msg->callid), msg->cseq.num,
			     pl_hash(&msg->met), pl_hash(&msg->ruri) };

	return key_make(parts, ARRAY_LEN(parts));
}

static struct strans *strans_find(const struct stack *stack, const struct sip_msg *msg,
				  const struct pl *method)
{
	struct trans_key key = strans_key(msg, method);
	struct hnode *node = hmap_first(&stack->servers, key.a);

	for (; node; node = hmap_same(node)) {
		struct strans *st = container_of_(node, struct strans, node);

		if (st->key.b == key.b)
			return st;
	}
	return NULL;
}

static bool is_merged(const struct stack *stack, struct trans_key key)
{
	struct hnode *node = hmap_first(&stack->merges, key.a);

	for (; node; node = hmap_same(node))
		if (container_of_(node, struct strans, merge_node)->merge_key.b == key.b)
			return true;
	return false;
}

/* ---- the end ---- */

static void strans_free(struct trans_grave *grave)
{
	struct strans *st = container_of_(grave, struct strans, grave);

	fsm_fini(&st->fsm);
	timer_stop(&st->resend);
	mem_deref((void *)(uintptr_t)st->in.msg);
	mem_deref(st->last);
	flow_unref(st->in.flow);
	flow_unref(st->flow);
	free(st->to_tag);
	free(st);
}

static void strans_unlist(struct strans *st)
{
	hmap_del(&st->stack->servers, &st->node);
	if (st->merge_listed)
		hmap_del(&st->stack->merges, &st->merge_node);
	st->merge_listed = false;
	metric_add(&transactions, -1);
}

static void strans_end(struct strans *st, enum trans_end end)
{
	const struct strans_handlers *handlers = st->handlers;

	fsm_go(&st->fsm, ST_ENDED);
	timer_stop(&st->resend);
	strans_unlist(st);
	st->handlers = NULL;
	stack_bury(st->stack, &st->grave);
	if (handlers && handlers->on_end)
		handlers->on_end(st, end, st->arg);
}

void strans_end_all(struct stack *stack)
{
	struct hnode *node;

	for (size_t cursor = 0; (node = hmap_iter(&stack->servers, &cursor, NULL)); cursor = 0) {
		struct strans *st = container_of_(node, struct strans, node);

		st->handlers = NULL;
		timer_stop(&st->resend);
		strans_unlist(st);
		strans_free(&st->grave);
	}
}

/* ---- sending ---- */

static void strans_send(struct strans *st)
{
	struct flow *again;

	if (!st->last)
		return;
	if (st->flow && flow_send(st->flow, st->last) == 0)
		return;
	if (st->flow && !flow_is_stream(st->flow))
		return; /* the network may recover before the timers give up */

	again = st->in.msg ? reply_flow_again(&st->in) : NULL;
	flow_unref(st->flow);
	st->flow = again;
	if (again && flow_send(again, st->last) == 0)
		return;
	st->broken = true;
	timer_start(&st->resend, 0);
}

static void strans_keep(struct strans *st, struct mbuf *mb)
{
	mem_deref(st->last);
	st->last = mb;
}

/* A transaction waits for half a minute after it has done its work: not with all it was given. */
static void strans_forget_request(struct strans *st)
{
	st->in.msg = mem_deref((void *)(uintptr_t)st->in.msg);
}

static void trying_send(struct strans *st)
{
	struct outmsg *reply = outmsg_reply(&st->in, 100, NULL, NULL, false);

	strans_keep(st, outmsg_response_bytes(reply));
	mem_deref(reply);
	st->replied = true;
	strans_send(st);
}

static void resend_fire(struct timer *timer, void *arg)
{
	struct strans *st = arg;

	(void)timer;
	if (st->broken) {
		fsm_send(&st->fsm, EV_ERROR, NULL);
		return;
	}
	if (st->fsm.state == ST_PROCEEDING) {
		if (!st->replied)
			trying_send(st);
		return;
	}
	strans_send(st);
	if (st->broken)
		return;
	st->resend_ms = st->resend_ms * 2 < TRANS_T2 ? st->resend_ms * 2 : TRANS_T2;
	timer_start(&st->resend, st->resend_ms);
}

static void resend_begin(struct strans *st)
{
	st->resend_ms = TRANS_T1;
	timer_start(&st->resend, st->resend_ms);
}

/* ---- the machines ---- */

static void final_common(struct strans *st)
{
	st->final = true;
	timer_stop(&st->resend);
	strans_send(st);
}

static void invite_proceeding(struct fsm *fsm, void *owner, int event, void *data)
{
	struct strans *st = owner;

	(void)data;
	switch (event) {
	case EV_REQUEST:
		strans_send(st);
		break;
	case EV_PROVISIONAL:
		if (!st->broken)
			timer_stop(&st->resend);
		strans_send(st);
		break;
	case EV_SUCCESS:
		final_common(st);
		fsm_go(fsm, ST_ACCEPTED);
		if (!st->broken)
			resend_begin(st);
		break;
	case EV_FAILURE:
		final_common(st);
		fsm_go(fsm, ST_COMPLETED);
		if (!st->broken && !flow_is_stream(st->flow))
			resend_begin(st); /* Timer G */
		break;
	default:
		strans_end(st, TRANS_TRANSPORT);
	}
}

static void invite_completed(struct fsm *fsm, void *owner, int event, void *data)
{
	struct strans *st = owner;

	(void)data;
	switch (event) {
	case EV_REQUEST:
		strans_send(st);
		break;
	case EV_ACK:
		timer_stop(&st->resend);
		strans_forget_request(st);
		if (st->flow && flow_is_stream(st->flow))
			strans_end(st, TRANS_DONE); /* Timer I is 0 there */
		else
			fsm_go(fsm, ST_CONFIRMED);
		break;
	case EV_TIMEOUT:
		strans_end(st, TRANS_TIMEOUT);
		break;
	default:
		strans_end(st, TRANS_TRANSPORT);
	}
}

static void invite_confirmed(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	(void)data;
	if (event == EV_TIMEOUT)
		strans_end(owner, TRANS_DONE);
}

static void invite_accepted(struct fsm *fsm, void *owner, int event, void *data)
{
	struct strans *st = owner;

	(void)fsm;
	(void)data;
	if (event == EV_TIMEOUT)
		strans_end(st, st->acked ? TRANS_DONE : TRANS_NO_ACK);
	else if (event == EV_ERROR && !st->acked)
		strans_end(st, TRANS_TRANSPORT);
	/* EV_REQUEST: absorbed (RFC 6026 7.1), the 2xx goes out by its own timer */
}

#define BIT FSM_BIT

static const char *const event_names[] = { "TIMEOUT", "REQUEST", "ACK",	  "PROVISIONAL",
					   "SUCCESS", "FAILURE", "ERROR", NULL };

static const struct fsm_state invite_states[] = {
	[ST_PROCEEDING] = {
		.name = "PROCEEDING",
		.handle = invite_proceeding,
		.accepts = BIT(EV_REQUEST) | BIT(EV_PROVISIONAL) | BIT(EV_SUCCESS) | BIT(EV_FAILURE) | BIT(EV_ERROR),
		.leads_to = BIT(ST_COMPLETED) | BIT(ST_ACCEPTED) | BIT(ST_ENDED),
	},
	[ST_COMPLETED] = {
		.name = "COMPLETED",
		.timeout_ms = 64 * TRANS_T1, /* Timer H */
		.handle = invite_completed,
		.accepts = BIT(EV_TIMEOUT) | BIT(EV_REQUEST) | BIT(EV_ACK) | BIT(EV_ERROR),
		.leads_to = BIT(ST_CONFIRMED) | BIT(ST_ENDED),
	},
	[ST_CONFIRMED] = {
		.name = "CONFIRMED",
		.timeout_ms = TRANS_T4, /* Timer I */
		.handle = invite_confirmed,
		.accepts = BIT(EV_TIMEOUT) | BIT(EV_REQUEST) | BIT(EV_ACK),
		.leads_to = BIT(ST_ENDED),
	},
	[ST_ACCEPTED] = {
		.name = "ACCEPTED",
		.timeout_ms = 64 * TRANS_T1, /* Timer L, RFC 6026 */
		.handle = invite_accepted,
		.accepts = BIT(EV_TIMEOUT) | BIT(EV_REQUEST) | BIT(EV_ERROR),
		.leads_to = BIT(ST_ENDED),
	},
	[ST_ENDED] = { .name = "ENDED" },
};

static const struct fsm_table invite_server = {
	.name = "invite-server-transaction",
	.states = invite_states,
	.state_count = ARRAY_LEN(invite_states),
	.event_names = event_names,
};
FSM_REGISTER(invite_server);

/* Trying and Proceeding of 17.2.2 differ in whether there is something to resend: strans_send()
 * knows.
 */
static void other_proceeding(struct fsm *fsm, void *owner, int event, void *data)
{
	struct strans *st = owner;

	(void)data;
	switch (event) {
	case EV_REQUEST:
	case EV_PROVISIONAL:
		strans_send(st);
		break;
	case EV_SUCCESS:
	case EV_FAILURE:
		final_common(st);
		if (st->broken)
			break;
		if (flow_is_stream(st->flow))
			strans_end(st, TRANS_DONE); /* Timer J is 0 there */
		else
			fsm_go(fsm, ST_COMPLETED);
		break;
	default:
		strans_end(st, TRANS_TRANSPORT);
	}
}

static void other_completed(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	(void)data;
	if (event == EV_REQUEST)
		strans_send(owner);
	else
		strans_end(owner, TRANS_DONE);
}

static const struct fsm_state other_states[] = {
	[ST_PROCEEDING] = {
		.name = "PROCEEDING",
		.handle = other_proceeding,
		.accepts = BIT(EV_REQUEST) | BIT(EV_PROVISIONAL) | BIT(EV_SUCCESS) | BIT(EV_FAILURE) | BIT(EV_ERROR),
		.leads_to = BIT(ST_COMPLETED) | BIT(ST_ENDED),
	},
	[ST_COMPLETED] = {
		.name = "COMPLETED",
		.timeout_ms = 64 * TRANS_T1, /* Timer J */
		.handle = other_completed,
		.accepts = BIT(EV_TIMEOUT) | BIT(EV_REQUEST) | BIT(EV_ERROR),
		.leads_to = BIT(ST_ENDED),
	},
	[ST_CONFIRMED] = { .name = "CONFIRMED" }, /* INVITE only */
	[ST_ACCEPTED] = { .name = "ACCEPTED" },	  /* INVITE only */
	[ST_ENDED] = { .name = "ENDED" },
};

static const struct fsm_table other_server = {
	.name = "server-transaction",
	.states = other_states,
	.state_count = ARRAY_LEN(other_states),
	.event_names = event_names,
};
FSM_REGISTER(other_server);

/* ---- what the user calls ---- */

static void strans_list(struct strans *st, struct trans_key key, struct trans_key merge)
{
	st->key = key;
	st->merge_key = merge;
	hmap_add(&st->stack->servers, &st->node, key.a);
	metric_add(&transactions, 1);
	if (st->in.msg->to.tag.l)
		return;
	hmap_add(&st->stack->merges, &st->merge_node, merge.a);
	st->merge_listed = true;
}

int strans_new(const struct inmsg *in, const struct strans_handlers *handlers, void *arg,
	       struct strans **ret_st)
{
	struct trans_key merge = merge_key(in->msg);
	struct stack *stack = in->stack;
	char tag[TOKEN_SIZE];
	struct strans *st;

	bug_on(inmsg_is(in->msg, "ACK") || inmsg_is(in->msg, "CANCEL"));
	if (!in->msg->to.tag.l && is_merged(stack, merge)) {
		metric_add(&merged, 1);
		stack_reply(in, 482, NULL);
		return STRANS_E_MERGED;
	}
	if (stack->servers.count >= stack->max_transactions) {
		stack_reply(in, 503, NULL);
		return STRANS_E_FULL;
	}

	st = xzalloc(sizeof(*st));
	st->grave.free = strans_free;
	st->stack = stack;
	st->in = (struct inmsg){ .msg = mem_ref((void *)(uintptr_t)in->msg),
				 .flow = flow_ref(in->flow),
				 .stack = stack };
	st->flow = reply_flow(in);
	if (!st->flow)
		st->flow = flow_ref(in->flow);
	st->handlers = handlers;
	st->arg = arg;
	st->invite = inmsg_is(in->msg, "INVITE");
	st->to_tag = xstrdup(token_to_tag(in, tag));
	if (in->msg->to.tag.l) {
		free(st->to_tag);
		st->to_tag = xstrndup(in->msg->to.tag.p, in->msg->to.tag.l);
	}
	fsm_init(&st->fsm, st->invite ? &invite_server : &other_server, st, stack->wheel,
		 ST_PROCEEDING);
	timer_init(&st->resend, stack->wheel, resend_fire, st);
	if (st->invite)
		timer_start(&st->resend, TRYING_MS);
	strans_list(st, strans_key(in->msg, &in->msg->met), merge);
	*ret_st = st;
	return 0;
}

void strans_detach(struct strans *st)
{
	st->handlers = NULL;
	if (!st->final && st->fsm.state == ST_PROCEEDING)
		strans_answer(st, 500, NULL);
}

int strans_reply(struct strans *st, struct outmsg *reply)
{
	uint16_t code = outmsg_code(reply);
	struct mbuf *mb = outmsg_response_bytes(reply);

	if (!mb || st->final || st->fsm.state != ST_PROCEEDING) {
		mem_deref(mb);
		return err_newf(EINVAL, "response %u %s", code,
				mb ? "after a final one" : "is malformed");
	}
	strans_keep(st, mb);
	st->replied = true;
	fsm_send(&st->fsm,
		 code < 200   ? EV_PROVISIONAL
		 : code < 300 ? EV_SUCCESS
			      : EV_FAILURE,
		 NULL);
	if (st->final && !st->invite && !st->broken)
		strans_forget_request(st);
	return 0;
}

void strans_answer(struct strans *st, uint16_t code, const char *reason)
{
	struct outmsg *reply;

	if (st->final || st->fsm.state != ST_PROCEEDING)
		return;
	reply = outmsg_reply(&st->in, code, reason, st->to_tag, false);
	bug_on(strans_reply(st, reply) != 0);
	mem_deref(reply);
}

void strans_acked(struct strans *st)
{
	if (st->fsm.state != ST_ACCEPTED || st->acked)
		return;
	st->acked = true;
	timer_stop(&st->resend);
	strans_forget_request(st);
	st->last = mem_deref(st->last);
}

const struct inmsg *strans_request(const struct strans *st)
{
	return st->in.msg ? &st->in : NULL;
}

struct flow *strans_flow(const struct strans *st)
{
	return st->in.flow;
}

bool strans_answered(const struct strans *st)
{
	return st->final;
}

const char *strans_to_tag(const struct strans *st)
{
	return st->to_tag;
}

/* ---- what comes in ---- */

bool strans_receive(struct stack *stack, const struct inmsg *in)
{
	static const struct pl invite = PL("INVITE");
	bool ack = inmsg_is(in->msg, "ACK");
	struct strans *st = strans_find(stack, in->msg, ack ? &invite : &in->msg->met);

	if (!st)
		return false;
	if (!ack) {
		fsm_send(&st->fsm, EV_REQUEST, NULL);
		return true;
	}
	/* Some send the ACK to a 2xx with the INVITE's branch: it is the dialog's all the same. */
	if (st->fsm.state == ST_ACCEPTED)
		return false;
	if (st->fsm.state == ST_COMPLETED || st->fsm.state == ST_CONFIRMED)
		fsm_send(&st->fsm, EV_ACK, NULL);
	return true;
}

/* 9.2. The CANCEL is answered without a transaction of its own: its retransmission finds the same
 * INVITE and gets the same answer.
 */
void strans_receive_cancel(struct stack *stack, const struct inmsg *in)
{
	static const struct pl invite = PL("INVITE");
	struct strans *st = strans_find(stack, in->msg, &invite);
	struct outmsg *reply;

	if (!st) {
		stack_reply(in, 481, NULL);
		return;
	}
	reply = outmsg_reply(in, 200, NULL, st->to_tag, false);
	stack_reply_msg(in, reply);
	mem_deref(reply);
	if (!st->final && st->handlers && st->handlers->on_cancel)
		st->handlers->on_cancel(st, in, st->arg);
}
