/* Codecs by ear: a tone goes in, the same tone comes out and little else. */
#include "leg.h"
#include "media/sound.h"
#include "unit.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <unistd.h>

static const enum media_codec all[] = { MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMA, MEDIA_CODEC_G722,
					MEDIA_CODEC_OPUS };

static void fill_tone(int16_t *pcm, size_t samples, unsigned rate, double freq)
{
	for (size_t i = 0; i < samples; i++)
		pcm[i] = (int16_t)lround(8000 * sin(2 * M_PI * freq * (double)i / rate));
}

static void round_trip(enum media_codec id, unsigned rate, unsigned ptime_ms, double freq)
{
	const struct codec *codec = codec_get(id);
	struct coder_setup setup = { .rate = rate, .ptime_ms = ptime_ms };
	void *coder = codec->coder_new(&setup), *decoder = codec->decoder_new(rate);
	unsigned samples = rate / 1000 * ptime_ms, frames = 1200 / ptime_ms;
	int16_t *in = xzalloc_array(samples * frames, sizeof(*in));
	int16_t *out = xzalloc_array(samples * frames + CODEC_SAMPLES_MAX, sizeof(*out));
	uint8_t payload[PACKET_PAYLOAD_MAX];
	size_t got = 0, half = rate / 2;

	fill_tone(in, samples * frames, rate, freq);
	for (unsigned i = 0; i < frames; i++) {
		size_t len =
			codec->encode(coder, in + i * samples, samples, payload, sizeof(payload));

		assert_true(len > 0);
		assert_int_equal(codec->units(payload, len),
				 codec->info.clock_rate / 1000 * ptime_ms);
		assert_int_equal(codec->decode(decoder, payload, len, out + got), samples);
		got += samples;
	}
	assert_true(tone_share(out + got - half, half, rate, freq) > 0.97);
	assert_true(fabs(20 * log10(energy_rms(out + got - half, half) / energy_rms(in, half))) <
		    1.5);
	codec->coder_free(coder);
	codec->decoder_free(decoder);
	free(in);
	free(out);
}

static void every_codec_returns_the_tone_it_was_given(void **state)
{
	static const unsigned rates[] = { 8000, 16000, 48000 }, ptimes[] = { 10, 20, 40, 60 };

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(all); c++)
		for (size_t r = 0; r < ARRAY_LEN(rates); r++)
			for (size_t p = 0; p < ARRAY_LEN(ptimes); p++)
				if (codec_get(all[c])->native_rate(rates[r]) == rates[r]) {
					round_trip(all[c], rates[r], ptimes[p], 440);
					round_trip(all[c], rates[r], ptimes[p], 1000);
				}
}

static void wideband_is_wideband(void **state)
{
	(void)state;
	round_trip(MEDIA_CODEC_G722, 16000, 20, 5500);
	round_trip(MEDIA_CODEC_OPUS, 16000, 20, 5500);
}

/* The tables against G.711's own values: decision and output values of tables 1a to 2b. */
static void g711_holds_its_known_values(void **state)
{
	(void)state;
	assert_int_equal(g711_linear_to_ulaw(0), 0xff);
	assert_int_equal(g711_ulaw_to_linear(0xff), 0);
	assert_int_equal(g711_ulaw_to_linear(0x80), 32124);
	assert_int_equal(g711_ulaw_to_linear(0x00), -32124);
	assert_int_equal(g711_linear_to_ulaw(INT16_MAX), 0x80);
	assert_int_equal(g711_linear_to_ulaw(INT16_MIN), 0x00);
	assert_int_equal(g711_linear_to_alaw(0), 0xd5);
	assert_int_equal(g711_alaw_to_linear(0xd5), 8);
	assert_int_equal(g711_alaw_to_linear(0x55), -8);
	assert_int_equal(g711_alaw_to_linear(0xaa), 32256);
	assert_int_equal(g711_alaw_to_linear(0x2a), -32256);
	assert_int_equal(g711_linear_to_alaw(INT16_MAX), 0xaa);
	assert_int_equal(g711_linear_to_alaw(INT16_MIN), 0x2a);
	for (int i = 0; i < 256;
	     i++) { /* each code stands for itself; both zeros of mu-law are one */
		assert_int_equal(g711_linear_to_alaw(g711_alaw_to_linear((uint8_t)i)), i);
		if (i != 0x7f)
			assert_int_equal(g711_linear_to_ulaw(g711_ulaw_to_linear((uint8_t)i)), i);
	}
}

