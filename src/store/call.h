/* store/call.h - tables call, call_leg and call_event: what the journal writes and the log reads
 *
 * Only the journal thread writes here. Enumerations are kept as the API's words; event/view_row.h turns rows into
 * views and back, so that a call reads the same live or ended.
 */
#pragma once

#include "db/query.h"

struct call_row {
	struct id id, tenant_id, profile_id, user_id;
	const char *direction, *state;
	const char *from, *to, *from_name;
	int64_t created_at, ringing_at, answered_at, ended_at;
	int ring_s, talk_s, hold_s;
	bool hold_local, hold_remote;
	const char *recording;
	struct id recording_id;
	const char *room;
	const char *end_reason; /* NULL: still up */
	int sip_code, q850;
	const char *hangup_by;
	struct id transferred_from, transferred_to;
	const char *variables; /* JSON text */
	int64_t call_seq;      /* of the last event applied */
	int64_t last_at;       /* its time */
};

#define CALL_COLS                                                                                         \
	"id, tenant_id, profile_id, user_id, direction, state, \"from\", \"to\", from_name, created_at, " \
	"ringing_at, answered_at, ended_at, ring_s, talk_s, hold_s, hold_local, hold_remote, recording, " \
	"recording_id, room, end_reason, sip_code, q850, hangup_by, transferred_from, transferred_to, "   \
	"variables, call_seq, last_at"
extern const struct field call_row_fields[];

struct call_leg_row {
	struct id id, tenant_id, call_id;
	int position; /* in the call */
	const char *role, *kind, *state;
	bool muted;
	const char *address, *codec;
	struct id profile_id, device_id, user_id;
	int64_t created_at, ringing_at, answered_at, ended_at;
	const char *end_reason;
	int sip_code;
	bool quality_known;
	double mos, jitter_ms, loss_pct, rtt_ms;
};

#define CALL_LEG_COLS                                                                               \
	"id, tenant_id, call_id, position, role, kind, state, muted, address, codec, profile_id, "  \
	"device_id, user_id, created_at, ringing_at, answered_at, ended_at, end_reason, sip_code, " \
	"quality_known, mos, jitter_ms, loss_pct, rtt_ms"
extern const struct field call_leg_fields[];

/* The timeline: one a journalled event of a call. */
struct call_event_row {
	struct id id, tenant_id, call_id;
	int64_t call_seq, seq;
	const char *type;
	int64_t time;
	const char *state; /* the call's, after it */
	json_t *detail;	   /* what only this event says, or NULL */
};

#define CALL_EVENT_COLS "id, tenant_id, call_id, call_seq, seq, type, time, state, detail"
extern const struct field call_event_fields[];

/* Writes (journal only; inside its transaction). */

/* Inserts the call, or updates it when call->call_seq is above what the row has. *ret_applied: false when an
 * older or equal event came again and nothing was done.
 */
must_check int call_row_put(struct db *db, struct call_row *call, struct arena *arena,
			    bool *ret_applied);
must_check int call_leg_put(struct db *db, struct call_leg_row *leg, struct arena *arena);
/* Once an event; a second time nothing happens. */
must_check int call_event_put(struct db *db, struct call_event_row *event, struct arena *arena);
/* Raises what is kept as the tenant's last seq. */
must_check int call_row_seq_put(struct db *db, struct id tenant, int64_t seq);
/* Every tenant's last seq, for the event bus's start. */
must_check int call_row_seq_each(struct db *db,
				 int (*on_seq)(void *arg, struct id tenant, int64_t seq),
				 void *arg);
/* At start: calls without an end become `interrupted` at the time of their last event, with their legs, and
 * the timeline says so. Where it is later, they end at `alive_us`, when the last run was alive (0: not known).
 * *ret_count: how many.
 */
must_check int call_row_close_open(struct db *db, int64_t alive_us, int64_t *ret_count);

/* Reads. */
must_check int call_row_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			    struct call_row *ret);
must_check int call_row_legs(struct db *db, struct arena *arena, struct id tenant, struct id call,
			     struct call_leg_row **ret_rows, size_t *ret_count);
/* The legs of several calls, sorted by call, then position. At most DB_PAGE_MAX calls. */
must_check int call_row_legs_of(struct db *db, struct arena *arena, struct id tenant,
				const struct id *calls, unsigned call_count,
				struct call_leg_row **ret_rows, size_t *ret_count);
must_check int call_row_timeline(struct db *db, struct arena *arena, struct id tenant,
				 struct id call, struct call_event_row **ret_rows,
				 size_t *ret_count);

enum call_type {
	CALL_TYPE_INCOMING = 1 << 0,
	CALL_TYPE_OUTGOING = 1 << 1,
	CALL_TYPE_CONFERENCE = 1 << 2,
	CALL_TYPE_INTERNAL = 1 << 3,
	CALL_TYPE_RECORDED =
		1 << 4, /* together with the others: only those of them that were recorded */
};
enum call_status {
	CALL_STATUS_ANSWERED = 1 << 0,
	CALL_STATUS_MISSED = 1 << 1,	/* incoming, ended, nobody answered */
	CALL_STATUS_NO_ANSWER = 1 << 2, /* the others, not answered in time */
	CALL_STATUS_BUSY = 1 << 3,
	CALL_STATUS_CANCELED = 1 << 4,
	CALL_STATUS_FAILED = 1 << 5,
};
/* "incoming,recorded" to bits. Return: false for an unknown word. */
must_check bool call_type_parse(const char *words, unsigned *ret_types);
must_check bool call_status_parse(const char *words, unsigned *ret_statuses);

#define CALL_FILTER_IDS 32

struct call_filter {
	struct db_page
		page; /* ordering: started_at, created_at, answered_at, ended_at, talk_s, ring_s, from, to */
	unsigned types;	   /* 0: all */
	unsigned statuses; /* 0: all */
	struct id profiles[CALL_FILTER_IDS];
	unsigned profile_count;
	struct id user; /* whose calls; none: all of the tenant */
	/* What an agent may see: own calls and those of the profiles that are his or hers. none: no limit. */
	struct id visible_to;
	const char *from, *to;		       /* exact */
	int64_t started_after, started_before; /* 0: open */
	int min_talk_s;			       /* 0: any */
	const char *search;		       /* from, to, from_name */
	bool live;			       /* also calls that have not ended */
};

must_check int call_row_list(struct db *db, struct arena *arena, struct id tenant,
			     const struct call_filter *filter, struct call_row **ret_rows,
			     struct db_page_info *ret_info);
/* The whole filter in the same order, row by row (the CSV). */
must_check int call_row_each(struct db *db, struct arena *arena, struct id tenant,
			     const struct call_filter *filter,
			     int (*on_call)(void *arg, const struct call_row *call), void *arg);
