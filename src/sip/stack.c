/* sip/stack.c - from bytes to whoever answers for them */
#include "sip/private.h"

#include <strings.h>

#define MAX_HEADER_LINES 256

METRIC_COUNTER(dropped_undecoded, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"undecodable\"");
METRIC_COUNTER(dropped_stray, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"stray_response\"");
METRIC_COUNTER(dropped_unwanted, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"unwanted\"");
METRIC_COUNTER(dropped_unsendable, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"no_reply_path\"");
METRIC_COUNTER(refused, "jackfield_sip_refused_total", "Requests refused without state", NULL);

struct method {
	struct hnode node;
	const char *name;
	stack_request_fn *fn;
	void *arg;
};

static void stack_receive(struct flow *flow, struct mbuf *mb, void *arg);

static void reaper_fire(struct timer *timer, void *arg)
{
	struct stack *stack = arg;
	struct trans_grave *grave;

	(void)timer;
	while ((grave = stack->graves)) {
		stack->graves = grave->next;
		grave->free(grave);
	}
}

void stack_bury(struct stack *stack, struct trans_grave *grave)
{
	grave->next = stack->graves;
	stack->graves = grave;
	if (!timer_running(&stack->reaper))
		timer_start(&stack->reaper, 0);
}

struct stack *stack_new(const struct stack_setup *setup)
{
	struct stack *stack = xzalloc(sizeof(*stack));

	stack->wheel = setup->wheel;
	stack->wire = setup->wire;
	stack->resolver = setup->resolver;
	stack->software = xstrdup(setup->software);
	stack->max_transactions = setup->max_transactions ? setup->max_transactions : 200000;
	stack->udp_max = setup->udp_max ? setup->udp_max : 1300;
	hmap_init(&stack->clients);
	hmap_init(&stack->servers);
	hmap_init(&stack->merges);
	hmap_init(&stack->methods);
	timer_init(&stack->reaper, stack->wheel, reaper_fire, stack);
	str_copy(stack->allow, sizeof(stack->allow), "ACK, CANCEL");
	wire_set_receiver(stack->wire, stack_receive, stack);
	return stack;
}

static struct method *method_find(const struct stack *stack, const struct pl *name)
{
	struct hnode *node = hmap_first(&stack->methods, hkey_bytes(name->p, name->l));

	for (; node; node = hmap_same(node)) {
		struct method *method = container_of_(node, struct method, node);

		if (pl_is(name, method->name))
			return method;
	}
	return NULL;
}

struct stack *stack_free(struct stack *stack)
{
	size_t cursor;
	struct hnode *node;

	if (!stack)
		return NULL;
	wire_set_receiver(stack->wire, NULL, NULL);
	request_end_all(stack);
	ctrans_end_all(stack);
	strans_end_all(stack);
	timer_stop(&stack->reaper);
	reaper_fire(&stack->reaper, stack);
	for (cursor = 0; (node = hmap_iter(&stack->methods, &cursor, NULL)); cursor = 0) {
		hmap_del(&stack->methods, node);
		free(container_of_(node, struct method, node));
	}
	hmap_fini(&stack->methods);
	hmap_fini(&stack->clients);
	hmap_fini(&stack->servers);
	hmap_fini(&stack->merges);
	free(stack->software);
	free(stack);
	return NULL;
}

struct wheel *stack_wheel(const struct stack *stack)
{
	return stack->wheel;
}

struct wire *stack_wire(const struct stack *stack)
{
	return stack->wire;
}

struct resolver *stack_resolver(const struct stack *stack)
{
	return stack->resolver;
}

const char *stack_software(const struct stack *stack)
{
	return stack->software;
}

size_t stack_live(const struct stack *stack)
{
	return stack->clients.count + stack->servers.count;
}

void stack_set_dialog_hook(struct stack *stack, stack_dialog_fn *fn, void *arg)
{
	stack->dialog = fn;
	stack->dialog_arg = arg;
}

void stack_set_admit_hook(struct stack *stack, stack_admit_fn *fn, void *arg)
{
	stack->admit = fn;
	stack->admit_arg = arg;
}

void stack_set_stray_2xx_hook(struct stack *stack, void (*fn)(const struct inmsg *in, void *arg),
			      void *arg)
{
	stack->stray_2xx = fn;
	stack->stray_2xx_arg = arg;
}

/* "a, b, c": is `item` in it? */
static bool list_has(const char *list, const char *item, size_t len)
{
	for (const char *p = list; *p; p += *p == ',' ? 2 : 0) {
		size_t word = strcspn(p, ",");

		if (word == len && strncasecmp(p, item, len) == 0)
			return true;
		p += word;
	}
	return false;
}

static void list_put(char *list, size_t size, const char *item)
{
	size_t len = strlen(list);

	if (list_has(list, item, strlen(item)))
		return;
	bug_on(len + strlen(item) + 3 > size);
	snprintf(list + len, size - len, "%s%s", len ? ", " : "", item);
}

void stack_allow(struct stack *stack, const char *method)
{
	list_put(stack->allow, sizeof(stack->allow), method);
}

