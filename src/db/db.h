/* db/db.h - one statement API over SQLite and PostgreSQL
 *
 *     r = db_get(db, "SELECT " USER_COLS " FROM app_user WHERE tenant_id = $1 AND id = $2",
 *                DB_ARGS(V(tenant), V(id)), user_fields, arena, &user);
 *
 * A connection belongs to one thread. SQL is a constant with $1..$n parameters on both engines; the only
 * SQL that is put together at run time comes from db/query.h. Statements are prepared once a connection.
 *
 * A connection that lost its server reconnects inside the next call, at most once a backoff period
 * (100 ms doubling to 5 s); calls in between answer DB_E_AWAY at once. No call blocks longer than its
 * connect limit plus its statement limit.
 */
#pragma once

#include "base/base.h"
#include "base/field.h"

/* Outcomes. Everything else that goes wrong (bad SQL, a column that is not in the table) is a negative
 * error: our own bug, or a database that is not ours.
 */
enum {
	DB_E_NONE = 1, /* no such row */
	DB_E_DUP,      /* a unique key has that value already */
	DB_E_AWAY, /* the server (or the disk) is gone: nothing was done, or it cannot be known */
	DB_E_BUSY, /* lost against other writers for too long, or deadlocked: the whole transaction may be tried again */
	DB_E_REF,  /* a row that it refers to is not there, or rows refer to it */
};

enum db_engine { DB_SQLITE, DB_POSTGRESQL };

struct db_opts {
	unsigned connect_ms;   /* 0: 5000 */
	unsigned statement_ms; /* 0: 10000; SQLite: how long it waits for other writers */
	bool read_only;	       /* refuse writes */
};

struct db;

/* `url`: "sqlite:PATH" or "postgresql://..." (libpq's form; also "postgres://"). The connection is tried at once.
 * Return: 0 with *ret_db set; DB_E_AWAY when it cannot be reached now: *ret_db is set too and will
 * reconnect; negative when the url itself is not usable.
 */
must_check int db_open(const char *url, const struct db_opts *opts, struct db **ret_db);
struct db *db_close(struct db *db);
DEFINE_CLEANUP(struct db *, db_close)
enum db_engine db_engine(const struct db *db);
/* A sentence on the last DB_E_AWAY for people; no secrets. Lives until the next call. */
const char *db_reason(const struct db *db);
/* Asks the server for a sign of life. Return: 0 or DB_E_AWAY. */
must_check int db_ping(struct db *db);

/* Values. V(x) takes struct id (ID_NONE is NULL), strings (NULL is NULL), integers, bool, double. */
enum db_kind { DB_KIND_INT, DB_KIND_BOOL, DB_KIND_REAL, DB_KIND_STR, DB_KIND_ID };

struct db_val {
	enum db_kind kind;
	bool null;
	union {
		int64_t num;
		double real;
		const char *str;
		struct id id;
	};
};

struct db_args {
	const struct db_val *vals;
	unsigned count;
};

#define DB_MAX_ARGS 576 /* a page of ids and a filter's values */

static inline struct db_val db_val_int(int64_t num)
{
	return (struct db_val){ .kind = DB_KIND_INT, .num = num };
}
static inline struct db_val db_val_bool(bool on)
{
	return (struct db_val){ .kind = DB_KIND_BOOL, .num = on };
}
static inline struct db_val db_val_real(double real)
{
	return (struct db_val){ .kind = DB_KIND_REAL, .real = real };
}
static inline struct db_val db_val_str(const char *str)
{
	return (struct db_val){ .kind = DB_KIND_STR, .null = !str, .str = str };
}
static inline struct db_val db_val_id(struct id id)
{
	return (struct db_val){ .kind = DB_KIND_ID, .null = id_is_none(id), .id = id };
}
/* A time: 0 is NULL. */
static inline struct db_val V_TIME(int64_t wall_us) {
	return (struct db_val){ .kind = DB_KIND_INT, .null = wall_us == 0, .num = wall_us };
}

