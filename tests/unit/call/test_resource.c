/* Commands about profiles, devices and users; snapshots; the gate; draining. */
#include "world.h"

#include "base/base.h"

#include <pthread.h>

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

static struct reply *about(struct world *world, enum command_type type, struct id profile,
			   bool force)
{
	return world_do(world, &(struct command){ .type = type,
						  .asker = world_anna(world),
						  .profile_id = profile,
						  .force = force });
}

static void a_profile_with_calls_is_dropped_only_by_force(void **state)
{
	struct world *world = *state;

	world_call(world, "0301", CONNECT_ECHO);
	assert_int_equal(about(world, COMMAND_PROFILE_DROP, world->line, false)->code,
			 REPLY_PROFILE_IN_USE);
	assert_int_equal(about(world, COMMAND_PROFILE_DROP, world->line, true)->code, REPLY_OK);
	world_expect_end(world, END_INTERRUPTED, 500, HANGUP_PLATFORM);
	assert_int_equal(world->engine->lines_dropped, 1);
	assert_int_equal(about(world, COMMAND_PROFILE_DROP, world->line, true)->code,
			 REPLY_NOT_FOUND);
	/* Its channel lives on a little and gives its permit back to a profile that is not there any more. */
	assert_false(fake_dialled(world->engine, 0)->ended);
}

static struct id other_line;

static void to_number(struct line_spec *spec)
{
	spec->incoming = INCOMING_NUMBER;
	spec->incoming_id = other_line;
	(void)str_copy(spec->incoming_target, sizeof(spec->incoming_target), "017299");
}

static void a_profile_that_another_ones_call_goes_out_through_is_in_use_too(void **state)
{
	struct world *world = *state;
	struct channel *in;

	other_line = world->line_ben;
	world_put_line(world, world->line, world->anna, to_number);
	in = world_rings_in(world, "0171");
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	assert_true(in->answered);
	assert_int_equal(about(world, COMMAND_PROFILE_DROP, world->line_ben, false)->code,
			 REPLY_PROFILE_IN_USE);
	assert_int_equal(about(world, COMMAND_PROFILE_DROP, world->line_ben, true)->code, REPLY_OK);
	world_expect_end(world, END_INTERRUPTED, 500, HANGUP_PLATFORM);
	assert_true(in->hung_up);
}

static void a_wait_ends_with_a_resting_state(void **state)
{
	struct world *world = *state;
	struct command wait = { .type = COMMAND_PROFILE_WAIT,
				.asker = world_anna(world),
				.profile_id = world->line,
				.timeout_ms = 10000 };
	struct registration_view view = { .profile_id = world->line, .state = REG_AUTH_FAILED };
	struct engine_event event = { .type = ENGINE_LINE_STATE,
				      .id = world->line,
				      .registration = &view };

	world->engine->state = REG_REGISTERING;
	assert_null(world_do(world, &wait));
	world_advance(world, 5000);
	world->engine->state = REG_AUTH_FAILED;
	world->engine->fn(world->engine->arg, &event);
	assert_non_null(world->reply);
	assert_int_equal(world->reply->registrations[0]->state, REG_AUTH_FAILED);
	assert_true(id_eq(world_event(world, EVENT_REGISTRATION_CHANGED)->profile_id, world->line));
	assert_true(id_eq(world_event(world, EVENT_REGISTRATION_CHANGED)->user_id, world->anna));
}

static void a_wait_for_a_registered_line_is_for_the_provider_to_say_so_again(void **state)
{
	struct world *world = *state;
	struct command wait = { .type = COMMAND_PROFILE_WAIT,
				.asker = world_anna(world),
				.profile_id = world->line,
				.timeout_ms = 10000 };
	struct registration_view view = { .profile_id = world->line, .state = REG_REJECTED };
	struct engine_event event = { .type = ENGINE_LINE_STATE,
				      .id = world->line,
				      .registration = &view };

	world->engine->asks = true;
	assert_null(world_do(world, &wait));
	world->engine->asks = false;
	world->engine->state = REG_REJECTED;
	world->engine->fn(world->engine->arg, &event);
	assert_non_null(world->reply);
	assert_int_equal(world->reply->registrations[0]->state, REG_REJECTED);
}

static void on_waited(void *arg, struct reply *reply)
{
	enum reply_code *ret = arg;

	*ret = reply->code;
	reply_free(reply);
}

static void bindings_of_before_the_start_are_told_the_oldest_first(void **state)
{
	static const char bindings[] =
		"[{\"contact\":\"sip:new@10.0.0.2\",\"path\":null,\"address\":\"10.0.0.2:5060\",\"transport\":\"UDP\","
		"\"user_agent\":\"\",\"expires_at\":\"2026-01-31T12:00:00.000000Z\"},"
		"{\"contact\":\"sip:old@10.0.0.2\",\"path\":\"<sip:10.0.0.9;lr>\",\"address\":\"10.0.0.2:5062\","
		"\"transport\":\"\",\"user_agent\":\"x\",\"expires_at\":\"2026-01-31T12:00:00.000000Z\"},"
		"{\"contact\":\"sip:half@10.0.0.2\"}, 7]";
	struct world *world = *state;

	world_do(world, &(struct command){ .type = COMMAND_DEVICE_RESTORE,
					   .device_id = id_new(),
					   .body = xstrdup(bindings) });
	assert_int_equal(world->engine->restored, 2);
	assert_string_equal(world->engine->restored_last, "sip:new@10.0.0.2");
	world_do(world,
		 &(struct command){ .type = COMMAND_DEVICE_RESTORE, .body = xstrdup("no JSON") });
	assert_int_equal(world->engine->restored, 2);
}

