/* store/room.h - table room: conference rooms that were made on purpose, and stay until they are ended
 *
 * Rows are written by the journal (event/); the daemon's start reads them. PINs are sealed by the daemon's key and bound to
 * row and column: a PIN that is moved elsewhere does not open.
 */
#pragma once

#include "db/query.h"
#include "store/seal.h"

struct room_row {
	struct id id, tenant_id, created_by;
	const char *name;
	const char *pin, *moderator_pin; /* sealed; NULL: none */
	int max_members, grace_s;
	bool join_muted, tones, wait_for_moderator, end_on_moderator_exit, record, keys, locked;
	int64_t created_at;
	int64_t seq; /* of the event that wrote it last */
};

#define ROOM_COLS                                                                                  \
	"id, tenant_id, created_by, name, pin, moderator_pin, max_members, grace_s, join_muted,"   \
	" tones, wait_for_moderator, end_on_moderator_exit, record, keys, locked, created_at, seq"
extern const struct field room_fields[];

/* Inserts or updates; what is older than the row (by seq) changes nothing. One of its name with another id is gone. */
must_check int room_put(struct db *db, struct room_row *row, struct arena *arena);
/* Return: 0 also when it is not there. */
must_check int room_drop(struct db *db, struct id tenant, struct id id);
/* Every tenant's: the daemon's start. */
must_check int room_each(struct db *db, int (*on_room)(void *arg, const struct room_row *row),
			 void *arg);

enum room_pin { ROOM_PIN, ROOM_MODERATOR_PIN };
/* Return: in the arena; NULL for the empty one. */
const char *room_seal_pin(const struct seal *seal, struct id room, enum room_pin which,
			  const char *pin, struct arena *arena);
/* Return: 0 or SEAL_E_BAD. The caller forgets it (seal_forget()). */
must_check int room_open_pin(const struct seal *seal, const struct room_row *row,
			     enum room_pin which, char ret_pin[static SEAL_MAX + 1]);
