/* The registrar for our own devices (RFC 3261 10.3), and what a device may do. */
#include "deck.h"

#include "sip/digest.h"

#include <stdio.h>

static struct deck deck;
static struct id bindings_device;
static unsigned bindings_count, bindings_reports;

/* Two devices, "phone1" and "phone2"; the password is their name backwards. */
static bool lookup(const char *username, struct registrar_device *ret, void *arg)
{
	const char *password;
	struct pl user, realm, secret;
	char hex[DIGEST_HEX_SIZE];

	(void)arg;
	if (strcmp(username, "phone1") && strcmp(username, "phone2"))
		return false;
	password = strcmp(username, "phone1") ? "2enohp" : "1enohp";
	pl_set_str(&user, username);
	pl_set_str(&realm, "jackfield.test");
	pl_set_str(&secret, password);
	memset(ret, 0, sizeof(*ret));
	ret->id.byte[0] = 1;
	ret->id.byte[15] = (uint8_t)username[5];
	digest_ha1(DIGEST_MD5, user, realm, secret, hex);
	str_copy(ret->ha1_md5, sizeof(ret->ha1_md5), hex);
	digest_ha1(DIGEST_SHA256, user, realm, secret, hex);
	str_copy(ret->ha1_sha256, sizeof(ret->ha1_sha256), hex);
	return true;
}

static void on_bindings(struct id device, unsigned count, const struct registrar_binding *newest,
			void *arg)
{
	(void)arg;
	(void)newest;
	bindings_device = device;
	bindings_count = count;
	bindings_reports++;
}

static struct id phone(unsigned n)
{
	struct id id = { { 1 } };

	id.byte[15] = (uint8_t)('0' + n);
	return id;
}

static int setup(void **state)
{
	const struct ua_setup setup_with = {
		.no_session_timers = true,
		.registrar = { .realm = "jackfield.test", .handlers = { lookup, on_bindings } },
	};

	(void)state;
	bindings_count = bindings_reports = 0;
	deck_open_with(&deck, &setup_with);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	deck_close_dirty(&deck);
	return 0;
}

static unsigned cseq = 1;

static void say_register(enum sip_transp transport, const char *name, const char *lines,
			 const char *authorization)
{
	cseq++;
	kit_say(&deck.kit, transport,
		"REGISTER sip:jackfield.test SIP/2.0\nVia: SIP/2.0/%s 10.0.0.2:5060;branch=z9hG4bKr%u;rport\nMax-Forwards: 70\n"
		"From: <sip:%s@jackfield.test>;tag=f\nTo: <sip:%s@jackfield.test>\nCall-ID: reg-%s\nCSeq: %u REGISTER\n%s%s"
		"Content-Length: 0\n\n",
		transport == SIP_TRANSP_TCP ? "TCP" : "UDP", cseq, name, name, name, cseq, lines,
		authorization);
	kit_run(&deck.kit, 10);
}

/* The Authorization line that answers the last challenge. */
static const char *answer(const char *name, const char *password, const char *method,
			  const char *uri)
{
	static char line[2048];
	const char *challenge = kit_last(&deck.kit);
	bool proxy = str_has_prefix(challenge, "SIP/2.0 407");
	struct digest_jar *jar = digest_jar_new();
	struct digest_creds creds = { 0 };
	struct digest_round round = { 0 };
	struct digest_request request = { .method = method, .uri = uri };
	auto_(buf_fini) struct buf out = BUF_MAX(2048);
	struct mbuf *mb = mbuf_alloc(2048);
	struct sip_msg *msg = NULL;

	assert_int_equal(mbuf_write_str(mb, challenge), 0);
	mb->pos = 0;
	assert_int_equal(inmsg_decode(&msg, mb), 0);
	digest_creds_set(&creds, name, password);
	assert_int_equal(digest_jar_challenged(jar, &creds, &round, msg), 0);
	digest_jar_sign(jar, &creds, &round, &request, &out);
	snprintf(line, sizeof(line), "%.*s\n", (int)strcspn(out.data, "\r"), out.data);
	assert_int_equal(str_has_prefix(line, "Proxy-"), proxy);
	digest_creds_fini(&creds);
	digest_jar_free(jar);
	mem_deref(msg);
	mem_deref(mb);
	return line;
}

static const char *password_of(const char *name)
{
	return strcmp(name, "phone1") ? "2enohp" : "1enohp";
}

