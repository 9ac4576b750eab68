/* What is done to members of a conference room: mute, hold, kick, tones, volume, moderators, guests */
#include "room_kit.h"

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

static void members_are_promoted_and_have_a_volume(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct channel *phone, *two;

	made(world, "", "");
	assert_int_equal(
		ask_as(world, ben, (struct conference_wish){ .action = CONFERENCE_JOIN })->code,
		REPLY_OK);
	phone = fake_dialled(world->engine, 0);
	fake_say(phone, ENGINE_ANSWERED);
	two = added(world, "0301");
	/* Nobody promotes himself, nor makes himself louder. */
	assert_int_equal(member_as(world, ben, CONFERENCE_PROMOTE, 0)->code, REPLY_FORBIDDEN);
	assert_int_equal(member_as(world, ben, CONFERENCE_VOLUME, 0)->code, REPLY_FORBIDDEN);
	assert_int_equal(member(world, CONFERENCE_PROMOTE, 0)->code, REPLY_OK);
	assert_true(room(world)->members[0].moderator);
	assert_int_equal(member_as(world, ben, CONFERENCE_MUTE, 1)->code, REPLY_OK);
	assert_true(two->muted);
	assert_int_equal(ask_as(world, ben,
				(struct conference_wish){ .action = CONFERENCE_VOLUME,
							  .member = room(world)->members[1].id,
							  .volume = -12 })
				 ->code,
			 REPLY_OK);
	assert_int_equal(two->volume, -12);
	assert_int_equal(room(world)->members[1].volume, -12);
	assert_int_equal(member(world, CONFERENCE_DEMOTE, 0)->code, REPLY_OK);
	assert_int_equal(member_as(world, ben, CONFERENCE_UNMUTE, 1)->code, REPLY_FORBIDDEN);
	act(world, CONFERENCE_END);
}

static void members_mute_themselves_where_the_room_says_so(void **state)
{
	struct world *world = *state;
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	fake_digits(one, "*6");
	assert_false(one->muted);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 2); /* digits like any others */
	ask(world, (struct conference_wish){
			   .action = CONFERENCE_UPDATE, .set.keys = true, .given = ROOM_SET_KEYS });
	assert_true(room(world)->keys);
	fake_digits(one, "*6");
	assert_true(one->muted);
	assert_non_null(strstr(one->said, "You are muted"));
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 2);
	fake_digits(one, "6");
	assert_true(one->muted);
	fake_digits(one, "*");
	world_advance(world, 3001); /* a star of long ago */
	fake_digits(one, "6");
	assert_true(one->muted);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 4);
	fake_digits(one, "**6");
	assert_false(one->muted);
	/* What a moderator muted stays so. */
	member(world, CONFERENCE_MUTE, 0);
	fake_digits(one, "*6");
	assert_true(one->muted);
	assert_non_null(strstr(one->said, "moderator"));
	hang_up(one);
	hang_up(two);
}

static void the_last_moderators_leaving_ends_it(void **state)
{
	struct world *world = *state;
	struct channel *one, *boss;

	ask(world, (struct conference_wish){ .action = CONFERENCE_CREATE,
					     .set.end_on_moderator_exit = true,
					     .set.grace_s = 20 });
	one = added(world, "0301");
	world_advance(world, 60000); /* none was there yet */
	assert_false(one->hung_up);
	act(world, CONFERENCE_JOIN);
	boss = fake_dialled(world->engine, 0);
	fake_say(boss, ENGINE_ANSWERED);
	hang_up(boss);
	world_advance(world, 19000);
	assert_false(one->hung_up);
	act(world, CONFERENCE_JOIN); /* back in time */
	boss = fake_dialled(world->engine, 0);
	fake_say(boss, ENGINE_ANSWERED);
	world_advance(world, 60000);
	assert_false(one->hung_up);
	hang_up(boss);
	world_advance(world, 20002);
	assert_true(one->hung_up);
	fake_settle(world->engine);
	assert_int_equal(look(world)->state, CONFERENCE_OPEN);
	assert_int_equal(world_event(world, EVENT_CALL_ENDED)->call->end_reason, END_COMPLETED);
	act(world, CONFERENCE_END);
}

/* ---- guests ---- */

static unsigned guest_changes;

static void guest_changed(struct room_guest *guest)
{
	(void)guest;
	guest_changes++;
}

static void a_guest_hears_and_is_no_member(void **state)
{
	struct world *world = *state;
	struct room_guest guest = { .mode = ROOM_GUEST_LISTENS, .on_change = guest_changed };
	struct channel *one = added(world, "0301"), *two = added(world, "0302"), *ear;
	struct call *call, *other;
	struct room *room_;
	unsigned events = world->bus.count;

	world_call(world, "0309", CONNECT_SAY);
	ear = fake_dialled(world->engine, 0);
	fake_say(ear, ENGINE_ANSWERED);
	call = call_get(world->app, world_view(world)->id);
	room_ = room_get(world->app, call->tenant, "sales");
	assert_ptr_equal(room_of(room_->call), room_);
	assert_null(room_of(call));
	guest.leg = call->second;
	guest_changes = 0;
	room_guest_enter(room_, &guest);
	assert_true(ear->guest && ear->hushed && ear->bridge == one->bridge);
	assert_int_equal(look(world)->member_count, 2);
	other = call_get(world->app, room(world)->members[0].call_id);
	assert_ptr_equal(room_of(other), room_);
	room_guest_set(&guest, ROOM_GUEST_WHISPERS, other->second);
	assert_true(!ear->hushed && ear->aside == one);
	room_guest_set(&guest, ROOM_GUEST_BARGES, NULL);
	assert_true(!ear->hushed && !ear->aside);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_CHANGED), 0);
	assert_in_range(world->bus.count, events, events + 3); /* of the guest's own call */

	/* Whom it whispers to goes: it listens. */
	room_guest_set(&guest, ROOM_GUEST_WHISPERS, other->second);
	hang_up(one);
	assert_int_equal(guest_changes, 1);
	assert_true(guest.mode == ROOM_GUEST_LISTENS && ear->hushed && !ear->aside);
	assert_true(two->playing); /* a guest is no company */
	hang_up(two);
	assert_int_equal(guest_changes, 2);
	assert_null(guest.room);
	assert_true(!ear->hung_up && !ear->bridge && !ear->hushed);
	world_hangup(world, call->id, HANGUP_NORMAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mute_deaf_and_hold_reach_the_bridge),
		TEST(who_is_kicked_hears_why_and_is_hung_up),
		TEST(who_is_kicked_takes_nobody_along),
		TEST(talkers_are_told_a_few_times_a_second),
		TEST(tones_tell_who_comes_and_goes),
		TEST(members_are_promoted_and_have_a_volume),
		TEST(members_mute_themselves_where_the_room_says_so),
		TEST(the_last_moderators_leaving_ends_it),
		TEST(a_guest_hears_and_is_no_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
