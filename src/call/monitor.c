/* A supervisor on a call: the machine, who hears whom, and what is told of it. */
#include "call/monitor.h"

static const char *const monitor_events[] = { "timeout", "answered", "moved", "change", "over",
					      "next",	 "lost",     "stop",  NULL };

bool monitor_is_over(const struct monitor *monitor)
{
	return monitor->fsm.state == MONITOR_ENDED;
}

/* ---- what is told ---- */

static void leg_fill(const struct monitor *monitor, struct monitor_view *view)
{
	struct call_view *own;

	if (!monitor->own || !monitor->own->legs.count)
		return;
	own = call_view_make(monitor->own);
	for (unsigned i = 0; i < own->leg_count; i++) {
		/* The one that answered; of those that ring any. */
		if (view->has_leg && !(monitor->leg && id_eq(own->legs[i].id, monitor->leg->id)))
			continue;
		view->leg = own->legs[i];
		view->has_leg = true;
	}
	free(own);
}

struct monitor_view *monitor_view_make(const struct monitor *monitor)
{
	struct monitor_view *view = xzalloc(sizeof(*view));

	view->id = monitor->id;
	view->tenant = monitor->tenant->id;
	view->call_id = monitor->call_id;
	view->profile_id = monitor->profile_id;
	view->user_id = monitor->user;
	view->target_leg = monitor->target;
	view->mode = monitor->mode;
	view->state = (enum monitor_state)monitor->fsm.state;
	view->muted = monitor->muted;
	view->beep = monitor->beep;
	view->follow_agent = monitor->follow_agent;
	(void)str_copy(view->room, sizeof(view->room), monitor->room);
	(void)str_copy(view->reason, sizeof(view->reason), monitor->reason ? monitor->reason : "");
	view->created_at = monitor->created_at;
	view->started_at = monitor->started_at;
	view->ended_at = monitor->ended_at;
	view->actor = monitor->actor;
	(void)str_copy(view->client_addr, sizeof(view->client_addr), monitor->client_addr);
	leg_fill(monitor, view);
	return view;
}

/* The doer is that of this one event. */
static void publish(struct monitor *monitor, enum event_type type)
{
	struct event *event = event_new(type, monitor->tenant->id);

	event->call_id = monitor->call_id;
	event->profile_id = monitor->profile_id;
	event->monitor = monitor_view_make(monitor);
	event_publish(monitor->app->bus, event);
	monitor->actor = ID_NONE;
	monitor->client_addr[0] = '\0';
}

/* ---- who hears whom ---- */

static struct leg *member_leg(const struct room *room, struct id id)
{
	struct room_member *member;

	chain_each(member, &room->members, in_room)
		if (id_eq(member->leg->id, id))
			return member->leg;
	return NULL;
}

struct leg *monitor_target(const struct call *call, struct id id)
{
	struct leg *parties[] = { call->first, call->second }, *leg;

	if (!id_is_none(id)) {
		leg = leg_get(call, id);
		if (!leg && call->conducts)
			leg = member_leg(call->conducts, id);
		return leg_is_there(leg) ? leg : NULL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(parties); i++)
		if (leg_is_there(parties[i]) && parties[i]->role == LEG_AGENT)
			return parties[i];
	return NULL;
}

/* Where the two talk. Of a call with one party alone (who hears a prompt, or an echo) that one is put into a bridge. */
static struct bridge *bridge_to_listen_in(struct call *call)
{
	struct leg *one = call->first ? call->first : call->second;

	if (call->bridge || !one || (call->first && call->second) || !one->channel ||
	    !leg_is_live(one))
		return call->bridge;
	call->bridge = bridge_new(call->app->engine);
	bridge_add(call->bridge, one->channel);
	return call->bridge;
}

/* A supervisor's phone that has us on hold may play its music, which is for nobody; who cannot be whispered to is not. */
static bool is_silent(const struct monitor *monitor, const struct leg *to)
{
	return monitor->mode == MONITOR_LISTEN || monitor->muted || monitor->leg->held ||
	       (monitor->mode == MONITOR_WHISPER && !to);
}

/* Who is on hold is not to be heard by anybody, and a consultation is nobody's business. */
static void hear_parties(struct monitor *monitor)
{
	struct leg *leg;

	chain_each(leg, &monitor->call->legs, in_call)
		if (leg_is_there(leg))
			bridge_hear(monitor->bridge, monitor->leg->channel, leg->channel,
				    call_has_party(monitor->call, leg) && !leg->on_hold);
}

static void speak(struct monitor *monitor, struct leg *to, bool silent)
{
	if (silent)
		channel_hush(monitor->leg->channel);
	else
		channel_aside(monitor->leg->channel, to ? to->channel : NULL);
}

