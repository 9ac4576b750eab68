/* Live monitoring on an engine that only remembers. */
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

/* By Ben, who supervises. */
static struct reply *watch(struct world *world, struct id call, bool follow)
{
	struct monitor_wish wish = { .action = MONITOR_START,
				     .monitor = id_new(),
				     .call = call,
				     .has_mode = true,
				     .mode = MONITOR_LISTEN,
				     .follow_agent = follow };

	return world_do(world, &(struct command){ .type = COMMAND_MONITOR,
						  .asker = world_as(world->tenant, world->ben,
								    ASKER_SUPERVISOR),
						  .body = xmemdup(&wish, sizeof(wish)) });
}

static struct id talk(struct world *world, struct make_call wish)
{
	struct id call;

	wish.profile = world->line;
	(void)str_copy(wish.to, sizeof(wish.to), "+4930123");
	assert_int_equal(world_do(world, &(struct command){ .type = COMMAND_MAKE_CALL,
							    .asker = world_anna(world),
							    .body = xmemdup(&wish, sizeof(wish)) })
				 ->code,
			 REPLY_OK);
	call = world->reply->call->id;
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_settle(world->engine);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	return call;
}

/* Of a colleague who can be known again; a number that was rung instead is nobody. */
static void only_a_user_can_be_followed(void **state)
{
	struct world *world = *state;
	struct make_call by_number = { .connect = { .kind = CONNECT_NUMBER, .number = "+49171" } };
	struct make_call by_phone = { .connect = { .kind = CONNECT_ANY_DEVICE } };
	struct id call = talk(world, by_number);

	assert_int_equal(watch(world, call, true)->code, REPLY_INVALID);
	assert_string_equal(world->reply->field, "follow_agent");
	world_hangup(world, call, HANGUP_NORMAL);
	fake_settle(world->engine);

	call = talk(world, by_phone);
	assert_int_equal(watch(world, call, true)->code, REPLY_OK);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	assert_int_equal(world_events(world, EVENT_MONITOR_STARTED), 1);
	world_hangup(world, call, HANGUP_NORMAL);
	fake_settle(world->engine);
	assert_int_equal(world_events(world, EVENT_MONITOR_STOPPED), 0);

	/* Somebody else's call is none of it, hers is. */
	call = talk(world, by_number);
	assert_int_equal(world_events(world, EVENT_MONITOR_CHANGED), 1);
	world_hangup(world, call, HANGUP_NORMAL);
	fake_settle(world->engine);
	call = talk(world, by_phone);
	assert_int_equal(world_events(world, EVENT_MONITOR_CHANGED), 2);
	world_hangup(world, call, HANGUP_NORMAL);
	fake_settle(world->engine);
	world_advance(world, 1800 * 1000);
	fake_settle(world->engine);
	assert_int_equal(world_events(world, EVENT_MONITOR_STOPPED), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(only_a_user_can_be_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
