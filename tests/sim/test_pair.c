/* Two user agents of ours, calling each other over a net that loses, doubles and reorders: whatever happens, both sides
 * agree in the end that there is no call, and nothing is left behind.
 */
#include "deck.h"

#include <stdio.h>

#define FAR "10.0.0.3:5060"

static struct deck deck; /* the near side */
static struct wire *far_wire;
static struct resolver *far_resolver;
static struct stack *far_stack;
static struct ua *far_ua;
static struct user far;
static struct account *way;
static unsigned far_calls;

static void far_incoming(struct session *session, const struct ua_incoming *incoming, void *arg)
{
	(void)incoming;
	(void)arg;
	far_calls++;
	buf_reset(&far.log);
	far.session = session;
	far.gone = false;
	session_bind(session, user_event, &far);
}

static int setup_with(bool timers)
{
	const struct ua_setup near_setup = { .no_session_timers = !timers, .session_expires = 120 };
	struct ua_setup setup = near_setup;
	const struct account_setup there = { .id = { { 2 } },
					     .username = "near",
					     .server = "10.0.0.3" };
	const struct account_setup here = { .id = { { 3 } },
					    .username = "far",
					    .server = "10.0.0.1" };

	deck_open_with(&deck, &near_setup);
	far = (struct user){ .log = BUF_MAX(65536) };
	far_calls = 0;
	far_wire = wire_sim_new(deck.kit.net, FAR, NULL);
	far_resolver =
		resolver_new(&(struct resolver_setup){ .wheel = deck.kit.wheel, .wire = far_wire });
	far_stack = stack_new(&(struct stack_setup){ .wheel = deck.kit.wheel,
						     .wire = far_wire,
						     .resolver = far_resolver,
						     .software = "Far/1" });
	setup.stack = far_stack;
	setup.handlers.on_incoming = far_incoming;
	far_ua = ua_new(&setup);
	assert_int_equal(regs_put(ua_regs(deck.ua), &there), 0);
	assert_int_equal(regs_put(ua_regs(far_ua), &here), 0);
	kit_run(&deck.kit, 100);
	way = account_ref(regs_account(ua_regs(deck.ua), there.id));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(false);
}

static int setup_timers(void **state)
{
	(void)state;
	return setup_with(true);
}

static int teardown(void **state)
{
	(void)state;
	kit_run(&deck.kit, 80000);
	assert_int_equal(stack_live(far_stack), 0);
	assert_int_equal(ua_sessions(far_ua), 0);
	assert_int_equal(dialog_table_count(ua_dialogs(far_ua)), 0);
	assert_int_equal(stack_live(deck.kit.stack), 0);
	assert_int_equal(ua_sessions(deck.ua), 0);
	assert_int_equal(dialog_table_count(ua_dialogs(deck.ua)), 0);
	account_unref(way);
	ua_free(far_ua);
	stack_free(far_stack);
	resolver_free(far_resolver);
	wire_free(far_wire);
	buf_fini(&far.log);
	deck_close_dirty(&deck);
	return 0;
}

static void dial(void)
{
	struct session_dial call = {
		.account = way,
		.to = "far",
		.offer = SESSION_SDP(DECK_SDP("1"), strlen(DECK_SDP("1"))),
	};

	far.session = NULL;
	deck_dial_as(&deck, &call);
}

static void run(unsigned ms)
{
	kit_run(&deck.kit, ms);
}

#define ANSWER SESSION_SDP(DECK_SDP("9"), strlen(DECK_SDP("9")))

