/* What is there right now: lists, single calls, snapshots, counts; and the end of service. */
#include "call/private.h"

#define PAGE_MAX 500

static struct chain *chain_of(struct call_app *app, const struct asker *asker)
{
	struct user *user;

	if (asker->role != ASKER_AGENT)
		return &tenant_want(app, asker->tenant)->calls;
	user = known_user(app, asker->user);
	return user ? &user->seats : NULL;
}

static struct call *call_at(struct chain_link *link, const struct asker *asker)
{
	if (asker->role == ASKER_AGENT)
		return container_of_(link, struct seat, in_user)->call;
	return container_of_(link, struct call, in_tenant);
}

/* An agent is not told who listens. */
static struct call_view *call_view_for(const struct call *call, const struct asker *asker)
{
	return asker->role == ASKER_AGENT ? call_view_make(call) : call_view_watched(call);
}

/* Newest first, from `offset` on. Return: malloc'd array of views. */
static struct call_view **views(struct call_app *app, const struct asker *asker, unsigned offset,
				unsigned limit, unsigned *ret_count, unsigned *ret_total)
{
	struct chain *chain = chain_of(app, asker);
	struct chain_link *link = chain ? chain->tail : NULL;
	unsigned total = chain ? chain->count : 0, count = 0;
	struct call_view **list = xzalloc_array((limit < total ? limit : total) + 1, sizeof(*list));

	while (link && offset--)
		link = link->prev;
	for (; link && count < limit; link = link->prev)
		list[count++] = call_view_for(call_at(link, asker), asker);
	*ret_count = count;
	*ret_total = total;
	return list;
}

unsigned page_limit(const struct command *command)
{
	return command->limit && command->limit < PAGE_MAX ? command->limit : PAGE_MAX;
}

struct reply *do_calls(struct call_app *app, struct command *command)
{
	struct reply *reply = reply_new(REPLY_OK);
	unsigned limit = page_limit(command);

	reply->calls =
		views(app, &command->asker, command->offset, limit, &reply->count, &reply->total);
	return reply;
}

struct reply *do_call_get(struct call_app *app, struct command *command)
{
	struct call *call = call_get(app, command->call_id);
	struct reply *reply;

	if (!call || !call_may_see(call, &command->asker))
		return reply_new(REPLY_NOT_FOUND);
	reply = reply_new(REPLY_OK);
	reply->call = call_view_for(call, &command->asker);
	return reply;
}

/* ---- snapshots ---- */

static void add_registrations(struct call_app *app, const struct asker *asker,
			      struct event_snapshot *snapshot)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	struct user *user = asker->role == ASKER_AGENT ? known_user(app, asker->user) : NULL;
	unsigned max = asker->role == ASKER_AGENT ? (user ? user->profiles.count : 0)
						  : tenant->profiles.count;
	struct profile *profile;

	snapshot->registrations = xzalloc_array(max + 1, sizeof(*snapshot->registrations));
	if (asker->role != ASKER_AGENT)
		chain_each(profile, &tenant->profiles, in_tenant)
			snapshot->registrations[snapshot->registration_count++] =
				registration_view_of(app, profile);
	else if (user)
		chain_each(profile, &user->profiles, in_owner)
			snapshot->registrations[snapshot->registration_count++] =
				registration_view_of(app, profile);
}

/* A line that the engine does not know yet leaves no hole. */
static void close_holes(struct event_snapshot *snapshot)
{
	size_t kept = 0;

	for (size_t i = 0; i < snapshot->registration_count; i++)
		if (snapshot->registrations[i])
			snapshot->registrations[kept++] = snapshot->registrations[i];
	snapshot->registration_count = kept;
}

struct reply *do_snapshot(struct call_app *app, struct command *command)
{
	struct event_snapshot *snapshot = xzalloc(sizeof(*snapshot));
	unsigned count, total;

	snapshot->client = command->client;
	snapshot->tenant = command->asker.tenant;
	if (command->asker.role == ASKER_AGENT)
		snapshot->user_id = command->asker.user;
	snapshot->calls = views(app, &command->asker, 0, UINT32_MAX, &count, &total);
	snapshot->call_count = count;
	snapshot->conferences = room_views(app, &command->asker, 0, UINT32_MAX, &count, &total);
	snapshot->conference_count = count;
	snapshot->recordings = record_views(app, &command->asker, &count);
	snapshot->recording_count = count;
	snapshot->monitors = monitor_views(app, &command->asker, &snapshot->monitor_count);
	add_registrations(app, &command->asker, snapshot);
	close_holes(snapshot);
	event_snapshot_send(app->bus, snapshot);
	return reply_new(REPLY_OK);
}

struct reply *do_status(struct call_app *app, struct command *command)
{
	struct reply *reply = reply_new(REPLY_OK);
	struct engine_counts engine;
	struct call_counts calls;
	json_t *json;

	(void)command;
	engine_count(app->engine, &engine);
	call_app_count(app, &calls);
	json = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}",
			 "calls", app->calls_up, "legs", calls.legs, "tenants", calls.tenants,
			 "users", calls.users, "profiles", calls.profiles, "lines_registered",
			 engine.lines_registered, "devices", calls.devices, "devices_online",
			 engine.devices_online, "channels", engine.channels, "bridges",
			 engine.bridges, "streams", engine.streams, "transactions",
			 engine.transactions, "dialogs", engine.dialogs, "draining", app->draining);
	reply->text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return reply;
}

/* ---- draining ---- */

struct drainer {
	struct chain_link in_app;
	struct answer answer;
	struct timer timer;
	struct call_app *app;
	bool hung_up;
};

static void drainer_end(struct drainer *drainer)
{
	timer_stop(&drainer->timer);
	chain_remove(&drainer->app->drainers, &drainer->in_app);
	answer_give(drainer->answer, reply_new(REPLY_OK));
	free(drainer);
}

void drainers_tell(struct call_app *app, bool over)
{
	struct drainer *drainer, *then;

	if (app->calls_up && !over)
		return;
	chain_each_safe(drainer, then, &app->drainers, in_app)
		drainer_end(drainer);
}

static void hang_up_all(struct call_app *app)
{
	size_t cursor = 0;
	struct hnode *node = NULL;

	/* Ending a call takes it out of the table only later. */
	while ((node = hmap_iter(&app->calls, &cursor, node))) {
		struct ending ending = { ENDING_INTERRUPTED, NULL };
		struct call *call = container_of_(node, struct call, node);

		if (!call_is_over(call))
			fsm_send(&call->fsm, CALL_EV_HANGUP, &ending);
	}
}

/* Time is up: BYE for all, and a moment for the answers. */
static void drain_over(struct timer *timer, void *arg)
{
	struct drainer *drainer = arg;

	(void)timer;
	if (drainer->hung_up) {
		drainer_end(drainer);
		return;
	}
	drainer->hung_up = true;
	timer_start(&drainer->timer, 2000);
	hang_up_all(drainer->app);
}

struct reply *do_drain(struct call_app *app, struct command *command)
{
	struct drainer *drainer;

	app->draining = true;
	monitors_drain(app);
	engine_drain(app->engine);
	if (!app->calls_up)
		return reply_new(REPLY_OK);
	drainer = xzalloc(sizeof(*drainer));
	drainer->answer = answer_of(command);
	drainer->app = app;
	chain_append(&app->drainers, &drainer->in_app);
	timer_init(&drainer->timer, app->wheel, drain_over, drainer);
	timer_start(&drainer->timer, command->timeout_ms);
	return NULL;
}
