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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(a_leg_is_muted_and_heard_again),
		T(what_cannot_be_muted_is_refused),
		T(digits_go_to_the_remote_leg_and_their_end_is_told),
		T(digits_that_come_are_told_with_their_method),
		T(digits_are_refused_where_they_cannot_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
