/* The workers' side of the web server: who asks, may they, what do they send; and the parts' start and end */
#include "api/private.h"

#include "base/metric.h"
#include "base/work.h"

#include <jwt.h>
#include <sodium.h>
#include <strings.h>

#define TOKENS 512	   /* verified tokens a worker remembers */
#define USERS 1024	   /* and users */
#define USER_FRESH_MS 2000 /* how long it relies on that */

METRIC_COUNTER(denied_metric, "jackfield_api_denied_total",
	       "Requests without a good token or without the right", NULL);

const struct api_route *const api_tables[] = {
	auth_routes,	   user_routes,	      profile_routes,  device_routes,	 call_routes,
	control_routes,	   conference_routes, call_log_routes, recording_routes, prompt_routes,
	monitoring_routes, audit_routes,      event_routes,    system_routes,	 NULL,
};

const char *const api_scope_names[] = {
	[SCOPE_NONE] = "none",
	[SCOPE_SELF] = "self",
	[SCOPE_PROFILES_READ] = "profiles:read",
	[SCOPE_PROFILES_WRITE] = "profiles:write",
	[SCOPE_DEVICES] = "devices",
	[SCOPE_CALLS_READ] = "calls:read",
	[SCOPE_CALLS_CONTROL] = "calls:control",
	[SCOPE_REPORTS_READ] = "reports:read",
	[SCOPE_PROMPTS_READ] = "prompts:read",
	[SCOPE_PROMPTS_WRITE] = "prompts:write",
	[SCOPE_MONITOR] = "monitor",
	[SCOPE_ADMIN] = "admin",
	[SCOPE_COUNT] = NULL,
};

unsigned api_role_scopes(int role)
{
	unsigned all = 0;

	for (unsigned scope = SCOPE_SELF; scope < SCOPE_COUNT; scope++)
		all |= 1u << scope;
	if (role != USER_ADMIN)
		all &= ~(1u << SCOPE_ADMIN);
	if (role == USER_AGENT)
		all &= ~(1u << SCOPE_PROMPTS_WRITE | 1u << SCOPE_MONITOR);
	return all;
}

/* ---- A worker ---- */

/* A signature is checked once a worker; what it said is remembered by a hash of the token. */
struct known_token {
	uint8_t hash[32];
	struct token_claims claims;
};

struct known_user {
	struct id id, tenant;
	int role, epoch;
	bool active;
	unsigned generation;
	uint64_t at_ms;
};

struct api_worker {
	struct api *api;
	struct db *db;
	struct arena *arena;
	struct known_token tokens[TOKENS];
	struct known_user users[USERS];
};

static void *worker_start(void *arg, unsigned index)
{
	struct api *api = arg;
	struct api_worker *worker = xzalloc(sizeof(*worker));
	int r = db_open(api->setup.db_url, &api->setup.db, &worker->db);

	(void)index;
	if (r < 0) {
		err_pass(r);
		free(worker);
		return NULL;
	}
	worker->api = api; /* a database that is away now will be there later */
	worker->arena = arena_new();
	return worker;
}

static void worker_stop(void *state)
{
	struct api_worker *worker = state;

	db_close(worker->db);
	arena_free(worker->arena);
	explicit_bzero(worker->tokens, sizeof(worker->tokens));
	free(worker);
}

/* ---- Who asks ---- */

static int worker_check_token(struct api_worker *worker, const char *token,
			      struct token_claims *ret)
{
	int64_t now_s = clock_wall_us() / 1000000;
	struct known_token *known;
	uint8_t hash[32];
	size_t slot;
	int r;

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)token, strlen(token), NULL, 0);
	memcpy(&slot, hash, sizeof(slot));
	known = &worker->tokens[slot % TOKENS];
	if (memcmp(known->hash, hash, sizeof(hash)) == 0) {
		*ret = known->claims;
		return known->claims.expires_at + TOKEN_LEEWAY_S <= now_s ? TOKEN_E_EXPIRED : 0;
	}
	r = token_check(worker->api->key, token, now_s, ret);
	if (r)
		return r;
	memcpy(known->hash, hash, sizeof(hash));
	known->claims = *ret;
	return 0;
}

