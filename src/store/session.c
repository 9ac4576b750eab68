#include "store/session.h"

#include "store/private.h"

#include <sodium.h>

#define TOKEN_BYTES 32
#define TOKEN_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(SESSION_TOKEN_SIZE >= 44, "32 bytes in base64 and the NUL");

const struct field session_fields[] = {
	FIELD(struct session, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct session, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct session, user_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct session, family_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct session, token_hash, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct session, client_addr, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct session, user_agent, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct session, family_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct session, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct session, expires_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct session, used_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct session, revoked_at, FIELD_TIME, FIELD_READ_ONLY),
	{ 0 },
};

static void token_make(char ret_token[static SESSION_TOKEN_SIZE])
{
	uint8_t random[TOKEN_BYTES];

	randombytes_buf(random, sizeof(random));
	sodium_bin2base64(ret_token, SESSION_TOKEN_SIZE, random, sizeof(random), TOKEN_VARIANT);
	sodium_memzero(random, sizeof(random));
}

static const char *token_hash(struct arena *arena, const char *token)
{
	char hash[HASH_TEXT_SIZE];

	hash_text(token, strlen(token), hash);
	return arena_strdup(arena, hash);
}

static int session_insert(struct db *db, struct arena *arena, struct session *session,
			  int64_t now_us, char ret_token[static SESSION_TOKEN_SIZE])
{
	int64_t family_ends = session->family_at + SESSION_FAMILY_US;
	int r;

	token_make(ret_token);
	session->id = id_new();
	session->token_hash = token_hash(arena, ret_token);
	session->created_at = now_us;
	session->expires_at =
		now_us + SESSION_LIFE_US < family_ends ? now_us + SESSION_LIFE_US : family_ends;
	session->used_at = session->revoked_at = 0;
	r = db_exec(db,
		    "INSERT INTO session (" SESSION_COLS ")"
		    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		    db_args_of(session_fields, session, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int session_start(struct db *db, struct session *who, int64_t now_us,
		  char ret_token[static SESSION_TOKEN_SIZE])
{
	auto_(arena_free) struct arena *arena = arena_new();
	int r;

	who->family_id = id_new();
	who->family_at = now_us;
	r = session_insert(db, arena, who, now_us, ret_token);
	who->token_hash = NULL;
	return r < 0 ? err_pass(r) : r;
}

int session_by_token(struct db *db, struct arena *arena, const char *token, struct session *ret)
{
	int r = db_get(db, "SELECT " SESSION_COLS " FROM session WHERE token_hash = $1",
		       DB_ARGS(V(token_hash(arena, token))), session_fields, arena, ret);

	if (r == DB_E_NONE)
		return SESSION_E_UNKNOWN;
	return r < 0 ? err_pass(r) : r;
}

static int family_end(struct db *db, struct id family, int64_t now_us)
{
	int r = db_exec(
		db,
		"UPDATE session SET revoked_at = $2 WHERE family_id = $1 AND revoked_at IS NULL",
		DB_ARGS(V(family), V(now_us)), NULL);

	return r < 0 ? err_pass(r) : r;
}

struct rotation {
	struct arena *arena;
	const char *token, *client_addr, *user_agent;
	int64_t now_us;
	struct session session;
	bool reused;
	char *ret_token;
};

/* The first to set used_at has the row; whoever comes at the same time finds it used just now: grace. */
static int rotate_body(struct db *db, void *arg)
{
	struct rotation *rot = arg;
	struct session *old = &rot->session;
	int r;

	rot->reused = false;
	r = db_exec(db, "UPDATE session SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
		    DB_ARGS(V(token_hash(rot->arena, rot->token)), V(rot->now_us)), NULL);
	if (r == 0)
		r = session_by_token(db, rot->arena, rot->token, old);
	if (r)
		return r < 0 ? err_pass(r) : r;
	if (old->revoked_at || old->expires_at <= rot->now_us)
		return SESSION_E_UNKNOWN;
	if (rot->now_us - old->used_at > SESSION_GRACE_US) {
		rot->reused = true;
		r = family_end(db, old->family_id, rot->now_us);
		return r < 0 ? err_pass(r) : r;
	}
	old->client_addr = rot->client_addr;
	old->user_agent = rot->user_agent;
	r = session_insert(db, rot->arena, old, rot->now_us, rot->ret_token);
	return r < 0 ? err_pass(r) : r;
}

int session_rotate(struct db *db, struct arena *arena, const char *token, const char *client_addr,
		   const char *user_agent, int64_t now_us, struct session *ret,
		   char ret_token[static SESSION_TOKEN_SIZE])
{
	struct rotation rot = { .arena = arena,
				.token = token,
				.client_addr = client_addr,
				.user_agent = user_agent,
				.now_us = now_us,
				.ret_token = ret_token };
	int r = db_transact(db, rotate_body, &rot);

	if (r)
		return r < 0 ? err_pass(r) : r;
	*ret = rot.session;
	return rot.reused ? SESSION_E_REUSED : 0;
}

int session_end(struct db *db, const char *token, int64_t now_us)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct session session;
	int r = session_by_token(db, arena, token, &session);

	if (r == SESSION_E_UNKNOWN)
		return 0;
	if (r == 0)
		r = family_end(db, session.family_id, now_us);
	return r < 0 ? err_pass(r) : r;
}

int session_end_user(struct db *db, struct id tenant, struct id user, struct id keep_family,
		     int64_t now_us)
{
	int r = db_exec(db,
			"UPDATE session SET revoked_at = $4 WHERE tenant_id = $1 AND user_id = $2"
			" AND ($3 IS NULL OR family_id <> $3) AND revoked_at IS NULL",
			DB_ARGS(V(tenant), V(user), V(keep_family), V(now_us)), NULL);

	return r < 0 ? err_pass(r) : r;
}

int session_prune(struct db *db, int64_t now_us)
{
	int r = db_exec(db, "DELETE FROM session WHERE expires_at < $1", DB_ARGS(V(now_us)), NULL);

	return r < 0 ? err_pass(r) : r;
}
