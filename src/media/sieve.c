/* Takes digits out of what a member says, from their first millisecond: sound waits for two ticks, by which time the
 * detector has had two of its blocks (12.75 ms) whole within a tone, wherever that began. It listens to what is about to be
 * mixed, so that neither the network nor a jitter buffer plays a part in it.
 */
#include "media/private.h"

#include <spandsp.h>

#define RATE 8000
#define LINE 3 /* the tick being said, and the two before */

struct sieve {
	dtmf_rx_state_t *rx;
	bool sounds;   /* a digit, in the last block */
	unsigned last; /* place of the tick being said */
	struct {
		bool there, digit;
		int16_t pcm[TICK_SAMPLES_MAX];
	} line[LINE];
};

static void heard(void *arg, int code, int level, int delay)
{
	struct sieve *sieve = arg;

	(void)level;
	(void)delay;
	sieve->sounds = code;
	/* It began in one of those that wait. */
	for (unsigned i = 0; code && i < LINE; i++)
		sieve->line[i].digit = true;
}

struct sieve *sieve_new(void)
{
	struct sieve *sieve = xzalloc(sizeof(*sieve));

	sieve->rx = dtmf_rx_init(NULL, NULL, NULL);
	bug_on(!sieve->rx);
	dtmf_rx_set_realtime_callback(sieve->rx, heard, sieve);
	return sieve;
}

struct sieve *sieve_free(struct sieve *sieve)
{
	if (sieve) {
		dtmf_rx_free(sieve->rx);
		free(sieve);
	}
	return NULL;
}

/* All tones of digits are below 1.7 kHz: the mean of a few samples will do for them. */
static void sieve_listen(struct sieve *sieve, const int16_t *pcm, unsigned samples)
{
	unsigned step = samples / (RATE / 1000 * TICK_MS);
	int16_t narrow[RATE / 1000 * TICK_MS];

	for (unsigned i = 0; i < ARRAY_LEN(narrow); i++) {
		int32_t sum = 0;

		for (unsigned j = 0; j < step; j++)
			sum += pcm[i * step + j];
		narrow[i] = (int16_t)(sum / (int32_t)step);
	}
	dtmf_rx(sieve->rx, narrow, ARRAY_LEN(narrow));
}

const int16_t *sieve_pass(struct sieve *sieve, const int16_t *frame, unsigned samples)
{
	static const int16_t silence[TICK_SAMPLES_MAX];
	unsigned now = (sieve->last + 1) % LINE, oldest = (now + 1) % LINE;

	sieve->last = now;
	sieve->line[now].there = frame;
	sieve->line[now].digit = sieve->sounds; /* it may end in this one */
	if (frame)
		memcpy(sieve->line[now].pcm, frame, samples * sizeof(*frame));
	sieve_listen(sieve, frame ? frame : silence, samples);
	sieve->line[now].digit = sieve->line[now].digit || sieve->sounds;
	return sieve->line[oldest].there && !sieve->line[oldest].digit ? sieve->line[oldest].pcm
								       : NULL;
}
