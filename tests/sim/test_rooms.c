/* Conference rooms from end to end, where things cross: who comes while it ends, who goes while he is sent away. */
#include "sim.h"

static int begin(void **state)
{
	*state = sim_new();
	return 0;
}

static struct reply *ask(struct sim *s, struct conference_wish wish)
{
	(void)str_copy(wish.room, sizeof(wish.room), "sales");
	return sim_do(s, &(struct command){ .type = COMMAND_CONFERENCE,
					    .body = xmemdup(&wish, sizeof(wish)) });
}

static struct reply *act(struct sim *s, enum conference_action action)
{
	return ask(s, (struct conference_wish){ .action = action });
}

static const struct conference_view *look(struct sim *s)
{
	struct conference_wish wish = { .room = "sales" };
	struct reply *reply = sim_do(s, &(struct command){ .type = COMMAND_CONFERENCE_GET,
							   .body = xmemdup(&wish, sizeof(wish)) });

	return reply->code == REPLY_OK ? reply->conferences[0] : NULL;
}

static void expect_members(struct sim *s, unsigned count)
{
	const struct conference_view *room = look(s);

	assert_non_null(room);
	assert_int_equal(room->member_count, count);
}

/* Nothing of a room is left but what was made on purpose; then of anything else. */
static int end(void **state)
{
	struct sim *s = *state;

	if (look(s))
		act(s, CONFERENCE_END);
	sim_clean(s);
	assert_null(look(s));
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_JOINED),
			 sim_events(s, EVENT_CONFERENCE_LEFT));
	sim_free(s);
	return 0;
}

/* Somebody is called in: the provider has the INVITE. */
static const char *called(struct sim *s, const char *to)
{
	struct conference_wish wish = { .action = CONFERENCE_ADD, .profile = s->line };
	char start[64];

	(void)str_copy(wish.to, sizeof(wish.to), to);
	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	sim_run(s, 5);
	(void)snprintf(start, sizeof(start), "INVITE sip:%s@", to);
	return sim_expect(&s->provider, start);
}

static void added(struct sim *s, const char *to, struct sim_dialog *far)
{
	sim_answer(&s->provider, called(s, to), far, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
}

/* Anna's phone is rung and put in; it leads, the room is hers. */
static void anna_joins(struct sim *s, struct sim_dialog *phone)
{
	assert_int_equal(act(s, CONFERENCE_JOIN)->code, REPLY_OK);
	sim_run(s, 5);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
}

static void bye(struct sim *s, struct sim_dialog *dialog)
{
	sim_request(dialog, "BYE", NULL, NULL);
	sim_run(s, 5);
}

/* ---- coming ---- */

static void an_answer_and_a_goodbye_in_one_breath(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two;

	added(s, "0301", &one);
	sim_answer(&s->provider, called(s, "0302"), &two, sim_sdp);
	sim_request(&two, "BYE", NULL, NULL); /* before it can have our ACK */
	sim_run(s, 5);
	expect_members(s, 1);
	bye(s, &one);
	assert_null(look(s));
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_ENDED), 1);
}

static void an_end_while_somebody_is_rung(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one;
	const char *invite;

	added(s, "0301", &one);
	invite = called(s, "0302");
	sim_reply(&s->provider, invite, 180, "two", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(act(s, CONFERENCE_END)->code, REPLY_OK);
	assert_null(look(s));
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "CANCEL");
	(void)sim_expect(&s->provider, "BYE");
	sim_reply(&s->provider, invite, 487, "two", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_JOINED), 1);
}

static void an_answer_that_crosses_the_end(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two;
	const char *invite;

	added(s, "0301", &one);
	invite = called(s, "0302");
	sim_reply(&s->provider, invite, 180, "peer9", NULL, NULL);
	sim_run(s, 5);
	act(s, CONFERENCE_END);
	sim_answer(&s->provider, invite, &two, sim_sdp);
	sim_run(s, 20);
	assert_null(look(s));
	/* Acknowledged, and ended: one for each of the two. */
	assert_int_equal(sim_count(&s->provider, "BYE"), 2);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_JOINED), 1);
	/* The next conference of that name has nothing of this one. */
	added(s, "0303", &one);
	expect_members(s, 1);
	bye(s, &one);
}