static void a_wait_ends_when_its_time_is_up(void **state)
{
	struct world *world = *state;
	enum reply_code waited = REPLY_OK;
	struct command wait = { .type = COMMAND_PROFILE_WAIT,
				.asker = world_anna(world),
				.profile_id = world->line,
				.timeout_ms = 10000 };

	world->engine->state = REG_REGISTERING;
	assert_null(world_do(world, &wait));
	world_advance(world, 10100);
	assert_int_equal(world->reply->registrations[0]->state, REG_REGISTERING);
	/* One that is still waiting is told when the profile goes. */
	wait.on_reply = on_waited;
	wait.on_reply_arg = &waited;
	call_app_do(world->app, &wait);
	world_do(world, &(struct command){ .type = COMMAND_PROFILE_DROP,
					   .asker = world_anna(world),
					   .profile_id = world->line });
	assert_int_equal(waited, REPLY_NOT_FOUND);
}

static void resources_of_others_are_not_found(void **state)
{
	struct world *world = *state;
	struct asker stranger = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	struct command command = { .asker = stranger };
	static const enum command_type types[] = { COMMAND_PROFILE_DROP, COMMAND_PROFILE_REGISTER,
						   COMMAND_PROFILE_WAIT, COMMAND_DEVICE_DROP };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		command.type = types[i];
		command.profile_id = world->line;
		command.device_id = world->phone;
		command.timeout_ms = 1000;
		assert_int_equal(world_do(world, &command)->code, REPLY_NOT_FOUND);
	}
}

static void a_page_of_registrations_keeps_its_order(void **state)
{
	struct world *world = *state;
	struct command command = { .type = COMMAND_REGISTRATIONS,
				   .asker = world_anna(world),
				   .id_count = 3 };

	command.ids = xzalloc_array(3, sizeof(*command.ids));
	command.ids[0] = world->line_ben;
	command.ids[1] = id_new();
	command.ids[2] = world->line;
	world_do(world, &command);
	assert_int_equal(world->reply->count, 3);
	assert_true(id_eq(world->reply->registrations[0]->profile_id, world->line_ben));
	assert_null(world->reply->registrations[1]);
	assert_true(id_eq(world->reply->registrations[2]->profile_id, world->line));
}

static void devices_are_listed_with_their_bindings(void **state)
{
	struct world *world = *state;
	struct command command = { .type = COMMAND_DEVICES,
				   .asker = world_anna(world),
				   .id_count = 2 };

	command.ids = xzalloc_array(2, sizeof(*command.ids));
	command.ids[0] = world->phone;
	command.ids[1] = id_new();
	assert_string_equal(world_do(world, &command)->text,
			    "[[{\"address\":\"192.0.2.9:5060\"}],[]]");
}

static void the_oldest_profile_is_the_default_until_another_is_chosen(void **state)
{
	struct world *world = *state;
	struct id newer = id_new();
	struct user_spec *spec = xzalloc(sizeof(*spec));
	struct channel *in;

	world_put_line(world, newer, world->anna, NULL);
	in = world_phone_dials(world, world->phone, "0301");
	assert_true(id_eq(fake_dialled(world->engine, 0)->what.line, world->line));
	fake_end(in, END_CANCELED, 487);

	spec->id = world->anna;
	spec->tenant = world->tenant;
	spec->active = true;
	spec->default_profile = newer;
	world_do(world, &(struct command){ .type = COMMAND_USER_PUT, .body = spec });
	in = world_phone_dials(world, world->phone, "0301");
	assert_true(id_eq(fake_dialled(world->engine, 0)->what.line, newer));
	fake_end(in, END_CANCELED, 487);
}

static void an_extension_that_was_given_up_rings_nobody(void **state)
{
	struct world *world = *state;
	struct channel *in;

	world_do(world, &(struct command){ .type = COMMAND_USER_DROP, .user_id = world->ben });
	in = world_phone_dials(world, world->phone, "101");
	/* It is a number like any other now. */
	assert_true(id_eq(fake_dialled(world->engine, 0)->what.line, world->line));
	fake_end(in, END_CANCELED, 487);
}

static void a_snapshot_holds_what_its_reader_may_see(void **state)
{
	struct world *world = *state;
	struct command command = { .type = COMMAND_SNAPSHOT, .client = 7 };

	world_call(world, "0301", CONNECT_ECHO);
	command.asker = world_anna(world);
	world_do(world, &command);
	assert_int_equal(world->bus.snapshot->client, 7);
	assert_int_equal(world->bus.snapshot->call_count, 1);
	assert_int_equal(world->bus.snapshot->registration_count, 1);
	command.asker = world_as(world->tenant, world->ben, ASKER_AGENT);
	world_do(world, &command);
	assert_int_equal(world->bus.snapshot->call_count, 0);
	command.asker = world_as(world->tenant, id_new(), ASKER_SUPERVISOR);
	world_do(world, &command);
	assert_int_equal(world->bus.snapshot->registration_count, 2);
	fake_end(fake_dialled(world->engine, 0), END_COMPLETED, 200);
}

