#include "sip/session_private.h"

void saved_body_set(struct saved_body *saved, struct session_body body)
{
	struct saved_body fresh = { 0 };

	if (body.type) {
		fresh.type = xstrdup(body.type);
		fresh.data = xzalloc(body.len + 1);
		if (body.len)
			memcpy(fresh.data, body.data, body.len);
		fresh.len = body.len;
	}
	saved_body_fini(saved);
	*saved = fresh;
}

struct session_body saved_body_get(const struct saved_body *saved)
{
	return (struct session_body){ .type = saved->type, .data = saved->data, .len = saved->len };
}

void saved_body_fini(struct saved_body *saved)
{
	free(saved->type);
	free(saved->data);
	*saved = (struct saved_body){ 0 };
}

void outmsg_put_body(struct outmsg *msg, struct session_body body)
{
	if (body.type)
		outmsg_body(msg, body.type, body.data, body.len);
}

void outmsg_add_lines(struct outmsg *msg, const char *lines)
{
	while (lines && *lines) {
		const char *colon = strchr(lines, ':'), *end = strstr(lines, "\r\n");
		auto_(free) char *name = NULL;

		if (!colon || !end || colon > end)
			return;
		name = xstrndup(lines, (size_t)(colon - lines));
		for (colon++; *colon == ' '; colon++)
			;
		outmsg_header(msg, name, "%.*s", (int)(end - colon), colon);
		lines = end + 2;
	}
}

static struct outmsg *errand_build(struct exchange *ex, void *arg)
{
	struct errand *errand = arg;
	struct outmsg *msg = dialog_request(errand->dialog, errand->method, 0);

	(void)ex;
	errand->cseq = dialog_local_seq(errand->dialog);
	outmsg_add_lines(msg, errand->lines);
	return msg;
}

static void errand_flow(struct exchange *ex, struct flow *flow, struct outmsg *lines, void *arg)
{
	struct errand *errand = arg;
	const char *method = errand->method;

	(void)ex;
	/* What refreshes the target, and what makes a subscription, has a Contact. */
	if (!strcmp(method, "INVITE") || !strcmp(method, "UPDATE") || !strcmp(method, "REFER") ||
	    !strcmp(method, "NOTIFY"))
		session_contact(errand->session, flow, lines);
}

static void errand_unlink(struct errand *errand)
{
	struct errand **slot = &errand->session->errands;

	while (*slot && *slot != errand)
		slot = &(*slot)->next;
	if (*slot) {
		*slot = errand->next;
		errand->session->errand_count--;
	}
}

void errand_drop(struct errand *errand)
{
	if (!errand)
		return;
	errand_unlink(errand);
	exchange_free(errand->exchange);
	free(errand->lines);
	free(errand);
}

static void errand_finish(struct errand *errand, uint16_t code, const struct inmsg *in)
{
	struct session *session = errand->session;

	errand_unlink(errand);
	if (errand->done)
		errand->done(session, errand, code, in);
	exchange_free(errand->exchange);
	free(errand->lines);
	free(errand);
}

static void errand_response(struct exchange *ex, const struct inmsg *in, void *arg)
{
	struct errand *errand = arg;

	(void)ex;
	if (in->msg->scode >= 200) {
		if (dialog_flow(errand->dialog) != in->flow)
			dialog_set_flow(errand->dialog, in->flow);
		errand_finish(errand, in->msg->scode, in);
	}
}

static void errand_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	(void)ex;
	errand_finish(arg, failure == REQUEST_TIMEOUT ? 408 : 503, NULL);
}

static const struct exchange_handlers errand_handlers = { errand_build, errand_flow,
							  errand_response, errand_failed };

struct errand *errand_start(struct session *session, struct dialog *dialog, const char *method,
			    const char *lines, struct session_body body, errand_fn *done)
{
	struct errand *errand;
	struct dialog_way way;
	struct exchange_args args = {
		.stack = session->ua->stack,
		.jar = session->account ? session->jar : NULL,
		.creds = session->account ? &session->account->creds : NULL,
		.realm = session->account ? session->account->realm : NULL,
		.content_type = body.type,
		.body = body.data,
		.body_len = body.len,
		.handlers = &errand_handlers,
	};

	if (session->errand_count >= SESSION_ERRANDS)
		return NULL;
	errand = xzalloc(sizeof(*errand));
	errand->session = session;
	errand->dialog = dialog;
	errand->done = done;
	errand->lines = xstrdup(lines);
	str_copy(errand->method, sizeof(errand->method), method);
	errand->next = session->errands;
	session->errands = errand;
	session->errand_count++;

	dialog_path(dialog, &way);
	args.flow = way.flow;
	args.hop = way.has_hop ? &way.hop : NULL;
	args.any_address = way.any_address;
	args.unverified = way.unverified;
	args.arg = errand;
	errand->exchange = exchange_start(&args);
	return errand;
}

void errand_free_all(struct session *session)
{
	while (session->errands)
		errand_drop(session->errands);
}
