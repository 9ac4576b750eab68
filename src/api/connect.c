/* `connect`: what the other party of a call is put through to (API.md section 6) */
#include "api/private.h"

#include <unistd.h>

#define SAY_MAX 4000

/* Complaints about members of connect are nested: {"connect": {"number": ["..."]}}. */
static void complain_in(json_t **complaints, const char *name, json_t *inner)
{
	if (!inner)
		return;
	if (!*complaints)
		*complaints = json_object();
	json_object_set_new(*complaints, name, inner);
}

static void take_device(struct api_req *req, const json_t *value, struct connect_spec *ret,
			json_t **bad)
{
	const char *text = json_string_value(value);
	struct device device = { 0 };

	if (text && str_eq(text, "any")) {
		ret->kind = CONNECT_ANY_DEVICE;
		return;
	}
	ret->kind = CONNECT_DEVICE;
	if (!text || !id_parse(text, &ret->id))
		field_complain(bad, "device", "Must be \"any\" or a device's id.");
	else if (device_get(req->db, req->arena, req->user->tenant, ret->id, &device) != 0 ||
		 (req->user->role == USER_AGENT && !id_eq(device.user_id, req->user->id)))
		field_complain(bad, "device", "There is no such device of yours.");
}

static void take_number(struct api_req *req, const json_t *connect, struct connect_spec *ret,
			json_t **bad)
{
	struct sip_profile profile = { 0 };

	ret->kind = CONNECT_NUMBER;
	api_number(connect, "number", true, ret->number, bad);
	if (!api_id(connect, "profile_id", false, &ret->profile, bad))
		return;
	if (profile_get(req->db, req->arena, req->user->tenant, ret->profile, &profile) != 0 ||
	    (req->user->role != USER_ADMIN && !id_eq(profile.owner, req->user->id)))
		field_complain(bad, "profile_id", "There is no such profile of yours.");
}

static void take_say(const json_t *connect, struct connect_spec *ret, json_t **bad)
{
	const json_t *value = json_object_get(connect, "say");
	const char *text = json_string_value(value);

	ret->kind = CONNECT_SAY;
	if (!text || !*text || strlen(text) != json_string_length(value))
		field_complain(bad, "say", "Not a valid string, or blank.");
	else if (json_string_length(value) > SAY_MAX)
		field_complain(bad, "say", "Ensure this field has no more than 4000 characters.");
	else
		str_copy(ret->text, sizeof(ret->text), text);
	/* Lines are fine in speech, other control characters are not. */
	for (char *c = ret->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
}

/* Prompts are files of the tenant, named by their ids. */
static void take_play(struct api_req *req, const json_t *connect, struct connect_spec *ret,
		      json_t **bad)
{
	struct prompt prompt = { 0 };

	ret->kind = CONNECT_PLAY;
	if (!api_id(connect, "play", true, &ret->id, bad))
		return;
	if (prompt_get(req->db, req->arena, req->user->tenant, ret->id, &prompt) != 0 ||
	    !api_prompt_path(req->api, req->user->tenant, ret->id, ret->path, sizeof(ret->path)) ||
	    access(ret->path, R_OK) != 0)
		field_complain(bad, "play", "There is no such prompt.");
}

static void take_named(struct api_req *req, const char *kind, const json_t *connect,
		       struct connect_spec *ret, json_t **bad)
{
	if (str_eq(kind, "device")) {
		take_device(req, json_object_get(connect, kind), ret, bad);
	} else if (str_eq(kind, "number")) {
		take_number(req, connect, ret, bad);
	} else if (str_eq(kind, "say")) {
		take_say(connect, ret, bad);
	} else if (str_eq(kind, "play")) {
		take_play(req, connect, ret, bad);
	} else if (str_eq(kind, "echo")) {
		ret->kind = CONNECT_ECHO;
		if (!json_is_true(json_object_get(connect, kind)))
			field_complain(bad, "echo", "Must be true.");
	} else if (str_eq(kind, "ivr")) {
		ret->kind = CONNECT_IVR;
		api_id(connect, kind, true, &ret->id, bad);
	} else if (str_eq(kind, "conference")) {
		ret->kind = CONNECT_CONFERENCE;
		api_room(connect, kind, ret->number, bad);
	} else {
		ret->kind = CONNECT_FLOW;
		if (!json_is_object(json_object_get(connect, kind)))
			field_complain(bad, kind, "Must be an object.");
	}
}

void api_connect(struct api_req *req, const json_t *body, bool required, struct connect_spec *ret,
		 json_t **complaints)
{
	static const char *const kinds[] = { "device", "number", "say",	 "play",
					     "echo",   "ivr",	 "flow", "conference" };
	const json_t *connect = json_object_get(body, "connect");
	const char *kind = NULL;
	json_t *bad = NULL;
	unsigned count = 0;

	*ret = (struct connect_spec){ .kind = CONNECT_ANY_DEVICE };
	if (!connect || json_is_null(connect)) {
		if (required)
			field_complain(complaints, "connect", "This field is required.");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (json_object_get(connect, kinds[i])) {
			kind = kinds[i];
			count++;
		}
	}
	if (count != 1) {
		field_complain(
			complaints, "connect",
			"Must be an object with one of device, number, say, play, echo, ivr, flow, conference.");
		return;
	}
	take_named(req, kind, connect, ret, &bad);
	complain_in(complaints, "connect", bad);
}
