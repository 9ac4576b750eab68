/* Accounts: sign-up, login, sessions, oneself */
#include "api/private.h"

#include <sodium.h>
#include <stdio.h>

/* ---- A user as people see it ---- */

static json_t *me_json(struct api_req *req, const struct user *user)
{
	json_t *json = field_to_json(user_me_fields, user);
	struct tenant tenant = { 0 };

	if (tenant_get(req->db, req->arena, user->tenant_id, &tenant) == 0)
		json_object_set_new(json, "tenant",
				    json_pack("{s:s, s:s?}", "id", id_str(tenant.id), "name",
					      tenant.name));
	else
		json_object_set_new(json, "tenant", json_null());
	return json;
}

json_t *api_user_json(const struct user *user)
{
	return field_to_json(user_fields, user);
}

static struct session session_of(struct api_req *req, const struct user *user)
{
	const char *agent = web_header(req->web, "User-Agent");

	if (agent && (strlen(agent) > 255 || !str_is_clean_utf8(agent, strlen(agent))))
		agent = NULL;
	return (struct session){
		.tenant_id = user->tenant_id,
		.user_id = user->id,
		.client_addr = web_peer(req->web),
		.user_agent = agent,
	};
}

/* {access, refresh, token_type, expires_in, user} */
static struct api_done *answer_tokens(struct api_req *req, int status, const struct user *user,
				      struct id family, char *refresh)
{
	int64_t now_s = clock_wall_us() / 1000000;
	struct token_claims claims = {
		.user = user->id,
		.tenant = user->tenant_id,
		.family = family,
		.jti = id_new(),
		.role = user->role,
		.scopes = api_role_scopes(user->role),
		.epoch = user->token_epoch,
		.issued_at = now_s,
		.expires_at = now_s + TOKEN_LIFE_S,
	};
	auto_(free) char *access = token_make(req->api->key, &claims);
	json_t *body;

	if (!access)
		return api_error(req, 500, "error");
	body = json_pack("{s:o, s:s, s:s, s:s, s:i}", "user", me_json(req, user), "access", access,
			 "refresh", refresh, "token_type", "Bearer", "expires_in", TOKEN_LIFE_S);
	explicit_bzero(refresh, SESSION_TOKEN_SIZE);
	return api_json(req, status, body);
}

static struct api_done *start_session(struct api_req *req, int status, const struct user *user)
{
	struct session session = session_of(req, user);
	char refresh[SESSION_TOKEN_SIZE];
	int r = session_start(req->db, &session, clock_wall_us(), refresh);

	if (r)
		return api_fail(req, r);
	return answer_tokens(req, status, user, session.family_id, refresh);
}

static void fold_email(char *email)
{
	for (; *email; email++)
		if (*email >= 'A' && *email <= 'Z')
			*email = (char)(*email | 0x20);
}

/* ---- Sign-up ---- */

struct signup {
	char *email, *name, *organization;
};

static void signup_free(void *arg)
{
	struct signup *signup = arg;

	free(signup->email);
	free(signup->name);
	free(signup->organization);
	free(signup);
}

static bool tell_tenant(struct api *api, const struct tenant *tenant, const struct user *admin)
{
	struct command command = {
		.type = COMMAND_TENANT_PUT,
		.asker = { .tenant = tenant->id, .user = admin->id, .role = ASKER_ADMIN },
		.body = api_tenant_spec(tenant),
	};

	return api_tell(api, &command) && api_tell_user(api, admin);
}

static struct api_done *signup_hashed(struct api_req *req, void *arg)
{
	struct password_result *result = arg;
	const struct signup *signup = result->state;
	struct user user = USER_DEFAULTS;
	struct tenant tenant = { .name = signup->organization };
	int r;

	if (!result->new_hash[0])
		return api_error(req, 500, "error");
	user.email = signup->email;
	user.name = signup->name ? signup->name : "";
	user.role = USER_ADMIN;
	user.password_hash = result->new_hash;
	r = user_sign_up(req->db, &tenant, &user, req->arena);
	if (r == USER_E_EMAIL)
		return api_invalid_field(req, "email",
					 "An account with this email exists already.");
	if (r)
		return api_fail(req, r);
	if (!tell_tenant(req->api, &tenant, &user))
		log_warn("the call loop was not told of a new tenant", LOG_ID("tenant", tenant.id));
	log_info("signed up", LOG_ID("tenant", tenant.id), LOG_ID("user", user.id));
	return start_session(req, 201, &user);
}

static struct api_done *signup(struct api_req *req)
{
	json_t *complaints = NULL;
	const char *email = api_str(req->body, "email", true, 254, &complaints);
	const char *password = api_str(req->body, "password", true, 256, &complaints);
	const char *name = api_str(req->body, "name", false, 128, &complaints);
	const char *organization = api_str(req->body, "organization", false, 128, &complaints);
	const char *complaint = email ? api_email_complaint(email) : NULL;
	struct signup *state;
	unsigned wait;

