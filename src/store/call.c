/* The journal's writes and single reads; lists are in call_list.c */
#include "store/call.h"

const struct field call_row_fields[] = {
	FIELD(struct call_row, id, FIELD_ID, 0),
	FIELD(struct call_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct call_row, profile_id, FIELD_ID, 0),
	FIELD(struct call_row, user_id, FIELD_ID, 0),
	FIELD(struct call_row, direction, FIELD_STR, 0),
	FIELD(struct call_row, state, FIELD_STR, 0),
	FIELD(struct call_row, from, FIELD_STR, 0),
	FIELD(struct call_row, to, FIELD_STR, 0),
	FIELD(struct call_row, from_name, FIELD_STR, 0),
	FIELD(struct call_row, created_at, FIELD_TIME, 0),
	FIELD(struct call_row, ringing_at, FIELD_TIME, 0),
	FIELD(struct call_row, answered_at, FIELD_TIME, 0),
	FIELD(struct call_row, ended_at, FIELD_TIME, 0),
	FIELD(struct call_row, ring_s, FIELD_INT, 0),
	FIELD(struct call_row, talk_s, FIELD_INT, 0),
	FIELD(struct call_row, hold_s, FIELD_INT, 0),
	FIELD(struct call_row, hold_local, FIELD_BOOL, 0),
	FIELD(struct call_row, hold_remote, FIELD_BOOL, 0),
	FIELD(struct call_row, recording, FIELD_STR, 0),
	FIELD(struct call_row, recording_id, FIELD_ID, 0),
	FIELD(struct call_row, room, FIELD_STR, 0),
	FIELD(struct call_row, end_reason, FIELD_STR, 0),
	FIELD(struct call_row, sip_code, FIELD_INT, 0),
	FIELD(struct call_row, q850, FIELD_INT, 0),
	FIELD(struct call_row, hangup_by, FIELD_STR, 0),
	FIELD(struct call_row, transferred_from, FIELD_ID, 0),
	FIELD(struct call_row, transferred_to, FIELD_ID, 0),
	FIELD(struct call_row, variables, FIELD_STR, 0),
	FIELD(struct call_row, call_seq, FIELD_I64, 0),
	FIELD(struct call_row, last_at, FIELD_TIME, 0),
	{ 0 },
};

const struct field call_leg_fields[] = {
	FIELD(struct call_leg_row, id, FIELD_ID, 0),
	FIELD(struct call_leg_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct call_leg_row, call_id, FIELD_ID, 0),
	FIELD(struct call_leg_row, position, FIELD_INT, 0),
	FIELD(struct call_leg_row, role, FIELD_STR, 0),
	FIELD(struct call_leg_row, kind, FIELD_STR, 0),
	FIELD(struct call_leg_row, state, FIELD_STR, 0),
	FIELD(struct call_leg_row, muted, FIELD_BOOL, 0),
	FIELD(struct call_leg_row, address, FIELD_STR, 0),
	FIELD(struct call_leg_row, codec, FIELD_STR, 0),
	FIELD(struct call_leg_row, profile_id, FIELD_ID, 0),
	FIELD(struct call_leg_row, device_id, FIELD_ID, 0),
	FIELD(struct call_leg_row, user_id, FIELD_ID, 0),
	FIELD(struct call_leg_row, created_at, FIELD_TIME, 0),
	FIELD(struct call_leg_row, ringing_at, FIELD_TIME, 0),
	FIELD(struct call_leg_row, answered_at, FIELD_TIME, 0),
	FIELD(struct call_leg_row, ended_at, FIELD_TIME, 0),
	FIELD(struct call_leg_row, end_reason, FIELD_STR, 0),
	FIELD(struct call_leg_row, sip_code, FIELD_INT, 0),
	FIELD(struct call_leg_row, quality_known, FIELD_BOOL, 0),
	FIELD(struct call_leg_row, mos, FIELD_REAL, 0),
	FIELD(struct call_leg_row, jitter_ms, FIELD_REAL, 0),
	FIELD(struct call_leg_row, loss_pct, FIELD_REAL, 0),
	FIELD(struct call_leg_row, rtt_ms, FIELD_REAL, 0),
	{ 0 },
};

