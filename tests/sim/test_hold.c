/* Holding each other, with all that can cross it. */
#include "sim.h"

static int begin(void **state)
{
	*state = sim_new();
	return 0;
}

static int end(void **state)
{
	sim_clean(*state);
	sim_free(*state);
	return 0;
}

static const char *sdp(unsigned version, const char *direction)
{
	static char text[600];

	(void)snprintf(text, sizeof(text),
		       "v=0\r\no=- 7 %u IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		       "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
		       "a=%s\r\n",
		       version, direction);
	return text;
}

static void up(struct sim *s, struct sim_dialog *phone, struct sim_dialog *far)
{
	sim_talk(s, phone, far, sim_sdp);
}

static enum reply_code hold(struct sim *s, bool on)
{
	struct id call = sim_view(s)->id;
	struct command command = { .type = COMMAND_HOLD_CALL,
				   .asker = { s->tenant, s->anna, ASKER_AGENT },
				   .call_id = call,
				   .on = on };
	enum reply_code code = sim_do(s, &command)->code;

	sim_run(s, 5);
	return code;
}

static const char *direction_of(const char *message)
{
	static const char *const names[] = { "sendonly", "recvonly", "inactive", "sendrecv" };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char line[20];

		(void)snprintf(line, sizeof(line), "a=%s\r\n", names[i]);
		if (strstr(sim_body(message), line))
			return names[i];
	}
	return "none";
}

/* Our re-INVITE, with that direction, is agreed to. */
static void agree(struct sim *s, unsigned version, const char *offered, const char *answered)
{
	const char *invite = sim_expect(&s->provider, "INVITE");

	assert_string_equal(direction_of(invite), offered);
	sim_reply(&s->provider, invite, 200, NULL, NULL, sdp(version, answered));
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
}

static void a_hold_is_told_to_the_provider_alone(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 0);
	agree(s, 8, "sendonly", "recvonly");
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":true"));
	assert_false(sim_view(s)->hold_remote);
	assert_int_equal(hold(s, true), REPLY_OK);
	assert_false(sim_heard(&s->provider, "INVITE"));
	sim_run(s, 7000);
	assert_int_equal(hold(s, false), REPLY_OK);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_true(sim_told(s, EVENT_CALL_RESUMED, "\"signalled\":true"));
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_int_equal(sim_view(s)->hold_s, 7);
	assert_int_equal(sim_count(&s->phone, "INVITE"), 1);
	sim_over(s);
}

static void a_provider_that_refuses_does_not_hinder(void **state)
{
	static const int codes[] = { 488, 500, 603, 415 };
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		assert_int_equal(hold(s, true), REPLY_OK);
		sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), codes[i], NULL, NULL,
			  NULL);
		sim_run(s, 5);
		(void)sim_expect(&s->provider, "ACK");
		assert_int_equal(sim_events(s, EVENT_CALL_HELD), i + 1);
		assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":false"));
		assert_int_equal(sim_view(s)->state, CALL_HELD);
		/* It never knew: there is nothing to take back. */
		assert_int_equal(hold(s, false), REPLY_OK);
		assert_false(sim_heard(&s->provider, "INVITE"));
		assert_int_equal(sim_events(s, EVENT_CALL_RESUMED), i + 1);
		assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	}
	/* And the old description is what counts. */
	sim_request(&far, "INVITE", NULL, sdp(9, "sendrecv"));
	sim_run(s, 5);
	assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")), "sendrecv");
	sim_ack(&far, NULL);
	sim_over(s);
}

static void both_hold_and_each_resumes_only_itself(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&far, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")), "recvonly");
	sim_ack(&far, NULL);
	sim_run(s, 5);
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 9, "inactive", "inactive");
	assert_true(sim_view(s)->hold_local && sim_view(s)->hold_remote);
	assert_int_equal(hold(s, false), REPLY_OK);
	agree(s, 10, "recvonly", "sendonly");
	assert_true(!sim_view(s)->hold_local && sim_view(s)->hold_remote);
	assert_int_equal(sim_view(s)->state, CALL_HELD);

	/* Again, and this time they are the first to resume. */
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 11, "inactive", "inactive");
	sim_request(&far, "INVITE", NULL, sdp(12, "sendrecv"));
	sim_run(s, 5);
	assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")), "sendonly");
	sim_ack(&far, NULL);
	sim_run(s, 5);
	assert_true(sim_view(s)->hold_local && !sim_view(s)->hold_remote);
	assert_int_equal(hold(s, false), REPLY_OK);
	agree(s, 13, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_over(s);
}

