#include "media/private.h"

/* A source whose sequence jumps further than this has restarted; relaying begins anew with it. */
#define RELAY_JUMP 3000
/* Audio is held back behind an event packet: for one that goes on, and for one that was the
 * (repeated) last.
 */
#define EVENT_HOLD_US 200000
#define EVENT_END_HOLD_US 60000

void sender_init(struct sender *sender)
{
	*sender = (struct sender){
		.ssrc = random_u32(),
		/* Below half: spares SRTP an early wrap, RFC 3711 3.3.1. */
		.seq = (uint16_t)(random_u32() & 0x7fff),
		.timestamp = random_u32(),
		.clock_rate = 8000,
		.frame = 160,
		.mark = true,
	};
}

void sender_switch(struct sender *sender)
{
	sender->anchored = false;
	sender->mark = true;
}

uint32_t sender_timestamp_now(const struct sender *sender, uint64_t now_us)
{
	uint64_t units;

	if (!sender->started)
		return sender->timestamp;
	units = (now_us - sender->sent_us) * sender->clock_rate / 1000000;
	return sender->timestamp + (units > sender->frame ? (uint32_t)units : sender->frame);
}

static void sent(struct sender *sender, size_t payload_len, uint64_t now_us)
{
	sender->started = true;
	sender->mark = false;
	sender->sent_us = now_us;
	sender->packets++;
	sender->octets += payload_len;
}

static void relay_anchor(struct sender *sender, const struct packet *packet, uint64_t now_us)
{
	sender->timestamp_delta = sender_timestamp_now(sender, now_us) - packet->timestamp;
	sender->seq_delta = (uint16_t)(sender->seq - packet->seq);
	sender->in_first = packet->seq;
	sender->in_last = (uint16_t)(packet->seq - 1);
	sender->in_ssrc = packet->ssrc;
	sender->anchored = true;
	sender->mark = true;
}

/* Losses and reordering of the source stay visible to the receiver: numbers are shifted, not made
 * new.
 */
void sender_relay(struct mstream *to, struct packet *packet, uint8_t pt)
{
	struct sender *sender = &to->sender;
	struct packet out = *packet;
	int16_t ahead;
	uint32_t step;

	if (!to->remote_len || pt == MEDIA_PT_NONE)
		return;
	if (sender->dialling) {
		sender->anchored = false; /* what follows is joined on anew */
		return;
	}
	ahead = (int16_t)(packet->seq - sender->in_last);
	if (!sender->anchored || sender->in_ssrc != packet->ssrc || ahead > RELAY_JUMP ||
	    ahead < -RELAY_JUMP) {
		relay_anchor(sender, packet, to->loop->now_us);
		ahead = 1;
	}
	if ((int16_t)(packet->seq - sender->in_first) < 0)
		return; /* from before the switch: its number was used by what was sent then */
	out.seq = (uint16_t)(packet->seq + sender->seq_delta);
	out.timestamp = packet->timestamp + sender->timestamp_delta;
	out.ssrc = sender->ssrc;
	out.pt = pt;
	out.marker = packet->marker || sender->mark;
	if (ahead > 0) {
		step = out.timestamp - sender->timestamp;
		if (ahead == 1 && step && step <= sender->clock_rate / 1000 * CODEC_FRAME_MS_MAX)
			sender->frame = step;
		sender->timestamp = out.timestamp;
		sender->seq = (uint16_t)(out.seq + 1);
		sender->in_last = packet->seq;
		if ((uint16_t)(packet->seq - sender->in_first) > 2 * RELAY_JUMP)
			sender->in_first = (uint16_t)(packet->seq - RELAY_JUMP);
	}
	sent(sender, packet->payload_len, to->loop->now_us);
	packet_write_header(packet->payload - PACKET_HEADER, &out);
	to->tx(to, packet->payload - PACKET_HEADER, packet->payload_len + PACKET_HEADER);
}

void sender_send(struct mstream *to, uint8_t *payload, size_t len, uint32_t frame)
{
	struct sender *sender = &to->sender;
	uint64_t now_us = to->loop->now_us;
	struct packet out = {
		.seq = sender->seq,
		.ssrc = sender->ssrc,
		.pt = to->params.tx.pt,
		.marker = sender->mark,
		.timestamp = sender->mark ? sender_timestamp_now(sender, now_us)
					  : sender->timestamp + sender->frame,
	};

	if (!to->remote_len || sender->dialling || now_us < sender->event_until_us) {
		sender->mark = true; /* a telephone-event takes the place of audio */
		return;
	}
	sender->seq++;
	sender->timestamp = out.timestamp;
	sender->frame = frame;
	sent(sender, len, now_us);
	packet_write_header(payload - PACKET_HEADER, &out);
	to->tx(to, payload - PACKET_HEADER, len + PACKET_HEADER);
}

void sender_event(struct mstream *to, const struct packet *packet, uint32_t rate)
{
	struct sender *sender = &to->sender;
	uint64_t now_us = to->loop->now_us, units;
	uint8_t data[PACKET_HEADER + 4 + PACKET_TRAILER];
	unsigned to_rate = to->params.tx_event_rate ? to->params.tx_event_rate : sender->clock_rate;
	bool first = !sender->event_any || sender->event_in != packet->timestamp;
	bool end;
	struct packet out = { .seq = sender->seq,
			      .ssrc = sender->ssrc,
			      .pt = to->params.tx_event_pt };

	if (!to->remote_len || out.pt == MEDIA_PT_NONE || packet->payload_len < 4 || !rate ||
	    sender->dialling)
		return;
	end = packet->payload[1] & 0x80;
	if (first) {
		sender->event_any = true;
		sender->event_timestamp = sender_timestamp_now(sender, now_us);
		sender->event_in = packet->timestamp;
	}
	out.timestamp = sender->event_timestamp;
	out.marker = first;
	memcpy(data + PACKET_HEADER, packet->payload, 4);
	units = (uint64_t)read_u16(packet->payload + 2) * to_rate / rate;
	write_u16(data + PACKET_HEADER + 2, (uint16_t)(units > 0xffff ? 0xffff : units));
	sender->event_until_us = now_us + (end ? EVENT_END_HOLD_US : EVENT_HOLD_US);
	sender->seq++;
	sender->packets++;
	sender->octets += 4;
	sender->mark = true; /* for the audio that follows; its time is taken from the clock */
	packet_write_header(data, &out);
	to->tx(to, data, PACKET_HEADER + 4);
}

uint32_t sender_dial(struct mstream *to, const uint8_t event[static 4], bool first,
		     uint32_t timestamp)
{
	struct sender *sender = &to->sender;
	uint8_t data[PACKET_HEADER + 4 + PACKET_TRAILER];
	struct packet out = { .seq = sender->seq,
			      .ssrc = sender->ssrc,
			      .pt = to->params.tx_event_pt,
			      .marker = first };

	if (first) {
		timestamp = sender_timestamp_now(sender, to->loop->now_us);
		sender->timestamp = timestamp;
		sender->sent_us = to->loop->now_us;
		sender->started = true;
	}
	out.timestamp = timestamp;
	sender->seq++;
	sender->packets++;
	sender->octets += 4;
	memcpy(data + PACKET_HEADER, event, 4);
	packet_write_header(data, &out);
	to->tx(to, data, PACKET_HEADER + 4);
	return timestamp;
}
