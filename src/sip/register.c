/* One profile's registration (RFC 3261 10.2). A refresh runs inside REGISTERED, so that a working binding is shown as
 * such until it is known to be lost. All waiting is the machine's deadline.
 */
#include "sip/register_private.h"

#include "base/metric.h"

#include <stdio.h>

METRIC_COUNTER(metric_sent, "jackfield_sip_registers_total", "REGISTER rounds started", NULL);
METRIC_GAUGE(metric_registered, "jackfield_sip_registered", "Profiles registered now", NULL);

#define ROUND_MS 40000 /* a REGISTER with its retries; the request layer gives up at 32 s */

uint32_t regs_random(struct regs *regs, uint32_t below)
{
	if (!regs->random)
		return ua_random(below);
	/* seeded, for tests: SplitMix64 */
	regs->random += 0x9e3779b97f4a7c15ull;
	return below ? (uint32_t)((regs->random ^ (regs->random >> 31)) * 0xbf58476d1ce4e5b9ull >>
				  33) %
			       below
		     : 0;
}

bool reg_in(const struct reg *reg, enum registration_state state)
{
	return reg->fsm.state == (int)state;
}

int64_t reg_wall(const struct reg *reg)
{
	return wheel_wall_us(reg->regs->ua->wheel);
}

/* ---- what is told ---- */

static void history_add(struct reg *reg)
{
	struct reg_change change = { .at_us = reg->changed_us,
				     .code = reg->code,
				     .state = (uint8_t)reg->fsm.state };

	if (reg->history_len == reg->history_cap && reg->history_cap < REG_HISTORY) {
		uint8_t cap = reg->history_cap ? (uint8_t)(reg->history_cap * 2) : 4;

		/* not wrapped yet: it only wraps when it is at its full size */
		reg->history_cap = cap > REG_HISTORY ? REG_HISTORY : cap;
		reg->history = xrealloc(reg->history, reg->history_cap * sizeof(*reg->history));
	}
	reg->history[reg->history_at] = change;
	reg->history_at = (uint8_t)((reg->history_at + 1) % REG_HISTORY);
	if (reg->history_len < REG_HISTORY)
		reg->history_len++;
}

/* A state was entered, or its reason is another. */
static void note(struct reg *reg, uint16_t code, const char *reason)
{
	char clean[REG_REASON_SIZE];

	reg->code = code;
	text_clean(clean, sizeof(clean), reason ? reason : "", reason ? strlen(reason) : 0);
	if (!str_eq(reg->reason, clean)) {
		free(reg->reason);
		reg->reason = xstrdup(clean);
	}
	reg->changed_us = reg_wall(reg);
	history_add(reg);
	reg_changed(reg);
}

void reg_go(struct reg *reg, enum registration_state state, uint16_t code, const char *reason)
{
	if (reg_in(reg, REG_REGISTERED) && state != REG_REGISTERED)
		metric_add(&metric_registered, -1);
	if (!reg_in(reg, REG_REGISTERED) && state == REG_REGISTERED)
		metric_add(&metric_registered, 1);
	reg->next_us = 0;
	fsm_go(&reg->fsm, (int)state);
	note(reg, code, reason);
}

/* In the present state until then. */
void reg_wait(struct reg *reg, uint32_t ms)
{
	fsm_deadline(&reg->fsm, ms);
	reg->next_us = reg_wall(reg) + (int64_t)ms * 1000;
	reg_changed(reg);
}

/* ---- the flow ---- */

void reg_drop_flow(struct reg *reg)
{
	flow_watch_stop(&reg->watch);
	reg->flow = flow_unref(reg->flow);
}

/* ---- our address as they see it ---- */

