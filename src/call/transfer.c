/* Transfers: how one begins, its machine, and the blind kind. Whoever waits hears music until the target rings and
 * ringing from then on; nothing is signalled to him, so that nothing has to be taken back.
 */
#include "call/transfer.h"

static const char *const mode_names[] = {
	[TRANSFER_BLIND] = "blind", [TRANSFER_ATTENDED] = "attended", [TRANSFER_REFER] = "refer"
};

bool transfer_runs(const struct call *call)
{
	return call->transfer && call->transfer->fsm.state != TRANSFER_IDLE;
}

struct leg *transfer_target(const struct transfer *transfer)
{
	struct leg *leg = transfer->consult ? transfer->consult->second : NULL;

	return leg_is_there(leg) && leg->answered ? leg : NULL;
}

struct leg *transfer_guest(const struct call *call)
{
	const struct transfer *transfer = call->consult_of ? call->consult_of->transfer : NULL;

	if (!transfer || transfer->fsm.state != TRANSFER_CONSULTING ||
	    !leg_is_there(transfer->goes) || call->fsm.state != PHASE_UP)
		return NULL;
	return transfer->goes;
}

void transfer_sound(struct leg *leg, int kind)
{
	struct sound_spec sound = { .kind = kind, .loop = true };

	if (!leg_is_there(leg))
		return;
	leg->sound_id = 0; /* what it listened to until now ends nothing any more */
	(void)channel_play(leg->channel, &sound);
}

/* ---- what is told ---- */

void transfer_publish(struct transfer *transfer, enum event_type type)
{
	json_t *detail =
		json_pack("{s:s, s:s}", "mode", mode_names[transfer->mode], "to", transfer->to);

	if (transfer->goes)
		json_object_set_new(detail, "leg_id", json_string(id_str(transfer->goes->id)));
	if (!id_is_none(transfer->consult_id))
		json_object_set_new(detail, "consult_call_id",
				    json_string(id_str(transfer->consult_id)));
	if (type == EVENT_CALL_TRANSFER_FAILED) {
		json_object_set_new(detail, "end_reason",
				    json_string(end_reason_names[transfer->why]));
		json_object_set_new(detail, "sip_code", json_integer(transfer->why_code));
		json_object_set_new(detail, "returning",
				    json_boolean(transfer->fsm.state == TRANSFER_RETURNING));
	}
	call_publish(transfer->call, type, detail);
}

/* By REFER: 1xx while it goes on, else the end of it. */
static void report(struct transfer *transfer, int code)
{
	if (transfer->reports && leg_is_there(transfer->goes))
		channel_transfer_progress(transfer->goes->channel, code);
}

void transfer_identify(struct transfer *transfer, struct leg *target)
{
	const char *number, *name;

	transfer_name(target, &number, &name);
	channel_identify(transfer->stays->channel, number, name);
	transfer_name(transfer->stays, &number, &name);
	channel_identify(target->channel, number, name);
}

/* ---- pieces ---- */

void transfer_put_aside(struct transfer *transfer)
{
	struct leg *goes = transfer->goes;

	if (!leg_is_there(goes))
		return;
	record_leave(goes);
	goes->role = LEG_CONSULT;
	if (transfer->call->bridge)
		bridge_remove(transfer->call->bridge, goes->channel);
	monitor_follow(transfer->call);
}

void transfer_let_go(struct transfer *transfer)
{
	if (transfer->goes)
		leg_close(transfer->goes, END_COMPLETED, false);
}

static struct bridge *bridge_want(struct call *call)
{
	if (!call->bridge)
		call->bridge = bridge_new(call->app->engine);
	call->bridged = true;
	return call->bridge;
}

/* The two of the call hear each other, and are the ones it is about. */
static void pair(struct transfer *transfer, struct leg *with)
{
	struct call *call = transfer->call;
	struct bridge *bridge = bridge_want(call);

	if (call->first != transfer->stays)
		call->first = with;
	else
		call->second = with;
	channel_play_stop(transfer->stays->channel);
	channel_play_stop(with->channel);
	bridge_add(bridge, transfer->stays->channel);
	bridge_add(bridge, with->channel);
	bridge_hear(bridge, with->channel, transfer->stays->channel, true);
	bridge_hear(bridge, transfer->stays->channel, with->channel, true);
	record_follow(call);
	monitor_follow(call);
}

void transfer_rejoin(struct transfer *transfer)
{
	struct leg *goes = transfer->goes;

	record_leave(goes);
	goes->role = transfer->goes_role;
	pair(transfer, goes);
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	hold_rejoin(transfer->call);
}

static void give_seat(struct seat *seat, struct call *call, struct user *user)
{
	if (seat->user) {
		chain_remove(&seat->user->seats, &seat->in_user);
		user_unref(call->app, seat->user);
	}
	seat->user = user_ref(user);
	seat->call = call;
	chain_append(&user->seats, &seat->in_user);
}

