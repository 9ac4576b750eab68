/* Music on hold, made here: four chords, plucked note by note over a soft bed, in a loop without a seam. All notes lie
 * where a telephone carries them well.
 */
#include "base/base.h"
#include "media/sound.h"

#include <math.h>

#define RATE 16000
#define STEP_MS 500
#define STEPS 8 /* a chord */
#define PLUCK_MS 1800
#define PLUCK_LEVEL 2600
#define BED_LEVEL 420
#define ATTACK_MS 12
#define ENDING_MS 60

static const double chords[][4] = {
	{ 311.13, 392.00, 466.16, 587.33 }, /* E flat, major seventh */
	{ 261.63, 311.13, 392.00, 466.16 }, /* C minor seventh */
	{ 311.13, 392.00, 415.30, 523.25 }, /* A flat, major seventh */
	{ 293.66, 349.23, 466.16, 587.33 }, /* B flat */
};
static const unsigned char pattern[STEPS] = { 0, 2, 1, 3, 2, 3, 1, 2 };

#define CHORD_SAMPLES ((size_t)RATE / 1000 * STEP_MS * STEPS)
#define SAMPLES (CHORD_SAMPLES * ARRAY_LEN(chords))

static void pluck(float *out, size_t at, double freq)
{
	size_t count = (size_t)RATE / 1000 * PLUCK_MS, attack = (size_t)RATE / 1000 * ATTACK_MS,
	       ending = (size_t)RATE / 1000 * ENDING_MS;

	for (size_t i = 0; i < count; i++) {
		double t = (double)i / RATE, w = 2 * M_PI * freq * t;
		double v =
			PLUCK_LEVEL * exp(-2.6 * t) *
			(sin(w) + 0.3 * exp(-3 * t) * sin(2 * w) + 0.1 * exp(-5 * t) * sin(3 * w));

		if (i < attack)
			v *= (double)i / (double)attack;
		if (count - i < ending)
			v *= (double)(count - i) / (double)ending;
		out[(at + i) % SAMPLES] += (float)v; /* the last notes ring into the first */
	}
}

static void bed(float *out, size_t at, const double *chord)
{
	for (size_t i = 0; i < CHORD_SAMPLES; i++) {
		double t = (double)i / RATE, swell = sin(M_PI * (double)i / CHORD_SAMPLES);

		out[at + i] +=
			(float)(BED_LEVEL * swell *
				(sin(2 * M_PI * chord[0] * t) + sin(2 * M_PI * chord[1] * t) +
				 sin(2 * M_PI * chord[2] * t)));
	}
}

struct sound *sound_new_music(void)
{
	auto_(free) float *sum = xzalloc_array(SAMPLES, sizeof(*sum));
	auto_(free) int16_t *pcm = xzalloc_array(SAMPLES, sizeof(*pcm));

	for (size_t c = 0; c < ARRAY_LEN(chords); c++) {
		bed(sum, c * CHORD_SAMPLES, chords[c]);
		for (size_t s = 0; s < STEPS; s++)
			pluck(sum, c * CHORD_SAMPLES + s * (RATE / 1000 * STEP_MS),
			      chords[c][pattern[s]]);
	}
	for (size_t i = 0; i < SAMPLES; i++)
		pcm[i] = (int16_t)lrintf(sum[i] > 32767	   ? 32767
					 : sum[i] < -32767 ? -32767
							   : sum[i]);
	return sound_new(pcm, SAMPLES, RATE);
}
