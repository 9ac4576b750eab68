/* api/private.h - what the handlers share
 *
 * A handler runs on a worker, straight through, and returns what one of api_ok(), api_error(), api_fail()...
 * gave it: struct api_done is defined nowhere, so it cannot forget to answer. A handler that must wait long parks
 * (api_park()) and goes on in another function, on whichever worker is free then.
 */
#pragma once

#include "api/api.h"
#include "api/token.h"
#include "base/jot.h"
#include "http/ws.h"
#include "store/store.h"

#include <jansson.h>
#include <stdatomic.h>

struct api_done;
struct api_req;

/* Who may call a route: every role has some scopes, every token carries its own. */
enum api_scope {
	SCOPE_NONE, /* no token is needed */
	SCOPE_SELF, /* anybody who is signed in */
	SCOPE_PROFILES_READ,
	SCOPE_PROFILES_WRITE,
	SCOPE_DEVICES,
	SCOPE_CALLS_READ,
	SCOPE_CALLS_CONTROL,
	SCOPE_REPORTS_READ,
	SCOPE_PROMPTS_READ,
	SCOPE_PROMPTS_WRITE,
	SCOPE_MONITOR,
	SCOPE_ADMIN,
	SCOPE_COUNT,
};
extern const char *const api_scope_names[]; /* "none", "self", "profiles:read", ... */
unsigned api_role_scopes(int role);	    /* enum user_role; bits 1 << scope */

enum {
	API_CREATES = 1 << 0,	 /* Idempotency-Key is honoured */
	API_QUIET = 1 << 1,	 /* not in the access log while all is well */
	API_RAW = 1 << 2,	 /* reads no JSON body */
	API_OWN_ACCESS = 1 << 3, /* the handler looks for a token itself, and checks the scope */
};

struct api_route {
	const char *method, *path, *operation;
	struct api_done *(*handle)(struct api_req *req);
	enum api_scope scope;
	unsigned flags;
	/* Not 0: the body may be a form (web_is_form()) with a `file` of so many bytes and texts of up to 4 KiB; it is
	 * taken in only once the asker is known. JSON is welcome, too.
	 */
	size_t upload_max;
};

/* Tables, one a resource, each ending with { 0 }; api_tables lists them and ends with NULL. */
extern const struct api_route auth_routes[], user_routes[], profile_routes[], device_routes[],
	call_routes[], control_routes[], conference_routes[], call_log_routes[], recording_routes[],
	prompt_routes[], monitoring_routes[], audit_routes[], event_routes[], system_routes[];
extern const struct api_route *const api_tables[];

struct api_user {
	struct id id, tenant, family; /* family: of the session the token came from */
	int role;		      /* enum user_role */
	unsigned scopes;
	int64_t expires_at; /* of the token */
};

struct api_worker;

struct api_req {
	struct web_req *web;
	struct api *api;
	struct api_worker *worker;
	struct db *db;
	struct arena *arena;
	const struct api_route *route;
	const struct api_user *user; /* NULL without a token */
	json_t *body; /* always an object (empty without a body); NULL on API_RAW routes */
	const char *idempotency_key, *request_hash;
};

struct throttle;
struct work_pool;
struct tickets;
struct events;
struct hub;

struct api {
	struct api_setup setup;
	struct token_key *key;
	struct web *web;
	struct ws *ws;
	struct work_pool *hashers;
	struct work_pool *makers; /* of prompts */
	struct work_pool
		*encoders; /* of recordings, for who asks for Opus: one core, whatever is asked */
	struct throttle *throttle;
	struct tickets *tickets;
	struct events *events;
	struct web_route *web_routes;
	atomic_uint
		auth_generation; /* raised when anybody's rights change: workers forget what they knew */
	char *dummy_hash; /* checked when there is no such account, so that it takes as long */
};

/* ---- reply.c ---- */
/* `body` is taken over. */
struct api_done *api_json(struct api_req *req, int status, json_t *body) must_check;
struct api_done *api_ok(struct api_req *req, int status, const struct field *fields,
			const void *row) must_check;
struct api_done *api_no_content(struct api_req *req) must_check;
struct api_done *api_text(struct api_req *req, int status, const char *type, char *body, size_t len)
	must_check;
/* A file, or the part of it that was asked for. */
struct api_done *api_file(struct api_req *req, const struct web_file *file) must_check;
/* {"detail", "code"}: the sentence is the code's usual one. */
struct api_done *api_error(struct api_req *req, int status, const char *code) must_check;
struct api_done *api_error_detail(struct api_req *req, int status, const char *code,
				  const char *detail) must_check;
/* 409 with the state that it is in. `detail`: a sentence, or NULL for the usual one. */
struct api_done *api_wrong_state(struct api_req *req, const char *detail, const char *state)
	must_check;