static void a_short_gap_is_filled_with_what_was_heard(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(all); c++) {
		const struct codec *codec = codec_get(all[c]);
		unsigned rate = codec->best_rate, samples = rate / 50;
		struct coder_setup setup = { .rate = rate, .ptime_ms = 20 };
		void *coder = codec->coder_new(&setup), *decoder = codec->decoder_new(rate);
		int16_t in[TICK_SAMPLES_MAX * 50], out[CODEC_SAMPLES_MAX], gap[TICK_SAMPLES_MAX];
		uint8_t payload[PACKET_PAYLOAD_MAX];
		size_t len;

		fill_tone(in, samples * 50, rate, 250);
		for (unsigned i = 0; i < 30; i++) {
			len = codec->encode(coder, in + i * samples, samples, payload,
					    sizeof(payload));
			codec->decode(decoder, payload, len, out);
		}
		codec->conceal(decoder, NULL, 0, gap, samples);
		assert_true(energy_rms(gap, samples) > energy_rms(in, samples) / 3);
		for (unsigned i = 0; i < 20; i++) /* and does not hum on for ever */
			codec->conceal(decoder, NULL, 0, gap, samples);
		assert_true(energy_rms(gap, samples) < energy_rms(in, samples) / 10);
		codec->coder_free(coder);
		codec->decoder_free(decoder);
	}
}

static void rubbish_is_refused_or_decoded_within_bounds(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(all); c++) {
		const struct codec *codec = codec_get(all[c]);
		void *decoder = codec->decoder_new(codec->best_rate);
		int16_t *out = xzalloc_array(CODEC_SAMPLES_MAX, sizeof(*out));

		for (int round = 0; round < 2000; round++) {
			size_t len = (seed >> 8) % PACKET_PAYLOAD_MAX;
			uint8_t *payload = xzalloc(len + 1);

			for (size_t i = 0; i < len; i++)
				payload[i] =
					(uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
			assert_true(codec->decode(decoder, payload, len, out) <= CODEC_SAMPLES_MAX);
			(void)codec->units(payload, len);
			seed = seed * 1664525u + 1013904223u;
			free(payload);
		}
		codec->decoder_free(decoder);
		free(out);
	}
}

static void codecs_are_found_by_their_sdp_names(void **state)
{
	(void)state;
	assert_int_equal(media_codec_find("pcmu", 8000)->codec, MEDIA_CODEC_PCMU);
	assert_int_equal(media_codec_find("G722", 8000)->static_pt, 9);
	assert_int_equal(media_codec_find("OPUS", 48000)->channels, 2);
	assert_int_equal(media_codec_find("telephone-event", 48000)->codec, MEDIA_CODEC_EVENT);
	assert_null(media_codec_find("opus", 8000));
	assert_null(media_codec_find("G729", 8000));
	assert_null(codec_get(MEDIA_CODEC_EVENT));
}

/* ---- sounds ---- */

static void make_file(const char *path, int format, int rate, int channels, double freq)
{
	SF_INFO info = { .format = format, .samplerate = rate, .channels = channels };
	SNDFILE *file = sf_open(path, SFM_WRITE, &info);
	float *pcm = xzalloc_array((size_t)(rate * channels),
				   sizeof(*pcm)); /* its MP3 from stereo shorts is noise */

	assert_non_null(file);
	for (int i = 0; i < rate * channels; i++)
		pcm[i] = (float)(0.25 * sin(2 * M_PI * freq * (i / channels) / rate));
	assert_int_equal(sf_writef_float(file, pcm, rate), rate);
	sf_close(file);
	free(pcm);
}

static void files_of_each_kind_are_loaded(void **state)
{
	static const struct {
		int format, rate, channels;
	} kinds[] = {
		{ SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 2 },
		{ SF_FORMAT_WAV | SF_FORMAT_ULAW, 8000, 1 },
		{ SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1 },
		{ SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2 },
		{ SF_FORMAT_OGG | SF_FORMAT_VORBIS, 22050, 1 },
		{ SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 2 },
	};
	char path[] = "/tmp/jackfield-sound-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_(sound_unref) struct sound *sound = NULL;

		make_file(path, kinds[i].format, kinds[i].rate, kinds[i].channels, 700);
		assert_int_equal(sound_load(path, NULL, &sound), 0);
		assert_in_range(sound_ms(sound), 990, 1100);
		for (unsigned rate = 8000; rate <= 16000; rate += 8000) {
			size_t samples;
			const int16_t *pcm = sound_pcm(sound, rate, &samples);

			assert_in_range(samples, rate - rate / 100, rate + rate / 10);
			assert_true(tone_share(pcm + rate / 4, rate / 2, rate, 700) > 0.97);
		}
	}
	unlink(path);
}

