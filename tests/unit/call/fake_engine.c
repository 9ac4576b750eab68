#include "fake_engine.h"

#include "base/base.h"

struct engine *fake_engine_new(struct wheel *wheel)
{
	struct engine *engine = xzalloc(sizeof(*engine));

	engine->wheel = wheel;
	engine->state = REG_REGISTERED;
	return engine;
}

void fake_engine_free(struct engine *engine)
{
	for (unsigned i = 0; i < engine->channel_count; i++)
		free(engine->channels[i]);
	free(engine);
}

void fake_online(struct engine *engine, struct id device, bool online)
{
	for (unsigned i = 0; i < engine->device_count; i++)
		if (id_eq(engine->devices[i].id, device)) {
			engine->devices[i].online = online;
			return;
		}
	engine->devices[engine->device_count++] = (struct fake_device){ device, online };
}

static struct channel *channel_new(struct engine *engine)
{
	struct channel *channel = xzalloc(sizeof(*channel));

	bug_on(engine->channel_count >= FAKE_MAX);
	channel->engine = engine;
	engine->channels[engine->channel_count++] = channel;
	engine->live++;
	return channel;
}

struct channel *fake_dialled(struct engine *engine, unsigned from_end)
{
	for (unsigned i = engine->channel_count; i-- > 0;)
		if (!engine->channels[i]->incoming && !from_end--)
			return engine->channels[i];
	return NULL;
}

static void send(struct channel *channel, struct engine_event event)
{
	event.channel = channel;
	event.user = channel->user;
	if (channel->engine->fn &&
	    (event.user || event.type == ENGINE_INCOMING || event.type == ENGINE_REPLACES))
		channel->engine->fn(channel->engine->arg, &event);
}

struct channel *fake_incoming(struct engine *engine, const struct channel_info *info)
{
	struct channel *channel = channel_new(engine);

	channel->incoming = true;
	send(channel, (struct engine_event){ .type = ENGINE_INCOMING, .info = info });
	return channel;
}

struct channel *fake_replaces(struct engine *engine, const struct channel_info *info,
			      struct channel *other)
{
	struct channel *channel = channel_new(engine);

	channel->incoming = true;
	send(channel,
	     (struct engine_event){ .type = ENGINE_REPLACES, .info = info, .other = other });
	return channel;
}

void fake_refer(struct channel *channel, const char *target, struct channel *other)
{
	channel->transfer_code = -1;
	send(channel,
	     (struct engine_event){ .type = ENGINE_TRANSFER, .target = target, .other = other });
}

void fake_refer_state(struct channel *channel, int code, bool last)
{
	send(channel,
	     (struct engine_event){ .type = ENGINE_TRANSFER_STATE, .code = code, .last = last });
}

void fake_say(struct channel *channel, enum engine_event_type type)
{
	channel->up = channel->up || type == ENGINE_ANSWERED;
	send(channel, (struct engine_event){ .type = type,
					     .target = "sip:x@y",
					     .digit = '5',
					     .duration_ms = 160,
					     .method = DTMF_INFO });
}

void fake_digits(struct channel *channel, const char *digits)
{
	for (; *digits; digits++)
		send(channel, (struct engine_event){
				      .type = ENGINE_DTMF, .digit = *digits, .duration_ms = 100 });
}

void fake_talks(struct channel *channel, bool talks)
{
	send(channel, (struct engine_event){ .type = ENGINE_TALKING, .ok = talks });
}

static void end(struct channel *channel, const struct channel_end *why)
{
	if (channel->ended)
		return;
	channel->ended = true;
	channel->engine->live--;
	send(channel, (struct engine_event){ .type = ENGINE_ENDED, .end = why });
}

void fake_end(struct channel *channel, enum end_reason reason, int code)
{
	end(channel, &(struct channel_end){ .reason = reason, .code = code, .by_far = true });
}

void fake_settle(struct engine *engine)
{
	for (unsigned i = 0; i < engine->channel_count; i++)
		if (engine->channels[i]->hung_up)
			end(engine->channels[i],
			    &(struct channel_end){ .reason = engine->channels[i]->reason });
}

void fake_digits_done(struct channel *channel, bool ok)
{
	send(channel, (struct engine_event){ .type = ENGINE_DTMF_SENT,
					     .operation = channel->operation,
					     .method = DTMF_RFC4733,
					     .ok = ok });
}

void fake_modified(struct channel *channel, bool ok)
{
	send(channel, (struct engine_event){ .type = ENGINE_MODIFIED, .ok = ok });
}

void fake_sound_done(struct channel *channel, bool ok)
{
	channel->playing = false;
	send(channel, (struct engine_event){
			      .type = ENGINE_SOUND_DONE, .sound_id = channel->sound_id, .ok = ok });
}

