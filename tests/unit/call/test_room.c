/* Conference rooms on an engine that only remembers: who comes, who goes, and the rows that tell of it */
#include "room_kit.h"

static void a_room_begins_with_its_first_member_and_ends_with_its_last(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two;

	assert_true(one->playing); /* alone: not in silence */
	assert_int_equal(world_events(world, EVENT_CONFERENCE_STARTED), 1);
	two = added(world, "0302");
	assert_false(one->playing || two->playing);
	assert_ptr_equal(one->bridge, two->bridge);
	assert_true(one->bridge->watched);
	assert_int_equal(look(world)->member_count, 2);
	assert_int_equal(room(world)->state, CONFERENCE_ACTIVE);
	assert_string_equal(room(world)->members[0].name, "0301");

	hang_up(one);
	assert_true(two->playing);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_ENDED), 0);
	hang_up(two);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_LEFT), 2);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_ENDED), 1);
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_NOT_FOUND);
}

static void the_log_has_a_row_for_the_room_and_one_for_each_member(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");
	unsigned rooms = 0, members = 0;

	hang_up(one);
	hang_up(two);
	for (unsigned i = 0; i < world->bus.count; i++) {
		const struct event *event = world->bus.events[i];

		if (event->type != EVENT_CALL_ENDED)
			continue;
		assert_string_equal(event->call->room, "sales");
		assert_int_equal(event->call->end_reason, END_COMPLETED);
		rooms += event->call->direction == CALL_CONFERENCE;
		members += event->call->direction == CALL_OUTGOING;
	}
	assert_int_equal(rooms, 1);
	assert_int_equal(members, 2);
}

static void a_call_of_two_becomes_a_room(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote;
	struct conference_wish wish = { .action = CONFERENCE_JOIN };

	world_call(world, "030", CONNECT_ANY_DEVICE);
	wish.call = world->reply->call->id;
	agent = fake_dialled(world->engine, 1);
	fake_say(agent, ENGINE_ANSWERED);
	assert_int_equal(ask(world, wish)->code, REPLY_WRONG_STATE);
	remote = fake_dialled(world->engine, 0);
	fake_say(remote, ENGINE_ANSWERED);

	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_int_equal(room(world)->member_count, 2);
	assert_ptr_equal(agent->bridge, remote->bridge);
	assert_true(agent->bridge->watched);
	assert_false(agent->playing || remote->playing);
	assert_int_equal(ask(world, wish)->code, REPLY_OK); /* again: nothing happens */
	assert_int_equal(world_events(world, EVENT_CONFERENCE_JOINED), 2);

	/* One of the two goes; the other stays in the room with the third. */
	added(world, "0303");
	hang_up(agent);
	assert_false(remote->hung_up);
	assert_int_equal(look(world)->member_count, 2);
	assert_int_equal(act(world, CONFERENCE_END)->code, REPLY_OK);
	assert_true(remote->hung_up);
}

/* In a call of two it would be, after an hour. */
static void who_holds_in_a_room_is_not_hung_up_for_it(void **state)
{
	struct world *world = *state;
	struct channel *agent, *remote;
	struct conference_wish wish = { .action = CONFERENCE_JOIN };

	world_call(world, "030", CONNECT_ANY_DEVICE);
	wish.call = world->reply->call->id;
	agent = fake_dialled(world->engine, 1);
	fake_say(agent, ENGINE_ANSWERED);
	remote = fake_dialled(world->engine, 0);
	fake_say(remote, ENGINE_ANSWERED);
	fake_say(agent, ENGINE_HELD);
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	added(world, "0303");
	world_advance(world, 3600001);
	assert_false(agent->hung_up);
	act(world, CONFERENCE_END);
}

