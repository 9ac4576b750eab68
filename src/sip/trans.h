/* sip/trans.h - transactions: RFC 3261 section 17 with RFC 6026
 *
 * Clients send through sip/request.h, which makes a client transaction an attempt; what is here of
 * the client side is for it and for tests. The server side is used directly: whoever is handed a
 * request by the stack either answers it statelessly (stack_reply) or makes a server transaction of
 * it and replies through that.
 *
 * Matching is a hash of branch, sent-by and method (17.1.3, 17.2.3; with RFC 2543's rule for
 * branches without the cookie). Retransmissions, ACK to a non-2xx, CANCEL and merged requests never
 * reach the user.
 */
#pragma once

#include "base/fsm.h"
#include "sip/msg.h"

#define TRANS_T1 500u
#define TRANS_T2 4000u
#define TRANS_T4 5000u

enum trans_end {
	TRANS_DONE,	 /* ran its course (non-2xx acknowledged, Timer J, K, L, M) */
	TRANS_TIMEOUT,	 /* Timer B, F: no final response; Timer H: no ACK to a non-2xx */
	TRANS_NO_ACK,	 /* 64*T1 passed without ACK for our 2xx (13.3.1.4): send BYE */
	TRANS_TRANSPORT, /* could not be sent, or its flow died and there was no other way */
};

/* ---- server ---- */

struct strans;

struct strans_handlers {
	/* INVITE only, before a final response was sent: a CANCEL matched. It was answered 200
	 * already; reply 487 to the INVITE (or a 2xx if it comes too late). `cancel` for its Reason
	 * header.
	 */
	void (*on_cancel)(struct strans *st, const struct inmsg *cancel, void *arg);
	/* The transaction is over and is freed after this call. Comes once, whatever happens,
	 * unless detached.
	 */
	void (*on_end)(struct strans *st, enum trans_end end, void *arg);
};

enum {
	STRANS_E_MERGED =
		1,     /* the same request came by another way (8.2.2.2): answered 482, drop it */
	STRANS_E_FULL, /* too many transactions: answered 503, drop it */
};

/* A server transaction for a request the stack handed over (not ACK, not CANCEL). INVITE: a 100
 * goes out by itself after 200 ms without a reply (17.2.1). The handlers' table outlives it.
 * Return: 0 with *ret_st owned by the stack (no reference to drop: on_end says when it is gone), or
 * STRANS_E_*.
 */
must_check int strans_new(const struct inmsg *in, const struct strans_handlers *handlers, void *arg,
			  struct strans **ret_st);
/* The user goes away: no callbacks from here on. A transaction without final response is answered
 * 500.
 */
void strans_detach(struct strans *st);

/* Sends a response (outmsg_reply() from strans_request()). Provisionals are resent for each
 * retransmission of the request, the last one given. A final one is resent as 17.2 says. A 2xx to
 * INVITE is resent T1, 2*T1 .. T2 until strans_acked() or 64*T1 (13.3.1.4), on every transport.
 * Takes a reference of its own. Return: 0; -EINVAL for a bad message or a second final response. A
 * transport failure ends the transaction later, through on_end.
 */
must_check int strans_reply(struct strans *st, struct outmsg *reply);
/* Short replies: code, reason (NULL: standard) and nothing else; the same To tag each time. */
void strans_answer(struct strans *st, uint16_t code, const char *reason);
/* The dialog has seen the ACK to our 2xx. */
void strans_acked(struct strans *st);

/* NULL once a final response was sent (to INVITE: once that was acknowledged); mem_ref() what is
 * needed longer.
 */
const struct inmsg *strans_request(const struct strans *st);
struct flow *strans_flow(const struct strans *st);
bool strans_answered(const struct strans *st); /* a final response was sent */
const char *strans_to_tag(
	const struct strans *st); /* what replies carry when To has no tag: for the dialog */

/* ---- client: see sip/request.h ---- */

struct ctrans;

struct ctrans_handlers {
	/* Provisionals, final responses, and for INVITE every further 2xx (RFC 6026) until
	 * `on_end`.
	 */
	void (*on_response)(struct ctrans *ct, const struct inmsg *in, void *arg);
	/* Over, freed after this call. TRANS_DONE after a final response, else there was none. */
	void (*on_end)(struct ctrans *ct, enum trans_end end, void *arg);
};

/* Sends `mb` (a whole request with `branch` in its topmost Via) on a flow. */
struct ctrans *ctrans_new(struct stack *stack, struct flow *flow, struct mbuf *mb,
			  const char *method, const char *branch,
			  const struct ctrans_handlers *handlers, void *arg);
void ctrans_detach(struct ctrans *ct);
/* INVITE: CANCEL now or as soon as a provisional came (9.1), once. `extra` is further header lines
 * or NULL.
 */
void ctrans_cancel(struct ctrans *ct, const char *extra);
