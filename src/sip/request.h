/* sip/request.h - sending a request: next hop, targets, attempts, responses
 *
 * A request finds its next hop (a given flow, a given hop, the topmost Route, or the Request-URI),
 * resolves it, and tries the targets in order: a timeout, a 503 or a transport error leads to the
 * next one with a new branch (RFC 3263 4.3). An oversize message goes over TCP first and falls back
 * to UDP (RFC 3261 18.1.1).
 *
 * Belongs to the call loop. The owner holds the request from request_send() to request_free(),
 * which it must call, at the latest when it has no more interest; it may do so from inside any
 * handler.
 */
#pragma once

#include "sip/resolve.h"
#include "sip/trans.h"

struct request;

enum request_failure {
	REQUEST_TIMEOUT,    /* nobody answered: treat as 408 (RFC 3261 8.1.3.1) */
	REQUEST_TRANSPORT,  /* nobody could be reached: treat as 503 */
	REQUEST_UNRESOLVED, /* no address for the next hop: see request_resolve_outcome() */
	REQUEST_CANCELLED,  /* cancelled before anything was sent: no response will come */
	REQUEST_BAD, /* the message is bad (a forbidden character in a header) or too large */
};
/* For the person whose server it is. Static. */
const char *request_failure_words(enum request_failure failure);

struct request_handlers {
	/* Before each attempt: add header lines that depend on the flow, as Contact does
	 * (outmsg_header() on `lines` only). May be NULL.
	 */
	void (*on_flow)(struct request *req, struct flow *flow, struct outmsg *lines, void *arg);
	/* Each provisional and the final response; for INVITE also each further 2xx (forks, and
	 * retransmissions that want their ACK again) until 64*T1 after the first. Non-2xx to INVITE
	 * is already acknowledged. A 503 comes here only when there is no other target.
	 */
	void (*on_response)(struct request *req, const struct inmsg *in, void *arg);
	/* There will be no final response. Comes once, never with one, never from inside
	 * request_send().
	 */
	void (*on_failed)(struct request *req, enum request_failure failure, void *arg);
};

struct request_args {
	struct outmsg *msg;    /* a reference is taken */
	struct flow *flow;     /* this way and no other; NULL: by hop */
	const struct hop *hop; /* NULL: by the topmost Route, else the Request-URI */
	bool any_address;      /* the policy on addresses does not apply (devices' own contacts) */
	bool unverified;       /* TLS: any certificate will do */
	bool keep;	       /* for request_sent() */
	/* tried first when it is among the targets (stick to the registrar that accepted) */
	const struct way *prefer;
	const struct request_handlers *handlers;
	void *arg;
};

/* ACK (to a 2xx) goes out without a transaction: no handler is called but on_flow, and NULL
 * `ret_req` lets it see to itself. Any other method needs ret_req. Only on_flow may be called
 * before it returns.
 */
void request_send(struct stack *stack, const struct request_args *args, struct request **ret_req);

/* No handler is called from here on. The transaction runs on by itself, absorbing what comes.
 * Return: NULL.
 */
struct request *request_free(struct request *req);
DEFINE_CLEANUP(struct request *, request_free)

/* INVITE without final response: CANCEL it (held until a provisional comes, 9.1). The INVITE then
 * still ends with a final response (487, or a 2xx that crossed) or, 64*T1 later, with
 * REQUEST_TIMEOUT; an INVITE that was not sent yet with REQUEST_CANCELLED. `reason`: value of a
 * Reason header (RFC 3326) or NULL. Idempotent.
 */
void request_cancel(struct request *req, const char *reason);

struct flow *request_flow(const struct request *req); /* of the present attempt, or NULL */
const struct target *request_target(const struct request *req); /* likewise */
enum resolve_outcome request_resolve_outcome(const struct request *req);
unsigned request_attempts(const struct request *req);
/* The bytes of the last attempt, from `buf` to `end`; NULL: none, or not kept. */
const struct mbuf *request_sent(const struct request *req);
