/* One profile's registration (RFC 3261 10.2). A refresh runs inside REGISTERED, so that a working binding is shown as
 * such until it is known to be lost. All waiting is the machine's deadline.
 */
#include "sip/register_private.h"

#include "base/metric.h"

#include <stdio.h>

METRIC_COUNTER(metric_sent, "jackfield_sip_registers_total", "REGISTER rounds started", NULL);
METRIC_COUNTER(metric_flow_lost, "jackfield_sip_register_flow_lost_total",
	       "Flows lost under a registration", NULL);
METRIC_GAUGE(metric_registered, "jackfield_sip_registered", "Profiles registered now", NULL);

#define ROUND_MS 40000 /* a REGISTER with its retries; the request layer gives up at 32 s */
#define BACKOFF_BASE_MS 30000
#define BACKOFF_MAX_MS 1800000
#define RETRY_AFTER_MAX 3600
#define AUTH_TRIES 5
#define RAISES 2

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

static bool reg_in(const struct reg *reg, enum registration_state state)
{
	return reg->fsm.state == (int)state;
}

static int64_t wall(const struct reg *reg)
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
	reg->changed_us = wall(reg);
	history_add(reg);
	reg_changed(reg);
}

static void go(struct reg *reg, enum registration_state state, uint16_t code, const char *reason)
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
static void wait_ms(struct reg *reg, uint32_t ms)
{
	fsm_deadline(&reg->fsm, ms);
	reg->next_us = wall(reg) + (int64_t)ms * 1000;
	reg_changed(reg);
}

/* ---- the flow ---- */

void reg_drop_flow(struct reg *reg)
{
	flow_watch_stop(&reg->watch);
	reg->flow = flow_unref(reg->flow);
}

static void flow_closed(struct flow_watch *watch, int errnum, void *arg)
{
	struct reg *reg = arg;

	(void)watch;
	(void)errnum;
	metric_add(&metric_flow_lost, 1);
	reg->flow_lost = true;
	fsm_send(&reg->fsm, REG_SIG_FLOW, NULL);
}

/* BEHAVIOUR 1: 24..29 s over UDP, 95..120 s over streams (RFC 5626 4.4). */
static void flow_keep(struct reg *reg, struct flow *flow)
{
	unsigned keepalive = flow_is_stream(flow) ? 95 + regs_random(reg->regs, 26)
						  : 24 + regs_random(reg->regs, 6);

	if (flow == reg->flow)
		return;
	reg_drop_flow(reg);
	reg->flow = flow_ref(flow);
	flow_watch_start(&reg->watch, flow, keepalive, flow_closed, reg);
}

/* ---- our address as they see it ---- */

/* RFC 3581: received and rport of our own Via. Only UDP has a port that others can send to. */
static void learn_address(struct reg *reg, const struct inmsg *in)
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

static uint32_t expires_asked(const struct reg *reg)
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
	outmsg_header(msg, "Expires", "%u", expires_asked(reg));
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
	outmsg_header(lines, "Contact", "<%s>;expires=%u", uri.data, expires_asked(reg));
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
	learn_address(arg,
		      in); /* so that the answer to the challenge has the right Contact at once */
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

static void send_register(struct reg *reg)
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

/* ---- 200 ---- */

struct contact_scan {
	const struct reg *reg;
	uint32_t expires; /* of ours */
	bool found, has_expires;
	unsigned others;
};

static bool contact_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct contact_scan *scan = arg;
	struct sip_addr addr;
	struct pl expires;

	(void)msg;
	if (parse_addr(&hdr->val, &addr))
		return false;
	if (pl_strcmp(&addr.uri.user, scan->reg->account->line)) {
		scan->others++;
		return scan->others > 100;
	}
	/* Matched by the token, not by the address: NAT and providers rewrite that one. */
	if (parse_param(&addr.params, "expires", &expires) &&
	    inmsg_u32(&expires, 86400 * 7, &scan->expires))
		scan->has_expires = true;
	scan->found = true;
	return false;
}

