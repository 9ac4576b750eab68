/* Limits, the outbound policy, and who may see and touch what. */
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

static struct reply *echo(struct world *world, const char *to)
{
	return world_call(world, to, CONNECT_ECHO);
}

static void end_all(struct world *world)
{
	for (unsigned i = 0; i < world->engine->channel_count; i++)
		if (!world->engine->channels[i]->ended)
			fake_end(world->engine->channels[i], END_COMPLETED, 200);
	world_advance(world, 3000);
}

/* ---- limits ---- */

static void a_profile_has_so_many_calls_and_no_more(void **state)
{
	struct world *world = *state;
	struct channel *in;

	for (int i = 0; i < 3; i++)
		assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	assert_int_equal(echo(world, "0301")->code, REPLY_LIMIT);
	assert_true(world->reply->retry_after_s > 0);
	/* A provider hears busy, never that we are broken. */
	in = world_rings_in(world, "0171");
	assert_int_equal(in->reason, END_BUSY);
	world_expect_end(world, END_BUSY, 486, HANGUP_PLATFORM);
	/* The line is free when the channel is gone, not when we hang up. */
	world_hangup(world, world->bus.events[0]->call_id, HANGUP_NORMAL);
	assert_int_equal(echo(world, "0301")->code, REPLY_LIMIT);
	fake_settle(world->engine);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
}

static void one_call(struct tenant_spec *spec)
{
	spec->max_calls = 1;
}

static void a_tenant_has_so_many_calls_and_no_more(void **state)
{
	struct world *world = *state;

	world_put_tenant(world, one_call);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	assert_int_equal(echo(world, "0301")->code, REPLY_LIMIT);
	assert_int_equal(world_phone_dials(world, world->phone, "101")->reason, END_BUSY);
	fake_settle(world->engine);
	end_all(world);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
}

static void two_a_minute(struct tenant_spec *spec)
{
	spec->calls_per_minute = 2;
}

static void a_tenant_begins_so_many_calls_a_minute(void **state)
{
	struct world *world = *state;

	world_put_tenant(world, two_a_minute);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
	assert_int_equal(echo(world, "0301")->code, REPLY_LIMIT);
	world_advance(world, 60000);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
}

static void three_minutes(struct tenant_spec *spec)
{
	spec->minutes_per_day = 3;
}

static void the_minutes_of_a_day_cut_calls_that_are_up(void **state)
{
	struct world *world = *state;

	world_put_tenant(world, three_minutes);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	world_advance(world, 120000);
	end_all(world);
	/* One minute is left for two. */
	echo(world, "0301");
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	echo(world, "0302");
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	world_advance(world, 29000);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 1);
	world_advance(world, 32000);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 3);
	world_expect_end(world, END_TIMEOUT, 408, HANGUP_PLATFORM);
	fake_settle(world->engine);
	assert_int_equal(echo(world, "0301")->code, REPLY_LIMIT);
	world_advance(world, 86400000);
	assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
}

/* ---- the outbound policy ---- */

static const struct {
	const char *dialled, *sent; /* NULL: refused */
} numbers[] = {
	{ "+49 (30) 123-45", "+493012345" },
	{ "0049.30/1", "0049301" },
	{ "*31#0171", "*31#0171" },
	{ "alice", "alice" },
	{ "bob.smith_2", "bob.smith_2" },
	{ "", NULL },
	{ "+", NULL },
	{ "   ", NULL },
	{ "12+3", NULL },
	{ "030\r\nX-Evil: 1", NULL },
	{ "030%0d%0aX", NULL },
	{ "a@b", NULL },
	{ "a;transport=tcp", NULL },
	{ "<sip:x>", NULL },
	{ "\"q\"", NULL },
	{ "a b", NULL },
	{ "sip:1@evil.example", NULL },
	{ "\xc3\xa4", NULL },
};

static void numbers_are_made_plain_or_refused(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		struct reply *reply = echo(world, numbers[i].dialled);

		if (!numbers[i].sent) {
			assert_int_equal(reply->code, REPLY_INVALID);
			assert_string_equal(reply->field, "to");
			continue;
		}
		assert_int_equal(reply->code, REPLY_OK);
		assert_string_equal(fake_dialled(world->engine, 0)->what.to, numbers[i].sent);
		end_all(world);
	}
}

static void no_premium(struct tenant_spec *spec)
{
	(void)str_copy(spec->blocked[0], sizeof(spec->blocked[0]), "+49900");
	(void)str_copy(spec->blocked[1], sizeof(spec->blocked[1]), "+1");
	(void)str_copy(spec->allowed[0], sizeof(spec->allowed[0]), "*");
	(void)str_copy(spec->allowed[1], sizeof(spec->allowed[1]), "+1212");
}

static void the_longest_prefix_decides(void **state)
{
	struct world *world = *state;

	world_put_tenant(world, no_premium);
	assert_int_equal(echo(world, "+49301")->code, REPLY_OK);
	assert_int_equal(echo(world, "+49900123")->code, REPLY_DESTINATION);
	assert_int_equal(echo(world, "0049 900 123")->code, REPLY_DESTINATION);
	assert_int_equal(echo(world, "+1 415 1")->code, REPLY_DESTINATION);
	assert_int_equal(echo(world, "+1 212 1")->code, REPLY_OK);
	end_all(world);
	assert_int_equal(world_phone_dials(world, world->phone, "0049900123")->reason,
			 END_DECLINED);
	world_expect_end(world, END_DECLINED, 603, HANGUP_PLATFORM);
}