static void register_as(enum sip_transp transport, const char *name, const char *lines)
{
	say_register(transport, name, lines, "");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 401"));
	say_register(transport, name, lines,
		     answer(name, password_of(name), "REGISTER", "sip:jackfield.test"));
}

#define CONTACT "Contact: <sip:phone1@10.0.0.2:5060>\n"

static void a_phone_registers_and_refreshes(void **state)
{
	struct registrar_binding binding;

	(void)state;
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT, "");
	assert_non_null(strstr(kit_last(&deck.kit), "algorithm=SHA-256"));
	assert_true(strstr(kit_last(&deck.kit), "algorithm=SHA-256") <
		    strstr(kit_last(&deck.kit), "algorithm=MD5"));
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT "Expires: 1800\nUser-Agent: Phone/1\n");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	assert_string_equal(kit_header(kit_last(&deck.kit), "Contact"),
			    "<sip:phone1@10.0.0.2:5060>;expires=1800");
	assert_int_equal(bindings_count, 1);
	assert_true(id_eq(bindings_device, phone(1)));
	assert_int_equal(registrar_bindings(ua_registrar(deck.ua), phone(1), &binding, 1), 1);
	assert_string_equal(binding.contact, "sip:phone1@10.0.0.2:5060");
	assert_string_equal(binding.user_agent, "Phone/1");
	assert_non_null(binding.flow);
	kit_run(&deck.kit, 900000);
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT "Expires: 1800\n");
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 1);
	kit_run(&deck.kit, 1801000);
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 1);
	kit_run(&deck.kit, 2000); /* expired */
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
	assert_int_equal(bindings_count, 0);
}

static void an_md5_phone_and_a_baresip_are_served(void **state)
{
	char line[2048];

	(void)state;
	say_register(SIP_TRANSP_UDP, "phone1",
		     CONTACT "User-Agent: baresip v1.0.0 (x86_64/linux)\n", "");
	assert_null(strstr(kit_last(&deck.kit), "SHA-256"));
	str_copy(line, sizeof(line), answer("phone1", "1enohp", "REGISTER", "sip:jackfield.test"));
	assert_non_null(strstr(line, "algorithm=MD5"));
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT, line);
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
}

/* RFC 4475 3.3.7, 3.3.12-3.3.14, where it is the registrar that decides. */
static void odd_registrations_are_read_as_they_are_meant(void **state)
{
	(void)state;
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT,
		     "Authorization: UnknownScheme data=here\n"); /* regaut01 */
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 401"));
	register_as(SIP_TRANSP_UDP, "phone1",
		    "Contact: sip:phone1@10.0.0.2:5061;odd\n"); /* cparam01 */
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	assert_non_null(
		strstr(kit_header(kit_last(&deck.kit), "Contact"), "<sip:phone1@10.0.0.2:5061>"));
	register_as(SIP_TRANSP_UDP, "phone1",
		    "Contact: <sip:phone1@10.0.0.2:5062;odd>\n"); /* cparam02 */
	assert_non_null(strstr(kit_last(&deck.kit), "<sip:phone1@10.0.0.2:5062;odd>"));
	register_as(
		SIP_TRANSP_UDP, "phone1",
		"Contact: <sip:phone1@10.0.0.2:5063?Route=%3Csip:p.example%3E>\n"); /* regescrt */
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	assert_null(strstr(kit_last(&deck.kit), "\nRoute:"));
}

static void unknown_names_get_no_word(void **state)
{
	(void)state;
	say_register(SIP_TRANSP_UDP, "nobody", "Contact: <sip:x@10.0.0.2>\n", "");
	assert_int_equal(deck.kit.seen_count, 0);
}

static void several_contacts_fetch_and_removal(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1",
		    "Contact: <sip:a@10.0.0.2:5060>\nContact: <sip:b@10.0.0.2:5061>;expires=300\n");
	assert_int_equal(bindings_count, 2);
	register_as(SIP_TRANSP_UDP, "phone1", "");
	assert_non_null(strstr(kit_last(&deck.kit), "<sip:a@10.0.0.2:5060>"));
	assert_non_null(strstr(kit_last(&deck.kit), "<sip:b@10.0.0.2:5061>;expires="));
	assert_int_equal(bindings_reports, 1); /* asking changes nothing */
	register_as(SIP_TRANSP_UDP, "phone1", "Contact: <sip:a@10.0.0.2:5060>;expires=0\n");
	assert_int_equal(bindings_count, 1);
	register_as(SIP_TRANSP_UDP, "phone1", "Contact: *\nExpires: 60\n");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 400"));
	register_as(SIP_TRANSP_UDP, "phone1", "Contact: *\nExpires: 0\n");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
}

