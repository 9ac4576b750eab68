/* Rows to structs and structs to parameters, by the field table */
#include "db/private.h"

#include <errno.h>

static const struct field *field_find(const struct field *fields, const char *name)
{
	for (const struct field *f = fields; f->name; f++) {
		if (!(f->flags & FIELD_NO_DB) && strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static int map_make(struct db *db, struct db_stmt *stmt, const struct field *fields)
{
	unsigned count = db->driver->cols(db, stmt);
	auto_(free) const struct field **map = xzalloc_array(count, sizeof(*map));

	for (unsigned i = 0; i < count; i++) {
		const char *name = db->driver->col_name(db, stmt, i);

		map[i] = field_find(fields, name);
		if (!map[i])
			return err_newf(EBADMSG, "column %s has no member: %s", name, stmt->sql);
	}
	free(stmt->map);
	stmt->map = take(map);
	stmt->map_count = count;
	stmt->fields = fields;
	return 0;
}

bool db_cell_int(const struct db_cell *cell, int64_t *ret)
{
	if (cell->kind == CELL_INT) {
		*ret = cell->num;
		return true;
	}
	return cell->kind == CELL_TEXT && str_to_i64(cell->text, INT64_MIN, INT64_MAX, ret);
}

static bool cell_bool(const struct db_cell *cell, bool *ret)
{
	if (cell->kind == CELL_INT)
		*ret = cell->num != 0;
	else if (cell->kind == CELL_TEXT && cell->len == 1)
		*ret = cell->text[0] == 't';
	else
		return false;
	return true;
}

static bool cell_real(const struct db_cell *cell, double *ret)
{
	char *end;

	if (cell->kind == CELL_REAL)
		*ret = cell->real;
	else if (cell->kind == CELL_INT)
		*ret = (double)cell->num;
	else {
		*ret = strtod(cell->text, &end);
		return *end == '\0' && end != cell->text;
	}
	return true;
}

static bool cell_enum(const struct db_cell *cell, const char *const *names, int *ret)
{
	if (cell->kind != CELL_TEXT)
		return false;
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], cell->text) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void json_drop(void *json)
{
	json_decref(json);
}

static bool cell_json(const struct db_cell *cell, struct arena *arena, json_t **ret)
{
	json_t *json;

	if (cell->kind != CELL_TEXT)
		return false;
	json = json_loadb(cell->text, cell->len, JSON_DECODE_ANY, NULL);
	if (!json)
		return false;
	arena_defer(arena, json_drop, json);
	*ret = json;
	return true;
}

static bool cell_strs(const struct db_cell *cell, struct arena *arena, const char ***ret)
{
	const char **strs;
	json_t *json;
	bool ok;

	if (cell->kind != CELL_TEXT)
		return false;
	json = json_loadb(cell->text, cell->len, 0, NULL);
	ok = json_is_array(json);
	strs = arena_alloc(arena, (json_array_size(json) + 1) * sizeof(*strs));
	for (size_t i = 0; ok && i < json_array_size(json); i++) {
		const char *str = json_string_value(json_array_get(json, i));

		ok = str != NULL;
		strs[i] = arena_strdup(arena, str ? str : "");
	}
	strs[json_array_size(json)] = NULL;
	json_decref(json);
	if (ok)
		*ret = strs;
	return ok;
}

static void cell_null(const struct field *f, void *member)
{
	switch (f->type) {
	case FIELD_ID:
		*(struct id *)member = ID_NONE;
		break;
	case FIELD_STR:
		*(const char **)member = NULL;
		break;
	case FIELD_INT:
		*(int *)member = 0;
		break;
	case FIELD_ENUM:
		*(int *)member = -1;
		break; /* 0 is a name */
	case FIELD_I64:
	case FIELD_TIME:
		*(int64_t *)member = 0;
		break;
	case FIELD_BOOL:
		*(bool *)member = false;
		break;
	case FIELD_REAL:
		*(double *)member = 0;
		break;
	case FIELD_JSON:
		*(json_t **)member = NULL;
		break;
	case FIELD_STRS:
		*(const char ***)member = NULL;
		break;
	}
}

static bool cell_read(const struct db_cell *cell, const struct field *f, struct arena *arena,
		      void *member)
{
	int64_t num;

	if (cell->null) {
		cell_null(f, member);
		return true;
	}
	switch (f->type) {
	case FIELD_ID:
		return cell->kind == CELL_TEXT && id_parse(cell->text, member);
	case FIELD_STR:
		if (cell->kind != CELL_TEXT)
			return false;
		*(const char **)member = arena_strndup(arena, cell->text, cell->len);
		return true;
	case FIELD_INT:
		if (!db_cell_int(cell, &num) || num < INT32_MIN || num > INT32_MAX)
			return false;
		*(int *)member = (int)num;
		return true;
	case FIELD_I64:
	case FIELD_TIME:
		return db_cell_int(cell, member);
	case FIELD_BOOL:
		return cell_bool(cell, member);
	case FIELD_REAL:
		return cell_real(cell, member);
	case FIELD_ENUM:
		return cell_enum(cell, f->names, member);
	case FIELD_JSON:
		return cell_json(cell, arena, member);
	case FIELD_STRS:
		return cell_strs(cell, arena, member);
	}
	return false;
}

int db_row_read(struct db *db, struct db_stmt *stmt, const struct field *fields,
		struct arena *arena, void *row)
{
	int r;

	if (stmt->fields != fields || stmt->map_count != db->driver->cols(db, stmt)) {
		r = map_make(db, stmt, fields);
		if (r)
			return err_pass(r);
	}
	for (unsigned i = 0; i < stmt->map_count; i++) {
		const struct field *f = stmt->map[i];
		struct db_cell cell = { 0 };

		db->driver->cell(db, stmt, i, &cell);
		if (!cell_read(&cell, f, arena, (char *)row + f->offset))
			return err_newf(EBADMSG, "column %s holds what it must not", f->name);
	}
	return 0;
}

static const char *json_text(json_t *json, struct arena *arena)
{
	char *text;
	const char *ret;

	if (!json)
		return NULL;
	text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	bug_on(!text);
	ret = arena_strdup(arena, text);
	free(text);
	return ret;
}

static const char *strs_text(const char **strs, struct arena *arena)
{
	json_t *json;
	const char *text;

	if (!strs)
		return NULL;
	json = json_array();
	for (; *strs; strs++)
		json_array_append_new(json, json_string(*strs));
	text = json_text(json, arena);
	json_decref(json);
	return text;
}

static struct db_val field_val(const struct field *f, const void *member, struct arena *arena)
{
	switch (f->type) {
	case FIELD_ID:
		return db_val_id(*(const struct id *)member);
	case FIELD_STR:
		return db_val_str(*(const char *const *)member);
	case FIELD_INT:
		return db_val_int(*(const int *)member);
	case FIELD_I64:
		return db_val_int(*(const int64_t *)member);
	case FIELD_BOOL:
		return db_val_bool(*(const bool *)member);
	case FIELD_TIME:
		return V_TIME(*(const int64_t *)member);
	case FIELD_REAL:
		return db_val_real(*(const double *)member);
	case FIELD_ENUM:
		return db_val_str(*(const int *)member < 0 ? NULL : f->names[*(const int *)member]);
	case FIELD_JSON:
		return db_val_str(json_text(*(json_t *const *)member, arena));
	case FIELD_STRS:
		return db_val_str(strs_text(*(const char **const *)member, arena));
	}
	bug_on(true);
	return db_val_str(NULL);
}

struct db_args db_args_of(const struct field *fields, const void *row, struct db_args more,
			  struct arena *arena)
{
	struct db_val *vals;
	unsigned count = 0;

	for (const struct field *f = fields; f->name; f++)
		count += !(f->flags & FIELD_NO_DB);
	vals = arena_alloc(arena, (count + more.count) * sizeof(*vals));
	count = 0;
	for (const struct field *f = fields; f->name; f++) {
		if (!(f->flags & FIELD_NO_DB))
			vals[count++] = field_val(f, (const char *)row + f->offset, arena);
	}
	for (unsigned i = 0; i < more.count; i++)
		vals[count++] = more.vals[i];
	return (struct db_args){ vals, count };
}
