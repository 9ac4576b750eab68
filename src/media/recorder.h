/* media/recorder.h - from the taps of streams to files: one thread that may block on the disk
 *
 * A tap (tap.c, on a media loop) gives what its stream says, with the time when it was said, to a bounded
 * ring; silence is not given at all. The recorder's thread puts frames at their places into a short window, closes
 * ticks of 20 ms somewhat behind the clock, mixes, and appends to the recording's vault. Time that nobody spoke in is filled
 * with silence, so that a recording is as long as it lasted whatever happened. When the disk is slow the ring
 * fills, frames are lost (silence, counted), and media goes on.
 *
 * The thread begins with the first recording.
 */
#pragma once

#include "base/ring.h"
#include "media/media.h"
#include "media/vault.h"

#define RECORD_PART 160 /* samples a message at most: a tick at 8 kHz, half of one at 16 kHz */

struct recorder;

struct recorder_setup {
	/* Any thread but the call loop: what is known of recordings must be kept before their files begin. May be NULL. */
	void (*before_files)(void *arg);
	/* On the recorder's thread, once for each recording. */
	void (*on_end)(void *arg, const struct media_recorded *end);
	void *arg, *end_arg;
	uint64_t min_free; /* bytes that must stay free on the disk */
};

struct recorder *recorder_new(const struct recorder_setup *setup);
/* Ends all recordings as they are, then the thread. */
struct recorder *recorder_free(struct recorder *recorder);

/* The call loop's. `tick`: when it takes effect. */
void recorder_open(struct recorder *recorder, uint64_t number, const struct media_record *record,
		   uint64_t tick);
void recorder_pause(struct recorder *recorder, uint64_t number, bool paused, uint64_t tick);
void recorder_close(struct recorder *recorder, uint64_t number, uint64_t tick);
/* What the thread had no room for is told now, if it has. */
void recorder_flush(struct recorder *recorder);

struct record_frame {
	uint64_t number;
	uint64_t
		at; /* of the first sample: the monotonic clock in samples of the recording's rate */
	uint8_t side;	/* enum media_side */
	uint16_t count; /* of samples */
	int16_t pcm[RECORD_PART];
};

/* A media loop's: never blocks; what does not fit is counted and lost. */
void recorder_give(struct recorder *recorder, const struct record_frame *frame);
/* The same in as many messages as it takes; count and pcm of `first` do not matter. */
void recorder_give_pcm(struct recorder *recorder, const struct record_frame *first,
		       const int16_t *pcm, unsigned samples);

/* One round of the thread, with the clock where the caller puts it (tests; no thread then). */
struct recorder *recorder_new_manual(const struct recorder_setup *setup);
void recorder_round(struct recorder *recorder, uint64_t now_tick);
