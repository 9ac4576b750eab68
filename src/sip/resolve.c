/* sip/resolve.c - RFC 3263: from a hop to its targets, over what resolve_cache.c holds
 *
 * An answer is computed from what the cache holds, from the start, each time: the computation
 * either ends or names the one record set that it lacks. That is then asked for and the computation
 * run again. So there is no state to carry between the steps of a resolution, and what is cached
 * needs no waiting at all.
 */
#include "sip/resolve_private.h"
#include "sip/parse.h"

#define ROUNDS_MAX 80u /* record sets one answer may take */

struct resolver {
	struct wheel *wheel;
	const struct wire *wire;
	bool no_naptr;
	struct hosts *hosts;
	struct dns_client *dns;
	struct dns_cache *cache;
	struct failing_set failing;
	struct resolve_query *queries;
	bool (*allowed)(const struct sa *addr, void *arg);
	void *allowed_arg;
	void (*fake)(struct resolve_query *query, const struct hop *hop, void *arg);
	void *fake_arg;
};

struct resolve_query {
	struct resolve_query *next, **pprev; /* of the resolver */
	struct dns_waiter waiter;
	struct resolver *resolver;
	struct hop hop;
	bool any_address, answered;
	uint64_t start_ms;
	unsigned rounds;
	struct timer timer;
	enum resolve_outcome outcome;
	struct target *targets; /* a fake's answer */
	unsigned target_count;
	resolve_fn *fn;
	void *arg;
};

/* A computation under way. */
struct plan {
	struct resolver *resolver;
	const struct hop *hop;
	bool any_address;
	uint64_t start_ms;	/* what was learnt since then serves to the end, whatever its TTL */
	struct target *targets; /* of RESOLVE_MAX_TARGETS */
	unsigned count, forbidden;
	enum resolve_outcome outcome; /* should there be no target */
	char need_name[256];
	uint16_t need_type; /* 0: nothing */
};

const char *resolve_outcome_words(enum resolve_outcome outcome)
{
	static const char *const words[] = {
		[RESOLVE_OK] = "Found",
		[RESOLVE_E_NOT_FOUND] = "No such name in DNS",
		[RESOLVE_E_TIMEOUT] = "DNS does not answer",
		[RESOLVE_E_NOT_ALLOWED] = "Private and loopback addresses are not allowed here",
		[RESOLVE_E_BAD] = "Not a server that can be looked up",
	};

	return words[outcome];
}

/* ---- the hop ---- */

static const struct {
	const char *name;
	enum sip_transp transport;
} transport_names[] = {
	{ "udp", SIP_TRANSP_UDP }, { "tcp", SIP_TRANSP_TCP }, { "tls", SIP_TRANSP_TLS },
	{ "ws", SIP_TRANSP_WS },   { "wss", SIP_TRANSP_WSS },
};

static bool transport_parse(const struct pl *text, enum sip_transp *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(transport_names); i++) {
		if (pl_strcasecmp(text, transport_names[i].name) == 0) {
			*ret = transport_names[i].transport;
			return true;
		}
	}
	return false;
}

static bool host_take(struct hop *hop, const struct pl *text)
{
	struct pl host = *text;

	if (host.l > 2 && host.p[0] == '[' && host.p[host.l - 1] == ']') {
		host.p++;
		host.l -= 2;
	}
	if (host.l > 1 && host.p[host.l - 1] == '.')
		host.l--;
	if (!host.l || host.l >= sizeof(hop->host) || memchr(host.p, '\0', host.l))
		return false;
	memcpy(hop->host, host.p, host.l);
	hop->host[host.l] = '\0';
	return true;
}

bool hop_from_uri(const struct uri *uri, struct hop *ret_hop)
{
	struct hop hop = { .port = uri->port, .transport = SIP_TRANSP_NONE };
	struct pl value;

	hop.secure = pl_strcasecmp(&uri->scheme, "sips") == 0;
	if (!hop.secure && pl_strcasecmp(&uri->scheme, "sip") != 0)
		return false;
	if (parse_param(&uri->params, "transport", &value)
		    ? !transport_parse(&value, &hop.transport)
		    : parse_has_param(&uri->params, "transport"))
		return false;
	if (!host_take(&hop, parse_param(&uri->params, "maddr", &value) ? &value : &uri->host))
		return false;
	*ret_hop = hop;
	return true;
}