static void an_end_sends_everybody_away(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302"), *three;

	add(world, "0303");
	three = fake_dialled(world->engine, 0);
	assert_int_equal(act(world, CONFERENCE_END)->code, REPLY_OK);
	assert_int_equal(room(world)->state, CONFERENCE_ENDED);
	assert_int_equal(room(world)->member_count, 0);
	assert_true(one->hung_up && two->hung_up && three->hung_up);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_ENDED), 1);
	assert_int_equal(act(world, CONFERENCE_END)->code, REPLY_NOT_FOUND);
}

static void hanging_up_the_rooms_own_call_ends_it(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	assert_int_equal(world_hangup(world, look(world)->call_id, HANGUP_NORMAL)->code, REPLY_OK);
	assert_true(one->hung_up && two->hung_up);
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_NOT_FOUND);
}

static void who_does_not_answer_does_not_join(void **state)
{
	struct world *world = *state;
	const struct event *event;
	struct channel *one = added(world, "0301");

	add(world, "0302");
	assert_int_equal(world->reply->call->state, CALL_DIALING);
	assert_int_equal(room(world)->member_count, 1);
	fake_end(fake_dialled(world->engine, 0), END_BUSY, 486);
	event = world_event(world, EVENT_CONFERENCE_FAILED);
	assert_non_null(event);
	assert_non_null(strstr(event->detail, "\"sip_code\":486"));
	assert_non_null(strstr(event->detail, "busy"));
	hang_up(one);

	/* A room that was made for somebody who never came is gone. */
	add(world, "0303");
	fake_end(fake_dialled(world->engine, 0), END_NOT_FOUND, 404);
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_NOT_FOUND);
}

static void a_phone_is_rung_and_put_in(void **state)
{
	struct world *world = *state;
	struct channel *loser, *phone;

	assert_int_equal(act(world, CONFERENCE_JOIN)->code, REPLY_OK);
	assert_non_null(world->reply->call);
	loser = fake_dialled(world->engine, 1);
	phone = fake_dialled(world->engine, 0);
	fake_say(phone, ENGINE_RINGING);
	fake_say(phone, ENGINE_ANSWERED);
	assert_true(loser->hung_up && loser->elsewhere);
	assert_int_equal(look(world)->member_count, 1);
	assert_string_equal(room(world)->members[0].name, "Anna");
	assert_true(room(world)->members[0].moderator);
	hang_up(phone);
}

static void a_silent_member_is_removed_unless_it_is_on_hold(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	assert_int_equal(one->expect_ms, 30000);
	member(world, CONFERENCE_HOLD, 0);
	fake_say(one, ENGINE_MEDIA_LOST);
	assert_false(one->hung_up);
	member(world, CONFERENCE_RESUME, 0);
	fake_say(one, ENGINE_MEDIA_LOST);
	assert_true(one->hung_up);
	assert_int_equal(world_event(world, EVENT_CALL_ENDED)->call->end_reason, END_MEDIA_FAILED);
	assert_int_equal(look(world)->member_count, 1);
	hang_up(two);
}

static void a_member_can_move_to_another_room(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .room = "service" };

	wish.call = look(world)->members[0].call_id;
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_string_equal(room(world)->room, "service");
	assert_int_equal(room(world)->member_count, 1);
	assert_ptr_not_equal(one->bridge, two->bridge);
	assert_int_equal(look(world)->member_count, 1);
	hang_up(one);
	hang_up(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_room_begins_with_its_first_member_and_ends_with_its_last),
		TEST(the_log_has_a_row_for_the_room_and_one_for_each_member),
		TEST(a_call_of_two_becomes_a_room),
		TEST(who_holds_in_a_room_is_not_hung_up_for_it),
		TEST(an_end_sends_everybody_away),
		TEST(hanging_up_the_rooms_own_call_ends_it),
		TEST(who_does_not_answer_does_not_join),
		TEST(a_phone_is_rung_and_put_in),
		TEST(a_silent_member_is_removed_unless_it_is_on_hold),
		TEST(a_member_can_move_to_another_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