/* The call is now that of the colleague it was put through to; somebody outside leaves it with whose it was. */
static void hand_over(struct call *call, struct id from, struct id to)
{
	struct user *user = known_user(call->app, to);
	struct seat *seats = call->seats;

	if (!user || seats[0].user == user || seats[1].user == user)
		return;
	if (seats[0].user && id_eq(seats[0].user->id, from))
		give_seat(&seats[0], call, user);
	else
		give_seat(&seats[1], call, user);
	call_publish(call, EVENT_CALL_UPDATED, json_pack("{s:s}", "what", "handed_over"));
}

void transfer_put_through(struct transfer *transfer)
{
	struct call *call = transfer->call, *consult = transfer->consult;
	struct leg *goes = transfer->goes, *target = transfer_target(transfer), *leg;
	struct id from = goes ? goes->user : ID_NONE;

	if (!consult->answered_at)
		consult->answered_at = wheel_wall_us(call->app->wheel);
	hold_release(call);
	hold_alone(target, false);
	leg = leg_move(target, call, transfer->goes_role);
	leg->is_caller = goes && goes->is_caller;
	pair(transfer, leg);
	call->transferred_to = consult->id;
	report(transfer, 200);
	transfer_let_go(transfer);
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	hold_rejoin(call);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRED);
	transfer_identify(transfer, leg);
	transfer->consult = NULL;
	consult->consult_of = NULL;
	call_finish(consult, ENDING_TRANSFERRED, NULL);
	hand_over(call, from, leg->user);
}

void transfer_drop_consult(struct transfer *transfer)
{
	if (transfer->consult)
		call_finish(transfer->consult, ENDING_TRANSFER_OVER, NULL);
}

/* ---- it fails ---- */

/* As somebody who is called: at the same phone if it is still there, else at any. */
static unsigned ring_again(struct transfer *transfer)
{
	struct call *call = transfer->call;
	const struct leg *goes = transfer->goes;
	struct device *device = known_device(call->app, goes->device);
	struct user *user = known_user(call->app, goes->user);
	struct profile *profile;
	struct outbound outbound = { 0 };

	if (device && party_device(call, device, transfer->goes_role))
		return 1;
	if (user)
		return party_user(call, user, transfer->goes_role, ID_NONE);
	profile = goes->outbound ? known_profile(call->app, goes->profile_id) : NULL;
	if (!profile ||
	    outbound_admit(call->app, profile, goes->address, OUTBOUND_BY_USER, &outbound))
		return 0;
	return !party_number(call, &outbound, transfer->goes_role);
}

void transfer_failed(struct transfer *transfer)
{
	struct call *call = transfer->call;

	report(transfer, transfer->why_code >= 300 ? transfer->why_code : 480);
	if (leg_is_there(transfer->goes)) {
		transfer_rejoin(transfer);
		transfer_publish(transfer, EVENT_CALL_TRANSFER_FAILED);
		return;
	}
	if (transfer->returns && transfer->goes) {
		transfer_sound(transfer->stays, SOUND_RINGBACK);
		fsm_go(&transfer->fsm, TRANSFER_RETURNING);
		transfer_publish(transfer, EVENT_CALL_TRANSFER_FAILED);
		if (ring_again(transfer))
			return;
	} else {
		transfer_publish(transfer, EVENT_CALL_TRANSFER_FAILED);
	}
	call_finish(call, ENDING_TRANSFER_FAILED, NULL);
}

/* ---- blind ---- */

static void target_rings(struct transfer *transfer)
{
	if (transfer->fsm.state == TRANSFER_CALLING) {
		fsm_go(&transfer->fsm, TRANSFER_RINGING);
		transfer_sound(transfer->stays, SOUND_RINGBACK);
	}
	report(transfer, 180);
	/* By REFER, the phone says itself when it has heard enough. */
	if (!transfer->reports)
		transfer_let_go(transfer);
}

static void blind_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct transfer *transfer = owner;

	(void)data;
	switch (event) {
	case TRANSFER_EV_RINGS:
	case TRANSFER_EV_EARLY:
		target_rings(transfer);
		break;
	case TRANSFER_EV_ANSWERED:
		transfer_put_through(transfer);
		break;
	case TRANSFER_EV_LOST:
		transfer_failed(transfer);
		break;
	case TRANSFER_EV_CANCEL:
		transfer->returns = true;
		transfer_drop_consult(transfer);
		break;
	case TRANSFER_EV_OVER:
		fsm_go(fsm, TRANSFER_IDLE);
		transfer_drop_consult(transfer);
		break;
	default: /* LEFT: he need not wait */
		break;
	}
}

