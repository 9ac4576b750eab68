/* media/media.h - the seam between engine/ and the media loops
 *
 * A pool of threads (media loops) carries RTP. Everything here is called on the call loop and
 * returns at once: a call becomes a message to the loop that owns the object, and what happens
 * there comes back as a struct media_event from media_poll(). Commands for one stream take effect
 * in the order they were given.
 *
 * Media knows no SIP and no SDP text: addresses, payload types, codecs and directions come by
 * value.
 *
 *     stream   one leg's RTP session: a port pair, a receiver, one sender (RFC 3550)
 *     bridge   a matrix of who hears whom over streams; by default every member hears every other
 *     player   a sound being played to one stream in place of what it would hear
 *
 * What a stream sends is chosen from, strongest first: its player, its echo, its bridge, its idle
 * source. A listener that hears exactly one member in its own codec is relayed (packets forwarded
 * undecoded, PT, SSRC, sequence and timestamp rewritten); any other is mixed on a 20 ms tick. That
 * is decided for each listener whenever something changes; the receiver of a stream sees one
 * continuous RTP stream across all changes.
 */
#pragma once

#include "base/base.h"
#include "media/sound.h"

#include <netinet/in.h>

/* ---- values ---- */

/* Ids are given by value and never reused: an id of something gone is ignored by every command. */
struct media_id {
	uint32_t index, gen; /* gen 0: none */
};

#define MEDIA_NONE ((struct media_id){ 0 })
static inline bool media_id_eq(struct media_id a, struct media_id b)
{
	return a.index == b.index && a.gen == b.gen;
}
static inline bool media_id_is_none(struct media_id id)
{
	return !id.gen;
}

/* An IP address and port. family AF_UNSPEC (all zero): none. */
union media_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

#define MEDIA_ADDR_STR_SIZE 56 /* [v6]:port and the NUL */

/* A literal IPv4 or IPv6 address (no names). Return: false and *ret untouched when it is none. */
must_check bool media_addr_parse(const char *ip, uint16_t port, union media_addr *ret);
const char *media_addr_print(const union media_addr *addr, char buf[static MEDIA_ADDR_STR_SIZE]);
uint16_t media_addr_port(const union media_addr *addr);
void media_addr_set_port(union media_addr *addr, uint16_t port);
bool media_addr_eq(const union media_addr *a, const union media_addr *b);    /* address and port */
bool media_addr_ip_eq(const union media_addr *a, const union media_addr *b); /* address only */
bool media_addr_is_any(const union media_addr *addr);	   /* none, 0.0.0.0 or ::, or port 0 */
bool media_addr_host_is_any(const union media_addr *addr); /* none, 0.0.0.0 or :: */

/* ---- codecs ---- */

enum media_codec {
	MEDIA_CODEC_NONE,
	MEDIA_CODEC_PCMU,
	MEDIA_CODEC_PCMA,
	MEDIA_CODEC_G722,
	MEDIA_CODEC_OPUS,
	MEDIA_CODEC_EVENT, /* telephone-event, RFC 4733 */
	MEDIA_CODEC_CN,	   /* comfort noise, RFC 3389: tolerated when received */
	MEDIA_CODEC_COUNT
};

/* What SDP calls it. */
struct media_codec_info {
	enum media_codec codec;
	const char *name;    /* encoding name of a=rtpmap */
	unsigned clock_rate; /* of a=rtpmap and of RTP timestamps (G.722: 8000, RFC 3551 4.5.2) */
	unsigned channels;   /* of a=rtpmap: 2 for Opus (RFC 7587), though we send mono */
	int static_pt;	     /* RFC 3551, or -1 when dynamic */
	bool audio;
};

const struct media_codec_info *media_codec_info(enum media_codec codec);
/* By the name and clock rate of an a=rtpmap, without regard to case. NULL when unknown. */
const struct media_codec_info *media_codec_find(const char *name, unsigned clock_rate);

#define MEDIA_PT_NONE 255
#define MEDIA_MAX_FORMATS 8

struct media_format {
	enum media_codec codec;
	uint8_t pt;
	unsigned clock_rate; /* 0: the codec's own; telephone-event: 8000 or 48000 */
};

/* SRTP with keys from SDP (RFC 4568). */
enum media_crypto_suite {
	MEDIA_CRYPTO_NONE,
	MEDIA_CRYPTO_AES_CM_128_SHA1_80,
	MEDIA_CRYPTO_AES_CM_128_SHA1_32,
	MEDIA_CRYPTO_AEAD_AES_128_GCM,
	MEDIA_CRYPTO_AEAD_AES_256_GCM,
};

#define MEDIA_CRYPTO_KEY_MAX 46

