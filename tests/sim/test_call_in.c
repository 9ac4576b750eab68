/* The called side, and what happens while a call is up: offers, glare, timers, transfer. */
#include "deck.h"

#include <stdio.h>

static struct deck deck;

#define OURS SESSION_SDP(DECK_SDP("1"), strlen(DECK_SDP("1")))
#define OURS2 SESSION_SDP(DECK_SDP("2"), strlen(DECK_SDP("2")))

static int setup(void **state)
{
	(void)state;
	deck_open(&deck);
	deck_trunk(&deck);
	return 0;
}

static int setup_timers(void **state)
{
	const struct ua_setup setup_with = { .session_expires = 1800 };

	(void)state;
	deck_open_with(&deck, &setup_with);
	deck_trunk(&deck);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	deck_close(&deck);
	return 0;
}

static void run(unsigned ms)
{
	kit_run(&deck.kit, ms);
}

/* Until the peer has got so many of that, but no longer. */
static void until(const char *start, unsigned count, unsigned limit_ms)
{
	for (unsigned ms = 0; ms < limit_ms && deck_count(&deck, start) < count; ms += 10)
		run(10);
	assert_int_equal(deck_count(&deck, start), count);
}

/* An incoming call, answered and confirmed. */
static void call_up(const char *extra)
{
	deck_invite(&deck, "trunk", 1, extra, DECK_PEER_SDP("1"));
	assert_int_equal(session_ring(deck.in.session, 180, SESSION_NO_BODY), 0);
	run(5);
	assert_non_null(deck_got(&deck, "SIP/2.0 180"));
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(5);
	assert_non_null(strstr(deck_got(&deck, "SIP/2.0 200"), "m=audio 4000"));
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	assert_log(&deck.in, "C");
}

static void their_bye(unsigned cseq)
{
	deck_say_in(&deck, 1, "BYE", cseq, NULL, NULL);
	assert_log(&deck.in, "END/completed/them/200");
}

static void a_call_comes_in_and_ends(void **state)
{
	(void)state;
	call_up(NULL);
	assert_string_equal(deck.in.peer.number, "bob");
	assert_string_equal(deck.in.peer.name, "Bob");
	session_hangup(deck.in.session, SESSION_WHY_NORMAL);
	run(5);
	assert_non_null(strstr(deck_got(&deck, "BYE "), "BYE sip:bob@10.0.0.2:5060"));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/completed/us/200");
}

static void who_calls_is_read_with_care(void **state)
{
	(void)state;
	deck_invite(
		&deck, "trunk", 1,
		"P-Asserted-Identity: \"Real \\\"R\\\"\" <sip:+4940@10.0.0.2;verstat=TN-Validation-Passed>\n"
		"Diversion: <sip:+4950@x>;reason=no-answer\n",
		DECK_PEER_SDP("1"));
	assert_string_equal(deck.in.peer.number, "+4940");
	assert_string_equal(deck.in.peer.name, "Real \"R\"");
	assert_string_equal(deck.in.peer.forwarded_by, "+4950");
	assert_false(deck.in.peer.anonymous);
	session_hangup(deck.in.session, SESSION_WHY_BUSY);
	run(5);
	assert_non_null(deck_got(&deck, "SIP/2.0 486"));
	deck_say_branch(&deck, 1, "ACK", NULL);
	deck_invite(&deck, "trunk", 2, "Privacy: id\nP-Asserted-Identity: <tel:+4940>\n",
		    DECK_PEER_SDP("1"));
	assert_true(deck.in.peer.anonymous);
	assert_string_equal(deck.in.peer.number, "+4940");
	session_reject(deck.in.session, 603, NULL, 21, NULL);
	run(5);
	deck_say_branch(&deck, 2, "ACK", NULL);
	assert_log(&deck.in, "END/rejected/us/603");
}

static void an_unbound_call_is_answered_480(void **state)
{
	(void)state;
	deck.ignore_incoming = true;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_non_null(deck_got(&deck, "SIP/2.0 480"));
	deck_say_branch(&deck, 1, "ACK", NULL);
}

