/* Digits by INFO, with all that can go wrong with a request inside a call. */
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

static const char no_events[] =
	"v=0\r\no=- 7 7 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

static void up(struct sim *s, struct sim_dialog *phone, struct sim_dialog *far)
{
	sim_talk(s, phone, far, no_events);
}

static enum reply_code dial(struct sim *s, const char *digits, enum dtmf_mode method,
			    enum dtmf_mask mask)
{
	struct dtmf_request request = {
		.mask = mask, .duration_ms = 100, .gap_ms = 50, .method = method
	};
	struct command command = { .type = COMMAND_DTMF,
				   .asker = { s->tenant, s->anna, ASKER_AGENT },
				   .call_id = sim_view(s)->id };
	enum reply_code code;

	(void)str_copy(request.digits, sizeof(request.digits), digits);
	command.body = xmemdup(&request, sizeof(request));
	code = sim_do(s, &command)->code;
	sim_run(s, 5);
	return code;
}

/* The INFO with that digit is there. */
static const char *info(struct sim *s, char digit)
{
	const char *message = sim_expect(&s->provider, "INFO");
	char line[20];

	(void)snprintf(line, sizeof(line), "Signal=%c\r\n", digit);
	assert_non_null(strstr(sim_body(message), line));
	return message;
}

static void answer(struct sim *s, const char *message, int code)
{
	sim_reply(&s->provider, message, code, NULL, NULL, NULL);
	sim_run(s, 5);
}

static void the_next_digit_waits_for_the_answer_to_the_last(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *first;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "12", DTMF_AUTO, MASK_PROFILE), REPLY_OK);
	assert_int_equal(dial(s, "3", DTMF_AUTO, MASK_PROFILE), REPLY_OK);
	first = info(s, '1');
	sim_run(s, 3000); /* it is sent again and again, and alone */
	while (sim_heard(&s->provider, "INFO"))
		assert_string_equal(sim_header(sim_expect(&s->provider, "INFO"), "CSeq"),
				    sim_header(first, "CSeq"));
	answer(s, first, 200);
	first = info(s, '2');
	answer(s, first, 200); /* at once: its own length is kept all the same */
	assert_false(sim_heard(&s->provider, "INFO"));
	sim_run(s, 150);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT,
			     "\"complete\":true,\"sent\":2,\"sip_code\":null"));
	answer(s, info(s, '3'), 200);
	sim_run(s, 150);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 2);
	sim_over(s);
}

static void a_refused_digit_ends_its_operation_and_is_told(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "1234", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	assert_int_equal(dial(s, "5", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	answer(s, info(s, '1'), 200);
	sim_run(s, 150);
	answer(s, info(s, '2'), 500);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT,
			     "\"complete\":false,\"sent\":1,\"sip_code\":500"));
	answer(s, info(s, '5'), 200); /* what was asked for beside it goes on */
	sim_run(s, 150);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT, "\"complete\":true,\"sent\":1"));
	sim_over(s);
}

static void who_knows_no_info_gets_tones_instead(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "12", DTMF_AUTO, MASK_PROFILE), REPLY_OK);
	answer(s, info(s, '1'), 415);
	sim_run(s, 10000); /* there is no media loop here to say that they are out */
	assert_false(sim_heard(&s->provider, "INFO"));
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT,
			     "\"method\":\"inband\",\"complete\":true,\"sent\":2"));
	/* Who insists on INFO is given nothing else. */
	assert_int_equal(dial(s, "3", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	answer(s, info(s, '3'), 415);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT,
			     "\"complete\":false,\"sent\":0,\"sip_code\":415"));
	sim_over(s);
}

static void a_digit_that_is_never_answered_does_not_end_the_call(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "12", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	sim_run(s, 33000); /* Timer F */
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT,
			     "\"complete\":false,\"sent\":0,\"sip_code\":408"));
	answer(s, sim_expect(&s->provider, "OPTIONS"), 200);
	sim_run(s, 60000);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 0);
	sim_over(s);
}

static void a_digit_for_a_call_that_is_gone_ends_it_here_too(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "12", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	answer(s, info(s, '1'), 481);
	sim_run(s, 50);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 1);
	(void)sim_expect(&s->phone, "BYE");
}