void transfer_start_blind(struct transfer *transfer, struct aim *aim)
{
	struct call *consult = target_call(transfer, aim);

	fsm_go(&transfer->fsm, TRANSFER_CALLING);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
	if (transfer->now)
		transfer_let_go(transfer);
	target_begin(consult);
}

void transfer_wait(struct transfer *transfer)
{
	hold_release(transfer->call);
	transfer_put_aside(transfer);
	transfer_sound(transfer->goes, SOUND_SILENCE);
	transfer_sound(transfer->stays, SOUND_MUSIC);
}

void transfer_blind(struct transfer *transfer, struct aim *aim)
{
	transfer_wait(transfer);
	transfer_start_blind(transfer, aim);
}

void transfer_ring_blind(struct transfer *transfer)
{
	struct call *consult = transfer->consult;
	bool rings = consult->shown != CALL_DIALING;

	transfer->ring_ms = TRANSFER_RING_MS;
	fsm_deadline(&consult->fsm, transfer->ring_ms);
	hold_release(transfer->call);
	fsm_go(&transfer->fsm, rings ? TRANSFER_RINGING : TRANSFER_CALLING);
	transfer_sound(transfer->stays, rings ? SOUND_RINGBACK : SOUND_MUSIC);
	transfer_publish(transfer, EVENT_CALL_TRANSFERRING);
}

/* ---- back ---- */

static void back(struct transfer *transfer, struct leg *leg)
{
	call_group_settled(transfer->call, leg);
	leg->is_caller = transfer->goes->is_caller;
	pair(transfer, leg);
	fsm_go(&transfer->fsm, TRANSFER_IDLE);
	hold_rejoin(transfer->call);
	call_publish_leg(transfer->call, leg, "returned");
}

static void returning_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct transfer *transfer = owner;

	switch (event) {
	case TRANSFER_EV_BACK:
		back(transfer, data);
		break;
	case TRANSFER_EV_NOBODY:
	case TRANSFER_EV_TIMEOUT:
		call_finish(transfer->call, ENDING_TRANSFER_FAILED, NULL);
		break;
	case TRANSFER_EV_OVER:
		fsm_go(fsm, TRANSFER_IDLE);
		break;
	default:
		break;
	}
}

/* ---- the machine ---- */

#define B(event) FSM_BIT(TRANSFER_EV_##event)
#define ST(state) FSM_BIT(TRANSFER_##state)
#define TARGET (B(RINGS) | B(EARLY) | B(ANSWERED) | B(LOST) | B(LEFT) | B(OVER))
static const struct fsm_state states[] = {
	[TRANSFER_IDLE] = {
		.name = "IDLE",
		.leads_to = ST(CALLING) | ST(RINGING) | ST(CONSULTING) | ST(REFERRED),
	},
	[TRANSFER_CALLING] = {
		.name = "CALLING",
		.accepts = TARGET | B(CANCEL),
		.leads_to = ST(RINGING) | ST(RETURNING) | ST(IDLE),
		.handle = blind_handle,
	},
	[TRANSFER_RINGING] = {
		.name = "RINGING",
		.accepts = TARGET | B(CANCEL),
		.leads_to = ST(RETURNING) | ST(IDLE),
		.handle = blind_handle,
	},
	[TRANSFER_CONSULTING] = {
		.name = "CONSULTING",
		.accepts = TARGET | B(COMPLETE) | B(CANCEL) | B(SWAP) | B(CONFERENCE),
		.leads_to = ST(CALLING) | ST(RINGING) | ST(SWAPPED) | ST(IDLE),
		.handle = consult_handle,
	},
	[TRANSFER_SWAPPED] = {
		.name = "SWAPPED",
		.accepts = TARGET | B(COMPLETE) | B(CANCEL) | B(SWAP) | B(CONFERENCE),
		.leads_to = ST(CONSULTING) | ST(IDLE),
		.handle = swapped_handle,
	},
	[TRANSFER_REFERRED] = {
		.name = "REFERRED",
		.accepts = B(REPORT) | B(LEFT) | B(CANCEL) | B(OVER),
		.leads_to = ST(CALLING) | ST(RETURNING) | ST(IDLE),
		.handle = referred_handle,
	},
	[TRANSFER_RETURNING] = {
		.name = "RETURNING",
		.timeout_ms = TRANSFER_RING_MS,
		.accepts = B(TIMEOUT) | B(BACK) | B(NOBODY) | B(LEFT) | B(OVER),
		.leads_to = ST(IDLE),
		.handle = returning_handle,
	},
};
static const char *const event_names[] = { "timeout", "rings",	    "early",	"answered",
					   "lost",    "left",	    "complete", "cancel",
					   "swap",    "conference", "report",	"back",
					   "nobody",  "over",	    NULL };
