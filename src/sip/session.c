/* A session's life. What comes from the wire goes through the machine below; what the user asks for is checked
 * against the state and done at once. Events to the user are the last thing that is done each time, because the
 * user may answer with anything, hanging up included.
 */
#include "sip/session_private.h"

#include "base/metric.h"

#include <stdio.h>

METRIC_COUNTER(metric_no_ack, "jackfield_sip_lost_ack_total", "Answers whose ACK never came", NULL);
METRIC_COUNTER(metric_late, "jackfield_sip_late_answers_total", "Answers that crossed our CANCEL",
	       NULL);
METRIC_GAUGE(metric_sessions, "jackfield_sip_sessions", "Sessions alive", NULL);

bool session_in(const struct session *session, enum session_state state)
{
	return session->fsm.state == (int)state;
}

bool session_alive(const struct session *session)
{
	return !session_in(session, SESSION_LEAVING) && !session_in(session, SESSION_ENDED);
}

/* ---- events ---- */

void session_emit(struct session *session, struct session_event *event)
{
	if (!event->reason)
		event->reason = "";
	if (session->fn && !session->forgotten && !session->told_end)
		session->fn(session, event, session->arg);
}

void session_emit_code(struct session *session, enum session_event_type type, uint16_t code,
		       const char *reason)
{
	struct session_event event = { .type = type, .code = code, .reason = reason };

	session_emit(session, &event);
}

void session_end_set(struct session *session, enum session_side by, enum session_outcome outcome,
		     uint16_t code, const char *text)
{
	if (session->end.code)
		return; /* the cause is written once */
	session->end.by = by;
	session->end.outcome = outcome;
	session->end.code = code;
	if (!session->end.q850)
		session->end.q850 = session_q850_of(code);
	if (text && *text)
		text_clean(session->end.text, sizeof(session->end.text), text, strlen(text));
	else if (!session->end.text[0])
		str_copy(session->end.text, sizeof(session->end.text), outmsg_reason(code));
}

/* A Reason header of theirs says more than our table. */
static void end_from_message(struct session *session, const struct sip_msg *msg)
{
	uint16_t q850;

	if (session->end.code)
		return;
	(void)reason_read(msg, &q850, session->end.text, sizeof(session->end.text));
	if (q850)
		session->end.q850 = q850;
}

/* ---- leaving ---- */

static void gone(struct session *session, struct errand *errand, uint16_t code,
		 const struct inmsg *in)
{
	(void)errand;
	(void)code;
	(void)in;
	fsm_send(&session->fsm, SIG_GONE, NULL);
}

void session_bye(struct session *session, const char *reason_line)
{
	struct errand *errand;

	if (session->ack_owed) /* a 2xx is acknowledged whatever becomes of the call */
		session_ack(session, session->dialog, session->ack_cseq, session->ack_credentials,
			    SESSION_NO_BODY);
	fsm_go(&session->fsm, SESSION_LEAVING);
	session_offer_fini(session);
	session_timer_fini(session);
	session_refer_fini(session);
	while (session->errand_count >= SESSION_ERRANDS)
		errand_drop(session->errands); /* nothing matters more than BYE */
	errand = errand_start(session, session->dialog, "BYE", reason_line, SESSION_NO_BODY, gone);
	bug_on(!errand);
}

void session_finish(struct session *session)
{
	if (!session_in(session, SESSION_ENDED))
		fsm_go(&session->fsm, SESSION_ENDED);
}

static void ended_enter(struct fsm *fsm, void *owner)
{
	struct session *session = owner;
	struct session_event event = { .type = SESSION_EV_END, .end = &session->end };

	(void)fsm;
	session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 500, NULL);
	if (session->dialog && session->was_up)
		ua_ended(session->ua, session->dialog);
	session->end.answered = session->was_up && !session->late;
	session_offer_fini(session);
	session_timer_fini(session);
	session_refer_fini(session);
	session_in_fini(session);
	session_out_fini(session);
	errand_free_all(session);
	if (session->late)
		metric_add(&metric_late, 1);
	timer_start(&session->reap, 0);
	event.code = session->end.code;
	event.reason = session->end.text;
	session_emit(session, &event);
	session->told_end = true;
}

