/* One party of a call: its channel, what it has reached, and why it ended. */
#include "call/private.h"

enum {
	LEG_EV_TIMEOUT,
	LEG_EV_RINGING,
	LEG_EV_EARLY,
	LEG_EV_ANSWERED,
	LEG_EV_CLOSE, /* ours: reason in leg->end */
	LEG_EV_GONE,  /* const struct channel_end */
};
static const char *const leg_events[] = { "timeout", "ringing", "early", "answered",
					  "close",   "gone",	NULL };

enum { S_DIALING, S_RINGING, S_EARLY, S_UP, S_CLOSING, S_ENDED };

static int64_t now_us(const struct leg *leg)
{
	return wheel_wall_us(leg->call->app->wheel);
}

bool leg_is_live(const struct leg *leg)
{
	return leg->fsm.state < S_CLOSING;
}

struct leg *leg_get(const struct call *call, struct id id)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (id_eq(leg->id, id))
			return leg;
	return NULL;
}

bool leg_is_there(const struct leg *leg)
{
	return leg && leg->channel && leg_is_live(leg);
}

struct leg *leg_far(const struct call *call, const struct asker *asker)
{
	struct leg *first = call->first, *second = call->second;

	if (!leg_is_there(first) || !leg_is_there(second))
		return leg_is_there(first) ? first : leg_is_there(second) ? second : NULL;
	if (id_eq(first->user, asker->user) != id_eq(second->user, asker->user))
		return id_eq(first->user, asker->user) ? second : first;
	return first->role == LEG_AGENT ? second : first;
}

enum leg_state leg_shown(const struct leg *leg)
{
	static const enum leg_state shown[] = { LEG_DIALING,  LEG_RINGING, LEG_EARLY_MEDIA,
						LEG_ANSWERED, LEG_ENDED,   LEG_ENDED };

	return leg->fsm.state == S_UP && (leg->held || leg->on_hold) ? LEG_HELD
								     : shown[leg->fsm.state];
}

static void keep_uri(struct leg *leg)
{
	char address[VIEW_ADDR_SIZE];

	channel_address(leg->channel, address);
	free(leg->uri);
	leg->uri = address[0] ? xstrdup(address) : NULL;
}

/* The channel is gone: so is what it held. */
static void release(struct leg *leg)
{
	if (!leg->channel)
		return;
	(void)str_copy(leg->codec, sizeof(leg->codec), channel_codec(leg->channel));
	channel_quality(leg->channel, &leg->quality);
	keep_uri(leg);
	log_info("leg ended", LOG_ID("call", leg->call->id), LOG_ID("leg", leg->id),
		 LOG_STR("role", leg_role_names[leg->role]),
		 LOG_STR("kind", leg_kind_names[leg->kind]),
		 LOG_STR("reason", end_reason_names[leg->end.reason]),
		 LOG_INT("code", leg->end.code), LOG_STR("said", leg->end.text),
		 LOG_STR("sip_call_id", channel_reference(leg->channel)));
	leg->channel = NULL;
	leg->call->channels--;
	budget_end(leg->call, leg);
	if (leg->profile)
		permit_leg_end(take(leg->profile));
}

static void ended_now(struct leg *leg)
{
	if (!leg->ended_at)
		leg->ended_at = now_us(leg);
}

static void far_ended(struct leg *leg, const struct channel_end *end)
{
	leg->end = *end;
	ended_now(leg);
	release(leg);
	fsm_go(&leg->fsm, S_ENDED);
	fsm_send(&leg->call->fsm, CALL_EV_LOST, leg);
}

static void close_now(struct leg *leg)
{
	ended_now(leg);
	/* Without a channel there is nothing to wait for. */
	fsm_go(&leg->fsm, leg->channel ? S_CLOSING : S_ENDED);
	if (leg->channel)
		channel_hangup(leg->channel, leg->end.reason, leg->end.completed_elsewhere);
}

