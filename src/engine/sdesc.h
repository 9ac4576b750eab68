/* engine/sdesc.h - session descriptions (RFC 8866) as far as telephones use them, and offer/answer (RFC 3264)
 *
 * One audio stream a session. Whatever else is offered is refused with port 0 and remembered, so that later
 * descriptions keep their lines. Everything is bounded and by value; nothing here allocates but the text that is
 * written. Pure; any thread.
 */
#pragma once

#include "base/base.h"
#include "media/media.h"

#define SDESC_MEDIA_MAX 8    /* m= lines; more is refused */
#define SDESC_FORMATS_MAX 32 /* payload types of one line that are looked at */
#define SDESC_TEXT_MAX 8192

enum sdesc_direction {
	SDESC_INACTIVE = 0,
	SDESC_RECVONLY = 1,
	SDESC_SENDONLY = 2,
	SDESC_SENDRECV = 3
}; /* bits: recv, send */

struct sdesc_format {
	enum media_codec codec; /* NONE: unknown */
	uint8_t pt;
	unsigned clock_rate;
	bool fec; /* Opus: useinbandfec=1 */
};

/* A line that is not our audio, as it must be echoed. */
struct sdesc_refused {
	char kind[16], proto[24], format[16];
};

/* What the far end said. */
struct sdesc_remote {
	unsigned line_count;
	int audio; /* index of the line that carries our audio, -1: none */
	struct sdesc_refused lines[SDESC_MEDIA_MAX];
	uint16_t port;
	union media_addr addr; /* with the port; none: held the old way (0.0.0.0) or unusable */
	union media_addr rtcp;
	uint16_t rtcp_port; /* of a=rtcp; 0: not said */
	bool null_addr;	    /* c=0.0.0.0: hold of RFC 2543 */
	bool mux, secure /* RTP/SAVP */;
	enum sdesc_direction direction; /* as the far end means it */
	unsigned ptime_ms;		/* 0: not said */
	unsigned format_count;
	struct sdesc_format formats[SDESC_FORMATS_MAX];
	struct media_crypto crypto; /* the first suite we know */
	unsigned crypto_tag;
};

enum { SDESC_E_BAD = 1 /* cannot be understood: 400 */ };
must_check int sdesc_parse(const void *text, size_t len, struct sdesc_remote *ret);

/* Our side of one session, over all its offers and answers. */
struct sdesc_local {
	uint64_t session, version,
		written;       /* `written`: hash of the last text but for its version */
	union media_addr addr; /* what we tell the far end, with the RTP port */
	enum sdesc_direction direction;
	unsigned format_count;
	struct sdesc_format formats[MEDIA_MAX_FORMATS + 2]; /* best first */
	bool mux;
	enum { SDESC_PLAIN, SDESC_CRYPTO_OPTIONAL, SDESC_SECURE } profile;
	struct media_crypto crypto;
	unsigned crypto_tag;
	unsigned line_count; /* 0: one line, our audio */
	int audio;
	struct sdesc_refused lines[SDESC_MEDIA_MAX];
};

/* Codecs in order of preference; ends with NONE. */
struct sdesc_taste {
	enum media_codec codecs[8];
};
#define SDESC_TASTE_DEFAULT                                                                        \
	((struct sdesc_taste){                                                                     \
		{ MEDIA_CODEC_PCMU, MEDIA_CODEC_PCMA, MEDIA_CODEC_G722, MEDIA_CODEC_OPUS } })
/* Moves (or adds) a codec to the front. */
void sdesc_taste_first(struct sdesc_taste *taste, enum media_codec codec);

/* An offer of our own: every codec of the taste with its telephone-event. Keeps the numbers that are in use. */
void sdesc_offer(struct sdesc_local *local, const struct sdesc_taste *taste);

enum {
	SDESC_E_NO_AUDIO = 1, /* no audio line with an address we can send to: Warning 304 */
	SDESC_E_NO_CODEC,     /* no common codec: Warning 305 */
	SDESC_E_SECURITY,     /* SRTP is wanted and cannot be had */
};
/* Fills `local` with the answer to `offer`: the first codec of the taste that was offered, alone, with its
 * telephone-event. `wish`: our direction if the far end lets us.
 */
must_check int sdesc_answer(struct sdesc_local *local, const struct sdesc_remote *offer,
			    const struct sdesc_taste *taste, enum sdesc_direction wish,
			    bool must_secure);
/* Checks an answer to what `local` offered. */
must_check int sdesc_accept(const struct sdesc_local *local, const struct sdesc_remote *answer,
			    bool must_secure);
/* The text, its version raised if it says something new. */
void sdesc_write(struct sdesc_local *local, struct buf *out);
/* What the stream is to do, after an offer and answer. `offered`: we made the offer. */
void sdesc_params(const struct sdesc_local *local, const struct sdesc_remote *remote, bool offered,
		  struct media_params *ret);
/* "304 jackfield \"...\"" for a refusal. */
const char *sdesc_warning(int refusal);