static void bridge_leave(struct monitor *monitor)
{
	struct bridge *bridge = take(monitor->bridge);

	if (bridge && monitor->leg && monitor->leg->channel)
		bridge_remove(bridge, monitor->leg->channel);
}

static void on_room_change(struct room_guest *guest)
{
	struct monitor *monitor = container_of_(guest, struct monitor, guest);

	/* Without a room the conference is over: what it watches says what comes next. */
	if (guest->room)
		fsm_send(&monitor->fsm, MONITOR_EV_MOVED, NULL);
}

static void place_in_room(struct monitor *monitor, struct room *room, struct leg *to, bool silent)
{
	struct room_guest *guest = &monitor->guest;

	if (guest->room && guest->room != room)
		room_guest_leave(guest);
	monitor->bridge = NULL; /* coming into another takes it out of this one */
	monitor->leg->muted = silent;
	guest->leg = monitor->leg;
	guest->on_change = on_room_change;
	if (!guest->room) {
		guest->mode = ROOM_GUEST_LISTENS;
		guest->to = NULL;
		room_guest_enter(room, guest);
	}
	room_guest_set(guest,
		       silent				  ? ROOM_GUEST_LISTENS
		       : monitor->mode == MONITOR_WHISPER ? ROOM_GUEST_WHISPERS
							  : ROOM_GUEST_BARGES,
		       to);
}

static void place_in_bridge(struct monitor *monitor, struct bridge *bridge, struct leg *to,
			    bool silent)
{
	if (monitor->guest.room)
		room_guest_leave(&monitor->guest);
	if (!bridge) {
		bridge_leave(monitor);
		return;
	}
	monitor->leg->muted = silent;
	if (monitor->bridge != bridge) {
		bridge_add(bridge, monitor->leg->channel);
		monitor->bridge = bridge;
	}
	hear_parties(monitor);
	speak(monitor, to, silent);
}

static void beep(struct monitor *monitor)
{
	if (monitor->guest.room)
		bridge_chime(monitor->guest.room->bridge, CHIME_JOINED);
	else if (monitor->bridge)
		bridge_chime(monitor->bridge, CHIME_JOINED);
}

/* Brings the matrix and the recording to what is wished. What a recording may have of it ends before anything else
 * changes, and begins after that.
 */
static void settle(struct monitor *monitor)
{
	struct call *call = monitor->call;
	struct room *room = room_of(call);
	struct leg *to = monitor_target(call, monitor->target);
	bool silent, loud;

	if (!monitor_leg(monitor))
		return;
	if (to && room && !room_has(room, to))
		to = NULL;
	silent = is_silent(monitor, to);
	loud = !silent && monitor->mode == MONITOR_BARGE;
	if (monitor->mode != MONITOR_WHISPER)
		to = NULL;
	monitor->on_tape = monitor->on_tape && loud;
	record_follow(call);
	if (room && room->bridge)
		place_in_room(monitor, room, to, silent);
	else
		place_in_bridge(monitor, bridge_to_listen_in(call), to, silent);
	monitor->on_tape = loud;
	record_follow(call);
	if (loud && !monitor->heard && monitor->beep)
		beep(monitor);
	monitor->heard = loud;
}

static void leave(struct monitor *monitor)
{
	monitor->on_tape = monitor->heard = false;
	if (monitor->call)
		record_follow(monitor->call);
	if (monitor->guest.room)
		room_guest_leave(&monitor->guest);
	bridge_leave(monitor);
}

/* ---- the machine ---- */

static void watch(struct monitor *monitor, struct call *call)
{
	monitor->call = call;
	monitor->call_id = call->id;
	monitor->profile_id = call->profile ? call->profile->spec->id : ID_NONE;
	(void)str_copy(monitor->room, sizeof(monitor->room), call->conducts ? call->room_name : "");
	chain_append(&call->monitors, &monitor->in_call);
}

static void unwatch(struct monitor *monitor)
{
	struct call *call = take(monitor->call);

	if (call)
		chain_remove(&call->monitors, &monitor->in_call);
}

/* It may be over for its own call already, or be what ends that. */
static void end(struct monitor *monitor, const char *reason)
{
	static struct ending ending = { ENDING_API, NULL };
	struct call *own = monitor->own;

	leave(monitor);
	unwatch(monitor);
	monitor->reason = reason;
	monitor->ended_at = wheel_wall_us(monitor->app->wheel);
	fsm_go(&monitor->fsm, MONITOR_ENDED);
	publish(monitor, EVENT_MONITOR_STOPPED);
	if (!own->ended_at)
		fsm_send(&own->fsm, CALL_EV_HANGUP, &ending);
}