static void no_room_is_never_said_as_503(void **state)
{
	const struct ua_setup one = { .no_session_timers = true, .max_sessions = 1 };

	(void)state;
	deck_close_dirty(&deck);
	deck_open_with(&deck, &one);
	deck_trunk(&deck);
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	deck_invite(&deck, "trunk", 2, NULL, DECK_PEER_SDP("1"));
	assert_string_equal(kit_header(deck_got(&deck, "SIP/2.0 486"), "Reason"), "Q.850;cause=42");
	ua_drain(deck.ua, true);
	deck_invite(&deck, "trunk", 3, NULL, DECK_PEER_SDP("1"));
	assert_string_not_equal(kit_header(deck_got(&deck, "SIP/2.0 480"), "Retry-After"), "");
	assert_int_equal(deck.incomings, 1);
	session_reject(deck.in.session, 486, NULL, 17, NULL);
	run(5);
	deck_say_branch(&deck, 1, "ACK", NULL);
}

/* Each of the values would be a line of its own in every answer. */
static void a_flood_of_vias_is_survived(void **state)
{
	auto_(buf_fini) struct buf vias = BUF_MAX(65536);

	(void)state;
	while (vias.len < 30000)
		buf_adds(&vias, ",a");
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"INVITE sip:trunk@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKv%s\n"
		"Max-Forwards: 70\nFrom: <sip:bob@10.0.0.2>;tag=bob\nTo: <sip:trunk@10.0.0.1>\nCall-ID: v@peer\n"
		"CSeq: 1 INVITE\nContact: <sip:bob@10.0.0.2:5060>\nContent-Length: 0\n\n",
		vias.data);
	run(300);
	assert_int_equal(deck.incomings, 0);
	assert_int_equal(deck.kit.seen_count, 0);
}

/* RFC 4475 3.3.6, invut */
static void a_body_of_another_kind_is_refused_and_told_what_we_take(void **state)
{
	(void)state;
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"INVITE sip:trunk@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKu\n"
		"Max-Forwards: 70\nFrom: <sip:bob@10.0.0.2>;tag=bob\nTo: <sip:trunk@10.0.0.1>\nCall-ID: u@peer\n"
		"CSeq: 1 INVITE\nContact: <sip:bob@10.0.0.2:5060>\nContent-Type: application/unheard-of\n\n<audio/>");
	run(5);
	assert_int_equal(deck.incomings, 0);
	assert_string_equal(kit_header(deck_got(&deck, "SIP/2.0 415"), "Accept"),
			    "application/sdp");
}

/* RFC 3261 7.3.1: what came in folds goes out again on one line. */
static void a_caller_whose_names_are_folded_can_be_hung_up(void **state)
{
	(void)state;
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"INVITE sip:trunk@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060\n ;branch=z9hG4bKf\n"
		"Max-Forwards: 70\nFrom: \"Bob\"\n\t<sip:bob@10.0.0.2>\n ;tag=bob1\nTo:\n <sip:trunk@10.0.0.1>\n"
		"Call-ID: in1@peer\nCSeq: 1\n INVITE\nContact:\n <sip:bob@10.0.0.2:5060>\n"
		"Content-Type: application/sdp\n\n%s",
		DECK_PEER_SDP("1"));
	run(5);
	assert_int_equal(deck.incomings, 1);
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(5);
	assert_non_null(deck_got(&deck, "SIP/2.0 200"));
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	assert_log(&deck.in, "C");
	session_hangup(deck.in.session, SESSION_WHY_NORMAL);
	run(5);
	assert_non_null(strstr(kit_header(deck_got(&deck, "BYE "), "To"), "<sip:bob@10.0.0.2>"));
	assert_non_null(strstr(kit_header(deck_got(&deck, "BYE "), "To"), ";tag=bob1"));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/completed/us/200");
}

/* ---- CANCEL ---- */

static void a_cancel_ends_ringing_with_487(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(session_ring(deck.in.session, 180, SESSION_NO_BODY), 0);
	run(5);
	deck_say_branch(&deck, 1, "CANCEL",
			"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n");
	assert_log(&deck.in, "END/elsewhere/them/487");
	assert_non_null(deck_got(&deck, "SIP/2.0 487"));
	assert_int_equal(deck_count(&deck, "SIP/2.0 200"), 1);
	deck_say_branch(&deck, 1, "ACK", NULL);
}

static void a_cancel_after_the_answer_changes_nothing(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	deck_say_branch(&deck, 1, "CANCEL", NULL);
	assert_null(deck_got(&deck, "SIP/2.0 487"));
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	assert_log(&deck.in, "C");
	their_bye(2);
}

