/* What the tests of conference rooms say to the call loop; the room is "sales" unless they name another. */
#include "room_kit.h"

int begin(void **state)
{
	*state = world_new();
	return 0;
}

int end(void **state)
{
	world_expect_clean(*state);
	world_free(*state);
	return 0;
}

struct reply *ask_as(struct world *world, struct asker asker, struct conference_wish wish)
{
	if (!wish.room[0])
		(void)str_copy(wish.room, sizeof(wish.room), "sales");
	return world_do(world, &(struct command){ .type = COMMAND_CONFERENCE,
						  .asker = asker,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

struct reply *ask(struct world *world, struct conference_wish wish)
{
	return ask_as(world, world_anna(world), wish);
}

struct reply *act(struct world *world, enum conference_action action)
{
	return ask(world, (struct conference_wish){ .action = action });
}

const struct conference_view *room(const struct world *world)
{
	assert_non_null(world->reply->conferences);
	return world->reply->conferences[0];
}

struct reply *look_as(struct world *world, struct asker asker)
{
	struct conference_wish wish = { .room = "sales" };

	return world_do(world, &(struct command){ .type = COMMAND_CONFERENCE_GET,
						  .asker = asker,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

const struct conference_view *look(struct world *world)
{
	assert_int_equal(look_as(world, world_anna(world))->code, REPLY_OK);
	return room(world);
}

struct reply *add(struct world *world, const char *to)
{
	struct conference_wish wish = { .action = CONFERENCE_ADD, .profile = world->line };

	(void)str_copy(wish.to, sizeof(wish.to), to);
	return ask(world, wish);
}

/* Somebody dialled in through the room's maker, who answers. */
struct channel *added(struct world *world, const char *to)
{
	struct channel *channel;

	assert_int_equal(add(world, to)->code, REPLY_OK);
	channel = fake_dialled(world->engine, 0);
	fake_say(channel, ENGINE_RINGING);
	fake_say(channel, ENGINE_ANSWERED);
	return channel;
}

struct id member_at(struct world *world, unsigned at)
{
	assert_in_range(at, 0, look(world)->member_count - 1);
	return room(world)->members[at].id;
}

struct reply *member_as(struct world *world, struct asker asker, enum conference_action action,
			unsigned at)
{
	struct id id = member_at(world, at);

	return ask_as(world, asker, (struct conference_wish){ .action = action, .member = id });
}

struct reply *member(struct world *world, enum conference_action action, unsigned at)
{
	return member_as(world, world_anna(world), action, at);
}

static void with_incoming_room(struct line_spec *spec)
{
	spec->incoming = INCOMING_CONFERENCE;
	(void)str_copy(spec->incoming_target, sizeof(spec->incoming_target), "sales");
}

struct channel *dials_in(struct world *world, const char *from)
{
	world_put_line(world, world->line, world->anna, with_incoming_room);
	return world_rings_in(world, from);
}

void made(struct world *world, const char *pin, const char *moderator_pin)
{
	struct conference_wish wish = { .action = CONFERENCE_CREATE };

	(void)str_copy(wish.set.pin, sizeof(wish.set.pin), pin);
	(void)str_copy(wish.set.moderator_pin, sizeof(wish.set.moderator_pin), moderator_pin);
	assert_int_equal(ask(world, wish)->code, REPLY_OK);
	assert_int_equal(room(world)->state, CONFERENCE_OPEN);
}

void hang_up(struct channel *channel)
{
	fake_end(channel, END_COMPLETED, 200);
}
