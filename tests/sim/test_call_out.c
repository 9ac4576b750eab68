/* The calling side under every order of events that matters (RFC 3261 9, 13, 15, RFC 3262). */
#include "deck.h"

#include <stdio.h>

static struct deck deck;

static int setup(void **state)
{
	(void)state;
	deck_open(&deck);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	deck_close(&deck);
	return 0;
}

static const char *invite(void)
{
	return deck_got(&deck, "INVITE ");
}

/* Up, with the peer's tag "b". */
static void call_up(void)
{
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	deck_answer(&deck, invite(), 200, "b", "Allow: INVITE, ACK, BYE, UPDATE, INFO, REFER\n",
		    DECK_PEER_SDP("1"));
	assert_non_null(deck_got(&deck, "ACK "));
	assert_log(&deck.out, "P180 A200+");
}

static void hang_up(void)
{
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 5);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.out, "END/completed/us/200");
}

static void a_call_rings_is_answered_and_hung_up(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	assert_non_null(strstr(invite(), "INVITE sip:100@10.0.0.2 SIP/2.0"));
	assert_non_null(strstr(invite(), "m=audio 4000"));
	deck_answer(&deck, invite(), 100, NULL, NULL, NULL);
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	assert_log(&deck.out, "P180 A200+");
	assert_string_equal(kit_header(deck_got(&deck, "ACK "), "CSeq"), "1 ACK");
	assert_true(session_is_up(deck.out.session));
	hang_up();
	assert_non_null(strstr(deck_got(&deck, "BYE "), "Reason: Q.850;cause=16"));
}

/* RFC 3261 7.3.1: the ACK goes out although their tag came in a fold. */
static void an_answer_in_folds_is_acknowledged(void **state)
{
	const char *request;

	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	request = invite();
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"SIP/2.0 200 OK\nv: %s\nf: %s\nt: %s\n\t;tag=b\ni: %s\nCSeq: %s\nm:\n <sip:bob@10.0.0.2:5060>\n"
		"c: application/sdp\n\n%s",
		kit_header(request, "Via"), kit_header(request, "From"), kit_header(request, "To"),
		kit_header(request, "Call-ID"), kit_header(request, "CSeq"), DECK_PEER_SDP("1"));
	kit_run(&deck.kit, 5);
	assert_log(&deck.out, "A200+");
	assert_non_null(deck_got(&deck, "ACK "));
	assert_non_null(strstr(kit_header(deck_got(&deck, "ACK "), "To"), ";tag=b"));
	hang_up();
}

static void their_bye_ends_it_with_their_reason(void **state)
{
	(void)state;
	call_up();
	deck_say_inside(&deck, invite(), "b", "BYE", 7,
			"Reason: Q.850;cause=31;text=\"Normal, unspecified\"\n", NULL);
	assert_log(&deck.out, "END/completed/them/200");
	assert_int_equal(deck.out.end.q850, 31);
	assert_string_equal(deck.out.end.text, "Normal, unspecified");
	assert_true(deck.out.end.answered);
	assert_int_equal(deck_count(&deck, "SIP/2.0 200"), 1);
}

static void both_hang_up_at_once(void **state)
{
	(void)state;
	call_up();
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 5);
	deck_say_inside(&deck, invite(), "b", "BYE", 7, NULL, NULL);
	assert_log(&deck.out, "END/completed/us/200");
	deck_answer(&deck, deck_got(&deck, "BYE "), 481, NULL, NULL, NULL);
}

static void a_lost_bye_is_sent_again_and_ends_by_time(void **state)
{
	(void)state;
	call_up();
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 33000);
	assert_log(&deck.out, "END/completed/us/200");
	assert_int_equal(deck_count(&deck, "BYE "), 11); /* Timer E to F */
}

static void a_2xx_again_gets_its_ack_again(void **state)
{
	(void)state;
	call_up();
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck_count(&deck, "ACK "), 3);
	assert_log(&deck.out, "");
	hang_up();
}

