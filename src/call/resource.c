/* Commands about tenants, users, profiles and devices. */
#include "call/private.h"

/* Somebody who waits for a registration to come to rest. */
struct waiter {
	struct chain_link in_profile;
	struct answer answer;
	struct timer timer;
	struct call_app *app;
	struct profile *profile;
};

struct registration_view *registration_view_of(struct call_app *app, const struct profile *profile)
{
	struct registration_view *view = engine_line_state(app->engine, profile->spec->id);

	if (!view)
		return NULL;
	view->profile_id = profile->spec->id;
	view->tenant = profile->tenant->id;
	view->user_id = profile->spec->owner;
	return view;
}

static struct reply *registration_reply(struct call_app *app, struct profile *profile)
{
	struct reply *reply = reply_new(REPLY_OK);
	struct registration_view *view = registration_view_of(app, profile);

	if (!view)
		return reply;
	reply->count = 1;
	reply->registrations = xzalloc_array(1, sizeof(*reply->registrations));
	reply->registrations[0] = view;
	return reply;
}

/* Has the provider said all that it was asked? */
static bool at_rest(struct call_app *app, const struct profile *profile)
{
	struct registration_view *view = engine_line_state(app->engine, profile->spec->id);
	bool rests = !view || (view->state != REG_REGISTERING && view->state != REG_UNREGISTERING &&
			       !engine_line_asks(app->engine, profile->spec->id));

	free(view);
	return rests;
}

static void waiter_end(struct waiter *waiter)
{
	timer_stop(&waiter->timer);
	chain_remove(&waiter->profile->waiters, &waiter->in_profile);
	answer_give(waiter->answer, waiter->profile->dropped
					    ? reply_new(REPLY_NOT_FOUND)
					    : registration_reply(waiter->app, waiter->profile));
	free(waiter);
}

static void wait_over(struct timer *timer, void *arg)
{
	(void)timer;
	waiter_end(arg);
}

void waiters_tell(struct call_app *app, struct profile *profile, bool over)
{
	struct waiter *waiter, *then;

	if (!profile->waiters.count)
		return;
	if (over || at_rest(app, profile))
		chain_each_safe(waiter, then, &profile->waiters, in_profile)
			waiter_end(waiter);
}

/* Whoever asks over HTTP has read the row of the asker's tenant first; an asker without tenant is the daemon. */
static struct profile *profile_of(struct call_app *app, const struct command *command)
{
	struct profile *profile = known_profile(app, command->profile_id);

	if (!profile || (!id_is_none(command->asker.tenant) &&
			 !id_eq(command->asker.tenant, profile->tenant->id)))
		return NULL;
	return profile;
}

struct reply *do_profile_put(struct call_app *app, struct command *command)
{
	struct line_spec *spec = take(command->body);
	struct id id = spec->id;

	directory_put_profile(app, spec);
	return registration_reply(app, known_profile(app, id));
}

/* Logged under it, or with a leg that goes out through it (a forward, a number that was put through). */
static bool call_uses(const struct call *call, const struct profile *profile)
{
	struct leg *leg;

	if (call->profile == profile)
		return true;
	chain_each(leg, &call->legs, in_call)
		if (leg->profile == profile && leg_is_live(leg))
			return true;
	return false;
}

static struct call *find_using(const struct profile *profile)
{
	struct call *call;

	chain_each(call, &profile->tenant->calls, in_tenant)
		if (call_uses(call, profile))
			return call;
	return NULL;
}

struct reply *do_profile_drop(struct call_app *app, struct command *command)
{
	struct profile *profile = profile_of(app, command);
	struct call *call;

	if (!profile)
		return reply_new(REPLY_NOT_FOUND);
	/* From the beginning each time: the end of one may be that of its transfer's other call. */
	while ((call = find_using(profile))) {
		if (!command->force)
			return reply_error(
				REPLY_PROFILE_IN_USE, NULL,
				"This profile has calls up: hang them up, or add force=true to have that done.");
		fsm_send(&call->fsm, CALL_EV_HANGUP, &(struct ending){ ENDING_INTERRUPTED, NULL });
	}
	if (monitors_use(profile->tenant, profile, command->force) && !command->force)
		return reply_error(
			REPLY_PROFILE_IN_USE, NULL,
			"This profile has calls up: hang them up, or add force=true to have that done.");
	directory_drop_profile(app, profile);
	return reply_new(REPLY_OK);
}

struct reply *do_profile_register(struct call_app *app, struct command *command)
{
	struct profile *profile = profile_of(app, command);

	if (!profile)
		return reply_new(REPLY_NOT_FOUND);
	engine_line_register(app->engine, profile->spec->id, command->on);
	return registration_reply(app, profile);
}

