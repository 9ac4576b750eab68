/* Registration against a registrar that the test plays (RFC 3261 10.2, RFC 5626, RFC 8760). */
#include "deck.h"

#include <stdio.h>

static struct deck deck;
static const struct id profile = { { 9 } };
static struct account_setup account;

static int setup(void **state)
{
	(void)state;
	deck_open(&deck);
	account = (struct account_setup){
		.id = profile,
		.username = "alice",
		.server = "10.0.0.2",
		.password = "secret",
		.registers = true,
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	deck_close_dirty(&deck);
	return 0;
}

static void put(void)
{
	assert_int_equal(regs_put(ua_regs(deck.ua), &account), 0);
	kit_run(&deck.kit, 10);
}

static const char *reg(void)
{
	return deck_got(&deck, "REGISTER ");
}

/* 200 with our Contact as it came, and the expiry given. */
static void grant(unsigned expires)
{
	char line[512];

	snprintf(line, sizeof(line), "Contact: %.*s;expires=%u\n",
		 (int)strcspn(kit_header(reg(), "Contact"), ">") + 1, kit_header(reg(), "Contact"),
		 expires);
	deck_answer(&deck, reg(), 200, "r", line, NULL);
}

static void refuse(unsigned code, const char *lines)
{
	deck_answer(&deck, reg(), code, "r", lines, NULL);
}

static void assert_state(enum registration_state state)
{
	struct reg_report report;

	kit_run(&deck.kit, 5);
	assert_true(regs_report(ua_regs(deck.ua), profile, &report));
	assert_string_equal(reg_state_name(report.state), reg_state_name(state));
	assert_string_equal(reg_state_name(deck.report.state),
			    reg_state_name(state)); /* and it was told */
}

/* Seconds until the next REGISTER; 0: none within `limit_s`. */
static unsigned next_within(unsigned limit_s)
{
	unsigned before = deck_count(&deck, "REGISTER ");

	for (unsigned s = 1; s <= limit_s; s++) {
		kit_run(&deck.kit, 1000);
		if (deck_count(&deck, "REGISTER ") != before)
			return s;
	}
	return 0;
}

#define CHALLENGE                                                                                  \
	"WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\n"

static void a_challenge_is_answered_and_the_binding_kept(void **state)
{
	unsigned wait;

	(void)state;
	put();
	assert_true(str_has_prefix(reg(), "REGISTER sip:10.0.0.2 SIP/2.0"));
	assert_non_null(strstr(kit_header(reg(), "From"), "<sip:alice@10.0.0.2>;tag="));
	assert_string_equal(kit_header(reg(), "To"), "<sip:alice@10.0.0.2>");
	refuse(401, CHALLENGE);
	assert_non_null(strstr(kit_header(reg(), "Authorization"), "nc=00000001"));
	assert_string_equal(kit_header(reg(), "CSeq"), "2 REGISTER");
	grant(3600);
	assert_state(REG_REGISTERED);
	assert_string_equal(deck.states.data, "registering registered");
	assert_string_equal(deck.report_registrar, "10.0.0.2:5060");
	assert_int_equal(deck.report.code, 200);
	assert_true(regs_usable(ua_regs(deck.ua), profile));
	wait = next_within(3600);
	assert_in_range(wait, 3390, 3590);
	assert_non_null(strstr(kit_header(reg(), "Authorization"),
			       "nc=00000002")); /* the nonce is reused */
	assert_string_equal(kit_header(reg(), "Call-ID"),
			    kit_header(kit_heard(&deck.kit, 0), "Call-ID"));
	grant(3600);
	assert_state(REG_REGISTERED);
}

static void that_it_registers_is_told_once(void **state)
{
	(void)state;
	assert_int_equal(regs_put(ua_regs(deck.ua), &account), 0);
	assert_true(regs_register(ua_regs(deck.ua), profile));
	kit_run(&deck.kit, 10);
	assert_string_equal(deck.states.data, "registering");
	assert_int_equal(deck.reports, 1);
	refuse(403, NULL);
	assert_state(REG_REJECTED);
	assert_int_equal(deck.reports, 2);
	assert_true(regs_register(ua_regs(deck.ua), profile));
	kit_run(&deck.kit, 10);
	assert_int_equal(deck.reports, 3);
	grant(600);
	assert_state(REG_REGISTERED);
	assert_int_equal(deck.reports, 4);
}

static void the_granted_time_counts_not_the_asked_one(void **state)
{
	static const struct {
		unsigned granted, least, most;
	} cases[] = { { 3600, 3391, 3590 },
		      { 600, 541, 590 },
		      { 120, 85, 110 },
		      { 60, 28, 54 },
		      { 30, 22, 27 } };

	(void)state;
	put();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		grant(cases[i].granted);
		assert_in_range(next_within(3700), cases[i].least, cases[i].most);
	}
}

