/* What is done to calls that are up: mute */
#include "api/private.h"

static struct api_done *control(struct api_req *req, struct command *command)
{
	struct id call_id = command->call_id;
	struct reply *reply = api_ask(req, command);

	if (reply && reply->code == REPLY_NOT_FOUND) {
		reply_free(reply);
		return api_call_not_live(req, call_id, false);
	}
	return api_call_reply(req, 200, reply);
}

static struct api_done *call_mute(struct api_req *req)
{
	struct command command = { .type = COMMAND_MUTE_LEG };
	json_t *complaints = NULL;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_id(req->body, "leg_id", true, &command.leg_id, &complaints);
	api_bool(req->body, "muted", &command.on, &complaints);
	if (!json_object_get(req->body, "muted"))
		field_complain(&complaints, "muted", "This field is required.");
	return complaints ? api_invalid(req, complaints) : control(req, &command);
}

const struct api_route control_routes[] = {
	{ "POST", "/api/mute-call/", "muteCall", call_mute, SCOPE_CALLS_CONTROL, 0 },
	{ 0 },
};
