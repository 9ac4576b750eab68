#include "media/conceal.h"

/* Milliseconds, times the rate / 1000. */
#define MS(conceal, n) ((conceal)->rate * (n) / 1000)
#define KEEP_MS 50
#define PITCH_MAX_HZ 400
#define PITCH_MAX_MS 15
#define MATCH_MS 20
#define FULL_MS 10 /* at full level, then down to nothing */
#define FADED_MS 60
#define BLEND_MS 4

void conceal_init(struct conceal *conceal, unsigned rate)
{
	memset(conceal, 0, sizeof(*conceal));
	conceal->rate = rate > CONCEAL_RATE_MAX ? CONCEAL_RATE_MAX : rate;
}

static void remember(struct conceal *conceal, const int16_t *pcm, unsigned samples)
{
	unsigned keep = MS(conceal, KEEP_MS);

	if (samples >= keep) {
		memcpy(conceal->history, pcm + samples - keep, keep * sizeof(*pcm));
		return;
	}
	memmove(conceal->history, conceal->history + samples, (keep - samples) * sizeof(*pcm));
	memcpy(conceal->history + keep - samples, pcm, samples * sizeof(*pcm));
}

/* The lag at which the last 20 ms are most like what was before them. */
static unsigned find_pitch(const struct conceal *conceal)
{
	unsigned window = MS(conceal, MATCH_MS), min = conceal->rate / PITCH_MAX_HZ;
	const int16_t *tail = conceal->history + MS(conceal, KEEP_MS) - window;
	unsigned best = MS(conceal, PITCH_MAX_MS);
	double best_match = 0;

	for (unsigned lag = min; lag <= MS(conceal, PITCH_MAX_MS); lag++) {
		int64_t cross = 0, energy = 1;
		double match;

		for (unsigned i = 0; i < window; i++) {
			cross += tail[i] * (tail - lag)[i];
			energy += (tail - lag)[i] * (tail - lag)[i];
		}
		match = cross > 0 ? (double)cross * (double)cross / (double)energy : 0;
		if (match > best_match) {
			best_match = match;
			best = lag;
		}
	}
	return best;
}

static int16_t blend(int from, int to, unsigned i, unsigned n)
{
	return (int16_t)((from * (int)(n - i) + to * (int)i) / (int)n);
}

/* The period's end runs into its beginning: its last quarter turns into what came before that
 * beginning.
 */
static void begin(struct conceal *conceal)
{
	const int16_t *end = conceal->history + MS(conceal, KEEP_MS);
	unsigned quarter;

	conceal->pitch = find_pitch(conceal);
	conceal->at = 0;
	quarter = conceal->pitch / 4;
	memcpy(conceal->period, end - conceal->pitch, conceal->pitch * sizeof(*end));
	for (unsigned i = 0; i < quarter; i++)
		conceal->period[conceal->pitch - quarter + i] =
			blend(end[(int)i - (int)quarter],
			      end[(int)i - (int)quarter - (int)conceal->pitch], i + 1, quarter);
}

static int16_t next_sample(struct conceal *conceal)
{
	unsigned full = MS(conceal, FULL_MS), faded = MS(conceal, FADED_MS);
	int v = conceal->period[conceal->at];

	conceal->at = (conceal->at + 1) % conceal->pitch;
	if (conceal->missing >= faded)
		v = 0;
	else if (conceal->missing > full)
		v = v * (int)(faded - conceal->missing) / (int)(faded - full);
	conceal->missing++;
	return (int16_t)v;
}

void conceal_fill(struct conceal *conceal, int16_t *out, unsigned samples)
{
	if (!conceal->missing)
		begin(conceal);
	for (unsigned i = 0; i < samples; i++)
		out[i] = next_sample(conceal);
	remember(conceal, out, samples);
}

void conceal_good(struct conceal *conceal, int16_t *pcm, unsigned samples)
{
	unsigned n = MS(conceal, BLEND_MS);

	if (conceal->missing) {
		if (n > samples)
			n = samples;
		for (unsigned i = 0; i < n; i++)
			pcm[i] = blend(next_sample(conceal), pcm[i], i + 1, n);
		conceal->missing = 0;
	}
	remember(conceal, pcm, samples);
}