static void an_inactive_answer_is_not_taken_for_a_hold_of_theirs(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 8, "sendonly", "inactive");
	assert_false(sim_view(s)->hold_remote);
	assert_int_equal(hold(s, false), REPLY_OK);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_over(s);
}

/* Of our description (RFC 3264 8: it only ever goes up). */
static unsigned long version_of(const char *message)
{
	const char *line = strstr(sim_body(message), "o=- ");
	unsigned long session, version;

	assert_non_null(line);
	assert_int_equal(sscanf(line, "o=- %lu %lu", &session, &version), 2);
	return version;
}

static void holds_that_cross_are_both_told_in_the_end(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	unsigned long offered, answered;
	const char *ours, *theirs;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	ours = sim_expect(&s->provider, "INVITE");
	offered = version_of(ours);
	sim_request(&far, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 491");
	sim_ack(&far, NULL);
	sim_reply(&s->provider, ours, 491, NULL, NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 0);
	/* They do not own the Call-ID: theirs comes first (RFC 3261 14.1). */
	sim_run(s, 1000);
	sim_request(&far, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	theirs = sim_expect(&s->provider, "SIP/2.0 200");
	assert_string_equal(direction_of(theirs), "inactive");
	answered = version_of(theirs);
	assert_true(answered > offered);
	sim_ack(&far, NULL);
	sim_run(s, 4500);
	assert_false(sim_heard(&s->provider, "INVITE")); /* the answer has told them */
	assert_true(sim_view(s)->hold_local && sim_view(s)->hold_remote);
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 2);
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":true"));
	assert_int_equal(hold(s, false), REPLY_OK);
	ours = sim_expect(&s->provider, "INVITE");
	assert_string_equal(direction_of(ours), "recvonly");
	assert_int_equal(version_of(ours), answered + 1);
	sim_reply(&s->provider, ours, 200, NULL, NULL, sdp(9, "sendonly"));
	sim_run(s, 5);
	sim_over(s);
}

/* A change of mind while the far end is waited for; and their offer in between is no hold. */
static void what_crossed_and_is_not_wanted_any_more_is_not_said(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *ours;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	ours = sim_expect(&s->provider, "INVITE");
	sim_reply(&s->provider, ours, 491, NULL, NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	sim_request(&far, "INVITE", NULL, sdp(8, "sendrecv"));
	sim_run(s, 5);
	assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")), "sendonly");
	sim_ack(&far, NULL);
	assert_int_equal(hold(s, false), REPLY_OK);
	for (unsigned i = 0; i < 45 && !sim_heard(&s->provider, "INVITE"); i++)
		sim_run(s, 100);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_run(s, 4500);
	assert_false(sim_heard(&s->provider, "INVITE"));
	sim_over(s);
}

static void a_resume_while_the_hold_is_open_follows_it(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE");
	assert_int_equal(hold(s, false), REPLY_OK);
	assert_int_equal(hold(s, true), REPLY_OK);
	assert_int_equal(hold(s, false), REPLY_OK);
	assert_false(sim_heard(&s->provider, "INVITE"));
	sim_reply(&s->provider, invite, 200, NULL, NULL, sdp(8, "recvonly"));
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 2);
	assert_int_equal(sim_events(s, EVENT_CALL_RESUMED), 2);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_over(s);
}

static void a_hold_waits_for_an_offer_that_is_open(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&far, "INVITE", NULL, sdp(8, "sendrecv"));
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	assert_int_equal(hold(s, true), REPLY_OK); /* their ACK is still to come */
	sim_run(s, 1000);
	assert_false(sim_heard(&s->provider, "INVITE"));
	sim_ack(&far, NULL);
	sim_run(s, 500);
	agree(s, 9, "sendonly", "recvonly");
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":true"));
	sim_over(s);
}

/* The INVITE had no offer: until the ACK there is nothing to say it by. */
static void a_hold_before_the_ack_is_told_after_it(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	sim_call_in(s, &far, "+4930777", NULL);
	sim_run(s, 5);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	sim_confirm(&far, sim_expect(&s->provider, "SIP/2.0 200"));
	assert_int_equal(hold(s, true), REPLY_OK);
	assert_int_equal(s->reply->call->state, CALL_HELD);
	sim_ack(&far, sdp(1, "sendrecv"));
	sim_run(s, 500);
	agree(s, 2, "sendonly", "recvonly");
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":true"));
	sim_over(s);
}

