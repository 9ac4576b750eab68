/* media/codec.h - codecs behind one table
 *
 * A coder turns PCM into payloads, a decoder payloads into PCM; both are made and freed outside of
 * the packet path, which only runs encode, decode and conceal.
 */
#pragma once

#include "media/media.h"

#define CODEC_FRAME_MS_MAX 60
/* Longest a packet may decode to: Opus 120 ms at 48 kHz; a 60 ms packet of the others. */
#define CODEC_SAMPLES_MAX 5760

struct coder_setup {
	unsigned rate; /* of the PCM given */
	unsigned ptime_ms;
	bool fec;
};

struct codec {
	struct media_codec_info info;
	struct {
		double ie, bpl; /* for the E-model, G.113 */
	} impair;
	/* Nearest rate the codec itself can take or give for a wanted 8000, 16000 or 48000 Hz. */
	unsigned (*native_rate)(unsigned wanted);
	unsigned best_rate;

	void *(*coder_new)(const struct coder_setup *setup);
	void (*coder_free)(void *coder);
	/* Return: bytes, 0 when there is nothing to send or it did not fit. */
	size_t (*encode)(void *coder, const int16_t *pcm, unsigned samples, uint8_t *out,
			 size_t cap);

	void *(*decoder_new)(unsigned rate);
	void (*decoder_free)(void *decoder);
	/* Return: samples, 0 for a payload that is none of this codec's. `out` holds
	 * CODEC_SAMPLES_MAX.
	 */
	unsigned (*decode)(void *decoder, const uint8_t *payload, size_t len, int16_t *out);
	/* As if a packet of `samples` had been lost; what came after it, where that is known, may
	 * help.
	 */
	void (*conceal)(void *decoder, const uint8_t *next, size_t next_len, int16_t *out,
			unsigned samples);
	/* RTP clock units that a payload lasts; 0 when malformed. */
	uint32_t (*units)(const uint8_t *payload, size_t len);
};

/* NULL for what is not audio (telephone-event, CN, NONE). */
const struct codec *codec_get(enum media_codec codec);

extern const struct codec codec_pcmu, codec_pcma, codec_g722, codec_opus;

int16_t g711_ulaw_to_linear(uint8_t v);
int16_t g711_alaw_to_linear(uint8_t v);
uint8_t g711_linear_to_ulaw(int16_t v);
uint8_t g711_linear_to_alaw(int16_t v);
