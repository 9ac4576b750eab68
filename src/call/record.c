/* Recordings of calls: by the profile's rule, by make-call's wish, or on demand.
 *
 * A recording belongs to a call, not to a leg: whoever is a party is on it, from answer to goodbye (record_follow()). Who
 * only consults or supervises is not. That of a room's own call is what the room says, whoever comes and goes, as one. It
 * outlives its call by as long as its file takes to be finished.
 */
#include "call/monitor.h"

#include "store/recording.h"

#include <errno.h>
#include <sodium.h>
#include <strings.h>

#define BEEP_MS 15000
#define PAUSE_MAX_MS 300000 /* a forgotten pause must not swallow the rest of the call */

struct recording {
	struct hnode node;
	struct chain_link in_call, in_tenant;
	struct call_app *app;
	struct call *call; /* NULL: forgotten already */
	struct recording_view view;
	struct tape *tape; /* NULL: stopped */
	struct timer limit, beep;
};

static struct recording *recording_of(struct call_app *app, struct id id)
{
	for (struct hnode *node = hmap_first(&app->recordings, id_hash(id)); node;
	     node = hmap_same(node)) {
		struct recording *recording = container_of_(node, struct recording, node);

		if (id_eq(recording->view.id, id))
			return recording;
	}
	return NULL;
}

/* ---- what others see ---- */

static void remember(struct recording *recording)
{
	struct call *call = recording->call;

	if (!call || !id_eq(call->recording_id, recording->view.id))
		return;
	free(call->last_recording);
	call->last_recording = (void *)xmemdup(&recording->view, sizeof(recording->view));
}

static struct event *event_with(const struct recording_view *view, enum event_type type)
{
	struct event *event = event_new(type, view->tenant);

	event->call_id = view->call_id;
	event->profile_id = view->profile_id;
	event->user_id = view->user_id;
	event->other_user_id = view->other_user_id;
	event->recording = (void *)xmemdup(view, sizeof(*view));
	return event;
}

/* The call as it is now; the recording beside it for the journal. */
static void publish_call(struct recording *recording)
{
	struct call *call = recording->call;
	struct event *event;

	if (!call)
		return;
	recording->view.call_seq = ++call->seq;
	event = event_with(&recording->view, EVENT_CALL_UPDATED);
	event->call = call_view_make(call);
	event->detail = xasprintf("{\"what\":\"recording\",\"recording_id\":\"%s\"}",
				  id_str(recording->view.id));
	event_publish(call->app->bus, event);
	if (call->conducts)
		room_recording_changed(call);
}

static void publish(struct recording *recording, enum event_type type)
{
	remember(recording);
	publish_call(recording);
	event_publish(recording->app->bus, event_with(&recording->view, type));
}

enum recording_state record_shown(const struct call *call)
{
	if (!call->recording)
		return RECORDING_NONE;
	return call->recording->view.state == RECORD_PAUSED ? RECORDING_PAUSED : RECORDING_ON;
}

/* ---- its life ---- */

static void pause_it(struct recording *recording, bool paused)
{
	tape_pause(recording->tape, paused);
	recording->view.state = paused ? RECORD_PAUSED : RECORD_RECORDING;
	if (paused)
		timer_start(&recording->limit, PAUSE_MAX_MS);
	else
		timer_stop(&recording->limit);
	publish(recording, paused ? EVENT_RECORDING_PAUSED : EVENT_RECORDING_RESUMED);
}

static void limit_over(struct timer *timer, void *arg)
{
	struct recording *recording = arg;

	(void)timer;
	if (!recording->tape)
		return;
	log_info("a paused recording goes on by itself", LOG_ID("call", recording->view.call_id));
	pause_it(recording, false);
}

/* Where its parties hear the beep; NULL: nowhere. A call that has become part of a room goes on with its own recording. */
static struct bridge *beep_bridge(const struct call *call)
{
	const struct room *room = call->bridge ? NULL : room_of(call);

	if (call->bridge)
		return call->bridge;
	if (!room || (call->conducts && !room_wants_beep(room)) ||
	    (!call->conducts && record_shown(room->call) == RECORDING_ON))
		return NULL; /* the room's recording beeps, if need be */
	return room->bridge;
}

/* Nobody is to be recorded who does not know it, where the profile says so. */
static void beep(struct timer *timer, void *arg)
{
	struct recording *recording = arg;
	struct call *call = recording->call;
	struct bridge *bridge;

	if (!recording->tape || !call)
		return;
	bridge = beep_bridge(call);
	if (bridge && recording->view.state == RECORD_RECORDING)
		bridge_chime(bridge, CHIME_RECORDED);
	timer_start(timer, BEEP_MS);
}

