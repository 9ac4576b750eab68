/* Taps: what a stream says, decoded beside whatever is done with its packets, for a recording.
 *
 * A tap has a jitter buffer and a decoder of its own, at the recording's rate. So a relayed call stays relayed while it is
 * recorded, and hold, a change of codec, of bridge or of loop are nothing to it.
 */
#include "media/private.h"
#include "media/recorder.h"

void tap_follow(struct mstream *stream)
{
	struct tap *tap = stream->tap;

	if (!tap || !codec_get(stream->rx_audio))
		return;
	if (!tap->intake)
		tap->intake = intake_new();
	intake_set(tap->intake, stream->rx_audio, tap->rate);
}

void tap_link(struct mstream *stream)
{
	struct mloop *loop = stream->loop;

	if (!stream->tap)
		return;
	stream->tap_next = loop->tapped;
	stream->tap_prev = &loop->tapped;
	if (loop->tapped)
		loop->tapped->tap_prev = &stream->tap_next;
	loop->tapped = stream;
}

void tap_unlink(struct mstream *stream)
{
	if (!stream->tap)
		return;
	*stream->tap_prev = stream->tap_next;
	if (stream->tap_next)
		stream->tap_next->tap_prev = stream->tap_prev;
}

struct tap *tap_free(struct tap *tap)
{
	if (tap) {
		intake_free(tap->intake);
		free(tap);
	}
	return NULL;
}

void tap_set(struct mstream *stream, struct tap *tap)
{
	tap_unlink(stream);
	tap_free(stream->tap);
	stream->tap = tap;
	tap_link(stream);
	tap_follow(stream);
}

void tap_take(struct mstream *stream, const struct packet *packet)
{
	if (stream->tap->intake && packet->codec != MEDIA_CODEC_EVENT)
		intake_put(stream->tap->intake, packet, stream->loop->now_us);
}

void tap_tick(struct mstream *stream)
{
	struct tap *tap = stream->tap;
	unsigned samples = tap->rate / 1000 * TICK_MS;
	int16_t pcm[TICK_SAMPLES_MAX];
	struct record_frame frame = {
		.number = tap->number,
		.tick = stream->loop->tick_us / TICK_US,
		.side = tap->side,
	};

	if (!tap->intake || !intake_pull(tap->intake, pcm, samples, stream->loop->now_us))
		return;
	/* Who is muted, or not to be heard now, is not recorded either. */
	if (stream->muted || !stream->params.recv)
		return;
	for (; frame.part * RECORD_PART < samples; frame.part++) {
		memcpy(frame.pcm, pcm + frame.part * RECORD_PART, sizeof(frame.pcm));
		recorder_give(tap->recorder, &frame);
	}
}
