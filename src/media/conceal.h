/* media/conceal.h - packet loss concealment for codecs that have none of their own
 *
 * A gap is filled with the last pitch period, repeated and faded out, and blended over into what
 * comes next, as G.711 Appendix I does. (spandsp's copies overlapping memory with memcpy.)
 */
#pragma once

#include "base/mem.h"

#define CONCEAL_RATE_MAX 16000
#define CONCEAL_HISTORY (CONCEAL_RATE_MAX * 50 / 1000)
#define CONCEAL_PITCH_MAX (CONCEAL_RATE_MAX * 15 / 1000)

struct conceal {
	unsigned rate;
	unsigned missing;		  /* samples made since the last good one */
	unsigned pitch, at;		  /* length of `period`, and the place in it */
	int16_t history[CONCEAL_HISTORY]; /* the last 50 ms, newest last */
	int16_t period[CONCEAL_PITCH_MAX];
};

void conceal_init(struct conceal *conceal, unsigned rate); /* 8000 or 16000 */
/* Good sound passes by: remembered; behind a gap its beginning is blended with what the gap was
 * filled with.
 */
void conceal_good(struct conceal *conceal, int16_t *pcm, unsigned samples);
void conceal_fill(struct conceal *conceal, int16_t *out, unsigned samples);
