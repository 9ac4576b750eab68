/* A supervisor on a call, with all that can cross it: signalling alone; who hears whom is for other tests. */
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

/* Closed in the middle of things: nothing may be lost. */
static int end_at_once(void **state)
{
	sim_free(*state);
	return 0;
}

/* Return: the call. */
static struct id up(struct sim *s, struct sim_dialog *phone, struct sim_dialog *far)
{
	sim_talk(s, phone, far, sim_sdp);
	return sim_view(s)->id;
}

static struct reply *ask(struct sim *s, const struct monitor_wish *wish)
{
	struct reply *reply = sim_do(s, &(struct command){ .type = COMMAND_MONITOR,
							   .body = xmemdup(wish, sizeof(*wish)) });

	return reply;
}

/* The supervisor is somewhere in the telephone network, at 0900. */
static struct monitor_wish wish_for(struct sim *s, struct id call, enum monitor_mode mode)
{
	struct monitor_wish wish = {
		.action = MONITOR_START,
		.monitor = id_new(),
		.call = call,
		.has_mode = true,
		.mode = mode,
		.connect = { .kind = CONNECT_NUMBER, .profile = s->line },
	};

	(void)str_copy(wish.connect.number, sizeof(wish.connect.number), "0900");
	return wish;
}

static struct id start(struct sim *s, struct id call, enum monitor_mode mode)
{
	struct monitor_wish wish = wish_for(s, call, mode);
	struct reply *reply = ask(s, &wish);

	assert_int_equal(reply->code, REPLY_OK);
	assert_int_equal(reply->monitor->state, MONITOR_RINGING);
	sim_run(s, 5);
	return wish.monitor;
}

static const char *rung(struct sim *s)
{
	return sim_expect(&s->provider, "INVITE sip:0900@");
}

/* It is there. */
static struct id watch(struct sim *s, struct id call, enum monitor_mode mode,
		       struct sim_dialog *boss)
{
	struct id id = start(s, call, mode);

	sim_answer(&s->provider, rung(s), boss, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	return id;
}

static enum reply_code change(struct sim *s, struct id id, enum monitor_mode mode)
{
	return ask(s, &(struct monitor_wish){ .action = MONITOR_CHANGE,
					      .monitor = id,
					      .has_mode = true,
					      .mode = mode })
		->code;
}

static enum reply_code leave(struct sim *s, struct id id)
{
	return ask(s, &(struct monitor_wish){ .action = MONITOR_STOP, .monitor = id })->code;
}

static enum monitor_state state_of(struct sim *s, struct id id)
{
	struct reply *reply =
		ask(s, &(struct monitor_wish){ .action = MONITOR_GET, .monitor = id });

	assert_int_equal(reply->code, REPLY_OK);
	return reply->monitor->state;
}

/* It was told once, with this reason. */
static void stopped(struct sim *s, const char *reason)
{
	assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), 1);
	for (unsigned i = 0; i < s->event_count; i++)
		if (s->events[i]->type == EVENT_MONITOR_STOPPED)
			assert_string_equal(s->events[i]->monitor->reason, reason);
}

/* The request of that name within the dialogue with 0900. */
static unsigned count_to_boss(struct sim *s, const char *method)
{
	unsigned count = 0;

	for (unsigned i = 0; i < s->provider.count; i++) {
		const char *text = s->provider.inbox[i].text;

		count += str_has_prefix(text, method) && strstr(sim_header(text, "To"), "0900");
	}
	return count;
}

