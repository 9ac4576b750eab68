/* REFER both ways with its implicit subscription (RFC 3515, 4488), and Replaces (RFC 3891). */
#include "sip/session_private.h"

#include <stdio.h>

#define NOTIFY_WAIT_MS 60000
#define TAKEN_LIMIT_MS 300000 /* a transfer that takes longer is not reported on any more */

bool session_replaces_value(const struct session *replaced, struct buf *out)
{
	const struct dialog *dialog = replaced->dialog;

	if (!dialog)
		return false;
	/* to-tag is the tag of whoever reads this: the far end's own (RFC 3891 3) */
	buf_addf(out, "%s;to-tag=%s;from-tag=%s", dialog_call_id(dialog), dialog_remote_tag(dialog),
		 dialog_local_tag(dialog));
	return !out->failed;
}

/* ---- ours ---- */

static void sent_end(struct session *session, uint16_t code, const char *reason)
{
	struct session_event event = {
		.type = SESSION_EV_REFER_STATE, .code = code, .reason = reason, .last = true
	};

	if (!session->refer_sent.open)
		return;
	session->refer_sent.open = false;
	timer_stop(&session->refer_sent.timer);
	session_emit(session, &event);
}

/* Accepted or not, never a word of how it went. */
static void sent_silence(struct timer *timer, void *arg)
{
	(void)timer;
	sent_end(arg, 202, "No progress reported");
}

static void refer_done(struct session *session, struct errand *errand, uint16_t code,
		       const struct inmsg *in)
{
	const struct sip_hdr *sub;

	(void)errand;
	if (code >= 300) {
		sent_end(session, code, NULL);
		if (code == 481 || (code == 408 && session_in(session, SESSION_UP)))
			fsm_send(&session->fsm, SIG_DEAD, NULL);
		return;
	}
	if (!session->refer_sent.open)
		return; /* a report was faster, and the last */
	session->refer_sent.accepted = true;
	sub = inmsg_header(in->msg, SIP_HDR_REFER_SUB);
	if (sub && !pl_strcasecmp(&sub->val, "false")) {
		sent_end(session, 202, NULL);
		return;
	}
	session_emit_code(session, SESSION_EV_REFER_STATE, 202, NULL);
}

static void escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			     (*text >= '0' && *text <= '9') || strchr("-_.!~*'()", *text);

		if (plain)
			buf_addc(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned char)*text);
	}
}

int session_refer(struct session *session, const char *to, const struct session *replaces,
		  const char *referred_by)
{
	auto_(buf_fini) struct buf lines = BUF_MAX(4096), value = BUF_MAX(1024);
	struct uri uri;
	struct pl pl;

	pl_set_str(&pl, to);
	if (!session_in(session, SESSION_UP) || session->refer_sent.open)
		return SESSION_E_STATE;
	if (strlen(to) > 512 || !str_is_clean_utf8(to, strlen(to)) || strpbrk(to, "<> \"?") ||
	    parse_uri(&pl, &uri) ||
	    (referred_by && !str_is_clean_utf8(referred_by, strlen(referred_by))))
		return SESSION_E_BAD;
	buf_addf(&lines, "Refer-To: <%s", to);
	if (replaces) {
		if (!session_replaces_value(replaces, &value))
			return SESSION_E_STATE;
		buf_adds(&lines, "?Replaces=");
		escaped(&lines, value.data);
	}
	buf_adds(&lines, ">\r\n");
	if (referred_by)
		buf_addf(&lines, "Referred-By: %s\r\n", referred_by);
	if (lines.failed || !errand_start(session, session->dialog, "REFER", lines.data,
					  SESSION_NO_BODY, refer_done))
		return SESSION_E_BAD;
	session->refer_sent.open = true;
	session->refer_sent.accepted = false;
	timer_init(&session->refer_sent.timer, session->ua->wheel, sent_silence, session);
	timer_start(&session->refer_sent.timer, NOTIFY_WAIT_MS);
	return 0;
}