static void busy_declined_and_the_like_are_told_as_they_are(void **state)
{
	static const unsigned codes[] = { 403, 404, 480, 484, 486, 488, 600, 603 };
	char words[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		kit_forget(&deck.kit);
		deck_dial(&deck, "100", DECK_SDP("1"));
		deck_answer(&deck, invite(), codes[i], "b", NULL, NULL);
		snprintf(words, sizeof(words), "END/rejected/them/%u", codes[i]);
		assert_log(&deck.out, words);
		assert_int_equal(deck.out.end.q850, session_q850_of((uint16_t)codes[i]));
		assert_int_equal(deck_count(&deck, "ACK "), 1);
		assert_int_equal(deck_count(&deck, "INVITE "), 1); /* nobody is rung twice */
	}
}

static void silence_ends_in_408(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	kit_run(&deck.kit, 33000);
	assert_log(&deck.out, "END/timed_out/network/408");
	assert_int_equal(deck_count(&deck, "INVITE "), 7); /* Timer A to B */
}

static void ring_time_over_cancels(void **state)
{
	struct session_dial dial = { .to = "100",
				     .ring_ms = 20000,
				     .offer = SESSION_SDP(DECK_SDP("1"), strlen(DECK_SDP("1"))) };

	(void)state;
	deck_dial_as(&deck, &dial);
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	kit_run(&deck.kit, 19900);
	assert_null(deck_got(&deck, "CANCEL "));
	kit_run(&deck.kit, 200);
	assert_non_null(strstr(deck_got(&deck, "CANCEL "), "Reason: Q.850;cause=19"));
	deck_answer(&deck, deck_got(&deck, "CANCEL "), 200, "b", NULL, NULL);
	deck_answer(&deck, invite(), 487, "b", NULL, NULL);
	assert_log(&deck.out, "P180 END/timed_out/us/408");
}

static void no_cancel_before_a_provisional(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 300);
	assert_null(deck_got(&deck, "CANCEL "));
	deck_answer(&deck, invite(), 100, NULL, NULL, NULL);
	assert_non_null(deck_got(&deck, "CANCEL "));
	deck_answer(&deck, deck_got(&deck, "CANCEL "), 200, "b", NULL, NULL);
	deck_answer(&deck, invite(), 487, "b", NULL, NULL);
	assert_log(&deck.out, "END/canceled/us/487");
}

static void losers_are_told_that_another_took_it(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	session_hangup(deck.out.session, SESSION_WHY_ELSEWHERE);
	kit_run(&deck.kit, 5);
	assert_non_null(strstr(deck_got(&deck, "CANCEL "),
			       "Reason: SIP;cause=200;text=\"Call completed elsewhere\""));
	deck_answer(&deck, deck_got(&deck, "CANCEL "), 200, "b", NULL, NULL);
	deck_answer(&deck, invite(), 487, "b", NULL, NULL);
	assert_log(&deck.out, "P180 END/elsewhere/us/487");
}

/* What the peer may send, in every order, after we have asked to cancel a ringing call. */
enum { STEP_CANCEL_200, STEP_487, STEP_200, STEP_CANCEL_481, STEPS };

static void cancel_step(int step)
{
	switch (step) {
	case STEP_CANCEL_200:
		deck_answer(&deck, deck_got(&deck, "CANCEL "), 200, "b", NULL, NULL);
		break;
	case STEP_CANCEL_481:
		deck_answer(&deck, deck_got(&deck, "CANCEL "), 481, "b", NULL, NULL);
		break;
	case STEP_487:
		deck_answer(&deck, invite(), 487, "b", NULL, NULL);
		break;
	default:
		deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
		break;
	}
}

