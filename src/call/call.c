/* A call: its table, its machine, and what happens to its parties at each step.
 *
 * GATHER rings whoever shall be the first party (click-to-call), DIAL the second one; UP is a conversation, or
 * a party and a sound. CLEARING waits for the channels to be gone: the call is over for everybody else.
 */
#include "call/private.h"

/* Kept a little after its end, so that who asks at once does not have to wait for the journal. */
#define KEEP_MS 2000

static const char *const call_events[] = { "timeout",  "start",	  "ringing", "early",
					   "answered", "lost",	  "hold",    "played",
					   "connect",  "cleared", "hangup",  NULL };

bool call_is_over(const struct call *call)
{
	return call->fsm.state >= PHASE_CLEARING;
}

bool call_has_party(const struct call *call, const struct leg *leg)
{
	return leg && (leg == call->first || leg == call->second);
}

/* ---- sound between the parties ---- */

static void ringback_stop(struct call *call)
{
	if (call->ringback && call->first->channel)
		channel_play_stop(call->first->channel);
	call->ringback = false;
}

static void ringback_start(struct call *call)
{
	struct sound_spec ringing = { .kind = SOUND_RINGBACK, .loop = true };

	if (call->ringback || call->bridged)
		return;
	call->ringback = true;
	(void)channel_play(call->first->channel, &ringing);
}

/* Before the answer the caller hears the far end, and is not heard (RFC 3960 3.1). */
static void bridge_parties(struct call *call, struct leg *second, bool both_ways)
{
	if (!call->bridge)
		call->bridge = bridge_new(call->app->engine);
	ringback_stop(call);
	bridge_add(call->bridge, call->first->channel);
	bridge_add(call->bridge, second->channel);
	bridge_hear(call->bridge, second->channel, call->first->channel, both_ways);
	call->bridged = true;
}

/* ---- steps ---- */

static void show(struct call *call, enum call_state state, enum event_type event)
{
	if (call->shown == state)
		return;
	call->shown = state;
	if (!call->ringing_at)
		call->ringing_at = wheel_wall_us(call->app->wheel);
	call_publish(call, event, NULL);
}

static void second_rings(struct call *call)
{
	struct leg *first = call->first;

	transfer_rings(call);
	if (call->shown == CALL_EARLY_MEDIA)
		return; /* a ringing signal does not stop sound that is already there */
	if (first && !first->answered)
		channel_ring(first->channel);
	else if (first)
		ringback_start(call);
	show(call, CALL_RINGING, EVENT_CALL_RINGING);
}

static void second_is_early(struct call *call, struct leg *leg)
{
	struct leg *first = call->first;

	transfer_early(call, leg);
	/* Of several phones that ring at once none is to be heard before it answers. */
	if (leg->kind == LEG_KIND_PROFILE && first) {
		bridge_parties(call, leg, false);
		if (!first->answered)
			channel_progress(first->channel);
	}
	show(call, CALL_EARLY_MEDIA, EVENT_CALL_EARLY_MEDIA);
}

void call_drop_group(struct call *call, const struct leg *winner, enum end_reason reason,
		     bool elsewhere)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg->in_group && leg != winner)
			leg_close(leg, reason, elsewhere);
}

unsigned call_group_live(const struct call *call)
{
	struct leg *leg;
	unsigned live = 0;

	chain_each(leg, &call->legs, in_call)
		live += leg->in_group && leg_is_live(leg);
	return live;
}

void call_group_settled(struct call *call, const struct leg *winner)
{
	struct leg *leg;

	call_drop_group(call, winner, END_CANCELED, true);
	chain_each(leg, &call->legs, in_call)
		leg->in_group = false;
}

void call_gather(struct call *call)
{
	fsm_go(&call->fsm, PHASE_GATHER);
	fsm_deadline(&call->fsm, call->ring_timeout_ms);
}

void call_dial(struct call *call)
{
	fsm_go(&call->fsm, PHASE_DIAL);
	fsm_deadline(&call->fsm, call->ring_timeout_ms);
}

