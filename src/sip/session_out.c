/* The calling side: INVITE until it is answered, forks and all. */
#include "sip/session_private.h"

#include <stdio.h>

#define REDIRECTS 2
#define RAISES 2

static void invite_send(struct session *session);

/* ---- forks ---- */

static void fork_free(struct fork *fork)
{
	if (!fork)
		return;
	dialog_free(fork->dialog);
	saved_body_fini(&fork->answer);
	free(fork);
}

static void forks_clear(struct session *session)
{
	/* PRACKs and the like speak in these dialogs */
	for (struct errand *errand = session->errands, *next; errand; errand = next) {
		next = errand->next;
		if (errand->dialog != session->dialog)
			errand_drop(errand);
	}
	for (unsigned i = 0; i < session->fork_count; i++)
		fork_free(session->forks[i]);
	session->fork_count = 0;
	session->winner = NULL;
}

static int dialog_of(struct session *session, const struct inmsg *in, struct dialog **ret_dialog)
{
	auto_(free) char *from = xasprintf("%s;tag=%s", session->from, session->from_tag);
	const struct dialog_local local = {
		.from = from,
		.target = session->target,
		.call_id = session->call_id,
		.from_tag = session->from_tag,
		.cseq = in->msg->cseq.num,
		.policy = session->policy,
	};

	return dialog_new_client(session->ua->dialogs, &local, in, session_on_request, session,
				 ret_dialog);
}

/* The far end that this response comes from. Return: NULL when it has no tag or there are too many. */
static struct fork *fork_get(struct session *session, const struct inmsg *in)
{
	struct dialog *dialog;
	struct fork *fork;

	for (unsigned i = 0; i < session->fork_count; i++) {
		if (dialog_matches(session->forks[i]->dialog, in->msg))
			return session->forks[i];
	}
	if (session->fork_count == SESSION_FORKS || dialog_of(session, in, &dialog))
		return NULL;
	fork = xzalloc(sizeof(*fork));
	fork->index = session->fork_count;
	fork->dialog = dialog;
	session->forks[session->fork_count++] = fork;
	return fork;
}

bool session_fork_gone(struct session *session, const struct dialog *dialog)
{
	for (unsigned i = 0; i < session->fork_count; i++) {
		if (session->forks[i]->dialog == dialog)
			return true; /* its final response ends it, not a BYE */
	}
	return false;
}

/* ---- provisional ---- */

static void pracked(struct session *session, struct errand *errand, uint16_t code,
		    const struct inmsg *in)
{
	(void)session;
	(void)errand;
	(void)code;
	(void)in; /* a PRACK that fails leaves it to the INVITE's own end */
}

/* Return: false when it is one that was seen before, or out of order (RFC 3262 4). */
static bool reliable_take(struct session *session, struct fork *fork, const struct inmsg *in)
{
	const struct sip_hdr *rseq = inmsg_header(in->msg, SIP_HDR_RSEQ);
	char line[64];
	uint32_t number;

	if (!inmsg_has_token(in->msg, SIP_HDR_REQUIRE, "100rel"))
		return true;
	if (!fork || !rseq || !inmsg_u32(&rseq->val, INT32_MAX, &number) || !number)
		return false;
	if (fork->rseq && number != fork->rseq + 1)
		return false;
	fork->rseq = number;
	snprintf(line, sizeof(line), "RAck: %u %u INVITE\r\n", number, in->msg->cseq.num);
	(void)errand_start(session, fork->dialog, "PRACK", line, SESSION_NO_BODY, pracked);
	return true;
}

static bool early_media_barred(const struct sip_msg *msg)
{
	return inmsg_has_token(msg, SIP_HDR_P_EARLY_MEDIA, "inactive") ||
	       inmsg_has_token(msg, SIP_HDR_P_EARLY_MEDIA, "recvonly");
}

static void proceed(struct session *session)
{
	uint64_t now = wheel_now_ms(session->ua->wheel);

	if (session_in(session, SESSION_CALLING))
		fsm_go(&session->fsm, SESSION_PROCEEDING);
	fsm_deadline(&session->fsm,
		     session->give_up_ms > now ? (uint32_t)(session->give_up_ms - now) : 0);
}