/* RFC 3581: received and rport of our own Via. Only UDP has a port that others can send to. */
void reg_learn_address(struct reg *reg, const struct inmsg *in)
{
	struct account *account = reg->account;
	struct pl received, rport;
	uint32_t port;
	auto_(free) char *hostport = NULL;
	struct sa addr;

	if (flow_is_stream(in->flow) || !parse_param(&in->msg->via.params, "rport", &rport) ||
	    !inmsg_u32(&rport, 65535, &port) || !port)
		return;
	if (!parse_param(&in->msg->via.params, "received", &received))
		received = in->msg->via.sentby;
	if (received.l && received.p[0] == '[' && received.p[received.l - 1] == ']') {
		received.p++;
		received.l -= 2;
	}
	if (sa_set(&addr, &received, (uint16_t)port))
		return; /* sent-by is a name: nothing learnt */
	hostport = sa_af(&addr) == AF_INET6
			   ? xasprintf("[%.*s]:%u", (int)received.l, received.p, port)
			   : xasprintf("%.*s:%u", (int)received.l, received.p, port);
	if (str_eq(account->public_hostport, hostport))
		return;
	if (!account->public_hostport && str_eq(flow_sent_by(in->flow), hostport))
		return;
	free(account->public_hostport);
	account->public_hostport = take(hostport);
	account->public_transport = flow_transport(in->flow);
}

/* ---- REGISTER ---- */

uint32_t reg_expires_asked(const struct reg *reg)
{
	uint32_t expires = reg->account->expires;

	if (reg_in(reg, REG_UNREGISTERING))
		return 0;
	return expires < reg->min_expires ? reg->min_expires : expires;
}

static struct outmsg *build(struct exchange *ex, void *arg)
{
	struct reg *reg = arg;
	struct account *account = reg->account;
	auto_(buf_fini) struct buf uri = BUF_MAX(512), aor = BUF_MAX(512);
	auto_(free) char *from = NULL, *to = NULL;
	struct outmsg *msg;

	(void)ex;
	account_registrar_uri(account, &uri);
	account_aor(account, &aor);
	from = xasprintf("<%s>;tag=%s", aor.data, reg->from_tag);
	to = xasprintf("<%s>", aor.data);
	msg = outmsg_request_str("REGISTER", uri.data);
	account_routes(account, msg, false);
	outmsg_ids(msg, from, to, reg->call_id, ++reg->cseq);
	outmsg_header(msg, "Expires", "%u", reg_expires_asked(reg));
	if (!reg->plain)
		outmsg_header(msg, "Supported", "path");
	return msg;
}

static void contact_lines(struct exchange *ex, struct flow *flow, struct outmsg *lines, void *arg)
{
	struct reg *reg = arg;
	auto_(buf_fini) struct buf uri = BUF_MAX(512);

	(void)ex;
	account_contact_uri(reg->account, flow, &uri);
	outmsg_header(lines, "Contact", "<%s>;expires=%u", uri.data, reg_expires_asked(reg));
	/* our address has changed: the old binding would ring into the void */
	if (reg->contact_old && !str_eq(reg->contact_old, uri.data))
		outmsg_header(lines, "Contact", "<%s>;expires=0", reg->contact_old);
	if (!str_eq(reg->contact_now, uri.data)) {
		free(reg->contact_now);
		reg->contact_now = xstrdup(uri.data);
	}
}

static void on_challenge(struct exchange *ex, const struct inmsg *in, void *arg)
{
	(void)ex;
	reg_learn_address(
		arg, in); /* so that the answer to the challenge has the right Contact at once */
}

static void on_response(struct exchange *ex, const struct inmsg *in, void *arg)
{
	struct reg *reg = arg;

	(void)ex;
	if (in->msg->scode < 200)
		return;
	fsm_send(&reg->fsm, in->msg->scode < 300 ? REG_SIG_OK : REG_SIG_REFUSED,
		 (void *)(uintptr_t)in);
}

static void on_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	struct reg *reg = arg;

	(void)ex;
	fsm_send(&reg->fsm, REG_SIG_UNSENT, &failure);
}

static const struct exchange_handlers handlers = { build, contact_lines, on_response, on_failed,
						   on_challenge };

