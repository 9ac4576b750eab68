/* tests/sim/deck.c */
#include "deck.h"

#include <stdio.h>

static const char *const outcomes[] = { "completed", "rejected", "canceled",	"late",
					"timed_out", "failed",	 "auth_failed", "elsewhere" };
static const char *const sides[] = { "us", "them", "network" };

const char *user_log(const struct user *user)
{
	return user->log.data ? user->log.data : "";
}

static void word(struct user *user, const char *fmt, ...) format_printf(2, 3);
static void word(struct user *user, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(&user->log, "%s%s", user->log.len ? " " : "", text);
}

static void keep_body(struct user *user, struct session_body body)
{
	if (body.type)
		snprintf(user->last_body, sizeof(user->last_body), "%.*s", (int)body.len,
			 (const char *)body.data);
}

static void answer_offer(struct user *user, struct session *session)
{
	if (user->refuse)
		session_refuse(session, user->refuse, NULL);
	else if (user->auto_answer)
		assert_int_equal(session_answer(session,
						SESSION_SDP(user->answer, strlen(user->answer))),
				 0);
}

void user_event(struct session *session, const struct session_event *event, void *arg)
{
	struct user *user = arg;
	const char *plus = event->body.type ? "+" : "";

	assert_false(user->gone); /* END is the last word */
	keep_body(user, event->body);
	if (event->peer)
		user->peer = *event->peer;
	switch (event->type) {
	case SESSION_EV_PROGRESS:
		word(user, "P%u%s", event->code, plus);
		if (event->fork)
			word(user, "fork%u", event->fork);
		break;
	case SESSION_EV_ANSWERED:
		word(user, "A%u%s", event->code, plus);
		break;
	case SESSION_EV_CONFIRMED:
		word(user, "C%s", plus);
		break;
	case SESSION_EV_OFFER:
		word(user, event->same ? "OFFER=" : "OFFER");
		answer_offer(user, session);
		break;
	case SESSION_EV_OFFER_WANTED:
		word(user, "WANTED");
		answer_offer(user, session);
		break;
	case SESSION_EV_OFFER_DONE:
		word(user, "DONE%u%s", event->code, plus);
		break;
	case SESSION_EV_INFO_DONE:
		word(user, "INFO/%u", event->code);
		break;
	case SESSION_EV_INFO:
		word(user, "INFO%s", plus);
		break;
	case SESSION_EV_REFER:
		word(user, "REFER(%s%s)", event->refer->to, event->refer->replaces ? ",known" : "");
		if (user->refer_code)
			session_refer_reply(session, user->refer_code);
		break;
	case SESSION_EV_REFER_STATE:
		word(user, "R%u%s", event->code, event->last ? "." : "");
		break;
	case SESSION_EV_IDENTITY:
		word(user, "ID(%s)", event->peer->number);
		break;
	case SESSION_EV_END:
		user->gone = true;
		user->end = *event->end;
		word(user, "END/%s/%s/%u", outcomes[event->end->outcome], sides[event->end->by],
		     event->end->code);
		break;
	}
}

static void on_incoming(struct session *session, const struct ua_incoming *incoming, void *arg)
{
	struct deck *deck = arg;

	deck->incomings++;
	deck->last_incoming = *incoming;
	str_copy(deck->called, sizeof(deck->called), incoming->called);
	if (deck->ignore_incoming)
		return;
	buf_reset(&deck->in.log);
	deck->in.session = session;
	deck->in.gone = false;
	deck->in.peer = *session_peer(session);
	keep_body(&deck->in, incoming->offer);
	session_bind(session, user_event, &deck->in);
}

static void on_report(const struct reg_report *report, void *arg)
{
	struct deck *deck = arg;

	if (deck->quiet_reports || (!id_is_none(deck->only) && !id_eq(deck->only, report->id)))
		return;
	if (deck->report.state != report->state || !deck->states.len || report->gone)
		buf_addf(&deck->states, "%s%s%s", deck->states.len ? " " : "",
			 reg_state_name(report->state), report->gone ? "!" : "");
	deck->moves += report->moved;
	deck->reports++;
	deck->report = *report;
	str_copy(deck->report_reason, sizeof(deck->report_reason), report->reason);
	str_copy(deck->report_registrar, sizeof(deck->report_registrar), report->registrar);
}