struct reply *do_profile_wait(struct call_app *app, struct command *command)
{
	struct profile *profile = profile_of(app, command);
	struct waiter *waiter;

	if (!profile)
		return reply_new(REPLY_NOT_FOUND);
	if (!command->timeout_ms || at_rest(app, profile))
		return registration_reply(app, profile);
	waiter = xzalloc(sizeof(*waiter));
	waiter->answer = answer_of(command);
	waiter->app = app;
	waiter->profile = profile;
	chain_append(&profile->waiters, &waiter->in_profile);
	timer_init(&waiter->timer, app->wheel, wait_over, waiter);
	timer_start(&waiter->timer, command->timeout_ms);
	return NULL;
}

struct reply *do_registrations(struct call_app *app, struct command *command)
{
	struct reply *reply = reply_new(REPLY_OK);

	reply->count = command->id_count;
	reply->registrations = xzalloc_array(command->id_count + 1, sizeof(*reply->registrations));
	for (unsigned i = 0; i < command->id_count; i++) {
		struct profile *profile = known_profile(app, command->ids[i]);

		if (profile && id_eq(profile->tenant->id, command->asker.tenant))
			reply->registrations[i] = registration_view_of(app, profile);
	}
	return reply;
}

static void tested(void *arg, const char *json)
{
	struct answer *answer = arg;
	struct reply *reply = reply_new(REPLY_OK);

	reply->text = xstrdup(json);
	answer_give(*answer, reply);
	free(answer);
}

struct reply *do_profile_test(struct call_app *app, struct command *command)
{
	struct answer answer = answer_of(command);

	engine_line_test(app->engine, command->body, tested, xmemdup(&answer, sizeof(answer)));
	return NULL;
}

static struct device *device_of(struct call_app *app, struct id id, struct id tenant)
{
	struct device *device = known_device(app, id);

	return device && (id_is_none(tenant) || id_eq(device->user->tenant->id, tenant)) ? device
											 : NULL;
}

struct reply *do_device_put(struct call_app *app, struct command *command)
{
	directory_put_device(app, take(command->body));
	return reply_new(REPLY_OK);
}

static void binding_restore(struct call_app *app, struct id device, const json_t *json)
{
	struct device_binding binding = {
		.contact = json_string_value(json_object_get(json, "contact")),
		.path = json_string_value(json_object_get(json, "path")),
		.address = json_string_value(json_object_get(json, "address")),
		.transport = json_string_value(json_object_get(json, "transport")),
		.user_agent = json_string_value(json_object_get(json, "user_agent")),
	};
	const char *expires_at = json_string_value(json_object_get(json, "expires_at"));

	if (binding.contact && binding.address && binding.transport && binding.user_agent &&
	    expires_at && time_parse(expires_at, &binding.expires_at))
		engine_device_restore(app->engine, device, &binding);
}

struct reply *do_device_restore(struct call_app *app, struct command *command)
{
	json_t *bindings = json_loads(command->body, 0, NULL);

	for (size_t i = json_array_size(bindings); i-- > 0;)
		binding_restore(app, command->device_id, json_array_get(bindings, i));
	json_decref(bindings);
	return reply_new(REPLY_OK);
}

struct reply *do_device_drop(struct call_app *app, struct command *command)
{
	struct device *device = device_of(app, command->device_id, command->asker.tenant);

	if (!device)
		return reply_new(REPLY_NOT_FOUND);
	directory_drop_device(app, device);
	return reply_new(REPLY_OK);
}

struct reply *do_devices(struct call_app *app, struct command *command)
{
	struct reply *reply = reply_new(REPLY_OK);
	json_t *list = json_array();

	for (unsigned i = 0; i < command->id_count; i++) {
		struct device *device = device_of(app, command->ids[i], command->asker.tenant);
		char *text = device ? engine_device_state(app->engine, device->id) : NULL;
		json_t *bindings = text ? json_loads(text, 0, NULL) : NULL;

		json_array_append_new(list, bindings ? bindings : json_array());
		free(text);
	}
	reply->text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return reply;
}

struct reply *do_user_put(struct call_app *app, struct command *command)
{
	directory_put_user(app, take(command->body));
	return reply_new(REPLY_OK);
}

struct reply *do_user_drop(struct call_app *app, struct command *command)
{
	directory_drop_user(app, command->user_id);
	return reply_new(REPLY_OK);
}

struct reply *do_tenant_put(struct call_app *app, struct command *command)
{
	directory_put_tenant(app, take(command->body));
	return reply_new(REPLY_OK);
}
