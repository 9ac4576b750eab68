#include "db/query.h"
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum color { RED, GREEN };
static const char *const color_names[] = { "red", "green", NULL };

struct thing {
	struct id id;
	const char *name;
	int count;
	int64_t big;
	bool on;
	int64_t at;
	double ratio;
	int color;
	json_t *doc;
	const char **tags;
	int not_a_column;
};

static const struct field thing_fields[] = {
	FIELD(struct thing, id, FIELD_ID, 0),
	FIELD(struct thing, name, FIELD_STR, 0),
	FIELD(struct thing, count, FIELD_INT, 0),
	FIELD(struct thing, big, FIELD_I64, 0),
	FIELD(struct thing, on, FIELD_BOOL, 0),
	FIELD(struct thing, at, FIELD_TIME, 0),
	FIELD(struct thing, ratio, FIELD_REAL, 0),
	FIELD(struct thing, color, FIELD_ENUM, 0, .names = color_names),
	FIELD(struct thing, doc, FIELD_JSON, 0),
	FIELD(struct thing, tags, FIELD_STRS, 0),
	FIELD(struct thing, not_a_column, FIELD_INT, FIELD_NO_DB),
	{ 0 },
};

#define THING_COLS "id, name, count, big, \"on\", at, ratio, color, doc, tags"

static const struct db_migration thing_migrations[] = {
	{ 1, "things",
	  "CREATE TABLE thing (id @id NOT NULL PRIMARY KEY, name TEXT UNIQUE, count INTEGER, big BIGINT,"
	  " \"on\" BOOLEAN, at BIGINT, ratio DOUBLE PRECISION, color TEXT, doc TEXT, tags TEXT);"
	  "CREATE TABLE part (id @id NOT NULL PRIMARY KEY, thing_id @id NOT NULL REFERENCES thing (id));" },
	{ 2, "counter",
	  "CREATE TABLE counter (n BIGINT NOT NULL); INSERT INTO counter (n) VALUES (0);" },
};

static struct db *things(void **state)
{
	struct db *db = fixture_open(*state);

	assert_int_equal(db_migrate(db, thing_migrations, ARRAY_LEN(thing_migrations)), 0);
	return db;
}

static int thing_insert(struct db *db, const struct thing *thing, struct arena *arena)
{
	return db_exec(db,
		       "INSERT INTO thing (" THING_COLS
		       ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		       db_args_of(thing_fields, thing, DB_NO_ARGS, arena), NULL);
}

static void add_named(struct db *db, struct arena *arena, const char *name, int count)
{
	struct thing thing = { .id = id_new(), .name = name, .count = count };

	assert_int_equal(thing_insert(db, &thing, arena), 0);
}

static void a_row_comes_back_as_it_went(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	const char *tags[] = { "a", "b \"quoted\"", NULL };
	struct thing in = { .id = id_new(),
			    .name = "N\xc3\xa4me '; --",
			    .count = -7,
			    .big = INT64_MIN,
			    .on = true,
			    .at = 1700000000123456,
			    .ratio = 0.1,
			    .color = GREEN,
			    .tags = tags };
	struct thing out = { .not_a_column = 5 };

	in.doc = json_pack("{s:[i,s]}", "list", 1, "\xe2\x82\xac");
	assert_int_equal(thing_insert(db, &in, arena), 0);
	assert_int_equal(db_get(db, "SELECT " THING_COLS " FROM thing WHERE id = $1",
				DB_ARGS(V(in.id)), thing_fields, arena, &out),
			 0);
	assert_true(id_eq(in.id, out.id));
	assert_string_equal(out.name, in.name);
	assert_int_equal(out.count, -7);
	assert_true(out.big == INT64_MIN);
	assert_true(out.on);
	assert_true(out.at == in.at);
	assert_true(out.ratio == in.ratio);
	assert_int_equal(out.color, GREEN);
	assert_true(json_equal(in.doc, out.doc));
	assert_string_equal(out.tags[1], tags[1]);
	assert_null(out.tags[2]);
	assert_int_equal(out.not_a_column, 5);
	json_decref(in.doc);
}

