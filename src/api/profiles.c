/* SIP profiles: accounts at providers and trunks. The row is the truth; the call loop is told of every change inside
 * the transaction that makes it, so that it learns of two changes in the order in which they were stored.
 */
#include "api/profiles.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define STATE_FILTER_MAX 10000 /* profiles of a tenant that a filter by live state looks through */
#define DEFAULT_MAX_CALLS 10

/* ---- Registrations, from the call loop ---- */

/* Of a profile that the call loop does not know (yet). Return: to be free()d. */
static struct registration_view *registration_unknown(const struct sip_profile *profile)
{
	struct registration_view *view = registration_view_new(0);

	view->profile_id = profile->id;
	view->state = profile->register_ && profile->enabled ? REG_REGISTERING : REG_DISABLED;
	return view;
}

json_t *registration_json(const struct sip_profile *profile, const struct registration_view *view)
{
	auto_(free) struct registration_view *made = view ? NULL : registration_unknown(profile);

	return registration_view_json(view ? view : made, true);
}

static void registration_jot(struct jot *out, const struct sip_profile *profile,
			     const struct registration_view *view)
{
	auto_(free) struct registration_view *made = view ? NULL : registration_unknown(profile);

	registration_view_jot(out, view ? view : made, true);
}

struct reply *registrations_ask(struct api_req *req, const struct id *ids, unsigned count)
{
	struct command command = {
		.type = COMMAND_REGISTRATIONS,
		.ids = (struct id *)(void *)xmemdup(ids, count * sizeof(*ids)),
		.id_count = count,
	};

	return api_ask(req, &command);
}

static json_t *profile_json(const struct sip_profile *profile,
			    const struct registration_view *registration)
{
	json_t *json = profile_to_json(profile);

	json_object_set_new(json, "registration", registration_json(profile, registration));
	return json;
}

const struct registration_view *registrations_at(const struct reply *reply, unsigned index)
{
	return reply && reply->code == REPLY_OK && index < reply->count
		       ? reply->registrations[index]
		       : NULL;
}

/* One profile with what the call loop says of it now. */
static json_t *profile_live_json(struct api_req *req, const struct sip_profile *profile)
{
	struct reply *reply = registrations_ask(req, &profile->id, 1);
	json_t *json = profile_json(profile, registrations_at(reply, 0));

	reply_free(reply);
	return json;
}

/* ---- Who may ---- */

static bool may_touch(const struct api_req *req, const struct sip_profile *profile, bool to_change)
{
	if (req->user->role == USER_ADMIN || id_eq(profile->owner, req->user->id))
		return true;
	return req->user->role == USER_SUPERVISOR && !to_change;
}

struct api_done *api_profile_get(struct api_req *req, struct id id, bool to_change,
				 struct sip_profile *ret)
{
	int r = profile_get(req->db, req->arena, req->user->tenant, id, ret);

	if (r == DB_E_NONE)
		return api_error_detail(req, 404, "not_found",
					"There is no such profile. GET /api/list-sip-profiles/ has "
					"those you may use.");
	if (r)
		return api_fail(req, r);
	return may_touch(req, ret, to_change) ? NULL : api_forbidden(req);
}

static struct api_done *path_profile(struct api_req *req, bool to_change, struct sip_profile *ret)
{
	struct id id;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	return api_profile_get(req, id, to_change, ret);
}

/* ---- Bodies ---- */

/* The host of "host", "host:port", "[v6]:port", "sip:host;lr" */
static const char *proxy_host(struct api_req *req, const char *proxy)
{
	const char *host = proxy, *at;
	size_t len;

	if (strncasecmp(host, "sip:", 4) == 0 || strncasecmp(host, "sips:", 5) == 0)
		host = strchr(host, ':') + 1;
	at = strchr(host, '@');
	if (at)
		host = at + 1;
	if (*host == '[')
		len = strcspn(host, "]") + 1;
	else if (strchr(host, ':') && strchr(strchr(host, ':') + 1, ':'))
		len = strcspn(host, ";"); /* an IPv6 address as it is */
	else
		len = strcspn(host, ":;");
	return arena_strndup(req->arena, host, len <= strlen(host) ? len : strlen(host));
}

static void check_servers(struct api_req *req, const struct sip_profile *profile,
			  json_t **complaints)
{
	const char *complaint =
		profile->server ? api_server_complaint(req->api, profile->server) : NULL;

	if (complaint && !json_object_get(*complaints, "server"))
		field_complain(complaints, "server", complaint);
	if (!profile->outbound_proxy || json_object_get(*complaints, "outbound_proxy"))
		return;
	complaint = api_server_complaint(req->api, proxy_host(req, profile->outbound_proxy));
	if (complaint)
		field_complain(complaints, "outbound_proxy", complaint);
}

