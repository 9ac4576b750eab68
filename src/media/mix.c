/* One pass of sums a tick: the total of all who speak to all, and for each listener the total less what it
 * must not hear (itself and the cells switched off) and with what is said to it alone.
 */
#include "media/private.h"

#include <math.h>

static void apply_gain(int16_t *pcm, unsigned samples, int gain_db)
{
	int32_t gain = (int32_t)lround(GAIN_UNITY * pow(10, gain_db / 20.0));

	for (unsigned i = 0; i < samples; i++)
		pcm[i] = pcm_clip((int32_t)((int64_t)pcm[i] * gain / GAIN_UNITY));
}

/* A voice is well above -45 dBm0; room noise of a quiet office is below. */
#define TALK_LEVEL 260	     /* root mean square of a tick */
#define TALK_TICKS 3	     /* a click is no speech */
#define TALK_HANG_US 300000  /* between words */
#define TALK_APART_US 250000 /* at most 4 a second */

static bool is_loud(const int16_t *pcm, unsigned samples)
{
	int64_t energy = 0;

	for (unsigned i = 0; i < samples; i++)
		energy += (int32_t)pcm[i] * pcm[i];
	return energy > (int64_t)samples * TALK_LEVEL * TALK_LEVEL;
}

static void judge_voice(struct mstream *member, unsigned samples)
{
	struct media_event event = { .type = MEDIA_EVENT_TALK };
	uint64_t now_us = member->loop->now_us;

	if (member->frame && is_loud(member->frame, samples)) {
		member->loud += member->loud < TALK_TICKS;
		member->loud_us = now_us;
	} else if (now_us - member->loud_us >= TALK_HANG_US) {
		member->loud = 0;
	}
	event.talking = member->loud == TALK_TICKS || (member->talking && member->loud);
	if (event.talking == member->talking || now_us - member->told_us < TALK_APART_US)
		return;
	member->talking = event.talking;
	member->told_us = now_us;
	stream_emit(member, &event);
}

void voice_forget(struct mstream *member)
{
	struct media_event event = { .type = MEDIA_EVENT_TALK };

	if (member->talking)
		stream_emit(member, &event);
	member->talking = false;
	member->loud = 0;
}

static void sieve_apply(struct mstream *member, unsigned samples)
{
	const int16_t *pcm = sieve_pass(member->sieve, member->frame, samples);

	member->frame = NULL;
	if (!pcm)
		return;
	memcpy(member->said, pcm, samples * sizeof(*pcm));
	member->frame = member->said;
}

static void hear_member(struct mstream *member, unsigned samples)
{
	member->frame = NULL;
	if (!member->intake)
		return;
	if (intake_pull(member->intake, member->said, samples, member->loop->now_us))
		member->frame = member->said;
	if (member->sieve)
		sieve_apply(member, samples);
	if (member->frame && member->gain)
		apply_gain(member->said, samples, member->gain);
}

/* ---- chimes ---- */

void mix_chime(struct mbridge *bridge, struct sound *sound)
{
	sound_unref(bridge->chime);
	bridge->chime = sound;
	bridge->chime_at = 0;
	plan_bridge(bridge); /* those who are relayed are mixed meanwhile */
}

/* Sounds are kept at 8 and 16 kHz; a multiple of these is read by repeating samples, which does a chime no harm. */
static bool chime_add(struct mbridge *bridge, int32_t *total, unsigned samples)
{
	unsigned rate = bridge->rate > 8000 ? 16000 : 8000, repeat = bridge->rate / rate;
	const int16_t *pcm;
	size_t length;

	if (!bridge->chime)
		return false;
	pcm = sound_pcm(bridge->chime, rate, &length);
	for (unsigned i = 0; i < samples && bridge->chime_at < length; i++) {
		total[i] += pcm[bridge->chime_at];
		bridge->chime_at += (i + 1) % repeat == 0;
	}
	if (bridge->chime_at >= length)
		bridge->chime = sound_unref(bridge->chime);
	return true;
}

/* ---- sums ---- */

static void subtract(int32_t *sum, const int16_t *frame, unsigned samples)
{
	for (unsigned i = 0; i < samples; i++)
		sum[i] -= frame[i];
}

static void add(int32_t *sum, const int16_t *frame, unsigned samples)
{
	for (unsigned i = 0; i < samples; i++)
		sum[i] += frame[i];
}

static void add_asides(const struct mstream *listener, int32_t *sum, unsigned samples)
{
	const struct mbridge *bridge = listener->bridge;

	for (unsigned i = 0; i < bridge->count; i++) {
		const struct mstream *talker = bridge->members[i];

		if (talker->aside && talker->frame && mbridge_hears(listener, talker))
			add(sum, talker->frame, samples);
	}
}

static void tell_member(struct mstream *member, const int32_t *total, unsigned voices, bool chimes,
			unsigned samples)
{
	int32_t sum[TICK_SAMPLES_MAX];
	int16_t pcm[TICK_SAMPLES_MAX];

	if (!chimes && (member->only || !voices)) {
		outlet_push(member, member->only ? member->only->frame : NULL, samples);
		return;
	}
	memcpy(sum, total, samples * sizeof(*sum));
	if (member->frame && !member->aside)
		subtract(sum, member->frame, samples);
	for (unsigned i = 0; i < member->deny_count; i++)
		if (member->deny[i]->frame && !member->deny[i]->aside)
			subtract(sum, member->deny[i]->frame, samples);
	if (member->bridge->asides)
		add_asides(member, sum, samples);
	for (unsigned i = 0; i < samples; i++)
		pcm[i] = pcm_clip(sum[i]);
	outlet_push(member, pcm, samples);
}

void mix_tick(struct mbridge *bridge)
{
	unsigned samples = bridge->rate / 1000 * TICK_MS, voices = 0;
	int32_t *total = bridge->loop->total;
	bool chimes;

	memset(total, 0, samples * sizeof(*total));
	for (unsigned i = 0; i < bridge->count; i++) {
		struct mstream *member = bridge->members[i];

		hear_member(member, samples);
		if (bridge->watched && member->intake)
			judge_voice(member, samples);
		if (!member->frame)
			continue;
		voices++;
		if (!member->aside)
			add(total, member->frame, samples);
	}
	if (bridge->tape)
		mix_tape_tick(bridge, total, samples);
	chimes = chime_add(bridge, total, samples);
	for (unsigned i = 0; i < bridge->count; i++)
		if (bridge->members[i]->source == SOURCE_MIX)
			tell_member(bridge->members[i], total, voices, chimes, samples);
	if (chimes && !bridge->chime)
		plan_bridge(bridge);
}