static void nulls_come_back_as_nothing(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing in = { .id = id_new(), .color = -1 };
	struct thing out = { .name = "x", .at = 1, .color = GREEN };

	assert_int_equal(thing_insert(db, &in, arena), 0);
	assert_int_equal(db_get(db, "SELECT " THING_COLS " FROM thing WHERE id = $1",
				DB_ARGS(V(in.id)), thing_fields, arena, &out),
			 0);
	assert_null(out.name);
	assert_true(out.at == 0);
	assert_int_equal(out.color, -1);
	assert_null(out.doc);
	assert_null(out.tags);
}

static void a_missing_row_is_an_outcome(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing out = { .count = 9 };

	assert_int_equal(db_get(db, "SELECT " THING_COLS " FROM thing WHERE id = $1",
				DB_ARGS(V(id_new())), thing_fields, arena, &out),
			 DB_E_NONE);
	assert_int_equal(out.count, 9);
	assert_int_equal(db_change(db, "UPDATE thing SET count = 1 WHERE id = $1",
				   DB_ARGS(V(id_new()))),
			 DB_E_NONE);
}

static void parameters_are_found_by_their_number(void **state)
{
	auto_(db_close) struct db *db = things(state);
	int64_t n;

	assert_int_equal(db_num(db, "SELECT $2 - $1 + $2", DB_ARGS(V(1), V(10)), &n), 0);
	assert_int_equal(n, 19);
}

static void a_double_key_and_a_dangling_reference_are_outcomes(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing thing = { .id = id_new(), .name = "one" };
	struct id orphan = id_new();

	assert_int_equal(thing_insert(db, &thing, arena), 0);
	assert_int_equal(thing_insert(db, &thing, arena), DB_E_DUP);
	thing.id = id_new();
	assert_int_equal(thing_insert(db, &thing, arena), DB_E_DUP);
	assert_int_equal(db_exec(db, "INSERT INTO part (id, thing_id) VALUES ($1, $2)",
				 DB_ARGS(V(id_new()), V(orphan)), NULL),
			 DB_E_REF);
	assert_int_equal(db_ping(db), 0);
}

static void our_own_bugs_are_errors_and_leave_the_connection_usable(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing thing;

	assert_true(db_exec(db, "SELEKT 1", DB_NO_ARGS, NULL) < 0);
	add_named(db, arena, "x", 1);
	assert_true(db_get(db, "SELECT count AS nobody FROM thing", DB_NO_ARGS, thing_fields, arena,
			   &thing) < 0);
	assert_int_equal(db_exec(db, "UPDATE thing SET color = $1", DB_ARGS(V("mauve")), NULL), 0);
	assert_true(db_get(db, "SELECT color FROM thing", DB_NO_ARGS, thing_fields, arena, &thing) <
		    0);
	assert_int_equal(db_ping(db), 0);
}

static void lists_hold_all_rows_in_order(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing *rows;
	char name[16];
	size_t count;

	assert_int_equal(db_list(db, "SELECT " THING_COLS " FROM thing", DB_NO_ARGS, thing_fields,
				 sizeof(*rows), arena, &rows, &count),
			 0);
	assert_int_equal(count, 0);
	assert_null(rows);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		add_named(db, arena, name, 99 - i);
	}
	assert_int_equal(db_list(db, "SELECT name, count FROM thing ORDER BY count LIMIT $1",
				 DB_ARGS(V(60)), thing_fields, sizeof(*rows), arena, &rows, &count),
			 0);
	assert_int_equal(count, 60);
	assert_string_equal(rows[0].name, "n99");
	assert_string_equal(rows[59].name, "n40");
}

struct stop_at {
	int seen, stop;
};

