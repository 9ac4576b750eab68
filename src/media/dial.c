/* A digit as it is sent, a step a tick: as a telephone-event (RFC 4733) or as two tones. Whatever
 * feeds the stream goes on underneath and is not heard meanwhile.
 */
#include "media/private.h"

#include <math.h>

#define ENDS 3		   /* the last packet is sent three times, RFC 4733 2.5.1.4 */
#define VOLUME 10	   /* -10 dBm0 */
#define TONE_DBM0 (-9)	   /* each of the two */
#define RAMP_MS 2	   /* no clicks at the edges */
#define SEGMENT_MAX 0xffff /* units in one segment */
#define GAP_MIN_MS 40

static const char digits[] = "0123456789*#ABCD";

static unsigned whole_ticks(unsigned ms)
{
	return (ms + TICK_MS - 1) / TICK_MS * TICK_MS;
}

static bool can_send_event(const struct mstream *stream)
{
	return stream->remote_len && stream->params.send &&
	       stream->params.tx_event_pt != MEDIA_PT_NONE;
}

static void finish(struct mstream *stream)
{
	struct media_event event = { .type = MEDIA_EVENT_DTMF_SENT };

	event.dtmf.digit = stream->dial.digit;
	event.dtmf.inband = stream->dial.inband;
	event.dtmf.duration_ms = stream->dial.duration_ms;
	stream->dial = (struct dial){ 0 };
	stream->sender.dialling = false;
	stream_emit(stream, &event);
	plan_stream(stream);
}

/* ---- as an event ---- */

static void send_units(struct mstream *stream, uint32_t units, bool end)
{
	struct dial *dial = &stream->dial;
	uint8_t event[4] = { (uint8_t)(strchr(digits, dial->digit) - digits),
			     (uint8_t)((end ? 0x80 : 0) | VOLUME) };

	write_u16(event + 2, (uint16_t)units);
	dial->timestamp = sender_dial(stream, event, !dial->begun, dial->timestamp);
	dial->begun = true;
}

static void event_step(struct mstream *stream)
{
	struct dial *dial = &stream->dial;
	unsigned rate = stream->params.tx_event_rate ? stream->params.tx_event_rate
						     : stream->sender.clock_rate;
	unsigned lasted_ms =
		dial->elapsed_ms < dial->duration_ms ? dial->elapsed_ms : dial->duration_ms;
	uint32_t units = (uint32_t)((uint64_t)lasted_ms * rate / 1000) - dial->before;

	if (dial->ends == ENDS || !can_send_event(stream)) {
		stream->sender.dialling = false;
		return;
	}
	stream->sender.dialling = true;
	if (units > SEGMENT_MAX) {
		send_units(stream, SEGMENT_MAX, false);
		dial->timestamp += SEGMENT_MAX;
		dial->before += SEGMENT_MAX;
		units -= SEGMENT_MAX;
	}
	send_units(stream, units, dial->elapsed_ms >= dial->duration_ms);
	if (dial->elapsed_ms < dial->duration_ms || ++dial->ends < ENDS)
		return;
	stream->sender.dialling = false;
	sender_switch(&stream->sender); /* what follows takes its time from the clock */
}

/* ---- as tones ---- */

static void tones(const struct dial *dial, unsigned rate, int16_t *pcm)
{
	static const char keys[] = "123A456B789C*0#D";
	static const double rows[] = { 697, 770, 852, 941 }, columns[] = { 1209, 1336, 1477, 1633 };
	size_t key = (size_t)(strchr(keys, dial->digit) - keys);
	unsigned samples = rate / 1000 * TICK_MS, ramp = rate / 1000 * RAMP_MS;
	unsigned total = rate / 1000 * dial->duration_ms;
	unsigned at = rate / 1000 * (dial->elapsed_ms - TICK_MS);
	/* 0 dBm0 is 3.14 dB below the loudest sine that G.711 can carry. */
	double level = 32767 * pow(10, (TONE_DBM0 - 3.14) / 20);

	for (unsigned i = 0; i < samples; i++) {
		unsigned n = at + i, edge = n < total - n ? n : total - n;
		double t = 2 * M_PI * n / rate;
		double v = level * (sin(rows[key / 4] * t) + sin(columns[key % 4] * t));

		pcm[i] = (int16_t)lround(edge < ramp ? v * edge / ramp : v);
	}
}

static void tone_step(struct mstream *stream)
{
	unsigned rate = plan_feed_rate(stream);
	int16_t pcm[TICK_SAMPLES_MAX];
	bool sounds = stream->dial.elapsed_ms <= stream->dial.duration_ms;

	if (sounds)
		tones(&stream->dial, rate, pcm);
	outlet_push(stream, sounds ? pcm : NULL, rate / 1000 * TICK_MS);
}

/* ---- both ---- */

void dial_start(struct mstream *stream, const struct media_digit *digit)
{
	unsigned gap_ms = digit->gap_ms > GAP_MIN_MS ? digit->gap_ms : GAP_MIN_MS;

	if (!digit->digit || !strchr(digits, digit->digit))
		return;
	if (stream->sender.dialling)
		sender_switch(&stream->sender);
	stream->sender.dialling = false;
	stream->dial = (struct dial){
		.digit = digit->digit,
		.inband = digit->inband,
		.duration_ms = whole_ticks(digit->duration_ms ? digit->duration_ms : TICK_MS),
		.gap_ms = whole_ticks(gap_ms),
	};
	plan_stream(stream);
}

void dial_tick(struct mstream *stream)
{
	struct dial *dial = &stream->dial;

	dial->elapsed_ms += TICK_MS;
	if (dial->inband)
		tone_step(stream);
	else
		event_step(stream);
	if (dial->elapsed_ms >= dial->duration_ms + dial->gap_ms)
		finish(stream);
}
