/* sip/stack.h - the SIP endpoint on a wire: decode, check, match, hand on
 *
 * What comes is parsed once (sip/decode.c, within bounds), checked as RFC 3261 8.2 and
 * 16.3 and RFC 4475 ask, and matched to a transaction. Responses without a transaction are dropped.
 * A request without one is handed to the dialog hook if it carries a To tag, and else to its
 * method's handler. Answered here, without state: 400, 416 (scheme), 420 (Require), 481 (CANCEL),
 * 483 (Max-Forwards), 405 (no handler, with Allow), 505 (version). What cannot be answered is
 * dropped; each reason has a counter.
 *
 * Belongs to the call loop. Nothing is called from inside stack_new().
 */
#pragma once

#include "sip/msg.h"
#include "sip/request.h"
#include "sip/resolve.h"
#include "sip/trans.h"
#include "sip/wire.h"

struct stack;

struct stack_setup {
	struct wheel *wheel;
	struct wire *wire;	   /* the caller's, outlives the stack */
	struct resolver *resolver; /* likewise */
	const char *software;	   /* User-Agent and Server; copied */
	unsigned max_transactions; /* of each side; 0: 200000 */
	unsigned udp_max; /* a larger request goes by TCP when the peer may have it; 0: 1300 */
};

struct stack *stack_new(const struct stack_setup *setup);
struct stack *stack_free(struct stack *stack); /* transactions end without callbacks */
DEFINE_CLEANUP(struct stack *, stack_free)

struct wheel *stack_wheel(const struct stack *stack);
struct wire *stack_wire(const struct stack *stack);
struct resolver *stack_resolver(const struct stack *stack);
const char *stack_software(const struct stack *stack);
/* Transactions alive, both sides: 0 when all is quiet (tests). */
size_t stack_live(const struct stack *stack);

/* A request that belongs to no transaction. ACK (to a 2xx) comes here too and is never answered.
 * The handler answers by stack_reply() or makes a transaction with strans_new(), now; a request it
 * does neither with is lost (which is right for what shall be dropped silently).
 */
typedef void stack_request_fn(const struct inmsg *in, void *arg);

/* Requests with a To tag, and every ACK. Return: true when it was taken; false: there is no such
 * dialog, and the stack answers 481 (not to ACK).
 */
typedef bool stack_dialog_fn(const struct inmsg *in, void *arg);
void stack_set_dialog_hook(struct stack *stack, stack_dialog_fn *fn, void *arg);

/* Requests without To tag, by method; these make up Allow. `method` is a literal; fn NULL removes
 * it. Methods of dialogs only (BYE, PRACK, INFO, UPDATE, NOTIFY) are registered with stack_allow().
 */
void stack_on_method(struct stack *stack, const char *method, stack_request_fn *fn, void *arg);
void stack_allow(struct stack *stack, const char *method);
const char *stack_allowed(const struct stack *stack); /* "INVITE, ACK, CANCEL, ..." for Allow */
/* Option tags that may be in Require (else 420). Supported is made of them. */
void stack_support(struct stack *stack, const char *option_tag);
const char *stack_supported(const struct stack *stack);

/* A first look at each request that belongs to neither a transaction nor (by its To tag) a dialog;
 * false drops it without a word. For the rule that strangers are not answered.
 */
typedef bool stack_admit_fn(const struct inmsg *in, void *arg);
void stack_set_admit_hook(struct stack *stack, stack_admit_fn *fn, void *arg);

/* A 2xx to an INVITE whose transaction is gone or detached (13.2.2.4: it wants ACK and BYE). */
void stack_set_stray_2xx_hook(struct stack *stack, void (*fn)(const struct inmsg *in, void *arg),
			      void *arg);

/* Answers without state, routed as 18.2.2 and RFC 3581 say. Takes no reference. Not for ACK. */
void stack_reply_msg(const struct inmsg *in, struct outmsg *reply);
void stack_reply(const struct inmsg *in, uint16_t code, const char *reason);
