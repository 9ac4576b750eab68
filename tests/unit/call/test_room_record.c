/* The recording of a conference room */
#include "room_kit.h"

static struct reply *record(struct world *world, int action)
{
	struct conference_wish wish = { .action = CONFERENCE_RECORD };

	wish.record.action = (__typeof__(wish.record.action))action;
	return ask(world, wish);
}

static void a_room_is_recorded_as_one(void **state)
{
	struct world *world = *state;
	struct engine *engine = world->engine;
	struct channel *one, *two;
	struct id call;

	made(world, "", "");
	assert_int_equal(record(world, RECORD_START)->code, REPLY_WRONG_STATE);
	assert_string_equal(world->reply->state, "open");
	one = added(world, "0301");
	two = added(world, "0302");
	call = look(world)->call_id;
	assert_int_equal(record(world, RECORD_STOP)->code, REPLY_WRONG_STATE);
	assert_int_equal(record(world, RECORD_START)->code, REPLY_OK);
	assert_true(room(world)->recording);
	assert_int_equal(engine->tapes, 1);
	assert_true(one->bridge->taped && !engine->tape_spec.stereo && engine->tape_spec.wideband);
	assert_int_equal(one->taped + two->taped, 0); /* all together, not each */
	assert_true(id_eq(world_event(world, EVENT_RECORDING_STARTED)->call_id, call));
	assert_int_equal(record(world, RECORD_START)->code, REPLY_OK);
	assert_int_equal(engine->tapes, 1);
	assert_int_equal(record(world, RECORD_PAUSE)->code, REPLY_OK);
	assert_true(engine->tape_paused && !room(world)->recording);
	fake_digits(one, "7"); /* that it was pressed is told, not which one */
	assert_non_null(strstr(world_event(world, EVENT_CALL_DTMF)->detail, "\"masked\":true"));
	assert_null(strstr(world_event(world, EVENT_CALL_DTMF)->detail, "\"7\""));
	assert_int_equal(record(world, RECORD_RESUME)->code, REPLY_OK);
	assert_false(engine->tape_paused);
	hang_up(one);
	assert_int_equal(engine->tapes_stopped, 0);
	assert_int_equal(record(world, RECORD_STOP)->code, REPLY_OK);
	assert_false(two->bridge->taped || room(world)->recording);
	assert_int_equal(engine->tapes_stopped, 1);
	fake_tape_done(engine, 0, 32000);
	assert_non_null(world_event(world, EVENT_RECORDING_READY));
	/* The next one goes on to the end of the conference. */
	assert_int_equal(record(world, RECORD_START)->code, REPLY_OK);
	hang_up(two);
	assert_int_equal(engine->tapes_stopped, 2);
	fake_tape_done(engine, 0, 32000);
	assert_int_equal(world_event(world, EVENT_RECORDING_READY)->recording->state, RECORD_READY);
	act(world, CONFERENCE_END);
}

static void never(struct line_spec *spec)
{
	spec->record = RECORD_NEVER;
}

static void on_demand(struct line_spec *spec)
{
	spec->record = RECORD_ON_DEMAND;
}

static void with_beep(struct line_spec *spec)
{
	spec->record = RECORD_ON_DEMAND;
	spec->record_beep = true;
}

static void a_recorded_room_beeps_where_a_members_profile_says_so(void **state)
{
	struct world *world = *state;
	struct channel *one, *two;

	one = added(world, "0301");
	assert_int_equal(record(world, RECORD_START)->code, REPLY_OK);
	world_advance(world, 20000);
	assert_int_equal(one->bridge->chimes, 0);
	world_put_line(world, world->line, world->anna, with_beep);
	two = added(world, "0302");
	assert_int_equal(one->bridge->chimes, 1);
	world_advance(world, 31000);
	assert_int_equal(one->bridge->chimes, 3);
	assert_int_equal(record(world, RECORD_PAUSE)->code, REPLY_OK);
	world_advance(world, 30000);
	assert_int_equal(one->bridge->chimes, 3);
	assert_int_equal(record(world, RECORD_STOP)->code, REPLY_OK);
	fake_tape_done(world->engine, 0, 32000);
	assert_int_equal(record(world, RECORD_START)->code, REPLY_OK);
	assert_int_equal(one->bridge->chimes, 4); /* at once */
	hang_up(two);
	world_advance(world, 30000);
	assert_int_equal(one->bridge->chimes, 4); /* who is left was never to be on a tape */
	act(world, CONFERENCE_END);
	fake_tape_done(world->engine, 0, 32000);
}

static void a_room_may_be_recorded_from_its_first_member_on(void **state)
{
	struct world *world = *state;
	struct channel *one, *two;

	world_put_line(world, world->line, world->anna, on_demand);
	ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE, .set.record = true });
	assert_true(room(world)->record && !room(world)->recording);
	one = added(world, "0301");
	assert_true(one->bridge->taped && look(world)->recording);
	assert_int_equal(world_events(world, EVENT_RECORDING_STARTED), 1);
	/* Whose calls are never recorded, is heard by all but the tape. */
	world_put_line(world, world->line, world->anna, never);
	two = added(world, "0302");
	assert_true(two->unrecorded && !one->unrecorded);
	assert_true(look(world)->members[0].recorded && !room(world)->members[1].recorded);
	/* A disk that fails ends the recording, not the room. */
	fake_tape_done(world->engine, 28, 100);
	assert_false(look(world)->recording || one->bridge->taped);
	assert_int_equal(world_events(world, EVENT_RECORDING_FAILED), 1);
	act(world, CONFERENCE_END);
	assert_int_equal(world->engine->tapes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_room_is_recorded_as_one),
		TEST(a_recorded_room_beeps_where_a_members_profile_says_so),
		TEST(a_room_may_be_recorded_from_its_first_member_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
