/* Conference rooms on an engine that only remembers: who is in, who hears whom, who may do what. */
#include "world.h"

#include "base/base.h"
#include "call/room.h"
#include "store/room.h"

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

/* ---- its recording ---- */

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

/* ---- what a restart brings back ---- */

static const struct room_view *kept(const struct world *world)
{
	for (unsigned i = world->bus.count; i-- > 0;)
		if (world->bus.events[i]->room)
			return world->bus.events[i]->room;
	return NULL;
}

static void what_is_made_is_kept_until_it_is_ended(void **state)
{
	struct world *world = *state;
	struct conference_wish wish = { .action = CONFERENCE_CREATE,
					.set.pin = "1234",
					.set.moderator_pin = "98765",
					.set.tones = true,
					.set.grace_s = 7 };
	struct room_row row = { 0 };
	char pin[SEAL_MAX + 1];
	struct channel *one;
	unsigned rows = 0;

	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_string_equal(kept(world)->name, "sales");
	assert_true(kept(world)->tones && kept(world)->grace_s == 7 && !kept(world)->gone);
	/* Sealed, for this room and place. */
	row.id = kept(world)->id;
	row.pin = kept(world)->pin;
	row.moderator_pin = kept(world)->moderator_pin;
	assert_null(strstr(row.pin, "1234"));
	assert_int_equal(room_open_pin(world->seal, &row, ROOM_PIN, pin), 0);
	assert_string_equal(pin, "1234");
	assert_int_equal(room_open_pin(world->seal, &row, ROOM_MODERATOR_PIN, pin), 0);
	assert_string_equal(pin, "98765");
	row.pin = kept(world)->moderator_pin;
	assert_int_equal(room_open_pin(world->seal, &row, ROOM_PIN, pin), SEAL_E_BAD);

	assert_int_equal(act(world, CONFERENCE_LOCK)->code, REPLY_OK);
	assert_true(kept(world)->locked);
	act(world, CONFERENCE_UNLOCK);
	ask(world, (struct conference_wish){ .action = CONFERENCE_UPDATE,
					     .given = ROOM_SET_PIN | ROOM_SET_MAX_MEMBERS,
					     .set.max_members = 9 });
	assert_true(!kept(world)->pin[0] && kept(world)->moderator_pin[0]);
	assert_true(kept(world)->max_members == 9 && kept(world)->tones);
	assert_false(room(world)->has_pin);
	wish = (struct conference_wish){ .action = CONFERENCE_UPDATE,
					 .given = ROOM_SET_PIN,
					 .set.pin = "98765" };
	assert_int_equal(ask(world, wish)->code, REPLY_INVALID);

	/* Who comes and goes changes no row. */
	for (unsigned i = 0; i < world->bus.count; i++)
		rows += world->bus.events[i]->room != NULL;
	assert_int_equal(rows, 4);
	one = added(world, "0301");
	member(world, CONFERENCE_MUTE, 0);
	act(world, CONFERENCE_LOCK);
	hang_up(one);
	assert_true(look(world)->locked); /* stays closed */
	act(world, CONFERENCE_END);
	assert_true(kept(world)->gone);
	assert_int_equal(world_event(world, EVENT_CONFERENCE_ENDED)->room->gone, true);
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_NOT_FOUND);
}

static void a_kept_room_that_is_ended_while_it_is_used_is_gone(void **state)
{
	struct world *world = *state;
	struct channel *one;

	made(world, "", "");
	one = added(world, "0301");
	act(world, CONFERENCE_END);
	assert_true(one->hung_up && kept(world)->gone);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_ENDED), 1);
	/* One that nobody made has no row at all. */
	fake_settle(world->engine);
	one = added(world, "0301");
	hang_up(one);
	assert_int_equal(world_events(world, EVENT_CONFERENCE_ENDED), 2);
	assert_null(world_event(world, EVENT_CONFERENCE_ENDED)->room);
}

static void a_restart_brings_it_back(void **state)
{
	struct world *world = *state;
	struct room_spec spec = { .id = id_new(),
				  .tenant = world->tenant,
				  .created_by = world->anna,
				  .name = "sales",
				  .set = { .pin = "1234", .max_members = 3, .keys = true },
				  .locked = true,
				  .created_at = 1700000000000000 };
	struct command put = { .type = COMMAND_ROOM_PUT };
	unsigned events = world->bus.count;
	struct channel *in;

	put.body = xmemdup(&spec, sizeof(spec));
	assert_int_equal(world_do(world, &put)->code, REPLY_OK);
	assert_int_equal(world->bus.count, events); /* no news */
	assert_true(look(world)->locked && room(world)->has_pin && room(world)->keys);
	assert_true(id_eq(room(world)->id, spec.id) && room(world)->max_members == 3);
	assert_int_equal(act(world, CONFERENCE_UNLOCK)->code, REPLY_OK);
	assert_true(id_eq(kept(world)->id, spec.id));
	in = dials_in(world, "0170");
	fake_digits(in, "1234");
	assert_int_equal(look(world)->member_count, 1);
	hang_up(in);
	put = (struct command){ .type = COMMAND_ROOM_PUT, .body = xmemdup(&spec, sizeof(spec)) };
	assert_int_equal(world_do(world, &put)->code, REPLY_ROOM_EXISTS);
	act(world, CONFERENCE_END);
	assert_true(kept(world)->gone);
}