#define V(x)                                                                                       \
	_Generic((x),                                                                                  \
		struct id: db_val_id,                                                                  \
		char *: db_val_str,                                                                    \
		const char *: db_val_str,                                                              \
		bool: db_val_bool,                                                                     \
		double: db_val_real,                                                                   \
		int: db_val_int,                                                                       \
		unsigned: db_val_int,                                                                  \
		long: db_val_int,                                                                      \
		long long: db_val_int)(x)

#define DB_ARGS(...)                                                                               \
	((struct db_args){ (struct db_val[]){ __VA_ARGS__ },                                       \
			   sizeof((struct db_val[]){ __VA_ARGS__ }) / sizeof(struct db_val) })
#define DB_NO_ARGS ((struct db_args){ 0 })

/* $1..$n are the table's columns (members without FIELD_NO_DB) of `row`, in the table's order, followed by
 * `more`. The texts of JSON members live in the arena.
 */
struct db_args
db_args_of(const struct field *fields, const void *row, struct db_args more, struct arena *arena);

/* Rows become structs: each column goes to the member of its name; a column that the table does not have
 * is an error; members without a column keep what they were (db_get) or are zero (db_list, db_each).
 * Strings, string lists and JSON live in the arena (json_t is released with it: keep it with json_incref).
 * FIELD_ENUM is stored as its name; an unknown name is an error.
 */

/* Return: 0 with *ret_row filled; DB_E_NONE with it untouched; DB_E_AWAY, DB_E_BUSY. */
must_check int db_get(struct db *db, const char *sql, struct db_args args,
		      const struct field *fields, struct arena *arena, void *ret_row);

/* All rows, as an array in the arena (*ret_rows NULL when there are none). Give the statement a LIMIT. */
must_check int db_list(struct db *db, const char *sql, struct db_args args,
		       const struct field *fields, size_t row_size, struct arena *arena,
		       void *ret_rows, size_t *ret_count);

/* Row by row, with memory for one row only. `on_row` returns 0 to go on; anything else ends the reading and
 * is what db_each() returns. It must not use this connection.
 */
must_check int db_each(struct db *db, const char *sql, struct db_args args,
		       const struct field *fields, size_t row_size,
		       int (*on_row)(void *arg, const void *row), void *arg);

/* One number (count, sum, RETURNING); NULL reads as 0. Return: 0, DB_E_NONE without a row, ... */
must_check int db_num(struct db *db, const char *sql, struct db_args args, int64_t *ret_num);

/* Anything without rows. *ret_rows (may be NULL): how many rows it changed. */
must_check int db_exec(struct db *db, const char *sql, struct db_args args, int64_t *ret_rows);
/* The same, DB_E_NONE when it changed no row. */
must_check int db_change(struct db *db, const char *sql, struct db_args args);

/* Transactions. SQLite: BEGIN IMMEDIATE. After DB_E_AWAY or DB_E_BUSY inside one, roll back. On PostgreSQL
 * any failed statement spoils the transaction. db_rollback() always leaves the connection without one.
 */
must_check int db_begin(struct db *db);
must_check int db_commit(struct db *db);
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

/* Runs `body` in a transaction: commits when it returns 0, else rolls back and returns what it returned.
 * DB_E_BUSY is tried again up to 5 times, so `body` must be able to run anew. When a transaction is open already
 * `body` runs as a part of it, and its failure is for the opener to roll back.
 */
must_check int db_transact(struct db *db, int (*body)(struct db *db, void *arg), void *arg);

/* Forward-only migrations: run in rising order, all that are missing in one transaction, under a lock, so that
 * two daemons that start at once do not meet. `sql` is a list of statements for both engines; `@id`
 * stands for the engine's type of struct id.
 */
struct db_migration {
	int version; /* 1, 2, 3... */
	const char *name;
	const char *sql;
};

enum {
	DB_MIGRATE_E_NEWER = 16, /* the database was made by a newer program: do not touch it */
};

must_check int db_migrate(struct db *db, const struct db_migration *list, size_t count);

/* Tests: asked before each statement on any thread; what it returns (a DB_E_*, 0: nothing) happens to the statement
 * instead of running it. DB_E_AWAY drops the connection too.
 */
extern int (*_Atomic db_fault_hook)(const char *sql);
