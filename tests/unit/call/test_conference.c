/* Conference rooms on an engine that only remembers: who is in, who hears whom, who may do what. */
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

static struct reply *ask_as(struct world *world, struct asker asker, struct conference_wish wish)
{
	if (!wish.room[0])
		(void)str_copy(wish.room, sizeof(wish.room), "sales");
	return world_do(world, &(struct command){ .type = COMMAND_CONFERENCE,
						  .asker = asker,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

static struct reply *ask(struct world *world, struct conference_wish wish)
{
	return ask_as(world, world_anna(world), wish);
}

static struct reply *act(struct world *world, enum conference_action action)
{
	return ask(world, (struct conference_wish){ .action = action });
}

static const struct conference_view *room(const struct world *world)
{
	assert_non_null(world->reply->conferences);
	return world->reply->conferences[0];
}

static struct reply *look_as(struct world *world, struct asker asker)
{
	struct conference_wish wish = { .room = "sales" };

	return world_do(world, &(struct command){ .type = COMMAND_CONFERENCE_GET,
						  .asker = asker,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

static const struct conference_view *look(struct world *world)
{
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_OK);
	return room(world);
}

static struct reply *add(struct world *world, const char *to)
{
	struct conference_wish wish = { .action = CONFERENCE_ADD, .profile = world->line };

	(void)str_copy(wish.to, sizeof(wish.to), to);
	return ask(world, wish);
}

/* Somebody dialled in through the room's maker, who answers. */
static struct channel *added(struct world *world, const char *to)
{
	struct channel *channel;

	assert_int_equal(add(world, to)->code, REPLY_OK);
	channel = fake_dialled(world->engine, 0);
	fake_say(channel, ENGINE_RINGING);
	fake_say(channel, ENGINE_ANSWERED);
	return channel;
}

static struct id member_at(struct world *world, unsigned at)
{
	assert_in_range(at, 0, look(world)->member_count - 1);
	return room(world)->members[at].id;
}

static struct reply *member_as(struct world *world, struct asker asker,
			       enum conference_action action, unsigned at)
{
	struct id id = member_at(world, at);

	return ask_as(world, asker, (struct conference_wish){ .action = action, .member = id });
}

static struct reply *member(struct world *world, enum conference_action action, unsigned at)
{
	return member_as(world, world_anna(world), action, at);
}

static void with_incoming_room(struct line_spec *spec)
{
	spec->incoming = INCOMING_CONFERENCE;
	(void)str_copy(spec->incoming_target, sizeof(spec->incoming_target), "sales");
}

static struct channel *dials_in(struct world *world, const char *from)
{
	world_put_line(world, world->line, world->anna, with_incoming_room);
	return world_rings_in(world, from);
}

static void made(struct world *world, const char *pin, const char *moderator_pin)
{
	struct conference_wish wish = { .action = CONFERENCE_CREATE };

	(void)str_copy(wish.set.pin, sizeof(wish.set.pin), pin);
	(void)str_copy(wish.set.moderator_pin, sizeof(wish.set.moderator_pin), moderator_pin);
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_int_equal(room(world)->state, CONFERENCE_OPEN);
}

static void hang_up(struct channel *channel)
{
	fake_end(channel, END_COMPLETED, 200);
}

/* ---- coming and going ---- */

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

/* ---- what is done to members ---- */

static void mute_deaf_and_hold_reach_the_bridge(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	assert_int_equal(member(world, CONFERENCE_MUTE, 0)->code, REPLY_OK);
	assert_true(one->muted && room(world)->members[0].muted);
	assert_int_equal(member(world, CONFERENCE_DEAF, 0)->code, REPLY_OK);
	assert_true(one->deaf && !one->playing);
	assert_int_equal(member(world, CONFERENCE_UNDEAF, 0)->code, REPLY_OK);
	assert_int_equal(member(world, CONFERENCE_UNMUTE, 0)->code, REPLY_OK);
	assert_false(one->muted || one->deaf);

	assert_int_equal(member(world, CONFERENCE_HOLD, 0)->code, REPLY_OK);
	assert_true(one->muted && one->deaf && one->playing);
	assert_false(two->muted || two->deaf || two->playing);
	assert_int_equal(member(world, CONFERENCE_RESUME, 0)->code, REPLY_OK);
	assert_false(one->muted || one->deaf || one->playing);

	/* A far end that holds us plays its music to nobody. */
	fake_say(two, ENGINE_HELD);
	assert_true(two->muted && !two->deaf);
	fake_say(two, ENGINE_RESUMED);
	assert_false(two->muted);
	assert_int_equal(ask(world, (struct conference_wish){ .action = CONFERENCE_MUTE,
							      .member = id_new() })
				 ->code,
			 REPLY_NOT_FOUND);
	hang_up(one);
	hang_up(two);
}

static void who_is_kicked_hears_why_and_is_hung_up(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	assert_int_equal(member(world, CONFERENCE_KICK, 0)->code, REPLY_OK);
	assert_int_equal(room(world)->member_count, 1);
	assert_null(one->bridge);
	assert_true(one->playing && !one->hung_up);
	fake_sound_done(one, true);
	assert_true(one->hung_up);
	/* The last one, too. */
	assert_int_equal(member(world, CONFERENCE_KICK, 0)->code, REPLY_OK);
	assert_int_equal(room(world)->member_count, 0);
	fake_sound_done(two, false);
	assert_true(two->hung_up);
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_NOT_FOUND);
}

static void who_is_kicked_takes_nobody_along(void **state)
{
	struct world *world = *state;
	struct conference_wish wish = { .action = CONFERENCE_JOIN };
	struct channel *agent, *remote;

	world_call(world, "030", CONNECT_ANY_DEVICE);
	wish.call = world->reply->call->id;
	agent = fake_dialled(world->engine, 1);
	fake_say(agent, ENGINE_ANSWERED);
	remote = fake_dialled(world->engine, 0);
	fake_say(remote, ENGINE_ANSWERED);
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_int_equal(member(world, CONFERENCE_KICK, 1)->code, REPLY_OK);
	assert_null(remote->bridge);

	/* The other one's call is as good as before; it alone is moved on, and the kicked one is not. */
	(void)str_copy(wish.room, sizeof(wish.room), "support");
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_int_equal(room(world)->member_count, 1);
	assert_null(remote->bridge);
	fake_sound_done(remote, true);
	assert_true(remote->hung_up && !agent->hung_up);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);

	/* And where nobody is left to be moved, that is said. */
	assert_int_equal(ask(world,
			     (struct conference_wish){ .action = CONFERENCE_KICK,
						       .room = "support",
						       .member = room(world)->members[0].id })
				 ->code,
			 REPLY_OK);
	assert_int_equal(ask(world, wish)->code, REPLY_WRONG_STATE);
	fake_sound_done(agent, true);
	assert_int_equal(world_events(world, EVENT_CALL_ENDED), 3);
}

static void talkers_are_told_a_few_times_a_second(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	for (int i = 0; i < 10; i++) {
		fake_talks(one, i % 2 == 0);
		fake_talks(two, i % 2 == 0);
		world_advance(world, 100);
	}
	assert_in_range(world_events(world, EVENT_CONFERENCE_TALKING), 3, 5);
	fake_talks(one, true);
	assert_true(look(world)->members[0].talking);
	member(world, CONFERENCE_MUTE, 0);
	assert_false(room(world)->members[0].talking);
	fake_talks(one, true);
	assert_false(look(world)->members[0].talking);
	hang_up(one);
	hang_up(two);
}

static void tones_tell_who_comes_and_goes(void **state)
{
	struct world *world = *state;
	struct channel *one, *two;

	ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE,
					     .set.tones = true,
					     .set.join_muted = true });
	one = added(world, "0301");
	assert_int_equal(one->bridge->chimes, 0);
	two = added(world, "0302");
	assert_int_equal(one->bridge->chimes, 1);
	assert_true(one->muted && two->muted);
	hang_up(two);
	hang_up(one);
	act(world, CONFERENCE_END);
}

/* ---- doors ---- */

static void a_locked_or_full_room_takes_nobody(void **state)
{
	struct world *world = *state;
	struct channel *one, *in;

	ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE, .set.max_members = 2 });
	assert_int_equal(act(world, CONFERENCE_CREATE)->code, REPLY_ROOM_EXISTS);
	one = added(world, "0301");
	assert_int_equal(act(world, CONFERENCE_LOCK)->code, REPLY_OK);
	assert_true(room(world)->locked);
	assert_int_equal(add(world, "0302")->code, REPLY_ROOM_LOCKED);
	assert_int_equal(act(world, CONFERENCE_JOIN)->code, REPLY_ROOM_LOCKED);
	in = dials_in(world, "0170");
	assert_non_null(strstr(in->said, "Nobody else"));
	fake_sound_done(in, true);
	assert_true(in->hung_up);
	assert_int_equal(act(world, CONFERENCE_UNLOCK)->code, REPLY_OK);
	add(world, "0302");
	assert_int_equal(act(world, CONFERENCE_JOIN)->code,
			 REPLY_ROOM_FULL); /* one is on the way */
	act(world, CONFERENCE_END);
	assert_true(one->hung_up);
}