static int worker_know_user(struct api_worker *worker, struct id id, struct known_user **ret)
{
	struct known_user *known = &worker->users[id_hash(id) % USERS];
	unsigned generation =
		atomic_load_explicit(&worker->api->auth_generation, memory_order_acquire);
	uint64_t now_ms = clock_mono_ms();
	struct user user = { 0 };
	int r;

	*ret = known;
	if (id_eq(known->id, id) && known->generation == generation &&
	    now_ms - known->at_ms < USER_FRESH_MS)
		return 0;
	r = user_by_id(worker->db, worker->arena, id, &user);
	if (r)
		return r;
	*known = (struct known_user){
		.id = id,
		.tenant = user.tenant_id,
		.role = user.role,
		.epoch = user.token_epoch,
		.active = user.active,
		.generation = generation,
		.at_ms = now_ms,
	};
	return 0;
}

struct api_done *api_authenticate(struct api_req *req, const char *token, struct api_user *ret)
{
	struct token_claims claims;
	struct known_user *known;
	int r;

	if (worker_check_token(req->worker, token, &claims) != 0)
		return api_unauthorized(req, "token_not_valid");
	r = worker_know_user(req->worker, claims.user, &known);
	if (r == DB_E_NONE)
		return api_unauthorized(req, "token_not_valid");
	if (r)
		return api_fail(req, r);
	if (!known->active || known->epoch != claims.epoch || known->role != claims.role ||
	    !id_eq(known->tenant, claims.tenant))
		return api_unauthorized(req, "token_not_valid");

	*ret = (struct api_user){
		.id = claims.user,
		.tenant = claims.tenant,
		.family = claims.family,
		.role = claims.role,
		.scopes = claims.scopes & api_role_scopes(claims.role),
		.expires_at = claims.expires_at * 1000000,
	};
	return NULL;
}

void api_rights_changed(struct api *api, struct id tenant, struct id user)
{
	atomic_fetch_add_explicit(&api->auth_generation, 1, memory_order_release);
	events_kick(api->events, tenant, user);
}

static const char *bearer(struct api_req *req)
{
	const char *header = web_header(req->web, "Authorization");

	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	header += 7;
	return header + strspn(header, " ");
}

static struct api_done *admit(struct api_req *req, struct api_user *user)
{
	const char *token = bearer(req);
	struct api_done *no;

	if (req->route->scope == SCOPE_NONE || (req->route->flags & API_OWN_ACCESS))
		return NULL;
	if (!token) {
		metric_add(&denied_metric, 1);
		return api_unauthorized(req, "not_authenticated");
	}
	no = api_authenticate(req, token, user);
	if (no) {
		metric_add(&denied_metric, 1);
		return no;
	}
	req->user = user;
	if (user->scopes & 1u << req->route->scope)
		return NULL;
	metric_add(&denied_metric, 1);
	return api_forbidden(req);
}

/* ---- Turns ---- */

/* What a parked request needs to go on. */
struct resume {
	struct api_done *(*next)(struct api_req *req, void *state);
	void *state;
	void (*state_free)(void *state);
	struct api_user user;
	bool has_user;
	char *idempotency_key, *request_hash;
};

static void resume_free(void *arg)
{
	struct resume *resume = arg;

	if (resume->state_free)
		resume->state_free(resume->state);
	free(resume->idempotency_key);
	free(resume->request_hash);
	free(resume);
}

static void resume_keep(struct api_req *req,
			struct api_done *(*next)(struct api_req *req, void *state), void *state,
			void (*state_free)(void *state))
{
	struct resume *resume = xzalloc(sizeof(*resume));

	resume->next = next;
	resume->state = state;
	resume->state_free = state_free;
	resume->has_user = req->user != NULL;
	if (req->user)
		resume->user = *req->user;
	resume->idempotency_key = xstrdup(req->idempotency_key);
	resume->request_hash = xstrdup(req->request_hash);
	web_set_state(req->web, resume, resume_free);
}

