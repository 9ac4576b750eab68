/* conference: what the API asks of rooms. */
#include "call/room.h"

static struct reply *reply_room(const struct room *room)
{
	struct reply *reply = reply_new(REPLY_OK);

	reply->count = 1;
	reply->conferences = xzalloc_array(1, sizeof(*reply->conferences));
	reply->conferences[0] = room_view(room, room->call ? CONFERENCE_ACTIVE : CONFERENCE_OPEN);
	return reply;
}

static struct room_member *own_member(const struct room *room, const struct asker *asker)
{
	struct room_member *member;

	chain_each(member, &room->members, in_room)
		if (member_is_user(member, asker->user))
			return member;
	return NULL;
}

static bool may_control(const struct room *room, const struct asker *asker)
{
	const struct room_member *own = own_member(room, asker);

	return asker->role == ASKER_ADMIN || id_eq(room->created_by, asker->user) ||
	       (own && own->moderator);
}

/* Return: NULL with *ret_room, or the refusal. */
static struct reply *find(struct call_app *app, const struct asker *asker, const char *name,
			  struct room **ret_room)
{
	struct room *room = room_get(app, tenant_want(app, asker->tenant), name);

	if (!room)
		return reply_error(REPLY_NOT_FOUND, NULL, "There is no such room.");
	if (asker->role == ASKER_AGENT && !may_control(room, asker) && !own_member(room, asker))
		return reply_new(REPLY_FORBIDDEN);
	*ret_room = room;
	return NULL;
}

/* ---- making and ending ---- */

static struct reply *create(struct call_app *app, const struct asker *asker,
			    const struct conference_wish *wish)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	struct room *room;

	if (room_get(app, tenant, wish->room))
		return reply_error(REPLY_ROOM_EXISTS, NULL, "There is a room of this name.");
	if (tenant->rooms.count >= TENANT_ROOMS_MAX)
		return reply_error(REPLY_LIMIT, NULL, "There are as many rooms as there may be.");
	room = room_new(app, tenant, wish->room, asker->user);
	room->kept = true;
	room->set = wish->set;
	if (!room->set.max_members)
		room->set.max_members = ROOM_MEMBERS_MAX;
	room->waiting = room->set.wait_for_moderator;
	room_kept_changed(room, "created");
	return reply_room(room);
}

static struct reply *update(struct room *room, const struct conference_wish *wish)
{
	const char *pin = wish->given & ROOM_SET_PIN ? wish->set.pin : room->set.pin;
	const char *moderator_pin = wish->given & ROOM_SET_MODERATOR_PIN ? wish->set.moderator_pin
									 : room->set.moderator_pin;

	if (pin_is(pin, moderator_pin))
		return reply_error(REPLY_INVALID, "moderator_pin", "Must differ from the PIN.");
	room_set(room, wish);
	room_kept_changed(room, "updated");
	return reply_room(room);
}

static struct reply *end(struct room *room)
{
	struct reply *reply;

	room->dropped = room->kept;
	room->kept = true; /* until it has been looked at */
	room_clear(room, ENDING_ROOM_ENDED);
	reply = reply_room(room);
	reply->conferences[0]->state = CONFERENCE_ENDED;
	room->kept = false;
	if (!room->call)
		room_publish(room, EVENT_CONFERENCE_ENDED, NULL, NULL);
	room_emptied(room);
	return reply;
}

/* ---- coming in ---- */

static struct reply *entry_refusal(struct call_app *app, const struct asker *asker,
				   const struct conference_wish *wish)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	const struct room *room = room_get(app, tenant, wish->room);
	struct reply *bad = room_refusal(app, tenant, wish->room);

	if (bad || !room || may_control(room, asker))
		return bad;
	if (pin_is(room->set.pin, wish->pin) || pin_is(room->set.moderator_pin, wish->pin))
		return NULL;
	/* Who tries a moderator's PIN is told that it is none, also where nobody needs one. */
	if (!room->set.pin[0] && (!wish->pin[0] || !room->set.moderator_pin[0]))
		return NULL;
	return reply_error(REPLY_WRONG_PIN, NULL, "The room's PIN is needed, and this is not it.");
}

