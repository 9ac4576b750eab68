/* The built-in engine: puts sip/ and media/ together, and hands on what happens in one stream of events. */
#include "engine/private.h"

/* ---- events ---- */

static void queued_free(struct queued *queued)
{
	free(queued->info);
	free(queued->registration);
	free(queued->text);
	free(queued);
}

static void deliver(struct engine *engine, struct queued *queued)
{
	struct channel *channel = queued->event.channel;

	if (channel)
		queued->event.user = channel->user;
	if (engine->fn && (!channel || channel->user || queued->event.type == ENGINE_INCOMING ||
			   queued->event.type == ENGINE_REPLACES))
		engine->fn(engine->arg, &queued->event);
	if (channel && queued->event.type == ENGINE_ENDED)
		channel_free(channel);
	queued_free(queued);
}

static void flush(struct engine *engine)
{
	struct queued *queued;

	if (engine->inside)
		return;
	engine->inside++;
	while ((queued = chain_owner(engine->events.head, struct queued, in_engine))) {
		chain_remove(&engine->events, &queued->in_engine);
		deliver(engine, queued);
	}
	engine->inside--;
}

static void flush_late(struct timer *timer, void *arg)
{
	(void)timer;
	flush(arg);
}

void engine_enter(struct engine *engine)
{
	engine->inside++;
}

void engine_settle(struct engine *engine)
{
	engine->inside--;
	flush(engine);
}

void engine_leave(struct engine *engine)
{
	if (!--engine->inside && engine->events.count)
		timer_start(&engine->flush, 0);
}

struct queued *event_of(struct engine *engine, enum engine_event_type type)
{
	struct queued *queued = xzalloc(sizeof(*queued));

	(void)engine;
	queued->event.type = type;
	return queued;
}

struct queued *event_for(struct channel *channel, enum engine_event_type type)
{
	struct queued *queued = event_of(channel->engine, type);

	queued->event.channel = channel;
	return queued;
}

void event_emit(struct engine *engine, struct queued *queued)
{
	struct engine_event *event = &queued->event;

	if (event->type == ENGINE_ENDED)
		event->end = &queued->end;
	if (event->type == ENGINE_TAPE_DONE)
		event->tape = &queued->tape;
	event->info = queued->info;
	event->registration = queued->registration;
	event->text = event->target = queued->text;
	bug_on(!engine->inside);
	chain_append(&engine->events, &queued->in_engine);
}

/* ---- the whole ---- */

static struct ua *user_agent(struct engine *engine, const struct engine_setup *setup)
{
	struct ua_setup ua = {
		.stack = setup->stack,
		.max_sessions = 2 * engine->max_channels,
		.session_expires = setup->session_expires_s,
		.regs = {
			.per_second = setup->first_registrations_per_s,
			.handlers = { .on_report = line_on_report },
			.arg = engine,
		},
		.registrar = {
			.realm = setup->realm ? setup->realm : "jackfield",
			.handlers = { .lookup = phone_lookup, .on_bindings = phone_on_bindings },
			.arg = engine,
		},
		.handlers = { .on_incoming = incoming_session },
		.arg = engine,
	};

	return ua_new(&ua);
}

static void make_sounds(struct engine *engine, const char *country)
{
	static const struct sound_tone chimes[] = {
		[CHIME_JOINED] = { { 880 }, { 120 }, -20 },
		[CHIME_LEFT] = { { 587 }, { 120 }, -20 },
		[CHIME_RECORDED] = { { 1400 },
				     { 200 },
				     -20 }, /* as recorders must in many places */
	};

	engine->ringback = sound_new_ringback(country);
	engine->music = sound_new_music();
	for (unsigned i = 0; i < CHIME_COUNT; i++)
		engine->chimes[i] = sound_new_tone(&chimes[i]);
}

struct engine *engine_new(const struct engine_setup *setup)
{
	struct engine *engine = xzalloc(sizeof(*engine));
	struct media_config media = setup->media;
	struct speech_config speech = { .pool = setup->pool, .home = setup->home };

	engine->stack = setup->stack;
	engine->wheel = stack_wheel(setup->stack);
	engine->pool = setup->pool;
	engine->home = setup->home;
	engine->voice = xstrdup(setup->voice);
	engine->watchdog_ms = setup->watchdog_ms ? setup->watchdog_ms : 60000;
	engine->max_channels = setup->max_channels ? setup->max_channels : 20000;
	engine->media_addr = setup->media.address;
	if (setup->public_addr && !media_addr_parse(setup->public_addr, 0, &engine->public_addr))
		log_warn("the public address is not an IP address",
			 LOG_STR("address", setup->public_addr));
	timer_init(&engine->flush, engine->wheel, flush_late, engine);
	timer_init(&engine->moved, engine->wheel, lines_moved, engine);
	media.on_event = talk_on_media;
	media.arg = engine;
	engine->media = media_new(&media);
	engine->speech = speech_new(&speech);
	make_sounds(engine, setup->ringback);
	engine->ua = user_agent(engine, setup);
	return engine;
}

static void channels_fini(struct engine *engine)
{
	struct hnode *node;
	size_t cursor;

	while (cursor = 0, (node = hmap_iter(&engine->channels, &cursor, NULL)))
		channel_free(container_of_(node, struct channel, node));
	hmap_fini(&engine->channels);
}

struct engine *engine_free(struct engine *engine)
{
	struct queued *queued, *then;

	if (!engine)
		return NULL;
	engine->inside++;
	channels_fini(engine);
	ua_free(engine->ua);
	chain_each_safe(queued, then, &engine->events, in_engine)
		queued_free(queued);
	loads_fini(engine);
	shelf_fini(engine);
	speech_free(engine->speech);
	media_free(engine->media);
	sound_unref(engine->ringback);
	sound_unref(engine->music);
	for (unsigned i = 0; i < CHIME_COUNT; i++)
		sound_unref(engine->chimes[i]);
	tapes_fini(engine);
	lines_fini(engine);
	phones_fini(engine);
	timer_stop(&engine->flush);
	timer_stop(&engine->moved);
	free(engine->voice);
	free(engine);
	return NULL;
}

void engine_set_handler(struct engine *engine, engine_event_fn *fn, void *arg)
{
	engine->fn = fn;
	engine->arg = arg;
}

struct wheel *engine_wheel(struct engine *engine)
{
	return engine->wheel;
}

int engine_media_fd(const struct engine *engine)
{
	return media_fd(engine->media);
}

void engine_media_poll(struct engine *engine)
{
	media_poll(engine->media);
}

struct media *engine_media(struct engine *engine)
{
	return engine->media;
}

void engine_count(const struct engine *engine, struct engine_counts *ret)
{
	*ret = (struct engine_counts){
		.lines = (unsigned)engine->lines.count,
		.lines_registered = engine->lines_registered,
		.devices = (unsigned)engine->phones.count,
		.devices_online = engine->devices_online,
		.channels = (unsigned)engine->channels.count,
		.bridges = engine->bridges,
		.streams = media_stream_count(engine->media),
		.transactions = (unsigned)stack_live(engine->stack),
		.dialogs = (unsigned)dialog_table_count(ua_dialogs(engine->ua)),
		.tapes = (unsigned)engine->tapes.count,
	};
}

static void drained(void *arg)
{
	(void)arg;
	log_info("all lines are unregistered");
}

void engine_drain(struct engine *engine)
{
	if (engine->draining)
		return;
	engine->draining = true;
	engine_enter(engine);
	ua_drain(engine->ua, true);
	regs_stop(ua_regs(engine->ua), drained, engine);
	engine_leave(engine);
}
