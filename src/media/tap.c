/* Taps: what a stream says, decoded beside whatever is done with its packets, for a recording.
 *
 * A tap has a decoder of its own, at the recording's rate, so a relayed call stays relayed while it is recorded, and hold,
 * a change of codec, of bridge or of loop are nothing to it. It has no jitter buffer: nobody waits for a
 * recording, so each packet is put where its timestamp says that it was spoken, however late it comes. Only
 * their order matters to decoders; packets that overtook others are held until those are there or four more are.
 *
 * The place follows the wall clock: the packets that travelled fastest say where the far end's clock is now (as in
 * RFC 3550 A.8, but of the least transit). A place that is off by more than SLACK_MS is moved, so clocks that run
 * fast or slow cost a few milliseconds every few minutes, and both sides of a call stay together.
 */
#include "media/codec.h"
#include "media/private.h"
#include "media/recorder.h"

#include <speex/speex_resampler.h>

#define HELD 4	      /* packets ahead of one that is missing; a power of two */
#define CONCEAL_MAX 3 /* in a row; after that it is a pause */
#define GAP_MAX 100   /* packets; beyond, the source has begun anew */
#define SLACK_MS 5
#define WINDOW_US 2000000
#define WINDOW_PACKETS 20
#define LATE_MS                                                                                    \
	300 /* ten in a row that are later than this were not held up: the path is longer now */
#define LATE_PACKETS 10
#define JUMP_S 10 /* timestamps that leap so far tell nothing */
#define RESAMPLE_QUALITY 3
#define OUT_MAX (2 * CODEC_SAMPLES_MAX)

struct held {
	bool used;
	uint16_t seq, len;
	uint32_t timestamp;
	uint64_t now_us;
	uint8_t data[PACKET_PAYLOAD_MAX];
};

struct tap {
	struct recorder *recorder;
	uint64_t number;
	uint8_t side;
	unsigned rate;
	/* decoding */
	const struct codec *codec; /* NULL until one is known */
	unsigned native;
	void *decoder;
	SpeexResamplerState *resampler;
	/* what comes next */
	bool begun;
	uint16_t seq;
	uint32_t ssrc, timestamp;
	uint32_t units; /* that the last one lasted */
	unsigned missing;
	uint64_t at;  /* its place, in samples of the monotonic clock */
	uint64_t end; /* up to here all was given */
	/* how late packets are, in samples: the least of a window */
	int64_t least, least_late;
	unsigned seen, late;
	uint64_t window_us;
	struct held held[HELD]; /* by seq */
};

struct tap *tap_new(struct recorder *recorder, uint64_t number, enum media_side side, unsigned rate)
{
	struct tap *tap = xzalloc(sizeof(*tap));

	tap->recorder = recorder;
	tap->number = number;
	tap->side = (uint8_t)side;
	tap->rate = rate;
	return tap;
}

static void codec_drop(struct tap *tap)
{
	if (tap->decoder)
		tap->codec->decoder_free(tap->decoder);
	if (tap->resampler)
		speex_resampler_destroy(tap->resampler);
	tap->decoder = NULL;
	tap->resampler = NULL;
}

/* ---- to the recorder ---- */

static void give(struct tap *tap, uint64_t at, const int16_t *pcm, unsigned samples)
{
	uint64_t skip = at < tap->end ? tap->end - at : 0;

	if (skip >= samples)
		return;
	tap->end = at + samples;
	recorder_give_pcm(
		tap->recorder,
		&(struct record_frame){ .number = tap->number, .side = tap->side, .at = at + skip },
		pcm + skip, samples - (unsigned)skip);
}

static void give_native(struct tap *tap, int16_t *pcm, unsigned samples)
{
	int16_t out[OUT_MAX];
	spx_uint32_t in = samples, made = OUT_MAX;

	if (!tap->resampler) {
		give(tap, tap->at, pcm, samples);
		return;
	}
	speex_resampler_process_int(tap->resampler, 0, pcm, &in, out, &made);
	give(tap, tap->at, out, made);
}

/* ---- where it belongs ---- */

static uint64_t samples_of(const struct tap *tap, uint32_t units)
{
	return (uint64_t)units * tap->rate / tap->codec->info.clock_rate;
}

/* If it came without delay: it began to be spoken as long ago as it lasts. */
static uint64_t earliest(const struct tap *tap, uint32_t units, uint64_t now_us)
{
	return now_us * tap->rate / 1000000 - samples_of(tap, units);
}

static void window_begin(struct tap *tap, uint64_t now_us)
{
	tap->least = INT64_MAX;
	tap->seen = 0;
	tap->window_us = now_us;
}

static void move(struct tap *tap, int64_t by, uint64_t now_us)
{
	tap->at += (uint64_t)by;
	tap->late = 0;
	window_begin(tap, now_us);
}

static void follow_clock(struct tap *tap, uint64_t now_us)
{
	int64_t slack = tap->rate / 1000 * SLACK_MS;
	int64_t late = (int64_t)(earliest(tap, tap->units, now_us) - tap->at);

	if (late < -slack) { /* nothing comes before it is spoken */
		move(tap, late, now_us);
		return;
	}
	if (late < (int64_t)tap->rate / 1000 * LATE_MS) {
		tap->late = 0;
	} else {
		tap->least_late = tap->late && tap->least_late < late ? tap->least_late : late;
		if (++tap->late >= LATE_PACKETS) {
			move(tap, tap->least_late, now_us);
			return;
		}
	}
	if (late < tap->least)
		tap->least = late;
	if (++tap->seen < WINDOW_PACKETS || now_us - tap->window_us < WINDOW_US)
		return;
	if (tap->least > slack)
		move(tap, tap->least, now_us);
	else
		window_begin(tap, now_us);
}