void reg_send(struct reg *reg)
{
	struct account *account = reg->account;
	struct hop hop = { 0 };
	bool known = account_hop(account, false, &hop);
	struct exchange_args args = {
		.stack = reg->regs->ua->stack,
		.jar = reg->jar,
		.creds = &account->creds,
		.realm = account->realm,
		.hop = reg->redirect ? reg->redirect : &hop,
		.prefer = account->has_sticky && !reg->redirect ? &account->sticky : NULL,
		.unverified = account->unverified,
		.handlers = &handlers,
		.arg = reg,
	};

	bug_on(!known); /* an account is checked when it is made */
	metric_add(&metric_sent, 1);
	reg->exchange = exchange_free(reg->exchange);
	reg->exchange = exchange_start(&args);
}

/* ---- the machine ---- */

static void begin(struct reg *reg)
{
	reg_go(reg, REG_REGISTERING, reg->code, reg->reason);
	reg_send(reg);
}

void reg_start(struct reg *reg)
{
	fsm_send(&reg->fsm, REG_SIG_GO, NULL);
}

static void stop(struct reg *reg)
{
	bool perhaps = reg->exchange != NULL; /* what is under way may be accepted yet */

	pace_forget(reg);
	reg->exchange = exchange_free(reg->exchange);
	if (!reg->bound && !perhaps) {
		reg_stopped(reg);
		return;
	}
	reg_go(reg, REG_UNREGISTERING, reg->code, reg->reason);
	reg_send(reg);
}

static void idle_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct reg *reg = owner;

	(void)fsm;
	(void)data;
	if (signal == REG_SIG_STOP) {
		stop(reg);
	} else if (signal == REG_SIG_GO) {
		if (reg->account->registers)
			begin(reg);
		else
			reg_go(reg, REG_REGISTERED, 0, "Addresses known");
	} else if (signal == REG_SIG_TIMEOUT) {
		pace(reg);
	}
	/* the flow's loss changes nothing: the next REGISTER opens another */
}

static void answer_handle(struct reg *reg, int signal, void *data)
{
	if (signal == REG_SIG_OK)
		reg_accepted(reg, data);
	else if (signal == REG_SIG_REFUSED)
		reg_refused(reg, data);
	else
		reg_unsent(reg, *(enum request_failure *)data);
}

static void registering_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct reg *reg = owner;
	enum request_failure late = REQUEST_TIMEOUT;

	(void)fsm;
	if (signal == REG_SIG_STOP)
		stop(reg);
	else if (signal == REG_SIG_TIMEOUT)
		reg_unsent(reg, late);
	else if (signal != REG_SIG_FLOW && signal != REG_SIG_GO)
		answer_handle(reg, signal, data);
}

static void registered_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct reg *reg = owner;

	(void)fsm;
	switch (signal) {
	case REG_SIG_STOP:
		stop(reg);
		break;
	case REG_SIG_TIMEOUT: /* time to refresh; the round has its own limit */
		if (!reg->account->registers)
			break;
		if (reg->exchange) {
			reg_unsent(reg, REQUEST_TIMEOUT);
		} else {
			fsm_deadline(&reg->fsm, ROUND_MS);
			reg_send(reg);
		}
		break;
	case REG_SIG_GO:
		if (!reg->account->registers)
			break;
		fsm_deadline(&reg->fsm, ROUND_MS);
		reg_send(reg);
		break;
	case REG_SIG_FLOW: /* RFC 5626 4.4: register again at once, in its turn when thousands lost theirs */
		reg_drop_flow(reg);
		reg->account->has_sticky = false;
		pace(reg);
		break;
	default:
		answer_handle(reg, signal, data);
		break;
	}
}

static void unregistering_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct reg *reg = owner;

	(void)fsm;
	(void)data;
	if (signal == REG_SIG_FLOW || signal == REG_SIG_STOP || signal == REG_SIG_GO)
		return;
	reg->exchange = exchange_free(reg->exchange);
	reg->lingering = signal != REG_SIG_OK;
	if (!reg->lingering) {
		reg->bound = false;
		reg->expires_us = 0;
	}
	reg_stopped(reg);
}

