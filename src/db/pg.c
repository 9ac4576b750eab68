/* The PostgreSQL driver: libpq without its blocking calls, so that every wait has a limit */
#include "db/private.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

/* The server's own statement limit comes first, so that a slow statement costs a statement and not a connection. */
#define SERVER_GRACE_MS 2000

/* pg_type.dat's numbers, fixed for ever by its promise for built-in types. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_TEXT = 25, OID_FLOAT8 = 701, OID_UUID = 2950 };

static void pg_clear(struct db *db)
{
	PQclear(db->pg_res);
	db->pg_res = NULL;
}

static int pg_lost(struct db *db)
{
	snprintf(db->reason, sizeof(db->reason), "%s",
		 db->pg ? PQerrorMessage(db->pg) : "not connected");
	return db_lost(db, db->reason);
}

/* Return: 1 ready, 0 time is up. */
static int pg_poll(struct db *db, short events, uint64_t deadline_ms)
{
	struct pollfd fd = { .fd = PQsocket(db->pg), .events = events };

	for (;;) {
		uint64_t now = clock_mono_ms();
		int n;

		if (now >= deadline_ms)
			return 0;
		n = poll(&fd, 1, (int)(deadline_ms - now));
		if (n > 0 || (n < 0 && errno != EINTR))
			return 1; /* libpq finds out what is wrong with it */
	}
}

static int pg_await_connect(struct db *db, uint64_t deadline_ms)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (state != PGRES_POLLING_OK) {
		if (state == PGRES_POLLING_FAILED) {
			snprintf(db->reason, sizeof(db->reason), "%s", PQerrorMessage(db->pg));
			return DB_E_AWAY;
		}
		if (!pg_poll(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
			snprintf(db->reason, sizeof(db->reason), "no connection within %u ms",
				 db->opts.connect_ms);
			return DB_E_AWAY;
		}
		state = PQconnectPoll(db->pg);
	}
	return 0;
}

static int pg_flush(struct db *db, uint64_t deadline_ms)
{
	int left;

	while ((left = PQflush(db->pg)) > 0) {
		if (!pg_poll(db, POLLIN | POLLOUT, deadline_ms))
			return db_lost(db, "the server takes no more");
		if (!PQconsumeInput(db->pg))
			return pg_lost(db);
	}
	return left < 0 ? pg_lost(db) : 0;
}

/* The next result in db->pg_res, NULL at the end of them. */
static int pg_next(struct db *db, uint64_t deadline_ms)
{
	pg_clear(db);
	while (PQisBusy(db->pg)) {
		if (!pg_poll(db, POLLIN, deadline_ms))
			return db_lost(db, "the server did not answer in time");
		if (!PQconsumeInput(db->pg))
			return pg_lost(db);
	}
	db->pg_res = PQgetResult(db->pg);
	return 0;
}

static uint64_t pg_deadline(const struct db *db)
{
	return clock_mono_ms() + db->opts.statement_ms + SERVER_GRACE_MS;
}

/* Reads what is left of a statement. */
static int pg_drain(struct db *db)
{
	uint64_t deadline = pg_deadline(db);
	int r;

	do {
		r = pg_next(db, deadline);
	} while (r == 0 && db->pg_res);
	return r;
}

static int pg_state_outcome(const char *state)
{
	static const struct {
		const char *state; /* a prefix: PostgreSQL's appendix A */
		int outcome;
	} table[] = {
		{ "23505", DB_E_DUP },	{ "23503", DB_E_REF },
		{ "40001", DB_E_BUSY }, /* serialization_failure */
		{ "40P01", DB_E_BUSY }, /* deadlock_detected */
		{ "55P03", DB_E_BUSY }, /* lock_not_available */
		{ "57014", DB_E_BUSY }, /* query_canceled: the statement's limit */
		{ "57P", DB_E_AWAY },	/* shutting down, crashed, starting up */
		{ "08", DB_E_AWAY },	{ "53", DB_E_AWAY }, /* out of disk, memory, connections */
		{ "25006", DB_E_AWAY },			     /* read only: it was demoted */
		{ "58", DB_E_AWAY },			     /* its files fail it */
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (str_has_prefix(state, table[i].state))
			return table[i].outcome;
	}
	return 0;
}

