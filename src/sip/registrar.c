#include "sip/registrar_private.h"

#include "base/metric.h"

#include <stdio.h>

METRIC_GAUGE(metric_bindings, "jackfield_sip_device_bindings", "Contacts of devices registered now",
	     NULL);

#define CONTACT_MAX 512
#define KEEPALIVE_S 25

struct registrar *registrar_new(struct stack *stack, const struct registrar_setup *setup)
{
	struct registrar *registrar = xzalloc(sizeof(*registrar));

	registrar->stack = stack;
	registrar->wheel = stack_wheel(stack);
	registrar->setup = *setup;
	registrar->realm = xstrdup(setup->realm);
	registrar->digest = digest_server_new(registrar->wheel);
	registrar->failures = xzalloc_array(REGISTRAR_FAILURES, sizeof(*registrar->failures));
	if (!registrar->setup.expires_min)
		registrar->setup.expires_min = 60;
	if (!registrar->setup.expires_max)
		registrar->setup.expires_max = 3600;
	if (!registrar->setup.expires_nat_max)
		registrar->setup.expires_nat_max = 120;
	if (!registrar->setup.max_failures)
		registrar->setup.max_failures = 10;
	return registrar;
}

static struct device *device_find(const struct registrar *registrar, struct id id)
{
	for (struct hnode *node = hmap_first(&registrar->devices, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct device *device = container_of_(node, struct device, node);

		if (id_eq(device->id, id))
			return device;
	}
	return NULL;
}

uint64_t registrar_source_key(const struct sa *addr)
{
	uint8_t bytes[18] = { 0 };
	uint16_t port = sa_port(addr);

	if (sa_af(addr) == AF_INET6) {
		sa_in6(addr, bytes);
	} else {
		uint32_t v4 = sa_in(addr);

		memcpy(bytes, &v4, sizeof(v4));
	}
	memcpy(bytes + 16, &port, sizeof(port));
	return hkey_bytes(bytes, sizeof(bytes));
}

/* ---- bindings ---- */

static void binding_export(const struct binding *binding, struct registrar_binding *ret)
{
	*ret = (struct registrar_binding){
		.device = binding->device->id,
		.contact = binding->contact,
		.path = binding->path,
		.user_agent = binding->user_agent,
		.flow = binding->flow,
		.source = &binding->source,
		.expires_us = binding->expires_us,
		.ref = binding->ref,
	};
}

static void report(struct registrar *registrar, struct id id, const struct device *device)
{
	struct registrar_binding newest;
	bool any = device && device->bindings;

	if (any)
		binding_export(device->bindings, &newest);
	if (registrar->setup.handlers.on_bindings)
		registrar->setup.handlers.on_bindings(id, device ? device->count : 0,
						      any ? &newest : NULL, registrar->setup.arg);
}

static void binding_flow_drop(struct binding *binding)
{
	struct registrar *registrar = binding->device->registrar;

	if (!binding->flow)
		return;
	hmap_del(&registrar->flows, &binding->by_flow);
	flow_watch_stop(&binding->watch);
	binding->flow = flow_unref(binding->flow);
}

static void binding_free(struct binding *binding)
{
	struct device *device = binding->device;
	struct registrar *registrar = device->registrar;
	struct binding **slot = &device->bindings;

	while (*slot != binding)
		slot = &(*slot)->next;
	*slot = binding->next;
	device->count--;
	registrar->bindings--;
	metric_add(&metric_bindings, -1);
	binding_flow_drop(binding);
	hmap_del(&registrar->sources, &binding->by_source);
	wire_untrust(stack_wire(registrar->stack), &binding->source);
	timer_stop(&binding->expiry);
	free(binding->contact);
	free(binding->path);
	free(binding->user_agent);
	free(binding->call_id);
	free(binding);
}

static void device_tidy(struct device *device)
{
	if (device->bindings)
		return;
	hmap_del(&device->registrar->devices, &device->node);
	free(device);
}

/* The binding went by itself. */
static void binding_lost(struct binding *binding)
{
	struct registrar *registrar = binding->device->registrar;
	struct device *device = binding->device;
	struct id id = device->id;

	binding_free(binding);
	report(registrar, id, device);
	device = device_find(registrar, id); /* the listener may have forgotten it */
	if (device)
		device_tidy(device);
}

static void expired(struct timer *timer, void *arg)
{
	(void)timer;
	binding_lost(arg);
}

/* Is the contact's address the one the packets come from? Then it can be called without the flow. */
static bool reachable_without_flow(const struct binding *binding)
{
	struct pl text;
	struct uri uri;
	struct sa addr;

	pl_set_str(&text, binding->contact);
	return !parse_uri(&text, &uri) && !sa_set(&addr, &uri.host, 0) &&
	       sa_cmp(&addr, &binding->source, SA_ADDR);
}

static void flow_closed(struct flow_watch *watch, int errnum, void *arg)
{
	struct binding *binding = arg;

	(void)watch;
	(void)errnum;
	if (reachable_without_flow(binding))
		binding_flow_drop(binding);
	else
		binding_lost(binding);
}

static void binding_flow_set(struct binding *binding, struct flow *flow)
{
	struct registrar *registrar = binding->device->registrar;

	if (binding->flow == flow)
		return;
	binding_flow_drop(binding);
	binding->flow = flow_ref(flow);
	flow_watch_start(&binding->watch, flow, KEEPALIVE_S, flow_closed, binding);
	binding->flow_key = flow_id(flow) * 0x9e3779b97f4a7c15ull;
	hmap_add(&registrar->flows, &binding->by_flow, binding->flow_key);
}

static void binding_source_set(struct binding *binding, const struct sa *source)
{
	struct registrar *registrar = binding->device->registrar;

	if (!sa_cmp(&binding->source, source, SA_ALL)) {
		wire_trust(stack_wire(registrar->stack), source);
		if (sa_isset(&binding->source, SA_ADDR)) {
			hmap_del(&registrar->sources, &binding->by_source);
			wire_untrust(stack_wire(registrar->stack), &binding->source);
		}
		binding->source = *source;
		hmap_add(&registrar->sources, &binding->by_source,
			 registrar_source_key(&binding->source));
	}
}

static struct device *device_take(struct registrar *registrar, const struct registrar_device *known,
				  const char *username)
{
	struct device *device = device_find(registrar, known->id);

	if (device)
		return device;
	device = xzalloc(sizeof(*device));
	device->registrar = registrar;
	device->id = known->id;
	str_copy(device->username, sizeof(device->username), username);
	hmap_add(&registrar->devices, &device->node, id_hash(known->id));
	return device;
}

static struct binding *binding_find(const struct device *device, const struct pl *contact,
				    const struct flow *flow)
{
	for (struct binding *binding = device->bindings; binding; binding = binding->next) {
		/* One connection is one phone, whatever port it names this time. */
		if (!pl_strcmp(contact, binding->contact) ||
		    (flow && flow_is_stream(flow) && binding->flow == flow))
			return binding;
	}
	return NULL;
}

struct registrar *registrar_free(struct registrar *registrar)
{
	struct hnode *node;
	size_t cursor = 0;

