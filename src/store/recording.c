#include "store/recording.h"

#include "store/private.h"
#include "store/setting.h"

#include <sodium.h>
#include <stdio.h>

const char *const recording_row_states[] = { "recording", "paused",  "processing", "ready",
					     "failed",	  "deleted", NULL };

const struct field recording_fields[] = {
	FIELD(struct recording_row, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct recording_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct recording_row, call_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct recording_row, profile_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct recording_row, user_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct recording_row, state, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct recording_row, layout, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct recording_row, rate, FIELD_INT, FIELD_READ_ONLY),
	FIELD(struct recording_row, started_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct recording_row, ended_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct recording_row, duration_ms, FIELD_I64, FIELD_READ_ONLY),
	FIELD(struct recording_row, size, FIELD_I64, FIELD_READ_ONLY),
	FIELD(struct recording_row, sha256, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct recording_row, reason, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct recording_row, repaired, FIELD_BOOL, FIELD_READ_ONLY),
	FIELD(struct recording_row, storage, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct recording_row, secret, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct recording_row, seq, FIELD_I64, FIELD_NO_JSON),
	FIELD(struct recording_row, other_user_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct recording_row, legal_hold, FIELD_BOOL, FIELD_READ_ONLY),
	{ 0 },
};

