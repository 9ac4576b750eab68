/* Symmetric RTP: where to send is learnt from where packets come from, because the address in the
 * SDP is often one behind a NAT. What is learnt must not be a stranger's: a port that believes
 * anybody can be robbed of its audio by spraying packets at it. So a source is taken
 *
 *   - at once, when it has the signalled IP (it may have another port);
 *   - within 3 s of an offer/answer from another IP, after two packets of one SSRC in sequence with
 *     a payload type that was negotiated;
 *   - within that time, too, when more speaks for it than for the one that was taken: the signalled
 *     IP wins over another, the very address that was signalled over them all. What comes first
 *     after an offer/answer is often still on its way from the port that was left;
 *   - within that time from another port of the signalled IP, once the one that was taken is silent;
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

static enum standing standing_of(const struct latch *latch, const union media_addr *from)
{
	if (!media_addr_ip_eq(&latch->signalled, from))
		return STANDING_NONE;
	return media_addr_eq(&latch->signalled, from) ? STANDING_EXACT : STANDING_HOST;
}

static bool take_source(struct mstream *stream, const union media_addr *from,
			enum standing standing)
{
	stream->latched = true;
	stream->latch.standing = standing;
	if (!media_addr_eq(&stream->remote, from)) {
		struct media_event event = { .type = MEDIA_EVENT_REMOTE, .remote = *from };

		stream_set_remote(stream, from);
		stream_emit(stream, &event);
	}
	return true;
}

static bool is_silent(const struct mstream *stream)
{
	return stream->loop->now_us - stream->rtp_us >= REBIND_SILENCE_US;
}

static bool is_rebinding(const struct mstream *stream, const struct packet *packet,
			 const union media_addr *from)
{
	const struct receiver *rx = &stream->receiver;

	return media_addr_ip_eq(&stream->remote, from) && rx->active && packet->ssrc == rx->ssrc &&
	       (uint16_t)(packet->seq - rx->max_seq - 1) < REBIND_SEQ && is_silent(stream);
}

/* Not the one that was taken: does it take that one's place? */
static bool displaces(struct mstream *stream, const struct packet *packet,
		      const union media_addr *from, enum standing standing)
{
	struct latch *latch = &stream->latch;

	if (stream->loop->now_us >= latch->until_us || standing < latch->standing)
		return false;
	if (standing > latch->standing)
		return standing == STANDING_EXACT || candidate_proves(latch, packet, from);
	return standing == STANDING_HOST && is_silent(stream) &&
	       candidate_proves(latch, packet, from);
}

bool latch_try(struct mstream *stream, const struct packet *packet, const union media_addr *from)
{
	struct latch *latch = &stream->latch;
	enum standing standing = standing_of(latch, from);

	if (latch->mode == MEDIA_LATCH_STRICT) {
		stream->latched = standing == STANDING_EXACT;
		return stream->latched;
	}
	if (!stream->latched) {
		if (standing != STANDING_NONE || media_addr_eq(&stream->remote, from))
			return take_source(stream, from, standing);
		return window_is_open(stream) && candidate_proves(latch, packet, from) &&
		       take_source(stream, from, standing);
	}
	if (media_addr_eq(&stream->remote, from))
		return true;
	if (is_rebinding(stream, packet, from))
		return take_source(stream, from, latch->standing);
	return displaces(stream, packet, from, standing) && take_source(stream, from, standing);
}