static void expiry_comes_from_our_own_contact_even_when_rewritten(void **state)
{
	char line[512], token[64];

	(void)state;
	put();
	assert_int_equal(sscanf(kit_header(reg(), "Contact"), "<sip:%63[^@]", token), 1);
	assert_int_equal(strlen(token), 24);
	snprintf(
		line, sizeof(line),
		"Contact: <sip:phone@192.0.2.9>;expires=7000\nContact: <sip:%s@198.51.100.7:9999>;expires=200\nExpires: 900\n",
		token);
	refuse(200, line);
	assert_state(REG_REGISTERED);
	assert_int_equal(deck.report.other_bindings,
			 2); /* the phone, and the Contact that deck_answer adds */
	assert_in_range(next_within(300), 140, 190);
}

/* A border controller shows its own address and name in place of ours. */
static void a_binding_under_another_name_does_not_run_out(void **state)
{
	(void)state;
	put();
	refuse(200, "Contact: <sip:b2b-4711@198.51.100.7>;expires=120\n");
	assert_state(REG_REGISTERED);
	assert_in_range(next_within(300), 60, 115);
	refuse(200,
	       "Contact: <sip:b2b-4711@198.51.100.7>;expires=1\n"); /* somebody's that runs out */
	assert_in_range(next_within(300), 15, 29);
}

static void a_wrong_password_is_given_up_after_three_requests(void **state)
{
	static const unsigned minutes[] = { 1, 5, 15, 30 };

	(void)state;
	put();
	refuse(401, CHALLENGE);
	refuse(401, CHALLENGE);
	assert_state(REG_AUTH_FAILED);
	assert_int_equal(deck_count(&deck, "REGISTER "), 2);
	assert_int_equal(deck.report.code, 401);
	assert_string_equal(deck.report_reason, "Because");
	assert_false(regs_usable(ua_regs(deck.ua), profile));
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++) {
		assert_true(deck.report.next_attempt_us > 0);
		assert_in_range(next_within(2000), minutes[i] * 60 - 1, minutes[i] * 60 + 1);
		refuse(401, CHALLENGE);
		refuse(401, CHALLENGE);
		assert_state(REG_AUTH_FAILED);
	}
	assert_int_equal(deck.report.next_attempt_us, 0); /* suspended, and says so */
	assert_int_equal(next_within(20000), 0);
	account.password = "better"; /* any edit arms it again */
	put();
	assert_int_equal(next_within(5) || deck_count(&deck, "REGISTER ") == 11, 1);
	refuse(401, CHALLENGE);
	grant(600);
	assert_state(REG_REGISTERED);
}

static void stale_nonces_are_replaced_silently(void **state)
{
	(void)state;
	put();
	refuse(401, CHALLENGE);
	refuse(401,
	       "WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", stale=true, qop=\"auth\"\n");
	assert_non_null(strstr(kit_header(reg(), "Authorization"), "n2"));
	grant(600);
	assert_state(REG_REGISTERED);
	next_within(600);
	refuse(401,
	       "WWW-Authenticate: Digest realm=\"r\", nonce=\"n3\", qop=\"auth\"\n"); /* no stale, though it is */
	assert_non_null(strstr(kit_header(reg(), "Authorization"), "n3"));
	grant(600);
	assert_state(REG_REGISTERED);
	assert_string_equal(deck.states.data, "registering registered"); /* nobody saw it flicker */
}

