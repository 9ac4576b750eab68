/* Users, phones and far ends that do whatever comes to their minds, at any moment. Nothing is expected of it but that each call
 * ends once, and that nothing is left. Every run is another; each repeats itself by its number.
 */
#include "world.h"

#include "base/base.h"

#define RUNS 300
#define STEPS 200

struct storm {
	struct world *world;
	uint64_t seed;
	struct id call; /* the one that is at stake */
};

static unsigned dice(struct storm *storm, unsigned sides)
{
	storm->seed ^= storm->seed << 13;
	storm->seed ^= storm->seed >> 7;
	storm->seed ^= storm->seed << 17;
	return (unsigned)((storm->seed >> 16) % sides);
}

static struct asker boss(const struct world *world)
{
	return world_as(world->tenant, world->anna, ASKER_ADMIN);
}

/* One of those that are not gone; it may be on its way out. NULL: none. */
static struct channel *any_channel(struct storm *storm)
{
	struct engine *engine = storm->world->engine;
	struct channel *live[FAKE_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < engine->channel_count; i++)
		if (!engine->channels[i]->ended)
			live[count++] = engine->channels[i];
	return count ? live[dice(storm, count)] : NULL;
}

static struct id any_call(struct storm *storm)
{
	struct reply *reply = world_do(storm->world, &(struct command){ .type = COMMAND_CALLS,
									.asker = boss(storm->world),
									.limit = 50 });

	return reply->count ? reply->calls[dice(storm, reply->count)]->id : ID_NONE;
}

static struct reply *tell(struct storm *storm, struct command command)
{
	command.asker = boss(storm->world);
	command.call_id = any_call(storm);
	return world_do(storm->world, &command);
}

/* ---- what they do ---- */

static void dial(struct storm *storm)
{
	if (storm->world->engine->live < 6)
		(void)world_call(storm->world, "+4930123", CONNECT_ANY_DEVICE);
}

static void ring_in(struct storm *storm)
{
	if (storm->world->engine->live < 6)
		(void)world_rings_in(storm->world, "+4940555");
}

static void progress(struct storm *storm)
{
	static const enum engine_event_type types[] = { ENGINE_RINGING, ENGINE_EARLY_MEDIA,
							ENGINE_ANSWERED, ENGINE_ANSWERED,
							ENGINE_ANSWERED };
	struct channel *channel = any_channel(storm);

	if (channel && !channel->incoming && !channel->up)
		fake_say(channel, types[dice(storm, ARRAY_LEN(types))]);
}

static void leave(struct storm *storm)
{
	static const struct {
		enum end_reason reason;
		int code;
	} ends[] = { { END_COMPLETED, 200 }, { END_BUSY, 486 }, { END_MEDIA_FAILED, 488 } };
	struct channel *channel = any_channel(storm);
	unsigned which = dice(storm, ARRAY_LEN(ends));

	if (channel)
		fake_end(channel, ends[which].reason, ends[which].code);
}

static void transfer(struct storm *storm)
{
	static const char *const targets[] = { "101", "+4930999", "100", "" };
	static const enum connect_kind kinds[] = { CONNECT_ECHO, CONNECT_CONFERENCE,
						   CONNECT_ANY_DEVICE };
	struct transfer_wish wish = { .mode = (enum transfer_mode)dice(storm, 3),
				      .hangup_on_fail = dice(storm, 4) == 0,
				      .release_now = dice(storm, 4) == 0 };

	(void)str_copy(wish.to, sizeof(wish.to), targets[dice(storm, ARRAY_LEN(targets))]);
	wish.connect.kind = kinds[dice(storm, ARRAY_LEN(kinds))];
	(void)str_copy(wish.connect.number, sizeof(wish.connect.number), "sales");
	(void)tell(storm, (struct command){ .type = COMMAND_TRANSFER,
					    .body = xmemdup(&wish, sizeof(wish)) });
}

static void go_on(struct storm *storm)
{
	struct transfer_wish wish = { .action = (enum transfer_action)(1 + dice(storm, 4)) };

	(void)tell(storm, (struct command){ .type = COMMAND_TRANSFER,
					    .body = xmemdup(&wish, sizeof(wish)) });
}