static void a_call_from_end_to_end(void **state)
{
	(void)state;
	dial();
	assert_non_null(far.session);
	assert_int_equal(session_ring(far.session, 180, SESSION_NO_BODY), 0);
	run(10);
	assert_int_equal(session_ring(far.session, 183, ANSWER), 0); /* reliably */
	run(10);
	assert_int_equal(session_accept(far.session, SESSION_NO_BODY), 0);
	run(10);
	assert_log(&deck.out, "P180 P183+ A200+");
	assert_log(&far, "C");
	assert_true(session_info(deck.out.session,
				 (struct session_body){ "application/dtmf-relay", "Signal=5", 8 }));
	far.auto_answer = true;
	far.answer = DECK_SDP("10");
	assert_int_equal(session_offer(deck.out.session,
				       SESSION_SDP(DECK_SDP("2"), strlen(DECK_SDP("2")))),
			 0);
	run(10);
	assert_log(&far, "INFO+ OFFER");
	assert_log(&deck.out, "INFO/200 DONE200+");
	session_hangup(far.session, SESSION_WHY_NORMAL);
	run(10);
	assert_log(&deck.out, "END/completed/them/200");
	assert_log(&far, "END/completed/us/200");
	assert_int_equal(deck.out.end.q850, 16);
}

/* Both offer in the same millisecond: each is told 491 and waits its own time. Who comes second has described itself by
 * then, in its answer, and offers what is to be said after that.
 */
static void two_offers_that_cross_both_succeed_in_the_end(void **state)
{
	(void)state;
	dial();
	assert_int_equal(session_accept(far.session, ANSWER), 0);
	run(10);
	buf_reset(&deck.out.log);
	buf_reset(&far.log);
	deck.out.auto_answer = far.auto_answer = true;
	deck.out.answer = DECK_SDP("3");
	far.answer = DECK_SDP("10");
	assert_int_equal(session_offer(deck.out.session,
				       SESSION_SDP(DECK_SDP("2"), strlen(DECK_SDP("2")))),
			 0);
	assert_int_equal(
		session_offer(far.session, SESSION_SDP(DECK_SDP("8"), strlen(DECK_SDP("8")))), 0);
	run(9000); /* 491 both ways at first */
	assert_non_null(strstr(user_log(&far), "DONE200+"));
	assert_log(&deck.out, "OFFER DONE491");
	assert_int_equal(session_offer(deck.out.session,
				       SESSION_SDP(DECK_SDP("4"), strlen(DECK_SDP("4")))),
			 0);
	run(10);
	assert_log(&deck.out, "DONE200+");
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	run(50);
	assert_true(deck.out.gone && far.gone);
}

static void a_transfer_is_reported_from_end_to_end(void **state)
{
	(void)state;
	dial();
	assert_int_equal(session_accept(far.session, ANSWER), 0);
	run(10);
	buf_reset(&deck.out.log);
	buf_reset(&far.log);
	assert_int_equal(
		session_refer(far.session, "sip:carl@10.0.0.3", NULL, "<sip:far@10.0.0.3>"), 0);
	deck.out.refer_code = 202;
	run(10);
	assert_log(&deck.out, "REFER(sip:carl@10.0.0.3)");
	session_refer_notify(deck.out.session, 180, NULL);
	run(10);
	session_refer_notify(deck.out.session, 486, "Busy Here");
	run(10);
	assert_non_null(strstr(user_log(&far), "R202"));
	assert_non_null(strstr(user_log(&far), "R180 R486."));
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	run(50);
}

static void attended_transfer_names_the_call_by_replaces(void **state)
{
	struct session *first;

	(void)state;
	dial();
	assert_int_equal(session_accept(far.session, ANSWER), 0);
	run(10);
	first = far.session;
	deck.out.refer_code = 603;
	/* refer to itself: the far end recognises the dialog that Replaces names as one of its own */
	far.refer_code = 603;
	assert_int_equal(
		session_refer(deck.out.session, "sip:far@10.0.0.3", deck.out.session, NULL), 0);
	run(20);
	assert_non_null(strstr(user_log(&far), "REFER(sip:far@10.0.0.3,known)"));
	assert_true(far.session == first);
	session_hangup(deck.out.session, SESSION_WHY_NORMAL);
	run(50);
}