static void a_room_that_is_locked_or_made_full_while_somebody_is_rung(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two;
	const char *invite;

	added(s, "0301", &one);
	invite = called(s, "0302");
	assert_int_equal(act(s, CONFERENCE_LOCK)->code, REPLY_OK);
	sim_answer(&s->provider, invite, &two, sim_sdp);
	sim_run(s, 5);
	expect_members(s, 1);
	bye(s, &two); /* while it is told why */
	bye(s, &one);
	assert_null(look(s));
}

static void who_is_hung_up_while_it_rings_never_comes(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one;
	const char *invite;

	added(s, "0301", &one);
	invite = called(s, "0302");
	sim_do(s, &(struct command){ .type = COMMAND_HANGUP_CALL, .call_id = sim_view(s)->id });
	sim_run(s, 5);
	sim_reply(&s->provider, invite, 180, "two", NULL, NULL); /* it may be cancelled now */
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "two", NULL, NULL);
	sim_run(s, 5);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_FAILED), 1);
	expect_members(s, 1);
	bye(s, &one);
}

static void nobody_answers_until_the_last_timer(void **state)
{
	struct sim *s = *state;
	const char *invite = called(s, "0301");

	sim_reply(&s->provider, invite, 180, "one", NULL, NULL);
	assert_non_null(look(s)); /* it was made for that one */
	for (unsigned i = 0; i < 30 && look(s); i++)
		sim_run(s, 10000);
	(void)sim_expect(&s->provider, "CANCEL");
	sim_reply(&s->provider, invite, 487, "one", NULL, NULL);
	sim_run(s, 5);
	assert_null(look(s));
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_FAILED), 1);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_STARTED), 0);
}

/* ---- the lobby ---- */

static void who_hangs_up_in_the_lobby(void **state)
{
	struct sim *s = *state;
	struct conference_wish wish = {
		.action = CONFERENCE_ADD, .profile = s->line, .to = "0301", .confirm = true
	};
	struct sim_dialog one;

	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	sim_run(s, 5);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), &one, sim_sdp);
	sim_run(s, 5);
	expect_members(s, 0);
	bye(s, &one);
	assert_null(look(s));
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_STARTED), 0);
}

static void an_end_while_somebody_is_in_the_lobby(void **state)
{
	struct sim *s = *state;
	struct conference_wish wish = {
		.action = CONFERENCE_ADD, .profile = s->line, .to = "0302", .confirm = true
	};
	struct sim_dialog one, two;

	added(s, "0301", &one);
	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	sim_run(s, 5);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0302@"), &two, sim_sdp);
	sim_run(s, 5);
	assert_int_equal(act(s, CONFERENCE_END)->code, REPLY_OK);
	sim_run(s, 5);
	assert_int_equal(sim_count(&s->provider, "BYE"), 2);
	assert_null(look(s));
}

/* ---- going ---- */

static void a_kick_that_crosses_a_goodbye(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two;
	struct id id;

	added(s, "0301", &one);
	added(s, "0302", &two);
	id = look(s)->members[0].id;
	sim_request(&one, "BYE", NULL, NULL); /* on its way */
	assert_int_equal(
		ask(s, (struct conference_wish){ .action = CONFERENCE_KICK, .member = id })->code,
		REPLY_OK);
	sim_run(s, 5);
	expect_members(s, 1);
	assert_int_equal(
		ask(s, (struct conference_wish){ .action = CONFERENCE_KICK, .member = id })->code,
		REPLY_NOT_FOUND);
	bye(s, &two);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_LEFT), 2);
}

static void all_say_goodbye_while_it_is_ended(void **state)
{
	struct sim *s = *state;
	struct sim_dialog one, two, phone;

	added(s, "0301", &one);
	added(s, "0302", &two);
	anna_joins(s, &phone);
	sim_request(&one, "BYE", NULL, NULL);
	sim_request(&phone, "BYE", NULL, NULL);
	act(s, CONFERENCE_END);
	sim_run(s, 20);
	assert_null(look(s));
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_ENDED), 1);
	assert_int_equal(sim_events(s, EVENT_CALL_ENDED), 4); /* three members, the room */
}

