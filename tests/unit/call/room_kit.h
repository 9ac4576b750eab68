/* tests/unit/call/room_kit.h - conference rooms: what is asked of the room "sales", by Anna who made it unless said otherwise
 *
 * Views are the last reply's: good until the next question.
 */
#pragma once

#include "world.h"

#include "base/base.h"
#include "call/room.h"
#include "store/room.h"

/* cmocka's: a world for each test, which leaves nothing behind. */
int begin(void **state);
int end(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

struct reply *ask_as(struct world *world, struct asker asker, struct conference_wish wish);
struct reply *ask(struct world *world, struct conference_wish wish);
struct reply *act(struct world *world, enum conference_action action);
/* As it is now; room(): in the last reply. */
struct reply *look_as(struct world *world, struct asker asker);
const struct conference_view *look(struct world *world);
const struct conference_view *room(const struct world *world);

/* Somebody is dialled in; added(): who answers. */
struct reply *add(struct world *world, const char *to);
struct channel *added(struct world *world, const char *to);
/* Somebody dials in from outside. */
struct channel *dials_in(struct world *world, const char *from);
/* The room is made on purpose. "": no PIN. */
void made(struct world *world, const char *pin, const char *moderator_pin);
void hang_up(struct channel *channel);

/* The member at a place, and what is done to it. */
struct id member_at(struct world *world, unsigned at);
struct reply *member_as(struct world *world, struct asker asker, enum conference_action action,
			unsigned at);
struct reply *member(struct world *world, enum conference_action action, unsigned at);