void call_up(struct call *call)
{
	struct leg *first = call->first, *second = call->second;

	if (first && !first->answered) {
		channel_answer(first->channel, second ? second->channel : NULL);
		leg_answered(first);
	}
	if (first && second)
		bridge_parties(call, second, true);
	if (call->plan.kind && call->plan.kind != PLAN_ROOM)
		party_sound(call, first ? first : second);
	call->answered_at = wheel_wall_us(call->app->wheel);
	fsm_go(&call->fsm, PHASE_UP);
	fsm_deadline(&call->fsm, call->max_duration_ms);
	if (!call->ringing_at)
		call->ringing_at = call->answered_at;
	call->shown = CALL_ANSWERED;
	call_publish(call, EVENT_CALL_ANSWERED, NULL);
	if (call->record || (call->profile && call->profile->spec->record == RECORD_ALWAYS))
		record_start(call, true);
	hold_begin(call);
	if (call->plan.kind == PLAN_ROOM)
		room_receive(call, first ? first : second);
	else if (call->supervises)
		monitor_answered(call);
	else
		monitors_next_call(call);
}

static enum end_reason reason_for(const struct call *call, const struct leg *leg)
{
	if (leg->answered)
		return END_COMPLETED;
	if (!leg->incoming)
		return END_CANCELED;
	/* Our own trouble must not look like a broken gateway to a provider: it would stop sending calls. */
	if (call->end_reason == END_TRUNK_FAILED || call->end_reason == END_AUTH_FAILED ||
	    call->end_reason == END_INTERRUPTED || call->end_reason == END_COMPLETED ||
	    call->end_reason == END_CANCELED)
		return END_UNAVAILABLE;
	return call->end_reason;
}

static void leave_lists(struct call *call)
{
	chain_remove(&call->tenant->calls, &call->in_tenant);
	if (call->profile)
		chain_remove(&call->profile->calls, &call->in_profile);
	for (unsigned i = 0; i < ARRAY_LEN(call->seats); i++)
		if (call->seats[i].user)
			chain_remove(&call->seats[i].user->seats, &call->seats[i].in_user);
}

void call_finish(struct call *call, enum ending_cause cause, struct leg *leg)
{
	struct leg *each;

	if (call_is_over(call))
		return;
	transfer_over(call);
	record_stop(call);
	chain_each(each, &call->legs, in_call)
		digits_abandon(each);
	call->ended_at = wheel_wall_us(call->app->wheel);
	hold_settle(call);
	call_set_ending(call, &(struct ending){ cause, leg });
	monitors_call_over(call);
	if (call->supervises)
		monitor_lost(call);
	call->shown = CALL_ENDED;
	if (call->expected_in)
		room_failed(call);
	timer_stop(&call->budget);
	outbound_release(&call->next);
	leave_lists(call);
	chain_each(each, &call->legs, in_call) {
		room_leave(each);
		leg_close(each, reason_for(call, each), false);
	}
	if (call->conducts)
		room_ended(call);
	if (call->bridge)
		bridge_free(take(call->bridge));
	fsm_go(&call->fsm, PHASE_CLEARING);
	call_publish(call, EVENT_CALL_ENDED, NULL);
	if (!call->channels)
		fsm_go(&call->fsm, PHASE_DONE);
	transfer_target_over(call);
}

/* ---- the machine ---- */

static void new_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	void (**begin)(struct call * call) = data;

	(void)fsm;
	if (event == CALL_EV_START)
		(*begin)(owner);
	else
		call_finish(owner, ENDING_INTERRUPTED, NULL);
}

/* What ends a call in every phase. */
static void may_end(struct call *call, int event, const struct ending *ending,
		    enum ending_cause of_time)
{
	if (event == CALL_EV_TIMEOUT)
		call_finish(call, of_time, NULL);
	else if (event == CALL_EV_HANGUP)
		call_finish(call, ending->cause, ending->leg);
}

static void gather_answered(struct call *call, struct leg *leg)
{
	call->first = leg;
	leg->is_caller = true;
	call_group_settled(call, leg);
	call_dial(call);
	call_dial_out(call, &call->next, LEG_REMOTE);
}

static void gather_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct call *call = owner;

	(void)fsm;
	switch (event) {
	case CALL_EV_RINGING:
	case CALL_EV_EARLY:
		call_publish_leg(call, data, "leg_ringing");
		break;
	case CALL_EV_ANSWERED:
		gather_answered(call, data);
		break;
	case CALL_EV_LOST:
		if (!call_group_live(call))
			call_finish(call, ENDING_FIRST_LOST, call_best_loss(call));
		break;
	default:
		may_end(call, event, data, ENDING_RING_TIMEOUT);
		break;
	}
}

