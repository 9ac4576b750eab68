/* The called side: provisionals (reliable ones too, RFC 3262), the final answer, its ACK. */
#include "sip/session_private.h"

#include <stdio.h>

#define RELIABLE_T1 500

/* ---- the INVITE's transaction ---- */

static void on_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	struct session *session = arg;

	(void)st;
	fsm_send(&session->fsm, SIG_CANCEL, (void *)(uintptr_t)cancel);
}

static void on_end(struct strans *st, enum trans_end end, void *arg)
{
	struct session *session = arg;

	(void)st;
	session->invite_st = NULL;
	if (end != TRANS_DONE &&
	    (session_in(session, SESSION_RINGING) || session_in(session, SESSION_ANSWERING)))
		fsm_send(&session->fsm, SIG_NO_ACK, NULL);
}

static const struct strans_handlers invite_handlers = { on_cancel, on_end };

int session_in_new(struct ua *ua, const struct inmsg *in, struct dialog_policy policy,
		   struct session **ret_session)
{
	struct session *session = session_new(ua, false, SESSION_RINGING);

	session->policy = policy;
	if (strans_new(in, &invite_handlers, session, &session->invite_st)) {
		session->invite_st = NULL;
		session_free(session);
		return SESSION_E_LIMIT;
	}
	if (dialog_new_server(ua->dialogs, in, strans_to_tag(session->invite_st), policy,
			      session_on_request, session, &session->dialog)) {
		strans_answer(session->invite_st, 400, "Bad Dialog Information");
		session_free(session);
		return SESSION_E_BAD;
	}
	session->invite_cseq = in->msg->cseq.num;
	session->call_id = xstrdup(dialog_call_id(session->dialog));
	session->offerless = !message_body(in->msg).type;
	session->offer_state = session->offerless ? OFFER_IDLE : OFFER_THEIRS;
	session_take_caps(session, in->msg);
	*ret_session = session;
	return 0;
}

/* ---- provisionals ---- */

static void reliable_stop(struct session *session)
{
	timer_stop(&session->reliable_timer);
	session->reliable = mem_deref(session->reliable);
	session->reliable_has_body = false;
}

/* RFC 3262 3: resent T1, 2*T1, ... until its PRACK; after 64*T1 the call is refused. */
static void reliable_again(struct timer *timer, void *arg)
{
	struct session *session = arg;

	session->reliable_sent_ms += session->reliable_wait_ms;
	if (session->reliable_sent_ms >= 64 * RELIABLE_T1 || !session->invite_st) {
		session_end_set(session, SESSION_BY_NETWORK, SESSION_TIMED_OUT, 504, "No PRACK");
		session_in_final(session, 504, NULL, NULL);
		session_finish(session);
		return;
	}
	(void)!strans_reply(session->invite_st, session->reliable);
	session->reliable_wait_ms *= 2;
	if (session->reliable_sent_ms + session->reliable_wait_ms > 64 * RELIABLE_T1)
		session->reliable_wait_ms = 64 * RELIABLE_T1 - session->reliable_sent_ms;
	timer_start(timer, session->reliable_wait_ms);
}

static void reliable_start(struct session *session, struct outmsg *reply, bool has_body)
{
	session->reliable = mem_ref(reply);
	session->reliable_has_body = has_body;
	session->reliable_wait_ms = RELIABLE_T1;
	session->reliable_sent_ms = 0;
	timer_init(&session->reliable_timer, session->ua->wheel, reliable_again, session);
	timer_start(&session->reliable_timer, session->reliable_wait_ms);
}

static bool must_be_reliable(const struct session *session)
{
	return inmsg_has_token(strans_request(session->invite_st)->msg, SIP_HDR_REQUIRE, "100rel");
}

static int provisional_send(struct session *session, uint16_t code, struct session_body answer)
{
	struct outmsg *reply = session_reply_new(session, session->invite_st, code);
	bool has_body, reliable;
	int r;

	if (session->offerless ||
	    session->answer_sent) /* there is nothing, or nothing more, to answer */
		answer = SESSION_NO_BODY;
	has_body = answer.type != NULL;
	reliable = must_be_reliable(session) || (has_body && session->their_100rel);
	if (reliable) {
		if (!session->rseq)
			session->rseq = ua_random(0x7fff0000) + 1;
		outmsg_header(reply, "Require", "100rel");
		outmsg_header(reply, "RSeq", "%u", session->rseq++);
	}
	outmsg_put_body(reply, answer);
	r = strans_reply(session->invite_st, reply);
	if (!r && reliable)
		reliable_start(session, reply, has_body);
	if (!r && has_body)
		saved_body_set(&session->accept_body,
			       answer); /* the 200 repeats it when it was not reliable */
	mem_deref(reply);
	return r;
}

int session_ring(struct session *session, uint16_t code, struct session_body answer)
{
	if (!session_in(session, SESSION_RINGING) || !session->invite_st || session->accept_waits)
		return SESSION_E_STATE;
	if (code < 101 || code > 199 || answer.len > SESSION_BODY_MAX)
		return SESSION_E_BAD;
	if (session->reliable) {
		/* one at a time (RFC 3262 3); what rings meanwhile matters only when it brings media */
		if (answer.type && !session->ring_waits) {
			session->ring_waits = code;
			saved_body_set(&session->ring_body, answer);
		}
		return 0;
	}
	return provisional_send(session, code, answer) ? SESSION_E_BAD : 0;
}

/* ---- the answer ---- */