static void hold(struct storm *storm)
{
	struct channel *channel = any_channel(storm);

	switch (dice(storm, 3)) {
	case 0:
		(void)tell(storm,
			   (struct command){ .type = COMMAND_HOLD_CALL, .on = dice(storm, 2) });
		break;
	case 1:
		if (channel)
			fake_say(channel, dice(storm, 2) ? ENGINE_HELD : ENGINE_RESUMED);
		break;
	default:
		if (channel && channel->holds)
			fake_modified(channel, dice(storm, 2));
		break;
	}
}

static void refer(struct storm *storm)
{
	struct channel *channel = any_channel(storm), *other = any_channel(storm);

	if (channel && channel != other)
		fake_refer(channel, dice(storm, 2) ? "101" : "+4930777",
			   dice(storm, 2) ? other : NULL);
}

static void refer_state(struct storm *storm)
{
	static const int codes[] = { 202, 180, 200, 486 };
	struct channel *channel = any_channel(storm);
	int code = codes[dice(storm, ARRAY_LEN(codes))];

	if (channel && channel->referred[0])
		fake_refer_state(channel, code, code >= 200 && (code != 202 || dice(storm, 2)));
}

static void replaces(struct storm *storm)
{
	struct world *world = storm->world;
	const struct id phones[] = { world->phone, world->phone2, world->phone_ben };
	struct channel_info info = { .device_id = phones[dice(storm, ARRAY_LEN(phones))] };
	struct channel *other = any_channel(storm);

	if (other)
		(void)fake_replaces(world->engine, &info, other);
}

static void hang_up(struct storm *storm)
{
	(void)tell(storm, (struct command){ .type = COMMAND_HANGUP_CALL });
}

static void record(struct storm *storm)
{
	struct record_wish wish = { .stereo = true };

	wish.action = dice(storm, 2) ? RECORD_START : RECORD_STOP;
	(void)tell(storm, (struct command){ .type = COMMAND_RECORD,
					    .body = xmemdup(&wish, sizeof(wish)) });
}

static void meet(struct storm *storm)
{
	struct conference_wish wish = { .action = CONFERENCE_JOIN, .call = any_call(storm) };

	(void)str_copy(wish.room, sizeof(wish.room), "sales");
	(void)world_do(storm->world, &(struct command){ .type = COMMAND_CONFERENCE,
							.asker = boss(storm->world),
							.body = xmemdup(&wish, sizeof(wish)) });
}

static void settle(struct storm *storm)
{
	fake_settle(storm->world->engine);
}

static void wait(struct storm *storm)
{
	world_advance(storm->world, 1 + dice(storm, 30000));
}

static void sound_ends(struct storm *storm)
{
	struct channel *channel = any_channel(storm);

	if (channel && channel->playing && !channel->hung_up)
		fake_sound_done(channel, true);
}

static void step(struct storm *storm)
{
	static void (*const doings[])(struct storm *) = {
		dial,	  ring_in,     progress, progress, progress,   progress, progress,
		progress, transfer,    transfer, transfer, go_on,      go_on,	 go_on,
		hold,	  refer,       refer,	 replaces, settle,     settle,	 wait,
		leave,	  refer_state, record,	 dial,	   settle,     settle,	 progress,
		progress, transfer,    meet,	 hang_up,  sound_ends,
	};

	doings[dice(storm, ARRAY_LEN(doings))](storm);
}

/* ---- the end of it ---- */

static void all_leave(struct storm *storm)
{
	for (unsigned i = 0; i < 200 && !id_is_none(any_call(storm)); i++)
		hang_up(storm);
	for (unsigned i = 0; i < 8; i++) {
		fake_settle(storm->world->engine);
		world_advance(storm->world, 45000);
	}
	assert_true(id_is_none(any_call(storm)));
}

static void many_lines(struct line_spec *spec)
{
	spec->max_calls = 100;
}

static void whatever_they_do_nothing_is_left(void **state)
{
	unsigned transferred = 0;

	(void)state;
	for (unsigned run = 1; run <= RUNS; run++) {
		struct storm storm = { world_new(), run * 0x9e3779b97f4a7c15ull, ID_NONE };

		world_put_line(storm.world, storm.world->line, storm.world->anna, many_lines);
		for (unsigned i = 0; i < STEPS && storm.world->engine->channel_count < 230; i++)
			step(&storm);
		all_leave(&storm);
		transferred += world_events(storm.world, EVENT_CALL_TRANSFERRED);
		world_expect_clean(storm.world);
		world_free(storm.world);
	}
	assert_in_range(transferred, RUNS / 2, RUNS * STEPS); /* it was about that */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_they_do_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