struct api_done *api_park(struct api_req *req, unsigned timeout_ms,
			  struct api_done *(*next)(struct api_req *req, void *state), void *state,
			  void (*state_free)(void *state))
{
	resume_keep(req, next, state, state_free);
	web_park(req->web, timeout_ms);
	return api_gone(req);
}

/* The whole of the body is there. */
static struct api_done *body_turn(struct api_req *req, void *state)
{
	struct api_done *no = NULL;

	(void)state;
	if (!(req->route->flags & API_RAW) && !(req->route->upload_max && web_is_form(req->web)))
		no = api_take_body(req);
	if (!no)
		no = api_claim_key(req);
	return no ?: req->route->handle(req);
}

/* Who asks is known: the body may come. */
static struct api_done *receive_turn(struct api_req *req)
{
	struct web_form_limits limits = {
		.dir = req->api->setup.data_dir,
		.file = "file",
		.file_max = req->route->upload_max,
		.texts_max = 8,
		.text_max = 4096,
	};

	resume_keep(req, body_turn, NULL, NULL);
	if (web_is_form(req->web))
		web_receive_form(req->web, &limits);
	else
		web_receive(req->web, NULL);
	return api_gone(req);
}

static struct api_done *first_turn(struct api_req *req, struct api_user *user)
{
	struct api_done *no = admit(req, user);

	if (no)
		return no;
	return req->route->upload_max ? receive_turn(req) : body_turn(req, NULL);
}

static struct api_done *next_turn(struct api_req *req, struct resume *resume)
{
	struct api_done *answer;

	/* Ours from here on: what comes next may park again. */
	web_set_state(req->web, NULL, NULL);
	req->user = resume->has_user ? &resume->user : NULL;
	req->idempotency_key = resume->idempotency_key;
	req->request_hash = resume->request_hash;
	answer = resume->next(req, resume->state);
	resume_free(resume);
	return answer;
}

static void worker_handle(void *state, struct web_req *web)
{
	struct api_worker *worker = state;
	struct api_user user = { 0 };
	struct api_req req = {
		.web = web,
		.api = worker->api,
		.worker = worker,
		.db = worker->db,
		.arena = worker->arena,
		.route = web_route_arg(web),
	};
	struct resume *resume = web_state(web);
	struct api_done *answer = resume ? next_turn(&req, resume) : first_turn(&req, &user);

	bug_on(!answer);
	json_decref(req.body);
	bug_on(db_in_transaction(worker->db));
	arena_reset(worker->arena);
}

/* ---- Start and end ---- */

static size_t routes_count(void)
{
	size_t count = 0;

	for (unsigned t = 0; api_tables[t]; t++)
		for (const struct api_route *route = api_tables[t]; route->method; route++)
			count++;
	return count;
}

static struct web_route *routes_for_web(void)
{
	struct web_route *routes = xzalloc_array(routes_count() + 1, sizeof(*routes)), *at = routes;

	for (unsigned t = 0; api_tables[t]; t++)
		for (const struct api_route *route = api_tables[t]; route->method; route++)
			*at++ = (struct web_route){
				.method = route->method,
				.path = route->path,
				.body_max = route->upload_max ? route->upload_max + (1u << 20) : 0,
				.flags = (route->flags & API_QUIET ? WEB_QUIET : 0) |
					 (route->upload_max ? WEB_BODY_LATER : 0),
				.arg = route,
			};
	return routes;
}

