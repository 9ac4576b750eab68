/* Recordings: when they begin and end, who is on them, and what is told of them. */
#include "world.h"

#include "base/base.h"

#include <errno.h>

static void on_demand(struct line_spec *spec)
{
	spec->record = RECORD_ON_DEMAND;
}

static void always(struct line_spec *spec)
{
	spec->record = RECORD_ALWAYS;
}

/* A call of two that talk. */
static struct id talking(struct world *world)
{
	struct id call;

	world_call(world, "+49301", CONNECT_ANY_DEVICE);
	assert_int_equal(world->reply->code, REPLY_OK);
	call = world->reply->call->id;
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	return call;
}

static struct reply *record(struct world *world, struct id call, int action)
{
	struct record_wish wish = { .stereo = true };
	struct command command = {
		.type = COMMAND_RECORD,
		.asker = world_anna(world),
		.call_id = call,
	};

	wish.action = (__typeof__(wish.action))action;
	command.body = (void *)xmemdup(&wish, sizeof(wish));
	return world_do(world, &command);
}

static const struct recording_view *told(const struct world *world, enum event_type type)
{
	const struct event *event = world_event(world, type);

	assert_non_null(event);
	assert_non_null(event->recording);
	return event->recording;
}

static void hang_up(struct world *world, struct id call)
{
	world_hangup(world, call, HANGUP_NORMAL);
	fake_settle(world->engine);
}

static void on_demand_it_runs_from_start_to_stop(void **state)
{
	struct world *world = world_new();
	struct id call, recording;

	(void)state;
	world_put_line(world, world->line, world->anna, on_demand);
	call = talking(world);
	assert_int_equal(world->engine->tapes, 0);
	assert_int_equal(record(world, call, RECORD_START)->code, REPLY_OK);
	assert_int_equal(world->reply->recording->state, RECORD_RECORDING);
	recording = world->reply->recording->id;
	assert_int_equal(fake_dialled(world->engine, 1)->taped, 1); /* the agent: left */
	assert_int_equal(fake_dialled(world->engine, 0)->taped, 2);
	assert_int_equal(world_view(world)->recording, RECORDING_ON);
	assert_true(id_eq(world_view(world)->recording_id, recording));
	assert_true(id_eq(told(world, EVENT_RECORDING_STARTED)->id, recording));
	assert_int_equal(strlen(told(world, EVENT_RECORDING_STARTED)->storage), 32);
	assert_true(strlen(told(world, EVENT_RECORDING_STARTED)->secret) > 32);

	assert_int_equal(record(world, call, RECORD_START)->code, REPLY_OK);
	assert_true(id_eq(world->reply->recording->id, recording));
	assert_int_equal(world->engine->tapes, 1);
	assert_int_equal(record(world, call, RECORD_STOP)->code, REPLY_OK);
	assert_int_equal(world->reply->recording->state, RECORD_PROCESSING);
	assert_int_equal(world->engine->tapes_stopped, 1);
	assert_int_equal(fake_dialled(world->engine, 1)->taped, 0);
	assert_int_equal(fake_dialled(world->engine, 0)->taped, 0);
	assert_int_equal(record(world, call, RECORD_STOP)->code, REPLY_OK);
	assert_int_equal(world->engine->tapes_stopped, 1);
	fake_tape_done(world->engine, 0, 16000);
	assert_int_equal(told(world, EVENT_RECORDING_READY)->size, 16044);
	assert_int_equal(told(world, EVENT_RECORDING_READY)->duration_ms, 1000);
	assert_int_equal(world_view(world)->recording, RECORDING_NONE);
	assert_true(id_eq(world_view(world)->recording_id, recording));

	/* A second segment is another recording. */
	assert_int_equal(record(world, call, RECORD_START)->code, REPLY_OK);
	assert_false(id_eq(world->reply->recording->id, recording));
	hang_up(world, call);
	assert_int_equal(world->engine->tapes_stopped, 2);
	fake_tape_done(world->engine, 0, 320);
	world_expect_clean(world);
	world_free(world);
}