#define EV(name) FSM_BIT(REG_SIG_##name)
#define ST(name) FSM_BIT(REG_##name)
#define ANSWERS (EV(OK) | EV(REFUSED) | EV(UNSENT))
#define TROUBLE (ST(RETRY_WAIT) | ST(AUTH_FAILED) | ST(REJECTED) | ST(UNREACHABLE))

static const struct fsm_state reg_states[] = {
	[REG_DISABLED] = {
		.name = "disabled",
		.handle = idle_handle,
		.accepts = EV(GO) | EV(STOP) | EV(FLOW) | EV(TIMEOUT),
		.leads_to = ST(REGISTERING) | ST(REGISTERED) | ST(UNREGISTERING) | ST(DISABLED),
	},
	[REG_REGISTERING] = {
		.name = "registering",
		.timeout_ms = ROUND_MS,
		.handle = registering_handle,
		.accepts = EV(TIMEOUT) | EV(STOP) | EV(FLOW) | EV(GO) | ANSWERS,
		.leads_to = ST(REGISTERED) | ST(UNREGISTERING) | ST(DISABLED) | TROUBLE,
	},
	[REG_REGISTERED] = {
		.name = "registered",
		.handle = registered_handle,
		.accepts = EV(TIMEOUT) | EV(STOP) | EV(FLOW) | EV(GO) | ANSWERS,
		.leads_to = ST(UNREGISTERING) | ST(DISABLED) | ST(REGISTERED) | TROUBLE,
	},
	[REG_RETRY_WAIT] = {
		.name = "retry_wait",
		.handle = idle_handle,
		.accepts = EV(TIMEOUT) | EV(GO) | EV(STOP) | EV(FLOW),
		.leads_to = ST(REGISTERING) | ST(UNREGISTERING) | ST(DISABLED),
	},
	[REG_AUTH_FAILED] = {
		.name = "auth_failed",
		.handle = idle_handle,
		.accepts = EV(TIMEOUT) | EV(GO) | EV(STOP) | EV(FLOW),
		.leads_to = ST(REGISTERING) | ST(UNREGISTERING) | ST(DISABLED),
	},
	[REG_REJECTED] = {
		.name = "rejected",
		.handle = idle_handle,
		.accepts = EV(TIMEOUT) | EV(GO) | EV(STOP) | EV(FLOW),
		.leads_to = ST(REGISTERING) | ST(UNREGISTERING) | ST(DISABLED),
	},
	[REG_UNREACHABLE] = {
		.name = "unreachable",
		.handle = idle_handle,
		.accepts = EV(TIMEOUT) | EV(GO) | EV(STOP) | EV(FLOW),
		.leads_to = ST(REGISTERING) | ST(UNREGISTERING) | ST(DISABLED),
	},
	[REG_UNREGISTERING] = {
		.name = "unregistering",
		.timeout_ms = REG_STOP_MS,
		.handle = unregistering_handle,
		.accepts = EV(TIMEOUT) | EV(STOP) | EV(FLOW) | EV(GO) | ANSWERS,
		.leads_to = ST(DISABLED),
	},
};

static const char *const signal_names[] = { "TIMEOUT", "GO",   "OK",   "REFUSED",
					    "UNSENT",  "STOP", "FLOW", NULL };

const struct fsm_table reg_table = {
	.name = "registration",
	.states = reg_states,
	.state_count = ARRAY_LEN(reg_states),
	.event_names = signal_names,
};
FSM_REGISTER(reg_table);

const char *reg_state_name(enum registration_state state)
{
	return reg_states[state].name;
}

/* The last step of unregistering, and of switching off what was not registered. */
void reg_disable(struct reg *reg)
{
	reg_drop_flow(reg);
	if (!reg_in(reg, REG_DISABLED))
		reg_go(reg, REG_DISABLED, reg->code, reg->reason);
}