static void setup_defaults(struct api_setup *setup)
{
	setup->workers = setup->workers ?: 4;
	setup->queue = setup->queue ?: 256;
	setup->hashers = setup->hashers ?: 2;
	setup->profile_max_calls = setup->profile_max_calls ?: 1000;
	setup->version = xstrdup(setup->version ?: "0");
	setup->db_url = xstrdup(setup->db_url);
	setup->recordings_dir = xstrdup(setup->recordings_dir ?: setup->data_dir);
	setup->data_dir = xstrdup(setup->data_dir);
	setup->sip_host = xstrdup(setup->sip_host ?: "127.0.0.1");
	setup->sip_transports = xstrdup(setup->sip_transports ?: "udp,tcp");
}

static int api_listen(struct api *api, const struct api_setup *setup)
{
	struct web_setup web = {
		.listen = setup->listen,
		.origins = setup->origins,
		.trust_forwarded = setup->trust_forwarded,
		.max_connections = setup->max_connections,
		.max_per_address = setup->max_per_address,
		.ws = api->ws,
		.crew = {
			.workers = api->setup.workers,
			.queue = api->setup.queue,
			.start = worker_start,
			.handle = worker_handle,
			.stop = worker_stop,
			.arg = api,
		},
	};

	return web_start(&web, api->web_routes, &api->web);
}

static int api_begin(struct api *api, const struct api_setup *setup)
{
	struct ws_setup ws = { 0 };
	int r = token_key_load(setup->data_dir, &api->key);

	if (r == TOKEN_E_KEY)
		return API_E_KEY;
	if (r)
		return err_pass(r);
	r = ws_start(&ws, &api->ws);
	if (r)
		return err_pass(r);
	api->dummy_hash = api_password_hash("nobody has this password");
	api->hashers = work_pool_new("hash", api->setup.hashers, 64);
	api->makers = work_pool_new("prompt", 2, 32);
	api->encoders = work_pool_new("opus", 1, 32);
	api->throttle = throttle_new();
	api->tickets = tickets_new();
	api->events = events_new(api);
	api->web_routes = routes_for_web();
	return api_listen(api, setup);
}

int api_start(const struct api_setup *setup, struct api **ret_api)
{
	struct api *api = xzalloc(sizeof(*api));
	int r;

	if (sodium_init() < 0) {
		free(api);
		return err_newf(5, "libsodium");
	}
	api->setup = *setup;
	setup_defaults(&api->setup);
	api->setup.listen = api->setup.origins = NULL;
	r = api_begin(api, setup);
	if (r) {
		api_stop(api);
		return r;
	}
	*ret_api = api;
	return 0;
}

struct api *api_stop(struct api *api)
{
	if (!api)
		return NULL;
	web_stop(api->web);
	/* Their last jobs wake requests that are gone: nothing comes of it. */
	work_pool_free(api->hashers);
	work_pool_free(api->makers);
	work_pool_free(api->encoders);
	events_free(api->events);
	ws_stop(api->ws);
	tickets_free(api->tickets);
	throttle_free(api->throttle);
	token_key_free(api->key);
	free(api->web_routes);
	free(api->dummy_hash);
	free((void *)(uintptr_t)api->setup.version);
	free((void *)(uintptr_t)api->setup.db_url);
	free((void *)(uintptr_t)api->setup.data_dir);
	free((void *)(uintptr_t)api->setup.recordings_dir);
	free((void *)(uintptr_t)api->setup.sip_host);
	free((void *)(uintptr_t)api->setup.sip_transports);
	free(api);
	return NULL;
}

unsigned api_port(const struct api *api)
{
	return web_port(api->web);
}

void api_routes_each(void (*on_route)(void *arg, const char *method, const char *path,
				      const char *operation, const char *scope),
		     void *arg)
{
	for (unsigned t = 0; api_tables[t]; t++)
		for (const struct api_route *route = api_tables[t]; route->method; route++)
			on_route(arg, route->method, route->path, route->operation,
				 api_scope_names[route->scope]);
}

static void route_print(void *arg, const char *method, const char *path, const char *operation,
			const char *scope)
{
	buf_addf(arg, "%s %s %s %s\n", method, path, operation, scope);
}

void api_routes_print(struct buf *out)
{
	api_routes_each(route_print, out);
}
