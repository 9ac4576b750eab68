/* Views as the API shows them */
#include "base/base.h"
#include "event/view.h"

#include "event/view_text.h"

#include <jansson.h>
#include <math.h>

#define VIEW_TEXT_MAX (16u << 20) /* far above the largest */

bool view_text_is_clean(const char *text)
{
	size_t left = strlen(text), len;

	for (; left; text += len, left -= len) {
		len = str_utf8_len(text, left);
		if (!len)
			return false;
	}
	return true;
}

void view_text_clean(char *text)
{
	size_t left = strlen(text);

	while (left) {
		size_t len = str_utf8_len(text, left);

		if (!len)
			*text = '?';
		text += len ? len : 1;
		left -= len ? len : 1;
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

/* ---- what is written often: as text ---- */

static void measure_jot(struct jot *out, const char *key, bool known, float value)
{
	if (known && isfinite(value))
		jot_real(out, key, round((double)value * 100) / 100);
	else
		jot_null(out, key);
}

static void quality_jot(struct jot *out, const struct quality_view *quality)
{
	bool known = quality->known;

	jot_open(out, "quality", '{');
	measure_jot(out, "mos", known, quality->mos);
	measure_jot(out, "jitter_ms", known, quality->jitter_ms);
	measure_jot(out, "loss_pct", known, quality->loss_pct);
	measure_jot(out, "rtt_ms", known, quality->rtt_ms);
	jot_close(out, '}');
}

/* An empty text is null. */
static void text_jot(struct jot *out, const char *key, const char *text)
{
	jot_text(out, key, *text ? text : NULL);
}

static void code_jot(struct jot *out, const char *key, int code)
{
	if (code)
		jot_int(out, key, code);
	else
		jot_null(out, key);
}

static void leg_jot(struct jot *out, const struct leg_view *leg)
{
	jot_open(out, NULL, '{');
	jot_id(out, "id", leg->id);
	jot_word(out, "role", leg_role_names[leg->role]);
	jot_word(out, "kind", leg_kind_names[leg->kind]);
	text_jot(out, "address", leg->address);
	jot_word(out, "state", leg_state_names[leg->state]);
	text_jot(out, "codec", leg->codec);
	jot_bool(out, "muted", leg->muted);
	quality_jot(out, &leg->quality);
	jot_id(out, "profile_id", leg->profile_id);
	jot_id(out, "device_id", leg->device_id);
	jot_id(out, "user_id", leg->user_id);
	jot_time(out, "created_at", leg->created_at);
	jot_time(out, "ringing_at", leg->ringing_at);
	jot_time(out, "answered_at", leg->answered_at);
	jot_time(out, "ended_at", leg->ended_at);
	jot_word(out, "end_reason", end_reason_names[leg->end_reason]);
	code_jot(out, "sip_code", leg->sip_code);
	jot_close(out, '}');
}

/* The caller's own JSON, which is compact already unless a database has put it into words of its own. */
static void variables_jot(struct jot *out, const char *text)
{
	json_t *json = *text ? json_loads(text, 0, NULL) : NULL;

	if (json)
		jot_json(out, "variables", json);
	else
		jot_null(out, "variables");
	json_decref(json);
}

void call_view_jot(struct jot *out, const struct call_view *view)
{
	jot_id(out, "id", view->id);
	jot_word(out, "direction", call_direction_names[view->direction]);
	jot_word(out, "state", call_state_names[view->state]);
	jot_id(out, "profile_id", view->profile_id);
	jot_id(out, "user_id", view->user_id);
	text_jot(out, "from", view->from);
	text_jot(out, "to", view->to);
	text_jot(out, "from_name", view->from_name);
	jot_time(out, "created_at", view->created_at);
	jot_time(out, "ringing_at", view->ringing_at);
	jot_time(out, "answered_at", view->answered_at);
	jot_time(out, "ended_at", view->ended_at);
	jot_int(out, "ring_s", view->ring_s);
	jot_int(out, "talk_s", view->talk_s);
	jot_int(out, "hold_s", view->hold_s);
	jot_open(out, "hold", '{');
	jot_bool(out, "local", view->hold_local);
	jot_bool(out, "remote", view->hold_remote);
	jot_close(out, '}');
	jot_open(out, "recording", '{');
	jot_word(out, "state", recording_state_names[view->recording]);
	jot_id(out, "id", view->recording_id);
	jot_close(out, '}');
	text_jot(out, "room", view->room);
	jot_open(out, "legs", '[');
	for (unsigned i = 0; i < view->leg_count; i++)
		leg_jot(out, &view->legs[i]);
	jot_close(out, ']');
	jot_word(out, "end_reason", end_reason_names[view->end_reason]);
	code_jot(out, "sip_code", view->sip_code);
	code_jot(out, "q850", view->q850);
	jot_word(out, "hangup_by", hangup_by_names[view->hangup_by]);
	jot_id(out, "transferred_from", view->transferred_from);
	jot_id(out, "transferred_to", view->transferred_to);
	variables_jot(out, view->variables);
}

static void history_jot(struct jot *out, const struct registration_view *view)
{
	jot_open(out, "history", '[');
	for (unsigned i = 0; i < view->history_count; i++) {
		const struct registration_change *change = &view->history[i];

		jot_open(out, NULL, '{');
		jot_time(out, "at", change->at);
		jot_word(out, "state", registration_state_names[change->state]);
		code_jot(out, "code", change->code);
		text_jot(out, "reason", change->reason);
		jot_close(out, '}');
	}
	jot_close(out, ']');
}

void registration_view_jot(struct jot *out, const struct registration_view *view, bool with_history)
{
	jot_id(out, "profile_id", view->profile_id);
	jot_word(out, "state", registration_state_names[view->state]);
	code_jot(out, "code", view->code);
	text_jot(out, "reason", view->reason);
	text_jot(out, "registrar", view->registrar);
	jot_time(out, "expires_at", view->expires_at);
	jot_time(out, "next_attempt_at", view->next_attempt_at);
	jot_time(out, "changed_at", view->changed_at);
	if (with_history)
		history_jot(out, view);
}

/* ---- and the same as objects, for who adds to them ---- */

static json_t *jotted(struct buf *text)
{
	json_t *json = text->failed ? NULL : json_loadb(text->data, text->len, 0, NULL);

	bug_on(!json);
	buf_fini(text);
	return json;
}

json_t *call_view_json(const struct call_view *view)
{
	struct buf text = BUF_MAX(VIEW_TEXT_MAX);
	struct jot out = { .buf = &text, .digits = JOT_DIGITS };

	jot_open(&out, NULL, '{');
	call_view_jot(&out, view);
	jot_close(&out, '}');
	return jotted(&text);
}

static json_t *leg_json(const struct leg_view *leg)
{
	struct buf text = BUF_MAX(VIEW_TEXT_MAX);
	struct jot out = { .buf = &text, .digits = JOT_DIGITS };

	leg_jot(&out, leg);
	return jotted(&text);
}

json_t *registration_view_json(const struct registration_view *view, bool with_history)
{
	struct buf text = BUF_MAX(VIEW_TEXT_MAX);
	struct jot out = { .buf = &text, .digits = JOT_DIGITS };

	jot_open(&out, NULL, '{');
	registration_view_jot(&out, view, with_history);
	jot_close(&out, '}');
	return jotted(&text);
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
