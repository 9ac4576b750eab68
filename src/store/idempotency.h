/* store/idempotency.h - table idempotency_key: the first answer to a POST, for whoever sends it again
 *
 * A request claims its key before it acts, and then finishes it with its answer or, when it failed in a way
 * that may be tried again, drops it.
 */
#pragma once

#include "db/db.h"

#define IDEMPOTENCY_LIFE_US (24 * 3600 * 1000000ll)
#define IDEMPOTENCY_STALE_US                                                                       \
	(60 * 1000000ll) /* a claim without an answer for so long belongs to nobody */
#define IDEMPOTENCY_KEY_MAX 255

enum {
	IDEMPOTENCY_E_DONE = 64, /* answered before: *ret has the answer */
	IDEMPOTENCY_E_RUNNING,	 /* the first request is still at it: 409 */
	IDEMPOTENCY_E_OTHER,	 /* the key was used for another request: 409 */
};

struct idempotency {
	struct id tenant, user;
	const char *key;
	const char *route;	  /* operation id */
	const char *request_hash; /* of the body */
};

struct idempotency_answer {
	int status;
	const char *body, *location; /* in the arena */
};

/* Return: 0 when claimed, or IDEMPOTENCY_E_*. */
must_check int idempotency_claim(struct db *db, struct arena *arena,
				 const struct idempotency *request, int64_t now_us,
				 struct idempotency_answer *ret);
must_check int idempotency_finish(struct db *db, const struct idempotency *request, int status,
				  const char *body, const char *location);
must_check int idempotency_drop(struct db *db, const struct idempotency *request);
must_check int idempotency_prune(struct db *db, int64_t now_us);
/* A body's hash, in the arena. */
const char *idempotency_hash(struct arena *arena, const void *body, size_t len);