void session_out_provisional(struct session *session, const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	struct session_body body = message_body(msg);
	struct session_event event = { .type = SESSION_EV_PROGRESS,
				       .code = msg->scode,
				       .body = body };
	char reason[64];
	struct fork *fork;

	proceed(session);
	if (msg->scode == 100)
		return;
	fork = pl_isset(&msg->to.tag) ? fork_get(session, in) : NULL;
	if (!reliable_take(session, fork, in))
		return;
	session_take_caps(session, msg);
	identity_read(msg, session->account != NULL, &session->peer);
	if (fork && body.type && session->offer.type) {
		saved_body_set(&fork->answer, body);
		fork->reliable = fork->reliable || inmsg_has_token(msg, SIP_HDR_REQUIRE, "100rel");
		event.fork = fork->index;
	} else {
		event.body = SESSION_NO_BODY; /* nothing was offered: it answers nothing */
		event.fork = fork ? fork->index : 0;
	}
	text_clean(reason, sizeof(reason), msg->reason.p, msg->reason.l);
	event.reason = reason;
	event.early_media_barred = early_media_barred(msg);
	event.peer = &session->peer;
	session_emit(session, &event);
}

/* ---- 2xx ---- */

static void ack_send(struct session *session, struct dialog *dialog, struct outmsg *ack)
{
	static const struct request_handlers none = { 0 };
	struct dialog_way way;
	struct request_args args = { .msg = ack, .handlers = &none };

	dialog_path(dialog, &way);
	args.flow = way.has_hop ? NULL : way.flow;
	args.hop = way.has_hop ? &way.hop : NULL;
	args.any_address = way.any_address;
	args.unverified = way.unverified;
	request_send(session->ua->stack, &args, NULL);
}

void session_ack(struct session *session, struct dialog *dialog, uint32_t cseq,
		 const char *credentials, struct session_body body)
{
	struct outmsg *ack = dialog_request(dialog, "ACK", cseq);

	outmsg_add_lines(ack, credentials);
	outmsg_put_body(ack, body);
	ack_send(session, dialog, ack);
	if (dialog == session->dialog) {
		mem_deref(session->ack);
		session->ack = ack;
		session->ack_cseq = cseq;
		session->ack_owed = false;
	} else {
		mem_deref(ack);
	}
}

/* A second far end has answered: one too many. */
static void extra_answer(struct session *session, const struct inmsg *in)
{
	struct dialog *dialog;

	if (dialog_of(session, in, &dialog))
		return;
	session_ack(session, dialog, in->msg->cseq.num, exchange_credentials(session->invite),
		    SESSION_NO_BODY);
	farewell_start(session->ua, session->account, dialog,
		       "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n");
}

/* Another 2xx after the first: ours again, because our ACK was lost, or another fork's. */
void session_on_accepted_again(struct session *session, const struct inmsg *in)
{
	if (!session->dialog)
		return; /* early yet, and it answers none of our INVITEs */
	if (!dialog_matches(session->dialog, in->msg)) {
		if (session->invite)
			extra_answer(session, in);
		return;
	}
	if (session->ack && in->msg->cseq.num == session->ack_cseq)
		ack_send(session, session->dialog, session->ack);
	else if (!session->ack_owed) /* to a re-INVITE that the call's end has overtaken */
		session_ack(session, session->dialog, in->msg->cseq.num, NULL, SESSION_NO_BODY);
}

/* Makes the 2xx's dialog the session's. */
static bool winner_take(struct session *session, const struct inmsg *in)
{
	struct fork *fork = fork_get(session, in);

	if (!fork)
		return false;
	session->winner = fork;
	session->dialog = take(fork->dialog);
	dialog_confirm(session->dialog, in);
	session->ack_cseq = in->msg->cseq.num;
	free(session->ack_credentials);
	session->ack_credentials = xstrdup(exchange_credentials(session->invite));
	return true;
}

static void losers_drop(struct session *session)
{
	struct fork *winner = session->winner;
	unsigned at = 0;

	while (session->forks[at] != winner)
		at++;
	session->forks[at] = session->forks[--session->fork_count];
	forks_clear(session);
	fork_free(winner);
}

static void answer_missing(struct session *session)
{
	session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 488,
			"The answer has no media");
	session_bye(session, "Reason: SIP;cause=488;text=\"No answer in 200\"\r\n");
}

static void answered_emit(struct session *session, const struct inmsg *in, unsigned index,
			  struct session_body body)
{
	char reason[64];
	struct session_event event = {
		.type = SESSION_EV_ANSWERED,
		.code = in->msg->scode,
		.reason = reason,
		.body = body,
		.fork = index,
		.peer = &session->peer,
	};

