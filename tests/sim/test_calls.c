/* Calls from end to end: what crosses, what is lost, what comes twice. */
#include "sim.h"

static int begin(void **state)
{
	*state = sim_new();
	return 0;
}

static int end(void **state)
{
	sim_clean(*state);
	sim_free(*state);
	return 0;
}

/* The number of the sound port that a description names. */
static int port_in(const char *message)
{
	const char *line = strstr(sim_body(message), "m=audio ");

	assert_non_null(line);
	return (int)strtol(line + 8, NULL, 10);
}

/* Anna's phone has answered, the provider has the INVITE. */
static const char *half_way(struct sim *s, struct sim_dialog *phone)
{
	assert_int_equal(sim_make(s, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	return sim_expect(&s->provider, "INVITE sip:0301@");
}

static void up(struct sim *s, struct sim_dialog *phone, struct sim_dialog *far)
{
	const char *invite = half_way(s, phone);

	sim_reply(&s->provider, invite, 180, "peer1", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_view(s)->state, CALL_RINGING);
	sim_answer(&s->provider, invite, far, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
}

static void a_click_to_call_from_ring_to_bye(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite;

	assert_int_equal(sim_make(s, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	invite = sim_expect(&s->phone, "INVITE");
	assert_non_null(strstr(sim_header(invite, "From"), "sip:0301@"));
	/* Both contacts ring; the one that answers first stops the other. */
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 180, "p2", NULL, NULL);
	sim_run(s, 5);
	sim_answer(&s->phone, invite, &phone, sim_sdp);
	sim_run(s, 5);
	assert_non_null(
		strstr(sim_header(sim_expect(&s->phone2, "CANCEL"), "Reason"), "cause=200"));
	invite = sim_expect(&s->provider, "INVITE sip:0301@10.0.0.2");
	/* The phone took PCMU: that is what the provider is offered first. */
	assert_non_null(strstr(sim_body(invite), " RTP/AVP 0 8 "));
	sim_answer(&s->provider, invite, &far, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	assert_int_equal(sim_view(s)->leg_count, 2);
	sim_run(s, 10000);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	assert_non_null(strstr(sim_header(sim_expect(&s->phone, "BYE"), "Reason"), "cause=16"));
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(sim_view(s)->talk_s, 10);
}

static void a_200_that_crosses_the_cancel_is_acknowledged_and_ended(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite = half_way(s, &phone);

	sim_reply(&s->provider, invite, 180, "peer1", NULL, NULL);
	sim_run(s, 5);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 1);
	sim_answer(&s->provider, invite, &far, sim_sdp);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "CANCEL");
	(void)sim_expect(&s->provider, "ACK");
	(void)sim_expect(&s->provider, "BYE");
	sim_ended(s, END_CANCELED, 487, HANGUP_CALLER);
	assert_int_equal(sim_view(s)->talk_s, 0);
	assert_int_equal(sim_events(s, EVENT_CALL_ANSWERED), 0);
}

static void both_sides_hang_up_in_the_same_moment(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(&far, "BYE", NULL, NULL);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	(void)sim_expect(&s->phone, "SIP/2.0 200");
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
}

static void two_phones_answer_in_the_same_moment(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two;
	const char *a, *b;

	sim_make(s, "0301", CONNECT_ANY_DEVICE);
	a = sim_expect(&s->phone, "INVITE");
	b = sim_expect(&s->phone2, "INVITE");
	sim_answer(&s->phone, a, &one, sim_sdp);
	sim_answer(&s->phone2, b, &two, sim_sdp);
	sim_run(s, 20);
	(void)sim_expect(&s->phone, "ACK");
	(void)sim_expect(&s->phone2, "ACK");
	assert_int_equal(sim_count(&s->phone, "BYE") + sim_count(&s->phone2, "BYE"), 1);
	assert_int_equal(sim_count(&s->provider, "INVITE"), 1);
	sim_hangup(s);
	sim_run(s, 20);
	sim_reply(&s->provider, sim_expect(&s->provider, "INVITE"), 487, "x", NULL, NULL);
	sim_run(s, 20);
	sim_ended(s, END_CANCELED, 487, HANGUP_API);
}

static void early_media_reaches_the_phone_before_the_answer(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite = half_way(s, &phone);

	sim_reply(&s->provider, invite, 183, "peer1", NULL, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(sim_view(s)->state, CALL_EARLY_MEDIA);
	sim_reply(&s->provider, invite, 180, "peer1", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_view(s)->state, CALL_EARLY_MEDIA);
	sim_answer(&s->provider, invite, &far, sim_sdp);
	sim_run(s, 5);
	sim_hangup(s);
	sim_ended(s, END_COMPLETED, 200, HANGUP_API);
}

static const struct refusal {
	int code;
	enum end_reason reason;
} refusals[] = {
	{ 486, END_BUSY },	  { 600, END_BUSY },	     { 603, END_DECLINED },
	{ 404, END_NOT_FOUND },	  { 484, END_NOT_FOUND },    { 480, END_UNAVAILABLE },
	{ 408, END_NO_ANSWER },	  { 488, END_MEDIA_FAILED }, { 500, END_TRUNK_FAILED },
	{ 403, END_AUTH_FAILED },
};

static void every_refusal_has_its_reason(void **state)
{
	struct sim *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct sim_dialog phone;
		const char *invite = half_way(s, &phone);

		sim_reply(&s->provider, invite, refusals[i].code, "no", NULL, NULL);
		sim_run(s, 50);
		(void)sim_expect(&s->provider, "ACK");
		(void)sim_expect(&s->phone, "BYE");
		sim_ended(s, refusals[i].reason, refusals[i].code, HANGUP_CALLEE);
		sim_run(s, 40000);
		while (sim_heard(&s->phone2, "INVITE"))
			sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 487, "x", NULL,
				  NULL);
		sim_run(s, 40000);
	}
}

static void a_provider_that_says_nothing_is_a_failed_trunk(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone;

	(void)half_way(s, &phone);
	sim_run(s, 33000);
	sim_ended(s, END_TRUNK_FAILED, 408, HANGUP_PLATFORM);
	(void)sim_expect(&s->phone, "BYE");
}

static void nobody_answers_and_the_provider_is_cancelled(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone;
	const char *invite = half_way(s, &phone);

	sim_reply(&s->provider, invite, 180, "peer1", NULL, NULL);
	sim_run(s, 61000);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "peer1", NULL, NULL);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "ACK");
	sim_ended(s, END_NO_ANSWER, 480, HANGUP_PLATFORM);
}

