/* tests/unit/sip/test_resolve.c - RFC 3263 against a name server of our own, on a clock that we
 * push
 */
#include "kit.h"

#include "base/poller.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER "127.0.51.53"
#define SECOND "127.0.51.54"

struct record {
	const char *name;
	uint16_t type;
	uint32_t ttl;
	const char *value;
	uint16_t a, b, c; /* SRV: priority, weight, port; NAPTR: order, preference */
};

static const struct record zone[] = {
	{ "full.test", DNS_TYPE_NAPTR, 60, "SIP+D2U _sip._udp.full.test", 20, 1, 0 },
	{ "full.test", DNS_TYPE_NAPTR, 60, "SIPS+D2T _sips._tcp.full.test", 10, 1, 0 },
	{ "full.test", DNS_TYPE_NAPTR, 60, "SIP+D2S _sip._sctp.full.test", 1, 1, 0 },
	{ "_sips._tcp.full.test", DNS_TYPE_SRV, 60, "s1.full.test", 10, 0, 5071 },
	{ "_sip._udp.full.test", DNS_TYPE_SRV, 60, "u2.full.test", 20, 0, 5062 },
	{ "_sip._udp.full.test", DNS_TYPE_SRV, 60, "u1.full.test", 10, 0, 5061 },
	{ "s1.full.test", DNS_TYPE_A, 60, "192.0.2.1", 0, 0, 0 },
	{ "u1.full.test", DNS_TYPE_A, 60, "192.0.2.2", 0, 0, 0 },
	{ "u2.full.test", DNS_TYPE_A, 60, "192.0.2.3", 0, 0, 0 },
	{ "_sip._udp.srv.test", DNS_TYPE_SRV, 60, "heavy.srv.test", 10, 90, 5060 },
	{ "_sip._udp.srv.test", DNS_TYPE_SRV, 60, "light.srv.test", 10, 10, 5060 },
	{ "_sip._tcp.srv.test", DNS_TYPE_SRV, 60, "light.srv.test", 10, 10, 5080 },
	{ "heavy.srv.test", DNS_TYPE_A, 60, "192.0.2.10", 0, 0, 0 },
	{ "light.srv.test", DNS_TYPE_A, 60, "192.0.2.11", 0, 0, 0 },
	{ "plain.test", DNS_TYPE_A, 60, "192.0.2.20", 0, 0, 0 },
	{ "plain.test", DNS_TYPE_A, 60, "192.0.2.21", 0, 0, 0 },
	{ "six.test", DNS_TYPE_AAAA, 60, "2001:db8:1::6", 0, 0, 0 },
	{ "alias.test", DNS_TYPE_CNAME, 60, "plain.test", 0, 0, 0 },
	{ "inside.test", DNS_TYPE_A, 60, "10.1.2.3", 0, 0, 0 },
	{ "mixed.test", DNS_TYPE_A, 60, "10.1.2.3", 0, 0, 0 },
	{ "mixed.test", DNS_TYPE_A, 60, "198.18.0.1", 0, 0, 0 },
	{ "mixed.test", DNS_TYPE_A, 60, "8.8.4.4", 0, 0, 0 },
	{ "_sip._udp.none.test", DNS_TYPE_SRV, 60, ".", 0, 0, 0 },
	{ "none.test", DNS_TYPE_A, 60, "192.0.2.30", 0, 0, 0 },
};

enum mood { ANSWERS, SILENT, NO_NAPTR, REFUSES, WRONG_ID, GARBAGE, LOOPS };

static struct {
	struct wheel *wheel;
	struct resolver *resolver;
	int fd[2];
	enum mood mood[2];
	unsigned questions[2];
	struct poller *poller;
	bool done;
	enum resolve_outcome outcome;
	struct target targets[RESOLVE_MAX_TARGETS];
	unsigned count;
	char hosts[64];
} world;

/* ---- the name server ---- */

