/* What transfers leave behind, and how often there may be one. */
#include "world.h"

#include "base/base.h"

static int begin(void **state)
{
	*state = world_new();
	return 0;
}

static int end(void **state)
{
	world_expect_clean(*state);
	world_free(*state);
	return 0;
}

static void on_demand(struct line_spec *spec)
{
	spec->record = RECORD_ON_DEMAND;
}

static struct asker boss(const struct world *world)
{
	return world_as(world->tenant, world->anna, ASKER_ADMIN);
}

static struct reply *transfer(struct world *world, struct id call, struct transfer_wish wish)
{
	return world_do(world, &(struct command){ .type = COMMAND_TRANSFER,
						  .asker = boss(world),
						  .call_id = call,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

static struct reply *record(struct world *world, struct id call, int action)
{
	struct record_wish wish = { .stereo = true };

	wish.action = (__typeof__(wish.action))action;
	return world_do(world, &(struct command){ .type = COMMAND_RECORD,
						  .asker = boss(world),
						  .call_id = call,
						  .body = xmemdup(&wish, sizeof(wish)) });
}

/* Anna talks to somebody outside. */
static struct id talk(struct world *world)
{
	struct id call;

	assert_int_equal(world_call(world, "+4930123", CONNECT_ANY_DEVICE)->code, REPLY_OK);
	call = world->reply->call->id;
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_settle(world->engine);
	return call;
}

static struct transfer_wish to(const char *extension, enum transfer_mode mode)
{
	struct transfer_wish wish = { .mode = mode };

	(void)str_copy(wish.to, sizeof(wish.to), extension);
	return wish;
}

static void hang_up(struct world *world, struct id call)
{
	(void)world_do(world, &(struct command){ .type = COMMAND_HANGUP_CALL,
						 .asker = boss(world),
						 .call_id = call });
	fake_settle(world->engine);
}

/* The consult was recorded, the call is not: the target is not listened to any more. */
static void the_targets_recording_stays_with_its_call(void **state)
{
	struct world *world = *state;
	struct channel *target;
	struct id call, consult;

	world_put_line(world, world->line, world->anna, on_demand);
	call = talk(world);
	assert_int_equal(transfer(world, call, to("101", TRANSFER_ATTENDED))->code, REPLY_OK);
	consult = world->reply->consult_id;
	target = fake_dialled(world->engine, 0);
	fake_say(target, ENGINE_ANSWERED);
	assert_int_equal(record(world, consult, RECORD_START)->code, REPLY_OK);
	assert_int_not_equal(target->taped, 0);
	assert_int_equal(
		transfer(world, call, (struct transfer_wish){ .action = TRANSFER_COMPLETE })->code,
		REPLY_OK);
	assert_int_equal(world->engine->tapes_stopped, 1);
	assert_int_equal(target->taped, 0);
	fake_tape_done(world->engine, 0, 320);
	hang_up(world, call);
}

/* Ringing that is said again does not begin anew. */
static void the_one_who_consults_hears_it_ring_without_a_break(void **state)
{
	struct world *world = *state;
	struct channel *agent, *target;
	struct id call = talk(world);
	struct id consult;
	uint32_t sound;

	agent = fake_dialled(world->engine, 1);
	assert_int_equal(transfer(world, call, to("101", TRANSFER_ATTENDED))->code, REPLY_OK);
	consult = world->reply->consult_id;
	target = fake_dialled(world->engine, 0);
	fake_say(target, ENGINE_RINGING);
	assert_int_equal(agent->sound_kind, SOUND_RINGBACK);
	sound = agent->sound_id;
	fake_say(target, ENGINE_RINGING);
	assert_int_equal(agent->sound_id, sound);
	hang_up(world, consult);
	hang_up(world, call);
}

/* Who stayed hangs up: the other two go on, and whoever watches their call sees both of them. */
static void what_becomes_of_a_consultation_is_told(void **state)
{
	struct world *world = *state;
	const struct call_view *view;
	struct id call = talk(world);
	struct channel *remote = fake_dialled(world->engine, 0);
	struct id consult;

	assert_int_equal(transfer(world, call, to("101", TRANSFER_ATTENDED))->code, REPLY_OK);
	consult = world->reply->consult_id;
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_end(remote, END_COMPLETED, 200);
	view = world_event(world, EVENT_CALL_UPDATED)->call;
	assert_true(id_eq(view->id, consult));
	assert_int_equal(view->leg_count, 2);
	assert_int_equal(view->legs[1].role, LEG_AGENT);
	assert_int_equal(view->legs[1].state, LEG_ANSWERED);
	hang_up(world, consult);
}

static void forwarded(struct line_spec *spec)
{
	spec->incoming = INCOMING_NUMBER;
	(void)str_copy(spec->incoming_target, sizeof(spec->incoming_target), "0301");
}

static void one_minute(struct tenant_spec *spec)
{
	spec->minutes_per_day = 1;
}

/* The leg that went out has left: what is left of the call costs nothing. */
static void a_call_that_came_home_is_not_cut_for_the_days_minutes(void **state)
{
	struct world *world = *state;
	struct channel *in;
	struct id call;

	world_put_tenant(world, one_minute);
	world_put_line(world, world->line, world->anna, forwarded);
	in = world_rings_in(world, "0171");
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	call = world_view(world)->id;
	world_advance(world, 50000);
	assert_int_equal(transfer(world, call, to("101", TRANSFER_BLIND))->code, REPLY_OK);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	fake_settle(world->engine);
	/* Another call uses up the rest. */
	assert_int_equal(world_call(world, "0302", CONNECT_ECHO)->code, REPLY_OK);
	fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
	world_advance(world, 120000);
	fake_settle(world->engine);
	assert_int_equal(world_call(world, "0302", CONNECT_ECHO)->code, REPLY_LIMIT);
	assert_false(in->hung_up);
	hang_up(world, call);
}

/* Who ended is shown with the call for ever: not for ever more. */
static void a_call_is_not_transferred_without_end(void **state)
{
	static const char *const colleagues[] = { "101", "100" };
	struct world *world = *state;
	struct id call;
	unsigned done = 0;

	fake_online(world->engine, world->phone2, false);
	call = talk(world);
	while (transfer(world, call, to(colleagues[done % 2], TRANSFER_ATTENDED))->code ==
	       REPLY_OK) {
		fake_say(fake_dialled(world->engine, 0), ENGINE_ANSWERED);
		assert_int_equal(transfer(world, call,
					  (struct transfer_wish){ .action = TRANSFER_COMPLETE })
					 ->code,
				 REPLY_OK);
		fake_settle(world->engine);
		world_advance(world, 3000);
		assert_in_range(++done, 1, 127);
	}
	assert_int_equal(world->reply->code, REPLY_LIMIT);
	assert_in_range(done, 50, 127);
	assert_int_equal(world_view(world)->state, CALL_ANSWERED);
	hang_up(world, call);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = {
		T(the_targets_recording_stays_with_its_call),
		T(the_one_who_consults_hears_it_ring_without_a_break),
		T(what_becomes_of_a_consultation_is_told),
		T(a_call_that_came_home_is_not_cut_for_the_days_minutes),
		T(a_call_is_not_transferred_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