static void check_max_calls(struct api_req *req, const struct sip_profile *profile, int before,
			    json_t **complaints)
{
	int most = req->user->role == USER_ADMIN ? req->api->setup.profile_max_calls
						 : DEFAULT_MAX_CALLS;
	char message[80];

	if (most < before)
		most = before; /* what an admin allowed stays allowed */
	if (profile->max_calls <= most)
		return;
	snprintf(message, sizeof(message), "Ensure this value is less than or equal to %d.", most);
	field_complain(complaints, "max_calls", message);
}

static bool user_exists(struct db *db, struct api_req *req, struct id id)
{
	struct user user = { 0 };

	return user_get(db, req->arena, req->user->tenant, id, &user) == 0;
}

/* Where incoming calls go must be in the tenant, and other profiles ones that the asker may use. */
static void check_incoming(struct db *db, struct api_req *req, const struct sip_profile *profile,
			   json_t **complaints)
{
	struct sip_profile other = { 0 };
	bool good = true;

	if (json_object_get(*complaints, "incoming") || id_is_none(profile->incoming_id))
		return;
	if (profile->incoming_type == PROFILE_INCOMING_USER)
		good = user_exists(db, req, profile->incoming_id);
	else if (profile->incoming_type == PROFILE_INCOMING_NUMBER)
		good = profile_get(db, req->arena, req->user->tenant, profile->incoming_id,
				   &other) == 0 &&
		       may_touch(req, &other, true);
	if (!good)
		field_complain(complaints, "incoming",
			       profile->incoming_type == PROFILE_INCOMING_USER
				       ? "There is no such user."
				       : "There is no such profile.");
}

static void check_music(struct db *db, struct api_req *req, const struct sip_profile *profile,
			struct id before, json_t **complaints)
{
	struct prompt prompt = { 0 };

	if (id_is_none(profile->hold_music) || id_eq(profile->hold_music, before) ||
	    json_object_get(*complaints, "hold_music"))
		return;
	if (prompt_get(db, req->arena, req->user->tenant, profile->hold_music, &prompt) != 0)
		field_complain(complaints, "hold_music", "There is no such prompt.");
}

/* Admins give profiles to others; everybody else's are their own. An id that is none of ours says nothing about
 * anybody: another tenant's users are as unknown as those that never were.
 */
static void check_owner(struct db *db, struct api_req *req, const struct sip_profile *profile,
			struct id before, json_t **complaints)
{
	if (id_eq(profile->owner, before) || json_object_get(*complaints, "owner"))
		return;
	if (req->user->role != USER_ADMIN)
		field_complain(complaints, "owner", "Only administrators give profiles to others.");
	else if (id_is_none(profile->owner) || !user_exists(db, req, profile->owner))
		field_complain(complaints, "owner", "There is no such user.");
}

json_t *profile_take(struct db *db, struct api_req *req, bool partial, struct sip_profile *profile)
{
	struct id owner = profile->owner, music = profile->hold_music;
	int max_calls = profile->max_calls;
	json_t *complaints = profile_from_json(req->body, partial, req->arena, profile);

	check_owner(db, req, profile, owner, &complaints);
	check_servers(req, profile, &complaints);
	if (!json_object_get(complaints, "max_calls"))
		check_max_calls(req, profile, partial ? max_calls : 0, &complaints);
	check_incoming(db, req, profile, &complaints);
	check_music(db, req, profile, music, &complaints);
	return complaints;
}

/* ---- Changes ---- */

static int tell_profile(struct profile_change *change)
{
	struct api_req *req = change->req;
	struct command put = {
		.type = COMMAND_PROFILE_PUT,
		.asker = api_asker(req),
		.profile_id = change->profile.id,
		.body = api_line_spec(req->api->setup.seal, &change->profile),
	};

	if (!put.body) {
		log_error("a stored secret does not open: is the key file the right one?",
			  LOG_ID("profile", change->profile.id));
		return err_new(5);
	}
	change->busy = !api_tell(req->api, &put);
	change->told = !change->busy;
	return change->busy ? DB_E_AWAY : 0; /* any outcome that rolls back */
}

static int profile_change(struct db *db, void *arg)
{
	struct profile_change *change = arg;
	struct api_req *req = change->req;
	int r = 0;

	if (change->create) {
		change->profile = profile_defaults;
		change->profile.id =
			change->id; /* the same when a busy database makes us try again */
		change->profile.tenant_id = req->user->tenant;
		change->profile.owner = req->user->id;
	} else {
		r = profile_get_locked(db, req->arena, req->user->tenant, change->id,
				       &change->profile);
		if (r)
			return r;
		change->forbidden = !may_touch(req, &change->profile, true);
		if (change->forbidden)
			return 0;
	}
	json_decref(change->complaints);
	change->complaints = change->take_body(db, req, &change->profile);
	if (change->complaints)
		return 0;
	r = change->create ? profile_insert(db, req->api->setup.seal, &change->profile, req->arena)
			   : profile_update(db, req->api->setup.seal, &change->profile, req->arena);
	return r ? r : tell_profile(change);
}

