/* event/journal.h - the thread that alone writes call data
 *
 * It takes events from the bus in order and applies all that wait in one transaction. An event that comes again
 * changes nothing. While the database is away events go to a spool file in the data directory, fsynced a
 * batch; they are applied, in order, before anything newer, as soon as it is back, or at the next start.
 */
#pragma once

#include "db/db.h"
#include "event/bus.h"

#define JOURNAL_SPOOL_FILE "journal.spool"

struct journal_opts {
	const char *db_url;
	const char *data_dir;
	struct db_opts db;
	uint64_t
		spool_max; /* bytes; 0: 1 GiB. When it is full the newest events are dropped, counted and logged */
	unsigned batch_max; /* events a transaction; 0: 2000 */
	unsigned linger_ms; /* how long a batch may wait for company; 0: 20 */
};

struct journal;

struct journal_status {
	bool away;	      /* the database is */
	uint64_t spool_bytes; /* waiting in the file */
	uint64_t applied, dropped;
	size_t waiting; /* in the ring */
};

/* On the main thread, before the call loop starts, on a migrated database: applies what a spool file holds, closes calls
 * that the last run left open as `interrupted`, seeds the bus with each tenant's seq. The thread does not run yet.
 * Return: 0, DB_E_AWAY, DB_E_BUSY.
 */
must_check int journal_open(const struct journal_opts *opts, struct event_bus *bus,
			    struct journal **ret_journal);
void journal_start(struct journal *journal);
/* Applies (or spools) all that was published before, ends the thread, frees. The call loop has ended by then. */
struct journal *journal_free(struct journal *journal);
DEFINE_CLEANUP(struct journal *, journal_free)
/* Any thread. */
void journal_status(struct journal *journal, struct journal_status *ret);
/* Any thread: waits until everything published before this call is applied or spooled. Return: false when time ran out. */
must_check bool journal_sync(struct journal *journal, unsigned timeout_ms);
