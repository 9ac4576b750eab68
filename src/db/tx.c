/* Transactions and migrations */
#include "base/metric.h"
#include "db/private.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define BUSY_TRIES 5
#define MIGRATION_LOCK 0x6a61636b6669656cll /* any number that is ours alone */

METRIC_COUNTER(tx_retried, "jackfield_db_retries_total", "Transactions run again after a conflict",
	       NULL);

int db_begin(struct db *db)
{
	int r;

	bug_on(db->in_tx);
	r = db_exec(db, db->driver->engine == DB_SQLITE ? "BEGIN IMMEDIATE" : "BEGIN", DB_NO_ARGS,
		    NULL);
	if (r)
		return r < 0 ? err_pass(r) : r;
	db->in_tx = true;
	db->spoiled = false;
	return 0;
}

void db_rollback(struct db *db)
{
	bool lost = db->tx_lost;

	if (!db->in_tx)
		return;
	db->tx_lost = false;
	db->in_tx = false;
	db->spoiled = false;
	if (lost || !db->connected)
		return;
	/* Past db_ready(): a rollback is not made to fail and does not look at the connection first. */
	if (db->driver->script(db, "ROLLBACK") && db->connected)
		(void)db_lost(db, "rollback failed");
}

int db_commit(struct db *db)
{
	int r;

	bug_on(!db->in_tx);
	if (db->tx_lost) {
		db_rollback(db);
		return DB_E_AWAY;
	}
	if (db->spoiled && db->driver->engine == DB_POSTGRESQL) {
		/* COMMIT would say yes and undo everything. */
		db_rollback(db);
		return err_newf(ECANCELED, "commit after a failed statement");
	}
	r = db_exec(db, "COMMIT", DB_NO_ARGS, NULL);
	if (r)
		db_rollback(db);
	db->in_tx = false;
	db->tx_lost = false;
	return r < 0 ? err_pass(r) : r;
}

bool db_in_transaction(const struct db *db)
{
	return db->in_tx;
}

static int transact_once(struct db *db, int (*body)(struct db *db, void *arg), void *arg)
{
	int r = db_begin(db);

	if (r)
		return r < 0 ? err_pass(r) : r;
	r = body(db, arg);
	if (r == 0)
		r = db_commit(db);
	else
		db_rollback(db);
	return r < 0 ? err_pass(r) : r;
}

int db_transact(struct db *db, int (*body)(struct db *db, void *arg), void *arg)
{
	int r = 0;

	if (db->in_tx)
		return body(db, arg);
	for (int i = 0; i < BUSY_TRIES; i++) {
		r = transact_once(db, body, arg);
		if (r != DB_E_BUSY)
			break;
		metric_add(&tx_retried, 1);
		usleep((useconds_t)(1000u << i));
	}
	return r < 0 ? err_pass(r) : r;
}

struct migration_run {
	const struct db_migration *list;
	size_t count;
};

/* `@id` becomes the engine's type of ids. */
static void dialect(enum db_engine engine, const char *sql, struct buf *out)
{
	const char *at;

	while ((at = strstr(sql, "@id"))) {
		buf_add(out, sql, (size_t)(at - sql));
		buf_adds(out, engine == DB_SQLITE ? "TEXT" : "UUID");
		sql = at + 3;
	}
	buf_adds(out, sql);
}

static int migrate_one(struct db *db, const struct db_migration *migration)
{
	auto_(buf_fini) struct buf sql = BUF_MAX(1 << 20);
	int r;

	dialect(db->driver->engine, migration->sql, &sql);
	bug_on(sql.failed);
	r = db_script(db, sql.data);
	if (r)
		return r < 0 ? err_pass(r) : r;
	r = db_exec(db,
		    "INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)",
		    DB_ARGS(V(migration->version), V(migration->name), V(clock_wall_us())), NULL);
	if (r)
		return r < 0 ? err_pass(r) : r;
	log_info("schema migrated", LOG_INT("version", migration->version),
		 LOG_STR("name", migration->name));
	return 0;
}

static int migrate_lock(struct db *db)
{
	char sql[120];

	if (db->driver->engine == DB_SQLITE)
		return 0; /* BEGIN IMMEDIATE is the lock */
	snprintf(sql, sizeof(sql),
		 "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(%lld)",
		 (long long)MIGRATION_LOCK);
	return db_script(db, sql);
}

static int migrate(struct db *db, void *arg)
{
	const struct migration_run *run = arg;
	int64_t have;
	int r;

	r = migrate_lock(db);
	if (r == 0)
		r = db_script(
			db,
			"CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, "
			"name TEXT NOT NULL, applied_at BIGINT NOT NULL)");
	if (r == 0)
		r = db_num(db, "SELECT max(version) FROM schema_version", DB_NO_ARGS, &have);
	if (r)
		return r < 0 ? err_pass(r) : r;
	if (run->count == 0 || have > run->list[run->count - 1].version)
		return DB_MIGRATE_E_NEWER;

	for (size_t i = 0; i < run->count; i++) {
		bug_on(i && run->list[i].version <= run->list[i - 1].version);
		if (run->list[i].version <= have)
			continue;
		r = migrate_one(db, &run->list[i]);
		if (r)
			return r < 0 ? err_pass(r) : r;
	}
	return 0;
}

int db_migrate(struct db *db, const struct db_migration *list, size_t count)
{
	struct migration_run run = { list, count };
	int r = db_transact(db, migrate, &run);

	return r < 0 ? err_pass(r) : r;
}
