#include "store/prompt.h"

#include "store/private.h"

const char *const prompt_source_names[] = { "upload", "speech", NULL };

const struct field prompt_fields[] = {
	FIELD(struct prompt, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct prompt, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct prompt, name, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 128),
	FIELD(struct prompt, source, FIELD_ENUM, FIELD_READ_ONLY, .names = prompt_source_names),
	FIELD(struct prompt, say, FIELD_STR, FIELD_REQUIRED | FIELD_MULTILINE, .min = 1,
	      .max = 4000),
	FIELD(struct prompt, voice, FIELD_STR, FIELD_NULLABLE, .min = 1, .max = 16),
	FIELD(struct prompt, duration_ms, FIELD_INT, FIELD_READ_ONLY),
	FIELD(struct prompt, size, FIELD_I64, FIELD_READ_ONLY),
	FIELD(struct prompt, sha256, FIELD_STR, FIELD_READ_ONLY),
	FIELD(struct prompt, created_by, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct prompt, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct prompt, updated_at, FIELD_TIME, FIELD_READ_ONLY),
	{ 0 },
};

int prompt_insert(struct db *db, struct prompt *prompt, int64_t most, struct arena *arena)
{
	int64_t count = 0;
	/* Two at once may both find room for the last one: a limit against running full, not a price. */
	int r = db_num(db, "SELECT count(*) FROM prompt WHERE tenant_id = $1",
		       DB_ARGS(V(prompt->tenant_id)), &count);

	if (r)
		return r < 0 ? err_pass(r) : r;
	if (count >= most)
		return PROMPT_E_FULL;
	row_stamp(&prompt->id, &prompt->created_at, &prompt->updated_at);
	r = db_exec(db,
		    "INSERT INTO prompt (" PROMPT_COLS
		    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		    db_args_of(prompt_fields, prompt, DB_NO_ARGS, arena), NULL);
	return r < 0 ? err_pass(r) : r;
}

int prompt_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
	       struct prompt *ret)
{
	int r = db_get(db, "SELECT " PROMPT_COLS " FROM prompt WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), prompt_fields, arena, ret);

	return r < 0 ? err_pass(r) : r;
}

struct prompt_gone {
	struct id tenant, id;
};

static int delete_body(struct db *db, void *arg)
{
	struct prompt_gone *gone = arg;
	int r = db_exec(
		db,
		"UPDATE sip_profile SET hold_music = NULL WHERE tenant_id = $1 AND hold_music = $2",
		DB_ARGS(V(gone->tenant), V(gone->id)), NULL);

	if (r == 0)
		r = db_change(db, "DELETE FROM prompt WHERE tenant_id = $1 AND id = $2",
			      DB_ARGS(V(gone->tenant), V(gone->id)));
	return r < 0 ? err_pass(r) : r;
}

int prompt_delete(struct db *db, struct id tenant, struct id id)
{
	struct prompt_gone gone = { tenant, id };
	int r = db_transact(db, delete_body, &gone);

	return r < 0 ? err_pass(r) : r;
}

static const struct db_list prompt_list_table = {
	.select = "SELECT " PROMPT_COLS " FROM prompt",
	.count = "SELECT count(*) FROM prompt",
	.fields = prompt_fields,
	.row_size = sizeof(struct prompt),
	.orders =
		(const struct db_order[]){ { "name" }, { "created_at" }, { "duration_ms" }, { 0 } },
	.order = "created_at DESC",
	.tie = "id",
};

int prompt_list(struct db *db, struct arena *arena, struct id tenant,
		const struct prompt_filter *filter, struct prompt **ret_rows,
		struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (filter->search)
		db_search(&query, arena,
			  "(lower(name) LIKE ? ESCAPE '\\' OR lower(say) LIKE ? ESCAPE '\\')",
			  filter->search);
	r = db_page(db, &query, &prompt_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}
