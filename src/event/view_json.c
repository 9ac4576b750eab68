/* Views as the API shows them */
#include "base/base.h"
#include "event/view.h"

#include "event/view_text.h"

#include <jansson.h>
#include <math.h>

/* The length of the well-formed character at `text`, 0 when there is none (RFC 3629 section 4). */
static size_t utf8_length(const unsigned char *text)
{
	size_t len = text[0] < 0x80   ? 1
		     : text[0] < 0xc2 ? 0
		     : text[0] < 0xe0 ? 2
		     : text[0] < 0xf0 ? 3
		     : text[0] < 0xf5 ? 4
				      : 0;

	for (size_t i = 1; i < len; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if (len == 3 &&
	    ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f)))
		return 0;
	if (len == 4 &&
	    ((text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)))
		return 0;
	return len;
}

bool view_text_is_clean(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len;

	for (; *p; p += len) {
		len = utf8_length(p);
		if (!len)
			return false;
	}
	return true;
}

void view_text_clean(char *text)
{
	unsigned char *p = (unsigned char *)text;

	while (*p) {
		size_t len = utf8_length(p);

		if (!len)
			*p = '?';
		p += len ? len : 1;
	}
}

/* What our own tables and ids say is UTF-8, and so are the members' names: nobody looks through them
 * again.
 */
static json_t *text_json(const char *text)
{
	char *copy;
	json_t *json;

	if (!*text)
		return json_null();
	if (view_text_is_clean(text))
		return json_string_nocheck(text);
	copy = xstrdup(text); /* a peer's bytes that are not UTF-8 */
	view_text_clean(copy);
	json = json_string_nocheck(copy);
	free(copy);
	return json;
}

static json_t *id_json(struct id id)
{
	return id_is_none(id) ? json_null() : json_stringn_nocheck(id_str(id), ID_STR_SIZE - 1);
}

static json_t *time_json(int64_t us)
{
	return us ? json_string_nocheck(time_str(us)) : json_null();
}

static json_t *code_json(int code)
{
	return code ? json_integer(code) : json_null();
}

static json_t *measure_json(bool known, float value)
{
	return known && isfinite(value) ? json_real(round((double)value * 100) / 100) : json_null();
}

static json_t *quality_json(const struct quality_view *quality)
{
	json_t *json = json_object();
	bool known = quality->known;

	json_object_set_new_nocheck(json, "mos", measure_json(known, quality->mos));
	json_object_set_new_nocheck(json, "jitter_ms", measure_json(known, quality->jitter_ms));
	json_object_set_new_nocheck(json, "loss_pct", measure_json(known, quality->loss_pct));
	json_object_set_new_nocheck(json, "rtt_ms", measure_json(known, quality->rtt_ms));
	return json;
}

static json_t *leg_json(const struct leg_view *leg)
{
	json_t *json = json_object();

	json_object_set_new_nocheck(json, "id", id_json(leg->id));
	json_object_set_new_nocheck(json, "role", json_string_nocheck(leg_role_names[leg->role]));
	json_object_set_new_nocheck(json, "kind", json_string_nocheck(leg_kind_names[leg->kind]));
	json_object_set_new_nocheck(json, "address", text_json(leg->address));
	json_object_set_new_nocheck(json, "state",
				    json_string_nocheck(leg_state_names[leg->state]));
	json_object_set_new_nocheck(json, "codec", text_json(leg->codec));
	json_object_set_new_nocheck(json, "muted", json_boolean(leg->muted));
	json_object_set_new_nocheck(json, "quality", quality_json(&leg->quality));
	json_object_set_new_nocheck(json, "profile_id", id_json(leg->profile_id));
	json_object_set_new_nocheck(json, "device_id", id_json(leg->device_id));
	json_object_set_new_nocheck(json, "user_id", id_json(leg->user_id));
	json_object_set_new_nocheck(json, "created_at", time_json(leg->created_at));
	json_object_set_new_nocheck(json, "ringing_at", time_json(leg->ringing_at));
	json_object_set_new_nocheck(json, "answered_at", time_json(leg->answered_at));
	json_object_set_new_nocheck(json, "ended_at", time_json(leg->ended_at));
	json_object_set_new_nocheck(json, "end_reason",
				    text_json(end_reason_names[leg->end_reason]));
	json_object_set_new_nocheck(json, "sip_code", code_json(leg->sip_code));
	return json;
}

static json_t *legs_json(const struct call_view *view)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < view->leg_count; i++)
		json_array_append_new(list, leg_json(&view->legs[i]));
	return list;
}

static json_t *variables_json(const char *text)
{
	json_t *json = *text ? json_loads(text, 0, NULL) : NULL;

	return json ? json : json_null();
}