static uint32_t granted(struct reg *reg, const struct sip_msg *msg)
{
	struct contact_scan scan = { .reg = reg };
	uint32_t expires;

	(void)inmsg_each(msg, true, SIP_HDR_CONTACT, contact_header, &scan);
	reg->other_bindings = scan.others;
	if (scan.has_expires)
		return scan.expires;
	if (pl_isset(&msg->expires) && inmsg_u32(&msg->expires, 86400 * 7, &expires))
		return expires;
	return expires_asked(reg);
}

static bool route_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct account *account = arg;
	struct sip_addr addr;

	(void)msg;
	if (account->service_routes == ACCOUNT_ROUTES || hdr->val.l > 512)
		return true;
	if (!parse_addr(&hdr->val, &addr))
		account->service_route[account->service_routes++] =
			xstrndup(hdr->val.p, hdr->val.l);
	return false;
}

/* RFC 3608: as often as it comes, the new one stands. */
static void service_route_take(struct account *account, const struct sip_msg *msg)
{
	for (unsigned i = 0; i < account->service_routes; i++)
		free(account->service_route[i]);
	account->service_routes = 0;
	(void)inmsg_each(msg, true, SIP_HDR_SERVICE_ROUTE, route_header, account);
}

static uint32_t refresh_ms(struct reg *reg, uint32_t expires)
{
	uint32_t base = expires < 60 ? expires * 800 : (expires - 30) * 1000;
	uint32_t last = expires * 1000 - (expires < 100 ? expires * 100 : 10000);

	if (expires >= 60 && base < expires * 500)
		base = expires * 500;
	base = base - base / 20 + regs_random(reg->regs, base / 10 + 1);
	return base < last ? base : last;
}

static void stick(struct reg *reg, const struct inmsg *in)
{
	struct request *request = exchange_request(reg->exchange);
	const struct target *target = request ? request_target(request) : NULL;

	if (target && !reg->redirect) {
		reg->account->sticky = (struct way){ target->transport, target->addr };
		reg->account->has_sticky = true;
	}
	reg->registrar = *flow_remote(in->flow);
}

static void accepted(struct reg *reg, const struct inmsg *in)
{
	uint32_t expires = granted(reg, in->msg);
	auto_(free) char *used = xstrdup(reg->contact_now);
	bool moved;
	char words[REG_REASON_SIZE];

	stick(reg, in);
	service_route_take(reg->account, in->msg);
	flow_keep(reg, in->flow);
	learn_address(reg, in);
	reg->exchange = exchange_free(reg->exchange);
	reg->failures = reg->auth_failures = reg->raises = 0;
	free(take(reg->redirect));
	text_clean(words, sizeof(words), in->msg->reason.p, in->msg->reason.l);
	if (!expires) { /* it took the binding and threw it away */
		go(reg, REG_RETRY_WAIT, in->msg->scode, "Binding refused (expires 0)");
		wait_ms(reg, BACKOFF_BASE_MS);
		return;
	}
	reg->bound = true;
	reg->expires_us = wall(reg) + (int64_t)expires * 1000000;
	reg->moved = reg->moved || reg->flow_lost ||
		     (reg->contact_old && !str_eq(reg->contact_old, reg->contact_now));
	reg->flow_lost = false;
	free(reg->contact_old);
	reg->contact_old = xstrdup(reg->contact_now);
	if (!reg_in(reg, REG_REGISTERED))
		go(reg, REG_REGISTERED, in->msg->scode, words);
	/* Seen at another address than we told: tell the right one, once. */
	moved = reg->account->public_hostport && !flow_is_stream(in->flow) && used &&
		!strstr(used, reg->account->public_hostport);
	wait_ms(reg, moved ? 10 : refresh_ms(reg, expires));
}

/* ---- refusals ---- */