/* What a failed result means; the statement is read to its end, the connection stays unless it is away. */
static int pg_fail(struct db *db, const char *sql)
{
	const char *state = PQresultErrorField(db->pg_res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(db->pg_res, PG_DIAG_MESSAGE_PRIMARY);
	int outcome = state ? pg_state_outcome(state) : DB_E_AWAY;
	int r;

	if (outcome == DB_E_AWAY && !(db->opts.read_only && state && str_eq(state, "25006"))) {
		snprintf(db->reason, sizeof(db->reason), "%s",
			 text ? text : PQerrorMessage(db->pg));
		return db_lost(db, db->reason);
	}
	r = outcome > 0 && outcome != DB_E_AWAY
		    ? outcome
		    : err_newf(EPROTO, "postgresql %s %s: %s", state, text ? text : "", sql);
	if (pg_drain(db) == DB_E_AWAY)
		return DB_E_AWAY;
	return r;
}

static int pg_simple(struct db *db, const char *sql, uint64_t deadline_ms)
{
	int r;

	if (!PQsendQuery(db->pg, sql))
		return pg_lost(db);
	r = pg_flush(db, deadline_ms);
	while (r == 0) {
		r = pg_next(db, deadline_ms);
		if (r || !db->pg_res)
			return r;
		if (PQresultStatus(db->pg_res) != PGRES_COMMAND_OK &&
		    PQresultStatus(db->pg_res) != PGRES_TUPLES_OK)
			return pg_fail(db, sql);
	}
	return r;
}

static void pg_notice(void *arg, const char *text)
{
	(void)arg;
	log_debug("postgresql says", LOG_STR("notice", text));
}

static int pg_connect(struct db *db)
{
	const char *const keys[] = { "dbname",		"fallback_application_name",
				     "keepalives_idle", "tcp_user_timeout",
				     "client_encoding", NULL };
	const char *const vals[] = { db->url, "jackfield", "30", "20000", "UTF8", NULL };
	PQconninfoOption *parsed = PQconninfoParse(db->url, NULL);
	uint64_t deadline = clock_mono_ms() + db->opts.connect_ms;
	char setup[200];
	int r;

	if (!parsed)
		return err_newf(EINVAL, "database url is not one that libpq reads");
	PQconninfoFree(parsed);

	db->pg = PQconnectStartParams(keys, vals, 1);
	if (!db->pg)
		abort(); /* out of memory */
	PQsetNoticeProcessor(db->pg, pg_notice, NULL);
	if (PQstatus(db->pg) == CONNECTION_BAD) {
		snprintf(db->reason, sizeof(db->reason), "%s", PQerrorMessage(db->pg));
		return DB_E_AWAY;
	}
	r = pg_await_connect(db, deadline);
	if (r)
		return r;
	if (PQsetnonblocking(db->pg, 1)) {
		snprintf(db->reason, sizeof(db->reason), "%s", PQerrorMessage(db->pg));
		return DB_E_AWAY;
	}
	snprintf(setup, sizeof(setup),
		 "SET statement_timeout = %u; SET idle_in_transaction_session_timeout = 60000;%s",
		 db->opts.statement_ms,
		 db->opts.read_only ? "SET default_transaction_read_only = on;" : "");
	return pg_simple(db, setup, deadline);
}

static void pg_disconnect(struct db *db)
{
	pg_clear(db);
	PQfinish(db->pg);
	db->pg = NULL;
}

/* A server that went away has sent its farewell and the end of the stream: both are waiting to be read. */
static bool pg_alive(struct db *db)
{
	for (int i = 0; i < 4; i++) {
		struct pollfd fd = { .fd = PQsocket(db->pg), .events = POLLIN };

		if (PQstatus(db->pg) != CONNECTION_OK)
			return false;
		if (poll(&fd, 1, 0) <= 0)
			return true;
		if (!PQconsumeInput(db->pg))
			return false;
	}
	return PQstatus(db->pg) == CONNECTION_OK;
}

static Oid pg_oid(enum db_kind kind)
{
	switch (kind) {
	case DB_KIND_INT:
		return OID_INT8;
	case DB_KIND_BOOL:
		return OID_BOOL;
	case DB_KIND_REAL:
		return OID_FLOAT8;
	case DB_KIND_STR:
		return OID_TEXT;
	case DB_KIND_ID:
		return OID_UUID;
	}
	return 0;
}

static void pg_name(const struct db_stmt *stmt, char name[static 16])
{
	snprintf(name, 16, "s%u", stmt->number);
}

static int pg_prepare(struct db *db, struct db_stmt *stmt, struct db_args args)
{
	Oid types[DB_MAX_ARGS];
	uint64_t deadline = pg_deadline(db);
	char name[16];
	int r;

	for (unsigned i = 0; i < args.count; i++)
		types[i] = pg_oid(args.vals[i].kind);
	pg_name(stmt, name);
	if (!PQsendPrepare(db->pg, name, stmt->sql, (int)args.count, types))
		return pg_lost(db);
	r = pg_flush(db, deadline);
	if (r == 0)
		r = pg_next(db, deadline);
	if (r)
		return r;
	if (!db->pg_res || PQresultStatus(db->pg_res) != PGRES_COMMAND_OK)
		return pg_fail(db, stmt->sql);
	return pg_drain(db);
}

/* Dropped with the connection anyway; on a live one the server must forget it too. */
static void pg_drop(struct db *db, struct db_stmt *stmt)
{
	uint64_t deadline = pg_deadline(db);
	char sql[40];

	if (!db->connected || !db->pg || PQtransactionStatus(db->pg) == PQTRANS_INERROR)
		return;
	snprintf(sql, sizeof(sql), "DEALLOCATE s%u", stmt->number);
	if (!PQsendQuery(db->pg, sql))
		return;
	/* Not db_lost() from in here: if this does not end in time the next statement finds out. */
	while (PQflush(db->pg) >= 0) {
		PGresult *res;

		if (PQisBusy(db->pg)) {
			if (!pg_poll(db, POLLIN, deadline) || !PQconsumeInput(db->pg))
				return;
			continue;
		}
		res = PQgetResult(db->pg);
		if (!res)
			return;
		PQclear(res);
	}
}

struct pg_params {
	const char *vals[DB_MAX_ARGS];
	char text[DB_MAX_ARGS][ID_STR_SIZE];
};

static void pg_params(struct db_args args, struct pg_params *ret)
{
	for (unsigned i = 0; i < args.count; i++) {
		const struct db_val *val = &args.vals[i];

		ret->vals[i] = val->null ? NULL : ret->text[i];
		if (val->null)
			continue;
		switch (val->kind) {
		case DB_KIND_INT:
			snprintf(ret->text[i], ID_STR_SIZE, "%lld", (long long)val->num);
			break;
		case DB_KIND_BOOL:
			str_copy(ret->text[i], ID_STR_SIZE, val->num ? "t" : "f");
			break;
		case DB_KIND_REAL:
			snprintf(ret->text[i], ID_STR_SIZE, "%.17g", val->real);
			break;
		case DB_KIND_STR:
			ret->vals[i] = val->str;
			break;
		case DB_KIND_ID:
			id_print(val->id, ret->text[i]);
			break;
		}
	}
}

static int pg_start(struct db *db, struct db_stmt *stmt, struct db_args args, bool stream)
{
	struct pg_params params;
	char name[16];

	pg_params(args, &params);
	pg_name(stmt, name);
	if (!PQsendQueryPrepared(db->pg, name, (int)args.count, params.vals, NULL, NULL, 0))
		return pg_lost(db);
	if (stream)
		PQsetSingleRowMode(db->pg);
	db->pg_row = -1;
	db->pg_changed = 0;
	return pg_flush(db, pg_deadline(db));
}

static bool pg_is_good(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK ||
	       status == PGRES_COMMAND_OK;
}

static int pg_step(struct db *db, struct db_stmt *stmt)
{
	int r;

	if (db->pg_res && ++db->pg_row < PQntuples(db->pg_res))
		return 0;
	for (;;) {
		r = pg_next(db, pg_deadline(db));
		if (r)
			return r;
		if (!db->pg_res)
			return DB_E_NONE;
		if (!pg_is_good(db->pg_res))
			return pg_fail(db, stmt->sql);
		if (*PQcmdTuples(db->pg_res) &&
		    !str_to_i64(PQcmdTuples(db->pg_res), 0, INT64_MAX, &db->pg_changed))
			db->pg_changed = 0;
		db->pg_row = 0;
		if (PQntuples(db->pg_res) > 0)
			return 0;
	}
}

static unsigned pg_cols(struct db *db, struct db_stmt *stmt)
{
	(void)stmt;
	return (unsigned)PQnfields(db->pg_res);
}

static const char *pg_col_name(struct db *db, struct db_stmt *stmt, unsigned col)
{
	(void)stmt;
	return PQfname(db->pg_res, (int)col);
}

static void pg_cell(struct db *db, struct db_stmt *stmt, unsigned col, struct db_cell *ret)
{
	(void)stmt;
	ret->null = PQgetisnull(db->pg_res, db->pg_row, (int)col);
	ret->kind = CELL_TEXT;
	ret->text = PQgetvalue(db->pg_res, db->pg_row, (int)col);
	ret->len = (size_t)PQgetlength(db->pg_res, db->pg_row, (int)col);
}

/* A reader that stopped early: the server is told to stop too, then the rest is read away. */
static int64_t pg_finish(struct db *db, struct db_stmt *stmt)
{
	bool early = db->pg_res && PQresultStatus(db->pg_res) == PGRES_SINGLE_TUPLE;

	(void)stmt;
	if (early) {
		PGcancel *cancel = PQgetCancel(db->pg);
		char why[64];

		if (cancel && !db->in_tx)
			PQcancel(cancel, why, sizeof(why));
		PQfreeCancel(cancel);
	}
	(void)pg_drain(db);
	return db->pg_changed;
}

static int pg_script(struct db *db, const char *sql)
{
	/* Migrations may take their time: the server's limit does not apply to them (db_migrate() lifts it). */
	return pg_simple(db, sql, clock_mono_ms() + 3600 * 1000ull);
}

const struct db_driver db_pg_driver = {
	.engine = DB_POSTGRESQL,
	.connect = pg_connect,
	.disconnect = pg_disconnect,
	.alive = pg_alive,
	.prepare = pg_prepare,
	.drop = pg_drop,
	.start = pg_start,
	.step = pg_step,
	.cols = pg_cols,
	.col_name = pg_col_name,
	.cell = pg_cell,
	.finish = pg_finish,
	.script = pg_script,
};
