/* Conference rooms: one `action` a request (API.md section 6) */
#include "api/private.h"

#include "event/journal.h"

#define GRACE_MAX_S 3600
#define VOLUME_MIN (-40) /* dB */
#define VOLUME_MAX 12
#define ROW_WAIT_MS 2000

static const char *const actions[] = {
	[CONFERENCE_CREATE] = "create",
	[CONFERENCE_JOIN] = "join",
	[CONFERENCE_ADD] = "add",
	[CONFERENCE_MUTE] = "mute",
	[CONFERENCE_UNMUTE] = "unmute",
	[CONFERENCE_DEAF] = "deaf",
	[CONFERENCE_UNDEAF] = "undeaf",
	[CONFERENCE_HOLD] = "hold",
	[CONFERENCE_RESUME] = "resume",
	[CONFERENCE_KICK] = "kick",
	[CONFERENCE_PROMOTE] = "promote",
	[CONFERENCE_DEMOTE] = "demote",
	[CONFERENCE_VOLUME] = "volume",
	[CONFERENCE_LOCK] = "lock",
	[CONFERENCE_UNLOCK] = "unlock",
	[CONFERENCE_RECORD] = "record",
	[CONFERENCE_UPDATE] = "update",
	[CONFERENCE_END] = "end",
	NULL,
};

static void take_pin(const json_t *body, const char *member, char pin[static ROOM_PIN_SIZE],
		     json_t **complaints)
{
	const json_t *value = json_object_get(body, member);
	const char *text;

	if (!value || json_is_null(value))
		return;
	text = api_str(body, member, false, ROOM_PIN_SIZE - 1, complaints);
	if (!text)
		return;
	if (text[strspn(text, "0123456789")])
		field_complain(complaints, member, "A PIN has digits only.");
	else
		(void)str_copy(pin, ROOM_PIN_SIZE, text);
}

static unsigned given(const json_t *body)
{
	static const struct {
		const char *name;
		enum room_setting setting;
	} names[] = {
		{ "pin", ROOM_SET_PIN },
		{ "moderator_pin", ROOM_SET_MODERATOR_PIN },
		{ "max_members", ROOM_SET_MAX_MEMBERS },
		{ "grace_s", ROOM_SET_GRACE },
		{ "join_muted", ROOM_SET_JOIN_MUTED },
		{ "tones", ROOM_SET_TONES },
		{ "wait_for_moderator", ROOM_SET_WAIT },
		{ "record", ROOM_SET_RECORD },
		{ "end_on_moderator_exit", ROOM_SET_END },
		{ "keys", ROOM_SET_KEYS },
	};
	unsigned set = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_object_get(body, names[i].name))
			set |= names[i].setting;
	return set;
}

static void take_settings(const json_t *body, struct room_settings *set, json_t **complaints)
{
	take_pin(body, "pin", set->pin, complaints);
	take_pin(body, "moderator_pin", set->moderator_pin, complaints);
	if (set->pin[0] && str_eq(set->pin, set->moderator_pin))
		field_complain(complaints, "moderator_pin", "Must differ from the PIN.");
	api_int(body, "max_members", 2, ROOM_MEMBERS_MAX, &set->max_members, complaints);
	api_bool(body, "join_muted", &set->join_muted, complaints);
	api_bool(body, "tones", &set->tones, complaints);
	api_bool(body, "wait_for_moderator", &set->wait_for_moderator, complaints);
	api_bool(body, "record", &set->record, complaints);
	api_bool(body, "end_on_moderator_exit", &set->end_on_moderator_exit, complaints);
	api_int(body, "grace_s", 0, GRACE_MAX_S, &set->grace_s, complaints);
	api_bool(body, "keys", &set->keys, complaints);
}

static void take_join(struct api_req *req, struct conference_wish *wish, json_t **complaints)
{
	const json_t *call = json_object_get(req->body, "call_id");
	struct connect_spec connect;

	take_pin(req->body, "pin", wish->pin, complaints);
	if (call && !json_is_null(call)) {
		api_id(req->body, "call_id", true, &wish->call, complaints);
		return;
	}
	api_connect(req, req->body, false, &connect, complaints);
	if (connect.kind == CONNECT_DEVICE)
		wish->device = connect.id;
	else if (connect.kind != CONNECT_ANY_DEVICE)
		field_complain(complaints, "connect", "Only a device can be rung for a room.");
}

static const char *const record_words[] = { [RECORD_START] = "start",
					    [RECORD_STOP] = "stop",
					    [RECORD_PAUSE] = "pause",
					    [RECORD_RESUME] = "resume",
					    NULL };

static void take_record(const json_t *body, struct conference_wish *wish, json_t **complaints)
{
	int word = api_word(body, "record", record_words, -1, complaints);

	api_required(body, "record", complaints);
	if (word >= 0)
		wish->record.action = word;
}