json_t *call_view_json(const struct call_view *view)
{
	json_t *json = json_object();

	json_object_set_new_nocheck(json, "id", id_json(view->id));
	json_object_set_new_nocheck(json, "direction",
				    json_string_nocheck(call_direction_names[view->direction]));
	json_object_set_new_nocheck(json, "state",
				    json_string_nocheck(call_state_names[view->state]));
	json_object_set_new_nocheck(json, "profile_id", id_json(view->profile_id));
	json_object_set_new_nocheck(json, "user_id", id_json(view->user_id));
	json_object_set_new_nocheck(json, "from", text_json(view->from));
	json_object_set_new_nocheck(json, "to", text_json(view->to));
	json_object_set_new_nocheck(json, "from_name", text_json(view->from_name));
	json_object_set_new_nocheck(json, "created_at", time_json(view->created_at));
	json_object_set_new_nocheck(json, "ringing_at", time_json(view->ringing_at));
	json_object_set_new_nocheck(json, "answered_at", time_json(view->answered_at));
	json_object_set_new_nocheck(json, "ended_at", time_json(view->ended_at));
	json_object_set_new_nocheck(json, "ring_s", json_integer(view->ring_s));
	json_object_set_new_nocheck(json, "talk_s", json_integer(view->talk_s));
	json_object_set_new_nocheck(json, "hold_s", json_integer(view->hold_s));
	json_object_set_new_nocheck(json, "hold",
				    json_pack("{s:b, s:b}", "local", view->hold_local, "remote",
					      view->hold_remote));
	json_object_set_new_nocheck(json, "recording",
				    json_pack("{s:s, s:o}", "state",
					      recording_state_names[view->recording], "id",
					      id_json(view->recording_id)));
	json_object_set_new_nocheck(json, "room", text_json(view->room));
	json_object_set_new_nocheck(json, "legs", legs_json(view));
	json_object_set_new_nocheck(json, "end_reason",
				    text_json(end_reason_names[view->end_reason]));
	json_object_set_new_nocheck(json, "sip_code", code_json(view->sip_code));
	json_object_set_new_nocheck(json, "q850", code_json(view->q850));
	json_object_set_new_nocheck(json, "hangup_by", text_json(hangup_by_names[view->hangup_by]));
	json_object_set_new_nocheck(json, "transferred_from", id_json(view->transferred_from));
	json_object_set_new_nocheck(json, "transferred_to", id_json(view->transferred_to));
	json_object_set_new_nocheck(json, "variables", variables_json(view->variables));
	return json;
}

json_t *recording_view_json(const struct recording_view *view)
{
	json_t *json = json_object();

	json_object_set_new(json, "id", id_json(view->id));
	json_object_set_new(json, "call_id", id_json(view->call_id));
	json_object_set_new(json, "profile_id", id_json(view->profile_id));
	json_object_set_new(json, "user_id", id_json(view->user_id));
	json_object_set_new(json, "state", json_string(record_state_names[view->state]));
	json_object_set_new(json, "layout", json_string(view->stereo ? "stereo" : "mono"));
	json_object_set_new(json, "rate", json_integer(view->rate));
	json_object_set_new(json, "started_at", time_json(view->started_at));
	json_object_set_new(json, "ended_at", time_json(view->ended_at));
	json_object_set_new(json, "duration_ms", json_integer(view->duration_ms));
	json_object_set_new(json, "size", json_integer(view->size));
	json_object_set_new(json, "sha256", text_json(view->sha256));
	json_object_set_new(json, "reason", text_json(view->reason));
	json_object_set_new(json, "repaired", json_boolean(view->repaired));
	/* Only what is finished can be under one, and this is how it comes to be finished. */
	json_object_set_new(json, "legal_hold", json_false());
	return json;
}

json_t *monitor_view_json(const struct monitor_view *view)
{
	json_t *json = json_object();

	json_object_set_new(json, "id", id_json(view->id));
	json_object_set_new(json, "call_id", id_json(view->call_id));
	json_object_set_new(json, "room", text_json(view->room));
	json_object_set_new(json, "user_id", id_json(view->user_id));
	json_object_set_new(json, "mode", json_string(monitor_mode_names[view->mode]));
	json_object_set_new(json, "state", json_string(monitor_state_names[view->state]));
	json_object_set_new(json, "muted", json_boolean(view->muted));
	json_object_set_new(json, "beep", json_boolean(view->beep));
	json_object_set_new(json, "follow_agent", json_boolean(view->follow_agent));
	json_object_set_new(json, "target_leg", id_json(view->target_leg));
	json_object_set_new(json, "created_at", time_json(view->created_at));
	json_object_set_new(json, "started_at", time_json(view->started_at));
	json_object_set_new(json, "ended_at", time_json(view->ended_at));
	json_object_set_new(json, "reason", text_json(view->reason));
	json_object_set_new(json, "leg", view->has_leg ? leg_json(&view->leg) : json_null());
	return json;
}

