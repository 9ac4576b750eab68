#include "media/sound.h"

#include "base/base.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <speex/speex_resampler.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MS_DEFAULT 600000
#define MAX_BYTES_DEFAULT (64ull << 20)
#define CHANNELS_MAX 8
#define RATE_MIN 4000
#define RATE_LIMIT 192000
#define CHUNK 4096
#define RESAMPLE_QUALITY 8

static const unsigned kept_rates[] = { 8000, 16000 };

struct sound {
	atomic_uint refs;
	uint32_t ms;
	struct {
		int16_t *pcm;
		size_t samples;
	} kept[ARRAY_LEN(kept_rates)];
};

struct sound *sound_ref(struct sound *sound)
{
	atomic_fetch_add_explicit(&sound->refs, 1, memory_order_relaxed);
	return sound;
}

struct sound *sound_unref(struct sound *sound)
{
	if (!sound || atomic_fetch_sub_explicit(&sound->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kept_rates); i++)
		free(sound->kept[i].pcm);
	free(sound);
	return NULL;
}

uint32_t sound_ms(const struct sound *sound)
{
	return sound->ms;
}

const int16_t *sound_pcm(const struct sound *sound, unsigned rate, size_t *ret_samples)
{
	for (size_t i = 0; i < ARRAY_LEN(kept_rates); i++) {
		if (kept_rates[i] != rate)
			continue;
		*ret_samples = sound->kept[i].samples;
		return sound->kept[i].pcm;
	}
	return NULL;
}

/* ---- making ---- */

static size_t resample(const int16_t *pcm, size_t samples, unsigned from, unsigned to,
		       int16_t **ret)
{
	size_t cap = (size_t)((uint64_t)samples * to / from + 1), got = 0, at = 0;
	int16_t *out = xzalloc_array(cap, sizeof(*out));
	static const int16_t tail[CHUNK];
	int r;
	SpeexResamplerState *state = speex_resampler_init(1, from, to, RESAMPLE_QUALITY, &r);

	bug_on(!state);
	speex_resampler_skip_zeros(state);
	while (got < cap) {
		bool over = at >= samples; /* then zeros push the last of it through the filter */
		spx_uint32_t in =
			over ? CHUNK : (spx_uint32_t)(samples - at > CHUNK ? CHUNK : samples - at);
		spx_uint32_t room = (spx_uint32_t)(cap - got > CHUNK ? CHUNK : cap - got);

		speex_resampler_process_int(state, 0, over ? tail : pcm + at, &in, out + got,
					    &room);
		got += room;
		at += in;
	}
	speex_resampler_destroy(state);
	*ret = out;
	return got;
}

struct sound *sound_new(const int16_t *pcm, size_t samples, unsigned rate)
{
	struct sound *sound = xzalloc(sizeof(*sound));

	atomic_init(&sound->refs, 1);
	sound->ms = (uint32_t)((uint64_t)samples * 1000 / rate);
	for (size_t i = 0; i < ARRAY_LEN(kept_rates); i++) {
		if (kept_rates[i] == rate) {
			sound->kept[i].pcm =
				(int16_t *)(void *)xmemdup(pcm, samples * sizeof(*pcm));
			sound->kept[i].samples = samples;
		} else {
			sound->kept[i].samples =
				resample(pcm, samples, rate, kept_rates[i], &sound->kept[i].pcm);
		}
	}
	return sound;
}

/* ---- files ---- */

static bool format_is_known(const SF_INFO *info)
{
	int type = info->format & SF_FORMAT_TYPEMASK;

	return (type == SF_FORMAT_WAV || type == SF_FORMAT_WAVEX || type == SF_FORMAT_FLAC ||
		type == SF_FORMAT_OGG || type == SF_FORMAT_MPEG) &&
	       info->channels >= 1 && info->channels <= CHANNELS_MAX &&
	       info->samplerate >= RATE_MIN && info->samplerate <= RATE_LIMIT;
}

static void mix_down(const float *frames, size_t count, int channels, int16_t *out)
{
	for (size_t i = 0; i < count; i++) {
		float sum = 0;

		for (int c = 0; c < channels; c++)
			sum += frames[i * (size_t)channels + (size_t)c];
		sum *= 32768.0f / (float)channels;
		out[i] = (int16_t)lrintf(sum > 32767	? 32767
					 : sum > -32768 ? sum
							: -32768); /* NaN: lowest */
	}
}

/* What the header says of the length is not believed; reading stops at the limit. */
static int read_all(SNDFILE *file, const SF_INFO *info, uint32_t max_ms, struct sound **ret)
{
	size_t max = (size_t)((uint64_t)max_ms * (unsigned)info->samplerate / 1000), have = 0,
	       cap = 0;
	float frames[CHUNK * 2];
	sf_count_t at_once = (sf_count_t)(ARRAY_LEN(frames) / (size_t)info->channels), n;
	auto_(free) int16_t *pcm = NULL;

	while ((n = sf_readf_float(file, frames, at_once)) > 0) {
		if (have + (size_t)n > max)
			return SOUND_E_TOO_LONG;
		if (have + (size_t)n > cap) {
			cap = cap ? cap * 2 : 1 << 16;
			pcm = xrealloc(pcm, cap * sizeof(*pcm));
		}
		mix_down(frames, (size_t)n, info->channels, pcm + have);
		have += (size_t)n;
	}
	if (!have)
		return SOUND_E_EMPTY;
	*ret = sound_new(pcm, have, (unsigned)info->samplerate);
	return 0;
}