void session_free(struct session *session)
{
	session->forgotten = true;
	*session->pprev = session->next;
	if (session->next)
		session->next->pprev = session->pprev;
	session->ua->session_count--;
	metric_add(&metric_sessions, -1);
	timer_stop(&session->reap);
	session_offer_fini(session);
	session_timer_fini(session);
	session_refer_fini(session);
	session_in_fini(session);
	session_out_fini(session);
	errand_free_all(session);
	fsm_fini(&session->fsm);
	dialog_free(session->dialog);
	mem_deref(session->ack);
	free(session->ack_credentials);
	free(session->allow);
	free(session->call_id);
	free(session->from);
	free(session->to);
	free(session->target);
	free(session->routes);
	free(session->id_lines);
	free(session->shown_line);
	free(session->extra_lines);
	saved_body_fini(&session->offer);
	saved_body_fini(&session->local_sdp);
	saved_body_fini(&session->remote_sdp);
	digest_jar_free(session->jar);
	account_unref(session->account);
	free(session);
}

void session_free_all(struct ua *ua)
{
	while (ua->sessions)
		session_free(ua->sessions);
}

static void reap_fn(struct timer *timer, void *arg)
{
	(void)timer;
	session_free(arg);
}

/* ---- up ---- */

void session_up(struct session *session)
{
	session->was_up = true;
	fsm_go(&session->fsm, SESSION_UP);
}

void session_checked(struct session *session, struct errand *errand, uint16_t code,
		     const struct inmsg *in)
{
	(void)errand;
	(void)in;
	if (code == 408 || code == 481)
		fsm_send(&session->fsm, SIG_DEAD, NULL);
}

void session_check(struct session *session)
{
	(void)errand_start(session, session->dialog, "OPTIONS", NULL, SESSION_NO_BODY,
			   session_checked);
}

/* Half an hour without a word: is it still there? Only silence or "no such call" ends it. */
static void up_check(struct session *session)
{
	fsm_deadline(&session->fsm, SESSION_CHECK_MS);
	if (!session->se)
		session_check(session);
}

/* ---- the machine ---- */

static void answer_quiet(const struct inmsg *in, uint16_t code)
{
	struct strans *st;

	if (!strans_new(in, &session_strans_quiet, NULL, &st))
		strans_answer(st, code, NULL);
}

static void handle_bye(struct session *session, const struct inmsg *in)
{
	answer_quiet(in, 200);
	end_from_message(session, in->msg);
	session_end_set(session, SESSION_BY_THEM, SESSION_COMPLETED, 200, session->end.text);
	session_finish(session);
}

static void calling_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;

	(void)fsm;
	switch (signal) {
	case SIG_TIMEOUT:
		session_end_set(session, SESSION_BY_US, SESSION_TIMED_OUT, 408, "No answer");
		session_out_cancel(session, "Q.850;cause=19;text=\"No answer\"");
		break;
	case SIG_PROVISIONAL:
		session_out_provisional(session, data);
		break;
	case SIG_ACCEPTED:
		session_out_accepted(session, data);
		break;
	case SIG_REJECTED:
		end_from_message(session, ((const struct inmsg *)data)->msg);
		session_out_rejected(session, data);
		break;
	case SIG_UNSENT:
		session_out_unsent(session, *(enum request_failure *)data);
		break;
	default:
		break;
	}
}

static void cancelling_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;

	(void)fsm;
	switch (signal) {
	case SIG_ACCEPTED:
		session_out_late(session, data);
		break;
	case SIG_REJECTED: /* 487, or whatever they said first */
	case SIG_UNSENT:
	case SIG_TIMEOUT:
		session_finish(session);
		break;
	default:
		break;
	}
}

static void ringing_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;
	const struct inmsg *in = data;
	uint16_t q850;
	bool elsewhere;

	(void)fsm;
	switch (signal) {
	case SIG_TIMEOUT:
		session_end_set(session, SESSION_BY_US, SESSION_TIMED_OUT, 480, "No answer");
		session_in_final(session, 480, NULL, NULL);
		session_finish(session);
		break;
	case SIG_CANCEL:
	case SIG_BYE: /* a caller may end an early dialog that way (15) */
		elsewhere =
			reason_read(in->msg, &q850, session->end.text, sizeof(session->end.text));
		session->end.q850 = q850;
		session_end_set(session, SESSION_BY_THEM,
				elsewhere ? SESSION_ELSEWHERE : SESSION_CANCELED, 487,
				session->end.text);
		if (signal == SIG_BYE)
			answer_quiet(in, 200);
		session_in_final(session, 487, NULL, NULL);
		session_finish(session);
		break;
	case SIG_NO_ACK: /* the transaction broke before an answer */
		session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 503,
				"Connection lost");
		session_finish(session);
		break;
	default:
		break;
	}
}