static void only_home(struct tenant_spec *spec)
{
	(void)str_copy(spec->allowed[0], sizeof(spec->allowed[0]), "+49");
}

static void a_list_of_allowed_prefixes_closes_all_others(void **state)
{
	struct world *world = *state;

	world_put_tenant(world, only_home);
	assert_int_equal(echo(world, "+4930")->code, REPLY_OK);
	assert_int_equal(echo(world, "+33")->code, REPLY_DESTINATION);
	end_all(world);
}

static void a_profile_that_is_not_registered_says_why(void **state)
{
	struct world *world = *state;

	world->engine->unusable = "The provider refuses the password.";
	assert_int_equal(echo(world, "0301")->code, REPLY_PROFILE_NOT_USABLE);
	assert_string_equal(world->reply->detail, "The provider refuses the password.");
}

static void what_is_refused_keeps_no_permit(void **state)
{
	struct world *world = *state;

	fake_online(world->engine, world->phone, false);
	fake_online(world->engine, world->phone2, false);
	for (int i = 0; i < 10; i++)
		assert_int_equal(world_call(world, "0301", CONNECT_ANY_DEVICE)->code,
				 REPLY_NO_DEVICE);
	for (int i = 0; i < 10; i++)
		assert_int_equal(world_call(world, "0301", CONNECT_FLOW)->code, REPLY_UNSUPPORTED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(echo(world, "0301")->code, REPLY_OK);
	end_all(world);
}

/* ---- who may what ---- */

static enum reply_code hang_up_as(struct world *world, struct asker asker)
{
	struct command command = { .type = COMMAND_HANGUP_CALL, .asker = asker };

	command.call_id = world_view(world)->id;
	return world_do(world, &command)->code;
}

static unsigned listed_for(struct world *world, struct asker asker)
{
	return world_do(world, &(struct command){ .type = COMMAND_CALLS, .asker = asker })->total;
}

static void calls_are_seen_and_touched_by_whom_they_concern(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct asker chief = world_as(world->tenant, id_new(), ASKER_SUPERVISOR);
	struct asker admin = world_as(world->tenant, id_new(), ASKER_ADMIN);
	struct asker stranger = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);

	echo(world, "0301");
	assert_int_equal(listed_for(world, world_anna(world)), 1);
	assert_int_equal(listed_for(world, ben), 0);
	assert_int_equal(listed_for(world, chief), 1);
	assert_int_equal(listed_for(world, admin), 1);
	assert_int_equal(listed_for(world, stranger), 0);
	assert_int_equal(hang_up_as(world, ben), REPLY_NOT_FOUND);
	assert_int_equal(hang_up_as(world, stranger), REPLY_NOT_FOUND);
	assert_int_equal(hang_up_as(world, chief), REPLY_FORBIDDEN);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 0);
	assert_int_equal(hang_up_as(world, admin), REPLY_OK);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 1);
}

static void both_ends_of_an_internal_call_see_it(void **state)
{
	struct world *world = *state;

	world_phone_dials(world, world->phone, "101");
	assert_int_equal(listed_for(world, world_anna(world)), 1);
	assert_int_equal(listed_for(world, world_as(world->tenant, world->ben, ASKER_AGENT)), 1);
	assert_true(id_eq(world_event(world, EVENT_CALL_CREATED)->user_id, world->anna));
	assert_true(id_eq(world_event(world, EVENT_CALL_CREATED)->other_user_id, world->ben));
	end_all(world);
	assert_int_equal(listed_for(world, world_anna(world)), 0);
}

static void nobody_calls_through_the_profile_of_another(void **state)
{
	struct world *world = *state;
	struct make_call *body = xzalloc(sizeof(*body));
	struct command command = { .type = COMMAND_MAKE_CALL,
				   .asker = world_anna(world),
				   .body = body };

	body->profile = world->line_ben;
	body->connect.kind = CONNECT_ECHO;
	(void)str_copy(body->to, sizeof(body->to), "0301");
	assert_int_equal(world_do(world, &command)->code, REPLY_FORBIDDEN);

	body = xzalloc(sizeof(*body));
	body->profile = world->line;
	(void)str_copy(body->to, sizeof(body->to), "0301");
	command.body = body;
	command.asker = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	assert_int_equal(world_do(world, &command)->code, REPLY_INVALID);
	assert_int_equal(world->engine->channel_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_profile_has_so_many_calls_and_no_more),
		TEST(a_tenant_has_so_many_calls_and_no_more),
		TEST(a_tenant_begins_so_many_calls_a_minute),
		TEST(the_minutes_of_a_day_cut_calls_that_are_up),
		TEST(numbers_are_made_plain_or_refused),
		TEST(the_longest_prefix_decides),
		TEST(a_list_of_allowed_prefixes_closes_all_others),
		TEST(a_profile_that_is_not_registered_says_why),
		TEST(what_is_refused_keeps_no_permit),
		TEST(calls_are_seen_and_touched_by_whom_they_concern),
		TEST(both_ends_of_an_internal_call_see_it),
		TEST(nobody_calls_through_the_profile_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