static int count_rows(void *arg, const void *row)
{
	struct stop_at *at = arg;
	const struct thing *thing = row;

	assert_int_equal(thing->count, at->seen);
	return ++at->seen == at->stop ? 77 : 0;
}

static void streaming_stops_when_its_reader_says_so(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct stop_at at = { .stop = 10 };
	char name[16];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		add_named(db, arena, name, i);
	}
	assert_int_equal(db_each(db, "SELECT " THING_COLS " FROM thing ORDER BY count", DB_NO_ARGS,
				 thing_fields, sizeof(struct thing), count_rows, &at),
			 77);
	assert_int_equal(at.seen, 10);
	at = (struct stop_at){ 0 };
	assert_int_equal(db_each(db, "SELECT " THING_COLS " FROM thing ORDER BY count", DB_NO_ARGS,
				 thing_fields, sizeof(struct thing), count_rows, &at),
			 0);
	assert_int_equal(at.seen, 500);
}

static void a_transaction_is_whole_or_not_at_all(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	int64_t n;

	assert_int_equal(db_begin(db), 0);
	add_named(db, arena, "a", 1);
	assert_true(db_in_transaction(db));
	db_rollback(db);
	assert_int_equal(db_num(db, "SELECT count(*) FROM thing", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 0);

	assert_int_equal(db_begin(db), 0);
	add_named(db, arena, "a", 1);
	assert_int_equal(db_commit(db), 0);
	assert_false(db_in_transaction(db));
	assert_int_equal(db_num(db, "SELECT count(*) FROM thing", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 1);
}

static int insert_twice(struct db *db, void *arg)
{
	struct thing thing = { .id = id_new(), .name = "twice" };
	int r = thing_insert(db, &thing, arg);

	if (r == 0)
		r = thing_insert(db, &thing, arg);
	return r;
}

static void a_failed_body_leaves_nothing(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	int64_t n;

	assert_int_equal(db_transact(db, insert_twice, arena), DB_E_DUP);
	assert_int_equal(db_num(db, "SELECT count(*) FROM thing", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 0);
}

static int count_up(struct db *db, void *arg)
{
	int64_t n;
	int r;

	(void)arg;
	r = db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &n);
	if (r == 0)
		r = db_change(db, "UPDATE counter SET n = n + 1", DB_NO_ARGS);
	return r;
}

static void *count_many(void *arg)
{
	auto_(db_close) struct db *db = fixture_open(arg);

	for (int i = 0; i < 50; i++)
		assert_int_equal(db_transact(db, count_up, NULL), 0);
	return NULL;
}

static void writers_at_once_all_get_through(void **state)
{
	auto_(db_close) struct db *db = things(state);
	pthread_t threads[4];
	int64_t n;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_many, *state), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 200);
}

/* Two that wait for each other: one is told DB_E_BUSY, both get done. */
struct crossing {
	void *fixture;
	pthread_barrier_t *barrier;
	struct id first, second;
	int tries;
};

static int cross(struct db *db, void *arg)
{
	struct crossing *crossing = arg;
	int r = db_change(db, "UPDATE thing SET count = count + 1 WHERE id = $1",
			  DB_ARGS(V(crossing->first)));

	if (crossing->tries++ == 0 && db_engine(db) == DB_POSTGRESQL)
		pthread_barrier_wait(crossing->barrier);
	if (r == 0)
		r = db_change(db, "UPDATE thing SET count = count + 1 WHERE id = $1",
			      DB_ARGS(V(crossing->second)));
	return r;
}

static void *cross_thread(void *arg)
{
	struct crossing *crossing = arg;
	auto_(db_close) struct db *db = fixture_open(crossing->fixture);

	assert_int_equal(db_transact(db, cross, crossing), 0);
	return NULL;
}