/* "SIP/2.0 180 Ringing" */
static bool sipfrag_code(struct session_body body, uint16_t *ret_code, char *reason, size_t size)
{
	const char *text = body.data;
	struct pl digits;
	uint32_t code;
	size_t len = 0;

	if (!body.type || strncasecmp(body.type, "message/sipfrag", 15) || body.len < 12 ||
	    memcmp(text, "SIP/2.0 ", 8))
		return false;
	digits = (struct pl){ .p = text + 8, .l = 3 };
	if (!inmsg_u32(&digits, 699, &code) || code < 100)
		return false;
	while (12 + len < body.len && text[12 + len] != '\r' && text[12 + len] != '\n')
		len++;
	text_clean(reason, size, text + 12, len);
	*ret_code = (uint16_t)code;
	return true;
}

void session_notify_received(struct session *session, const struct inmsg *in)
{
	const struct sip_hdr *event_hdr = inmsg_header(in->msg, SIP_HDR_EVENT);
	const struct sip_hdr *state = inmsg_header(in->msg, SIP_HDR_SUBSCRIPTION_STATE);
	struct session_body body = message_body(in->msg);
	bool ours =
		event_hdr && event_hdr->val.l >= 5 && !strncasecmp(event_hdr->val.p, "refer", 5);
	bool over = state && state->val.l >= 10 && !strncasecmp(state->val.p, "terminated", 10);
	struct strans *st;
	char reason[64] = "";
	uint16_t code = 0;

	if (strans_new(in, &session_strans_quiet, NULL, &st))
		return;
	strans_answer(st, !ours ? 489 : session->refer_sent.open ? 200 : 481, NULL);
	if (!ours || !session->refer_sent.open)
		return;
	if (!sipfrag_code(body, &code, reason, sizeof(reason)))
		code = over ? 408 : 100;
	if (code >= 200 || over) {
		sent_end(session, code, reason);
	} else {
		timer_start(&session->refer_sent.timer, NOTIFY_WAIT_MS * 3);
		session_emit_code(session, SESSION_EV_REFER_STATE, code, reason);
	}
}

/* ---- theirs ---- */

static void taken_end(struct strans *st, enum trans_end end, void *arg)
{
	struct session *session = arg;

	(void)end;
	if (session->refer_taken.st == st)
		session->refer_taken.st = NULL;
}

static void taken_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	(void)st;
	(void)cancel;
	(void)arg;
}

static const struct strans_handlers taken_handlers = { taken_cancel, taken_end };

/* Refer-To's `Replaces=` header, unescaped. */
static void replaces_of(const struct pl *headers, char *dst, size_t size)
{
	struct pl value;
	size_t n = 0;

	dst[0] = 0;
	if (!parse_uri_header(headers, "Replaces", &value))
		return;
	for (size_t i = 0; i < value.l && n + 1 < size; i++) {
		struct pl hex = { .p = value.p + i + 1, .l = 2 };
		char c = value.p[i];

		if (c == '%' && i + 2 < value.l) {
			c = (char)pl_x32(&hex);
			i += 2;
		}
		if ((unsigned char)c >= 0x20 && (unsigned char)c < 0x7f)
			dst[n++] = c;
	}
	dst[n] = 0;
}

static void taken_late(struct timer *timer, void *arg)
{
	struct session *session = arg;

	(void)timer;
	if (session->refer_taken.st)
		session_refer_reply(session, 603);
	session_refer_notify(session, 408, NULL);
}

static bool refer_busy(const struct session *session)
{
	return !session_in(session, SESSION_UP) || session->refer_taken.st ||
	       session->refer_taken.subscribed;
}

