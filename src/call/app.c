#include "call/private.h"

#include "base/metric.h"

METRIC_GAUGE(calls_gauge, "jackfield_calls", "Calls that are up or being cleared", NULL);

/* Commands at one go, so that signalling is never kept waiting by a flood of them. */
#define BATCH 256

static command_fn *const handlers[] = {
	[COMMAND_PROFILE_PUT] = do_profile_put,
	[COMMAND_PROFILE_DROP] = do_profile_drop,
	[COMMAND_PROFILE_REGISTER] = do_profile_register,
	[COMMAND_PROFILE_WAIT] = do_profile_wait,
	[COMMAND_REGISTRATIONS] = do_registrations,
	[COMMAND_PROFILE_TEST] = do_profile_test,
	[COMMAND_DEVICE_PUT] = do_device_put,
	[COMMAND_DEVICE_RESTORE] = do_device_restore,
	[COMMAND_DEVICE_DROP] = do_device_drop,
	[COMMAND_DEVICES] = do_devices,
	[COMMAND_USER_PUT] = do_user_put,
	[COMMAND_USER_DROP] = do_user_drop,
	[COMMAND_TENANT_PUT] = do_tenant_put,
	[COMMAND_MAKE_CALL] = do_make_call,
	[COMMAND_ANSWER_CALL] = do_answer_call,
	[COMMAND_HANGUP_CALL] = do_hangup_call,
	[COMMAND_DTMF] = do_dtmf,
	[COMMAND_HOLD_CALL] = do_hold_call,
	[COMMAND_MUTE_LEG] = do_mute_leg,
	[COMMAND_TRANSFER] = do_transfer_call,
	[COMMAND_RECORD] = do_record,
	[COMMAND_RECORDING_REPAIRED] = do_recording_repaired,
	[COMMAND_RECORDING_DELETED] = do_recording_deleted,
	[COMMAND_ROOM_PUT] = do_room_put,
	[COMMAND_CONFERENCE] = do_conference,
	[COMMAND_CONFERENCES] = do_conferences,
	[COMMAND_CONFERENCE_GET] = do_conference_get,
	[COMMAND_MONITOR] = do_monitor,
	[COMMAND_MONITOR_CALLS] = do_monitor_calls,
	[COMMAND_CALLS] = do_calls,
	[COMMAND_CALL_GET] = do_call_get,
	[COMMAND_SNAPSHOT] = do_snapshot,
	[COMMAND_DRAIN] = do_drain,
	[COMMAND_STATUS] = do_status,
};

void call_app_do(struct call_app *app, struct command *command)
{
	struct answer answer = answer_of(command);
	struct reply *reply = handlers[command->type](app, command);

	if (reply)
		answer_give(answer, reply);
	command_fini(command);
	metric_set(&calls_gauge, app->calls_up);
}

void call_app_run(struct call_app *app)
{
	struct command command;

	call_gate_rearm(app->gate);
	for (unsigned i = 0; call_gate_next(app->gate, &command); i++) {
		call_app_do(app, &command);
		if (i == BATCH) { /* nobody would wake us for what is left */
			call_gate_again(app->gate);
			break;
		}
	}
}

static void came_in(struct call_app *app, const struct engine_event *event)
{
	struct profile *profile = known_profile(app, event->info->line_id);
	struct device *device = known_device(app, event->info->device_id);

	if (profile)
		incoming_begin(app, profile, event);
	else if (device)
		phone_begin(app, device, event);
	else
		channel_hangup(event->channel, END_NOT_FOUND, false);
}

static void on_event(void *arg, const struct engine_event *event)
{
	struct call_app *app = arg;
	struct profile *profile;
	struct device *device;

	if (event->type == ENGINE_INCOMING) {
		came_in(app, event);
	} else if (event->type == ENGINE_REPLACES) {
		replaces_begin(app, event);
	} else if (event->type == ENGINE_LINE_STATE) {
		profile = known_profile(app, event->id);
		if (!profile)
			return;
		registration_publish(app, profile, event->registration);
		waiters_tell(app, profile, false);
	} else if (event->type == ENGINE_DEVICE_STATE) {
		device = known_device(app, event->id);
		if (device)
			device_publish(app, device, event->text);
	} else if (event->type == ENGINE_TAPE_DONE) {
		record_done(app, event->id, event->tape);
	} else if (event->user) {
		leg_event(event->user, event);
	}
	metric_set(&calls_gauge, app->calls_up);
}

struct call_app *call_app_new(const struct call_app_setup *setup)
{
	struct call_app *app = xzalloc(sizeof(*app));

	app->engine = setup->engine;
	app->bus = setup->bus;
	app->wheel = engine_wheel(setup->engine);
	app->limits = setup->limits;
	app->seal = setup->recordings_dir ? setup->seal : NULL;
	app->recordings_dir = setup->recordings_dir ? xstrdup(setup->recordings_dir) : NULL;
	app->prompts_dir = setup->prompts_dir ? xstrdup(setup->prompts_dir) : NULL;
	if (app->limits.tenant_max_calls <= 0)
		app->limits.tenant_max_calls = 1000;
	if (app->limits.ring_timeout_s <= 0)
		app->limits.ring_timeout_s = 60;
	if (app->limits.max_duration_s <= 0)
		app->limits.max_duration_s = 14400;
	if (app->limits.max_hold_s <= 0)
		app->limits.max_hold_s = 14400;
	app->gate = call_gate_new(setup->gate_capacity ? setup->gate_capacity : 65536);
	engine_set_handler(app->engine, on_event, app);
	return app;
}

struct call_app *call_app_free(struct call_app *app)
{
	struct hnode *node;
	size_t cursor;

	if (!app)
		return NULL;
	engine_set_handler(app->engine, NULL, NULL);
	while (cursor = 0, (node = hmap_iter(&app->calls, &cursor, NULL)))
		call_forget(container_of_(node, struct call, node));
	rooms_fini(app);
	drainers_tell(app, true);
	recordings_fini(app);
	directory_fini(app);
	hmap_fini(&app->calls);
	hmap_fini(&app->monitors);
	call_gate_free(app->gate);
	free(app->recordings_dir);
	free(app->prompts_dir);
	free(app);
	return NULL;
}

struct call_gate *call_app_gate(struct call_app *app)
{
	return app->gate;
}

int call_app_fd(const struct call_app *app)
{
	return call_gate_fd(app->gate);
}

void call_app_count(const struct call_app *app, struct call_counts *ret)
{
	*ret = (struct call_counts){
		.tenants = (unsigned)app->tenants.count,
		.users = (unsigned)app->users.count,
		.profiles = (unsigned)app->profiles.count,
		.devices = (unsigned)app->devices.count,
		.calls = (unsigned)app->calls.count,
		.legs = app->legs,
	};
}