const struct field call_event_fields[] = {
	FIELD(struct call_event_row, id, FIELD_ID, 0),
	FIELD(struct call_event_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct call_event_row, call_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct call_event_row, call_seq, FIELD_I64, 0),
	FIELD(struct call_event_row, seq, FIELD_I64, 0),
	FIELD(struct call_event_row, type, FIELD_STR, 0),
	FIELD(struct call_event_row, time, FIELD_TIME, 0),
	FIELD(struct call_event_row, state, FIELD_STR, 0),
	FIELD(struct call_event_row, detail, FIELD_JSON, 0),
	{ 0 },
};

int call_row_put(struct db *db, struct call_row *call, struct arena *arena, bool *ret_applied)
{
	int r = db_change(
		db,
		"INSERT INTO call (" CALL_COLS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
		" $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)"
		" ON CONFLICT (id) DO UPDATE SET profile_id = excluded.profile_id, user_id = excluded.user_id,"
		" direction = excluded.direction, state = excluded.state, \"from\" = excluded.\"from\","
		" \"to\" = excluded.\"to\", from_name = excluded.from_name, ringing_at = excluded.ringing_at,"
		" answered_at = excluded.answered_at, ended_at = excluded.ended_at, ring_s = excluded.ring_s,"
		" talk_s = excluded.talk_s, hold_s = excluded.hold_s, hold_local = excluded.hold_local,"
		" hold_remote = excluded.hold_remote, recording = excluded.recording,"
		" recording_id = excluded.recording_id, room = excluded.room, end_reason = excluded.end_reason,"
		" sip_code = excluded.sip_code, q850 = excluded.q850, hangup_by = excluded.hangup_by,"
		" transferred_from = excluded.transferred_from, transferred_to = excluded.transferred_to,"
		" variables = excluded.variables, call_seq = excluded.call_seq, last_at = excluded.last_at"
		" WHERE call.tenant_id = excluded.tenant_id AND call.call_seq < excluded.call_seq",
		db_args_of(call_row_fields, call, DB_NO_ARGS, arena));

	if (r == 0 || r == DB_E_NONE) {
		*ret_applied = r == 0;
		return 0;
	}
	return r < 0 ? err_pass(r) : r;
}