static void live_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct leg *leg = owner;

	switch (event) {
	case LEG_EV_TIMEOUT:
		/* The far end neither answered nor refused within the longest time a call may take to set up. */
		leg->end.reason = END_NO_ANSWER;
		close_now(leg);
		fsm_send(&leg->call->fsm, CALL_EV_LOST, leg);
		break;
	case LEG_EV_RINGING:
		if (fsm->state == S_DIALING) {
			leg->ringing_at = now_us(leg);
			fsm_go(fsm, S_RINGING);
		}
		fsm_send(&leg->call->fsm, CALL_EV_RINGING, leg);
		break;
	case LEG_EV_EARLY:
		if (!leg->ringing_at)
			leg->ringing_at = now_us(leg);
		if (fsm->state != S_EARLY)
			fsm_go(fsm, S_EARLY);
		fsm_send(&leg->call->fsm, CALL_EV_EARLY, leg);
		break;
	case LEG_EV_ANSWERED:
		if (fsm->state == S_UP)
			break; /* our own answer was acknowledged */
		leg->answered = true;
		leg->answered_at = now_us(leg);
		if (leg->outbound)
			budget_begin(leg->call, leg);
		fsm_go(fsm, S_UP);
		fsm_send(&leg->call->fsm, CALL_EV_ANSWERED, leg);
		break;
	case LEG_EV_CLOSE:
		close_now(leg);
		break;
	case LEG_EV_GONE:
		far_ended(leg, data);
		break;
	default:
		break;
	}
}

static void closing_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct leg *leg = owner;
	const struct channel_end *end = data;

	if (event == LEG_EV_GONE) {
		if (end->answered_late)
			leg->end.answered_late = true;
		if (end->code)
			leg->end.code = end->code;
	} else if (event == LEG_EV_TIMEOUT) {
		/* The engine never said the channel ended: let go of it by force. */
		log_warn("leg reaped", LOG_ID("call", leg->call->id), LOG_ID("leg", leg->id));
		channel_set_user(leg->channel, NULL);
	} else {
		return; /* it answered or rang while we were closing it */
	}
	release(leg);
	fsm_go(fsm, S_ENDED);
	fsm_send(&leg->call->fsm, CALL_EV_CLEARED, leg);
}

#define B(event) FSM_BIT(LEG_EV_##event)
#define LIVE_ACCEPTS (B(TIMEOUT) | B(RINGING) | B(EARLY) | B(ANSWERED) | B(CLOSE) | B(GONE))
#define LIVE(name_, timeout_, leads_)                                                              \
	{                                                                                          \
		.name = name_, .timeout_ms = timeout_, .accepts = LIVE_ACCEPTS,                    \
		.handle = live_handle,                                                             \
		.leads_to = (leads_) | FSM_BIT(S_UP) | FSM_BIT(S_CLOSING) | FSM_BIT(S_ENDED),      \
	}
static const struct fsm_state leg_states[] = {
	[S_DIALING] = LIVE("DIALING", CALL_SETUP_MS, FSM_BIT(S_RINGING) | FSM_BIT(S_EARLY)),
	[S_RINGING] = LIVE("RINGING", CALL_SETUP_MS, FSM_BIT(S_EARLY)),
	[S_EARLY] = LIVE("EARLY_MEDIA", CALL_SETUP_MS, 0),
	/* How long it may last is the call's to say. */
	[S_UP] = LIVE("UP", 0, 0),
	[S_CLOSING] = {
		.name = "CLOSING",
		.timeout_ms = CALL_TEARDOWN_MS,
		.accepts = LIVE_ACCEPTS,
		.leads_to = FSM_BIT(S_ENDED),
		.handle = closing_handle,
	},
	[S_ENDED] = { .name = "ENDED" },
};
static const struct fsm_table leg_table = { "leg", leg_states, ARRAY_LEN(leg_states), leg_events };
FSM_REGISTER(leg_table);

struct leg *leg_new(struct call *call, enum leg_role role, enum leg_kind kind)
{
	struct leg *leg = xzalloc(sizeof(*leg));

	leg->call = call;
	leg->id = id_new();
	leg->role = role;
	leg->kind = kind;
	leg->is_caller = role == LEG_AGENT &&
			 !call->first; /* rung first: it is for them that the call is made */
	leg->created_at = wheel_wall_us(call->app->wheel);
	chain_append(&call->legs, &leg->in_call);
	call->app->legs++;
	fsm_init(&leg->fsm, &leg_table, leg, call->app->wheel, S_DIALING);
	return leg;
}

void leg_attach(struct leg *leg, struct channel *channel)
{
	leg->channel = channel;
	leg->call->channels++;
	channel_set_user(channel, leg);
}

void leg_close(struct leg *leg, enum end_reason reason, bool elsewhere)
{
	if (!leg_is_live(leg))
		return;
	leg->end = (struct channel_end){ .reason = reason, .completed_elsewhere = elsewhere };
	fsm_send(&leg->fsm, LEG_EV_CLOSE, NULL);
}

void leg_answered(struct leg *leg)
{
	if (leg_is_live(leg))
		fsm_send(&leg->fsm, LEG_EV_ANSWERED, NULL);
}

