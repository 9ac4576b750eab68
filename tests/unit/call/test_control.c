/* What is done to calls that are up. */
#include "world.h"

#include "base/base.h"

#include <string.h>

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

struct pair {
	struct channel *agent, *remote;
	struct id call, agent_leg, remote_leg;
};

/* Anna talks to somebody outside. */
static struct pair talk(struct world *world)
{
	const struct call_view *view;
	struct pair pair;

	assert_int_equal(world_call(world, "+4930123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	pair.agent = fake_dialled(world->engine, 0);
	fake_say(pair.agent, ENGINE_ANSWERED);
	fake_settle(world->engine);
	pair.remote = fake_dialled(world->engine, 0);
	fake_say(pair.remote, ENGINE_ANSWERED);
	view = world_view(world);
	assert_int_equal(view->state, CALL_ANSWERED);
	pair.call = view->id;
	for (unsigned i = 0; i < view->leg_count; i++)
		if (view->legs[i].state == LEG_ANSWERED)
			*(view->legs[i].role == LEG_AGENT ? &pair.agent_leg : &pair.remote_leg) =
				view->legs[i].id;
	return pair;
}

static const struct leg_view *leg_of(const struct call_view *view, struct id id)
{
	for (unsigned i = 0; i < view->leg_count; i++)
		if (id_eq(view->legs[i].id, id))
			return &view->legs[i];
	fail_msg("no such leg");
	return NULL;
}

static void over(struct world *world, struct id call)
{
	assert_int_equal(world_hangup(world, call, HANGUP_NORMAL)->code, REPLY_OK);
}

/* ---- mute ---- */

static struct reply *mute(struct world *world, struct asker asker, struct id call, struct id leg,
			  bool on)
{
	return world_do(world, &(struct command){ .type = COMMAND_MUTE_LEG,
						  .asker = asker,
						  .call_id = call,
						  .leg_id = leg,
						  .on = on });
}

static void a_leg_is_muted_and_heard_again(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);
	unsigned said;

	assert_int_equal(mute(world, anna, pair.call, pair.agent_leg, true)->code, REPLY_OK);
	assert_true(pair.agent->muted);
	assert_false(pair.remote->muted);
	assert_true(leg_of(world->reply->call, pair.agent_leg)->muted);
	assert_false(leg_of(world->reply->call, pair.remote_leg)->muted);
	said = world_events(world, EVENT_CALL_UPDATED);
	assert_true(leg_of(world_view(world), pair.agent_leg)->muted);
	assert_non_null(strstr(world_event(world, EVENT_CALL_UPDATED)->detail, "\"muted\""));

	assert_int_equal(mute(world, anna, pair.call, pair.agent_leg, true)->code, REPLY_OK);
	assert_int_equal(world_events(world, EVENT_CALL_UPDATED), said);

	assert_int_equal(mute(world, anna, pair.call, pair.agent_leg, false)->code, REPLY_OK);
	assert_false(pair.agent->muted);
	assert_int_equal(world_events(world, EVENT_CALL_UPDATED), said + 1);
	over(world, pair.call);
}

static void what_cannot_be_muted_is_refused(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);

	assert_int_equal(mute(world, anna, id_new(), pair.agent_leg, true)->code, REPLY_NOT_FOUND);
	assert_int_equal(mute(world, anna, pair.call, id_new(), true)->code, REPLY_INVALID);
	assert_string_equal(world->reply->field, "leg_id");
	assert_int_equal(mute(world, world_as(world->tenant, world->ben, ASKER_AGENT), pair.call,
			      pair.agent_leg, true)
				 ->code,
			 REPLY_NOT_FOUND);
	assert_int_equal(mute(world, world_as(world->tenant, world->ben, ASKER_SUPERVISOR),
			      pair.call, pair.agent_leg, true)
				 ->code,
			 REPLY_FORBIDDEN);
	assert_int_equal(mute(world, world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN),
			      pair.call, pair.agent_leg, true)
				 ->code,
			 REPLY_NOT_FOUND);
	assert_false(pair.agent->muted);
	over(world, pair.call);
	assert_int_equal(mute(world, anna, pair.call, pair.agent_leg, true)->code,
			 REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "ended");
}