void deck_open_with(struct deck *deck, const struct ua_setup *given)
{
	struct ua_setup setup = given ? *given : (struct ua_setup){ .no_session_timers = true };
	const struct account_setup account = { .username = "alice",
					       .server = "10.0.0.2",
					       .password = "secret" };

	memset(deck, 0, sizeof(*deck));
	deck->in.log.max = deck->out.log.max = deck->states.max = 65536;
	kit_open(&deck->kit);
	setup.stack = deck->kit.stack;
	setup.handlers.on_incoming = on_incoming;
	setup.arg = deck;
	setup.regs.handlers.on_report = on_report;
	setup.regs.arg = deck;
	setup.regs.seed = 7;
	deck->ua = ua_new(&setup);
	assert_int_equal(account_new(&account, &deck->account), 0);
	deck->timers = wheel_count(deck->kit.wheel);
}

void deck_open(struct deck *deck)
{
	deck_open_with(deck, NULL);
}

void deck_close_dirty(struct deck *deck)
{
	ua_free(deck->ua);
	account_unref(deck->account);
	buf_fini(&deck->in.log);
	buf_fini(&deck->out.log);
	buf_fini(&deck->states);
	kit_close(&deck->kit);
}

void deck_close(struct deck *deck)
{
	kit_run(&deck->kit, 70000);
	assert_int_equal(stack_live(deck->kit.stack), 0);
	assert_int_equal(ua_sessions(deck->ua), 0);
	assert_int_equal(dialog_table_count(ua_dialogs(deck->ua)), 0);
	assert_true(wheel_count(deck->kit.wheel) <=
		    deck->timers + 2); /* the trunk's addresses, the net's own */
	deck_close_dirty(deck);
}

void deck_dial_as(struct deck *deck, struct session_dial *dial)
{
	dial->fn = user_event;
	dial->arg = &deck->out;
	if (!dial->account && !dial->place)
		dial->account = deck->account;
	deck->out.gone = false;
	buf_reset(&deck->out.log);
	assert_int_equal(session_dial(deck->ua, dial, &deck->out.session), 0);
	kit_run(&deck->kit, 5);
}

void deck_dial(struct deck *deck, const char *to, const char *offer)
{
	struct session_dial dial = { .to = to };

	if (offer)
		dial.offer = SESSION_SDP(offer, strlen(offer));
	deck_dial_as(deck, &dial);
}

const char *deck_got(const struct deck *deck, const char *start)
{
	for (unsigned i = deck->kit.seen_count; i--;) {
		if (str_has_prefix(deck->kit.seen[i].text, start))
			return deck->kit.seen[i].text;
	}
	return NULL;
}

unsigned deck_count(const struct deck *deck, const char *start)
{
	unsigned count = 0;

	for (unsigned i = 0; i < deck->kit.seen_count; i++)
		count += str_has_prefix(deck->kit.seen[i].text, start);
	return count;
}

/* The body's length on the wire, where each newline is two bytes. */
static size_t wire_len(const char *body)
{
	size_t len = strlen(body);

	for (const char *c = body; *c; c++)
		len += *c == '\n' && (c == body || c[-1] != '\r');
	return len;
}

void deck_answer(struct deck *deck, const char *request, unsigned code, const char *tag,
		 const char *extra, const char *body)
{
	bool tagged = strstr(kit_header(request, "To"), "tag=") || !tag;

	assert_non_null(request);
	kit_say(&deck->kit, SIP_TRANSP_UDP,
		"SIP/2.0 %u Because\nVia: %s\nFrom: %s\nTo: %s%s%s\nCall-ID: %s\nCSeq: %s\nContact: <sip:bob@10.0.0.2:5060>\n"
		"%s%sContent-Length: %zu\n\n%s",
		code, kit_header(request, "Via"), kit_header(request, "From"),
		kit_header(request, "To"), tagged ? "" : ";tag=", tagged ? "" : tag,
		kit_header(request, "Call-ID"), kit_header(request, "CSeq"), extra ? extra : "",
		body ? "Content-Type: application/sdp\n" : "", body ? wire_len(body) : 0,
		body ? body : "");
	kit_run(&deck->kit, 5);
}