struct api_done *profile_change_run(struct profile_change *change)
{
	struct api_req *req = change->req;
	int r;

	if (change->create)
		change->id = id_new();
	r = db_transact(req->db, profile_change, change);
	if (r && change->told && change->create) {
		struct command drop = {
			.type = COMMAND_PROFILE_DROP,
			.asker = api_asker(req),
			.profile_id = change->id,
			.force = true,
		};

		(void)!api_tell(req->api, &drop); /* it was told of what was then not stored */
	}
	if (!r && change->forbidden)
		return api_forbidden(req);
	if (!r && change->complaints)
		return api_invalid(req, change->complaints);
	if (!r)
		return NULL;
	json_decref(change->complaints);
	if (change->busy)
		return api_fail_reply(req, NULL);
	if (r == PROFILE_E_EXISTS)
		return api_error(req, 409, "profile_exists");
	if (r == PROFILE_E_OWNER)
		return api_invalid_field(req, "owner", "There is no such user.");
	return api_fail(req, r);
}

json_t *profile_take_new(struct db *db, struct api_req *req, struct sip_profile *profile)
{
	return profile_take(db, req, false, profile);
}

static json_t *take_patch(struct db *db, struct api_req *req, struct sip_profile *profile)
{
	return profile_take(db, req, true, profile);
}

static json_t *take_caller(struct db *db, struct api_req *req, struct sip_profile *profile)
{
	(void)db;
	return profile_caller_from_json(req->body, req->arena, profile);
}

/* ---- Routes ---- */

static struct api_done *profile_add(struct api_req *req)
{
	struct profile_change change = { .req = req,
					 .create = true,
					 .take_body = profile_take_new };
	struct api_done *no = profile_change_run(&change);

	return no
		       ?: api_created(req, "/api/sip-profiles/", change.profile.id,
				      profile_live_json(req, &change.profile));
}

static struct api_done *profile_read(struct api_req *req)
{
	struct sip_profile profile = { 0 };
	struct api_done *no = path_profile(req, false, &profile);

	return no ?: api_json(req, 200, profile_live_json(req, &profile));
}

static struct api_done *profile_patch(struct api_req *req)
{
	struct profile_change change = { .req = req, .take_body = take_patch };
	struct api_done *no;

	if (!id_parse(web_param(req->web, "id"), &change.id))
		return api_not_found(req);
	no = profile_change_run(&change);
	return no ?: api_json(req, 200, profile_live_json(req, &change.profile));
}

static struct api_done *caller_id_set(struct api_req *req)
{
	struct profile_change change = { .req = req, .take_body = take_caller };
	json_t *complaints = NULL;
	struct api_done *no;

	if (!api_id(req->body, "profile_id", true, &change.id, &complaints))
		return api_invalid(req, complaints);
	if (!json_object_get(req->body, "number"))
		return api_invalid_field(req, "number", "This field is required.");
	no = profile_change_run(&change);
	return no ?: api_json(req, 200, profile_live_json(req, &change.profile));
}

static struct api_done *profile_remove(struct api_req *req, struct id id, bool force)
{
	struct command drop = { .type = COMMAND_PROFILE_DROP, .profile_id = id, .force = force };
	struct sip_profile profile = { 0 };
	struct api_done *no = api_profile_get(req, id, true, &profile);
	struct reply *reply;
	int r;

	if (no)
		return no;
	reply = api_ask(req, &drop);
	if (!reply || (reply->code != REPLY_OK && reply->code != REPLY_NOT_FOUND))
		return api_fail_reply(req, reply);
	reply_free(reply);
	r = profile_delete(req->db, req->user->tenant, id);
	return r && r != DB_E_NONE ? api_fail(req, r) : api_no_content(req);
}

static bool query_flag(struct api_req *req, const char *name)
{
	const char *text = web_query(req->web, name);

	return text && (str_eq_nocase(text, "true") || str_eq(text, "1"));
}

static struct api_done *profile_delete_by_path(struct api_req *req)
{
	bool force = query_flag(req, "force");
	json_t *complaints = NULL;
	struct id id;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	api_bool(req->body, "force", &force, &complaints);
	return complaints ? api_invalid(req, complaints) : profile_remove(req, id, force);
}

/* Proxies drop the bodies of DELETEs, so the id may come in the query. */
static struct api_done *profile_delete_by_name(struct api_req *req)
{
	bool force = query_flag(req, "force"), found = false;
	json_t *complaints = NULL;
	struct id id = ID_NONE;

