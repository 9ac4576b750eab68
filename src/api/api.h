/* api/api.h - the REST and WebSocket interface: tables of routes, their handlers, authentication
 *
 * api_start() begins to listen; from then on requests are worked on by its own threads: the web thread (sockets),
 * the workers (one request at a time, each with its own database connection), the ws thread (WebSockets and the
 * event hub) and a few for hashing passwords. What is in `setup` outlives the api, its texts need not.
 */
#pragma once

#include "base/base.h"
#include "call/command.h"
#include "db/db.h"
#include "event/bus.h"
#include "http/web.h"
#include "store/seal.h"

struct api;

enum api_signup { API_SIGNUP_OPEN, API_SIGNUP_CLOSED };

struct api_setup {
	const char *listen; /* host:port of HTTP */
	const char *db_url;
	struct db_opts db;
	const char *data_dir;	  /* the token key lives there */
	int recordings_keep_days; /* of tenants that have not said; 0: for ever */
	const char *recordings_dir;
	const struct seal *seal;
	struct call_gate *gate;
	struct event_bus *bus;	 /* the hub reads it */
	struct journal *journal; /* whose rows some answers wait for; NULL: none do */
	const char *origins;	 /* comma-separated; NULL: none but our own */
	bool trust_forwarded;
	bool allow_private; /* users may name private and loopback servers */
	enum api_signup signup;
	unsigned workers; /* 0: 4 */
	unsigned queue;	  /* 0: 256 */
	unsigned hashers; /* threads for passwords; 0: 2 */
	const char *
		sip_host; /* what phones register to: shown with a new device; "": whatever the client calls us */
	int sip_port;
	const char *sip_transports; /* "udp,tcp,tls" */
	int profile_max_calls;	    /* the most an admin may give a profile; 0: 1000 */
	const char *version;
	/* Whether the rest of the daemon can work; a word for people into `why`. Any worker. May be NULL. */
	bool (*ready)(void *arg, struct buf *why);
	void *ready_arg;
	/* Limits for tests; 0: the defaults */
	unsigned max_connections, max_per_address;
};

/* Outcomes besides WEB_E_* */
enum { API_E_KEY = 64 /* the token key's file cannot be used: said in the log */ };

must_check int api_start(const struct api_setup *setup, struct api **ret_api);
/* Ends all requests and WebSockets, then the threads. */
struct api *api_stop(struct api *api);
DEFINE_CLEANUP(struct api *, api_stop)
unsigned api_port(const struct api *api);

/* METHOD PATH operationId scope, a line each, in the tables' order */
void api_routes_print(struct buf *out);
/* Calls for each route: for tests that compare them with other tables. */
void api_routes_each(void (*on_route)(void *arg, const char *method, const char *path,
				      const char *operation, const char *scope),
		     void *arg);

/* What a stored row is for the call loop: also used by the daemon when it loads everything at its start.
 * Each result is one malloc for command.body. Return: NULL when the row's secret does not open; a room comes all the
 * same, and says which of its PINs are unreadable: left out, its name would be anybody's.
 */
struct sip_profile;
struct device;
struct user;
struct tenant;
struct room_row;
struct line_spec *api_line_spec(const struct seal *seal, const struct sip_profile *profile);
struct device_spec *api_device_spec(const struct seal *seal, const struct device *device);
struct user_spec *api_user_spec(const struct user *user);
struct tenant_spec *api_tenant_spec(const struct tenant *tenant);
struct room_spec *api_room_spec(const struct seal *seal, const struct room_row *row);

/* argon2id, on the caller's thread (`create-admin`). Return: a crypto_pwhash_str() text, malloc. */
char *api_password_hash(const char *password);
/* NULL or what is wrong with a new password. */
const char *api_password_complaint(const char *password);
/* The same of an address. */
const char *api_email_complaint(const char *email);
