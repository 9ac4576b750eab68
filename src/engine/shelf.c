/* The sounds that were played over and over last (hold music), so that who is held does not wait for a file. Few and
 * bounded: a second of sound is 48 KB.
 */
#include "engine/private.h"

#define TOTAL_MS (20u * 60 * 1000)

static void drop(struct shelf_sound *kept)
{
	sound_unref(kept->sound);
	free(kept->path);
	*kept = (struct shelf_sound){ 0 };
}

struct sound *shelf_get(struct engine *engine, const char *path)
{
	for (unsigned i = 0; i < ARRAY_LEN(engine->shelf); i++) {
		struct shelf_sound *kept = &engine->shelf[i];

		if (!kept->path || !str_eq(kept->path, path))
			continue;
		kept->used_ms = wheel_now_ms(engine->wheel);
		return kept->sound;
	}
	return NULL;
}

/* Return: a free place, after the ones unused for longest have made room for `ms` more. */
static struct shelf_sound *make_room(struct engine *engine, uint32_t ms)
{
	for (;;) {
		struct shelf_sound *oldest = NULL, *empty = NULL;
		uint64_t total_ms = ms;

		for (unsigned i = 0; i < ARRAY_LEN(engine->shelf); i++) {
			struct shelf_sound *kept = &engine->shelf[i];

			if (!kept->path) {
				empty = kept;
				continue;
			}
			total_ms += sound_ms(kept->sound);
			if (!oldest || kept->used_ms < oldest->used_ms)
				oldest = kept;
		}
		if (empty && total_ms <= TOTAL_MS)
			return empty;
		if (!oldest)
			return NULL;
		drop(oldest);
	}
}

void shelf_put(struct engine *engine, const char *path, struct sound *sound)
{
	struct shelf_sound *kept;

	if (shelf_get(engine, path))
		return;
	kept = make_room(engine, sound_ms(sound));
	if (!kept)
		return;
	kept->path = xstrdup(path);
	kept->sound = sound_ref(sound);
	kept->used_ms = wheel_now_ms(engine->wheel);
}

void shelf_fini(struct engine *engine)
{
	for (unsigned i = 0; i < ARRAY_LEN(engine->shelf); i++)
		drop(&engine->shelf[i]);
}
