/* sip/dialog.h - dialogs: RFC 3261 section 12
 *
 * A dialog is made from a request and a response with a To tag, lives in a table under its three ids, and
 * knows how to build and to place requests inside itself: route set, remote target, CSeq, and the flow that
 * worked. Its owner (a session) gets the requests that belong to it. Belongs to the call loop.
 */
#pragma once

#include "base/hmap.h"
#include "sip/stack.h"

#define DIALOG_ROUTES 16  /* Record-Route entries that are taken: more is refused */
#define DIALOG_ID_MAX 256 /* longest Call-ID or tag */

struct dialog;
struct dialog_table;

struct dialog_table *dialog_table_new(struct stack *stack);
struct dialog_table *dialog_table_free(struct dialog_table *table); /* must be empty */
DEFINE_CLEANUP(struct dialog_table *, dialog_table_free)
size_t dialog_table_count(const struct dialog_table *table);

/* A request inside the dialog, CSeq already checked; ACK too. */
typedef void dialog_request_fn(struct dialog *dialog, const struct inmsg *in, void *arg);

/* Return: true when the request's dialog is known here; it was then handed to its owner, or answered 500 because
 * its CSeq went backwards (12.2.2).
 */
must_check bool dialog_table_receive(struct dialog_table *table, const struct inmsg *in);
/* By ids as seen from this side (Replaces: to-tag is ours, RFC 3891 3). */
struct dialog *dialog_table_find(const struct dialog_table *table, const struct pl *call_id,
				 const struct pl *local_tag, const struct pl *remote_tag);

enum {
	DIALOG_E_BAD = 1, /* ids too long, too many routes, no tag, or a Contact that is no URI */
	DIALOG_E_EXISTS,
};

/* How requests of a dialog may travel. */
struct dialog_policy {
	bool pinned;	  /* over the dialog's flow while it is open: a device's, behind NAT */
	bool any_address; /* private addresses are fine */
	bool unverified;  /* TLS: any certificate */
};

/* Client side, from the request that was sent (values as sent) and a response with a tag. */
struct dialog_local {
	const char *from;   /* whole header value as sent, with its tag */
	const char *target; /* the Request-URI: stands in for a Contact that is missing */
	const char *call_id, *from_tag;
	uint32_t cseq;
	struct dialog_policy policy;
};

must_check int dialog_new_client(struct dialog_table *table, const struct dialog_local *local,
				 const struct inmsg *response, dialog_request_fn *fn, void *arg,
				 struct dialog **ret_dialog);
/* Server side, from a request without To tag and the tag we give. */
must_check int dialog_new_server(struct dialog_table *table, const struct inmsg *request,
				 const char *to_tag, struct dialog_policy policy,
				 dialog_request_fn *fn, void *arg, struct dialog **ret_dialog);
struct dialog *dialog_free(struct dialog *dialog);
DEFINE_CLEANUP(struct dialog *, dialog_free)

/* A 2xx (or a reliable 1xx, or a request) of target refresh: the Contact is the remote target now (12.2). The 2xx
 * that confirms a client's dialog sets the route set anew (13.2.2.4).
 */
void dialog_refresh(struct dialog *dialog, const struct sip_msg *msg);
void dialog_confirm(struct dialog *dialog, const struct inmsg *response);
bool dialog_matches(const struct dialog *dialog,
		    const struct sip_msg *response); /* by tags and Call-ID */

/* A request with Request-URI, routes, From, To, Call-ID and the next CSeq (`cseq` > 0: that one, for ACK). */
struct outmsg *dialog_request(struct dialog *dialog, const char *method, uint32_t cseq);
/* How it travels: over `flow` (no reference of its own), or by `hop` with `flow` to fall back to. */
struct dialog_way {
	struct flow *flow;
	bool has_hop;
	struct hop hop;
	bool any_address, unverified;
};
void dialog_path(const struct dialog *dialog, struct dialog_way *ret_way);
/* The flow that last carried something; NULL: none. */
struct flow *dialog_flow(const struct dialog *dialog);
void dialog_set_flow(struct dialog *dialog, struct flow *flow);

uint32_t dialog_local_seq(const struct dialog *dialog);
const char *dialog_call_id(const struct dialog *dialog);
const char *dialog_local_tag(const struct dialog *dialog);
const char *dialog_remote_tag(const struct dialog *dialog);
const char *dialog_remote_target(const struct dialog *dialog); /* the URI */
const char *dialog_remote_uri(const struct dialog *dialog);    /* of To/From at the far end */
void *dialog_owner(const struct dialog *dialog);
void dialog_set_owner(struct dialog *dialog, dialog_request_fn *fn, void *arg);
