/* fuzz/sip.c - bytes from the network to framing, parsing and transactions, with an hour of timers after it
 *
 * The first byte says how they come: bit 0 a stream, bit 1 in two pieces, bit 2 what our side answers.
 */
#include "sip/stack.h"
#include "sip/wire_sim.h"

#include "fuzz/target.h"

#define OURS "10.0.0.1:5060"
#define PEER "10.0.0.2:5060"

static const struct strans_handlers handlers;

static void on_request(const struct inmsg *in, void *arg)
{
	const bool *refuse = arg;
	struct strans *st;

	if (*refuse)
		stack_reply(in, 486, NULL);
	else if (!strans_new(in, &handlers, NULL, &st))
		strans_answer(st, 200, NULL);
}

static bool on_dialog(const struct inmsg *in, void *arg)
{
	(void)in;
	(void)arg;
	return false;
}

static void on_text(enum sip_transp transport, const struct sa *from, const char *text, size_t len,
		    void *arg)
{
	(void)transport;
	(void)from;
	(void)arg;
	/* What we say is SIP, or the pong of RFC 5626 4.4.1. */
	if (len == 2 && memcmp(text, "\r\n", 2) == 0)
		return;
	if (len < 8 || (memcmp(text, "SIP/2.0 ", 8) != 0 && !memchr(text, ' ', len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wheel *wheel = wheel_new_virtual(1000000, 1700000000000000);
	struct sim_net *net = sim_net_new(wheel, 1);
	struct wire *wire = wire_sim_new(net, OURS, NULL);
	struct resolver *resolver =
		resolver_new(&(struct resolver_setup){ .wheel = wheel, .wire = wire });
	struct stack *stack = stack_new(&(struct stack_setup){
		.wheel = wheel, .wire = wire, .resolver = resolver, .software = "Fuzz" });
	static const char *const methods[] = { "INVITE", "OPTIONS", "REGISTER", "MESSAGE" };
	bool refuse = size && (data[0] & 4);
	enum sip_transp transport = size && (data[0] & 1) ? SIP_TRANSP_TCP : SIP_TRANSP_UDP;
	size_t cut = size && (data[0] & 2) ? size / 2 : 0;

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	sim_raw_bind(net, PEER, on_text, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
		stack_on_method(stack, methods[i], on_request, &refuse);
	stack_set_dialog_hook(stack, on_dialog, NULL);

	if (size) {
		data++;
		size--;
	}
	if (cut && cut < size) {
		sim_raw_send(net, transport, PEER, OURS, data, cut);
		data += cut;
		size -= cut;
	}
	sim_raw_send(net, transport, PEER, OURS, data, size);
	wheel_advance_to(wheel, wheel_now_ms(wheel) + 3600000);
	if (stack_live(stack))
		abort(); /* a transaction that never ends */

	stack_free(stack);
	resolver_free(resolver);
	wire_free(wire);
	sim_net_free(net);
	wheel_free(wheel);
	return 0;
}
