/* What a registrar's answer means: a binding and how long it lasts, or what was refused and when to try again.
 * RFC 3261 10.2, RFC 3608, RFC 5626.
 */
#include "sip/register_private.h"

#include "base/metric.h"

#include <stdio.h>

METRIC_COUNTER(metric_flow_lost, "jackfield_sip_register_flow_lost_total",
	       "Flows lost under a registration", NULL);

#define BACKOFF_BASE_MS 30000
#define BACKOFF_MAX_MS 1800000
#define RETRY_AFTER_MAX 3600
#define AUTH_TRIES 5
#define RAISES 2
#define REWRITTEN_MIN_S 30

/* ---- the flow ---- */

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

/* ---- 200 ---- */

struct contact_scan {
	const struct reg *reg;
	uint32_t expires; /* of ours */
	bool found, has_expires;
	unsigned others;
	uint32_t shortest; /* of the others, REWRITTEN_MIN_S at least; 0: none says */
};

static void other_take(struct contact_scan *scan, const struct sip_addr *addr)
{
	struct pl text;
	uint32_t expires;

	scan->others++;
	if (!parse_param(&addr->params, "expires", &text) || !inmsg_u32(&text, 86400 * 7, &expires))
		return;
	if (expires < REWRITTEN_MIN_S)
		expires = REWRITTEN_MIN_S;
	if (!scan->shortest || expires < scan->shortest)
		scan->shortest = expires;
}

static bool contact_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct contact_scan *scan = arg;
	struct sip_addr addr;
	struct pl expires;

	(void)msg;
	if (parse_addr(&hdr->val, &addr))
		return false;
	if (pl_strcmp(&addr.uri.user, scan->reg->account->line)) {
		other_take(scan, &addr);
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
	if (!pl_isset(&msg->expires) || !inmsg_u32(&msg->expires, 86400 * 7, &expires))
		expires = reg_expires_asked(reg);
	/* Ours may be one of them, under a name that a border controller gave it. */
	if (!scan.found && scan.shortest && scan.shortest < expires)
		return scan.shortest;
	return expires;
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

void reg_accepted(struct reg *reg, const struct inmsg *in)
{
	uint32_t expires = granted(reg, in->msg);
	auto_(free) char *used = xstrdup(reg->contact_now);
	bool moved;
	char words[REG_REASON_SIZE];

	stick(reg, in);
	service_route_take(reg->account, in->msg);
	flow_keep(reg, in->flow);
	reg_learn_address(reg, in);
	reg->exchange = exchange_free(reg->exchange);
	reg->failures = reg->auth_failures = reg->raises = 0;
	free(take(reg->redirect));
	text_clean(words, sizeof(words), in->msg->reason.p, in->msg->reason.l);
	if (!expires) { /* it took the binding and threw it away */
		reg_go(reg, REG_RETRY_WAIT, in->msg->scode, "Binding refused (expires 0)");
		reg_wait(reg, BACKOFF_BASE_MS);
		return;
	}
	reg->bound = true;
	reg->expires_us = reg_wall(reg) + (int64_t)expires * 1000000;
	reg->moved = reg->moved || reg->flow_lost ||
		     (reg->contact_old && !str_eq(reg->contact_old, reg->contact_now));
	reg->flow_lost = false;
	free(reg->contact_old);
	reg->contact_old = xstrdup(reg->contact_now);
	if (!reg_in(reg, REG_REGISTERED))
		reg_go(reg, REG_REGISTERED, in->msg->scode, words);
	/* Seen at another address than we told: tell the right one, once. */
	moved = reg->account->public_hostport && !flow_is_stream(in->flow) && used &&
		!strstr(used, reg->account->public_hostport);
	reg_wait(reg, moved ? 10 : refresh_ms(reg, expires));
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
	reg_go(reg, REG_AUTH_FAILED, code, words);
	if (++reg->auth_failures < AUTH_TRIES)
		reg_wait(reg,
			 auth_wait_ms(
				 reg->auth_failures)); /* at the limit it stays so until an edit */
}

static void rejected(struct reg *reg, uint16_t code, const char *words)
{
	reg->bound = false;
	reg_drop_flow(reg);
	reg_go(reg, REG_REJECTED, code, words);
	if (reg->auth_failures < 100)
		reg->auth_failures++;
	reg_wait(reg, auth_wait_ms(reg->auth_failures));
}

static void retry_wait(struct reg *reg, uint16_t code, const char *words, uint32_t asked_ms)
{
	uint32_t wait = backoff_ms(reg);

	if (asked_ms)
		wait = asked_ms + regs_random(reg->regs, asked_ms / 10 + 1);
	reg_go(reg, REG_RETRY_WAIT, code, words);
	reg_wait(reg, wait);
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
	    !inmsg_u32(&hdr->val, 86400, &min) || min <= reg_expires_asked(reg))
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

void reg_refused(struct reg *reg, const struct inmsg *in)
{
	uint16_t code = in->msg->scode;
	int auth = exchange_auth(reg->exchange);
	uint32_t asked = retry_after_ms(in->msg);
	char words[REG_REASON_SIZE];

	reg_learn_address(reg, in);
	text_clean(words, sizeof(words), in->msg->reason.p, in->msg->reason.l);
	reg->registrar = *flow_remote(in->flow);
	if (redirect(reg, in) || interval_raise(reg, in->msg)) {
		reg_send(reg);
		return;
	}
	if (code == 439 && !reg->plain) { /* RFC 5626 6: remembered */
		reg->plain = true;
		reg_send(reg);
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

void reg_unsent(struct reg *reg, enum request_failure failure)
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
	reg_go(reg, REG_UNREACHABLE, failure == REQUEST_TIMEOUT ? 408 : 503, words);
	reg_wait(reg, backoff_ms(reg));
}