static void take_wish(struct api_req *req, struct conference_wish *wish, json_t **complaints)
{
	const json_t *body = req->body;
	int action = api_word(body, "action", actions, -1, complaints);

	api_required(body, "action", complaints);
	api_room(body, "room", wish->room, complaints);
	if (action < 0)
		return;
	wish->action = (enum conference_action)action;
	if (wish->action == CONFERENCE_CREATE || wish->action == CONFERENCE_UPDATE) {
		take_settings(body, &wish->set, complaints);
		wish->given = given(body);
	} else if (wish->action == CONFERENCE_JOIN) {
		take_join(req, wish, complaints);
	} else if (wish->action == CONFERENCE_ADD) {
		api_id(body, "profile_id", true, &wish->profile, complaints);
		api_number(body, "to", true, wish->to, complaints);
		api_bool(body, "confirm", &wish->confirm, complaints);
	} else if (wish->action == CONFERENCE_RECORD) {
		take_record(body, wish, complaints);
	} else if (wish->action >= CONFERENCE_MUTE && wish->action <= CONFERENCE_VOLUME) {
		api_id(body, "member_id", true, &wish->member, complaints);
	}
	if (wish->action == CONFERENCE_VOLUME) {
		api_required(body, "volume", complaints);
		api_int(body, "volume", VOLUME_MIN, VOLUME_MAX, &wish->volume, complaints);
	}
}

static struct api_done *answer_room(struct api_req *req, int status, struct reply *reply)
{
	json_t *body;

	if (!reply || reply->code != REPLY_OK || !reply->conferences)
		return api_fail_reply(req, reply);
	body = conference_view_json(reply->conferences[0]);
	if (reply->call)
		json_object_set_new(body, "call", call_view_json(reply->call));
	reply_free(reply);
	return api_json(req, status, body);
}

/* A room's PIN is short: who tries one after the other soon has to wait. Return: NULL with *ret_reply, or the answer. */
static struct api_done *ask_with_pin(struct api_req *req, struct command *command,
				     struct reply **ret_reply)
{
	struct throttle *throttle = req->api->throttle;
	const char *user = id_str(req->user->id);
	struct reply *reply;
	unsigned wait;

	wait = throttle_take(throttle, THROTTLE_ROOM_PIN, user, NULL, clock_mono_ms());
	if (wait) {
		command_fini(command);
		return api_too_many(req, "too_many_attempts", (int)wait);
	}
	reply = api_ask(req, command);
	if (!reply || reply->code != REPLY_WRONG_PIN)
		throttle_give_back(throttle, THROTTLE_ROOM_PIN, user, NULL);
	*ret_reply = reply;
	return NULL;
}

/* What a restart brings back is said to be done once it is on the disk. */
static void await_row(struct api_req *req, enum conference_action action)
{
	struct journal *journal = req->api->setup.journal;

	if (action != CONFERENCE_CREATE && action != CONFERENCE_UPDATE &&
	    action != CONFERENCE_LOCK && action != CONFERENCE_UNLOCK && action != CONFERENCE_END)
		return;
	if (journal && !journal_sync(journal, ROW_WAIT_MS))
		log_rated(LOG_WARN_, "a room is answered for although the journal does not answer");
}

static int status_of(const struct conference_wish *wish)
{
	bool rings = wish->action == CONFERENCE_ADD ||
		     (wish->action == CONFERENCE_JOIN && id_is_none(wish->call));

	return wish->action == CONFERENCE_CREATE ? 201 : rings ? 202 : 200;
}

static struct api_done *conference(struct api_req *req)
{
	struct command command = { .type = COMMAND_CONFERENCE };
	struct conference_wish wish = { 0 };
	struct sip_profile profile = { 0 };
	json_t *complaints = NULL;
	struct api_done *no = NULL;
	struct reply *reply = NULL;

	take_wish(req, &wish, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	if (wish.action == CONFERENCE_ADD)
		no = api_profile_get(req, wish.profile, true, &profile);
	if (no)
		return no;
	command.body = xmemdup(&wish, sizeof(wish));
	if (wish.action == CONFERENCE_JOIN && wish.pin[0])
		no = ask_with_pin(req, &command, &reply);
	else
		reply = api_ask(req, &command);
	if (no)
		return no;
	if (reply && reply->code == REPLY_NOT_FOUND && !id_is_none(wish.call)) {
		reply_free(reply);
		return api_call_not_live(req, wish.call, false);
	}
	if (reply && reply->code == REPLY_OK)
		await_row(req, wish.action);
	return answer_room(req, status_of(&wish), reply);
}

static void live_room(struct jot *out, const struct reply *reply, unsigned i)
{
	json_t *json = conference_view_json(reply->conferences[i]);

	jot_json(out, NULL, json);
	json_decref(json);
}

static struct api_done *conferences_list(struct api_req *req)
{
	return api_list_live(req, COMMAND_CONFERENCES, live_room);
}

static struct api_done *conference_read(struct api_req *req)
{
	struct command command = { .type = COMMAND_CONFERENCE_GET };
	struct conference_wish wish = { 0 };
	const char *room = web_param(req->web, "room");

	if (!room || !str_copy(wish.room, sizeof(wish.room), room))
		return api_not_found(req);
	command.body = xmemdup(&wish, sizeof(wish));
	return answer_room(req, 200, api_ask(req, &command));
}

const struct api_route conference_routes[] = {
	{ "POST", "/api/conference/", "conference", conference, SCOPE_CALLS_CONTROL, API_CREATES },
	{ "GET", "/api/conferences/", "listConferences", conferences_list, SCOPE_CALLS_READ, 0 },
	{ "GET", "/api/conferences/{room}/", "getConference", conference_read, SCOPE_CALLS_READ,
	  0 },
	{ 0 },
};
