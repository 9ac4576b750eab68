/* A 2xx that nobody wants (a slower fork, an answer that crossed our CANCEL, a call that is gone) still made a dialog
 * at the far end: it gets its ACK and a BYE (RFC 3261 13.2.2.4). The request layer's timers bound its life.
 */
#include "sip/session_private.h"

struct farewell {
	struct farewell *next, **pprev;
	struct ua *ua;
	struct account *account;
	struct digest_jar *jar;
	struct dialog *dialog;
	struct exchange *exchange;
	char *reason_line;
};

static void farewell_free(struct farewell *bye)
{
	*bye->pprev = bye->next;
	if (bye->next)
		bye->next->pprev = bye->pprev;
	bye->ua->farewell_count--;
	exchange_free(bye->exchange);
	dialog_free(bye->dialog);
	digest_jar_free(bye->jar);
	account_unref(bye->account);
	free(bye->reason_line);
	free(bye);
}

static struct outmsg *farewell_build(struct exchange *ex, void *arg)
{
	struct farewell *bye = arg;
	struct outmsg *msg = dialog_request(bye->dialog, "BYE", 0);

	(void)ex;
	outmsg_add_lines(msg, bye->reason_line);
	return msg;
}

static void farewell_response(struct exchange *ex, const struct inmsg *in, void *arg)
{
	(void)ex;
	if (in->msg->scode >= 200)
		farewell_free(arg);
}

static void farewell_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	(void)ex;
	(void)failure;
	farewell_free(arg);
}

static void farewell_request(struct dialog *dialog, const struct inmsg *in, void *arg)
{
	(void)dialog;
	(void)arg;
	if (!inmsg_is(in->msg, "ACK"))
		stack_reply(in, inmsg_is(in->msg, "BYE") ? 200 : 481, NULL);
}

void farewell_ack(struct ua *ua, struct dialog *dialog, uint32_t cseq)
{
	static const struct request_handlers none = { 0 };
	struct outmsg *ack = dialog_request(dialog, "ACK", cseq);
	struct request_args args = { .msg = ack, .handlers = &none };
	struct dialog_way way;

	dialog_path(dialog, &way);
	args.flow = way.has_hop ? NULL : way.flow;
	args.hop = way.has_hop ? &way.hop : NULL;
	args.any_address = way.any_address;
	args.unverified = way.unverified;
	request_send(ua->stack, &args, NULL);
	mem_deref(ack);
}

/* The far end may still send BYE or resend what it has: it is told that all is over. */
void farewell_start(struct ua *ua, struct account *account, struct dialog *dialog,
		    const char *reason_line)
{
	static const struct exchange_handlers handlers = { farewell_build, NULL, farewell_response,
							   farewell_failed };
	struct farewell *bye = xzalloc(sizeof(*bye));
	struct dialog_way way;
	struct exchange_args args = { .stack = ua->stack, .handlers = &handlers, .arg = bye };

	bye->ua = ua;
	bye->account = account_ref(account);
	bye->jar = account ? digest_jar_new() : NULL;
	bye->dialog = dialog;
	dialog_set_owner(dialog, farewell_request, NULL);
	bye->reason_line = xstrdup(reason_line);
	bye->next = ua->farewells;
	bye->pprev = &ua->farewells;
	if (bye->next)
		bye->next->pprev = &bye->next;
	ua->farewells = bye;
	ua->farewell_count++;

	dialog_path(dialog, &way);
	args.jar = bye->jar;
	args.creds = account ? &account->creds : NULL;
	args.realm = account ? account->realm : NULL;
	args.flow = way.flow;
	args.hop = way.has_hop ? &way.hop : NULL;
	args.any_address = way.any_address;
	args.unverified = way.unverified;
	bye->exchange = exchange_start(&args);
}

void farewell_free_all(struct ua *ua)
{
	while (ua->farewells)
		farewell_free(ua->farewells);
}
