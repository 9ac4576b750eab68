#include "base/base.h"
#include "event/hub.h"
#include "make.h"

#include <jansson.h>
#include <stdio.h>

struct wire {
	struct hub_client *client;
	json_t *got[64]; /* the last ones */
	unsigned count;
	unsigned room; /* frames it still takes */
	int closed;    /* code */
};

struct ask {
	uint64_t client;
	struct id tenant, user;
	unsigned count;
	bool refuse;
};

struct world {
	struct event_bus *bus;
	struct hub *hub;
	struct id tenant;
	struct ask ask;
};

static bool wire_send(void *arg, struct hub_frame *frame)
{
	struct wire *wire = arg;
	json_t *json;

	if (!wire->room)
		return false;
	wire->room--;
	json = json_loadb(frame->text, frame->len, 0, NULL);
	assert_non_null(json);
	json_decref(wire->got[wire->count % ARRAY_LEN(wire->got)]);
	wire->got[wire->count++ % ARRAY_LEN(wire->got)] = json;
	return true;
}

static void wire_close(void *arg, int code, const char *reason)
{
	struct wire *wire = arg;

	assert_non_null(reason);
	wire->closed = code;
	wire->client = NULL;
}

static const struct hub_client_ops wire_ops = { wire_send, wire_close };

static bool ask(void *arg, uint64_t client, struct id tenant, struct id user)
{
	struct world *world = arg;

	world->ask = (struct ask){ client, tenant, user, world->ask.count + 1, world->ask.refuse };
	return !world->ask.refuse;
}

static void world_init_with(struct world *world, struct hub_opts opts,
			    const struct event_bus_opts *bus_opts)
{
	memset(world, 0, sizeof(*world));
	world->tenant = id_new();
	world->bus = event_bus_new(bus_opts);
	event_bus_seed(world->bus, world->tenant, 100);
	opts.ask_snapshot = ask;
	opts.arg = world;
	world->hub = hub_new(&opts, world->bus);
}

static void world_init(struct world *world)
{
	world_init_with(world, (struct hub_opts){ 0 }, NULL);
}

static void world_fini(struct world *world)
{
	hub_free(world->hub);
	event_bus_free(world->bus);
}

static void wire_open(struct world *world, struct wire *wire, struct id user)
{
	struct hub_who who = { .tenant = world->tenant, .user = user, .account = user };

	memset(wire, 0, sizeof(*wire));
	wire->room = 1000000;
	wire->client = hub_client_add(world->hub, &who, &wire_ops, wire);
}

static void wire_fini(struct wire *wire)
{
	if (wire->client)
		hub_client_remove(wire->client);
	for (size_t i = 0; i < ARRAY_LEN(wire->got); i++)
		json_decref(wire->got[i]);
}

static bool say(struct wire *wire, const char *text)
{
	return hub_client_text(wire->client, text, strlen(text));
}

static const char *type_of(const struct wire *wire, unsigned i)
{
	assert_true(i < wire->count);
	return json_string_value(json_object_get(wire->got[i % ARRAY_LEN(wire->got)], "type"));
}

static json_int_t number_of(const struct wire *wire, unsigned i, const char *name)
{
	assert_true(i < wire->count);
	return json_integer_value(json_object_get(wire->got[i % ARRAY_LEN(wire->got)], name));
}

static void happens(struct world *world, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		publish(world->bus, world->tenant, id_new(), 1, EVENT_CALL_CREATED, CALL_DIALING);
	hub_drain(world->hub);
}

static void answer_snapshot(struct world *world, size_t calls)
{
	struct event_snapshot *snapshot = xzalloc(sizeof(*snapshot));

	snapshot->client = world->ask.client;
	snapshot->tenant = world->ask.tenant;
	snapshot->user_id = world->ask.user;
	snapshot->calls = xzalloc_array(calls + 1, sizeof(struct call_view *));
	for (size_t i = 0; i < calls; i++)
		snapshot->calls[snapshot->call_count++] =
			make_call(world->tenant, id_new(), 1, CALL_RINGING);
	event_snapshot_send(world->bus, snapshot);
}

static void subscribe(struct world *world, struct wire *wire)
{
	assert_true(
		say(wire, "{\"type\": \"subscribe\", \"topics\": [\"calls\", \"registrations\"]}"));
	answer_snapshot(world, 1);
	hub_drain(world->hub);
}

static void a_client_is_greeted(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	assert_int_equal(wire.count, 1);
	assert_string_equal(type_of(&wire, 0), "hello");
	assert_int_equal(number_of(&wire, 0, "seq"), 100);
	assert_int_equal(number_of(&wire, 0, "oldest_seq"), 100);
	assert_int_equal(number_of(&wire, 0, "heartbeat_ms"), 25000);
	happens(&world, 3);
	assert_int_equal(wire.count, 1); /* nothing before it subscribes */
	wire_fini(&wire);
	world_fini(&world);
}