	text_clean(reason, sizeof(reason), in->msg->reason.p, in->msg->reason.l);
	session_emit(session, &event);
}

void session_out_accepted(struct session *session, const struct inmsg *in)
{
	struct session_body body = message_body(in->msg);
	bool offered = session->offer.type != NULL;
	struct saved_body kept = { 0 };
	unsigned index;

	if (!winner_take(session, in)) {
		extra_answer(session, in); /* a fork too many, perhaps: it is not left hanging */
		session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 500,
				"Unusable answer");
		session_finish(session);
		return;
	}
	index = session->winner->index;
	if (!body.type ||
	    (offered && session->winner->reliable)) /* answered before: this one adds nothing */
		saved_body_set(&kept, saved_body_get(&session->winner->answer));
	else
		saved_body_set(&kept, body);
	losers_drop(session);
	session_take_caps(session, in->msg);
	identity_read(in->msg, session->account != NULL, &session->peer);
	session_up(session);
	session_timer_take_reply(session, in->msg);
	if (!offered && kept.type) {
		session->ack_owed = true;
		session->offer_state = OFFER_THEIRS;
		session_offer_taken(session, saved_body_get(&kept));
		session_offer_watch(session);
	} else {
		session_ack(session, session->dialog, session->ack_cseq, session->ack_credentials,
			    SESSION_NO_BODY);
		if (!kept.type) {
			answer_missing(session);
			return;
		}
		session_offer_given(session, saved_body_get(&session->offer));
		session_offer_taken(session, saved_body_get(&kept));
		session->offer_state = OFFER_IDLE;
	}
	answered_emit(session, in, index, saved_body_get(&kept));
	saved_body_fini(&kept);
}

/* 200 crossed our CANCEL: the far end thinks it has a call. */
void session_out_late(struct session *session, const struct inmsg *in)
{
	session->late = true;
	if (!winner_take(session, in)) {
		extra_answer(session, in);
		session_finish(session);
		return;
	}
	losers_drop(session);
	session_ack(session, session->dialog, session->ack_cseq, session->ack_credentials,
		    SESSION_NO_BODY);
	if (session->end.outcome != SESSION_TIMED_OUT && session->end.outcome != SESSION_ELSEWHERE)
		session->end.outcome = SESSION_LATE;
	session_bye(session, session->end.outcome == SESSION_ELSEWHERE
				     ? "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"
				     : "Reason: Q.850;cause=31;text=\"Answered after cancel\"\r\n");
}

/* ---- other ends ---- */

/* Only inside the profile's own domain: a redirection makes us dial on a stranger's word. */
static bool redirect(struct session *session, const struct inmsg *in)
{
	const struct sip_hdr *contact = inmsg_header(in->msg, SIP_HDR_CONTACT);
	struct sip_addr addr;

	if (in->msg->scode < 301 || in->msg->scode > 302 || !contact || !session->account ||
	    session->redirects >= REDIRECTS || contact->val.l > 512)
		return false;
	if (parse_addr(&contact->val, &addr) ||
	    !account_owns_host(session->account, &addr.uri.host) ||
	    pl_strcasecmp(&addr.uri.scheme, "sip") || pl_isset(&addr.uri.headers))
		return false;
	session->redirects++;
	free(session->target);
	session->target = xstrndup(addr.auri.p, addr.auri.l);
	return true;
}

static void invite_again(struct session *session)
{
	session->invite = exchange_free(session->invite);
	forks_clear(session);
	invite_send(session);
}

void session_out_rejected(struct session *session, const struct inmsg *in)
{
	uint16_t code = in->msg->scode;
	char text[96];

	if (redirect(session, in) ||
	    (code == 422 && session->raises++ < RAISES && session_timer_raise(session, in->msg))) {
		invite_again(session);
		return;
	}
	text_clean(text, sizeof(text), in->msg->reason.p, in->msg->reason.l);
	session_end_set(session, SESSION_BY_THEM,
			code == 401 || code == 407 ? SESSION_AUTH_FAILED : SESSION_REJECTED, code,
			text);
	session_finish(session);
}

