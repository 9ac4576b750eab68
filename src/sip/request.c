/* sip/request.c - a request's way through next hop, targets and attempts */
#include "sip/private.h"
#include "sip/resolve_private.h"

#define OVERSIZE_CONNECT_MS 2000u

struct request {
	struct request *next, **pprev;
	struct stack *stack;
	struct outmsg *msg;
	struct flow *given; /* the only way, when the owner named one */
	struct hop hop;
	bool by_hop, any_address, ack, invite, cancelled, final, self_owned, over_tcp, keep;
	struct mbuf *sent; /* when it is to be kept */
	struct way prefer;
	struct resolve_query *query;
	enum resolve_outcome outcome;
	struct target *targets;
	unsigned target_count, target_next, attempts;
	struct target present;
	struct flow *flow;
	struct ctrans *ct;
	struct timer
		later; /* what must not happen inside request_send(); or the limit of a connect */
	enum { LATER_NOTHING, LATER_FAIL, LATER_ATTEMPT, LATER_TCP_LIMIT } what;
	enum request_failure failure;
	const struct request_handlers *handlers;
	void *arg;
};

static void attempt_next(struct request *req);

const char *request_failure_words(enum request_failure failure)
{
	static const char *const words[] = {
		[REQUEST_TIMEOUT] = "No answer in time",
		[REQUEST_TRANSPORT] = "Nothing answers at this server and port",
		[REQUEST_UNRESOLVED] = "The server's address was not found",
		[REQUEST_CANCELLED] = "Cancelled",
		[REQUEST_BAD] = "The request cannot be sent",
	};

	return words[failure];
}

static void request_destroy(struct request *req)
{
	timer_stop(&req->later);
	resolver_cancel(req->query);
	if (req->ct)
		ctrans_detach(req->ct);
	*req->pprev = req->next;
	if (req->next)
		req->next->pprev = req->pprev;
	flow_unref(req->flow);
	flow_unref(req->given);
	mem_deref(req->msg);
	mem_deref(req->sent);
	free(req->targets);
	free(req);
}

struct request *request_free(struct request *req)
{
	if (req)
		request_destroy(req);
	return NULL;
}

/* The owners keep their pointers: what is left of the request does nothing any more. */
void request_end_all(struct stack *stack)
{
	struct request *req, *next;

	for (req = stack->requests; req; req = next) {
		next = req->next;
		timer_stop(&req->later);
		resolver_cancel(req->query);
		req->query = NULL;
		req->ct = NULL;
		req->flow = flow_unref(req->flow);
		req->given = flow_unref(req->given);
		req->handlers = NULL;
		req->final = true;
		req->next = NULL;
		req->pprev = &req->next;
		if (req->self_owned)
			request_destroy(req);
	}
	stack->requests = NULL;
}

static void request_later(struct request *req, int what, unsigned after_ms)
{
	req->what = what;
	timer_start(&req->later, after_ms);
}

static void request_fail(struct request *req, enum request_failure failure)
{
	if (req->self_owned) {
		request_later(req, LATER_FAIL, 0);
		return;
	}
	req->final = true;
	if (req->handlers && req->handlers->on_failed)
		req->handlers->on_failed(req, failure, req->arg);
}

static void request_fail_later(struct request *req, enum request_failure failure)
{
	req->failure = failure;
	request_later(req, LATER_FAIL, 0);
}

/* ---- the answers of an attempt ---- */

static bool has_more(const struct request *req)
{
	return !req->given && !req->cancelled && req->target_next < req->target_count;
}

static void report(const struct request *req, bool ok)
{
	if (!req->given)
		resolver_report(req->stack->resolver, &req->present, ok);
}

static void attempt_drop(struct request *req)
{
	if (req->ct)
		ctrans_detach(req->ct);
	req->ct = NULL;
	req->flow = flow_unref(req->flow);
	timer_stop(&req->later);
	req->what = LATER_NOTHING;
}

static void on_response(struct ctrans *ct, const struct inmsg *in, void *arg)
{
	struct request *req = arg;
	uint16_t code = in->msg->scode;

	(void)ct;
	timer_stop(&req->later);
	/* RFC 3263 4.3: a 503 is the server's, not the callee's */
	if (code == 503 && has_more(req)) {
		report(req, false);
		attempt_drop(req);
		request_later(req, LATER_ATTEMPT, 0);
		return;
	}
	if (code >= 200) {
		report(req, code != 503);
		req->final = true;
	}
	if (req->handlers && req->handlers->on_response)
		req->handlers->on_response(req, in, req->arg);
}

