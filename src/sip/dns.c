/* sip/dns.c - asking name servers
 *
 * libre's encoders, but not its client: that one refuses to start without IPv6, takes an answer
 * from any source address, and retries for over a minute. Here each lookup has its own connected
 * socket, so that the kernel checks the source and every query leaves from another port (RFC 5452),
 * and five seconds in all.
 */
#include "base/metric.h"
#include "base/poller.h"
#include "sip/resolve_private.h"

#include <errno.h>
#include <unistd.h>

#define MAX_SERVERS 4u
#define MAX_LOOKUPS 1000u
#define LOOKUP_MS 5000u
#define FIRST_WAIT_MS 500u
#define ANSWER_SIZE 4096u
#define TTL_MIN_S 5u
#define TTL_MAX_S 86400u
#define TTL_NEGATIVE_S 60u
#define TTL_FAILED_S 5u
/* Many a router drops what it does not know: that is not to be waited for at each call. */
#define TTL_NO_NAPTR_S 600u

METRIC_COUNTER(lookups_total, "jackfield_dns_lookups_total", "Questions put to name servers", NULL);
METRIC_COUNTER(lookups_failed, "jackfield_dns_timeouts_total",
	       "Questions that no name server answered", NULL);

struct dns_client {
	struct wheel *wheel;
	struct sa servers[MAX_SERVERS];
	unsigned server_count, lookup_count;
	struct dns_lookup *lookups;
};

struct dns_lookup {
	struct dns_lookup *next, **pprev;
	struct dns_client *client;
	char name[256];
	uint16_t type, id;
	int fd;
	unsigned sent;
	uint64_t deadline_ms;
	struct timer timer;
	dns_done_fn *fn;
	void *arg;
};

static void lookup_fd_close(struct dns_lookup *lookup)
{
	if (lookup->fd < 0)
		return;
	poller_unwatch(lookup->fd);
	close(lookup->fd);
	lookup->fd = -1;
}

void dns_lookup_cancel(struct dns_lookup *lookup)
{
	if (!lookup)
		return;
	lookup_fd_close(lookup);
	timer_stop(&lookup->timer);
	*lookup->pprev = lookup->next;
	if (lookup->next)
		lookup->next->pprev = lookup->pprev;
	lookup->client->lookup_count--;
	free(lookup);
}

static void lookup_done(struct dns_lookup *lookup, struct dns_records *records)
{
	dns_done_fn *fn = lookup->fn;
	void *arg = lookup->arg;

	dns_lookup_cancel(lookup);
	fn(records, arg);
}

static void lookup_empty(struct dns_lookup *lookup, enum resolve_outcome outcome, uint32_t ttl_s)
{
	struct dns_records *records = xzalloc(sizeof(*records));

	records->outcome = outcome;
	records->ttl_s = ttl_s;
	lookup_done(lookup, records);
}

/* ---- the question ---- */

static struct mbuf *question(const struct dns_lookup *lookup)
{
	/* EDNS0 (RFC 6891): answers up to 1232 bytes; SRV and NAPTR sets are often larger than 512
	 */
	static const uint8_t opt[] = { 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0 };
	struct dnshdr hdr = { .id = lookup->id, .rd = true, .nq = 1, .nadd = 1 };
	struct mbuf *mb = mbuf_alloc(512);
	int err = dns_hdr_encode(mb, &hdr);

	err |= dns_dname_encode(mb, lookup->name, NULL, 0, false);
	err |= mbuf_write_u16(mb, htons(lookup->type));
	err |= mbuf_write_u16(mb, htons(DNS_CLASS_IN));
	err |= mbuf_write_mem(mb, opt, sizeof(opt));
	return err ? mem_deref(mb) : mb;
}

static void lookup_readable(unsigned events, void *arg);

