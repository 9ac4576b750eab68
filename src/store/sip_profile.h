/* store/sip_profile.h - table sip_profile: an account at a SIP provider, or a trunk known by address
 *
 * The enumerations have the order of engine/spec.h's.
 */
#pragma once

#include "base/jot.h"
#include "db/query.h"

struct seal;

enum profile_transport { PROFILE_UDP, PROFILE_TCP, PROFILE_TLS };
enum profile_incoming {
	PROFILE_INCOMING_OWNER,
	PROFILE_INCOMING_API,
	PROFILE_INCOMING_NUMBER,
	PROFILE_INCOMING_USER,
	PROFILE_INCOMING_IVR,
	PROFILE_INCOMING_CONFERENCE,
};
enum profile_record { PROFILE_RECORD_NEVER, PROFILE_RECORD_ALWAYS, PROFILE_RECORD_ON_DEMAND };

extern const char *const profile_transport_names[];   /* udp tcp tls */
extern const char *const profile_caller_mode_names[]; /* from from_pai pai ppi rpid anonymous */
extern const char *const profile_codec_names[];	      /* opus G722 PCMU PCMA */
extern const char *const profile_dtmf_mode_names[];   /* auto rfc4733 info inband */
extern const char *const profile_srtp_names[];	      /* off optional required */
extern const char *const profile_record_names[];      /* never always on_demand */
extern const char *const profile_incoming_names[];    /* owner api number user ivr conference */

struct sip_profile {
	struct id id, tenant_id;
	const char *name, *server;
	int port; /* 0: by RFC 3263 */
	int transport;
	const char *username, *auth_username;
	const char *password; /* bodies only: NULL leaves the stored one alone */
	const char *secret;   /* the password, sealed */
	const char *outbound_proxy;
	bool register_; /* "register" */
	bool enabled;	/* false: unregistered by the user, until registered again */
	int expires;
	const char *caller_number, *caller_name; /* "caller_id": {number, name, mode} */
	int caller_mode;
	const char **codecs; /* in order of preference */
	int dtmf_mode, srtp, max_calls, record;
	struct id owner;	     /* user */
	int incoming_type;	     /* "incoming": {type, ...} */
	const char *incoming_target; /* number, room */
	struct id incoming_id;	     /* user_id, profile_id or ivr_id */
	const char *line_token; /* our Contact's user part: opaque, unique, kept over restarts */
	int min_expires;	/* learnt from a 423, 0: none */
	int64_t created_at, updated_at;
	bool mask_dtmf;	      /* which digits come in is told to nobody */
	bool record_beep;     /* those on a recording hear that they are */
	struct id hold_music; /* prompt that is played to whom its calls hold; none: ours */
};

/* Members a new profile has when its body is silent. */
extern const struct sip_profile profile_defaults;

#define PROFILE_COLS                                                                                       \
	"id, tenant_id, name, server, port, transport, username, auth_username, secret, outbound_proxy, "  \
	"register, enabled, expires, caller_number, caller_name, caller_mode, codecs, dtmf_mode, srtp, "   \
	"max_calls, record, owner, incoming_type, incoming_target, incoming_id, line_token, min_expires, " \
	"created_at, updated_at, mask_dtmf, hold_music, record_beep"
extern const struct field profile_fields[];

enum {
	PROFILE_E_EXISTS = 64, /* this server and user name are in the tenant already */
	PROFILE_E_OWNER,       /* no such user in the tenant */
};

/* A body of API.md section 4 into *profile (which holds profile_defaults or the stored one when `partial`), nested
 * members, lengths, forbidden characters and rules between members included.
 * Return: NULL or the complaints (new reference).
 */
json_t *profile_from_json(const json_t *body, bool partial, struct arena *arena,
			  struct sip_profile *profile) must_check;
/* {number, name?, mode?} of set-caller-id, or of a body's caller_id. */
json_t *profile_caller_from_json(const json_t *body, struct arena *arena,
				 struct sip_profile *profile) must_check;
/* As the API shows it, without `registration`, which its asker adds. */
json_t *profile_to_json(const struct sip_profile *profile);
/* The same members as text, in the object that is open. */
void profile_jot(struct jot *out, const struct sip_profile *profile);

/* id, line_token and times are filled in when they are none; `password` is sealed into `secret`.
 * Return: 0, PROFILE_E_EXISTS, PROFILE_E_OWNER.
 */
must_check int profile_insert(struct db *db, const struct seal *seal, struct sip_profile *profile,
			      struct arena *arena);
must_check int profile_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			   struct sip_profile *ret);
/* The same, to be changed: inside a transaction, until whose end everybody else who wants to change it waits. */
must_check int profile_get_locked(struct db *db, struct arena *arena, struct id tenant,
				  struct id id, struct sip_profile *ret);
/* All but id, tenant, line_token and created_at; the secret only when `password` is not NULL.
 * Return: 0, DB_E_NONE, PROFILE_E_EXISTS, PROFILE_E_OWNER.
 */
must_check int profile_update(struct db *db, const struct seal *seal, struct sip_profile *profile,
			      struct arena *arena);
must_check int profile_delete(struct db *db, struct id tenant, struct id id);
must_check int profile_set_enabled(struct db *db, struct id tenant, struct id id, bool enabled);
must_check int profile_set_min_expires(struct db *db, struct id tenant, struct id id,
				       int min_expires);
/* The password into a buffer of SEAL_MAX + 1 bytes; zero it after use (seal_forget()). Return: 0 or SEAL_E_BAD. */
must_check int profile_password(const struct seal *seal, const struct sip_profile *profile,
				char *ret_plain);

struct profile_filter {
	struct db_page page;  /* ordering: name, server, username, created_at, updated_at */
	const char *search;   /* name, server, username, caller number */
	struct id owner;      /* none: anybody's */
	const struct id *ids; /* only these (a filter by live state); NULL: all */
	unsigned id_count;
};
must_check int profile_list(struct db *db, struct arena *arena, struct id tenant,
			    const struct profile_filter *filter, struct sip_profile **ret_rows,
			    struct db_page_info *ret_info);
/* Ids of all the filter finds, whatever the page; at most `max`. */
must_check int profile_ids(struct db *db, struct arena *arena, struct id tenant, struct id owner,
			   unsigned max, struct id **ret_ids, size_t *ret_count);
/* The profile a user's phone dials through: the chosen one, else the user's oldest. Return: 0 or DB_E_NONE. */
must_check int profile_default(struct db *db, struct arena *arena, struct id tenant, struct id user,
			       struct sip_profile *ret);
/* Every profile of every tenant, for the call loop's start. */
must_check int profile_each(struct db *db,
			    int (*on_profile)(void *arg, const struct sip_profile *profile),
			    void *arg);