static void a_challenge_we_cannot_read_is_shown(void **state)
{
	(void)state;
	put();
	refuse(401, "WWW-Authenticate: AKAv9 realm=\"r\"\n");
	assert_state(REG_AUTH_FAILED);
	assert_non_null(strstr(deck.report_reason, "AKAv9"));
}

static void too_brief_is_raised_at_once_and_remembered(void **state)
{
	(void)state;
	account.expires = 60;
	put();
	assert_string_equal(kit_header(reg(), "Expires"), "60");
	refuse(423, "Min-Expires: 1800\n");
	assert_string_equal(kit_header(reg(), "Expires"), "1800");
	grant(1800);
	assert_state(REG_REGISTERED);
	next_within(1800);
	assert_string_equal(kit_header(reg(), "Expires"), "1800");
}

static void outbound_refused_is_dropped_and_remembered(void **state)
{
	(void)state;
	put();
	refuse(439, NULL);
	assert_int_equal(deck_count(&deck, "REGISTER "), 2);
	assert_string_equal(kit_header(reg(), "Supported"), "");
	grant(600);
	assert_state(REG_REGISTERED);
	next_within(600);
	assert_string_equal(kit_header(reg(), "Supported"), "");
}

static void refusals_are_told_apart(void **state)
{
	static const struct {
		unsigned code;
		enum registration_state state;
	} cases[] = {
		{ 403, REG_REJECTED },	 { 404, REG_REJECTED },	  { 410, REG_REJECTED },
		{ 480, REG_RETRY_WAIT }, { 408, REG_RETRY_WAIT }, { 500, REG_RETRY_WAIT },
		{ 503, REG_RETRY_WAIT }, { 305, REG_RETRY_WAIT }, { 400, REG_RETRY_WAIT },
	};

	(void)state;
	put();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		refuse(cases[i].code, NULL);
		assert_state(cases[i].state);
		assert_int_equal(deck.report.code, cases[i].code);
		assert_true(deck.report.next_attempt_us > 0);
		assert_true(next_within(2000) > 0); /* none of them is for ever */
	}
}

static void retries_back_off_to_half_an_hour_with_jitter(void **state)
{
	unsigned base = 30;

	(void)state;
	put();
	for (int i = 0; i<10; i++, base = base * 2> 1800 ? 1800 : base * 2) {
		refuse(500, NULL);
		assert_in_range(next_within(2000), base / 2, base + 1);
	}
	grant(600);
	next_within(600);
	refuse(500, NULL); /* success starts it over */
	assert_in_range(next_within(100), 15, 31);
}

static void retry_after_is_honoured(void **state)
{
	(void)state;
	put();
	refuse(503, "Retry-After: 77 (maintenance)\n");
	assert_state(REG_RETRY_WAIT);
	assert_in_range(next_within(200), 77, 86);
}

static void a_dead_registrar_is_unreachable_and_tried_again(void **state)
{
	(void)state;
	put();
	kit_run(&deck.kit, 33000);
	assert_state(REG_UNREACHABLE);
	assert_string_equal(deck.report_reason, "No answer");
	assert_in_range(next_within(100), 1, 31);
	grant(600);
	assert_state(REG_REGISTERED);
}

static void a_registrar_that_dies_later_is_noticed_and_found_again(void **state)
{
	(void)state;
	put();
	grant(120);
	assert_state(REG_REGISTERED);
	next_within(200);
	kit_run(&deck.kit, 33000);
	assert_state(REG_UNREACHABLE);
	next_within(100);
	grant(120);
	assert_string_equal(deck.states.data,
			    "registering registered unreachable registering registered");
}

static void a_redirection_is_followed_once(void **state)
{
	(void)state;
	put();
	refuse(302, NULL);
	assert_int_equal(deck_count(&deck, "REGISTER "), 2);
	refuse(302, NULL);
	assert_int_equal(deck_count(&deck, "REGISTER "), 2);
	assert_state(REG_RETRY_WAIT);
}

