/* Rooms: their table, what all of their members share, and their end. */
#include "call/room.h"

#include <stdio.h>

#define TALK_APART_MS 250

static uint64_t room_key(const struct tenant *tenant, const char *name)
{
	return id_hash(tenant->id) ^ hkey_text(name);
}

struct room *room_get(struct call_app *app, struct tenant *tenant, const char *name)
{
	for (struct hnode *node = hmap_first(&app->rooms, room_key(tenant, name)); node;
	     node = hmap_same(node)) {
		struct room *room = container_of_(node, struct room, node);

		if (room->tenant == tenant && str_eq(room->name, name))
			return room;
	}
	return NULL;
}

static void talk_later(struct timer *timer, void *arg)
{
	struct room *room = arg;

	(void)timer;
	if (room->talk_news)
		room_publish(room, EVENT_CONFERENCE_TALKING, NULL, NULL);
}

static void grace_over(struct timer *timer, void *arg)
{
	struct room *room = arg;

	(void)timer;
	if (room->moderators || !room->set.end_on_moderator_exit)
		return;
	room_clear(room, ENDING_MODERATOR_LEFT);
	room_emptied(room);
}

struct room *room_new(struct call_app *app, struct tenant *tenant, const char *name,
		      struct id creator)
{
	struct room *room = xzalloc(sizeof(*room));

	room->app = app;
	room->tenant = tenant;
	room->id = id_new();
	room->created_by = creator;
	room->created_at = wheel_wall_us(app->wheel);
	room->set.max_members = ROOM_MEMBERS_MAX;
	(void)str_copy(room->name, sizeof(room->name), name);
	timer_init(&room->talk, app->wheel, talk_later, room);
	timer_init(&room->grace, app->wheel, grace_over, room);
	hmap_add(&app->rooms, &room->node, room_key(tenant, name));
	chain_append(&tenant->rooms, &room->in_tenant);
	return room;
}

struct room *room_want(struct call_app *app, struct tenant *tenant, const char *name,
		       struct id creator)
{
	struct room *room = room_get(app, tenant, name);

	if (room || tenant->rooms.count >= TENANT_ROOMS_MAX)
		return room;
	return room_new(app, tenant, name, creator);
}

struct room *room_want_any(struct call_app *app, struct tenant *tenant, struct id creator)
{
	struct id unlike = id_new();
	char name[VIEW_NAME_SIZE];

	/* The end of an id is random, its beginning is the time. */
	(void)snprintf(name, sizeof(name), "call-%s", id_str(unlike) + ID_STR_SIZE - 13);
	return room_want(app, tenant, name, creator);
}

struct room *room_of(const struct call *call)
{
	const struct leg *leg;

	if (call->conducts)
		return call->conducts;
	chain_each(leg, &call->legs, in_call)
		if (leg->member && !leg->member->in_lobby && leg_is_live(leg))
			return leg->member->room;
	return NULL;
}

bool room_has(const struct room *room, const struct leg *leg)
{
	return leg->member && !leg->member->in_lobby && leg->member->room == room;
}

int room_admits(const struct room *room, unsigned more)
{
	if (room->unreadable)
		return ROOM_E_SHUT;
	if (room->locked)
		return ROOM_E_LOCKED;
	if (room->members.count + room->expected.count + more > (unsigned)room->set.max_members)
		return ROOM_E_FULL;
	return 0;
}

struct reply *room_refusal(struct call_app *app, struct tenant *tenant, const char *name)
{
	const struct room *room = room_get(app, tenant, name);
	int r = room ? room_admits(room, 1) : 0;

	if (r == ROOM_E_SHUT)
		return reply_error(REPLY_ROOM_LOCKED, NULL,
				   "The room's PINs cannot be read: it is shut until they are set "
				   "again.");
	if (r == ROOM_E_LOCKED)
		return reply_error(REPLY_ROOM_LOCKED, NULL, "The room is locked.");
	if (r == ROOM_E_FULL)
		return reply_error(REPLY_ROOM_FULL, NULL, "The room is full.");
	if (!room && tenant->rooms.count >= TENANT_ROOMS_MAX)
		return reply_error(REPLY_LIMIT, NULL, "There are as many rooms as there may be.");
	return NULL;
}

void room_free(struct room *room)
{
	timer_stop(&room->talk);
	timer_stop(&room->grace);
	if (room->bridge)
		bridge_free(room->bridge);
	hmap_del(&room->app->rooms, &room->node);
	chain_remove(&room->tenant->rooms, &room->in_tenant);
	explicit_bzero(&room->set, sizeof(room->set));
	free(room->guesses);
	free(room);
}

void rooms_fini(struct call_app *app)
{
	struct hnode *node;
	size_t cursor;

	while (cursor = 0, (node = hmap_iter(&app->rooms, &cursor, NULL)))
		room_free(container_of_(node, struct room, node));
	hmap_fini(&app->rooms);
}

/* ---- what others see of it ---- */

