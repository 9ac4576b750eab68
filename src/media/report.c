/* RTCP (RFC 3550 6): sender and receiver reports both ways, and what they say about a leg. */
#include "media/private.h"

#include <stdio.h>

#define RTCP_SR 200
#define RTCP_RR 201
#define RTCP_SDES 202
#define RTCP_BYE 203
#define SDES_CNAME 1
#define INTERVAL_US 5000000 /* the least for two parties, 6.2 */
#define REPORT_MAX 512
#define NTP_OFFSET_S 2208988800ull
#define CNAME_MAX 64

/* 6.3.1: spread over 0.5 to 1.5, divided by e - 3/2 as its timer reconsideration asks for. */
uint64_t report_interval_us(void)
{
	return (uint64_t)(INTERVAL_US * (0.5 + random_u32() / 4294967296.0) / 1.21828);
}

static uint64_t ntp_now(void)
{
	uint64_t us = (uint64_t)clock_wall_us();

	return (us / 1000000 + NTP_OFFSET_S) << 32 | (us % 1000000 << 32) / 1000000;
}

static size_t write_block(uint8_t *at, struct mstream *stream)
{
	struct reports *reports = &stream->reports;
	struct report_block block;
	uint64_t delay_us = stream->loop->now_us - reports->sr_taken_us;

	receiver_report(&stream->receiver, &block);
	write_u32(at, block.ssrc);
	write_u32(at + 4, (uint32_t)block.fraction << 24 | ((uint32_t)block.lost & 0xffffff));
	write_u32(at + 8, block.max_seq);
	write_u32(at + 12, block.jitter);
	write_u32(at + 16, reports->sr_last);
	write_u32(at + 20, reports->sr_last ? (uint32_t)(delay_us * 65536 / 1000000) : 0);
	return 24;
}

static size_t write_sender_info(uint8_t *at, const struct mstream *stream)
{
	const struct sender *sender = &stream->sender;
	uint64_t ntp = ntp_now();
	uint64_t since = (stream->loop->now_us - sender->sent_us) * sender->clock_rate / 1000000;

	write_u32(at, (uint32_t)(ntp >> 32));
	write_u32(at + 4, (uint32_t)ntp);
	write_u32(at + 8, sender->timestamp + (uint32_t)since);
	write_u32(at + 12, (uint32_t)sender->packets);
	write_u32(at + 16, (uint32_t)sender->octets);
	return 20;
}

static void finish_header(uint8_t *at, unsigned count, uint8_t type, size_t len)
{
	at[0] = (uint8_t)(0x80 | count);
	at[1] = type;
	write_u16(at + 2, (uint16_t)(len / 4 - 1));
}

static size_t write_report(uint8_t *at, struct mstream *stream)
{
	bool sr = stream->sender.packets != stream->reports.packets_reported;
	size_t len = 8;

	write_u32(at + 4, stream->sender.ssrc);
	if (sr)
		len += write_sender_info(at + len, stream);
	if (stream->receiver.active)
		len += write_block(at + len, stream);
	finish_header(at, stream->receiver.active, sr ? RTCP_SR : RTCP_RR, len);
	stream->reports.packets_reported = stream->sender.packets;
	return len;
}

static size_t write_cname(uint8_t *at, const struct mstream *stream)
{
	size_t name = strnlen(stream->loop->cname, CNAME_MAX), len = 8;

	write_u32(at + 4, stream->sender.ssrc);
	at[len++] = SDES_CNAME;
	at[len++] = (uint8_t)name;
	memcpy(at + len, stream->loop->cname, name);
	len += name;
	do {
		at[len++] = 0;
	} while (len % 4);
	finish_header(at, 1, RTCP_SDES, len);
	return len;
}

