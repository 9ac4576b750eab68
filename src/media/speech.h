/* media/speech.h - text to speech by espeak-ng, as a child process on a worker
 *
 * Belongs to the call loop. No shell: the text goes to the child's standard input, the voice is one
 * of a fixed list, output and run time are bounded. Results are cached by voice, speed and text.
 */
#pragma once

#include "base/work.h"
#include "media/sound.h"

#define SPEECH_TEXT_MAX 4000 /* bytes of UTF-8 */

struct speech;

struct speech_config {
	struct work_pool *pool; /* where the child is awaited */
	struct ring *home;	/* the call loop's ring of finished work (base/work.h) */
	const char *program;	/* NULL: espeak-ng from PATH */
	unsigned timeout_ms;	/* 0: 10,000 for each text */
	size_t cache_bytes;	/* 0: 32 MiB of PCM; least recently used goes first */
};

struct speech *speech_new(const struct speech_config *config);
/* Requests still running are forgotten: their callbacks never come. */
struct speech *speech_free(struct speech *speech);
DEFINE_CLEANUP(struct speech *, speech_free)

enum {
	SPEECH_E_TEXT = 1, /* empty, too long or not clean UTF-8 */
	SPEECH_E_VOICE,	   /* not on the list */
	SPEECH_E_BUSY,	   /* too much queued */
	SPEECH_E_FAILED,   /* the program is missing, failed or ran out of time */
};

struct speech_request {
	const char *text;
	const char *voice;  /* "en", "de", "en-us"...: speech_voice_ok(); NULL: en */
	unsigned speed_wpm; /* 80..400; 0: 160 */
};

bool speech_voice_ok(const char *voice);

/* `on_done` comes later from work_reap() on the call loop, or, when it is cached, before this
 * returns: with r = 0 and a sound that is lent (take a reference to keep it), or r =
 * SPEECH_E_FAILED and NULL. Return: 0 when on_done was or will be called, else SPEECH_E_* and it
 * never is. *ret_ticket (may be NULL) is for speech_cancel(), 0 when already answered.
 */
typedef void speech_fn(int r, struct sound *sound, void *arg);
must_check int speech_say(struct speech *speech, const struct speech_request *request,
			  speech_fn *on_done, void *arg, uint64_t *ret_ticket);
void speech_cancel(struct speech *speech, uint64_t ticket);

/* The same without a call loop, a cache or a queue. Blocks until the child has ended: a worker's. Return: 0 with a
 * reference in *ret, or SPEECH_E_*.
 */
must_check int speech_make(const struct speech_request *request, struct sound **ret);
