#include "world.h"

#include "base/base.h"

static int begin(void **state)
{
	*state = world_new();
	return 0;
}

static int end(void **state)
{
	world_expect_clean(*state);
	world_free(*state);
	return 0;
}

static struct channel *dialled(struct world *world)
{
	return fake_dialled(world->engine, 0);
}

/* Anna's phone answers, `to` is dialled. */
static struct channel *half_way(struct world *world, struct channel **ret_agent)
{
	assert_int_equal(world_call(world, "+49 30 123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	*ret_agent = fake_dialled(world->engine, 1);
	fake_say(*ret_agent, ENGINE_RINGING);
	fake_say(*ret_agent, ENGINE_ANSWERED);
	return dialled(world);
}

static struct id last_call(struct world *world)
{
	return world_view(world)->id;
}

/* ---- calling out ---- */

static void a_call_rings_the_phones_first_and_then_the_number(void **state)
{
	struct world *world = *state;
	struct channel *agent, *loser, *remote;

	assert_int_equal(world_call(world, "+49 30 123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	assert_int_equal(world->reply->call->state, CALL_DIALING);
	assert_int_equal(world->reply->call->leg_count, 2);
	assert_int_equal(world->engine->channel_count, 2);
	agent = fake_dialled(world->engine, 1);
	loser = dialled(world);
	assert_string_equal(agent->what.from, "+4930123");
	assert_true(id_eq(agent->what.line_next, world->line));

	fake_say(agent, ENGINE_RINGING);
	fake_say(loser, ENGINE_RINGING);
	fake_say(agent, ENGINE_ANSWERED);
	assert_true(loser->hung_up && loser->elsewhere);
	remote = dialled(world);
	assert_string_equal(remote->what.to, "+4930123");
	assert_true(id_eq(remote->what.line, world->line));
	assert_ptr_equal(remote->what.like, agent);

	fake_say(remote, ENGINE_RINGING);
	assert_true(agent->playing);
	assert_int_equal(agent->sound_kind, SOUND_RINGBACK);
	assert_int_equal(world_view(world)->state, CALL_RINGING);
	world_advance(world, 4000);
	fake_say(remote, ENGINE_ANSWERED);
	assert_false(agent->playing);
	assert_ptr_equal(agent->bridge, remote->bridge);
	assert_null(agent->bridge->deaf_listener);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);

	world_advance(world, 60000);
	fake_end(remote, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(world_view(world)->ring_s, 4);
	assert_int_equal(world_view(world)->talk_s, 60);
	assert_int_equal(world_view(world)->q850, 16);
	assert_true(agent->hung_up);
	assert_int_equal(agent->reason, END_COMPLETED);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 1);
}

static void early_media_is_heard_by_the_caller_alone_until_the_answer(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_RINGING);
	fake_say(remote, ENGINE_EARLY_MEDIA);
	assert_int_equal(world_view(world)->state, CALL_EARLY_MEDIA);
	assert_false(agent->playing);
	assert_ptr_equal(agent->bridge, remote->bridge);
	assert_ptr_equal(agent->bridge->deaf_listener, remote);
	/* A ringing signal after it changes nothing. */
	fake_say(remote, ENGINE_RINGING);
	assert_int_equal(world_view(world)->state, CALL_EARLY_MEDIA);
	assert_false(agent->playing);
	fake_say(remote, ENGINE_ANSWERED);
	assert_null(agent->bridge->deaf_listener);
	fake_end(agent, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLER);
}

static void a_call_that_says_something_ends_when_it_is_said(void **state)
{
	struct world *world = *state;

	assert_int_equal(world_call(world, "0301", CONNECT_SAY)->code, REPLY_OK);
	fake_say(dialled(world), ENGINE_RINGING);
	fake_say(dialled(world), ENGINE_ANSWERED);
	assert_string_equal(dialled(world)->said, "Good morning");
	fake_sound_done(dialled(world), true);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_PLATFORM);
}

static void speech_that_fails_is_a_media_failure(void **state)
{
	struct world *world = *state;

	world_call(world, "0301", CONNECT_SAY);
	fake_say(dialled(world), ENGINE_ANSWERED);
	fake_sound_done(dialled(world), false);
	world_expect_end(world, END_MEDIA_FAILED, 488, HANGUP_PLATFORM);
}

static void an_echo_lasts_until_somebody_hangs_up(void **state)
{
	struct world *world = *state;

	world_call(world, "0301", CONNECT_ECHO);
	fake_say(dialled(world), ENGINE_ANSWERED);
	assert_int_equal(dialled(world)->sound_kind, SOUND_ECHO);
	world_advance(world, 3600000);
	assert_int_equal(world_hangup(world, last_call(world), HANGUP_NORMAL)->code, REPLY_OK);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_API);
	assert_int_equal(world_view(world)->talk_s, 3600);
}