static void always_means_from_the_answer_and_outlives_the_call(void **state)
{
	struct world *world = world_new();
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, always);
	call = talking(world);
	assert_int_equal(world->engine->tapes, 1);
	assert_int_equal(world_events(world, EVENT_RECORDING_STARTED), 1);
	hang_up(world, call);
	assert_int_equal(world_view(world)->state, CALL_ENDED);
	assert_int_equal(world_view(world)->recording, RECORDING_NONE);
	assert_false(id_is_none(world_view(world)->recording_id));
	world_advance(world, 60000); /* the call is forgotten */
	assert_int_equal(world_events(world, EVENT_RECORDING_READY), 0);
	fake_tape_done(world->engine, 0, 320);
	assert_true(id_eq(told(world, EVENT_RECORDING_READY)->call_id, call));
	world_expect_clean(world);
	world_free(world);
}

static void a_pause_ends_by_itself(void **state)
{
	struct world *world = world_new();
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, on_demand);
	call = talking(world);
	assert_int_equal(record(world, call, RECORD_PAUSE)->code, REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "none");
	(void)record(world, call, RECORD_START);
	assert_int_equal(record(world, call, RECORD_PAUSE)->code, REPLY_OK);
	assert_true(world->engine->tape_paused);
	assert_int_equal(world_view(world)->recording, RECORDING_PAUSED);
	assert_int_equal(record(world, call, RECORD_PAUSE)->code, REPLY_OK);
	assert_int_equal(world_events(world, EVENT_RECORDING_PAUSED), 1);
	assert_int_equal(record(world, call, RECORD_START)->code, REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "paused");
	assert_int_equal(record(world, call, RECORD_RESUME)->code, REPLY_OK);
	assert_false(world->engine->tape_paused);
	(void)record(world, call, RECORD_PAUSE);
	world_advance(world, 301000);
	assert_false(world->engine->tape_paused);
	assert_int_equal(world_events(world, EVENT_RECORDING_RESUMED), 2);
	hang_up(world, call);
	fake_tape_done(world->engine, 0, 320);
	world_expect_clean(world);
	world_free(world);
}

static void a_full_disk_fails_the_recording_and_not_the_call(void **state)
{
	struct world *world = world_new();
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, always);
	call = talking(world);
	fake_tape_done(world->engine, ENOSPC, 32000);
	assert_string_equal(told(world, EVENT_RECORDING_FAILED)->reason, "disk_full");
	assert_int_equal(told(world, EVENT_RECORDING_FAILED)->size, 32044);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	assert_int_equal(world_view(world)->recording, RECORDING_NONE);
	assert_int_equal(fake_dialled(world->engine, 0)->taped, 0); /* nobody is decoded for it */
	assert_int_equal(record(world, call, RECORD_PAUSE)->code, REPLY_WRONG_STATE);
	hang_up(world, call);
	assert_int_equal(world->engine->tapes_stopped, 0); /* it was gone already */
	world_expect_clean(world);
	world_free(world);
}

static void with_beep(struct line_spec *spec)
{
	spec->record = RECORD_ALWAYS;
	spec->record_beep = true;
}

static void its_parties_are_told_by_a_beep_where_the_profile_says_so(void **state)
{
	struct world *world = world_new();
	struct bridge *bridge;
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, with_beep);
	call = talking(world);
	bridge = fake_dialled(world->engine, 0)->bridge;
	assert_int_equal(bridge->chimes, 1);
	world_advance(world, 31000);
	assert_int_equal(bridge->chimes, 3);
	(void)record(world, call, RECORD_PAUSE);
	world_advance(world, 30000);
	assert_int_equal(bridge->chimes, 3);
	(void)record(world, call, RECORD_RESUME);
	world_advance(world, 15000);
	assert_int_equal(bridge->chimes, 4);
	(void)record(world, call, RECORD_STOP);
	fake_tape_done(world->engine, 0, 320);
	world_advance(world, 60000);
	assert_int_equal(bridge->chimes, 4);
	hang_up(world, call);
	world_expect_clean(world);
	world_free(world);
}