static int accept_send(struct session *session)
{
	const struct sip_msg *invite = strans_request(session->invite_st)->msg;
	struct outmsg *reply = session_reply_new(session, session->invite_st, 200);
	struct session_body body = saved_body_get(&session->accept_body);
	int r;

	session_timer_reply_lines(session, invite, reply);
	if (!session->answer_sent)
		outmsg_put_body(reply, body);
	r = strans_reply(session->invite_st, reply);
	mem_deref(reply);
	if (r)
		return SESSION_E_BAD;
	session->was_up = true;
	session->accept_waits = false;
	session_offer_given(session, body);
	session->offer_state = session->offerless ? OFFER_OURS : OFFER_IDLE;
	fsm_go(&session->fsm, SESSION_ANSWERING);
	return 0;
}

int session_accept(struct session *session, struct session_body body)
{
	if (!session_in(session, SESSION_RINGING) || !session->invite_st || session->accept_waits)
		return SESSION_E_STATE;
	if (body.len > SESSION_BODY_MAX)
		return SESSION_E_BAD;
	if (body.type && !session->answer_sent)
		saved_body_set(&session->accept_body, body);
	if (!session->accept_body.type)
		return SESSION_E_BAD; /* a 200 without media helps nobody */
	if (session->reliable && session->reliable_has_body) {
		session->accept_waits = true; /* RFC 3262 3: no 2xx before that PRACK */
		return 0;
	}
	reliable_stop(session);
	return accept_send(session);
}

void session_in_final(struct session *session, uint16_t code, const char *reason, const char *lines)
{
	struct outmsg *reply;

	reliable_stop(session);
	if (!session->invite_st || strans_answered(session->invite_st))
		return;
	reply = outmsg_reply(strans_request(session->invite_st), code, reason, NULL, false);
	outmsg_add_lines(reply, lines);
	if (strans_reply(session->invite_st, reply))
		strans_answer(session->invite_st, code, NULL);
	mem_deref(reply);
}

void session_reject(struct session *session, uint16_t code, const char *reason, uint16_t q850,
		    const char *warning)
{
	auto_(buf_fini) struct buf lines = BUF_MAX(512);

	if (!session_in(session, SESSION_RINGING))
		return;
	if (q850)
		buf_addf(&lines, "Reason: Q.850;cause=%u\r\n", q850);
	if (warning)
		buf_addf(&lines, "Warning: %s\r\n", warning);
	if (code == 503 || code == 500)
		buf_addf(&lines, "Retry-After: %u\r\n", 5 + ua_random(20));
	session->end.q850 = q850;
	session_end_set(session, SESSION_BY_US, SESSION_REJECTED,
			code < 300 || code > 699 ? 480 : code, reason);
	session_in_final(session, session->end.code, reason, lines.data);
	session_finish(session);
}

/* ---- what comes back ---- */

void session_in_ack(struct session *session, const struct inmsg *in)
{
	struct session_body body = message_body(in->msg);
	struct session_event event = { .type = SESSION_EV_CONFIRMED };
	bool missing = session->offer_state == OFFER_OURS && !body.type;

	if (session->invite_st)
		strans_acked(session->invite_st);
	session_up(session);
	if (session->hangup_wanted) {
		session_bye(session, "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n");
		return;
	}
	if (missing) {
		session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 488,
				"The ACK has no answer");
		session_bye(session, "Reason: SIP;cause=488;text=\"No answer in ACK\"\r\n");
		return;
	}
	if (session->offer_state == OFFER_OURS) {
		session_offer_taken(session, body);
		event.body = body;
	}
	session->offer_state = OFFER_IDLE;
	session_emit(session, &event);
}

static bool rack_matches(const struct session *session, const struct sip_msg *msg)
{
	const struct sip_hdr *rack = inmsg_header(msg, SIP_HDR_RACK);
	char expected[64], got[64];

	if (!rack || !session->reliable)
		return false;
	snprintf(expected, sizeof(expected), "%u %u INVITE", session->rseq - 1,
		 session->invite_cseq);
	text_clean(got, sizeof(got), rack->val.p, rack->val.l);
	return !strcmp(expected, got);
}

/* What waited for the PRACK goes out now. */
static void pracked_go_on(struct session *session)
{
	uint16_t code = session->ring_waits;

	if (session->accept_waits) {
		session->accept_waits = false;
		if (accept_send(session)) {
			session_end_set(session, SESSION_BY_US, SESSION_FAILED, 500, NULL);
			session_in_final(session, 500, NULL, NULL);
			session_finish(session);
		}
	} else if (code) {
		session->ring_waits = 0;
		(void)provisional_send(session, code, saved_body_get(&session->ring_body));
	}
}

void session_in_prack(struct session *session, const struct inmsg *in)
{
	bool with_body, matches = rack_matches(session, in->msg);
	struct strans *st;

	if (strans_new(in, &session_strans_quiet, NULL, &st))
		return;
	if (!matches) {
		strans_answer(st, 481, NULL);
		return;
	}
	with_body = session->reliable_has_body;
	reliable_stop(session);
	if (with_body) {
		session->answer_sent = true;
		session->offer_state = OFFER_IDLE;
		session_offer_given(session, saved_body_get(&session->accept_body));
	}
	/* A new offer may ride on it (RFC 3262 5); we make no use of that before the answer. */
	strans_answer(st, message_body(in->msg).type ? 488 : 200, NULL);
	pracked_go_on(session);
}

void session_in_fini(struct session *session)
{
	reliable_stop(session);
	saved_body_fini(&session->accept_body);
	saved_body_fini(&session->ring_body);
	if (session->invite_st)
		strans_detach(session->invite_st);
	session->invite_st = NULL;
}
