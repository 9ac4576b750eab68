#include "world.h"

#include "base/base.h"

void event_publish(struct event_bus *bus, struct event *event)
{
	bug_on(bus->count >= ARRAY_LEN(bus->events));
	event->seq = bus->count + 1;
	bus->events[bus->count++] = event;
}

void event_pass(struct event_bus *bus, struct event *event)
{
	bug_on(bus->count >= ARRAY_LEN(bus->events));
	bus->events[bus->count++] = event;
}

void event_snapshot_send(struct event_bus *bus, struct event_snapshot *snapshot)
{
	event_snapshot_free(bus->snapshot);
	bus->snapshot = snapshot;
}

static void on_reply(void *arg, struct reply *reply)
{
	struct world *world = arg;

	reply_free(world->reply);
	world->reply = reply;
}

struct reply *world_do(struct world *world, struct command *command)
{
	reply_free(world->reply);
	world->reply = NULL;
	command->on_reply = on_reply;
	command->on_reply_arg = world;
	call_app_do(world->app, command);
	return world->reply;
}

struct asker world_as(struct id tenant, struct id user, int role)
{
	struct asker asker = { .tenant = tenant, .user = user };

	asker.role = role == ASKER_ADMIN	? ASKER_ADMIN
		     : role == ASKER_SUPERVISOR ? ASKER_SUPERVISOR
						: ASKER_AGENT;
	return asker;
}

struct asker world_anna(const struct world *world)
{
	return world_as(world->tenant, world->anna, ASKER_AGENT);
}

void world_put_line(struct world *world, struct id id, struct id owner,
		    void (*change)(struct line_spec *spec))
{
	struct line_spec *spec = xzalloc(sizeof(*spec));

	spec->id = id;
	spec->tenant = world->tenant;
	spec->owner = owner;
	spec->max_calls = 3;
	spec->registers = spec->enabled = true;
	(void)str_copy(spec->username, sizeof(spec->username), "4930100");
	(void)str_copy(spec->password, sizeof(spec->password), "secret");
	if (change)
		change(spec);
	world_do(world, &(struct command){ .type = COMMAND_PROFILE_PUT, .body = spec });
}

void world_put_tenant(struct world *world, void (*change)(struct tenant_spec *spec))
{
	struct tenant_spec *spec = xzalloc(sizeof(*spec));

	spec->id = world->tenant;
	if (change)
		change(spec);
	world_do(world, &(struct command){ .type = COMMAND_TENANT_PUT, .body = spec });
}

static void put_user(struct world *world, struct id id, const char *extension, const char *name)
{
	struct user_spec *spec = xzalloc(sizeof(*spec));

	spec->id = id;
	spec->tenant = world->tenant;
	spec->active = true;
	(void)str_copy(spec->extension, sizeof(spec->extension), extension);
	(void)str_copy(spec->name, sizeof(spec->name), name);
	world_do(world, &(struct command){ .type = COMMAND_USER_PUT, .body = spec });
}

static void put_device(struct world *world, struct id id, struct id user)
{
	struct device_spec *spec = xzalloc(sizeof(*spec));

	spec->id = id;
	spec->tenant = world->tenant;
	spec->user = user;
	(void)str_copy(spec->username, sizeof(spec->username), "phone");
	world_do(world, &(struct command){ .type = COMMAND_DEVICE_PUT, .body = spec });
}

static void new_ids(struct world *world)
{
	struct id *ids[] = { &world->tenant,  &world->anna,	 &world->ben,
			     &world->line,    &world->line_ben,	 &world->phone,
			     &world->phone2,  &world->phone_ben, &world->stranger_tenant,
			     &world->stranger };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		*ids[i] = id_new();
}

struct world *world_new(void)
{
	struct world *world = xzalloc(sizeof(*world));
	struct call_app_setup setup;

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	world->now_ms = 1000;
	world->wheel = wheel_new_virtual(world->now_ms, 1800000000ll * 1000000);
	world->engine = fake_engine_new(world->wheel);
	world->seal = seal_new((const uint8_t[32]){ 7 });
	setup = (struct call_app_setup){ .engine = world->engine,
					 .bus = &world->bus,
					 .seal = world->seal,
					 .limits = { .max_hold_s = 3600 },
					 .recordings_dir = "/nowhere",
					 .prompts_dir = "/nowhere" };
	world->app = call_app_new(&setup);
	new_ids(world);
	/* On purpose before the users they belong to. */
	put_device(world, world->phone, world->anna);
	put_device(world, world->phone2, world->anna);
	put_device(world, world->phone_ben, world->ben);
	world_put_line(world, world->line, world->anna, NULL);
	world_put_line(world, world->line_ben, world->ben, NULL);
	put_user(world, world->anna, "100", "Anna");
	put_user(world, world->ben, "101", "Ben");
	return world;
}