static bool is_host_name(const char *name)
{
	size_t label = 0, len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c == '.') {
			if (!label)
				return false;
			label = 0;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_') ||
		    ++label > 63)
			return false;
	}
	return len > 0 && len < 254 && label > 0;
}

/* ---- the computation ---- */

/* Return: what is known, or NULL with the plan told what it needs. */
static const struct dns_records *plan_records(struct plan *plan, const char *name, uint16_t type)
{
	const struct dns_records *records =
		dns_cache_get(plan->resolver->cache, name, type, plan->start_ms);

	if (records) {
		if (records->outcome == RESOLVE_E_TIMEOUT)
			plan->outcome = RESOLVE_E_TIMEOUT;
		return records;
	}
	str_copy(plan->need_name, sizeof(plan->need_name), name);
	plan->need_type = type;
	return NULL;
}

static bool plan_has(const struct plan *plan, enum sip_transp transport, int af)
{
	if (transport > SIP_TRANSP_TLS)
		return false;
	return !plan->resolver->wire || wire_has(plan->resolver->wire, transport, af);
}

static void plan_add(struct plan *plan, enum sip_transp transport, const struct sa *addr,
		     uint16_t port)
{
	struct resolver *resolver = plan->resolver;
	struct target target = { .transport = transport,
				 .addr = *addr,
				 .unverified = plan->hop->unverified };

	if (!plan_has(plan, transport, sa_af(addr)) || plan->count == RESOLVE_MAX_TARGETS)
		return;
	if (!plan->any_address && resolver->allowed &&
	    !resolver->allowed(addr, resolver->allowed_arg)) {
		plan->forbidden++;
		return;
	}
	sa_set_port(&target.addr, port				? port
				  : transport == SIP_TRANSP_TLS ? SIP_PORT_TLS
								: SIP_PORT);
	/* RFC 5922 4: the name that was asked for, not the one SRV leads to */
	str_copy(target.host, sizeof(target.host), plan->hop->host);
	for (unsigned i = 0; i < plan->count; i++)
		if (plan->targets[i].transport == transport &&
		    sa_cmp(&plan->targets[i].addr, &target.addr, SA_ALL))
			return;
	plan->targets[plan->count++] = target;
}

/* Addresses of a name. Return: false when something must be asked first. */
static bool plan_addresses(struct plan *plan, const char *name, enum sip_transp transport,
			   uint16_t port)
{
	static const uint16_t types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };
	struct sa addrs[8];
	unsigned count = hosts_get(plan->resolver->hosts, name, addrs, ARRAY_LEN(addrs));

	for (unsigned i = 0; i < count; i++)
		plan_add(plan, transport, &addrs[i], port);
	if (count)
		return true;
	for (unsigned t = 0; t < ARRAY_LEN(types); t++) {
		const struct dns_records *records;

		if (!plan_has(plan, transport, types[t] == DNS_TYPE_A ? AF_INET : AF_INET6))
			continue;
		records = plan_records(plan, name, types[t]);
		if (!records)
			return false;
		for (unsigned i = 0; i < records->count; i++)
			plan_add(plan, transport, &records->record[i].addr, port);
	}
	return true;
}

/* RFC 2782: by priority, and by chance weighted among equals. */
static void srv_order(const struct dns_records *records, unsigned order[static DNS_MAX_RECORDS])
{
	const struct dns_record *rr = records->record;
	unsigned n = records->count;

	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = 0; i < n; i++) {
		unsigned best = i, sum = 0, pick;

		for (unsigned j = i; j < n; j++)
			if (rr[order[j]].srv.priority < rr[order[best]].srv.priority)
				best = j;
		for (unsigned j = i; j < n; j++)
			if (rr[order[j]].srv.priority == rr[order[best]].srv.priority)
				sum += rr[order[j]].srv.weight + 1u;
		pick = rand_u32() % sum;
		for (unsigned j = i; j < n; j++) {
			if (rr[order[j]].srv.priority != rr[order[best]].srv.priority)
				continue;
			if (pick <= rr[order[j]].srv.weight) {
				unsigned chosen = order[j];

				order[j] = order[i];
				order[i] = chosen;
				break;
			}
			pick -= rr[order[j]].srv.weight + 1u;
		}
	}
}