static void deleting_unregisters_with_credentials(void **state)
{
	(void)state;
	put();
	refuse(401, CHALLENGE);
	grant(600);
	regs_remove(ua_regs(deck.ua), profile);
	kit_run(&deck.kit, 5);
	assert_string_equal(kit_header(reg(), "Expires"), "0");
	assert_non_null(strstr(kit_header(reg(), "Contact"), ";expires=0"));
	refuse(401,
	       "WWW-Authenticate: Digest realm=\"r\", nonce=\"n9\", stale=true, qop=\"auth\"\n");
	assert_string_equal(kit_header(reg(), "Expires"), "0");
	assert_non_null(strstr(kit_header(reg(), "Authorization"), "n9"));
	refuse(200, NULL);
	kit_run(&deck.kit, 5);
	assert_true(deck.report.gone);
	assert_false(deck.report.lingering);
	assert_int_equal(regs_count(ua_regs(deck.ua)), 0);
}

static void deleting_waits_four_seconds_at_most_and_says_what_lingers(void **state)
{
	(void)state;
	put();
	grant(600);
	regs_remove(ua_regs(deck.ua), profile);
	kit_run(&deck.kit, 3900);
	assert_int_equal(regs_count(ua_regs(deck.ua)), 1);
	kit_run(&deck.kit, 200);
	assert_true(deck.report.gone);
	assert_true(deck.report.lingering);
	assert_int_equal(regs_count(ua_regs(deck.ua)), 0);
}

static void an_edit_unregisters_the_old_and_registers_the_new(void **state)
{
	char before[64], after[64];

	(void)state;
	put();
	refuse(401, CHALLENGE);
	grant(600);
	assert_int_equal(sscanf(kit_header(reg(), "Contact"), "<sip:%63[^@]", before), 1);
	account.username = "bob";
	put();
	assert_string_equal(kit_header(reg(), "Expires"), "0");
	assert_non_null(strstr(kit_header(reg(), "Contact"), before));
	assert_non_null(strstr(kit_header(reg(), "Authorization"), "username=\"alice\""));
	refuse(200, NULL);
	kit_run(&deck.kit, 200);
	assert_non_null(strstr(kit_header(reg(), "From"), "sip:bob@"));
	assert_int_equal(sscanf(kit_header(reg(), "Contact"), "<sip:%63[^@]", after), 1);
	assert_string_not_equal(before, after);
	grant(600);
	assert_state(REG_REGISTERED);
	put(); /* the same again changes nothing */
	kit_run(&deck.kit, 100);
	assert_int_equal(deck_count(&deck, "REGISTER "), 4);
}

static void unregistered_stays_so_until_asked(void **state)
{
	(void)state;
	put();
	grant(600);
	assert_true(regs_unregister(ua_regs(deck.ua), profile));
	kit_run(&deck.kit, 5);
	refuse(200, NULL);
	assert_state(REG_DISABLED);
	assert_int_equal(next_within(2000), 0);
	assert_true(regs_register(ua_regs(deck.ua), profile));
	kit_run(&deck.kit, 5);
	grant(600);
	assert_state(REG_REGISTERED);
}

static void the_public_address_is_learnt_from_the_challenge(void **state)
{
	char via[512], *rest;

	(void)state;
	put();
	/* the whole Via is ours but for what the registrar saw: rport gets its value (RFC 3581 4) */
	snprintf(via, sizeof(via), "%s", kit_header(reg(), "Via"));
	assert_non_null(strstr(via, ";rport"));
	rest = strstr(via, ";rport") + strlen(";rport");
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"SIP/2.0 401 No\nVia: %.*s=40000;received=203.0.113.5%s\nFrom: %s\nTo: %s;tag=r\nCall-ID: %s\nCSeq: %s\n" CHALLENGE
		"Content-Length: 0\n\n",
		(int)(rest - via), via, rest, kit_header(reg(), "From"), kit_header(reg(), "To"),
		kit_header(reg(), "Call-ID"), kit_header(reg(), "CSeq"));
	kit_run(&deck.kit, 5);
	assert_int_equal(deck_count(&deck, "REGISTER "), 2);
	assert_non_null(strstr(kit_header(reg(), "Contact"), "@203.0.113.5:40000>"));
	grant(600);
	assert_state(REG_REGISTERED);
	next_within(600);
	assert_non_null(strstr(kit_header(reg(), "Contact"), "@203.0.113.5:40000>"));
}