int recording_put(struct db *db, struct recording_row *row, struct arena *arena)
{
	int r = db_exec(
		db,
		"INSERT INTO recording (" RECORDING_COLS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
		" $19, $20)"
		" ON CONFLICT (id) DO UPDATE SET state = excluded.state, ended_at = excluded.ended_at,"
		" duration_ms = excluded.duration_ms, size = excluded.size, sha256 = excluded.sha256,"
		" reason = excluded.reason, repaired = excluded.repaired, seq = excluded.seq"
		" WHERE recording.tenant_id = excluded.tenant_id AND recording.seq < excluded.seq"
		" AND recording.state <> 'deleted'",
		db_args_of(recording_fields, row, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

int recording_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
		  struct recording_row *ret)
{
	int r = db_get(db,
		       "SELECT " RECORDING_COLS
		       " FROM recording WHERE tenant_id = $1 AND id = $2 AND state <> 'deleted'",
		       DB_ARGS(V(tenant), V(id)), recording_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int recording_of_call(struct db *db, struct arena *arena, struct id tenant, struct id call,
		      struct recording_row *ret)
{
	int r = db_get(
		db,
		"SELECT " RECORDING_COLS
		" FROM recording WHERE tenant_id = $1 AND call_id = $2 AND state <> 'deleted'"
		" ORDER BY CASE WHEN size > 0 THEN 0 ELSE 1 END, started_at DESC, id DESC LIMIT 1",
		DB_ARGS(V(tenant), V(call)), recording_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int recording_open_ones(struct db *db, struct arena *arena, struct recording_row **ret_rows,
			size_t *ret_count)
{
	int r = db_list(
		db,
		"SELECT " RECORDING_COLS
		" FROM recording WHERE state IN ('recording', 'paused', 'processing') ORDER BY id",
		DB_NO_ARGS, recording_fields, sizeof(**ret_rows), arena, ret_rows, ret_count);

	return r < 0 ? err_pass(r) : r;
}

/* The call's row names the newest that is left. */
static int leave_call(struct db *db, struct id tenant, struct id id, struct id *ret_left)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct recording_row gone, left = { 0 };
	int r = db_get(db,
		       "SELECT " RECORDING_COLS " FROM recording WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), recording_fields, arena, &gone);

	if (r == 0)
		r = recording_of_call(db, arena, tenant, gone.call_id, &left);
	if (r && r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;
	r = db_exec(db,
		    "UPDATE call SET recording_id = $4 WHERE tenant_id = $1 AND id = $2"
		    " AND recording_id = $3",
		    DB_ARGS(V(tenant), V(gone.call_id), V(id), V(left.id)), NULL);
	*ret_left = left.id;
	return r < 0 ? err_pass(r) : r;
}

int recording_delete(struct db *db, struct id tenant, struct id id, struct id *ret_left)
{
	int r = db_change(db,
			  "UPDATE recording SET state = 'deleted', secret = NULL"
			  " WHERE tenant_id = $1 AND id = $2 AND state IN ('ready', 'failed')"
			  " AND NOT legal_hold",
			  DB_ARGS(V(tenant), V(id)));

	if (r == 0)
		r = leave_call(db, tenant, id, ret_left);
	return r < 0 ? err_pass(r) : r;
}

int recording_hold(struct db *db, struct id tenant, struct id id, bool held)
{
	int r = db_change(db,
			  "UPDATE recording SET legal_hold = $3"
			  " WHERE tenant_id = $1 AND id = $2 AND state IN ('ready', 'failed')",
			  DB_ARGS(V(tenant), V(id), V(held)));

	return r < 0 ? err_pass(r) : r;
}

int recording_expired(struct db *db, struct arena *arena, struct id tenant, int64_t before_us,
		      int limit, struct recording_row **ret_rows, size_t *ret_count)
{
	int r = db_list(db,
			"SELECT " RECORDING_COLS
			" FROM recording WHERE tenant_id = $1 AND started_at < $2"
			" AND state IN ('ready', 'failed') AND NOT legal_hold"
			" ORDER BY started_at, id LIMIT $3",
			DB_ARGS(V(tenant), V(before_us), V(limit)), recording_fields,
			sizeof(**ret_rows), arena, ret_rows, ret_count);

	return r < 0 ? err_pass(r) : r;
}

int recording_of_file(struct db *db, struct arena *arena, struct id tenant, const char *storage,
		      struct recording_row *ret)
{
	int r = db_get(db,
		       "SELECT " RECORDING_COLS
		       " FROM recording WHERE tenant_id = $1 AND storage = $2",
		       DB_ARGS(V(tenant), V(storage)), recording_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

/* ---- how long ---- */

#define KEEP_SETTING "recordings"

int recording_keep_get(struct db *db, struct id tenant, int *ret_days)
{
	json_t *value = NULL;
	int days = RECORDING_KEEP_DEFAULT;
	int r = setting_get(db, tenant, KEEP_SETTING, &value);

	if (r == 0)
		(void)json_unpack(value, "{s?:i}", "retention_days", &days);
	json_decref(value);
	if (r && r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;
	*ret_days = days < 0 || days > RECORDING_KEEP_MAX ? RECORDING_KEEP_DEFAULT : days;
	return 0;
}

int recording_keep_put(struct db *db, struct id tenant, int days)
{
	json_t *value;
	int r;

	if (days == RECORDING_KEEP_DEFAULT) {
		r = setting_delete(db, tenant, KEEP_SETTING);
		return r == DB_E_NONE ? 0 : r < 0 ? err_pass(r) : r;
	}
	value = json_pack("{s:i}", "retention_days", days);
	r = setting_put(db, tenant, KEEP_SETTING, value, clock_wall_us());
	json_decref(value);
	return r < 0 ? err_pass(r) : r;
}

static const struct db_list recording_list_table = {
	.select = "SELECT " RECORDING_COLS " FROM recording",
	.count = "SELECT count(*) FROM recording",
	.fields = recording_fields,
	.row_size = sizeof(struct recording_row),
	.orders =
		(const struct db_order[]){ { "started_at" }, { "duration_ms" }, { "size" }, { 0 } },
	.order = "started_at DESC",
	.tie = "id",
};

int recording_list(struct db *db, struct arena *arena, struct id tenant,
		   const struct recording_filter *filter, struct recording_row **ret_rows,
		   struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (filter->state)
		db_where(&query, "state = ?", V(filter->state));
	else
		db_where_only(&query, "state <> 'deleted'");
	if (!id_is_none(filter->call))
		db_where(&query, "call_id = ?", V(filter->call));
	if (!id_is_none(filter->profile))
		db_where(&query, "profile_id = ?", V(filter->profile));
	if (!id_is_none(filter->user))
		db_where(&query, "user_id = ?", V(filter->user));
	if (!id_is_none(filter->visible_to))
		db_where(
			&query,
			"(user_id = ? OR other_user_id = ? OR profile_id IN (SELECT p.id FROM sip_profile p"
			" WHERE p.tenant_id = recording.tenant_id AND p.owner = ?))",
			V(filter->visible_to));
	if (filter->started_after)
		db_where(&query, "started_at >= ?", V(filter->started_after));
	if (filter->started_before)
		db_where(&query, "started_at < ?", V(filter->started_before));
	r = db_page(db, &query, &recording_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}

/* ---- keys ---- */

#define PLACE_SIZE 64

/* A tenant's own: in another tenant's row the key does not open. */
static const char *place(struct id tenant, char buf[static PLACE_SIZE])
{
	(void)snprintf(buf, PLACE_SIZE, "recording@%s", id_str(tenant));
	return buf;
}

const char *recording_seal_key(const struct seal *seal, struct id tenant, struct id id,
			       const uint8_t key[static RECORDING_KEY], struct arena *arena)
{
	char hex[RECORDING_KEY * 2 + 1], table[PLACE_SIZE];
	const char *sealed;

	sodium_bin2hex(hex, sizeof(hex), key, RECORDING_KEY);
	sealed = seal_text(seal, place(tenant, table), id, hex, arena);
	seal_forget(hex, sizeof(hex));
	return sealed;
}

int recording_open_key(const struct seal *seal, const struct recording_row *row,
		       uint8_t ret_key[static RECORDING_KEY])
{
	char hex[SEAL_MAX + 1], table[PLACE_SIZE];
	int r = row->secret
			? seal_unseal(seal, place(row->tenant_id, table), row->id, row->secret, hex)
			: SEAL_E_BAD;

	if (r)
		return r;
	if (sodium_hex2bin(ret_key, RECORDING_KEY, hex, strlen(hex), NULL, NULL, NULL) ||
	    strlen(hex) != RECORDING_KEY * 2)
		r = SEAL_E_BAD;
	seal_forget(hex, sizeof(hex));
	return r;
}