static void an_echo_is_answered_by_the_number_alone(void **state)
{
	struct sim *s = *state;
	struct sim_dialog far;

	assert_int_equal(sim_make(s, "0301", CONNECT_ECHO)->code, REPLY_OK);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE"), &far, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(sim_count(&s->phone, "INVITE"), 0);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_string_equal(sim_view(s)->legs[0].codec, "PCMU");
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

/* ---- incoming ---- */

static void an_incoming_call_is_taken_by_one_of_two_phones(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in, phone;
	const char *invite, *ok;

	sim_call_in(s, &in, "0171", sim_sdp);
	sim_run(s, 5);
	invite = sim_expect(&s->phone, "INVITE");
	assert_non_null(strstr(sim_header(invite, "From"), "sip:0171@"));
	sim_reply(&s->phone, invite, 180, "p", NULL, NULL);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 180, "p2", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 180");
	sim_answer(&s->phone, invite, &phone, sim_sdp);
	sim_run(s, 5);
	ok = sim_expect(&s->provider, "SIP/2.0 200");
	assert_non_null(strstr(sim_body(ok), "RTP/AVP 0 101"));
	sim_confirm(&in, ok);
	sim_ack(&in, NULL);
	(void)sim_expect(&s->phone2, "CANCEL");
	sim_run(s, 5000);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "BYE");
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(sim_view(s)->direction, CALL_INCOMING);
	assert_string_equal(sim_view(s)->from, "0171");
	assert_string_equal(sim_view(s)->to, "4930100");
	assert_int_equal(sim_view(s)->talk_s, 5);
}