/* By the moderator's PIN. */
static bool comes_as_moderator(const struct room *room, const struct conference_wish *wish)
{
	return room && pin_is(room->set.moderator_pin, wish->pin);
}

/* Whoever asked for it is one of the two. */
static void promote_asker(struct room *room, const struct asker *asker)
{
	struct room_member *member;

	chain_each(member, &room->members, in_room)
		if (member_is_user(member, asker->user))
			member_promote(member, true);
}

/* Both parties of a live call at once: each hears the other all the time. */
static struct reply *move_call(struct call_app *app, const struct asker *asker,
			       const struct conference_wish *wish)
{
	struct call *call = call_get(app, wish->call);
	struct leg *legs[2];
	struct room *room;
	struct reply *bad;
	unsigned count;

	if (!call || !call_may_see(call, asker))
		return reply_error(REPLY_NOT_FOUND, NULL, "There is no such call.");
	if (!call_may_touch(call, asker))
		return reply_new(REPLY_FORBIDDEN);
	room = room_get(app, call->tenant, wish->room);
	count = room_movable(call, room, legs);
	if (room && !count && room_of(call) == room)
		return reply_room(room); /* it is there already */
	if (call->fsm.state != PHASE_UP || call->conducts || !count || transfer_runs(call) ||
	    call->consult_of)
		return reply_wrong_state(call_state_names[call_shown(call)],
					 "Only a call that is up can be moved.");
	bad = entry_refusal(app, asker, wish);
	if (!bad && room && room_admits(room, count))
		bad = reply_error(REPLY_ROOM_FULL, NULL, "The room has no place for both.");
	if (bad)
		return bad;
	room = room_want(app, call->tenant, wish->room, asker->user);
	(void)room_take_call(room, call);
	if (comes_as_moderator(room, wish))
		promote_asker(room, asker);
	return reply_room(room);
}

static struct reply *find_phone(struct call_app *app, const struct asker *asker, struct id id,
				struct device **ret_device, struct user **ret_user)
{
	struct device *device = id_is_none(id) ? NULL : known_device(app, id);
	struct user *user = device ? device->user : known_user(app, asker->user);

	if (!id_is_none(id) && (!device || !id_eq(user->tenant->id, asker->tenant) ||
				(asker->role != ASKER_ADMIN && !id_eq(user->id, asker->user))))
		return reply_error(REPLY_INVALID, "connect", "There is no such device.");
	if (device ? !engine_device_online(app->engine, id) : !user || !devices_online(app, user))
		return reply_error(REPLY_NO_DEVICE, NULL,
				   device ? "This phone is not registered."
					  : "None of your phones is registered.");
	*ret_device = device;
	*ret_user = user;
	return NULL;
}

static void begin_join(struct call *call)
{
	call_dial(call);
	call_rings_or_ends(call);
}

static struct reply *with_call(struct reply *reply, const struct call *call)
{
	reply->call = call_view_make(call);
	return reply;
}

/* Rings the asker's phone, and puts it into the room once it answers. */
static struct reply *ring_in(struct call_app *app, const struct asker *asker,
			     const struct conference_wish *wish)
{
	struct device *device = NULL;
	struct user *user = NULL;
	struct call *call;
	struct reply *bad = entry_refusal(app, asker, wish);

	if (!bad)
		bad = find_phone(app, asker, wish->device, &device, &user);
	if (bad)
		return bad;
	if (!permit_call(app, user->tenant))
		return permit_refusal();
	call = call_new(app, user->tenant, CALL_INTERNAL);
	call->counted = true;
	call_add_user(call, user);
	(void)str_copy(call->from, sizeof(call->from), wish->room);
	(void)str_copy(call->from_name, sizeof(call->from_name), "Conference");
	(void)str_copy(call->to, sizeof(call->to), user->spec.extension);
	room_expect(call, wish->room, asker->user, asker);
	call->vouched = true; /* the asker has shown the PIN */
	call->as_moderator = comes_as_moderator(call->expected_in, wish);
	if (device)
		(void)party_device(call, device, LEG_MEMBER);
	else
		(void)party_user(call, user, LEG_MEMBER, ID_NONE);
	call_start(call, begin_join);
	if (!call->expected_in)
		return reply_error(REPLY_NO_DEVICE, NULL, "The phone could not be rung.");
	return with_call(reply_room(call->expected_in), call);
}

