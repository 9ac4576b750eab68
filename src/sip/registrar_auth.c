/* Who a device is: digest, wrong passwords, and the connections that need no question. */
#include "sip/registrar_private.h"

#include "base/metric.h"

METRIC_COUNTER(metric_wrong, "jackfield_sip_device_auth_failures_total",
	       "Wrong passwords of devices", NULL);
METRIC_COUNTER(metric_throttled, "jackfield_sip_device_throttled_total",
	       "Device requests dropped after wrong passwords", NULL);

#define FAILURE_WINDOW_MS 60000
#define SOURCE_FAILURES                                                                            \
	4 /* so many names' worth of wrong passwords from one source, whatever the names */

/* ---- wrong passwords ---- */

static struct failures *failures_slot(struct registrar *registrar, uint64_t key)
{
	struct failures *slot = &registrar->failures[key % REGISTRAR_FAILURES];
	uint64_t now = wheel_now_ms(registrar->wheel);

	if (slot->key != key || now - slot->since_ms >= FAILURE_WINDOW_MS)
		*slot = (struct failures){ .key = key, .since_ms = now };
	return slot;
}

static uint64_t addr_key(const struct sa *addr)
{
	struct sa plain = *addr;

	sa_set_port(&plain, 0);
	return registrar_source_key(&plain);
}

static bool on_own_flow(const struct registrar *registrar, const struct inmsg *in,
			const struct pl *username)
{
	struct hnode *node =
		hmap_first(&registrar->flows, flow_id(in->flow) * 0x9e3779b97f4a7c15ull);

	for (; node; node = hmap_same(node)) {
		struct binding *binding = container_of_(node, struct binding, by_flow);

		if (binding->flow == in->flow &&
		    (!username || !pl_strcmp(username, binding->device->username)))
			return true;
	}
	return false;
}

/* One name tried from one source. A name alone is never locked: whoever knows it could keep its phone out. */
static uint64_t guess_key(const struct inmsg *in, const struct pl *username)
{
	return addr_key(&in->msg->src) * 31 ^ hkey_bytes(username->p, username->l);
}

static bool throttled(struct registrar *registrar, const struct inmsg *in,
		      const struct pl *username)
{
	unsigned max = registrar->setup.max_failures;

	if (on_own_flow(registrar, in, username))
		return false; /* a binding that works is never locked out by somebody else's guesses */
	if (failures_slot(registrar, addr_key(&in->msg->src))->count < SOURCE_FAILURES * max &&
	    failures_slot(registrar, guess_key(in, username))->count < max)
		return false;
	metric_add(&metric_throttled, 1);
	return true;
}

static void failure_count(struct registrar *registrar, const struct inmsg *in,
			  const struct pl *username)
{
	metric_add(&metric_wrong, 1);
	failures_slot(registrar, addr_key(&in->msg->src))->count++;
	failures_slot(registrar, guess_key(in, username))->count++;
	wire_penalize(stack_wire(registrar->stack), &in->msg->src, 5);
	log_rated(LOG_WARN_, "device with a wrong password", LOG_PII("source", inmsg_source(in)));
}

/* ---- authentication ---- */

bool registrar_lookup(struct registrar *registrar, const struct pl *username,
		      struct registrar_device *ret)
{
	char name[REGISTRAR_USER_MAX];

	if (!pl_isset(username) || username->l >= sizeof(name))
		return false;
	memcpy(name, username->p, username->l);
	name[username->l] = 0;
	return registrar->setup.handlers.lookup &&
	       registrar->setup.handlers.lookup(name, ret, registrar->setup.arg);
}

/* Phones that fail a request outright when its first challenge has an algorithm they do not know. */
static enum digest_offer offer_for(const struct sip_msg *msg)
{
	static const char *const md5_only[] = { "baresip v" };
	const struct sip_hdr *agent = inmsg_header(msg, SIP_HDR_USER_AGENT);

	for (size_t i = 0; agent && i < ARRAY_LEN(md5_only); i++) {
		size_t len = strlen(md5_only[i]);

		if (agent->val.l >= len && !strncasecmp(agent->val.p, md5_only[i], len))
			return DIGEST_OFFER_MD5;
	}
	return DIGEST_OFFER_BOTH;
}