static void service_route_is_used_by_calls(void **state)
{
	(void)state;
	put();
	refuse(200,
	       "Service-Route: <sip:10.0.0.2;lr>\nService-Route: <sip:edge.example;lr>\nExpires: 600\n");
	account_unref(deck.account);
	deck.account = account_ref(regs_account(ua_regs(deck.ua), profile));
	deck_dial(&deck, "100", DECK_SDP("1"));
	assert_string_equal(kit_header(deck_got(&deck, "INVITE "), "Route"), "<sip:10.0.0.2;lr>");
	assert_non_null(strstr(deck_got(&deck, "INVITE "), "Route: <sip:edge.example;lr>\r\n"));
	assert_non_null(strstr(deck_got(&deck, "INVITE "), deck.account->line));
	deck_answer(&deck, deck_got(&deck, "INVITE "), 486, "x", NULL, NULL);
}

static void grant_over_tcp(void)
{
	kit_say(&deck.kit, SIP_TRANSP_TCP,
		"SIP/2.0 200 OK\nVia: %s\nFrom: %s\nTo: %s;tag=r\nCall-ID: %s\nCSeq: %s\nContact: %s\nContent-Length: 0\n\n",
		kit_header(reg(), "Via"), kit_header(reg(), "From"), kit_header(reg(), "To"),
		kit_header(reg(), "Call-ID"), kit_header(reg(), "CSeq"),
		kit_header(reg(), "Contact"));
	kit_run(&deck.kit, 20);
}

static void a_broken_connection_registers_again_at_once(void **state)
{
	unsigned before;

	(void)state;
	account.transport = SIP_TRANSP_TCP;
	put();
	kit_run(&deck.kit, 20);
	assert_non_null(reg());
	grant_over_tcp();
	assert_state(REG_REGISTERED);
	assert_int_equal(deck.moves, 0);
	before = deck_count(&deck, "REGISTER ");
	sim_net_cut(deck.kit.net, KIT_PEER);
	kit_run(&deck.kit, 500);
	assert_int_equal(deck_count(&deck, "REGISTER "), before + 1);
	grant_over_tcp();
	assert_int_equal(deck.moves, 1); /* calls that are up hear of it */
}

static void the_history_is_newest_first_and_bounded(void **state)
{
	struct reg_change changes[REG_HISTORY + 10];

	(void)state;
	put();
	for (int i = 0; i < 60; i++) {
		refuse(500, NULL);
		next_within(2000);
	}
	assert_int_equal(regs_history(ua_regs(deck.ua), profile, changes, REG_HISTORY + 10),
			 REG_HISTORY);
	assert_int_equal(changes[0].state, REG_REGISTERING);
	assert_int_equal(changes[1].state, REG_RETRY_WAIT);
	assert_int_equal(changes[1].code, 500);
	for (int i = 1; i < REG_HISTORY; i++)
		assert_true(changes[i - 1].at_us >= changes[i].at_us);
}

static void impossible_profiles_are_refused(void **state)
{
	static const char *const servers[] = { "", "a b", "x\r\ny", "-x", "sip:x", "a/b", "a;b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		account.server = servers[i];
		assert_int_equal(regs_put(ua_regs(deck.ua), &account), ACCOUNT_E_SERVER);
	}
	account.server = "10.0.0.2";
	account.username = "a\r\nb";
	assert_int_equal(regs_put(ua_regs(deck.ua), &account), ACCOUNT_E_USERNAME);
	account.username = "a";
	account.outbound_proxy = "<sip:x>";
	assert_int_equal(regs_put(ua_regs(deck.ua), &account), ACCOUNT_E_PROXY);
}

/* ---- many ---- */

static struct id nth(unsigned n)
{
	struct id id = { { 1 } };

	memcpy(id.byte + 8, &n, sizeof(n));
	return id;
}