/* Return: false when something must be asked first; *ret_any: there are such records. */
static bool plan_srv(struct plan *plan, const char *name, enum sip_transp transport, bool *ret_any)
{
	const struct dns_records *records = plan_records(plan, name, DNS_TYPE_SRV);
	unsigned order[DNS_MAX_RECORDS];

	if (!records)
		return false;
	*ret_any |= records->count > 0;
	srv_order(records, order);
	for (unsigned i = 0; i < records->count; i++) {
		const struct dns_record *rr = &records->record[order[i]];

		if (!rr->name[0] || strcmp(rr->name, ".") == 0)
			continue; /* decidedly not available */
		if (!plan_addresses(plan, rr->name, transport, rr->srv.port))
			return false;
	}
	return true;
}

static bool plan_srv_of(struct plan *plan, enum sip_transp transport, bool *ret_any)
{
	static const char *const prefixes[] = { "_sip._udp.", "_sip._tcp.", "_sips._tcp." };
	char name[300];

	snprintf(name, sizeof(name), "%s%s", prefixes[transport], plan->hop->host);
	return strlen(name) > 253 || plan_srv(plan, name, transport, ret_any);
}

static bool naptr_transport(const struct plan *plan, const struct dns_record *rr,
			    enum sip_transp *ret)
{
	if (strcasecmp(rr->naptr.service, "SIPS+D2T") == 0)
		*ret = SIP_TRANSP_TLS;
	else if (plan->hop->secure)
		return false;
	else if (strcasecmp(rr->naptr.service, "SIP+D2T") == 0)
		*ret = SIP_TRANSP_TCP;
	else if (strcasecmp(rr->naptr.service, "SIP+D2U") == 0)
		*ret = SIP_TRANSP_UDP;
	else
		return false;
	return plan_has(plan, *ret, AF_INET) || plan_has(plan, *ret, AF_INET6);
}

static int naptr_compare(const void *a, const void *b)
{
	const struct dns_record *x = a, *y = b;

	if (x->naptr.order != y->naptr.order)
		return x->naptr.order < y->naptr.order ? -1 : 1;
	return (x->naptr.preference > y->naptr.preference) -
	       (x->naptr.preference < y->naptr.preference);
}

static bool plan_naptr(struct plan *plan, bool *ret_any)
{
	const struct dns_records *records = plan_records(plan, plan->hop->host, DNS_TYPE_NAPTR);

	if (!records)
		return false;
	if (records->count)
		qsort(records->record, records->count, sizeof(*records->record), naptr_compare);
	for (unsigned i = 0; i < records->count; i++) {
		const struct dns_record *rr = &records->record[i];
		enum sip_transp transport;

		if (!naptr_transport(plan, rr, &transport) || !rr->name[0])
			continue;
		if (rr->naptr.flag == 's' && !plan_srv(plan, rr->name, transport, ret_any))
			return false;
		if (rr->naptr.flag == 'a' && !plan_addresses(plan, rr->name, transport, 0))
			return false;
		*ret_any = *ret_any || rr->naptr.flag == 'a';
	}
	return true;
}