static uint32_t backoff_ms(struct reg *reg)
{
	uint32_t wait = reg->failures < 6 ? BACKOFF_BASE_MS << reg->failures : BACKOFF_MAX_MS;

	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	if (reg->failures < 100)
		reg->failures++;
	return wait / 2 + regs_random(reg->regs, wait / 2 + 1);
}

static uint32_t retry_after_ms(const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header(msg, SIP_HDR_RETRY_AFTER);
	struct pl digits;
	uint32_t seconds;

	if (!hdr)
		return 0;
	digits = hdr->val;
	for (digits.l = 0;
	     digits.l < hdr->val.l && digits.p[digits.l] >= '0' && digits.p[digits.l] <= '9';)
		digits.l++;
	if (!inmsg_u32(&digits, 1000000, &seconds) || !seconds)
		return 0;
	return (seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : seconds) * 1000;
}

static uint32_t auth_wait_ms(uint8_t failures)
{
	static const uint16_t minutes[] = { 1, 5, 15, 30 };
	size_t i = failures ? failures - 1u : 0;

	return minutes[i < ARRAY_LEN(minutes) ? i : ARRAY_LEN(minutes) - 1] * 60000u;
}

static void auth_failed(struct reg *reg, uint16_t code, const char *words)
{
	digest_jar_clear(reg->jar);
	reg->bound = false;
	reg_drop_flow(reg);
	go(reg, REG_AUTH_FAILED, code, words);
	if (++reg->auth_failures < AUTH_TRIES)
		wait_ms(reg,
			auth_wait_ms(
				reg->auth_failures)); /* at the limit it stays so until an edit */
}

static void rejected(struct reg *reg, uint16_t code, const char *words)
{
	reg->bound = false;
	reg_drop_flow(reg);
	go(reg, REG_REJECTED, code, words);
	if (reg->auth_failures < 100)
		reg->auth_failures++;
	wait_ms(reg, auth_wait_ms(reg->auth_failures));
}

static void retry_wait(struct reg *reg, uint16_t code, const char *words, uint32_t asked_ms)
{
	uint32_t wait = backoff_ms(reg);

	if (asked_ms)
		wait = asked_ms + regs_random(reg->regs, asked_ms / 10 + 1);
	go(reg, REG_RETRY_WAIT, code, words);
	wait_ms(reg, wait);
}

/* Goes once to where a 301 or 302 points. The policy on addresses is applied to it like to any other. */
static bool redirect(struct reg *reg, const struct inmsg *in)
{
	const struct sip_hdr *contact = inmsg_header(in->msg, SIP_HDR_CONTACT);
	struct sip_addr addr;
	struct hop hop;

	if (in->msg->scode < 301 || in->msg->scode > 302 || reg->redirect || !contact ||
	    parse_addr(&contact->val, &addr) || !hop_from_uri(&addr.uri, &hop))
		return false;
	hop.unverified = reg->account->unverified;
	reg->redirect = (void *)xmemdup(&hop, sizeof(hop));
	return true;
}

static bool interval_raise(struct reg *reg, const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header(msg, SIP_HDR_MIN_EXPIRES);
	uint32_t min;

	if (msg->scode != 423 || reg->raises >= RAISES || !hdr ||
	    !inmsg_u32(&hdr->val, 86400, &min) || min <= expires_asked(reg))
		return false;
	reg->raises++;
	reg->min_expires = min;
	return true;
}

static void auth_words(const struct reg *reg, int auth, const struct sip_msg *msg, char *words,
		       size_t size)
{
	const struct sip_hdr *challenge = inmsg_header(
		msg, msg->scode == 407 ? SIP_HDR_PROXY_AUTHENTICATE : SIP_HDR_WWW_AUTHENTICATE);
	char raw[64] = "none";

	(void)reg;
	if (auth != DIGEST_E_UNSUPPORTED) {
		text_clean(words, size, msg->reason.p, msg->reason.l);
		return;
	}
	if (challenge)
		text_clean(raw, sizeof(raw), challenge->val.p, challenge->val.l);
	snprintf(words, size, "Challenge not understood: %s", raw);
}

