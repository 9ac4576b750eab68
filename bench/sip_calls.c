/* bench/sip_calls.c - CPU of the signalling core alone: calls set up and torn down between two
 * stacks
 *
 * One process, a net in memory, a virtual clock: INVITE, 180, 200, ACK, BYE, 200 a call, both ends
 * counted, so one such call costs what a call with two legs costs a server. Prints JSON.
 */
#include <stdio.h>

#include "sip/stack.h"
#include "sip/wire_sim.h"

#define OURS "10.0.0.1:5060"
#define THEIRS "10.0.0.2:5060"

static const char sdp[] =
	"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n"
	"m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

struct side {
	struct wire *wire;
	struct resolver *resolver;
	struct stack *stack;
};

struct call {
	unsigned number;
	struct request *invite, *bye;
	char to[200], call_id[40];
};

static struct wheel *wheel;
static struct side caller, callee;
static unsigned ended;
static struct strans **unacked; /* by number of call */

/* ---- the called side ---- */

static void on_end(struct strans *st, enum trans_end end, void *arg)
{
	(void)end;
	if (arg && *(struct strans **)arg == st)
		*(struct strans **)arg = NULL;
}

static const struct strans_handlers server = { .on_end = on_end };

static unsigned number_of(const struct sip_msg *msg)
{
	struct pl digits = msg->callid;

	pl_advance(&digits, 5); /* "call-" */
	return pl_u32(&digits);
}

static void answer(struct strans *st, const struct inmsg *in, uint16_t code, bool body)
{
	struct outmsg *msg = outmsg_reply(in, code, NULL, strans_to_tag(st), true);

	outmsg_header(msg, "Contact", "<sip:" THEIRS ">");
	outmsg_header(msg, "Allow", "%s", stack_allowed(in->stack));
	if (body)
		outmsg_body(msg, "application/sdp", sdp, sizeof(sdp) - 1);
	if (strans_reply(st, msg) < 0)
		abort();
	mem_deref(msg);
}

static void on_invite(const struct inmsg *in, void *arg)
{
	struct strans **slot = &unacked[number_of(in->msg)];

	(void)arg;
	if (strans_new(in, &server, slot, slot) != 0)
		abort();
	answer(*slot, in, 180, false);
	answer(*slot, in, 200, true);
}

static bool on_dialog(const struct inmsg *in, void *arg)
{
	struct strans *st;

	(void)arg;
	if (inmsg_is(in->msg, "ACK")) {
		st = unacked[number_of(in->msg)];
		if (st)
			strans_acked(st);
		return true;
	}
	if (strans_new(in, &server, NULL, &st) == 0)
		strans_answer(st, 200, NULL);
	return true;
}

/* ---- the calling side ---- */

static struct outmsg *request_make(const struct call *call, const char *method, unsigned cseq)
{
	struct outmsg *msg = outmsg_request_str(method, "sip:them@" THEIRS);

	outmsg_ids(msg, "\"Us\" <sip:us@" OURS ">;tag=ours", call->to, call->call_id, cseq);
	return msg;
}

static void on_bye(struct request *req, const struct inmsg *in, void *arg)
{
	struct call *call = arg;

	if (in->msg->scode < 200)
		return;
	ended++;
	request_free(req);
	request_free(call->invite);
	free(call);
}

static const struct request_handlers bye_handlers = { .on_response = on_bye };

static void on_answer(struct request *req, const struct inmsg *in, void *arg)
{
	struct call *call = arg;
	struct outmsg *msg;

	(void)req;
	if (in->msg->scode < 200 || call->bye)
		return;
	pl_strcpy(&in->msg->to.val, call->to, sizeof(call->to));
	msg = request_make(call, "ACK", 1);
	request_send(caller.stack, &(struct request_args){ .msg = msg }, NULL);
	mem_deref(msg);
	msg = request_make(call, "BYE", 2);
	request_send(caller.stack,
		     &(struct request_args){ .msg = msg, .handlers = &bye_handlers, .arg = call },
		     &call->bye);
	mem_deref(msg);
}

static const struct request_handlers invite_handlers = { .on_response = on_answer };

static void call_start(unsigned number)
{
	struct call *call = xzalloc(sizeof(*call));
	struct outmsg *msg;

	call->number = number;
	str_copy(call->to, sizeof(call->to), "<sip:them@" THEIRS ">");
	snprintf(call->call_id, sizeof(call->call_id), "call-%u", number);
	msg = request_make(call, "INVITE", 1);
	outmsg_header(msg, "Contact", "<sip:us@" OURS ">");
	outmsg_header(msg, "Allow",
		      "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY");
	outmsg_header(msg, "Supported", "timer, 100rel, replaces");
	outmsg_header(msg, "Session-Expires", "1800;refresher=uac");
	outmsg_body(msg, "application/sdp", sdp, sizeof(sdp) - 1);
	request_send(
		caller.stack,
		&(struct request_args){ .msg = msg, .handlers = &invite_handlers, .arg = call },
		&call->invite);
	mem_deref(msg);
}

static void side_open(struct side *side, struct sim_net *net, const char *addr, const char *peer)
{
	struct sa trusted;

	side->wire = wire_sim_new(net, addr, NULL);
	side->resolver =
		resolver_new(&(struct resolver_setup){ .wheel = wheel, .wire = side->wire });
	side->stack = stack_new(&(struct stack_setup){ .wheel = wheel,
						       .wire = side->wire,
						       .resolver = side->resolver,
						       .software = "Bench/1" });
	sa_decode(&trusted, peer, strlen(peer));
	wire_trust(side->wire, &trusted);
}

static void side_close(struct side *side)
{
	stack_free(side->stack);
	resolver_free(side->resolver);
	wire_free(side->wire);
}

int main(int argc, char **argv)
{
	unsigned calls = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
	struct sim_net *net;
	size_t live_most = 0;
	uint64_t start, spent;

	wheel = wheel_new_virtual(1000000, 1700000000000000);
	net = sim_net_new(wheel, 1);
	unacked = xzalloc_array(calls, sizeof(struct strans *));
	side_open(&caller, net, OURS, THEIRS);
	side_open(&callee, net, THEIRS, OURS);
	stack_on_method(callee.stack, "INVITE", on_invite, NULL);
	stack_set_dialog_hook(callee.stack, on_dialog, NULL);

	start = clock_thread_cpu_us();
	for (unsigned i = 0; i < calls; i++) {
		call_start(i);
		wheel_advance_to(wheel, wheel_now_ms(wheel) + 1);
		if (stack_live(caller.stack) + stack_live(callee.stack) > live_most)
			live_most = stack_live(caller.stack) + stack_live(callee.stack);
	}
	wheel_advance_to(wheel, wheel_now_ms(wheel) + 100000);
	spent = clock_thread_cpu_us() - start;

	printf("{\"calls\": %u, \"ended\": %u, \"us_per_call\": %.1f, \"transactions_at_once\": %zu, "
	       "\"transactions_left\": %zu}\n",
	       calls, ended, (double)spent / calls, live_most,
	       stack_live(caller.stack) + stack_live(callee.stack));
	side_close(&caller);
	side_close(&callee);
	sim_net_free(net);
	wheel_free(wheel);
	free(unacked);
	return ended == calls ? 0 : 1;
}
