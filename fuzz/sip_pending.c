/* fuzz/sip_pending.c - bytes from the network while transactions are under way
 *
 * The first byte says how they come: bit 0 on a stream, bit 1 while a request of ours is pending
 * (every "z9hG4bK!" becomes its branch), bit 2 while a request of the peer's is, bit 3 in pieces.
 * Afterwards time runs on until every transaction must have ended.
 */
#include "fuzz/target.h"
#include "sip/stack.h"
#include "sip/wire_sim.h"

#define OURS "10.0.0.1:5060"
#define PEER "10.0.0.2:5060"

static char branch[64];

static void on_raw(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		   void *arg)
{
	const char *at = memmem(text, len, "z9hG4bK", 7);

	(void)transport;
	(void)from;
	(void)arg;
	if (at && len > 8 && memcmp(text, "SIP/2.0", 7) != 0)
		snprintf(branch, sizeof(branch), "%.31s", at);
}

static void on_response(struct request *req, const struct inmsg *in, void *arg)
{
	(void)req;
	(void)in;
	(void)arg;
}

static void on_end(struct strans *st, enum trans_end end, void *arg)
{
	(void)st;
	(void)end;
	(void)arg;
}

static void on_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	(void)cancel;
	(void)arg;
	strans_answer(st, 487, NULL);
}

static const struct strans_handlers server = { .on_cancel = on_cancel, .on_end = on_end };
static const struct request_handlers client = { .on_response = on_response };

static void on_request(const struct inmsg *in, void *arg)
{
	struct outmsg *reply;
	struct strans *st;

	(void)arg;
	if (strans_new(in, &server, NULL, &st) != 0)
		return;
	(void)inmsg_has_token(in->msg, SIP_HDR_SUPPORTED, "timer");
	(void)inmsg_header(in->msg, SIP_HDR_CONTACT);
	strans_answer(st, 180, NULL);
	reply = outmsg_reply(in, inmsg_is(in->msg, "INVITE") ? 486 : 200, NULL, NULL, true);
	outmsg_body(reply, "text/plain", "x", 1);
	if (strans_reply(st, reply) < 0)
		abort(); /* whatever came, what we make of it is well formed */
	mem_deref(reply);
}

static bool on_dialog(const struct inmsg *in, void *arg)
{
	(void)arg;
	if (!inmsg_is(in->msg, "ACK"))
		stack_reply(in, 200, NULL);
	return true;
}

static struct request *ask(struct stack *stack)
{
	struct outmsg *msg = outmsg_request_str("INVITE", "sip:them@10.0.0.2");
	struct request *req;

	outmsg_ids(msg, "<sip:us@10.0.0.1>;tag=ours", "<sip:them@10.0.0.2>", "fuzz", 7);
	request_send(stack, &(struct request_args){ .msg = msg, .handlers = &client }, &req);
	mem_deref(msg);
	return req;
}

static void feed(struct sim_net *net, enum sip_transp transport, bool pieces, const uint8_t *data,
		 size_t size)
{
	size_t step = pieces ? size / 7 + 1 : size;

	for (size_t at = 0; at < size; at += step)
		sim_raw_send(net, transport, PEER, OURS, data + at,
			     size - at < step ? size - at : step);
}

/* The branch's stand-in becomes the branch. */
static uint8_t *filled(const uint8_t *data, size_t size, size_t *ret_size)
{
	uint8_t *out = xzalloc(size * 4 + 64), *to = out;
	size_t len = strlen(branch);

	for (size_t i = 0; i < size;) {
		if (len && size - i >= 8 && memcmp(data + i, "z9hG4bK!", 8) == 0) {
			memcpy(to, branch, len);
			to += len;
			i += 8;
		} else {
			*to++ = data[i++];
		}
	}
	*ret_size = (size_t)(to - out);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char pending[] =
		"INVITE sip:us@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKp\r\n"
		"From: <sip:t@t>;tag=1\r\nTo: <sip:u@u>\r\nCall-ID: p\r\nCSeq: 1 INVITE\r\n\r\n";
	struct request *req = NULL;
	struct resolver *resolver;
	struct sim_net *net;
	struct wheel *wheel;
	struct stack *stack;
	struct wire *wire;
	uint8_t *bytes;
	uint8_t how;

	if (size < 2)
		return 0;
	how = *data++;
	size--;
	branch[0] = '\0';
	wheel = wheel_new_virtual(1000000, 1700000000000000);
	net = sim_net_new(wheel, 1);
	wire = wire_sim_new(net, OURS, NULL);
	resolver = resolver_new(&(struct resolver_setup){ .wheel = wheel, .wire = wire });
	stack = stack_new(&(struct stack_setup){
		.wheel = wheel, .wire = wire, .resolver = resolver, .software = "F" });
	stack_on_method(stack, "INVITE", on_request, NULL);
	stack_on_method(stack, "OPTIONS", on_request, NULL);
	stack_on_method(stack, "REGISTER", on_request, NULL);
	stack_set_dialog_hook(stack, on_dialog, NULL);
	sim_raw_bind(net, PEER, on_raw, NULL);

	if (how & 2)
		req = ask(stack);
	if (how & 4)
		feed(net, SIP_TRANSP_UDP, false, (const uint8_t *)pending, sizeof(pending) - 1);
	wheel_advance_to(wheel, 1000010);
	bytes = filled(data, size, &size);
	feed(net, how & 1 ? SIP_TRANSP_TCP : SIP_TRANSP_UDP, how & 8, bytes, size);
	wheel_advance_to(wheel, 1000020);
	if (how & 16)
		request_cancel(req ? req : (req = ask(stack)), "SIP;cause=200");
	wheel_advance_to(wheel, 1200000);
	/* A provisional may keep an INVITE of ours for as long as the caller likes; nothing else
	 * stays.
	 */
	if (req)
		request_cancel(req, NULL);
	wheel_advance_to(wheel, 1400000);
	if (stack_live(stack))
		abort();

	request_free(req);
	free(bytes);
	stack_free(stack);
	resolver_free(resolver);
	wire_free(wire);
	sim_net_free(net);
	wheel_free(wheel);
	return 0;
}