	if (!registrar)
		return NULL;
	while ((node = hmap_iter(&registrar->devices, &cursor, NULL))) {
		struct device *device = container_of_(node, struct device, node);

		while (device->bindings)
			binding_free(device->bindings);
		device_tidy(device);
		cursor = 0;
	}
	hmap_fini(&registrar->devices);
	hmap_fini(&registrar->flows);
	hmap_fini(&registrar->sources);
	digest_server_free(registrar->digest);
	free(registrar->failures);
	free(registrar->realm);
	free(registrar);
	return NULL;
}

/* ---- REGISTER ---- */

struct contact_scan {
	struct registrar *registrar;
	const struct inmsg *in;
	struct device *device;
	uint32_t expires_header; /* UINT32_MAX: none */
	bool apply;		 /* second pass */
	bool star, bad, brief, behind;
	unsigned count;
};

static uint32_t contact_expires(const struct contact_scan *scan, const struct sip_addr *addr)
{
	struct pl text;
	uint32_t expires;

	if (parse_param(&addr->params, "expires", &text))
		return inmsg_u32(&text, UINT32_MAX - 1, &expires) ? expires : 3600;
	return scan->expires_header == UINT32_MAX ? 3600 : scan->expires_header;
}

/* The contact's host is not where the packets come from: NAT, whose mapping must be kept warm. */
static bool behind_nat(const struct inmsg *in, const struct sip_addr *addr)
{
	struct sa contact;

	if (flow_is_stream(in->flow))
		return false;
	return sa_set(&contact, &addr->uri.host, 0) || !sa_cmp(&contact, &in->msg->src, SA_ADDR);
}

static struct binding *oldest(const struct device *device)
{
	struct binding *last = device->bindings;

