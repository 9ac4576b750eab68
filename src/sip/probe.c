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

static void result_fini(struct probe_result *result)
{
	for (unsigned i = 0; i < PROBE_STEPS; i++) {
		free(take(result->steps[i].sent));
		free(take(result->steps[i].received));
	}
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
	result_fini(&result);
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

static void keep_messages(struct probe *probe, const struct inmsg *in);

static void overdue(struct timer *timer, void *arg)
{
	(void)timer;
	keep_messages(arg, NULL);
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

/* ---- the messages themselves ---- */

#define TEXT_MAX 8192

static void printable_put(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_addc(out, text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
}

/* `response="..."` of the credentials in that line is hidden: it could be used to guess the password. */
static void line_put(struct buf *out, const char *line, size_t len)
{
	static const char key[] = "response=\"";
	bool secret = !strncasecmp(line, "Authorization:", 14) ||
		      !strncasecmp(line, "Proxy-Authorization:", 20);
	const char *at = secret ? memmem(line, len, key, sizeof(key) - 1) : NULL;
	const char *end =
		at ? memchr(at + sizeof(key) - 1, '"', len - (size_t)(at + sizeof(key) - 1 - line))
		   : NULL;
	size_t shown = secret ? (at ? (size_t)(at - line) + sizeof(key) - 1 : 0) : len;

	printable_put(out, line, shown);
	if (secret)
		buf_adds(out, "(hidden)");
	if (end)
		printable_put(out, end, (size_t)(line + len - end));
	buf_addc(out, '\n');
}

static char *message_text(const struct mbuf *mb)
{
	auto_(buf_fini) struct buf out = BUF_MAX(2 * TEXT_MAX);
	size_t len = mb ? mb->end : 0;
	/* terminated, so that a line's name can be looked at like a string */
	auto_(free) char *copy =
		xstrndup(mb ? (const char *)mb->buf : "", len < TEXT_MAX ? len : TEXT_MAX);

	for (const char *line = copy; *line;) {
		size_t n = strcspn(line, "\r\n");

		line_put(&out, line, n);
		line += n;
		line += *line == '\r';
		line += *line == '\n';
	}
	return out.failed || !out.data ? NULL : xstrdup(out.data);
}

static void keep_messages(struct probe *probe, const struct inmsg *in)
{
	struct probe_step *step = &probe->result.steps[probe->step];
	const struct request *request = probe->exchange ? exchange_request(probe->exchange) : NULL;

	free(step->sent);
	free(step->received);
	step->sent = request && request_sent(request) ? message_text(request_sent(request)) : NULL;
	step->received = in ? message_text(in->msg->mb) : NULL;
}

/* RFC 3581: where the server saw the request come from, against where it said it came from. */
static void nat_read(struct probe *probe, const struct inmsg *in)
{
	struct probe_result *result = &probe->result;
	struct pl host, port, received, rport = pl_null;
	bool moved, has_received, has_rport;

	if (parse_hostport(&in->msg->via.sentby, &host, &port))
		return;
	has_received = parse_param(&in->msg->via.params, "received", &received);
	has_rport = parse_param(&in->msg->via.params, "rport", &rport) && pl_isset(&rport);
	if (!has_received && !has_rport)
		return;
	moved = has_received && pl_cmp(&received, &host);
	if (has_rport && !flow_is_stream(in->flow)) /* of a stream it is only the connection's */
		moved = moved || pl_u32(&rport) != (pl_isset(&port) ? pl_u32(&port) : SIP_PORT);
	result->nat = moved ? PROBE_NAT_BEHIND : PROBE_NAT_NONE;
	(void)re_snprintf(result->seen_as, sizeof(result->seen_as), "%r%s%r",
			  has_received ? &received : &host, has_rport ? ":" : "", &rport);
	text_clean(result->seen_as, sizeof(result->seen_as), result->seen_as,
		   strlen(result->seen_as));
}

static const char *nat_words(const struct probe *probe)
{
	return probe->result.nat == PROBE_NAT_BEHIND ? "; we are behind NAT" : "";
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
	keep_messages(probe, in);
	nat_read(probe, in);
	if (probe->step == STEP_OPTIONS) {
		/* any answer proves that a SIP server is there; many refuse OPTIONS to strangers */
		step_end(probe, true, "%u %s%s", code, words, nat_words(probe));
		probe->exchange = exchange_free(probe->exchange);
		step_begin(probe, STEP_REGISTER);
		return;
	}
	if (exchange_auth(probe->exchange) == DIGEST_E_UNSUPPORTED)
		step_end(probe, false, "%u %s: the challenge is not understood", code, words);
	else if ((code == 401 || code == 407) && !*probe->account->creds.secret)
		step_end(probe, false, "%u %s: a password is asked for, and none was given", code,
			 words);
	else if (code == 401 || code == 407)
		step_end(probe, false, "%u %s: user name or password refused", code, words);
	else
		step_end(probe, code < 300, "%u %s", code, words);
	finish(probe);
}

static void on_failed(struct exchange *ex, enum request_failure failure, void *arg)
{
	(void)ex;
	keep_messages(arg, NULL);
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
		.keep = true,
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
		if (*flow_why(probe->flow)) {
			step_end(probe, true, "Connected");
			probe->step = STEP_TLS;
			step_end(probe, false, "%s", flow_why(probe->flow));
		} else {
			step_end(probe, false, "No connection within %u s", STEP_MS / 1000);
		}
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
	if (!probe)
		return NULL;
	result_fini(&probe->result);
	return probe_free(probe);
}
