/* Symmetric RTP: where to send is learnt from where packets come from, because the address in the
 * SDP is often one behind a NAT. What is learnt must not be a stranger's: a port that believes
 * anybody can be robbed of its audio by spraying packets at it. So a source is taken
 *
 *   - at once, when it has the signalled IP (it may have another port);
 *   - within 3 s of an offer/answer from another IP, after two packets of one SSRC in sequence with
 *     a payload type that was negotiated; the signalled IP, once heard, takes precedence for good;
 *   - later, from the same IP on another port (a NAT that forgot its binding), when it goes on with
 *     the SSRC and the sequence of the source we had and that one has fallen silent.
 *
 * An offer/answer that leaves the signalled address as it was opens the window again, but the
 * source that was latched stays where we send and is believed at once: a session refresh must not
 * cost a NATed phone its audio.
 *
 * Authenticity (SRTP) is checked before any of this.
 */
#include "media/private.h"

#define LATCH_WINDOW_US 3000000
#define REBIND_SILENCE_US 100000
#define REBIND_SEQ 3000

void latch_reset(struct mstream *stream)
{
	stream->latched = false;
	stream->latch = (struct latch){
		.mode = stream->params.latch,
		.signalled = stream->params.remote,
		.until_us = stream->loop->now_us + LATCH_WINDOW_US,
	};
}

static bool window_is_open(const struct mstream *stream)
{
	const struct latch *latch = &stream->latch;

	return latch->mode == MEDIA_LATCH_OPEN || stream->loop->now_us < latch->until_us;
}

static bool candidate_proves(struct latch *latch, const struct packet *packet,
			     const union media_addr *from)
{
	bool proven = media_addr_eq(&latch->candidate, from) &&
		      latch->candidate_ssrc == packet->ssrc &&
		      (uint16_t)(packet->seq - latch->candidate_seq) == 1;

	latch->candidate = *from;
	latch->candidate_ssrc = packet->ssrc;
	latch->candidate_seq = packet->seq;
	return proven;
}

static bool take_source(struct mstream *stream, const union media_addr *from, bool by_signalling)
{
	stream->latched = true;
	stream->latch.by_signalling = by_signalling;
	if (!media_addr_eq(&stream->remote, from)) {
		struct media_event event = { .type = MEDIA_EVENT_REMOTE, .remote = *from };

		stream_set_remote(stream, from);
		stream_emit(stream, &event);
	}
	return true;
}

static bool is_rebinding(const struct mstream *stream, const struct packet *packet,
			 const union media_addr *from)
{
	const struct receiver *rx = &stream->receiver;

	return media_addr_ip_eq(&stream->remote, from) && rx->active && packet->ssrc == rx->ssrc &&
	       (uint16_t)(packet->seq - rx->max_seq - 1) < REBIND_SEQ &&
	       stream->loop->now_us - stream->rtp_us >= REBIND_SILENCE_US;
}

bool latch_try(struct mstream *stream, const struct packet *packet, const union media_addr *from)
{
	struct latch *latch = &stream->latch;
	bool signalled_ip = media_addr_ip_eq(&latch->signalled, from);

	if (latch->mode == MEDIA_LATCH_STRICT) {
		stream->latched = media_addr_eq(&latch->signalled, from);
		return stream->latched;
	}
	if (!stream->latched) {
		if (signalled_ip || media_addr_eq(&stream->remote, from))
			return take_source(stream, from, signalled_ip);
		return window_is_open(stream) && candidate_proves(latch, packet, from) &&
		       take_source(stream, from, false);
	}
	if (media_addr_eq(&stream->remote, from))
		return true;
	if (is_rebinding(stream, packet, from))
		return take_source(stream, from, latch->by_signalling);
	/* A stranger came first; the one that was announced comes now. */
	if (signalled_ip && !latch->by_signalling && stream->loop->now_us < latch->until_us)
		return candidate_proves(latch, packet, from) && take_source(stream, from, true);
	return false;
}