static const struct failure {
	enum end_reason reason;
	int code;
} failures[] = {
	{ END_BUSY, 486 },	   { END_BUSY, 600 },	      { END_DECLINED, 603 },
	{ END_NOT_FOUND, 404 },	   { END_NO_ANSWER, 408 },    { END_UNAVAILABLE, 480 },
	{ END_MEDIA_FAILED, 488 }, { END_TRUNK_FAILED, 503 }, { END_AUTH_FAILED, 407 },
};

static void every_refusal_of_the_far_end_has_its_reason(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		struct channel *agent, *remote = half_way(world, &agent);

		fake_end(remote, failures[i].reason, failures[i].code);
		world_expect_end(world, failures[i].reason, failures[i].code, HANGUP_CALLEE);
		assert_true(agent->hung_up);
		fake_settle(world->engine);
	}
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), ARRAY_LEN(failures));
}

static void a_caller_who_gives_up_cancels_the_call(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_RINGING);
	fake_end(agent, END_COMPLETED, 200);
	world_expect_end(world, END_CANCELED, 487, HANGUP_CALLER);
	assert_true(remote->hung_up);
	assert_int_equal(remote->reason, END_CANCELED);
	/* The answer that crosses our CANCEL opens nothing. */
	fake_say(remote, ENGINE_ANSWERED);
	assert_int_equal(world_events(world, EVENT_CALL_ANSWERED), 0);
	assert_int_equal(world_view(world)->talk_s, 0);
}

static void phones_that_decline_end_the_call(void **state)
{
	struct world *world = *state;

	world_call(world, "0301", CONNECT_ANY_DEVICE);
	fake_end(fake_dialled(world->engine, 0), END_UNAVAILABLE, 480);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	fake_end(fake_dialled(world->engine, 1), END_DECLINED, 603);
	world_expect_end(world, END_DECLINED, 603, HANGUP_CALLER);
}

static void nobody_answers_within_the_time(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_RINGING);
	world_advance(world, 61000);
	world_expect_end(world, END_NO_ANSWER, 480, HANGUP_PLATFORM);
	assert_true(remote->hung_up);
}

static void a_call_lasts_no_longer_than_allowed(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	world_advance(world, 14401000);
	world_expect_end(world, END_TIMEOUT, 408, HANGUP_PLATFORM);
	assert_int_equal(world_view(world)->talk_s, 14400);
}

static void both_hang_up_at_once_and_the_call_ends_once(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	fake_end(remote, END_COMPLETED, 200);
	fake_end(agent, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 1);
}

static void a_broken_session_is_not_a_completed_call(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	fake_end(remote, END_TIMEOUT, 408);
	world_expect_end(world, END_TIMEOUT, 408, HANGUP_CALLEE);
}

static void hanging_up_twice_does_nothing(void **state)
{
	struct world *world = *state;
	struct channel *agent;
	struct id call;

	half_way(world, &agent);
	call = last_call(world);
	assert_int_equal(world_hangup(world, call, HANGUP_NORMAL)->code, REPLY_OK);
	assert_null(world->reply->state);
	world_expect_end(world, END_CANCELED, 487, HANGUP_API);
	assert_int_equal(world_hangup(world, call, HANGUP_BUSY)->code, REPLY_OK);
	assert_string_equal(world->reply->state, "ended");
	world_expect_end(world, END_CANCELED, 487, HANGUP_API);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 1);
	assert_int_equal(world->reply->call->end_reason, END_CANCELED);
}

