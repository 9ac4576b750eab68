/* The ends of a handler. Each gives the web thread its answer and returns the one value that a handler may return. */
#include "api/private.h"

#include <stdio.h>

/* What a handler returns: never looked into. */
static struct api_done *done(void)
{
	static char token;

	return (struct api_done *)(void *)&token;
}

struct api_done *api_gone(struct api_req *req)
{
	(void)req;
	return done();
}

struct api_done *api_text(struct api_req *req, int status, const char *type, char *body, size_t len)
{
	web_answer(req->web, status, type, body, len);
	return done();
}

struct api_done *api_file(struct api_req *req, const struct web_file *file)
{
	web_answer_file(req->web, file);
	return done();
}

/* The first answer to an Idempotency-Key is kept; what a client may try again (429, 5xx) is not an answer. */
static void remember(struct api_req *req, int status, const char *body, const char *location)
{
	struct idempotency key = {
		.route = req->route->operation,
		.key = req->idempotency_key,
		.request_hash = req->request_hash,
	};
	int r;

	if (!req->idempotency_key)
		return;
	key.tenant = req->user->tenant;
	key.user = req->user->id;
	if (status == 429 || status >= 500)
		r = idempotency_drop(req->db, &key);
	else
		r = idempotency_finish(req->db, &key, status, body, location);
	if (r)
		log_rated(LOG_WARN_, "idempotency key could not be finished", LOG_INT("code", r));
}

static struct api_done *answer_json(struct api_req *req, int status, json_t *body,
				    const char *location)
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(JOT_DIGITS));

	json_decref(body);
	bug_on(!text);
	if (location)
		web_add_header(req->web, "Location", location);
	remember(req, status, text, location);
	return api_text(req, status, "application/json", text, strlen(text));
}

struct api_done *api_json(struct api_req *req, int status, json_t *body)
{
	return answer_json(req, status, body, NULL);
}

struct api_done *api_created(struct api_req *req, const char *path, struct id id, json_t *body)
{
	return answer_json(req, 201, body, arena_printf(req->arena, "%s%s/", path, id_str(id)));
}

struct api_done *api_ok(struct api_req *req, int status, const struct field *fields,
			const void *row)
{
	return api_json(req, status, field_to_json(fields, row));
}

struct api_done *api_no_content(struct api_req *req)
{
	remember(req, 204, NULL, NULL);
	return api_text(req, 204, NULL, NULL, 0);
}

/* The usual sentence of each stable code */
static const struct {
	const char *code, *detail;
} sentences[] = {
	{ "authentication_failed", "Incorrect authentication credentials." },
	{ "call_held", "The call is on hold." },
	{ "database_away", "The database cannot be reached just now." },
	{ "draining", "The server is shutting down and takes no new calls." },
	{ "destination_not_allowed", "This destination is not allowed." },
	{ "engine_busy", "The call engine did not answer in time." },
	{ "error", "A server error occurred." },
	{ "idempotency_key_reused", "This Idempotency-Key was used for another request." },
	{ "idempotency_running",
	  "The first request with this Idempotency-Key is still being worked on." },
	{ "invalid_credentials", "No active account has this email and password." },
	{ "last_admin", "The organisation would be left without an administrator." },
	{ "legal_hold", "This recording is under a legal hold." },
	{ "limit", "A limit was reached." },
	{ "no_device", "None of your phones is registered." },
	{ "no_space", "There is no room to store this." },
	{ "not_authenticated", "Authentication credentials were not provided. Send the header "
			       "'Authorization: Bearer ACCESS-TOKEN'." },
	{ "not_found", "Not found." },
	{ "not_supported", "This is not supported." },
	{ "overloaded", "The server is busy. Try again in a moment." },
	{ "permission_denied", "You do not have permission to perform this action." },
	{ "profile_exists", "A profile for this server and username exists already." },
	{ "profile_in_use", "Calls are up on this profile. Use force=true to hang them up." },
	{ "profile_not_usable", "This profile cannot make calls now." },
	{ "recording_not_allowed",
	  "This profile says that its calls are never recorded; set its record to on_demand to allow it." },
	{ "signup_closed",
	  "Sign-up is closed on this server. Ask an administrator for an account." },
	{ "speech_failed", "The text could not be spoken. Try again later." },
	{ "token_not_valid", "The token is invalid or expired. Refresh it or log in again." },
	{ "too_many_attempts", "Too many attempts. Try again later." },
	{ "user_in_use", "Something still belongs to this user." },
	{ "wrong_state", "This is not possible in the present state." },
};

static const char *sentence(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(sentences); i++)
		if (str_eq(sentences[i].code, code))
			return sentences[i].detail;
	return code;
}

struct api_done *api_error_detail(struct api_req *req, int status, const char *code,
				  const char *detail)
{
	return api_json(req, status, json_pack("{s:s, s:s}", "detail", detail, "code", code));
}

struct api_done *api_error(struct api_req *req, int status, const char *code)
{
	return api_error_detail(req, status, code, sentence(code));
}

static void retry_after(struct api_req *req, int seconds)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", seconds > 0 ? seconds : 1);
	web_add_header(req->web, "Retry-After", text);
}

