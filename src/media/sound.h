/* media/sound.h - sounds: immutable, in memory, 16-bit mono PCM at the rates that players need
 *
 * A sound never changes once made, so that any thread may play it; its reference count is atomic.
 * Loading and speech block: they run on workers.
 */
#pragma once

#include "base/mem.h"

struct sound;

struct sound *sound_ref(struct sound *sound);
struct sound *sound_unref(struct sound *sound); /* NULL is fine. Return: NULL */
DEFINE_CLEANUP(struct sound *, sound_unref)

enum {
	SOUND_E_OPEN = 1, /* no such file, or not readable */
	SOUND_E_FORMAT,	  /* not WAV, FLAC, Ogg or MP3, or broken */
	SOUND_E_TOO_LONG, /* beyond the limits */
	SOUND_E_EMPTY,
};

struct sound_limits {
	uint32_t max_ms;    /* 0: 600,000 */
	uint64_t max_bytes; /* of the file; 0: 64 MiB */
};

/* Blocks: a worker's. Any channels and rate; mixed to mono. limits may be NULL. Return: 0 or
 * SOUND_E_*.
 */
must_check int sound_load(const char *path, const struct sound_limits *limits, struct sound **ret);
/* The same from a descriptor of a regular or memory file, which stays the caller's. */
must_check int sound_load_fd(int fd, const struct sound_limits *limits, struct sound **ret);
/* Copies; rate 8000..96000. */
struct sound *sound_new(const int16_t *pcm, size_t samples, unsigned rate);

/* One or two frequencies in a cadence; a period of it, meant to be looped. */
struct sound_tone {
	unsigned freq_hz[2];   /* second: 0 for one tone */
	unsigned on_off_ms[6]; /* on, off, on, off...; ends with 0. Alone: that long */
	int level_dbm0;	       /* each frequency; 0: -13 */
};

struct sound *sound_new_tone(const struct sound_tone *tone);
/* Ringback of a country (ISO 3166 two letters, any case); unknown or NULL: 425 Hz, 1 s on, 4 s off
 * (E.180).
 */
struct sound *sound_new_ringback(const char *country);

/* Music on hold: 16 s, made to be looped; the same each time. */
struct sound *sound_new_music(void);

uint32_t sound_ms(const struct sound *sound);
/* PCM at 8000 or 16000 Hz, which is what players feed to coders; NULL for any other rate. */
const int16_t *sound_pcm(const struct sound *sound, unsigned rate, size_t *ret_samples);