/* ---- digits ---- */

static struct reply *dial_digits(struct world *world, struct asker asker, struct id call,
				 struct id leg, const char *digits, enum dtmf_mode method)
{
	struct dtmf_request *request = xzalloc(sizeof(*request));

	(void)str_copy(request->digits, sizeof(request->digits), digits);
	request->duration_ms = 200;
	request->gap_ms = 100;
	request->method = method;
	return world_do(world, &(struct command){ .type = COMMAND_DTMF,
						  .asker = asker,
						  .call_id = call,
						  .leg_id = leg,
						  .body = request });
}

static void digits_go_to_the_remote_leg_and_their_end_is_told(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);
	struct id operation;

	assert_int_equal(
		dial_digits(world, anna, pair.call, (struct id){ 0 }, "1,2#", DTMF_INFO)->code,
		REPLY_OK);
	operation = world->reply->operation_id;
	assert_false(id_is_none(operation));
	assert_string_equal(pair.remote->digits, "1,2#");
	assert_string_equal(pair.agent->digits, "");
	assert_int_equal(pair.remote->dtmf.duration_ms, 200);
	assert_int_equal(pair.remote->dtmf.gap_ms, 100);
	assert_int_equal(pair.remote->dtmf.method, DTMF_INFO);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF_SENT), 0);
	fake_digits_done(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF_SENT), 1);
	assert_non_null(
		strstr(world_event(world, EVENT_CALL_DTMF_SENT)->detail, id_str(operation)));
	assert_non_null(
		strstr(world_event(world, EVENT_CALL_DTMF_SENT)->detail, "\"complete\":true"));

	assert_int_equal(dial_digits(world, anna, pair.call, pair.agent_leg, "9", DTMF_AUTO)->code,
			 REPLY_OK);
	assert_string_equal(pair.agent->digits, "9");
	over(world, pair.call); /* what was not sent yet leaves nothing behind */
}

static void digits_that_come_are_told_with_their_method(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);

	fake_say(pair.remote, ENGINE_DTMF);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 1);
	assert_non_null(strstr(world_event(world, EVENT_CALL_DTMF)->detail, "\"digit\":\"5\""));
	assert_non_null(strstr(world_event(world, EVENT_CALL_DTMF)->detail, "\"method\":\"info\""));
	assert_non_null(
		strstr(world_event(world, EVENT_CALL_DTMF)->detail, id_str(pair.remote_leg)));
	over(world, pair.call);
}