static void contacts_are_bounded_and_the_oldest_goes(void **state)
{
	char line[128];

	(void)state;
	for (int i = 0; i < 15; i++) {
		snprintf(line, sizeof(line), "Contact: <sip:phone1@10.0.0.2:%d>\n", 6000 + i);
		register_as(SIP_TRANSP_UDP, "phone1", line);
	}
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), REGISTRAR_CONTACTS);
	assert_null(strstr(kit_last(&deck.kit), ":6004>"));
	assert_non_null(strstr(kit_last(&deck.kit), ":6014>"));
}

static void too_brief_is_423_and_nat_keeps_it_short(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT "Expires: 10\n");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 423"));
	assert_string_equal(kit_header(kit_last(&deck.kit), "Min-Expires"), "60");
	register_as(SIP_TRANSP_UDP, "phone1",
		    "Contact: <sip:phone1@192.168.1.5:5060>\nExpires: 3600\n");
	assert_non_null(strstr(kit_last(&deck.kit), ";expires=120"));
}

static void a_wrong_password_is_throttled_but_a_working_phone_is_not(void **state)
{
	unsigned answered;

	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT);
	for (int i = 0; i < 30; i++) {
		say_register(SIP_TRANSP_UDP, "phone2", "Contact: <sip:phone2@10.0.0.2>\n", "");
		if (!str_has_prefix(kit_last(&deck.kit), "SIP/2.0 401"))
			break;
		say_register(SIP_TRANSP_UDP, "phone2", "Contact: <sip:phone2@10.0.0.2>\n",
			     answer("phone2", "guess", "REGISTER", "sip:jackfield.test"));
	}
	assert_int_equal(deck_count(&deck, "SIP/2.0 403"), 10);
	answered = deck.kit.seen_count;
	say_register(SIP_TRANSP_UDP, "phone2", "Contact: <sip:phone2@10.0.0.2>\n", "");
	assert_int_equal(deck.kit.seen_count, answered); /* not a word */
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT);	 /* the same address, and still fine */
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	kit_run(&deck.kit, 61000);
	register_as(SIP_TRANSP_UDP, "phone2", "Contact: <sip:phone2@10.0.0.2:5070>\n");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
}

static void one_device_cannot_register_another(void **state)
{
	(void)state;
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT, "");
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT,
		     answer("phone2", "2enohp", "REGISTER", "sip:jackfield.test"));
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 403"));
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
}

static void a_replayed_register_is_not_taken(void **state)
{
	char line[2048];

	(void)state;
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT, "");
	str_copy(line, sizeof(line), answer("phone1", "1enohp", "REGISTER", "sip:jackfield.test"));
	say_register(SIP_TRANSP_UDP, "phone1", CONTACT, line);
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 200"));
	say_register(SIP_TRANSP_UDP, "phone1", "Contact: <sip:thief@10.6.6.6>\n", line);
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 401"));
	assert_non_null(strstr(kit_last(&deck.kit), "stale=true"));
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 1);
}

static void say_invite(enum sip_transp transport, const char *from, unsigned number,
		       const char *authorization)
{
	kit_say(&deck.kit, transport,
		"INVITE sip:100@jackfield.test SIP/2.0\nVia: SIP/2.0/%s 10.0.0.2:5060;branch=z9hG4bKd%u;rport\nMax-Forwards: 70\n"
		"From: <sip:%s@jackfield.test>;tag=f%u\nTo: <sip:100@jackfield.test>\nCall-ID: call%s\nCSeq: %u INVITE\n"
		"Contact: <sip:%s@10.0.0.2:5060>\nX-Profile-Id: 0190a0b0-0000-7000-8000-000000000001\n%s"
		"Content-Type: application/sdp\nContent-Length: 5\n\nv=0\n",
		transport == SIP_TRANSP_TCP ? "TCP" : "UDP", number, from, 1u, from, number, from,
		authorization);
	kit_run(&deck.kit, 10);
}

static void ack_refusal(unsigned number, const char *from)
{
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"ACK sip:100@jackfield.test SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKd%u;rport\nMax-Forwards: 70\n"
		"From: <sip:%s@jackfield.test>;tag=f1\nTo: %s\nCall-ID: call%s\nCSeq: %u ACK\nContent-Length: 0\n\n",
		number, from, kit_header(kit_last(&deck.kit), "To"), from, number);
	kit_run(&deck.kit, 10);
}