	while (last->next)
		last = last->next;
	return last;
}

static struct binding *binding_new(struct device *device, const struct pl *contact)
{
	struct registrar *registrar = device->registrar;
	struct binding *binding;

	if (device->count >= REGISTRAR_CONTACTS)
		binding_free(
			oldest(device)); /* a phone that comes back with another port each time */
	binding = xzalloc(sizeof(*binding));
	binding->device = device;
	binding->ref = ++registrar->refs;
	binding->contact = xstrndup(contact->p, contact->l);
	timer_init(&binding->expiry, registrar->wheel, expired, binding);
	binding->next = device->bindings;
	device->bindings = binding;
	device->count++;
	registrar->bindings++;
	metric_add(&metric_bindings, 1);
	return binding;
}

static void text_set(char **slot, const struct sip_hdr *hdr, size_t max)
{
	free(*slot);
	*slot = NULL;
	if (hdr && hdr->val.l <= max) {
		*slot = xzalloc(hdr->val.l + 1);
		text_clean(*slot, hdr->val.l + 1, hdr->val.p, hdr->val.l);
	}
}

static void binding_update(struct binding *binding, const struct inmsg *in,
			   const struct sip_addr *addr, uint32_t expires)
{
	struct registrar *registrar = binding->device->registrar;

	if (pl_strcmp(&addr->auri, binding->contact)) {
		free(binding->contact);
		binding->contact = xstrndup(addr->auri.p, addr->auri.l);
	}
	free(binding->call_id);
	binding->call_id = xstrndup(in->msg->callid.p, in->msg->callid.l);
	binding->cseq = in->msg->cseq.num;
	text_set(&binding->path, inmsg_header(in->msg, SIP_HDR_PATH), CONTACT_MAX);
	text_set(&binding->user_agent, inmsg_header(in->msg, SIP_HDR_USER_AGENT), 128);
	if (!binding->user_agent)
		binding->user_agent = xstrdup("");
	binding_flow_set(binding, in->flow);
	binding_source_set(binding, &in->msg->src);
	binding->expires_us = wheel_wall_us(registrar->wheel) + (int64_t)expires * 1000000;
	/* a little grace, for the refresh that is on its way */
	timer_start(&binding->expiry, (uint64_t)expires * 1000 + 2000);
}

static void contact_apply(struct contact_scan *scan, const struct sip_addr *addr, uint32_t expires)
{
	struct registrar *registrar = scan->registrar;
	struct binding *binding = binding_find(scan->device, &addr->auri, scan->in->flow);
	unsigned most = behind_nat(scan->in, addr) ? registrar->setup.expires_nat_max
						   : registrar->setup.expires_max;

	if (!expires) {
		if (binding)
			binding_free(binding);
		return;
	}
	if (!binding)
		binding = binding_new(scan->device, &addr->auri);
	binding_update(binding, scan->in, addr, expires < most ? expires : most);
}

static bool contact_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct contact_scan *scan = arg;
	struct binding *binding;
	struct sip_addr addr;
	uint32_t expires;

