/* Offers while the call is up: re-INVITE and UPDATE, ours and theirs, never two at once (RFC 3261 14, RFC 3311). */
#include "sip/session_private.h"

#include <stdio.h>

#define GLARES 3 /* 491s before the user is told */

static void offer_send(struct session *session);

void session_offer_given(struct session *session, struct session_body body)
{
	saved_body_set(&session->local_sdp, body);
}

void session_offer_taken(struct session *session, struct session_body body)
{
	saved_body_set(&session->remote_sdp, body);
}

/* ---- the user's clock ---- */

static void reply_send(struct session *session, struct strans *st, uint16_t code, const char *lines)
{
	struct outmsg *reply = session_reply_new(session, st, code);

	outmsg_add_lines(reply, lines);
	if (strans_reply(st, reply))
		strans_answer(st, code, NULL);
	mem_deref(reply);
}

static void offer_timeout(struct timer *timer, void *arg)
{
	struct session *session = arg;

	(void)timer;
	if (session->ack_owed) {
		session_end_set(session, SESSION_BY_US, SESSION_FAILED, 500,
				"No answer to the offer");
		session_bye(session, "Reason: SIP;cause=488;text=\"No answer\"\r\n");
		return;
	}
	session_refuse(session, 488, NULL);
}

void session_offer_watch(struct session *session)
{
	timer_init(&session->offer_timer, session->ua->wheel, offer_timeout, session);
	timer_start(&session->offer_timer, SESSION_OFFER_MS);
}

/* ---- theirs ---- */

static void their_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	struct session *session = arg;

	(void)cancel;
	if (st == session->offer_st) {
		session->offer_st = NULL;
		session->offer_state = OFFER_IDLE;
		timer_stop(&session->offer_timer);
	}
	strans_answer(st, 487, NULL);
	strans_detach(st);
}

static void their_end(struct strans *st, enum trans_end end, void *arg)
{
	struct session *session = arg;

	if (st == session->offer_st) {
		session->offer_st = NULL;
		session->offer_state = OFFER_IDLE;
		timer_stop(&session->offer_timer);
	}
	if (st == session->reinvite_st) {
		session->reinvite_st = NULL;
		if (session->reinvite_offered)
			session->offer_state = OFFER_IDLE;
		session->reinvite_offered = false;
		if (end == TRANS_NO_ACK)
			fsm_send(&session->fsm, SIG_NO_ACK, NULL);
	}
}

static const struct strans_handlers their_handlers = { their_cancel, their_end };

static struct pl origin_line(struct session_body body)
{
	struct pl text = { .p = body.data, .l = body.len };

	for (size_t i = 0; i + 2 < text.l; i++) {
		if ((i == 0 || text.p[i - 1] == '\n') && text.p[i] == 'o' && text.p[i + 1] == '=') {
			struct pl line = { .p = text.p + i, .l = 0 };

			while (i + line.l < text.l && line.p[line.l] != '\r' &&
			       line.p[line.l] != '\n')
				line.l++;
			return line;
		}
	}
	return pl_null;
}

static bool same_origin(const struct session *session, struct session_body body)
{
	struct pl a = origin_line(body), b = origin_line(saved_body_get(&session->remote_sdp));

	return a.l && a.l == b.l && !memcmp(a.p, b.p, a.l);
}

static bool same_body(const struct session *session, struct session_body body)
{
	return session->remote_sdp.type && body.len == session->remote_sdp.len &&
	       !memcmp(body.data, session->remote_sdp.data, body.len) && same_origin(session, body);
}

/* Return: 0, or the code that keeps two offers apart (14.1, 14.2, RFC 3311 5.2). */
static uint16_t glare_code(const struct session *session, bool invite, bool with_body)
{
	bool early = !session_in(session, SESSION_UP);

	if (!invite && !with_body)
		return 0;
	if (session->our_offer || session->offer_state == OFFER_OURS)
		return 491;
	if (session->offer_state != OFFER_IDLE || session->offer_st ||
	    (invite && session->reinvite_st))
		return 500;
	if (invite && early)
		return session_in(session, SESSION_RINGING) ? 500 : 491;
	if (session->outgoing && early)
		return 488; /* an offer in an early dialog of a fork: its media is not ours yet */
	return 0;
}

static void glare_reply(struct session *session, struct strans *st, uint16_t code)
{
	char line[32];

	snprintf(line, sizeof(line), "Retry-After: %u\r\n", ua_random(11));
	reply_send(session, st, code, code == 500 ? line : NULL);
	strans_detach(st);
}