int sound_load_fd(int fd, const struct sound_limits *limits, struct sound **ret)
{
	uint32_t max_ms = limits && limits->max_ms ? limits->max_ms : MAX_MS_DEFAULT;
	uint64_t max_bytes = limits && limits->max_bytes ? limits->max_bytes : MAX_BYTES_DEFAULT;
	SF_INFO info = { 0 };
	struct stat st;
	SNDFILE *file;
	int r;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return SOUND_E_OPEN;
	if ((uint64_t)st.st_size > max_bytes)
		return SOUND_E_TOO_LONG;
	file = sf_open_fd(fd, SFM_READ, &info, SF_FALSE);
	if (!file)
		return SOUND_E_FORMAT;
	r = format_is_known(&info) ? read_all(file, &info, max_ms, ret) : SOUND_E_FORMAT;
	sf_close(file);
	return r;
}

int sound_load(const char *path, const struct sound_limits *limits, struct sound **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r; /* a FIFO must not hold us */

	if (fd < 0)
		return SOUND_E_OPEN;
	r = sound_load_fd(fd, limits, ret);
	close(fd);
	return r;
}

/* ---- tones ---- */

#define TONE_RATE 16000
#define TONE_LEVEL_DEFAULT (-13)
#define TONE_RAMP 32 /* samples: no clicks at the edges */

static void tone_add(int16_t *out, size_t samples, const struct sound_tone *tone, size_t start)
{
	/* 0 dBm0 is 3.14 dB (mu-law: 3.17) below the loudest sine that G.711 can carry. */
	double amplitude =
		32767 *
		pow(10, ((tone->level_dbm0 ? tone->level_dbm0 : TONE_LEVEL_DEFAULT) - 3.14) / 20);

	for (size_t i = 0; i < samples; i++) {
		size_t edge = i < samples - i ? i : samples - 1 - i;
		double v = 0, ramp = edge < TONE_RAMP ? (double)edge / TONE_RAMP : 1;

		for (int f = 0; f < 2; f++)
			if (tone->freq_hz[f])
				v += amplitude * sin(2 * M_PI * tone->freq_hz[f] *
						     (double)(start + i) / TONE_RATE);
		out[i] = (int16_t)lround(v * ramp);
	}
}

struct sound *sound_new_tone(const struct sound_tone *tone)
{
	size_t total = 0, at = 0;
	auto_(free) int16_t *pcm = NULL;

	for (size_t i = 0; i < ARRAY_LEN(tone->on_off_ms) && tone->on_off_ms[i]; i++)
		total += (size_t)tone->on_off_ms[i] * TONE_RATE / 1000;
	pcm = xzalloc_array(total + 1, sizeof(*pcm));
	for (size_t i = 0; i < ARRAY_LEN(tone->on_off_ms) && tone->on_off_ms[i]; i++) {
		size_t samples = (size_t)tone->on_off_ms[i] * TONE_RATE / 1000;

		if (i % 2 == 0)
			tone_add(pcm + at, samples, tone, at);
		at += samples;
	}
	return sound_new(pcm, total, TONE_RATE);
}

/* Ringing tones as national administrations gave them to the ITU (annex to Operational Bulletin
 * 781).
 */
static const struct {
	const char *country;
	struct sound_tone tone;
} ringbacks[] = {
	{ "us", { { 440, 480 }, { 2000, 4000 } } },
	{ "ca", { { 440, 480 }, { 2000, 4000 } } },
	{ "gb", { { 400, 450 }, { 400, 200, 400, 2000 } } },
	{ "ie", { { 400, 450 }, { 400, 200, 400, 2000 } } },
	{ "au", { { 400, 450 }, { 400, 200, 400, 2000 } } },
	{ "nz", { { 400, 450 }, { 400, 200, 400, 2000 } } },
	{ "in", { { 400, 450 }, { 400, 200, 400, 2000 } } },
	{ "jp", { { 400, 416 }, { 1000, 2000 } } },
	{ "fr", { { 440, 0 }, { 1500, 3500 } } },
	{ "es", { { 425, 0 }, { 1500, 3000 } } },
	{ "se", { { 425, 0 }, { 1000, 5000 } } },
	{ "pl", { { 425, 0 }, { 1000, 4000 } } },
	{ "cn", { { 450, 0 }, { 1000, 4000 } } },
	{ "kr", { { 440, 480 }, { 1000, 2000 } } },
	{ "ru", { { 425, 0 }, { 1000, 4000 } } },
};

struct sound *sound_new_ringback(const char *country)
{
	static const struct sound_tone e180 = { { 425, 0 }, { 1000, 4000 }, 0 };

	for (size_t i = 0; country && i < ARRAY_LEN(ringbacks); i++)
		if (!strcasecmp(ringbacks[i].country, country))
			return sound_new_tone(&ringbacks[i].tone);
	return sound_new_tone(&e180);
}