static void dial_lost(struct call *call, struct leg *leg)
{
	if (leg == call->first)
		call_finish(call, leg->end.by_far ? ENDING_CALLER_LEFT : ENDING_HUNG_UP, leg);
	else if (leg->in_group && !call_group_live(call) && !call->parked)
		call_finish(call, ENDING_SECOND_LOST, call_best_loss(call));
}

static void dial_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct call *call = owner;
	struct leg *leg = data;

	(void)fsm;
	switch (event) {
	case CALL_EV_RINGING:
		second_rings(call);
		break;
	case CALL_EV_EARLY:
		second_is_early(call, leg);
		break;
	case CALL_EV_ANSWERED:
		if (!leg->in_group)
			break;
		call->second = leg;
		call_group_settled(call, leg);
		if (call->consult_of)
			transfer_answered(call);
		else
			call_up(call);
		break;
	case CALL_EV_LOST:
		dial_lost(call, leg);
		break;
	case CALL_EV_CONNECT:
		answer_connect(call, data);
		break;
	default:
		may_end(call, event, data, ENDING_RING_TIMEOUT);
		break;
	}
}

/* One of those who are in a room together by the same call leaves; the others stay there. */
static void one_left(struct call *call, struct leg *leg)
{
	room_leave(leg);
	leg_close(leg, END_COMPLETED, false);
	call_publish_leg(call, leg, "leg_left");
}

static void up_lost(struct call *call, struct leg *leg)
{
	if (transfer_lost(call, leg))
		return;
	if (room_has_others(call, leg))
		one_left(call, leg);
	else if (call_has_party(call, leg))
		call_finish(call, ENDING_HUNG_UP, leg);
	else
		recall_lost(call);
}

static void up_played(struct call *call, struct leg *leg)
{
	if (room_has_others(call, leg))
		one_left(call, leg);
	else
		call_finish(call, leg->after_sound ? leg->after_sound : ENDING_PLAYED, NULL);
}

static void up_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct call *call = owner;
	struct leg *leg = data;

	(void)fsm;
	switch (event) {
	case CALL_EV_RINGING:
	case CALL_EV_EARLY:
		call_publish_leg(call, leg, "leg_ringing");
		break;
	case CALL_EV_ANSWERED:
		if (call->recalling)
			recall_answered(call, leg);
		else if (leg->in_group)
			transfer_recalled(call, leg);
		break;
	case CALL_EV_LOST:
		up_lost(call, leg);
		break;
	case CALL_EV_HOLD:
		if (call->supervises)
			monitor_held(call);
		else
			hold_changed(call, leg);
		break;
	case CALL_EV_PLAYED:
		up_played(call, leg);
		break;
	default:
		may_end(call, event, data, ENDING_MAX_DURATION);
		break;
	}
}

static void clearing_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct call *call = owner;

	(void)data;
	/* Each leg has a shorter deadline of its own; this one is for our own mistakes. */
	if (event == CALL_EV_TIMEOUT)
		log_error("call cleared by force", LOG_ID("call", call->id),
			  LOG_INT("channels", call->channels));
	else if (call->channels)
		return;
	fsm_go(fsm, PHASE_DONE);
}

static void reap(struct timer *timer, void *arg)
{
	(void)timer;
	call_forget(arg);
}

static void uncount(struct call *call)
{
	if (!call->counted)
		return;
	call->counted = false;
	permit_call_end(call->tenant);
}

static void done_enter(struct fsm *fsm, void *owner)
{
	struct call *call = owner;

	(void)fsm;
	uncount(call);
	call->app->calls_up--;
	drainers_tell(call->app, false);
	timer_start(&call->reap, KEEP_MS);
}