static void first_registrations_are_spread(void **state)
{
	char name[32];

	(void)state;
	deck.quiet_reports = true;
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		account.id = nth(i);
		account.username = name;
		assert_int_equal(regs_put(ua_regs(deck.ua), &account), 0);
	}
	kit_run(&deck.kit, 100);
	assert_in_range(deck_count(&deck, "REGISTER "), 20,
			24); /* a few at once, then 20 a second to one host */
	kit_run(&deck.kit, 400);
	assert_in_range(deck_count(&deck, "REGISTER "), 25, 32);
}

static void many_dead_profiles_do_not_touch_a_live_one(void **state)
{
	char name[32];

	(void)state;
	deck.only = profile;
	account.expires = 60;
	for (unsigned i = 0; i < 500; i++) {
		struct account_setup dead = account;

		snprintf(name, sizeof(name), "10.9.%u.%u", i / 250, i % 250 + 1);
		dead.id = nth(i);
		dead.server = name;
		assert_int_equal(regs_put(ua_regs(deck.ua), &dead), 0);
	}
	kit_run(&deck.kit, 1000);
	put();
	kit_run(&deck.kit, 5000);
	assert_non_null(reg());
	for (int i = 0; i < 30; i++) {
		grant(60);
		kit_forget(&deck.kit);
		assert_in_range(next_within(60), 28, 55);
	}
	grant(60);
	assert_state(REG_REGISTERED);
	assert_non_null(strstr(deck.states.data, "registered"));
	assert_null(strstr(deck.states.data, "unreachable"));
}

static void on_stopped(void *arg)
{
	bool *done = arg;

	*done = true;
}

static void stopping_unregisters_all(void **state)
{
	bool done = false;

	(void)state;
	put();
	grant(600);
	regs_stop(ua_regs(deck.ua), on_stopped, &done);
	kit_run(&deck.kit, 5);
	assert_string_equal(kit_header(reg(), "Expires"), "0");
	assert_false(done);
	refuse(200, NULL);
	assert_state(REG_DISABLED);
	assert_true(done);
}

/* ---- whose call is it ---- */

static void a_call_with_our_token_finds_its_profile(void **state)
{
	char token[64];

	(void)state;
	put();
	assert_int_equal(sscanf(kit_header(reg(), "Contact"), "<sip:%63[^@]", token), 1);
	grant(600);
	deck_invite(&deck, token, 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1);
	assert_true(id_eq(deck.last_incoming.account->id, profile));
	session_reject(deck.in.session, 486, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 1, "ACK", NULL);
	/* from somewhere else the token opens nothing, and nobody answers */
	kit_forget(&deck.kit);
	kit_say_from(
		&deck.kit, SIP_TRANSP_UDP, "10.6.6.6:5060",
		"INVITE sip:%s@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.6.6.6;branch=z9hG4bKevil\nMax-Forwards: 70\n"
		"From: <sip:e@x>;tag=1\nTo: <sip:%s@x>\nCall-ID: evil\nCSeq: 1 INVITE\nContact: <sip:e@10.6.6.6>\n"
		"Content-Length: 0\n\n",
		token, token);
	kit_run(&deck.kit, 100);
	assert_int_equal(deck.incomings, 1);
}

static void without_the_token_the_name_decides_among_known_sources(void **state)
{
	(void)state;
	put();
	grant(600);
	account.id = nth(2);
	account.username = "carol";
	put();
	grant(600);
	deck_invite(&deck, "carol", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1);
	assert_string_equal(deck.last_incoming.account->username, "carol");
	session_reject(deck.in.session, 486, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 1, "ACK", NULL);
	deck_invite(&deck, "nobody", 2, "P-Called-Party-ID: <sip:alice@10.0.0.2>\n",
		    DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 2);
	assert_string_equal(deck.last_incoming.account->username, "alice");
	assert_string_equal(deck.called, "alice");
	session_reject(deck.in.session, 486, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 2, "ACK", NULL);
	kit_forget(&deck.kit);
	deck_invite(&deck, "nobody", 3, NULL,
		    DECK_PEER_SDP("1")); /* two profiles there: never guessed */
	assert_int_equal(deck.incomings, 2);
	assert_non_null(deck_got(&deck, "SIP/2.0 404")); /* a provider is told so at once */
}