static void a_caller_cancels_while_the_phones_ring(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in;
	const char *invite;

	sim_call_in(s, &in, "0171", sim_sdp);
	sim_run(s, 5);
	invite = sim_expect(&s->phone, "INVITE");
	sim_reply(&s->phone, invite, 180, "p", NULL, NULL);
	sim_run(s, 5);
	sim_cancel(&in);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 487");
	(void)sim_expect(&s->phone, "CANCEL");
	sim_reply(&s->phone, invite, 487, "p", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_CANCELED, 487, HANGUP_CALLER);
}

static void the_answer_crosses_the_callers_cancel(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in, phone;
	const char *invite;

	sim_call_in(s, &in, "0171", sim_sdp);
	sim_run(s, 5);
	invite = sim_expect(&s->phone, "INVITE");
	sim_cancel(&in);
	sim_answer(&s->phone, invite, &phone, sim_sdp);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "SIP/2.0 487");
	(void)sim_expect(&s->phone, "ACK");
	(void)sim_expect(&s->phone, "BYE");
	sim_ended(s, END_CANCELED, 487, HANGUP_CALLER);
}

static void phones_that_are_busy_make_the_call_busy(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in;

	sim_call_in(s, &in, "0171", sim_sdp);
	sim_run(s, 5);
	sim_reply(&s->phone, sim_expect(&s->phone, "INVITE"), 486, "p", NULL, NULL);
	sim_reply(&s->phone2, sim_expect(&s->phone2, "INVITE"), 480, "p", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 486");
	sim_ended(s, END_BUSY, 486, HANGUP_CALLEE);
}

static void an_offer_without_a_common_codec_rings_nobody(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in;
	const char *refusal;

	sim_call_in(s, &in, "0171",
		    "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		    "m=audio 4000 RTP/AVP 18\r\n");
	sim_run(s, 5);
	refusal = sim_expect(&s->provider, "SIP/2.0 488");
	assert_non_null(strstr(sim_header(refusal, "Warning"), "305 "));
	assert_int_equal(sim_count(&s->phone, "INVITE"), 0);
	sim_ended(s, END_MEDIA_FAILED, 488, HANGUP_PLATFORM); /* and who was called can see it */
}

static void an_invite_without_an_offer_gets_ours_and_answers_in_the_ack(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in, phone;
	const char *ok;

	sim_call_in(s, &in, "0171", NULL);
	sim_run(s, 5);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &phone, sim_sdp);
	sim_run(s, 5);
	ok = sim_expect(&s->provider, "SIP/2.0 200");
	assert_true(port_in(ok) >= 20000);
	sim_confirm(&in, ok);
	sim_ack(&in, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_request(&in, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLER);
}

static void a_lost_ack_ends_both_sides(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in, phone;

	sim_call_in(s, &in, "0171", sim_sdp);
	sim_run(s, 5);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), &phone, sim_sdp);
	sim_run(s, 33000);
	assert_true(sim_count(&s->provider, "SIP/2.0 200") > 5);
	assert_non_null(strstr(sim_header(sim_expect(&s->provider, "BYE"), "Reason"), "cause=102"));
	(void)sim_expect(&s->phone, "BYE");
	sim_ended(s, END_TIMEOUT, 408, HANGUP_PLATFORM);
}

static void a_stranger_is_not_answered(void **state)
{
	struct sim *s = *state;
	static const char invite[] =
		"INVITE sip:4930100@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.66:5060;branch=z9hG4bKevil\r\n"
		"From: <sip:evil@10.0.0.66>;tag=e\r\nTo: <sip:4930100@10.0.0.1>\r\nCall-ID: evil\r\nCSeq: 1 INVITE\r\n"
		"Max-Forwards: 70\r\nContact: <sip:evil@10.0.0.66>\r\nContent-Length: 0\r\n\r\n";

	sim_raw_send(s->net, SIP_TRANSP_UDP, "10.0.0.66:5060", SIM_OURS, invite, strlen(invite));
	sim_run(s, 1000);
	assert_int_equal(sim_events(s, EVENT_CALL_CREATED), 0);
	assert_int_equal(sim_count(&s->phone, "INVITE"), 0);
}