static void hang_up(struct sim *s, struct sim_dialog *far)
{
	sim_request(far, "BYE", NULL, NULL);
	sim_run(s, 20);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

static void one_comes_and_goes_and_nobody_else_notices(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;
	unsigned told = sim_events(s, EVENT_CALL_UPDATED), phones = s->phone.count;

	id = watch(s, call, MONITOR_LISTEN, &boss);
	assert_int_equal(state_of(s, id), MONITOR_ACTIVE);
	assert_int_equal(sim_events(s, EVENT_MONITOR_STARTED), 1);
	assert_int_equal(change(s, id, MONITOR_WHISPER), REPLY_OK);
	assert_int_equal(change(s, id, MONITOR_WHISPER), REPLY_OK); /* nothing new */
	assert_int_equal(change(s, id, MONITOR_BARGE), REPLY_OK);
	assert_int_equal(sim_events(s, EVENT_MONITOR_CHANGED), 2);
	assert_int_equal(leave(s, id), REPLY_OK);
	sim_run(s, 50);
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	stopped(s, "stopped");
	assert_int_equal(state_of(s, id), MONITOR_ENDED);
	assert_int_equal(leave(s, id), REPLY_OK);
	assert_int_equal(change(s, id, MONITOR_LISTEN), REPLY_WRONG_STATE);
	/* The call was told of nothing, and its phone got no message. */
	assert_int_equal(sim_events(s, EVENT_CALL_UPDATED), told);
	assert_int_equal(sim_events(s, EVENT_CALL_CREATED), 1);
	assert_int_equal(s->phone.count, phones);
	sim_run(s, 10000);
	assert_int_equal(leave(s, id), REPLY_NOT_FOUND); /* forgotten here; its row is in the log */
	hang_up(s, &far);
}

static void the_supervisors_bye_ends_only_the_monitoring(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);

	(void)watch(s, call, MONITOR_BARGE, &boss);
	sim_request(&boss, "BYE", NULL, NULL);
	sim_run(s, 20);
	stopped(s, "hung_up");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	hang_up(s, &far);
}

static void the_calls_end_takes_the_supervisor_along(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);

	(void)watch(s, call, MONITOR_WHISPER, &boss);
	hang_up(s, &far);
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	stopped(s, "call_ended");
}

static void the_call_ends_while_the_supervisors_phone_rings(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far);
	const char *invite;

	(void)start(s, call, MONITOR_LISTEN);
	invite = rung(s);
	sim_reply(&s->provider, invite, 180, "boss", NULL, NULL);
	sim_run(s, 5);
	hang_up(s, &far);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "boss", NULL, NULL);
	sim_run(s, 20);
	stopped(s, "call_ended");
	assert_int_equal(sim_events(s, EVENT_MONITOR_STARTED), 0);
}

static void an_answer_that_crosses_the_cancel_is_ended(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);
	const char *invite;

	(void)start(s, call, MONITOR_BARGE);
	invite = rung(s);
	sim_reply(&s->provider, invite, 180, "boss", NULL, NULL);
	sim_run(s, 5);
	hang_up(s, &far);
	sim_answer(&s->provider, invite, &boss, sim_sdp);
	sim_run(s, 50);
	(void)sim_expect(&s->provider, "ACK");
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	stopped(s, "call_ended");
	assert_int_equal(sim_events(s, EVENT_MONITOR_STARTED), 0);
}

/* In one moment, in both orders. */
static void the_answer_and_the_calls_end_cross(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);
	const char *invite;

	(void)start(s, call, MONITOR_WHISPER);
	invite = rung(s);
	sim_answer(&s->provider, invite, &boss, sim_sdp);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 50);
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	stopped(s, "call_ended");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

static void the_calls_end_and_the_answer_cross(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);
	const char *invite;

	(void)start(s, call, MONITOR_WHISPER);
	invite = rung(s);
	sim_request(&far, "BYE", NULL, NULL);
	sim_answer(&s->provider, invite, &boss, sim_sdp);
	sim_run(s, 50);
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	stopped(s, "call_ended");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

static void both_hang_up_in_the_same_moment(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);

	(void)watch(s, call, MONITOR_BARGE, &boss);
	sim_request(&boss, "BYE", NULL, NULL);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 50);
	assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), 1);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

static void a_change_crosses_the_end(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = watch(s, call, MONITOR_LISTEN, &boss);
	/* The BYE is on its way when the change is asked for, and it is carried out. */
	sim_request(&far, "BYE", NULL, NULL);
	assert_int_equal(change(s, id, MONITOR_BARGE), REPLY_OK);
	sim_run(s, 20);
	assert_int_equal(sim_events(s, EVENT_MONITOR_CHANGED), 1);
	stopped(s, "call_ended");
	assert_int_equal(change(s, id, MONITOR_LISTEN), REPLY_WRONG_STATE);
	assert_string_equal(s->reply->state, "ended");
	assert_int_equal(sim_events(s, EVENT_MONITOR_CHANGED), 1);
}