const char *stack_allowed(const struct stack *stack)
{
	return stack->allow;
}

void stack_support(struct stack *stack, const char *option_tag)
{
	list_put(stack->support, sizeof(stack->support), option_tag);
}

const char *stack_supported(const struct stack *stack)
{
	return stack->support;
}

void stack_on_method(struct stack *stack, const char *method, stack_request_fn *fn, void *arg)
{
	struct pl name;
	struct method *entry;

	pl_set_str(&name, method);
	entry = method_find(stack, &name);
	if (!entry) {
		entry = xzalloc(sizeof(*entry));
		entry->name = method;
		hmap_add(&stack->methods, &entry->node, hkey_bytes(name.p, name.l));
	}
	entry->fn = fn;
	entry->arg = arg;
	if (fn)
		stack_allow(stack, method);
}

/* ---- answers without state ---- */

/* RFC 3261 18.2.2 and RFC 3581: on the stream it came by; else to the packet's source address, at
 * the source's port if asked by rport and at the port of sent-by otherwise. A maddr is not
 * followed: it would let anyone point our answers at anybody.
 */
struct flow *reply_flow(const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	struct target target = { .transport = SIP_TRANSP_UDP };
	struct flow *flow;
	uint16_t port;

	if (flow_is_stream(in->flow))
		return flow_is_open(in->flow) ? flow_ref(in->flow) : reply_flow_again(in);
	port = sa_port(&msg->via.addr) ? sa_port(&msg->via.addr) : SIP_PORT;
	if (parse_has_param(&msg->via.params, "rport") || port == sa_port(&msg->src))
		return flow_ref(in->flow);
	target.addr = msg->src;
	sa_set_port(&target.addr, port);
	return wire_open(flow_wire(in->flow), &target, in->flow, &flow) == 0 ? flow : NULL;
}

struct flow *reply_flow_again(const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	struct target target = { .transport = flow_transport(in->flow), .addr = msg->src };
	struct flow *flow;
	uint16_t port = sa_port(&msg->via.addr);

	if (target.transport > SIP_TRANSP_TCP)
		return NULL; /* a TLS peer would have to prove a name that we do not know; WebSocket cannot be dialled */
	sa_set_port(&target.addr, port ? port : SIP_PORT);
	return wire_open(flow_wire(in->flow), &target, in->flow, &flow) == 0 ? flow : NULL;
}

void stack_reply_msg(const struct inmsg *in, struct outmsg *reply)
{
	auto_(flow_unref) struct flow *flow = NULL;
	struct mbuf *mb = outmsg_response_bytes(reply);

	bug_on(inmsg_is(in->msg, "ACK"));
	flow = mb ? reply_flow(in) : NULL;
	if (!flow || flow_send(flow, mb))
		metric_add(&dropped_unsendable, 1);
	mem_deref(mb);
}

void stack_reply(const struct inmsg *in, uint16_t code, const char *reason)
{
	struct outmsg *reply = outmsg_reply(in, code, reason, NULL, false);

	stack_reply_msg(in, reply);
	mem_deref(reply);
}

static void refuse(const struct inmsg *in, uint16_t code, const char *reason, const char *header,
		   const char *value)
{
	struct outmsg *reply;

	metric_add(&refused, 1);
	if (inmsg_is(in->msg, "ACK"))
		return;
	reply = outmsg_reply(in, code, reason, NULL, false);
	if (header)
		outmsg_header(reply, header, "%s", value);
	stack_reply_msg(in, reply);
	mem_deref(reply);
}

/* ---- requests ---- */

struct require {
	const struct stack *stack;
	char unsupported[128];
};

static bool require_each(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct require *require = arg;
	char tag[40];

	(void)msg;
	if (!pl_is_nocase(&hdr->name, "Require") || !hdr->val.l ||
	    list_has(require->stack->support, hdr->val.p, hdr->val.l))
		return false;
	if (pl_strcpy(&hdr->val, tag, sizeof(tag)) == 0 &&
	    strlen(require->unsupported) + strlen(tag) + 3 < 128)
		list_put(require->unsupported, sizeof(require->unsupported), tag);
	else if (!require->unsupported[0])
		list_put(require->unsupported, sizeof(require->unsupported), "?");
	return false;
}

/* 8.2.2.3. Return: false when it was refused. */
static bool require_fulfilled(const struct inmsg *in)
{
	struct require require = { .stack = in->stack };

	inmsg_each(in->msg, true, SIP_HDR_REQUIRE, require_each, &require);
	if (!require.unsupported[0])
		return true;
	refuse(in, 420, NULL, "Unsupported", require.unsupported);
	return false;
}

/* We pass calls on, so a request that may not travel further ends here (RFC 7332). */
static bool hops_left(const struct inmsg *in)
{
	uint32_t left;

	if (!inmsg_u32(&in->msg->maxfwd, 255, &left) || left > 0)
		return true;
	return !inmsg_is(in->msg, "INVITE") && !inmsg_is(in->msg, "SUBSCRIBE") &&
	       !inmsg_is(in->msg, "REFER") && !inmsg_is(in->msg, "MESSAGE");
}

