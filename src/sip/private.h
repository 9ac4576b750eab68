/* sip/private.h - what the lower half of sip/ shares within itself */
#pragma once

#include "base/hmap.h"
#include "base/metric.h"
#include "sip/stack.h"

/* ---- wire ---- */

struct guard;

struct wire_ops {
	/* As wire_open(), when no flow to that target is open. */
	int (*open)(struct wire *wire, const struct target *target, const struct flow *from,
		    struct flow **ret_flow);
	bool (*has)(const struct wire *wire, enum sip_transp transport, int af);
	bool (*is_own)(const struct wire *wire, const struct sa *addr);
	void (*free)(struct wire *wire);
};

struct wire {
	const struct wire_ops *ops;
	void *impl;
	struct wheel *wheel;
	struct wire_limits limits;
	struct hmap by_id;
	struct hmap by_remote;
	wire_receive_fn *receive;
	void *receive_arg;
	wire_trace_fn *trace;
	void *trace_arg;
	struct guard *guard;
	bool closing;
};

struct wire *wire_new(const struct wire_ops *ops, void *impl, struct wheel *wheel,
		      const struct wire_limits *limits);
/* A datagram's flow: the one alive for this pair of addresses. Return: without a new reference, or
 * NULL.
 */
struct flow *wire_udp_flow(const struct wire *wire, const struct sa *local,
			   const struct sa *remote);
/* May a message from there be looked at? Counts the drop when not. */
bool wire_admit(struct wire *wire, const struct sa *from);
/* "192.0.2.1:5060", "[::1]:5060" */
void addr_print(const struct sa *addr, char *buf, size_t size);
uint64_t addr_hash(const struct sa *addr, bool with_port);

struct guard *guard_new(struct wheel *wheel, const struct wire_limits *limits);
struct guard *guard_free(struct guard *guard);
bool guard_pass(struct guard *guard, const struct sa *from);
void guard_trust(struct guard *guard, const struct sa *addr);
void guard_untrust(struct guard *guard, const struct sa *addr);
bool guard_is_trusted(const struct guard *guard, const struct sa *addr);
void guard_penalize(struct guard *guard, const struct sa *addr, unsigned cost);

/* ---- messages ---- */

/* The finished bytes of a response, made once. NULL when the message is bad. A new reference. */
struct mbuf *outmsg_response_bytes(struct outmsg *msg);
/* The bytes of a request for one attempt: request line, a Via for this flow and branch, `lines`,
 * the rest.
 */
struct mbuf *outmsg_request_bytes(struct outmsg *msg, const struct flow *flow, const char *branch,
				  const struct outmsg *lines, const char *software);
/* Only header lines, for request_handlers.on_flow. */
struct outmsg *outmsg_lines(void);
const char *token_branch(char buf[static TOKEN_SIZE]);
static inline void outmsg_deref_p(struct outmsg **msg)
{
	*msg = mem_deref(*msg);
}
/* Lower bound of the size of its bytes, Via excluded. */
size_t outmsg_size(const struct outmsg *msg);

/* Is it fit to be handled (RFC 3261 8.2, 16.3; RFC 4475)? Cuts msg->mb to Content-Length. */
enum check_verdict {
	CHECK_OK,
	CHECK_DROP,
	CHECK_REPLY, /* with *ret_code, *ret_reason */
};
enum check_verdict inmsg_check(const struct inmsg *in, uint16_t *ret_code, const char **ret_reason);
/* What libre could not decode: an answer made from the text alone. Return: bytes to send back, or
 * NULL when it is no request or cannot be answered.
 */
struct mbuf *salvage_reply(const struct flow *flow, const uint8_t *data, size_t len);
/* Where the response to a request goes (18.2.2, RFC 3581). A new reference, or NULL. */
struct flow *reply_flow(const struct inmsg *in);
struct flow *reply_flow_again(const struct inmsg *in); /* its stream has died: another connection */

/* ---- stack and transactions ---- */

struct stack {
	struct wheel *wheel;
	struct wire *wire;
	struct resolver *resolver;
	char *software;
	unsigned max_transactions, udp_max;
	struct hmap clients, servers, merges;
	struct timer reaper; /* frees what ended, outside of all handlers */
	struct trans_grave *graves;
	struct hmap methods;
	char allow[256], support[256];
	stack_dialog_fn *dialog;
	void *dialog_arg;
	stack_admit_fn *admit;
	void *admit_arg;
	void (*stray_2xx)(const struct inmsg *in, void *arg);
	void *stray_2xx_arg;
	struct request *requests; /* all alive, for stack_free() */
};

/* First member of both transactions: a link in the stack's list of dead ones. */
struct trans_grave {
	struct trans_grave *next;
	void (*free)(struct trans_grave *grave);
};
void stack_bury(struct stack *stack, struct trans_grave *grave);

/* Return: true when a transaction took it. */
bool ctrans_receive(struct stack *stack, const struct inmsg *in);
bool strans_receive(struct stack *stack, const struct inmsg *in);
/* CANCEL: answers it. */
void strans_receive_cancel(struct stack *stack, const struct inmsg *in);
void ctrans_end_all(struct stack *stack);
void strans_end_all(struct stack *stack);
void request_end_all(struct stack *stack);

static inline bool pl_is(const struct pl *pl, const char *text)
{
	size_t len = strlen(text);

	return pl->l == len && memcmp(pl->p, text, len) == 0;
}

static inline bool pl_is_nocase(const struct pl *pl, const char *text)
{
	return pl->l == strlen(text) && strncasecmp(pl->p, text, pl->l) == 0;
}