/* Each far end ends without a call: after a 2xx it got ACK and BYE, and that call counts as never answered. */
static void every_order_of_cancel_and_answer(void **state)
{
	(void)state;
	for (int order = 0; order < STEPS * STEPS * STEPS; order++) {
		int steps[3] = { order % STEPS, order / STEPS % STEPS, order / STEPS / STEPS };
		bool answered = false, refused = false;

		kit_forget(&deck.kit);
		deck_dial(&deck, "100", DECK_SDP("1"));
		deck_answer(&deck, invite(), 180, "b", NULL, NULL);
		session_hangup(deck.out.session, SESSION_WHY_NORMAL);
		kit_run(&deck.kit, 5);
		for (int i = 0; i < 3; i++) {
			cancel_step(steps[i]);
			answered = answered || (steps[i] == STEP_200 && !refused);
			refused = refused || (steps[i] == STEP_487 && !answered);
		}
		if (deck_got(&deck, "BYE "))
			deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
		if (!answered && !refused)
			kit_run(&deck.kit, 41000);
		assert_true(deck.out.gone);
		assert_string_equal(user_log(&deck.out),
				    answered ? "P180 END/late/us/487" : "P180 END/canceled/us/487");
		assert_false(deck.out.end.answered);
		if (answered) {
			assert_true(deck_count(&deck, "ACK ") >= 1);
			assert_true(deck_count(&deck, "BYE ") >= 1);
		}
		kit_run(&deck.kit, 70000);
		assert_int_equal(stack_live(deck.kit.stack), 0);
		assert_int_equal(dialog_table_count(ua_dialogs(deck.ua)), 0);
	}
}

static void every_fork_that_answers_is_acknowledged_and_the_extra_ones_released(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	deck_answer(&deck, invite(), 183, "c", NULL, DECK_PEER_SDP("5"));
	deck_answer(&deck, invite(), 200, "c", NULL, DECK_PEER_SDP("5"));
	assert_log(&deck.out, "P180 P183+ fork1 A200+");
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	deck_answer(&deck, invite(), 200, "d", NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck_count(&deck, "ACK "), 3);
	assert_int_equal(deck_count(&deck, "BYE "), 2);
	assert_non_null(strstr(kit_header(deck_got(&deck, "BYE "), "To"), "tag=d"));
	assert_log(&deck.out, "");
	kit_run(&deck.kit, 33000);
	hang_up();
}

static void early_media_is_the_answer_when_the_200_has_none(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 183, "b", NULL, DECK_PEER_SDP("3"));
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	deck_answer(&deck, invite(), 200, "b", NULL, NULL);
	assert_log(&deck.out, "P183+ P180 A200+");
	assert_non_null(strstr(deck.out.last_body, "o=- 7 3"));
	hang_up();
}

static void a_200_without_any_media_is_ended(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 200, "b", NULL, NULL);
	assert_int_equal(deck_count(&deck, "ACK "), 1);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.out, "END/failed/network/488");
}

static void an_offerless_invite_answers_in_the_ack(void **state)
{
	(void)state;
	deck_dial(&deck, "100", NULL);
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	assert_log(&deck.out, "A200+");
	assert_null(deck_got(&deck, "ACK "));
	assert_int_equal(session_answer(deck.out.session,
					SESSION_SDP(DECK_SDP("1"), strlen(DECK_SDP("1")))),
			 0);
	kit_run(&deck.kit, 5);
	assert_non_null(strstr(deck_got(&deck, "ACK "), "m=audio 4000"));
	hang_up();
}

static void an_offer_nobody_answers_is_acknowledged_and_ended(void **state)
{
	(void)state;
	deck_dial(&deck, "100", NULL);
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	kit_run(&deck.kit, 21000);
	assert_int_equal(deck_count(&deck, "ACK "), 1);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.out, "A200+ END/failed/us/500");
}