static void rr_fill(struct dnsrr *rr, const struct record *record)
{
	char service[32], target[200];
	struct sa addr;

	str_dup(&rr->name, record->name);
	rr->type = record->type;
	rr->dnsclass = DNS_CLASS_IN;
	rr->ttl = record->ttl;
	switch (record->type) {
	case DNS_TYPE_A:
		sa_set_str(&addr, record->value, 0);
		rr->rdata.a.addr = sa_in(&addr);
		break;
	case DNS_TYPE_AAAA:
		sa_set_str(&addr, record->value, 0);
		sa_in6(&addr, rr->rdata.aaaa.addr);
		break;
	case DNS_TYPE_CNAME:
		str_dup(&rr->rdata.cname.cname, record->value);
		break;
	case DNS_TYPE_SRV:
		rr->rdata.srv.pri = record->a;
		rr->rdata.srv.weight = record->b;
		rr->rdata.srv.port = record->c;
		str_dup(&rr->rdata.srv.target, record->value);
		break;
	default:
		sscanf(record->value, "%31s %199s", service, target);
		rr->rdata.naptr.order = record->a;
		rr->rdata.naptr.pref = record->b;
		str_dup(&rr->rdata.naptr.flags, "s");
		str_dup(&rr->rdata.naptr.services, service);
		str_dup(&rr->rdata.naptr.regexp, "");
		str_dup(&rr->rdata.naptr.replace, target);
	}
}

static uint16_t answers_add(struct mbuf *mb, const char *name, uint16_t type)
{
	uint16_t count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(zone); i++) {
		struct dnsrr *rr;

		if (strcasecmp(zone[i].name, name) != 0 ||
		    (zone[i].type != type && zone[i].type != DNS_TYPE_CNAME))
			continue;
		rr = dns_rr_alloc();
		rr_fill(rr, &zone[i]);
		assert_int_equal(dns_rr_encode(mb, rr, 0, NULL, 0), 0);
		mem_deref(rr);
		count++;
		if (zone[i].type == DNS_TYPE_CNAME && type != DNS_TYPE_CNAME)
			count = (uint16_t)(count + answers_add(mb, zone[i].value, type));
	}
	return count;
}

/* Return: NULL: says nothing to that. */
static struct mbuf *answer_make(struct mbuf *query, enum mood mood)
{
	struct mbuf *mb = mbuf_alloc(2048);
	struct dnshdr hdr;
	char *name = NULL;
	uint16_t type;

	assert_int_equal(dns_hdr_decode(query, &hdr), 0);
	assert_int_equal(dns_dname_decode(query, &name, 0), 0);
	type = ntohs(mbuf_read_u16(query));
	if (mood == NO_NAPTR && type == DNS_TYPE_NAPTR) {
		mem_deref(name);
		return mem_deref(mb);
	}
	hdr.qr = true;
	hdr.nadd = 0;
	hdr.id = (uint16_t)(hdr.id + (mood == WRONG_ID));
	hdr.rcode = mood == REFUSES ? DNS_RCODE_REFUSED : DNS_RCODE_OK;
	dns_hdr_encode(mb, &hdr);
	dns_dname_encode(mb, name, NULL, 0, false);
	mbuf_write_u16(mb, htons(type));
	mbuf_write_u16(mb, htons(DNS_CLASS_IN));
	if (mood == LOOPS) {
		mbuf_write_u16(
			mb, htons((uint16_t)(0xc000 | mb->pos))); /* a name that points at itself */
		hdr.nans = 1;
	} else if (mood != REFUSES) {
		hdr.nans = answers_add(mb, name, type);
	}
	if (mood == ANSWERS && !hdr.nans)
		hdr.rcode = DNS_RCODE_NAME_ERR;
	mb->pos = 0;
	dns_hdr_encode(mb, &hdr);
	mem_deref(name);
	return mb;
}

static void server_readable(unsigned events, void *arg)
{
	unsigned which = (unsigned)(uintptr_t)arg;
	struct mbuf *query = mbuf_alloc(2048), *answer;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(world.fd[which], query->buf, query->size, 0, (struct sockaddr *)&from,
			     &len);

	(void)events;
	assert_true(n > 0);
	query->end = (size_t)n;
	world.questions[which]++;
	answer = world.mood[which] != SILENT ? answer_make(query, world.mood[which]) : NULL;
	if (answer) {
		if (world.mood[which] == GARBAGE)
			answer->end = 13;
		sendto(world.fd[which], answer->buf, answer->end, 0, (struct sockaddr *)&from, len);
		mem_deref(answer);
	}
	mem_deref(query);
}

