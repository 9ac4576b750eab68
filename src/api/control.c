/* What is done to calls that are up: mute, hold, digits */
#include "api/private.h"

#include <ctype.h>

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

static struct api_done *call_hold(struct api_req *req)
{
	static const char *const actions[] = { "hold", "resume", NULL };
	struct command command = { .type = COMMAND_HOLD_CALL };
	json_t *complaints = NULL;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	command.on = api_word(req->body, "action", actions, 0, &complaints) == 0;
	if (!json_object_get(req->body, "action"))
		field_complain(&complaints, "action", "This field is required.");
	return complaints ? api_invalid(req, complaints) : control(req, &command);
}

/* ---- Digits ---- */

static void take_digits(const json_t *body, char dst[static DTMF_DIGITS_MAX + 1],
			json_t **complaints)
{
	const char *text = api_str(body, "digits", true, DTMF_DIGITS_MAX, complaints);
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
	struct reply *reply;
	struct id operation;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_id(req->body, "leg_id", false, &command.leg_id, &complaints);
	take_digits(req->body, request.digits, &complaints);
	api_int(req->body, "duration_ms", 50, 6000, &request.duration_ms, &complaints);
	api_int(req->body, "gap_ms", 40, 6000, &request.gap_ms, &complaints);
	request.method =
		(enum dtmf_mode)api_word(req->body, "method", methods, DTMF_AUTO, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	command.body = xmemdup(&request, sizeof(request));
	reply = api_ask(req, &command);
	if (reply && reply->code == REPLY_NOT_FOUND) {
		reply_free(reply);
		return api_call_not_live(req, command.call_id, false);
	}
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	operation = reply->operation_id;
	reply_free(reply);
	return api_json(req, 202, json_pack("{s:s}", "operation_id", id_str(operation)));
}

const struct api_route control_routes[] = {
	{ "POST", "/api/dtmf/", "sendDtmf", call_dtmf, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/hold-call/", "holdCall", call_hold, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/mute-call/", "muteCall", call_mute, SCOPE_CALLS_CONTROL, 0 },
	{ 0 },
};
