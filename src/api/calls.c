/* Calls: the live ones are the call loop's, the ended ones the log's */
#include "api/private.h"

#include "event/view_row.h"

#include <stdio.h>

#define VARIABLES_MAX 2000
#define TALK_MAX_S 86400

/* The caller's own JSON object, as text. */
static void take_variables(const json_t *body, char *dst, size_t size, json_t **complaints)
{
	const json_t *value = json_object_get(body, "variables");
	json_t *again;
	char *text;

	if (!value || json_is_null(value))
		return;
	if (!json_is_object(value)) {
		field_complain(complaints, "variables", "Expected a JSON object.");
		return;
	}
	text = json_dumps(value, JSON_COMPACT);
	if (!text || strlen(text) > VARIABLES_MAX || !str_copy(dst, size, text))
		field_complain(complaints, "variables",
			       "Ensure this object has no more than 2000 bytes.");
	again = text ? json_loads(text, 0, NULL) : NULL; /* as all do who show it */
	if (text && !again)
		field_complain(complaints, "variables", "Null characters are not allowed.");
	json_decref(again);
	free(text);
}

static void take_caller(const json_t *body, struct make_call *call, json_t **complaints)
{
	const json_t *caller = json_object_get(body, "caller_id");
	json_t *bad = NULL;
	const char *name;

	if (!caller || json_is_null(caller))
		return;
	if (!json_is_object(caller)) {
		field_complain(complaints, "caller_id", "Expected an object with number and name.");
		return;
	}
	api_number(caller, "number", true, call->caller_number, &bad);
	name = api_str(caller, "name", false, VIEW_NAME_SIZE - 4, &bad);
	str_copy(call->caller_name, sizeof(call->caller_name), name ? name : "");
	if (!bad)
		return;
	if (!*complaints)
		*complaints = json_object();
	json_object_set_new(*complaints, "caller_id", bad);
}

struct api_done *api_call_reply(struct api_req *req, int status, struct reply *reply)
{
	json_t *body;
	struct id id;

	if (!reply || reply->code != REPLY_OK || !reply->call)
		return api_fail_reply(req, reply);
	body = call_view_json(reply->call);
	id = reply->call->id;
	reply_free(reply);
	return status == 201 ? api_created(req, "/api/calls/", id, body)
			     : api_json(req, status, body);
}

static struct api_done *make_call_post(struct api_req *req, const struct make_call *call)
{
	struct command command = {
		.type = COMMAND_MAKE_CALL,
		.profile_id = call->profile,
		.body = xmemdup(call, sizeof(*call)),
	};

	return api_call_reply(req, 201, api_ask(req, &command));
}

static struct api_done *make_call(struct api_req *req)
{
	struct make_call call = { 0 };
	struct sip_profile profile = { 0 };
	json_t *complaints = NULL;
	struct api_done *no;

	api_id(req->body, "profile_id", true, &call.profile, &complaints);
	api_number(req->body, "to", true, call.to, &complaints);
	api_int(req->body, "ring_timeout_s", 1, 600, &call.ring_timeout_s, &complaints);
	api_int(req->body, "max_duration_s", 1, TALK_MAX_S, &call.max_duration_s, &complaints);
	api_bool(req->body, "record", &call.record, &complaints);
	call.mask = api_mask(req->body, "mask_dtmf", &complaints);
	take_caller(req->body, &call, &complaints);
	take_variables(req->body, call.variables, sizeof(call.variables), &complaints);
	api_connect(req, req->body, false, &call.connect, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	no = api_profile_get(req, call.profile, true, &profile);
	return no ?: make_call_post(req, &call);
}

/* ---- Live calls ---- */

static void live_call(struct jot *out, const struct reply *reply, unsigned i)
{
	jot_open(out, NULL, '{');
	call_view_jot(out, reply->calls[i]);
	jot_close(out, '}');
}

static struct api_done *calls_list(struct api_req *req)
{
	return api_list_live(req, COMMAND_CALLS, live_call);
}

/* ---- One call, live or ended ---- */

/* Agents see their own calls and those of their profiles. */
static struct api_done *may_see(struct api_req *req, const struct call_view *view)
{
	struct sip_profile profile = { 0 };
	int r;

	if (req->user->role != USER_AGENT || id_eq(view->user_id, req->user->id))
		return NULL;
	r = id_is_none(view->profile_id) ? DB_E_NONE
					 : profile_get(req->db, req->arena, req->user->tenant,
						       view->profile_id, &profile);
	if (r && r != DB_E_NONE)
		return api_fail(req, r);
	return !r && id_eq(profile.owner, req->user->id) ? NULL : api_forbidden(req);
}

/* From the log. Return: NULL with *ret_view (free() it), or the answer. */
static struct api_done *logged_call(struct api_req *req, struct id id, struct call_view **ret_view)
{
	struct call_view *view = NULL;
	struct api_done *no;
	int r = call_view_get(req->db, req->arena, req->user->tenant, id, &view);

	if (r)
		return api_fail(req, r);
	no = may_see(req, view);
	if (no) {
		free(view);
		return no;
	}
	*ret_view = view;
	return NULL;
}

static struct api_done *answer_logged(struct api_req *req, struct id id)
{
	struct call_view *view = NULL;
	struct api_done *no = logged_call(req, id, &view);
	json_t *body;