static void leaving_crosses_the_supervisors_bye(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = watch(s, call, MONITOR_LISTEN, &boss);
	sim_request(&boss, "BYE", NULL, NULL);
	assert_int_equal(leave(s, id), REPLY_OK);
	sim_run(s, 50);
	stopped(s, "stopped");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	hang_up(s, &far);
}

static void leaving_before_the_answer_cancels(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far), id;
	const char *invite;

	id = start(s, call, MONITOR_LISTEN);
	invite = rung(s);
	assert_int_equal(leave(s, id), REPLY_OK); /* nothing has come back yet: the CANCEL waits */
	sim_run(s, 50);
	assert_false(sim_heard(&s->provider, "CANCEL"));
	sim_reply(&s->provider, invite, 180, "boss", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "boss", NULL, NULL);
	sim_run(s, 20);
	stopped(s, "stopped");
	hang_up(s, &far);
}

static void a_mode_that_is_changed_while_it_rings_is_the_one_it_begins_with(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = start(s, call, MONITOR_LISTEN);
	assert_int_equal(change(s, id, MONITOR_BARGE), REPLY_OK);
	sim_answer(&s->provider, rung(s), &boss, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(state_of(s, id), MONITOR_ACTIVE);
	assert_int_equal(s->reply->monitor->mode, MONITOR_BARGE);
	hang_up(s, &far);
}

static const struct refusal {
	int code;
	const char *reason;
} refusals[] = {
	{ 486, "busy" }, { 603, "declined" }, { 404, "not_found" }, { 480, "unavailable" }
};

static void every_refusal_has_its_reason(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far);

	for (unsigned i = 0; i < ARRAY_LEN(refusals); i++) {
		struct id id = start(s, call, MONITOR_LISTEN);
		struct reply *reply;

		sim_reply(&s->provider, rung(s), refusals[i].code, "no", NULL, NULL);
		sim_run(s, 20);
		assert_int_equal(state_of(s, id), MONITOR_ENDED);
		reply = s->reply;
		assert_string_equal(reply->monitor->reason, refusals[i].reason);
		assert_int_equal(reply->monitor->started_at, 0);
		assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), i + 1);
	}
	assert_int_equal(sim_events(s, EVENT_MONITOR_STARTED), 0);
	hang_up(s, &far);
}

static void a_phone_that_is_dead_is_given_up(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far);

	(void)start(s, call, MONITOR_LISTEN);
	(void)rung(s);
	sim_run(s, 33000); /* timer B */
	stopped(s, "trunk_failed");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	hang_up(s, &far);
}

static void a_phone_that_rings_for_ever_is_cancelled(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far);
	const char *invite;

	(void)start(s, call, MONITOR_LISTEN);
	invite = rung(s);
	sim_reply(&s->provider, invite, 180, "boss", NULL, NULL);
	sim_run(s, 61000);
	stopped(s, "no_answer");
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "boss", NULL, NULL);
	sim_run(s, 20);
	hang_up(s, &far);
}

static void a_phone_that_died_after_its_answer_holds_nothing_up(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = watch(s, call, MONITOR_BARGE, &boss);
	s->provider.deaf = true; /* nobody answers the BYE */
	assert_int_equal(leave(s, id), REPLY_OK);
	sim_run(s, 40000);
	stopped(s, "stopped");
	s->provider.deaf = false;
	hang_up(s, &far);
}

static void a_hold_is_nothing_to_the_supervisors_signalling(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = watch(s, call, MONITOR_LISTEN, &boss);
	for (unsigned i = 0; i < 2; i++) {
		const char *invite;

		sim_do(s, &(struct command){
				  .type = COMMAND_HOLD_CALL, .call_id = call, .on = i == 0 });
		sim_run(s, 5);
		invite = sim_expect(&s->provider, "INVITE");
		assert_null(strstr(sim_header(invite, "To"), "0900"));
		sim_reply(&s->provider, invite, 200, NULL, NULL, sim_sdp);
		sim_run(s, 5);
	}
	/* And its own phone's hold is not the call's. */
	sim_request(&boss, "INVITE", NULL,
		    "v=0\r\no=- 7 8 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		    "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n");
	sim_run(s, 20);
	sim_ack(&boss, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CALL_HELD), 1);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_int_equal(state_of(s, id), MONITOR_ACTIVE);
	hang_up(s, &far);
}