	if (req->api->setup.signup == API_SIGNUP_CLOSED) {
		json_decref(complaints);
		return api_error(req, 403, "signup_closed");
	}
	if (complaint)
		field_complain(&complaints, "email", complaint);
	complaint = password ? api_password_complaint(password) : NULL;
	if (complaint)
		field_complain(&complaints, "password", complaint);
	if (complaints)
		return api_invalid(req, complaints);
	wait = throttle_take(req->api->throttle, THROTTLE_SIGNUP, web_peer(req->web), NULL,
			     clock_mono_ms());
	if (wait)
		return api_too_many(req, "too_many_attempts", (int)wait);

	state = xzalloc(sizeof(*state));
	state->email = xstrdup(email);
	fold_email(state->email);
	state->name = xstrdup(name);
	state->organization = xstrdup(organization ? organization : name ? name : email);
	return api_hash(req, password, NULL, password, signup_hashed, state, signup_free);
}

/* ---- Login: what is unknown, wrong or switched off looks and lasts the same ---- */

struct login {
	char *email;
	struct id user;
};

static void login_free(void *arg)
{
	struct login *login = arg;

	free(login->email);
	free(login);
}

static unsigned login_take(struct api_req *req, const char *email)
{
	struct throttle *throttle = req->api->throttle;
	const char *peer = web_peer(req->web);
	uint64_t now = clock_mono_ms();
	unsigned wait = throttle_take(throttle, THROTTLE_LOGIN_PAIR, email, peer, now);

	if (!wait)
		wait = throttle_take(throttle, THROTTLE_LOGIN_ADDRESS, peer, NULL, now);
	if (!wait)
		wait = throttle_take(throttle, THROTTLE_LOGIN_ACCOUNT, email, NULL, now);
	return wait;
}

static void login_give_back(struct api_req *req, const char *email)
{
	struct throttle *throttle = req->api->throttle;
	const char *peer = web_peer(req->web);

	throttle_give_back(throttle, THROTTLE_LOGIN_PAIR, email, peer);
	throttle_give_back(throttle, THROTTLE_LOGIN_ADDRESS, peer, NULL);
	throttle_give_back(throttle, THROTTLE_LOGIN_ACCOUNT, email, NULL);
}

static struct api_done *login_checked(struct api_req *req, void *arg)
{
	struct password_result *result = arg;
	const struct login *login = result->state;
	struct user user = { 0 };
	int r;

	if (!result->matches || id_is_none(login->user))
		return api_unauthorized(req, "invalid_credentials");
	r = user_by_id(req->db, req->arena, login->user, &user);
	if (r && r != DB_E_NONE)
		return api_fail(req, r);
	if (r || !user.active)
		return api_unauthorized(req, "invalid_credentials");
	login_give_back(req, login->email);
	r = user_touch_login(req->db, user.id, clock_wall_us());
	if (r)
		return api_fail(req, r);
	return start_session(req, 200, &user);
}

static struct api_done *login(struct api_req *req)
{
	json_t *complaints = NULL;
	const char *email = api_str(req->body, "email", true, 254, &complaints);
	const char *password = api_str(req->body, "password", true, 256, &complaints);
	struct user user = { 0 };
	struct login *state;
	unsigned wait;
	int r;

	if (complaints)
		return api_invalid(req, complaints);
	state = xzalloc(sizeof(*state));
	state->email = xstrdup(email);
	fold_email(state->email);
	wait = login_take(req, state->email);
	if (wait) {
		login_free(state);
		return api_too_many(req, "too_many_attempts", (int)wait);
	}
	r = user_by_email(req->db, req->arena, state->email, &user);
	if (r && r != DB_E_NONE) {
		login_free(state);
		return api_fail(req, r);
	}
	state->user = r ? ID_NONE : user.id;
	return api_hash(req, password,
			!r && user.password_hash ? user.password_hash : req->api->dummy_hash, NULL,
			login_checked, state, login_free);
}

/* ---- Sessions ---- */

static struct api_done *refresh(struct api_req *req)
{
	json_t *complaints = NULL;
	const char *token = api_str(req->body, "refresh", true, 256, &complaints);
	struct session next = { 0 };
	struct session who = session_of(req, &(struct user){ 0 });
	struct user user = { 0 };
	char fresh[SESSION_TOKEN_SIZE];
	int r;

	if (complaints)
		return api_invalid(req, complaints);
	r = session_rotate(req->db, req->arena, token, who.client_addr, who.user_agent,
			   clock_wall_us(), &next, fresh);
	if (r == SESSION_E_REUSED) {
		log_warn("a used refresh token came again: its family has ended",
			 LOG_ID("user", next.user_id), LOG_PII("peer", web_peer(req->web)));
		return api_unauthorized(req, "token_not_valid");
	}
	if (r == SESSION_E_UNKNOWN)
		return api_unauthorized(req, "token_not_valid");
	if (r)
		return api_fail(req, r);
	r = user_by_id(req->db, req->arena, next.user_id, &user);
	if (r && r != DB_E_NONE)
		return api_fail(req, r);
	if (r || !user.active)
		return api_unauthorized(req, "token_not_valid");
	return answer_tokens(req, 200, &user, next.family_id, fresh);
}