static void one_ringing_phone_can_be_silenced_alone(void **state)
{
	struct world *world = *state;
	struct command command = { .type = COMMAND_HANGUP_CALL, .asker = world_anna(world) };

	world_call(world, "0301", CONNECT_ANY_DEVICE);
	command.call_id = last_call(world);
	command.leg_id = world->reply->call->legs[0].id;
	assert_int_equal(world_do(world, &command)->code, REPLY_OK);
	assert_true(fake_dialled(world->engine, 1)->hung_up);
	assert_false(fake_dialled(world->engine, 0)->hung_up);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	command.leg_id = world->reply->call->legs[1].id;
	world_do(world, &command);
	world_expect_end(world, END_CANCELED, 487, HANGUP_API);
}

static void a_channel_that_never_ends_is_reaped(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	world_hangup(world, last_call(world), HANGUP_NORMAL);
	world_advance(world, 41000);
	assert_null(remote->user);
	assert_null(agent->user);
}

static void a_far_end_on_hold_is_shown_and_counted(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	fake_say(remote, ENGINE_HELD);
	assert_int_equal(world_view(world)->state, CALL_HELD);
	assert_true(world_view(world)->hold_remote);
	assert_false(world_view(world)->hold_local);
	world_advance(world, 10000);
	fake_say(remote, ENGINE_HELD); /* again: nothing new */
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 1);
	fake_say(remote, ENGINE_RESUMED);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	world_advance(world, 5000);
	fake_say(agent, ENGINE_HELD);
	assert_true(world_view(world)->hold_local);
	world_advance(world, 7000);
	fake_end(remote, END_COMPLETED, 200);
	assert_int_equal(world_view(world)->hold_s, 17);
	assert_int_equal(world_view(world)->talk_s, 22);
}

/* ---- coming in ---- */

static void an_incoming_call_rings_all_phones_and_one_takes_it(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171"), *first, *second;

	assert_int_equal(world->engine->channel_count, 3);
	first = fake_dialled(world->engine, 1);
	second = fake_dialled(world->engine, 0);
	assert_string_equal(first->what.from, "0171");
	assert_ptr_equal(first->what.like, in);
	fake_say(first, ENGINE_RINGING);
	assert_true(in->rung);
	fake_say(second, ENGINE_RINGING);
	fake_say(second, ENGINE_ANSWERED);
	assert_true(first->hung_up && first->elsewhere);
	assert_true(in->answered);
	assert_ptr_equal(in->like, second);
	assert_ptr_equal(in->bridge, second->bridge);
	/* The other one was answered in the same moment: it is too late. */
	fake_say(first, ENGINE_ANSWERED);
	assert_int_equal(world_events(world, EVENT_CALL_ANSWERED), 1);
	assert_null(first->bridge);
	fake_say(in, ENGINE_ANSWERED); /* their ACK */
	world_advance(world, 2000);
	fake_end(in, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLER);
	assert_int_equal(world_view(world)->direction, CALL_INCOMING);
	assert_true(id_eq(world_view(world)->user_id, world->anna));
}

static void a_caller_who_leaves_stops_the_phones(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171");

	fake_say(fake_dialled(world->engine, 0), ENGINE_RINGING);
	fake_end(in, END_CANCELED, 487);
	world_expect_end(world, END_CANCELED, 487, HANGUP_CALLER);
	assert_true(fake_dialled(world->engine, 0)->hung_up);
	assert_true(fake_dialled(world->engine, 1)->hung_up);
	assert_false(fake_dialled(world->engine, 1)->elsewhere);
}

static void the_most_decided_phone_answers_for_all(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171");

	fake_end(fake_dialled(world->engine, 0), END_BUSY, 486);
	assert_false(in->hung_up);
	fake_end(fake_dialled(world->engine, 1), END_NO_ANSWER, 408);
	world_expect_end(world, END_BUSY, 486, HANGUP_CALLEE);
	assert_int_equal(in->reason, END_BUSY);
}

static void without_a_phone_an_incoming_call_is_unavailable(void **state)
{
	struct world *world = *state;
	struct channel *in;

	fake_online(world->engine, world->phone, false);
	fake_online(world->engine, world->phone2, false);
	in = world_rings_in(world, "0171");
	world_expect_end(world, END_UNAVAILABLE, 480, HANGUP_PLATFORM);
	assert_int_equal(in->reason, END_UNAVAILABLE);
	assert_int_equal(world_call(world, "0301", CONNECT_ANY_DEVICE)->code, REPLY_NO_DEVICE);
}