static void member_view_fill(const struct room_member *member, struct member_view *view)
{
	const struct leg *leg = member->leg;

	view->id = member->id;
	view->call_id = leg->call->id;
	view->leg_id = leg->id;
	view->user_id = leg->user;
	(void)str_copy(view->name, sizeof(view->name), member->name);
	view->muted = leg->muted;
	view->deaf = member->deaf;
	view->held = member->held;
	view->talking = member->talking;
	view->moderator = member->moderator;
	view->volume = member->volume;
	view->recorded = !member->unrecorded;
	view->joined_at = member->joined_at;
}

struct conference_view *room_view(const struct room *room, enum conference_state state)
{
	struct conference_view *view = conference_view_new(room->members.count);
	struct room_member *member;
	unsigned i = 0;

	view->id = room->id;
	view->tenant = room->tenant->id;
	view->created_by = room->created_by;
	if (room->call)
		view->call_id = room->call->id;
	(void)str_copy(view->room, sizeof(view->room), room->name);
	view->state = state;
	view->locked = room->locked || room->unreadable;
	view->recording = room->call && record_shown(room->call) == RECORDING_ON;
	view->record = room->set.record;
	view->keys = room->set.keys;
	view->end_on_moderator_exit = room->set.end_on_moderator_exit;
	view->grace_s = room->set.grace_s;
	view->join_muted = room->set.join_muted;
	view->tones = room->set.tones;
	view->wait_for_moderator = room->set.wait_for_moderator;
	view->has_pin = room->set.pin[0] || room->unreadable & ROOM_SET_PIN;
	view->has_moderator_pin =
		room->set.moderator_pin[0] || room->unreadable & ROOM_SET_MODERATOR_PIN;
	view->max_members = room->set.max_members;
	view->created_at = room->created_at;
	view->started_at = room->started_at;
	chain_each(member, &room->members, in_room)
		member_view_fill(member, &view->members[i++]);
	return view;
}

void room_publish(struct room *room, enum event_type type, const struct room_member *about,
		  json_t *detail)
{
	enum conference_state state = type == EVENT_CONFERENCE_ENDED ? CONFERENCE_ENDED
				      : room->call		     ? CONFERENCE_ACTIVE
								     : CONFERENCE_OPEN;
	struct event *event = event_new(type, room->tenant->id);
	char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;

	json_decref(detail);
	event->conference = room_view(room, state);
	event->call_id = event->conference->call_id;
	event->user_id = room->created_by;
	event->detail = text;
	if (room->kept_news || (room->dropped && type == EVENT_CONFERENCE_ENDED))
		event->room = room_keep_view(room, room->dropped);
	room->kept_news = false;
	if (about) {
		event->other_user_id = about->leg->user;
		event->profile_id = about->leg->profile_id;
	}
	if (type != EVENT_CONFERENCE_TALKING) {
		event_publish(room->app->bus, event);
		return;
	}
	room->talk_news = false;
	timer_start(&room->talk, TALK_APART_MS);
	event_pass(room->app->bus, event);
}

static bool may_see(const struct room *room, const struct asker *asker)
{
	struct room_member *member;

	if (asker->role != ASKER_AGENT || id_eq(room->created_by, asker->user))
		return true;
	chain_each(member, &room->members, in_room)
		if (member_is_user(member, asker->user))
			return true;
	return false;
}

struct conference_view **room_views(struct call_app *app, const struct asker *asker,
				    unsigned offset, unsigned limit, unsigned *ret_count,
				    unsigned *ret_total)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	struct conference_view **list = xzalloc_array(tenant->rooms.count + 1, sizeof(*list));
	unsigned total = 0, count = 0;
	struct room *room;

	chain_each(room, &tenant->rooms, in_tenant) {
		if (!may_see(room, asker))
			continue;
		if (total++ >= offset && count < limit)
			list[count++] =
				room_view(room, room->call ? CONFERENCE_ACTIVE : CONFERENCE_OPEN);
	}
	*ret_count = count;
	*ret_total = total;
	return list;
}

/* ---- who hears what ---- */

/* On hold, or before the moderator came, a member is out of the room both ways and hears something of its own; alone it
 * hears that as well. A far end that holds us may be playing its music, which is nothing for a room.
 */
static void member_apply(struct room_member *member)
{
	struct room *room = member->room;
	struct leg *leg = member->leg;
	bool out = member->held || room->waiting, music = out || room->alone;
	bool mute = leg->muted || leg->held || out;

	if (!leg->channel)
		return;
	channel_mute(leg->channel, mute);
	channel_deafen(leg->channel, member->deaf || out);
	if (mute || room->alone)
		member->talking = false;
	if (music && !member->music)
		hold_music(leg);
	else if (!music && member->music)
		channel_play_stop(leg->channel);
	member->music = music;
}