static void server_open(unsigned which, const char *addr, struct sa *ret_addr)
{
	sa_set_str(ret_addr, addr, 0);
	world.fd[which] = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(world.fd[which], &ret_addr->u.sa, ret_addr->len), 0);
	assert_int_equal(getsockname(world.fd[which], &ret_addr->u.sa, &ret_addr->len), 0);
	assert_int_equal(poller_watch(world.fd[which], POLLER_READ, server_readable,
				      (void *)(uintptr_t)which),
			 0);
	world.mood[which] = ANSWERS;
	world.questions[which] = 0;
}

static int setup(void **state)
{
	struct sa servers[2];

	(void)state;
	world.wheel = wheel_new_virtual(1000000, 1700000000000000);
	server_open(0, SERVER, &servers[0]);
	server_open(1, SECOND, &servers[1]);
	world.resolver = resolver_new(&(struct resolver_setup){ .wheel = world.wheel,
								.servers = servers,
								.server_count = 2,
								.hosts_file = world.hosts });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	resolver_free(world.resolver);
	for (unsigned i = 0; i < 2; i++) {
		poller_unwatch(world.fd[i]);
		close(world.fd[i]);
	}
	wheel_free(world.wheel);
	return 0;
}

/* ---- asking ---- */

/* A real millisecond is a virtual one, or ten when nobody answers anyway. */
static void run_until_done(void)
{
	while (!world.done) {
		(void)poller_wait(1);
		wheel_advance_to(world.wheel,
				 wheel_now_ms(world.wheel) + (world.mood[0] == ANSWERS ? 1 : 10));
	}
}

static void on_done(enum resolve_outcome outcome, const struct target *targets, unsigned count,
		    void *arg)
{
	(void)arg;
	assert_false(world.done);
	world.done = true;
	world.outcome = outcome;
	world.count = count;
	memcpy(world.targets, targets, count * sizeof(*targets));
}

static void find(const char *uri_text, bool any_address)
{
	struct pl text;
	struct uri uri;
	struct hop hop;

	pl_set_str(&text, uri_text);
	assert_int_equal(parse_uri(&text, &uri), 0);
	assert_true(hop_from_uri(&uri, &hop));
	world.done = false;
	world.count = 0;
	resolver_start(world.resolver, &hop, any_address, on_done, NULL);
	assert_false(world.done);
	run_until_done();
}

static unsigned questions(void)
{
	return world.questions[0] + world.questions[1];
}

static void assert_target(unsigned n, enum sip_transp transport, const char *addr_port)
{
	char text[64];

	assert_true(n < world.count);
	assert_int_equal(world.targets[n].transport, transport);
	re_snprintf(text, sizeof(text), "%J", &world.targets[n].addr);
	assert_string_equal(text, addr_port);
}

static void assert_found(const char *uri, unsigned count)
{
	find(uri, true);
	assert_int_equal(world.outcome, RESOLVE_OK);
	assert_int_equal(world.count, count);
}

static void numbers_need_no_names(void **state)
{
	(void)state;
	assert_found("sip:u@192.0.2.9", 1);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.9:5060");
	assert_found("sip:u@192.0.2.9:7000;transport=tcp", 1);
	assert_target(0, SIP_TRANSP_TCP, "192.0.2.9:7000");
	assert_found("sips:u@[2001:db8::5]", 1);
	assert_target(0, SIP_TRANSP_TLS, "[2001:db8::5]:5061");
	assert_found("sips:u@192.0.2.9;transport=tcp", 1);
	assert_target(0, SIP_TRANSP_TLS, "192.0.2.9:5061");
	assert_found("sip:u@h.test;maddr=192.0.2.77", 1);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.77:5060");
	assert_int_equal(questions(), 0);
}

