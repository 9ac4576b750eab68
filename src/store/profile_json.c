/* A profile's JSON where it is more than a flat table: caller_id and incoming are objects */
#include "store/profile_check.h"
#include "store/sip_profile.h"

#include <stdio.h>

struct caller {
	const char *number, *name;
	int mode;
};

static const struct field caller_fields[] = {
	FIELD(struct caller, number, FIELD_STR, FIELD_NULLABLE, .min = 0, .max = 128),
	FIELD(struct caller, name, FIELD_STR, FIELD_NULLABLE, .min = 0, .max = 128),
	FIELD(struct caller, mode, FIELD_ENUM, 0, .names = profile_caller_mode_names),
	{ 0 },
};

json_t *profile_caller_from_json(const json_t *body, struct arena *arena,
				 struct sip_profile *profile)
{
	struct caller caller = { profile->caller_number, profile->caller_name,
				 profile->caller_mode };
	json_t *bad = field_from_json(caller_fields, body, true, arena, &caller);
	const char *complaint = NULL;

	if (caller.number && !*caller.number)
		caller.number = NULL;
	if (caller.name && !*caller.name)
		caller.name = NULL;
	if (!bad && caller.number)
		complaint = profile_check_number(caller.number);
	if (complaint)
		field_complain(&bad, "number", complaint);
	if (bad)
		return bad;
	profile->caller_number = caller.number;
	profile->caller_name = caller.name;
	profile->caller_mode = caller.mode;
	return NULL;
}

struct incoming {
	int type;
	const char *room, *number;
	struct id ivr_id, profile_id, user_id;
};

static const struct field incoming_fields[] = {
	FIELD(struct incoming, type, FIELD_ENUM, FIELD_REQUIRED, .names = profile_incoming_names),
	FIELD(struct incoming, room, FIELD_STR, FIELD_NULLABLE, .min = 1, .max = ROOM_NAME_MAX,
	      .check = profile_check_room),
	FIELD(struct incoming, number, FIELD_STR, FIELD_NULLABLE, .min = 1, .max = 128,
	      .check = profile_check_number),
	FIELD(struct incoming, ivr_id, FIELD_ID, FIELD_NULLABLE),
	FIELD(struct incoming, profile_id, FIELD_ID, FIELD_NULLABLE),
	FIELD(struct incoming, user_id, FIELD_ID, FIELD_NULLABLE),
	{ 0 },
};

/* What the type needs beside itself, and where the profile keeps it. Return: the member that is missing, or NULL. */
static const char *incoming_take(const struct incoming *in, struct sip_profile *profile)
{
	const char *target = NULL, *missing = NULL;
	struct id id = ID_NONE;

	switch ((enum profile_incoming)in->type) {
	case PROFILE_INCOMING_OWNER:
	case PROFILE_INCOMING_API:
		break;
	case PROFILE_INCOMING_NUMBER:
		target = in->number;
		id = in->profile_id;
		missing = target ? NULL : "number";
		break;
	case PROFILE_INCOMING_USER:
		id = in->user_id;
		missing = id_is_none(id) ? "user_id" : NULL;
		break;
	case PROFILE_INCOMING_IVR:
		id = in->ivr_id;
		missing = id_is_none(id) ? "ivr_id" : NULL;
		break;
	case PROFILE_INCOMING_CONFERENCE:
		target = in->room;
		missing = target ? NULL : "room";
		break;
	}
	if (missing)
		return missing;
	profile->incoming_type = in->type;
	profile->incoming_target = target;
	profile->incoming_id = id;
	return NULL;
}

static json_t *incoming_from_json(const json_t *body, struct arena *arena,
				  struct sip_profile *profile)
{
	struct incoming in = { 0 };
	json_t *bad = field_from_json(incoming_fields, body, false, arena, &in);
	const char *missing;

	if (bad)
		return bad;
	missing = incoming_take(&in, profile);
	if (missing)
		field_complain(&bad, missing, "This field is required.");
	return bad;
}

/* {"mode": ["..."]} of a nested object becomes {"caller_id": {"mode": ["..."]}}, as Django REST Framework nests them. */
static void complain_nested(json_t **errors, const char *name, json_t *bad)
{
	if (!bad)
		return;
	if (!*errors)
		*errors = json_object();
	json_object_set_new(*errors, name, bad);
}

json_t *profile_from_json(const json_t *body, bool partial, struct arena *arena,
			  struct sip_profile *profile)
{
	const json_t *caller = json_object_get(body, "caller_id");
	const json_t *incoming = json_object_get(body, "incoming");
	json_t *bad = field_from_json(profile_fields, body, partial, arena, profile);

	if (json_is_null(caller)) {
		profile->caller_number = profile->caller_name = NULL;
		profile->caller_mode = 0;
	} else if (caller) {
		complain_nested(&bad, "caller_id",
				profile_caller_from_json(caller, arena, profile));
	}
	if (incoming)
		complain_nested(&bad, "incoming", incoming_from_json(incoming, arena, profile));
	return bad;
}

static json_t *id_json(struct id id)
{
	return id_is_none(id) ? json_null() : json_string(id_str(id));
}

static json_t *incoming_to_json(const struct sip_profile *profile)
{
	json_t *json = json_pack("{s:s}", "type", profile_incoming_names[profile->incoming_type]);

	switch ((enum profile_incoming)profile->incoming_type) {
	case PROFILE_INCOMING_OWNER:
	case PROFILE_INCOMING_API:
		break;
	case PROFILE_INCOMING_NUMBER:
		json_object_set_new(json, "number", json_string(profile->incoming_target));
		json_object_set_new(json, "profile_id", id_json(profile->incoming_id));
		break;
	case PROFILE_INCOMING_USER:
		json_object_set_new(json, "user_id", id_json(profile->incoming_id));
		break;
	case PROFILE_INCOMING_IVR:
		json_object_set_new(json, "ivr_id", id_json(profile->incoming_id));
		break;
	case PROFILE_INCOMING_CONFERENCE:
		json_object_set_new(json, "room", json_string(profile->incoming_target));
		break;
	}
	return json;
}

json_t *profile_to_json(const struct sip_profile *profile)
{
	struct caller caller = { profile->caller_number, profile->caller_name,
				 profile->caller_mode };
	json_t *json = field_to_json(profile_fields, profile);

	json_object_set_new(json, "caller_id", field_to_json(caller_fields, &caller));
	json_object_set_new(json, "incoming", incoming_to_json(profile));
	return json;
}

void profile_jot(struct jot *out, const struct sip_profile *profile)
{
	struct caller caller = { profile->caller_number, profile->caller_name,
				 profile->caller_mode };
	json_t *incoming = incoming_to_json(profile);

	jot_fields(out, profile_fields, profile);
	jot_open(out, "caller_id", '{');
	jot_fields(out, caller_fields, &caller);
	jot_close(out, '}');
	jot_json(out, "incoming", incoming);
	json_decref(incoming);
}
