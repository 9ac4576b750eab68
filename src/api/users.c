/* The people of a tenant, for its admins */
#include "api/private.h"

static struct api_done *users_list(struct api_req *req)
{
	struct user_filter filter = { .role = -1 };
	struct db_page_info info;
	struct user *rows = NULL;
	json_t *complaints = NULL, *results;
	struct api_done *no = api_page(req, &filter.page);
	int r;

	if (no)
		return no;
	filter.search = api_filter_text(req, "search", &complaints);
	filter.role = api_filter_word(req, "role", user_role_names, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = user_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	results = json_array();
	for (size_t i = 0; i < info.rows; i++)
		json_array_append_new(results, api_user_json(&rows[i]));
	return api_list(req, &info, results);
}

/* Return: NULL, or the path's id is none: 404. */
static struct api_done *path_user(struct api_req *req, struct user *ret)
{
	struct id id;
	int r;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	r = user_get(req->db, req->arena, req->user->tenant, id, ret);
	return r ? api_fail(req, r) : NULL;
}

static struct api_done *user_outcome(struct api_req *req, int r)
{
	switch (r) {
	case USER_E_EMAIL:
		return api_invalid_field(req, "email",
					 "An account with this email exists already.");
	case USER_E_EXTENSION:
		return api_invalid_field(req, "extension", "This extension is taken.");
	case USER_E_FULL:
		return api_invalid_field(req, "extension", "No extension is left.");
	case USER_E_LAST_ADMIN:
		return api_error(req, 409, "last_admin");
	case DB_E_REF:
		return api_error(req, 409, "user_in_use");
	default:
		return api_fail(req, r);
	}
}

/* A struct user from the body that outlives a parked turn: its strings in an arena of its own. */
struct user_draft {
	struct arena *arena;
	struct user user;
};

static void draft_free(void *arg)
{
	struct user_draft *draft = arg;

	arena_free(draft->arena);
	free(draft);
}

static void draft_take(const struct user *user, struct user_draft *draft)
{
	struct arena *arena = draft->arena;

	draft->user = *user;
	draft->user.email = arena_strdup(arena, user->email);
	draft->user.name = arena_strdup(arena, user->name ? user->name : "");
	draft->user.extension = user->extension ? arena_strdup(arena, user->extension) : NULL;
	draft->user.time_zone = arena_strdup(arena, user->time_zone ? user->time_zone : "UTC");
	draft->user.language = arena_strdup(arena, user->language ? user->language : "en");
	draft->user.password = NULL;
	draft->user.password_hash = NULL;
}

static struct api_done *user_create_hashed(struct api_req *req, void *arg)
{
	struct password_result *result = arg;
	struct user_draft *draft = result->state;
	int r;

	if (!result->new_hash[0])
		return api_error(req, 500, "error");
	draft->user.password_hash = result->new_hash;
	draft->user.tenant_id = req->user->tenant;
	r = user_insert(req->db, &draft->user, draft->arena);
	if (r)
		return user_outcome(req, r);
	if (!api_tell_user(req->api, &draft->user))
		log_rated(LOG_WARN_, "the call loop was not told of a new user",
			  LOG_ID("user", draft->user.id));
	return api_created(req, "/api/users/", draft->user.id, api_user_json(&draft->user));
}

static struct api_done *user_create(struct api_req *req)
{
	struct user user = USER_DEFAULTS;
	json_t *complaints = field_from_json(user_fields, req->body, false, req->arena, &user);
	const char *complaint =
		user.password ? api_password_complaint(user.password) : "This field is required.";
	struct user_draft *draft;

	if (complaint && !json_object_get(complaints, "password"))
		field_complain(&complaints, "password", complaint);
	if (complaints)
		return api_invalid(req, complaints);
	draft = xzalloc(sizeof(*draft));
	draft->arena = arena_new();
	draft_take(&user, draft);
	return api_hash(req, user.password, NULL, user.password, user_create_hashed, draft,
			draft_free);
}

static struct api_done *user_read(struct api_req *req)
{
	struct user user = { 0 };
	struct api_done *no = path_user(req, &user);

	return no ?: api_json(req, 200, api_user_json(&user));
}

/* Reads anew and writes in one transaction: what was decided before a password was hashed may be stale. */
struct user_change {
	struct api_req *req;
	struct id id;
	const json_t *body;
	const char *new_hash; /* or NULL */
	struct user user;
	json_t *complaints;
	bool rights;
};

static int user_change(struct db *db, void *arg)
{
	struct user_change *change = arg;
	struct api_req *req = change->req;
	struct user before = { 0 };
	int r = user_get_locked(db, req->arena, req->user->tenant, change->id, &before);

	if (r)
		return r;
	change->user = before;
	json_decref(change->complaints);
	change->complaints =
		field_from_json(user_fields, change->body, true, req->arena, &change->user);
	if (change->complaints)
		return 0;
	change->rights = change->user.role != before.role || change->user.active != before.active ||
			 change->new_hash;
	if (change->new_hash)
		change->user.password_hash = change->new_hash;
	if (change->rights)
		change->user.token_epoch++;
	r = user_update(db, &change->user, req->arena);
	/* A new role may go on with its session; a new password or a closed account may not. */
	if (!r && (change->new_hash || !change->user.active))
		r = session_end_user(db, req->user->tenant, change->id, ID_NONE, clock_wall_us());
	return r;
}

static struct api_done *user_apply(struct api_req *req, struct id id, const json_t *body,
				   const char *new_hash)
{
	struct user_change change = { .req = req, .id = id, .body = body, .new_hash = new_hash };
	int r = db_transact(req->db, user_change, &change);

	if (r) {
		json_decref(change.complaints);
		return user_outcome(req, r);
	}
	if (change.complaints)
		return api_invalid(req, change.complaints);
	if (!api_tell_user(req->api, &change.user))
		log_rated(LOG_WARN_, "the call loop was not told of a changed user",
			  LOG_ID("user", id));
	if (change.rights)
		api_rights_changed(req->api, req->user->tenant, id);
	return api_json(req, 200, api_user_json(&change.user));
}

struct user_patch {
	struct id id;
	json_t *body;
};

static void patch_free(void *arg)
{
	struct user_patch *patch = arg;

	json_decref(patch->body);
	free(patch);
}

static struct api_done *user_patch_hashed(struct api_req *req, void *arg)
{
	struct password_result *result = arg;
	const struct user_patch *patch = result->state;