static void request_outside_dialog(struct stack *stack, const struct inmsg *in)
{
	struct method *method;

	if (stack->admit && !stack->admit(in, stack->admit_arg)) {
		metric_add(&dropped_unwanted, 1);
		return;
	}
	method = method_find(stack, &in->msg->met);
	if (!method || !method->fn) {
		/* 481 for what only a dialog could have, 405 for what we do not know at all */
		char name[32];
		bool known = pl_strcpy(&in->msg->met, name, sizeof(name)) == 0 &&
			     list_has(stack->allow, name, strlen(name));

		refuse(in, known ? 481 : 405, NULL, known ? NULL : "Allow", stack->allow);
		return;
	}
	if (!hops_left(in)) {
		refuse(in, 483, NULL, NULL, NULL);
		return;
	}
	if (require_fulfilled(in))
		method->fn(in, method->arg);
}

static void request_receive(struct stack *stack, const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;

	if (strans_receive(stack, in))
		return;
	if (inmsg_is(msg, "ACK")) {
		if (!stack->dialog || !stack->dialog(in, stack->dialog_arg))
			metric_add(&dropped_unwanted, 1);
		return;
	}
	if (inmsg_is(msg, "CANCEL")) {
		strans_receive_cancel(stack, in);
		return;
	}
	if (!msg->to.tag.l) {
		request_outside_dialog(stack, in);
		return;
	}
	if (!require_fulfilled(in))
		return;
	if (!stack->dialog || !stack->dialog(in, stack->dialog_arg))
		refuse(in, 481, NULL, NULL, NULL);
}

static void response_receive(struct stack *stack, const struct inmsg *in)
{
	if (ctrans_receive(stack, in))
		return;
	if (stack->stray_2xx && in->msg->scode / 100 == 2 && inmsg_is(in->msg, "INVITE"))
		stack->stray_2xx(in, stack->stray_2xx_arg);
	else
		metric_add(&dropped_stray, 1);
}

/* ---- bytes ---- */

/* Bounds before libre is let at it. Return: false to drop; *ret_start: where the message begins. */
static bool bytes_are_sane(const uint8_t *data, size_t len, size_t *ret_start)
{
	size_t start = 0, lines = 0;
	const uint8_t *end, *p;

	while (start < len && (data[start] == '\r' || data[start] == '\n'))
		start++;
	*ret_start = start;
	if (len - start < 20)
		return false; /* a keepalive, or nothing */
	if (!((data[start] >= 'A' && data[start] <= 'Z') ||
	      (data[start] >= 'a' && data[start] <= 'z') ||
	      (data[start] >= '!' && data[start] <= '9')))
		return false;
	end = memmem(data + start, len - start, "\r\n\r\n", 4);
	if (!end)
		end = memmem(data + start, len - start, "\n\n", 2);
	if (!end || (size_t)(end - data) - start > FLOW_MAX_HEADERS)
		return false;
	if (memchr(data + start, '\0', (size_t)(end - data) - start))
		return false;
	for (p = data + start; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		if (++lines > MAX_HEADER_LINES)
			return false;
	return true;
}

static void bytes_undecodable(struct flow *flow, const struct mbuf *mb, bool answer)
{
	struct mbuf *reply = answer ? salvage_reply(flow, mbuf_buf(mb), mbuf_get_left(mb)) : NULL;

	metric_add(&dropped_undecoded, 1);
	if (reply && flow_send(flow, reply))
		metric_add(&dropped_unsendable, 1);
	mem_deref(reply);
}

static void message_receive(struct stack *stack, const struct inmsg *in)
{
	const char *reason = NULL;
	uint16_t code = 0;

	switch (inmsg_check(in, &code, &reason)) {
	case CHECK_OK:
		break;
	case CHECK_REPLY:
		if (!inmsg_is(in->msg, "ACK"))
			refuse(in, code, reason, NULL, NULL);
		return;
	case CHECK_DROP:
		return;
	}
	if (in->msg->req)
		request_receive(stack, in);
	else
		response_receive(stack, in);
}

static void stack_receive(struct flow *flow, struct mbuf *mb, void *arg)
{
	struct stack *stack = arg;
	struct sip_msg *msg = NULL;
	size_t start;
	int r;

	if (!bytes_are_sane(mbuf_buf(mb), mbuf_get_left(mb), &start)) {
		if (mbuf_get_left(mb) > start)
			metric_add(&dropped_undecoded, 1);
		return;
	}
	mbuf_advance(mb, (ssize_t)start);
	start = mb->pos;
	r = inmsg_decode(&msg, mb);
	if (r) {
		mb->pos = start;
		bytes_undecodable(flow, mb, r != INMSG_E_MANY);
		return;
	}
	msg->src = *flow_remote(flow);
	msg->dst = *flow_local(flow);
	msg->tp = flow_transport(flow);
	message_receive(stack, &(struct inmsg){ .msg = msg, .flow = flow, .stack = stack });
	mem_deref(msg);
}