/* ---- engine.h ---- */

void engine_set_handler(struct engine *engine, engine_event_fn *fn, void *arg)
{
	engine->fn = fn;
	engine->arg = arg;
}

struct wheel *engine_wheel(struct engine *engine)
{
	return engine->wheel;
}

void engine_line_put(struct engine *engine, const struct line_spec *spec)
{
	bug_on(!spec->username[0]);
	engine->lines_put++;
}

void engine_line_drop(struct engine *engine, struct id line)
{
	(void)line;
	engine->lines_dropped++;
}

void engine_line_register(struct engine *engine, struct id line, bool on)
{
	(void)line;
	engine->state = on ? REG_REGISTERING : REG_DISABLED;
}

struct registration_view *engine_line_state(struct engine *engine, struct id line)
{
	struct registration_view *view = registration_view_new(0);

	view->profile_id = line;
	view->state = engine->state;
	return view;
}

void engine_device_restore(struct engine *engine, struct id device,
			   const struct device_binding *binding)
{
	(void)device;
	engine->restored++;
	(void)str_copy(engine->restored_last, sizeof(engine->restored_last), binding->contact);
}

bool engine_line_asks(struct engine *engine, struct id line)
{
	(void)line;
	return engine->asks;
}

const char *engine_line_unusable(struct engine *engine, struct id line)
{
	(void)line;
	return engine->unusable;
}

void engine_line_test(struct engine *engine, const struct line_spec *spec,
		      void (*done)(void *arg, const char *json), void *arg)
{
	(void)engine;
	(void)spec;
	done(arg, "{\"ok\":true}");
}

void engine_device_put(struct engine *engine, const struct device_spec *spec)
{
	fake_online(engine, spec->id, true);
}

void engine_device_drop(struct engine *engine, struct id device)
{
	fake_online(engine, device, false);
}

bool engine_device_online(struct engine *engine, struct id device)
{
	for (unsigned i = 0; i < engine->device_count; i++)
		if (id_eq(engine->devices[i].id, device))
			return engine->devices[i].online;
	return false;
}

char *engine_device_state(struct engine *engine, struct id device)
{
	return xstrdup(engine_device_online(engine, device) ? "[{\"address\":\"192.0.2.9:5060\"}]"
							    : "[]");
}

int channel_originate(struct engine *engine, const struct originate *what, struct channel **ret)
{
	struct channel *channel;

	if (engine->fail_originate)
		return engine->fail_originate;
	channel = channel_new(engine);
	channel->what = *what;
	channel->user = what->user;
	*ret = channel;
	return 0;
}

void channel_set_user(struct channel *channel, void *user)
{
	channel->user = user;
}

void *channel_user(const struct channel *channel)
{
	return channel->user;
}

void channel_address(const struct channel *channel, char buf[static VIEW_ADDR_SIZE])
{
	(void)str_copy(buf, VIEW_ADDR_SIZE, channel->what.to);
}

const char *channel_reference(const struct channel *channel)
{
	(void)channel;
	return "";
}

const char *channel_codec(const struct channel *channel)
{
	return channel->ended ? "" : "PCMA";
}

void channel_quality(const struct channel *channel, struct quality_view *ret)
{
	(void)channel;
	*ret = (struct quality_view){ .known = true, .mos = 4.2f };
}

void channel_ring(struct channel *channel)
{
	channel->rung = true;
}

void channel_progress(struct channel *channel)
{
	channel->progressed = true;
}

void channel_answer(struct channel *channel, struct channel *like)
{
	channel->answered = true;
	channel->like = like;
}

void channel_hangup(struct channel *channel, enum end_reason reason, bool completed_elsewhere)
{
	bug_on(channel->ended);
	channel->hung_up = true;
	channel->reason = reason;
	channel->elsewhere = completed_elsewhere;
}

void channel_hold(struct channel *channel, bool hold)
{
	bug_on(channel->ended);
	channel->told_hold = hold;
	channel->holds++;
}

bool channel_transfer(struct channel *channel, const char *number)
{
	if (channel->cannot_refer)
		return false;
	(void)str_copy(channel->referred, sizeof(channel->referred), number);
	return true;
}

void channel_identify(struct channel *channel, const char *number, const char *name)
{
	(void)name;
	(void)str_copy(channel->shown, sizeof(channel->shown), number);
}

void channel_transfer_reply(struct channel *channel, int code)
{
	channel->transfer_code = code;
}

void channel_transfer_progress(struct channel *channel, int code)
{
	channel->transfer_code = code;
}