static void answering_a_cancelled_call_says_so(void **state)
{
	struct session *session;

	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	session = deck.in.session;
	kit_say(&deck.kit, SIP_TRANSP_UDP,
		"CANCEL sip:trunk@10.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKinv1\nMax-Forwards: 70\n"
		"From: \"Bob\" <sip:bob@10.0.0.2>;tag=bob1\nTo: <sip:trunk@10.0.0.1>\nCall-ID: in1@peer\nCSeq: 1 CANCEL\n"
		"Content-Length: 0\n\n");
	run(1);
	if (!deck.in.gone)
		assert_int_equal(session_accept(session, OURS), 0);
	run(5);
	assert_log(&deck.in, "END/canceled/them/487");
	deck_say_branch(&deck, 1, "ACK", NULL);
}

/* ---- ACK ---- */

static void a_lost_ack_is_waited_for_and_then_ended(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(33000);
	assert_in_range(deck_count(&deck, "SIP/2.0 200"), 10, 12);
	assert_non_null(strstr(deck_got(&deck, "BYE "), "Reason: Q.850;cause=102"));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
	assert_true(deck.in.end.answered);
}

static void no_bye_before_the_ack(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	session_hangup(deck.in.session, SESSION_WHY_NORMAL);
	run(300);
	assert_null(deck_got(&deck, "BYE "));
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	assert_non_null(deck_got(&deck, "BYE "));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/completed/us/200");
}

static void a_bye_that_overtakes_the_ack_ends_the_call(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(5);
	their_bye(2);
}

static void an_offerless_call_is_answered_with_an_offer(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, NULL);
	assert_null(deck.last_incoming.offer.type);
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(5);
	deck_say_in(&deck, 1, "ACK", 1, NULL, DECK_PEER_SDP("1"));
	assert_log(&deck.in, "C+");
	their_bye(2);
}

static void an_ack_without_the_answer_it_owes_ends_the_call(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, NULL);
	assert_int_equal(session_accept(deck.in.session, OURS), 0);
	run(5);
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/failed/network/488");
}

/* ---- reliable provisionals ---- */

static void early_media_is_sent_reliably_and_the_200_waits_for_its_prack(void **state)
{
	char rack[64];

	(void)state;
	deck_invite(&deck, "trunk", 1, "Supported: 100rel\n", DECK_PEER_SDP("1"));
	assert_int_equal(session_ring(deck.in.session, 183, OURS), 0);
	run(600);
	assert_int_equal(deck_count(&deck, "SIP/2.0 183"), 2); /* again after T1 */
	assert_int_equal(session_accept(deck.in.session, SESSION_NO_BODY), 0);
	run(100);
	assert_null(deck_got(&deck, "SIP/2.0 200"));
	snprintf(rack, sizeof(rack), "RAck: %s 1 INVITE\n",
		 kit_header(deck_got(&deck, "SIP/2.0 183"), "RSeq"));
	deck_say_in(&deck, 1, "PRACK", 2, "RAck: 1 1 INVITE\n", NULL);
	assert_int_equal(deck_count(&deck, "SIP/2.0 481"), 1);
	deck_say_in(&deck, 1, "PRACK", 3, rack, NULL);
	assert_int_equal(deck_count(&deck, "SIP/2.0 200"), 2); /* to PRACK, then to INVITE */
	assert_null(strstr(deck_got(&deck, "SIP/2.0 200"), "m=audio")); /* answered already */
	deck_say_in(&deck, 1, "ACK", 1, NULL, NULL);
	assert_log(&deck.in, "C");
	their_bye(4);
}

static void a_prack_that_never_comes_ends_in_504(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, "Require: 100rel\n", DECK_PEER_SDP("1"));
	assert_int_equal(session_ring(deck.in.session, 180, SESSION_NO_BODY), 0);
	run(33000);
	assert_in_range(deck_count(&deck, "SIP/2.0 180"), 6, 7);
	assert_non_null(deck_got(&deck, "SIP/2.0 504"));
	deck_say_branch(&deck, 1, "ACK", NULL);
	assert_log(&deck.in, "END/timed_out/network/504");
}

static void nobody_answers(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, NULL, DECK_PEER_SDP("1"));
	run(181000);
	assert_log(&deck.in, "END/timed_out/us/480");
	deck_say_branch(&deck, 1, "ACK", NULL);
}

