/* hangup-call: of a call or of one of its legs; ending what has ended is fine and does nothing. */
#include "call/private.h"

static enum ending_cause cause_of(const struct call *call, enum hangup_reason reason)
{
	if (call->answered_at)
		return ENDING_API;
	if (reason == HANGUP_BUSY)
		return ENDING_API_BUSY;
	if (reason == HANGUP_DECLINED || call->direction == CALL_INCOMING)
		return ENDING_API_DECLINE;
	return ENDING_API_CANCEL;
}

static enum end_reason leg_reason(enum hangup_reason reason)
{
	return reason == HANGUP_BUSY	   ? END_BUSY
	       : reason == HANGUP_DECLINED ? END_DECLINED
					   : END_CANCELED;
}

/* One of several phones that ring: the others go on. */
static void hangup_one(struct call *call, struct leg *leg, enum hangup_reason reason)
{
	struct leg *each;

	leg_close(leg, leg_reason(reason), false);
	chain_each(each, &call->legs, in_call)
		if (each->in_group && leg_is_live(each))
			return;
	if (!call->parked)
		fsm_send(&call->fsm, CALL_EV_HANGUP,
			 &(struct ending){ cause_of(call, reason), leg });
}

struct reply *do_hangup_call(struct call_app *app, struct command *command)
{
	struct call *call = call_get(app, command->call_id);
	struct leg *leg = NULL;

	if (!call || !call_may_see(call, &command->asker))
		return reply_new(REPLY_NOT_FOUND);
	if (!call_may_touch(call, &command->asker))
		return reply_new(REPLY_FORBIDDEN);
	if (!id_is_none(command->leg_id)) {
		leg = leg_get(call, command->leg_id);
		if (!leg)
			return reply_error(REPLY_INVALID, "leg_id", "This call has no such leg.");
	}
	if (call_is_over(call) || (leg && !leg_is_live(leg))) {
		struct reply *reply = reply_call(call);

		reply->state = call_state_names[call->shown]; /* nothing was left to do */
		return reply;
	}
	if (leg && leg->in_group)
		hangup_one(call, leg, command->hangup_reason);
	else if (leg && transfer_left(call, leg))
		leg_close(leg, END_COMPLETED, false);
	else if (leg && room_has_others(call, leg))
		fsm_send(&call->fsm, CALL_EV_PLAYED, leg);
	else
		fsm_send(&call->fsm, CALL_EV_HANGUP,
			 &(struct ending){ cause_of(call, command->hangup_reason), NULL });
	return reply_call(call);
}
