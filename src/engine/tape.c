/* Tapes: what channels say, on its way to an encrypted file. */
#include "engine/private.h"

#define SLOT(number) ((number)*0x9e3779b97f4a7c15ull)

static struct tape *tape_find(struct engine *engine, uint64_t number)
{
	struct hnode *node = hmap_first(&engine->tapes, SLOT(number));

	for (; node; node = hmap_same(node)) {
		struct tape *tape = container_of_(node, struct tape, node);

		if (tape->number == number)
			return tape;
	}
	return NULL;
}

struct tape *tape_new(struct engine *engine, const struct tape_spec *spec)
{
	struct tape *tape = xzalloc(sizeof(*tape));
	struct media_record record = {
		.path = spec->path,
		.stereo = spec->stereo,
		.wideband = spec->wideband,
	};

	_Static_assert(sizeof(record.key) == sizeof(spec->key), "a vault's key");
	memcpy(record.key, spec->key, sizeof(record.key));
	memcpy(record.label, spec->id.byte, sizeof(record.label));
	tape->engine = engine;
	tape->id = spec->id;
	tape->wideband = spec->wideband;
	tape->number = media_record_open(engine->media, &record);
	explicit_bzero(&record, sizeof(record));
	hmap_add(&engine->tapes, &tape->node, SLOT(tape->number));
	return tape;
}

void tape_add(struct tape *tape, struct channel *channel, enum tape_side side)
{
	media_record_tap(tape->engine->media, tape->number, tape->wideband, channel->stream,
			 side == TAPE_LEFT ? MEDIA_SIDE_LEFT : MEDIA_SIDE_RIGHT);
}

void tape_remove(struct channel *channel)
{
	media_record_tap(channel->engine->media, 0, false, channel->stream, MEDIA_SIDE_LEFT);
}

void tape_bridge(struct tape *tape, struct bridge *bridge)
{
	bridge->tape = tape ? tape->number : 0;
	bridge->tape_wideband = tape && tape->wideband;
	if (!media_id_is_none(bridge->id))
		media_bridge_record(bridge->engine->media, bridge->id, bridge->tape,
				    bridge->tape_wideband);
}

void channel_unrecorded(struct channel *channel, bool unrecorded)
{
	media_bridge_unrecorded(channel->engine->media, channel->stream, unrecorded);
}

void tape_pause(struct tape *tape, bool paused)
{
	media_record_pause(tape->engine->media, tape->number, paused);
}

void tape_stop(struct tape *tape)
{
	media_record_close(tape->engine->media, tape->number);
}

static void tape_free(struct tape *tape)
{
	hmap_del(&tape->engine->tapes, &tape->node);
	free(tape);
}

void tape_on_media(struct engine *engine, const struct media_recorded *recorded)
{
	struct tape *tape = tape_find(engine, recorded->number);
	struct queued *queued;

	if (!tape)
		return;
	engine_enter(engine);
	queued = event_of(engine, ENGINE_TAPE_DONE);
	queued->event.id = tape->id;
	queued->tape = (struct tape_end){ .error = -recorded->error,
					  .bytes = recorded->bytes,
					  .ms = recorded->ms };
	(void)str_copy(queued->tape.sha256, sizeof(queued->tape.sha256), recorded->sha256);
	tape_free(tape);
	event_emit(engine, queued);
	engine_settle(engine);
}

void tapes_fini(struct engine *engine)
{
	struct hnode *node;
	size_t cursor;

	while (cursor = 0, (node = hmap_iter(&engine->tapes, &cursor, NULL)))
		tape_free(container_of_(node, struct tape, node));
	hmap_fini(&engine->tapes);
}