static struct reply *join(struct call_app *app, const struct asker *asker,
			  const struct conference_wish *wish)
{
	if (app->draining)
		return reply_new(REPLY_DRAINING);
	return id_is_none(wish->call) ? ring_in(app, asker, wish) : move_call(app, asker, wish);
}

/* A call like any other that goes out; who answers is put into the room. */
static struct reply *add(struct call_app *app, const struct asker *asker,
			 const struct conference_wish *wish)
{
	struct command command = { .type = COMMAND_MAKE_CALL, .asker = *asker };
	struct make_call *body;
	struct room *room = room_get(app, tenant_want(app, asker->tenant), wish->room);
	struct reply *reply = room ? find(app, asker, wish->room, &room) : NULL, *rooms;

	if (reply)
		return reply;
	body = xzalloc(sizeof(*body));
	body->profile = wish->profile;
	body->connect.kind = CONNECT_CONFERENCE;
	body->confirm = wish->confirm;
	(void)str_copy(body->to, sizeof(body->to), wish->to);
	(void)str_copy(body->connect.number, sizeof(body->connect.number), wish->room);
	command.body = body;
	reply = do_make_call(app, &command);
	command_fini(&command);
	room = room_get(app, tenant_want(app, asker->tenant), wish->room);
	if (reply->code != REPLY_OK || !room)
		return reply;
	rooms = reply_room(room);
	rooms->call = take(reply->call);
	reply_free(reply);
	return rooms;
}

/* ---- members ---- */

static struct reply *set_mute(struct room_member *member, bool on, bool by_moderator)
{
	if (!on && member->kept_mute && !by_moderator)
		return reply_error(REPLY_FORBIDDEN, NULL, "A moderator has muted this member.");
	if (by_moderator)
		member->kept_mute = on;
	if (member->leg->muted != on)
		member_mute(member, on);
	return NULL;
}

static void set_flag(struct room_member *member, bool *flag, bool on, const char *what)
{
	if (*flag == on)
		return;
	*flag = on;
	room_settle(member->room, member);
	if (flag == &member->held && !on && member->leg->channel)
		channel_expect(member->leg->channel, MEMBER_SILENT_MS);
	member_publish(member, what);
}

static void set_volume(struct room_member *member, int gain_db)
{
	if (member->volume == gain_db)
		return;
	member->volume = gain_db;
	if (member->leg->channel)
		channel_volume(member->leg->channel, gain_db);
	member_publish(member, "volume");
}

static struct reply *do_to_member(struct room *room, const struct asker *asker,
				  const struct conference_wish *wish)
{
	struct room_member *member = member_get(room, wish->member);
	bool control = may_control(room, asker);
	struct reply *bad = NULL;

	if (!member)
		return reply_error(REPLY_NOT_FOUND, "member_id", "The room has no such member.");
	if (!control && (!member_is_user(member, asker->user) || wish->action > CONFERENCE_KICK))
		return reply_new(REPLY_FORBIDDEN);
	switch ((int)wish->action) {
	case CONFERENCE_MUTE:
	case CONFERENCE_UNMUTE:
		bad = set_mute(member, wish->action == CONFERENCE_MUTE, control);
		break;
	case CONFERENCE_DEAF:
	case CONFERENCE_UNDEAF:
		set_flag(member, &member->deaf, wish->action == CONFERENCE_DEAF,
			 wish->action == CONFERENCE_DEAF ? "deaf" : "undeaf");
		break;
	case CONFERENCE_HOLD:
	case CONFERENCE_RESUME:
		set_flag(member, &member->held, wish->action == CONFERENCE_HOLD,
			 wish->action == CONFERENCE_HOLD ? "held" : "resumed");
		break;
	case CONFERENCE_KICK:
		member_kick(member);
		break;
	case CONFERENCE_PROMOTE:
	case CONFERENCE_DEMOTE:
		member_promote(member, wish->action == CONFERENCE_PROMOTE);
		break;
	case CONFERENCE_VOLUME:
		set_volume(member, wish->volume);
		break;
	}
	return bad;
}