/* 200 to a re-INVITE or UPDATE. */
static int their_accept(struct session *session, struct strans *st, struct session_body body)
{
	const struct sip_msg *request = strans_request(st)->msg;
	struct outmsg *reply = session_reply_new(session, st, 200);
	bool invite = inmsg_is(request, "INVITE");
	uint32_t cseq = request->cseq.num;
	int r;

	/* before the reply, after which the request may be gone */
	dialog_refresh(session->dialog, request);
	session_timer_reply_lines(session, request, reply);
	outmsg_put_body(reply, body);
	r = strans_reply(st, reply);
	mem_deref(reply);
	if (r)
		return SESSION_E_BAD;
	if (invite) {
		session->reinvite_st = st;
		session->reinvite_cseq = cseq;
		session->reinvite_offered = false;
	} else {
		strans_detach(st);
	}
	return 0;
}

static void identity_changed(struct session *session, const struct sip_msg *msg)
{
	struct session_event event = { .type = SESSION_EV_IDENTITY, .peer = &session->peer };
	struct session_peer peer;

	if (!session->account || (!inmsg_header(msg, SIP_HDR_P_ASSERTED_IDENTITY) &&
				  !inmsg_header_named(msg, "Remote-Party-ID")))
		return;
	identity_read(msg, true, &peer);
	if (identity_equal(&peer, &session->peer))
		return;
	session->peer = peer;
	session_emit(session, &event);
}

static void their_offer(struct session *session, struct strans *st, struct session_body body)
{
	struct session_event event = { .type = SESSION_EV_OFFER_WANTED };

	if (body.type && same_body(session, body) && session->local_sdp.type) {
		/* a refresh: the same question has the same answer */
		if (their_accept(session, st, saved_body_get(&session->local_sdp)))
			strans_answer(st, 500, NULL);
		return;
	}
	session->offer_st = st;
	session->offer_state = body.type ? OFFER_THEIRS : OFFER_WANTED;
	session_offer_watch(session);
	if (body.type) {
		event.type = SESSION_EV_OFFER;
		event.same = same_origin(session, body);
		event.body = body;
	}
	session_emit(session, &event);
}

void session_offer_received(struct session *session, const struct inmsg *in)
{
	bool invite = inmsg_is(in->msg, "INVITE");
	struct session_body body = message_body(in->msg);
	uint16_t code = glare_code(session, invite, body.type != NULL);
	struct strans *st;

	if (strans_new(in, &their_handlers, session, &st))
		return;
	if (code) {
		glare_reply(session, st, code);
		return;
	}
	if (!session->dialog) { /* UPDATE without offer in one of several early dialogs */
		strans_answer(st, 200, NULL);
		strans_detach(st);
		return;
	}
	if (session_timer_too_small(session, st)) {
		strans_detach(st);
		return;
	}
	session_take_caps(session, in->msg);
	if (!body.type && !invite) {
		if (their_accept(session, st, SESSION_NO_BODY))
			strans_answer(st, 500, NULL);
	} else {
		their_offer(session, st, body);
	}
	if (session_alive(session))
		identity_changed(session, in->msg);
}

static int answer_reinvite(struct session *session, struct session_body body)
{
	struct strans *st = take(session->offer_st);
	bool wanted = session->offer_state == OFFER_WANTED;
	struct session_body offer = message_body(strans_request(st)->msg);

	timer_stop(&session->offer_timer);
	session->offer_state = OFFER_IDLE;
	if (!wanted)
		session_offer_taken(session, offer);
	if (their_accept(session, st, body)) {
		strans_answer(st, 500, NULL);
		strans_detach(st);
		return SESSION_E_BAD;
	}
	session_offer_given(session, body);
	session->overtaken = true;
	if (wanted) {
		session->offer_state = OFFER_OURS;
		session->reinvite_offered = true;
	}
	return 0;
}

int session_answer(struct session *session, struct session_body body)
{
	if (!session_alive(session))
		return SESSION_E_STATE;
	if (!body.type || body.len > SESSION_BODY_MAX)
		return SESSION_E_BAD;
	if (session->ack_owed) {
		timer_stop(&session->offer_timer);
		session->offer_state = OFFER_IDLE;
		session_offer_given(session, body);
		session_ack(session, session->dialog, session->ack_cseq, session->ack_credentials,
			    body);
		return 0;
	}
	if (!session->offer_st)
		return SESSION_E_STATE;
	return answer_reinvite(session, body);
}