static void digits_are_refused_where_they_cannot_go(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct id none = { 0 };
	struct pair pair = talk(world);

	assert_int_equal(dial_digits(world, anna, id_new(), none, "1", DTMF_AUTO)->code,
			 REPLY_NOT_FOUND);
	assert_int_equal(dial_digits(world, anna, pair.call, id_new(), "1", DTMF_AUTO)->code,
			 REPLY_INVALID);
	pair.remote->fail_dtmf = DTMF_E_METHOD;
	assert_int_equal(dial_digits(world, anna, pair.call, none, "1", DTMF_INBAND)->code,
			 REPLY_INVALID);
	assert_string_equal(world->reply->field, "method");
	assert_int_equal(dial_digits(world, anna, pair.call, none, "1", DTMF_AUTO)->code,
			 REPLY_UNSUPPORTED);
	pair.remote->fail_dtmf = DTMF_E_FULL;
	assert_int_equal(dial_digits(world, anna, pair.call, none, "1", DTMF_AUTO)->code,
			 REPLY_LIMIT);
	pair.remote->fail_dtmf = 0;
	fake_say(pair.remote, ENGINE_HELD);
	assert_int_equal(dial_digits(world, anna, pair.call, none, "1", DTMF_AUTO)->code,
			 REPLY_CALL_HELD);
	assert_string_equal(pair.remote->digits, "");
	over(world, pair.call);
	assert_int_equal(world_call(world, "+4930123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	pair.call = world->reply->call->id;
	assert_int_equal(dial_digits(world, anna, pair.call, none, "1", DTMF_AUTO)->code,
			 REPLY_WRONG_STATE);
	over(world, pair.call);
}

/* ---- hold ---- */

static struct reply *hold(struct world *world, struct asker asker, struct id call, bool on)
{
	return world_do(world, &(struct command){ .type = COMMAND_HOLD_CALL,
						  .asker = asker,
						  .call_id = call,
						  .on = on });
}

static bool detail_has(struct world *world, enum event_type type, const char *what)
{
	const struct event *event = world_event(world, type);

	return event && event->detail && strstr(event->detail, what);
}

static void the_held_one_hears_music_at_once_and_the_events_follow(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);

	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_OK);
	assert_int_equal(world->reply->call->state, CALL_HELD);
	assert_true(world->reply->call->hold_local);
	assert_false(world->reply->call->hold_remote);
	assert_int_equal(leg_of(world->reply->call, pair.remote_leg)->state, LEG_HELD);
	assert_int_equal(leg_of(world->reply->call, pair.agent_leg)->state, LEG_ANSWERED);
	assert_true(pair.remote->playing);
	assert_int_equal(pair.remote->sound_kind, SOUND_MUSIC);
	assert_false(pair.agent->playing);
	assert_non_null(pair.agent->bridge->deaf_listener);
	assert_true(pair.remote->told_hold);
	assert_int_equal(pair.agent->holds, 0);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 0);
	fake_modified(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 1);
	assert_true(detail_has(world, EVENT_CALL_HELD, "\"by\":\"local\""));
	assert_true(detail_has(world, EVENT_CALL_HELD, "\"signalled\":true"));
	fake_modified(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 1);

	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_OK);
	assert_int_equal(pair.remote->holds, 1);
	world_advance(world, 1800 * 1000);

	assert_int_equal(hold(world, anna, pair.call, false)->code, REPLY_OK);
	assert_int_equal(world->reply->call->state, CALL_ANSWERED);
	assert_int_equal(world->reply->call->hold_s, 1800);
	assert_false(pair.remote->playing);
	assert_null(pair.agent->bridge->deaf_listener);
	assert_false(pair.remote->told_hold);
	fake_modified(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_RESUMED), 1);
	assert_int_equal(hold(world, anna, pair.call, false)->code, REPLY_OK);
	assert_int_equal(pair.remote->holds, 2);
	over(world, pair.call);
}

static void a_refused_hold_is_a_hold_all_the_same(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);

	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	fake_modified(pair.remote, false);
	assert_true(detail_has(world, EVENT_CALL_HELD, "\"signalled\":false"));
	assert_int_equal(world_view(world)->state, CALL_HELD);
	assert_true(pair.remote->playing);
	over(world, pair.call);
}

static void a_resume_before_the_answer_keeps_the_order_of_events(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);

	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	assert_int_equal(hold(world, world_anna(world), pair.call, false)->code, REPLY_OK);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 1);
	assert_int_equal(world_event(world, EVENT_CALL_HELD)->call->state, CALL_HELD);
	assert_int_equal(world_events(world, EVENT_CALL_RESUMED), 0);
	fake_modified(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_RESUMED), 1);
	assert_false(pair.remote->playing);
	over(world, pair.call);
}

static void a_phones_own_hold_gives_the_other_party_music(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);

	fake_say(pair.agent, ENGINE_HELD);
	assert_true(pair.remote->playing);
	assert_int_equal(pair.remote->sound_kind, SOUND_MUSIC);
	assert_true(pair.remote->told_hold);
	assert_true(detail_has(world, EVENT_CALL_HELD, "\"by\":\"local\""));
	fake_modified(pair.remote, true);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 1);

	/* By request as well: the music goes on until both have ended. */
	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_OK);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 2);
	fake_say(pair.agent, ENGINE_RESUMED);
	assert_true(pair.remote->playing);
	assert_int_equal(world_view(world)->state, CALL_HELD);
	assert_int_equal(pair.remote->holds, 1);
	assert_int_equal(hold(world, anna, pair.call, false)->code, REPLY_OK);
	assert_false(pair.remote->playing);
	assert_int_equal(world->reply->call->state, CALL_ANSWERED);
	over(world, pair.call);
}