static void a_room_whose_pin_is_unreadable_stays_shut_until_it_is_set_again(void **state)
{
	struct world *world = *state;
	struct room_spec spec = { .id = id_new(),
				  .tenant = world->tenant,
				  .created_by = world->anna,
				  .name = "sales",
				  .set = { .max_members = 3 },
				  .unreadable = ROOM_SET_PIN };
	struct command put = { .type = COMMAND_ROOM_PUT, .body = xmemdup(&spec, sizeof(spec)) };
	struct channel *in;

	assert_int_equal(world_do(world, &put)->code, REPLY_OK);
	assert_true(look(world)->locked && room(world)->has_pin);
	in = dials_in(world, "0170");
	assert_non_null(strstr(in->said, "Nobody else"));
	fake_sound_done(in, true);
	assert_int_equal(add(world, "0302")->code, REPLY_ROOM_LOCKED);
	assert_int_equal(act(world, CONFERENCE_JOIN)->code, REPLY_ROOM_LOCKED);
	/* Nothing but a PIN opens it, and nothing writes over the one in its row. */
	assert_int_equal(act(world, CONFERENCE_LOCK)->code, REPLY_OK);
	assert_null(world_event(world, EVENT_CONFERENCE_CHANGED)->room);
	assert_int_equal(act(world, CONFERENCE_UNLOCK)->code, REPLY_OK);
	assert_true(look(world)->locked);
	ask(world, (struct conference_wish){
			   .action = CONFERENCE_UPDATE, .given = ROOM_SET_PIN, .set.pin = "4711" });
	assert_false(look(world)->locked);
	assert_true(kept(world) && kept(world)->pin[0]);
	in = dials_in(world, "0170");
	fake_digits(in, "4711");
	assert_int_equal(look(world)->member_count, 1);
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

static void who_is_called_in_presses_1(void **state)
{
	struct world *world = *state;
	struct conference_wish wish = {
		.action = CONFERENCE_ADD, .profile = world->line, .to = "0301", .confirm = true
	};
	struct channel *one, *machine;

	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	one = fake_dialled(world->engine, 0);
	fake_say(one, ENGINE_ANSWERED);
	assert_null(one->bridge);
	assert_non_null(strstr(one->said, "press 1"));
	fake_digits(one, "2");
	assert_null(one->bridge);
	fake_digits(one, "1");
	assert_non_null(one->bridge);
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 0);
	/* An answering machine says nothing, and is not in the room for a moment. */
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	machine = fake_dialled(world->engine, 0);
	fake_say(machine, ENGINE_ANSWERED);
	for (unsigned i = 0; i < 3; i++)
		world_advance(world, 10001);
	assert_non_null(world_event(world, EVENT_CONFERENCE_FAILED));
	assert_non_null(strstr(machine->said, "Goodbye"));
	fake_digits(machine, "1");
	assert_null(machine->bridge);
	fake_sound_done(machine, true);
	world_expect_end(world, END_DECLINED, 603, HANGUP_PLATFORM);
	assert_int_equal(look(world)->member_count, 1);
	hang_up(one);
}

/* Anna's room has PINs; who was called in by Ben says one after pressing 1, Ben himself shows the moderator's. */
static void the_moderators_pin_makes_one(void **state)
{
	struct world *world = *state;
	struct asker ben = world_as(world->tenant, world->ben, ASKER_AGENT);
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .pin = "98765" };
	struct channel *phone, *guest;

	made(world, "1234", "98765");
	assert_int_equal(ask_as(world, ben, wish)->code, REPLY_OK);
	phone = fake_dialled(world->engine, 0);
	fake_say(phone, ENGINE_ANSWERED);
	assert_true(look_as(world, ben)->conferences[0]->members[0].moderator);
	wish = (struct conference_wish){
		.action = CONFERENCE_ADD, .profile = world->line_ben, .to = "0301", .confirm = true
	};
	assert_int_equal(member_as(world, ben, CONFERENCE_DEMOTE, 0)->code, REPLY_OK);
	assert_int_equal(ask_as(world, ben, wish)->code, REPLY_OK);
	guest = fake_dialled(world->engine, 0);
	fake_say(guest, ENGINE_ANSWERED);
	fake_digits(guest, "1");
	assert_null(guest->bridge);
	fake_digits(guest, "1234#");
	assert_non_null(guest->bridge);
	act(world, CONFERENCE_END);
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
	assert_int_equal(world_events(world, EVENT_CALL_DTMF), 0); /* a PIN is nobody's business */
	fake_sound_done(in, true);
	world_expect_end(world, END_DECLINED, 603, HANGUP_PLATFORM);
	act(world, CONFERENCE_END);
}