static void a_phone_calls_out_after_a_challenge(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT);
	say_invite(SIP_TRANSP_UDP, "phone1", 1, "");
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 407"));
	assert_int_equal(deck.incomings, 0);
	say_invite(SIP_TRANSP_UDP, "phone1", 2,
		   answer("phone1", "1enohp", "INVITE", "sip:100@jackfield.test"));
	assert_int_equal(deck.incomings, 1);
	assert_true(id_eq(deck.last_incoming.device, phone(1)));
	assert_null(deck.last_incoming.account);
	assert_string_equal(deck.called, "100");
	assert_false(id_is_none(deck.last_incoming.profile));
	assert_string_equal(deck.in.peer.number, "phone1");
	session_reject(deck.in.session, 404, NULL, 0, NULL);
	kit_run(&deck.kit, 10);
	ack_refusal(2, "phone1");
}

static void a_connection_that_registered_needs_no_challenge(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_TCP, "phone1",
		    "Contact: <sip:phone1@192.168.1.5:5060;transport=tcp>\n");
	assert_int_equal(bindings_count, 1);
	say_invite(SIP_TRANSP_TCP, "phone1", 1, "");
	assert_int_equal(deck.incomings, 1);
	session_forget(deck.in.session);
	say_invite(SIP_TRANSP_TCP, "phone2", 1, ""); /* another name on that connection is asked */
	assert_int_equal(deck.incomings, 1);
	sim_net_cut(deck.kit.net,
		    KIT_PEER); /* behind NAT, without its connection: it cannot be called */
	kit_run(&deck.kit, 100);
	assert_int_equal(bindings_count, 0);
}

static void strangers_are_not_answered(void **state)
{
	(void)state;
	say_invite(SIP_TRANSP_UDP, "sipvicious", 1, "");
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"OPTIONS sip:100@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKs1\nMax-Forwards: 70\n"
		"From: <sip:s@x>;tag=1\nTo: <sip:100@10.0.0.1>\nCall-ID: scan\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n");
	kit_run(&deck.kit, 10);
	assert_int_equal(deck.kit.seen_count, 0);
	assert_int_equal(deck.incomings, 0);
}

static void a_number_is_dialled_whole_or_not_at_all(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_TCP, "phone1",
		    "Contact: <sip:phone1@192.168.1.5:5060;transport=tcp>\n");
	kit_say(&deck.kit, SIP_TRANSP_TCP,
		"INVITE sip:%0200d@jackfield.test SIP/2.0\nVia: SIP/2.0/TCP 10.0.0.2:5060;branch=z9hG4bKl;rport\n"
		"Max-Forwards: 70\nFrom: <sip:phone1@jackfield.test>;tag=f\nTo: <sip:1@jackfield.test>\nCall-ID: long\n"
		"CSeq: 1 INVITE\nContact: <sip:phone1@10.0.0.2:5060>\nContent-Length: 0\n\n",
		7);
	kit_run(&deck.kit, 10);
	assert_true(str_has_prefix(kit_last(&deck.kit), "SIP/2.0 414"));
	assert_int_equal(deck.incomings, 0);
}

static void a_deleted_device_is_forgotten(void **state)
{
	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1", CONTACT);
	registrar_forget(ua_registrar(deck.ua), phone(1));
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
	assert_int_equal(bindings_count, 0);
}

static void a_call_to_a_phone_goes_over_its_flow(void **state)
{
	struct registrar_binding binding;
	struct session_place place;
	struct session_dial dial = {
		.place = &place,
		.to = "phone1",
		.domain = "jackfield.test",
		.id = { "+4930", "Ann", SESSION_ID_PLAIN },
		.offer = SESSION_SDP(DECK_SDP("1"), strlen(DECK_SDP("1"))),
	};

	(void)state;
	register_as(SIP_TRANSP_UDP, "phone1", "Contact: <sip:phone1@192.168.1.5:5060>\n");
	assert_int_equal(registrar_bindings(ua_registrar(deck.ua), phone(1), &binding, 1), 1);
	place = (struct session_place){ .contact = binding.contact,
					.flow = binding.flow,
					.path = binding.path };
	deck_dial_as(&deck, &dial);
	assert_non_null(strstr(deck_got(&deck, "INVITE "), "INVITE sip:phone1@192.168.1.5:5060"));
	assert_true(str_has_prefix(kit_header(deck_got(&deck, "INVITE "), "From"),
				   "\"Ann\" <sip:+4930@jackfield.test>"));
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"SIP/2.0 200 OK\nVia: %s\nFrom: %s\nTo: %s;tag=p\nCall-ID: %s\nCSeq: 1 INVITE\nContact: <sip:phone1@192.168.1.5:5060>\n"
		"Content-Type: application/sdp\nContent-Length: 5\n\nv=0\n",
		kit_header(deck_got(&deck, "INVITE "), "Via"),
		kit_header(deck_got(&deck, "INVITE "), "From"),
		kit_header(deck_got(&deck, "INVITE "), "To"),
		kit_header(deck_got(&deck, "INVITE "), "Call-ID"));
	kit_run(&deck.kit, 10);
	assert_non_null(deck_got(
		&deck, "ACK sip:phone1@192.168.1.5:5060")); /* its private address, by its flow */
	assert_log(&deck.out, "A200+");
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 10);
	assert_non_null(deck_got(&deck, "BYE sip:phone1@192.168.1.5:5060"));
}

