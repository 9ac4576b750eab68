/* media/packet.h - RTP packets as they lie in memory (RFC 3550 5.1)
 *
 * Parsing never copies. A packet that is forwarded gets its new header written right before its
 * payload, over what was there: extension and CSRC list of the far end mean nothing on another leg.
 */
#pragma once

#include "base/mem.h"

#define PACKET_MAX                                                                                 \
	2048 /* bytes read; longer datagrams are cut and then fail to parse or to verify */
#define PACKET_HEADER 12
#define PACKET_PAYLOAD_MAX 1400
#define PACKET_TRAILER 32 /* room behind a packet for an SRTP tag */

struct packet {
	uint8_t *payload;
	size_t payload_len;
	uint32_t timestamp, ssrc;
	uint16_t seq;
	uint8_t pt;
	bool marker;
	uint8_t codec; /* enum media_codec: what the stream took it for */
};

static inline uint16_t read_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void write_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void write_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* On a port shared with RTCP (RFC 5761 4): packet types 192..223 in the second byte are RTCP. */
static inline bool packet_is_rtcp(const uint8_t *data, size_t len)
{
	return len >= 2 && data[1] >= 192 && data[1] <= 223;
}

/* Return: false for anything that is not RTP version 2 with sane lengths. */
static inline bool packet_parse(uint8_t *data, size_t len, struct packet *ret)
{
	size_t at = PACKET_HEADER;

	if (len < PACKET_HEADER || data[0] >> 6 != 2)
		return false;
	if (data[0] & 0x3f) { /* padding, extension or CSRCs: the uncommon case */
		at += 4u * (data[0] & 0x0f);
		if (data[0] & 0x10) {
			if (len < at + 4)
				return false;
			at += 4 + 4u * read_u16(data + at + 2);
		}
		if (len < at)
			return false;
		if (data[0] & 0x20) {
			if (len == at || !data[len - 1] || data[len - 1] > len - at)
				return false;
			len -= data[len - 1];
		}
	}
	ret->payload = data + at;
	ret->payload_len = len - at;
	ret->pt = data[1] & 0x7f;
	ret->marker = data[1] >> 7;
	ret->seq = read_u16(data + 2);
	ret->timestamp = read_u32(data + 4);
	ret->ssrc = read_u32(data + 8);
	return true;
}

static inline void packet_write_header(uint8_t *at, const struct packet *packet)
{
	at[0] = 0x80;
	at[1] = (uint8_t)(packet->marker << 7 | packet->pt);
	write_u16(at + 2, packet->seq);
	write_u32(at + 4, packet->timestamp);
	write_u32(at + 8, packet->ssrc);
}