static const char *why_lost(struct monitor *monitor)
{
	enum end_reason reason = monitor->own->end_reason;

	if (monitor->started_at && reason == END_COMPLETED) {
		monitor->actor = monitor->user;
		return "hung_up";
	}
	return end_reason_names[reason];
}

static void answered(struct monitor *monitor)
{
	monitor->leg = monitor->own->second;
	channel_guest(monitor->leg->channel);
	monitor->started_at = wheel_wall_us(monitor->app->wheel);
	monitor->actor = monitor->user;
	fsm_go(&monitor->fsm, MONITOR_ACTIVE);
	settle(monitor);
	publish(monitor, EVENT_MONITOR_STARTED);
}

static void change(struct monitor *monitor, const struct monitor_wish *wish)
{
	bool same = (!wish->has_mode || wish->mode == monitor->mode) &&
		    (!wish->has_muted || wish->muted == monitor->muted) &&
		    (!wish->has_beep || wish->beep == monitor->beep) &&
		    (!wish->has_target || id_eq(wish->target, monitor->target));

	if (same)
		return;
	monitor->actor = wish->actor;
	(void)str_copy(monitor->client_addr, sizeof(monitor->client_addr), wish->client_addr);
	if (wish->has_mode)
		monitor->mode = wish->mode;
	if (wish->has_muted)
		monitor->muted = wish->muted;
	if (wish->has_beep)
		monitor->beep = wish->beep;
	if (wish->has_target)
		monitor->target = wish->target;
	if (monitor->fsm.state == MONITOR_ACTIVE)
		settle(monitor);
	publish(monitor, EVENT_MONITOR_CHANGED);
}

static bool is_ended_by(struct monitor *monitor, int event)
{
	switch (event) {
	case MONITOR_EV_OVER:
		end(monitor, "call_ended");
		return true;
	case MONITOR_EV_LOST:
		end(monitor, why_lost(monitor));
		return true;
	case MONITOR_EV_STOP:
		end(monitor, monitor->reason);
		return true;
	default:
		return false;
	}
}

static void ringing_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	if (is_ended_by(owner, event))
		return;
	if (event == MONITOR_EV_ANSWERED)
		answered(owner);
	else if (event == MONITOR_EV_CHANGE)
		change(owner, data);
}

static void active_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct monitor *monitor = owner;

	if (event == MONITOR_EV_OVER && monitor->follow_agent && !monitor->app->draining) {
		leave(monitor);
		unwatch(monitor);
		monitor->target = ID_NONE; /* it was one of that call's */
		fsm_go(fsm, MONITOR_WAITING);
		publish(monitor, EVENT_MONITOR_CHANGED);
	} else if (is_ended_by(monitor, event)) {
		return;
	} else if (event == MONITOR_EV_MOVED) {
		settle(monitor);
	} else if (event == MONITOR_EV_CHANGE) {
		change(monitor, data);
	}
}

static void waiting_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct monitor *monitor = owner;

	if (is_ended_by(monitor, event))
		return;
	if (event == MONITOR_EV_TIMEOUT) {
		end(monitor, "timeout");
	} else if (event == MONITOR_EV_CHANGE) {
		change(monitor, data);
	} else if (event == MONITOR_EV_NEXT) {
		watch(monitor, data);
		fsm_go(fsm, MONITOR_ACTIVE);
		settle(monitor);
		publish(monitor, EVENT_MONITOR_CHANGED);
	}
}

/* What crosses the end is nothing to it. */
static void ended_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)fsm;
	(void)owner;
	(void)event;
	(void)data;
}

#define B(event) FSM_BIT(MONITOR_EV_##event)
#define ALWAYS (B(CHANGE) | B(LOST) | B(STOP))
static const struct fsm_state monitor_states[] = {
	/* How long it may ring is its own call's to say. */
	[MONITOR_RINGING] = {
		.name = "RINGING",
		.accepts = ALWAYS | B(ANSWERED) | B(OVER) | B(MOVED),
		.leads_to = FSM_BIT(MONITOR_ACTIVE) | FSM_BIT(MONITOR_ENDED),
		.handle = ringing_handle,
	},
	[MONITOR_ACTIVE] = {
		.name = "ACTIVE",
		.accepts = ALWAYS | B(MOVED) | B(OVER),
		.leads_to = FSM_BIT(MONITOR_WAITING) | FSM_BIT(MONITOR_ENDED),
		.handle = active_handle,
	},
	[MONITOR_WAITING] = {
		.name = "WAITING",
		.timeout_ms = MONITOR_WAIT_MS,
		.accepts = ALWAYS | B(TIMEOUT) | B(NEXT) | B(MOVED),
		.leads_to = FSM_BIT(MONITOR_ACTIVE) | FSM_BIT(MONITOR_ENDED),
		.handle = waiting_handle,
	},
	[MONITOR_ENDED] = {
		.name = "ENDED",
		.accepts = ALWAYS | B(ANSWERED) | B(MOVED) | B(OVER),
		.handle = ended_handle,
	},
};
static const struct fsm_table monitor_table = { "monitor", monitor_states,
						ARRAY_LEN(monitor_states), monitor_events };
