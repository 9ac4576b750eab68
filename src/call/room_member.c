/* Members: coming in, what is done to them, going. */
#include "call/room.h"

#define STAR_MS 3000 /* the 6 of *6 comes within */
#define ROOM_CALL_MAX_MS                                                                           \
	(30u * 86400 * 1000) /* a room's call ends with its last member, not with time */

bool member_is_user(const struct room_member *member, struct id user)
{
	return !id_is_none(user) && id_eq(member->leg->user, user);
}

struct room_member *member_get(const struct room *room, struct id id)
{
	struct room_member *member;

	chain_each(member, &room->members, in_room)
		if (id_eq(member->id, id))
			return member;
	return NULL;
}

void member_publish(struct room_member *member, const char *what)
{
	room_publish(member->room, EVENT_CONFERENCE_CHANGED, member,
		     json_pack("{s:s, s:s}", "what", what, "member_id", id_str(member->id)));
}

bool room_has_others(const struct call *call, const struct leg *leg)
{
	const struct leg *each;

	chain_each(each, &call->legs, in_call)
		if (each != leg && each->member && leg_is_live(each))
			return true;
	return false;
}

/* ---- in ---- */

static void begin_room(struct call *call)
{
	call_up(call);
}

/* The room's own row in the log. */
static void conference_begin(struct room *room)
{
	struct call *call = call_new(room->app, room->tenant, CALL_CONFERENCE);

	room->call = call;
	room->started_at = call->created_at;
	call->conducts = room;
	call->max_duration_ms = ROOM_CALL_MAX_MS;
	call->record = room->set.record;
	(void)str_copy(call->to, sizeof(call->to), room->name);
	(void)str_copy(call->room_name, sizeof(call->room_name), room->name);
	if (!id_is_none(room->created_by))
		call_add_user(call, user_want(room->app, room->created_by, room->tenant));
	room->bridge = bridge_new(room->app->engine);
	bridge_watch(room->bridge);
	call_start(call, begin_room);
}

static void name_member(struct room_member *member)
{
	const struct leg *leg = member->leg;
	const struct call *call = leg->call;
	const struct user *user = known_user(call->app, leg->user);
	const char *name = user && user->spec.name[0] ? user->spec.name
			   : user		      ? user->spec.extension
			   : !leg->incoming	      ? leg->address
			   : call->from_name[0]	      ? call->from_name
						      : call->from;

	(void)str_copy(member->name, sizeof(member->name), name);
}

static void star_forgotten(struct timer *timer, void *arg)
{
	struct room_member *member = arg;

	(void)timer;
	member->star = false;
}

struct room_member *member_new(struct room *room, struct leg *leg)
{
	struct room_member *member = xzalloc(sizeof(*member));

	member->room = room;
	member->leg = leg;
	member->id = id_new();
	leg->member = member;
	name_member(member);
	return member;
}

/* Calls of such a profile are never recorded, so neither is their part in a room. */
static bool is_unrecorded(const struct leg *leg)
{
	const struct profile *profile = leg->call->profile;

	return profile && profile->spec->record == RECORD_NEVER;
}

bool member_wants_beep(const struct room_member *member)
{
	const struct profile *profile = member->leg->call->profile;

	return profile && profile->spec->record_beep && !member->unrecorded;
}

void member_come_in(struct room_member *member)
{
	struct room *room = member->room;
	struct leg *leg = member->leg;
	bool first = !room->call;

	timer_init(&member->timer, room->app->wheel, star_forgotten, member);
	if (first)
		conference_begin(room);
	member->in_lobby = false;
	member->joined_at = wheel_wall_us(room->app->wheel);
	if (leg->call->as_moderator ||
	    (!id_is_none(room->created_by) && member_is_user(member, room->created_by)))
		member->moderator = true;
	leg->call->as_moderator = false; /* of this room, not of the next one */
	room->moderators += member->moderator;
	chain_append(&room->members, &member->in_room);
	if (room->set.join_muted && !member->moderator)
		leg->muted = true;
	bridge_add(room->bridge, leg->channel);
	member->unrecorded = is_unrecorded(leg);
	if (member->unrecorded)
		channel_unrecorded(leg->channel, true);
	channel_expect(leg->channel, MEMBER_SILENT_MS);
	room_settle(room, member);
	if (member_wants_beep(member))
		record_joined(room->call);
	monitor_follow(leg->call);
	if (room->set.tones && room->members.count > 1)
		bridge_chime(room->bridge, CHIME_JOINED);
	(void)str_copy(leg->call->room_name, sizeof(leg->call->room_name), room->name);
	if (first)
		room_publish(room, EVENT_CONFERENCE_STARTED, NULL, NULL);
	room_publish(room, EVENT_CONFERENCE_JOINED, member,
		     json_pack("{s:s}", "member_id", id_str(member->id)));
	call_publish(leg->call, EVENT_CALL_UPDATED,
		     json_pack("{s:s, s:s}", "what", "conference", "leg_id", id_str(leg->id)));
}

struct room_member *room_enter(struct room *room, struct leg *leg)
{
	struct room_member *member = leg->member;

	if (room_has(room, leg))
		return member;
	if (member)
		room_leave(leg);
	leg->sound_id = 0; /* what it listened to until now ends nothing any more */
	channel_play_stop(leg->channel);
	member = member_new(room, leg);
	member_come_in(member);
	return member;
}

/* ---- out ---- */

static void let_go(struct room_member *member)
{
	struct leg *leg = member->leg;

	if (!leg->channel)
		return;
	if (member->music || member->in_lobby)
		channel_play_stop(leg->channel);
	if (member->in_lobby)
		return;
	bridge_remove(member->room->bridge, leg->channel);
	channel_mute(leg->channel, leg->muted);
	channel_deafen(leg->channel, false);
	channel_expect(leg->channel, 0);
}