static void nobody_takes_an_incoming_call(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171");

	fake_say(fake_dialled(world->engine, 0), ENGINE_RINGING);
	world_advance(world, 61000);
	world_expect_end(world, END_NO_ANSWER, 480, HANGUP_PLATFORM);
	assert_int_equal(in->reason, END_NO_ANSWER);
}

static void to_api(struct line_spec *spec)
{
	spec->incoming = INCOMING_API;
}

static struct reply *answer(struct world *world, enum connect_kind kind)
{
	struct connect_spec *body = xzalloc(sizeof(*body));

	body->kind = kind;
	return world_do(world, &(struct command){ .type = COMMAND_ANSWER_CALL,
						  .asker = world_anna(world),
						  .call_id = last_call(world),
						  .body = body });
}

static void a_parked_call_waits_for_the_api(void **state)
{
	struct world *world = *state;
	struct channel *in;

	world_put_line(world, world->line, world->anna, to_api);
	in = world_rings_in(world, "0171");
	assert_true(in->rung);
	assert_int_equal(world->engine->channel_count, 1);
	assert_int_equal(answer(world, CONNECT_ANY_DEVICE)->code, REPLY_OK);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	assert_true(in->answered);
	assert_int_equal(answer(world, CONNECT_ANY_DEVICE)->code, REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "answered");
	fake_end(in, END_COMPLETED, 200);
}

/* The API takes NOT_FOUND for the call's own end. */
static void what_a_call_does_not_have_is_not_its_end(void **state)
{
	struct world *world = *state;
	struct channel *in;

	world_put_line(world, world->line, world->anna, to_api);
	in = world_rings_in(world, "0171");
	assert_int_equal(answer(world, CONNECT_DEVICE)->code, REPLY_INVALID);
	assert_string_equal(world->reply->field, "connect");
	(void)world_do(world, &(struct command){ .type = COMMAND_HANGUP_CALL,
						 .asker = world_anna(world),
						 .call_id = last_call(world),
						 .leg_id = id_new() });
	assert_int_equal(world->reply->code, REPLY_INVALID);
	assert_string_equal(world->reply->field, "leg_id");
	assert_false(in->hung_up);
	fake_end(in, END_CANCELED, 487);
}

static void a_parked_call_nobody_takes_is_not_answered(void **state)
{
	struct world *world = *state;

	world_put_line(world, world->line, world->anna, to_api);
	world_rings_in(world, "0171");
	world_advance(world, 61000);
	world_expect_end(world, END_NO_ANSWER, 480, HANGUP_PLATFORM);
}

static void a_ringing_call_can_be_taken_by_an_echo(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171");

	assert_int_equal(answer(world, CONNECT_ECHO)->code, REPLY_OK);
	assert_true(in->answered);
	assert_int_equal(in->sound_kind, SOUND_ECHO);
	assert_true(fake_dialled(world->engine, 0)->hung_up);
	fake_end(in, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLER);
}

static void an_incoming_call_can_be_declined_by_the_api(void **state)
{
	struct world *world = *state;
	struct channel *in = world_rings_in(world, "0171");

	world_hangup(world, last_call(world), HANGUP_BUSY);
	assert_int_equal(in->reason, END_BUSY);
	world_expect_end(world, END_BUSY, 486, HANGUP_API);
	fake_settle(world->engine);
	in = world_rings_in(world, "0171");
	world_hangup(world, last_call(world), HANGUP_DECLINED);
	assert_int_equal(in->reason, END_DECLINED);
	world_expect_end(world, END_DECLINED, 603, HANGUP_API);
}

static struct id other_line;
static void to_number(struct line_spec *spec)
{
	spec->incoming = INCOMING_NUMBER;
	spec->incoming_id = other_line;
	(void)str_copy(spec->incoming_target, sizeof(spec->incoming_target), "0172 99");
}