void room_settle(struct room *room, struct room_member *member)
{
	bool alone = room->members.count == 1;
	bool waiting = room->set.wait_for_moderator && !room->moderators;
	bool all = alone != room->alone || waiting != room->waiting;
	struct room_member *each;

	room->alone = alone;
	room->waiting = waiting;
	if (room->moderators || !room->set.end_on_moderator_exit)
		timer_stop(&room->grace);
	if (!all && member)
		member_apply(member);
	else if (all)
		chain_each(each, &room->members, in_room)
			member_apply(each);
}

/* ---- who comes ---- */

void room_expect_no_more(struct call *call)
{
	struct room *room = take(call->expected_in);

	if (!room)
		return;
	chain_remove(&room->expected, &call->in_expected);
}

static bool controls(const struct room *room, const struct asker *by)
{
	return by->role == ASKER_ADMIN || id_eq(room->created_by, by->user);
}

void room_expect(struct call *call, const char *name, struct id creator, const struct asker *by)
{
	struct room *room = room_want(call->app, call->tenant, name, creator);

	call->plan.kind = PLAN_ROOM;
	if (!room)
		return;
	call->expected_in = room;
	call->vouched = by && controls(room, by);
	chain_append(&room->expected, &call->in_expected);
}

/* The room may have been made for this call alone. */
static void room_unused(struct room *room)
{
	if (!room->ending && !room->kept && !room->members.count && !room->lobby.count &&
	    !room->expected.count)
		room_free(room);
}

void room_failed(struct call *call)
{
	struct room *room = call->expected_in;

	room_expect_no_more(call);
	room_publish(room, EVENT_CONFERENCE_FAILED, NULL,
		     json_pack("{s:s, s:s, s:s, s:i}", "call_id", id_str(call->id), "to", call->to,
			       "end_reason", end_reason_names[call->end_reason], "sip_code",
			       call->sip_code));
	room_unused(room);
}

/* ---- the end ---- */

static void send_away(struct call *call, enum ending_cause cause)
{
	/* They stay: a call that is at work takes its up later. */
	static struct ending endings[ENDING_COUNT];

	endings[cause].cause = cause;
	fsm_send(&call->fsm, CALL_EV_HANGUP, &endings[cause]);
}

static void clear_members(struct chain *members, enum ending_cause cause)
{
	struct room_member *member;

	while ((member = chain_owner(members->head, struct room_member, in_room))) {
		struct leg *leg = member->leg;

		send_away(leg->call, cause);
		if (leg->member == member)
			room_leave(leg); /* its call is at work just now and ends after that */
	}
}

void room_clear(struct room *room, enum ending_cause cause)
{
	struct call *call;

	room->ending = true;
	while ((call = chain_owner(room->expected.head, struct call, in_expected))) {
		send_away(call, cause);
		if (call->expected_in)
			room_expect_no_more(call);
	}
	clear_members(&room->lobby, cause);
	clear_members(&room->members, cause);
	room->ending = false;
}

static void conference_over(struct room *room)
{
	static struct ending ending = { ENDING_ROOM_EMPTY, NULL };
	struct call *call = room->call;

	if (!call)
		return;
	room_guests_over(room);
	room_publish(room, EVENT_CONFERENCE_ENDED, NULL, NULL);
	timer_stop(&room->talk);
	timer_stop(&room->grace);
	room->call = NULL;
	room->started_at = 0;
	room->recording_told = RECORDING_NONE;
	room->locked = room->locked && room->kept;
	bridge_free(take(room->bridge));
	call->conducts = NULL;
	if (!call->ended_at)
		fsm_send(&call->fsm, CALL_EV_HANGUP, &ending);
}

void room_emptied(struct room *room)
{
	if (room->ending)
		return;
	if (!room->members.count)
		conference_over(room);
	room_unused(room);
}

/* Its own call was hung up: that is over already, and takes everybody along. */
void room_ended(struct call *call)
{
	struct room *room = take(call->conducts);

	room_clear(room, ENDING_ROOM_ENDED);
	room_emptied(room);
}

/* ---- its recording ---- */

bool room_wants_beep(const struct room *room)
{
	const struct room_member *member;

	chain_each(member, &room->members, in_room)
		if (member_wants_beep(member))
			return true;
	return false;
}

void room_tape(struct call *call, struct tape *tape)
{
	if (call->conducts->bridge)
		tape_bridge(tape, call->conducts->bridge);
}

bool room_leg_is_paused(const struct leg *leg)
{
	const struct room_member *member = leg->member;

	return member && !member->in_lobby && record_shown(member->room->call) == RECORDING_PAUSED;
}

void room_recording_changed(struct call *call)
{
	struct room *room = call->conducts;

	enum recording_state now = record_shown(call);

	/* One that is ready is none any more, which was told when it was stopped. */
	if (now == room->recording_told)
		return;
	room->recording_told = now;
	/* It began with the room, of which nobody knows yet. */
	if (!room->members.count)
		return;
	room_publish(room, EVENT_CONFERENCE_CHANGED, NULL,
		     json_pack("{s:s, s:s}", "what", "recording", "state",
			       recording_state_names[now]));
}