void session_out_unsent(struct session *session, enum request_failure failure)
{
	switch (failure) {
	case REQUEST_TIMEOUT:
		session_end_set(session, SESSION_BY_NETWORK, SESSION_TIMED_OUT, 408, "No response");
		break;
	case REQUEST_CANCELLED:
		session_end_set(session, SESSION_BY_US, SESSION_CANCELED, 487, NULL);
		break;
	case REQUEST_BAD:
		session_end_set(session, SESSION_BY_US, SESSION_FAILED, 400,
				"The request cannot be sent");
		break;
	case REQUEST_UNRESOLVED:
	case REQUEST_TRANSPORT:
		session_end_set(session, SESSION_BY_NETWORK, SESSION_FAILED, 503,
				failure == REQUEST_UNRESOLVED ? "Server name not found"
							      : "Server not reachable");
		break;
	}
	session_finish(session);
}

void session_out_cancel(struct session *session, const char *reason)
{
	fsm_go(&session->fsm, SESSION_CANCELLING);
	exchange_cancel(session->invite, reason);
}

/* ---- INVITE ---- */

static void routes_add(struct session *session, struct outmsg *msg)
{
	if (session->account)
		account_routes(session->account, msg, true);
	else if (session->routes) {
		struct pl route;

		pl_set_str(&route, session->routes);
		outmsg_routes(msg, &route, 1);
	}
}

static struct outmsg *invite_build(struct exchange *ex, void *arg)
{
	struct session *session = arg;
	struct outmsg *msg = outmsg_request_str("INVITE", session->target);
	auto_(free) char *from = xasprintf("%s;tag=%s", session->from, session->from_tag);
	auto_(buf_fini) struct buf lines = BUF_MAX(2048);

	(void)ex;
	session_common_lines(session, &lines);
	session_timer_request_lines(session, &lines);
	routes_add(session, msg);
	outmsg_ids(msg, from, session->to, session->call_id, ++session->cseq);
	outmsg_add_lines(msg, lines.data);
	outmsg_add_lines(msg, session->id_lines);
	outmsg_add_lines(msg, session->extra_lines);
	return msg;
}

static void invite_flow(struct exchange *ex, struct flow *flow, struct outmsg *lines, void *arg)
{
	(void)ex;
	session_contact(arg, flow, lines);
}

static void invite_response(struct exchange *ex, const struct inmsg *in, void *arg)
{
	struct session *session = arg;
	uint16_t code = in->msg->scode;
	enum session_signal signal = code < 200	  ? SIG_PROVISIONAL
				     : code < 300 ? SIG_ACCEPTED
						  : SIG_REJECTED;

	(void)ex;
	if (session->dialog) {
		if (signal == SIG_ACCEPTED)
			session_on_accepted_again(session, in);
		return;
	}
	fsm_send(&session->fsm, (int)signal, (void *)(uintptr_t)in);
}

static void invite_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	struct session *session = arg;

	(void)ex;
	if (!session->dialog)
		fsm_send(&session->fsm, SIG_UNSENT, &failure);
}

static const struct exchange_handlers invite_handlers = { invite_build, invite_flow,
							  invite_response, invite_failed };

static void invite_send(struct session *session)
{
	struct account *account = session->account;
	const struct exchange_args args = {
		.stack = session->ua->stack,
		.jar = account ? session->jar : NULL,
		.creds = account ? &account->creds : NULL,
		.realm = account ? account->realm : NULL,
		.content_type = session->offer.type,
		.body = session->offer.data,
		.body_len = session->offer.len,
		.flow = session->place_flow,
		.hop = session->has_hop ? &session->hop : NULL,
		.prefer = account && account->has_sticky ? &account->sticky : NULL,
		.any_address = session->policy.any_address,
		.unverified = session->policy.unverified,
		.handlers = &invite_handlers,
		.arg = session,
	};

	session->invite = exchange_start(&args);
}

/* ---- dialling ---- */

static bool text_fits(const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;

	return !len || (len <= max && str_is_clean_utf8(text, len));
}

static bool dial_account(struct session *session, const struct session_dial *dial)
{
	auto_(buf_fini) struct buf uri = BUF_MAX(512);

	if (!dial->to || !account_dial_uri(dial->account, dial->to, &uri) ||
	    !account_hop(dial->account, true, &session->hop))
		return false;
	session->has_hop = true;
	session->target = xstrdup(uri.data);
	session->to = xasprintf("<%s>", uri.data);
	session->policy.unverified = dial->account->unverified;
	return true;
}

