/* Trying a profile step by step: what a person wants to know when "it does not register". Each step has a sentence. */
#include "sip/register_private.h"

#include <errno.h>
#include <stdio.h>

#define PROBE_MS 14000
#define STEP_MS 5000

enum { STEP_DNS, STEP_REACH, STEP_TLS, STEP_OPTIONS, STEP_REGISTER };

struct probe {
	struct ua *ua;
	struct account *account;
	void (*done)(const struct probe_result *result, void *arg);
	void *arg;
	struct probe_result result;
	unsigned step;
	uint64_t began_ms;
	struct timer deadline, step_timer;
	struct hop hop;
	struct target target;
	struct resolve_query *query;
	struct flow *flow;
	struct flow_watch watch;
	struct exchange *exchange;
	struct digest_jar *jar;
	char call_id[TOKEN_SIZE], from_tag[TOKEN_SIZE];
	uint32_t cseq;
};

static void step_begin(struct probe *probe, unsigned step);

static struct probe *probe_free(struct probe *probe)
{
	timer_stop(&probe->deadline);
	timer_stop(&probe->step_timer);
	resolver_cancel(probe->query);
	flow_watch_stop(&probe->watch);
	exchange_free(probe->exchange);
	flow_unref(probe->flow);
	digest_jar_free(probe->jar);
	account_unref(probe->account);
	free(probe);
	return NULL;
}

static void finish(struct probe *probe)
{
	void (*done)(const struct probe_result *, void *) = probe->done;
	void *arg = probe->arg;
	struct probe_result result = probe->result;

	result.ok = true;
	for (unsigned i = 0; i < result.count; i++)
		result.ok = result.ok && (!result.steps[i].ran || result.steps[i].ok);
	result.ok = result.ok && result.steps[STEP_DNS].ran;
	probe_free(probe);
	done(&result, arg);
}

static void step_end(struct probe *probe, bool ok, const char *fmt, ...) format_printf(3, 4);
static void step_end(struct probe *probe, bool ok, const char *fmt, ...)
{
	struct probe_step *step = &probe->result.steps[probe->step];
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	step->ran = true;
	step->ok = ok;
	step->ms = (uint32_t)(wheel_now_ms(probe->ua->wheel) - probe->began_ms);
	text_clean(step->detail, sizeof(step->detail), text, strlen(text));
	timer_stop(&probe->step_timer);
}

static void overdue(struct timer *timer, void *arg)
{
	(void)timer;
	step_end(arg, false, "No answer in time");
	finish(arg);
}

/* ---- OPTIONS and REGISTER ---- */

static struct outmsg *build(struct exchange *ex, void *arg)
{
	struct probe *probe = arg;
	auto_(buf_fini) struct buf uri = BUF_MAX(512), aor = BUF_MAX(512);
	auto_(free) char *from = NULL, *to = NULL;
	struct outmsg *msg;

	(void)ex;
	account_registrar_uri(probe->account, &uri);
	account_aor(probe->account, &aor);
	from = xasprintf("<%s>;tag=%s", aor.data, probe->from_tag);
	to = xasprintf("<%s>", aor.data);
	msg = outmsg_request_str(probe->step == STEP_OPTIONS ? "OPTIONS" : "REGISTER", uri.data);
	account_routes(probe->account, msg, false);
	outmsg_ids(msg, from, to, probe->call_id, ++probe->cseq);
	return msg;
}

static void contact_line(struct exchange *ex, struct flow *flow, struct outmsg *lines, void *arg)
{
	struct probe *probe = arg;
	auto_(buf_fini) struct buf uri = BUF_MAX(512);

	(void)ex;
	/* A REGISTER without Contact only asks (10.2.3). */
	if (probe->step != STEP_OPTIONS)
		return;
	account_contact_uri(probe->account, flow, &uri);
	outmsg_header(lines, "Contact", "<%s>", uri.data);
}

static const char *nat_words(const struct inmsg *in)
{
	struct pl received;

	if (msg_param_decode(&in->msg->via.params, "received", &received) ||
	    flow_is_stream(in->flow))
		return "";
	return "; we are behind NAT";
}

static void on_response(struct exchange *ex, const struct inmsg *in, void *arg)
{
	struct probe *probe = arg;
	uint16_t code = in->msg->scode;
	char words[64];

	(void)ex;
	if (code < 200)
		return;
	text_clean(words, sizeof(words), in->msg->reason.p, in->msg->reason.l);
	if (probe->step == STEP_OPTIONS) {
		/* any answer proves that a SIP server is there; many refuse OPTIONS to strangers */
		step_end(probe, true, "%u %s%s", code, words, nat_words(in));
		probe->exchange = exchange_free(probe->exchange);
		step_begin(probe, STEP_REGISTER);
		return;
	}
	if (exchange_auth(probe->exchange) == DIGEST_E_UNSUPPORTED)
		step_end(probe, false, "%u %s: the challenge is not understood", code, words);
	else if (code == 401 || code == 407)
		step_end(probe, false, "%u %s: user name or password refused", code, words);
	else
		step_end(probe, code < 300, "%u %s", code, words);
	finish(probe);
}

static void on_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	(void)ex;
	step_end(arg, false, "%s", request_failure_words(failure));
	finish(arg);
}

static const struct exchange_handlers handlers = { build, contact_line, on_response, on_failed,
						   NULL };

