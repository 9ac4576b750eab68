/* store/session.h - table session: refresh tokens, each of one use, in families (one a login)
 *
 * Only a hash of a token is kept. A used token that comes again within SESSION_GRACE_US is taken for a lost
 * answer or a second tab and gets a successor of its own; later it is taken for stolen: the whole
 * family ends (RFC 9700 4.14.2).
 */
#pragma once

#include "db/query.h"

#define SESSION_TOKEN_SIZE 48 /* with the NUL */
#define SESSION_GRACE_US (10 * 1000000ll)
#define SESSION_LIFE_US (14 * 86400 * 1000000ll)   /* without use */
#define SESSION_FAMILY_US (90 * 86400 * 1000000ll) /* from the login on */

struct session {
	struct id id, tenant_id, user_id;
	struct id family_id;
	const char *token_hash;
	const char *client_addr, *user_agent; /* of who got it */
	int64_t family_at;		      /* the login */
	int64_t created_at, expires_at, used_at, revoked_at;
};

#define SESSION_COLS                                                                                      \
	"id, tenant_id, user_id, family_id, token_hash, client_addr, user_agent, family_at, created_at, " \
	"expires_at, used_at, revoked_at"
extern const struct field session_fields[];

enum {
	SESSION_E_UNKNOWN = 64, /* no such token, or expired, or its family was ended before */
	SESSION_E_REUSED, /* used before, and not just now: the family has been ended by this call */
};

/* A login: a new family with its first token. `who` gives tenant_id, user_id, client_addr, user_agent and is
 * completed; the token goes to ret_token and nowhere else.
 */
must_check int session_start(struct db *db, struct session *who, int64_t now_us,
			     char ret_token[static SESSION_TOKEN_SIZE]);
/* A refresh: uses up `token`, makes its successor. *ret is the successor. Opens its own transaction.
 * Return: 0, SESSION_E_UNKNOWN, SESSION_E_REUSED (*ret then says whose family it was).
 */
must_check int session_rotate(struct db *db, struct arena *arena, const char *token,
			      const char *client_addr, const char *user_agent, int64_t now_us,
			      struct session *ret, char ret_token[static SESSION_TOKEN_SIZE]);
/* Whose token this is, whatever its state. Return: 0 or SESSION_E_UNKNOWN. */
must_check int session_by_token(struct db *db, struct arena *arena, const char *token,
				struct session *ret);
/* A logout: ends the token's family; an unknown token is fine. */
must_check int session_end(struct db *db, const char *token, int64_t now_us);
/* Ends all of a user's families but `keep_family`. */
must_check int session_end_user(struct db *db, struct id tenant, struct id user,
				struct id keep_family, int64_t now_us);
must_check int session_prune(struct db *db, int64_t now_us);