static void names_in_the_hosts_file_need_no_server(void **state)
{
	(void)state;
	assert_found("sip:here.test", 2);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.99:5060");
	assert_found("sip:HERE.test:5099", 2);
	assert_found("sip:localhost;transport=tls", 1);
	assert_target(0, SIP_TRANSP_TLS, "127.0.0.1:5061");
	assert_int_equal(questions(), 0);
}

static void naptr_leads_to_srv_in_its_order(void **state)
{
	(void)state;
	assert_found("sip:full.test", 3);
	assert_target(0, SIP_TRANSP_TLS, "192.0.2.1:5071");
	assert_target(1, SIP_TRANSP_UDP, "192.0.2.2:5061");
	assert_target(2, SIP_TRANSP_UDP, "192.0.2.3:5062");
	/* the name to be proved is the one that was asked for (RFC 5922) */
	assert_string_equal(world.targets[0].host, "full.test");
}

static void sips_takes_only_what_is_secure(void **state)
{
	(void)state;
	assert_found("sips:full.test", 1);
	assert_target(0, SIP_TRANSP_TLS, "192.0.2.1:5071");
}

static void without_naptr_each_transport_has_its_srv(void **state)
{
	(void)state;
	assert_found("sip:srv.test", 2);
	assert_int_equal(world.targets[0].transport, SIP_TRANSP_UDP);
	assert_found("sip:srv.test;transport=tcp", 1);
	assert_target(0, SIP_TRANSP_TCP, "192.0.2.11:5080");
}

static void srv_weights_share_the_load(void **state)
{
	unsigned heavy = 0;
	char text[64];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		assert_found("sip:srv.test;transport=udp", 2);
		re_snprintf(text, sizeof(text), "%j", &world.targets[0].addr);
		heavy += strcmp(text, "192.0.2.10") == 0;
	}
	assert_in_range(heavy, 230, 295); /* 90 of 100 */
}

static void without_srv_it_is_the_address_itself(void **state)
{
	(void)state;
	assert_found("sip:plain.test", 2);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.20:5060");
	assert_target(1, SIP_TRANSP_UDP, "192.0.2.21:5060");
	assert_found("sip:alias.test;transport=tcp", 2);
	assert_target(0, SIP_TRANSP_TCP, "192.0.2.20:5060");
	assert_found("sip:six.test", 1);
	assert_target(0, SIP_TRANSP_UDP, "[2001:db8:1::6]:5060");
}

static void a_port_asks_for_addresses_only(void **state)
{
	(void)state;
	assert_found("sip:plain.test:5090", 2);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.20:5090");
	assert_int_equal(questions(), 2); /* A and AAAA */
}

static void a_service_that_is_decidedly_absent_is_not_found(void **state)
{
	(void)state;
	find("sip:none.test;transport=udp", true);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_FOUND);
}

static void answers_are_kept_as_long_as_they_say(void **state)
{
	unsigned first;

	(void)state;
	assert_found("sip:plain.test", 2);
	first = questions();
	assert_found("sip:plain.test", 2);
	assert_int_equal(questions(), first);
	wheel_advance_to(world.wheel, wheel_now_ms(world.wheel) + 61000);
	assert_found("sip:plain.test", 2);
	assert_int_equal(questions(), 2 * first);
}

static void what_does_not_exist_is_kept_too(void **state)
{
	unsigned first;

	(void)state;
	find("sip:missing.test", true);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_FOUND);
	first = questions();
	find("sip:missing.test", true);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_FOUND);
	assert_int_equal(questions(), first);
	resolver_flush(world.resolver);
	find("sip:missing.test", true);
	assert_int_equal(questions(), 2 * first);
}

static void many_who_ask_the_same_ask_once(void **state)
{
	struct hop hop = { .host = "plain.test", .port = 5060, .transport = SIP_TRANSP_UDP };
	struct resolve_query *other;

	(void)state;
	other = resolver_start(world.resolver, &hop, true, on_done, NULL);
	for (unsigned i = 0; i < 10; i++)
		resolver_cancel(resolver_start(world.resolver, &hop, true, on_done, NULL));
	resolver_cancel(other);
	assert_found("sip:plain.test:5060", 2);
	assert_int_equal(questions(), 2);
}