static struct reply *lock(struct room *room, bool on)
{
	if (room->locked != on) {
		room->locked = on;
		room_kept_changed(room, on ? "locked" : "unlocked");
	}
	return reply_room(room);
}

static struct reply *record(struct room *room, const struct conference_wish *wish)
{
	struct reply *bad;

	if (!room->call)
		return reply_wrong_state(conference_state_names[CONFERENCE_OPEN],
					 "Nobody is in the room.");
	bad = record_act(room->call, &wish->record);
	return bad ? bad : reply_room(room);
}

static struct reply *on_room(struct call_app *app, const struct asker *asker,
			     const struct conference_wish *wish)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	struct room *room;
	struct reply *bad = find(app, asker, wish->room, &room);
	bool keep;

	if (bad)
		return bad;
	if (wish->action >= CONFERENCE_LOCK && !may_control(room, asker))
		return reply_new(REPLY_FORBIDDEN);
	if (wish->action == CONFERENCE_END)
		return end(room);
	if (wish->action == CONFERENCE_UPDATE)
		return update(room, wish);
	if (wish->action == CONFERENCE_LOCK || wish->action == CONFERENCE_UNLOCK)
		return lock(room, wish->action == CONFERENCE_LOCK);
	if (wish->action == CONFERENCE_RECORD)
		return record(room, wish);
	keep = room->kept;
	room->kept =
		true; /* the last member may be sent away: the answer shows the room all the same */
	bad = do_to_member(room, asker, wish);
	if (!bad)
		bad = reply_room(room);
	room->kept = keep;
	room = room_get(app, tenant, wish->room);
	if (room)
		room_emptied(room);
	return bad;
}

/* ---- commands ---- */

struct reply *do_conference(struct call_app *app, struct command *command)
{
	const struct conference_wish *wish = command->body;

	switch (wish->action) {
	case CONFERENCE_CREATE:
		return create(app, &command->asker, wish);
	case CONFERENCE_JOIN:
		return join(app, &command->asker, wish);
	case CONFERENCE_ADD:
		return add(app, &command->asker, wish);
	case CONFERENCE_MUTE:
	case CONFERENCE_UNMUTE:
	case CONFERENCE_DEAF:
	case CONFERENCE_UNDEAF:
	case CONFERENCE_HOLD:
	case CONFERENCE_RESUME:
	case CONFERENCE_KICK:
	case CONFERENCE_PROMOTE:
	case CONFERENCE_DEMOTE:
	case CONFERENCE_VOLUME:
	case CONFERENCE_LOCK:
	case CONFERENCE_UNLOCK:
	case CONFERENCE_RECORD:
	case CONFERENCE_UPDATE:
	case CONFERENCE_END:
		break;
	}
	return on_room(app, &command->asker, wish);
}

struct reply *do_conferences(struct call_app *app, struct command *command)
{
	struct reply *reply = reply_new(REPLY_OK);
	unsigned limit = page_limit(command);

	reply->conferences = room_views(app, &command->asker, command->offset, limit, &reply->count,
					&reply->total);
	return reply;
}

struct reply *do_conference_get(struct call_app *app, struct command *command)
{
	const struct conference_wish *wish = command->body;
	struct room *room;
	struct reply *bad = find(app, &command->asker, wish->room, &room);

	return bad ? bad : reply_room(room);
}