static struct api_done *logout(struct api_req *req)
{
	json_t *complaints = NULL;
	const char *token = api_str(req->body, "refresh", true, 256, &complaints);
	int r;

	if (complaints)
		return api_invalid(req, complaints);
	r = session_end(req->db, token, clock_wall_us());
	return r ? api_fail(req, r) : api_no_content(req);
}

/* ---- Oneself ---- */

static struct api_done *me_get(struct api_req *req)
{
	struct user user = { 0 };
	int r = user_get(req->db, req->arena, req->user->tenant, req->user->id, &user);

	return r ? api_fail(req, r) : api_json(req, 200, me_json(req, &user));
}

struct me_change {
	struct api_req *req;
	struct user user;
	json_t *complaints;
	bool unknown_profile;
};

static int me_change(struct db *db, void *arg)
{
	struct me_change *change = arg;
	struct api_req *req = change->req;
	struct sip_profile profile = { 0 };
	int r = user_get_locked(db, req->arena, req->user->tenant, req->user->id, &change->user);

	if (r)
		return r;
	json_decref(change->complaints);
	change->complaints =
		field_from_json(user_me_fields, req->body, true, req->arena, &change->user);
	if (change->complaints)
		return 0;
	if (!id_is_none(change->user.default_profile_id)) {
		r = profile_get(db, req->arena, req->user->tenant, change->user.default_profile_id,
				&profile);
		if (r && r != DB_E_NONE)
			return r;
		if (r || (!id_eq(profile.owner, req->user->id) && req->user->role == USER_AGENT)) {
			field_complain(&change->complaints, "default_profile_id",
				       "There is no such profile of yours.");
			return 0;
		}
	}
	return user_update(db, &change->user, req->arena);
}

static struct api_done *me_patch(struct api_req *req)
{
	struct me_change change = { .req = req };
	int r = db_transact(req->db, me_change, &change);

	if (r) {
		json_decref(change.complaints);
		return api_fail(req, r);
	}
	if (change.complaints)
		return api_invalid(req, change.complaints);
	if (!api_tell_user(req->api, &change.user))
		log_rated(LOG_WARN_, "the call loop was not told of a changed user",
			  LOG_ID("user", change.user.id));
	return api_json(req, 200, me_json(req, &change.user));
}

static struct api_done *password_changed(struct api_req *req, void *arg)
{
	struct password_result *result = arg;
	int r;

	if (!result->matches)
		return api_invalid_field(req, "old_password", "This is not your present password.");
	if (!result->new_hash[0])
		return api_error(req, 500, "error");
	login_give_back(req, id_str(req->user->id));
	r = user_set_password(req->db, req->user->tenant, req->user->id, result->new_hash,
			      req->user->family);
	if (r)
		return api_fail(req, r);
	api_rights_changed(req->api, req->user->tenant, req->user->id);
	log_info("password changed", LOG_ID("user", req->user->id));
	return api_no_content(req);
}

static struct api_done *change_password(struct api_req *req)
{
	json_t *complaints = NULL;
	const char *old = api_str(req->body, "old_password", true, 256, &complaints);
	const char *new = api_str(req->body, "new_password", true, 256, &complaints);
	const char *complaint = new ? api_password_complaint(new) : NULL;
	struct user user = { 0 };
	unsigned wait;
	int r;

	if (complaint)
		field_complain(&complaints, "new_password", complaint);
	if (complaints)
		return api_invalid(req, complaints);
	wait = login_take(
		req, id_str(req->user->id)); /* a stolen token is no way to guess the password */
	if (wait)
		return api_too_many(req, "too_many_attempts", (int)wait);
	r = user_get(req->db, req->arena, req->user->tenant, req->user->id, &user);
	if (r)
		return api_fail(req, r);
	return api_hash(req, old, user.password_hash ? user.password_hash : req->api->dummy_hash,
			new, password_changed, NULL, NULL);
}

const struct api_route auth_routes[] = {
	{ "POST", "/api/auth/signup/", "signUp", signup, SCOPE_NONE, 0 },
	{ "POST", "/api/auth/login/", "logIn", login, SCOPE_NONE, 0 },
	{ "POST", "/api/auth/refresh/", "refreshToken", refresh, SCOPE_NONE, 0 },
	{ "POST", "/api/auth/logout/", "logOut", logout, SCOPE_NONE, 0 },
	{ "GET", "/api/auth/me/", "getMe", me_get, SCOPE_SELF, 0 },
	{ "PATCH", "/api/auth/me/", "updateMe", me_patch, SCOPE_SELF, 0 },
	{ "POST", "/api/auth/change-password/", "changePassword", change_password, SCOPE_SELF, 0 },
	{ 0 },
};