/* ---- re-INVITE and UPDATE ---- */

static void their_offer_is_answered(void **state)
{
	(void)state;
	call_up(NULL);
	deck.in.auto_answer = true;
	deck.in.answer = DECK_SDP("2");
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("2"));
	assert_log(&deck.in, "OFFER");
	deck_say_in(&deck, 1, "ACK", 2, NULL, NULL);
	deck_say_in(&deck, 1, "UPDATE", 3, NULL, DECK_PEER_SDP("3"));
	assert_log(&deck.in, "OFFER");
	their_bye(4);
}

static void the_same_offer_again_needs_no_media_restart(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("1"));
	assert_log(&deck.in, "");
	assert_non_null(strstr(deck_got(&deck, "SIP/2.0 200"), "o=- 1 1 "));
	deck_say_in(&deck, 1, "ACK", 2, NULL, NULL);
	their_bye(3);
}

static void an_offerless_reinvite_gets_our_offer(void **state)
{
	(void)state;
	call_up(NULL);
	deck.in.auto_answer = true;
	deck.in.answer = DECK_SDP("2");
	deck_say_in(&deck, 1, "INVITE", 2, NULL, NULL);
	assert_log(&deck.in, "WANTED");
	deck_say_in(&deck, 1, "ACK", 2, NULL, DECK_PEER_SDP("2"));
	assert_log(&deck.in, "DONE200+");
	their_bye(3);
}

static void a_refused_offer_leaves_the_call_as_it_was(void **state)
{
	(void)state;
	call_up(NULL);
	deck.in.refuse = 488;
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("2"));
	assert_non_null(deck_got(&deck, "SIP/2.0 488"));
	assert_log(&deck.in, "OFFER");
	assert_true(session_is_up(deck.in.session));
	their_bye(3);
}

static void an_offer_the_user_forgets_is_refused(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("2"));
	run(21000);
	assert_non_null(deck_got(&deck, "SIP/2.0 488"));
	assert_int_equal(session_answer(deck.in.session, OURS2), SESSION_E_STATE);
	assert_log(&deck.in, "OFFER");
	their_bye(3);
}

static void two_offers_of_theirs_at_once_get_500(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("2"));
	deck_say_in(&deck, 1, "INVITE", 3, NULL, DECK_PEER_SDP("3"));
	assert_non_null(deck_got(&deck, "SIP/2.0 500"));
	assert_true(strlen(kit_header(deck_got(&deck, "SIP/2.0 500"), "Retry-After")) > 0);
	deck_say_in(&deck, 1, "UPDATE", 4, NULL, DECK_PEER_SDP("3"));
	assert_int_equal(deck_count(&deck, "SIP/2.0 500"), 2);
	assert_int_equal(session_answer(deck.in.session, OURS2), 0);
	run(5);
	deck_say_in(&deck, 1, "ACK", 2, NULL, NULL);
	assert_log(&deck.in, "OFFER");
	their_bye(5);
}

static void our_offer_is_answered_and_acknowledged(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	assert_int_equal(session_offer(deck.in.session, OURS2), SESSION_E_STATE);
	run(5);
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	assert_non_null(deck_got(&deck, "ACK "));
	assert_log(&deck.in, "DONE200+");
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	assert_int_equal(deck_count(&deck, "ACK "), 2);
	assert_log(&deck.in, "");
	their_bye(2);
}

static const struct session_id carla = { "102", "Carla", SESSION_ID_PAI };
static const char carla_line[] = "\"Carla\" <sip:102@10.0.0.2>";

