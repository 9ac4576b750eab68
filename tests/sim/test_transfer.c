/* Transfers, with all that can cross them, each to the last timer. Anna's phone talks to somebody at the provider ("stays"),
 * and puts him through to a third, who is at the same provider.
 */
#include "sim.h"

static size_t timers; /* before anything happened */

static int begin(void **state)
{
	struct sim *s = sim_new();

	sim_run(s, 40000);
	timers = wheel_count(s->wheel);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct sim *s = *state;

	sim_clean(s);
	assert_int_equal(wheel_count(s->wheel), timers);
	sim_free(s);
	return 0;
}

struct talk {
	struct sim_dialog phone, stays, target;
	struct id call;
};

static void up(struct sim *s, struct talk *talk)
{
	assert_int_equal(sim_make(s, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 486, "no", NULL, NULL);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &talk->phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), &talk->stays,
		   sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	talk->call = sim_view(s)->id;
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
}

static enum reply_code ask(struct sim *s, const struct talk *talk, struct transfer_wish wish)
{
	enum reply_code code;

	if (wish.action == TRANSFER_START)
		(void)str_copy(wish.to, sizeof(wish.to), "0302");
	code = sim_do(s, &(struct command){ .type = COMMAND_TRANSFER,
					    .asker = { s->tenant, s->anna, ASKER_AGENT },
					    .call_id = talk->call,
					    .body = xmemdup(&wish, sizeof(wish)) })
		       ->code;
	sim_run(s, 5);
	return code;
}

static enum reply_code act(struct sim *s, const struct talk *talk, enum transfer_action action)
{
	return ask(s, talk, (struct transfer_wish){ .action = action });
}

static const char *blind(struct sim *s, const struct talk *talk)
{
	assert_int_equal(ask(s, talk, (struct transfer_wish){ .mode = TRANSFER_BLIND }), REPLY_OK);
	return sim_expect(&s->provider, "INVITE sip:0302@");
}