static void the_last_moderators_goodbye(void **state)
{
	struct sim *s = *state;
	struct conference_wish wish = { .action = CONFERENCE_CREATE,
					.set.end_on_moderator_exit = true,
					.set.grace_s = 5 };
	struct sim_dialog one, two, phone;

	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	added(s, "0301", &one);
	added(s, "0302", &two);
	anna_joins(s, &phone);
	bye(s, &phone);
	sim_run(s, 4990);
	expect_members(s, 2);
	sim_request(&two, "BYE", NULL, NULL); /* goes by itself in the same moment */
	sim_run(s, 20);
	(void)sim_expect(&s->provider, "BYE");
	assert_int_equal(look(s)->state, CONFERENCE_OPEN);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_ENDED), 1);
}

static void a_moderator_who_comes_back_in_time(void **state)
{
	struct sim *s = *state;
	struct conference_wish wish = { .action = CONFERENCE_CREATE,
					.set.end_on_moderator_exit = true,
					.set.grace_s = 5 };
	struct sim_dialog one, phone;

	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	added(s, "0301", &one);
	anna_joins(s, &phone);
	bye(s, &phone);
	sim_run(s, 3000);
	anna_joins(s, &phone);
	sim_run(s, 60000);
	expect_members(s, 2);
	/* And goes together with the other one: nobody is left to be sent away. */
	sim_request(&one, "BYE", NULL, NULL);
	sim_request(&phone, "BYE", NULL, NULL);
	sim_run(s, 20);
	sim_run(s, 6000);
	assert_int_equal(sim_events(s, EVENT_CONFERENCE_ENDED), 1);
}

/* ---- a call of two ---- */

static struct id talking(struct sim *s, struct sim_dialog *phone, struct sim_dialog *far)
{
	assert_int_equal(sim_make(s, "0301", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	sim_answer(&s->phone, sim_expect(&s->phone, "INVITE"), phone, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->phone, "ACK");
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0301@"), far, sim_sdp);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "ACK");
	return sim_view(s)->id;
}

static void a_goodbye_on_its_way_while_the_call_becomes_a_room(void **state)
{
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct conference_wish wish = { .action = CONFERENCE_JOIN };

	wish.call = talking(s, &phone, &far);
	sim_request(&far, "BYE", NULL, NULL);
	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	assert_int_equal(look(s)->member_count, 2);
	sim_run(s, 5);
	expect_members(s, 1); /* who stays waits in the room: others may come */
	assert_false(sim_heard(&s->phone, "BYE"));
	bye(s, &phone);
	assert_null(look(s));
	assert_int_equal(sim_view(s)->end_reason, END_COMPLETED);
}

/* A hold on its way meets the move: in the room whoever is held plays his music to nobody. */
static void a_hold_on_its_way_while_the_call_becomes_a_room(void **state)
{
	static const char held[] = "v=0\r\no=- 1 2 IN IP4 10.0.0.9\r\ns=-\r\n"
				   "c=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
				   "a=sendonly\r\n";
	struct sim *s = *state;
	struct sim_dialog phone, far;
	struct conference_wish wish = { .action = CONFERENCE_JOIN };

	wish.call = talking(s, &phone, &far);
	sim_request(&far, "INVITE", NULL, held);
	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "SIP/2.0 200");
	sim_ack(&far, NULL);
	sim_run(s, 5);
	expect_members(s, 2);
	sim_run(s, 40000); /* not lost: it is on hold */
	expect_members(s, 2);
	act(s, CONFERENCE_END);
	sim_run(s, 5);
	(void)sim_expect(&s->provider, "BYE");
	(void)sim_expect(&s->phone, "BYE");
}

/* Everything at once is taken down in the middle of things; the sanitizers look. */
static void the_program_ends_with_rooms_in_use(void **state)
{
	struct sim *s = *state;
	struct conference_wish wish = {
		.action = CONFERENCE_ADD, .profile = s->line, .to = "0303", .confirm = true
	};
	struct sim_dialog one, phone, lobby;

	act(s, CONFERENCE_CREATE);
	added(s, "0301", &one);
	anna_joins(s, &phone);
	(void)called(s, "0302");
	assert_int_equal(ask(s, wish)->code, REPLY_OK);
	sim_run(s, 5);
	sim_answer(&s->provider, sim_expect(&s->provider, "INVITE sip:0303@"), &lobby, sim_sdp);
	sim_run(s, 5);
	expect_members(s, 2);
}

static int drop(void **state)
{
	sim_free(*state);
	return 0;
}

/* ---- anything in any order ---- */

#define STORM_SEEDS 25
#define STORM_STEPS 60
#define STORM_ENDS 24

struct storm {
	struct sim *s;
	uint32_t seed;
	struct sim_dialog ends[STORM_ENDS]; /* that have answered, and may have hung up */
	bool up[STORM_ENDS];
	unsigned count;
};

static unsigned pick(struct storm *storm, unsigned below)
{
	storm->seed = storm->seed * 1664525u + 1013904223u;
	return (unsigned)((uint64_t)(storm->seed >> 8) * below >> 24);
}

static const char *any_room(struct storm *storm)
{
	return pick(storm, 3) ? "sales" : "support";
}

static struct reply *ask_any(struct storm *storm, struct conference_wish wish)
{
	(void)str_copy(wish.room, sizeof(wish.room), any_room(storm));
	return sim_do(storm->s, &(struct command){ .type = COMMAND_CONFERENCE,
						   .body = xmemdup(&wish, sizeof(wish)) });
}

/* Of some room, if it has any: a member; none otherwise. */
static struct member_view any_member(struct storm *storm)
{
	struct conference_wish wish = { 0 };
	struct reply *reply;