static void a_snapshot_is_followed_by_what_came_after_it(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	happens(&world, 2);
	assert_true(say(&wire, "{\"type\": \"subscribe\", \"topics\": [\"calls\"]}"));
	assert_int_equal(world.ask.count, 1);
	publish(world.bus, world.tenant, id_new(), 1, EVENT_CALL_CREATED,
		CALL_DIALING); /* 103: in the snapshot */
	answer_snapshot(&world, 2);
	happens(&world, 2); /* 104, 105 */
	assert_int_equal(wire.count, 4);
	assert_string_equal(type_of(&wire, 1), "snapshot");
	assert_int_equal(number_of(&wire, 1, "as_of_seq"), 103);
	assert_int_equal(json_array_size(json_object_get(wire.got[1], "calls")), 2);
	assert_null(json_object_get(wire.got[1], "registrations"));
	assert_string_equal(type_of(&wire, 2), "call.created");
	assert_int_equal(number_of(&wire, 2, "seq"), 104);
	assert_int_equal(number_of(&wire, 3, "seq"), 105);
	assert_int_equal(number_of(&wire, 3, "call_seq"), 1);
	assert_non_null(json_object_get(json_object_get(wire.got[3], "data"), "legs"));
	wire_fini(&wire);
	world_fini(&world);
}

static void a_client_that_was_away_gets_what_it_missed(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	happens(&world, 10); /* 101..110 */
	assert_true(
		say(&wire, "{\"type\": \"subscribe\", \"topics\": [\"calls\"], \"since\": 105}"));
	assert_int_equal(world.ask.count, 0);
	assert_int_equal(wire.count, 6);
	for (unsigned i = 1; i < 6; i++)
		assert_int_equal(number_of(&wire, i, "seq"), 105 + i);
	happens(&world, 1);
	assert_int_equal(number_of(&wire, 6, "seq"), 111);
	wire_fini(&wire);

	wire_open(&world, &wire, ID_NONE);
	assert_true(say(&wire, "{\"type\": \"subscribe\", \"since\": 111}")); /* missed nothing */
	assert_int_equal(world.ask.count, 0);
	assert_int_equal(wire.count, 1);
	wire_fini(&wire);
	world_fini(&world);
}

static void what_is_not_held_any_more_means_a_snapshot(void **state)
{
	static const char *const olds[] = { "50", "99", "106", "999999", "-1" };
	struct world world;
	struct wire wire;

	(void)state;
	world_init_with(&world, (struct hub_opts){ .history_events = 3 }, NULL);
	for (size_t i = 0; i < ARRAY_LEN(olds); i++) {
		char text[100];

		wire_open(&world, &wire, ID_NONE);
		if (i == 0)
			happens(&world, 10); /* 101..110, kept 108..110 */
		snprintf(text, sizeof(text), "{\"type\": \"subscribe\", \"since\": %s}", olds[i]);
		assert_true(say(&wire, text));
		assert_int_equal(world.ask.count, i + 1);
		wire_fini(&wire);
	}
	wire_open(&world, &wire, ID_NONE);
	assert_true(say(&wire, "{\"type\": \"subscribe\", \"since\": 107}"));
	assert_int_equal(wire.count, 4);
	wire_fini(&wire);
	world_fini(&world);
}

static void topics_and_users_see_only_theirs(void **state)
{
	struct world world;
	struct wire all, agent, registrations;
	struct id user = id_new();
	struct event *event;

	(void)state;
	world_init(&world);
	wire_open(&world, &all, ID_NONE);
	wire_open(&world, &agent, user);
	wire_open(&world, &registrations, ID_NONE);
	assert_true(say(&all, "{\"type\": \"subscribe\", \"since\": 100}"));
	assert_true(say(&agent, "{\"type\": \"subscribe\", \"since\": 100}"));
	assert_true(
		say(&registrations,
		    "{\"type\": \"subscribe\", \"topics\": [\"registrations\"], \"since\": 100}"));
	happens(&world, 1);
	event = make_event(world.tenant, id_new(), 1, EVENT_CALL_RINGING, CALL_RINGING);
	event->user_id = user;
	event_publish(world.bus, event);
	event = event_new(EVENT_REGISTRATION_CHANGED, world.tenant);
	event->registration = registration_view_new(0);
	event_publish(world.bus, event);
	publish(world.bus, id_new(), id_new(), 1, EVENT_CALL_CREATED,
		CALL_DIALING); /* another tenant's */
	hub_drain(world.hub);
	assert_int_equal(all.count, 4);
	assert_int_equal(agent.count, 2);
	assert_string_equal(type_of(&agent, 1), "call.ringing");
	assert_int_equal(registrations.count, 2);
	assert_string_equal(type_of(&registrations, 1), "registration.changed");
	wire_fini(&all);
	wire_fini(&agent);
	wire_fini(&registrations);
	world_fini(&world);
}

