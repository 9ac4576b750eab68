#include "media/codec.h"

#include <errno.h>
#include <opus.h>

#define COMPLEXITY 5 /* 140 us a 20 ms frame at 48 kHz, 61 us at 8 kHz */

struct opus_dec {
	OpusDecoder *state;
	unsigned rate;
};

static unsigned native_rate(unsigned wanted)
{
	return wanted;
}

static void *coder_new(const struct coder_setup *setup)
{
	int r, bitrate = setup->rate == 8000 ? 16000 : setup->rate == 16000 ? 24000 : 32000;
	OpusEncoder *encoder =
		opus_encoder_create((opus_int32)setup->rate, 1, OPUS_APPLICATION_VOIP, &r);

	if (!encoder) {
		(void)err_newf(ENOMEM, "Opus encoder: %s", opus_strerror(r));
		return NULL;
	}
	opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
	opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate));
	opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
	opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(setup->fec));
	opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(setup->fec ? 10 : 0));
	return encoder;
}

static void coder_free(void *coder)
{
	if (coder)
		opus_encoder_destroy(coder);
}

static size_t encode(void *coder, const int16_t *pcm, unsigned samples, uint8_t *out, size_t cap)
{
	int n = coder ? opus_encode(coder, pcm, (int)samples, out, (opus_int32)cap) : 0;

	return n > 0 ? (size_t)n : 0;
}

static void *decoder_new(unsigned rate)
{
	struct opus_dec *decoder = xzalloc(sizeof(*decoder));
	int r;

	decoder->rate = rate;
	decoder->state = opus_decoder_create((opus_int32)rate, 1, &r);
	if (!decoder->state)
		(void)err_newf(ENOMEM, "Opus decoder: %s", opus_strerror(r));
	return decoder;
}

static void decoder_free(void *arg)
{
	struct opus_dec *decoder = arg;

	if (decoder->state)
		opus_decoder_destroy(decoder->state);
	free(decoder);
}

static unsigned decode(void *arg, const uint8_t *payload, size_t len, int16_t *out)
{
	struct opus_dec *decoder = arg;
	int n = 0;

	if (decoder->state && len)
		n = opus_decode(decoder->state, payload, (opus_int32)len, out, CODEC_SAMPLES_MAX,
				0);
	return n > 0 ? (unsigned)n : 0;
}

static void conceal(void *arg, const uint8_t *next, size_t next_len, int16_t *out, unsigned samples)
{
	struct opus_dec *decoder = arg;
	int n = -1;

	if (decoder->state && next && next_len)
		n = opus_decode(decoder->state, next, (opus_int32)next_len, out, (int)samples, 1);
	if (decoder->state && n < 0)
		n = opus_decode(decoder->state, NULL, 0, out, (int)samples, 0);
	if (n < (int)samples)
		memset(out + (n > 0 ? n : 0), 0,
		       (samples - (unsigned)(n > 0 ? n : 0)) * sizeof(*out));
}

static uint32_t units(const uint8_t *payload, size_t len)
{
	int n = len ? opus_packet_get_nb_samples(payload, (opus_int32)len, 48000) : 0;

	return n > 0 ? (uint32_t)n : 0;
}

const struct codec codec_opus = {
	.info = { MEDIA_CODEC_OPUS, "opus", 48000, 2, -1, true },
	.impair = { 0, 20 },
	.native_rate = native_rate,
	.best_rate = 48000,
	.coder_new = coder_new,
	.coder_free = coder_free,
	.encode = encode,
	.decoder_new = decoder_new,
	.decoder_free = decoder_free,
	.decode = decode,
	.conceal = conceal,
	.units = units,
};