	if (++scan->count > REGISTRAR_CONTACTS) {
		scan->bad = true;
		return true;
	}
	if (!pl_strcmp(&hdr->val, "*")) {
		scan->star = true;
		return false;
	}
	if (parse_addr(&hdr->val, &addr) || addr.auri.l > CONTACT_MAX ||
	    !pl_isset(&addr.uri.host) ||
	    (pl_strcasecmp(&addr.uri.scheme, "sip") && pl_strcasecmp(&addr.uri.scheme, "sips"))) {
		scan->bad = true;
		return true;
	}
	expires = contact_expires(scan, &addr);
	if (scan->apply) {
		contact_apply(scan, &addr, expires);
		return false;
	}
	if (expires && expires < scan->registrar->setup.expires_min)
		scan->brief = true;
	binding = binding_find(scan->device, &addr.auri, NULL);
	if (binding && !pl_strcmp(&msg->callid, binding->call_id) && msg->cseq.num <= binding->cseq)
		scan->behind = true; /* 10.3 step 7 */
	return false;
}

static void contacts_walk(struct contact_scan *scan)
{
	scan->count = 0;
	(void)inmsg_each(scan->in->msg, true, SIP_HDR_CONTACT, contact_header, scan);
}

static void quiet_cancel(struct strans *st, const struct inmsg *cancel, void *arg)
{
	(void)st;
	(void)cancel;
	(void)arg;
}

static void quiet_end(struct strans *st, enum trans_end end, void *arg)
{
	(void)st;
	(void)end;
	(void)arg;
}

static void reply_list(struct registrar *registrar, struct strans *st, const struct device *device)
{
	struct outmsg *reply = outmsg_reply(strans_request(st), 200, NULL, NULL, false);
	int64_t now = wheel_wall_us(registrar->wheel);

	for (const struct binding *binding = device->bindings; binding; binding = binding->next) {
		int64_t left = (binding->expires_us - now) / 1000000;

		outmsg_header(reply, "Contact", "<%s>;expires=%lld", binding->contact,
			      (long long)(left > 0 ? left : 0));
		if (binding->path &&
		    inmsg_has_token(strans_request(st)->msg, SIP_HDR_SUPPORTED, "path"))
			outmsg_header(reply, "Path", "%s", binding->path);
	}
	if (strans_reply(st, reply))
		strans_answer(st, 500, NULL);
	mem_deref(reply);
}

static uint16_t scan_verdict(const struct contact_scan *scan)
{
	if (scan->bad || (scan->star && (scan->count != 1 || scan->expires_header)))
		return 400;
	if (scan->brief)
		return 423;
	return scan->behind ? 500 : 0;
}

static void reply_refused(struct registrar *registrar, struct strans *st, uint16_t code)
{
	struct outmsg *reply = outmsg_reply(strans_request(st), code, NULL, NULL, false);

	if (code == 423)
		outmsg_header(reply, "Min-Expires", "%u", registrar->setup.expires_min);
	(void)!strans_reply(st, reply);
	mem_deref(reply);
}

static void register_accept(struct registrar *registrar, const struct inmsg *in,
			    const struct registrar_device *known, const char *username)
{
	static const struct strans_handlers quiet = { quiet_cancel, quiet_end };
	struct contact_scan scan = { .registrar = registrar,
				     .in = in,
				     .expires_header = UINT32_MAX };
	struct device *device;
	struct strans *st;
	uint16_t code;

	if (strans_new(in, &quiet, NULL, &st))
		return;
	if (pl_isset(&in->msg->expires) &&
	    !inmsg_u32(&in->msg->expires, UINT32_MAX - 1, &scan.expires_header))
		scan.expires_header = 3600;
	device = device_take(registrar, known, username);
	scan.device = device;
	contacts_walk(&scan);
	code = scan_verdict(&scan);
	if (code) {
		reply_refused(registrar, st, code);
		device_tidy(device);
		return;
	}
	if (scan.star) {
		while (device->bindings)
			binding_free(device->bindings);
	} else if (scan.count) {
		scan.apply = true;
		contacts_walk(&scan);
	}
	reply_list(registrar, st, device);
	if (scan.count)
		report(registrar, known->id, device);
	device = device_find(registrar, known->id);
	if (device)
		device_tidy(device);
}

