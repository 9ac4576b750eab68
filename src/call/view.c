/* Views of a call and its legs: the one place where live state becomes what others see. */
#include "call/monitor.h"

static int seconds(int64_t us)
{
	return us > 0 ? (int)(us / 1000000) : 0;
}

/* Whose hold it is: who consults is one of us as well. */
bool leg_is_local(const struct leg *leg)
{
	return leg->role == LEG_AGENT || leg->role == LEG_CONSULT;
}

static enum leg_state state_of(const struct leg *leg)
{
	return call_is_over(leg->call) ? LEG_ENDED : leg_shown(leg);
}

static void channel_view(const struct leg *leg, struct leg_view *view)
{
	char address[VIEW_ADDR_SIZE];

	if (!leg->channel)
		return;
	channel_address(leg->channel, address);
	if (address[0])
		(void)str_copy(view->address, sizeof(view->address), address);
	(void)str_copy(view->codec, sizeof(view->codec), channel_codec(leg->channel));
	channel_quality(leg->channel, &view->quality);
}

static void leg_view_fill(const struct leg *leg, struct leg_view *view)
{
	view->id = leg->id;
	view->role = leg->role;
	view->kind = leg->kind;
	view->state = state_of(leg);
	view->muted = leg->muted;
	(void)str_copy(view->address, sizeof(view->address), leg->uri ? leg->uri : leg->address);
	(void)str_copy(view->codec, sizeof(view->codec), leg->codec);
	view->quality = leg->quality;
	channel_view(leg, view);
	if (leg->kind == LEG_KIND_PROFILE)
		view->profile_id = leg->profile_id;
	view->device_id = leg->device;
	view->user_id = leg->user;
	view->created_at = leg->created_at;
	view->ringing_at = leg->ringing_at;
	view->answered_at = leg->answered_at;
	view->ended_at = leg->ended_at ? leg->ended_at : leg->call->ended_at;
	view->end_reason = leg->end.reason;
	if (view->state == LEG_ENDED && !view->end_reason)
		view->end_reason = leg->call->end_reason;
	view->sip_code = leg->end.code;
}

static void times(const struct call *call, struct call_view *view)
{
	int64_t now = call->ended_at ? call->ended_at : wheel_wall_us(call->app->wheel);
	int64_t rung_until = call->answered_at ? call->answered_at : now;
	int64_t held = call->held_us + (call->held_since ? now - call->held_since : 0);

	view->created_at = call->created_at;
	view->ringing_at = call->ringing_at;
	view->answered_at = call->answered_at;
	view->ended_at = call->ended_at;
	view->ring_s = call->ringing_at ? seconds(rung_until - call->ringing_at) : 0;
	view->talk_s = call->answered_at ? seconds(now - call->answered_at) : 0;
	view->hold_s = seconds(held);
}

static void holds(const struct call *call, struct call_view *view)
{
	struct leg *leg;

	if (call_is_over(call))
		return;
	chain_each(leg, &call->legs, in_call) {
		if ((!leg->held && !leg->holding) || !leg_is_live(leg))
			continue;
		view->hold_local = view->hold_local || leg_is_local(leg);
		view->hold_remote = view->hold_remote || !leg_is_local(leg);
	}
}

enum call_state call_shown(const struct call *call)
{
	if (call->shown != CALL_ANSWERED)
		return call->shown;
	if (transfer_runs(call))
		return CALL_TRANSFERRING;
	return call_is_held(call) ? CALL_HELD : CALL_ANSWERED;
}

static struct call_view *make(const struct call *call, unsigned more_legs)
{
	struct call_view *view = call_view_new(call->legs.count + more_legs);
	struct leg *leg;
	unsigned i = 0;

	view->id = call->id;
	view->tenant = call->tenant->id;
	if (call->profile)
		view->profile_id = call->profile->spec->id;
	if (call->seats[0].user)
		view->user_id = call->seats[0].user->id;
	view->direction = call->direction;
	(void)str_copy(view->room, sizeof(view->room), call->room_name);
	(void)str_copy(view->from, sizeof(view->from), call->from);
	(void)str_copy(view->to, sizeof(view->to), call->to);
	(void)str_copy(view->from_name, sizeof(view->from_name), call->from_name);
	times(call, view);
	holds(call, view);
	view->state = call_shown(call);
	view->transferred_from = call->transferred_from;
	view->transferred_to = call->transferred_to;
	view->recording = record_shown(call);
	view->recording_id = call->recording_id;
	view->end_reason = call->end_reason;
	view->sip_code = call->sip_code;
	view->q850 = call->q850;
	view->hangup_by = call->hangup_by;
	if (call->variables)
		(void)str_copy(view->variables, sizeof(view->variables), call->variables);
	view->seq = call->seq;
	chain_each(leg, &call->legs, in_call)
		leg_view_fill(leg, &view->legs[i++]);
	return view;
}

struct call_view *call_view_make(const struct call *call)
{
	return make(call, 0);
}

struct call_view *call_view_watched(const struct call *call)
{
	struct call_view *view;
	struct monitor *monitor;
	unsigned more = 0, i = call->legs.count;

	chain_each(monitor, &call->monitors, in_call)
		more += monitor_leg(monitor) != NULL;
	view = make(call, more);
	chain_each(monitor, &call->monitors, in_call)
		if (monitor_leg(monitor))
			leg_view_fill(monitor->leg, &view->legs[i++]);
	return view;
}
