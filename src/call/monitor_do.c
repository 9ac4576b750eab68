/* Live monitoring: what the API asks. Who may is known there; here it is what is possible. */
#include "call/monitor.h"

static struct reply *reply_monitor(const struct monitor *monitor)
{
	struct reply *reply = reply_new(REPLY_OK);

	reply->monitor = monitor_view_make(monitor);
	return reply;
}

/* ---- starting ---- */

/* What is to be rung for the supervisor. */
struct ringing {
	struct user *user;     /* all phones of theirs that are not on the call, or */
	struct device *device; /* this one, or */
	struct outbound outbound;
};

static struct reply *find_call(struct call_app *app, const struct asker *asker,
			       const struct monitor_wish *wish, struct call **ret_call)
{
	struct room *room = NULL;
	struct call *call;

	if (wish->room[0]) {
		room = room_get(app, tenant_want(app, asker->tenant), wish->room);
		if (!room)
			return reply_error(REPLY_NOT_FOUND, NULL, "There is no such room.");
		if (!room->call)
			return reply_wrong_state(conference_state_names[CONFERENCE_OPEN],
						 "Nobody is in this room.");
		call = room->call;
	} else {
		call = call_get(app, wish->call);
	}
	if (!call || !id_eq(call->tenant->id, asker->tenant))
		return reply_error(REPLY_NOT_FOUND, NULL, "There is no such call.");
	if (call_is_over(call))
		return reply_wrong_state(call_state_names[CALL_ENDED], "The call has ended.");
	if (call->fsm.state != PHASE_UP)
		return reply_wrong_state(call_state_names[call->shown],
					 "This call is not answered yet.");
	*ret_call = call;
	return NULL;
}

static bool has_leg(const struct call *call, const struct device *device)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg_is_live(leg) && id_eq(leg->device, device->id))
			return true;
	return false;
}

/* As a party, or as a supervisor who is there or being rung. */
static bool is_on(const struct call *call, const struct device *device)
{
	struct room_member *member;
	struct monitor *monitor;

	if (call->conducts)
		chain_each(member, &call->conducts->members, in_room)
			if (id_eq(member->leg->device, device->id))
				return true;
	chain_each(monitor, &call->monitors, in_call)
		if (monitor->own && has_leg(monitor->own, device))
			return true;
	return has_leg(call, device);
}

static bool rings_any(struct call_app *app, const struct call *call, const struct user *user)
{
	struct device *device;

	chain_each(device, &user->devices, in_user)
		if (engine_device_online(app->engine, device->id) && !is_on(call, device))
			return true;
	return false;
}

static struct reply *find_device(struct call_app *app, const struct asker *asker,
				 const struct call *call, struct id id, struct ringing *ret)
{
	struct device *device = known_device(app, id);

	if (!device || !id_eq(device->user->tenant->id, asker->tenant) ||
	    (asker->role != ASKER_ADMIN && !id_eq(device->user->id, asker->user)))
		return reply_error(REPLY_INVALID, "connect", "There is no such device.");
	if (is_on(call, device))
		return reply_error(REPLY_INVALID, "connect", "This phone is on the call already.");
	if (!engine_device_online(app->engine, id))
		return reply_error(REPLY_NO_DEVICE, NULL, "This phone is not registered.");
	ret->device = device;
	return NULL;
}

static struct reply *find_number(struct call_app *app, const struct asker *asker,
				 const struct connect_spec *connect, struct ringing *ret)
{
	struct user *user = known_user(app, asker->user);
	struct profile *profile = !id_is_none(connect->profile)
					  ? known_profile(app, connect->profile)
				  : user ? known_profile_default(app, user)
					 : NULL;
	int r;

	if (!profile || !profile_may_use(profile, asker))
		return reply_error(REPLY_INVALID, "connect", "There is no such profile.");
	r = outbound_admit(app, profile, connect->number, OUTBOUND_BY_USER, &ret->outbound);
	return r ? reply_refused(app, r, "connect", profile) : NULL;
}

static struct reply *find_phone(struct call_app *app, const struct asker *asker,
				const struct call *call, const struct connect_spec *connect,
				struct ringing *ret)
{
	switch ((int)connect->kind) {
	case CONNECT_ANY_DEVICE:
		ret->user = known_user(app, asker->user);
		if (!ret->user || !rings_any(app, call, ret->user))
			return reply_error(REPLY_NO_DEVICE, NULL,
					   "None of your phones is registered and free.");
		return NULL;
	case CONNECT_DEVICE:
		return find_device(app, asker, call, connect->id, ret);
	case CONNECT_NUMBER:
		return find_number(app, asker, connect, ret);
	default:
		return reply_error(REPLY_INVALID, "connect",
				   "Only a device or a number can be rung for this.");
	}
}

/* Return: NULL, or the refusal. */
static struct reply *check_target(const struct call *call, enum monitor_mode mode, struct id target)
{
	if (!id_is_none(target) && !monitor_target(call, target))
		return reply_error(REPLY_INVALID, "target_leg", "This call has no such leg.");
	if (mode == MONITOR_WHISPER && id_is_none(target) && !monitor_target(call, target))
		return reply_error(REPLY_INVALID, "target_leg",
				   "Nobody of yours is on this call: say which leg is meant.");
	return NULL;
}

