/* The ring into the web thread, which outlives the server for those who still hold tokens */
#include "http/private.h"

#include <stdatomic.h>

struct web_bell {
	atomic_int refs;
	struct ring *ring;
};

struct web_bell *bell_new(struct ring *ring)
{
	struct web_bell *bell = xzalloc(sizeof(*bell));

	atomic_init(&bell->refs, 1);
	bell->ring = ring;
	return bell;
}

struct web_bell *bell_ref(struct web_bell *bell)
{
	atomic_fetch_add_explicit(&bell->refs, 1, memory_order_relaxed);
	return bell;
}

void bell_unref(struct web_bell *bell)
{
	if (atomic_fetch_sub_explicit(&bell->refs, 1, memory_order_acq_rel) != 1)
		return;
	ring_free(bell->ring);
	free(bell);
}

void web_token_drop(struct web_token token)
{
	bell_unref(token.bell);
}

void web_wake(struct web_token token)
{
	struct web_msg msg = { .kind = WEB_MSG_WAKE, .request = token.request, .turn = token.turn };

	if (!ring_push(token.bell->ring, &msg))
		log_rated(LOG_ERROR_,
			  "http: a wake-up was lost; the request goes on when its time is up");
	bell_unref(token.bell);
}
