/* Who holds a call for longer than it may be held is rung back, as long as a call may ring; only then it ends. Whose leg
 * still listens (it holds by the API) hears ringing on it and takes the call back with any key, or as ever. A phone
 * that holds by its own key hears nothing: all phones of its user ring, and the one that answers goes on in its place.
 */
#include "call/private.h"

static bool ring_here(struct leg *holder)
{
	static const struct sound_spec ringing = { .kind = SOUND_RINGBACK, .loop = true };

	if (!holder->holding || holder->held || holder->on_hold)
		return false;
	holder->call->recalling = holder;
	(void)channel_play(holder->channel, &ringing);
	return true;
}

static bool ring_phones(struct leg *holder)
{
	struct call *call = holder->call;
	struct user *user = known_user(call->app, holder->user);

	if (!holder->held || holder->kind != LEG_KIND_DEVICE || !user)
		return false;
	call->recalling = holder;
	if (party_user(call, user, holder->role, ID_NONE))
		return true;
	call->recalling = NULL;
	return false;
}

bool recall_begin(struct call *call)
{
	struct leg *legs[] = { call->first, call->second };

	if (transfer_runs(call))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		struct leg *held = legs[i] ? hold_partner(call, legs[i]) : NULL;

		if (!held || !leg_is_there(legs[i]) || !held->on_hold)
			continue;
		if (!ring_here(legs[i]) && !ring_phones(legs[i]))
			continue;
		call_publish_leg(call, legs[i], "hold_recall");
		return true;
	}
	return false;
}

static void group_over(struct call *call, struct leg *winner)
{
	struct leg *leg;

	call_drop_group(call, winner, END_CANCELED, winner != NULL);
	chain_each(leg, &call->legs, in_call)
		leg->in_group = false;
}

void recall_end(struct call *call)
{
	struct leg *holder = call->recalling;

	if (!holder)
		return;
	call->recalling = NULL;
	if (leg_is_there(holder) && !holder->on_hold)
		channel_play_stop(holder->channel);
	group_over(call, NULL);
}

void recall_answered(struct call *call, struct leg *leg)
{
	struct leg *old = call->recalling;

	if (!old || !leg->in_group)
		return;
	call->recalling = NULL;
	group_over(call, leg);
	leg->is_caller = old->is_caller;
	if (call->first == old)
		call->first = leg;
	else
		call->second = leg;
	hold_taken_over(old, leg);
	leg->muted = old->muted;
	channel_mute(leg->channel, leg->muted);
	record_follow(call);
	call_publish_leg(call, leg, "recalled");
	leg_close(old, END_COMPLETED, false);
}

void recall_lost(struct call *call)
{
	struct leg *leg;

	if (!call->recalling || !call->recalling->held)
		return;
	chain_each(leg, &call->legs, in_call)
		if (leg->in_group && leg_is_live(leg))
			return;
	call_finish(call, ENDING_MAX_HOLD, NULL);
}

bool recall_key(struct leg *leg)
{
	if (leg->call->recalling != leg || !leg->holding)
		return false;
	hold_set(leg->call, leg, false);
	return true;
}