int call_leg_put(struct db *db, struct call_leg_row *leg, struct arena *arena)
{
	int r = db_exec(
		db,
		"INSERT INTO call_leg (" CALL_LEG_COLS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
		" $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
		" ON CONFLICT (id) DO UPDATE SET position = excluded.position, role = excluded.role,"
		" kind = excluded.kind, state = excluded.state, muted = excluded.muted,"
		" address = excluded.address, codec = excluded.codec, profile_id = excluded.profile_id,"
		" device_id = excluded.device_id, user_id = excluded.user_id, ringing_at = excluded.ringing_at,"
		" answered_at = excluded.answered_at, ended_at = excluded.ended_at,"
		" end_reason = excluded.end_reason, sip_code = excluded.sip_code,"
		" quality_known = excluded.quality_known, mos = excluded.mos, jitter_ms = excluded.jitter_ms,"
		" loss_pct = excluded.loss_pct, rtt_ms = excluded.rtt_ms"
		" WHERE call_leg.tenant_id = excluded.tenant_id AND call_leg.call_id = excluded.call_id",
		db_args_of(call_leg_fields, leg, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

int call_event_put(struct db *db, struct call_event_row *event, struct arena *arena)
{
	int r = db_exec(db,
			"INSERT INTO call_event (" CALL_EVENT_COLS
			") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
			" ON CONFLICT (id) DO NOTHING",
			db_args_of(call_event_fields, event, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

int call_row_seq_put(struct db *db, struct id tenant, int64_t seq)
{
	int r = db_exec(
		db,
		"INSERT INTO tenant_seq (tenant_id, seq) VALUES ($1, $2)"
		" ON CONFLICT (tenant_id) DO UPDATE SET seq = excluded.seq WHERE tenant_seq.seq < excluded.seq",
		DB_ARGS(V(tenant), V(seq)), NULL);

	return r < 0 ? err_pass(r) : r;
}

struct tenant_seq {
	struct id tenant_id;
	int64_t seq;
};

static const struct field tenant_seq_fields[] = {
	FIELD(struct tenant_seq, tenant_id, FIELD_ID, 0),
	FIELD(struct tenant_seq, seq, FIELD_I64, 0),
	{ 0 },
};

struct seq_reader {
	int (*on_seq)(void *arg, struct id tenant, int64_t seq);
	void *arg;
};

static int seq_row(void *arg, const void *row)
{
	const struct seq_reader *reader = arg;
	const struct tenant_seq *seq = row;

	return reader->on_seq(reader->arg, seq->tenant_id, seq->seq);
}

int call_row_seq_each(struct db *db, int (*on_seq)(void *arg, struct id tenant, int64_t seq),
		      void *arg)
{
	struct seq_reader reader = { on_seq, arg };
	int r = db_each(db, "SELECT tenant_id, seq FROM tenant_seq", DB_NO_ARGS, tenant_seq_fields,
			sizeof(struct tenant_seq), seq_row, &reader);

	return r < 0 ? err_pass(r) : r;
}

/* One call that a crash left open. Its times are derived from what was last known of it. */
static int close_one(struct db *db, const struct call_row *open, int64_t alive_us,
		     struct arena *arena)
{
	struct call_row call = *open;
	struct call_event_row event = { .id = id_new(),
					.tenant_id = call.tenant_id,
					.call_id = call.id,
					.type = "call.ended",
					.state = "ended" };
	bool applied;
	int r;

	call.state = "ended";
	call.end_reason = "interrupted";
	call.hangup_by = "platform";
	call.ended_at = alive_us > call.last_at ? alive_us : call.last_at;
	call.call_seq++;
	if (call.answered_at)
		call.talk_s = (int)((call.ended_at - call.answered_at) / 1000000);
	else if (call.ringing_at)
		call.ring_s = (int)((call.ended_at - call.ringing_at) / 1000000);
	event.call_seq = call.call_seq;
	event.time = call.ended_at;

	r = call_row_put(db, &call, arena, &applied);
	if (r == 0)
		r = db_exec(
			db,
			"UPDATE call_leg SET state = 'ended', end_reason = 'interrupted', ended_at = $3"
			" WHERE tenant_id = $1 AND call_id = $2 AND ended_at IS NULL",
			DB_ARGS(V(call.tenant_id), V(call.id), V(call.ended_at)), NULL);
	if (r == 0)
		r = call_event_put(db, &event, arena);
	return r < 0 ? err_pass(r) : r;
}

struct closing {
	int64_t alive_us, count;
};

static int close_open(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct closing *closing = arg;
	struct call_row *calls;
	size_t found;
	int r;

	closing->count = 0;
	do {
		arena_reset(arena);
		r = db_list(db,
			    "SELECT " CALL_COLS
			    " FROM call WHERE ended_at IS NULL ORDER BY id LIMIT 500",
			    DB_NO_ARGS, call_row_fields, sizeof(*calls), arena, &calls, &found);
		for (size_t i = 0; r == 0 && i < found; i++)
			r = close_one(db, &calls[i], closing->alive_us, arena);
		closing->count += (int64_t)found;
	} while (r == 0 && found);
	return r < 0 ? err_pass(r) : r;
}

int call_row_close_open(struct db *db, int64_t alive_us, int64_t *ret_count)
{
	struct closing closing = { .alive_us = alive_us };
	int r = db_transact(db, close_open, &closing);

	if (r == 0)
		*ret_count = closing.count;
	return r < 0 ? err_pass(r) : r;
}

int call_row_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
		 struct call_row *ret)
{
	int r = db_get(db, "SELECT " CALL_COLS " FROM call WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), call_row_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int call_row_legs(struct db *db, struct arena *arena, struct id tenant, struct id call,
		  struct call_leg_row **ret_rows, size_t *ret_count)
{
	int r = db_list(db,
			"SELECT " CALL_LEG_COLS
			" FROM call_leg WHERE tenant_id = $1 AND call_id = $2"
			" ORDER BY position, id LIMIT 1000",
			DB_ARGS(V(tenant), V(call)), call_leg_fields, sizeof(**ret_rows), arena,
			ret_rows, ret_count);

	return r < 0 ? err_pass(r) : r;
}

int call_row_timeline(struct db *db, struct arena *arena, struct id tenant, struct id call,
		      struct call_event_row **ret_rows, size_t *ret_count)
{
	int r = db_list(db,
			"SELECT " CALL_EVENT_COLS
			" FROM call_event WHERE tenant_id = $1 AND call_id = $2"
			" ORDER BY call_seq, time, id LIMIT 10000",
			DB_ARGS(V(tenant), V(call)), call_event_fields, sizeof(**ret_rows), arena,
			ret_rows, ret_count);

	return r < 0 ? err_pass(r) : r;
}
