/* Transfer by SIP. What phones ask: REFER (put somebody through), and an INVITE with Replaces (take a call over); only our
 * own users' phones are heard, since who comes through a provider must not make us dial on a stranger's order. And what we
 * ask of a far end by REFER: if it does not do it, we do.
 */
#include "call/transfer.h"

static void refuse(const struct engine_event *event, int code)
{
	channel_transfer_reply(event->channel, code);
}

static struct asker asker_of(const struct leg *leg)
{
	return (struct asker){ leg->call->tenant->id, leg->user, ASKER_AGENT };
}

static struct leg *other_of(const struct call *call, const struct leg *leg)
{
	struct leg *other = leg == call->first ? call->second : call->first;

	return leg_is_there(other) ? other : NULL;
}

/* ---- theirs, blind ---- */

static void refer_blind(struct leg *leg, const struct engine_event *event, struct leg *stays)
{
	struct transfer_wish wish = { .mode = TRANSFER_BLIND };
	struct asker asker = asker_of(leg);
	struct aim aim = { 0 };
	struct transfer *transfer;
	struct reply *no = NULL;
	bool fits = str_copy(wish.to, sizeof(wish.to), event->target);

	if (fits)
		no = aim_find(leg->call, &asker, leg, &wish, &aim);
	if (no || !fits) {
		refuse(event, no && no->code == REPLY_DESTINATION ? 403 : 603);
		reply_free(no);
		aim_release(&aim);
		return;
	}
	channel_transfer_reply(leg->channel, 0);
	transfer = transfer_prepare(leg->call, stays, leg, TRANSFER_BLIND, aim.shown);
	transfer->reports = true;
	transfer_blind(transfer, &aim);
	aim_release(&aim);
}

/* ---- theirs, attended: by the phone's own second call ---- */

static const char *shown_of(const struct leg *target)
{
	const char *number, *name;

	transfer_name(target, &number, &name);
	return number;
}

/* They talk: who stays and the target are together at once. */
static void join(struct transfer *transfer, struct call *consult, struct leg *own,
		 struct leg *target)
{
	hold_release(consult);
	consult->first = own;
	consult->second = target;
	transfer_adopt(transfer, consult);
	fsm_go(&transfer->fsm, TRANSFER_CONSULTING);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
	transfer_put_through(transfer);
}

/* It still rings: nobody waits for it any more but who stays. */
static void join_later(struct transfer *transfer, struct call *consult, struct leg *own)
{
	transfer_adopt(transfer, consult);
	consult->first = NULL;
	consult->ringback = false;
	leg_close(own, END_CANCELED, true);
	transfer_put_aside(transfer);
	transfer_ring_blind(transfer);
}

static bool is_second_call(const struct call *consult, const struct leg *own, const struct leg *leg)
{
	return consult != leg->call && leg_is_live(own) && !own->member &&
	       id_eq(own->user, leg->user) && !transfer_runs(consult) && !consult->consult_of &&
	       call_has_party(consult, own);
}

static void refer_attended(struct leg *leg, const struct engine_event *event, struct leg *stays)
{
	struct leg *own = channel_user(event->other), *target;
	struct call *consult = own ? own->call : NULL;
	struct transfer *transfer;
	bool good, up;

	good = consult && is_second_call(consult, own, leg);
	up = good && consult->fsm.state == PHASE_UP;
	target = up ? other_of(consult, own) : NULL;
	if (!good || (up && (!target || target->member)) ||
	    (!up && (consult->fsm.state != PHASE_DIAL || !call_group_live(consult)))) {
		refuse(event, 603);
		return;
	}
	channel_transfer_reply(leg->channel, 0);
	transfer = transfer_prepare(leg->call, stays, leg, TRANSFER_ATTENDED,
				    target ? shown_of(target) : consult->to);
	transfer->reports = true;
	if (up)
		join(transfer, consult, own, target);
	else
		join_later(transfer, consult, own);
}

void refer_asked(struct leg *leg, const struct engine_event *event)
{
	struct asker asker = asker_of(leg);
	struct leg *stays, *goes;
	struct reply *no;

	if (leg->kind == LEG_KIND_PROFILE || !leg_is_live(leg) || leg->call->app->draining) {
		refuse(event, 603);
		return;
	}
	no = transfer_may_start(leg->call, &asker, false, &stays, &goes);
	reply_free(no);
	stays = no ? NULL : other_of(leg->call, leg);
	if (!stays || !call_has_party(leg->call, leg))
		refuse(event, 603);
	else if (event->other)
		refer_attended(leg, event, stays);
	else
		refer_blind(leg, event, stays);
}

/* ---- ours ---- */

void transfer_refer(struct transfer *transfer, struct aim *aim)
{
	struct leg *stays = transfer->stays;

	if (aim->kind != AIM_NUMBER || stays->kind != LEG_KIND_PROFILE ||
	    !channel_transfer(stays->channel, aim->shown)) {
		transfer_blind(transfer, aim);
		return;
	}
	transfer->outbound = aim->outbound;
	aim->outbound = (struct outbound){ 0 };
	transfer_wait(transfer);
	fsm_go(&transfer->fsm, TRANSFER_REFERRED);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
}

