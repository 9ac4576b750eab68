/* The SQLite driver: one file, WAL, one writer at a time */
#include "db/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define PROGRESS_STEPS 20000 /* virtual machine instructions between two looks at the clock */

static const char *lite_path(const struct db *db)
{
	return db->url + strlen("sqlite:");
}

static int lite_fail(struct db *db, int code, const char *sql)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_INTERRUPT:
		return DB_E_BUSY;
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return db_lost(db, db->lite ? sqlite3_errmsg(db->lite) : sqlite3_errstr(code));
	case SQLITE_READONLY:
		if (db->opts.read_only)
			break;
		return db_lost(db, sqlite3_errmsg(db->lite));
	case SQLITE_CONSTRAINT:
		if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
			return DB_E_DUP;
		if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
			return DB_E_REF;
		break;
	default:
		break;
	}
	return err_newf(EPROTO, "sqlite %d %s: %s", code, sqlite3_errmsg(db->lite), sql);
}

static int lite_progress(void *arg)
{
	struct db *db = arg;

	return db->lite_deadline_ms && clock_mono_ms() > db->lite_deadline_ms;
}

/* The file holds people's numbers and sealed secrets: nobody else's to read. SQLite gives -wal and -shm its mode. One
 * that is there already is not opened: closing any descriptor of it would drop the locks of all our connections, and
 * the next program to look at it would take it for nobody's, and remove the WAL under our feet.
 */