static void a_hangup_crosses_the_hold(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE");
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	sim_reply(&s->provider, invite, 481, NULL, NULL, NULL);
	sim_run(s, 50);
	(void)sim_expect(&s->phone, "BYE");
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 0);
}

static void a_phones_hold_key_holds_the_provider(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&phone, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	assert_string_equal(direction_of(sim_expect(&s->phone, "SIP/2.0 200")), "recvonly");
	sim_ack(&phone, NULL);
	sim_run(s, 5);
	agree(s, 8, "sendonly", "recvonly");
	assert_true(sim_view(s)->hold_local && !sim_view(s)->hold_remote);
	sim_run(s, 3000);
	sim_request(&phone, "INVITE", NULL, sdp(9, "sendrecv"));
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	sim_ack(&phone, NULL);
	sim_run(s, 5);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_int_equal(sim_view(s)->hold_s, 3);
	sim_over(s);
}

/* Session timers are kept alive on both legs; nothing else happens for hours. */
static void hours_of_hold_end_nothing(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_run(s, 60000); /* so that the longest hold is over before the longest call is */
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 8, "sendonly", "recvonly");
	for (unsigned minute = 0; minute < 238; minute++) {
		sim_run(s, 60000);
		while (sim_heard(&s->provider, "INVITE"))
			sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), 200, NULL, NULL,
				  sdp(8, "recvonly"));
		while (sim_heard(&s->phone, "INVITE"))
			sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 200, NULL, NULL,
				  sim_sdp);
		assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	}
	assert_int_equal(hold(s, false), REPLY_OK);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_in_range(sim_view(s)->hold_s, 238 * 60, 238 * 60 + 1);
	sim_over(s);
}

/* ---- held for too long ---- */

#define MAX_HOLD_MS 600000

static int begin_short(void **state)
{
	*state = sim_new_with(&(struct call_limits){ .max_hold_s = MAX_HOLD_MS / 1000 });
	return 0;
}

/* Until shortly before the longest hold is over, with every refresh answered. */
static void hold_on(struct sim *s, uint64_t ms)
{
	for (; ms; ms -= ms < 60000 ? ms : 60000) {
		sim_run(s, ms < 60000 ? ms : 60000);
		while (sim_heard(&s->provider, "INVITE"))
			sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), 200, NULL, NULL,
				  sdp(8, "recvonly"));
		while (sim_heard(&s->phone, "INVITE"))
			sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 200, NULL, NULL,
				  sdp(8, "sendonly"));
	}
}

/* Both phones rang for the first call as well. */
static void forget(struct sim_peer *peer)
{
	while (sim_heard(peer, ""))
		(void)sim_expect(peer, "");
}

static void who_holds_for_too_long_is_rung_back_and_takes_it_with_any_key(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 8, "sendonly", "recvonly");
	hold_on(s, MAX_HOLD_MS - 1000);
	assert_false(sim_told(s, EVENT_CALL_UPDATED, "hold_recall"));
	sim_run(s, 2000);
	assert_true(sim_told(s, EVENT_CALL_UPDATED, "hold_recall"));
	assert_int_equal(sim_view(s)->state, CALL_HELD);
	sim_info(&phone, "Signal=5\r\nDuration=100\r\n");
	sim_run(s, 5);
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF), 0);
	sim_run(s, 120000);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	sim_over(s);
}

static void a_recall_that_nobody_heeds_ends_the_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 8, "sendonly", "recvonly");
	hold_on(s, MAX_HOLD_MS + 59000);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	sim_run(s, 2000);
	(void)sim_expect(&s->provider, "BYE");
	(void)sim_expect(&s->phone, "BYE");
	assert_int_equal(sim_view(s)->end_reason, END_TIMEOUT);
}

/* Of the legs that are there, or were: whether its phone's last one is muted. */
static bool phone_is_muted(struct sim *s)
{
	const struct call_view *view = sim_view(s);
	bool muted = false;

	for (unsigned i = 0; i < view->leg_count; i++)
		if (view->legs[i].state == LEG_ANSWERED && !id_is_none(view->legs[i].device_id))
			muted = view->legs[i].muted;
	return muted;
}