static void an_incoming_call_goes_out_again_through_another_profile(void **state)
{
	struct world *world = *state;
	struct channel *in, *out;

	other_line = world->line_ben;
	world_put_line(world, world->line, world->anna, to_number);
	in = world_rings_in(world, "0171");
	out = dialled(world);
	assert_string_equal(out->what.to, "017299");
	assert_true(id_eq(out->what.line, world->line_ben));
	fake_say(out, ENGINE_EARLY_MEDIA);
	assert_true(in->progressed);
	assert_ptr_equal(in->bridge, out->bridge);
	fake_say(out, ENGINE_ANSWERED);
	assert_true(in->answered);
	fake_end(out, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLEE);
}

static void a_dead_trunk_behind_a_forward_does_not_look_like_us(void **state)
{
	struct world *world = *state;
	struct channel *in;

	other_line = world->line_ben;
	world_put_line(world, world->line, world->anna, to_number);
	in = world_rings_in(world, "0171");
	fake_end(dialled(world), END_TRUNK_FAILED, 503);
	world_expect_end(world, END_TRUNK_FAILED, 503, HANGUP_CALLEE);
	assert_int_equal(in->reason, END_UNAVAILABLE);
}

/* ---- phones ---- */

static void a_phone_dials_an_extension(void **state)
{
	struct world *world = *state;
	struct channel *in = world_phone_dials(world, world->phone, "101");

	assert_true(id_eq(dialled(world)->what.device, world->phone_ben));
	assert_string_equal(dialled(world)->what.from, "100");
	assert_string_equal(dialled(world)->what.from_name, "Anna");
	fake_say(dialled(world), ENGINE_RINGING);
	assert_true(in->rung);
	fake_say(dialled(world), ENGINE_ANSWERED);
	assert_int_equal(world_view(world)->direction, CALL_INTERNAL);
	fake_end(in, END_COMPLETED, 200);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_CALLER);
}

static void a_phone_that_dials_its_own_extension_rings_the_others(void **state)
{
	struct world *world = *state;
	struct channel *in = world_phone_dials(world, world->phone, "100");

	assert_int_equal(world->engine->channel_count, 2);
	assert_true(id_eq(dialled(world)->what.device, world->phone2));
	fake_end(in, END_CANCELED, 487);
}

static void a_phone_dials_out_through_the_default_profile(void **state)
{
	struct world *world = *state;
	struct channel *in = world_phone_dials(world, world->phone, "0049 (30) 55-5");

	assert_string_equal(dialled(world)->what.to, "004930555");
	assert_true(id_eq(dialled(world)->what.line, world->line));
	assert_int_equal(world_view(world)->direction, CALL_OUTGOING);
	fake_say(dialled(world), ENGINE_EARLY_MEDIA);
	assert_true(in->progressed);
	fake_end(dialled(world), END_BUSY, 486);
	assert_int_equal(in->reason, END_BUSY);
	world_expect_end(world, END_BUSY, 486, HANGUP_CALLEE);
}

static void a_phone_may_not_use_the_profile_of_another(void **state)
{
	struct world *world = *state;
	struct channel_info info = { .device_id = world->phone,
				     .to = "0301",
				     .wanted_profile = world->line_ben };

	assert_int_equal(fake_incoming(world->engine, &info)->reason, END_NOT_FOUND);
	world_expect_end(world, END_NOT_FOUND, 404, HANGUP_PLATFORM);
}

static void the_phone_of_a_closed_account_calls_nobody(void **state)
{
	struct world *world = *state;
	struct user_spec *spec = xzalloc(sizeof(*spec));

	spec->id = world->anna;
	spec->tenant = world->tenant;
	world_do(world, &(struct command){ .type = COMMAND_USER_PUT, .body = spec });
	assert_int_equal(world_phone_dials(world, world->phone, "0301")->reason, END_DECLINED);
	world_expect_end(world, END_DECLINED, 603, HANGUP_PLATFORM);
	assert_int_equal(world_phone_dials(world, world->phone, "101")->reason, END_DECLINED);
	assert_int_equal(world->engine->channel_count, 2); /* its own two */
}