static void a_refer_of_the_supervisors_phone_is_refused(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);

	(void)watch(s, call, MONITOR_LISTEN, &boss);
	sim_request(&boss, "REFER", "Refer-To: <sip:0666@10.0.0.1>\r\n", NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "SIP/2.0 603");
	assert_false(sim_heard(&s->provider, "INVITE sip:0666"));
	hang_up(s, &far);
}

static void what_cannot_be_watched(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct monitor_wish wish;
	struct id call;

	assert_int_equal(sim_make(s, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	call = sim_view(s)->id;
	wish = wish_for(s, call, MONITOR_LISTEN);
	assert_int_equal(ask(s, &wish)->code, REPLY_WRONG_STATE);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &phone, sim_sdp);
	sim_run(s, 5);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), &far, sim_sdp);
	sim_run(s, 5);
	/* Its own phone is on it, and there is no other. */
	wish.connect = (struct connect_spec){ .kind = CONNECT_ANY_DEVICE };
	assert_int_equal(ask(s, &wish)->code, REPLY_NO_DEVICE);
	wish.connect = (struct connect_spec){ .kind = CONNECT_DEVICE, .id = s->device };
	assert_int_equal(ask(s, &wish)->code, REPLY_INVALID);
	wish.connect = (struct connect_spec){ .kind = CONNECT_ECHO };
	assert_int_equal(ask(s, &wish)->code, REPLY_INVALID);
	wish = wish_for(s, id_new(), MONITOR_LISTEN);
	assert_int_equal(ask(s, &wish)->code, REPLY_NOT_FOUND);
	wish = wish_for(s, call, MONITOR_WHISPER);
	wish.target = id_new();
	assert_int_equal(ask(s, &wish)->code, REPLY_INVALID);
	hang_up(s, &far);
	wish = wish_for(s, call, MONITOR_LISTEN);
	assert_int_equal(ask(s, &wish)->code, REPLY_WRONG_STATE);
	assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), 0);
}

static void there_are_only_so_many(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct id call = up(s, &phone, &far);
	struct monitor_wish wish;

	for (unsigned i = 0; i < 16; i++)
		(void)start(s, call, MONITOR_LISTEN);
	wish = wish_for(s, call, MONITOR_LISTEN);
	assert_int_equal(ask(s, &wish)->code, REPLY_LIMIT);
	sim_run(s, 40000);
	assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), 16);
	hang_up(s, &far);
}

static void put_anna(struct sim *s, bool may)
{
	struct user_spec *user = xzalloc(sizeof(*user));

	user->id = s->anna;
	user->tenant = s->tenant;
	user->active = true;
	user->may_monitor = may;
	(void)str_copy(user->extension, sizeof(user->extension), "100");
	sim_do(s, &(struct command){ .type = COMMAND_USER_PUT, .body = user });
}

static void who_may_not_any_more_is_off_the_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far);

	(void)watch(s, call, MONITOR_BARGE, &boss);
	put_anna(s, true);
	assert_int_equal(sim_events(s, EVENT_MONITOR_STOPPED), 0);
	put_anna(s, false);
	sim_run(s, 20);
	stopped(s, "not_allowed");
	assert_int_equal(count_to_boss(s, "BYE"), 1);
	hang_up(s, &far);
}

static struct id watch_and_follow(struct sim *s, struct id call, struct sim_dialog *boss)
{
	struct monitor_wish wish = wish_for(s, call, MONITOR_WHISPER);

	wish.follow_agent = true;
	assert_int_equal(ask(s, &wish)->code, REPLY_OK);
	sim_run(s, 5);
	sim_answer(&s->provider, rung(s), boss, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	return wish.monitor;
}

static void who_follows_an_agent_waits_for_the_next_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call = up(s, &phone, &far), id;