void world_free(struct world *world)
{
	reply_free(world->reply);
	call_app_free(world->app);
	for (unsigned i = 0; i < world->bus.count; i++)
		event_unref(world->bus.events[i]);
	event_snapshot_free(world->bus.snapshot);
	fake_engine_free(world->engine);
	wheel_free(world->wheel);
	seal_free(world->seal);
	free(world);
}

void world_advance(struct world *world, uint64_t ms)
{
	world->now_ms += ms;
	wheel_advance_to(world->wheel, world->now_ms);
}

struct reply *world_call(struct world *world, const char *to, enum connect_kind kind)
{
	struct make_call *body = xzalloc(sizeof(*body));

	body->profile = world->line;
	(void)str_copy(body->to, sizeof(body->to), to);
	body->connect.kind = kind;
	if (kind == CONNECT_SAY)
		(void)str_copy(body->connect.text, sizeof(body->connect.text), "Good morning");
	return world_do(world, &(struct command){ .type = COMMAND_MAKE_CALL,
						  .asker = world_anna(world),
						  .body = body });
}

struct reply *world_hangup(struct world *world, struct id call, enum hangup_reason reason)
{
	return world_do(world, &(struct command){ .type = COMMAND_HANGUP_CALL,
						  .asker = world_anna(world),
						  .call_id = call,
						  .hangup_reason = reason });
}

struct channel *world_rings_in(struct world *world, const char *from)
{
	struct channel_info info = { .line_id = world->line };

	(void)str_copy(info.from, sizeof(info.from), from);
	(void)str_copy(info.to, sizeof(info.to), "4930100");
	return fake_incoming(world->engine, &info);
}

struct channel *world_phone_dials(struct world *world, struct id phone, const char *to)
{
	struct channel_info info = { .device_id = phone };

	(void)str_copy(info.from, sizeof(info.from), "phone");
	(void)str_copy(info.to, sizeof(info.to), to);
	return fake_incoming(world->engine, &info);
}

const struct event *world_event(const struct world *world, enum event_type type)
{
	for (unsigned i = world->bus.count; i-- > 0;)
		if (world->bus.events[i]->type == type)
			return world->bus.events[i];
	return NULL;
}

unsigned world_events(const struct world *world, enum event_type type)
{
	unsigned count = 0;

	for (unsigned i = 0; i < world->bus.count; i++)
		count += world->bus.events[i]->type == type;
	return count;
}

const struct call_view *world_view(const struct world *world)
{
	for (unsigned i = world->bus.count; i-- > 0;)
		if (world->bus.events[i]->call)
			return world->bus.events[i]->call;
	return NULL;
}

void world_expect_end(const struct world *world, enum end_reason reason, int code,
		      enum hangup_by by)
{
	const struct event *event = world_event(world, EVENT_CALL_ENDED);

	assert_non_null(event);
	assert_string_equal(end_reason_names[event->call->end_reason], end_reason_names[reason]);
	assert_int_equal(event->call->sip_code, code);
	assert_int_equal(event->call->hangup_by, by);
	assert_int_equal(event->call->state, CALL_ENDED);
}

void world_expect_clean(struct world *world)
{
	struct engine_counts engine;
	struct call_counts counts;

	fake_settle(world->engine);
	world_advance(world, 3000);
	engine_count(world->engine, &engine);
	call_app_count(world->app, &counts);
	assert_int_equal(counts.calls, 0);
	assert_int_equal(counts.legs, 0);
	assert_int_equal(engine.channels, 0);
	assert_int_equal(engine.bridges, 0);
	/* Each call was begun and ended once. */
	assert_int_equal(world_events(world, EVENT_CALL_CREATED),
			 world_events(world, EVENT_CALL_ENDED));
}
