/* Rooms that stay: their settings, lock and PINs are kept by the journal, as part of the event that tells of a change, and
 * come back by COMMAND_ROOM_PUT at the next start. Who was in them does not.
 */
#include "call/room.h"

#include "store/room.h"

static void seal_pin(const struct room *room, enum room_pin which, const char *pin,
		     char out[static sizeof(((struct room_view *)0)->pin)])
{
	auto_(arena_free) struct arena *arena = arena_new();
	const char *sealed = room->app->seal
				     ? room_seal_pin(room->app->seal, room->id, which, pin, arena)
				     : NULL;

	if (sealed)
		bug_on(!str_copy(out, sizeof(((struct room_view *)0)->pin), sealed));
}

struct room_view *room_keep_view(const struct room *room, bool gone)
{
	const struct room_settings *set = &room->set;
	struct room_view *view = xzalloc(sizeof(*view));

	view->id = room->id;
	view->tenant = room->tenant->id;
	view->created_by = room->created_by;
	(void)str_copy(view->name, sizeof(view->name), room->name);
	seal_pin(room, ROOM_PIN, set->pin, view->pin);
	seal_pin(room, ROOM_MODERATOR_PIN, set->moderator_pin, view->moderator_pin);
	view->max_members = set->max_members;
	view->grace_s = set->grace_s;
	view->join_muted = set->join_muted;
	view->tones = set->tones;
	view->wait_for_moderator = set->wait_for_moderator;
	view->end_on_moderator_exit = set->end_on_moderator_exit;
	view->record = set->record;
	view->keys = set->keys;
	view->locked = room->locked;
	view->gone = gone;
	view->created_at = room->created_at;
	return view;
}

void room_kept_changed(struct room *room, const char *what)
{
	/* The row has the PINs under a seal that the right key may yet open: it is not written over without them. */
	room->kept_news = room->kept && !room->unreadable;
	room_publish(room, EVENT_CONFERENCE_CHANGED, NULL, json_pack("{s:s}", "what", what));
}

void room_set(struct room *room, const struct conference_wish *wish)
{
	const struct room_settings *from = &wish->set;
	struct room_settings *to = &room->set;
	unsigned given = wish->given;

	room->unreadable &= ~given;
	if (given & ROOM_SET_PIN)
		memcpy(to->pin, from->pin, sizeof(to->pin));
	if (given & ROOM_SET_MODERATOR_PIN)
		memcpy(to->moderator_pin, from->moderator_pin, sizeof(to->moderator_pin));
	if (given & ROOM_SET_MAX_MEMBERS)
		to->max_members = from->max_members ? from->max_members : ROOM_MEMBERS_MAX;
	if (given & ROOM_SET_GRACE)
		to->grace_s = from->grace_s;
	if (given & ROOM_SET_JOIN_MUTED)
		to->join_muted = from->join_muted;
	if (given & ROOM_SET_TONES)
		to->tones = from->tones;
	if (given & ROOM_SET_WAIT)
		to->wait_for_moderator = from->wait_for_moderator;
	if (given & ROOM_SET_RECORD)
		to->record = from->record;
	if (given & ROOM_SET_END)
		to->end_on_moderator_exit = from->end_on_moderator_exit;
	if (given & ROOM_SET_KEYS)
		to->keys = from->keys;
	room_settle(room, NULL);
}

struct reply *do_room_put(struct call_app *app, struct command *command)
{
	const struct room_spec *spec = command->body;
	struct tenant *tenant = tenant_want(app, spec->tenant);
	struct room *room;

	/* Made again by somebody who was quicker than the start; that one's row replaces the other. */
	if (room_get(app, tenant, spec->name))
		return reply_new(REPLY_ROOM_EXISTS);
	room = room_new(app, tenant, spec->name, spec->created_by);
	room->id = spec->id;
	room->created_at = spec->created_at;
	room->set = spec->set;
	room->locked = spec->locked;
	room->unreadable = spec->unreadable;
	room->waiting = room->set.wait_for_moderator;
	room->kept = true;
	return reply_new(REPLY_OK);
}
