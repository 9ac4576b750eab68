#include "db/db.h"

#include "db/private.h"

#include <errno.h>

int (*_Atomic db_fault_hook)(const char *sql);

static struct db_stmt *stmt_free(struct db *db, struct db_stmt *stmt)
{
	if (stmt->newer)
		stmt->newer->older = stmt->older;
	else
		db->newest = stmt->older;
	if (stmt->older)
		stmt->older->newer = stmt->newer;
	else
		db->oldest = stmt->newer;
	hmap_del(&db->stmts, &stmt->node);
	db->driver->drop(db, stmt);
	free(stmt->map);
	free(stmt->sql);
	free(stmt);
	return NULL;
}

void db_stmts_clear(struct db *db)
{
	while (db->newest)
		stmt_free(db, db->newest);
}

static void stmt_use(struct db *db, struct db_stmt *stmt)
{
	if (db->newest == stmt)
		return;
	if (stmt->newer) {
		stmt->newer->older = stmt->older;
		if (stmt->older)
			stmt->older->newer = stmt->newer;
		else
			db->oldest = stmt->newer;
	}
	stmt->newer = NULL;
	stmt->older = db->newest;
	if (db->newest)
		db->newest->newer = stmt;
	db->newest = stmt;
	if (!db->oldest)
		db->oldest = stmt;
}

static void args_kinds(struct db_args args, char kinds[static DB_MAX_ARGS + 1])
{
	bug_on(args.count > DB_MAX_ARGS);
	for (unsigned i = 0; i < args.count; i++)
		kinds[i] = (char)('a' + args.vals[i].kind);
	kinds[args.count] = '\0';
}

static int stmt_get(struct db *db, const char *sql, struct db_args args, struct db_stmt **ret_stmt)
{
	char kinds[DB_MAX_ARGS + 1];
	uint64_t hash = hkey_text(sql);
	struct db_stmt *stmt;
	int r;

	args_kinds(args, kinds);
	for (struct hnode *n = hmap_first(&db->stmts, hash); n; n = hmap_same(n)) {
		stmt = container_of_(n, struct db_stmt, node);
		if (strcmp(stmt->sql, sql) == 0 && strcmp(stmt->kinds, kinds) == 0) {
			stmt_use(db, stmt);
			*ret_stmt = stmt;
			return 0;
		}
	}

	if (db->stmts.count >= DB_CACHE_MAX)
		stmt_free(db, db->oldest);
	stmt = xzalloc(sizeof(*stmt));
	stmt->sql = xstrdup(sql);
	stmt->number = ++db->stmt_number;
	memcpy(stmt->kinds, kinds, sizeof(kinds));
	r = db->driver->prepare(db, stmt, args);
	if (r) {
		free(stmt->sql);
		free(stmt);
		return r;
	}
	hmap_add(&db->stmts, &stmt->node, hash);
	stmt_use(db, stmt);
	*ret_stmt = stmt;
	return 0;
}

