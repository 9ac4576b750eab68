/* A call of two, up already, becomes part of a room. */
#include "call/room.h"

unsigned room_movable(const struct call *call, const struct room *room, struct leg *ret[static 2])
{
	struct leg *parties[] = { call->first, call->second };
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(parties); i++)
		if (leg_is_there(parties[i]) && !parties[i]->after_sound &&
		    !room_has(room, parties[i]))
			ret[count++] = parties[i];
	return count;
}

/* One after the other on the media loop's ring: the two are apart for no longer than it takes to read it. */
unsigned room_take_call(struct room *room, struct call *call)
{
	struct leg *legs[2];
	unsigned count = room_movable(call, room, legs);

	hold_release(call);
	for (unsigned i = 0; i < count; i++)
		(void)room_enter(room, legs[i]);
	monitor_bridge_goes(call);
	if (call->bridge)
		bridge_free(take(call->bridge));
	call->bridged = false;
	return count;
}