static void hours_of_refreshes_keep_the_call_and_a_vanished_side_ends_it(void **state)
{
	(void)state;
	dial();
	assert_int_equal(session_accept(far.session, ANSWER), 0);
	run(10);
	buf_reset(&deck.out.log);
	buf_reset(&far.log);
	run(4 * 3600 * 1000);
	assert_log(&deck.out, "");
	assert_log(&far, "");
	sim_net_silence(deck.kit.net, FAR, true);
	sim_net_silence(deck.kit.net, KIT_OURS, true);
	run(200000);
	assert_true(deck.out.gone && far.gone);
	assert_int_equal(deck.out.end.outcome, SESSION_TIMED_OUT);
	sim_net_silence(deck.kit.net, FAR, false);
	sim_net_silence(deck.kit.net, KIT_OURS, false);
}

/* What either side does in a bad hour, by dice. */
static uint32_t dice_state;

static uint32_t dice(uint32_t below)
{
	dice_state = dice_state * 1664525u + 1013904223u;
	return (dice_state >> 8) % below;
}

static void act(struct user *user)
{
	struct session *session = user->session;

	if (!session || user->gone)
		return;
	switch (dice(8)) {
	case 0:
		session_hangup(session, (enum session_why)dice(7));
		break;
	case 1:
		(void)!session_ring(session, dice(2) ? 180 : 183,
				    dice(2) ? ANSWER : SESSION_NO_BODY);
		break;
	case 2:
	case 3:
		(void)!session_accept(session, ANSWER);
		break;
	case 4:
	case 5:
		(void)!session_offer(session, ANSWER);
		break;
	case 6:
		(void)session_info(session, (struct session_body){ "application/dtmf", "5", 1 });
		break;
	default:
		(void)!session_refer(session, "sip:x@10.0.0.3", NULL, NULL);
		break;
	}
}

static void bad_weather_leaves_nothing_behind(void **state)
{
	const struct sim_weather weather = {
		.delay_ms = 20, .jitter_ms = 300, .loss_percent = 25, .twice_percent = 15
	};

	(void)state;
	sim_net_weather(deck.kit.net, &weather);
	deck.out.auto_answer = far.auto_answer = true;
	deck.out.answer = far.answer = DECK_SDP("5");
	deck.out.refer_code = far.refer_code = 202;
	for (uint32_t round = 0; round < 150; round++) {
		dice_state = round * 7919;
		kit_forget(&deck.kit);
		dial();
		for (int step = 0; step < 12; step++) {
			run(dice(2000));
			act(dice(2) ? &deck.out : &far);
		}
		if (!deck.out.gone)
			session_hangup(deck.out.session, SESSION_WHY_NORMAL);
		else if (far.session && !far.gone)
			session_hangup(far.session, SESSION_WHY_NORMAL);
		for (unsigned waited = 0;
		     (!deck.out.gone || (far.session && !far.gone)) && waited < 300000;
		     waited += 1000) {
			run(1000);
			if (waited == 100000 && far.session && !far.gone)
				session_hangup(far.session, SESSION_WHY_NORMAL);
		}
		assert_true(deck.out.gone);
		assert_true(!far.session || far.gone);
		run(70000);
		assert_int_equal(ua_sessions(deck.ua), 0);
		assert_int_equal(ua_sessions(far_ua), 0);
		assert_int_equal(stack_live(deck.kit.stack), 0);
		assert_int_equal(stack_live(far_stack), 0);
	}
	assert_true(far_calls > 100);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TT(fn) cmocka_unit_test_setup_teardown(fn, setup_timers, teardown)
	const struct CMUnitTest tests[] = {
		T(a_call_from_end_to_end),
		T(two_offers_that_cross_both_succeed_in_the_end),
		T(a_transfer_is_reported_from_end_to_end),
		T(attended_transfer_names_the_call_by_replaces),
		TT(hours_of_refreshes_keep_the_call_and_a_vanished_side_ends_it),
		T(bad_weather_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