/* RFC 3263 4.1, 4.2 for a name. Return: false when something must be asked first. */
static bool plan_name(struct plan *plan)
{
	const struct hop *hop = plan->hop;
	enum sip_transp plain = hop->transport != SIP_TRANSP_NONE ? hop->transport
				: hop->secure			  ? SIP_TRANSP_TLS
								  : SIP_TRANSP_UDP;
	struct sa addr;
	bool any = false;

	/* A name that the machine's owner wrote down needs no records. */
	if (hop->port || hosts_get(plan->resolver->hosts, hop->host, &addr, 1))
		return plan_addresses(plan, hop->host, plain, hop->port);
	if (hop->transport != SIP_TRANSP_NONE || hop->secure) {
		if (!plan_srv_of(plan, plain, &any))
			return false;
		return any || plan_addresses(plan, hop->host, plain, 0);
	}
	if (!plan->resolver->no_naptr && !plan_naptr(plan, &any))
		return false;
	for (enum sip_transp t = SIP_TRANSP_UDP; !any && t <= SIP_TRANSP_TCP; t++)
		if (!plan_srv_of(plan, t, &any))
			return false;
	return any || plan_addresses(plan, hop->host, plain, 0);
}

static bool plan_run(struct plan *plan)
{
	struct hop hop = *plan->hop;
	struct sa addr;

	plan->hop = &hop;
	plan->outcome = RESOLVE_E_NOT_FOUND;
	if (hop.secure && hop.transport == SIP_TRANSP_TCP)
		hop.transport = SIP_TRANSP_TLS; /* sips:...;transport=tcp is TLS (RFC 5630 3.1.3) */
	if (hop.transport > SIP_TRANSP_TLS || (hop.secure && hop.transport == SIP_TRANSP_UDP)) {
		plan->outcome = RESOLVE_E_BAD;
		return true;
	}
	if (sa_set_str(&addr, hop.host, 0) == 0) {
		plan_add(plan,
			 hop.transport != SIP_TRANSP_NONE ? hop.transport
			 : hop.secure			  ? SIP_TRANSP_TLS
							  : SIP_TRANSP_UDP,
			 &addr, hop.port);
		return true;
	}
	if (!is_host_name(hop.host)) {
		plan->outcome = RESOLVE_E_BAD;
		return true;
	}
	return plan_name(plan);
}

/* ---- queries ---- */

void resolver_cancel(struct resolve_query *query)
{
	if (!query)
		return;
	dns_waiter_leave(&query->waiter);
	timer_stop(&query->timer);
	*query->pprev = query->next;
	if (query->next)
		query->next->pprev = query->pprev;
	free(query->targets);
	free(query);
}

static void query_end(struct resolve_query *query, enum resolve_outcome outcome,
		      const struct target *targets, unsigned count)
{
	resolve_fn *fn = query->fn;
	void *arg = query->arg;
	struct target copy[RESOLVE_MAX_TARGETS];

	memcpy(copy, targets, count * sizeof(*copy));
	resolver_cancel(query);
	fn(outcome, copy, count, arg);
}

static void plan_finish(struct plan *plan)
{
	failing_sort(&plan->resolver->failing, plan->targets, plan->count);
	if (plan->count)
		plan->outcome = RESOLVE_OK;
	else if (plan->forbidden)
		plan->outcome = RESOLVE_E_NOT_ALLOWED;
}

static void query_run(struct resolve_query *query)
{
	struct target targets[RESOLVE_MAX_TARGETS];
	struct plan plan = { .resolver = query->resolver,
			     .hop = &query->hop,
			     .any_address = query->any_address,
			     .start_ms = query->start_ms,
			     .targets = targets };

	if (!plan_run(&plan)) {
		if (++query->rounds <= ROUNDS_MAX) {
			dns_cache_wait(query->resolver->cache, plan.need_name, plan.need_type,
				       &query->waiter);
			return;
		}
		plan.outcome = RESOLVE_E_TIMEOUT;
	}
	plan_finish(&plan);
	if (plan.outcome ==
	    RESOLVE_E_TIMEOUT) /* silence is kept for long only where there is a way without */
		dns_cache_forget(query->resolver->cache, query->hop.host, DNS_TYPE_NAPTR);
	query_end(query, plan.outcome, targets, plan.count);
}

static void query_timer(struct timer *timer, void *arg)
{
	struct resolve_query *query = arg;
	struct resolver *resolver = query->resolver;

	(void)timer;
	if (query->answered)
		query_end(query, query->outcome, query->targets, query->target_count);
	else if (resolver->fake)
		resolver->fake(query, &query->hop, resolver->fake_arg);
	else
		query_run(query);
}