/* Refused, or failed: then we do it. */
static void do_it_here(struct transfer *transfer)
{
	struct aim aim = { .kind = AIM_NUMBER, .outbound = transfer->outbound };

	transfer->outbound = (struct outbound){ 0 };
	transfer_start_blind(transfer, &aim);
}

static void nobody_knows(struct transfer *transfer)
{
	outbound_release(&transfer->outbound);
	if (leg_is_there(transfer->goes))
		transfer_rejoin(transfer);
	transfer_publish(transfer, EVENT_CALL_TRANSFER_UNCONFIRMED);
	if (!leg_is_there(transfer->goes)) {
		fsm_go(&transfer->fsm, TRANSFER_IDLE);
		call_finish(transfer->call, ENDING_TRANSFERRED, NULL);
	}
}

static void reported(struct transfer *transfer, const struct engine_event *report)
{
	if (!report->last)
		return;
	if (report->code >= 300) {
		do_it_here(transfer);
	} else if (report->code == 202) {
		nobody_knows(transfer);
	} else {
		outbound_release(&transfer->outbound);
		fsm_go(&transfer->fsm, TRANSFER_IDLE);
		transfer_publish(transfer, EVENT_CALL_TRANSFERRED);
		call_finish(transfer->call, ENDING_TRANSFERRED, NULL);
	}
}

/* REFER has no way back: the far end may still do it, and then hangs up as it would have. Nothing it says counts now. */
static void called_off(struct transfer *transfer)
{
	outbound_release(&transfer->outbound);
	transfer->returns = true;
	transfer->why = END_CANCELED;
	transfer_failed(transfer);
}

void referred_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct transfer *transfer = owner;

	if (event == TRANSFER_EV_REPORT) {
		reported(transfer, data);
	} else if (event == TRANSFER_EV_CANCEL) {
		called_off(transfer);
	} else if (event == TRANSFER_EV_OVER) {
		outbound_release(&transfer->outbound);
		fsm_go(fsm, TRANSFER_IDLE);
	}
}

/* ---- Replaces ---- */

static struct leg *newcomer(struct leg *old, const struct engine_event *event)
{
	struct call *call = old->call;
	struct leg *leg = leg_new(call, old->role, old->kind);

	leg->device = event->info->device_id;
	leg->user = old->user;
	leg->incoming = true;
	leg->is_caller = old->is_caller;
	leg->profile_id = old->profile_id;
	(void)str_copy(leg->address, sizeof(leg->address), old->address);
	leg_attach(leg, event->channel);
	return leg;
}

/* It answers in the place of a phone that still rings. */
static void pick_up(struct leg *old, const struct engine_event *event)
{
	struct leg *leg = newcomer(old, event), *waiting = call_waiting(old->call);

	leg->in_group = true;
	channel_answer(leg->channel, waiting ? waiting->channel : NULL);
	leg_answered(leg);
}

static void take_over(struct leg *old, const struct engine_event *event)
{
	struct call *call = old->call;
	struct leg *other = other_of(call, old), *leg;

	if (old->profile && !permit_leg(old->profile)) {
		channel_hangup(event->channel, END_BUSY, false);
		return;
	}
	leg = newcomer(old, event);
	leg->profile = old->profile; /* each has a permit of its own */
	leg->muted = old->muted;
	channel_answer(leg->channel, other ? other->channel : NULL);
	leg_answered(leg);
	hold_release(call);
	record_leave(old);
	if (call->first == old)
		call->first = leg;
	else
		call->second = leg;
	if (call->bridge) {
		bridge_add(call->bridge, leg->channel);
		channel_mute(leg->channel, leg->muted);
	}
	leg_close(old, END_COMPLETED, false);
	hold_rejoin(call);
	record_follow(call);
	monitor_follow(call);
	call_publish_leg(call, leg, "replaced");
}

static bool can_be_replaced(const struct call *call, const struct leg *leg)
{
	return call->fsm.state == PHASE_UP && call_has_party(call, leg) && other_of(call, leg) &&
	       !leg->member && !transfer_runs(call) && !call->consult_of;
}

void replaces_begin(struct call_app *app, const struct engine_event *event)
{
	const struct channel_info *info = event->info;
	struct leg *old = channel_user(event->other);
	const struct device *device = known_device(app, info->device_id);
	bool own;

	/* Its own user's other phone, or the same provider's account. */
	own = old && leg_is_live(old) &&
	      (device ? id_eq(device->user->id, old->user)
		      : old->kind == LEG_KIND_PROFILE && id_eq(info->line_id, old->profile_id));
	if (!own || app->draining)
		channel_hangup(event->channel, END_DECLINED, false);
	else if (device && old->in_group && !old->answered && !call_is_over(old->call))
		pick_up(old, event);
	else if (can_be_replaced(old->call, old))
		take_over(old, event);
	else
		channel_hangup(event->channel, END_DECLINED, false);
}
