/* One pass of sums a tick: the total of all who speak, and for each listener the total less what it
 * must not hear: itself and the cells switched off.
 */
#include "media/private.h"

#include <math.h>

static int16_t saturate(int32_t v)
{
	return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

static void apply_gain(int16_t *pcm, unsigned samples, int gain_db)
{
	int32_t gain = (int32_t)lround(GAIN_UNITY * pow(10, gain_db / 20.0));

	for (unsigned i = 0; i < samples; i++)
		pcm[i] = saturate((int32_t)((int64_t)pcm[i] * gain / GAIN_UNITY));
}

static void hear_member(struct mstream *member, unsigned samples)
{
	member->frame = NULL;
	if (!member->intake ||
	    !intake_pull(member->intake, member->said, samples, member->loop->now_us))
		return;
	member->frame = member->said;
	if (member->gain)
		apply_gain(member->said, samples, member->gain);
}

static void subtract(int32_t *sum, const int16_t *frame, unsigned samples)
{
	for (unsigned i = 0; i < samples; i++)
		sum[i] -= frame[i];
}

static void tell_member(struct mstream *member, const int32_t *total, unsigned voices,
			unsigned samples)
{
	int32_t sum[TICK_SAMPLES_MAX];
	int16_t pcm[TICK_SAMPLES_MAX];

	if (member->only || !voices) {
		outlet_push(member, member->only ? member->only->frame : NULL, samples);
		return;
	}
	memcpy(sum, total, samples * sizeof(*sum));
	if (member->frame)
		subtract(sum, member->frame, samples);
	for (unsigned i = 0; i < member->deny_count; i++)
		if (member->deny[i]->frame)
			subtract(sum, member->deny[i]->frame, samples);
	for (unsigned i = 0; i < samples; i++)
		pcm[i] = saturate(sum[i]);
	outlet_push(member, pcm, samples);
}

void mix_tick(struct mbridge *bridge)
{
	unsigned samples = bridge->rate / 1000 * TICK_MS, voices = 0;
	int32_t *total = bridge->loop->total;

	memset(total, 0, samples * sizeof(*total));
	for (unsigned i = 0; i < bridge->count; i++) {
		struct mstream *member = bridge->members[i];

		hear_member(member, samples);
		if (!member->frame)
			continue;
		voices++;
		for (unsigned j = 0; j < samples; j++)
			total[j] += member->frame[j];
	}
	for (unsigned i = 0; i < bridge->count; i++)
		if (bridge->members[i]->source == SOURCE_MIX)
			tell_member(bridge->members[i], total, voices, samples);
}