/* Return: false when this server cannot even be asked. */
static bool lookup_ask(struct dns_lookup *lookup, const struct sa *server)
{
	struct mbuf *mb;
	bool fine;

	lookup_fd_close(lookup);
	lookup->fd = socket(sa_af(server), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (lookup->fd < 0)
		return false;
	lookup->id = rand_u16();
	mb = question(lookup);
	fine = mb && connect(lookup->fd, &server->u.sa, server->len) == 0 &&
	       send(lookup->fd, mb->buf, mb->end, 0) == (ssize_t)mb->end &&
	       poller_watch(lookup->fd, POLLER_READ, lookup_readable, lookup) == 0;
	mem_deref(mb);
	return fine;
}

/* Each server in turn, waiting longer each round. */
static void lookup_next(struct dns_lookup *lookup)
{
	const struct dns_client *client = lookup->client;
	uint64_t now = wheel_now_ms(client->wheel);
	unsigned round, wait;

	for (unsigned tries = 0; tries < client->server_count && now < lookup->deadline_ms;
	     tries++) {
		const struct sa *server = &client->servers[lookup->sent++ % client->server_count];

		if (!lookup_ask(lookup, server))
			continue;
		round = (lookup->sent - 1) / client->server_count;
		wait = FIRST_WAIT_MS << (round < 3 ? round : 3);
		if (now + wait > lookup->deadline_ms)
			wait = (unsigned)(lookup->deadline_ms - now);
		timer_start(&lookup->timer, wait);
		return;
	}
	metric_add(&lookups_failed, 1);
	lookup_empty(lookup, RESOLVE_E_TIMEOUT,
		     lookup->type == DNS_TYPE_NAPTR ? TTL_NO_NAPTR_S : TTL_FAILED_S);
}

static void lookup_timer(struct timer *timer, void *arg)
{
	(void)timer;
	lookup_next(arg);
}

/* ---- the answer ---- */

struct gather {
	uint16_t type;
	struct dns_records *records;
	uint32_t ttl_s;
};

static void record_fill(struct dns_record *record, const struct dnsrr *rr)
{
	const char *name = NULL;

	switch (rr->type) {
	case DNS_TYPE_A:
		sa_set_in(&record->addr, rr->rdata.a.addr, 0);
		break;
	case DNS_TYPE_AAAA:
		sa_set_in6(&record->addr, rr->rdata.aaaa.addr, 0);
		break;
	case DNS_TYPE_SRV:
		record->srv.priority = rr->rdata.srv.pri;
		record->srv.weight = rr->rdata.srv.weight;
		record->srv.port = rr->rdata.srv.port;
		name = rr->rdata.srv.target;
		break;
	default:
		record->naptr.order = rr->rdata.naptr.order;
		record->naptr.preference = rr->rdata.naptr.pref;
		str_copy(record->naptr.service, sizeof(record->naptr.service),
			 rr->rdata.naptr.services);
		record->naptr.flag = (char)(rr->rdata.naptr.flags[0] | 0x20);
		name = rr->rdata.naptr.replace;
	}
	if (name)
		str_copy(record->name, sizeof(record->name), name);
}

static bool gather_each(struct dnsrr *rr, void *arg)
{
	struct gather *gather = arg;
	struct dns_records *records = gather->records;

	if (rr->ttl >= 0 && (uint64_t)rr->ttl < gather->ttl_s)
		gather->ttl_s = (uint32_t)rr->ttl;
	if (rr->type != gather->type || records->count == DNS_MAX_RECORDS)
		return false;
	record_fill(&records->record[records->count++], rr);
	return false;
}

static struct dns_records *records_from(struct list *answers, const char *name, uint16_t type)
{
	struct gather gather = { .type = type,
				 .records = xzalloc(sizeof(struct dns_records)),
				 .ttl_s = TTL_MAX_S };
	struct dns_records *records = gather.records;

	records->record = xzalloc_array(DNS_MAX_RECORDS, sizeof(*records->record));
	dns_rrlist_apply(answers, name, type, DNS_CLASS_IN, true, gather_each, &gather);
	records->outcome = records->count ? RESOLVE_OK : RESOLVE_E_NOT_FOUND;
	records->ttl_s = !records->count	    ? TTL_NEGATIVE_S
			 : gather.ttl_s < TTL_MIN_S ? TTL_MIN_S
						    : gather.ttl_s;
	return records;
}

/* Return: NULL when it is not an answer to our question. *ret_bad: the server cannot answer it. */
static struct dns_records *answer_parse(const struct dns_lookup *lookup, struct mbuf *mb,
					bool *ret_bad)
{
	struct dns_records *records = NULL;
	struct list answers = LIST_INIT;
	struct dnshdr hdr;
	char *name = NULL;

	if (dns_hdr_decode(mb, &hdr) || !hdr.qr || hdr.id != lookup->id || hdr.nq != 1 ||
	    dns_dname_decode(mb, &name, 0) || strcasecmp(name, lookup->name) != 0 ||
	    mbuf_get_left(mb) < 4)
		goto out;
	if (ntohs(mbuf_read_u16(mb)) != lookup->type || ntohs(mbuf_read_u16(mb)) != DNS_CLASS_IN)
		goto out;
	*ret_bad = hdr.rcode != DNS_RCODE_OK && hdr.rcode != DNS_RCODE_NAME_ERR;
	if (*ret_bad)
		goto out;
	for (unsigned i = 0; i < hdr.nans && i < 64; i++) {
		struct dnsrr *rr = NULL;

		if (dns_rr_decode(mb, &rr, 0))
			break; /* cut short: what was read counts */
		list_append(&answers, &rr->le, rr);
	}
	records = records_from(&answers, lookup->name, lookup->type);
out:
	list_flush(&answers);
	mem_deref(name);
	return records;
}

static void lookup_readable(unsigned events, void *arg)
{
	struct dns_lookup *lookup = arg;
	struct dns_records *records;
	struct mbuf *mb;
	bool bad = false;
	ssize_t n;

	(void)events;
	mb = mbuf_alloc(ANSWER_SIZE);
	n = recv(lookup->fd, mb->buf, mb->size, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		mem_deref(mb);
		return;
	}
	mb->end = n > 0 ? (size_t)n : 0;
	records = n > 0 ? answer_parse(lookup, mb, &bad) : NULL;
	mem_deref(mb);
	if (records)
		lookup_done(lookup, records);
	else if (n < 0 || bad)
		timer_start(&lookup->timer,
			    lookup->sent < lookup->client->server_count ? 0 : FIRST_WAIT_MS);
}

/* ---- the client ---- */

struct dns_lookup *dns_lookup_start(struct dns_client *client, const char *name, uint16_t type,
				    dns_done_fn *fn, void *arg)
{
	struct dns_lookup *lookup = xzalloc(sizeof(*lookup));

	lookup->client = client;
	str_copy(lookup->name, sizeof(lookup->name), name);
	lookup->type = type;
	lookup->fd = -1;
	lookup->fn = fn;
	lookup->arg = arg;
	lookup->deadline_ms = wheel_now_ms(client->wheel) + LOOKUP_MS;
	lookup->next = client->lookups;
	lookup->pprev = &client->lookups;
	if (lookup->next)
		lookup->next->pprev = &lookup->next;
	client->lookups = lookup;
	timer_init(&lookup->timer, client->wheel, lookup_timer, lookup);
	metric_add(&lookups_total, 1);
	if (++client->lookup_count > MAX_LOOKUPS)
		lookup->deadline_ms = 0; /* overload: fails at once, from the loop */
	timer_start(&lookup->timer, 0);
	return lookup;
}

static unsigned servers_of_system(struct sa *servers, unsigned max)
{
	char line[256], word[64];
	unsigned count = 0;
	FILE *file = fopen("/etc/resolv.conf", "re");

	while (file && count < max && fgets(line, sizeof(line), file))
		if (sscanf(line, "nameserver %63s", word) == 1 &&
		    sa_set_str(&servers[count], word, DNS_PORT) == 0)
			count++;
	if (file)
		fclose(file);
	return count;
}

struct dns_client *dns_client_new(struct wheel *wheel, const struct sa *servers, unsigned count)
{
	struct dns_client *client = xzalloc(sizeof(*client));

	client->wheel = wheel;
	if (!servers) {
		client->server_count = servers_of_system(client->servers, MAX_SERVERS);
		return client;
	}
	for (; client->server_count < count && client->server_count < MAX_SERVERS;
	     client->server_count++)
		client->servers[client->server_count] = servers[client->server_count];
	return client;
}

struct dns_client *dns_client_free(struct dns_client *client)
{
	if (!client)
		return NULL;
	while (client->lookups)
		dns_lookup_cancel(client->lookups);
	free(client);
	return NULL;
}