static void a_deadlock_is_tried_again(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing one = { .id = id_new() }, two = { .id = id_new() };
	pthread_barrier_t barrier;
	struct crossing a = { *state, &barrier, one.id, two.id, 0 },
			b = { *state, &barrier, two.id, one.id, 0 };
	pthread_t ta, tb;
	int64_t n;

	assert_int_equal(thing_insert(db, &one, arena), 0);
	assert_int_equal(thing_insert(db, &two, arena), 0);
	pthread_barrier_init(&barrier, NULL, 2);
	assert_int_equal(pthread_create(&ta, NULL, cross_thread, &a), 0);
	assert_int_equal(pthread_create(&tb, NULL, cross_thread, &b), 0);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	assert_int_equal(db_num(db, "SELECT sum(count) FROM thing", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 4);
	if (db_engine(db) == DB_POSTGRESQL)
		assert_in_range(a.tries + b.tries, 3, 4); /* both may see it at the same time */
	pthread_barrier_destroy(&barrier);
}

static void a_writer_that_waits_too_long_is_told_busy(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(db_close) struct db *other = NULL;
	struct db_opts opts = { .statement_ms = 200 };
	const struct fixture *fixture = *state;
	uint64_t start = clock_mono_ms();
	int r;

	assert_int_equal(db_open(fixture->url, &opts, &other), 0);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_change(db, "UPDATE counter SET n = 1", DB_NO_ARGS), 0);
	r = db_exec(other, "UPDATE counter SET n = 2", DB_NO_ARGS, NULL);
	assert_int_equal(r, DB_E_BUSY);
	assert_true(clock_mono_ms() - start < 2000);
	assert_int_equal(db_commit(db), 0);
	assert_int_equal(db_exec(other, "UPDATE counter SET n = 2", DB_NO_ARGS, NULL), 0);
}

static void more_statements_than_the_cache_holds(void **state)
{
	auto_(db_close) struct db *db = things(state);
	char sql[64];
	int64_t n;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 400; i++) {
			snprintf(sql, sizeof(sql), "SELECT %d + $1", i);
			assert_int_equal(db_num(db, sql, DB_ARGS(V(i)), &n), 0);
			assert_int_equal(n, 2 * i);
		}
	}
}

static int fault_outcome;
static atomic_int fault_in;

static int fault(const char *sql)
{
	(void)sql;
	return atomic_fetch_sub(&fault_in, 1) == 1 ? fault_outcome : 0;
}

static void losing_the_connection_inside_a_transaction_undoes_it(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	int64_t n;

	assert_int_equal(db_begin(db), 0);
	add_named(db, arena, "a", 1);
	fault_outcome = DB_E_AWAY;
	atomic_store(&fault_in, 1);
	db_fault_hook = fault;
	assert_int_equal(db_ping(db), DB_E_AWAY);
	assert_int_equal(db_ping(db), DB_E_AWAY); /* until it is rolled back */
	assert_int_equal(db_commit(db), DB_E_AWAY);
	assert_false(db_in_transaction(db));
	assert_int_equal(db_num(db, "SELECT count(*) FROM thing", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 0);
}

/* STYLE: the n-th operation fails, for every n until it passes: nothing is ever half done. */
static void any_statement_may_fail_without_harm(void **state)
{
	auto_(db_close) struct db *db = things(state);
	static const int outcomes[] = { DB_E_AWAY, DB_E_BUSY };
	int64_t before, after;
	int r = 1;

	for (size_t k = 0; k < ARRAY_LEN(outcomes); k++) {
		for (int n = 1; n < 10; n++) {
			db_fault_hook = NULL;
			assert_int_equal(db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &before),
					 0);
			fault_outcome = outcomes[k];
			atomic_store(&fault_in, n);
			db_fault_hook = fault;
			r = db_transact(db, count_up, NULL);
			db_fault_hook = NULL;
			assert_false(db_in_transaction(db));
			assert_int_equal(db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &after),
					 0);
			assert_int_equal(after, before + (r == 0));
		}
		assert_int_equal(r, 0);
	}
}

