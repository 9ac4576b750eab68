/* What is said in a bridge, for a recording: the mixer's total, less those who are not to be recorded. It is one voice, so
 * that a recording of five hundred costs what a recording of two does; who comes and goes is nothing to it.
 */
#include "media/private.h"
#include "media/recorder.h"

#include <speex/speex_resampler.h>

#define RESAMPLE_QUALITY 3

static void resampler_drop(struct mix_tape *tape)
{
	if (tape->resampler)
		speex_resampler_destroy(tape->resampler);
	tape->resampler = NULL;
}

struct mix_tape *mix_tape_free(struct mix_tape *tape)
{
	if (tape) {
		resampler_drop(tape);
		free(tape);
	}
	return NULL;
}

void mix_tape_set(struct mbridge *bridge, struct mix_tape *tape)
{
	mix_tape_free(bridge->tape);
	bridge->tape = tape;
	plan_bridge(bridge);
}

void mix_tape_follow(struct mbridge *bridge)
{
	struct mix_tape *tape = bridge->tape;
	int r;

	if (!tape || tape->from == bridge->rate)
		return;
	resampler_drop(tape);
	tape->from = bridge->rate;
	if (tape->from != tape->rate)
		tape->resampler =
			speex_resampler_init(1, tape->from, tape->rate, RESAMPLE_QUALITY, &r);
}

/* Return: how many are heard in it. */
static unsigned collect(const struct mbridge *bridge, const int32_t *total, unsigned samples,
			int16_t *pcm)
{
	int32_t sum[TICK_SAMPLES_MAX];
	unsigned voices = 0;

	memcpy(sum, total, samples * sizeof(*sum));
	for (unsigned i = 0; i < bridge->count; i++) {
		const struct mstream *member = bridge->members[i];

		if (!member->frame || member->aside)
			continue;
		voices += !member->unrecorded;
		for (unsigned j = 0; member->unrecorded && j < samples; j++)
			sum[j] -= member->frame[j];
	}
	for (unsigned i = 0; i < samples; i++)
		pcm[i] = pcm_clip(sum[i]);
	return voices;
}

void mix_tape_tick(struct mbridge *bridge, const int32_t *total, unsigned samples)
{
	struct mix_tape *tape = bridge->tape;
	int16_t pcm[TICK_SAMPLES_MAX], out[TICK_SAMPLES_MAX] = { 0 };
	spx_uint32_t in = samples, want = tape->rate / 1000 * TICK_MS, got = want;
	uint64_t tick = bridge->loop->tick_us / TICK_US;

	if (!collect(bridge, total, samples, pcm))
		return;
	if (tape->resampler)
		speex_resampler_process_int(tape->resampler, 0, pcm, &in, out, &got);
	recorder_give_pcm(tape->recorder,
			  &(struct record_frame){ .number = tape->number,
						  .side = MEDIA_SIDE_LEFT,
						  .at = tick * want },
			  tape->resampler ? out : pcm, want);
}