static void refused(struct reg *reg, const struct inmsg *in)
{
	uint16_t code = in->msg->scode;
	int auth = exchange_auth(reg->exchange);
	uint32_t asked = retry_after_ms(in->msg);
	char words[REG_REASON_SIZE];

	learn_address(reg, in);
	text_clean(words, sizeof(words), in->msg->reason.p, in->msg->reason.l);
	reg->registrar = *flow_remote(in->flow);
	if (redirect(reg, in) || interval_raise(reg, in->msg)) {
		send_register(reg);
		return;
	}
	if (code == 439 && !reg->plain) { /* RFC 5626 6: remembered */
		reg->plain = true;
		send_register(reg);
		return;
	}
	if (code == 401 || code == 407)
		auth_words(reg, auth, in->msg, words, sizeof(words));
	reg->exchange = exchange_free(reg->exchange);
	free(take(reg->redirect));
	if ((code == 401 || code == 407) && auth != DIGEST_E_LOOP)
		auth_failed(reg, code, words);
	else if (code == 403 || code == 404 || code == 410 || code == 604 || code == 603 ||
		 code == 600)
		rejected(reg, code, words);
	else
		retry_wait(reg, code, words, asked);
}

static void unsent(struct reg *reg, enum request_failure failure)
{
	enum resolve_outcome outcome =
		exchange_request(reg->exchange)
			? request_resolve_outcome(exchange_request(reg->exchange))
			: RESOLVE_OK;
	const struct flow *flow = exchange_request(reg->exchange)
					  ? request_flow(exchange_request(reg->exchange))
					  : NULL;
	const char *why = flow && *flow_why(flow) ? flow_why(flow)
						  : "Nothing answers at this server and port";
	char words[REG_REASON_SIZE];

	(void)re_snprintf(words, sizeof(words), "%s",
			  failure == REQUEST_TIMEOUT	  ? "No answer"
			  : failure == REQUEST_UNRESOLVED ? resolve_outcome_words(outcome)
			  : failure == REQUEST_TRANSPORT  ? why
							  : "The request cannot be sent");
	reg->exchange = exchange_free(reg->exchange);
	free(take(reg->redirect));
	reg->account->has_sticky = false; /* the next round looks at all of its targets */
	go(reg, REG_UNREACHABLE, failure == REQUEST_TIMEOUT ? 408 : 503, words);
	wait_ms(reg, backoff_ms(reg));
}

/* ---- the machine ---- */

static void begin(struct reg *reg)
{
	go(reg, REG_REGISTERING, reg->code, reg->reason);
	send_register(reg);
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
	go(reg, REG_UNREGISTERING, reg->code, reg->reason);
	send_register(reg);
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
			go(reg, REG_REGISTERED, 0, "Addresses known");
	} else if (signal == REG_SIG_TIMEOUT) {
		pace(reg);
	}
	/* the flow's loss changes nothing: the next REGISTER opens another */
}

static void answer_handle(struct reg *reg, int signal, void *data)
{
	if (signal == REG_SIG_OK)
		accepted(reg, data);
	else if (signal == REG_SIG_REFUSED)
		refused(reg, data);
	else
		unsent(reg, *(enum request_failure *)data);
}

static void registering_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct reg *reg = owner;
	enum request_failure late = REQUEST_TIMEOUT;

	(void)fsm;
	if (signal == REG_SIG_STOP)
		stop(reg);
	else if (signal == REG_SIG_TIMEOUT)
		unsent(reg, late);
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
			unsent(reg, REQUEST_TIMEOUT);
		} else {
			fsm_deadline(&reg->fsm, ROUND_MS);
			send_register(reg);
		}
		break;
	case REG_SIG_GO:
		if (!reg->account->registers)
			break;
		fsm_deadline(&reg->fsm, ROUND_MS);
		send_register(reg);
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
		go(reg, REG_DISABLED, reg->code, reg->reason);
}