void session_refuse(struct session *session, uint16_t code, const char *warning)
{
	struct strans *st = take(session->offer_st);
	auto_(buf_fini) struct buf line = BUF_MAX(512);

	if (!st)
		return;
	timer_stop(&session->offer_timer);
	session->offer_state = OFFER_IDLE;
	if (warning)
		buf_addf(&line, "Warning: %s\r\n", warning);
	reply_send(session, st, code < 400 || code > 699 ? 488 : code, line.data);
	strans_detach(st);
}

void session_offer_ack(struct session *session, const struct inmsg *in)
{
	struct session_body body = message_body(in->msg);
	struct session_event event = { .type = SESSION_EV_OFFER_DONE,
				       .code = body.type ? 200 : 488,
				       .body = body };
	bool offered = session->reinvite_offered;

	strans_acked(session->reinvite_st);
	strans_detach(session->reinvite_st);
	session->reinvite_st = NULL;
	session->reinvite_offered = false;
	if (!offered)
		return;
	session->offer_state = OFFER_IDLE;
	if (body.type)
		session_offer_taken(session, body);
	session_emit(session, &event);
}

/* ---- ours ---- */

static void done_emit(struct session *session, uint16_t code, struct session_body body, bool silent)
{
	struct session_event event = { .type = SESSION_EV_OFFER_DONE, .code = code, .body = body };

	saved_body_fini(&session->pending_offer);
	session->glares = 0;
	if (!silent)
		session_emit(session, &event);
}

static void glare_again(struct timer *timer, void *arg)
{
	struct session *session = arg;

	(void)timer;
	if (!session_in(session, SESSION_UP))
		return;
	if (session->our_offer || session->offer_state != OFFER_IDLE || session->offer_st ||
	    session->reinvite_st) {
		timer_start(&session->glare_timer, 500); /* theirs first */
		return;
	}
	if (session->overtaken && !session->our_offer_is_refresh) {
		done_emit(session, 491, SESSION_NO_BODY,
			  false); /* its user knows what to say now */
		return;
	}
	if (session->overtaken)
		saved_body_set(&session->pending_offer, saved_body_get(&session->local_sdp));
	session->overtaken = false;
	offer_send(session);
}

/* RFC 3261 14.1: the owner of the Call-ID waits longer. */
static void glare_wait(struct session *session)
{
	uint32_t wait = session->outgoing ? 2100 + 10 * ua_random(191) : 10 * ua_random(201);

	timer_init(&session->glare_timer, session->ua->wheel, glare_again, session);
	timer_start(&session->glare_timer, wait);
}

static void offer_accepted(struct session *session, struct errand *errand, const struct inmsg *in)
{
	struct session_body body = message_body(in->msg);
	bool silent = session->our_offer_is_refresh;

	if (!strcmp(errand->method, "INVITE"))
		session_ack(session, session->dialog, errand->cseq,
			    exchange_credentials(errand->exchange), SESSION_NO_BODY);
	dialog_refresh(session->dialog, in->msg);
	session_take_caps(session, in->msg);
	session_timer_take_reply(session, in->msg);
	if (!body.type) {
		done_emit(session, 488, SESSION_NO_BODY, silent);
		return;
	}
	/* A refresh that is answered with other media is news after all. */
	silent = silent && same_origin(session, body);
	session_offer_given(session, saved_body_get(&session->pending_offer));
	session_offer_taken(session, body);
	done_emit(session, 200, body, silent);
}

static void offer_outcome(struct session *session, struct errand *errand, uint16_t code,
			  const struct inmsg *in)
{
	if (code < 300) {
		offer_accepted(session, errand, in);
	} else if (code == 491 && session->glares++ < GLARES) {
		glare_wait(session);
	} else if (code == 422 && session->raises++ < GLARES &&
		   session_timer_raise(session, in->msg)) {
		offer_send(session);
	} else if (code == 481 || (code == 408 && session->our_offer_is_refresh)) {
		fsm_send(&session->fsm, SIG_DEAD, NULL); /* the dialog is gone (12.2.1.2) */
	} else {
		/* Some let a hold pass in silence, and talk on: that costs the hold's news, not the call. */
		if (code == 408)
			session_check(session);
		done_emit(session, code, SESSION_NO_BODY, session->our_offer_is_refresh);
	}
}