static void lite_create(const char *path)
{
	int fd;

	if (path[0] == ':' || path[0] == '\0')
		return;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static int lite_connect(struct db *db)
{
	static const char setup[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
				    "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; "
				    "PRAGMA cache_size = -8000; PRAGMA secure_delete = FAST;";
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_EXRESCODE;
	int code;

	lite_create(lite_path(db));
	code = sqlite3_open_v2(lite_path(db), &db->lite, flags, NULL);
	if (code == SQLITE_OK) {
		sqlite3_busy_timeout(db->lite, (int)db->opts.statement_ms);
		sqlite3_progress_handler(db->lite, PROGRESS_STEPS, lite_progress, db);
		code = sqlite3_exec(db->lite, setup, NULL, NULL, NULL);
	}
	if (code == SQLITE_OK && db->opts.read_only)
		code = sqlite3_exec(db->lite, "PRAGMA query_only = ON", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		return 0;
	snprintf(db->reason, sizeof(db->reason), "%s: %s", lite_path(db),
		 db->lite ? sqlite3_errmsg(db->lite) : sqlite3_errstr(code));
	return DB_E_AWAY;
}

static void lite_disconnect(struct db *db)
{
	if (db->lite)
		bug_on(sqlite3_close(db->lite) != SQLITE_OK);
	db->lite = NULL;
}

static bool lite_alive(struct db *db)
{
	(void)db;
	return true;
}

/* SQLite numbers "$3" by its first place in the text, so the digits after the $ say which value it is. */
static int lite_places(struct db_stmt *stmt, sqlite3_stmt *native, unsigned args)
{
	int count = sqlite3_bind_parameter_count(native);

	stmt->places = xzalloc_array((size_t)count + 1, sizeof(*stmt->places));
	for (int at = 0; at < count; at++) {
		const char *name = sqlite3_bind_parameter_name(native, at + 1);
		int64_t n;

		if (!name || name[0] != '$' || !str_to_i64(name + 1, 1, args, &n))
			return err_newf(EINVAL, "parameter %s without a value: %s",
					name ? name : "?", stmt->sql);
		stmt->places[at] = (uint16_t)(n - 1);
	}
	return 0;
}

static void lite_drop(struct db *db, struct db_stmt *stmt)
{
	(void)db;
	sqlite3_finalize(stmt->native);
	free(stmt->places);
}

static int lite_prepare(struct db *db, struct db_stmt *stmt, struct db_args args)
{
	sqlite3_stmt *native;
	int code, r;

	db->lite_deadline_ms = clock_mono_ms() + db->opts.statement_ms;
	code = sqlite3_prepare_v3(db->lite, stmt->sql, -1, SQLITE_PREPARE_PERSISTENT, &native,
				  NULL);
	if (code != SQLITE_OK)
		return lite_fail(db, code, stmt->sql);
	stmt->native = native;
	r = lite_places(stmt, native, args.count);
	if (r)
		lite_drop(db, stmt);
	return r;
}

static int lite_bind_one(sqlite3_stmt *native, int at, const struct db_val *val)
{
	char id[ID_STR_SIZE];

	if (val->null)
		return sqlite3_bind_null(native, at);
	switch (val->kind) {
	case DB_KIND_INT:
	case DB_KIND_BOOL:
		return sqlite3_bind_int64(native, at, val->num);
	case DB_KIND_REAL:
		return sqlite3_bind_double(native, at, val->real);
	case DB_KIND_STR:
		return sqlite3_bind_text(native, at, val->str, -1, SQLITE_STATIC);
	case DB_KIND_ID:
		return sqlite3_bind_text(native, at, id_print(val->id, id), -1, SQLITE_TRANSIENT);
	}
	return SQLITE_MISUSE;
}

static int lite_bind(struct db *db, struct db_stmt *stmt, struct db_args args)
{
	int count = sqlite3_bind_parameter_count(stmt->native);

	for (int at = 0; at < count; at++) {
		int code = lite_bind_one(stmt->native, at + 1, &args.vals[stmt->places[at]]);

		if (code != SQLITE_OK)
			return lite_fail(db, code, stmt->sql);
	}
	return 0;
}

static int lite_start(struct db *db, struct db_stmt *stmt, struct db_args args, bool stream)
{
	/* A list to be streamed takes as long as its reader does. */
	db->lite_deadline_ms = stream ? 0 : clock_mono_ms() + db->opts.statement_ms;
	return lite_bind(db, stmt, args);
}

static int lite_step(struct db *db, struct db_stmt *stmt)
{
	int code = sqlite3_step(stmt->native);
	int r;

	if (code == SQLITE_ROW)
		return 0;
	if (code == SQLITE_DONE)
		return DB_E_NONE;
	sqlite3_reset(stmt->native);
	r = lite_fail(db, code, stmt->sql);
	return r;
}

static unsigned lite_cols(struct db *db, struct db_stmt *stmt)
{
	(void)db;
	return (unsigned)sqlite3_column_count(stmt->native);
}

static const char *lite_col_name(struct db *db, struct db_stmt *stmt, unsigned col)
{
	(void)db;
	return sqlite3_column_name(stmt->native, (int)col);
}

static void lite_cell(struct db *db, struct db_stmt *stmt, unsigned col, struct db_cell *ret)
{
	sqlite3_stmt *native = stmt->native;

	(void)db;
	switch (sqlite3_column_type(native, (int)col)) {
	case SQLITE_NULL:
		ret->null = true;
		break;
	case SQLITE_INTEGER:
		ret->kind = CELL_INT;
		ret->num = sqlite3_column_int64(native, (int)col);
		break;
	case SQLITE_FLOAT:
		ret->kind = CELL_REAL;
		ret->real = sqlite3_column_double(native, (int)col);
		break;
	default:
		ret->kind = CELL_TEXT;
		ret->text = (const char *)sqlite3_column_text(native, (int)col);
		ret->len = (size_t)sqlite3_column_bytes(native, (int)col);
		break;
	}
}

static int64_t lite_finish(struct db *db, struct db_stmt *stmt)
{
	int64_t changed = sqlite3_stmt_readonly(stmt->native) ? 0 : sqlite3_changes64(db->lite);

	sqlite3_reset(stmt->native);
	sqlite3_clear_bindings(stmt->native);
	return changed;
}

static int lite_script(struct db *db, const char *sql)
{
	int code;

	db->lite_deadline_ms = 0;
	code = sqlite3_exec(db->lite, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : lite_fail(db, code, sql);
}

const struct db_driver db_sqlite_driver = {
	.engine = DB_SQLITE,
	.connect = lite_connect,
	.disconnect = lite_disconnect,
	.alive = lite_alive,
	.prepare = lite_prepare,
	.drop = lite_drop,
	.start = lite_start,
	.step = lite_step,
	.cols = lite_cols,
	.col_name = lite_col_name,
	.cell = lite_cell,
	.finish = lite_finish,
	.script = lite_script,
};
