/* Hold. Whoever is held hears music and is told so by signalling, and neither hears the other; what the other's provider
 * thinks of it changes nothing of that. A call is held by a user's request or by a key of the user's phone; a hold that
 * comes from outside brings its own music. Each ends only its own.
 */
#include "call/private.h"

static bool holds(const struct leg *leg)
{
	return leg_is_live(leg) && (leg->held || leg->holding);
}

bool call_is_held(const struct call *call)
{
	const struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (holds(leg))
			return true;
	return false;
}

/* ---- how long ---- */

/* In a room nobody waits for who holds: the others go on without it. */
static bool holds_another(const struct call *call)
{
	const struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (holds(leg) && !leg->member)
			return true;
	return false;
}

static void hold_over(struct timer *timer, void *arg)
{
	struct call *call = arg;

	(void)timer;
	if (!holds_another(call))
		return;
	if (!call->recalling && recall_begin(call)) {
		timer_start(&call->hold_limit, call->ring_timeout_ms);
		return;
	}
	fsm_send(&call->fsm, CALL_EV_HANGUP, &(struct ending){ ENDING_MAX_HOLD, NULL });
}

void hold_limit_init(struct call *call)
{
	timer_init(&call->hold_limit, call->app->wheel, hold_over, call);
}

static void limit_start(struct call *call)
{
	timer_start(&call->hold_limit, (uint64_t)call->app->limits.max_hold_s * 1000);
}

void hold_settle(struct call *call)
{
	if (call->held_since)
		call->held_us += wheel_wall_us(call->app->wheel) - call->held_since;
	call->held_since = 0;
	timer_stop(&call->hold_limit);
	recall_end(call);
}

static void count_time(struct call *call)
{
	if (!call_is_held(call)) {
		hold_settle(call);
	} else if (!call->held_since) {
		call->held_since = wheel_wall_us(call->app->wheel);
		limit_start(call);
	}
}

/* ---- who hears what ---- */

struct leg *hold_partner(const struct call *call, const struct leg *leg)
{
	struct leg *other = leg == call->first	  ? call->second
			    : leg == call->second ? call->first
						  : NULL;

	/* Members of a room are not each other's. */
	if (!other || other->member || leg->member)
		return NULL;
	return leg_is_there(other) ? other : NULL;
}

/* A stranger's hold has its own music: only that of our users' phones is ours to fill. */
static bool puts_on_hold(const struct leg *leg)
{
	return leg->holding || (leg->held && leg->kind != LEG_KIND_PROFILE);
}

void hold_music(struct leg *leg)
{
	const struct call *call = leg->call;
	const struct profile *profile = call->profile;
	struct sound_spec music = { .kind = SOUND_MUSIC, .loop = true };
	auto_(free) char *path = NULL;

	if (profile && !id_is_none(profile->spec->hold_music) && call->app->prompts_dir) {
		path = xasprintf("%s/%s/%s.wav", call->app->prompts_dir, id_str(call->tenant->id),
				 id_str(profile->spec->hold_music));
		music.kind = SOUND_FILE;
		music.file = path;
	}
	leg->music_id = channel_play(leg->channel, &music);
}

/* A prompt that cannot be read any more must not mean silence. */
bool hold_music_done(struct leg *leg, const struct engine_event *event)
{
	static const struct sound_spec ours = { .kind = SOUND_MUSIC, .loop = true };

	if (!leg->music_id || event->sound_id != leg->music_id)
		return false;
	leg->music_id = 0;
	if (!event->ok && (leg->on_hold || room_leg_waits(leg)) && leg_is_live(leg))
		(void)channel_play(leg->channel, &ours);
	return true;
}

static void music(struct leg *leg, bool on)
{
	leg->on_hold = on;
	if (on)
		hold_music(leg);
	else
		channel_play_stop(leg->channel);
	monitor_follow(leg->call);
}

static void set_on_hold(struct leg *leg, struct leg *holder, bool on)
{
	struct bridge *bridge = leg->call->bridge;
	bool talk = !on && !holder->on_hold;

	bridge_hear(bridge, holder->channel, leg->channel, talk);
	bridge_hear(bridge, leg->channel, holder->channel, talk);
	music(leg, on);
}

/* Brings the music and the signalling to what `holder` wants of the other. Return: whether something changed. */
static bool follow(struct call *call, struct leg *holder)
{
	struct leg *leg = hold_partner(call, holder);

	if (!leg || !leg_is_there(holder) || !call->bridge || leg->on_hold == puts_on_hold(holder))
		return false;
	set_on_hold(leg, holder, !leg->on_hold);
	/* A browser needs no new description to be silent. */
	if (leg->kind == LEG_KIND_SOFTPHONE)
		return true;
	channel_dtmf_stop(leg->channel);
	channel_hold(leg->channel, leg->on_hold);
	return true;
}