static void answering_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;

	(void)fsm;
	switch (signal) {
	case SIG_ACK:
		session_in_ack(session, data);
		break;
	case SIG_NO_ACK: /* 13.3.1.4 */
	case SIG_TIMEOUT:
		metric_add(&metric_no_ack, 1);
		session_end_set(session, SESSION_BY_NETWORK, SESSION_TIMED_OUT, 408, "No ACK");
		session->end.q850 = 102;
		session_bye(session, "Reason: Q.850;cause=102;text=\"No ACK\"\r\n");
		break;
	case SIG_BYE:
		handle_bye(session, data);
		break;
	case SIG_CANCEL: /* too late, no effect */
	default:
		break;
	}
}

static void up_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;

	(void)fsm;
	switch (signal) {
	case SIG_TIMEOUT:
		up_check(session);
		break;
	case SIG_BYE:
		handle_bye(session, data);
		break;
	case SIG_DEAD:
		session_end_set(session, SESSION_BY_NETWORK, SESSION_TIMED_OUT, 408,
				"The other side is gone");
		session->end.q850 = 102;
		session_bye(session,
			    "Reason: Q.850;cause=102;text=\"Recovery on timer expiry\"\r\n");
		break;
	case SIG_NO_ACK: /* to our answer of a re-INVITE */
		metric_add(&metric_no_ack, 1);
		session_end_set(session, SESSION_BY_NETWORK, SESSION_TIMED_OUT, 408, "No ACK");
		session->end.q850 = 102;
		session_bye(session, "Reason: Q.850;cause=102;text=\"No ACK\"\r\n");
		break;
	default:
		break;
	}
}

static void leaving_handle(struct fsm *fsm, void *owner, int signal, void *data)
{
	struct session *session = owner;

	(void)fsm;
	if (signal == SIG_BYE) /* both at once */
		answer_quiet(data, 200);
	if (signal == SIG_BYE || signal == SIG_GONE || signal == SIG_TIMEOUT)
		session_finish(session);
}

#define EV(name) FSM_BIT(SIG_##name)
#define ST(name) FSM_BIT(SESSION_##name)

static const struct fsm_state session_states[SESSION_STATES] = {
	[SESSION_CALLING] = {
		.name = "CALLING",
		.timeout_ms = SESSION_SETUP_MS,
		.handle = calling_handle,
		.accepts = EV(TIMEOUT) | EV(PROVISIONAL) | EV(ACCEPTED) | EV(REJECTED) | EV(UNSENT),
		.leads_to = ST(PROCEEDING) | ST(CANCELLING) | ST(UP) | ST(LEAVING) | ST(ENDED),
	},
	[SESSION_PROCEEDING] = {
		.name = "PROCEEDING",
		.timeout_ms = SESSION_SETUP_MS,
		.handle = calling_handle,
		.accepts = EV(TIMEOUT) | EV(PROVISIONAL) | EV(ACCEPTED) | EV(REJECTED) | EV(UNSENT),
		.leads_to = ST(CANCELLING) | ST(UP) | ST(LEAVING) | ST(ENDED),
	},
	[SESSION_CANCELLING] = {
		.name = "CANCELLING",
		.timeout_ms = SESSION_LEAVE_MS,
		.handle = cancelling_handle,
		.accepts = EV(TIMEOUT) | EV(PROVISIONAL) | EV(ACCEPTED) | EV(REJECTED) | EV(UNSENT),
		.leads_to = ST(LEAVING) | ST(ENDED),
	},
	[SESSION_RINGING] = {
		.name = "RINGING",
		.timeout_ms = SESSION_SETUP_MS,
		.handle = ringing_handle,
		.accepts = EV(TIMEOUT) | EV(CANCEL) | EV(BYE) | EV(NO_ACK),
		.leads_to = ST(ANSWERING) | ST(ENDED),
	},
	[SESSION_ANSWERING] = {
		.name = "ANSWERING",
		.timeout_ms = SESSION_LEAVE_MS,
		.handle = answering_handle,
		.accepts = EV(TIMEOUT) | EV(ACK) | EV(NO_ACK) | EV(BYE) | EV(CANCEL),
		.leads_to = ST(UP) | ST(LEAVING) | ST(ENDED),
	},
	[SESSION_UP] = {
		.name = "UP",
		.timeout_ms = SESSION_CHECK_MS,
		.handle = up_handle,
		.accepts = EV(TIMEOUT) | EV(BYE) | EV(DEAD) | EV(NO_ACK),
		.leads_to = ST(LEAVING) | ST(ENDED),
	},
	[SESSION_LEAVING] = {
		.name = "LEAVING",
		.timeout_ms = SESSION_LEAVE_MS,
		.handle = leaving_handle,
		.accepts = EV(TIMEOUT) | EV(BYE) | EV(GONE) | EV(NO_ACK) | EV(ACCEPTED) | EV(DEAD),
		.leads_to = ST(ENDED),
	},
	[SESSION_ENDED] = { .name = "ENDED", .enter = ended_enter },
};