/* ---- while it is up ---- */

static void holds_and_resumes_of_the_far_end_are_answered(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *ok;

	up(s, &phone, &far);
	sim_request(&far, "INVITE", NULL,
		    "v=0\r\no=- 7 8 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		    "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n");
	sim_run(s, 5);
	ok = sim_expect(&s->provider, "SIP/2.0 200");
	assert_non_null(strstr(sim_body(ok), "a=recvonly"));
	sim_ack(&far, NULL);
	assert_int_equal(sim_view(s)->state, CALL_HELD);
	assert_true(sim_view(s)->hold_remote);
	/* The other side knows nothing of it. */
	assert_int_equal(sim_count(&s->phone, "INVITE"), 1);
	sim_run(s, 7000);
	sim_request(&far, "INVITE", NULL,
		    "v=0\r\no=- 7 9 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		    "m=audio 4000 RTP/AVP 0\r\n");
	sim_run(s, 5);
	ok = sim_expect(&s->provider, "SIP/2.0 200");
	assert_non_null(strstr(sim_body(ok), "a=sendrecv"));
	sim_ack(&far, NULL);
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLER);
	assert_int_equal(sim_view(s)->hold_s, 7);
}

static void a_change_that_cannot_be_had_leaves_the_call_as_it_is(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_request(
		&far, "INVITE", NULL,
		"v=0\r\no=- 7 8 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n");
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 488");
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

static void a_codec_changes_in_mid_call_and_the_port_stays(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *invite = half_way(s, &phone), *ok;
	int port = port_in(invite);

	sim_answer(&s->provider, invite, &far, sim_sdp);
	sim_run(s, 5);
	assert_string_equal(sim_view(s)->legs[1].codec, "PCMU");
	sim_request(
		&far, "INVITE", NULL,
		"v=0\r\no=- 7 8 IN IP4 10.0.0.8\r\ns=-\r\nc=IN IP4 10.0.0.8\r\nt=0 0\r\nm=audio 4444 RTP/AVP 8\r\n");
	sim_run(s, 5);
	ok = sim_expect(&s->provider, "SIP/2.0 200");
	assert_int_equal(port_in(ok), port);
	assert_non_null(strstr(sim_body(ok), "RTP/AVP 8\r\n"));
	sim_ack(&far, NULL);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	assert_string_equal(sim_view(s)->legs[1].codec, "PCMA");
}

static void a_call_follows_its_profile_to_another_address(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct command again = { .type = COMMAND_PROFILE_REGISTER,
				 .asker = { .tenant = s->tenant, .user = s->anna },
				 .profile_id = s->line,
				 .on = true };
	const char *invite;

	up(s, &phone, &far);
	s->provider.sees = ";received=198.51.100.7;rport=40001";
	assert_int_equal(sim_do(s, &again)->code, REPLY_OK);
	sim_run(s, 500);
	assert_non_null(strstr(s->line_contact, "@198.51.100.7:40001"));
	invite = sim_expect(&s->provider, "INVITE sip:peer@");
	assert_non_null(strstr(sim_header(invite, "Contact"), "@198.51.100.7:40001"));
	assert_non_null(strstr(sim_body(invite), "c=IN IP4 198.51.100.7\r\n"));
	sim_reply(&s->provider, invite, 200, NULL, NULL, sim_sdp);
	sim_run(s, 50);
	(void)sim_expect(&s->provider, "ACK");
	assert_int_equal(sim_count(&s->phone, "INVITE"), 1); /* the phone has not moved */
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	/* Registering again at the same place is no news for the call. */
	assert_int_equal(sim_do(s, &again)->code, REPLY_OK);
	sim_run(s, 500);
	assert_false(sim_heard(&s->provider, "INVITE"));
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

static void without_a_port_a_call_is_refused_but_not_as_a_broken_server(void **state)
{
	static struct media_id taken[1100];
	struct sim *s = *state;
	struct media *media = engine_media(s->engine);
	struct media_open open = { .owner = 1ull << 60 };
	struct sim_dialog phone;
	unsigned count = 0;

	while (count < ARRAY_LEN(taken) && !media_stream_open(media, &open, &taken[count]))
		count++;
	assert_in_range(count, 1, ARRAY_LEN(taken) - 1);
	sim_dial(&s->phone, &phone, "*43");
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 480");
	sim_ended(s, END_MEDIA_FAILED, 480, HANGUP_PLATFORM);
	while (count)
		media_stream_close(media, taken[--count]);
}

static void a_lost_bye_does_not_keep_the_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	/* The provider is gone: our BYE finds nobody. */
	sim_net_silence(s->net, SIM_PROVIDER, true);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLER);
	sim_run(s, 40000);
	sim_net_silence(s->net, SIM_PROVIDER, false);
	sim_run(s, 60000);
}

static void a_long_call_is_kept_by_its_session_timer(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *refresh;
	unsigned refreshes = 0;

	up(s, &phone, &far);
	for (int minutes = 0; minutes < 180; minutes++) {
		sim_run(s, 60000);
		for (struct sim_dialog *dialog = &phone; dialog;
		     dialog = dialog == &phone ? &far : NULL) {
			while (sim_heard(dialog->peer, "UPDATE") ||
			       sim_heard(dialog->peer, "INVITE")) {
				bool update = sim_heard(dialog->peer, "UPDATE");

				refresh = sim_expect(dialog->peer, update ? "UPDATE" : "INVITE");
				if (dialog->peer == &s->phone &&
				    !strstr(sim_header(refresh, "To"), ";tag="))
					continue;
				sim_reply(dialog->peer, refresh, 200, NULL, NULL,
					  update ? NULL : sim_sdp);
				refreshes++;
			}
		}
		sim_run(s, 5);
	}
	assert_int_equal(sim_view(s)->state, CALL_ANSWERED);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	sim_hangup(s);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_API);
	assert_true(sim_view(s)->talk_s >= 180 * 60);
}