void report_send(struct mstream *stream, bool bye)
{
	uint8_t data[REPORT_MAX];
	size_t len;
	socklen_t to_len = stream->remote_rtcp.sa.sa_family == AF_INET
				   ? sizeof(stream->remote_rtcp.in)
				   : sizeof(stream->remote_rtcp.in6);

	if (stream->fd < 0 || media_addr_is_any(&stream->remote_rtcp))
		return;
	if (bye && !stream->reports.told && !stream->sender.packets)
		return; /* nobody knows of us who could miss us: RFC 3550 6.3.7 */
	stream->reports.told = true;
	len = write_report(data, stream);
	len += write_cname(data + len, stream);
	if (bye) {
		write_u32(data + len + 4, stream->sender.ssrc);
		finish_header(data + len, 1, RTCP_BYE, 8);
		len += 8;
	}
	if (stream->params.tx_crypto.suite != MEDIA_CRYPTO_NONE &&
	    (!stream->crypt_tx || crypt_protect(stream->crypt_tx, data, &len, sizeof(data), true)))
		return;
	(void)sendto(stream->params.rtcp_mux ? stream->fd : stream->rtcp_fd, data, len,
		     MSG_DONTWAIT | MSG_NOSIGNAL, &stream->remote_rtcp.sa, to_len);
}

static void take_block(struct mstream *stream, const uint8_t *at)
{
	struct reports *reports = &stream->reports;
	uint32_t last_sr = read_u32(at + 16), delay = read_u32(at + 20), rtt;

	if (read_u32(at) != stream->sender.ssrc)
		return;
	reports->far_loss_permille = at[4] * 1000u / 256;
	reports->far_jitter_us =
		(uint32_t)((uint64_t)read_u32(at + 12) * 1000000 / stream->sender.clock_rate);
	if (!last_sr)
		return;
	rtt = (uint32_t)(ntp_now() >> 16) - last_sr - delay;
	if (rtt < 60u << 16) /* else their arithmetic, or a step of our clock */
		reports->rtt_us = (uint32_t)((uint64_t)rtt * 1000000 >> 16);
}

void report_take(struct mstream *stream, const uint8_t *data, size_t len)
{
	while (len >= 8 && data[0] >> 6 == 2) {
		size_t own = 4 + 4u * read_u16(data + 2);
		unsigned count = data[0] & 0x1f;
		size_t at = 8;

		if (own > len || own < 8)
			return;
		if (data[1] == RTCP_SR) {
			if (own < 28)
				return;
			stream->reports.sr_last =
				read_u32(data + 10); /* the middle of the NTP time */
			stream->reports.sr_taken_us = stream->loop->now_us;
			at = 28;
		}
		if (data[1] == RTCP_SR || data[1] == RTCP_RR)
			for (; count && at + 24 <= own; at += 24, count--)
				take_block(stream, data + at);
		data += own;
		len -= own;
	}
}

void report_quality(const struct mstream *stream, struct media_quality *ret)
{
	const struct receiver *rx = &stream->receiver;
	const struct codec *codec = codec_get(stream->rx_audio);
	uint64_t expected = receiver_expected(rx), lost = receiver_lost(rx);
	double delay_ms, loss_pct = expected ? 100.0 * (double)lost / (double)expected : 0;

	*ret = (struct media_quality){
		.rx_packets = receiver_received(rx),
		.tx_packets = stream->sender.packets,
		.rx_lost = lost,
		.rx_dropped = stream->dropped,
		.loss_permille = expected ? (uint32_t)(lost * 1000 / expected) : 0,
		.jitter_us = receiver_jitter_us(rx),
		.rtt_us = stream->reports.rtt_us,
		.far_loss_permille = stream->reports.far_loss_permille,
		.far_jitter_us = stream->reports.far_jitter_us,
	};
	if (!expected || !codec)
		return;
	/* One way: half the round trip, a packet, and a jitter buffer of twice the jitter. */
	delay_ms = ret->rtt_us / 2000.0 + 20 + ret->jitter_us / 500.0;
	ret->mos_x100 = mos_x100(&(struct mos_codec){ codec->impair.ie, codec->impair.bpl },
				 delay_ms, loss_pct);
}
