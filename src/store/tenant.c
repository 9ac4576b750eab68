#include "store/tenant.h"

#include "store/private.h"

const struct field tenant_fields[] = {
	FIELD(struct tenant, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct tenant, name, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 128),
	FIELD(struct tenant, max_calls, FIELD_INT, 0, .min = 0, .max = 100000),
	FIELD(struct tenant, calls_per_minute, FIELD_INT, 0, .min = 0, .max = 100000),
	FIELD(struct tenant, minutes_per_day, FIELD_INT, 0, .min = 0, .max = 10000000),
	FIELD(struct tenant, allowed, FIELD_STRS, FIELD_NULLABLE),
	FIELD(struct tenant, blocked, FIELD_STRS, FIELD_NULLABLE),
	FIELD(struct tenant, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct tenant, updated_at, FIELD_TIME, FIELD_READ_ONLY),
	{ 0 },
};

int tenant_insert(struct db *db, struct tenant *tenant, struct arena *arena)
{
	int r;

	row_stamp(&tenant->id, &tenant->created_at, &tenant->updated_at);
	r = db_exec(db,
		    "INSERT INTO tenant (" TENANT_COLS
		    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		    db_args_of(tenant_fields, tenant, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int tenant_get(struct db *db, struct arena *arena, struct id id, struct tenant *ret)
{
	int r = db_get(db, "SELECT " TENANT_COLS " FROM tenant WHERE id = $1", DB_ARGS(V(id)),
		       tenant_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int tenant_update(struct db *db, struct tenant *tenant, struct arena *arena)
{
	int r;

	row_stamp(NULL, NULL, &tenant->updated_at);
	r = db_change(
		db,
		"UPDATE tenant SET name = $2, max_calls = $3, calls_per_minute = $4, minutes_per_day = $5,"
		" allowed = $6, blocked = $7, updated_at = $9 WHERE id = $1",
		db_args_of(tenant_fields, tenant, DB_NO_ARGS, arena));
	return r < 0 ? err_pass(r) : r;
}

int tenant_each(struct db *db, int (*on_tenant)(void *arg, const struct tenant *tenant), void *arg)
{
	int r = db_each(db, "SELECT " TENANT_COLS " FROM tenant ORDER BY id", DB_NO_ARGS,
			tenant_fields, sizeof(struct tenant),
			(int (*)(void *, const void *))on_tenant, arg);

	return r < 0 ? err_pass(r) : r;
}