/* Length of key and salt together: 30, 30, 28, 44; 0 for NONE. */
size_t media_crypto_key_len(enum media_crypto_suite suite);

struct media_crypto {
	enum media_crypto_suite suite;
	uint8_t key[MEDIA_CRYPTO_KEY_MAX]; /* master key, then salt */
};

/* ---- events ---- */

struct media_quality {
	uint64_t rx_packets, tx_packets; /* RTP, since the stream opened */
	uint64_t rx_lost;		 /* of those expected from the far end */
	uint64_t rx_dropped;		 /* wrong source, malformed, not wanted */
	uint32_t loss_permille;		 /* over the life of the stream */
	uint32_t jitter_us;		 /* interarrival jitter, RFC 3550 6.4.1, smoothed */
	uint32_t rtt_us;		 /* 0 until the far end has answered a sender report */
	uint32_t far_loss_permille;	 /* what the far end reports about our sending */
	uint32_t far_jitter_us;
	uint32_t mos_x100; /* E-model (G.107) for what we receive: 100..450; 0 until known */
};

enum media_event_type {
	MEDIA_EVENT_STARTED = 1, /* first RTP packet taken since opening: audio from the far end */
	MEDIA_EVENT_REMOTE,	 /* we send to another address now (latched): .remote */
	MEDIA_EVENT_DTMF,	 /* a telephone-event began: .dtmf.digit */
	MEDIA_EVENT_DTMF_END,	 /* it ended: .dtmf with duration_ms */
	MEDIA_EVENT_SILENT,	 /* no RTP, no RTCP for watchdog_ms while receiving: .silent_ms */
	MEDIA_EVENT_BACK,	 /* packets again after MEDIA_EVENT_SILENT */
	MEDIA_EVENT_DTMF_SENT,	 /* what media_digit_send() was given, with its gap, is over */
	MEDIA_EVENT_PLAYED,	 /* a player ended: .played */
	MEDIA_EVENT_TALK,	 /* in a watched bridge it began to speak, or stopped: .talking */
	MEDIA_EVENT_QUALITY,	 /* with each RTCP interval: .quality */
	MEDIA_EVENT_CLOSED,	 /* the last one, the port is free again: final .quality */
	MEDIA_EVENT_RECORDED,	 /* a recording has ended: .recorded; .stream is none */
};

/* How a recording ended. */
struct media_recorded {
	uint64_t number, owner;
	int error;	    /* 0, or the negative errno that broke it off: -ENOSPC, ... */
	uint64_t bytes, ms; /* of sound that can be read */
	char sha256[65];    /* of the WAV file that it makes (vault.h); empty without sound */
};

struct media_event {
	enum media_event_type type;
	struct media_id stream;
	uint64_t owner; /* as given to media_stream_open() */
	union {
		union media_addr remote;
		struct {
			char digit;  /* 0-9 * # A-D, '!' for flash */
			bool inband; /* heard in the audio rather than a telephone-event */
			uint32_t duration_ms;
		} dtmf;
		struct {
			struct media_id player;
			bool complete; /* to its end, rather than stopped or replaced */
			uint32_t ms;   /* played of it */
		} played;
		struct media_quality quality;
		struct media_recorded recorded;
		uint32_t silent_ms;
		bool talking;
	};
};

/* ---- the pool ---- */

struct media;

struct media_config {
	/* Media loops. 0: neither threads nor sockets; commands are taken, media_inject() makes events. */
	unsigned threads;
	union media_addr
		address; /* streams bind here unless they say otherwise; the port is ignored */
	uint16_t port_min, port_max; /* RTP on even ports, RTCP on the odd one above */
	unsigned max_streams;	     /* 0: as many as there are port pairs */
	const char *cname;	     /* RTCP CNAME (RFC 7022); NULL: random a process */
	/* Recordings: called on the recorder's thread before new files begin, may block; may be NULL. */
	void (*before_files)(void *arg);
	void *before_files_arg;
	uint64_t disk_min_free; /* bytes that recordings leave free */
	/* From media_poll() only. May call anything here. After media_stream_close() only CLOSED
	 * still comes.
	 */
	void (*on_event)(const struct media_event *event, void *arg);
	void *arg;
};

struct media *media_new(const struct media_config *config);
/* Ends the loops; streams still open are closed without events. */
struct media *media_free(struct media *media);
DEFINE_CLEANUP(struct media *, media_free)

/* For the call loop to watch: readable while events wait. Then media_poll() hands them to on_event.
 */
int media_fd(const struct media *media);
void media_poll(struct media *media);

unsigned media_stream_count(const struct media *media);
unsigned media_ports_free(const struct media *media); /* pairs */
/* Tests (any number of threads): as if a loop had said it. `owner` is filled in from the stream. */
void media_inject(struct media *media, const struct media_event *event);