/* As it would be after a restart: the place is remembered, the connection is not. */
static bool restore(enum sip_transp transport, const char *contact, const char *source,
		    int64_t for_us)
{
	struct registrar_binding binding = {
		.device = phone(1),
		.contact = contact,
		.user_agent = "Phone/1",
		.expires_us = wheel_wall_us(ua_wheel(deck.ua)) + for_us,
	};
	struct sa addr;

	assert_int_equal(sa_decode(&addr, source, strlen(source)), 0);
	binding.source = &addr;
	return registrar_restore(ua_registrar(deck.ua), "phone1", transport, &binding);
}

static void a_restored_phone_is_called_and_expires(void **state)
{
	struct registrar_binding binding;

	(void)state;
	assert_true(
		restore(SIP_TRANSP_UDP, "sip:phone1@192.168.1.5:5060", "10.0.0.2:5060", 60000000));
	assert_int_equal(bindings_count, 1);
	assert_int_equal(registrar_bindings(ua_registrar(deck.ua), phone(1), &binding, 1), 1);
	assert_non_null(
		binding.flow); /* behind NAT: only the path that it registered over leads there */
	assert_true(sa_port(flow_remote(binding.flow)) == 5060);
	/* It refreshes the same binding. */
	register_as(SIP_TRANSP_UDP, "phone1",
		    "Contact: <sip:phone1@192.168.1.5:5060>\nExpires: 90\n");
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 1);
	/* What is older than what the phone has said itself is not taken. */
	assert_false(
		restore(SIP_TRANSP_UDP, "sip:phone1@192.168.1.5:5060", "10.0.0.9:5060", 60000000));
	kit_run(&deck.kit, 93000);
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
	assert_int_equal(bindings_count, 0);
}

static void what_cannot_be_reached_is_not_restored(void **state)
{
	(void)state;
	assert_false(restore(SIP_TRANSP_UDP, "sip:phone1@10.0.0.2", "10.0.0.2:5060", -1000));
	assert_false(restore(SIP_TRANSP_UDP, "nonsense", "10.0.0.2:5060", 60000000));
	assert_false(restore(SIP_TRANSP_NONE, "sip:phone1@192.168.1.5;transport=tcp",
			     "10.0.0.2:40000", 60000000));
	assert_int_equal(registrar_count(ua_registrar(deck.ua)), 0);
	/* A phone that listens can be connected to. */
	assert_true(restore(SIP_TRANSP_NONE, "sip:phone1@10.0.0.2;transport=tcp", "10.0.0.2:40000",
			    60000000));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_phone_registers_and_refreshes),
		T(an_md5_phone_and_a_baresip_are_served),
		T(odd_registrations_are_read_as_they_are_meant),
		T(unknown_names_get_no_word),
		T(several_contacts_fetch_and_removal),
		T(contacts_are_bounded_and_the_oldest_goes),
		T(too_brief_is_423_and_nat_keeps_it_short),
		T(a_wrong_password_is_throttled_but_a_working_phone_is_not),
		T(one_device_cannot_register_another),
		T(a_replayed_register_is_not_taken),
		T(a_phone_calls_out_after_a_challenge),
		T(a_connection_that_registered_needs_no_challenge),
		T(strangers_are_not_answered),
		T(a_number_is_dialled_whole_or_not_at_all),
		T(a_deleted_device_is_forgotten),
		T(a_call_to_a_phone_goes_over_its_flow),
		T(a_restored_phone_is_called_and_expires),
		T(what_cannot_be_reached_is_not_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
