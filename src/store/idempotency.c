#include "store/idempotency.h"

#include "store/private.h"

struct idem_row {
	const char *route, *request_hash;
	int status; /* 0: not answered yet */
	const char *body, *location;
	int64_t created_at;
};

static const struct field idem_fields[] = {
	FIELD(struct idem_row, route, FIELD_STR, 0),
	FIELD(struct idem_row, request_hash, FIELD_STR, 0),
	FIELD(struct idem_row, status, FIELD_INT, 0),
	FIELD(struct idem_row, body, FIELD_STR, 0),
	FIELD(struct idem_row, location, FIELD_STR, 0),
	FIELD(struct idem_row, created_at, FIELD_TIME, 0),
	{ 0 },
};

const char *idempotency_hash(struct arena *arena, const void *body, size_t len)
{
	char hash[HASH_TEXT_SIZE];

	hash_text(body, len, hash);
	return arena_strdup(arena, hash);
}

/* A new key, an old one whose day has passed, or one whose request died: one statement, so one winner. */
static int claim(struct db *db, const struct idempotency *request, int64_t now_us)
{
	return db_change(
		db,
		"INSERT INTO idempotency_key (tenant_id, user_id, idem_key, route, request_hash, status,"
		" created_at) VALUES ($1, $2, $3, $4, $5, 0, $6)"
		" ON CONFLICT (tenant_id, user_id, idem_key) DO UPDATE SET route = excluded.route,"
		" request_hash = excluded.request_hash, status = 0, body = NULL, location = NULL,"
		" created_at = excluded.created_at"
		" WHERE idempotency_key.created_at < $7"
		" OR (idempotency_key.status = 0 AND idempotency_key.created_at < $8)",
		DB_ARGS(V(request->tenant), V(request->user), V(request->key), V(request->route),
			V(request->request_hash), V(now_us), V(now_us - IDEMPOTENCY_LIFE_US),
			V(now_us - IDEMPOTENCY_STALE_US)));
}

int idempotency_claim(struct db *db, struct arena *arena, const struct idempotency *request,
		      int64_t now_us, struct idempotency_answer *ret)
{
	struct idem_row row = { 0 };
	int r = claim(db, request, now_us);

	if (r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;
	r = db_get(
		db,
		"SELECT route, request_hash, status, body, location, created_at FROM idempotency_key"
		" WHERE tenant_id = $1 AND user_id = $2 AND idem_key = $3",
		DB_ARGS(V(request->tenant), V(request->user), V(request->key)), idem_fields, arena,
		&row);
	if (r == DB_E_NONE)
		return IDEMPOTENCY_E_RUNNING; /* dropped this moment: the next try gets it */
	if (r)
		return r < 0 ? err_pass(r) : r;
	if (!str_eq(row.route, request->route) || !str_eq(row.request_hash, request->request_hash))
		return IDEMPOTENCY_E_OTHER;
	if (!row.status)
		return IDEMPOTENCY_E_RUNNING;
	*ret = (struct idempotency_answer){ row.status, row.body, row.location };
	return IDEMPOTENCY_E_DONE;
}

int idempotency_finish(struct db *db, const struct idempotency *request, int status,
		       const char *body, const char *location)
{
	int r = db_change(db,
			  "UPDATE idempotency_key SET status = $4, body = $5, location = $6"
			  " WHERE tenant_id = $1 AND user_id = $2 AND idem_key = $3",
			  DB_ARGS(V(request->tenant), V(request->user), V(request->key), V(status),
				  V(body), V(location)));

	return r < 0 ? err_pass(r) : r;
}

int idempotency_drop(struct db *db, const struct idempotency *request)
{
	int r = db_exec(
		db,
		"DELETE FROM idempotency_key WHERE tenant_id = $1 AND user_id = $2 AND idem_key = $3"
		" AND status = 0",
		DB_ARGS(V(request->tenant), V(request->user), V(request->key)), NULL);

	return r < 0 ? err_pass(r) : r;
}

int idempotency_prune(struct db *db, int64_t now_us)
{
	int r = db_exec(db, "DELETE FROM idempotency_key WHERE created_at < $1",
			DB_ARGS(V(now_us - IDEMPOTENCY_LIFE_US)), NULL);

	return r < 0 ? err_pass(r) : r;
}
