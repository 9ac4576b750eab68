/* A call came in through a profile. */
#include "call/private.h"

/* Return: false when nobody could be rung; the call is then over. */
static bool ring_user(struct call *call, struct user *user)
{
	if (user && user->spec.active && party_user(call, user, LEG_AGENT, ID_NONE))
		return true;
	call_finish(call, ENDING_NO_DEVICE, NULL);
	return false;
}

/* Out again: the owner's own setting, so it counts as the user's wish. */
static void forward(struct call *call)
{
	const struct profile_spec *spec = call->profile->spec;
	struct profile *through = call->profile;
	struct outbound outbound = { 0 };
	int r;

	if (!id_is_none(spec->incoming_id))
		through = known_profile(call->app, spec->incoming_id);
	if (!through || through->tenant != call->tenant) {
		call_finish(call, ENDING_LINE, NULL);
		return;
	}
	r = outbound_admit(call->app, through, spec->incoming_target, OUTBOUND_BY_USER, &outbound);
	if (r) {
		call_finish(call, outbound_ending(r), NULL);
		return;
	}
	call_dial_out(call, &outbound, LEG_AGENT);
}

/* Waits for answer-call, and the caller hears it ring. */
static void park(struct call *call)
{
	call->parked = true;
	channel_ring(call->first->channel);
	call->shown = CALL_RINGING;
	call->ringing_at = wheel_wall_us(call->app->wheel);
	call_publish(call, EVENT_CALL_RINGING, NULL);
}

static void route(struct call *call)
{
	const struct profile_spec *spec = call->profile->spec;
	struct user *user;

	switch (spec->incoming) {
	case INCOMING_OWNER:
		(void)ring_user(call, call->profile->owner);
		break;
	case INCOMING_USER:
		user = known_user(call->app, spec->incoming_id);
		if (user && user->tenant == call->tenant)
			call_add_user(call, user);
		else
			user = NULL;
		(void)ring_user(call, user);
		break;
	case INCOMING_NUMBER:
		forward(call);
		break;
	case INCOMING_API:
		park(call);
		break;
	case INCOMING_CONFERENCE:
		room_expect(call, spec->incoming_target, spec->owner, NULL);
		call_up(call);
		break;
	case INCOMING_IVR:
		call_finish(call, ENDING_NO_DEVICE, NULL);
		break;
	}
}

static void begin(struct call *call)
{
	struct leg *first = call->first;

	call_dial(call);
	if (call->app->draining) {
		call_finish(call, ENDING_INTERRUPTED, NULL);
		return;
	}
	call->counted = permit_call(call->app, call->tenant);
	if (!call->counted || !permit_leg(call->profile)) {
		call_finish(call, ENDING_LIMIT, NULL);
		return;
	}
	first->profile = call->profile;
	route(call);
}

/* Nobody is rung for it, but it is in the log of who was called. */
static void begin_unfit(struct call *call)
{
	call_finish(call, ENDING_OFFER, NULL);
}

void incoming_begin(struct call_app *app, struct profile *profile, const struct engine_event *event)
{
	const struct channel_info *info = event->info;
	struct call *call = call_new(app, profile->tenant, CALL_INCOMING);
	struct leg *first = leg_new(call, LEG_REMOTE, LEG_KIND_PROFILE);

	call_set_profile(call, profile);
	call_add_user(call, profile->owner);
	(void)str_copy(call->from, sizeof(call->from), info->withheld ? "anonymous" : info->from);
	(void)str_copy(call->from_name, sizeof(call->from_name),
		       info->withheld ? "Anonymous" : info->from_name);
	(void)str_copy(call->to, sizeof(call->to), info->to);
	(void)str_copy(first->address, sizeof(first->address), call->from);
	first->profile_id = profile->spec->id;
	first->incoming = true;
	first->is_caller = true;
	leg_attach(first, event->channel);
	call->first = first;
	call_start(call, info->unfit ? begin_unfit : begin);
}