static void mute_phone(struct sim *s)
{
	const struct call_view *view = sim_view(s);
	struct command command = { .type = COMMAND_MUTE_LEG,
				   .asker = { s->tenant, s->anna, ASKER_AGENT },
				   .call_id = view->id,
				   .on = true };

	for (unsigned i = 0; i < view->leg_count; i++)
		if (view->legs[i].state == LEG_ANSWERED && !id_is_none(view->legs[i].device_id))
			command.leg_id = view->legs[i].id;
	assert_int_equal(sim_do(s, &command)->code, REPLY_OK);
}

static void a_phone_that_holds_by_its_key_is_rung_back(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, again;
	const char *invite;

	up(s, &phone, &far);
	mute_phone(s);
	sim_request(&phone, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	sim_ack(&phone, NULL);
	sim_run(s, 5);
	agree(s, 8, "sendonly", "recvonly");
	hold_on(s, MAX_HOLD_MS - 1000);
	forget(&s->phone);
	forget(&s->phone2);
	sim_run(s, 2000);
	assert_true(sim_told(s, EVENT_CALL_UPDATED, "hold_recall"));
	invite = sim_expect(&s->phone2, "INVITE");
	sim_answer(&s->phone2, invite, &again, sim_sdp);
	sim_run(s, 50);
	(void)sim_expect(&s->phone2, "ACK");
	(void)sim_expect(&s->phone, "BYE"); /* of the leg that held */
	agree(s, 9, "sendrecv", "sendrecv");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_true(phone_is_muted(s));
	assert_true(sim_told(s, EVENT_CALL_RESUMED, "\"signalled\":true"));
	(void)sim_hangup(s);
	sim_run(s, 50);
	(void)sim_expect(&s->provider, "BYE");
	(void)sim_expect(&s->phone2, "BYE");
}

static void a_recall_that_is_busy_ends_the_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&phone, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	sim_ack(&phone, NULL);
	sim_run(s, 5);
	agree(s, 8, "sendonly", "recvonly");
	hold_on(s, MAX_HOLD_MS - 1000);
	forget(&s->phone);
	forget(&s->phone2);
	sim_run(s, 2000);
	sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 486, "x", NULL, NULL);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 486, "x", NULL, NULL);
	sim_run(s, 50);
	assert_int_equal(sim_view(s)->end_reason, END_TIMEOUT);
	(void)sim_expect(&s->provider, "BYE");
}

static void a_hangup_during_the_recall_leaves_nothing(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&phone, "INVITE", NULL, sdp(8, "sendonly"));
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	sim_ack(&phone, NULL);
	sim_run(s, 5);
	agree(s, 8, "sendonly", "recvonly");
	hold_on(s, MAX_HOLD_MS - 1000);
	forget(&s->phone);
	forget(&s->phone2);
	sim_run(s, 2000);
	sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 180, "x", NULL, NULL);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 180, "x", NULL, NULL);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 50);
	(void)sim_expect(&s->phone, "CANCEL");
	(void)sim_expect(&s->phone2, "CANCEL");
	sim_run(s, 1000);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

/* ---- the far end's answer to a hold ---- */

static void a_hold_that_is_never_answered_is_ours_alone(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	sim_run(s, 33000); /* Timer B */
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":false"));
	assert_int_equal(sim_view(s)->state, CALL_HELD);
	sim_reply(&s->provider, sim_expect(&s->provider, "OPTIONS"), 200, NULL, NULL, NULL);
	sim_run(s, 60000);
	assert_int_equal(hold(s, false), REPLY_OK);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_over(s);
}

static void who_answers_neither_hold_nor_question_is_gone(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	s->provider.deaf = true;
	assert_int_equal(hold(s, true), REPLY_OK);
	sim_run(s, 33000);
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 1);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	sim_run(s, 70000); /* Timer F of the question, and of our BYE */
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