static struct reply *admit(struct call_app *app, const struct call *call,
			   const struct monitor_wish *wish)
{
	struct reply *bad = check_target(call, wish->mode, wish->target);
	const struct leg *agent = monitor_target(call, ID_NONE);

	if (bad)
		return bad;
	/* A number that was called is nobody who could be known again. */
	if (wish->follow_agent && (!agent || id_is_none(agent->user)))
		return reply_error(REPLY_INVALID, "follow_agent",
				   "Nobody of yours is on this call.");
	if (call->monitors.count >= CALL_MONITORS_MAX)
		return reply_error(REPLY_LIMIT, NULL, "Too many listen to this call already.");
	return permit_call(app, call->tenant) ? NULL : permit_refusal();
}

static void begin_own(struct call *own)
{
	call_dial(own);
	call_rings_or_ends(own);
}

/* Nothing of it shows: not in the tenant's calls, nor in anything that is published. */
static struct call *own_call(struct monitor *monitor, const struct call *watched)
{
	struct call *own = call_new(monitor->app, monitor->tenant, CALL_INTERNAL);
	const struct leg *agent = monitor_target(watched, ID_NONE);
	const struct user *user = agent ? known_user(monitor->app, agent->user) : NULL;

	chain_remove(&own->tenant->calls, &own->in_tenant);
	own->supervises = monitor;
	own->counted = true;
	(void)str_copy(own->from, sizeof(own->from),
		       watched->conducts		 ? watched->room_name
		       : user && user->spec.extension[0] ? user->spec.extension
							 : watched->to);
	(void)str_copy(own->from_name, sizeof(own->from_name), "Monitoring");
	monitor->own = own;
	return own;
}

static void ring(struct call *own, const struct call *watched, struct ringing *ringing)
{
	struct device *device;

	if (ringing->device) {
		(void)party_device(own, ringing->device, LEG_SUPERVISOR);
	} else if (ringing->user) {
		chain_each(device, &ringing->user->devices, in_user)
			if (!is_on(watched, device))
				(void)party_device(own, device, LEG_SUPERVISOR);
	} else if (party_number(own, &ringing->outbound, LEG_SUPERVISOR)) {
		log_warn("a supervisor's number cannot be dialled", LOG_ID("call", own->id));
	}
}

static struct reply *start(struct call_app *app, const struct asker *asker,
			   const struct monitor_wish *wish)
{
	struct ringing ringing = { 0 };
	struct monitor *monitor;
	struct call *call = NULL, *own;
	struct reply *reply =
		app->draining ? reply_new(REPLY_DRAINING) : find_call(app, asker, wish, &call);

	if (!reply)
		reply = find_phone(app, asker, call, &wish->connect, &ringing);
	if (!reply)
		reply = admit(app, call, wish);
	if (reply) {
		outbound_release(&ringing.outbound);
		return reply;
	}
	monitor = monitor_new(app, call, asker);
	monitor->id = wish->monitor;
	hmap_add(&app->monitors, &monitor->node, id_hash(monitor->id));
	monitor->mode = wish->mode;
	monitor->muted = wish->muted;
	monitor->beep = wish->beep;
	monitor->target = wish->target;
	monitor->follow_agent = wish->follow_agent;
	if (wish->follow_agent)
		monitor->agent = monitor_target(call, ID_NONE)->user;
	(void)str_copy(monitor->client_addr, sizeof(monitor->client_addr), wish->client_addr);
	own = own_call(monitor, call);
	ring(own, call, &ringing);
	outbound_release(&ringing.outbound);
	reply = reply_new(REPLY_OK);
	call_start(own, begin_own);
	reply->monitor = monitor_view_make(monitor);
	return reply;
}

/* ---- what is there ---- */

static struct reply *find(struct call_app *app, const struct asker *asker, struct id id,
			  struct monitor **ret)
{
	struct monitor *monitor = monitor_known(app, id);

	if (!monitor || !id_eq(monitor->tenant->id, asker->tenant))
		return reply_new(REPLY_NOT_FOUND);
	*ret = monitor;
	return NULL;
}

/* One's own; an admin anybody's. */
static bool may_change(const struct monitor *monitor, const struct asker *asker)
{
	return asker->role == ASKER_ADMIN || id_eq(monitor->user, asker->user);
}

static struct reply *change(struct monitor *monitor, const struct monitor_wish *wish)
{
	enum monitor_mode mode = wish->has_mode ? wish->mode : monitor->mode;
	struct id target = wish->has_target ? wish->target : monitor->target;
	struct reply *bad;

	if (monitor_is_over(monitor))
		return reply_wrong_state(monitor_state_names[MONITOR_ENDED], "It has ended.");
	/* While it waits nobody is there to be found. */
	if (monitor->call && (wish->has_mode || wish->has_target)) {
		bad = check_target(monitor->call, mode, target);
		if (bad)
			return bad;
	}
	fsm_send(&monitor->fsm, MONITOR_EV_CHANGE, (void *)wish);
	return reply_monitor(monitor);
}