FSM_REGISTER(monitor_table);

/* ---- what others tell it ---- */

static bool is_active(const struct monitor *monitor)
{
	return monitor->fsm.state == MONITOR_ACTIVE;
}

void monitor_follow(struct call *call)
{
	struct monitor *monitor, *then;

	chain_each_safe(monitor, then, &call->monitors, in_call)
		if (is_active(monitor))
			fsm_send(&monitor->fsm, MONITOR_EV_MOVED, NULL);
}

void monitor_bridge_goes(struct call *call)
{
	struct monitor *monitor;

	chain_each(monitor, &call->monitors, in_call)
		bridge_leave(monitor);
}

void monitors_call_over(struct call *call)
{
	struct monitor *monitor;

	while ((monitor = chain_owner(call->monitors.head, struct monitor, in_call))) {
		fsm_send(&monitor->fsm, MONITOR_EV_OVER, NULL);
		if (monitor->call ==
		    call) { /* it is at work just now, and hears of it after that */
			leave(monitor);
			unwatch(monitor);
		}
	}
}

void monitors_next_call(struct call *call)
{
	struct monitor *monitor, *then;

	chain_each_safe(monitor, then, &call->tenant->monitors, in_tenant) {
		struct leg *agent = NULL;

		if (monitor->fsm.state == MONITOR_WAITING)
			agent = monitor_target(call, ID_NONE);
		if (agent && id_eq(agent->user, monitor->agent))
			fsm_send(&monitor->fsm, MONITOR_EV_NEXT, call);
	}
}

void monitors_of_user_end(struct call_app *app, struct user *user)
{
	struct monitor *monitor, *then;

	(void)app;
	chain_each_safe(monitor, then, &user->tenant->monitors, in_tenant)
		if (id_eq(monitor->user, user->id))
			monitor_stop(monitor, "not_allowed");
}

void monitor_stop(struct monitor *monitor, const char *reason)
{
	if (monitor_is_over(monitor))
		return;
	monitor->reason = reason;
	fsm_send(&monitor->fsm, MONITOR_EV_STOP, NULL);
}

void monitor_answered(struct call *own)
{
	fsm_send(&own->supervises->fsm, MONITOR_EV_ANSWERED, NULL);
}

void monitor_lost(struct call *own)
{
	fsm_send(&own->supervises->fsm, MONITOR_EV_LOST, NULL);
}

/* Its phone holds, or does not any more. */
void monitor_held(struct call *own)
{
	fsm_send(&own->supervises->fsm, MONITOR_EV_MOVED, NULL);
}

struct leg *monitor_leg(const struct monitor *monitor)
{
	return leg_is_there(monitor->leg) ? monitor->leg : NULL;
}

/* ---- the table ---- */

struct monitor *monitor_known(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->monitors, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct monitor *monitor = container_of_(node, struct monitor, node);

		if (id_eq(monitor->id, id))
			return monitor;
	}
	return NULL;
}

struct monitor *monitor_new(struct call_app *app, struct call *watched, const struct asker *asker)
{
	struct monitor *monitor = xzalloc(sizeof(*monitor));

	monitor->app = app;
	monitor->tenant = watched->tenant;
	monitor->user = asker->user;
	monitor->created_at = wheel_wall_us(app->wheel);
	chain_append(&watched->tenant->monitors, &monitor->in_tenant);
	watch(monitor, watched);
	fsm_init(&monitor->fsm, &monitor_table, monitor, app->wheel, MONITOR_RINGING);
	return monitor;
}

/* Only at the end of all things: a call is over before it is forgotten. */
void monitors_forget_call(struct call *call)
{
	struct monitor *monitor;

	while ((monitor = chain_owner(call->monitors.head, struct monitor, in_call))) {
		monitor->bridge = NULL;
		unwatch(monitor);
	}
}

void monitor_forget(struct call *own)
{
	struct monitor *monitor = take(own->supervises);

	if (monitor->guest.room)
		chain_remove(&monitor->guest.room->guests, &monitor->guest.in_room);
	unwatch(monitor);
	fsm_fini(&monitor->fsm);
	chain_remove(&monitor->tenant->monitors, &monitor->in_tenant);
	hmap_del(&monitor->app->monitors, &monitor->node);
	free(monitor);
}