/* 18.1.1: an attempt by TCP only because of the size falls back to UDP */
static bool fall_back(struct request *req)
{
	if (!req->over_tcp || req->cancelled)
		return false;
	resolver_report(req->stack->resolver, &req->present, false);
	req->target_next--;
	attempt_drop(req);
	request_later(req, LATER_ATTEMPT, 0);
	return true;
}

static void on_end(struct ctrans *ct, enum trans_end end, void *arg)
{
	struct request *req = arg;

	(void)ct;
	req->ct = NULL;
	if (end == TRANS_DONE || req->final)
		return;
	if (end == TRANS_TRANSPORT && fall_back(req))
		return;
	report(req, false);
	if (has_more(req)) {
		attempt_drop(req);
		attempt_next(req);
		return;
	}
	request_fail(req, end == TRANS_TIMEOUT ? REQUEST_TIMEOUT : REQUEST_TRANSPORT);
}

static const struct ctrans_handlers attempt_handlers = { .on_response = on_response,
							 .on_end = on_end };

/* ---- an attempt ---- */

/* Over the datagram's limit and no word yet that TCP fails there? */
static bool goes_by_tcp(const struct request *req, const struct target *target)
{
	struct target tcp = *target;

	if (target->transport != SIP_TRANSP_UDP ||
	    outmsg_size(req->msg) + 200 <= req->stack->udp_max)
		return false;
	tcp.transport = SIP_TRANSP_TCP;
	return wire_has(req->stack->wire, SIP_TRANSP_TCP, sa_af(&target->addr)) &&
	       !resolver_is_failing(req->stack->resolver, &tcp);
}

/* Sends on req->flow. Return: false when it could not even begin. *ret_bad: it never can. */
static bool attempt_send(struct request *req, bool *ret_bad)
{
	auto_(outmsg_deref) struct outmsg *lines = NULL;
	char branch[TOKEN_SIZE];
	struct mbuf *mb;
	bool fine = true;

	if (req->handlers && req->handlers->on_flow) {
		lines = outmsg_lines();
		req->handlers->on_flow(req, req->flow, lines, req->arg);
	}
	token_branch(branch);
	mb = outmsg_request_bytes(req->msg, req->flow, branch, lines, req->stack->software);
	if (!mb) {
		*ret_bad = true;
		return false;
	}
	req->attempts++;
	if (req->keep) {
		mem_deref(req->sent);
		req->sent = mem_ref(mb);
	}
	if (req->ack)
		fine = flow_send(req->flow, mb) == 0;
	else
		req->ct = ctrans_new(req->stack, req->flow, mb, outmsg_method(req->msg), branch,
				     &attempt_handlers, req);
	mem_deref(mb);
	return fine;
}

static void attempt_done(struct request *req)
{
	if (req->ack) {
		req->final = true;
		if (req->self_owned)
			request_destroy(req);
	} else if (req->over_tcp && !flow_is_open(req->flow)) {
		request_later(req, LATER_TCP_LIMIT, OVERSIZE_CONNECT_MS);
	}
}

static void attempt_next(struct request *req)
{
	bool bad = false;

	while (req->target_next < req->target_count) {
		req->present = req->targets[req->target_next++];
		req->over_tcp = goes_by_tcp(req, &req->present);
		if (req->over_tcp)
			req->present.transport = SIP_TRANSP_TCP;
		req->flow = flow_unref(req->flow);
		if (wire_open(req->stack->wire, &req->present, NULL, &req->flow) == 0) {
			if (attempt_send(req, &bad)) {
				attempt_done(req);
				return;
			}
			if (bad) {
				request_fail_later(req, REQUEST_BAD);
				return;
			}
		}
		resolver_report(req->stack->resolver, &req->present, false);
		if (req->over_tcp)
			req->target_next--; /* TCP now counts as failing there */
	}
	request_fail_later(req, REQUEST_TRANSPORT);
}

static void attempt_given(struct request *req)
{
	bool bad = false;

	req->flow = flow_ref(req->given);
	if (attempt_send(req, &bad))
		attempt_done(req);
	else
		request_fail_later(req, bad ? REQUEST_BAD : REQUEST_TRANSPORT);
}

static void later_fire(struct timer *timer, void *arg)
{
	struct request *req = arg;

	(void)timer;
	switch (req->what) {
	case LATER_FAIL:
		if (req->self_owned)
			request_destroy(req);
		else
			request_fail(req, req->failure);
		break;
	case LATER_ATTEMPT:
		attempt_next(req);
		break;
	case LATER_TCP_LIMIT:
		if (req->flow && !flow_is_open(req->flow))
			fall_back(req);
		break;
	case LATER_NOTHING:
		break;
	}
}

/* ---- the next hop ---- */

