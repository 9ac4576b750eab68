/* Ringing somebody, and sounds in somebody's stead. */
#include "call/private.h"

struct leg *call_waiting(const struct call *call)
{
	struct leg *const legs[] = { call->first, call->second,
				     call->consult_of ? call_waiting(call->consult_of) : NULL };

	for (unsigned i = 0; i < ARRAY_LEN(legs); i++)
		if (leg_is_there(legs[i]) && legs[i]->role != LEG_CONSULT)
			return legs[i];
	return NULL;
}

/* For one more leg. */
static bool call_has_place(const struct call *call)
{
	const struct leg *leg;
	unsigned live = 0;

	chain_each(leg, &call->legs, in_call)
		live += leg_is_live(leg);
	return live < CALL_LEGS_MAX && call->legs.count < CALL_LEGS_ALL;
}

static unsigned ring(struct call *call, struct device *device, enum leg_role role)
{
	struct leg *leg, *waiting = call_waiting(call);
	struct originate what = {
		.device = device->id,
		.like = waiting ? waiting->channel : NULL,
		.ring_timeout_ms = CALL_SETUP_MS,
	};
	struct channel *channel;
	bool for_caller = role == LEG_AGENT &&
			  (!waiting || waiting == call->second || waiting == call->recalling);

	if (!call_has_place(call) || !engine_device_online(call->app->engine, device->id))
		return 0;
	if (call->next.profile)
		what.line_next = call->next.profile->spec->id;
	/* Who is called by the API sees whom the call will be with, anybody else who is calling. */
	(void)str_copy(what.from, sizeof(what.from), for_caller ? call->to : call->from);
	if ((waiting && waiting != call->second && waiting != call->recalling) || call->supervises)
		(void)str_copy(what.from_name, sizeof(what.from_name), call->from_name);
	leg = leg_new(call, role, LEG_KIND_DEVICE);
	leg->in_group = true;
	leg->device = device->id;
	leg->user = device->user->id;
	what.user = leg;
	if (channel_originate(call->app->engine, &what, &channel)) {
		leg_close(leg, END_UNAVAILABLE, false);
		return 0;
	}
	leg_attach(leg, channel);
	return 1;
}

static struct leg *ringing_leg(struct call *call, const struct device *device)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg->in_group && leg_is_live(leg) && id_eq(leg->device, device->id))
			return leg;
	return NULL;
}

unsigned party_device(struct call *call, struct device *device, enum leg_role role)
{
	return ringing_leg(call, device) ? 1 : ring(call, device, role);
}

unsigned party_user(struct call *call, struct user *user, enum leg_role role, struct id but_not)
{
	struct device *device;
	unsigned count = 0;

	chain_each(device, &user->devices, in_user)
		if (count < CALL_DEVICES_MAX && !id_eq(device->id, but_not))
			count += party_device(call, device, role);
	return count;
}

int party_number(struct call *call, struct outbound *outbound, enum leg_role role)
{
	struct leg *leg = leg_new(call, role, LEG_KIND_PROFILE);
	int r;

	leg->in_group = true;
	r = outbound_dial(leg, outbound, call_waiting(call));
	if (r)
		leg_close(leg, END_TRUNK_FAILED, false);
	return r;
}

void call_dial_out(struct call *call, struct outbound *outbound, enum leg_role role)
{
	int r = party_number(call, outbound, role);

	if (r)
		call_finish(call, r == ORIGINATE_E_PORTS ? ENDING_PORTS : ENDING_LINE, NULL);
}

void call_rings_or_ends(struct call *call)
{
	const struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg_is_live(leg))
			return;
	call_finish(call, ENDING_NO_DEVICE, NULL);
}

void plan_set(struct sound_plan *plan, const struct connect_spec *spec)
{
	free(plan->text);
	plan->text = NULL;
	plan->kind = PLAN_NONE;
	if (spec->kind == CONNECT_SAY) {
		plan->kind = PLAN_SAY;
		plan->text = xstrdup(spec->text);
	} else if (spec->kind == CONNECT_PLAY) {
		plan->kind = PLAN_PLAY;
		plan->text = xstrdup(spec->path);
	} else if (spec->kind == CONNECT_ECHO) {
		plan->kind = PLAN_ECHO;
	}
}

void party_sound(struct call *call, struct leg *leg)
{
	struct sound_spec sound = { .kind = SOUND_ECHO };

	if (call->plan.kind == PLAN_SAY) {
		sound.kind = SOUND_SAY;
		sound.say = call->plan.text;
	} else if (call->plan.kind == PLAN_PLAY) {
		sound.kind = SOUND_FILE;
		sound.file = call->plan.text;
	}
	leg->sound_id = channel_play(leg->channel, &sound);
}

static bool has_seat(const struct call *call, struct id user)
{
	for (unsigned i = 0; i < ARRAY_LEN(call->seats); i++)
		if (call->seats[i].user && id_eq(call->seats[i].user->id, user))
			return true;
	return false;
}

bool call_may_see(const struct call *call, const struct asker *asker)
{
	return id_eq(call->tenant->id, asker->tenant) &&
	       (asker->role != ASKER_AGENT || has_seat(call, asker->user));
}

/* A supervisor watches; acting is for those whose call it is, and for admins. */
bool call_may_touch(const struct call *call, const struct asker *asker)
{
	return id_eq(call->tenant->id, asker->tenant) &&
	       (asker->role == ASKER_ADMIN || has_seat(call, asker->user));
}

struct reply *call_for(struct call_app *app, const struct command *command, struct call **ret_call)
{
	struct call *call = call_get(app, command->call_id);

	if (!call || !call_may_see(call, &command->asker))
		return reply_new(REPLY_NOT_FOUND);
	if (!call_may_touch(call, &command->asker))
		return reply_new(REPLY_FORBIDDEN);
	if (call_is_over(call))
		return reply_wrong_state(call_state_names[CALL_ENDED], "The call has ended.");
	*ret_call = call;
	return NULL;
}

struct reply *leg_for(const struct call *call, const struct command *command, struct leg **ret_leg)
{
	struct leg *leg = leg_get(call, command->leg_id);

	if (!leg)
		return reply_error(REPLY_INVALID, "leg_id", "This call has no such leg.");
	if (!leg_is_live(leg))
		return reply_wrong_state(leg_state_names[LEG_ENDED], "This leg has ended.");
	*ret_leg = leg;
	return NULL;
}
