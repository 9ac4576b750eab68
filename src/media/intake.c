/* From the network to PCM: packets wait in the jitter buffer undecoded, are decoded when the tick
 * needs them, resampled if the codec cannot give the bridge's rate itself, and cut to ticks,
 * whatever their own length.
 */
#include "media/jitter.h"
#include "media/private.h"

#include <speex/speex_resampler.h>

#define RESAMPLE_QUALITY 3
#define FIFO_MAX 8192 /* 120 ms at 48 kHz and a tick */
#define CONCEAL_MAX 3 /* in a row; after that it is a pause */
#define QUIET 300     /* mean level below which a frame may be left out unheard */
#define HARD_LONG_US 60000

struct intake {
	const struct codec *codec;
	unsigned rate, native;
	void *decoder;
	SpeexResamplerState *resampler;
	unsigned concealed;
	unsigned packet_samples; /* of the last packet, native */
	unsigned fifo_len;
	struct jitter jitter;
	int16_t fifo[FIFO_MAX];
	int16_t raw[CODEC_SAMPLES_MAX];
};

struct intake *intake_new(void)
{
	return xzalloc(sizeof(struct intake));
}

static void intake_clear(struct intake *intake)
{
	if (intake->decoder)
		intake->codec->decoder_free(intake->decoder);
	if (intake->resampler)
		speex_resampler_destroy(intake->resampler);
	intake->decoder = NULL;
	intake->resampler = NULL;
	intake->fifo_len = 0;
}

struct intake *intake_free(struct intake *intake)
{
	if (intake) {
		intake_clear(intake);
		free(intake);
	}
	return NULL;
}

void intake_set(struct intake *intake, enum media_codec id, unsigned rate)
{
	const struct codec *codec = codec_get(id);
	int r;

	if (intake->codec == codec && intake->rate == rate)
		return;
	intake_clear(intake);
	if (intake->codec != codec)
		jitter_init(&intake->jitter, codec->info.clock_rate);
	intake->codec = codec;
	intake->rate = rate;
	intake->native = codec->native_rate(rate);
	intake->packet_samples = intake->native / 50;
	intake->decoder = codec->decoder_new(intake->native);
	if (intake->native != rate)
		intake->resampler =
			speex_resampler_init(1, intake->native, rate, RESAMPLE_QUALITY, &r);
}

void intake_put(struct intake *intake, const struct packet *packet, uint64_t now_us)
{
	if (packet->codec == intake->codec->info.codec)
		jitter_put(&intake->jitter, packet, now_us);
}

static bool is_quiet(const int16_t *pcm, unsigned samples)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < samples; i++)
		sum += (uint64_t)abs(pcm[i]);
	return sum < (uint64_t)QUIET * samples;
}

static void append(struct intake *intake, const int16_t *pcm, unsigned samples)
{
	spx_uint32_t in = samples, room = FIFO_MAX - intake->fifo_len;

	if (intake->resampler) {
		speex_resampler_process_int(intake->resampler, 0, pcm, &in,
					    intake->fifo + intake->fifo_len, &room);
		intake->fifo_len += room;
		return;
	}
	if (samples > room)
		samples = room;
	memcpy(intake->fifo + intake->fifo_len, pcm, samples * sizeof(*pcm));
	intake->fifo_len += samples;
}

static bool decode_slot(struct intake *intake, const struct jitter_slot *slot, uint64_t now_us)
{
	unsigned samples = intake->codec->decode(intake->decoder, slot->data + PACKET_HEADER,
						 slot->len, intake->raw);

	if (!samples)
		return false;
	intake->packet_samples = samples;
	intake->concealed = 0;
	if (jitter_is_long(&intake->jitter, now_us) &&
	    (is_quiet(intake->raw, samples) ||
	     jitter_is_long(&intake->jitter, now_us - HARD_LONG_US)))
		return true; /* left out: the delay shrinks by its length */
	append(intake, intake->raw, samples);
	return true;
}

static void conceal(struct intake *intake)
{
	const struct jitter_slot *next = jitter_peek(&intake->jitter);

	intake->concealed++;
	intake->codec->conceal(intake->decoder, next ? next->data + PACKET_HEADER : NULL,
			       next ? next->len : 0, intake->raw, intake->packet_samples);
	append(intake, intake->raw, intake->packet_samples);
}

/* One step towards more PCM. Return: false when there is only silence to be had now. */
static bool fetch(struct intake *intake, uint64_t now_us)
{
	struct jitter_slot *slot;

	switch (jitter_take(&intake->jitter, now_us, &slot)) {
	case JITTER_PACKET:
		(void)decode_slot(intake, slot,
				  now_us); /* one that does not decode is as good as lost */
		return true;
	case JITTER_LOST:
		conceal(intake);
		return true;
	case JITTER_STARVED:
		if (intake->concealed >= CONCEAL_MAX)
			return false;
		conceal(intake);
		return true;
	case JITTER_WAIT:
		break;
	}
	return false;
}

bool intake_pull(struct intake *intake, int16_t *pcm, unsigned samples, uint64_t now_us)
{
	unsigned n;

	while (intake->fifo_len < samples && fetch(intake, now_us))
		;
	if (!intake->fifo_len)
		return false;
	n = intake->fifo_len < samples ? intake->fifo_len : samples;
	memcpy(pcm, intake->fifo, n * sizeof(*pcm));
	memset(pcm + n, 0, (samples - n) * sizeof(*pcm));
	intake->fifo_len -= n;
	memmove(intake->fifo, intake->fifo + n, intake->fifo_len * sizeof(*pcm));
	return true;
}

bool intake_unload(struct intake *intake, struct packet *ret)
{
	struct jitter_slot *slot = jitter_unload(&intake->jitter);

	if (!slot)
		return false;
	*ret = (struct packet){
		.payload = slot->data + PACKET_HEADER,
		.payload_len = slot->len,
		.timestamp = slot->timestamp,
		.ssrc = slot->ssrc,
		.seq = slot->seq,
		.pt = slot->pt,
		.codec = slot->codec,
	};
	return true;
}