static json_t *history_json(const struct registration_view *view)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < view->history_count; i++) {
		const struct registration_change *change = &view->history[i];
		json_t *json = json_object();

		json_object_set_new_nocheck(json, "at", time_json(change->at));
		json_object_set_new_nocheck(
			json, "state",
			json_string_nocheck(registration_state_names[change->state]));
		json_object_set_new_nocheck(json, "code", code_json(change->code));
		json_object_set_new_nocheck(json, "reason", text_json(change->reason));
		json_array_append_new(list, json);
	}
	return list;
}

json_t *registration_view_json(const struct registration_view *view, bool with_history)
{
	json_t *json = json_object();

	json_object_set_new_nocheck(json, "profile_id", id_json(view->profile_id));
	json_object_set_new_nocheck(json, "state",
				    json_string_nocheck(registration_state_names[view->state]));
	json_object_set_new_nocheck(json, "code", code_json(view->code));
	json_object_set_new_nocheck(json, "reason", text_json(view->reason));
	json_object_set_new_nocheck(json, "registrar", text_json(view->registrar));
	json_object_set_new_nocheck(json, "expires_at", time_json(view->expires_at));
	json_object_set_new_nocheck(json, "next_attempt_at", time_json(view->next_attempt_at));
	json_object_set_new_nocheck(json, "changed_at", time_json(view->changed_at));
	if (with_history)
		json_object_set_new_nocheck(json, "history", history_json(view));
	return json;
}

static json_t *member_json(const struct member_view *member)
{
	json_t *json = json_object();

	json_object_set_new_nocheck(json, "id", id_json(member->id));
	json_object_set_new_nocheck(json, "call_id", id_json(member->call_id));
	json_object_set_new_nocheck(json, "leg_id", id_json(member->leg_id));
	json_object_set_new_nocheck(json, "user_id", id_json(member->user_id));
	json_object_set_new_nocheck(json, "name", text_json(member->name));
	json_object_set_new_nocheck(json, "muted", json_boolean(member->muted));
	json_object_set_new_nocheck(json, "deaf", json_boolean(member->deaf));
	json_object_set_new_nocheck(json, "held", json_boolean(member->held));
	json_object_set_new_nocheck(json, "talking", json_boolean(member->talking));
	json_object_set_new_nocheck(json, "moderator", json_boolean(member->moderator));
	json_object_set_new_nocheck(json, "volume", json_integer(member->volume));
	json_object_set_new_nocheck(json, "recorded", json_boolean(member->recorded));
	json_object_set_new_nocheck(json, "joined_at", time_json(member->joined_at));
	return json;
}

json_t *conference_view_json(const struct conference_view *view)
{
	json_t *json = json_object(), *members = json_array();

	for (unsigned i = 0; i < view->member_count; i++)
		json_array_append_new(members, member_json(&view->members[i]));
	json_object_set_new_nocheck(json, "id", id_json(view->id));
	json_object_set_new_nocheck(json, "room", json_string(view->room));
	json_object_set_new_nocheck(json, "state",
				    json_string(conference_state_names[view->state]));
	json_object_set_new_nocheck(json, "call_id", id_json(view->call_id));
	json_object_set_new_nocheck(json, "created_by", id_json(view->created_by));
	json_object_set_new_nocheck(json, "locked", json_boolean(view->locked));
	json_object_set_new_nocheck(json, "recording", json_boolean(view->recording));
	json_object_set_new_nocheck(json, "has_pin", json_boolean(view->has_pin));
	json_object_set_new_nocheck(json, "has_moderator_pin",
				    json_boolean(view->has_moderator_pin));
	json_object_set_new_nocheck(json, "max_members", json_integer(view->max_members));
	json_object_set_new_nocheck(json, "join_muted", json_boolean(view->join_muted));
	json_object_set_new_nocheck(json, "tones", json_boolean(view->tones));
	json_object_set_new_nocheck(json, "wait_for_moderator",
				    json_boolean(view->wait_for_moderator));
	json_object_set_new_nocheck(json, "end_on_moderator_exit",
				    json_boolean(view->end_on_moderator_exit));
	json_object_set_new_nocheck(json, "grace_s", json_integer(view->grace_s));
	json_object_set_new_nocheck(json, "record", json_boolean(view->record));
	json_object_set_new_nocheck(json, "keys", json_boolean(view->keys));
	json_object_set_new_nocheck(json, "created_at", time_json(view->created_at));
	json_object_set_new_nocheck(json, "started_at", time_json(view->started_at));
	json_object_set_new_nocheck(json, "members", members);
	return json;
}
