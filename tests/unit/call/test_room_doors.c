/* Who gets into a conference room: locks, limits, PINs, moderators, and who may see and rule it */
#include "room_kit.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
