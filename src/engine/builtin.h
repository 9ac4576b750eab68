/* engine/builtin.h - making the built-in engine: src/sip and src/media behind engine/engine.h
 *
 * Belongs to the call loop, whose owner watches two descriptors: engine_media_fd() for engine_media_poll(), and the
 * ring `home` for work_reap().
 */
#pragma once

#include "base/work.h"
#include "engine/engine.h"
#include "media/media.h"
#include "sip/stack.h"

struct engine_setup {
	struct stack *stack;	   /* the caller's, outlives the engine */
	struct media_config media; /* its handler is ours */
	struct work_pool *pool;	   /* files and speech */
	struct ring *home;	   /* of struct work, reaped on the call loop */
	const char *realm;	   /* of the devices' registrar; NULL: "jackfield" */
	const char *public_addr;   /* IP told in SDP instead of the local one; NULL: none */
	const char *ringback;	   /* country (ISO 3166); NULL: E.180's */
	const char *voice;	   /* of speech; NULL: en */
	unsigned max_channels;	   /* 0: 20000 */
	unsigned first_registrations_per_s, session_expires_s; /* 0: the defaults of sip/ */
	unsigned
		watchdog_ms; /* silence after which the far end is asked whether it is still there; 0: 60 s */
};

struct engine *engine_new(const struct engine_setup *setup);
/* Channels end without events; lines are not unregistered (engine_drain() does that). */
struct engine *engine_free(struct engine *engine);
DEFINE_CLEANUP(struct engine *, engine_free)

int engine_media_fd(const struct engine *engine);
void engine_media_poll(struct engine *engine);
struct media *engine_media(struct engine *engine); /* tests */