static void a_database_that_cannot_be_reached_answers_fast(void **state)
{
	auto_(db_close) struct db *db = NULL;
	struct db_opts opts = { .connect_ms = 500 };
	uint64_t start = clock_mono_ms();

	(void)state;
	assert_int_equal(db_open("postgresql://127.0.20.9:1/none", &opts, &db), DB_E_AWAY);
	assert_non_null(db);
	assert_true(strlen(db_reason(db)) > 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(db_ping(db), DB_E_AWAY);
	assert_true(clock_mono_ms() - start < 2000);
	db = db_close(db);
	assert_int_equal(db_open("sqlite:/no/such/place/x.db", &opts, &db), DB_E_AWAY);
}

static void a_url_that_is_none_is_an_error(void **state)
{
	struct db *db = NULL;

	(void)state;
	assert_true(db_open("mysql://x", NULL, &db) < 0);
	assert_true(db_open("sqlite:", NULL, &db) < 0);
	assert_true(db_open("postgresql://h:port/x?nonsense=1", NULL, &db) < 0);
	assert_null(db);
}

static void a_server_that_comes_back_is_used_again(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	int r = 0;

	add_named(db, arena, "before", 1);
	fixture_pg_stop();
	assert_int_equal(db_ping(db), DB_E_AWAY);
	fixture_pg_start();
	for (int i = 0; i < 200 && (r = db_ping(db)); i++)
		usleep(50000);
	assert_int_equal(r, 0);
	add_named(db, arena, "after", 1);

	/* An idle connection that died and came back meanwhile is not even noticed. */
	fixture_pg_stop();
	fixture_pg_start();
	add_named(db, arena, "later", 1);
}

static void a_sqlite_file_is_its_owners_alone(void **state)
{
	auto_(db_close) struct db *db = things(state);
	const struct fixture *fixture = *state;
	struct stat st;

	assert_int_equal(stat(fixture->url + strlen("sqlite:"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static int visit(const char *url)
{
	struct db *db = NULL;
	int64_t n;
	int r = db_open(url, &(struct db_opts){ 0 }, &db);

	if (!r)
		r = db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &n);
	db_close(db);
	return r ? 1 : 0;
}

/* As a backup does, or who looks at it with sqlite3. A program of its own: after a fork alone SQLite would know of
 * our connections.
 */
static void another_program_opens_it_and_leaves(void **state)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		execl("/proc/self/exe", "visit", ((struct fixture *)*state)->url, NULL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void what_others_do_to_a_sqlite_file_loses_nothing(void **state)
{
	struct db *first = things(state), *second = fixture_open(*state), *third;
	auto_(free) char *wal =
		xasprintf("%s-wal", strchr(((struct fixture *)*state)->url, ':') + 1);
	int64_t n = 0;

	assert_int_equal(db_exec(first, "UPDATE counter SET n = 1", DB_NO_ARGS, NULL), 0);
	another_program_opens_it_and_leaves(state);
	assert_int_equal(access(wal, F_OK), 0);
	assert_int_equal(db_exec(first, "UPDATE counter SET n = n + 1", DB_NO_ARGS, NULL), 0);
	third = fixture_open(*state);
	assert_int_equal(db_num(third, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 2);
	db_close(third);
	db_close(second);
	another_program_opens_it_and_leaves(state);
	assert_int_equal(db_exec(first, "UPDATE counter SET n = n + 1", DB_NO_ARGS, NULL), 0);
	third = fixture_open(*state);
	assert_int_equal(db_num(third, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 3);
	db_close(third);
	db_close(first);
}

static void a_read_only_connection_writes_nothing(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(db_close) struct db *reader = NULL;
	struct db_opts opts = { .read_only = true };
	const struct fixture *fixture = *state;
	int64_t n;

	assert_int_equal(db_open(fixture->url, &opts, &reader), 0);
	assert_int_equal(db_num(reader, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_true(db_exec(reader, "UPDATE counter SET n = 5", DB_NO_ARGS, NULL) < 0);
	assert_int_equal(db_num(reader, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 0);
}

static void migrations_run_once_and_never_back(void **state)
{
	static const struct db_migration more[] = {
		{ 1, "things", "this is not run again" },
		{ 2, "counter", "nor this" },
		{ 3, "step", "UPDATE counter SET n = n + 100" },
	};
	auto_(db_close) struct db *db = things(state);
	int64_t n;

	assert_int_equal(db_migrate(db, thing_migrations, 2), 0);
	assert_int_equal(db_migrate(db, more, 3), 0);
	assert_int_equal(db_migrate(db, more, 3), 0);
	assert_int_equal(db_num(db, "SELECT n FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 100);
	assert_int_equal(db_migrate(db, thing_migrations, 2), DB_MIGRATE_E_NEWER);
}

static void a_migration_that_fails_leaves_no_trace(void **state)
{
	static const struct db_migration bad[] = {
		{ 1, "good", "CREATE TABLE good (n BIGINT)" },
		{ 2, "bad", "CREATE TABLE half (n BIGINT); INSERT INTO nowhere VALUES (1)" },
	};
	auto_(db_close) struct db *db = fixture_open(*state);
	int64_t n;

	assert_true(db_migrate(db, bad, 2) < 0);
	assert_true(db_num(db, "SELECT count(*) FROM good", DB_NO_ARGS, &n) < 0);
	assert_int_equal(db_migrate(db, bad, 1), 0);
	assert_int_equal(db_num(db, "SELECT count(*) FROM good", DB_NO_ARGS, &n), 0);
}

static void *migrate_thread(void *arg)
{
	auto_(db_close) struct db *db = NULL;
	const struct fixture *fixture = arg;
	int r;

	do {
		db = db_close(db);
		r = db_open(fixture->url, NULL, &db);
		if (r == 0)
			r = db_migrate(db, thing_migrations, 2);
	} while (r == DB_E_AWAY || r == DB_E_BUSY);
	assert_int_equal(r, 0);
	return NULL;
}

static void daemons_that_start_at_once_migrate_once(void **state)
{
	pthread_t threads[4];
	auto_(db_close) struct db *db = NULL;
	int64_t n;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, *state), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	db = fixture_open(*state);
	assert_int_equal(db_num(db, "SELECT count(*) FROM counter", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 1);
}

static const struct db_list thing_list = {
	.select = "SELECT name, count FROM thing",
	.count = "SELECT count(*) FROM thing",
	.fields = thing_fields,
	.row_size = sizeof(struct thing),
	.orders = (const struct db_order[]){ { "name" }, { "amount", "count" }, { 0 } },
	.order = "name",
	.tie = "id",
};

static void pages_are_counted_ordered_and_bounded(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct db_page page = { .number = 2, .size = 10, .ordering = "nonsense,-amount" };
	struct db_page_info info;
	struct thing *rows;
	struct db_query query = { 0 };
	char name[16];

	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof(name), "n%02d", i);
		add_named(db, arena, name, i);
	}
	db_where(&query, "count >= ?", V(2));
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.count, 23);
	assert_int_equal(info.rows, 10);
	assert_true(info.has_next && info.has_previous);
	assert_int_equal(rows[0].count, 14);
	page.number = 3;
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.rows, 3);
	assert_false(info.has_next);
	page.number = 4;
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info),
			 DB_PAGE_E_RANGE);
	page = (struct db_page){ .size = 100000, .ordering = "name; DROP TABLE thing" };
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.size, DB_PAGE_MAX);
	assert_string_equal(rows[0].name, "n02");
}

static size_t found(struct db *db, struct arena *arena, const char *text)
{
	struct db_query query = { 0 };
	struct db_page page = { 0 };
	struct db_page_info info;
	struct thing *rows;

	db_search(&query, arena, "lower(name) LIKE ? ESCAPE '\\'", text);
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.count, info.rows);
	return info.rows;
}

static void searches_take_their_text_literally(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();

	add_named(db, arena, "100% Sure", 1);
	add_named(db, arena, "1000 sure_thing", 2);
	add_named(db, arena, "back\\slash'", 3);
	assert_int_equal(found(db, arena, "SURE"), 2);
	assert_int_equal(found(db, arena, "100%"), 1);
	assert_int_equal(found(db, arena, "e_t"), 1);
	assert_int_equal(found(db, arena, "\\S"), 1);
	assert_int_equal(found(db, arena, "h'"), 1);
	assert_int_equal(found(db, arena, ""), 3);
}

static void a_list_of_values_may_be_empty_long_or_too_long(void **state)
{
	auto_(db_close) struct db *db = things(state);
	auto_(arena_free) struct arena *arena = arena_new();
	struct db_val vals[700];
	struct db_page page = { 0 };
	struct db_page_info info;
	struct thing *rows;
	struct db_query query = { 0 };

	for (int i = 0; i < 700; i++)
		vals[i] = V(i);
	for (int i = 0; i < 3; i++)
		add_named(db, arena, i == 0 ? "a" : i == 1 ? "b" : "c", i * 200);
	db_where_in(&query, "count", vals, 500);
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.count, 3);
	query = (struct db_query){ 0 };
	db_where_in(&query, "count", vals, 3);
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.count, 1);
	query = (struct db_query){ 0 };
	db_where_in(&query, "count", vals, 0);
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info), 0);
	assert_int_equal(info.count, 0);
	query = (struct db_query){ 0 };
	db_where_in(&query, "count", vals, 700);
	assert_int_equal(db_page(db, &query, &thing_list, &page, arena, &rows, &info),
			 DB_QUERY_E_TOO_MUCH);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_row_comes_back_as_it_went),
		BOTH_ENGINES(nulls_come_back_as_nothing),
		BOTH_ENGINES(a_missing_row_is_an_outcome),
		BOTH_ENGINES(parameters_are_found_by_their_number),
		BOTH_ENGINES(a_double_key_and_a_dangling_reference_are_outcomes),
		BOTH_ENGINES(our_own_bugs_are_errors_and_leave_the_connection_usable),
		BOTH_ENGINES(lists_hold_all_rows_in_order),
		BOTH_ENGINES(streaming_stops_when_its_reader_says_so),
		BOTH_ENGINES(a_transaction_is_whole_or_not_at_all),
		BOTH_ENGINES(a_failed_body_leaves_nothing),
		BOTH_ENGINES(writers_at_once_all_get_through),
		BOTH_ENGINES(a_deadlock_is_tried_again),
		BOTH_ENGINES(a_writer_that_waits_too_long_is_told_busy),
		BOTH_ENGINES(more_statements_than_the_cache_holds),
		BOTH_ENGINES(losing_the_connection_inside_a_transaction_undoes_it),
		BOTH_ENGINES(any_statement_may_fail_without_harm),
		BOTH_ENGINES(a_read_only_connection_writes_nothing),
		BOTH_ENGINES(migrations_run_once_and_never_back),
		BOTH_ENGINES(a_migration_that_fails_leaves_no_trace),
		BOTH_ENGINES(daemons_that_start_at_once_migrate_once),
		BOTH_ENGINES(pages_are_counted_ordered_and_bounded),
		BOTH_ENGINES(searches_take_their_text_literally),
		BOTH_ENGINES(a_list_of_values_may_be_empty_long_or_too_long),
		cmocka_unit_test(a_database_that_cannot_be_reached_answers_fast),
		cmocka_unit_test(a_url_that_is_none_is_an_error),
		cmocka_unit_test_setup_teardown(a_sqlite_file_is_its_owners_alone,
						fixture_setup_sqlite, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_others_do_to_a_sqlite_file_loses_nothing,
						fixture_setup_sqlite, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_server_that_comes_back_is_used_again,
						fixture_setup_pg, fixture_teardown),
	};

	if (argc == 2 && strcmp(argv[0], "visit") == 0)
		return visit(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
