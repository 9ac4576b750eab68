#include "sip/exchange.h"

#include "sip/ua_private.h"

#define CREDENTIALS_MAX 16384

struct exchange {
	struct exchange_args args;
	struct request *request;
	struct digest_round round;
	struct hop hop;
	struct way prefer;
	char *content_type;
	void *body;
	struct buf credentials;
	struct timer
		failing; /* reports what failed at the very start, but not from inside exchange_start() */
	bool cancelled;
	int auth;
};

static void try_send(struct exchange *ex);

static void on_flow(struct request *req, struct flow *flow, struct outmsg *lines, void *arg)
{
	struct exchange *ex = arg;

	(void)req;
	if (ex->args.handlers->on_flow)
		ex->args.handlers->on_flow(ex, flow, lines, ex->args.arg);
}

/* Return: true when the challenge is being answered. */
static bool challenge_answer(struct exchange *ex, const struct inmsg *in)
{
	const struct target *target = request_target(ex->request);

	ex->auth = digest_jar_challenged(ex->args.jar, ex->args.creds, &ex->round, in->msg);
	if (ex->auth)
		return false;
	if (ex->args.handlers->on_challenge)
		ex->args.handlers->on_challenge(ex, in, ex->args.arg);
	if (target) {
		ex->prefer = (struct way){ target->transport, target->addr };
		ex->args.prefer = &ex->prefer;
	}
	ex->request = request_free(ex->request);
	try_send(ex);
	return true;
}

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	struct exchange *ex = arg;
	bool challenge = in->msg->scode == 401 || in->msg->scode == 407;

	(void)req;
	if (challenge && ex->args.jar && !ex->cancelled && challenge_answer(ex, in))
		return;
	ex->args.handlers->on_response(ex, in, ex->args.arg);
}

static void on_failed(struct request *req, enum request_failure failure, void *arg)
{
	struct exchange *ex = arg;
	bool no_way = failure == REQUEST_UNRESOLVED || failure == REQUEST_TRANSPORT;

	(void)req;
	if (no_way && ex->args.hop && ex->args.flow && flow_is_open(ex->args.flow) &&
	    !ex->cancelled) {
		ex->args.hop = NULL;
		ex->request = request_free(ex->request);
		try_send(ex);
		return;
	}
	ex->args.handlers->on_failed(ex, failure, ex->args.arg);
}

static const struct request_handlers request_fns = { on_flow, on_response, on_failed };

static void failing_fn(struct timer *timer, void *arg)
{
	struct exchange *ex = arg;

	(void)timer;
	ex->args.handlers->on_failed(ex, REQUEST_BAD, ex->args.arg);
}

/* The credentials as they stand, as header lines of the message. */
static void credentials_add(struct exchange *ex, struct outmsg *msg)
{
	struct pl uri = outmsg_uri(msg);
	auto_(free) char *uri_text = xstrndup(uri.p, uri.l);
	const struct digest_request request = {
		.method = outmsg_method(msg),
		.uri = uri_text,
		.body = ex->body,
		.body_len = ex->args.body_len,
		.realm = ex->args.realm,
	};

	buf_reset(&ex->credentials);
	digest_jar_sign(ex->args.jar, ex->args.creds, &ex->round, &request, &ex->credentials);
	if (ex->credentials.failed) {
		buf_reset(&ex->credentials);
		return;
	}
	outmsg_add_lines(msg, ex->credentials.data);
}

static void try_send(struct exchange *ex)
{
	struct outmsg *msg = ex->args.handlers->build(ex, ex->args.arg);
	struct request_args args = {
		.msg = msg,
		.flow = ex->args.hop ? NULL : ex->args.flow,
		.hop = ex->args.hop,
		.prefer = ex->args.prefer,
		.any_address = ex->args.any_address,
		.unverified = ex->args.unverified,
		.keep = ex->args.keep,
		.handlers = &request_fns,
		.arg = ex,
	};

	if (!msg) {
		timer_start(&ex->failing, 0);
		return;
	}
	if (ex->args.jar)
		credentials_add(ex, msg);
	if (ex->content_type)
		outmsg_body(msg, ex->content_type, ex->body, ex->args.body_len);
	request_send(ex->args.stack, &args, &ex->request);
	mem_deref(msg);
}

struct exchange *exchange_start(const struct exchange_args *args)
{
	struct exchange *ex = xzalloc(sizeof(*ex));

	ex->args = *args;
	ex->credentials.max = CREDENTIALS_MAX;
	if (args->flow)
		flow_ref(args->flow);
	if (args->hop) {
		ex->hop = *args->hop;
		ex->args.hop = &ex->hop;
	}
	if (args->prefer) {
		ex->prefer = *args->prefer;
		ex->args.prefer = &ex->prefer;
	}
	ex->content_type = xstrdup(args->content_type);
	ex->body = args->content_type ? xmemdup(args->body, args->body_len) : NULL;
	timer_init(&ex->failing, stack_wheel(args->stack), failing_fn, ex);
	try_send(ex);
	return ex;
}

struct exchange *exchange_free(struct exchange *ex)
{
	if (!ex)
		return NULL;
	timer_stop(&ex->failing);
	request_free(ex->request);
	flow_unref(ex->args.flow);
	free(ex->content_type);
	free(ex->body);
	buf_fini(&ex->credentials);
	free(ex);
	return NULL;
}

void exchange_cancel(struct exchange *ex, const char *reason)
{
	ex->cancelled = true;
	if (ex->request)
		request_cancel(ex->request, reason);
}

int exchange_auth(const struct exchange *ex)
{
	return ex->auth;
}

struct request *exchange_request(const struct exchange *ex)
{
	return ex->request;
}

const char *exchange_credentials(const struct exchange *ex)
{
	return ex->credentials.data ? ex->credentials.data : "";
}