void hold_alone(struct leg *leg, bool on)
{
	if (leg->on_hold == on || !leg_is_there(leg))
		return;
	music(leg, on);
	if (leg->kind != LEG_KIND_SOFTPHONE)
		channel_hold(leg->channel, on);
}

void hold_release(struct call *call)
{
	struct leg *legs[] = { call->first, call->second };

	recall_end(call); /* whoever holds by a key of its phone goes on doing so */
	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		struct leg *other = legs[i] ? hold_partner(call, legs[i]) : NULL;

		if (!legs[i])
			continue;
		legs[i]->holding = false;
		legs[i]->hold_news = NEWS_NONE;
		if (!legs[i]->on_hold || !call->bridge || !legs[i]->channel)
			continue;
		if (other)
			set_on_hold(legs[i], other, false);
		else
			music(legs[i], false); /* who held it has left */
		channel_hold(legs[i]->channel, false);
	}
	count_time(call);
}

void hold_rejoin(struct call *call)
{
	if (call->first)
		(void)follow(call, call->first);
	if (call->second)
		(void)follow(call, call->second);
	count_time(call);
}

void hold_taken_over(struct leg *old, struct leg *leg)
{
	struct call *call = old->call;
	struct leg *held = hold_partner(call, leg);

	bridge_remove(call->bridge, old->channel);
	bridge_add(call->bridge, leg->channel);
	old->held = old->holding = false;
	count_time(call);
	if (held)
		held->hold_news = NEWS_RESUMED;
	(void)follow(call, leg);
}

/* ---- what is told ---- */

static void publish(struct leg *holder, bool held, json_t *signalled)
{
	json_t *detail = json_pack("{s:s, s:s}", "by", leg_is_local(holder) ? "local" : "remote",
				   "leg_id", id_str(holder->id));

	if (signalled)
		json_object_set_new(detail, "signalled", signalled);
	call_publish(holder->call, held ? EVENT_CALL_HELD : EVENT_CALL_RESUMED, detail);
}

/* `leg` is the one that is held. */
static void news_out(struct leg *leg, bool signalled)
{
	struct leg *holder = hold_partner(leg->call, leg);
	bool held = leg->hold_news == NEWS_HELD;

	if (!leg->hold_news)
		return;
	leg->hold_news = NEWS_NONE;
	if (holder && !call_is_over(leg->call))
		publish(holder, held, json_boolean(signalled));
}

void hold_told(struct leg *leg, bool signalled)
{
	if (leg_is_live(leg))
		news_out(leg, signalled);
}

void hold_changed(struct call *call, struct leg *leg)
{
	count_time(call);
	if (!transfer_runs(call)) /* what its parties hear is the transfer's until then */
		(void)follow(call, leg);
	if (leg->member)
		room_leg_changed(leg);
	publish(leg, leg->held, NULL);
}

void hold_begin(struct call *call)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg->held && leg_is_live(leg))
			hold_changed(call, leg);
}

/* ---- hold-call ---- */

void hold_set(struct call *call, struct leg *holder, bool on)
{
	struct leg *leg = hold_partner(call, holder);

	if (holder->holding == on || !leg)
		return;
	news_out(leg, false); /* the last change, if nothing is known of it yet */
	holder->holding = on;
	count_time(call);
	/* Taken back by who was rung for it, though the other one holds as well: that one has its own time. */
	if (!on && call->recalling == holder) {
		recall_end(call);
		limit_start(call);
	}
	leg->hold_news = on ? NEWS_HELD : NEWS_RESUMED;
	/* Their own phone may hold already, or still: then the far end hears of nothing new. */
	if (!follow(call, holder) || leg->kind == LEG_KIND_SOFTPHONE)
		news_out(leg, false);
}

struct reply *do_hold_call(struct call_app *app, struct command *command)
{
	struct leg *leg, *holder;
	struct call *call;
	struct reply *no = call_for(app, command, &call);

	if (no)
		return no;
	leg = call->fsm.state == PHASE_UP ? leg_far(call, &command->asker) : NULL;
	holder = leg ? hold_partner(call, leg) : NULL;
	if (!holder || !call->bridge || transfer_runs(call))
		return reply_wrong_state(call_state_names[call_shown(call)],
					 "Only two who talk can hold each other.");
	hold_set(call, holder, command->on);
	return reply_call(call);
}
