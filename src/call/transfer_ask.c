/* transfer-call: what the API asks of transfers. */
#include "call/room.h"
#include "call/transfer.h"

static struct reply *not_now(const struct call *call, const char *detail)
{
	return reply_wrong_state(call_state_names[call_shown(call)], detail);
}

static struct reply *reply_transfer(struct call *call, const struct call *consult)
{
	struct reply *reply = reply_call(call);

	if (consult)
		reply->consult_id = consult->id;
	return reply;
}

/* ---- to begin ---- */

struct reply *transfer_may_start(struct call *call, const struct asker *asker, bool alone,
				 struct leg **ret_stays, struct leg **ret_goes)
{
	struct leg *stays, *goes;

	if (call->fsm.state != PHASE_UP || call->conducts)
		return not_now(call, "Only a call that is up can be transferred.");
	if (transfer_runs(call) || call->consult_of)
		return not_now(call, "The call is being transferred already.");
	/* Whoever was rung again, and the target, must find a place. */
	if (call->legs.count + CALL_LEGS_MAX > CALL_LEGS_ALL)
		return reply_error(REPLY_LIMIT, NULL,
				   "The call has been transferred too often already.");
	stays = leg_far(call, asker);
	goes = stays == call->first ? call->second : call->first;
	goes = leg_is_there(goes) ? goes : NULL;
	if (!stays || stays->member || stays->after_sound || (goes && goes->member))
		return not_now(call, "Only a call of two can be transferred.");
	if (!goes && !alone)
		return not_now(call, "Nobody is there who could talk to the target first.");
	*ret_stays = stays;
	*ret_goes = goes;
	return NULL;
}

void transfer_at_once(struct transfer *transfer, const struct aim *aim, const struct asker *asker)
{
	struct call *call = transfer->call;
	struct leg *stays = transfer->stays;

	hold_release(call);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
	transfer_let_go(transfer);
	if (call->first == stays)
		call->second = NULL;
	else
		call->first = NULL;
	monitor_bridge_goes(call);
	if (call->bridge)
		bridge_free(take(call->bridge));
	call->bridged = false;
	stays->sound_id = 0;
	if (aim->kind == AIM_ROOM) {
		room_expect(call, aim->connect->number, asker->user, asker);
		transfer_publish(transfer, EVENT_CALL_TRANSFERRED);
		room_receive(call, stays);
	} else {
		plan_set(&call->plan, aim->connect);
		party_sound(call, stays);
		monitor_follow(call);
		transfer_publish(transfer, EVENT_CALL_TRANSFERRED);
	}
}

/* The target is rung in a call of its own, which counts as one. */
static struct reply *room_for_another(struct call *call)
{
	if (!permit_call(call->app, call->tenant))
		return permit_refusal();
	permit_call_end(call->tenant);
	return NULL;
}

static bool needs_no_answer(const struct aim *aim)
{
	return aim->kind == AIM_ROOM || aim->kind == AIM_SOUND;
}

static struct reply *check(struct call *call, const struct transfer_wish *wish,
			   const struct aim *aim)
{
	if (needs_no_answer(aim))
		return wish->mode == TRANSFER_ATTENDED
			       ? reply_error(REPLY_INVALID, "connect",
					     "Nobody is there whom one could talk to first.")
			       : NULL;
	return room_for_another(call);
}