struct api_done *api_too_many(struct api_req *req, const char *code, int retry_after_s) must_check;
/* 400 with {field: [message]}; `complaints` is taken over. */
struct api_done *api_invalid(struct api_req *req, json_t *complaints) must_check;
struct api_done *api_invalid_field(struct api_req *req, const char *field, const char *message)
	must_check;
struct api_done *api_not_found(struct api_req *req) must_check;
struct api_done *api_forbidden(struct api_req *req) must_check;
struct api_done *api_unauthorized(struct api_req *req, const char *code) must_check;
/* What the database or another part said: 404 for DB_E_NONE, 404 "Invalid page.", 503 while it is away, else 500. */
struct api_done *api_fail(struct api_req *req, int r) must_check;
/* The call loop's answer that is not OK; NULL: it gave none in time. Frees it. */
struct api_done *api_fail_reply(struct api_req *req, struct reply *reply) must_check;
/* 201 with Location: path + id. */
struct api_done *api_created(struct api_req *req, const char *path, struct id id, json_t *body)
	must_check;
/* Only for the WebSocket route and the dispatcher: the request was answered below us. */
struct api_done *api_gone(struct api_req *req) must_check;

/* Parks the request; `next` runs on some worker after web_wake(token) or timeout_ms. `state` is freed with the request. */
struct api_done *api_park(struct api_req *req, unsigned timeout_ms,
			  struct api_done *(*next)(struct api_req *req, void *state), void *state,
			  void (*state_free)(void *state)) must_check;

/* ---- page.c: DRF's lists ---- */
/* ?page=, ?page_size=, ?ordering=. Return: NULL, or the 404 for a page that cannot be. */
struct api_done *api_page(struct api_req *req, struct db_page *ret) must_check;
/* {"count", "next", "previous", "results"}; `results` is taken over. */
struct api_done *api_list(struct api_req *req, const struct db_page_info *info, json_t *results)
	must_check;
/* The same as text, for lists that are long or read often: a row is written into `rows`, an object of its own. */
struct api_list_out {
	struct buf text;
	struct jot rows;
};
void api_list_begin(struct api_req *req, const struct db_page_info *info, struct api_list_out *ret);
struct api_done *api_list_end(struct api_req *req, struct api_list_out *list) must_check;
/* Filters: a value that cannot be is complained of. */
void api_filter_id(struct api_req *req, const char *name, struct id *ret, json_t **complaints);
/* One that may come several times, or with commas. Return: how many ids there are. */
unsigned api_filter_ids(struct api_req *req, const char *name, unsigned max, struct id *ret,
			json_t **complaints);
/* Return: index in names or -1 when absent (or complained of). */
int api_filter_word(struct api_req *req, const char *name, const char *const *names,
		    json_t **complaints);
void api_filter_time(struct api_req *req, const char *name, int64_t *ret, json_t **complaints);
void api_filter_int(struct api_req *req, const char *name, int64_t min, int64_t max, int *ret,
		    json_t **complaints);
const char *api_filter_text(struct api_req *req, const char *name, json_t **complaints);

/* ---- audit.c ---- */
/* That the one who asks did it; in the transaction of `db`, if there is one. Takes `detail`, which may be NULL. */
must_check int api_audit(struct api_req *req, struct db *db, const char *action, const char *object,
			 struct id object_id, json_t *detail);

/* ---- body.c ---- */
/* Return: NULL with req->body set, or the 400 or 415. */
struct api_done *api_take_body(struct api_req *req) must_check;
/* Idempotency-Key. Return: NULL, or the answer that is there already. */
struct api_done *api_claim_key(struct api_req *req) must_check;

/* ---- check.c: members of bodies ---- */
/* A required or optional string of 1..max bytes without control characters; NULL when absent or complained of. */
const char *api_str(const json_t *body, const char *name, bool required, size_t max,
		    json_t **complaints);
/* Complains when it is absent or null. */
void api_required(const json_t *body, const char *name, json_t **complaints);
bool api_id(const json_t *body, const char *name, bool required, struct id *ret,
	    json_t **complaints);
void api_int(const json_t *body, const char *name, int min, int max, int *ret, json_t **complaints);
void api_bool(const json_t *body, const char *name, bool *ret, json_t **complaints);
/* Return: index of the word in names, or `otherwise`. */
int api_word(const json_t *body, const char *name, const char *const *names, int otherwise,
	     json_t **complaints);
/* A number that can be dialled, cleaned of the separators people write. Return: false when complained of. */
bool api_number(const json_t *body, const char *name, bool required,
		char ret[static VIEW_NUMBER_SIZE], json_t **complaints);
/* A conference room's name, required. */
void api_room(const json_t *body, const char *name, char ret[static VIEW_NAME_SIZE],
	      json_t **complaints);