static void ask(struct probe *probe)
{
	struct exchange_args args = {
		.stack = probe->ua->stack,
		.creds = &probe->account->creds,
		.realm = probe->account->realm,
		.jar = probe->step == STEP_REGISTER ? probe->jar : NULL,
		.flow = probe->flow,
		.hop = probe->flow ? NULL : &probe->hop,
		.unverified = probe->account->unverified,
		.handlers = &handlers,
		.arg = probe,
	};

	if (probe->step == STEP_REGISTER && !probe->account->registers) {
		probe->result.count = STEP_REGISTER;
		finish(probe);
		return;
	}
	probe->exchange = exchange_start(&args);
}

/* ---- the way there ---- */

static void reached(struct probe *probe)
{
	bool tls = probe->target.transport == SIP_TRANSP_TLS;

	flow_watch_stop(&probe->watch);
	step_end(probe, true, "Connected");
	if (tls) {
		probe->step = STEP_TLS;
		step_end(probe, true,
			 probe->account->unverified ? "Certificate not checked"
						    : "Certificate is valid");
	}
	step_begin(probe, STEP_OPTIONS);
}

static void broken(struct flow_watch *watch, int errnum, void *arg)
{
	struct probe *probe = arg;
	bool network = errnum == ECONNREFUSED || errnum == ETIMEDOUT || errnum == EHOSTUNREACH ||
		       errnum == ENETUNREACH;

	(void)watch;
	if (probe->target.transport == SIP_TRANSP_TLS && !network) {
		step_end(probe, true, "Connected");
		probe->step = STEP_TLS;
		step_end(probe, false, "TLS failed: %s",
			 errnum ? strerror(errnum) : "closed by the server");
	} else {
		step_end(probe, false, "%s", errnum ? strerror(errnum) : "closed by the server");
	}
	finish(probe);
}

static void look(struct timer *timer, void *arg)
{
	struct probe *probe = arg;

	if (flow_is_open(probe->flow)) {
		reached(probe);
	} else if (wheel_now_ms(probe->ua->wheel) - probe->began_ms > STEP_MS) {
		step_end(probe, false, "No connection within %u s", STEP_MS / 1000);
		finish(probe);
	} else {
		timer_start(timer, 50);
	}
}

static void reach(struct probe *probe)
{
	int r;

	probe->target.unverified = probe->account->unverified;
	r = wire_open(stack_wire(probe->ua->stack), &probe->target, NULL, &probe->flow);
	if (r) {
		step_end(probe, false, "This transport does not work here");
		finish(probe);
		return;
	}
	if (!flow_is_stream(probe->flow)) {
		/* a datagram proves nothing until something answers it */
		probe->flow = flow_unref(probe->flow);
		step_end(probe, true, "UDP: see the answer below");
		step_begin(probe, STEP_OPTIONS);
		return;
	}
	flow_watch_start(&probe->watch, probe->flow, 0, broken, probe);
	timer_init(&probe->step_timer, probe->ua->wheel, look, probe);
	timer_start(&probe->step_timer, 0);
}

static void resolved(enum resolve_outcome outcome, const struct target *targets, unsigned count,
		     void *arg)
{
	struct probe *probe = arg;
	char addr[64];

	probe->query = NULL;
	if (outcome != RESOLVE_OK || !count) {
		step_end(probe, false, "%s: %s", probe->hop.host, resolve_outcome_words(outcome));
		finish(probe);
		return;
	}
	probe->target = targets[0];
	(void)re_snprintf(addr, sizeof(addr), "%J", &targets[0].addr);
	step_end(probe, true, "%s (%s, %u address%s)", addr, sip_transp_name(targets[0].transport),
		 count, count == 1 ? "" : "es");
	step_begin(probe, STEP_REACH);
}

static void step_begin(struct probe *probe, unsigned step)
{
	probe->step = step;
	probe->began_ms = wheel_now_ms(probe->ua->wheel);
	switch (step) {
	case STEP_DNS:
		probe->query = resolver_start(stack_resolver(probe->ua->stack), &probe->hop, false,
					      resolved, probe);
		break;
	case STEP_REACH:
		reach(probe);
		break;
	default:
		ask(probe);
		break;
	}
}

int probe_start(struct ua *ua, const struct account_setup *setup,
		void (*done)(const struct probe_result *result, void *arg), void *arg,
		struct probe **ret_probe)
{
	static const char *const names[PROBE_STEPS] = { "DNS", "reach", "TLS", "OPTIONS",
							"REGISTER" };
	struct account *account;
	struct probe *probe;
	int r = account_new(setup, &account);

	if (r)
		return r;
	probe = xzalloc(sizeof(*probe));
	probe->ua = ua;
	probe->account = account;
	probe->done = done;
	probe->arg = arg;
	probe->jar = digest_jar_new();
	probe->result.count = PROBE_STEPS;
	for (unsigned i = 0; i < PROBE_STEPS; i++)
		probe->result.steps[i].name = names[i];
	token_call_id(probe->call_id);
	token_tag(probe->from_tag);
	bug_on(!account_hop(account, false, &probe->hop));
	timer_init(&probe->deadline, ua->wheel, overdue, probe);
	timer_start(&probe->deadline, PROBE_MS);
	step_begin(probe, STEP_DNS);
	*ret_probe = probe;
	return 0;
}

struct probe *probe_cancel(struct probe *probe)
{
	return probe ? probe_free(probe) : NULL;
}
