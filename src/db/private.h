/* db/private.h - what db.c, row.c and the two drivers share */
#pragma once

#include "base/hmap.h"
#include "db/db.h"

#define DB_CACHE_MAX 256
#define DB_BACKOFF_MIN_MS 100
#define DB_BACKOFF_MAX_MS 5000

/* A value of a row as its driver has it: SQLite types values, PostgreSQL sends texts. */
struct db_cell {
	bool null;
	enum { CELL_INT, CELL_REAL, CELL_TEXT } kind;
	int64_t num;
	double real;
	const char *text; /* NUL-terminated; until the next step */
	size_t len;
};

struct db_stmt {
	struct hnode node;
	struct db_stmt *newer, *older; /* by last use */
	char *sql;
	char kinds[DB_MAX_ARGS +
		   1];	  /* of its arguments: PostgreSQL types parameters when it prepares */
	void *native;	  /* sqlite3_stmt */
	uint16_t *places; /* SQLite: which argument is its n-th parameter */
	unsigned number;  /* PostgreSQL's name for it */
	const struct field *fields; /* whose places `map` holds */
	unsigned map_count;
	const struct field **map; /* by column */
};

struct db_driver {
	enum db_engine engine;
	int (*connect)(struct db *db);
	void (*disconnect)(struct db *db);
	bool (*alive)(struct db *db); /* cheap: has the idle connection been closed? */
	int (*prepare)(struct db *db, struct db_stmt *stmt, struct db_args args);
	void (*drop)(struct db *db, struct db_stmt *stmt);
	int (*start)(struct db *db, struct db_stmt *stmt, struct db_args args, bool stream);
	int (*step)(struct db *db, struct db_stmt *stmt); /* 0: a row; DB_E_NONE: no more */
	unsigned (*cols)(struct db *db, struct db_stmt *stmt);
	const char *(*col_name)(struct db *db, struct db_stmt *stmt, unsigned col);
	void (*cell)(struct db *db, struct db_stmt *stmt, unsigned col, struct db_cell *ret);
	int64_t (*finish)(struct db *db, struct db_stmt *stmt); /* Return: rows changed */
	int (*script)(struct db *db, const char *sql);		/* several statements, no rows */
};

extern const struct db_driver db_sqlite_driver, db_pg_driver;

struct db {
	const struct db_driver *driver;
	char *url;
	struct db_opts opts;
	bool connected;
	bool in_tx, tx_lost; /* tx_lost: it went with its connection; only a rollback helps */
	bool spoiled;	     /* a statement of the transaction failed */
	uint64_t retry_at_ms;
	unsigned backoff_ms;
	struct hmap stmts;
	struct db_stmt *newest, *oldest;
	unsigned stmt_number;
	char reason[256];
	struct sqlite3 *lite;
	uint64_t lite_deadline_ms;
	struct pg_conn *pg; /* libpq names its structs so */
	struct pg_result *pg_res;
	int pg_row;
	int64_t pg_changed;
	bool pg_stream;
};

/* Remembers why, drops the connection. Return: DB_E_AWAY. */
int db_lost(struct db *db, const char *reason);
/* Connects unless connected; obeys the backoff. */
int db_connect(struct db *db);
void db_stmts_clear(struct db *db);
int db_script(struct db *db, const char *sql);

/* row.c */
int db_row_read(struct db *db, struct db_stmt *stmt, const struct field *fields,
		struct arena *arena, void *row);
must_check bool db_cell_int(const struct db_cell *cell, int64_t *ret);
