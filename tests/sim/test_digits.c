/* Digits that we send, and far ends that make it hard. */
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

/* Somebody at the provider listens to an echo; without telephone-events unless it says so. */
static void up(struct sim *s, struct sim_dialog *far, const char *formats)
{
	char sdp[600];

	(void)snprintf(sdp, sizeof(sdp),
		       "v=0\r\no=- 7 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		       "m=audio 4000 RTP/AVP %s\r\na=rtpmap:96 opus/48000/2\r\n"
		       "a=rtpmap:101 telephone-event/8000\r\n",
		       formats);
	assert_int_equal(sim_make(s, "0301", CONNECT_ECHO)->code, REPLY_OK);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), far, sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
}

static struct reply *dial(struct sim *s, const char *digits, enum dtmf_mode method)
{
	struct dtmf_request request = { .duration_ms = 100, .gap_ms = 100, .method = method };
	struct command command = { .type = COMMAND_DTMF,
				   .asker = { s->tenant, s->anna, ASKER_AGENT },
				   .call_id = sim_view(s)->id };
	struct reply *reply;

	(void)str_copy(request.digits, sizeof(request.digits), digits);
	command.body = xmemdup(&request, sizeof(request));
	reply = sim_do(s, &command);
	sim_run(s, 5);
	return reply;
}

static bool told(struct sim *s, const char *what)
{
	for (unsigned i = s->event_count; i-- > 0;)
		if (s->events[i]->type == EVENT_CALL_DTMF_SENT)
			return strstr(s->events[i]->detail, what);
	return false;
}

static void over(struct sim *s)
{
	(void)sim_hangup(s);
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "BYE");
}

/* The first is lost twice: its successor would overtake it, and it would be refused then. */
static void the_next_info_waits_for_the_answer_to_the_last(void **state)
{
	struct sim *s = *state;
	struct sim_dialog far;
	const char *info;

	up(s, &far, "0");
	assert_int_equal(dial(s, "12", DTMF_AUTO)->code, REPLY_OK);
	sim_run(s, 2000);
	assert_int_equal(sim_count(&s->provider, "INFO"), 3);
	for (unsigned i = 0; i < 3; i++) {
		info = sim_expect(&s->provider, "INFO");
		assert_non_null(strstr(sim_body(info), "Signal=1"));
	}
	sim_reply(&s->provider, info, 200, NULL, NULL, NULL);
	sim_run(s, 5);
	info = sim_expect(&s->provider, "INFO");
	assert_non_null(strstr(sim_body(info), "Signal=2"));
	sim_reply(&s->provider, info, 200, NULL, NULL, NULL);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 0);
	sim_run(s, 200); /* it lasts as long as it was asked to */
	assert_true(told(s, "\"complete\":true"));
	over(s);
}

static void a_digit_that_is_refused_is_not_said_to_be_sent(void **state)
{
	struct sim *s = *state;
	struct sim_dialog far;

	up(s, &far, "0");
	assert_int_equal(dial(s, "12", DTMF_INFO)->code, REPLY_OK);
	assert_int_equal(dial(s, "3", DTMF_INFO)->code, REPLY_OK);
	sim_reply(&s->provider, sim_expect(&s->provider, "INFO"), 415, NULL, NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 1);
	assert_true(told(s, "\"complete\":false"));
	sim_run(s, 200);
	sim_reply(&s->provider, sim_expect(&s->provider, "INFO"), 200, NULL, NULL, NULL);
	sim_run(s, 200);
	assert_int_equal(sim_events(s, EVENT_CALL_DTMF_SENT), 2);
	assert_true(told(s, "\"complete\":true"));
	over(s);
}

/* They agree to something else meanwhile: no telephone-events, a codec that carries no tones, and no INFO. */
static void what_cannot_be_sent_any_more_is_not_said_to_be_sent(void **state)
{
	struct sim *s = *state;
	struct sim_dialog far;

	up(s, &far, "96 101");
	assert_int_equal(dial(s, ",,12", DTMF_AUTO)->code, REPLY_OK);
	sim_request(&far, "INVITE", "Allow: INVITE, ACK, BYE\r\n",
		    "v=0\r\no=- 7 2 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
		    "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n");
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	sim_ack(&far, NULL);
	sim_run(s, 4000);
	assert_true(told(s, "\"complete\":false"));
	assert_int_equal(dial(s, "1", DTMF_AUTO)->code, REPLY_UNSUPPORTED);
	over(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(the_next_info_waits_for_the_answer_to_the_last),
		T(a_digit_that_is_refused_is_not_said_to_be_sent),
		T(what_cannot_be_sent_any_more_is_not_said_to_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
