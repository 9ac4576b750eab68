/* Live monitoring (API.md section 7)
 *
 * A request to monitor is in the audit before anything rings: no supervision without a trace, whatever happens then. What
 * comes of it the journal writes.
 */
#include "api/private.h"

#include "event/view_row.h"

/* ---- which calls there are, and who is on them ---- */

static void call_jot(struct jot *out, const struct reply *reply, unsigned i)
{
	jot_open(out, NULL, '{');
	call_view_jot(out, reply->calls[i]);
	jot_open(out, "monitors", '[');
	for (unsigned m = 0; m < reply->monitor_count; m++) {
		json_t *json;

		if (!id_eq(reply->monitors[m]->call_id, reply->calls[i]->id))
			continue;
		json = monitor_view_json(reply->monitors[m]);
		jot_json(out, NULL, json);
		json_decref(json);
	}
	jot_close(out, ']');
	jot_close(out, '}');
}

static struct api_done *monitoring_list(struct api_req *req)
{
	struct command command = { .type = COMMAND_MONITOR_CALLS };
	struct monitor_filter filter = { 0 };
	json_t *complaints = NULL;
	int state, direction;

	filter.profile_count =
		api_filter_ids(req, "profile_id", MONITOR_FILTER_IDS, filter.profiles, &complaints);
	api_filter_id(req, "user_id", &filter.user, &complaints);
	state = api_filter_word(req, "state", call_state_names, &complaints);
	direction = api_filter_word(req, "direction", call_direction_names, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	filter.has_state = state >= 0;
	filter.has_direction = direction >= 0;
	filter.state = (enum call_state)(state >= 0 ? state : 0);
	filter.direction = (enum call_direction)(direction >= 0 ? direction : 0);
	command.body = xmemdup(&filter, sizeof(filter));
	return api_list_live_of(req, &command, call_jot);
}

/* ---- one ---- */

static struct reply *ask(struct api_req *req, const struct monitor_wish *wish)
{
	struct command command = { .type = COMMAND_MONITOR, .body = xmemdup(wish, sizeof(*wish)) };

	return api_ask(req, &command);
}

static struct api_done *answer(struct api_req *req, int status, struct reply *reply)
{
	json_t *body;
	struct id id;

	if (!reply || reply->code != REPLY_OK || !reply->monitor)
		return api_fail_reply(req, reply);
	body = monitor_view_json(reply->monitor);
	id = reply->monitor->id;
	reply_free(reply);
	return status == 201 ? api_created(req, "/api/live-monitoring/", id, body)
			     : api_json(req, status, body);
}

enum aim { TO_SEE, TO_CHANGE, TO_LEAVE };

/* It is not live any more, or never was: its row is shown, cannot be changed, and has been left already. */
static struct api_done *answer_ended(struct api_req *req, struct id id, enum aim aim)
{
	struct monitor_row row;
	struct monitor_view *view;
	struct api_done *done;
	int r = monitor_get(req->db, req->arena, req->user->tenant, id, &row);

	if (r)
		return api_fail(req, r);
	if (aim != TO_SEE && req->user->role != USER_ADMIN && !id_eq(row.user_id, req->user->id))
		return api_forbidden(req);
	if (aim == TO_LEAVE)
		return api_no_content(req);
	if (aim == TO_CHANGE)
		return api_wrong_state(req, "It has ended.", "ended");
	view = monitor_view_of_row(&row);
	done = api_json(req, 200, monitor_view_json(view));
	free(view);
	return done;
}

static bool is_missing(struct reply *reply)
{
	if (!reply || reply->code != REPLY_NOT_FOUND)
		return false;
	reply_free(reply);
	return true;
}

static struct api_done *monitor_read(struct api_req *req)
{
	struct monitor_wish wish = { .action = MONITOR_GET };
	struct reply *reply;

