/* telephone-event as it is received (RFC 4733): one report for each (SSRC, timestamp), whatever of
 * marker, repetitions and end packets was lost.
 */
#include "media/private.h"

#define DTMF_END_US 200000
#define DTMF_LATE_US 1000000

static void dtmf_finish(struct mstream *stream)
{
	struct media_event event = { .type = MEDIA_EVENT_DTMF_END };

	event.dtmf.digit = stream->dtmf_digit;
	event.dtmf.duration_ms = stream->dtmf_units / 8;
	stream->dtmf_digit = '\0';
	stream_emit(stream, &event);
}

static uint32_t unit_scale(const struct mstream *stream, const struct packet *packet)
{
	for (unsigned i = 0; i < MEDIA_MAX_FORMATS && stream->params.rx[i].codec; i++)
		if (stream->params.rx[i].pt == packet->pt && stream->params.rx[i].clock_rate > 8000)
			return stream->params.rx[i].clock_rate / 8000;
	return 1;
}

/* So far, in units of 8 kHz. */
static uint32_t event_units(const struct mstream *stream, const struct packet *packet)
{
	return stream->dtmf_before_units +
	       read_u16(packet->payload + 2) / unit_scale(stream, packet);
}

/* A digit longer than 0xffff units goes on under a timestamp that is so much later, RFC 4733 2.5.1.3. */
static bool is_next_segment(const struct mstream *stream, const struct packet *packet, char digit)
{
	return stream->dtmf_digit == digit && stream->dtmf_ssrc == packet->ssrc &&
	       packet->timestamp - stream->dtmf_timestamp == 0xffff;
}

/* Of an earlier event; unless that was so long ago that the source has set back its clock. */
static bool is_straggler(const struct mstream *stream, const struct packet *packet)
{
	return stream->dtmf_any && stream->dtmf_ssrc == packet->ssrc &&
	       (int32_t)(packet->timestamp - stream->dtmf_timestamp) < 0 &&
	       stream->loop->now_us - stream->dtmf_us < DTMF_LATE_US;
}

void dtmf_take(struct mstream *stream, const struct packet *packet)
{
	static const char digits[] = "0123456789*#ABCD!";
	struct media_event event = { .type = MEDIA_EVENT_DTMF };

	if (packet->payload_len < 4 || packet->payload[0] >= sizeof(digits) - 1)
		return;
	stream->ear = ear_free(stream->ear);
	if (is_next_segment(stream, packet, digits[packet->payload[0]])) {
		stream->dtmf_timestamp = packet->timestamp;
		stream->dtmf_before_units += 0xffff / unit_scale(stream, packet);
	}
	if (!stream->dtmf_any || stream->dtmf_timestamp != packet->timestamp ||
	    stream->dtmf_ssrc != packet->ssrc) {
		if (is_straggler(stream, packet))
			return;
		if (stream->dtmf_digit)
			dtmf_finish(stream);
		stream->dtmf_any = true;
		stream->dtmf_timestamp = packet->timestamp;
		stream->dtmf_ssrc = packet->ssrc;
		stream->dtmf_digit = digits[packet->payload[0]];
		stream->dtmf_units = stream->dtmf_before_units = 0;
		event.dtmf.digit = stream->dtmf_digit;
		stream_emit(stream, &event);
		timer_start(&stream->timer, DTMF_END_US / 1000);
	}
	if (!stream->dtmf_digit)
		return; /* a repeated end */
	stream->dtmf_us = stream->loop->now_us;
	if (event_units(stream, packet) > stream->dtmf_units)
		stream->dtmf_units = event_units(stream, packet);
	if (packet->payload[1] & 0x80)
		dtmf_finish(stream);
}

void dtmf_expire(struct mstream *stream)
{
	if (stream->dtmf_digit && stream->loop->now_us - stream->dtmf_us >= DTMF_END_US)
		dtmf_finish(stream);
}
