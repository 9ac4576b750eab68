/* The log: every call that has ended, filtered and in pages */
#include "api/private.h"

#include "event/view_row.h"

#include <stdio.h>

/* The word that the `status` filter knows a call by. */
static const char *call_status(const struct call_view *view)
{
	if (view->answered_at)
		return "answered";
	if (view->end_reason == END_NONE)
		return NULL;
	if (view->direction == CALL_INCOMING)
		return "missed";
	switch (view->end_reason) {
	case END_BUSY:
	case END_DECLINED:
		return "busy";
	case END_NO_ANSWER:
	case END_TIMEOUT:
		return "no_answer";
	case END_CANCELED:
		return "canceled";
	case END_NONE:
	case END_COMPLETED:
	case END_NOT_FOUND:
	case END_UNAVAILABLE:
	case END_MEDIA_FAILED:
	case END_AUTH_FAILED:
	case END_TRUNK_FAILED:
	case END_INTERRUPTED:
		break;
	}
	return "failed";
}

static void log_jot(struct jot *out, const struct call_view *view)
{
	const char *status = call_status(view);

	jot_open(out, NULL, '{');
	call_view_jot(out, view);
	jot_word(out, "status", status ? status : "");
	jot_time(out, "started_at", view->created_at);
	jot_close(out, '}');
}

static void filter_words(struct api_req *req, struct call_filter *filter, json_t **complaints)
{
	const char *types = web_query(req->web, "type"), *statuses = web_query(req->web, "status");

	if (types && *types && !call_type_parse(types, &filter->types))
		field_complain(
			complaints, "type",
			"Select among incoming, outgoing, internal, conference, recorded, with commas.");
	if (statuses && *statuses && !call_status_parse(statuses, &filter->statuses))
		field_complain(
			complaints, "status",
			"Select among answered, missed, no_answer, busy, canceled, failed, with commas.");
}

static void filter_take(struct api_req *req, struct call_filter *filter, json_t **complaints)
{
	filter_words(req, filter, complaints);
	filter->profile_count =
		api_filter_ids(req, "profile_id", CALL_FILTER_IDS, filter->profiles, complaints);
	api_filter_id(req, "user_id", &filter->user, complaints);
	api_filter_time(req, "started_after", &filter->started_after, complaints);
	api_filter_time(req, "started_before", &filter->started_before, complaints);
	api_filter_int(req, "min_talk_s", 0, INT32_MAX, &filter->min_talk_s, complaints);
	filter->from = api_filter_text(req, "from", complaints);
	filter->to = api_filter_text(req, "to", complaints);
	filter->search = api_filter_text(req, "search", complaints);
	if (req->user->role == USER_AGENT)
		filter->visible_to = req->user->id;
}

static struct api_done *call_logs(struct api_req *req)
{
	struct call_filter filter = { 0 };
	struct db_page_info info;
	struct call_view **views = NULL;
	struct api_list_out list;
	json_t *complaints = NULL;
	struct api_done *no = api_page(req, &filter.page);
	int r;

	if (no)
		return no;
	filter_take(req, &filter, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = call_view_list(req->db, req->arena, req->user->tenant, &filter, &views, &info);
	if (r)
		return api_fail(req, r);
	api_list_begin(req, &info, &list);
	for (size_t i = 0; i < info.rows; i++) {
		log_jot(&list.rows, views[i]);
		free(views[i]);
	}
	return api_list_end(req, &list);
}

const struct api_route call_log_routes[] = {
	{ "GET", "/api/call-logs/", "listCallLogs", call_logs, SCOPE_REPORTS_READ, 0 },
	{ 0 },
};