#define B(event) FSM_BIT(CALL_EV_##event)
#define LEGS (B(RINGING) | B(EARLY) | B(ANSWERED) | B(LOST) | B(HOLD) | B(PLAYED) | B(CLEARED))
#define ALWAYS (B(TIMEOUT) | B(HANGUP) | LEGS)
#define OVER (FSM_BIT(PHASE_CLEARING) | FSM_BIT(PHASE_DONE))
static const struct fsm_state call_phases[] = {
	[PHASE_NEW] = {
		.name = "NEW",
		.timeout_ms = 1000,
		.accepts = ALWAYS | B(START),
		.handle = new_handle,
		.leads_to = FSM_BIT(PHASE_GATHER) | FSM_BIT(PHASE_DIAL) | FSM_BIT(PHASE_UP) | OVER,
	},
	[PHASE_GATHER] = {
		.name = "GATHER",
		.timeout_ms = CALL_SETUP_MS,
		.accepts = ALWAYS,
		.handle = gather_handle,
		.leads_to = FSM_BIT(PHASE_DIAL) | OVER,
	},
	[PHASE_DIAL] = {
		.name = "DIAL",
		.timeout_ms = CALL_SETUP_MS,
		.accepts = ALWAYS | B(CONNECT),
		.handle = dial_handle,
		.leads_to = FSM_BIT(PHASE_DIAL) | FSM_BIT(PHASE_UP) | OVER,
	},
	[PHASE_UP] = {
		.name = "UP",
		.accepts = ALWAYS,
		.handle = up_handle,
		.leads_to = OVER,
	},
	[PHASE_CLEARING] = {
		.name = "CLEARING",
		.timeout_ms = CALL_TEARDOWN_MS + 5000,
		.accepts = ALWAYS,
		.handle = clearing_handle,
		.leads_to = FSM_BIT(PHASE_DONE),
	},
	[PHASE_DONE] = { .name = "DONE", .accepts = LEGS | B(HANGUP), .enter = done_enter },
};
static const struct fsm_table call_table = { "call", call_phases, ARRAY_LEN(call_phases),
					     call_events };
FSM_REGISTER(call_table);

/* ---- the table ---- */

struct call *call_get(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->calls, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct call *call = container_of_(node, struct call, node);

		if (id_eq(call->id, id) && !call->supervises)
			return call;
	}
	return NULL;
}

struct call *call_new(struct call_app *app, struct tenant *tenant, enum call_direction direction)
{
	struct call *call = xzalloc(sizeof(*call));

	call->app = app;
	call->tenant = tenant;
	call->id = id_new();
	call->direction = direction;
	call->shown = CALL_DIALING;
	call->created_at = wheel_wall_us(app->wheel);
	call->ring_timeout_ms = (unsigned)app->limits.ring_timeout_s * 1000;
	call->max_duration_ms = (unsigned)app->limits.max_duration_s * 1000;
	hmap_add(&app->calls, &call->node, id_hash(call->id));
	chain_append(&tenant->calls, &call->in_tenant);
	app->calls_up++;
	timer_init(&call->reap, app->wheel, reap, call);
	hold_limit_init(call);
	fsm_init(&call->fsm, &call_table, call, app->wheel, PHASE_NEW);
	return call;
}

void call_set_profile(struct call *call, struct profile *profile)
{
	call->profile = profile_ref(profile);
	chain_append(&profile->calls, &call->in_profile);
}

void call_add_user(struct call *call, struct user *user)
{
	struct seat *seat = &call->seats[call->seats[0].user != NULL];

	if (seat->user || (call->seats[0].user == user))
		return;
	seat->user = user_ref(user);
	seat->call = call;
	chain_append(&user->seats, &seat->in_user);
}

void call_start(struct call *call, void (*begin)(struct call *call))
{
	call_publish(call, EVENT_CALL_CREATED, NULL);
	fsm_send(&call->fsm, CALL_EV_START, &begin);
}

void call_forget(struct call *call)
{
	struct leg *leg, *then;

	chain_each_safe(leg, then, &call->legs, in_call)
		leg_forget(leg);
	uncount(call);
	transfer_forget(call);
	monitors_forget_call(call);
	if (call->supervises)
		monitor_forget(call);
	record_forget(call);
	timer_stop(&call->reap);
	timer_stop(&call->hold_limit);
	timer_stop(&call->budget);
	fsm_fini(&call->fsm);
	outbound_release(&call->next);
	if (call->bridge)
		bridge_free(call->bridge);
	room_expect_no_more(call);
	leave_lists(call);
	hmap_del(&call->app->calls, &call->node);
	for (unsigned i = 0; i < ARRAY_LEN(call->seats); i++)
		user_unref(call->app, call->seats[i].user);
	profile_unref(call->profile);
	free(call->shown_number);
	free(call->shown_name);
	free(call->variables);
	free(call->plan.text);
	free(call);
}