static void a_silent_server_gives_way_to_the_next(void **state)
{
	uint64_t start = wheel_now_ms(world.wheel);

	(void)state;
	world.mood[0] = SILENT;
	assert_found("sip:plain.test:5060", 2);
	assert_in_range(wheel_now_ms(world.wheel) - start, 900,
			1500); /* half a second for each of A and AAAA */
}

static void a_server_that_refuses_gives_way_at_once(void **state)
{
	uint64_t start = wheel_now_ms(world.wheel);

	(void)state;
	world.mood[0] = REFUSES;
	assert_found("sip:plain.test:5060", 2);
	assert_in_range(wheel_now_ms(world.wheel) - start, 0, 300);
}

static void silence_of_all_is_a_timeout_after_five_seconds_a_question(void **state)
{
	uint64_t start = wheel_now_ms(world.wheel);

	(void)state;
	world.mood[0] = world.mood[1] = SILENT;
	find("sip:plain.test:5060", true);
	assert_int_equal(world.outcome, RESOLVE_E_TIMEOUT);
	assert_in_range(wheel_now_ms(world.wheel) - start, 9000, 11000);
}

/* Its server is a router that knows addresses and services, and drops the rest. */
static void a_server_silent_to_naptr_is_waited_for_once(void **state)
{
	uint64_t start;

	(void)state;
	world.mood[0] = world.mood[1] = NO_NAPTR;
	assert_found("sip:srv.test", 2);
	start = wheel_now_ms(world.wheel);
	for (unsigned i = 0; i < 3; i++) {
		wheel_advance_to(world.wheel,
				 start + 61000 * (i + 1)); /* the others have expired */
		assert_found("sip:srv.test", 2);
		assert_in_range(wheel_now_ms(world.wheel) - start - 61000 * (i + 1), 0, 2000);
	}
}

static void silence_of_all_is_not_kept(void **state)
{
	(void)state;
	world.mood[0] = world.mood[1] = SILENT;
	find("sip:full.test", true);
	assert_int_equal(world.outcome, RESOLVE_E_TIMEOUT);
	world.mood[0] = world.mood[1] = ANSWERS;
	wheel_advance_to(world.wheel, wheel_now_ms(world.wheel) + 6000);
	find("sip:full.test", true);
	assert_int_equal(world.outcome, RESOLVE_OK);
	assert_target(0, SIP_TRANSP_TLS, "192.0.2.1:5071");
}

static void forged_and_broken_answers_are_not_believed(void **state)
{
	static const enum mood moods[] = { WRONG_ID, GARBAGE, LOOPS };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(moods); i++) {
		world.mood[0] = world.mood[1] = moods[i];
		find("sip:plain.test:5060", true);
		assert_int_not_equal(world.outcome, RESOLVE_OK);
		assert_int_equal(world.count, 0);
		resolver_flush(world.resolver);
	}
}

static bool only_public(const struct sa *addr, void *arg)
{
	(void)arg;
	return !address_is_private(addr);
}

static void forbidden_addresses_are_left_out(void **state)
{
	(void)state;
	resolver_set_policy(world.resolver, only_public, NULL);
	find("sip:mixed.test", false);
	assert_int_equal(world.outcome, RESOLVE_OK);
	assert_int_equal(world.count, 1);
	assert_target(0, SIP_TRANSP_UDP, "8.8.4.4:5060");
	find("sip:inside.test", false);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_ALLOWED);
	find("sip:127.0.0.1", false);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_ALLOWED);
	find("sip:localhost", false);
	assert_int_equal(world.outcome, RESOLVE_E_NOT_ALLOWED);
	find("sip:inside.test", true);
	assert_int_equal(world.outcome, RESOLVE_OK);
}