	(void)str_copy(wish.room, sizeof(wish.room), any_room(storm));
	reply = sim_do(storm->s, &(struct command){ .type = COMMAND_CONFERENCE_GET,
						    .body = xmemdup(&wish, sizeof(wish)) });
	if (reply->code != REPLY_OK || !reply->conferences[0]->member_count)
		return (struct member_view){ 0 };
	return reply->conferences[0]->members[pick(storm, reply->conferences[0]->member_count)];
}

/* Whoever is being rung answers, is busy, or lets it ring. */
static void peer_answers(struct storm *storm, struct sim_peer *peer)
{
	const char *invite;

	while (sim_heard(peer, "INVITE")) {
		invite = sim_expect(peer, "INVITE");
		if (storm->count == STORM_ENDS || !pick(storm, 5)) {
			sim_reply(peer, invite, 486, "busy", NULL, NULL);
		} else {
			sim_answer(peer, invite, &storm->ends[storm->count], sim_sdp);
			storm->up[storm->count++] = true;
			if (!pick(storm, 6)) { /* and hangs up in the same breath */
				sim_request(&storm->ends[storm->count - 1], "BYE", NULL, NULL);
				storm->up[storm->count - 1] = false;
			}
		}
	}
}

static void storm_make(struct storm *storm)
{
	ask_any(storm, (struct conference_wish){ .action = CONFERENCE_CREATE,
						 .set.tones = pick(storm, 2),
						 .set.join_muted = pick(storm, 2),
						 .set.wait_for_moderator = !pick(storm, 3),
						 .set.end_on_moderator_exit = !pick(storm, 3),
						 .set.keys = true,
						 .set.max_members = pick(storm, 2) ? 3 : 0,
						 .set.grace_s = (int)pick(storm, 4) });
}

static void storm_to_member(struct storm *storm)
{
	enum conference_action action = (enum conference_action)(
		CONFERENCE_MUTE + pick(storm, CONFERENCE_VOLUME - CONFERENCE_MUTE + 1));

	ask_any(storm, (struct conference_wish){
			       .action = action, .member = any_member(storm).id, .volume = -6 });
}

static void storm_step(struct storm *storm)
{
	struct conference_wish add = { .action = CONFERENCE_ADD,
				       .profile = storm->s->line,
				       .to = "0301",
				       .confirm = !pick(storm, 4) };
	unsigned n = storm->count ? pick(storm, storm->count) : 0;

	switch (pick(storm, 16)) {
	case 0:
		storm_make(storm);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		ask_any(storm, add);
		break;
	case 5:
		ask_any(storm, (struct conference_wish){ .action = CONFERENCE_JOIN });
		break;
	case 6: /* into another room, or the same */
		ask_any(storm, (struct conference_wish){ .action = CONFERENCE_JOIN,
							 .call = any_member(storm).call_id });
		break;
	case 7:
		if (storm->count && storm->up[n])
			sim_request(&storm->ends[n], "BYE", NULL, NULL);
		storm->up[n] = false;
		break;
	case 8:
		sim_do(storm->s, &(struct command){ .type = COMMAND_HANGUP_CALL,
						    .call_id = any_member(storm).call_id });
		break;
	case 9:
		ask_any(storm,
			(struct conference_wish){ .action = pick(storm, 2) ? CONFERENCE_LOCK
									   : CONFERENCE_UNLOCK });
		break;
	case 10:
		if (!pick(storm, 3))
			ask_any(storm, (struct conference_wish){ .action = CONFERENCE_END });
		break;
	case 11:
		ask_any(storm,
			(struct conference_wish){ .action = CONFERENCE_UPDATE,
						  .given = ROOM_SET_WAIT,
						  .set.wait_for_moderator = pick(storm, 2) });
		break;
	default:
		storm_to_member(storm);
	}
}

static void storm_ends(struct storm *storm)
{
	for (unsigned i = 0; i < 2; i++) {
		struct conference_wish wish = { .action = CONFERENCE_END };

		(void)str_copy(wish.room, sizeof(wish.room), i ? "sales" : "support");
		sim_do(storm->s, &(struct command){ .type = COMMAND_CONFERENCE,
						    .body = xmemdup(&wish, sizeof(wish)) });
	}
	/* Those who are just being told why: whoever hears them hangs up. */
	for (unsigned i = 0; i < storm->count; i++)
		if (storm->up[i])
			sim_request(&storm->ends[i], "BYE", NULL, NULL);
	sim_run(storm->s, 20);
	for (unsigned i = 0; i < 3; i++) {
		peer_answers(storm, &storm->s->provider);
		peer_answers(storm, &storm->s->phone);
		peer_answers(storm, &storm->s->phone2);
		sim_run(storm->s, 2000);
	}
}

static void anything_in_any_order_leaves_nothing_behind(void **state)
{
	unsigned joined = 0, ended = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= STORM_SEEDS; seed++) {
		struct storm storm = { .s = sim_new(), .seed = seed };

		for (unsigned i = 0; i < STORM_STEPS; i++) {
			storm_step(&storm);
			if (!pick(&storm, 3))
				sim_run(storm.s, 1 + pick(&storm, 3) * 700);
			if (!pick(&storm, 3)) {
				peer_answers(&storm, &storm.s->provider);
				peer_answers(&storm, &storm.s->phone);
			}
		}
		storm_ends(&storm);
		assert_int_equal(sim_events(storm.s, EVENT_CONFERENCE_JOINED),
				 sim_events(storm.s, EVENT_CONFERENCE_LEFT));
		joined += sim_events(storm.s, EVENT_CONFERENCE_JOINED);
		ended += sim_events(storm.s, EVENT_CONFERENCE_ENDED);
		sim_clean(storm.s);
		sim_free(storm.s);
	}
	assert_true(joined > 5 * STORM_SEEDS && ended > STORM_SEEDS); /* something did happen */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_and_a_goodbye_in_one_breath),
		TEST(an_end_while_somebody_is_rung),
		TEST(an_answer_that_crosses_the_end),
		TEST(a_room_that_is_locked_or_made_full_while_somebody_is_rung),
		TEST(who_is_hung_up_while_it_rings_never_comes),
		TEST(nobody_answers_until_the_last_timer),
		TEST(who_hangs_up_in_the_lobby),
		TEST(an_end_while_somebody_is_in_the_lobby),
		TEST(a_kick_that_crosses_a_goodbye),
		TEST(all_say_goodbye_while_it_is_ended),
		TEST(the_last_moderators_goodbye),
		TEST(a_moderator_who_comes_back_in_time),
		TEST(a_goodbye_on_its_way_while_the_call_becomes_a_room),
		TEST(a_hold_on_its_way_while_the_call_becomes_a_room),
		cmocka_unit_test(anything_in_any_order_leaves_nothing_behind),
		cmocka_unit_test_setup_teardown(the_program_ends_with_rooms_in_use, begin, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