/* NULL or the complaint: whether users may name this host. */
const char *api_server_complaint(const struct api *api, const char *server);
/* `connect` of API.md section 6. */
void api_connect(struct api_req *req, const json_t *body, bool required, struct connect_spec *ret,
		 json_t **complaints);

/* ---- ask.c: the call loop ---- */
struct asker api_asker(const struct api_req *req);
/* Posts and waits; what `command` owns is taken. NULL: no answer in time. */
struct reply *api_ask(struct api_req *req, struct command *command) must_check;
/* A page of live things (COMMAND_CALLS, COMMAND_CONFERENCES): the call loop pages, `row` writes each
 * result.
 */
struct api_done *api_list_live(struct api_req *req, enum command_type type,
			       void (*row)(struct jot *out, const struct reply *reply, unsigned i))
	must_check;
/* The same of a command that has more to say; takes what it owns. */
struct api_done *api_list_live_of(struct api_req *req, struct command *command,
				  void (*row)(struct jot *out, const struct reply *reply,
					      unsigned i)) must_check;
/* Posts without waiting for an answer. Return: false when the call loop's queue is full. */
bool api_tell(struct api *api, struct command *command) must_check;
bool api_tell_user(struct api *api, const struct user *user) must_check;

/* ---- password.c ---- */
/* Parks the request while a hasher verifies `password` against `hash` (NULL: the dummy) and, when new_password is given,
 * hashes that. `next` gets a struct password_result. Return: 503 when too many wait.
 */
struct password_result {
	bool matches;
	char new_hash[128]; /* "" without new_password */
	void *state;	    /* the caller's, freed with it */
	void (*state_free)(void *state);
};
struct api_done *api_hash(struct api_req *req, const char *password, const char *hash,
			  const char *new_password,
			  struct api_done *(*next)(struct api_req *req, void *result), void *state,
			  void (*state_free)(void *state)) must_check;

/* ---- throttle.c: how often an account or an address may try; lock-free, of a fixed size ---- */
enum throttle_kind {
	THROTTLE_LOGIN_PAIR,
	THROTTLE_LOGIN_ADDRESS,
	THROTTLE_LOGIN_ACCOUNT,
	THROTTLE_SIGNUP,
	THROTTLE_ROOM_PIN,
	THROTTLE_OPUS, /* each is a whole recording encoded anew, also for a part of it */
	THROTTLE_KINDS
};
struct throttle *throttle_new(void);
struct throttle *throttle_free(struct throttle *throttle);
/* Counts one try. Return: 0, or the seconds after which to come again (nothing was counted). */
unsigned throttle_take(struct throttle *throttle, enum throttle_kind kind, const char *a,
		       const char *b, uint64_t now_ms);
/* The try was a good one: it does not count. */
void throttle_give_back(struct throttle *throttle, enum throttle_kind kind, const char *a,
			const char *b);

/* ---- server.c ---- */
/* Return: NULL with *ret set, or the 401. Also used for `bearer.` subprotocols. */
struct api_done *api_authenticate(struct api_req *req, const char *token, struct api_user *ret)
	must_check;
/* Rights of a user changed: tokens are looked at anew, and WebSockets of the user are closed. */
void api_rights_changed(struct api *api, struct id tenant, struct id user);

/* ---- auth.c ---- */
json_t *api_user_json(const struct user *user);

/* ---- profiles.c ---- */
/* Whose a profile is: 404 for another tenant's, 403 for another's whom the asker may not touch. */
struct api_done *api_profile_get(struct api_req *req, struct id id, bool to_change,
				 struct sip_profile *ret) must_check;

/* ---- calls.c ---- */
/* What the call loop said of a call, or did: its view with that status, else the error. Frees it. */
struct api_done *api_call_reply(struct api_req *req, int status, struct reply *reply) must_check;
/* What is done to a live call. Return: NULL with the call loop's OK, or the answer: it was refused, or is not live. */
struct api_done *api_ask_live(struct api_req *req, struct command *command,
			      struct reply **ret_reply) must_check;
/* The call is not live: 409 when it was, else 404. `ended_is_fine`: 200 with the ended call instead. */
struct api_done *api_call_not_live(struct api_req *req, struct id id, bool ended_is_fine)
	must_check;

/* ---- control.c ---- */
enum dtmf_mask api_mask(const json_t *body, const char *name, json_t **complaints);

/* ---- prompts.c ---- */
/* Where a prompt's WAV file lies. Return: false when the path is too long. */
bool api_prompt_path(const struct api *api, struct id tenant, struct id id, char *ret, size_t size)
	must_check;

/* ---- events.c ---- */
struct events *events_new(struct api *api);
struct events *events_free(struct events *events); /* before ws_stop() */
void events_kick(struct events *events, struct id tenant, struct id user);
struct tickets *tickets_new(void);
struct tickets *tickets_free(struct tickets *tickets);