static struct reply *stop(struct monitor *monitor, const struct monitor_wish *wish)
{
	if (!monitor_is_over(monitor)) {
		monitor->actor = wish->actor;
		(void)str_copy(monitor->client_addr, sizeof(monitor->client_addr),
			       wish->client_addr);
	}
	monitor_stop(monitor, "stopped");
	return reply_monitor(monitor);
}

struct reply *do_monitor(struct call_app *app, struct command *command)
{
	struct monitor_wish *wish = command->body;
	struct monitor *monitor = NULL;
	struct reply *no;

	wish->actor = command->asker.user;
	if (wish->action == MONITOR_START)
		return start(app, &command->asker, wish);
	no = find(app, &command->asker, wish->monitor, &monitor);
	if (no)
		return no;
	if (wish->action == MONITOR_GET)
		return reply_monitor(monitor);
	if (!may_change(monitor, &command->asker))
		return reply_new(REPLY_FORBIDDEN);
	return wish->action == MONITOR_CHANGE ? change(monitor, wish) : stop(monitor, wish);
}

/* ---- the calls there are ---- */

static bool has_profile(const struct call *call, const struct monitor_filter *filter)
{
	const struct leg *leg;

	for (unsigned i = 0; i < filter->profile_count; i++) {
		if (call->profile && id_eq(call->profile->spec->id, filter->profiles[i]))
			return true;
		chain_each(leg, &call->legs, in_call)
			if (id_eq(leg->profile_id, filter->profiles[i]))
				return true;
	}
	return !filter->profile_count;
}

static bool has_user(const struct call *call, struct id user)
{
	const struct leg *leg;

	for (unsigned i = 0; i < ARRAY_LEN(call->seats); i++)
		if (call->seats[i].user && id_eq(call->seats[i].user->id, user))
			return true;
	chain_each(leg, &call->legs, in_call)
		if (id_eq(leg->user, user))
			return true;
	return false;
}

static bool passes(const struct call *call, const struct monitor_filter *filter)
{
	return (!filter->has_state || call_shown(call) == filter->state) &&
	       (!filter->has_direction || call->direction == filter->direction) &&
	       (id_is_none(filter->user) || has_user(call, filter->user)) &&
	       has_profile(call, filter);
}

static void add_monitors(const struct call *call, struct reply *reply)
{
	struct monitor *monitor;

	chain_each(monitor, &call->monitors, in_call)
		reply->monitors[reply->monitor_count++] = monitor_view_make(monitor);
}

struct reply *do_monitor_calls(struct call_app *app, struct command *command)
{
	const struct monitor_filter *filter = command->body;
	struct tenant *tenant = tenant_want(app, command->asker.tenant);
	unsigned limit = page_limit(command);
	struct reply *reply = reply_new(REPLY_OK);

	reply->calls = xzalloc_array(limit + 1, sizeof(*reply->calls));
	reply->monitors = xzalloc_array(tenant->monitors.count + 1, sizeof(*reply->monitors));
	for (struct chain_link *link = tenant->calls.tail; link; link = link->prev) {
		struct call *call = container_of_(link, struct call, in_tenant);

		if (!passes(call, filter) || reply->total++ < command->offset ||
		    reply->count >= limit)
			continue;
		reply->calls[reply->count++] = call_view_watched(call);
		add_monitors(call, reply);
	}
	return reply;
}

/* ---- for snapshots ---- */

struct monitor_view **monitor_views(struct call_app *app, const struct asker *asker,
				    size_t *ret_count)
{
	struct tenant *tenant = tenant_want(app, asker->tenant);
	struct monitor_view **list = xzalloc_array(tenant->monitors.count + 1, sizeof(*list));
	struct monitor *monitor;
	size_t count = 0;

	if (asker->role != ASKER_AGENT)
		chain_each(monitor, &tenant->monitors, in_tenant)
			if (!monitor_is_over(monitor))
				list[count++] = monitor_view_make(monitor);
	*ret_count = count;
	return list;
}

bool monitors_use(const struct tenant *tenant, const struct profile *profile, bool end)
{
	struct monitor *monitor, *then;
	bool use = false;

	chain_each_safe(monitor, then, &tenant->monitors, in_tenant) {
		struct leg *leg;
		bool its = false;

		chain_each(leg, &monitor->own->legs, in_call)
			its = its || (leg->profile == profile && leg_is_live(leg));
		if (its && end)
			monitor_stop(monitor, "interrupted");
		use = use || its;
	}
	return use;
}

/* Nobody waits for calls that will not come. */
void monitors_drain(struct call_app *app)
{
	struct hnode *node = NULL;
	size_t cursor = 0;

	while ((node = hmap_iter(&app->monitors, &cursor, node))) {
		struct monitor *monitor = container_of_(node, struct monitor, node);

		if (monitor->fsm.state == MONITOR_WAITING)
			monitor_stop(monitor, "interrupted");
	}
}
