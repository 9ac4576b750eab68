/* Who hears a room without being in it. */
#include "call/room.h"

static void apply(struct room_guest *guest)
{
	struct channel *channel = guest->leg->channel;
	bool silent = guest->mode == ROOM_GUEST_LISTENS || guest->leg->muted;

	if (!channel)
		return;
	if (silent)
		channel_hush(channel);
	else
		channel_aside(channel,
			      guest->mode == ROOM_GUEST_WHISPERS ? guest->to->channel : NULL);
}

void room_guest_set(struct room_guest *guest, enum room_guest_mode mode, struct leg *to)
{
	guest->mode = mode;
	guest->to = mode == ROOM_GUEST_WHISPERS ? to : NULL;
	if (guest->room)
		apply(guest);
}

void room_guest_enter(struct room *room, struct room_guest *guest)
{
	bug_on(!room->bridge);
	guest->room = room;
	chain_append(&room->guests, &guest->in_room);
	channel_guest(guest->leg->channel); /* comes in heard by nobody */
	bridge_add(room->bridge, guest->leg->channel);
	apply(guest);
}

void room_guest_leave(struct room_guest *guest)
{
	struct room *room = take(guest->room);
	struct channel *channel = guest->leg->channel;

	if (!room)
		return;
	chain_remove(&room->guests, &guest->in_room);
	guest->to = NULL;
	if (!channel)
		return;
	bridge_remove(room->bridge, channel);
	channel_aside(channel, NULL);
}

void room_guests_member_left(struct room *room, const struct leg *leg)
{
	struct room_guest *guest, *then;

	chain_each_safe(guest, then, &room->guests, in_room) {
		if (guest->to != leg)
			continue;
		room_guest_set(guest, ROOM_GUEST_LISTENS, NULL);
		guest->on_change(guest);
	}
}

void room_guests_over(struct room *room)
{
	struct room_guest *guest;

	while ((guest = chain_owner(room->guests.head, struct room_guest, in_room))) {
		room_guest_leave(guest);
		guest->on_change(guest);
	}
}
