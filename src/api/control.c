/* What is done to calls that are up: mute, hold, digits, transfer */
#include "api/private.h"

#include <ctype.h>

static struct api_done *control(struct api_req *req, struct command *command)
{
	struct reply *reply = NULL;
	struct api_done *no = api_ask_live(req, command, &reply);

	return no ?: api_call_reply(req, 200, reply);
}

static struct api_done *call_mute(struct api_req *req)
{
	struct command command = { .type = COMMAND_MUTE_LEG };
	json_t *complaints = NULL;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_id(req->body, "leg_id", true, &command.leg_id, &complaints);
	api_bool(req->body, "muted", &command.on, &complaints);
	api_required(req->body, "muted", &complaints);
	return complaints ? api_invalid(req, complaints) : control(req, &command);
}

static struct api_done *call_hold(struct api_req *req)
{
	static const char *const actions[] = { "hold", "resume", NULL };
	struct command command = { .type = COMMAND_HOLD_CALL };
	json_t *complaints = NULL;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	command.on = api_word(req->body, "action", actions, 0, &complaints) == 0;
	api_required(req->body, "action", &complaints);
	return complaints ? api_invalid(req, complaints) : control(req, &command);
}

/* ---- Digits ---- */

enum dtmf_mask api_mask(const json_t *body, const char *name, json_t **complaints)
{
	const json_t *value = json_object_get(body, name);
	bool on = false;

	if (!value || json_is_null(value))
		return MASK_PROFILE;
	api_bool(body, name, &on, complaints);
	return on ? MASK_ON : MASK_OFF;
}

static void take_digits(const json_t *body, bool required, char dst[static DTMF_DIGITS_MAX + 1],
			json_t **complaints)
{
	const char *text = api_str(body, "digits", required, DTMF_DIGITS_MAX, complaints);
	size_t i;

	if (!text)
		return;
	for (i = 0; text[i]; i++) {
		char c = (char)(text[i] == 'W' ? 'w' : text[i]);

		dst[i] = (char)(c == 'w' ? c : toupper((unsigned char)c));
		if (strchr("0123456789*#ABCD,w", dst[i]))
			continue;
		field_complain(complaints, "digits",
			       "Only 0-9, *, #, A-D, a comma (1 s) and w (0.5 s) can be sent.");
		return;
	}
	dst[i] = '\0';
}

static struct api_done *call_dtmf(struct api_req *req)
{
	static const char *const methods[] = { "auto", "rfc4733", "info", "inband", NULL };
	struct dtmf_request request = { .duration_ms = 160, .gap_ms = 80 };
	struct command command = { .type = COMMAND_DTMF };
	json_t *complaints = NULL;
	struct reply *reply = NULL;
	struct api_done *no;
	struct id operation;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_id(req->body, "leg_id", false, &command.leg_id, &complaints);
	request.mask = api_mask(req->body, "mask", &complaints);
	take_digits(req->body, !request.mask, request.digits, &complaints);
	api_int(req->body, "duration_ms", 50, 6000, &request.duration_ms, &complaints);
	api_int(req->body, "gap_ms", 40, 6000, &request.gap_ms, &complaints);
	request.method =
		(enum dtmf_mode)api_word(req->body, "method", methods, DTMF_AUTO, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	command.body = xmemdup(&request, sizeof(request));
	no = api_ask_live(req, &command, &reply);
	if (no)
		return no;
	operation = reply->operation_id;
	reply_free(reply);
	return api_json(req, 202,
			json_pack("{s:s?}", "operation_id",
				  id_is_none(operation) ? NULL : id_str(operation)));
}

/* ---- Transfer ---- */

#define RING_MAX_S 180

static void take_target(struct api_req *req, struct transfer_wish *wish, json_t **complaints)
{
	static const char *const modes[] = { "blind", "attended", "refer", NULL };
	static const char *const fails[] = { "return", "hangup", NULL };
	static const char *const releases[] = { "ringing", "now", NULL };
	const json_t *to = json_object_get(req->body, "to"),
		     *connect = json_object_get(req->body, "connect");
	bool has_to = to && !json_is_null(to), has_connect = connect && !json_is_null(connect);

	if (has_to == has_connect)
		field_complain(complaints, "to",
			       "Say either to or connect: whom the call goes to.");
	else if (has_to)
		api_number(req->body, "to", true, wish->to, complaints);
	else
		api_connect(req, req->body, true, &wish->connect, complaints);
	wish->mode = (enum transfer_mode)api_word(req->body, "mode", modes, 0, complaints);
	wish->hangup_on_fail = api_word(req->body, "on_fail", fails, 0, complaints) == 1;
	wish->release_now = api_word(req->body, "release", releases, 0, complaints) == 1;
	api_int(req->body, "ring_timeout_s", 1, RING_MAX_S, &wish->ring_timeout_s, complaints);
}

static void take_action(struct api_req *req, struct transfer_wish *wish, json_t **complaints)
{
	static const char *const actions[] = { "complete", "cancel", "swap", "conference", NULL };
	const json_t *room = json_object_get(req->body, "room");

	wish->action = (enum transfer_action)(
		TRANSFER_COMPLETE + api_word(req->body, "action", actions, 0, complaints));
	if (wish->action == TRANSFER_CONFERENCE && room && !json_is_null(room))
		api_room(req->body, "room", wish->room, complaints);
}

static struct api_done *call_transfer(struct api_req *req)
{
	struct transfer_wish wish = { .action = TRANSFER_START };
	struct command command = { .type = COMMAND_TRANSFER };
	const json_t *action = json_object_get(req->body, "action");
	json_t *complaints = NULL, *body;
	struct reply *reply = NULL;
	struct api_done *no;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	if (action && !json_is_null(action))
		take_action(req, &wish, &complaints);
	else
		take_target(req, &wish, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	command.body = xmemdup(&wish, sizeof(wish));
	no = api_ask_live(req, &command, &reply);
	if (no)
		return no;
	body = call_view_json(reply->call);
	json_object_set_new(body, "consult_call_id",
			    id_is_none(reply->consult_id) ? json_null()
							  : json_string(id_str(reply->consult_id)));
	reply_free(reply);
	return api_json(req, 202, body);
}

const struct api_route control_routes[] = {
	{ "POST", "/api/dtmf/", "sendDtmf", call_dtmf, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/hold-call/", "holdCall", call_hold, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/mute-call/", "muteCall", call_mute, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/transfer-call/", "transferCall", call_transfer, SCOPE_CALLS_CONTROL, 0 },
	{ 0 },
};