	if (!result->new_hash[0])
		return api_error(req, 500, "error");
	return user_apply(req, patch->id, patch->body, result->new_hash);
}

static struct api_done *user_patch(struct api_req *req)
{
	struct user user = { 0 };
	struct api_done *no = path_user(req, &user);
	json_t *complaints;
	const char *complaint;
	struct user_patch *patch;

	if (no)
		return no;
	complaints = field_from_json(user_fields, req->body, true, req->arena, &user);
	complaint = user.password ? api_password_complaint(user.password) : NULL;
	if (complaint && !json_object_get(complaints, "password"))
		field_complain(&complaints, "password", complaint);
	if (complaints)
		return api_invalid(req, complaints);
	if (!user.password)
		return user_apply(req, user.id, req->body, NULL);
	patch = xzalloc(sizeof(*patch));
	patch->id = user.id;
	patch->body = json_incref(req->body);
	return api_hash(req, user.password, NULL, user.password, user_patch_hashed, patch,
			patch_free);
}

/* The call loop forgets the user's phones one by one, then the user. */
static void tell_gone(struct api_req *req, struct id user, const struct device *devices,
		      size_t device_count)
{
	struct asker asker = { .tenant = req->user->tenant,
			       .user = req->user->id,
			       .role = ASKER_ADMIN };
	bool told = true;

	for (size_t i = 0; i < device_count; i++) {
		struct command drop = { .type = COMMAND_DEVICE_DROP,
					.asker = asker,
					.device_id = devices[i].id };

		told = api_tell(req->api, &drop) && told;
	}
	told = api_tell(req->api, &(struct command){ .type = COMMAND_USER_DROP,
						     .asker = asker,
						     .user_id = user }) &&
	       told;
	if (!told)
		log_rated(LOG_WARN_, "the call loop was not told of a removed user",
			  LOG_ID("user", user));
}

static void tell_owner(struct api_req *req, const struct sip_profile *profile)
{
	struct command put = {
		.type = COMMAND_PROFILE_PUT,
		.asker = api_asker(req),
		.profile_id = profile->id,
		.body = api_line_spec(req->api->setup.seal, profile),
	};

	if (!put.body || !api_tell(req->api, &put))
		log_rated(LOG_WARN_, "the call loop was not told of a profile's new owner",
			  LOG_ID("profile", profile->id));
}

/* A removed user's profiles go to the admin who removes, and the call loop learns their new owner. */
static void tell_inherited(struct api_req *req)
{
	struct profile_filter filter = { .page = { .size = DB_PAGE_MAX }, .owner = req->user->id };
	struct db_page_info info;
	struct sip_profile *rows = NULL;

	do {
		filter.page.number++;
		if (profile_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info) !=
		    0)
			return;
		for (size_t i = 0; i < info.rows; i++)
			tell_owner(req, &rows[i]);
	} while (info.has_next);
}

static struct api_done *user_remove(struct api_req *req)
{
	struct device_filter filter = { .page = { .size = DB_PAGE_MAX } };
	struct user user = { 0 };
	struct db_page_info info = { 0 };
	struct device *devices = NULL;
	struct api_done *no = path_user(req, &user);
	int r;

	if (no)
		return no;
	if (id_eq(user.id, req->user->id))
		return api_error_detail(req, 409, "user_in_use", "You cannot remove yourself.");
	filter.user = user.id;
	r = device_list(req->db, req->arena, req->user->tenant, &filter, &devices, &info);
	if (!r)
		r = user_delete(req->db, req->user->tenant, user.id, req->user->id);
	if (r)
		return user_outcome(req, r);
	tell_inherited(req);
	tell_gone(req, user.id, devices, info.rows);
	api_rights_changed(req->api, req->user->tenant, user.id);
	return api_no_content(req);
}

const struct api_route user_routes[] = {
	{ "GET", "/api/users/", "listUsers", users_list, SCOPE_ADMIN, 0 },
	{ "POST", "/api/users/", "createUser", user_create, SCOPE_ADMIN, API_CREATES },
	{ "GET", "/api/users/{id}/", "getUser", user_read, SCOPE_ADMIN, 0 },
	{ "PATCH", "/api/users/{id}/", "updateUser", user_patch, SCOPE_ADMIN, 0 },
	{ "DELETE", "/api/users/{id}/", "deleteUser", user_remove, SCOPE_ADMIN, 0 },
	{ 0 },
};