static void a_call_is_cut_at_its_longest(void **state)
{
	struct sim *s = *state;
	struct sim_dialog far;
	struct make_call *body = xzalloc(sizeof(*body));

	body->profile = s->line;
	body->connect.kind = CONNECT_ECHO;
	body->max_duration_s = 30;
	(void)str_copy(body->to, sizeof(body->to), "0301");
	sim_do(s, &(struct command){ .type = COMMAND_MAKE_CALL, .body = body });
	sim_run(s, 5);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE"), &far, sim_sdp);
	sim_run(s, 31000);
	(void)sim_expect(&s->provider, "BYE");
	sim_ended(s, END_TIMEOUT, 408, HANGUP_PLATFORM);
	assert_int_equal(sim_view(s)->talk_s, 30);
}

static void a_phone_dials_out_and_hears_the_refusal(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in;

	sim_dial(&s->phone, &in, "0301");
	sim_reply(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), 486, "b", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "SIP/2.0 486");
	sim_ended(s, END_BUSY, 486, HANGUP_CALLEE);
}

static void a_phone_hears_the_providers_early_media(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in, far;
	const char *invite, *progress, *ok;
	int port;

	sim_dial(&s->phone, &in, "0301");
	invite = sim_expect(&s->provider, "INVITE sip:0301@");
	sim_reply(&s->provider, invite, 183, "f", NULL, sim_sdp);
	sim_run(s, 5);
	progress = sim_expect(&s->phone, "SIP/2.0 183");
	port = port_in(progress);
	assert_int_equal(sim_view(s)->state, CALL_EARLY_MEDIA);
	sim_answer(&s->provider, invite, &far, sim_sdp);
	sim_run(s, 5);
	ok = sim_expect(&s->phone, "SIP/2.0 200");
	assert_int_equal(port_in(ok), port);
	assert_string_equal(sim_body(ok), sim_body(progress)); /* an answer cannot change */
	sim_confirm(&in, ok);
	sim_ack(&in, NULL);
	sim_run(s, 3000);
	sim_request(&in, "BYE", NULL, NULL);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "BYE");
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLER);
}