/* Our re-INVITE of the one who stays: held, or not any more. */
static void agree(struct sim *s)
{
	sim_reply(&s->provider, sim_expect(&s->provider, "INVITE sip:peer@"), 200, NULL, NULL,
		  sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
}

static const char *consult(struct sim *s, const struct talk *talk)
{
	const char *invite;

	assert_int_equal(ask(s, talk, (struct transfer_wish){ .mode = TRANSFER_ATTENDED }),
			 REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE sip:0302@");
	agree(s);
	return invite;
}

static void target_answers(struct sim *s, struct talk *talk, const char *invite)
{
	sim_answer(&s->provider, invite, &talk->target, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
}

static const struct call_view *view_of(struct sim *s, struct id call)
{
	(void)sim_view(s);
	for (unsigned i = s->event_count; i-- > 0;)
		if (s->events[i]->call && id_eq(s->events[i]->call_id, call))
			return s->events[i]->call;
	fail_msg("nothing was said of that call");
	return NULL;
}

static const char *detail_of(struct sim *s, enum event_type type)
{
	(void)sim_view(s);
	for (unsigned i = s->event_count; i-- > 0;)
		if (s->events[i]->type == type)
			return s->events[i]->detail;
	fail_msg("it was not told");
	return NULL;
}

static void expect_state(struct sim *s, const struct talk *talk, enum call_state state)
{
	struct reply *reply =
		sim_do(s, &(struct command){ .type = COMMAND_CALL_GET,
					     .asker = { s->tenant, s->anna, ASKER_AGENT },
					     .call_id = talk->call });

	assert_int_equal(reply->code, REPLY_OK);
	assert_string_equal(call_state_names[reply->call->state], call_state_names[state]);
}

static void over(struct sim *s, const struct talk *talk, enum end_reason reason)
{
	assert_int_equal(view_of(s, talk->call)->state, CALL_ENDED);
	assert_string_equal(end_reason_names[view_of(s, talk->call)->end_reason],
			    end_reason_names[reason]);
	assert_int_equal(sim_events(s, EVENT_CALL_CREATED), sim_events(s, EVENT_CALL_ENDED));
}

static void stays_hangs_up(struct sim *s, struct talk *talk)
{
	sim_request(&talk->stays, "BYE", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	over(s, talk, END_COMPLETED);
}

static void hang_up(struct sim *s, const struct talk *talk)
{
	sim_do(s, &(struct command){ .type = COMMAND_HANGUP_CALL,
				     .call_id = talk->call,
				     .asker = { s->tenant, s->anna, ASKER_ADMIN } });
	sim_run(s, 5);
}

/* ---- the target ---- */

static void a_busy_target_and_the_two_talk_on(void **state)
{
	static const struct {
		int code;
		const char *reason;
	} refusals[] = { { 486, "\"busy\"" },
			 { 404, "\"not_found\"" },
			 { 603, "\"declined\"" },
			 { 503, "\"trunk_failed\"" } };
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	for (unsigned i = 0; i < ARRAY_LEN(refusals); i++) {
		sim_reply(&s->provider, blind(s, &talk), refusals[i].code, "t", NULL, NULL);
		sim_run(s, 5);
		(void)sim_expect(&s->provider, "ACK");
		assert_non_null(
			strstr(detail_of(s, EVENT_CALL_TRANSFER_FAILED), refusals[i].reason));
		expect_state(s, &talk, CALL_ANSWERED);
	}
	assert_false(sim_heard(&s->phone, "BYE"));
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->phone, "BYE");
}

static void a_dead_target_is_given_up_and_the_two_talk_on(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	(void)blind(s, &talk);
	sim_run(s, 24000);
	expect_state(s, &talk, CALL_TRANSFERRING);
	sim_run(s, 1100);
	expect_state(s, &talk, CALL_ANSWERED);
	assert_non_null(strstr(detail_of(s, EVENT_CALL_TRANSFER_FAILED), "\"no_answer\""));
	sim_run(s, 40000);
	stays_hangs_up(s, &talk);
}

static void a_slow_target_is_cancelled_and_who_transferred_is_rung(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "BYE");
	sim_run(s, 25000);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "t", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	assert_non_null(strstr(detail_of(s, EVENT_CALL_TRANSFER_FAILED), "\"returning\":true"));
	invite = sim_expect(&s->phone, "INVITE");
	assert_non_null(strstr(sim_header(invite, "From"), "sip:0301@"));
	sim_answer(&s->phone, invite, &talk.phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->phone, "BYE");
}

static void nobody_is_there_any_more(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_reply(&s->provider, invite, 486, "t", NULL, NULL);
	sim_run(s, 5);
	sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 180, "p", NULL, NULL);
	sim_run(s, 25500);
	(void)sim_expect(&s->provider, "BYE");
	(void)sim_expect(&s->phone, "CANCEL");
	over(s, &talk, END_NO_ANSWER);
}

static void who_transferred_refuses_it_back(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_reply(&s->provider, invite, 486, "t", NULL, NULL);
	sim_run(s, 5);
	sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 486, "p", NULL, NULL);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 486, "p", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "BYE");
	over(s, &talk, END_NO_ANSWER);
}

/* ---- who leaves when ---- */

static void who_transfers_hangs_up_first(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_request(&talk.phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	expect_state(s, &talk, CALL_TRANSFERRING);
	target_answers(s, &talk, invite);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFERRED), 1);
	expect_state(s, &talk, CALL_ANSWERED);
	sim_request(&talk.target, "BYE", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	(void)sim_expect(&s->provider, "BYE");
	over(s, &talk, END_COMPLETED);
	assert_false(id_is_none(view_of(s, talk.call)->transferred_to));
	assert_true(id_eq(view_of(s, view_of(s, talk.call)->transferred_to)->transferred_from,
			  talk.call));
}

static void the_byes_cross(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_request(&talk.phone, "BYE", NULL, NULL); /* ours to it is on its way */
	sim_run(s, 20);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	target_answers(s, &talk, invite);
	expect_state(s, &talk, CALL_ANSWERED);
	sim_request(&talk.target, "BYE", NULL, NULL);
	sim_request(&talk.stays, "BYE", NULL, NULL);
	sim_run(s, 20);
	over(s, &talk, END_COMPLETED);
}

static void the_answer_crosses_the_other_partys_bye(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_request(&talk.stays, "BYE", NULL, NULL);
	sim_run(s, 1);
	sim_answer(&s->provider, invite, &talk.target, sim_sdp);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "CANCEL");
	(void)sim_expect(&s->provider, "ACK");
	(void)sim_expect(&s->provider, "BYE");
	over(s, &talk, END_COMPLETED);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFERRED), 0);
}

