#include "store/monitor.h"

#include "store/audit.h"
#include "store/private.h"

const struct field monitor_fields[] = {
	FIELD(struct monitor_row, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct monitor_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct monitor_row, call_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct monitor_row, profile_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct monitor_row, user_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct monitor_row, room, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct monitor_row, mode, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct monitor_row, state, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct monitor_row, muted, FIELD_BOOL, FIELD_READ_ONLY),
	FIELD(struct monitor_row, beep, FIELD_BOOL, FIELD_READ_ONLY),
	FIELD(struct monitor_row, follow_agent, FIELD_BOOL, FIELD_READ_ONLY),
	FIELD(struct monitor_row, target_leg, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct monitor_row, leg_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct monitor_row, address, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct monitor_row, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct monitor_row, started_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct monitor_row, ended_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct monitor_row, reason, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct monitor_row, seq, FIELD_I64, FIELD_NO_JSON),
	{ 0 },
};

int monitor_put(struct db *db, struct monitor_row *row, struct arena *arena)
{
	int r = db_exec(
		db,
		"INSERT INTO monitor (" MONITOR_COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
		" $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
		" ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id,"
		" profile_id = excluded.profile_id, room = excluded.room, mode = excluded.mode,"
		" state = excluded.state, muted = excluded.muted, beep = excluded.beep,"
		" target_leg = excluded.target_leg, leg_id = excluded.leg_id,"
		" address = excluded.address, started_at = excluded.started_at,"
		" ended_at = excluded.ended_at, reason = excluded.reason, seq = excluded.seq"
		" WHERE monitor.tenant_id = excluded.tenant_id AND monitor.seq < excluded.seq",
		db_args_of(monitor_fields, row, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

int monitor_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
		struct monitor_row *ret)
{
	int r = db_get(db, "SELECT " MONITOR_COLS " FROM monitor WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), monitor_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

/* When it ended nobody knows: the audit has the time at which this was noticed. */
static int close_one(struct db *db, struct monitor_row *row, struct arena *arena)
{
	json_t *detail = json_pack("{s:s, s:s}", "mode", row->mode, "reason", "interrupted");
	struct audit entry = {
		.tenant_id = row->tenant_id,
		.action = "monitor.stopped",
		.object = "monitor",
		.object_id = row->id,
		.detail = detail,
	};
	int r = audit_insert(db, &entry, arena);

	json_decref(detail);
	row->state = "ended";
	row->reason = "interrupted";
	row->ended_at = entry.time;
	row->seq++;
	if (r == 0)
		r = monitor_put(db, row, arena);
	return r < 0 ? err_pass(r) : r;
}

static int close_open(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	int64_t *count = arg;
	struct monitor_row *rows;
	size_t found;
	int r;

	*count = 0;
	do {
		arena_reset(arena);
		r = db_list(db,
			    "SELECT " MONITOR_COLS
			    " FROM monitor WHERE ended_at IS NULL ORDER BY id LIMIT 500",
			    DB_NO_ARGS, monitor_fields, sizeof(*rows), arena, &rows, &found);
		for (size_t i = 0; r == 0 && i < found; i++)
			r = close_one(db, &rows[i], arena);
		*count += (int64_t)found;
	} while (r == 0 && found);
	return r < 0 ? err_pass(r) : r;
}

int monitor_close_open(struct db *db, int64_t *ret_count)
{
	int64_t count;
	int r = db_transact(db, close_open, &count);

	if (r == 0)
		*ret_count = count;
	return r < 0 ? err_pass(r) : r;
}