/* libpq writes several lines. */
static void reason_flatten(char *reason)
{
	size_t len;

	for (char *p = reason; *p; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	len = strlen(reason);
	while (len && reason[len - 1] == ' ')
		reason[--len] = '\0';
}

int db_lost(struct db *db, const char *reason)
{
	if (reason != db->reason)
		str_copy(db->reason, sizeof(db->reason), reason);
	reason_flatten(db->reason);
	if (db->connected) {
		db->connected = false;
		log_warn("database lost", LOG_STR("reason", db->reason));
	}
	if (db->in_tx)
		db->tx_lost = true;
	db_stmts_clear(db);
	db->driver->disconnect(db);
	return DB_E_AWAY;
}

int db_connect(struct db *db)
{
	uint64_t now = clock_mono_ms();
	int r;

	if (db->connected)
		return 0;
	if (db->retry_at_ms && now < db->retry_at_ms)
		return DB_E_AWAY;

	r = db->driver->connect(db);
	if (r == 0) {
		db->connected = true;
		db->retry_at_ms = 0;
		db->backoff_ms = 0;
		return 0;
	}
	db->driver->disconnect(db);
	if (r < 0)
		return err_pass(r);
	db->backoff_ms = db->backoff_ms ? db->backoff_ms * 2 : DB_BACKOFF_MIN_MS;
	if (db->backoff_ms > DB_BACKOFF_MAX_MS)
		db->backoff_ms = DB_BACKOFF_MAX_MS;
	db->retry_at_ms = clock_mono_ms() + db->backoff_ms;
	reason_flatten(db->reason);
	log_rated(LOG_WARN_, "database away", LOG_STR("reason", db->reason));
	return r;
}

/* A connection that can take a statement: found dead while idle it is made anew, never inside a transaction. */
static int db_ready(struct db *db, const char *sql)
{
	int (*hook)(const char *sql);
	int r;

	if (db->tx_lost)
		return DB_E_AWAY;
	if (db->connected && !db->in_tx && !db->driver->alive(db))
		(void)db_lost(db, "the server closed the connection");
	r = db_connect(db);
	if (r)
		return r;
	hook = db_fault_hook;
	if (hook) {
		r = hook(sql);
		if (r == DB_E_AWAY)
			return db_lost(db, "made to fail");
		if (r && db->in_tx)
			db->spoiled = true;
	}
	return r;
}

static int db_start(struct db *db, const char *sql, struct db_args args, bool stream,
		    struct db_stmt **ret_stmt)
{
	int r = db_ready(db, sql);

	if (r)
		return r;
	r = stmt_get(db, sql, args, ret_stmt);
	if (r == 0)
		r = db->driver->start(db, *ret_stmt, args, stream);
	if (r && db->in_tx)
		db->spoiled = true;
	return r;
}

/* A failed step has lost or spoiled things already; a statement object may be gone with its connection. */
static int db_step(struct db *db, struct db_stmt *stmt)
{
	int r = db->driver->step(db, stmt);

	if (r && r != DB_E_NONE && db->in_tx)
		db->spoiled = true;
	return r;
}

static int64_t db_finish(struct db *db, struct db_stmt *stmt)
{
	return db->connected ? db->driver->finish(db, stmt) : 0;
}

int db_script(struct db *db, const char *sql)
{
	int r = db_ready(db, sql);

	if (r)
		return r;
	r = db->driver->script(db, sql);
	if (r && db->in_tx)
		db->spoiled = true;
	return r;
}

int db_open(const char *url, const struct db_opts *opts, struct db **ret_db)
{
	auto_(db_close) struct db *db = xzalloc(sizeof(*db));
	int r;

	if (opts)
		db->opts = *opts;
	if (!db->opts.connect_ms)
		db->opts.connect_ms = 5000;
	if (!db->opts.statement_ms)
		db->opts.statement_ms = 10000;
	db->url = xstrdup(url);
	if (str_has_prefix(url, "sqlite:") && url[7])
		db->driver = &db_sqlite_driver;
	else if (str_has_prefix(url, "postgresql://") || str_has_prefix(url, "postgres://"))
		db->driver = &db_pg_driver;
	else
		return err_newf(EINVAL, "database url is neither sqlite:PATH nor postgresql://");

	r = db_connect(db);
	if (r < 0)
		return err_pass(r);
	*ret_db = take(db);
	return r;
}

struct db *db_close(struct db *db)
{
	if (!db)
		return NULL;
	if (db->driver) {
		db_stmts_clear(db);
		db->driver->disconnect(db);
	}
	hmap_fini(&db->stmts);
	free(db->url);
	free(db);
	return NULL;
}

enum db_engine db_engine(const struct db *db)
{
	return db->driver->engine;
}

const char *db_reason(const struct db *db)
{
	return db->reason;
}

int db_ping(struct db *db)
{
	int64_t one;
	int r = db_num(db, "SELECT 1", DB_NO_ARGS, &one);

	return r < 0 ? err_pass(r) : r;
}

int db_get(struct db *db, const char *sql, struct db_args args, const struct field *fields,
	   struct arena *arena, void *ret_row)
{
	struct db_stmt *stmt;
	int r = db_start(db, sql, args, false, &stmt);

	if (r)
		return r < 0 ? err_pass(r) : r;
	r = db_step(db, stmt);
	if (r == 0)
		r = db_row_read(db, stmt, fields, arena, ret_row);
	db_finish(db, stmt);
	return r < 0 ? err_pass(r) : r;
}

int db_list(struct db *db, const char *sql, struct db_args args, const struct field *fields,
	    size_t row_size, struct arena *arena, void *ret_rows, size_t *ret_count)
{
	struct db_stmt *stmt;
	size_t count = 0, room = 0;
	auto_(free) char *rows = NULL;
	int r = db_start(db, sql, args, false, &stmt);

	if (r)
		return r < 0 ? err_pass(r) : r;
	while ((r = db_step(db, stmt)) == 0) {
		if (count == room) {
			room = room ? room * 2 : 16;
			rows = xrealloc(rows, room * row_size);
		}
		memset(rows + count * row_size, 0, row_size);
		r = db_row_read(db, stmt, fields, arena, rows + count * row_size);
		if (r)
			break;
		count++;
	}
	db_finish(db, stmt);
	if (r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;

	*(void **)ret_rows = NULL;
	if (count) {
		*(void **)ret_rows = arena_alloc(arena, count * row_size);
		memcpy(*(void **)ret_rows, rows, count * row_size);
	}
	*ret_count = count;
	return 0;
}

int db_each(struct db *db, const char *sql, struct db_args args, const struct field *fields,
	    size_t row_size, int (*on_row)(void *arg, const void *row), void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) void *row = xzalloc(row_size);
	struct db_stmt *stmt;
	int r = db_start(db, sql, args, true, &stmt);

	if (r)
		return r < 0 ? err_pass(r) : r;
	while ((r = db_step(db, stmt)) == 0) {
		memset(row, 0, row_size);
		r = db_row_read(db, stmt, fields, arena, row);
		if (r == 0)
			r = on_row(arg, row);
		if (r) {
			db_finish(db, stmt);
			return r < 0 ? err_pass(r) : r;
		}
		arena_reset(arena);
	}
	db_finish(db, stmt);
	if (r == DB_E_NONE)
		return 0;
	return r < 0 ? err_pass(r) : r;
}

int db_num(struct db *db, const char *sql, struct db_args args, int64_t *ret_num)
{
	struct db_cell cell = { 0 };
	struct db_stmt *stmt;
	int64_t num = 0;
	int r = db_start(db, sql, args, false, &stmt);

	if (r)
		return r < 0 ? err_pass(r) : r;
	r = db_step(db, stmt);
	if (r == 0) {
		db->driver->cell(db, stmt, 0, &cell);
		if (!cell.null && !db_cell_int(&cell, &num))
			r = err_newf(EBADMSG, "not a number: %s", sql);
		else
			*ret_num = num;
	}
	db_finish(db, stmt);
	return r < 0 ? err_pass(r) : r;
}

int db_exec(struct db *db, const char *sql, struct db_args args, int64_t *ret_rows)
{
	struct db_stmt *stmt;
	int64_t changed;
	int r = db_start(db, sql, args, false, &stmt);

	if (r)
		return r < 0 ? err_pass(r) : r;
	do {
		r = db_step(db, stmt);
	} while (r == 0);
	changed = db_finish(db, stmt);
	if (r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;
	if (ret_rows)
		*ret_rows = changed;
	return 0;
}

int db_change(struct db *db, const char *sql, struct db_args args)
{
	int64_t rows = 0;
	int r = db_exec(db, sql, args, &rows);

	if (r)
		return r < 0 ? err_pass(r) : r;
	return rows ? 0 : DB_E_NONE;
}