	if (web_query(req->web, "profile_id")) {
		api_filter_id(req, "profile_id", &id, &complaints);
		found = !id_is_none(id);
	} else {
		found = api_id(req->body, "profile_id", true, &id, &complaints);
	}
	api_bool(req->body, "force", &force, &complaints);
	if (!complaints && !found)
		field_complain(&complaints, "profile_id", "Must be a valid UUID.");
	return complaints ? api_invalid(req, complaints) : profile_remove(req, id, force);
}

/* ---- The list ---- */

/* Which of all the profiles are in this state now. Return: NULL, or the answer when the call loop gave none. */
static struct api_done *ids_in_state(struct api_req *req, struct id owner, int state,
				     struct id **ret_ids, unsigned *ret_count)
{
	struct id *ids = NULL;
	size_t count = 0;
	unsigned kept = 0;
	struct reply *reply;
	int r = profile_ids(req->db, req->arena, req->user->tenant, owner, STATE_FILTER_MAX, &ids,
			    &count);

	if (r)
		return api_fail(req, r);
	*ret_ids = arena_alloc(req->arena, (count + 1) * sizeof(**ret_ids));
	*ret_count = 0;
	if (!count)
		return NULL;
	reply = registrations_ask(req, ids, (unsigned)count);
	if (!reply || reply->code != REPLY_OK)
		return api_fail_reply(req, reply);
	for (unsigned i = 0; i < count; i++) {
		const struct registration_view *view = registrations_at(reply, i);

		if (view && (int)view->state == state)
			(*ret_ids)[kept++] = ids[i];
	}
	*ret_count = kept;
	reply_free(reply);
	return NULL;
}

static struct api_done *profiles_answer(struct api_req *req, const struct db_page_info *info,
					const struct sip_profile *rows)
{
	struct id *ids = arena_alloc(req->arena, (info->rows + 1) * sizeof(*ids));
	struct reply *reply = NULL;
	struct api_list_out list;

	for (size_t i = 0; i < info->rows; i++)
		ids[i] = rows[i].id;
	if (info->rows)
		reply = registrations_ask(req, ids, (unsigned)info->rows);
	api_list_begin(req, info, &list);
	for (size_t i = 0; i < info->rows; i++) {
		jot_open(&list.rows, NULL, '{');
		profile_jot(&list.rows, &rows[i]);
		jot_open(&list.rows, "registration", '{');
		registration_jot(&list.rows, &rows[i], registrations_at(reply, (unsigned)i));
		jot_close(&list.rows, '}');
		jot_close(&list.rows, '}');
	}
	reply_free(reply);
	return api_list_end(req, &list);
}

static struct api_done *profiles_list(struct api_req *req)
{
	struct profile_filter filter = { 0 };
	struct db_page_info info;
	struct sip_profile *rows = NULL;
	json_t *complaints = NULL;
	struct id *ids = NULL;
	int state, r;
	struct api_done *no = api_page(req, &filter.page);

	if (no)
		return no;
	state = api_filter_word(req, "state", registration_state_names, &complaints);
	api_filter_id(req, "owner", &filter.owner, &complaints);
	filter.search = api_filter_text(req, "search", &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	if (req->user->role == USER_AGENT)
		filter.owner = req->user->id;
	if (state >= 0) {
		no = ids_in_state(req, filter.owner, state, &ids, &filter.id_count);
		if (no)
			return no;
		filter.ids = ids;
	}
	r = profile_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	return profiles_answer(req, &info, rows);
}

const struct api_route profile_routes[] = {
	{ "POST", "/api/add-sip-profile/", "addSipProfile", profile_add, SCOPE_PROFILES_WRITE,
	  API_CREATES },
	{ "GET", "/api/list-sip-profiles/", "listSipProfiles", profiles_list, SCOPE_PROFILES_READ,
	  0 },
	{ "GET", "/api/sip-profiles/{id}/", "getSipProfile", profile_read, SCOPE_PROFILES_READ, 0 },
	{ "PATCH", "/api/sip-profiles/{id}/", "updateSipProfile", profile_patch,
	  SCOPE_PROFILES_WRITE, 0 },
	{ "DELETE", "/api/sip-profiles/{id}/", "deleteSipProfileById", profile_delete_by_path,
	  SCOPE_PROFILES_WRITE, 0 },
	{ "DELETE", "/api/delete-sip-profile/", "deleteSipProfile", profile_delete_by_name,
	  SCOPE_PROFILES_WRITE, 0 },
	{ "POST", "/api/register-sip/", "registerSip", register_sip, SCOPE_PROFILES_WRITE,
	  API_CREATES },
	{ "POST", "/api/set-caller-id/", "setCallerId", caller_id_set, SCOPE_PROFILES_WRITE, 0 },
	{ "POST", "/api/test-sip-profile/", "testSipProfile", profile_test, SCOPE_PROFILES_WRITE,
	  0 },
	{ 0 },
};