static void who_it_talks_to_now_is_told_in_an_update(void **state)
{
	(void)state;
	call_up("Allow: INVITE, ACK, BYE, UPDATE\n");
	assert_int_equal(session_identify(deck.in.session, &carla, "jackfield"), 0);
	run(5);
	assert_non_null(
		strstr(kit_header(deck_got(&deck, "UPDATE "), "P-Asserted-Identity"), "Carla"));
	assert_null(strstr(deck_got(&deck, "UPDATE "), "m=audio"));
	deck_answer(&deck, deck_got(&deck, "UPDATE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "");
	their_bye(2);
}

static void who_it_talks_to_now_waits_for_the_offer_that_is_open(void **state)
{
	(void)state;
	call_up(NULL); /* it never said what it takes */
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	assert_int_equal(session_identify(deck.in.session, &carla, "jackfield"), SESSION_E_STATE);
	assert_null(strstr(deck_got(&deck, "INVITE "), "P-Asserted-Identity"));
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	assert_log(&deck.in, "DONE200+");
	run(5);
	assert_int_equal(deck_count(&deck, "INVITE "), 2);
	assert_string_equal(kit_header(deck_got(&deck, "INVITE "), "P-Asserted-Identity"),
			    carla_line);
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	run(5);
	assert_int_equal(deck_count(&deck, "INVITE "), 2);
	assert_log(&deck.in, "");
	their_bye(2);
}

static void glare_is_answered_491_and_ours_is_tried_again(void **state)
{
	unsigned waited = 0;

	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("2"));
	assert_non_null(deck_got(&deck, "SIP/2.0 491"));
	deck_answer(&deck, deck_got(&deck, "INVITE "), 491, NULL, NULL, NULL);
	assert_log(&deck.in, "");
	while (deck_count(&deck, "INVITE ") < 2 && waited < 2100) {
		run(10);
		waited += 10;
	}
	assert_in_range(waited, 0, 2010); /* we do not own the Call-ID: 0..2 s */
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	assert_log(&deck.in, "DONE200+");
	their_bye(3);
}

static void glare_for_ever_is_told(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	for (int i = 0; i < 4; i++) {
		run(5);
		deck_answer(&deck, deck_got(&deck, "INVITE "), 491, NULL, NULL, NULL);
		run(2100);
	}
	assert_log(&deck.in, "DONE491");
	assert_true(session_is_up(deck.in.session));
	their_bye(3);
}

static void a_failed_reinvite_keeps_the_call_but_481_ends_it(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	deck_answer(&deck, deck_got(&deck, "INVITE "), 488, NULL, NULL, NULL);
	assert_log(&deck.in, "DONE488");
	assert_true(session_is_up(deck.in.session));
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	deck_answer(&deck, deck_got(&deck, "INVITE "), 481, NULL, NULL, NULL);
	deck_answer(&deck, deck_got(&deck, "BYE "), 481, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

static void who_answers_neither_reinvite_nor_question_is_gone(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(33000);
	assert_log(&deck.in, "DONE408");
	assert_null(deck_got(&deck, "BYE ")); /* it is asked whether it is there at all */
	assert_non_null(deck_got(&deck, "OPTIONS "));
	run(33000);
	assert_non_null(deck_got(&deck, "BYE "));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

static void a_lost_ack_to_a_reinvite_ends_the_call(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "INVITE", 2, NULL, DECK_PEER_SDP("1"));
	run(33000);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

static void hanging_up_inside_a_reinvite_leaves_nothing(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	session_hangup(deck.in.session, SESSION_WHY_NORMAL);
	run(5);
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL, NULL, DECK_PEER_SDP("2"));
	assert_int_equal(deck_count(&deck, "ACK "), 1); /* even now */
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/completed/us/200");
}

/* A peer that says 100 and then nothing would keep the transaction for ever: nobody waits for it any more. */
static void hanging_up_inside_a_reinvite_that_is_never_answered_leaves_nothing(void **state)
{
	const char *invite;

	(void)state;
	call_up(NULL);
	assert_int_equal(session_offer(deck.in.session, OURS2), 0);
	run(5);
	invite = deck_got(&deck, "INVITE ");
	deck_answer(&deck, invite, 100, NULL, NULL, NULL);
	session_hangup(deck.in.session, SESSION_WHY_NORMAL);
	run(5);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	for (int i = 0; i < 7; i++) { /* which must not hold it up either */
		run(5000);
		deck_answer(&deck, invite, 100, NULL, NULL, NULL);
	}
	assert_log(&deck.in, "END/completed/us/200");
	assert_int_equal(stack_live(deck.kit.stack), 0);
}

static void requests_out_of_order_and_unknown_ones_are_refused(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "INFO", 9, "Info-Package: x\n", NULL);
	assert_log(&deck.in, "INFO");
	deck_say_in(&deck, 1, "INFO", 3, NULL, NULL);
	assert_non_null(deck_got(&deck, "SIP/2.0 500"));
	deck_say_in(&deck, 1, "MESSAGE", 10, NULL, NULL);
	assert_non_null(deck_got(&deck, "SIP/2.0 405"));
	assert_non_null(strstr(kit_header(deck_got(&deck, "SIP/2.0 405"), "Allow"), "UPDATE"));
	deck_say_in(&deck, 1, "OPTIONS", 11, NULL, NULL);
	deck_say_in(&deck, 1, "INFO", 12, "Require: flying\n", NULL);
	assert_non_null(deck_got(&deck, "SIP/2.0 420"));
	their_bye(13);
	deck_say_in(&deck, 1, "INFO", 14, NULL, NULL);
	assert_non_null(deck_got(&deck, "SIP/2.0 481"));
}

static void a_new_identity_is_told(void **state)
{
	(void)state;
	call_up(NULL);
	deck_say_in(&deck, 1, "UPDATE", 2, "P-Asserted-Identity: \"Carl\" <sip:333@10.0.0.2>\n",
		    NULL);
	assert_log(&deck.in, "ID(333)");
	assert_string_equal(deck.in.peer.name, "Carl");
	their_bye(3);
}

static void a_silent_call_is_asked_after(void **state)
{
	(void)state;
	call_up(NULL);
	run(1799000);
	until("OPTIONS ", 1, 2000);
	deck_answer(&deck, deck_got(&deck, "OPTIONS "), 405, NULL, NULL,
		    NULL); /* any answer is life */
	run(1799000);
	until("OPTIONS ", 2, 2000);
	deck_answer(&deck, deck_got(&deck, "OPTIONS "), 481, NULL, NULL, NULL);
	deck_answer(&deck, deck_got(&deck, "BYE "), 481, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

/* ---- transfer ---- */

static void a_refer_is_accepted_and_reported_on(void **state)
{
	(void)state;
	call_up(NULL);
	deck.in.refer_code = 202;
	deck_say_in(&deck, 1, "REFER", 2,
		    "Refer-To: <sip:carl@10.0.0.2>\nReferred-By: <sip:bob@10.0.0.2>\n", NULL);
	assert_log(&deck.in, "REFER(sip:carl@10.0.0.2)");
	assert_non_null(strstr(deck_got(&deck, "NOTIFY "), "SIP/2.0 100"));
	assert_string_equal(kit_header(deck_got(&deck, "NOTIFY "), "Event"), "refer;id=2");
	deck_answer(&deck, deck_got(&deck, "NOTIFY "), 200, NULL, NULL, NULL);
	session_refer_notify(deck.in.session, 180, NULL);
	run(5);
	deck_answer(&deck, deck_got(&deck, "NOTIFY "), 200, NULL, NULL, NULL);
	session_refer_notify(deck.in.session, 200, NULL);
	run(5);
	assert_non_null(strstr(deck_got(&deck, "NOTIFY "), "SIP/2.0 200 OK"));
	assert_string_equal(kit_header(deck_got(&deck, "NOTIFY "), "Subscription-State"),
			    "terminated;reason=noresource");
	deck_answer(&deck, deck_got(&deck, "NOTIFY "), 200, NULL, NULL, NULL);
	session_refer_notify(deck.in.session, 200, NULL); /* over */
	run(5);
	assert_int_equal(deck_count(&deck, "NOTIFY "), 3);
	their_bye(3);
}

static void our_refer_is_followed_to_its_end(void **state)
{
	(void)state;
	call_up(NULL);
	assert_int_equal(session_refer(deck.in.session, "sip:carl@10.0.0.2", NULL, NULL), 0);
	run(5);
	deck_answer(&deck, deck_got(&deck, "REFER "), 202, NULL, NULL, NULL);
	deck_say_in(
		&deck, 1, "NOTIFY", 2,
		"Event: refer\nSubscription-State: active\nContent-Type: message/sipfrag\nSubject: x\n",
		NULL);
	assert_log(&deck.in, "R202 R100");
	deck_say_in(&deck, 1, "NOTIFY", 3,
		    "Event: refer\nSubscription-State: terminated;reason=noresource\n", NULL);
	assert_log(&deck.in, "R408.");
	assert_int_equal(session_refer(deck.in.session, "sip:carl@10.0.0.2", NULL, NULL), 0);
	run(5);
	deck_answer(&deck, deck_got(&deck, "REFER "), 603, NULL, NULL, NULL);
	assert_log(&deck.in, "R603.");
	deck_say_in(&deck, 1, "NOTIFY", 4, "Event: presence\n", NULL);
	assert_non_null(deck_got(&deck, "SIP/2.0 489"));
	assert_int_equal(session_refer(deck.in.session, "sip:carl@10.0.0.2", NULL, NULL), 0);
	run(5);
	deck_answer(&deck, deck_got(&deck, "REFER "), 202, NULL, NULL, NULL);
	run(61000);
	assert_log(&deck.in, "R202 R202."); /* never a word: unconfirmed */
	their_bye(5);
}

static void replaces_finds_the_call_it_names(void **state)
{
	char line[512], tag[64];

	(void)state;
	call_up(NULL);
	assert_int_equal(sscanf(strstr(kit_header(deck_got(&deck, "SIP/2.0 200"), "To"), "tag="),
				"tag=%63s", tag),
			 1);
	snprintf(line, sizeof(line),
		 "Replaces: in1@peer;to-tag=nope;from-tag=bob1\nRequire: replaces\n");
	deck_invite(&deck, "trunk", 2, line, DECK_PEER_SDP("1"));
	assert_non_null(deck_got(&deck, "SIP/2.0 481"));
	assert_int_equal(deck.incomings, 1);
	snprintf(line, sizeof(line), "Replaces: in1@peer;to-tag=%s;from-tag=bob1;early-only\n",
		 tag);
	deck_invite(&deck, "trunk", 3, line, DECK_PEER_SDP("1"));
	assert_non_null(deck_got(&deck, "SIP/2.0 486"));
	session_forget(deck.in.session);
	run(5);
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	buf_reset(&deck.in.log);
}

/* ---- session timers (RFC 4028) ---- */

static void too_short_an_interval_is_refused(void **state)
{
	(void)state;
	deck_invite(&deck, "trunk", 1, "Supported: timer\nSession-Expires: 60\n",
		    DECK_PEER_SDP("1"));
	assert_string_equal(kit_header(deck_got(&deck, "SIP/2.0 422"), "Min-SE"), "90");
	deck_say_branch(&deck, 1, "ACK", NULL);
	deck_invite(&deck, "trunk", 2, "Session-Expires: 60\n",
		    DECK_PEER_SDP("1")); /* it would not understand 422 */
	assert_int_equal(deck.incomings, 1);
	session_reject(deck.in.session, 486, NULL, 0, NULL);
	run(5);
	deck_say_branch(&deck, 2, "ACK", NULL);
}

static void they_refresh_or_the_call_ends_a_little_early(void **state)
{
	(void)state;
	call_up("Supported: timer\nSession-Expires: 300;refresher=uac\n");
	assert_string_equal(kit_header(deck_got(&deck, "SIP/2.0 200"), "Session-Expires"),
			    "300;refresher=uac");
	assert_string_equal(kit_header(deck_got(&deck, "SIP/2.0 200"), "Require"), "timer");
	for (unsigned i = 0; i < 50; i++) { /* hours */
		run(200000);
		deck_say_in(&deck, 1, "UPDATE", 2 + i,
			    "Supported: timer\nSession-Expires: 300;refresher=uac\n", NULL);
	}
	assert_log(&deck.in, "");
	run(267000);
	assert_null(deck_got(&deck, "BYE "));
	run(2000); /* 300 - min(32, 100) */
	assert_non_null(deck_got(&deck, "BYE "));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

static void we_refresh_at_half_time_by_update(void **state)
{
	(void)state;
	call_up("Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, ACK, BYE, UPDATE\n");
	run(99000);
	assert_null(deck_got(&deck, "UPDATE "));
	for (int i = 1; i < 40; i++) {
		until("UPDATE ", (unsigned)i, 2000);
		assert_string_equal(kit_header(deck_got(&deck, "UPDATE "), "Session-Expires"),
				    "200;refresher=uac");
		deck_answer(&deck, deck_got(&deck, "UPDATE "), 200, NULL,
			    "Session-Expires: 200;refresher=uac\n", NULL);
		run(99000);
	}
	deck_say_in(&deck, 1, "BYE", 2, NULL, NULL);
	assert_log(&deck.in, "END/completed/them/200");
}

static void without_update_we_refresh_with_the_same_offer(void **state)
{
	(void)state;
	call_up("Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, ACK, BYE\n");
	run(99000);
	until("INVITE ", 1, 2000);
	assert_non_null(strstr(deck_got(&deck, "INVITE "), "o=- 1 1 "));
	deck_answer(&deck, deck_got(&deck, "INVITE "), 200, NULL,
		    "Session-Expires: 200;refresher=uac\n", DECK_PEER_SDP("1"));
	assert_log(&deck.in, ""); /* nothing changed: nobody is bothered */
	run(99000);
	until("INVITE ", 2, 2000);
	run(33000); /* no reply */
	assert_non_null(deck_got(&deck, "BYE "));
	deck_answer(&deck, deck_got(&deck, "BYE "), 200, NULL, NULL, NULL);
	assert_log(&deck.in, "END/timed_out/network/408");
}

static void our_interval_is_raised_when_they_say_422(void **state)
{
	(void)state;
	deck_dial(&deck, "100", DECK_SDP("1"));
	assert_string_equal(kit_header(deck_got(&deck, "INVITE "), "Session-Expires"), "1800");
	deck_answer(&deck, deck_got(&deck, "INVITE "), 422, "b", "Min-SE: 4000\n", NULL);
	assert_string_equal(kit_header(deck_got(&deck, "INVITE "), "Session-Expires"), "4000");
	assert_string_equal(kit_header(deck_got(&deck, "INVITE "), "Min-SE"), "4000");
	deck_answer(&deck, deck_got(&deck, "INVITE "), 486, "b", NULL, NULL);
	assert_log(&deck.out, "END/rejected/them/486");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TT(fn) cmocka_unit_test_setup_teardown(fn, setup_timers, teardown)
	const struct CMUnitTest tests[] = {
		T(a_call_comes_in_and_ends),
		T(who_calls_is_read_with_care),
		T(an_unbound_call_is_answered_480),
		T(no_room_is_never_said_as_503),
		T(a_flood_of_vias_is_survived),
		T(a_body_of_another_kind_is_refused_and_told_what_we_take),
		T(a_caller_whose_names_are_folded_can_be_hung_up),
		T(a_cancel_ends_ringing_with_487),
		T(a_cancel_after_the_answer_changes_nothing),
		T(answering_a_cancelled_call_says_so),
		T(a_lost_ack_is_waited_for_and_then_ended),
		T(no_bye_before_the_ack),
		T(a_bye_that_overtakes_the_ack_ends_the_call),
		T(an_offerless_call_is_answered_with_an_offer),
		T(an_ack_without_the_answer_it_owes_ends_the_call),
		T(early_media_is_sent_reliably_and_the_200_waits_for_its_prack),
		T(a_prack_that_never_comes_ends_in_504),
		T(nobody_answers),
		T(their_offer_is_answered),
		T(the_same_offer_again_needs_no_media_restart),
		T(an_offerless_reinvite_gets_our_offer),
		T(a_refused_offer_leaves_the_call_as_it_was),
		T(an_offer_the_user_forgets_is_refused),
		T(two_offers_of_theirs_at_once_get_500),
		T(our_offer_is_answered_and_acknowledged),
		T(glare_is_answered_491_and_ours_is_tried_again),
		T(glare_for_ever_is_told),
		T(a_failed_reinvite_keeps_the_call_but_481_ends_it),
		T(who_answers_neither_reinvite_nor_question_is_gone),
		T(a_lost_ack_to_a_reinvite_ends_the_call),
		T(hanging_up_inside_a_reinvite_leaves_nothing),
		T(hanging_up_inside_a_reinvite_that_is_never_answered_leaves_nothing),
		T(requests_out_of_order_and_unknown_ones_are_refused),
		T(a_new_identity_is_told),
		T(a_silent_call_is_asked_after),
		T(who_it_talks_to_now_is_told_in_an_update),
		T(who_it_talks_to_now_waits_for_the_offer_that_is_open),
		T(a_refer_is_accepted_and_reported_on),
		T(our_refer_is_followed_to_its_end),
		T(replaces_finds_the_call_it_names),
		TT(too_short_an_interval_is_refused),
		TT(they_refresh_or_the_call_ends_a_little_early),
		TT(we_refresh_at_half_time_by_update),
		TT(without_update_we_refresh_with_the_same_offer),
		TT(our_interval_is_raised_when_they_say_422),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