struct leg *leg_move(struct leg *old, struct call *call, enum leg_role role)
{
	struct leg *leg = leg_new(call, role, old->kind);
	struct channel *channel;
	bool metered = old->metered;

	record_leave(old);
	keep_uri(old);
	channel = take(old->channel);
	budget_end(old->call, old);
	old->call->channels--;
	(void)str_copy(old->codec, sizeof(old->codec), channel_codec(channel));
	channel_quality(channel, &old->quality);
	leg->device = old->device;
	leg->user = old->user;
	leg->profile = take(old->profile);
	leg->profile_id = old->profile_id;
	leg->outbound = old->outbound;
	leg->held = old->held;
	leg->on_hold = old->on_hold;
	leg->music_id = old->music_id;
	leg->muted = old->muted;
	leg->is_caller = old->is_caller;
	leg->sendings = old->sendings;
	old->sendings = (struct chain){ 0 };
	(void)str_copy(leg->address, sizeof(leg->address), old->address);
	leg->answered = true;
	leg->ringing_at = leg->answered_at = now_us(leg);
	leg_attach(leg, channel);
	fsm_go(&leg->fsm, S_UP);
	if (metered)
		budget_begin(call, leg);
	old->end.reason = END_COMPLETED;
	ended_now(old);
	fsm_go(&old->fsm, S_ENDED);
	return leg;
}

static void held(struct leg *leg, bool is_held)
{
	if (!leg_is_live(leg) || leg->held == is_held)
		return;
	leg->held = is_held;
	fsm_send(&leg->call->fsm, CALL_EV_HOLD, leg);
}

static void sound_done(struct leg *leg, const struct engine_event *event)
{
	struct ending ending = { ENDING_MEDIA, leg };

	if (hold_music_done(leg, event))
		return;
	if (!leg->sound_id || event->sound_id != leg->sound_id || !leg_is_live(leg))
		return;
	if (event->ok || leg->after_sound)
		fsm_send(&leg->call->fsm, CALL_EV_PLAYED, leg);
	else
		fsm_send(&leg->call->fsm, CALL_EV_HANGUP, &ending);
}

void leg_event(struct leg *leg, const struct engine_event *event)
{
	switch (event->type) {
	case ENGINE_RINGING:
		fsm_send(&leg->fsm, LEG_EV_RINGING, NULL);
		break;
	case ENGINE_EARLY_MEDIA:
		fsm_send(&leg->fsm, LEG_EV_EARLY, NULL);
		break;
	case ENGINE_ANSWERED:
		fsm_send(&leg->fsm, LEG_EV_ANSWERED, NULL);
		break;
	case ENGINE_ENDED:
		if (leg->channel)
			fsm_send(&leg->fsm, LEG_EV_GONE, (void *)event->end);
		break;
	case ENGINE_HELD:
	case ENGINE_RESUMED:
		held(leg, event->type == ENGINE_HELD);
		break;
	case ENGINE_DTMF:
		if (!room_leg_digit(leg, event->digit) && !recall_key(leg))
			digits_came(leg, event);
		break;
	case ENGINE_DTMF_SENT:
		digits_sent(leg, event);
		break;
	case ENGINE_SOUND_DONE:
		sound_done(leg, event);
		break;
	case ENGINE_MEDIA_LOST:
		if (leg->member)
			room_leg_lost(leg);
		else if (leg_is_live(leg))
			fsm_send(&leg->call->fsm, CALL_EV_HANGUP,
				 &(struct ending){ ENDING_MEDIA, leg });
		break;
	case ENGINE_TRANSFER:
		refer_asked(leg, event);
		break;
	case ENGINE_TRANSFER_STATE:
		transfer_asked_far(leg, event);
		break;
	case ENGINE_AUDIO:
		call_publish_leg(leg->call, leg, "audio");
		break;
	case ENGINE_MODIFIED:
		hold_told(leg, event->ok);
		break;
	case ENGINE_TALKING:
		room_leg_talks(leg, event->ok);
		break;
	case ENGINE_TAPE_DONE:
	case ENGINE_QUALITY: /* read from the channel whenever a view is made */
	case ENGINE_REPLACES:
	case ENGINE_INCOMING:
	case ENGINE_LINE_STATE:
	case ENGINE_DEVICE_STATE:
		break;
	}
}

void leg_forget(struct leg *leg)
{
	room_forget(leg);
	if (leg->channel)
		channel_set_user(leg->channel, NULL);
	release(leg);
	digits_forget(leg);
	fsm_fini(&leg->fsm);
	chain_remove(&leg->call->legs, &leg->in_call);
	leg->call->app->legs--;
	free(leg->uri);
	free(leg);
}
