/* store/monitor.h - table monitor: which supervisor was on which call, and how
 *
 * Rows are written by the journal (event/), together with the audit of the same events; those that a crash left open are
 * closed at the next start.
 */
#pragma once

#include "db/query.h"

struct monitor_row {
	struct id id, tenant_id, call_id, profile_id, user_id;
	const char *room; /* NULL: a call of two */
	const char *mode, *state;
	bool muted, beep, follow_agent;
	struct id target_leg;
	struct id leg_id; /* the supervisor's */
	const char *address;
	int64_t created_at, started_at,
		ended_at;   /* started_at: 0 when the supervisor was never on it */
	const char *reason; /* why it ended */
	int64_t seq;	    /* of the event that wrote it last */
};

#define MONITOR_COLS                                                                               \
	"id, tenant_id, call_id, profile_id, user_id, room, mode, state, muted, beep, "            \
	"follow_agent, target_leg, leg_id, address, created_at, started_at, ended_at, reason, seq"
extern const struct field monitor_fields[];

/* Inserts or updates; what is older than the row (by seq) changes nothing. */
must_check int monitor_put(struct db *db, struct monitor_row *row, struct arena *arena);
must_check int monitor_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			   struct monitor_row *ret);
/* At start: those without an end become `interrupted`, and the audit says so. *ret_count: how many. */
must_check int monitor_close_open(struct db *db, int64_t *ret_count);