static const char *const signal_names[] = { "TIMEOUT", "PROVISIONAL", "ACCEPTED", "REJECTED",
					    "UNSENT",  "CANCEL",      "ACK",	  "NO_ACK",
					    "BYE",     "GONE",	      "DEAD",	  NULL };

static const struct fsm_table session_table = {
	.name = "session",
	.states = session_states,
	.state_count = SESSION_STATES,
	.event_names = signal_names,
};
FSM_REGISTER(session_table);

struct session *session_new(struct ua *ua, bool outgoing, enum session_state state)
{
	struct session *session = xzalloc(sizeof(*session));

	session->ua = ua;
	session->outgoing = outgoing;
	session->jar = digest_jar_new();
	session->min_se = ua->setup.min_se;
	timer_init(&session->reap, ua->wheel, reap_fn, session);
	session->next = ua->sessions;
	session->pprev = &ua->sessions;
	if (session->next)
		session->next->pprev = &session->next;
	ua->sessions = session;
	ua->session_count++;
	metric_add(&metric_sessions, 1);
	fsm_init(&session->fsm, &session_table, session, ua->wheel, (int)state);
	return session;
}

/* ---- requests of theirs inside the dialog ---- */

static void quiet_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	(void)cancel;
	(void)arg;
	strans_answer(st, 487, NULL);
}

static void quiet_end(struct strans *st, enum trans_end end, void *arg)
{
	(void)st;
	(void)end;
	(void)arg;
}

const struct strans_handlers session_strans_quiet = { quiet_cancel, quiet_end };

static void answer_with(struct session *session, const struct inmsg *in, uint16_t code)
{
	struct strans *st;
	struct outmsg *reply;

	if (strans_new(in, &session_strans_quiet, NULL, &st))
		return;
	reply = session_reply_new(session, st, code);
	(void)!strans_reply(st, reply);
	mem_deref(reply);
}

static void info_received(struct session *session, const struct inmsg *in)
{
	struct session_event event = { .type = SESSION_EV_INFO, .body = message_body(in->msg) };

	answer_quiet(in, 200);
	session_emit(session, &event);
}

static void ack_received(struct session *session, const struct inmsg *in)
{
	if (session->reinvite_st && in->msg->cseq.num == session->reinvite_cseq)
		session_offer_ack(session, in);
	else if (session_in(session, SESSION_ANSWERING) &&
		 in->msg->cseq.num == session->invite_cseq)
		fsm_send(&session->fsm, SIG_ACK, (void *)(uintptr_t)in);
}

static void bye_received(struct session *session, struct dialog *dialog, const struct inmsg *in)
{
	if (session_fork_gone(session, dialog)) {
		answer_quiet(in, 200);
		return;
	}
	fsm_send(&session->fsm, SIG_BYE, (void *)(uintptr_t)in);
}

void session_on_request(struct dialog *dialog, const struct inmsg *in, void *arg)
{
	struct session *session = arg;
	const struct sip_msg *msg = in->msg;

	if (inmsg_is(msg, "ACK"))
		ack_received(session, in);
	else if (session_in(session, SESSION_ENDED))
		answer_quiet(in, 481);
	else if (inmsg_is(msg, "BYE"))
		bye_received(session, dialog, in);
	else if (!session_alive(session))
		answer_quiet(in, 481);
	else if (mbuf_get_left(msg->mb) > SESSION_BODY_MAX)
		answer_quiet(in, 413);
	else if (inmsg_is(msg, "INVITE") || inmsg_is(msg, "UPDATE"))
		session_offer_received(session, in);
	else if (inmsg_is(msg, "PRACK"))
		session_in_prack(session, in);
	else if (inmsg_is(msg, "INFO"))
		info_received(session, in);
	else if (inmsg_is(msg, "REFER"))
		session_refer_received(session, in);
	else if (inmsg_is(msg, "NOTIFY"))
		session_notify_received(session, in);
	else
		answer_with(session, in, inmsg_is(msg, "OPTIONS") ? 200 : 405);
}