static const struct fsm_table table = { "transfer", states, ARRAY_LEN(states), event_names };
FSM_REGISTER(table);

void transfer_send(struct transfer *transfer, enum transfer_event event, void *data)
{
	fsm_send(&transfer->fsm, (int)event, data);
}

bool transfer_accepts(const struct transfer *transfer, enum transfer_event event)
{
	return states[transfer->fsm.state].accepts & FSM_BIT(event);
}

void transfer_adopt(struct transfer *transfer, struct call *consult)
{
	transfer->consult = consult;
	transfer->consult_id = consult->id;
	consult->consult_of = transfer->call;
	consult->transferred_from = transfer->call->id;
}

/* ---- from the calls ---- */

static struct transfer *of_consult(const struct call *consult)
{
	return consult->consult_of ? consult->consult_of->transfer : NULL;
}

void transfer_rings(struct call *consult)
{
	struct transfer *transfer = of_consult(consult);

	if (transfer)
		transfer_send(transfer, TRANSFER_EV_RINGS, NULL);
}

void transfer_early(struct call *consult, struct leg *leg)
{
	struct transfer *transfer = of_consult(consult);

	if (transfer)
		transfer_send(transfer, TRANSFER_EV_EARLY, leg);
}

void transfer_answered(struct call *consult)
{
	transfer_send(of_consult(consult), TRANSFER_EV_ANSWERED, NULL);
}

bool transfer_lost(struct call *call, struct leg *leg)
{
	struct transfer *transfer = call->transfer;

	if (!transfer_runs(call))
		return false;
	if (leg == transfer->goes) {
		transfer_send(transfer, TRANSFER_EV_LEFT, NULL);
		return true;
	}
	if (leg->in_group && transfer->fsm.state == TRANSFER_RETURNING && !call_group_live(call))
		transfer_send(transfer, TRANSFER_EV_NOBODY, NULL);
	return leg->in_group;
}

bool transfer_left(struct call *call, struct leg *leg)
{
	if (!transfer_runs(call) || leg != call->transfer->goes)
		return false;
	transfer_send(call->transfer, TRANSFER_EV_LEFT, NULL);
	return true;
}

void transfer_recalled(struct call *call, struct leg *leg)
{
	if (transfer_runs(call) && call->transfer->fsm.state == TRANSFER_RETURNING)
		transfer_send(call->transfer, TRANSFER_EV_BACK, leg);
}

void transfer_asked_far(struct leg *leg, const struct engine_event *event)
{
	struct transfer *transfer = leg->call->transfer;

	if (transfer_runs(leg->call) && transfer->fsm.state == TRANSFER_REFERRED &&
	    leg == transfer->stays)
		transfer_send(transfer, TRANSFER_EV_REPORT, (void *)(uintptr_t)event);
}

void transfer_over(struct call *call)
{
	if (transfer_runs(call))
		transfer_send(call->transfer, TRANSFER_EV_OVER, NULL);
}

void transfer_target_over(struct call *consult)
{
	struct transfer *transfer = of_consult(consult);

	if (!transfer)
		return;
	consult->consult_of = NULL;
	transfer->consult = NULL;
	transfer->why = consult->end_reason;
	transfer->why_code = consult->sip_code;
	if (transfer->fsm.state != TRANSFER_IDLE)
		transfer_send(transfer, TRANSFER_EV_LOST, NULL);
}

void transfer_forget(struct call *call)
{
	struct transfer *transfer = call->transfer;

	if (call->consult_of && call->consult_of->transfer)
		call->consult_of->transfer->consult = NULL;
	if (!transfer)
		return;
	if (transfer->consult)
		transfer->consult->consult_of = NULL;
	outbound_release(&transfer->outbound);
	fsm_fini(&transfer->fsm);
	free(transfer);
}

struct transfer *transfer_prepare(struct call *call, struct leg *stays, struct leg *goes,
				  enum transfer_mode mode, const char *to)
{
	struct transfer *transfer = call->transfer;

	recall_end(call);
	if (!transfer) {
		transfer = call->transfer = xzalloc(sizeof(*transfer));
		transfer->call = call;
		fsm_init(&transfer->fsm, &table, transfer, call->app->wheel, TRANSFER_IDLE);
	}
	transfer->stays = stays;
	transfer->goes = goes;
	transfer->goes_role = goes ? goes->role : LEG_AGENT;
	transfer->mode = mode;
	transfer->by = goes ? goes->user : ID_NONE;
	transfer->ring_ms = TRANSFER_RING_MS;
	transfer->returns = true;
	transfer->now = transfer->reports = false;
	transfer->consult_id = ID_NONE;
	transfer->why = END_NONE;
	transfer->why_code = 0;
	(void)str_copy(transfer->to, sizeof(transfer->to), to);
	return transfer;
}