void deck_say_inside(struct deck *deck, const char *invite, const char *tag, const char *method,
		     unsigned cseq, const char *extra, const char *body)
{
	static unsigned branch;

	kit_say(&deck->kit, SIP_TRANSP_UDP,
		"%s sip:jackfield@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKi%u\nMax-Forwards: 70\n"
		"From: %s;tag=%s\nTo: %s\nCall-ID: %s\nCSeq: %u %s\nContact: <sip:bob@10.0.0.2:5060>\n%s%s"
		"Content-Length: %zu\n\n%s",
		method, ++branch, kit_header(invite, "To"), tag, kit_header(invite, "From"),
		kit_header(invite, "Call-ID"), cseq, method, extra ? extra : "",
		body ? "Content-Type: application/sdp\n" : "", body ? wire_len(body) : 0,
		body ? body : "");
	kit_run(&deck->kit, 5);
}

void deck_trunk(struct deck *deck)
{
	const struct account_setup setup = { .id = { { 1 } },
					     .username = "trunk",
					     .server = "10.0.0.2" };

	assert_int_equal(regs_put(ua_regs(deck->ua), &setup), 0);
	kit_run(&deck->kit, 50);
}

void deck_invite(struct deck *deck, const char *user, unsigned id, const char *extra,
		 const char *body)
{
	kit_say(&deck->kit, SIP_TRANSP_UDP,
		"INVITE sip:%s@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKinv%u\nMax-Forwards: 70\n"
		"From: \"Bob\" <sip:bob@10.0.0.2>;tag=bob%u\nTo: <sip:%s@10.0.0.1>\nCall-ID: in%u@peer\nCSeq: 1 INVITE\n"
		"Contact: <sip:bob@10.0.0.2:5060>\n%s%sContent-Length: %zu\n\n%s",
		user, id, id, user, id, extra ? extra : "",
		body ? "Content-Type: application/sdp\n" : "", body ? wire_len(body) : 0,
		body ? body : "");
	kit_run(&deck->kit, 5);
}

/* The To tag we gave in the last response of that call. */
static const char *to_of(const struct deck *deck, unsigned id)
{
	char call_id[32];

	snprintf(call_id, sizeof(call_id), "in%u@peer", id);
	for (unsigned i = deck->kit.seen_count; i--;) {
		const char *text = deck->kit.seen[i].text;

		if (str_has_prefix(text, "SIP/2.0 ") && !str_has_prefix(text, "SIP/2.0 100") &&
		    str_eq(kit_header(text, "Call-ID"), call_id) &&
		    strstr(kit_header(text, "CSeq"), "INVITE"))
			return kit_header(text, "To");
	}
	fail_msg("no response with a tag");
	return NULL;
}

void deck_say_in(struct deck *deck, unsigned id, const char *method, unsigned cseq,
		 const char *extra, const char *body)
{
	static unsigned branch;

	kit_say(&deck->kit, SIP_TRANSP_UDP,
		"%s sip:jackfield@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKd%u\nMax-Forwards: 70\n"
		"From: \"Bob\" <sip:bob@10.0.0.2>;tag=bob%u\nTo: %s\nCall-ID: in%u@peer\nCSeq: %u %s\n"
		"Contact: <sip:bob@10.0.0.2:5060>\n%s%sContent-Length: %zu\n\n%s",
		method, ++branch, id, to_of(deck, id), id, cseq, method, extra ? extra : "",
		body ? "Content-Type: application/sdp\n" : "", body ? wire_len(body) : 0,
		body ? body : "");
	kit_run(&deck->kit, 5);
}

void deck_say_branch(struct deck *deck, unsigned id, const char *method, const char *extra)
{
	bool cancel = !strcmp(method, "CANCEL");

	kit_say(&deck->kit, SIP_TRANSP_UDP,
		"%s sip:trunk@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKinv%u\nMax-Forwards: 70\n"
		"From: \"Bob\" <sip:bob@10.0.0.2>;tag=bob%u\nTo: %s\nCall-ID: in%u@peer\nCSeq: 1 %s\n%sContent-Length: 0\n\n",
		method, id, id, cancel ? "<sip:trunk@10.0.0.1>" : to_of(deck, id), id, method,
		extra ? extra : "");
	kit_run(&deck->kit, 5);
}
