/* A user's own SIP phones */
#include "api/private.h"

#include "store/profile_check.h"

/* [{...}, ...] of the call loop, in the order asked for; NULL when it says nothing. */
static json_t *ask_bindings(struct api_req *req, const struct device *rows, size_t count)
{
	struct command command = { .type = COMMAND_DEVICES, .id_count = (unsigned)count };
	struct reply *reply;
	json_t *bindings = NULL;

	if (!count)
		return NULL;
	command.ids = xzalloc_array(count, sizeof(*command.ids));
	for (size_t i = 0; i < count; i++)
		command.ids[i] = rows[i].id;
	reply = api_ask(req, &command);
	if (reply && reply->code == REPLY_OK && reply->text)
		bindings = json_loads(reply->text, 0, NULL);
	reply_free(reply);
	return bindings;
}

static json_t *device_json(const struct device *device, json_t *bindings)
{
	json_t *json = field_to_json(device_fields, device);

	if (!json_is_array(bindings))
		bindings = NULL;
	json_object_set_new(json, "registered",
			    json_boolean(bindings && json_array_size(bindings)));
	if (bindings)
		json_object_set(json, "bindings", bindings);
	else
		json_object_set_new(json, "bindings", json_array());
	return json;
}

static struct api_done *devices_list(struct api_req *req)
{
	struct device_filter filter = { 0 };
	struct db_page_info info;
	struct device *rows = NULL;
	json_t *complaints = NULL, *results, *bindings;
	struct api_done *no = api_page(req, &filter.page);
	int r;

	if (no)
		return no;
	filter.user = req->user->id;
	if (req->user->role != USER_AGENT && web_query(req->web, "user_id"))
		api_filter_id(req, "user_id", &filter.user, &complaints);
	filter.search = api_filter_text(req, "search", &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = device_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	bindings = ask_bindings(req, rows, info.rows);
	results = json_array();
	for (size_t i = 0; i < info.rows; i++)
		json_array_append_new(results, device_json(&rows[i], json_array_get(bindings, i)));
	json_decref(bindings);
	return api_list(req, &info, results);
}

static json_t *transports_json(const char *list)
{
	json_t *json = json_array();

	while (*list) {
		size_t len = strcspn(list, ",");

		json_array_append_new(json, json_stringn(list, len));
		list += len + (list[len] == ',');
	}
	return json;
}

/* What is typed into the phone. Listening everywhere there is no one address: the one this client came to will do. */
static json_t *server_json(struct api_req *req)
{
	const char *fixed = req->api->setup.sip_host;
	const char *asked = web_header(req->web, "Host");
	char host[256];
	size_t len;

	if (*fixed || !asked || !str_copy(host, sizeof(host), asked))
		return json_string(*fixed ? fixed : "");
	if (host[0] == '[') {
		len = strcspn(host + 1, "]");
		memmove(host, host + 1, len);
	} else {
		len = strcspn(host, ":");
	}
	host[len] = '\0';
	return json_string(profile_check_host(host) ? "" : host);
}

static struct api_done *device_create(struct api_req *req)
{
	struct device device = { .tenant_id = req->user->tenant, .user_id = req->user->id };
	json_t *complaints = field_from_json(device_fields, req->body, false, req->arena, &device);
	const struct api_setup *setup = &req->api->setup;
	struct command put = { .type = COMMAND_DEVICE_PUT, .asker = api_asker(req) };
	char password[DEVICE_PASSWORD_SIZE];
	json_t *json;
	int r;

	if (complaints)
		return api_invalid(req, complaints);
	r = device_insert(req->db, setup->seal, &device, req->arena, password);
	if (r)
		return api_fail(req, r);
	put.device_id = device.id;
	put.body = api_device_spec(setup->seal, &device);
	if (!put.body || !api_tell(req->api, &put)) {
		r = device_delete(req->db, req->user->tenant, device.id);
		seal_forget(password, sizeof(password));
		return r ? api_fail(req, r) : api_fail_reply(req, NULL);
	}
	json = device_json(&device, NULL);
	json_object_set_new(json, "password", json_string(password));
	json_object_set_new(json, "server", server_json(req));
	json_object_set_new(json, "port", json_integer(setup->sip_port));
	json_object_set_new(json, "transports", transports_json(setup->sip_transports));
	seal_forget(password, sizeof(password));
	return api_created(req, "/api/devices/", device.id, json);
}

static struct api_done *device_remove(struct api_req *req)
{
	struct command drop = { .type = COMMAND_DEVICE_DROP, .asker = api_asker(req) };
	struct device device = { 0 };
	int r;

	if (!id_parse(web_param(req->web, "id"), &drop.device_id))
		return api_not_found(req);
	r = device_get(req->db, req->arena, req->user->tenant, drop.device_id, &device);
	if (r)
		return api_fail(req, r);
	if (!id_eq(device.user_id, req->user->id) && req->user->role != USER_ADMIN)
		return api_forbidden(req);
	r = device_delete(req->db, req->user->tenant, device.id);
	if (r && r != DB_E_NONE)
		return api_fail(req, r);
	return api_tell(req->api, &drop) ? api_no_content(req) : api_fail_reply(req, NULL);
}

/* The answer to a POST holds the password, so it is not kept for an Idempotency-Key. */
const struct api_route device_routes[] = {
	{ "GET", "/api/devices/", "listDevices", devices_list, SCOPE_DEVICES, 0 },
	{ "POST", "/api/devices/", "createDevice", device_create, SCOPE_DEVICES, 0 },
	{ "DELETE", "/api/devices/{id}/", "deleteDevice", device_remove, SCOPE_DEVICES, 0 },
	{ 0 },
};
