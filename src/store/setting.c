#include "store/setting.h"

struct setting {
	json_t *value;
};

static const struct field setting_fields[] = { FIELD(struct setting, value, FIELD_JSON, 0), { 0 } };

/* The installation's settings have no tenant: the empty text, since a key's member cannot be NULL. */
int setting_get(struct db *db, struct id tenant, const char *key, json_t **ret_value)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct setting setting;
	int r = db_get(db, "SELECT value FROM setting WHERE tenant_id = $1 AND name = $2",
		       DB_ARGS(V((const char *)id_str(tenant)), V(key)), setting_fields, arena,
		       &setting);

	if (r)
		return r < 0 ? err_pass(r) : r;
	*ret_value = json_incref(setting.value);
	return 0;
}

static int setting_write(struct db *db, const char *sql, struct id tenant, const char *key,
			 json_t *value, int64_t now_us)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	int r = db_exec(db, sql,
			DB_ARGS(V((const char *)id_str(tenant)), V(key), V(text), V(now_us)), NULL);

	free(text);
	return r < 0 ? err_pass(r) : r;
}

int setting_put(struct db *db, struct id tenant, const char *key, json_t *value, int64_t now_us)
{
	int r = setting_write(
		db,
		"INSERT INTO setting (tenant_id, name, value, updated_at) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value,"
		" updated_at = excluded.updated_at",
		tenant, key, value, now_us);

	return r < 0 ? err_pass(r) : r;
}

int setting_delete(struct db *db, struct id tenant, const char *key)
{
	int r = db_change(db, "DELETE FROM setting WHERE tenant_id = $1 AND name = $2",
			  DB_ARGS(V((const char *)id_str(tenant)), V(key)));

	return r < 0 ? err_pass(r) : r;
}

int setting_init(struct db *db, struct id tenant, const char *key, json_t *value, int64_t now_us,
		 json_t **ret_value)
{
	int r = setting_write(
		db,
		"INSERT INTO setting (tenant_id, name, value, updated_at) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (tenant_id, name) DO NOTHING",
		tenant, key, value, now_us);

	if (r == 0)
		r = setting_get(db, tenant, key, ret_value);
	return r < 0 ? err_pass(r) : r;
}