static void what_is_no_sound_or_too_much_of_one_is_refused(void **state)
{
	struct sound_limits limits = { .max_ms = 500 };
	char path[] = "/tmp/jackfield-sound-XXXXXX";
	int fd = mkstemp(path);
	struct sound *sound = NULL;

	(void)state;
	assert_int_equal(sound_load("/nonexistent", NULL, &sound), SOUND_E_OPEN);
	assert_int_equal(sound_load("/tmp", NULL, &sound), SOUND_E_OPEN);
	assert_int_equal(write(fd, "RIFF but nothing else of it", 27), 27);
	assert_int_equal(sound_load(path, NULL, &sound), SOUND_E_FORMAT);
	make_file(path, SF_FORMAT_AU | SF_FORMAT_PCM_16, 8000, 1, 440);
	assert_int_equal(sound_load(path, NULL, &sound), SOUND_E_FORMAT);
	make_file(path, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 440);
	assert_int_equal(sound_load(path, &limits, &sound), SOUND_E_TOO_LONG);
	limits = (struct sound_limits){ .max_bytes = 1000 };
	assert_int_equal(sound_load(path, &limits, &sound), SOUND_E_TOO_LONG);
	assert_int_equal(truncate(path, 44), 0);
	assert_int_equal(sound_load(path, NULL, &sound), SOUND_E_EMPTY);
	assert_null(sound);
	close(fd);
	unlink(path);
}

static void ringback_is_that_of_the_country(void **state)
{
	struct sound *sound = sound_new_ringback(NULL);
	size_t samples;
	const int16_t *pcm = sound_pcm(sound, 8000, &samples);

	(void)state;
	assert_int_equal(sound_ms(sound), 5000);
	assert_true(tone_share(pcm + 800, 4000, 8000, 425) > 0.97);
	assert_true(energy_rms(pcm + 10000, 20000) < 2);
	/* -13 dBm0 against a full-scale sine of +3.14 dBm0 */
	assert_true(fabs(20 * log10(energy_rms(pcm + 800, 4000) / (32767 / sqrt(2))) + 16.14) <
		    0.2);
	sound_unref(sound);
	sound = sound_new_ringback("US");
	pcm = sound_pcm(sound, 8000, &samples);
	assert_int_equal(sound_ms(sound), 6000);
	assert_true(tone_share(pcm + 800, 8000, 8000, 440) > 0.4 &&
		    tone_share(pcm + 800, 8000, 8000, 480) > 0.4);
	sound_unref(sound);
}

/* Nowhere louder than speech, nowhere a pause, no click where it begins anew, and each time the same. */
static void music_is_even_and_has_no_seam(void **state)
{
	struct sound *sound = sound_new_music(), *again = sound_new_music();
	size_t count, again_count;
	const int16_t *pcm = sound_pcm(sound, 16000, &count);
	const int16_t *other = sound_pcm(again, 16000, &again_count);

	(void)state;
	assert_int_equal(sound_ms(sound), 16000);
	assert_int_equal(count, again_count);
	assert_memory_equal(pcm, other, count * sizeof(*pcm));
	for (size_t at = 0; at + 4000 <= count; at += 4000) {
		double level = energy_rms(pcm + at, 4000);

		assert_true(level > 500 && level < 5000);
	}
	for (size_t i = 0; i < count; i++) {
		assert_in_range(abs(pcm[i]), 0, 16000);
		assert_in_range(abs(pcm[(i + 1) % count] - pcm[i]), 0, 4000);
	}
	sound_unref(sound);
	sound_unref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_codec_returns_the_tone_it_was_given),
		cmocka_unit_test(wideband_is_wideband),
		cmocka_unit_test(g711_holds_its_known_values),
		cmocka_unit_test(a_short_gap_is_filled_with_what_was_heard),
		cmocka_unit_test(rubbish_is_refused_or_decoded_within_bounds),
		cmocka_unit_test(codecs_are_found_by_their_sdp_names),
		cmocka_unit_test(files_of_each_kind_are_loaded),
		cmocka_unit_test(what_is_no_sound_or_too_much_of_one_is_refused),
		cmocka_unit_test(ringback_is_that_of_the_country),
		cmocka_unit_test(music_is_even_and_has_no_seam),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
