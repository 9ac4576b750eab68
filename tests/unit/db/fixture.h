/* tests/unit/db/fixture.h - real databases for tests: SQLite files and a PostgreSQL server of our own
 *
 * The server is started at its first use in a process, on a free port of FIXTURE_HOST with a data directory of its own,
 * and is gone with the process. A machine without PostgreSQL's server programs tests SQLite only.
 */
#pragma once

#include "db/db.h"
#include "unit.h"

#define FIXTURE_HOST "127.0.20.1"

/* A temporary directory of the process, removed at its end. */
const char *fixture_dir(void);
bool fixture_has_pg(void);
/* A new, empty database. */
struct fixture {
	enum db_engine engine;
	char url[256];
};
void fixture_new(struct fixture *fixture, enum db_engine engine);
/* The server dies without a word (SIGQUIT), and comes back on the same port. */
void fixture_pg_stop(void);
void fixture_pg_start(void);
struct db *fixture_open(const struct fixture *fixture);

/* cmocka: a setup that gives each test a fresh database (*state: struct fixture), for each engine in turn. */
int fixture_setup_sqlite(void **state);
int fixture_setup_pg(void **state);
int fixture_teardown(void **state);
#define BOTH_ENGINES(test)                                                                         \
	{ #test " (SQLite)", test, fixture_setup_sqlite, fixture_teardown, NULL },                 \
	{                                                                                          \
#test " (PostgreSQL)", test, fixture_setup_pg, fixture_teardown, NULL              \
	}
