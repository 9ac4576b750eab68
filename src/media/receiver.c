#include "media/receiver.h"

#include <math.h>

#define MAX_DROPOUT 3000
#define MAX_MISORDER 100
#define NO_BAD_SEQ (1u << 16 | 1u)

static void source_begin(struct receiver *rx, const struct packet *packet)
{
	rx->past_expected = receiver_expected(rx);
	rx->past_received = receiver_received(rx);
	rx->active = true;
	rx->ssrc = packet->ssrc;
	rx->base_seq = rx->max_seq = packet->seq;
	rx->bad_seq = NO_BAD_SEQ;
	rx->cycles = 0;
	rx->received = rx->received_prior = rx->expected_prior = 0;
	rx->jitter_q4 = 0;
	rx->clock_rate = 0; /* no predecessor */
}

static bool sequence_take(struct receiver *rx, const struct packet *packet)
{
	uint16_t delta = (uint16_t)(packet->seq - rx->max_seq);

	if (delta < MAX_DROPOUT) {
		if (packet->seq < rx->max_seq)
			rx->cycles += 1u << 16;
		rx->max_seq = packet->seq;
	} else if (delta <= 65536 - MAX_MISORDER) {
		if (packet->seq != rx->bad_seq) {
			rx->bad_seq = (packet->seq + 1u) & 0xffff;
			return false;
		}
		source_begin(rx, packet); /* two in a row: it has restarted without saying so */
	}				  /* else: a duplicate, or reordered */
	return true;
}

static void jitter_take(struct receiver *rx, uint32_t timestamp, uint32_t clock_rate,
			uint64_t now_us)
{
	/* The clock is cut to 32 bits after scaling, so that the difference wraps with the
	 * timestamp.
	 */
	uint32_t arrival = (uint32_t)(now_us / 1000 * clock_rate / 1000 +
				      now_us % 1000 * clock_rate / 1000000);
	uint32_t transit = arrival - timestamp;
	int32_t d = (int32_t)(transit - rx->transit);

	if (d < 0)
		d = -d;
	/* A jump of a second is a switch of sources, not jitter. */
	if (rx->clock_rate == clock_rate && (uint32_t)d < clock_rate)
		rx->jitter_q4 += (uint32_t)d - ((rx->jitter_q4 + 8) >> 4);
	else if (rx->clock_rate != clock_rate)
		rx->jitter_q4 = 0;
	rx->clock_rate = clock_rate;
	rx->transit = transit;
}

bool receiver_take(struct receiver *rx, const struct packet *packet, uint32_t clock_rate,
		   uint64_t now_us)
{
	if (!rx->active || rx->ssrc != packet->ssrc)
		source_begin(rx, packet);
	else if (!sequence_take(rx, packet))
		return false;
	rx->received++;
	if (clock_rate)
		jitter_take(rx, packet->timestamp, clock_rate, now_us);
	return true;
}

static uint32_t source_expected(const struct receiver *rx)
{
	return rx->active ? rx->cycles + rx->max_seq - rx->base_seq + 1 : 0;
}

uint64_t receiver_expected(const struct receiver *rx)
{
	return rx->past_expected + source_expected(rx);
}

uint64_t receiver_received(const struct receiver *rx)
{
	return rx->past_received + rx->received;
}

uint64_t receiver_lost(const struct receiver *rx)
{
	uint64_t expected = receiver_expected(rx), received = receiver_received(rx);

	return expected > received ? expected - received : 0;
}

uint32_t receiver_jitter_us(const struct receiver *rx)
{
	return rx->clock_rate
		       ? (uint32_t)((uint64_t)(rx->jitter_q4 >> 4) * 1000000 / rx->clock_rate)
		       : 0;
}

void receiver_report(struct receiver *rx, struct report_block *ret)
{
	uint32_t expected = source_expected(rx);
	uint32_t expected_interval = expected - rx->expected_prior;
	int64_t lost_interval =
		(int64_t)expected_interval - (int64_t)(rx->received - rx->received_prior);
	int64_t lost = (int64_t)expected - rx->received;

	rx->expected_prior = expected;
	rx->received_prior = rx->received;
	*ret = (struct report_block){
		.ssrc = rx->ssrc,
		.max_seq = rx->cycles + rx->max_seq,
		.jitter = rx->jitter_q4 >> 4,
	};
	if (expected_interval && lost_interval > 0)
		ret->fraction = (uint8_t)(lost_interval * 256 / expected_interval > 255
						  ? 255
						  : lost_interval * 256 / expected_interval);
	ret->lost = (int32_t)(lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost);
}

unsigned mos_x100(const struct mos_codec *codec, double delay_ms, double loss_pct)
{
	double id = 0.024 * delay_ms + (delay_ms > 177.3 ? 0.11 * (delay_ms - 177.3) : 0);
	double ie = codec->ie + (95 - codec->ie) * loss_pct / (loss_pct + codec->bpl);
	double r = 93.2 - id - ie;
	double mos;

	if (r <= 0)
		return 100;
	if (r >= 100)
		return 450;
	mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;
	return (unsigned)lround((mos < 1 ? 1 : mos) * 100);
}