static void reliable_provisionals_get_a_prack_each(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	assert_non_null(strstr(kit_header(invite(), "Supported"), "100rel"));
	deck_answer(&deck, invite(), 183, "b", "Require: 100rel\nRSeq: 41\n", DECK_PEER_SDP("1"));
	assert_string_equal(kit_header(deck_got(&deck, "PRACK "), "RAck"), "41 1 INVITE");
	deck_answer(&deck, deck_got(&deck, "PRACK "), 200, NULL, NULL, NULL);
	deck_answer(&deck, invite(), 183, "b", "Require: 100rel\nRSeq: 41\n",
		    DECK_PEER_SDP("1")); /* again */
	deck_answer(&deck, invite(), 180, "b", "Require: 100rel\nRSeq: 43\n",
		    NULL); /* one is missing */
	assert_int_equal(deck_count(&deck, "PRACK "), 1);
	deck_answer(&deck, invite(), 180, "b", "Require: 100rel\nRSeq: 42\n", NULL);
	assert_int_equal(deck_count(&deck, "PRACK "), 2);
	deck_answer(&deck, deck_got(&deck, "PRACK "), 200, NULL, NULL, NULL);
	deck_answer(&deck, invite(), 200, "b", NULL, NULL);
	assert_log(&deck.out, "P183+ P180 A200+");
	hang_up();
}

static void a_challenge_is_answered_and_the_ack_repeats_it(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(
		&deck, invite(), 407, "x",
		"Proxy-Authenticate: Digest realm=\"p\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\n",
		NULL);
	assert_int_equal(deck_count(&deck, "INVITE "), 2);
	assert_string_equal(kit_header(invite(), "CSeq"), "2 INVITE");
	assert_non_null(strstr(kit_header(invite(), "Proxy-Authorization"), "username=\"alice\""));
	assert_null(strstr(invite(), "secret"));
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	assert_non_null(
		strstr(kit_header(deck_got(&deck, "ACK "), "Proxy-Authorization"), "nonce=\"n1\""));
	assert_string_equal(kit_header(deck_got(&deck, "ACK "), "CSeq"), "2 ACK");
	assert_log(&deck.out, "A200+");
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 5);
	assert_non_null(
		strstr(kit_header(deck_got(&deck, "BYE "), "Proxy-Authorization"), "nc=00000002"));
	deck_answer(
		&deck, deck_got(&deck, "BYE "), 407, NULL,
		"Proxy-Authenticate: Digest realm=\"p\", nonce=\"n2\", stale=true, qop=\"auth\"\n",
		NULL);
	assert_int_equal(deck_count(&deck, "BYE "), 2);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.out, "END/completed/us/200");
}

static void refused_credentials_end_the_call_as_that(void **state)
{
	const char *line = "WWW-Authenticate: Digest realm=\"p\", nonce=\"n1\"\n";

	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 401, "x", line, NULL);
	deck_answer(&deck, invite(), 401, "x", line, NULL);
	assert_log(&deck.out, "END/auth_failed/them/401");
	assert_int_equal(deck_count(&deck, "INVITE "), 2);
}

static void a_redirection_stays_inside_the_domain(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	kit_respond(&deck.kit, SIP_TRANSP_UDP, invite(), 302, "x"); /* to nowhere */
	kit_run(&deck.kit, 5);
	assert_log(&deck.out, "END/rejected/them/302");
	kit_forget(&deck.kit);
	deck_dial(&deck, "100", DECK_SDP("1"));
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"SIP/2.0 302 Moved\nVia: %s\nFrom: %s\nTo: %s;tag=x\nCall-ID: %s\nCSeq: %s\nContact: <sip:premium@evil.example>\n"
		"Content-Length: 0\n\n",
		kit_header(invite(), "Via"), kit_header(invite(), "From"),
		kit_header(invite(), "To"), kit_header(invite(), "Call-ID"),
		kit_header(invite(), "CSeq"));
	kit_run(&deck.kit, 5);
	assert_log(&deck.out, "END/rejected/them/302");
	kit_forget(&deck.kit);
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 302, "x", NULL,
		    NULL); /* Contact: <sip:bob@10.0.0.2:5060>, our provider */
	assert_non_null(strstr(invite(), "INVITE sip:bob@10.0.0.2"));
	deck_answer(&deck, invite(), 486, "x", NULL, NULL);
	assert_log(&deck.out, "END/rejected/them/486");
}