static struct reply *start(struct call *call, const struct asker *asker,
			   const struct transfer_wish *wish)
{
	struct leg *stays, *goes;
	struct aim aim = { 0 };
	struct transfer *transfer;
	struct reply *no =
		transfer_may_start(call, asker, wish->mode != TRANSFER_ATTENDED, &stays, &goes);

	if (!no)
		no = aim_find(call, asker, goes, wish, &aim);
	if (!no)
		no = check(call, wish, &aim);
	if (no) {
		aim_release(&aim);
		return no;
	}
	transfer = transfer_prepare(call, stays, goes, wish->mode, aim.shown);
	transfer->returns = !wish->hangup_on_fail;
	transfer->now = wish->release_now;
	if (wish->mode == TRANSFER_ATTENDED)
		transfer->ring_ms = (unsigned)call->app->limits.ring_timeout_s * 1000;
	if (wish->ring_timeout_s > 0)
		transfer->ring_ms = (unsigned)wish->ring_timeout_s * 1000;
	if (transfer->ring_ms > CALL_SETUP_MS)
		transfer->ring_ms = CALL_SETUP_MS;
	if (needs_no_answer(&aim))
		transfer_at_once(transfer, &aim, asker);
	else if (wish->mode == TRANSFER_ATTENDED)
		transfer_consult(transfer, &aim);
	else if (wish->mode == TRANSFER_REFER)
		transfer_refer(transfer, &aim);
	else
		transfer_blind(transfer, &aim);
	aim_release(&aim);
	return reply_transfer(call, wish->mode == TRANSFER_ATTENDED ? transfer->consult : NULL);
}

/* ---- to go on ---- */

static struct reply *find_room(struct call *call, const struct asker *asker, const char *name,
			       struct room **ret_room)
{
	struct reply *no = name[0] ? room_refusal(call->app, call->tenant, name) : NULL;
	struct room *room;

	if (no)
		return no;
	room = name[0] ? room_want(call->app, call->tenant, name, asker->user)
		       : room_want_any(call->app, call->tenant, asker->user);
	if (!room)
		return reply_error(REPLY_LIMIT, NULL, "There are as many rooms as there may be.");
	if (room_admits(room, 3))
		return reply_error(REPLY_ROOM_FULL, NULL, "The room has no place for all three.");
	if (room->set.pin[0] && asker->role != ASKER_ADMIN && !id_eq(room->created_by, asker->user))
		return reply_error(REPLY_WRONG_PIN, NULL,
				   "Only its moderators can bring others in.");
	*ret_room = room;
	return NULL;
}

static struct reply *meet(struct call *call, const struct asker *asker,
			  const struct transfer_wish *wish)
{
	struct transfer_meeting meeting = { 0 };
	struct reply *no = find_room(call, asker, wish->room, &meeting.room);

	if (no)
		return no;
	transfer_send(call->transfer, TRANSFER_EV_CONFERENCE, &meeting);
	return reply_call(call);
}

static struct reply *go_on(struct call *call, const struct asker *asker,
			   const struct transfer_wish *wish)
{
	static const enum transfer_event events[] = {
		[TRANSFER_COMPLETE] = TRANSFER_EV_COMPLETE,
		[TRANSFER_CANCEL] = TRANSFER_EV_CANCEL,
		[TRANSFER_SWAP] = TRANSFER_EV_SWAP,
		[TRANSFER_CONFERENCE] = TRANSFER_EV_CONFERENCE,
	};
	enum transfer_event event = events[wish->action];

	if (!transfer_runs(call) || !transfer_accepts(call->transfer, event))
		return not_now(
			call,
			"No transfer is under way that this could be done with: begin one with to and mode.");
	if ((event == TRANSFER_EV_SWAP || event == TRANSFER_EV_CONFERENCE) &&
	    !transfer_target(call->transfer))
		return not_now(call, "The target has not answered yet.");
	if (event == TRANSFER_EV_CONFERENCE)
		return meet(call, asker, wish);
	transfer_send(call->transfer, event, NULL);
	return reply_transfer(call, call->transfer->consult);
}

struct reply *do_transfer_call(struct call_app *app, struct command *command)
{
	const struct transfer_wish *wish = command->body;
	const struct asker *asker = &command->asker;
	struct call *call;
	struct reply *no = call_for(app, command, &call);

	if (no)
		return no;
	if (wish->action != TRANSFER_START) {
		/* The consult's id will do as well. */
		if (call->consult_of && call_may_touch(call->consult_of, asker))
			call = call->consult_of;
		return go_on(call, asker, wish);
	}
	return app->draining ? reply_new(REPLY_DRAINING) : start(call, asker, wish);
}
