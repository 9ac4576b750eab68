/* store/recording.h - table recording: what was recorded of calls, and where its sound is
 *
 * The sound is a sealed file (media/vault.h) whose key is in `secret`, itself sealed by the daemon's key and bound to tenant
 * and row: without the row nobody can hear the file. Rows are written by the journal (event/), but for their deletion.
 */
#pragma once

#include "db/query.h"
#include "store/seal.h"

/* The API's words of a recording's state. */
extern const char
	*const recording_row_states[]; /* recording paused processing ready failed deleted */

struct recording_row {
	struct id id, tenant_id, call_id, profile_id, user_id;
	struct id other_user_id;    /* the called one of an internal call; or none */
	const char *state, *layout; /* mono, stereo */
	int rate;
	int64_t started_at, ended_at;
	int64_t duration_ms, size; /* of the WAV file */
	const char *sha256;	   /* of the same */
	const char *reason;	   /* why it failed */
	bool repaired;		   /* closed after a crash */
	const char *storage;	   /* the file's name */
	const char *secret;	   /* sealed; NULL once it is deleted */
	int64_t seq;		   /* of the event that wrote it last */
	bool legal_hold;	   /* not to be deleted, by whomever */
};

#define RECORDING_COLS                                                                             \
	"id, tenant_id, call_id, profile_id, user_id, state, layout, rate, started_at, ended_at,"  \
	" duration_ms, size, sha256, reason, repaired, storage, secret, seq,"                      \
	" other_user_id, legal_hold"
extern const struct field recording_fields[];

/* Inserts or updates; what is older than the row (by seq), and what was deleted, changes nothing. */
must_check int recording_put(struct db *db, struct recording_row *row, struct arena *arena);
/* One that is not deleted. */
must_check int recording_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			     struct recording_row *ret);
/* The newest of a call that can be heard; else the newest. */
must_check int recording_of_call(struct db *db, struct arena *arena, struct id tenant,
				 struct id call, struct recording_row *ret);
/* Every tenant's that was not finished: the daemon's start. */
must_check int recording_open_ones(struct db *db, struct arena *arena,
				   struct recording_row **ret_rows, size_t *ret_count);
/* Destroys its key; its call's row has the newest that is left, *ret_left (or none). In a transaction with the audit.
 * Return: 0, or DB_E_NONE when it is not there, not finished, or under a legal hold.
 */
must_check int recording_delete(struct db *db, struct id tenant, struct id id, struct id *ret_left);
/* Return: 0, or DB_E_NONE when it is not there or not finished. */
must_check int recording_hold(struct db *db, struct id tenant, struct id id, bool held);
/* The oldest of a tenant that began before then, are finished, and under no legal hold. */
must_check int recording_expired(struct db *db, struct arena *arena, struct id tenant,
				 int64_t before_us, int limit, struct recording_row **ret_rows,
				 size_t *ret_count);
/* By its file's name, deleted ones as well. Return: 0 or DB_E_NONE. */
must_check int recording_of_file(struct db *db, struct arena *arena, struct id tenant,
				 const char *storage, struct recording_row *ret);

/* How long a tenant's are kept: days, 0 for ever, or RECORDING_KEEP_DEFAULT: as the operator says. */
#define RECORDING_KEEP_DEFAULT (-1)
#define RECORDING_KEEP_MAX 36500
must_check int recording_keep_get(struct db *db, struct id tenant, int *ret_days);
must_check int recording_keep_put(struct db *db, struct id tenant, int days);

struct recording_filter {
	struct db_page page; /* ordering: started_at, duration_ms, size */
	struct id call, profile, user;
	struct id visible_to; /* an agent: own calls, and calls of own profiles */
	const char *state;
	int64_t started_after, started_before;
};
must_check int recording_list(struct db *db, struct arena *arena, struct id tenant,
			      const struct recording_filter *filter,
			      struct recording_row **ret_rows, struct db_page_info *ret_info);

/* The key of its file, as sealed text and back. */
#define RECORDING_KEY 32
const char *recording_seal_key(const struct seal *seal, struct id tenant, struct id id,
			       const uint8_t key[static RECORDING_KEY], struct arena *arena);
/* Return: 0 or SEAL_E_BAD. */
must_check int recording_open_key(const struct seal *seal, const struct recording_row *row,
				  uint8_t ret_key[static RECORDING_KEY]);