static bool is_wideband(const struct call *call)
{
	struct leg *leg;

	chain_each(leg, &call->legs, in_call) {
		const char *codec = leg_is_there(leg) ? channel_codec(leg->channel) : "";

		if (strcasecmp(codec, "opus") == 0 || strcasecmp(codec, "G722") == 0)
			return true;
	}
	return false;
}

static void describe(struct recording *recording, struct call *call, bool stereo)
{
	struct recording_view *view = &recording->view;
	uint8_t name[16];

	view->id = id_new();
	view->tenant = call->tenant->id;
	view->call_id = call->id;
	if (call->profile)
		view->profile_id = call->profile->spec->id;
	if (call->seats[0].user)
		view->user_id = call->seats[0].user->id;
	if (call->seats[1].user)
		view->other_user_id = call->seats[1].user->id;
	view->state = RECORD_RECORDING;
	/* A room is one voice, and who comes to it later may have wideband. */
	view->stereo = stereo && !call->conducts;
	view->rate = call->conducts || is_wideband(call) ? 16000 : 8000;
	view->started_at = wheel_wall_us(call->app->wheel);
	randombytes_buf(name, sizeof(name));
	sodium_bin2hex(view->storage, sizeof(view->storage), name, sizeof(name));
}

static void seal_key(struct recording *recording, struct tape_spec *spec)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct recording_view *view = &recording->view;

	randombytes_buf(spec->key, sizeof(spec->key));
	bug_on(!str_copy(view->secret, sizeof(view->secret),
			 recording_seal_key(recording->app->seal, view->tenant, view->id, spec->key,
					    arena)));
}

static void tape_begin(struct recording *recording, struct tape_spec *spec)
{
	const struct recording_view *view = &recording->view;
	auto_(free) char *path = xasprintf("%s/%s/%s", recording->app->recordings_dir,
					   id_str(view->tenant), view->storage);

	spec->id = view->id;
	spec->path = path;
	spec->stereo = view->stereo;
	spec->wideband = view->rate == 16000;
	recording->tape = tape_new(recording->app->engine, spec);
	explicit_bzero(spec->key, sizeof(spec->key));
}

void record_start(struct call *call, bool stereo)
{
	struct call_app *app = call->app;
	struct recording *recording;
	struct tape_spec spec = { 0 };

	if (call->recording || !app->seal)
		return;
	recording = xzalloc(sizeof(*recording));
	recording->app = app;
	recording->call = call;
	timer_init(&recording->limit, app->wheel, limit_over, recording);
	timer_init(&recording->beep, app->wheel, beep, recording);
	describe(recording, call, stereo);
	seal_key(recording, &spec);
	hmap_add(&app->recordings, &recording->node, id_hash(recording->view.id));
	chain_append(&call->tenant->recordings, &recording->in_tenant);
	chain_append(&call->recordings, &recording->in_call);
	call->recording = recording;
	call->recording_id = recording->view.id;
	/* Told first, so that the row is there before the file: see the recorder's before_files. */
	publish(recording, EVENT_RECORDING_STARTED);
	tape_begin(recording, &spec);
	if (call->conducts)
		room_tape(call, recording->tape);
	else
		record_follow(call);
	if (call->conducts || (call->profile && call->profile->spec->record_beep))
		beep(&recording->beep, recording);
}

void record_joined(struct call *call)
{
	if (call->recording)
		beep(&call->recording->beep, call->recording);
}

/* Not who consults or supervises. */
static bool has_a_say(const struct leg *leg)
{
	return leg->role == LEG_AGENT || leg->role == LEG_REMOTE || leg->role == LEG_MEMBER;
}

/* By role, whoever called: agents left. Of two agents the one who called. */
static enum tape_side side_of(const struct call *call, const struct leg *leg)
{
	bool other_agent = call->first && call->first != leg && call->first->role == LEG_AGENT;

	return leg->role == LEG_AGENT && !(leg == call->second && other_agent) ? TAPE_LEFT
									       : TAPE_RIGHT;
}

void record_leave(struct leg *leg)
{
	if (!id_is_none(leg->recorded) && leg->channel)
		tape_remove(leg->channel);
	leg->recorded = ID_NONE;
}