struct resolve_query *resolver_start(struct resolver *resolver, const struct hop *hop,
				     bool any_address, resolve_fn *fn, void *arg)
{
	struct resolve_query *query = xzalloc(sizeof(*query));

	query->resolver = resolver;
	query->hop = *hop;
	query->any_address = any_address;
	query->start_ms = wheel_now_ms(resolver->wheel);
	query->fn = fn;
	query->arg = arg;
	query->next = resolver->queries;
	query->pprev = &resolver->queries;
	if (query->next)
		query->next->pprev = &query->next;
	resolver->queries = query;
	timer_init(&query->timer, resolver->wheel, query_timer, query);
	query->waiter.timer = &query->timer;
	timer_start(&query->timer, 0);
	return query;
}

void resolver_answer(struct resolve_query *query, enum resolve_outcome outcome,
		     const struct target *targets, unsigned count)
{
	query->answered = true;
	query->outcome = outcome;
	query->target_count = count < RESOLVE_MAX_TARGETS ? count : RESOLVE_MAX_TARGETS;
	query->targets = xzalloc_array(RESOLVE_MAX_TARGETS, sizeof(*targets));
	memcpy(query->targets, targets, query->target_count * sizeof(*targets));
	failing_sort(&query->resolver->failing, query->targets, query->target_count);
	timer_start(&query->timer, 0);
}

bool resolver_now(struct resolver *resolver, const struct hop *hop, bool any_address,
		  struct target targets[static RESOLVE_MAX_TARGETS], unsigned *ret_count)
{
	struct plan plan = { .resolver = resolver,
			     .hop = hop,
			     .any_address = any_address,
			     .start_ms = UINT64_MAX,
			     .targets = targets };
	struct sa addr;

	if (resolver->fake && sa_set_str(&addr, hop->host, 0) != 0)
		return false;
	if (!plan_run(&plan))
		return false;
	plan_finish(&plan);
	*ret_count = plan.count;
	return plan.count > 0;
}

/* ---- the resolver ---- */

struct resolver *resolver_new(const struct resolver_setup *setup)
{
	struct resolver *resolver = xzalloc(sizeof(*resolver));

	resolver->wheel = setup->wheel;
	resolver->wire = setup->wire;
	resolver->no_naptr = setup->no_naptr;
	resolver->hosts = hosts_new(setup->hosts_file, setup->wheel);
	resolver->dns = dns_client_new(setup->wheel, setup->servers, setup->server_count);
	resolver->cache = dns_cache_new(setup->wheel, resolver->dns);
	failing_init(&resolver->failing, setup->wheel);
	return resolver;
}

struct resolver *resolver_new_fake(struct wheel *wheel,
				   void (*answer)(struct resolve_query *query,
						  const struct hop *hop, void *arg),
				   void *arg)
{
	static const struct sa none;
	struct resolver *resolver = resolver_new(
		&(struct resolver_setup){ .wheel = wheel, .servers = &none, .server_count = 0 });

	resolver->fake = answer;
	resolver->fake_arg = arg;
	return resolver;
}

void resolver_flush(struct resolver *resolver)
{
	dns_cache_flush(resolver->cache);
}

bool resolver_is_failing(const struct resolver *resolver, const struct target *target)
{
	return failing_has(&resolver->failing, target);
}

void resolver_report(struct resolver *resolver, const struct target *target, bool ok)
{
	failing_report(&resolver->failing, target, ok);
}

struct resolver *resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return NULL;
	while (resolver->queries)
		resolver_cancel(resolver->queries);
	dns_cache_free(resolver->cache);
	failing_fini(&resolver->failing);
	dns_client_free(resolver->dns);
	hosts_free(resolver->hosts);
	free(resolver);
	return NULL;
}

void resolver_set_policy(struct resolver *resolver,
			 bool (*address_allowed)(const struct sa *addr, void *arg), void *arg)
{
	resolver->allowed = address_allowed;
	resolver->allowed_arg = arg;
}