static void who_dials_in_says_the_pin(void **state)
{
	struct world *world = *state;
	struct channel *in;

	made(world, "1234", "98765");
	in = dials_in(world, "0170");
	assert_true(in->answered && in->playing);
	assert_null(in->bridge);
	fake_digits(in, "1111#");
	assert_non_null(strstr(in->said, "try again"));
	fake_digits(in, "1234#");
	assert_non_null(in->bridge);
	assert_false(look(world)->members[0].moderator);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 0); /* nobody else's business */
	fake_digits(in, "5");
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 1);
	hang_up(in);
	/* The room and its PIN outlive its members. */
	assert_int_equal(look(world)->state, CONFERENCE_OPEN);
	in = dials_in(world, "0171");
	fake_digits(in, "98765");
	assert_true(look(world)->members[0].moderator);
	hang_up(in);
	assert_int_equal(act(world, CONFERENCE_END)->code, REPLY_OK);
}

static void three_wrong_pins_are_enough(void **state)
{
	struct world *world = *state;
	struct channel *in;

	made(world, "1234", "");
	in = dials_in(world, "0170");
	fake_digits(in, "0000#");
	fake_digits(in, "1");
	world_advance(world, 5001);  /* stops in the middle */
	world_advance(world, 10001); /* and says nothing more */
	assert_non_null(strstr(in->said, "Goodbye"));
	fake_digits(in, "1234#");
	assert_null(in->bridge);
	fake_sound_done(in, true);
	world_expect_end(world, END_DECLINED, 603, HANGUP_PLATFORM);
	act(world, CONFERENCE_END);
}