void session_refer_received(struct session *session, const struct inmsg *in)
{
	const struct sip_hdr *to = inmsg_header(in->msg, SIP_HDR_REFER_TO);
	const struct sip_hdr *by = inmsg_header(in->msg, SIP_HDR_REFERRED_BY);
	const struct sip_hdr *sub = inmsg_header(in->msg, SIP_HDR_REFER_SUB);
	char target[512], number[128], referred_by[512] = "", replaces[512];
	struct session_refer refer = { .to = target,
				       .number = number,
				       .referred_by = referred_by,
				       .replaces_value = replaces };
	struct session_event event = { .type = SESSION_EV_REFER, .refer = &refer };
	struct sip_addr addr;
	struct strans *st;
	struct pl whole;

	if (strans_new(in, &taken_handlers, session, &st))
		return;
	if (!to || to->val.l > 1024 || parse_addr(&to->val, &addr) ||
	    inmsg_count(in->msg, SIP_HDR_REFER_TO) != 1 || refer_busy(session)) {
		strans_answer(st, refer_busy(session) ? 491 : 400, NULL);
		strans_detach(st);
		return;
	}
	replaces_of(&addr.uri.headers, replaces, sizeof(replaces));
	whole = addr.auri;
	if (pl_isset(&addr.uri.headers) && addr.uri.headers.p > whole.p)
		whole.l = (size_t)(addr.uri.headers.p - whole.p);
	while (whole.l && whole.p[whole.l - 1] == '?')
		whole.l--;
	text_clean(target, sizeof(target), whole.p, whole.l);
	user_copy(number, sizeof(number), &addr.uri.user);
	if (by)
		text_clean(referred_by, sizeof(referred_by), by->val.p, by->val.l);
	refer.replaces = ua_replaced(session->ua, replaces);
	refer.no_subscription = sub && !pl_strcasecmp(&sub->val, "false");
	session->refer_taken.st = st;
	session->refer_taken.silent = refer.no_subscription;
	session->refer_taken.id = in->msg->cseq.num;
	session->refer_taken.last = 0;
	timer_init(&session->refer_taken.timer, session->ua->wheel, taken_late, session);
	timer_start(&session->refer_taken.timer, SESSION_OFFER_MS);
	session_emit(session, &event);
}

void session_refer_reply(struct session *session, uint16_t code)
{
	struct strans *st = take(session->refer_taken.st);
	struct outmsg *reply;

	if (!st)
		return;
	code = code < 200 || code > 699 ? 603 : code;
	reply = session_reply_new(session, st, code);
	if (session->refer_taken.silent && code < 300)
		outmsg_header(reply, "Refer-Sub", "false");
	if (strans_reply(st, reply))
		strans_answer(st, 500, NULL);
	mem_deref(reply);
	strans_detach(st);
	timer_stop(&session->refer_taken.timer);
	if (code < 300 && !session->refer_taken.silent) {
		session->refer_taken.subscribed = true;
		timer_start(&session->refer_taken.timer, TAKEN_LIMIT_MS);
		session_refer_notify(session, 100,
				     NULL); /* the subscription's first word (RFC 3515 2.4.4) */
	}
}

static void notified(struct session *session, struct errand *errand, uint16_t code,
		     const struct inmsg *in)
{
	(void)errand;
	(void)in;
	if (code == 481) { /* they do not want to know */
		session->refer_taken.subscribed = false;
		timer_stop(&session->refer_taken.timer);
	}
}

void session_refer_notify(struct session *session, uint16_t code, const char *reason)
{
	bool last = code >= 200;
	char lines[160], frag[160], phrase[96];
	struct session_body body = { .type = "message/sipfrag;version=2.0", .data = frag };

	if (!session->refer_taken.subscribed || !session_in(session, SESSION_UP) || code < 100 ||
	    code > 699)
		return;
	if (!last && code == session->refer_taken.last)
		return;
	session->refer_taken.last = code;
	text_clean(phrase, sizeof(phrase), reason ? reason : outmsg_reason(code),
		   strlen(reason ? reason : outmsg_reason(code)));
	snprintf(frag, sizeof(frag), "SIP/2.0 %u %s\r\n", code, phrase);
	body.len = strlen(frag);
	snprintf(lines, sizeof(lines), "Event: refer;id=%u\r\nSubscription-State: %s\r\n",
		 session->refer_taken.id,
		 last ? "terminated;reason=noresource" : "active;expires=60");
	if (last) {
		session->refer_taken.subscribed = false;
		timer_stop(&session->refer_taken.timer);
	}
	(void)errand_start(session, session->dialog, "NOTIFY", lines, body, notified);
}

void session_refer_fini(struct session *session)
{
	timer_stop(&session->refer_taken.timer);
	if (session->refer_taken.st) {
		strans_answer(session->refer_taken.st, 481, NULL);
		strans_detach(session->refer_taken.st);
		session->refer_taken.st = NULL;
	}
	session->refer_taken.subscribed = false;
	/* A BYE after 202 leaves it unknown how it went: no word within the minute either way. */
	sent_end(session, session->refer_sent.accepted ? 202 : 487, "Call ended");
}