	if (no)
		return no;
	body = call_view_json(view);
	free(view);
	return api_json(req, 200, body);
}

static struct reply *ask_call(struct api_req *req, struct id id)
{
	return api_ask(req, &(struct command){ .type = COMMAND_CALL_GET, .call_id = id });
}

static struct api_done *call_read(struct api_req *req)
{
	struct reply *reply;
	struct id id;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	reply = ask_call(req, id);
	if (reply && reply->code == REPLY_NOT_FOUND) {
		reply_free(reply);
		return answer_logged(req, id);
	}
	return api_call_reply(req, 200, reply);
}

static json_t *timeline_json(const struct call_event_row *rows, size_t count)
{
	json_t *results = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *entry =
			json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s?}", "id", id_str(rows[i].id),
				  "type", rows[i].type, "seq", (json_int_t)rows[i].seq, "call_seq",
				  (json_int_t)rows[i].call_seq, "time", time_str(rows[i].time),
				  "call_id", id_str(rows[i].call_id), "state", rows[i].state);

		if (rows[i].detail)
			json_object_set(entry, "detail", rows[i].detail);
		else
			json_object_set_new(entry, "detail", json_null());
		json_array_append_new(results, entry);
	}
	return results;
}

static struct api_done *call_timeline(struct api_req *req)
{
	struct db_page_info info = { .number = 1 };
	struct call_event_row *rows = NULL;
	struct reply *reply;
	size_t count = 0;
	struct id id;
	int r;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	reply = ask_call(req, id);
	if (reply && reply->code == REPLY_NOT_FOUND) {
		struct call_view *view = NULL;
		struct api_done *no = logged_call(req, id, &view);

		reply_free(reply);
		if (no)
			return no;
		free(view);
	} else if (!reply || reply->code != REPLY_OK) {
		return api_fail_reply(req, reply);
	} else {
		reply_free(reply);
	}
	r = call_row_timeline(req->db, req->arena, req->user->tenant, id, &rows, &count);
	if (r)
		return api_fail(req, r);
	info.count = (int64_t)count;
	info.rows = count;
	return api_list(req, &info, timeline_json(rows, count));
}

/* ---- Control ---- */

/* What is not live may have ended already. */
struct api_done *api_call_not_live(struct api_req *req, struct id id, bool ended_is_fine)
{
	struct call_view *view = NULL;
	struct api_done *no = logged_call(req, id, &view);
	struct api_done *answer;

	if (no)
		return no;
	if (req->user->role == USER_SUPERVISOR && !id_eq(view->user_id, req->user->id))
		answer = api_forbidden(req);
	else if (ended_is_fine)
		answer = api_json(req, 200, call_view_json(view));
	else
		answer = api_wrong_state(req, "The call has ended.", "ended");
	free(view);
	return answer;
}

struct api_done *api_ask_live(struct api_req *req, struct command *command,
			      struct reply **ret_reply)
{
	struct id call_id = command->call_id;
	struct reply *reply = api_ask(req, command);

	if (reply && reply->code == REPLY_NOT_FOUND) {
		reply_free(reply);
		return api_call_not_live(req, call_id, false);
	}
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	*ret_reply = reply;
	return NULL;
}

static struct api_done *call_answer(struct api_req *req)
{
	struct command command = { .type = COMMAND_ANSWER_CALL };
	struct connect_spec connect;
	json_t *complaints = NULL;
	struct reply *reply = NULL;
	struct api_done *no;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_connect(req, req->body, true, &connect, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	command.body = xmemdup(&connect, sizeof(connect));
	no = api_ask_live(req, &command, &reply);
	return no ?: api_call_reply(req, 200, reply);
}

static const char *const hangup_reasons[] = { "normal", "busy", "declined", NULL };

static struct api_done *call_hangup(struct api_req *req)
{
	struct command command = { .type = COMMAND_HANGUP_CALL };
	json_t *complaints = NULL;
	struct reply *reply;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	api_id(req->body, "leg_id", false, &command.leg_id, &complaints);
	command.hangup_reason = (enum hangup_reason)api_word(req->body, "reason", hangup_reasons,
							     HANGUP_NORMAL, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	reply = api_ask(req, &command);
	if (reply && reply->code == REPLY_NOT_FOUND) {
		reply_free(reply);
		return api_call_not_live(req, command.call_id, true);
	}
	return api_call_reply(req, reply && reply->state ? 200 : 202, reply);
}

const struct api_route call_routes[] = {
	{ "POST", "/api/make-call/", "makeCall", make_call, SCOPE_CALLS_CONTROL, API_CREATES },
	{ "GET", "/api/calls/", "listCalls", calls_list, SCOPE_CALLS_READ, 0 },
	{ "GET", "/api/calls/{id}/", "getCall", call_read, SCOPE_CALLS_READ, 0 },
	{ "GET", "/api/calls/{id}/timeline/", "getCallTimeline", call_timeline, SCOPE_CALLS_READ,
	  0 },
	{ "POST", "/api/answer-call/", "answerCall", call_answer, SCOPE_CALLS_CONTROL, 0 },
	{ "POST", "/api/hangup-call/", "hangupCall", call_hangup, SCOPE_CALLS_CONTROL, 0 },
	{ 0 },
};