static void a_trunk_is_known_by_its_address(void **state)
{
	(void)state;
	account.registers = false;
	put();
	kit_run(&deck.kit, 50);
	assert_true(regs_usable(ua_regs(deck.ua), profile));
	assert_null(reg());
	deck_invite(&deck, "+4930123", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1);
	assert_string_equal(deck.called, "+4930123");
	session_reject(deck.in.session, 404, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 1, "ACK", NULL);
}

static void a_trunk_of_the_same_name_takes_no_calls_of_who_is_registered(void **state)
{
	(void)state;
	put();
	grant(600);
	account.id = nth(2);
	account.registers = false;
	put();
	account.id = nth(3);
	put();
	kit_run(&deck.kit, 50);
	deck_invite(&deck, "alice", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1);
	assert_true(deck.last_incoming.account->registers);
	session_reject(deck.in.session, 486, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 1, "ACK", NULL);
	/* without the proof there are two who say so: nobody's */
	regs_remove(ua_regs(deck.ua), profile);
	grant(0);
	kit_run(&deck.kit, 5000);
	kit_forget(&deck.kit);
	deck_invite(&deck, "alice", 2, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1);
	assert_non_null(deck_got(&deck, "SIP/2.0 404"));
}

static void a_proxys_profile_is_known_by_its_servers_address_too(void **state)
{
	(void)state;
	account.registers = false;
	account.server = "10.0.0.7";
	account.outbound_proxy = "10.0.0.2";
	put();
	kit_run(&deck.kit, 50);
	deck_invite(&deck, "+4930123", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 1); /* from the proxy */
	session_reject(deck.in.session, 404, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 1, "ACK", NULL);
	account.server = "10.0.0.2";
	account.outbound_proxy = "10.0.0.2:5070"; /* the same machine: one profile, seen twice */
	put();
	kit_run(&deck.kit, 50);
	deck_invite(&deck, "+4930123", 4, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 2);
	session_reject(deck.in.session, 404, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 4, "ACK", NULL);
	account.outbound_proxy = "10.0.0.7:5070";
	put();
	kit_run(&deck.kit, 50);
	deck_invite(&deck, "+4930123", 2, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 3); /* from the server */
	session_reject(deck.in.session, 404, NULL, 0, NULL);
	kit_run(&deck.kit, 5);
	deck_say_branch(&deck, 2, "ACK", NULL);
	regs_remove(ua_regs(deck.ua), profile);
	kit_run(&deck.kit, 50);
	kit_forget(&deck.kit);
	deck_invite(&deck, "+4930123", 3, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck.incomings, 3);
	assert_int_equal(deck.kit.seen_count, 0); /* nobody's provider any more */
}

/* ---- trying ---- */

static struct probe_result tried;
static char tried_sent[4096], tried_received[4096];

static void on_tried(const struct probe_result *result, void *arg)
{
	const struct probe_step *last = &result->steps[PROBE_STEPS - 1];
	unsigned *count = arg;

	tried = *result;
	str_copy(tried_sent, sizeof(tried_sent), last->sent);
	str_copy(tried_received, sizeof(tried_received), last->received);
	(*count)++;
}

static const char *response_of(const char *message)
{
	static char value[80];
	const char *at = strstr(message, "response=\"");

	assert_non_null(at);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
	assert_true(strlen(value) >= 32);
	return value;
}