static void a_slow_client_is_closed_and_harms_nobody(void **state)
{
	struct world world;
	struct wire slow, quick;

	(void)state;
	world_init_with(&world, (struct hub_opts){ .lag_events = 50 }, NULL);
	wire_open(&world, &slow, ID_NONE);
	wire_open(&world, &quick, ID_NONE);
	subscribe(&world, &slow);
	subscribe(&world, &quick);
	slow.room = 0;
	happens(&world, 50);
	assert_int_equal(slow.closed, 0);
	assert_int_equal(quick.count, 52);
	slow.room = 10; /* it takes some, in order, and is behind again */
	assert_true(hub_client_ready(slow.client));
	assert_int_equal(slow.count, 12);
	assert_int_equal(number_of(&slow, 11, "seq"), 110);
	happens(&world, 11);
	assert_int_equal(slow.closed, HUB_CLOSE_SLOW);
	assert_int_equal(quick.count, 63);
	assert_int_equal(hub_client_count(world.hub), 1);
	wire_fini(&slow);
	wire_fini(&quick);
	world_fini(&world);
}

static void a_client_that_catches_up_stays(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	subscribe(&world, &wire);
	for (int round = 0; round < 20; round++) {
		wire.room = 0;
		happens(&world, 40);
		wire.room = 40;
		assert_true(hub_client_ready(wire.client));
	}
	assert_int_equal(wire.count, 802);
	assert_int_equal(number_of(&wire, 801, "seq"), 900);
	wire_fini(&wire);
	world_fini(&world);
}

static void bytes_bound_lag_and_history(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init_with(&world, (struct hub_opts){ .lag_bytes = 20000, .history_bytes = 30000 },
			NULL);
	wire_open(&world, &wire, ID_NONE);
	subscribe(&world, &wire);
	wire.room = 0;
	happens(&world, 5);
	assert_int_equal(wire.closed, 0);
	happens(&world, 20);
	assert_int_equal(wire.closed, HUB_CLOSE_SLOW);
	wire_fini(&wire);
	happens(&world, 100);
	wire_open(&world, &wire, ID_NONE);
	assert_true(number_of(&wire, 0, "oldest_seq") > 200);
	wire_fini(&wire);
	world_fini(&world);
}

static void lost_events_make_everybody_resync(void **state)
{
	struct event_bus_opts small = { .hub_ring = 8 };
	struct world world;
	struct wire wire;

	(void)state;
	world_init_with(&world, (struct hub_opts){ 0 }, &small);
	wire_open(&world, &wire, ID_NONE);
	subscribe(&world, &wire);
	happens(&world, 20); /* more than its ring holds */
	assert_int_equal(wire.closed, HUB_CLOSE_RESYNC);
	wire_fini(&wire);
	wire_open(&world, &wire, ID_NONE);
	subscribe(&world, &wire);
	happens(&world, 3);
	assert_int_equal(wire.closed, 0);
	assert_int_equal(number_of(&wire, 4, "seq"), 123);
	wire_fini(&wire);
	world_fini(&world);
}

static void old_history_and_expired_tokens_go_with_time(void **state)
{
	struct world world;
	struct wire wire, late;
	int64_t now = clock_wall_us();

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	subscribe(&world, &wire);
	happens(&world, 5);
	hub_tick(world.hub, now + 601 * 1000000ll);
	wire_open(&world, &late, ID_NONE);
	assert_int_equal(number_of(&late, 0, "oldest_seq"), 105);
	hub_client_renew(late.client, now + 700 * 1000000ll);
	hub_tick(world.hub, now + 699 * 1000000ll);
	assert_int_equal(late.closed, 0);
	hub_tick(world.hub, now + 700 * 1000000ll);
	assert_int_equal(late.closed, HUB_CLOSE_TOKEN);
	assert_int_equal(wire.closed, 0);
	wire_fini(&wire);
	wire_fini(&late);
	/* Nobody is there and nobody can come back: no history is kept, numbers go on. */
	hub_tick(world.hub, now + 2000 * 1000000ll);
	happens(&world, 5);
	wire_open(&world, &wire, ID_NONE);
	assert_int_equal(number_of(&wire, 0, "seq"), 110);
	assert_int_equal(number_of(&wire, 0, "oldest_seq"), 110);
	wire_fini(&wire);
	world_fini(&world);
}