static void called_off_as_it_is_answered(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_answer(&s->provider, invite, &talk.target, sim_sdp); /* on the wire */
	assert_int_equal(act(s, &talk, TRANSFER_CANCEL), REPLY_OK);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "ACK");
	(void)sim_expect(&s->provider, "BYE");
	expect_state(s, &talk, CALL_ANSWERED);
	assert_false(sim_heard(&s->phone, "BYE"));
	stays_hangs_up(s, &talk);
}

static void hung_up_by_request_in_the_middle(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = blind(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	hang_up(s, &talk);
	(void)sim_expect(&s->provider, "BYE");
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "t", NULL, NULL);
	sim_run(s, 5);
	over(s, &talk, END_COMPLETED);
}

static void the_target_never_says_goodbye(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	target_answers(s, &talk, blind(s, &talk));
	s->provider.deaf = true;
	hang_up(s, &talk);
	(void)sim_expect(&s->provider, "BYE");
	over(s, &talk, END_COMPLETED);
	sim_run(s, 45000);
	s->provider.deaf = false;
}

/* ---- attended ---- */

static void attended_to_a_dead_target(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	(void)consult(s, &talk);
	sim_run(s, 33000);
	assert_non_null(strstr(detail_of(s, EVENT_CALL_TRANSFER_FAILED), "\"trunk_failed\""));
	agree(s); /* resumed */
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->phone, "BYE");
}

static void attended_and_the_phone_hangs_up_as_it_completes(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	target_answers(s, &talk, consult(s, &talk));
	sim_request(&talk.phone, "BYE", NULL, NULL);
	assert_int_equal(act(s, &talk, TRANSFER_COMPLETE), REPLY_OK);
	agree(s);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFERRED), 1);
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->provider, "BYE");
}

static void the_target_leaves_as_it_is_completed(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	target_answers(s, &talk, consult(s, &talk));
	sim_request(&talk.target, "BYE", NULL, NULL);
	assert_int_equal(act(s, &talk, TRANSFER_COMPLETE), REPLY_OK);
	sim_run(s, 20);
	over(s, &talk, END_COMPLETED);
	(void)sim_expect(&s->provider, "BYE");
}

static void swapped_while_the_hold_is_still_open(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite, *hold;

	up(s, &talk);
	assert_int_equal(ask(s, &talk, (struct transfer_wish){ .mode = TRANSFER_ATTENDED }),
			 REPLY_OK);
	invite = sim_expect(&s->provider, "INVITE sip:0302@");
	hold = sim_expect(&s->provider, "INVITE sip:peer@");
	target_answers(s, &talk, invite);
	assert_int_equal(act(s, &talk, TRANSFER_SWAP), REPLY_OK);
	agree(s); /* the target is held */
	sim_reply(&s->provider, hold, 200, NULL, NULL, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	agree(s); /* the other one is not any more */
	assert_int_equal(act(s, &talk, TRANSFER_SWAP), REPLY_OK);
	agree(s);
	agree(s);
	assert_int_equal(act(s, &talk, TRANSFER_COMPLETE), REPLY_OK);
	agree(s);
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->provider, "BYE");
}

static void the_other_party_leaves_and_the_ringing_consult_goes_on(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;
	struct id consulted;

	up(s, &talk);
	invite = consult(s, &talk);
	consulted = s->reply->consult_id;
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_request(&talk.stays, "BYE", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(view_of(s, talk.call)->state, CALL_ENDED);
	assert_false(sim_heard(&s->phone, "BYE"));
	target_answers(s, &talk, invite);
	assert_int_equal(view_of(s, consulted)->state, CALL_ANSWERED);
	sim_request(&talk.phone, "BYE", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "BYE");
	assert_int_equal(view_of(s, consulted)->state, CALL_ENDED);
}

static void the_other_party_leaves_while_the_phone_holds_the_target(void **state)
{
	static const char holding[] = "v=0\r\no=- 7 8 IN IP4 10.0.0.9\r\ns=-\r\n"
				      "c=IN IP4 10.0.0.9\r\nt=0 0\r\n"
				      "m=audio 4000 RTP/AVP 0 8 101\r\n"
				      "a=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n";
	struct sim *s = *state;
	struct talk talk;
	struct id consulted;

	up(s, &talk);
	target_answers(s, &talk, consult(s, &talk));
	consulted = s->reply->consult_id;
	sim_request(&talk.phone, "INVITE", NULL, holding);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	sim_ack(&talk.phone, NULL);
	sim_run(s, 5);
	sim_request(&talk.stays, "BYE", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(view_of(s, talk.call)->state, CALL_ENDED);
	assert_int_equal(view_of(s, consulted)->state, CALL_HELD);
	agree(s); /* the target is told */
	sim_request(&talk.phone, "BYE", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "BYE");
	assert_int_equal(view_of(s, consulted)->state, CALL_ENDED);
}

static void completed_early_and_then_nobody_answers(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	invite = consult(s, &talk);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(act(s, &talk, TRANSFER_COMPLETE), REPLY_OK);
	(void)sim_expect(&s->phone, "BYE");
	agree(s);
	sim_run(s, 25000);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "t", NULL, NULL);
	sim_run(s, 5);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &talk.phone, sim_sdp);
	sim_run(s, 5);
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

/* ---- REFER of ours ---- */

static const char *refer(struct sim *s, const struct talk *talk)
{
	assert_int_equal(ask(s, talk, (struct transfer_wish){ .mode = TRANSFER_REFER }), REPLY_OK);
	return sim_expect(&s->provider, "REFER");
}

/* Without a word of how it went. */
static void report_ends(struct sim *s, struct talk *talk)
{
	sim_request(&talk->stays, "NOTIFY",
		    "Event: refer\r\nSubscription-State: terminated;reason=timeout\r\n", NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
}

static void accepted_and_never_a_word(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	sim_reply(&s->provider, refer(s, &talk), 202, NULL, NULL, NULL);
	sim_run(s, 59000);
	expect_state(s, &talk, CALL_TRANSFERRING);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFER_UNCONFIRMED), 0);
	sim_run(s, 1100);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFER_UNCONFIRMED), 1);
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->phone, "BYE");
}