/* Whose leg is another call's. */
static void follow_guest(struct call *call)
{
	struct recording *recording = call->recording;
	struct leg *guest = transfer_guest(call);

	if (!guest || !recording || !recording->tape || id_eq(guest->recorded, recording->view.id))
		return;
	record_leave(guest);
	guest->recorded = recording->view.id;
	tape_add(recording->tape, guest->channel, TAPE_LEFT);
}

static void follow_leg(struct recording *recording, struct leg *leg, bool wanted,
		       enum tape_side side)
{
	struct id id = wanted ? recording->view.id : ID_NONE;

	if (!leg_is_there(leg) || id_eq(leg->recorded, id))
		return;
	leg->recorded = id;
	if (wanted)
		tape_add(recording->tape, leg->channel, side);
	else
		tape_remove(leg->channel);
}

void record_follow(struct call *call)
{
	struct recording *recording = call->recording;
	bool runs = recording && recording->tape;
	struct monitor *monitor;
	struct leg *leg;

	follow_guest(call);
	chain_each(leg, &call->legs, in_call)
		if (leg->role != LEG_CONSULT) /* whoever consults may be on the other call's */
			follow_leg(recording, leg, runs && has_a_say(leg) && leg->answered,
				   side_of(call, leg));
	/* A supervisor who barges in speaks on our side. What a room says is recorded as one already. */
	chain_each(monitor, &call->monitors, in_call)
		if (monitor_leg(monitor) && !call->conducts)
			follow_leg(recording, monitor->leg, runs && monitor->on_tape, TAPE_LEFT);
}

void record_stop(struct call *call)
{
	struct recording *recording = call->recording;

	if (!recording)
		return;
	timer_stop(&recording->limit);
	timer_stop(&recording->beep);
	call->recording = NULL;
	recording->view.state = RECORD_PROCESSING;
	recording->view.ended_at = wheel_wall_us(call->app->wheel);
	if (call->conducts)
		room_tape(call, NULL);
	tape_stop(take(recording->tape));
	record_follow(call); /* nobody is listened to for it any more */
	remember(recording);
	publish_call(recording);
}

static void recording_free(struct recording *recording)
{
	timer_stop(&recording->limit);
	timer_stop(&recording->beep);
	if (recording->call) {
		chain_remove(&recording->call->recordings, &recording->in_call);
		if (recording->call->recording == recording)
			recording->call->recording = NULL;
	}
	chain_remove(&tenant_want(recording->app, recording->view.tenant)->recordings,
		     &recording->in_tenant);
	hmap_del(&recording->app->recordings, &recording->node);
	free(recording);
}

static const char *reason_of(const struct tape_end *end)
{
	switch (end->error) {
	case 0:
		return end->bytes ? "" : "empty";
	case ENOSPC:
	case EDQUOT:
		return "disk_full";
	case EFBIG:
		return "too_long";
	default:
		return "disk_error";
	}
}

void record_done(struct call_app *app, struct id id, const struct tape_end *end)
{
	struct recording *recording = recording_of(app, id);
	struct recording_view *view;
	bool good;

	if (!recording)
		return;
	view = &recording->view;
	recording->tape = NULL;
	if (recording->call && recording->call->recording == recording) {
		recording->call->recording = NULL;
		record_follow(recording->call);
		if (recording->call->conducts)
			room_tape(recording->call, NULL);
	}
	if (!view->ended_at)
		view->ended_at = wheel_wall_us(app->wheel);
	(void)str_copy(view->reason, sizeof(view->reason), reason_of(end));
	good = !view->reason[0];
	view->state = good ? RECORD_READY : RECORD_FAILED;
	view->size = end->bytes ? (int64_t)end->bytes + RECORD_WAV_HEADER : 0;
	view->duration_ms = (int64_t)end->ms;
	(void)str_copy(view->sha256, sizeof(view->sha256), end->sha256);
	if (!good)
		log_warn("a recording failed", LOG_ID("call", view->call_id),
			 LOG_ID("recording", view->id), LOG_STR("reason", view->reason));
	publish(recording, good ? EVENT_RECORDING_READY : EVENT_RECORDING_FAILED);
	recording_free(recording);
}

void record_forget(struct call *call)
{
	struct recording *recording, *then;

	chain_each_safe(recording, then, &call->recordings, in_call) {
		if (recording->tape)
			tape_stop(take(recording->tape));
		timer_stop(&recording->limit);
		timer_stop(&recording->beep);
		chain_remove(&call->recordings, &recording->in_call);
		recording->call = NULL;
	}
	call->recording = NULL;
	free(call->last_recording);
}