static void never_is_never(void **state)
{
	struct world *world = world_new();
	struct id call;

	(void)state;
	call = talking(world);
	assert_int_equal(record(world, call, RECORD_START)->code, REPLY_NO_RECORDING);
	assert_int_equal(record(world, call, RECORD_STOP)->code, REPLY_WRONG_STATE);
	assert_int_equal(world->engine->tapes, 0);
	hang_up(world, call);
	world_expect_clean(world);
	world_free(world);
}

/* A snapshot of the event stream has what runs, is paused or is being finished, as far as its reader may see it. */
static void a_snapshot_has_those_that_run(void **state)
{
	struct world *world = world_new();
	struct command snapshot = { .type = COMMAND_SNAPSHOT, .asker = world_anna(world) };
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, always);
	call = talking(world);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->recording_count, 1);
	assert_int_equal(world->bus.snapshot->recordings[0]->state, RECORD_RECORDING);
	snapshot.asker = world_as(world->tenant, world->ben, ASKER_AGENT);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->recording_count, 0);
	snapshot.asker = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->recording_count, 0);
	hang_up(world, call);
	snapshot.asker = world_as(world->tenant, world->ben, ASKER_SUPERVISOR);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->recording_count, 1);
	assert_int_equal(world->bus.snapshot->recordings[0]->state, RECORD_PROCESSING);
	fake_tape_done(world->engine, 0, 320);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->recording_count, 0);
	world_expect_clean(world);
	world_free(world);
}

static void what_was_deleted_is_not_named_by_its_call(void **state)
{
	struct world *world = world_new();
	struct recording_deleted deleted = { .left = id_new() };
	struct command command = { .type = COMMAND_RECORDING_DELETED };
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, on_demand);
	command.call_id = call = talking(world);
	(void)record(world, call, RECORD_START);
	deleted.id = world->reply->recording->id;
	(void)record(world, call, RECORD_STOP);
	fake_tape_done(world->engine, 0, 320);
	command.asker = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	command.body = (void *)xmemdup(&deleted, sizeof(deleted));
	world_do(world, &command);
	assert_true(id_eq(world_view(world)->recording_id, deleted.id));
	command.asker = world_anna(world);
	command.body = (void *)xmemdup(&deleted, sizeof(deleted));
	world_do(world, &command);
	assert_true(id_eq(world_view(world)->recording_id, deleted.left));
	assert_int_equal(record(world, call, RECORD_STOP)->code, REPLY_WRONG_STATE);
	hang_up(world, call);
	world_expect_clean(world);
	world_free(world);
}

static void others_cannot(void **state)
{
	struct world *world = world_new();
	struct record_wish wish = { .action = RECORD_START };
	struct command command = { .type = COMMAND_RECORD };
	struct id call;

	(void)state;
	world_put_line(world, world->line, world->anna, on_demand);
	call = talking(world);
	command.call_id = call;
	command.asker = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	command.body = (void *)xmemdup(&wish, sizeof(wish));
	assert_int_equal(world_do(world, &command)->code, REPLY_NOT_FOUND);
	command.asker = world_as(world->tenant, world->ben, ASKER_AGENT);
	command.body = (void *)xmemdup(&wish, sizeof(wish));
	assert_int_equal(world_do(world, &command)->code, REPLY_NOT_FOUND);
	command.asker = world_as(world->tenant, world->ben, ASKER_SUPERVISOR);
	command.body = (void *)xmemdup(&wish, sizeof(wish));
	assert_int_equal(world_do(world, &command)->code, REPLY_FORBIDDEN);
	hang_up(world, call);
	world_expect_clean(world);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_demand_it_runs_from_start_to_stop),
		cmocka_unit_test(always_means_from_the_answer_and_outlives_the_call),
		cmocka_unit_test(a_pause_ends_by_itself),
		cmocka_unit_test(a_full_disk_fails_the_recording_and_not_the_call),
		cmocka_unit_test(its_parties_are_told_by_a_beep_where_the_profile_says_so),
		cmocka_unit_test(never_is_never),
		cmocka_unit_test(a_snapshot_has_those_that_run),
		cmocka_unit_test(what_was_deleted_is_not_named_by_its_call),
		cmocka_unit_test(others_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