static void who_waits_for_the_moderator_hears_and_says_nothing(void **state)
{
	struct world *world = *state;
	struct channel *one, *two, *boss;

	ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE,
					     .set.wait_for_moderator = true });
	one = added(world, "0301");
	two = added(world, "0302");
	assert_true(one->muted && one->deaf && one->playing);
	assert_true(two->muted && two->deaf && two->playing);
	act(world, CONFERENCE_JOIN);
	boss = fake_dialled(world->engine, 0);
	fake_say(boss, ENGINE_ANSWERED);
	assert_false(one->muted || one->deaf || one->playing || two->playing || boss->playing);
	act(world, CONFERENCE_END);
}

/* ---- who may ---- */

static void rooms_are_seen_and_ruled_by_whom_they_concern(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct asker chief = world_as(world->tenant, id_new(), ASKER_SUPERVISOR);
	struct asker stranger = world_as(world->stranger_tenant, world->stranger, ASKER_ADMIN);
	struct conference_wish end_it = { .action = CONFERENCE_END };
	struct command unmute = { .type = COMMAND_MUTE_LEG, .asker = ben };
	struct channel *phone;

	made(world, "1234", "");
	assert_int_equal(look_as(world, ben)->code, REPLY_FORBIDDEN);
	assert_int_equal(look_as(world, stranger)->code, REPLY_NOT_FOUND);
	assert_int_equal(look_as(world, chief)->code, REPLY_OK);
	assert_int_equal(ask_as(world, ben, end_it)->code, REPLY_FORBIDDEN);
	assert_int_equal(ask_as(world, stranger, end_it)->code, REPLY_NOT_FOUND);
	assert_int_equal(ask_as(world, chief, end_it)->code, REPLY_FORBIDDEN);

	/* With the PIN he comes in, and sees it then; he may mute himself and nobody else. */
	assert_int_equal(
		ask_as(world, ben, (struct conference_wish){ .action = CONFERENCE_JOIN })->code,
		REPLY_WRONG_PIN);
	assert_int_equal(
		ask_as(world, ben,
		       (struct conference_wish){ .action = CONFERENCE_JOIN, .pin = "1234" })
			->code,
		REPLY_OK);
	phone = fake_dialled(world->engine, 0);
	fake_say(phone, ENGINE_ANSWERED);
	assert_int_equal(look_as(world, ben)->code, REPLY_OK);
	added(world, "0301");
	assert_int_equal(member_as(world, ben, CONFERENCE_MUTE, 1)->code, REPLY_FORBIDDEN);
	assert_int_equal(member_as(world, ben, CONFERENCE_MUTE, 0)->code, REPLY_OK);
	assert_int_equal(member_as(world, ben, CONFERENCE_UNMUTE, 0)->code, REPLY_OK);
	assert_false(phone->muted);
	/* What the moderator muted stays so. */
	assert_int_equal(member(world, CONFERENCE_MUTE, 0)->code, REPLY_OK);
	assert_int_equal(member_as(world, ben, CONFERENCE_UNMUTE, 0)->code, REPLY_FORBIDDEN);
	assert_true(phone->muted);
	unmute.call_id = look(world)->members[0].call_id;
	unmute.leg_id = room(world)->members[0].leg_id;
	assert_int_equal(world_do(world, &unmute)->code, REPLY_FORBIDDEN); /* nor by another way */
	assert_int_equal(member_as(world, ben, CONFERENCE_MUTE, 0)->code, REPLY_OK);
	assert_int_equal(member_as(world, ben, CONFERENCE_UNMUTE, 0)->code, REPLY_FORBIDDEN);
	assert_true(phone->muted);
	assert_int_equal(ask_as(world, ben, end_it)->code, REPLY_FORBIDDEN);
	assert_int_equal(ask(world, end_it)->code, REPLY_OK);
}