static void star_codes_echo_and_read_the_number_back(void **state)
{
	struct world *world = *state;
	struct channel *in = world_phone_dials(world, world->phone, "*43");

	assert_true(in->answered);
	assert_int_equal(in->sound_kind, SOUND_ECHO);
	fake_end(in, END_COMPLETED, 200);
	in = world_phone_dials(world, world->phone, "*44");
	assert_string_equal(in->said, "Your number is 1, 0, 0, ");
	fake_sound_done(in, true);
	world_expect_end(world, END_COMPLETED, 200, HANGUP_PLATFORM);
}

/* ---- the rest ---- */

static void a_stranger_may_not_transfer_us(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	fake_say(remote, ENGINE_TRANSFER);
	assert_int_equal(remote->transfer_code, 603);
	fake_end(remote, END_COMPLETED, 200);
}

static void digits_are_events(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);

	fake_say(remote, ENGINE_ANSWERED);
	fake_say(remote, ENGINE_DTMF);
	assert_non_null(strstr(world_event(world, EVENT_CALL_DTMF)->detail, "\"digit\":\"5\""));
	fake_end(remote, END_COMPLETED, 200);
}

static void call_seq_rises_with_every_event(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote = half_way(world, &agent);
	uint32_t last = 0;

	fake_say(remote, ENGINE_ANSWERED);
	fake_end(remote, END_COMPLETED, 200);
	for (unsigned i = 0; i < world->bus.count; i++) {
		assert_int_equal(world->bus.events[i]->call->seq, last + 1);
		last++;
	}
}

static void without_media_ports_a_call_fails_for_media(void **state)
{
	struct world *world = *state;
	struct channel *agent;

	assert_int_equal(world_call(world, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	agent = dialled(world);
	world->engine->fail_originate = ORIGINATE_E_PORTS;
	fake_say(agent, ENGINE_ANSWERED);
	world_expect_end(world, END_MEDIA_FAILED, 488, HANGUP_PLATFORM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_call_rings_the_phones_first_and_then_the_number),
		TEST(early_media_is_heard_by_the_caller_alone_until_the_answer),
		TEST(a_call_that_says_something_ends_when_it_is_said),
		TEST(speech_that_fails_is_a_media_failure),
		TEST(an_echo_lasts_until_somebody_hangs_up),
		TEST(every_refusal_of_the_far_end_has_its_reason),
		TEST(a_caller_who_gives_up_cancels_the_call),
		TEST(phones_that_decline_end_the_call),
		TEST(nobody_answers_within_the_time),
		TEST(a_call_lasts_no_longer_than_allowed),
		TEST(both_hang_up_at_once_and_the_call_ends_once),
		TEST(a_broken_session_is_not_a_completed_call),
		TEST(hanging_up_twice_does_nothing),
		TEST(one_ringing_phone_can_be_silenced_alone),
		TEST(a_channel_that_never_ends_is_reaped),
		TEST(a_far_end_on_hold_is_shown_and_counted),
		TEST(an_incoming_call_rings_all_phones_and_one_takes_it),
		TEST(a_caller_who_leaves_stops_the_phones),
		TEST(the_most_decided_phone_answers_for_all),
		TEST(without_a_phone_an_incoming_call_is_unavailable),
		TEST(nobody_takes_an_incoming_call),
		TEST(a_parked_call_waits_for_the_api),
		TEST(what_a_call_does_not_have_is_not_its_end),
		TEST(a_parked_call_nobody_takes_is_not_answered),
		TEST(a_ringing_call_can_be_taken_by_an_echo),
		TEST(an_incoming_call_can_be_declined_by_the_api),
		TEST(an_incoming_call_goes_out_again_through_another_profile),
		TEST(a_dead_trunk_behind_a_forward_does_not_look_like_us),
		TEST(a_phone_dials_an_extension),
		TEST(a_phone_that_dials_its_own_extension_rings_the_others),
		TEST(a_phone_dials_out_through_the_default_profile),
		TEST(a_phone_may_not_use_the_profile_of_another),
		TEST(the_phone_of_a_closed_account_calls_nobody),
		TEST(star_codes_echo_and_read_the_number_back),
		TEST(a_stranger_may_not_transfer_us),
		TEST(digits_are_events),
		TEST(call_seq_rises_with_every_event),
		TEST(without_media_ports_a_call_fails_for_media),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