/* The phone holds while the other party still rings; that one answers with a hold of its own. */
static void who_holds_before_the_answer_holds_after_it(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote;

	assert_int_equal(world_call(world, "+4930123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	agent = fake_dialled(world->engine, 0);
	fake_say(agent, ENGINE_ANSWERED);
	fake_settle(world->engine);
	remote = fake_dialled(world->engine, 0);
	fake_say(remote, ENGINE_RINGING);
	fake_say(agent, ENGINE_HELD);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 0);
	fake_say(remote, ENGINE_HELD);
	fake_say(remote, ENGINE_ANSWERED);
	assert_int_equal(world_events(world, EVENT_CALL_HELD), 2);
	assert_true(remote->playing && remote->told_hold);
	assert_false(agent->playing);
	assert_true(world_view(world)->hold_local && world_view(world)->hold_remote);
	world_advance(world, 3000);
	fake_say(remote, ENGINE_RESUMED);
	fake_say(agent, ENGINE_RESUMED);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	assert_int_equal(world_view(world)->hold_s, 3);
	over(world, world_view(world)->id);
}

static void a_far_end_that_holds_brings_its_own_music_and_both_may_hold(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);

	fake_say(pair.remote, ENGINE_HELD);
	assert_false(pair.agent->playing);
	assert_null(pair.agent->bridge->deaf_listener);
	assert_true(detail_has(world, EVENT_CALL_HELD, "\"by\":\"remote\""));
	world_advance(world, 5000);
	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_OK);
	fake_modified(pair.remote, true);
	assert_true(world_view(world)->hold_local && world_view(world)->hold_remote);
	world_advance(world, 5000);
	assert_int_equal(hold(world, anna, pair.call, false)->code, REPLY_OK);
	fake_modified(pair.remote, true);
	assert_int_equal(world_view(world)->state, CALL_HELD);
	assert_false(world_view(world)->hold_local);
	world_advance(world, 5000);
	fake_say(pair.remote, ENGINE_RESUMED);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	assert_int_equal(world_view(world)->hold_s, 15);
	over(world, pair.call);
}

static void a_call_is_not_held_for_ever(void **state)
{
	struct world *world = *state;
	struct pair pair;

	pair = talk(world);
	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	world_advance(world, 3599 * 1000);
	assert_int_equal(hold(world, world_anna(world), pair.call, false)->code, REPLY_OK);
	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	world_advance(world, 3599 * 1000);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	world_advance(world, 1000);
	/* Who holds is rung first, on the leg that listens, for as long as a call may ring. */
	assert_int_equal(pair.agent->sound_kind, SOUND_RINGBACK);
	assert_int_equal(pair.remote->sound_kind, SOUND_MUSIC);
	world_advance(world, 59 * 1000);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	world_advance(world, 1000);
	world_expect_end(world, END_TIMEOUT, 408, HANGUP_PLATFORM);
	assert_true(pair.remote->hung_up && pair.agent->hung_up);
	assert_int_equal(world_view(world)->hold_s, 3599 + 3600 + 60);
}

static void who_is_rung_for_a_hold_and_takes_the_call_back_hears_no_more_ringing(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);

	fake_say(pair.remote, ENGINE_HELD);
	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	world_advance(world, 3600 * 1000);
	assert_int_equal(pair.agent->sound_kind, SOUND_RINGBACK);
	assert_int_equal(hold(world, world_anna(world), pair.call, false)->code, REPLY_OK);
	assert_false(pair.agent->playing);
	world_advance(world, 61 * 1000);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	over(world, pair.call);
}

/* Held by its own key for too long: its user's phones ring. Whoever is put into a conference meanwhile is not taken out of it. */
static void a_recall_ends_when_the_call_goes_elsewhere(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .call = pair.call, .room = "r" };
	struct channel *phone;
	unsigned before;

	fake_say(pair.agent, ENGINE_HELD);
	before = world->engine->channel_count;
	world_advance(world, 3600 * 1000);
	assert_in_range(world->engine->channel_count, before + 1, before + 2);
	phone = fake_dialled(world->engine, 0);
	assert_false(phone->hung_up);
	assert_int_equal(world_do(world, &(struct command){ .type = COMMAND_CONFERENCE,
							    .asker = world_anna(world),
							    .body = xmemdup(&wish, sizeof(wish)) })
				 ->code,
			 REPLY_OK);
	assert_true(phone->hung_up);
	fake_say(phone, ENGINE_ANSWERED);
	assert_false(pair.agent->hung_up);
	over(world, pair.call);
}