/* ---- what several files need ---- */

struct session_body message_body(const struct sip_msg *msg)
{
	static char type[128];
	size_t len = mbuf_get_left(msg->mb);

	if (!len || len > SESSION_BODY_MAX || !pl_isset(&msg->ctyp.type))
		return SESSION_NO_BODY;
	/* lives until the next call: whoever keeps a body copies it */
	snprintf(type, sizeof(type), "%.*s/%.*s%.*s", (int)msg->ctyp.type.l, msg->ctyp.type.p,
		 (int)msg->ctyp.subtype.l, msg->ctyp.subtype.p, (int)msg->ctyp.params.l,
		 msg->ctyp.params.l ? msg->ctyp.params.p : "");
	return (struct session_body){ .type = type, .data = mbuf_buf(msg->mb), .len = len };
}

static bool allow_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct buf *text = arg;

	(void)msg;
	buf_addf(text, "%s%.*s", text->len ? "," : "", (int)hdr->val.l, hdr->val.p);
	return text->failed;
}

void session_take_caps(struct session *session, const struct sip_msg *msg)
{
	auto_(buf_fini) struct buf text = BUF_MAX(512);

	(void)inmsg_each(msg, true, SIP_HDR_ALLOW, allow_header, &text);
	if (text.len && !text.failed) {
		free(session->allow);
		session->allow = xstrdup(text.data);
	}
	if (inmsg_header(msg, SIP_HDR_SUPPORTED) || inmsg_header(msg, SIP_HDR_REQUIRE)) {
		session->their_timer = inmsg_has_token(msg, SIP_HDR_SUPPORTED, "timer") ||
				       inmsg_has_token(msg, SIP_HDR_REQUIRE, "timer");
		session->their_100rel = inmsg_has_token(msg, SIP_HDR_SUPPORTED, "100rel") ||
					inmsg_has_token(msg, SIP_HDR_REQUIRE, "100rel");
	}
}

bool session_peer_allows(const struct session *session, const char *method)
{
	size_t len = strlen(method);
	const char *at = session->allow;

	if (!at)
		return true;
	while (*at) {
		size_t n = strcspn(at, ", \t");

		if (n == len && !strncasecmp(at, method, n))
			return true;
		at += n;
		at += strspn(at, ", \t");
	}
	return false;
}

void session_common_lines(const struct session *session, struct buf *out)
{
	/* A reliable 1xx to an INVITE without offer would bring one, to be answered in PRACK: not asked for. */
	bool no_100rel = session->outgoing && !session->dialog && !session->offer.type;

	buf_adds(out, "Allow: ");
	buf_adds(out, stack_allowed(session->ua->stack));
	buf_adds(out, "\r\nSupported: ");
	buf_adds(out, no_100rel ? "timer, replaces" : stack_supported(session->ua->stack));
	buf_adds(out, "\r\n");
}

/* A reply that stands for the session: with Contact (2xx and 1xx), Allow and Supported. */
struct outmsg *session_reply_new(struct session *session, struct strans *st, uint16_t code)
{
	struct outmsg *reply = outmsg_reply(strans_request(st), code, NULL, NULL, code < 300);
	auto_(buf_fini) struct buf lines = BUF_MAX(1024);

	if (code >= 300 && code != 405)
		return reply;
	if (code < 300)
		session_contact(session, strans_flow(st), reply);
	session_common_lines(session, &lines);
	outmsg_add_lines(reply, lines.data);
	return reply;
}

void session_contact(struct session *session, const struct flow *flow, struct outmsg *lines)
{
	auto_(buf_fini) struct buf uri = BUF_MAX(512);

	if (session->account)
		account_contact_uri(session->account, flow, &uri);
	else
		buf_addf(&uri, "sip:jackfield@%s%s", flow_sent_by(flow), flow_uri_param(flow));
	outmsg_header(lines, "Contact", "<%s>", uri.data);
}