static void guesses_wrong(struct world *world, const char *from, unsigned calls)
{
	for (unsigned i = 0; i < calls; i++) {
		struct channel *in = dials_in(world, from);

		fake_digits(in, "1#2#3#");
		assert_non_null(strstr(in->said, "not the right number. Goodbye"));
		fake_sound_done(in, true);
		fake_settle(world->engine);
	}
}

static void is_asked_no_more(struct world *world, const char *from)
{
	struct channel *in = dials_in(world, from);

	assert_non_null(strstr(in->said, "later"));
	fake_digits(in, "1234#");
	assert_null(in->bridge);
	fake_sound_done(in, true);
	fake_settle(world->engine);
}

static void comes_in(struct world *world, const char *from)
{
	struct channel *in = dials_in(world, from);

	fake_digits(in, "1234#");
	assert_non_null(in->bridge);
	hang_up(in);
	fake_settle(world->engine);
}

static void a_pin_is_not_to_be_tried_out_by_phone(void **state)
{
	struct world *world = *state;

	made(world, "1234", "");
	guesses_wrong(world, "0170", 3);
	is_asked_no_more(world, "0170");
	/* Who may come in without it does, and nobody else pays for it. */
	hang_up(added(world, "0301"));
	comes_in(world, "0171");
	world_advance(world, 600001);
	comes_in(world, "0170");
	act(world, CONFERENCE_END);
}

static void nor_under_many_numbers(void **state)
{
	struct world *world = *state;
	char from[16];

	made(world, "1234", "");
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(from, sizeof(from), "0171%u", i);
		if (i == 99)
			comes_in(world, "0180");
		guesses_wrong(world, from, 1);
	}
	is_asked_no_more(world, "0180");
	world_advance(world, 600001);
	comes_in(world, "0180");
	act(world, CONFERENCE_END);
}

/* They only cost others the moderator's. */
static void wrong_pins_do_not_shut_a_room_that_is_open_to_all(void **state)
{
	struct world *world = *state;
	struct channel *in;

	made(world, "", "9999");
	guesses_wrong(world, "0170", 3);
	in = dials_in(world, "0170");
	assert_non_null(in->bridge);
	fake_digits(in, "9999#");
	assert_false(look(world)->members[0].moderator);
	act(world, CONFERENCE_END);
}

static void waiting_can_be_asked_for_and_given_up_at_any_time(void **state)
{
	struct world *world = *state;
	struct conference_wish wish = { .action = CONFERENCE_UPDATE,
					.given = ROOM_SET_WAIT,
					.set.wait_for_moderator = true };
	struct channel *one = added(world, "0301"), *two = added(world, "0302");

	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_true(one->playing && one->muted && one->deaf && two->playing);
	assert_int_equal(member(world, CONFERENCE_PROMOTE, 0)->code, REPLY_OK);
	assert_false(one->playing || one->muted || two->deaf || two->playing);
	assert_int_equal(member(world, CONFERENCE_DEMOTE, 0)->code, REPLY_OK);
	assert_true(two->playing && two->muted);
	wish.set.wait_for_moderator = false;
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_false(one->playing || one->muted || two->deaf || two->playing);
	hang_up(one);
	hang_up(two);
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
		TEST(who_holds_in_a_room_is_not_hung_up_for_it),
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
		TEST(members_are_promoted_and_have_a_volume),
		TEST(members_mute_themselves_where_the_room_says_so),
		TEST(the_last_moderators_leaving_ends_it),
		TEST(a_guest_hears_and_is_no_member),
		TEST(a_room_is_recorded_as_one),
		TEST(a_recorded_room_beeps_where_a_members_profile_says_so),
		TEST(a_room_may_be_recorded_from_its_first_member_on),
		TEST(what_is_made_is_kept_until_it_is_ended),
		TEST(a_kept_room_that_is_ended_while_it_is_used_is_gone),
		TEST(a_restart_brings_it_back),
		TEST(a_room_whose_pin_is_unreadable_stays_shut_until_it_is_set_again),
		TEST(who_is_called_in_presses_1),
		TEST(the_moderators_pin_makes_one),
		TEST(a_locked_or_full_room_takes_nobody),
		TEST(who_dials_in_says_the_pin),
		TEST(three_wrong_pins_are_enough),
		TEST(a_pin_is_not_to_be_tried_out_by_phone),
		TEST(nor_under_many_numbers),
		TEST(wrong_pins_do_not_shut_a_room_that_is_open_to_all),
		TEST(waiting_can_be_asked_for_and_given_up_at_any_time),
		TEST(who_waits_for_the_moderator_hears_and_says_nothing),
		TEST(rooms_are_seen_and_ruled_by_whom_they_concern),
		TEST(a_moderators_pin_opens_one_room),
		TEST(lists_and_snapshots_hold_what_may_be_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