void registrar_receive(struct registrar *registrar, const struct inmsg *in)
{
	const struct pl *name = &in->msg->to.uri.user;
	auto_(free) char *username = NULL;
	struct registrar_device known, named;

	if (registrar_verify(registrar, in, name, false, &known))
		return;
	/* the address of record must be the authenticated one's */
	if (!registrar_lookup(registrar, name, &named) || !id_eq(named.id, known.id)) {
		stack_reply(in, 403, NULL);
		return;
	}
	username = xstrndup(name->p, name->l);
	register_accept(registrar, in, &known, username);
}

/* ---- after a restart ---- */

/* Return: false when nothing leads to it any more. */
static bool binding_path_back(struct binding *binding, enum sip_transp transport)
{
	struct wire *wire = stack_wire(binding->device->registrar->stack);
	const struct target target = { .transport = transport, .addr = binding->source };
	struct flow *flow;

	/* A connection went with the process that held it. */
	if (transport != SIP_TRANSP_UDP || wire_open(wire, &target, NULL, &flow))
		return reachable_without_flow(binding);
	binding_flow_set(binding, flow);
	flow_unref(flow);
	return true;
}

bool registrar_restore(struct registrar *registrar, const char *username, enum sip_transp transport,
		       const struct registrar_binding *old)
{
	int64_t left_ms = (old->expires_us - wheel_wall_us(registrar->wheel)) / 1000;
	struct registrar_device known = { .id = old->device };
	struct binding *binding;
	struct device *device;
	struct pl contact;
	struct uri uri;
	bool fit;

	pl_set_str(&contact, old->contact);
	if (left_ms <= 0 || left_ms > (int64_t)registrar->setup.expires_max * 1000 ||
	    parse_uri(&contact, &uri) || !sa_isset(old->source, SA_ALL))
		return false;
	device = device_take(registrar, &known, username);
	fit = device->count < REGISTRAR_CONTACTS && !binding_find(device, &contact, NULL);
	if (fit) {
		binding = binding_new(device, &contact);
		binding->call_id = xstrdup("");
		binding->user_agent = xstrdup(old->user_agent);
		binding->path = old->path ? xstrdup(old->path) : NULL;
		binding->expires_us = old->expires_us;
		timer_start(&binding->expiry, (uint64_t)left_ms + 2000);
		binding_source_set(binding, old->source);
		fit = binding_path_back(binding, transport);
		if (!fit)
			binding_free(binding);
	}
	if (fit)
		report(registrar, old->device, device);
	device = device_find(registrar, old->device);
	if (device)
		device_tidy(device);
	return fit;
}

/* ---- reading ---- */

unsigned registrar_bindings(struct registrar *registrar, struct id device,
			    struct registrar_binding *ret, unsigned max)
{
	struct device *found = device_find(registrar, device);
	unsigned count = 0;

	for (struct binding *binding = found ? found->bindings : NULL; binding && count < max;
	     binding = binding->next)
		binding_export(binding, &ret[count++]);
	return count;
}

void registrar_forget(struct registrar *registrar, struct id device)
{
	struct device *found = device_find(registrar, device);

	if (!found)
		return;
	while (found->bindings)
		binding_free(found->bindings);
	device_tidy(found);
	report(registrar, device, NULL);
}

size_t registrar_count(const struct registrar *registrar)
{
	return registrar->bindings;
}

const char *registrar_realm(const struct registrar *registrar)
{
	return registrar->realm;
}