/* The one that the owner would rather have goes first. */
static void targets_prefer(struct request *req)
{
	struct target first;

	for (unsigned i = 1; i < req->target_count; i++) {
		if (req->targets[i].transport != req->prefer.transport ||
		    !sa_cmp(&req->targets[i].addr, &req->prefer.addr, SA_ALL))
			continue;
		first = req->targets[i];
		memmove(req->targets + 1, req->targets, i * sizeof(first));
		req->targets[0] = first;
		return;
	}
}

static void targets_take(struct request *req, const struct target *targets, unsigned count)
{
	req->targets = (struct target *)(void *)xmemdup(targets, count * sizeof(*targets));
	req->target_count = count;
	targets_prefer(req);
}

static void on_resolved(enum resolve_outcome outcome, const struct target *targets, unsigned count,
			void *arg)
{
	struct request *req = arg;

	req->query = NULL;
	req->outcome = outcome;
	if (outcome != RESOLVE_OK) {
		request_fail(req, REQUEST_UNRESOLVED);
		return;
	}
	targets_take(req, targets, count);
	attempt_next(req);
}

/* Return: false when the message names no usable next hop. */
static bool hop_find(struct request *req, bool unverified)
{
	struct pl route = outmsg_next_route(req->msg), text = outmsg_uri(req->msg);
	struct sip_addr addr;
	struct uri uri;

	if (!req->by_hop) {
		if (route.l && parse_addr(&route, &addr) == 0)
			text = addr.auri;
		if (parse_uri(&text, &uri) || !hop_from_uri(&uri, &req->hop))
			return false;
	}
	req->hop.unverified |= unverified;
	return true;
}

static void request_resolve(struct request *req)
{
	struct target targets[RESOLVE_MAX_TARGETS];
	unsigned count;

	/* Numbers and what is in the cache need no waiting. */
	if (resolver_now(req->stack->resolver, &req->hop, req->any_address, targets, &count)) {
		targets_take(req, targets, count);
		attempt_next(req);
		return;
	}
	req->query =
		resolver_start(req->stack->resolver, &req->hop, req->any_address, on_resolved, req);
}

static struct request *request_new(struct stack *stack, const struct request_args *args)
{
	struct request *req = xzalloc(sizeof(*req));
	const char *method = outmsg_method(args->msg);

	bug_on(!method);
	req->stack = stack;
	req->msg = mem_ref(args->msg);
	req->given = args->flow ? flow_ref(args->flow) : NULL;
	req->by_hop = args->hop != NULL;
	if (args->hop)
		req->hop = *args->hop;
	req->prefer = args->prefer ? *args->prefer : (struct way){ .transport = SIP_TRANSP_NONE };
	req->any_address = args->any_address;
	req->keep = args->keep;
	req->ack = strcmp(method, "ACK") == 0;
	req->invite = strcmp(method, "INVITE") == 0;
	req->handlers = args->handlers;
	req->arg = args->arg;
	timer_init(&req->later, stack->wheel, later_fire, req);
	req->next = stack->requests;
	req->pprev = &stack->requests;
	if (req->next)
		req->next->pprev = &req->next;
	stack->requests = req;
	return req;
}

void request_send(struct stack *stack, const struct request_args *args, struct request **ret_req)
{
	struct request *req = request_new(stack, args);

	bug_on(!ret_req && !req->ack);
	req->self_owned = !ret_req;
	if (ret_req)
		*ret_req = req;

	if (outmsg_is_bad(req->msg))
		request_fail_later(req, REQUEST_BAD);
	else if (req->given)
		attempt_given(req);
	else if (hop_find(req, args->unverified))
		request_resolve(req);
	else {
		req->outcome = RESOLVE_E_BAD;
		request_fail_later(req, REQUEST_UNRESOLVED);
	}
}

void request_cancel(struct request *req, const char *reason)
{
	auto_(free) char *line = NULL;

	if (req->cancelled || req->final || !req->invite)
		return;
	req->cancelled = true;
	if (req->ct) {
		bool clean = reason && !strpbrk(reason, "\r\n");

		line = clean ? xasprintf("Reason: %s\r\n", reason) : NULL;
		ctrans_cancel(req->ct, line);
		return;
	}
	resolver_cancel(req->query);
	req->query = NULL;
	if (req->what != LATER_FAIL || !timer_running(&req->later))
		request_fail_later(req, REQUEST_CANCELLED);
}

struct flow *request_flow(const struct request *req)
{
	return req->flow;
}

const struct target *request_target(const struct request *req)
{
	return req->flow && !req->given ? &req->present : NULL;
}

enum resolve_outcome request_resolve_outcome(const struct request *req)
{
	return req->outcome;
}

unsigned request_attempts(const struct request *req)
{
	return req->attempts;
}

const struct mbuf *request_sent(const struct request *req)
{
	return req->sent;
}