struct api_done *api_too_many(struct api_req *req, const char *code, int retry_after_s)
{
	retry_after(req, retry_after_s);
	return api_error(req, 429, code);
}

struct api_done *api_invalid(struct api_req *req, json_t *complaints)
{
	return api_json(req, 400, complaints);
}

struct api_done *api_invalid_field(struct api_req *req, const char *field, const char *message)
{
	json_t *complaints = NULL;

	field_complain(&complaints, field, message);
	return api_invalid(req, complaints);
}

struct api_done *api_not_found(struct api_req *req)
{
	return api_error(req, 404, "not_found");
}

struct api_done *api_forbidden(struct api_req *req)
{
	return api_error(req, 403, "permission_denied");
}

struct api_done *api_unauthorized(struct api_req *req, const char *code)
{
	web_add_header(req->web, "WWW-Authenticate", "Bearer realm=\"jackfield\"");
	return api_error(req, 401, code);
}

static struct api_done *api_unavailable(struct api_req *req, const char *code)
{
	retry_after(req, 1);
	return api_error(req, 503, code);
}

struct api_done *api_fail(struct api_req *req, int r)
{
	switch (r) {
	case DB_E_NONE:
		return api_not_found(req);
	case DB_PAGE_E_RANGE:
		return api_error_detail(req, 404, "invalid_page", "Invalid page.");
	case DB_QUERY_E_TOO_MUCH:
		return api_invalid_field(req, "non_field_errors", "Too many filter values.");
	case DB_E_AWAY:
		log_rated(LOG_WARN_, "database away", LOG_STR("operation", req->route->operation),
			  LOG_STR("reason", db_reason(req->db)));
		return api_unavailable(req, "database_away");
	case DB_E_BUSY:
		return api_unavailable(req, "overloaded");
	default:
		log_error("request failed", LOG_STR("operation", req->route->operation),
			  LOG_INT("code", r), LOG_ID("request", web_request_id(req->web)));
		return api_error(req, 500, "error");
	}
}

static struct api_done *reply_error(struct api_req *req, int status, const char *code,
				    const struct reply *reply)
{
	if (reply->retry_after_s || status == 429 || status == 503)
		retry_after(req, reply->retry_after_s);
	return api_error_detail(req, status, code,
				reply->detail[0] ? reply->detail : sentence(code));
}

struct api_done *api_wrong_state(struct api_req *req, const char *detail, const char *state)
{
	return api_json(req, 409,
			json_pack("{s:s, s:s, s:s?}", "detail", detail ?: sentence("wrong_state"),
				  "code", "wrong_state", "state", state));
}

static struct api_done *reply_answer(struct api_req *req, const struct reply *reply)
{
	switch (reply->code) {
	case REPLY_NOT_FOUND:
		return reply_error(req, 404, "not_found", reply);
	case REPLY_FORBIDDEN:
		return reply_error(req, 403, "permission_denied", reply);
	case REPLY_NO_DEVICE:
		return reply_error(req, 409, "no_device", reply);
	case REPLY_PROFILE_NOT_USABLE:
		return reply_error(req, 409, "profile_not_usable", reply);
	case REPLY_PROFILE_IN_USE:
		return reply_error(req, 409, "profile_in_use", reply);
	case REPLY_WRONG_STATE:
		return api_wrong_state(req, reply->detail[0] ? reply->detail : NULL, reply->state);
	case REPLY_CALL_HELD:
		return reply_error(req, 409, "call_held", reply);
	case REPLY_DESTINATION:
		return reply_error(req, 403, "destination_not_allowed", reply);
	case REPLY_NO_RECORDING:
		return reply_error(req, 403, "recording_not_allowed", reply);
	case REPLY_LIMIT:
		return reply_error(req, 429, "limit", reply);
	case REPLY_INVALID:
		return api_invalid_field(req, reply->field[0] ? reply->field : "non_field_errors",
					 reply->detail[0] ? reply->detail : "Invalid value.");
	case REPLY_ROOM_EXISTS:
		return reply_error(req, 409, "room_exists", reply);
	case REPLY_ROOM_LOCKED:
		return reply_error(req, 409, "room_locked", reply);
	case REPLY_ROOM_FULL:
		return reply_error(req, 409, "room_full", reply);
	case REPLY_WRONG_PIN:
		return reply_error(req, 403, "wrong_pin", reply);
	case REPLY_UNSUPPORTED:
		return reply_error(req, 409, "not_supported", reply);
	case REPLY_DRAINING:
		return reply_error(req, 503, "draining", reply);
	case REPLY_OK:
	case REPLY_FAILED:
		break;
	}
	log_error("the call loop failed a command", LOG_STR("operation", req->route->operation),
		  LOG_STR("detail", reply->detail), LOG_ID("request", web_request_id(req->web)));
	return api_error(req, 500, "error");
}

struct api_done *api_fail_reply(struct api_req *req, struct reply *reply)
{
	struct api_done *answer;

	if (!reply)
		return api_unavailable(req, "engine_busy");
	answer = reply_answer(req, reply);
	reply_free(reply);
	return answer;
}
