/* G.711 by tables that are filled once before main(). */
#include "media/codec.h"
#include "media/conceal.h"

#define ULAW_BIAS 0x84
#define ULAW_CLIP 32635
#define PACKET_SAMPLES_MAX 960 /* 120 ms */

static int16_t ulaw_linear[256], alaw_linear[256];
static uint8_t linear_ulaw[1 << 14], linear_alaw[1 << 13]; /* by the upper 14 and 13 bits */

static uint8_t ulaw_compute(int v)
{
	int sign = v < 0 ? 0x80 : 0, segment = 7;

	if (v < 0)
		v = -v;
	v = (v > ULAW_CLIP ? ULAW_CLIP : v) + ULAW_BIAS;
	while (segment && !(v & (0x80 << segment)))
		segment--;
	return (uint8_t) ~(sign | segment << 4 | ((v >> (segment + 3)) & 0x0f));
}

static int16_t ulaw_expand(int code)
{
	int v;

	code = ~code & 0xff;
	v = ((((code & 0x0f) << 3) + ULAW_BIAS) << ((code & 0x70) >> 4)) - ULAW_BIAS;
	return (int16_t)(code & 0x80 ? -v : v);
}

static uint8_t alaw_compute(int v)
{
	int mask = v >= 0 ? 0xd5 : 0x55, segment = 7;

	if (v < 0)
		v = -v - 1;
	while (segment && !(v & (0x80 << segment)))
		segment--;
	/* The two lowest segments have the same step. */
	return (uint8_t)((segment << 4 | ((v >> (segment ? segment + 3 : 4)) & 0x0f)) ^ mask);
}

static int16_t alaw_expand(int code)
{
	int segment, v;

	code ^= 0x55;
	segment = (code & 0x70) >> 4;
	v = (code & 0x0f) << 4 | 8;
	if (segment)
		v = (v + 0x100) << (segment - 1);
	return (int16_t)(code & 0x80 ? v : -v);
}

static void __attribute__((constructor)) build_tables(void)
{
	for (int i = 0; i < 256; i++) {
		ulaw_linear[i] = ulaw_expand(i);
		alaw_linear[i] = alaw_expand(i);
	}
	/* Each entry stands for the middle of the values that share it. */
	for (int i = 0; i < 1 << 14; i++)
		linear_ulaw[i] = ulaw_compute((int16_t)(i << 2) + 2);
	for (int i = 0; i < 1 << 13; i++)
		linear_alaw[i] = alaw_compute((int16_t)(i << 3) + 4);
}

int16_t g711_ulaw_to_linear(uint8_t v)
{
	return ulaw_linear[v];
}

int16_t g711_alaw_to_linear(uint8_t v)
{
	return alaw_linear[v];
}

uint8_t g711_linear_to_ulaw(int16_t v)
{
	return linear_ulaw[(uint16_t)v >> 2];
}

uint8_t g711_linear_to_alaw(int16_t v)
{
	return linear_alaw[(uint16_t)v >> 3];
}

static unsigned native_rate(unsigned wanted)
{
	(void)wanted;
	return 8000;
}

static void *coder_new(const struct coder_setup *setup)
{
	static char none; /* G.711 has no state */

	(void)setup;
	return &none;
}

static void coder_free(void *coder)
{
	(void)coder;
}

static size_t ulaw_encode(void *coder, const int16_t *pcm, unsigned samples, uint8_t *out,
			  size_t cap)
{
	(void)coder;
	if (samples > cap)
		return 0;
	for (unsigned i = 0; i < samples; i++)
		out[i] = linear_ulaw[(uint16_t)pcm[i] >> 2];
	return samples;
}

static size_t alaw_encode(void *coder, const int16_t *pcm, unsigned samples, uint8_t *out,
			  size_t cap)
{
	(void)coder;
	if (samples > cap)
		return 0;
	for (unsigned i = 0; i < samples; i++)
		out[i] = linear_alaw[(uint16_t)pcm[i] >> 3];
	return samples;
}

static void *decoder_new(unsigned rate)
{
	struct conceal *gaps = xzalloc(sizeof(*gaps));

	conceal_init(gaps, rate);
	return gaps;
}

static unsigned decode(struct conceal *gaps, const int16_t *table, const uint8_t *payload,
		       size_t len, int16_t *out)
{
	if (!len || len > PACKET_SAMPLES_MAX)
		return 0;
	for (size_t i = 0; i < len; i++)
		out[i] = table[payload[i]];
	conceal_good(gaps, out, (unsigned)len);
	return (unsigned)len;
}

static unsigned ulaw_decode(void *decoder, const uint8_t *payload, size_t len, int16_t *out)
{
	return decode(decoder, ulaw_linear, payload, len, out);
}

static unsigned alaw_decode(void *decoder, const uint8_t *payload, size_t len, int16_t *out)
{
	return decode(decoder, alaw_linear, payload, len, out);
}

static void fill_gap(void *decoder, const uint8_t *next, size_t next_len, int16_t *out,
		     unsigned samples)
{
	(void)next;
	(void)next_len;
	conceal_fill(decoder, out, samples);
}

static uint32_t units(const uint8_t *payload, size_t len)
{
	(void)payload;
	return len <= PACKET_SAMPLES_MAX ? (uint32_t)len : 0;
}

const struct codec codec_pcmu = {
	.info = { MEDIA_CODEC_PCMU, "PCMU", 8000, 1, 0, true },
	.impair = { 0, 25.1 },
	.native_rate = native_rate,
	.best_rate = 8000,
	.coder_new = coder_new,
	.coder_free = coder_free,
	.encode = ulaw_encode,
	.decoder_new = decoder_new,
	.decoder_free = free,
	.decode = ulaw_decode,
	.conceal = fill_gap,
	.units = units,
};

const struct codec codec_pcma = {
	.info = { MEDIA_CODEC_PCMA, "PCMA", 8000, 1, 8, true },
	.impair = { 0, 25.1 },
	.native_rate = native_rate,
	.best_rate = 8000,
	.coder_new = coder_new,
	.coder_free = coder_free,
	.encode = alaw_encode,
	.decoder_new = decoder_new,
	.decoder_free = free,
	.decode = alaw_decode,
	.conceal = fill_gap,
	.units = units,
};