/* ---- streams ---- */

enum {
	MEDIA_E_NO_PORT = 1, /* every pair of the range is taken, or no descriptor is left: alarm */
	MEDIA_E_FULL,	     /* max_streams */
	MEDIA_E_ADDRESS,     /* cannot bind that address here */
};

struct media_open {
	uint64_t owner;	       /* comes back in every event */
	union media_addr bind; /* none: the pool's address */
	struct media_id near;  /* put it on the loop of this stream or bridge; may be none */
};

/* Binds the port pair now, so that the offer can be written. The port is the stream's until it
 * closes, whatever is negotiated later. Return: 0 with *ret_id, or MEDIA_E_* with it untouched.
 */
must_check int media_stream_open(struct media *media, const struct media_open *open,
				 struct media_id *ret_id);
/* The bound address with the RTP port (RTCP is one above, or the same with mux). false: no such
 * stream.
 */
must_check bool media_stream_local(const struct media *media, struct media_id stream,
				   union media_addr *ret);

enum media_latch {
	MEDIA_LATCH_WINDOW, /* signalled address, else another within 3 s of an update */
	MEDIA_LATCH_STRICT, /* the signalled address and port only */
	MEDIA_LATCH_OPEN,   /* as WINDOW, open until a first source was taken (a NAT is known) */
};

/* What an offer/answer settled. */
struct media_params {
	/* what each packet asks for, together */
	struct media_format tx; /* audio we send */
	uint8_t tx_event_pt;	/* telephone-event we may send, or MEDIA_PT_NONE */
	bool send, recv;	/* our direction; recv off suspends the watchdog */
	bool rtcp_mux;		/* RFC 5761, agreed by both */
	/* the rest */
	bool opus_fec;
	enum media_latch latch;
	union media_addr
		remote; /* c= and m=; none, or port 0: not known, nothing is sent until latched */
	union media_addr remote_rtcp; /* a=rtcp; none: remote's port + 1, or the same with mux */
	struct media_format
		rx[MEDIA_MAX_FORMATS]; /* what we may receive, best first; ends with codec NONE */
	unsigned tx_event_rate;	       /* the clock of tx_event_pt: 0: that of tx */
	unsigned ptime_ms;	       /* we send packets of: 10, 20, 30, 40, 60; 0: 20 */
	unsigned watchdog_ms;	       /* 0: none */
	struct media_crypto tx_crypto, rx_crypto; /* NONE: plain RTP */
};

#define MEDIA_PARAMS_INIT                                                                          \
	{                                                                                          \
		.send = true, .recv = true, .tx_event_pt = MEDIA_PT_NONE                           \
	}

/* After every offer/answer: resets the latch and opens its window. The SSRC, sequence and timestamp
 * go on.
 */
void media_stream_update(struct media *media, struct media_id stream,
			 const struct media_params *params);
/* Directions only (server-side hold): no new offer/answer, so the latch stays as it is. */
void media_stream_direction(struct media *media, struct media_id stream, bool send, bool recv);
/* Another time for params.watchdog_ms, which begins anew. */
void media_stream_watchdog(struct media *media, struct media_id stream, unsigned watchdog_ms);
/* What the stream sends while nothing else feeds it. */
enum media_idle { MEDIA_IDLE_NOTHING, MEDIA_IDLE_SILENCE };
void media_stream_idle(struct media *media, struct media_id stream, enum media_idle idle);
/* Its own packets back to it, undecoded. */
void media_stream_echo(struct media *media, struct media_id stream, bool on);
/* The latest known; also after SILENT and in CLOSED. false: no such stream. */
must_check bool media_stream_quality(const struct media *media, struct media_id stream,
				     struct media_quality *ret);
/* RTCP BYE, sockets closed on the loop, then MEDIA_EVENT_CLOSED. Leaves its bridge, ends its
 * player.
 */
void media_stream_close(struct media *media, struct media_id stream);

/* ---- players ---- */

struct media_play {
	struct sound *sound; /* a reference is taken */
	bool loop;
	uint32_t offset_ms; /* start here; past the end: ends at once */
	int gain_db;	    /* -40..12 */
};

/* Replaces a player of that stream. Return: the player's id, for media_stop() and PLAYED. */
struct media_id media_play(struct media *media, struct media_id stream,
			   const struct media_play *play);
/* Ends it (PLAYED with complete false). One that has ended meanwhile is left alone. */
void media_stop(struct media *media, struct media_id stream, struct media_id player);

/* ---- digits ---- */

struct media_digit {
	char digit;  /* 0-9 * # A-D */
	bool inband; /* as two tones in the audio; else as a telephone-event (RFC 4733) */
	uint16_t duration_ms, gap_ms; /* in steps of 20 ms, upward; the gap is 40 at least */
};