uint32_t channel_play(struct channel *channel, const struct sound_spec *sound)
{
	bug_on(channel->ended);
	channel->playing = true;
	channel->sound_kind = (int)sound->kind;
	if (sound->say)
		(void)str_copy(channel->said, sizeof(channel->said), sound->say);
	if (sound->file)
		(void)str_copy(channel->said, sizeof(channel->said), sound->file);
	return channel->sound_id = ++channel->engine->next_sound;
}

void channel_play_stop(struct channel *channel)
{
	channel->playing = false;
}

struct bridge *bridge_new(struct engine *engine)
{
	struct bridge *bridge = xzalloc(sizeof(*bridge));

	bridge->engine = engine;
	engine->bridges++;
	return bridge;
}

void bridge_free(struct bridge *bridge)
{
	for (unsigned i = 0; i < bridge->engine->channel_count; i++)
		if (bridge->engine->channels[i]->bridge == bridge)
			bridge->engine->channels[i]->bridge = NULL;
	bridge->engine->bridges--;
	free(bridge);
}

void bridge_add(struct bridge *bridge, struct channel *channel)
{
	bug_on(channel->ended);
	bridge->members += channel->bridge != bridge;
	channel->bridge = bridge;
}

void bridge_remove(struct bridge *bridge, struct channel *channel)
{
	bridge->members--;
	channel->bridge = NULL;
}

void bridge_hear(struct bridge *bridge, struct channel *listener, struct channel *source,
		 bool hears)
{
	bridge->deaf_listener = hears ? NULL : listener;
	bridge->deaf_source = hears ? NULL : source;
}

int channel_dtmf(struct channel *channel, const struct dtmf_spec *spec, uint32_t *ret_operation)
{
	bug_on(channel->ended);
	if (channel->fail_dtmf)
		return channel->fail_dtmf;
	(void)strncat(channel->digits, spec->digits,
		      sizeof(channel->digits) - strlen(channel->digits) - 1);
	channel->dtmf = *spec;
	channel->dtmf.digits = NULL;
	*ret_operation = ++channel->operation;
	return 0;
}

void channel_dtmf_stop(struct channel *channel)
{
	channel->digits[0] = '\0';
}

void channel_mute(struct channel *channel, bool muted)
{
	bug_on(channel->ended);
	channel->muted = muted;
}

void engine_count(const struct engine *engine, struct engine_counts *ret)
{
	*ret = (struct engine_counts){ .channels = engine->live, .bridges = engine->bridges };
}

void engine_drain(struct engine *engine)
{
	engine->drained = true;
}

struct tape *tape_new(struct engine *engine, const struct tape_spec *spec)
{
	engine->tape_spec = *spec;
	engine->tapes++;
	engine->tape.engine = engine;
	return &engine->tape;
}

void tape_add(struct tape *tape, struct channel *channel, enum tape_side side)
{
	bug_on(channel->ended);
	(void)tape;
	channel->taped = 1 + (int)side;
}

void tape_remove(struct channel *channel)
{
	bug_on(channel->ended);
	channel->taped = 0;
}

void tape_pause(struct tape *tape, bool paused)
{
	tape->engine->tape_paused = paused;
}

void tape_stop(struct tape *tape)
{
	tape->engine->tapes_stopped++;
}

void fake_tape_done(struct engine *engine, int error, uint64_t bytes)
{
	struct tape_end end = { .error = error, .bytes = bytes, .ms = bytes / 16 };
	struct engine_event event = { .type = ENGINE_TAPE_DONE,
				      .id = engine->tape_spec.id,
				      .tape = &end };

	engine->fn(engine->arg, &event);
}

void channel_deafen(struct channel *channel, bool deaf)
{
	bug_on(channel->ended);
	channel->deaf = deaf;
}

void channel_guest(struct channel *channel)
{
	channel->guest = true;
}

void channel_hush(struct channel *channel)
{
	channel->hushed = true;
	channel->aside = NULL;
}

void channel_aside(struct channel *channel, struct channel *to)
{
	bug_on(channel->ended);
	channel->aside = to;
	channel->hushed = false;
}

void channel_volume(struct channel *channel, int gain_db)
{
	bug_on(channel->ended);
	channel->volume = gain_db;
}

void channel_unrecorded(struct channel *channel, bool unrecorded)
{
	bug_on(channel->ended);
	channel->unrecorded = unrecorded;
}

void tape_bridge(struct tape *tape, struct bridge *bridge)
{
	bridge->taped = tape != NULL;
}

void channel_expect(struct channel *channel, unsigned within_ms)
{
	bug_on(channel->ended);
	channel->expect_ms = within_ms;
}

void bridge_watch(struct bridge *bridge)
{
	bridge->watched = true;
}

void bridge_chime(struct bridge *bridge, enum bridge_chime chime)
{
	bug_on(chime >= CHIME_COUNT);
	bridge->chimes++;
}