static void a_provider_that_dies_keeps_no_call_and_loses_none_that_is_up(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far, other;

	up(s, &phone, &far);
	sim_net_silence(s->net, SIM_PROVIDER, true);
	/* What is up stays up; what is begun now fails for the trunk. */
	sim_make(s, "0302", CONNECT_ECHO);
	sim_run(s, 40000);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
	assert_int_equal(sim_view(s)->end_reason, END_TRUNK_FAILED);
	sim_net_silence(s->net, SIM_PROVIDER, false);
	sim_make(s, "0303", CONNECT_ECHO);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0303@"), &other, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CALL_ANSWERED), 2);
	sim_request(&other, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
	sim_run(s, 120000);
}

static void a_phone_gets_its_own_echo(void **state)
{
	struct sim *s = *state;
	struct sim_dialog in;
	const char *ok;

	sim_dial(&s->phone, &in, "*43");
	ok = sim_expect(&s->phone, "SIP/2.0 200");
	sim_confirm(&in, ok);
	sim_ack(&in, NULL);
	sim_run(s, 5000);
	sim_request(&in, "BYE", NULL, NULL);
	sim_run(s, 5);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLER);
	assert_int_equal(sim_view(s)->direction, CALL_INTERNAL);
}

static void many_byes_for_one_call_end_it_once(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	for (int i = 0; i < 20; i++)
		sim_request(&far, "BYE", NULL, NULL);
	sim_run(s, 20);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_click_to_call_from_ring_to_bye),
		TEST(a_200_that_crosses_the_cancel_is_acknowledged_and_ended),
		TEST(both_sides_hang_up_in_the_same_moment),
		TEST(two_phones_answer_in_the_same_moment),
		TEST(early_media_reaches_the_phone_before_the_answer),
		TEST(every_refusal_has_its_reason),
		TEST(a_provider_that_says_nothing_is_a_failed_trunk),
		TEST(nobody_answers_and_the_provider_is_cancelled),
		TEST(an_echo_is_answered_by_the_number_alone),
		TEST(an_incoming_call_is_taken_by_one_of_two_phones),
		TEST(a_caller_cancels_while_the_phones_ring),
		TEST(the_answer_crosses_the_callers_cancel),
		TEST(phones_that_are_busy_make_the_call_busy),
		TEST(an_offer_without_a_common_codec_rings_nobody),
		TEST(an_invite_without_an_offer_gets_ours_and_answers_in_the_ack),
		TEST(a_lost_ack_ends_both_sides),
		TEST(a_stranger_is_not_answered),
		TEST(holds_and_resumes_of_the_far_end_are_answered),
		TEST(a_change_that_cannot_be_had_leaves_the_call_as_it_is),
		TEST(a_codec_changes_in_mid_call_and_the_port_stays),
		TEST(a_call_follows_its_profile_to_another_address),
		TEST(without_a_port_a_call_is_refused_but_not_as_a_broken_server),
		TEST(a_lost_bye_does_not_keep_the_call),
		TEST(a_long_call_is_kept_by_its_session_timer),
		TEST(a_call_is_cut_at_its_longest),
		TEST(a_phone_dials_out_and_hears_the_refusal),
		TEST(a_phone_hears_the_providers_early_media),
		TEST(a_provider_that_dies_keeps_no_call_and_loses_none_that_is_up),
		TEST(a_phone_gets_its_own_echo),
		TEST(many_byes_for_one_call_end_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
