/* media/receiver.h - what a stream counts about the packets it takes (RFC 3550 A.1, A.3, A.8), and
 * the E-model
 */
#pragma once

#include "media/packet.h"

struct receiver {
	bool active; /* a source is known */
	uint32_t ssrc;
	uint32_t clock_rate;
	uint16_t max_seq;
	uint32_t cycles; /* of the sequence number, in units of 65536 */
	uint32_t base_seq, bad_seq;
	uint32_t received;
	uint32_t expected_prior, received_prior;
	uint32_t transit;
	uint32_t jitter_q4;		       /* clock units, times 16 */
	uint64_t past_expected, past_received; /* of earlier sources */
};

/* Accounts for a packet that was accepted. Return: false for one that is far out of sequence
 * (dropped, unless its successor shows that the source has restarted). clock_rate 0: its timestamp
 * says nothing about time (telephone-event).
 */
bool receiver_take(struct receiver *rx, const struct packet *packet, uint32_t clock_rate,
		   uint64_t now_us);
uint64_t receiver_expected(const struct receiver *rx);
uint64_t receiver_received(const struct receiver *rx);
/* Packets missing over the life of the stream; duplicates never make it negative. */
uint64_t receiver_lost(const struct receiver *rx);
uint32_t receiver_jitter_us(const struct receiver *rx);

struct report_block {
	uint32_t ssrc;
	uint8_t fraction; /* lost since the last report, in 1/256 */
	int32_t lost;	  /* 24 bits signed on the wire */
	uint32_t max_seq; /* extended */
	uint32_t jitter;
	uint32_t last_sr, delay; /* LSR, DLSR in 1/65536 s */
};

/* Closes the interval since the last call. last_sr and delay are the caller's. */
void receiver_report(struct receiver *rx, struct report_block *ret);

/* E-model (ITU-T G.107, short form): MOS times 100 from one-way delay, loss and the codec. */
struct mos_codec {
	double ie, bpl; /* equipment impairment and loss robustness, G.113 Appendix I */
};

unsigned mos_x100(const struct mos_codec *codec, double delay_ms, double loss_pct);