static void names_and_numbers_cannot_smuggle_headers(void **state)
{
	static const char *const bad[] = { "1\r\nX: y", "1\n", "a\tb", "<sip:x>", "1 2", "" };
	struct session *session;
	struct session_dial dial = { .account = deck.account, .fn = user_event, .arg = &deck.out };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		dial.to = bad[i];
		assert_int_equal(session_dial(deck.ua, &dial, &session), SESSION_E_BAD);
	}
	dial.to = "100";
	dial.id.name = "Eve\r\nX-Evil: 1";
	assert_int_equal(session_dial(deck.ua, &dial, &session), SESSION_E_BAD);
	dial.id.name = NULL;
	dial.id.number = "1>\r\nX-Evil: 1";
	assert_int_equal(session_dial(deck.ua, &dial, &session), SESSION_E_BAD);
	dial.to = "sip:x@10.0.0.2?Subject=hi";
	dial.id.number = NULL;
	assert_int_equal(session_dial(deck.ua, &dial, &session), SESSION_E_BAD);
}

static void our_number_is_shown_as_the_profile_says(void **state)
{
	static const struct {
		enum session_id_mode mode;
		const char *from, *line;
	} cases[] = {
		{ SESSION_ID_PPI, "\"Ann\" <sip:alice@10.0.0.2>;tag=",
		  "P-Preferred-Identity: \"Ann\" <sip:+4930@10.0.0.2>\r\n" },
		{ SESSION_ID_FROM, "\"Ann\" <sip:+4930@10.0.0.2>;tag=", NULL },
		{ SESSION_ID_FROM_PAI, "\"Ann\" <sip:+4930@10.0.0.2>;tag=",
		  "P-Asserted-Identity: \"Ann\" <sip:+4930@10.0.0.2>\r\n" },
		{ SESSION_ID_PAI, "\"Ann\" <sip:alice@10.0.0.2>;tag=",
		  "P-Asserted-Identity: \"Ann\" <sip:+4930@10.0.0.2>\r\n" },
		{ SESSION_ID_RPID, "\"Ann\" <sip:alice@10.0.0.2>;tag=",
		  "Remote-Party-ID: \"Ann\" <sip:+4930@10.0.0.2>;party=calling" },
		{ SESSION_ID_ANONYMOUS,
		  "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=", "Privacy: id\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct session_dial dial = { .to = "100", .id = { "+4930", "Ann", cases[i].mode } };

		kit_forget(&deck.kit);
		deck_dial_as(&deck, &dial);
		assert_true(str_has_prefix(kit_header(invite(), "From"), cases[i].from));
		if (cases[i].line)
			assert_non_null(strstr(invite(), cases[i].line));
		else
			assert_null(strstr(invite(), "Identity"));
		deck_answer(&deck, invite(), 486, "x", NULL, NULL);
	}
}

static void an_update_in_an_early_dialog_is_answered(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 183, "b", NULL, DECK_PEER_SDP("1"));
	deck_say_inside(&deck, invite(), "b", "UPDATE", 3, NULL, NULL);
	assert_int_equal(deck_count(&deck, "SIP/2.0 200"), 1);
	deck_say_inside(&deck, invite(), "b", "UPDATE", 4, NULL, DECK_PEER_SDP("2"));
	assert_int_equal(deck_count(&deck, "SIP/2.0 491"), 1);
	deck_answer(&deck, invite(), 486, "b", NULL, NULL);
	assert_log(&deck.out, "P183+ END/rejected/them/486");
}

static void a_forgotten_session_cleans_up_without_a_word(void **state)
{
	(void)state;
	call_up();
	session_forget(deck.out.session);
	kit_run(&deck.kit, 5);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.out, "");
}

static void a_late_answer_to_a_call_long_gone_is_released(void **state)
{
	char text[4096];

	(void)state;
	deck_trunk(&deck);
	deck_dial(&deck, "100", DECK_SDP("1"));
	str_copy(text, sizeof(text), invite());
	deck_answer(&deck, text, 200, "b", NULL, DECK_PEER_SDP("1"));
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	kit_run(&deck.kit, 5);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	kit_run(&deck.kit, 100);
	kit_forget(&deck.kit);
	deck_answer(&deck, text, 200, "slow", NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck_count(&deck, "ACK "), 1);
	assert_int_equal(deck_count(&deck, "BYE "), 1);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
}