/* They agree to something else meanwhile: no telephone-events, a codec that carries no tones, and no INFO. */
static void what_cannot_be_sent_any_more_is_not_said_to_be_sent(void **state)
{
	static const char with_events[] =
		"v=0\r\no=- 7 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		"m=audio 4000 RTP/AVP 96 101\r\na=rtpmap:96 opus/48000/2\r\n"
		"a=rtpmap:101 telephone-event/8000\r\n";
	static const char opus_alone[] =
		"v=0\r\no=- 7 2 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		"m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n";
	struct sim *s = *state;
	struct sim_dialog phone, far;

	sim_talk(s, &phone, &far, with_events);
	assert_int_equal(dial(s, ",,12", DTMF_AUTO, MASK_PROFILE), REPLY_OK);
	sim_request(&far, "INVITE", "Allow: INVITE, ACK, BYE\r\n", opus_alone);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	sim_ack(&far, NULL);
	sim_run(s, 4000);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT, "\"complete\":false,\"sent\":0"));
	assert_int_equal(dial(s, "1", DTMF_AUTO, MASK_PROFILE), REPLY_UNSUPPORTED);
	sim_over(s);
}

static void a_hangup_crosses_a_digit(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	const char *message;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "1234", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	message = info(s, '1');
	sim_request(&far, "BYE", NULL, NULL);
	answer(s, message, 200);
	sim_run(s, 500);
	assert_false(sim_heard(&s->provider, "INFO"));
	sim_ended(s, END_COMPLETED, 200, HANGUP_CALLEE);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 1);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT, "\"complete\":false"));
}

static void a_hold_stops_digits_that_wait(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct command hold = { .type = COMMAND_HOLD_CALL,
				.asker = { s->tenant, s->anna, ASKER_AGENT },
				.on = true };
	const char *message;

	up(s, &phone, &far);
	assert_int_equal(dial(s, "1234", DTMF_INFO, MASK_PROFILE), REPLY_OK);
	message = info(s, '1');
	hold.call_id = sim_view(s)->id;
	assert_int_equal(sim_do(s, &hold)->code, REPLY_OK);
	sim_run(s, 5);
	assert_true(sim_told(s, EVENT_CALL_DTMF_SENT, "\"complete\":false"));
	answer(s, message, 500); /* of an operation that is over already */
	sim_run(s, 500);
	assert_false(sim_heard(&s->provider, "INFO"));
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 1);
	assert_int_equal(dial(s, "1", DTMF_INFO, MASK_PROFILE), REPLY_CALL_HELD);
	sim_over(s);
}

static void which_digits_come_in_can_be_kept_secret(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;

	up(s, &phone, &far);
	sim_info(&far, "Signal=7\r\nDuration=100\r\n");
	sim_run(s, 5);
	assert_true(sim_told(s, EVENT_CALL_DTMF, "\"digit\":\"7\""));
	assert_true(sim_told(s, EVENT_CALL_DTMF, "\"masked\":false"));
	assert_int_equal(dial(s, "", DTMF_AUTO, MASK_ON), REPLY_OK);
	sim_run(s, 1000);
	sim_info(&far, "Signal=8\r\nDuration=100\r\n");
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF), 2);
	assert_true(sim_told(s, EVENT_CALL_DTMF, "\"digit\":null"));
	assert_true(sim_told(s, EVENT_CALL_DTMF, "\"masked\":true"));
	assert_int_equal(dial(s, "", DTMF_AUTO, MASK_OFF), REPLY_OK);
	sim_run(s, 1000);
	sim_info(&far, "Signal=9\r\nDuration=100\r\n");
	sim_run(s, 5);
	assert_true(sim_told(s, EVENT_CALL_DTMF, "\"digit\":\"9\""));
	sim_over(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(the_next_digit_waits_for_the_answer_to_the_last),
		T(a_refused_digit_ends_its_operation_and_is_told),
		T(who_knows_no_info_gets_tones_instead),
		T(a_digit_that_is_never_answered_does_not_end_the_call),
		T(a_digit_for_a_call_that_is_gone_ends_it_here_too),
		T(what_cannot_be_sent_any_more_is_not_said_to_be_sent),
		T(a_hangup_crosses_a_digit),
		T(a_hold_stops_digits_that_wait),
		T(which_digits_come_in_can_be_kept_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
