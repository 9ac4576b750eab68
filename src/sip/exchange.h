/* sip/exchange.h - one request with its challenges: sent, challenged, signed, sent again
 *
 * The request layer (request.h) tries targets; this one answers 401 and 407. The owner builds the message anew
 * for each try, because each has a CSeq of its own, and hears of responses that are not a challenge it can
 * answer. A challenge's answer goes where the challenge came from.
 */
#pragma once

#include "sip/digest.h"
#include "sip/stack.h"

struct exchange;

struct exchange_handlers {
	/* The message up to, but without, credentials and body. NULL gives up: on_failed(REQUEST_BAD). */
	struct outmsg *(*build)(struct exchange *ex, void *arg);
	void (*on_flow)(struct exchange *ex, struct flow *flow, struct outmsg *lines,
			void *arg); /* or NULL */
	/* As request_handlers; a 401 or 407 only when it is final: see exchange_auth(). */
	void (*on_response)(struct exchange *ex, const struct inmsg *in, void *arg);
	void (*on_failed)(struct exchange *ex, enum request_failure failure, void *arg);
	/* A challenge that is about to be answered; or NULL. */
	void (*on_challenge)(struct exchange *ex, const struct inmsg *in, void *arg);
};

struct exchange_args {
	struct stack *stack;
	struct digest_jar *jar;		  /* NULL: challenges are final */
	const struct digest_creds *creds; /* lives as long as the exchange */
	const char *realm;		  /* pinned, or NULL; likewise */
	const char *content_type;	  /* NULL: no body */
	const void *body;		  /* copied */
	size_t body_len;
	struct flow *flow; /* with `hop`: only when the hop cannot be resolved or reached */
	const struct hop *hop;
	const struct way *prefer;
	bool any_address, unverified, keep;
	const struct exchange_handlers *handlers;
	void *arg;
};

/* Return: the exchange, which the owner must free. No handler is called before this returns. */
struct exchange *exchange_start(const struct exchange_args *args);
struct exchange *exchange_free(struct exchange *ex);
DEFINE_CLEANUP(struct exchange *, exchange_free)

/* INVITE: as request_cancel(). A cancelled exchange answers no further challenge. */
void exchange_cancel(struct exchange *ex, const char *reason);
/* For a 401 or 407 that was handed up: why it was not answered (DIGEST_E_*), else 0. */
int exchange_auth(const struct exchange *ex);
struct request *exchange_request(const struct exchange *ex); /* the present try, or NULL */
/* The credential lines of the last try, "Name: value\r\n" each: an ACK to a 2xx repeats them (22.1). */
const char *exchange_credentials(const struct exchange *ex);
