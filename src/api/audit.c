/* The audit: what is written into it of requests, and its reading */
#include "api/private.h"

int api_audit(struct api_req *req, struct db *db, const char *action, const char *object,
	      struct id object_id, json_t *detail)
{
	struct audit entry = {
		.tenant_id = req->user->tenant,
		.user_id = req->user->id,
		.action = action,
		.object = object,
		.object_id = object_id,
		.client_addr = web_peer(req->web),
		.detail = detail,
	};
	int r = audit_insert(db, &entry, req->arena);

	json_decref(detail);
	return r < 0 ? err_pass(r) : r;
}

static struct api_done *audit_read(struct api_req *req)
{
	struct audit_filter filter = { 0 };
	struct audit *rows = NULL;
	struct db_page_info info;
	json_t *complaints = NULL, *results;
	struct api_done *no = api_page(req, &filter.page);
	int r;

	if (no)
		return no;
	api_filter_id(req, "user_id", &filter.user, &complaints);
	api_filter_id(req, "object_id", &filter.object, &complaints);
	filter.action = api_filter_text(req, "action", &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = audit_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	results = json_array();
	for (size_t i = 0; i < info.rows; i++)
		json_array_append_new(results, field_to_json(audit_fields, &rows[i]));
	return api_list(req, &info, results);
}

const struct api_route audit_routes[] = {
	{ "GET", "/api/audit/", "listAudit", audit_read, SCOPE_ADMIN, 0 },
	{ 0 },
};