static void challenge(struct registrar *registrar, const struct inmsg *in, bool proxy, bool stale)
{
	struct outmsg *reply = outmsg_reply(in, proxy ? 407 : 401, NULL, NULL, false);
	auto_(buf_fini) struct buf lines = BUF_MAX(2048);

	digest_server_challenge(registrar->digest, registrar->realm, proxy, stale,
				offer_for(in->msg), &lines);
	outmsg_add_lines(reply, lines.data);
	stack_reply_msg(in, reply);
	mem_deref(reply);
}

int registrar_verify(struct registrar *registrar, const struct inmsg *in, const struct pl *name,
		     bool proxy, struct registrar_device *ret_device)
{
	struct registrar_device device;
	struct digest_secret secret = { .ha1_md5 = device.ha1_md5,
					.ha1_sha256 = device.ha1_sha256 };
	struct digest_claim claim;
	bool known;
	int r = digest_server_read(in->msg, registrar->realm, proxy, &claim);

	if (throttled(registrar, in, r ? name : &claim.params.username))
		return REGISTRAR_E_ANSWERED;
	if (r == DIGEST_E_MALFORMED) {
		stack_reply(in, 400, "Malformed Credentials");
		return REGISTRAR_E_ANSWERED;
	}
	known = registrar_lookup(registrar, r ? name : &claim.params.username, &device);
	if (r) {
		if (!known)
			return REGISTRAR_E_STRANGER;
		challenge(registrar, in, proxy, false);
		return REGISTRAR_E_ANSWERED;
	}
	if (known && !device.ha1_md5[0])
		secret.ha1_md5 = NULL;
	if (known && !device.ha1_sha256[0])
		secret.ha1_sha256 = NULL;
	r = digest_server_check(registrar->digest, in->msg, &claim, known ? &secret : NULL);
	if (r == DIGEST_E_STALE) {
		challenge(registrar, in, proxy, true);
		return REGISTRAR_E_ANSWERED;
	}
	if (r) {
		failure_count(registrar, in, &claim.params.username);
		stack_reply(in, 403, NULL);
		return REGISTRAR_E_ANSWERED;
	}
	*ret_device = device;
	return 0;
}

static struct device *device_on_flow(const struct registrar *registrar, const struct inmsg *in)
{
	struct hnode *node =
		hmap_first(&registrar->flows, flow_id(in->flow) * 0x9e3779b97f4a7c15ull);

	for (; node; node = hmap_same(node)) {
		struct binding *binding = container_of_(node, struct binding, by_flow);

		if (binding->flow == in->flow &&
		    !pl_strcmp(&in->msg->from.uri.user, binding->device->username))
			return binding->device;
	}
	return NULL;
}

int registrar_authenticate(struct registrar *registrar, const struct inmsg *in,
			   struct id *ret_device)
{
	struct registrar_device known;
	struct device *device;
	int r;

	/* A connection that registered is its device's. A datagram's source can be forged: it is always asked. */
	if (flow_is_stream(in->flow)) {
		device = device_on_flow(registrar, in);
		if (device) {
			*ret_device = device->id;
			return 0;
		}
	}
	r = registrar_verify(registrar, in, &in->msg->from.uri.user, true, &known);
	if (!r)
		*ret_device = known.id;
	return r;
}

bool registrar_knows(const struct registrar *registrar, const struct inmsg *in)
{
	struct hnode *node;

	if (on_own_flow(registrar, in, NULL))
		return true;
	node = hmap_first(&registrar->sources, registrar_source_key(&in->msg->src));
	for (; node; node = hmap_same(node)) {
		if (sa_cmp(&container_of_(node, struct binding, by_source)->source, &in->msg->src,
			   SA_ALL))
			return true;
	}
	return false;
}

bool registrar_may_be_device(const struct registrar *registrar, const struct inmsg *in)
{
	struct registrar_device device;
	struct registrar *self = (struct registrar *)(uintptr_t)registrar;

	if (inmsg_is(in->msg, "REGISTER"))
		return registrar_lookup(self, &in->msg->to.uri.user, &device);
	return inmsg_is(in->msg, "INVITE") &&
	       registrar_lookup(self, &in->msg->from.uri.user, &device);
}