static void a_probe_tells_each_step(void **state)
{
	unsigned count = 0;
	struct probe *probe;
	const char *options, *via;

	(void)state;
	assert_int_equal(probe_start(deck.ua, &account, on_tried, &count, &probe), 0);
	kit_run(&deck.kit, 50);
	deck_answer(&deck, deck_got(&deck, "OPTIONS "), 405, "r", NULL, NULL);
	kit_run(&deck.kit, 5);
	assert_string_equal(kit_header(reg(), "Contact"), ""); /* only asks */
	refuse(401, CHALLENGE);
	refuse(200, NULL);
	assert_int_equal(count, 1);
	assert_true(tried.ok);
	assert_true(str_has_prefix(tried_sent, "REGISTER sip:10.0.0.2 SIP/2.0\nVia: "));
	assert_non_null(strstr(tried_sent, "\nAuthorization: Digest "));
	assert_non_null(strstr(tried_sent, "response=\"(hidden)\""));
	assert_null(strstr(tried_sent, response_of(reg())));
	assert_true(str_has_prefix(tried_received, "SIP/2.0 200 Because\n"));
	assert_int_equal(tried.nat, PROBE_NAT_UNKNOWN); /* the test's registrar tells nothing */
	assert_true(tried.steps[0].ok && tried.steps[1].ok && tried.steps[3].ok &&
		    tried.steps[4].ok);
	assert_false(tried.steps[2].ran);
	assert_string_equal(tried.steps[3].detail, "405 Because");

	assert_int_equal(probe_start(deck.ua, &account, on_tried, &count, &probe), 0);
	kit_run(&deck.kit, 50);
	options = deck_got(&deck, "OPTIONS ");
	via = kit_header(options, "Via");
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"SIP/2.0 200 OK\nVia: %.*s;received=1.2.3.4;rport=7\nFrom: %s\nTo: %s;tag=r\nCall-ID: %s\nCSeq: %s\n"
		"Content-Length: 0\n\n",
		(int)(strstr(via, ";rport") - via), via, kit_header(options, "From"),
		kit_header(options, "To"), kit_header(options, "Call-ID"),
		kit_header(options, "CSeq"));
	kit_run(&deck.kit, 5);
	refuse(401, CHALLENGE);
	refuse(401, CHALLENGE);
	assert_int_equal(count, 2);
	assert_int_equal(tried.nat, PROBE_NAT_BEHIND);
	assert_string_equal(tried.seen_as, "1.2.3.4:7");
	assert_false(tried.ok);
	assert_non_null(strstr(tried.steps[4].detail, "password"));

	sim_net_silence(deck.kit.net, KIT_PEER, true);
	assert_int_equal(probe_start(deck.ua, &account, on_tried, &count, &probe), 0);
	kit_run(&deck.kit, 15000);
	assert_int_equal(count, 3);
	assert_false(tried.ok);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(that_it_registers_is_told_once),
		T(a_challenge_is_answered_and_the_binding_kept),
		T(the_granted_time_counts_not_the_asked_one),
		T(expiry_comes_from_our_own_contact_even_when_rewritten),
		T(a_binding_under_another_name_does_not_run_out),
		T(a_wrong_password_is_given_up_after_three_requests),
		T(stale_nonces_are_replaced_silently),
		T(a_challenge_we_cannot_read_is_shown),
		T(too_brief_is_raised_at_once_and_remembered),
		T(outbound_refused_is_dropped_and_remembered),
		T(refusals_are_told_apart),
		T(retries_back_off_to_half_an_hour_with_jitter),
		T(retry_after_is_honoured),
		T(a_dead_registrar_is_unreachable_and_tried_again),
		T(a_registrar_that_dies_later_is_noticed_and_found_again),
		T(a_redirection_is_followed_once),
		T(deleting_unregisters_with_credentials),
		T(deleting_waits_four_seconds_at_most_and_says_what_lingers),
		T(an_edit_unregisters_the_old_and_registers_the_new),
		T(unregistered_stays_so_until_asked),
		T(the_public_address_is_learnt_from_the_challenge),
		T(service_route_is_used_by_calls),
		T(a_broken_connection_registers_again_at_once),
		T(the_history_is_newest_first_and_bounded),
		T(impossible_profiles_are_refused),
		T(first_registrations_are_spread),
		T(many_dead_profiles_do_not_touch_a_live_one),
		T(stopping_unregisters_all),
		T(a_call_with_our_token_finds_its_profile),
		T(without_the_token_the_name_decides_among_known_sources),
		T(a_trunk_is_known_by_its_address),
		T(a_trunk_of_the_same_name_takes_no_calls_of_who_is_registered),
		T(a_proxys_profile_is_known_by_its_servers_address_too),
		T(a_probe_tells_each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