static void a_glare_without_end_is_given_up_and_held_all_the_same(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	for (unsigned tries = 0; sim_heard(&s->provider, "INVITE"); tries++) {
		unsigned waited_ms = 0;

		assert_in_range(tries, 0, 3);
		sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), 491, NULL, NULL, NULL);
		sim_run(s, 5);
		(void)sim_expect(&s->provider, "ACK");
		for (; waited_ms < 5000 && !sim_heard(&s->provider, "INVITE"); waited_ms += 10)
			sim_run(s, 10);
		/* We own the Call-ID (RFC 3261 14.1). */
		if (sim_heard(&s->provider, "INVITE"))
			assert_in_range(waited_ms, 2090, 4010);
	}
	assert_true(sim_told(s, EVENT_CALL_HELD, "\"signalled\":false"));
	assert_int_equal(sim_view(s)->state, CALL_HELD);
	assert_int_equal(hold(s, false), REPLY_OK);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_over(s);
}

static void a_hangup_crosses_the_resume(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	agree(s, 8, "sendonly", "recvonly");
	assert_int_equal(hold(s, false), REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE");
	sim_request(&far, "BYE", NULL, NULL);
	sim_reply(&s->provider, invite, 200, NULL, NULL, sdp(9, "sendrecv"));
	sim_run(s, 50);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	(void)sim_expect(&s->phone, "BYE");
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

static void our_hangup_crosses_their_answer_to_the_hold(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite;

	up(s, &phone, &far);
	assert_int_equal(hold(s, true), REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE");
	(void)sim_hangup(s);
	sim_reply(&s->provider, invite, 200, NULL, NULL, sdp(8, "recvonly"));
	sim_run(s, 50);
	(void)sim_expect(&s->provider, "BYE");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

/* RFC 2543's way, and its like in IPv6. */
static void a_null_address_is_a_hold(void **state)
{
	static const char *const nowhere[] = { "IP4 0.0.0.0", "IP6 ::" };
	struct sim *s = *state;
	struct sim_dialog phone, far;
	char text[600];

	up(s, &phone, &far);
	for (unsigned i = 0; i < ARRAY_LEN(nowhere); i++) {
		(void)snprintf(
			text, sizeof(text),
			"v=0\r\no=- 7 %u IN IP4 10.0.0.9\r\ns=-\r\nc=IN %s\r\nt=0 0\r\n"
			"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
			20 + 2 * i, nowhere[i]);
		sim_request(&far, "INVITE", NULL, text);
		sim_run(s, 5);
		assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")),
				    "recvonly");
		sim_ack(&far, NULL);
		sim_run(s, 5);
		assert_true(sim_view(s)->hold_remote);
		sim_request(&far, "INVITE", NULL, sdp(21 + 2 * i, "sendrecv"));
		sim_run(s, 5);
		assert_string_equal(direction_of(sim_expect(&s->provider, "SIP/2.0 200")),
				    "sendrecv");
		sim_ack(&far, NULL);
		sim_run(s, 5);
		assert_false(sim_view(s)->hold_remote);
	}
	sim_over(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define T_SHORT(name) cmocka_unit_test_setup_teardown(name, begin_short, end)
	static const struct CMUnitTest tests[] = {
		T(a_hold_is_told_to_the_provider_alone),
		T(a_provider_that_refuses_does_not_hinder),
		T(both_hold_and_each_resumes_only_itself),
		T(an_inactive_answer_is_not_taken_for_a_hold_of_theirs),
		T(holds_that_cross_are_both_told_in_the_end),
		T(what_crossed_and_is_not_wanted_any_more_is_not_said),
		T(a_resume_while_the_hold_is_open_follows_it),
		T(a_hold_waits_for_an_offer_that_is_open),
		T(a_hold_before_the_ack_is_told_after_it),
		T(a_hangup_crosses_the_hold),
		T(a_phones_hold_key_holds_the_provider),
		T(hours_of_hold_end_nothing),
		T_SHORT(who_holds_for_too_long_is_rung_back_and_takes_it_with_any_key),
		T_SHORT(a_recall_that_nobody_heeds_ends_the_call),
		T_SHORT(a_phone_that_holds_by_its_key_is_rung_back),
		T_SHORT(a_recall_that_is_busy_ends_the_call),
		T_SHORT(a_hangup_during_the_recall_leaves_nothing),
		T(a_hold_that_is_never_answered_is_ours_alone),
		T(who_answers_neither_hold_nor_question_is_gone),
		T(a_glare_without_end_is_given_up_and_held_all_the_same),
		T(a_hangup_crosses_the_resume),
		T(our_hangup_crosses_their_answer_to_the_hold),
		T(a_null_address_is_a_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