static void texts_that_are_none_close_and_wrong_ones_are_answered(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "null", "{\"type\": 5}", "\xff\xfe", "{\"typ\": \"subscribe\"}"
	};
	static const char *const wrong[] = {
		"{\"type\": \"dance\"}",
		"{\"type\": \"subscribe\", \"topics\": [\"secrets\"]}",
		"{\"type\": \"subscribe\", \"topics\": []}",
		"{\"type\": \"subscribe\", \"topics\": \"calls\"}",
		"{\"type\": \"subscribe\", \"since\": \"5\"}",
	};
	struct world world;
	struct wire wire;
	char *large = xzalloc(10000);

	(void)state;
	world_init(&world);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		wire_open(&world, &wire, ID_NONE);
		assert_false(say(&wire, bad[i]));
		assert_int_equal(wire.closed, HUB_CLOSE_BAD_TEXT);
		wire_fini(&wire);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		wire_open(&world, &wire, ID_NONE);
		assert_true(say(&wire, wrong[i]));
		assert_string_equal(type_of(&wire, 1), "error");
		assert_true(say(&wire, "{\"type\": \"ping\"}"));
		assert_string_equal(type_of(&wire, 2), "pong");
		wire_fini(&wire);
	}
	memset(large, ' ', 9999);
	wire_open(&world, &wire, ID_NONE);
	assert_false(say(&wire, large));
	wire_fini(&wire);
	free(large);
	assert_int_equal(world.ask.count, 0);
	world_fini(&world);
}

static void pings_without_reading_are_not_kept_for_ever(void **state)
{
	struct world world;
	struct wire wire;
	unsigned pings = 0;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	wire.room = 0;
	while (wire.client && say(&wire, "{\"type\": \"ping\"}"))
		assert_true(++pings < 100);
	assert_int_equal(wire.closed, HUB_CLOSE_SLOW);
	wire_fini(&wire);
	world_fini(&world);
}

static void a_kicked_user_is_out_the_others_stay(void **state)
{
	struct world world;
	struct wire a, b;
	struct id user = id_new();

	(void)state;
	world_init(&world);
	wire_open(&world, &a, user);
	wire_open(&world, &b, id_new());
	hub_kick(world.hub, world.tenant, user, HUB_CLOSE_FORBIDDEN, "removed");
	assert_int_equal(a.closed, HUB_CLOSE_FORBIDDEN);
	assert_int_equal(b.closed, 0);
	wire_fini(&a);
	world.ask.refuse = true;
	assert_false(say(&b, "{\"type\": \"subscribe\"}"));
	assert_int_equal(b.closed, HUB_CLOSE_RESYNC);
	wire_fini(&b);
	world_fini(&world);
}

static void a_snapshot_for_one_who_left_is_nobodys(void **state)
{
	struct world world;
	struct wire wire;

	(void)state;
	world_init(&world);
	wire_open(&world, &wire, ID_NONE);
	assert_true(say(&wire, "{\"type\": \"subscribe\"}"));
	wire_fini(&wire);
	answer_snapshot(&world, 3);
	hub_drain(world.hub);
	assert_int_equal(hub_client_count(world.hub), 0);
	world_fini(&world);
}

static void all_histories_together_are_bounded(void **state)
{
	struct world world;
	struct wire wires[10], probe;
	struct id tenants[10];
	size_t kept = 0;

	(void)state;
	world_init_with(&world, (struct hub_opts){ .history_total = 200000 }, NULL);
	for (unsigned i = 0; i < 10; i++) {
		world.tenant = tenants[i] = id_new();
		wire_open(&world, &wires[i], ID_NONE);
		happens(&world, 50);
	}
	for (unsigned i = 0; i < 10; i++) {
		world.tenant = tenants[i];
		wire_open(&world, &probe, ID_NONE);
		kept += (size_t)(number_of(&probe, 0, "seq") - number_of(&probe, 0, "oldest_seq") +
				 1);
		wire_fini(&probe);
		wire_fini(&wires[i]);
	}
	assert_true(kept < 500 && kept > 100);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_is_greeted),
		cmocka_unit_test(a_snapshot_is_followed_by_what_came_after_it),
		cmocka_unit_test(a_client_that_was_away_gets_what_it_missed),
		cmocka_unit_test(what_is_not_held_any_more_means_a_snapshot),
		cmocka_unit_test(topics_and_users_see_only_theirs),
		cmocka_unit_test(a_slow_client_is_closed_and_harms_nobody),
		cmocka_unit_test(a_client_that_catches_up_stays),
		cmocka_unit_test(bytes_bound_lag_and_history),
		cmocka_unit_test(lost_events_make_everybody_resync),
		cmocka_unit_test(old_history_and_expired_tokens_go_with_time),
		cmocka_unit_test(texts_that_are_none_close_and_wrong_ones_are_answered),
		cmocka_unit_test(pings_without_reading_are_not_kept_for_ever),
		cmocka_unit_test(a_kicked_user_is_out_the_others_stay),
		cmocka_unit_test(a_snapshot_for_one_who_left_is_nobodys),
		cmocka_unit_test(all_histories_together_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