	id = watch_and_follow(s, call, &boss);
	hang_up(s, &far);
	assert_int_equal(state_of(s, id), MONITOR_WAITING);
	assert_int_equal(count_to_boss(s, "BYE"), 0);
	sim_run(s, 60000);
	call = up(s, &phone, &far);
	assert_int_equal(state_of(s, id), MONITOR_ACTIVE);
	assert_true(id_eq(s->reply->monitor->call_id, call));
	sim_request(&boss, "BYE", NULL, NULL);
	sim_run(s, 20);
	stopped(s, "hung_up");
	hang_up(s, &far);
}

static void who_waits_in_vain_goes_after_half_an_hour(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id id = watch_and_follow(s, up(s, &phone, &far), &boss);

	hang_up(s, &far);
	assert_int_equal(change(s, id, MONITOR_BARGE), REPLY_OK);
	for (unsigned minute = 0; minute < 31; minute++) {
		sim_run(s, 60000);
		while (sim_heard(&s->provider, "INVITE"))
			sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), 200, NULL, NULL,
				  sim_sdp);
	}
	stopped(s, "timeout");
	assert_int_equal(count_to_boss(s, "BYE"), 1);
}

static void a_drain_waits_for_nobody_who_waits(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;

	(void)watch_and_follow(s, up(s, &phone, &far), &boss);
	hang_up(s, &far);
	sim_do(s, &(struct command){ .type = COMMAND_DRAIN, .timeout_ms = 60000 });
	sim_run(s, 5000);
	stopped(s, "interrupted");
	assert_int_equal(count_to_boss(s, "BYE"), 1);
}

static void a_profile_that_a_supervisor_uses_is_in_use(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;

	(void)watch_and_follow(s, up(s, &phone, &far), &boss);
	hang_up(s, &far);
	sim_run(s, 5000);
	assert_int_equal(
		sim_do(s, &(struct command){ .type = COMMAND_PROFILE_DROP, .profile_id = s->line })
			->code,
		REPLY_PROFILE_IN_USE);
	assert_int_equal(sim_do(s, &(struct command){ .type = COMMAND_PROFILE_DROP,
						      .profile_id = s->line,
						      .force = true })
				 ->code,
			 REPLY_OK);
	sim_run(s, 50);
	stopped(s, "interrupted");
}

static void closed_while_one_rings_one_listens_and_one_waits(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, boss;
	struct id call;

	(void)watch_and_follow(s, up(s, &phone, &far), &boss);
	hang_up(s, &far);
	sim_dial(&s->phone, &phone, "0301");
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), &far, sim_sdp);
	sim_run(s, 20);
	call = sim_view(s)->id;
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	(void)watch(s, call, MONITOR_BARGE, &boss);
	(void)start(s, call, MONITOR_LISTEN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(one_comes_and_goes_and_nobody_else_notices),
		T(the_supervisors_bye_ends_only_the_monitoring),
		T(the_calls_end_takes_the_supervisor_along),
		T(the_call_ends_while_the_supervisors_phone_rings),
		T(an_answer_that_crosses_the_cancel_is_ended),
		T(the_answer_and_the_calls_end_cross),
		T(the_calls_end_and_the_answer_cross),
		T(both_hang_up_in_the_same_moment),
		T(a_change_crosses_the_end),
		T(leaving_crosses_the_supervisors_bye),
		T(leaving_before_the_answer_cancels),
		T(a_mode_that_is_changed_while_it_rings_is_the_one_it_begins_with),
		T(every_refusal_has_its_reason),
		T(a_phone_that_is_dead_is_given_up),
		T(a_phone_that_rings_for_ever_is_cancelled),
		T(a_phone_that_died_after_its_answer_holds_nothing_up),
		T(a_hold_is_nothing_to_the_supervisors_signalling),
		T(a_refer_of_the_supervisors_phone_is_refused),
		T(what_cannot_be_watched),
		T(there_are_only_so_many),
		T(who_may_not_any_more_is_off_the_call),
		T(who_follows_an_agent_waits_for_the_next_call),
		T(who_waits_in_vain_goes_after_half_an_hour),
		cmocka_unit_test_setup_teardown(a_drain_waits_for_nobody_who_waits, begin,
						end_at_once),
		cmocka_unit_test_setup_teardown(a_profile_that_a_supervisor_uses_is_in_use, begin,
						end_at_once),
		cmocka_unit_test_setup_teardown(closed_while_one_rings_one_listens_and_one_waits,
						begin, end_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