static void a_target_that_failed_goes_last_for_a_while(void **state)
{
	struct target first;

	(void)state;
	assert_found("sip:plain.test", 2);
	first = world.targets[0];
	resolver_report(world.resolver, &first, false);
	assert_found("sip:plain.test", 2);
	assert_target(1, SIP_TRANSP_UDP, "192.0.2.20:5060");
	wheel_advance_to(world.wheel, wheel_now_ms(world.wheel) + 31000);
	assert_found("sip:plain.test", 2);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.20:5060");
	resolver_report(world.resolver, &first, false); /* the second time for longer */
	wheel_advance_to(world.wheel, wheel_now_ms(world.wheel) + 31000);
	assert_found("sip:plain.test", 2);
	assert_target(1, SIP_TRANSP_UDP, "192.0.2.20:5060");
	resolver_report(world.resolver, &first, true);
	assert_found("sip:plain.test", 2);
	assert_target(0, SIP_TRANSP_UDP, "192.0.2.20:5060");
}

static void nonsense_is_not_asked_for(void **state)
{
	static const char *const bad[] = { "sip:a..b", "sip:a%20b", "sip:-_-.$x" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		find(bad[i], true);
		assert_int_equal(world.outcome, RESOLVE_E_BAD);
	}
	find("sips:plain.test;transport=udp", true);
	assert_int_equal(world.outcome, RESOLVE_E_BAD);
	assert_int_equal(questions(), 0);
}

static void private_addresses_are_known(void **state)
{
	static const char *const inside[] = {
		"127.0.0.1",	    "10.0.0.1",	       "172.16.0.1", "172.31.255.255",
		"192.168.1.1",	    "169.254.169.254", "100.64.0.1", "0.0.0.0",
		"224.0.0.1",	    "255.255.255.255", "::1",	     "::",
		"fe80::1",	    "fc00::1",	       "fd12::1",    "::ffff:10.0.0.1",
		"::ffff:127.0.0.1", "2002:7f00:1::1",  "ff02::1",    "64:ff9b::a00:1",
		"2001:db8::1"
	};
	static const char *const outside[] = { "8.8.8.8",	 "172.32.0.1",	   "172.15.0.1",
					       "100.128.0.1",	 "192.169.0.1",	   "2a00:1450::1",
					       "::ffff:8.8.8.8", "2002:808:808::1" };
	struct sa addr;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(inside); i++) {
		assert_int_equal(sa_set_str(&addr, inside[i], 0), 0);
		assert_true(address_is_private(&addr));
	}
	for (unsigned i = 0; i < ARRAY_LEN(outside); i++) {
		assert_int_equal(sa_set_str(&addr, outside[i], 0), 0);
		assert_false(address_is_private(&addr));
	}
}

static int prepare(void **state)
{
	FILE *file;
	int fd;

	(void)state;
	snprintf(world.hosts, sizeof(world.hosts), "/tmp/sip-hosts-XXXXXX");
	fd = mkstemp(world.hosts);
	file = fdopen(fd, "w");
	fputs("# comment\n192.0.2.99\there.test other.test # more\n192.0.2.98 here.test\nnonsense here.test\n",
	      file);
	fclose(file);
	world.poller = poller_new();
	return libre_init();
}

static int clean(void **state)
{
	(void)state;
	unlink(world.hosts);
	poller_free(world.poller);
	libre_close();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_need_no_names),
		TEST(names_in_the_hosts_file_need_no_server),
		TEST(naptr_leads_to_srv_in_its_order),
		TEST(sips_takes_only_what_is_secure),
		TEST(without_naptr_each_transport_has_its_srv),
		TEST(srv_weights_share_the_load),
		TEST(without_srv_it_is_the_address_itself),
		TEST(a_port_asks_for_addresses_only),
		TEST(a_service_that_is_decidedly_absent_is_not_found),
		TEST(answers_are_kept_as_long_as_they_say),
		TEST(what_does_not_exist_is_kept_too),
		TEST(many_who_ask_the_same_ask_once),
		TEST(a_silent_server_gives_way_to_the_next),
		TEST(a_server_silent_to_naptr_is_waited_for_once),
		TEST(silence_of_all_is_not_kept),
		TEST(a_server_that_refuses_gives_way_at_once),
		TEST(silence_of_all_is_a_timeout_after_five_seconds_a_question),
		TEST(forged_and_broken_answers_are_not_believed),
		TEST(forbidden_addresses_are_left_out),
		TEST(a_target_that_failed_goes_last_for_a_while),
		TEST(nonsense_is_not_asked_for),
		TEST(private_addresses_are_known),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