/* A 200 with a branch that we never used. */
static void say_stray(const char *request, const char *from, const char *tag)
{
	kit_say_from(
		&deck.kit, SIP_TRANSP_UDP, from,
		"SIP/2.0 200 OK\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKother\nFrom: %s\n"
		"To: %s;tag=%s\nCall-ID: %s\nCSeq: %s\nContact: <sip:bob@%s>\nContent-Length: 0\n\n",
		kit_header(request, "From"), kit_header(request, "To"), tag,
		kit_header(request, "Call-ID"), kit_header(request, "CSeq"), from);
	kit_run(&deck.kit, 5);
}

static void a_stray_answer_to_a_call_that_rings_changes_nothing(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 180, "b", NULL, NULL);
	say_stray(invite(), KIT_PEER, "b");
	assert_log(&deck.out, "P180");
	assert_int_equal(deck_count(&deck, "ACK "), 0);
	deck_answer(&deck, invite(), 200, "b", NULL, DECK_PEER_SDP("1"));
	assert_log(&deck.out, "A200+");
	hang_up();
}

static void stray_answers_of_strangers_make_us_send_nothing(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	deck_answer(&deck, invite(), 486, "b", NULL, NULL);
	say_stray(invite(), KIT_PEER, "forged"); /* nobody's provider, nobody's phone */
	kit_run(&deck.kit, 1000);
	assert_int_equal(deck_count(&deck, "BYE "), 0);
	assert_int_equal(deck_count(&deck, "ACK "), 1); /* to the 486 */
}

static void one_fork_too_many_that_answers_is_released(void **state)
{
	char tag[8];

	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	for (unsigned i = 0; i < 16; i++) {
		snprintf(tag, sizeof(tag), "f%u", i);
		deck_answer(&deck, invite(), 180, tag, NULL, NULL);
	}
	deck_answer(&deck, invite(), 200, "last", NULL, DECK_PEER_SDP("1"));
	assert_int_equal(deck_count(&deck, "ACK "), 1);
	assert_non_null(strstr(kit_header(deck_got(&deck, "BYE "), "To"), "tag=last"));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_true(deck.out.gone);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_call_rings_is_answered_and_hung_up),
		T(an_answer_in_folds_is_acknowledged),
		T(their_bye_ends_it_with_their_reason),
		T(both_hang_up_at_once),
		T(a_lost_bye_is_sent_again_and_ends_by_time),
		T(a_2xx_again_gets_its_ack_again),
		T(busy_declined_and_the_like_are_told_as_they_are),
		T(silence_ends_in_408),
		T(ring_time_over_cancels),
		T(no_cancel_before_a_provisional),
		T(losers_are_told_that_another_took_it),
		T(every_order_of_cancel_and_answer),
		T(every_fork_that_answers_is_acknowledged_and_the_extra_ones_released),
		T(early_media_is_the_answer_when_the_200_has_none),
		T(a_200_without_any_media_is_ended),
		T(an_offerless_invite_answers_in_the_ack),
		T(an_offer_nobody_answers_is_acknowledged_and_ended),
		T(reliable_provisionals_get_a_prack_each),
		T(a_challenge_is_answered_and_the_ack_repeats_it),
		T(refused_credentials_end_the_call_as_that),
		T(a_redirection_stays_inside_the_domain),
		T(names_and_numbers_cannot_smuggle_headers),
		T(our_number_is_shown_as_the_profile_says),
		T(an_update_in_an_early_dialog_is_answered),
		T(a_forgotten_session_cleans_up_without_a_word),
		T(a_late_answer_to_a_call_long_gone_is_released),
		T(a_stray_answer_to_a_call_that_rings_changes_nothing),
		T(stray_answers_of_strangers_make_us_send_nothing),
		T(one_fork_too_many_that_answers_is_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