static void accepted_never_a_word_and_nobody_left(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	sim_reply(&s->provider, refer(s, &talk), 202, NULL, NULL, NULL);
	sim_run(s, 5);
	sim_request(&talk.phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	expect_state(s, &talk, CALL_TRANSFERRING);
	sim_run(s, 61000);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFER_UNCONFIRMED), 1);
	(void)sim_expect(&s->provider, "BYE");
	over(s, &talk, END_COMPLETED);
}

static void the_report_ends_without_a_result(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	sim_reply(&s->provider, refer(s, &talk), 202, NULL, NULL, NULL);
	sim_run(s, 5);
	report_ends(s, &talk);
	/* Not done there: done here. */
	target_answers(s, &talk, sim_expect(&s->provider, "INVITE sip:0302@"));
	expect_state(s, &talk, CALL_ANSWERED);
	(void)sim_expect(&s->phone, "BYE");
	stays_hangs_up(s, &talk);
}

static void nothing_answers_the_refer(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	(void)refer(s, &talk);
	sim_run(s, 33000);
	/* A dialogue in which a request is not answered is dead (RFC 3261 12.2.1.2). */
	over(s, &talk, END_TIMEOUT);
	(void)sim_expect(&s->phone, "BYE");
}

static void the_refers_cross(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *ours;

	up(s, &talk);
	ours = refer(s, &talk);
	sim_request(&talk.phone, "REFER", "Refer-To: <sip:0303@jackfield>\r\n", NULL);
	sim_request(&talk.stays, "REFER", "Refer-To: <sip:0303@10.0.0.2>\r\n", NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 603");
	(void)sim_expect(&s->provider, "SIP/2.0 603");
	sim_reply(&s->provider, ours, 603, NULL, NULL, NULL);
	sim_run(s, 5);
	target_answers(s, &talk, sim_expect(&s->provider, "INVITE sip:0302@"));
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

static void called_off_while_the_far_end_is_silent(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	sim_reply(&s->provider, refer(s, &talk), 202, NULL, NULL, NULL);
	sim_run(s, 1000);
	assert_int_equal(act(s, &talk, TRANSFER_CANCEL), REPLY_OK);
	expect_state(s, &talk, CALL_ANSWERED);
	assert_non_null(strstr(detail_of(s, EVENT_CALL_TRANSFER_FAILED), "canceled"));
	assert_int_equal(act(s, &talk, TRANSFER_CANCEL), REPLY_WRONG_STATE);
	/* Too late, whatever it is. */
	report_ends(s, &talk);
	expect_state(s, &talk, CALL_ANSWERED);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFERRED), 0);
	/* The next is no worse for it. */
	target_answers(s, &talk, blind(s, &talk));
	expect_state(s, &talk, CALL_ANSWERED);
	(void)sim_expect(&s->phone, "BYE");
	stays_hangs_up(s, &talk);
}