static void lists_and_snapshots_hold_what_may_be_seen(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct command list = { .type = COMMAND_CONFERENCES, .asker = ben };
	struct command snapshot = { .type = COMMAND_SNAPSHOT, .asker = world_anna(world) };

	made(world, "", "");
	assert_int_equal(world_do(world, &list)->total, 0);
	list.asker = world_anna(world);
	assert_int_equal(world_do(world, &list)->total, 1);
	world_do(world, &snapshot);
	assert_int_equal(world->bus.snapshot->conference_count, 1);
	act(world, CONFERENCE_END);
}

/* Nor does a moderator of one room come as that to another, nor is the other PIN there to be tried out. */
static void a_moderators_pin_opens_one_room(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .pin = "99" };
	struct channel *phone;

	made(world, "", "99");
	assert_int_equal(ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE,
							      .room = "support" })
				 ->code,
			 REPLY_OK);
	(void)str_copy(wish.pin, sizeof(wish.pin), "98");
	assert_int_equal(ask_as(world, ben, wish)->code, REPLY_WRONG_PIN);
	(void)str_copy(wish.pin, sizeof(wish.pin), "99");
	assert_int_equal(ask_as(world, ben, wish)->code, REPLY_OK);
	phone = fake_dialled(world->engine, 0);
	fake_say(phone, ENGINE_ANSWERED);
	assert_true(look(world)->members[0].moderator);
	wish = (struct conference_wish){ .action = CONFERENCE_JOIN,
					 .room = "support",
					 .call = room(world)->members[0].call_id };
	assert_int_equal(ask_as(world, ben, wish)->code, REPLY_OK);
	assert_int_equal(room(world)->member_count, 1);
	assert_false(room(world)->members[0].moderator);
	hang_up(phone);
	assert_int_equal(act(world, CONFERENCE_END)->code, REPLY_OK);
	assert_int_equal(
		ask(world, (struct conference_wish){ .action = CONFERENCE_END, .room = "support" })
			->code,
		REPLY_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_room_begins_with_its_first_member_and_ends_with_its_last),
		TEST(the_log_has_a_row_for_the_room_and_one_for_each_member),
		TEST(a_call_of_two_becomes_a_room),
		TEST(an_end_sends_everybody_away),
		TEST(hanging_up_the_rooms_own_call_ends_it),
		TEST(who_does_not_answer_does_not_join),
		TEST(a_phone_is_rung_and_put_in),
		TEST(a_silent_member_is_removed_unless_it_is_on_hold),
		TEST(a_member_can_move_to_another_room),
		TEST(mute_deaf_and_hold_reach_the_bridge),
		TEST(who_is_kicked_hears_why_and_is_hung_up),
		TEST(who_is_kicked_takes_nobody_along),
		TEST(talkers_are_told_a_few_times_a_second),
		TEST(tones_tell_who_comes_and_goes),
		TEST(a_locked_or_full_room_takes_nobody),
		TEST(who_dials_in_says_the_pin),
		TEST(three_wrong_pins_are_enough),
		TEST(who_waits_for_the_moderator_hears_and_says_nothing),
		TEST(rooms_are_seen_and_ruled_by_whom_they_concern),
		TEST(a_moderators_pin_opens_one_room),
		TEST(lists_and_snapshots_hold_what_may_be_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