static bool may_see(const struct recording *recording, const struct asker *asker)
{
	return asker->role != ASKER_AGENT || id_eq(recording->view.user_id, asker->user) ||
	       id_eq(recording->view.other_user_id, asker->user);
}

struct recording_view **record_views(struct call_app *app, const struct asker *asker,
				     unsigned *ret_count)
{
	struct chain *chain = &tenant_want(app, asker->tenant)->recordings;
	struct recording_view **views = xzalloc_array(chain->count + 1, sizeof(*views));
	struct recording *recording;
	unsigned count = 0;

	chain_each(recording, chain, in_tenant)
		if (may_see(recording, asker))
			views[count++] = (void *)xmemdup(&recording->view, sizeof(recording->view));
	*ret_count = count;
	return views;
}

void recordings_fini(struct call_app *app)
{
	struct hnode *node;
	size_t cursor;

	while (cursor = 0, (node = hmap_iter(&app->recordings, &cursor, NULL)))
		recording_free(container_of_(node, struct recording, node));
	hmap_fini(&app->recordings);
}

/* ---- by command ---- */

struct reply *record_refusal(const struct profile *profile)
{
	if (profile->spec->record != RECORD_NEVER)
		return NULL;
	return reply_error(
		REPLY_NO_RECORDING, NULL,
		"This profile says that its calls are never recorded; set its record to on_demand to allow it.");
}

static struct reply *may_start(struct call *call)
{
	struct reply *never;

	if (!call->app->seal)
		return reply_error(REPLY_UNSUPPORTED, NULL, "Calls cannot be recorded here.");
	never = call->profile ? record_refusal(call->profile) : NULL;
	if (never)
		return never;
	if (call->fsm.state != PHASE_UP)
		return reply_wrong_state(call_state_names[call->shown],
					 "This call is not answered yet.");
	if (record_shown(call) == RECORDING_PAUSED)
		return reply_wrong_state("paused", "The recording is paused: resume it.");
	return NULL;
}

struct reply *record_act(struct call *call, const struct record_wish *wish)
{
	enum recording_state now = record_shown(call);
	struct reply *bad;

	switch (wish->action) {
	case RECORD_START:
		bad = may_start(call);
		if (bad)
			return bad;
		record_start(call, wish->stereo);
		return NULL;
	case RECORD_STOP:
		if (now == RECORDING_NONE && !call->last_recording)
			return reply_wrong_state("none", "This call is not recorded.");
		record_stop(call);
		return NULL;
	case RECORD_PAUSE:
	case RECORD_RESUME:
		if (now == RECORDING_NONE)
			return reply_wrong_state("none", "This call is not recorded.");
		if ((now == RECORDING_PAUSED) != (wish->action == RECORD_PAUSE))
			pause_it(call->recording, wish->action == RECORD_PAUSE);
		return NULL;
	}
	return reply_new(REPLY_FAILED);
}

struct reply *do_record(struct call_app *app, struct command *command)
{
	struct call *call;
	struct reply *reply = call_for(app, command, &call);

	if (!reply)
		reply = record_act(call, command->body);
	if (reply)
		return reply;
	reply = reply_new(REPLY_OK);
	reply->recording = (void *)xmemdup(call->last_recording, sizeof(*call->last_recording));
	return reply;
}

/* What a crash left behind has been looked at (daemon/repair.c): told like any other end. */
struct reply *do_recording_repaired(struct call_app *app, struct command *command)
{
	const struct recording_view *view = command->body;

	event_publish(app->bus,
		      event_with(view, view->state == RECORD_READY ? EVENT_RECORDING_READY
								   : EVENT_RECORDING_FAILED));
	return reply_new(REPLY_OK);
}

/* A call that is up is not to put it into its row again. */
struct reply *do_recording_deleted(struct call_app *app, struct command *command)
{
	const struct recording_deleted *deleted = command->body;
	struct call *call = call_get(app, command->call_id);

	if (!call || !id_eq(call->tenant->id, command->asker.tenant) ||
	    !id_eq(call->recording_id, deleted->id))
		return reply_new(REPLY_OK);
	call->recording_id = deleted->left;
	free(call->last_recording);
	call->last_recording = NULL;
	call_publish(call, EVENT_CALL_UPDATED,
		     json_pack("{s:s, s:s}", "what", "recording_deleted", "recording_id",
			       id_str(deleted->id)));
	return reply_new(REPLY_OK);
}