static void called_off_before_the_refer_is_answered(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *ours;

	up(s, &talk);
	ours = refer(s, &talk);
	assert_int_equal(act(s, &talk, TRANSFER_CANCEL), REPLY_OK);
	expect_state(s, &talk, CALL_ANSWERED);
	sim_reply(&s->provider, ours, 603, NULL, NULL, NULL);
	sim_run(s, 61000);
	expect_state(s, &talk, CALL_ANSWERED);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFER_FAILED), 1);
	stays_hangs_up(s, &talk);
}

static void called_off_and_who_transferred_is_rung_again(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	sim_reply(&s->provider, refer(s, &talk), 202, NULL, NULL, NULL);
	sim_run(s, 5);
	sim_request(&talk.phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(act(s, &talk, TRANSFER_CANCEL), REPLY_OK);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &talk.phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

/* ---- a phone's keys ---- */

static void phone_refers(struct sim *s, struct talk *talk, const char *to)
{
	char line[500];

	(void)snprintf(line, sizeof(line), "Refer-To: %s\r\nReferred-By: <sip:a@b>\r\n", to);
	sim_request(&talk->phone, "REFER", line, NULL);
	sim_run(s, 5);
}

static void a_phone_is_told_all_of_it(void **state)
{
	static const char *const frags[] = { "SIP/2.0 100 ", "SIP/2.0 180 ", "SIP/2.0 200 " };
	struct sim *s = *state;
	struct talk talk;
	const char *invite, *notify;

	up(s, &talk);
	phone_refers(s, &talk, "<sip:0302@jackfield>");
	(void)sim_expect(&s->phone, "SIP/2.0 202");
	invite = sim_expect(&s->provider, "INVITE sip:0302@");
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL); /* again: nothing new */
	sim_run(s, 5);
	assert_false(sim_heard(&s->phone, "BYE"));
	target_answers(s, &talk, invite);
	for (unsigned i = 0; i < ARRAY_LEN(frags); i++) {
		notify = sim_expect(&s->phone, "NOTIFY");
		assert_non_null(strstr(sim_body(notify), frags[i]));
		assert_int_equal(!strncmp(sim_header(notify, "Subscription-State"), "terminated",
					  10),
				 i == 2);
		sim_reply(&s->phone, notify, 200, NULL, NULL, NULL);
	}
	sim_run(s, 5);
	assert_false(sim_heard(&s->phone, "NOTIFY"));
	(void)sim_expect(&s->phone, "BYE");
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

static void a_phone_asks_twice(void **state)
{
	struct sim *s = *state;
	struct talk talk;

	up(s, &talk);
	phone_refers(s, &talk, "<sip:0302@jackfield>");
	(void)sim_expect(&s->phone, "SIP/2.0 202");
	phone_refers(s, &talk, "<sip:0303@jackfield>");
	(void)sim_expect(&s->phone, "SIP/2.0 491");
	assert_int_equal(ask(s, &talk, (struct transfer_wish){ 0 }), REPLY_WRONG_STATE);
	target_answers(s, &talk, sim_expect(&s->provider, "INVITE sip:0302@"));
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

static void a_phone_that_vanished_after_its_refer(void **state)
{
	struct sim *s = *state;
	struct talk talk;
	const char *invite;

	up(s, &talk);
	s->phone.deaf = true;
	phone_refers(s, &talk, "<sip:0302@jackfield>");
	invite = sim_expect(&s->provider, "INVITE sip:0302@");
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 10000);
	target_answers(s, &talk, invite);
	expect_state(s, &talk, CALL_ANSWERED);
	sim_run(s, 70000);
	s->phone.deaf = false;
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

/* The phone's own second call, to the target. */
static void second_call(struct sim *s, struct sim_dialog *own)
{
	sim_dial(&s->phone, own, "0302");
}

static void replaces(char *dst, size_t size, const struct sim_dialog *own)
{
	const char *to = strstr(own->remote, ";tag="), *from = strstr(own->local, ";tag=");

	(void)snprintf(
		dst, size,
		"<sip:0302@jackfield?Replaces=%.100s%%3Bto-tag%%3D%.60s%%3Bfrom-tag%%3D%.60s>",
		own->call_id, to ? to + 5 : "", from ? from + 5 : "");
}

static void a_phone_joins_its_two_calls(void **state)
{
	struct sim *s = *state;
	struct sim_dialog own;
	struct talk talk;
	char to[400];

	up(s, &talk);
	second_call(s, &own);
	target_answers(s, &talk, sim_expect(&s->provider, "INVITE sip:0302@"));
	sim_confirm(&own, sim_expect(&s->phone, "SIP/2.0 200"));
	sim_ack(&own, NULL);
	sim_run(s, 5);
	replaces(to, sizeof(to), &own);
	phone_refers(s, &talk, to);
	(void)sim_expect(&s->phone, "SIP/2.0 202");
	sim_run(s, 5);
	assert_int_equal(sim_count(&s->phone, "BYE"), 2);
	assert_int_equal(sim_events(s, EVENT_CALL_TRANSFERRED), 1);
	expect_state(s, &talk, CALL_ANSWERED);
	sim_run(s, 40000); /* its NOTIFYs are never answered */
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->provider, "BYE");
}

static void a_phone_joins_and_the_target_leaves_in_the_same_moment(void **state)
{
	struct sim *s = *state;
	struct sim_dialog own;
	struct talk talk;
	char to[400];

	up(s, &talk);
	second_call(s, &own);
	target_answers(s, &talk, sim_expect(&s->provider, "INVITE sip:0302@"));
	sim_confirm(&own, sim_expect(&s->phone, "SIP/2.0 200"));
	sim_ack(&own, NULL);
	sim_run(s, 5);
	replaces(to, sizeof(to), &own);
	sim_request(&talk.target, "BYE", NULL, NULL);
	phone_refers(s, &talk, to);
	sim_run(s, 20);
	/* The call it names has just ended. */
	(void)sim_expect(&s->phone, "SIP/2.0 603");
	expect_state(s, &talk, CALL_ANSWERED);
	stays_hangs_up(s, &talk);
}

static void a_phone_joins_while_the_second_rings(void **state)
{
	struct sim *s = *state;
	struct sim_dialog own;
	struct talk talk;
	const char *invite;
	char to[400];

	up(s, &talk);
	second_call(s, &own);
	invite = sim_expect(&s->provider, "INVITE sip:0302@");
	sim_reply(&s->provider, invite, 180, "t", NULL, NULL);
	sim_run(s, 5);
	sim_confirm(&own, sim_expect(&s->phone, "SIP/2.0 180"));
	replaces(to, sizeof(to), &own);
	phone_refers(s, &talk, to);
	(void)sim_expect(&s->phone, "SIP/2.0 202");
	sim_run(s, 5);
	sim_reply(&s->provider, invite, 486, "t", NULL, NULL);
	sim_run(s, 5);
	/* Busy: its first call is still there. */
	expect_state(s, &talk, CALL_ANSWERED);
	assert_false(sim_heard(&s->phone, "BYE"));
	stays_hangs_up(s, &talk);
	(void)sim_expect(&s->phone, "BYE");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(a_busy_target_and_the_two_talk_on),
		T(a_dead_target_is_given_up_and_the_two_talk_on),
		T(a_slow_target_is_cancelled_and_who_transferred_is_rung),
		T(nobody_is_there_any_more),
		T(who_transferred_refuses_it_back),
		T(who_transfers_hangs_up_first),
		T(the_byes_cross),
		T(the_answer_crosses_the_other_partys_bye),
		T(called_off_as_it_is_answered),
		T(hung_up_by_request_in_the_middle),
		T(the_target_never_says_goodbye),
		T(attended_to_a_dead_target),
		T(attended_and_the_phone_hangs_up_as_it_completes),
		T(the_target_leaves_as_it_is_completed),
		T(swapped_while_the_hold_is_still_open),
		T(the_other_party_leaves_and_the_ringing_consult_goes_on),
		T(the_other_party_leaves_while_the_phone_holds_the_target),
		T(completed_early_and_then_nobody_answers),
		T(accepted_and_never_a_word),
		T(accepted_never_a_word_and_nobody_left),
		T(the_report_ends_without_a_result),
		T(nothing_answers_the_refer),
		T(the_refers_cross),
		T(called_off_while_the_far_end_is_silent),
		T(called_off_before_the_refer_is_answered),
		T(called_off_and_who_transferred_is_rung_again),
		T(a_phone_is_told_all_of_it),
		T(a_phone_asks_twice),
		T(a_phone_that_vanished_after_its_refer),
		T(a_phone_joins_its_two_calls),
		T(a_phone_joins_and_the_target_leaves_in_the_same_moment),
		T(a_phone_joins_while_the_second_rings),
	};

	return cmocka_run_group_tests_name("sim transfers", tests, NULL, NULL);
}
