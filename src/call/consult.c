/* Attended transfer: who transfers talks to the target first. He stays on his one channel: his phone needs to know nothing
 * of it. Whom he does not talk to is on hold. Hanging up completes it, as it does on a phone's own keys.
 */
#include "call/room.h"
#include "call/transfer.h"

/* He and the target hear each other; before the answer he hears, and is not heard. */
static void talk_to_target(struct transfer *transfer, struct leg *target, bool both_ways)
{
	struct call *consult = transfer->consult;
	struct channel *goes = transfer->goes->channel;

	if (!consult->bridge)
		consult->bridge = bridge_new(consult->app->engine);
	channel_play_stop(goes);
	bridge_add(consult->bridge, goes);
	bridge_add(consult->bridge, target->channel);
	bridge_hear(consult->bridge, goes, target->channel, true);
	bridge_hear(consult->bridge, target->channel, goes, both_ways);
}

void transfer_consult(struct transfer *transfer, struct aim *aim)
{
	struct call *consult;

	hold_set(transfer->call, transfer->goes, true);
	transfer_put_aside(transfer);
	consult = target_call(transfer, aim);
	fsm_go(&transfer->fsm, TRANSFER_CONSULTING);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
	target_begin(consult);
}

/* He talks to who stays again. */
static void talk_back(struct transfer *transfer)
{
	struct call *call = transfer->call;
	struct leg *goes = transfer->goes;

	record_leave(goes);
	goes->role = transfer->goes_role;
	channel_play_stop(goes->channel);
	if (call->bridge)
		bridge_add(call->bridge, goes->channel);
	hold_set(call, goes, false);
	record_follow(call);
	monitor_follow(call);
}

/* The target has gone: back as it was. */
static void target_lost(struct transfer *transfer)
{
	if (transfer->fsm.state == TRANSFER_CONSULTING)
		talk_back(transfer);
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	hold_rejoin(transfer->call);
	transfer_publish(transfer, EVENT_CALL_TRANSFER_FAILED);
}

/* Before the target has answered this makes it a blind one. */
static void complete(struct transfer *transfer)
{
	if (transfer_target(transfer)) {
		transfer_put_through(transfer);
		return;
	}
	transfer_ring_blind(transfer);
	transfer_let_go(transfer);
}

/* Who stayed has hung up: he and the target go on in the consult, as a call like any other. */
static void keep_consult(struct transfer *transfer)
{
	struct call *consult = transfer->consult;
	struct leg *target = transfer_target(transfer), *leg;
	bool rings = consult->shown == CALL_RINGING;

	consult->consult_of = NULL;
	transfer->consult = NULL;
	leg = leg_move(transfer->goes, consult, LEG_AGENT);
	leg->is_caller = true;
	leg->on_hold = false;
	consult->first = leg;
	if (!target) {
		consult->ringback = rings; /* that is what he hears */
		call_publish_leg(consult, leg, "joined");
		return;
	}
	hold_alone(target, false);
	channel_play_stop(leg->channel);
	bridge_add(consult->bridge, leg->channel);
	bridge_hear(consult->bridge, leg->channel, target->channel, true);
	bridge_hear(consult->bridge, target->channel, leg->channel, true);
	consult->bridged = true;
	call_publish_leg(consult, leg, "joined");
	hold_begin(consult); /* his phone may hold */
	record_follow(consult);
	monitor_follow(consult);
}

static void over(struct transfer *transfer)
{
	if (leg_is_there(transfer->goes))
		keep_consult(transfer);
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	transfer_drop_consult(transfer);
}

/* All three meet: nobody is transferred any more. */
static void meet(struct transfer *transfer, const struct transfer_meeting *meeting)
{
	struct call *call = transfer->call, *consult = transfer->consult;

	if (transfer->fsm.state == TRANSFER_CONSULTING)
		talk_back(transfer);
	hold_alone(transfer_target(transfer), false);
	consult->consult_of = NULL;
	transfer->consult = NULL;
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	(void)room_take_call(meeting->room, call);
	(void)room_take_call(meeting->room, consult);
	record_follow(call);
	record_follow(consult);
}

static void swap_to_stays(struct transfer *transfer)
{
	hold_alone(transfer_target(transfer), true);
	talk_back(transfer);
	fsm_go(&transfer->fsm, TRANSFER_SWAPPED);
}

static void swap_to_target(struct transfer *transfer)
{
	hold_set(transfer->call, transfer->goes, true);
	transfer_put_aside(transfer);
	hold_alone(transfer_target(transfer), false);
	talk_to_target(transfer, transfer_target(transfer), true);
	fsm_go(&transfer->fsm, TRANSFER_CONSULTING);
	record_follow(transfer->consult);
}

static void either_handle(struct fsm *fsm, struct transfer *transfer, int event, void *data)
{
	(void)fsm;
	switch (event) {
	case TRANSFER_EV_LOST:
		target_lost(transfer);
		break;
	case TRANSFER_EV_LEFT:
	case TRANSFER_EV_COMPLETE:
		complete(transfer);
		break;
	case TRANSFER_EV_CANCEL:
		transfer_drop_consult(transfer);
		break;
	case TRANSFER_EV_CONFERENCE:
		meet(transfer, data);
		break;
	case TRANSFER_EV_OVER:
		over(transfer);
		break;
	default:
		break;
	}
}

void consult_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct transfer *transfer = owner;
	struct leg *leg = data;

	switch (event) {
	case TRANSFER_EV_RINGS:
		if (transfer->consult->shown == CALL_DIALING) /* said again, it goes on */
			transfer_sound(transfer->goes, SOUND_RINGBACK);
		break;
	case TRANSFER_EV_EARLY:
		if (leg->kind == LEG_KIND_PROFILE)
			talk_to_target(transfer, leg, false);
		break;
	case TRANSFER_EV_ANSWERED:
		talk_to_target(transfer, transfer_target(transfer), true);
		call_up(transfer->consult);
		break;
	case TRANSFER_EV_SWAP:
		swap_to_stays(transfer);
		break;
	default:
		either_handle(fsm, transfer, event, data);
		break;
	}
}

void swapped_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct transfer *transfer = owner;

	if (event == TRANSFER_EV_SWAP)
		swap_to_target(transfer);
	else
		either_handle(fsm, transfer, event, data);
}
