#include "store/audit.h"

#include "store/private.h"

const struct field audit_fields[] = {
	FIELD(struct audit, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct audit, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct audit, user_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct audit, action, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct audit, object, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct audit, object_id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct audit, client_addr, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct audit, detail, FIELD_JSON, FIELD_READ_ONLY),
	FIELD(struct audit, time, FIELD_TIME, FIELD_READ_ONLY),
	{ 0 },
};

int audit_insert(struct db *db, struct audit *audit, struct arena *arena)
{
	int r;

	row_stamp(&audit->id, &audit->time, NULL);
	r = db_exec(db,
		    "INSERT INTO audit (" AUDIT_COLS
		    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		    db_args_of(audit_fields, audit, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int audit_put(struct db *db, struct audit *audit, struct arena *arena)
{
	int r = db_exec(db,
			"INSERT INTO audit (" AUDIT_COLS
			") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
			db_args_of(audit_fields, audit, DB_NO_ARGS, arena), NULL);

	return r < 0 ? err_pass(r) : r;
}

static const struct db_list audit_list_table = {
	.select = "SELECT " AUDIT_COLS " FROM audit",
	.count = "SELECT count(*) FROM audit",
	.fields = audit_fields,
	.row_size = sizeof(struct audit),
	.orders = (const struct db_order[]){ { "time" }, { 0 } },
	.order = "time DESC",
	.tie = "id",
};

int audit_list(struct db *db, struct arena *arena, struct id tenant,
	       const struct audit_filter *filter, struct audit **ret_rows,
	       struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (!id_is_none(filter->user))
		db_where(&query, "user_id = ?", V(filter->user));
	if (!id_is_none(filter->object))
		db_where(&query, "object_id = ?", V(filter->object));
	if (filter->action)
		db_where(&query, "action = ?", V(filter->action));
	r = db_page(db, &query, &audit_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}
