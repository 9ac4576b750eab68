/* Sounds: files and speech are made ready elsewhere, and start when they are. */
#include "engine/private.h"

/* A sound that is being read or spoken for a channel. The channel may be gone when it is ready. */
struct load {
	struct chain_link in_engine;
	struct engine *engine; /* NULL: nobody wants it any more */
	uint64_t channel;
	uint32_t id;
	char *path;
	int r;
	struct sound *sound;
};

static void done_event(struct channel *channel, uint32_t id, bool ok)
{
	struct queued *queued;

	/* A channel that leaves has another, last thing to say. */
	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING)
		return;
	queued = event_for(channel, ENGINE_SOUND_DONE);
	queued->event.sound_id = id;
	queued->event.ok = ok;
	event_emit(channel->engine, queued);
}

static void load_free(struct load *load)
{
	if (load->engine)
		chain_remove(&load->engine->loads, &load->in_engine);
	sound_unref(load->sound);
	free(load->path);
	free(load);
}

static struct load *load_new(struct channel *channel)
{
	struct load *load = xzalloc(sizeof(*load));

	load->engine = channel->engine;
	load->channel = channel->number;
	load->id = channel->playing.id;
	chain_append(&load->engine->loads, &load->in_engine);
	return load;
}

static void load_forget(struct load *load)
{
	chain_remove(&load->engine->loads, &load->in_engine);
	load->engine = NULL;
}

void playing_end(struct channel *channel, bool ok)
{
	struct playing was = channel->playing;

	if (!was.id)
		return;
	channel->playing = (struct playing){ 0 };
	if (was.speech) {
		speech_cancel(channel->engine->speech, was.speech);
		load_free(was.load);
	} else if (was.load) {
		load_forget(was.load); /* the worker has it */
	}
	if (was.echo)
		media_stream_echo(channel->engine->media, channel->stream, false);
	if (!media_id_is_none(was.player))
		media_stop(channel->engine->media, channel->stream, was.player);
	done_event(channel, was.id, ok);
}

void playing_done(struct channel *channel, struct media_id player, bool complete)
{
	uint32_t id = channel->playing.id;

	(void)complete;
	if (!id || !media_id_eq(channel->playing.player, player))
		return;
	channel->playing = (struct playing){ 0 };
	done_event(channel, id, true);
}

static void start(struct channel *channel, struct sound *sound)
{
	struct media_play play = { .sound = sound, .loop = channel->playing.loop };

	channel->playing.player = media_play(channel->engine->media, channel->stream, &play);
}

/* The sound is there, or it never will be. Takes the load. */
static void ready(struct load *load, struct sound *sound)
{
	struct engine *engine = load->engine;
	struct channel *channel = engine ? channel_get(engine, load->channel) : NULL;

	if (channel && channel->playing.id == load->id) {
		engine_enter(engine);
		channel->playing.speech = 0;
		channel->playing.load = NULL;
		if (sound && load->path && channel->playing.loop)
			shelf_put(engine, load->path, sound);
		if (sound)
			start(channel, sound);
		else
			playing_end(channel, false);
		engine_settle(engine);
	}
	load_free(load);
}

static void spoken(int r, struct sound *sound, void *arg)
{
	ready(arg, r ? NULL : sound);
}

static void read_file(void *arg)
{
	struct load *load = arg;

	load->r = sound_load(load->path, NULL, &load->sound);
}

static void file_read(void *arg)
{
	struct load *load = arg;

	if (load->r)
		log_warn("a sound cannot be played", LOG_STR("file", load->path),
			 LOG_INT("why", load->r));
	ready(load, load->r ? NULL : load->sound);
}

static bool say(struct channel *channel, const char *text)
{
	struct speech_request request = { .text = text, .voice = channel->engine->voice };
	struct load *load = load_new(channel);
	uint32_t id = channel->playing.id;
	uint64_t ticket = 0;

	channel->playing.load = load;
	if (speech_say(channel->engine->speech, &request, spoken, load, &ticket)) {
		channel->playing.load = NULL;
		load_free(load);
		return false;
	}
	/* What is in the cache has been answered already. */
	if (ticket && channel->playing.id == id && channel->playing.load == load)
		channel->playing.speech = ticket;
	return true;
}

static bool play_file(struct channel *channel, const char *path)
{
	struct sound *kept = channel->playing.loop ? shelf_get(channel->engine, path) : NULL;
	struct work work = { read_file, file_read, NULL, channel->engine->home };
	struct load *load;

	if (kept) {
		start(channel, kept);
		return true;
	}
	work.arg = load = load_new(channel);
	load->path = xstrdup(path);
	channel->playing.load = load;
	if (work_submit(channel->engine->pool, &work))
		return true;
	channel->playing.load = NULL;
	load_free(load);
	return false;
}

static bool begin(struct channel *channel, const struct sound_spec *spec)
{
	static const int16_t nothing[800];
	struct sound *silence;

	switch (spec->kind) {
	case SOUND_ECHO:
		channel->playing.echo = true;
		media_stream_echo(channel->engine->media, channel->stream, true);
		return true;
	case SOUND_RINGBACK:
		start(channel, channel->engine->ringback);
		return true;
	case SOUND_MUSIC:
		start(channel, channel->engine->music);
		return true;
	case SOUND_SILENCE:
		silence = sound_new(nothing, ARRAY_LEN(nothing), 8000);
		start(channel, silence);
		sound_unref(silence);
		return true;
	case SOUND_SAY:
		return say(channel, spec->say);
	case SOUND_FILE:
		return play_file(channel, spec->file);
	}
	return false;
}

uint32_t channel_play(struct channel *channel, const struct sound_spec *spec)
{
	struct engine *engine = channel->engine;
	uint32_t id = ++engine->next_sound;

	engine_enter(engine);
	playing_end(channel, true);
	/* Nor is the line dead once it has ended. */
	if (channel->state == CHANNEL_UP)
		media_stream_idle(engine->media, channel->stream, MEDIA_IDLE_SILENCE);
	channel->playing.id = id;
	channel->playing.loop = spec->loop;
	if (channel->state == CHANNEL_GONE || channel->state == CHANNEL_LEAVING ||
	    talk_open(channel, NULL) || !begin(channel, spec))
		playing_end(channel, false);
	engine_leave(engine);
	return id;
}

void channel_play_stop(struct channel *channel)
{
	engine_enter(channel->engine);
	playing_end(channel, true);
	engine_leave(channel->engine);
}

void loads_fini(struct engine *engine)
{
	struct load *load, *then;

	/* A worker has some of them still; those are freed when they are handed back. Speech has the others and will
	 * not hand them back.
	 */
	chain_each_safe(load, then, &engine->loads, in_engine) {
		if (load->path)
			load_forget(load);
		else
			load_free(load);
	}
}
