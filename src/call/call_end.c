/* Why a call ended: decided once, by one table. */
#include "call/private.h"

#include "engine/reason.h"

/* `reason` END_NONE: that of the leg. `by` HANGUP_NONE: whoever that leg is, if its far end did it. */
static const struct ending_row {
	const char *name;
	enum end_reason reason;
	enum hangup_by by;
} rows[ENDING_COUNT] = {
	[ENDING_HUNG_UP] = { "hung_up", END_NONE, HANGUP_NONE },
	[ENDING_CALLER_LEFT] = { "caller_left", END_CANCELED, HANGUP_CALLER },
	[ENDING_FIRST_LOST] = { "first_lost", END_NONE, HANGUP_NONE },
	[ENDING_SECOND_LOST] = { "second_lost", END_NONE, HANGUP_NONE },
	[ENDING_RING_TIMEOUT] = { "ring_timeout", END_NO_ANSWER, HANGUP_PLATFORM },
	[ENDING_NO_DEVICE] = { "no_device", END_UNAVAILABLE, HANGUP_PLATFORM },
	[ENDING_NO_ROUTE] = { "no_route", END_NOT_FOUND, HANGUP_PLATFORM },
	[ENDING_LIMIT] = { "limit", END_BUSY, HANGUP_PLATFORM },
	[ENDING_REFUSED] = { "destination_not_allowed", END_DECLINED, HANGUP_PLATFORM },
	[ENDING_LINE] = { "profile_not_usable", END_TRUNK_FAILED, HANGUP_PLATFORM },
	[ENDING_PORTS] = { "no_media_port", END_MEDIA_FAILED, HANGUP_PLATFORM },
	[ENDING_OFFER] = { "offer_not_acceptable", END_MEDIA_FAILED, HANGUP_PLATFORM },
	[ENDING_PLAYED] = { "played", END_COMPLETED, HANGUP_PLATFORM },
	[ENDING_MAX_DURATION] = { "max_duration", END_TIMEOUT, HANGUP_PLATFORM },
	[ENDING_MAX_HOLD] = { "max_hold", END_TIMEOUT, HANGUP_PLATFORM },
	[ENDING_BUDGET] = { "budget", END_TIMEOUT, HANGUP_PLATFORM },
	[ENDING_MEDIA] = { "media_lost", END_MEDIA_FAILED, HANGUP_PLATFORM },
	[ENDING_API] = { "api", END_COMPLETED, HANGUP_API },
	[ENDING_API_CANCEL] = { "api_cancel", END_CANCELED, HANGUP_API },
	[ENDING_API_BUSY] = { "api_busy", END_BUSY, HANGUP_API },
	[ENDING_API_DECLINE] = { "api_decline", END_DECLINED, HANGUP_API },
	[ENDING_ROOM_EMPTY] = { "room_empty", END_COMPLETED, HANGUP_PLATFORM },
	[ENDING_ROOM_ENDED] = { "room_ended", END_COMPLETED, HANGUP_API },
	[ENDING_ROOM_REFUSED] = { "room_refused", END_BUSY, HANGUP_PLATFORM },
	[ENDING_PIN] = { "wrong_pin", END_DECLINED, HANGUP_PLATFORM },
	[ENDING_UNCONFIRMED] = { "not_confirmed", END_DECLINED, HANGUP_PLATFORM },
	[ENDING_MODERATOR_LEFT] = { "moderator_left", END_COMPLETED, HANGUP_PLATFORM },
	[ENDING_KICKED] = { "kicked", END_COMPLETED, HANGUP_API },
	[ENDING_TRANSFERRED] = { "transferred", END_COMPLETED, HANGUP_PLATFORM },
	[ENDING_TRANSFER_OVER] = { "transfer_over", END_CANCELED, HANGUP_PLATFORM },
	[ENDING_TRANSFER_FAILED] = { "transfer_failed", END_NO_ANSWER, HANGUP_PLATFORM },
	[ENDING_INTERRUPTED] = { "interrupted", END_INTERRUPTED, HANGUP_PLATFORM },
};

/* Which loss says most of why nobody answered: somebody's decision before a network's failure. */
static int loss_rank(enum end_reason reason)
{
	switch (reason) {
	case END_DECLINED:
		return 9;
	case END_BUSY:
		return 8;
	case END_NO_ANSWER:
		return 7;
	case END_MEDIA_FAILED:
		return 6;
	case END_NOT_FOUND:
		return 5;
	case END_UNAVAILABLE:
		return 4;
	case END_AUTH_FAILED:
		return 3;
	case END_TRUNK_FAILED:
		return 2;
	case END_NONE:
	case END_COMPLETED:
	case END_CANCELED:
	case END_TIMEOUT:
	case END_INTERRUPTED:
		break;
	}
	return 1;
}

struct leg *call_best_loss(struct call *call)
{
	struct leg *leg, *best = NULL;

	chain_each(leg, &call->legs, in_call)
		if (leg->in_group && !leg_is_live(leg) &&
		    (!best || loss_rank(leg->end.reason) > loss_rank(best->end.reason)))
			best = leg;
	return best;
}

static enum hangup_by who(const struct leg *leg)
{
	if (!leg || !leg->end.by_far)
		return HANGUP_PLATFORM;
	return leg->is_caller ? HANGUP_CALLER : HANGUP_CALLEE;
}

void call_set_ending(struct call *call, const struct ending *ending)
{
	const struct ending_row *row = &rows[ending->cause];
	const struct leg *leg = ending->leg;

	call->end_reason = row->reason;
	if (row->reason == END_NONE)
		call->end_reason = leg && leg->end.reason ? leg->end.reason : END_COMPLETED;
	/* Two that had talked have completed their call, whatever word the last of them used; but not when
	 * it was a failure that parted them.
	 */
	if (ending->cause == ENDING_HUNG_UP && leg && leg->end.by_far &&
	    (call->end_reason == END_CANCELED || call->end_reason == END_DECLINED ||
	     call->end_reason == END_BUSY))
		call->end_reason = END_COMPLETED;
	/* Nobody took up what was still being rung for a room. */
	if (!call->answered_at &&
	    (ending->cause == ENDING_ROOM_ENDED || ending->cause == ENDING_MODERATOR_LEFT))
		call->end_reason = END_CANCELED;
	call->hangup_by = row->by ? row->by : who(leg);
	call->sip_code = reason_code(call->end_reason);
	call->q850 = reason_q850(call->end_reason);
	if (row->reason == END_NONE && leg) {
		if (leg->end.code && call->end_reason != END_COMPLETED)
			call->sip_code = leg->end.code;
		if (leg->end.q850)
			call->q850 = leg->end.q850;
	}
	log_info("call ended", LOG_ID("call", call->id), LOG_STR("cause", row->name),
		 LOG_STR("reason", end_reason_names[call->end_reason]),
		 LOG_INT("code", call->sip_code));
}