static struct id music;

static void with_music(struct line_spec *spec)
{
	music = spec->hold_music = id_new();
}

/* The profile's own music; and ours when its file is gone. */
static void who_is_held_hears_the_music_of_the_profile(void **state)
{
	struct world *world = *state;
	struct pair pair = talk(world);

	world_put_line(world, world->line, world->anna, with_music);
	assert_int_equal(hold(world, world_anna(world), pair.call, true)->code, REPLY_OK);
	assert_int_equal(pair.remote->sound_kind, SOUND_FILE);
	assert_non_null(strstr(pair.remote->said, id_str(music)));
	fake_sound_done(pair.remote, false);
	world_advance(world, 1);
	assert_int_equal(pair.remote->sound_kind, SOUND_MUSIC);
	assert_true(pair.remote->playing);
	assert_int_equal(hold(world, world_anna(world), pair.call, false)->code, REPLY_OK);
	assert_false(pair.remote->playing);
	fake_sound_done(pair.remote, false);
	world_advance(world, 1);
	assert_false(pair.remote->playing);
	over(world, pair.call);
}

static void a_held_call_that_becomes_a_conference_is_held_no_more(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct pair pair = talk(world);
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .room = "sales" };

	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_OK);
	fake_modified(pair.remote, true);
	wish.call = pair.call;
	assert_int_equal(world_do(world, &(struct command){ .type = COMMAND_CONFERENCE,
							    .asker = anna,
							    .body = xmemdup(&wish, sizeof(wish)) })
				 ->code,
			 REPLY_OK);
	assert_false(pair.remote->told_hold);
	assert_false(pair.remote->playing && pair.remote->sound_kind == SOUND_MUSIC);
	assert_int_equal(hold(world, anna, pair.call, true)->code, REPLY_WRONG_STATE);
	over(world, pair.call);
}

static void what_cannot_be_held_is_refused(void **state)
{
	struct world *world = *state;
	struct asker anna = world_anna(world);
	struct channel *remote;
	struct id call;

	assert_int_equal(world_call(world, "+4930123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	call = world->reply->call->id;
	assert_int_equal(hold(world, anna, call, true)->code, REPLY_WRONG_STATE);
	over(world, call);
	assert_int_equal(world_call(world, "+4930123", CONNECT_SAY)->code, REPLY_OK);
	call = world->reply->call->id;
	remote = fake_dialled(world->engine, 0);
	fake_say(remote, ENGINE_ANSWERED);
	assert_int_equal(hold(world, anna, call, true)->code, REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "answered");
	assert_int_equal(hold(world, world_as(world->tenant, world->ben, ASKER_SUPERVISOR), call,
			      true)
				 ->code,
			 REPLY_FORBIDDEN);
	over(world, call);
	assert_int_equal(hold(world, anna, call, true)->code, REPLY_WRONG_STATE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(a_leg_is_muted_and_heard_again),
		T(what_cannot_be_muted_is_refused),
		T(digits_go_to_the_remote_leg_and_their_end_is_told),
		T(digits_that_come_are_told_with_their_method),
		T(digits_are_refused_where_they_cannot_go),
		T(the_held_one_hears_music_at_once_and_the_events_follow),
		T(a_refused_hold_is_a_hold_all_the_same),
		T(a_resume_before_the_answer_keeps_the_order_of_events),
		T(a_phones_own_hold_gives_the_other_party_music),
		T(who_holds_before_the_answer_holds_after_it),
		T(a_far_end_that_holds_brings_its_own_music_and_both_may_hold),
		T(a_call_is_not_held_for_ever),
		T(who_is_held_hears_the_music_of_the_profile),
		T(who_is_rung_for_a_hold_and_takes_the_call_back_hears_no_more_ringing),
		T(a_recall_ends_when_the_call_goes_elsewhere),
		T(a_held_call_that_becomes_a_conference_is_held_no_more),
		T(what_cannot_be_held_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