void room_leave(struct leg *leg)
{
	struct room_member *member = take(leg->member);
	struct room *room;

	if (!member)
		return;
	room = member->room;
	timer_stop(&member->timer);
	let_go(member);
	if (member->in_lobby) {
		chain_remove(&room->lobby, &member->in_room);
	} else {
		chain_remove(&room->members, &member->in_room);
		room_guests_member_left(room, leg);
		room->moderators -= member->moderator;
		if (member->moderator && !room->moderators && room->set.end_on_moderator_exit &&
		    room->members.count)
			timer_start(&room->grace, (uint64_t)room->set.grace_s * 1000 + 1);
		room_settle(room, NULL);
		if (room->set.tones && room->members.count > 1)
			bridge_chime(room->bridge, CHIME_LEFT);
		room_publish(room, EVENT_CONFERENCE_LEFT, member,
			     json_pack("{s:s, s:s}", "member_id", id_str(member->id), "name",
				       member->name));
	}
	explicit_bzero(member->digits, sizeof(member->digits));
	free(member);
	room_emptied(room);
	monitor_follow(leg->call);
}

void room_forget(struct leg *leg)
{
	struct room_member *member = take(leg->member);

	if (!member)
		return;
	timer_stop(&member->timer);
	chain_remove(member->in_lobby ? &member->room->lobby : &member->room->members,
		     &member->in_room);
	free(member);
}

void member_kick(struct room_member *member)
{
	struct leg *leg = member->leg;

	room_leave(leg);
	if (leg->channel)
		dismiss(leg, ENDING_KICKED, "You have been removed from the conference. Goodbye.");
}

/* A room with a moderator's PIN alone is open to all, but asks: whoever has it comes in as that. */
static bool must_ask(const struct room *room, const struct call *call)
{
	return !call->vouched && (room->set.pin[0] || room->set.moderator_pin[0]);
}

void room_receive(struct call *call, struct leg *leg)
{
	struct room *room = call->expected_in;

	room_expect_no_more(call);
	if (!room || room_admits(room, 1)) {
		dismiss(leg, ENDING_ROOM_REFUSED, "Nobody else can join this conference. Goodbye.");
		if (room)
			room_emptied(room);
	} else if (call->confirm || must_ask(room, call)) {
		lobby_enter(room, leg);
	} else {
		(void)room_enter(room, leg);
	}
}

/* ---- what happens to them ---- */

void room_leg_changed(struct leg *leg)
{
	struct room_member *member = leg->member;

	if (member->in_lobby)
		return;
	room_settle(member->room, member);
	member_publish(member, "changed");
}

bool room_leg_waits(const struct leg *leg)
{
	return leg->member && leg->member->music;
}

bool room_keeps_mute(const struct leg *leg)
{
	return leg->member && leg->member->kept_mute;
}

void member_mute(struct room_member *member, bool muted)
{
	member->leg->muted = muted;
	room_settle(member->room, member);
	member_publish(member, muted ? "muted" : "unmuted");
}

void member_promote(struct room_member *member, bool moderator)
{
	struct room *room = member->room;

	if (member->moderator == moderator)
		return;
	member->moderator = moderator;
	room->moderators = room->moderators + moderator - !moderator;
	room_settle(room, member);
	member_publish(member, moderator ? "promoted" : "demoted");
}

/* It hears that instead of the room for a moment; who is with music goes on hearing that. */
static void tell(struct room_member *member, const char *words)
{
	struct sound_spec sound = { .kind = SOUND_SAY, .say = words };

	if (!member->music)
		(void)channel_play(member->leg->channel, &sound);
}

static void mute_by_key(struct room_member *member)
{
	bool muted = !member->leg->muted;

	if (!muted && member->kept_mute) {
		tell(member, "The moderator has muted you.");
		return;
	}
	member_mute(member, muted);
	tell(member, muted ? "You are muted." : "You are not muted any more.");
}

/* In a room a key is a key, and nobody else's business, only where the room says so; and only *6 is one. */
static bool key(struct room_member *member, char digit)
{
	bool second = member->star;

	if (!member->room->set.keys)
		return false;
	timer_stop(&member->timer);
	member->star = digit == '*';
	if (member->star)
		timer_start(&member->timer, STAR_MS);
	else if (second && digit == '6')
		mute_by_key(member);
	return member->star || (second && digit == '6');
}

bool room_leg_digit(struct leg *leg, char digit)
{
	struct room_member *member = leg->member;

	/* Who is being sent away may still be saying a PIN. */
	if (!member)
		return leg->after_sound;
	if (!member->in_lobby)
		return key(member, digit);
	lobby_digit(member, digit);
	return true;
}

void room_leg_talks(struct leg *leg, bool talks)
{
	struct room_member *member = leg->member;
	struct room *room;

	if (!member || member->in_lobby || member->talking == talks)
		return;
	room = member->room;
	if (talks && (leg->muted || leg->held || member->held || room->alone || room->waiting))
		return; /* said before it was silenced */
	member->talking = talks;
	room->talk_news = true;
	if (!timer_running(&room->talk))
		room_publish(room, EVENT_CONFERENCE_TALKING, NULL, NULL);
}

void room_leg_lost(struct leg *leg)
{
	struct room_member *member = leg->member;

	if (!leg_is_live(leg) || member->held || leg->held)
		return;
	leg_close(leg, END_MEDIA_FAILED, false);
	fsm_send(&leg->call->fsm, CALL_EV_LOST, leg);
}
