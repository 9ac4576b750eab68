#include "store/device.h"

#include "store/private.h"
#include "store/seal.h"

#define TABLE "device"

const struct field device_fields[] = {
	FIELD(struct device, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct device, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct device, user_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct device, name, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 128),
	FIELD(struct device, username, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct device, secret, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct device, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct device, updated_at, FIELD_TIME, FIELD_READ_ONLY),
	{ 0 },
};

int device_insert(struct db *db, const struct seal *seal, struct device *device,
		  struct arena *arena, char ret_password[static DEVICE_PASSWORD_SIZE])
{
	char username[16] = "d";
	int r;

	row_stamp(&device->id, &device->created_at, &device->updated_at);
	random_text(username + 1, 12);
	for (char *p = username; *p; p++) /* phones are careless with case */
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	random_text(ret_password, 24);
	device->username = arena_strdup(arena, username);
	device->secret = seal_text(seal, TABLE, device->id, ret_password, arena);
	r = db_exec(db,
		    "INSERT INTO device (" DEVICE_COLS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		    db_args_of(device_fields, device, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int device_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
	       struct device *ret)
{
	int r = db_get(db, "SELECT " DEVICE_COLS " FROM device WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), device_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int device_update(struct db *db, struct device *device, struct arena *arena)
{
	int r;

	row_stamp(NULL, NULL, &device->updated_at);
	r = db_change(
		db, "UPDATE device SET name = $4, updated_at = $8 WHERE id = $1 AND tenant_id = $2",
		db_args_of(device_fields, device, DB_NO_ARGS, arena));
	return r < 0 ? err_pass(r) : r;
}

int device_delete(struct db *db, struct id tenant, struct id id)
{
	int r = db_change(db, "DELETE FROM device WHERE tenant_id = $1 AND id = $2",
			  DB_ARGS(V(tenant), V(id)));

	return r < 0 ? err_pass(r) : r;
}

int device_by_username(struct db *db, struct arena *arena, const char *username, struct device *ret)
{
	int r = db_get(db, "SELECT " DEVICE_COLS " FROM device WHERE username = $1",
		       DB_ARGS(V(username)), device_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

int device_password(const struct seal *seal, const struct device *device, char *ret_plain)
{
	return seal_unseal(seal, TABLE, device->id, device->secret, ret_plain);
}

static const struct db_list device_list_table = {
	.select = "SELECT " DEVICE_COLS " FROM device",
	.count = "SELECT count(*) FROM device",
	.fields = device_fields,
	.row_size = sizeof(struct device),
	.orders = (const struct db_order[]){ { "name" }, { "username" }, { "created_at" }, { 0 } },
	.order = "created_at",
	.tie = "id",
};

int device_list(struct db *db, struct arena *arena, struct id tenant,
		const struct device_filter *filter, struct device **ret_rows,
		struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (!id_is_none(filter->user))
		db_where(&query, "user_id = ?", V(filter->user));
	if (filter->search)
		db_search(&query, arena,
			  "(lower(name) LIKE ? ESCAPE '\\' OR lower(username) LIKE ? ESCAPE '\\')",
			  filter->search);
	r = db_page(db, &query, &device_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}

int device_each(struct db *db, int (*on_device)(void *arg, const struct device *device), void *arg)
{
	int r = db_each(db, "SELECT " DEVICE_COLS " FROM device ORDER BY id", DB_NO_ARGS,
			device_fields, sizeof(struct device),
			(int (*)(void *, const void *))on_device, arg);

	return r < 0 ? err_pass(r) : r;
}

/* ---- where they are ---- */

const struct field device_bindings_fields[] = {
	FIELD(struct device_bindings, id, FIELD_ID, 0),
	FIELD(struct device_bindings, tenant_id, FIELD_ID, 0),
	FIELD(struct device_bindings, bindings, FIELD_JSON, 0),
	{ 0 },
};

int device_bindings_put(struct db *db, struct device_bindings *row, struct arena *arena)
{
	int r = db_exec(db, "UPDATE device SET bindings = $3 WHERE id = $1 AND tenant_id = $2",
			db_args_of(device_bindings_fields, row, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

int device_bindings_each(struct db *db, int (*on_row)(void *arg, const struct device_bindings *row),
			 void *arg)
{
	int r = db_each(
		db, "SELECT id, tenant_id, bindings FROM device WHERE bindings <> '[]' ORDER BY id",
		DB_NO_ARGS, device_bindings_fields, sizeof(struct device_bindings),
		(int (*)(void *, const void *))on_row, arg);

	return r < 0 ? err_pass(r) : r;
}
