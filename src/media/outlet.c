/* From PCM to the network: ticks are resampled if need be, gathered to packets of the length
 * agreed, encoded and given to the stream's sender.
 */
#include "media/private.h"

#include <speex/speex_resampler.h>

#define RESAMPLE_QUALITY 3
#define FIFO_MAX (RATE_MAX / 1000 * (CODEC_FRAME_MS_MAX + TICK_MS) + 64)

struct outlet {
	const struct codec *codec;
	unsigned rate, native, ptime_ms;
	bool fec;
	void *coder;
	SpeexResamplerState *resampler;
	unsigned fifo_len;
	int16_t fifo[FIFO_MAX];
};

struct outlet *outlet_new(void)
{
	return xzalloc(sizeof(struct outlet));
}

static void outlet_clear(struct outlet *outlet)
{
	if (outlet->coder)
		outlet->codec->coder_free(outlet->coder);
	if (outlet->resampler)
		speex_resampler_destroy(outlet->resampler);
	outlet->coder = NULL;
	outlet->resampler = NULL;
	outlet->fifo_len = 0;
}

struct outlet *outlet_free(struct outlet *outlet)
{
	if (outlet) {
		outlet_clear(outlet);
		free(outlet);
	}
	return NULL;
}

static unsigned packet_ms(const struct media_params *params)
{
	unsigned ms = params->ptime_ms / 10 * 10;

	if (ms < 10)
		ms = ms ? 10 : 20;
	if (ms > CODEC_FRAME_MS_MAX)
		ms = CODEC_FRAME_MS_MAX;
	/* Opus has frames of 10, 20, 40 and 60 ms (RFC 6716 2.1.4). */
	if (params->tx.codec == MEDIA_CODEC_OPUS && (ms == 30 || ms == 50))
		ms -= 10;
	return ms;
}

void outlet_set(struct outlet *outlet, const struct media_params *params, unsigned rate)
{
	const struct codec *codec = codec_get(params->tx.codec);
	unsigned ptime_ms = packet_ms(params);
	struct coder_setup setup = { .ptime_ms = ptime_ms, .fec = params->opus_fec };
	int r;

	if (outlet->codec == codec && outlet->rate == rate && outlet->ptime_ms == ptime_ms &&
	    outlet->fec == params->opus_fec)
		return;
	outlet_clear(outlet);
	outlet->codec = codec;
	outlet->rate = rate;
	outlet->ptime_ms = ptime_ms;
	outlet->fec = params->opus_fec;
	outlet->native = setup.rate = codec->native_rate(rate);
	outlet->coder = codec->coder_new(&setup);
	if (outlet->native != rate)
		outlet->resampler =
			speex_resampler_init(1, rate, outlet->native, RESAMPLE_QUALITY, &r);
}

static void append(struct outlet *outlet, const int16_t *pcm, unsigned samples)
{
	static const int16_t silence[TICK_SAMPLES_MAX];
	spx_uint32_t in = samples, room = FIFO_MAX - outlet->fifo_len;

	if (!pcm)
		pcm = silence;
	if (outlet->resampler) {
		speex_resampler_process_int(outlet->resampler, 0, pcm, &in,
					    outlet->fifo + outlet->fifo_len, &room);
		outlet->fifo_len += room;
		return;
	}
	if (samples > room)
		samples = room;
	memcpy(outlet->fifo + outlet->fifo_len, pcm, samples * sizeof(*pcm));
	outlet->fifo_len += samples;
}

void outlet_push(struct mstream *stream, const int16_t *pcm, unsigned samples)
{
	uint8_t data[PACKET_HEADER + PACKET_PAYLOAD_MAX + PACKET_TRAILER];
	struct outlet *outlet = stream->outlet;
	unsigned want;
	size_t len;

	if (!outlet)
		return;
	append(outlet, pcm, samples);
	want = outlet->native / 1000 * outlet->ptime_ms;
	while (outlet->fifo_len >= want) {
		len = outlet->codec->encode(outlet->coder, outlet->fifo, want, data + PACKET_HEADER,
					    PACKET_PAYLOAD_MAX);
		outlet->fifo_len -= want;
		memmove(outlet->fifo, outlet->fifo + want,
			outlet->fifo_len * sizeof(*outlet->fifo));
		if (len)
			sender_send(stream, data + PACKET_HEADER, len,
				    outlet->codec->info.clock_rate / 1000 * outlet->ptime_ms);
	}
}