/* Sends it in place of whatever the stream sends; then MEDIA_EVENT_DTMF_SENT. One that is still
 * being sent is broken off without a word. Where it cannot be sent (no telephone-event agreed, held)
 * its time passes all the same.
 */
void media_digit_send(struct media *media, struct media_id stream, const struct media_digit *digit);
/* Whether to look for digits in the audio that comes (G.711 and G.722). The first telephone-event
 * ends it by itself: who has those does not send tones, and one key must not count twice.
 */
void media_digit_listen(struct media *media, struct media_id stream, bool on);
/* Whether others in its bridge are spared the digits it is listened to for, from their first millisecond: what it says
 * reaches them 40 ms later then, and never undecoded.
 */
void media_digit_take_out(struct media *media, struct media_id stream, bool on);

/* ---- recordings ---- */

enum media_side { MEDIA_SIDE_LEFT, MEDIA_SIDE_RIGHT };

struct media_record {
	const char *path;	    /* of the file to make, copied */
	uint8_t key[32], label[16]; /* of the vault (vault.h) */
	bool stereo;		    /* else both sides together */
	bool wideband;		    /* 16 kHz, else 8 */
	uint64_t owner;		    /* comes back in the event */
};

/* Time runs from now. Return: the recording's number, never 0. MEDIA_EVENT_RECORDED follows in any case, also by itself
 * when the disk is full; from then on the number is ignored.
 */
uint64_t media_record_open(struct media *media, const struct media_record *record);
/* What this stream says goes to that side of the recording, whatever else is done with it; 0: to none. A stream has
 * one tap at most, which ends with it.
 */
void media_record_tap(struct media *media, uint64_t number, bool wideband, struct media_id stream,
		      enum media_side side);
/* What is said while it is paused becomes silence of the same length. */
void media_record_pause(struct media *media, uint64_t number, bool paused);
void media_record_close(struct media *media, uint64_t number);

/* ---- bridges ---- */

#define MEDIA_BRIDGE_MAX 4096 /* members */

struct media_id media_bridge_open(struct media *media, struct media_id near);
/* Members are left without a bridge. */
void media_bridge_close(struct media *media, struct media_id bridge);
/* A stream has one bridge at most: adding it to another moves it, wherever that one lives. Leaving
 * a bridge forgets its cells, mute, deaf and gain.
 */
void media_bridge_add(struct media *media, struct media_id bridge, struct media_id stream);
void media_bridge_remove(struct media *media, struct media_id stream);
/* Who hears whom: one cell of the matrix, listener's row. Cells last as long as both are members.
 */
void media_bridge_hear(struct media *media, struct media_id bridge, struct media_id listener,
		       struct media_id talker, bool hears);
/* A whole member: mute (nobody hears it), deaf (it hears nobody). Independent of the cells. */
void media_bridge_mute(struct media *media, struct media_id stream, bool muted, bool deaf);
/* Says who speaks, by level (MEDIA_EVENT_TALK, 300 ms of hang, at most 4/s a member, lossy). Members
 * of such a bridge are mixed, never relayed.
 */
void media_bridge_watch(struct media *media, struct media_id bridge, bool on);
/* A short sound into what all its mixed listeners hear, over the voices; replaces one that runs. */
void media_bridge_chime(struct media *media, struct media_id bridge, struct sound *sound);
/* Of a member's voice: nobody but `to`, of the same bridge, hears it, and no recording of the bridge has it; when `to`
 * leaves nobody does. MEDIA_NONE: it is like the others again.
 */
void media_bridge_aside(struct media *media, struct media_id stream, struct media_id to);
/* Nobody hears it, until media_bridge_aside() says who does; unlike a muted one it is there at once then. */
void media_bridge_hush(struct media *media, struct media_id stream);
/* From now on it is a guest in whatever bridge it comes to: whoever hears just one member beside guests goes on as if they
 * were not there (digits). Nobody hears it when it comes in, until media_bridge_aside() says who does. For good.
 */
void media_bridge_guest(struct media *media, struct media_id stream);
/* Its voice is heard as before, but is not in recordings of its bridge. */
void media_bridge_unrecorded(struct media *media, struct media_id stream, bool unrecorded);
/* What all say together goes to that recording from now on, at the time it is said; 0: to none. Every member is decoded
 * then, whoever listens. A bridge has one at most, which ends with it.
 */
void media_bridge_record(struct media *media, struct media_id bridge, uint64_t number,
			 bool wideband);
/* Of what the others hear of this member; anything but 0 dB needs decoding. -40..12. */
void media_bridge_gain(struct media *media, struct media_id stream, int gain_db);