/* Who it talks to now waited for this offer's end, if no other came that says so. */
static void shown_late(struct session *session)
{
	if (session->shown_waits && session_in(session, SESSION_UP))
		(void)!session_offer_refresh(session);
}

static void offer_ended(struct session *session, struct errand *errand, uint16_t code,
			const struct inmsg *in)
{
	session->our_offer = NULL;
	session->offer_state = OFFER_IDLE;
	if (!session_alive(session))
		return;
	offer_outcome(session, errand, code, in);
	shown_late(session);
}

static void offer_send(struct session *session)
{
	auto_(buf_fini) struct buf lines = BUF_MAX(2048);
	const char *method = session_in(session, SESSION_UP) ? "INVITE" : "UPDATE";

	session_common_lines(session, &lines);
	session_timer_request_lines(session, &lines);
	buf_adds(&lines, session->shown_line ? session->shown_line : "");
	session->shown_waits = false;
	session->our_offer = errand_start(session, session->dialog, method, lines.data,
					  saved_body_get(&session->pending_offer), offer_ended);
	if (session->our_offer)
		session->offer_state = OFFER_OURS;
	else
		glare_wait(session); /* its table of requests is full for the moment */
}

static bool may_offer(const struct session *session)
{
	bool early = session_in(session, SESSION_RINGING) && session->answer_sent &&
		     session->allow && session_peer_allows(session, "UPDATE");

	return (session_in(session, SESSION_UP) || early) && !session->our_offer &&
	       !session->offer_st && !session->reinvite_st && session->offer_state == OFFER_IDLE;
}

static bool waits_for_glare(const struct session *session)
{
	return timer_running(&session->glare_timer) && !session->our_offer_is_refresh;
}

int session_offer(struct session *session, struct session_body offer)
{
	if (!may_offer(session) || waits_for_glare(session))
		return SESSION_E_STATE;
	if (!offer.type || offer.len > SESSION_BODY_MAX)
		return SESSION_E_BAD;
	timer_stop(&session->glare_timer);
	session->our_offer_is_refresh = session->overtaken = false;
	session->glares = 0;
	saved_body_set(&session->pending_offer, offer);
	offer_send(session);
	return 0;
}

int session_offer_refresh(struct session *session)
{
	if (!may_offer(session) || timer_running(&session->glare_timer) || !session->local_sdp.type)
		return SESSION_E_STATE;
	session->our_offer_is_refresh = true;
	session->overtaken = false;
	session->glares = 0;
	saved_body_set(&session->pending_offer, saved_body_get(&session->local_sdp));
	offer_send(session);
	return 0;
}

static void identified(struct session *session, struct errand *errand, uint16_t code,
		       const struct inmsg *in)
{
	if (code >= 300) {
		session_checked(session, errand, code, in);
		return;
	}
	dialog_refresh(session->dialog, in->msg);
	session_timer_take_reply(session, in->msg);
}

int session_identify(struct session *session, const struct session_id *id, const char *domain)
{
	const struct session_id shown = { id->number, id->name, SESSION_ID_PAI };
	auto_(buf_fini) struct buf from = BUF_MAX(1024), line = BUF_MAX(2048);

	if (identity_lines(&shown, session->account, domain, &from, &line))
		return SESSION_E_BAD;
	free(session->shown_line);
	session->shown_line = xstrdup(line.data);
	if (!session_in(session, SESSION_UP))
		return SESSION_E_STATE;
	if (!session->allow || !session_peer_allows(session, "UPDATE")) {
		session->shown_waits = true;
		return session_offer_refresh(session);
	}
	session_timer_request_lines(session, &line); /* it refreshes the session like any other */
	return errand_start(session, session->dialog, "UPDATE", line.data, SESSION_NO_BODY,
			    identified)
		       ? 0
		       : SESSION_E_STATE;
}

int session_refresh(struct session *session)
{
	return session_offer_refresh(session);
}

void session_offer_fini(struct session *session)
{
	timer_stop(&session->glare_timer);
	timer_stop(&session->offer_timer);
	errand_drop(take(session->our_offer));
	if (session->offer_st) {
		strans_answer(session->offer_st, 487, NULL);
		strans_detach(session->offer_st);
	}
	if (session->reinvite_st)
		strans_detach(session->reinvite_st);
	session->offer_st = NULL;
	session->reinvite_st = NULL;
	session->offer_state = OFFER_IDLE;
	saved_body_fini(&session->pending_offer);
}
