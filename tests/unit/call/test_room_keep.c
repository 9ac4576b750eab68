/* Rooms that stay: what is kept of them, and what a restart brings back */
#include "room_kit.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_made_is_kept_until_it_is_ended),
		TEST(a_kept_room_that_is_ended_while_it_is_used_is_gone),
		TEST(a_restart_brings_it_back),
		TEST(a_room_whose_pin_is_unreadable_stays_shut_until_it_is_set_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