static void place(struct tap *tap, uint32_t timestamp, uint64_t now_us)
{
	int32_t ahead = (int32_t)(timestamp - tap->timestamp);
	int64_t clock_rate = tap->codec->info.clock_rate;

	if (ahead > JUMP_S * clock_rate || ahead < -JUMP_S * clock_rate)
		tap->at = earliest(tap, tap->units, now_us);
	else
		tap->at += (uint64_t)(ahead * (int64_t)tap->rate / clock_rate);
	tap->timestamp = timestamp;
	follow_clock(tap, now_us);
}

/* ---- one packet after the other ---- */

static void pass(struct tap *tap)
{
	tap->seq++;
	tap->timestamp += tap->units;
	tap->at += samples_of(tap, tap->units);
}

static void play(struct tap *tap, const uint8_t *payload, size_t len, uint32_t timestamp,
		 uint64_t now_us)
{
	int16_t pcm[CODEC_SAMPLES_MAX];
	uint32_t units = tap->codec->units(payload, len);
	unsigned samples = units ? tap->codec->decode(tap->decoder, payload, len, pcm) : 0;

	if (!samples) { /* one that does not decode is as good as lost */
		pass(tap);
		return;
	}
	tap->units = units;
	tap->missing = 0;
	place(tap, timestamp, now_us);
	give_native(tap, pcm, samples);
	pass(tap);
}

static struct held *held_at(struct tap *tap, uint16_t seq)
{
	struct held *held = &tap->held[seq % HELD];

	return held->used && held->seq == seq ? held : NULL;
}

static void lost(struct tap *tap)
{
	const struct held *next = held_at(tap, (uint16_t)(tap->seq + 1));
	unsigned samples = tap->units / (tap->codec->info.clock_rate / 1000) * (tap->native / 1000);
	int16_t pcm[CODEC_SAMPLES_MAX];

	if (tap->missing++ < CONCEAL_MAX && samples && samples <= CODEC_SAMPLES_MAX) {
		tap->codec->conceal(tap->decoder, next ? next->data : NULL, next ? next->len : 0,
				    pcm, samples);
		give_native(tap, pcm, samples);
	}
	pass(tap);
}

/* The one that is due: as it waits here, or as a gap. */
static void step(struct tap *tap)
{
	struct held *held = held_at(tap, tap->seq);

	if (!held) {
		lost(tap);
		return;
	}
	held->used = false;
	play(tap, held->data, held->len, held->timestamp, held->now_us);
}

static void catch_up(struct tap *tap)
{
	while (held_at(tap, tap->seq))
		step(tap);
}

static void flush(struct tap *tap)
{
	for (unsigned i = 0; i < HELD; i++)
		while (tap->held[i].used)
			step(tap); /* all are less than HELD ahead */
}

static void begin(struct tap *tap, const struct packet *packet, uint64_t now_us)
{
	flush(tap);
	tap->begun = true;
	tap->ssrc = packet->ssrc;
	tap->seq = packet->seq;
	tap->timestamp = packet->timestamp;
	tap->units = tap->codec->units(packet->payload, packet->payload_len);
	tap->missing = tap->late = 0;
	tap->at = earliest(tap, tap->units, now_us);
	window_begin(tap, now_us);
}

static void hold(struct tap *tap, const struct packet *packet, uint64_t now_us)
{
	struct held *held = &tap->held[packet->seq % HELD];

	if (held->used)
		return; /* a duplicate */
	held->used = true;
	held->seq = packet->seq;
	held->len = (uint16_t)packet->payload_len;
	held->timestamp = packet->timestamp;
	held->now_us = now_us;
	memcpy(held->data, packet->payload, packet->payload_len);
}

void tap_take(struct mstream *stream, const struct packet *packet)
{
	struct tap *tap = stream->tap;
	uint64_t now_us = stream->loop->now_us;
	int16_t ahead = (int16_t)(packet->seq - tap->seq);

	/* Who is muted, or not to be heard now, is not recorded either. */
	if (!tap->decoder || packet->codec != tap->codec->info.codec || stream->muted)
		return;
	if (!tap->begun || packet->ssrc != tap->ssrc || ahead > GAP_MAX || ahead < -GAP_MAX) {
		begin(tap, packet, now_us);
		ahead = 0;
	}
	if (ahead < 0)
		return; /* given up already */
	for (; ahead >= HELD; ahead--)
		step(tap); /* waited long enough for what is missing */
	catch_up(tap);
	ahead = (int16_t)(packet->seq - tap->seq);
	if (ahead > 0)
		hold(tap, packet, now_us);
	if (ahead)
		return;
	play(tap, packet->payload, packet->payload_len, packet->timestamp, now_us);
	catch_up(tap);
}

/* ---- of a stream ---- */

void tap_follow(struct mstream *stream)
{
	const struct codec *codec = codec_get(stream->rx_audio);
	struct tap *tap = stream->tap;
	int r;

	if (!tap || !codec || codec == tap->codec)
		return;
	if (tap->codec)
		flush(tap);
	codec_drop(tap);
	tap->codec = codec;
	tap->begun = false;
	tap->native = codec->native_rate(tap->rate);
	tap->decoder = codec->decoder_new(tap->native);
	if (tap->native != tap->rate)
		tap->resampler =
			speex_resampler_init(1, tap->native, tap->rate, RESAMPLE_QUALITY, &r);
}

struct tap *tap_free(struct tap *tap)
{
	if (tap) {
		if (tap->codec)
			flush(tap);
		codec_drop(tap);
		free(tap);
	}
	return NULL;
}

void tap_set(struct mstream *stream, struct tap *tap)
{
	tap_free(stream->tap);
	stream->tap = tap;
	tap_follow(stream);
}