	if (!id_parse(web_param(req->web, "id"), &wish.monitor))
		return api_not_found(req);
	reply = ask(req, &wish);
	return is_missing(reply) ? answer_ended(req, wish.monitor, TO_SEE)
				 : answer(req, 200, reply);
}

/* ---- starting, changing, leaving ---- */

static bool is_given(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	return value && !json_is_null(value);
}

static void take_change(struct api_req *req, struct monitor_wish *wish, json_t **complaints)
{
	const json_t *body = req->body;

	wish->has_mode = is_given(body, "mode");
	wish->mode = (enum monitor_mode)api_word(body, "mode", monitor_mode_names, 0, complaints);
	wish->has_muted = is_given(body, "muted");
	api_bool(body, "muted", &wish->muted, complaints);
	wish->has_beep = is_given(body, "beep");
	api_bool(body, "beep", &wish->beep, complaints);
	wish->has_target = json_object_get(body, "target_leg") != NULL; /* null: our side again */
	api_id(body, "target_leg", false, &wish->target, complaints);
	(void)str_copy(wish->client_addr, sizeof(wish->client_addr), web_peer(req->web));
}

static void take_what(const json_t *body, struct monitor_wish *wish, json_t **complaints)
{
	bool call = is_given(body, "call_id"), room = is_given(body, "room");

	if (call == room) {
		field_complain(complaints, "call_id",
			       call ? "Either call_id or room." : "This field is required.");
		return;
	}
	if (call)
		api_id(body, "call_id", true, &wish->call, complaints);
	else
		api_room(body, "room", wish->room, complaints);
}

/* Not in anybody's transaction: it is to be there before the call loop hears of the wish. */
static int audit_request(struct api_req *req, const struct monitor_wish *wish)
{
	json_t *detail = json_pack("{s:s?, s:s?, s:s, s:b}", "call_id",
				   wish->room[0] ? NULL : id_str(wish->call), "room",
				   wish->room[0] ? wish->room : NULL, "mode",
				   monitor_mode_names[wish->mode], "muted", wish->muted);
	int r = api_audit(req, req->db, "monitor.requested", "monitor", wish->monitor, detail);

	return r < 0 ? err_pass(r) : r;
}

static struct api_done *monitor_start(struct api_req *req)
{
	struct monitor_wish *wish = arena_alloc(req->arena, sizeof(*wish));
	json_t *complaints = NULL;
	struct reply *reply;
	int r;

	*wish = (struct monitor_wish){ .action = MONITOR_START, .monitor = id_new() };
	take_what(req->body, wish, &complaints);
	take_change(req, wish, &complaints);
	api_required(req->body, "mode", &complaints);
	api_bool(req->body, "follow_agent", &wish->follow_agent, &complaints);
	api_connect(req, req->body, false, &wish->connect, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = audit_request(req, wish);
	if (r)
		return api_fail(req, r);
	reply = ask(req, wish);
	if (!wish->room[0] && is_missing(reply))
		return api_call_not_live(req, wish->call, false);
	return answer(req, 201, reply);
}

static struct api_done *monitor_change(struct api_req *req)
{
	struct monitor_wish wish = { .action = MONITOR_CHANGE };
	json_t *complaints = NULL;
	struct reply *reply;

	if (!id_parse(web_param(req->web, "id"), &wish.monitor))
		return api_not_found(req);
	take_change(req, &wish, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	reply = ask(req, &wish);
	return is_missing(reply) ? answer_ended(req, wish.monitor, TO_CHANGE)
				 : answer(req, 200, reply);
}

/* Leaving what has ended is fine, and does nothing. */
static struct api_done *monitor_leave(struct api_req *req)
{
	struct monitor_wish wish = { .action = MONITOR_STOP };
	struct reply *reply;

	if (!id_parse(web_param(req->web, "id"), &wish.monitor))
		return api_not_found(req);
	(void)str_copy(wish.client_addr, sizeof(wish.client_addr), web_peer(req->web));
	reply = ask(req, &wish);
	if (is_missing(reply))
		return answer_ended(req, wish.monitor, TO_LEAVE);
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	reply_free(reply);
	return api_no_content(req);
}

const struct api_route monitoring_routes[] = {
	{ "GET", "/api/live-monitoring/", "listMonitoredCalls", monitoring_list, SCOPE_MONITOR, 0 },
	{ "POST", "/api/live-monitoring/", "startMonitor", monitor_start, SCOPE_MONITOR,
	  API_CREATES },
	{ "GET", "/api/live-monitoring/{id}/", "getMonitor", monitor_read, SCOPE_MONITOR, 0 },
	{ "PATCH", "/api/live-monitoring/{id}/", "changeMonitor", monitor_change, SCOPE_MONITOR,
	  0 },
	{ "DELETE", "/api/live-monitoring/{id}/", "stopMonitor", monitor_leave, SCOPE_MONITOR, 0 },
	{ 0 },
};
