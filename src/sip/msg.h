/* sip/msg.h - messages: what came in, and building what goes out
 *
 * Incoming messages are libre's struct sip_msg, filled by inmsg_decode() once, sliced (struct pl) into their
 * buffer, which lives as long as the message (mem_ref/mem_deref). Outgoing ones are built here, once, and
 * may then be sent any number of times: retransmissions, other targets.
 */
#pragma once

#include "sip/flow.h"
#include "sip/parse.h"

struct stack;

/* A message that passed the stack's checks, on its way up. Lives for the call that hands it over;
 * to keep the message take mem_ref(msg), to keep the flow flow_ref().
 */
struct inmsg {
	const struct sip_msg *msg;
	struct flow *flow; /* it came on */
	struct stack *stack;
	/* The checks have made sure of: one From, one To, one Call-ID, one CSeq whose method is the
	 * request's; a From tag; Content-Length within the body; a sip:, sips: or tel: Request-URI.
	 * msg->src is the packet's source; msg->mb->pos is at the body, mbuf_get_left() its length,
	 * cut to Content-Length.
	 */
};

enum {
	INMSG_E_MANY =
		PARSE_E_BAD + 1, /* more values than any honest message has: not to be answered */
};

/* Decodes the message at mb->pos and leaves mb->pos at its body; keeps a reference to `mb`. libre's accessors
 * (sip_msg_hdr() and the like) find nothing in it: these do. Return: 0 with *ret_msg a new reference, PARSE_E_BAD or
 * INMSG_E_MANY.
 */
must_check int inmsg_decode(struct sip_msg **ret_msg, struct mbuf *mb);
/* Values of that header in order of coming, or from the last; of a list of addresses or tokens each for itself. Return:
 * the one at which `fn` said true, or NULL.
 */
typedef bool inmsg_header_fn(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg);
const struct sip_hdr *inmsg_each(const struct sip_msg *msg, bool forward, enum sip_hdrid id,
				 inmsg_header_fn *fn, void *arg);
unsigned inmsg_count(const struct sip_msg *msg, enum sip_hdrid id);
/* The first, or NULL. */
const struct sip_hdr *inmsg_header(const struct sip_msg *msg, enum sip_hdrid id);
/* First header of that name (long form), by text. */
const struct sip_hdr *inmsg_header_named(const struct sip_msg *msg, const char *name);
/* Is `token` in a comma list header (Supported, Require, Allow), ignoring case? */
bool inmsg_has_token(const struct sip_msg *msg, enum sip_hdrid id, const char *token);
bool inmsg_is(const struct sip_msg *msg,
	      const char *method); /* the request's, or a response's CSeq method */
/* Who sent it, for a line of the log; lives until the next call. */
const char *inmsg_source(const struct inmsg *in);
/* Decimal within [0, max], nothing else around it. */
must_check bool inmsg_u32(const struct pl *pl, uint32_t max, uint32_t *ret);

/* ---- building ---- */

/* One outgoing message: libre-counted (mem_ref, mem_deref). Every value is checked: a CR, LF or NUL
 * in a value that is not body marks the message bad, and sending a bad message is refused with
 * -EINVAL, so callers need not check each call. Nothing here may be called after the first send,
 * but for outmsg_is_bad(), outmsg_method() and such readers.
 */
struct outmsg;

/* A request without Via (each attempt has its own), with Max-Forwards: 70. `uri` is copied. */
struct outmsg *outmsg_request(const char *method, const struct pl *uri);
struct outmsg *outmsg_request_str(const char *method, const char *uri);
void outmsg_max_forwards(struct outmsg *msg, uint8_t max_forwards); /* other than 70 */
/* A response to `in`: Via, From, To, Call-ID, CSeq copied (Record-Route too with `record_route`;
 * Timestamp in a 100). A To without tag gets `to_tag`, or when that is NULL one made from the
 * request, the same for each retransmission (RFC 3261 8.2.7); none in a 100. `reason` NULL: the
 * standard phrase.
 */
struct outmsg *outmsg_reply(const struct inmsg *in, uint16_t code, const char *reason,
			    const char *to_tag, bool record_route);
const char *outmsg_reason(uint16_t code); /* the standard phrase, "Unknown" for others */

/* A header line. The name is ours (a literal); the value is formatted with printf's rules. */
void outmsg_header(struct outmsg *msg, const char *name, const char *fmt, ...) format_printf(3, 4);
/* The same with libre's formats (%r struct pl *, %J struct sa *, %H): for values out of parsed
 * messages.
 */
void outmsg_header_re(struct outmsg *msg, const char *name, const char *fmt, ...);
void outmsg_header_pl(struct outmsg *msg, const char *name, const struct pl *value);
/* From, To, Call-ID, CSeq in one go; `from` and `to` are whole values with their tags. */
void outmsg_ids(struct outmsg *msg, const char *from, const char *to, const char *call_id,
		uint32_t cseq);
/* Route headers for a route set (values as "<sip:p.example;lr>", in order of travel). If the first
 * is a strict router (no lr) the Request-URI changes places as RFC 3261 12.2.1.1 says.
 */
void outmsg_routes(struct outmsg *msg, const struct pl *routes, size_t count);
/* Content-Type (NULL: none), Content-Length and the body: last. Without it the message gets an
 * empty body when it is sent first.
 */
void outmsg_body(struct outmsg *msg, const char *content_type, const void *body, size_t len);

bool outmsg_is_bad(const struct outmsg *msg);
const char *outmsg_method(const struct outmsg *msg);   /* requests; NULL for responses */
uint16_t outmsg_code(const struct outmsg *msg);	       /* responses; 0 for requests */
struct pl outmsg_uri(const struct outmsg *msg);	       /* the Request-URI that will be sent */
struct pl outmsg_next_route(const struct outmsg *msg); /* value of the topmost Route, or empty */
struct pl outmsg_to_tag(const struct outmsg *msg);     /* responses made by outmsg_reply() */

/* Values fit for a header: `"Display Name" <uri>` with the name quoted and escaped (RFC 3261 25.1),
 * control characters dropped. An empty name gives `<uri>`.
 */
void header_name_addr(struct buf *out, const char *name, const char *uri);
/* A user part escaped as RFC 3261 25.1 asks. */
void header_user(struct buf *out, const char *user);
/* Random tokens: tags (64 bit), Call-IDs (128 bit), branches with the magic cookie. */
#define TOKEN_SIZE 40
const char *token_tag(char buf[static TOKEN_SIZE]);
const char *token_call_id(char buf[static TOKEN_SIZE]);
/* The To tag that replies to this request get when they are given none. */
const char *token_to_tag(const struct inmsg *in, char buf[static TOKEN_SIZE]);
