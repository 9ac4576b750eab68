/* answer-call: somebody takes an incoming call that is parked or still rings. */
#include "call/private.h"

static bool is_wanted(const struct leg *leg, const struct connecting *to)
{
	if (to->device)
		return id_eq(leg->device, to->device->id);
	return to->user && id_eq(leg->user, to->user->id);
}

/* Phones that ring already and are wanted go on ringing; the others need not any more. */
static void keep_wanted(struct call *call, const struct connecting *to)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg->in_group && leg_is_live(leg) && !is_wanted(leg, to))
			leg_close(leg, END_CANCELED, true);
}

void answer_connect(struct call *call, struct connecting *to)
{
	unsigned ringing = 1;
	int r = 0;

	keep_wanted(call, to);
	call->parked = false;
	if (to->device)
		ringing = party_device(call, to->device, LEG_AGENT);
	else if (to->user)
		ringing = party_user(call, to->user, LEG_AGENT, ID_NONE);
	else if (to->outbound.profile)
		r = party_number(call, &to->outbound, LEG_AGENT);
	else if (to->spec->kind == CONNECT_CONFERENCE)
		room_expect(call, to->spec->number, to->asker->user, to->asker);
	else
		plan_set(&call->plan, to->spec);
	if (call->plan.kind)
		call_up(call);
	else if (!ringing || r)
		call_finish(call, r ? ENDING_LINE : ENDING_NO_DEVICE, NULL);
	else
		call_dial(call);
}

static struct reply *find_party(struct call_app *app, const struct asker *asker, struct call *call,
				struct connecting *to)
{
	struct profile *profile = call->profile;
	int r;

	switch (to->spec->kind) {
	case CONNECT_ANY_DEVICE:
		to->user = known_user(app, asker->user);
		if (!to->user || !devices_online(app, to->user))
			return reply_no_phone();
		return NULL;
	case CONNECT_DEVICE:
		to->device = known_device(app, to->spec->id);
		if (!to->device || !id_eq(to->device->user->tenant->id, asker->tenant) ||
		    (asker->role == ASKER_AGENT && !id_eq(to->device->user->id, asker->user)))
			return reply_error(REPLY_INVALID, "connect", "There is no such device.");
		if (!engine_device_online(app->engine, to->device->id))
			return reply_error(REPLY_NO_DEVICE, NULL, "This phone is not registered.");
		return NULL;
	case CONNECT_NUMBER:
		if (!id_is_none(to->spec->profile))
			profile = known_profile(app, to->spec->profile);
		if (!profile || !profile_may_use(profile, asker))
			return reply_error(REPLY_INVALID, "connect", "There is no such profile.");
		r = outbound_admit(app, profile, to->spec->number, OUTBOUND_BY_USER, &to->outbound);
		return r ? reply_refused(app, r, "connect", profile) : NULL;
	case CONNECT_SAY:
	case CONNECT_PLAY:
	case CONNECT_ECHO:
		return NULL;
	case CONNECT_CONFERENCE:
		return room_refusal(app, call->tenant, to->spec->number);
	case CONNECT_IVR:
	case CONNECT_FLOW:
		break;
	}
	return reply_error(REPLY_UNSUPPORTED, "connect",
			   "Calls cannot be put through to this yet.");
}

struct reply *do_answer_call(struct call_app *app, struct command *command)
{
	struct call *call = call_get(app, command->call_id);
	struct connecting to = { .spec = command->body, .asker = &command->asker };
	struct reply *bad;

	if (!call || !call_may_see(call, &command->asker))
		return reply_new(REPLY_NOT_FOUND);
	if (!call_may_touch(call, &command->asker))
		return reply_new(REPLY_FORBIDDEN);
	if (call->direction != CALL_INCOMING || call->fsm.state != PHASE_DIAL)
		return reply_wrong_state(call_state_names[call->shown],
					 "This call cannot be taken any more.");
	bad = find_party(app, &command->asker, call, &to);
	if (bad)
		return bad;
	fsm_send(&call->fsm, CALL_EV_CONNECT, &to);
	outbound_release(&to.outbound);
	return reply_call(call);
}
