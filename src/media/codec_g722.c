/* G.722 at 64 kbit/s by spandsp: 16 kHz audio, yet an RTP clock of 8 kHz (RFC 3551 4.5.2). In a
 * narrowband bridge the codec works on 8 kHz PCM directly, its upper band empty.
 */
#include "media/codec.h"
#include "media/conceal.h"

#include <spandsp.h>

#define PACKET_BYTES_MAX 960 /* 120 ms */

struct g722_decoder {
	g722_decode_state_t *state;
	struct conceal gaps;
};

static unsigned native_rate(unsigned wanted)
{
	return wanted == 8000 ? 8000 : 16000;
}

static int rate_option(unsigned rate)
{
	return rate == 8000 ? G722_SAMPLE_RATE_8000 : 0;
}

static void *coder_new(const struct coder_setup *setup)
{
	return g722_encode_init(NULL, 64000, rate_option(setup->rate));
}

static void coder_free(void *coder)
{
	g722_encode_free(coder);
}

static size_t encode(void *coder, const int16_t *pcm, unsigned samples, uint8_t *out, size_t cap)
{
	if (samples > cap) /* a byte for each sample or each two */
		return 0;
	return (size_t)g722_encode(coder, out, pcm, (int)samples);
}

static void *decoder_new(unsigned rate)
{
	struct g722_decoder *decoder = xzalloc(sizeof(*decoder));

	decoder->state = g722_decode_init(NULL, 64000, rate_option(rate));
	conceal_init(&decoder->gaps, rate);
	return decoder;
}

static void decoder_free(void *arg)
{
	struct g722_decoder *decoder = arg;

	g722_decode_free(decoder->state);
	free(decoder);
}

static unsigned decode(void *arg, const uint8_t *payload, size_t len, int16_t *out)
{
	struct g722_decoder *decoder = arg;
	int samples;

	if (!len || len > PACKET_BYTES_MAX)
		return 0;
	samples = g722_decode(decoder->state, out, payload, (int)len);
	conceal_good(&decoder->gaps, out, (unsigned)samples);
	return (unsigned)samples;
}

static void fill_gap(void *arg, const uint8_t *next, size_t next_len, int16_t *out,
		     unsigned samples)
{
	struct g722_decoder *decoder = arg;

	(void)next;
	(void)next_len;
	conceal_fill(&decoder->gaps, out, samples);
}

static uint32_t units(const uint8_t *payload, size_t len)
{
	(void)payload;
	return len <= PACKET_BYTES_MAX ? (uint32_t)len : 0;
}

const struct codec codec_g722 = {
	.info = { MEDIA_CODEC_G722, "G722", 8000, 1, 9, true },
	.impair = { 13, 14 },
	.native_rate = native_rate,
	.best_rate = 16000,
	.coder_new = coder_new,
	.coder_free = coder_free,
	.encode = encode,
	.decoder_new = decoder_new,
	.decoder_free = decoder_free,
	.decode = decode,
	.conceal = fill_gap,
	.units = units,
};