static void live_calls_come_newest_first_by_pages(void **state)
{
	struct world *world = *state;
	struct command command = {
		.type = COMMAND_CALLS, .asker = world_anna(world), .offset = 1, .limit = 1
	};
	struct id calls[3];

	for (int i = 0; i < 3; i++)
		calls[i] = world_call(world, "0301", CONNECT_ECHO)->call->id;
	world_do(world, &command);
	assert_int_equal(world->reply->total, 3);
	assert_int_equal(world->reply->count, 1);
	assert_true(id_eq(world->reply->calls[0]->id, calls[1]));
	for (int i = 0; i < 3; i++)
		world_hangup(world, calls[i], HANGUP_NORMAL);
	assert_int_equal(world_do(world, &command)->total, 0);
	/* An ended call is still there for who asks at once, and gone a little later. */
	command = (struct command){ .type = COMMAND_CALL_GET,
				    .asker = world_anna(world),
				    .call_id = calls[0] };
	assert_int_equal(world_do(world, &command)->call->state, CALL_ENDED);
	fake_settle(world->engine);
	world_advance(world, 2100);
	assert_int_equal(world_do(world, &command)->code, REPLY_NOT_FOUND);
}

/* ---- draining ---- */

static void a_drain_waits_for_the_calls(void **state)
{
	struct world *world = *state;
	struct command drain = { .type = COMMAND_DRAIN, .timeout_ms = 60000 };

	world_call(world, "0301", CONNECT_ECHO);
	assert_null(world_do(world, &drain));
	assert_true(world->engine->drained);
	fake_end(fake_dialled(world->engine, 0), END_COMPLETED, 200);
	assert_int_equal(world->reply->code, REPLY_OK);
	assert_int_equal(world_call(world, "0301", CONNECT_ECHO)->code, REPLY_DRAINING);
}

static void a_drain_hangs_up_when_its_time_is_over(void **state)
{
	struct world *world = *state;
	struct command drain = { .type = COMMAND_DRAIN, .timeout_ms = 5000 };

	world_call(world, "0301", CONNECT_ECHO);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	assert_null(world_do(world, &drain));
	world_advance(world, 5100);
	world_expect_end(world, END_INTERRUPTED, 500, HANGUP_PLATFORM);
	assert_null(world->reply);
	world_advance(world, 2100);
	assert_int_equal(world->reply->code, REPLY_OK);
}

/* ---- the gate ---- */

static void *ask(void *arg)
{
	struct world *world = arg;
	struct command command = { .type = COMMAND_CALLS, .asker = world_anna(world) };

	return call_ask(call_app_gate(world->app), &command, 5000);
}

static void another_thread_asks_and_is_answered(void **state)
{
	struct world *world = *state;
	pthread_t thread;
	void *reply = NULL;

	assert_int_equal(pthread_create(&thread, NULL, ask, world), 0);
	for (int i = 0; i < 5000 && !reply; i++) {
		struct timespec pause = { .tv_nsec = 1000000 };

		call_app_run(world->app);
		if (!pthread_tryjoin_np(thread, &reply))
			break;
		nanosleep(&pause, NULL);
	}
	assert_non_null(reply);
	assert_int_equal(((struct reply *)reply)->code, REPLY_OK);
	reply_free(reply);
}

static void who_asks_in_vain_goes_away_unharmed(void **state)
{
	struct world *world = *state;
	struct command command = { .type = COMMAND_CALLS, .asker = world_anna(world) };

	assert_null(call_ask(call_app_gate(world->app), &command, 10));
	call_app_run(world->app); /* the answer comes too late, and is thrown away */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_profile_with_calls_is_dropped_only_by_force),
		TEST(a_profile_that_another_ones_call_goes_out_through_is_in_use_too),
		TEST(a_wait_ends_with_a_resting_state),
		TEST(a_wait_for_a_registered_line_is_for_the_provider_to_say_so_again),
		TEST(bindings_of_before_the_start_are_told_the_oldest_first),
		TEST(a_wait_ends_when_its_time_is_up),
		TEST(resources_of_others_are_not_found),
		TEST(a_page_of_registrations_keeps_its_order),
		TEST(devices_are_listed_with_their_bindings),
		TEST(the_oldest_profile_is_the_default_until_another_is_chosen),
		TEST(an_extension_that_was_given_up_rings_nobody),
		TEST(a_snapshot_holds_what_its_reader_may_see),
		TEST(live_calls_come_newest_first_by_pages),
		TEST(a_drain_waits_for_the_calls),
		TEST(a_drain_hangs_up_when_its_time_is_over),
		TEST(another_thread_asks_and_is_answered),
		TEST(who_asks_in_vain_goes_away_unharmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