static bool dial_place(struct session *session, const struct session_dial *dial)
{
	const struct session_place *place = dial->place;
	auto_(buf_fini) struct buf user = BUF_MAX(256);
	struct uri uri;
	struct pl pl;

	if (!place->contact || !dial->domain || !text_fits(place->contact, 512) ||
	    strpbrk(place->contact, "<> \""))
		return false;
	pl_set_str(&pl, place->contact);
	if (parse_uri(&pl, &uri))
		return false;
	session->has_hop = hop_from_uri(&uri, &session->hop);
	if (place->flow && flow_is_open(place->flow)) {
		session->place_flow = flow_ref(place->flow);
		session->has_hop = false;
	}
	if (!session->has_hop && !session->place_flow)
		return false;
	header_user(&user, dial->to ? dial->to : "");
	session->target = xstrdup(place->contact);
	session->to = xasprintf("<sip:%s@%s>", user.data ? user.data : "", dial->domain);
	session->routes = xstrdup(place->path);
	session->policy.pinned = true;
	session->policy.any_address = true;
	return !user.failed;
}

static bool extra_lines(struct session *session, const struct session_dial *dial, struct buf *out)
{
	auto_(buf_fini) struct buf value = BUF_MAX(1024), uri = BUF_MAX(512);

	if (!text_fits(dial->referred_by, 512) || !text_fits(dial->call_info, 512) ||
	    !text_fits(dial->replaces_value, 512) || !text_fits(dial->diversion, 128))
		return false;
	if (dial->replaces && session_replaces_value(dial->replaces, &value))
		buf_addf(out, "Replaces: %s\r\nRequire: replaces\r\n", value.data);
	else if (dial->replaces_value && *dial->replaces_value)
		buf_addf(out, "Replaces: %s\r\nRequire: replaces\r\n", dial->replaces_value);
	if (dial->referred_by && *dial->referred_by)
		buf_addf(out, "Referred-By: %s\r\n", dial->referred_by);
	if (dial->call_info && *dial->call_info)
		buf_addf(out, "%s\r\n", dial->call_info);
	if (dial->diversion && *dial->diversion) {
		buf_adds(&uri, "sip:");
		header_user(&uri, dial->diversion);
		buf_addf(&uri, "@%s",
			 session->account ? session->account->from_domain : dial->domain);
		buf_addf(out, "Diversion: <%s>;reason=unconditional\r\n", uri.data);
	}
	return !out->failed && !uri.failed;
}

static int dial_prepare(struct session *session, const struct session_dial *dial)
{
	auto_(buf_fini) struct buf from = BUF_MAX(1024), lines = BUF_MAX(2048),
				   extra = BUF_MAX(4096);
	char call_id[TOKEN_SIZE];

	if (!(dial->account ? dial_account(session, dial)
			    : dial->place && dial_place(session, dial)))
		return SESSION_E_BAD;
	if (identity_lines(&dial->id, dial->account, dial->domain, &from, &lines) ||
	    !extra_lines(session, dial, &extra))
		return SESSION_E_BAD;
	if (dial->offer.len > SESSION_BODY_MAX)
		return SESSION_E_BAD;
	session->from = xstrdup(from.data);
	session->id_lines = xstrdup(lines.data);
	session->extra_lines = xstrdup(extra.data);
	session->call_id = xstrdup(token_call_id(call_id));
	token_tag(session->from_tag);
	saved_body_set(&session->offer, dial->offer);
	return 0;
}

int session_dial(struct ua *ua, const struct session_dial *dial, struct session **ret_session)
{
	uint32_t ring_ms = dial->ring_ms && dial->ring_ms < SESSION_SETUP_MS ? dial->ring_ms
									     : SESSION_SETUP_MS;
	struct session *session;
	int r;

	if (ua->session_count >= ua->setup.max_sessions)
		return SESSION_E_LIMIT;
	session = session_new(ua, true, SESSION_CALLING);
	session->account = account_ref(dial->account);
	r = dial_prepare(session, dial);
	if (r) {
		session_free(session);
		return r;
	}
	session->offer_state = session->offer.type ? OFFER_OURS : OFFER_IDLE;
	session->se = ua->setup.no_session_timers ? 0 : ua->setup.session_expires;
	session->give_up_ms = wheel_now_ms(ua->wheel) + ring_ms;
	fsm_deadline(&session->fsm, ring_ms);
	session_bind(session, dial->fn, dial->arg);
	invite_send(session);
	*ret_session = session;
	return 0;
}

void session_out_fini(struct session *session)
{
	forks_clear(session);
	session->invite = exchange_free(session->invite);
	session->place_flow = flow_unref(session->place_flow);
}
