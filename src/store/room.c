#include "store/room.h"

#include "store/private.h"

const struct field room_fields[] = {
	FIELD(struct room_row, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct room_row, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct room_row, created_by, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct room_row, name, FIELD_STR, 0),
	FIELD(struct room_row, pin, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct room_row, moderator_pin, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct room_row, max_members, FIELD_INT, 0),
	FIELD(struct room_row, grace_s, FIELD_INT, 0),
	FIELD(struct room_row, join_muted, FIELD_BOOL, 0),
	FIELD(struct room_row, tones, FIELD_BOOL, 0),
	FIELD(struct room_row, wait_for_moderator, FIELD_BOOL, 0),
	FIELD(struct room_row, end_on_moderator_exit, FIELD_BOOL, 0),
	FIELD(struct room_row, record, FIELD_BOOL, 0),
	FIELD(struct room_row, keys, FIELD_BOOL, 0),
	FIELD(struct room_row, locked, FIELD_BOOL, 0),
	FIELD(struct room_row, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct room_row, seq, FIELD_I64, FIELD_NO_JSON),
	{ 0 },
};

int room_put(struct db *db, struct room_row *row, struct arena *arena)
{
	int r = db_exec(db, "DELETE FROM room WHERE tenant_id = $1 AND name = $2 AND id <> $3",
			DB_ARGS(V(row->tenant_id), V(row->name), V(row->id)), NULL);

	if (r == 0)
		r = db_exec(
			db,
			"INSERT INTO room (" ROOM_COLS
			") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
			" $11, $12, $13, $14, $15, $16, $17)"
			" ON CONFLICT (id) DO UPDATE SET pin = excluded.pin,"
			" moderator_pin = excluded.moderator_pin, max_members = excluded.max_members,"
			" grace_s = excluded.grace_s, join_muted = excluded.join_muted,"
			" tones = excluded.tones, wait_for_moderator = excluded.wait_for_moderator,"
			" end_on_moderator_exit = excluded.end_on_moderator_exit,"
			" record = excluded.record, keys = excluded.keys, locked = excluded.locked,"
			" seq = excluded.seq"
			" WHERE room.tenant_id = excluded.tenant_id AND room.seq < excluded.seq",
			db_args_of(room_fields, row, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int room_drop(struct db *db, struct id tenant, struct id id)
{
	int r = db_exec(db, "DELETE FROM room WHERE tenant_id = $1 AND id = $2",
			DB_ARGS(V(tenant), V(id)), NULL);

	return r < 0 ? err_pass(r) : r;
}

int room_each(struct db *db, int (*on_room)(void *arg, const struct room_row *row), void *arg)
{
	int r = db_each(db, "SELECT " ROOM_COLS " FROM room ORDER BY id", DB_NO_ARGS, room_fields,
			sizeof(struct room_row), (int (*)(void *, const void *))on_room, arg);

	return r < 0 ? err_pass(r) : r;
}

/* ---- PINs ---- */

static const char *place(enum room_pin which)
{
	return which == ROOM_PIN ? "room.pin" : "room.moderator_pin";
}

const char *room_seal_pin(const struct seal *seal, struct id room, enum room_pin which,
			  const char *pin, struct arena *arena)
{
	return *pin ? seal_text(seal, place(which), room, pin, arena) : NULL;
}

int room_open_pin(const struct seal *seal, const struct room_row *row, enum room_pin which,
		  char ret_pin[static SEAL_MAX + 1])
{
	return seal_unseal(seal, place(which), row->id,
			   which == ROOM_PIN ? row->pin : row->moderator_pin, ret_pin);
}
