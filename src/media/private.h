/* media/private.h - the media loops inside
 *
 * The call loop (media.c) allocates streams, bridges and players and hands them over by message;
 * from then on they are the loop's, until a note brings them back to be freed. A stream that moves
 * travels the same way.
 *
 * pool.c      the call loop's side: ids, ports, what is under way; media.c: its commands
 * loop.c      a thread: sockets, commands, the 20 ms tick
 * stream.c    receiving, latching (latch.c), RTCP (report.c), settings; pace.c: reading by the clock
 * sender.c    the one sender of a stream
 * dtmf.c      digits as they come; dial.c: as they go; ear.c: those in the audio; sieve.c: taken out of it
 * bridge.c    membership and the matrix; mix.c: its sums; plan.c: who is relayed and who is mixed
 * tap.c       what a stream says, for a recording; mix_tape.c: what a bridge says; recorder.c: the thread that
 *             writes it; vault.c: its file
 * intake.c    network to PCM: jitter buffer, decoder, concealment; outlet.c: PCM to network
 */
#pragma once

#include "base/metric.h"
#include "base/random.h"
#include "base/ring.h"
#include "base/wheel.h"
#include "media/codec.h"
#include "media/media.h"
#include "media/packet.h"
#include "media/receiver.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TICK_US 20000
#define TICK_MS 20
#define RATE_MAX 48000
#define TICK_SAMPLES_MAX (RATE_MAX / 1000 * TICK_MS)
#define GAIN_UNITY 4096

static inline int16_t pcm_clip(int32_t v)
{
	return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

struct mloop;
struct mstream;
struct mbridge;
struct intake;
struct outlet;
struct crypt;
struct ear;
struct sieve;
struct recorder;

/* ---- messages ---- */

enum note_kind { NOTE_EVENT, NOTE_CLOSED, NOTE_MOVED, NOTE_PLAYED, NOTE_BRIDGE, NOTE_WAKE };

/* An object on its way back to the call loop. Embedded in it, so that it cannot be lost to a full
 * ring.
 */
struct note {
	struct note *next;
	enum note_kind kind;
	void *object;
	struct media_event event;
};

struct from_loop {
	struct note *note; /* or NULL: only the event */
	struct media_event event;
};

enum command_kind {
	CMD_STREAM_ADOPT, /* .stream: new here, or moved here */
	CMD_STREAM_MOVE,  /* give it back by NOTE_MOVED */
	CMD_STREAM_UPDATE,
	CMD_STREAM_DIRECTION,
	CMD_STREAM_IDLE,
	CMD_STREAM_WATCHDOG,
	CMD_STREAM_ECHO,
	CMD_STREAM_CLOSE,
	CMD_DIGIT,
	CMD_LISTEN,
	CMD_TAKE_OUT,
	CMD_STREAM_TAP, /* .object: struct tap, or NULL */
	CMD_PLAY,
	CMD_STOP,
	CMD_BRIDGE_ADOPT,
	CMD_BRIDGE_CLOSE,
	CMD_BRIDGE_ADD,
	CMD_BRIDGE_REMOVE,
	CMD_BRIDGE_HEAR,
	CMD_BRIDGE_MUTE,
	CMD_BRIDGE_GAIN,
	CMD_BRIDGE_WATCH,
	CMD_BRIDGE_CHIME,
	CMD_BRIDGE_ASIDE,
	CMD_BRIDGE_GUEST,
	CMD_BRIDGE_UNRECORDED,
	CMD_BRIDGE_TAPE, /* .object: struct mix_tape, or NULL */
	CMD_QUIT,
};

struct command {
	enum command_kind kind;
	struct media_id
		id; /* the stream; for BRIDGE_ADOPT, _CLOSE, _WATCH, _CHIME and _TAPE the bridge */
	struct media_id bridge;
	struct media_id
		other; /* BRIDGE_HEAR: the talker; BRIDGE_ASIDE: who hears it; STOP: the player */
	void *object; /* what is handed over: stream, bridge, player, sound, tap; UPDATE: struct media_params */
	struct media_digit digit;
	int gain_db;
	unsigned ms;
	bool on, on2;
};

/* ---- objects of a loop ---- */

enum object_kind { OBJECT_STREAM = 1, OBJECT_BRIDGE };

struct object {
	enum object_kind kind;
	struct media_id id;
};

/* One RTP stream towards the far end, whatever feeds it (RFC 3550 5.1). */
struct sender {
	uint64_t sent_us;   /* when the last packet went */
	uint32_t timestamp; /* of the last packet */
	uint32_t ssrc;
	uint32_t clock_rate;
	uint32_t frame; /* the last packet's length in clock units */
	uint64_t packets, octets;
	uint16_t seq; /* of the next packet */
	bool started, mark;
	bool dialling; /* a digit of ours is on its way: nothing else goes out */
	/* while relaying: how the source's numbers map to ours */
	bool anchored;
	uint16_t in_first, in_last, seq_delta;
	uint32_t in_ssrc, timestamp_delta;
	/* a telephone-event being passed on by the mixing path */
	bool event_any;
	uint32_t event_in, event_timestamp;
	uint64_t event_until_us; /* no audio before */
};

/* What speaks for a source: nothing, the signalled IP, or the very address and port. */
enum standing { STANDING_NONE, STANDING_HOST, STANDING_EXACT };

struct latch {
	enum media_latch mode;
	enum standing standing; /* of the source that was taken */
	uint64_t until_us;
	union media_addr signalled;
	/* a candidate elsewhere proves itself by two packets in sequence */
	union media_addr candidate;
	uint32_t candidate_ssrc;
	uint16_t candidate_seq;
};

struct reports {
	uint64_t due_us;
	uint32_t sr_last; /* middle bits of the NTP time of their last SR */
	uint64_t sr_taken_us;
	uint32_t far_ssrc;
	uint32_t rtt_us;
	uint32_t far_loss_permille, far_jitter_us;
	uint64_t packets_reported; /* ours, at the last report: SR or RR */
	bool told;		   /* a report has been sent */
};

struct mplayer {
	struct note note;
	struct media_id id;
	struct sound *sound;
	bool loop;
	int gain; /* GAIN_UNITY: as it is */
	uint32_t offset_ms;
	uint64_t played_us;
	unsigned rate; /* of `at` */
	size_t at;
};

/* A digit being sent. */
struct dial {
	char digit; /* NUL: none */
	bool inband;
	bool begun; /* its first packet has gone out */
	unsigned elapsed_ms, duration_ms, gap_ms;
	unsigned ends;	    /* end packets sent */
	uint32_t timestamp; /* of the event, or of its segment that runs */
	uint32_t before;    /* units in earlier segments, RFC 4733 2.5.1.3 */
};

/* What a bridge says, for a recording: mix_tape.c. */
struct mix_tape {
	struct recorder *recorder;
	uint64_t number;
	unsigned rate;
	unsigned from;	 /* the rate that `resampler` is made for */
	void *resampler; /* NULL: the bridge has the tape's rate */
};

#define PACE_SLOT_US 5000 /* what a busy loop gathers in one wake-up */
#define PACE_SLOTS 32

/* A steady stream's place in the slots of its loop: pace.c. */
struct pace {
	struct mstream *next, **prev; /* prev NULL: in no slot */
	uint64_t from_slot;	      /* since when packets are counted */
	bool on;		      /* its RTP socket is not in epoll */
	bool early;		      /* it was looked for a slot before it is due */
	uint8_t period;		      /* slots from packet to packet */
	uint8_t missed;		      /* slots without a packet since it was looked for */
	uint8_t reads;
};

enum source { SOURCE_NONE, SOURCE_SILENCE, SOURCE_PLAYER, SOURCE_ECHO, SOURCE_RELAY, SOURCE_MIX };

typedef void rx_fn(struct mstream *stream, struct packet *packet);
typedef void tx_fn(struct mstream *stream, uint8_t *data, size_t len);

struct mstream {
	struct object object;
	struct mloop *loop;
	/* The packet path, by cache lines: at 200 calls each stream is cold when its packet comes. What is
	 * read as the source is in lines 0, 1, 2 and 4, as the destination in 0, 1, 3 and 4.
	 */
	struct pace pace;
	int fd, rtcp_fd;
	_Alignas(CACHE_LINE) rx_fn *on_rtp;
	tx_fn *tx;
	struct mstream *relay_to; /* listeners relayed from here */
	struct crypt *crypt_rx;
	struct ear *ear; /* NULL: does not listen for tones */
	struct tap *tap;
	uint64_t heard_us; /* last RTP or RTCP */
	uint64_t rtp_us;   /* last RTP */
	_Alignas(CACHE_LINE) struct receiver receiver;
	_Alignas(CACHE_LINE) struct sender sender;
	_Alignas(CACHE_LINE) socklen_t remote_len; /* 0: nowhere to send */
	bool connected;				   /* fd is, to remote */
	bool started, silent;
	bool latched; /* a source was taken since the last update */
	uint8_t rx_audio_pt;
	enum media_codec rx_audio; /* what it sends now */
	struct media_params params;
	/* now and then */
	struct latch latch;
	union media_addr remote;
	struct mstream *relay_next;
	struct crypt *crypt_tx;
	bool take_out;	      /* others are to be spared digits in its sound, */
	struct sieve *sieve;  /* by this, while it is mixed */
	uint64_t read_us;     /* last datagram that epoll told of */
	uint64_t rx_audio_us; /* when rx_audio changed */
	uint64_t dropped;
	uint8_t rx_codec[128]; /* enum media_codec of each payload type, NONE: not ours */
	bool anywhere;	       /* bound to no address of its own, */
	bool detour;	       /* and the system would send from another one than they send to */
	union media_addr own;  /* anywhere: the one they send to; none: not known */
	/* settings */
	union media_addr remote_rtcp;
	enum media_idle idle;
	bool echo;
	struct mplayer *player;
	struct dial dial;
	/* plan */
	enum source source;
	struct mstream *only; /* the one member it hears, when it is one */
	struct mstream *sole; /* the one it hears that is no guest, when it is one */
	bool fresh;	      /* turned to relaying by the plan being made */
	struct intake *intake;
	struct outlet *outlet;
	bool ticked;
	struct mstream *tick_next, **tick_prev;
	/* bridge */
	struct mbridge *bridge;
	unsigned member; /* its place there */
	bool muted, deaf;
	bool guest, aside, unrecorded;
	struct mstream *aside_to; /* aside: the one that hears it; or NULL */
	int gain;
	struct mstream **deny; /* members it does not hear */
	unsigned deny_count, deny_cap;
	int16_t *frame; /* what it said in this tick, NULL: nothing */
	int16_t said[TICK_SAMPLES_MAX];
	/* whether it speaks, in a watched bridge */
	bool talking;  /* as told last */
	unsigned loud; /* ticks with a voice, up to what counts as speaking */
	uint64_t loud_us, told_us;
	/* reports */
	struct reports reports;
	struct timer timer;
	uint32_t dtmf_timestamp, dtmf_ssrc;
	uint32_t dtmf_units, dtmf_before_units;
	uint64_t dtmf_us;
	char dtmf_digit; /* of the event that runs, or NUL */
	bool dtmf_any;	 /* dtmf_timestamp is valid */
	struct note note;
};

struct mbridge {
	struct object object;
	struct mloop *loop;
	struct mstream **members;
	unsigned count, cap;
	unsigned rate;
	bool mixing, watched;
	unsigned asides, guests; /* members that are */
	struct mix_tape *tape;
	struct sound *chime;
	size_t chime_at; /* samples, at the rate it is read in */
	struct mbridge *mix_next, **mix_prev;
	struct note note;
};

struct mloop {
	/* fixed when it starts */
	pthread_t thread;
	struct ring *commands;
	struct ring *events; /* the pool's */
	const char *cname;
	int epoll_fd;
	/* the thread's own */
	uint64_t now_us; /* read once a wake-up */
	uint64_t tick_us;
	struct wheel *wheel;
	struct object **objects; /* by index */
	uint32_t object_cap;
	struct mstream *ticked;
	struct mbridge *mixing;
	struct note *unsent, **unsent_tail;
	/* slots of steady streams */
	struct mstream *paced[PACE_SLOTS];
	uint64_t slot; /* the last one read */
	unsigned paced_count;
	/* load: packets of the last tenth of a second decide whether to gather */
	unsigned handled;
	uint64_t window_us;
	unsigned left; /* streams that have gone */
	bool busy, quit;
	atomic_bool hungry; /* the call loop has commands that did not fit */
	int32_t total[TICK_SAMPLES_MAX];
	uint8_t buffer[PACKET_MAX + PACKET_TRAILER];
};

/* media.c */
struct mstream *mstream_new(struct media_id id);
struct mstream *mstream_free(struct mstream *stream);
struct mbridge *mbridge_free(struct mbridge *bridge);
struct mplayer *mplayer_free(struct mplayer *player);

/* What a command or a note carries, when nobody takes it. */
void command_drop(const struct command *command);
void note_drop(struct note *note);

/* loop.c */
struct mloop *mloop_new(struct ring *events, const char *cname, uint32_t objects);
int mloop_start(struct mloop *loop);
/* After the thread has ended, or when it never ran. */
struct mloop *mloop_free(struct mloop *loop);
void mloop_note(struct mloop *loop, struct note *note);
/* Return: false when the ring was full and it was dropped (counted). */
bool mloop_event(struct mloop *loop, const struct media_event *event);
/* One wake-up with the clock where the caller puts it; the thread's body and the tests'. */
void mloop_command(struct mloop *loop, const struct command *command);
void mloop_tick(struct mloop *loop);

/* stream.c */
void stream_attach(struct mstream *stream, struct mloop *loop);
void stream_detach(struct mstream *stream);
void stream_shut(struct mstream *stream); /* closes its sockets; may be repeated */
void stream_update(struct mstream *stream, struct media_params *params);
void stream_readable(struct mstream *stream, bool rtcp);
/* A datagram as it came; the fuzz target's way in too. `data` is writable, PACKET_TRAILER behind
 * `len`.
 */
void stream_take(struct mstream *stream, uint8_t *data, size_t len, const union media_addr *from);
void stream_take_rtcp(struct mstream *stream, uint8_t *data, size_t len,
		      const union media_addr *from);
void stream_say_bye(struct mstream *stream);
void stream_set_remote(struct mstream *stream, const union media_addr *remote);
void stream_emit(struct mstream *stream, struct media_event *event);
rx_fn rx_idle, rx_relay, rx_echo, rx_full;
tx_fn tx_plain, tx_crypt;

/* As sendto(2) and recv(2), but straight to the kernel: glibc's are cancellation points, whose locked
 * operations around each call cost a thread among others 3 % of what a packet costs.
 */
static inline ssize_t datagram_send(int fd, const void *data, size_t len, const struct sockaddr *to,
				    socklen_t to_len)
{
	return syscall(SYS_sendto, fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, to, to_len);
}
static inline ssize_t datagram_recv(int fd, void *data, size_t cap)
{
	return syscall(SYS_recvfrom, fd, data, cap, MSG_DONTWAIT, NULL, NULL);
}

/* pace.c */
/* Each second: connects the socket of a settled source and reads it by the clock, or lets it loose. */
void pace_settle(struct mstream *stream);
void pace_loosen(struct mstream *stream); /* any source may be heard again */
void pace_leave(struct mstream *stream);  /* back to epoll, if it is not there */
void pace_run(struct mloop *loop);	  /* at each wake-up: what is due */
void pace_end(struct mloop *loop);	  /* all back to epoll */
/* As recvfrom(2), and says to which of our addresses it was sent. */
ssize_t datagram_recv_own(int fd, void *data, size_t cap, union media_addr *ret_from,
			  union media_addr *ret_own);

/* dtmf.c */
void dtmf_take(struct mstream *stream, const struct packet *packet);
void dtmf_expire(struct mstream *stream);

/* dial.c */
void dial_start(struct mstream *stream, const struct media_digit *digit);
void dial_tick(struct mstream *stream);

/* ear.c */
struct ear *ear_new(struct mstream *stream);
struct ear *ear_free(struct ear *ear);
void ear_take(struct ear *ear, const struct packet *packet);
/* A digit whose end never came because the audio stopped. Return: whether one is still held. */
bool ear_expire(struct ear *ear, uint64_t now_us);

/* sieve.c */
struct sieve *sieve_new(void);
struct sieve *sieve_free(struct sieve *sieve);
/* The next tick, NULL for silence. Return: the one two ticks before, NULL for silence; valid until the next call. */
const int16_t *sieve_pass(struct sieve *sieve, const int16_t *frame, unsigned samples);

/* latch.c */
void latch_reset(struct mstream *stream);
/* A packet from elsewhere than stream->remote. Return: whether it is to be taken. */
bool latch_try(struct mstream *stream, const struct packet *packet, const union media_addr *from);

/* sender.c */
void sender_init(struct sender *sender);
/* Another source stands before it: the next packet is marked and continues the timeline. */
void sender_switch(struct sender *sender);
/* Forwards a packet of another stream (or its own: echo). */
void sender_relay(struct mstream *to, struct packet *packet, uint8_t pt);
/* Sends a payload made here, of `frame` clock units; data has PACKET_HEADER before and
 * PACKET_TRAILER behind.
 */
void sender_send(struct mstream *to, uint8_t *payload, size_t len, uint32_t frame);
/* A packet of a telephone-event of our own; the first begins it and says with which timestamp. */
uint32_t sender_dial(struct mstream *to, const uint8_t event[static 4], bool first,
		     uint32_t timestamp);
/* Passes on a telephone-event of a member that is mixed; rate is the event's clock. */
void sender_event(struct mstream *to, const struct packet *packet, uint32_t rate);
/* Where its timeline stands: what was not sent took its time all the same. */
uint32_t sender_timestamp_now(const struct sender *sender, uint64_t now_us);

/* plan.c */
/* Something that decides what streams send has changed. */
void plan_stream(struct mstream *stream);
void plan_bridge(struct mbridge *bridge);
void plan_clear(struct mstream *stream); /* before it goes */
/* Of the PCM that players and silence feed to it. */
unsigned plan_feed_rate(const struct mstream *stream);

/* bridge.c */
void mbridge_add(struct mbridge *bridge, struct mstream *stream);
void mbridge_remove(struct mstream *stream);
void mbridge_hear(struct mstream *listener, struct mstream *talker, bool hears);
void mbridge_guest(struct mstream *stream); /* for good */
bool mbridge_hears(const struct mstream *listener, const struct mstream *talker);
/* `to`: who alone hears it (NULL: nobody); not `on`: all do. */
void mbridge_aside(struct mstream *stream, bool on, struct mstream *to);
void mbridge_close(struct mbridge *bridge);

/* mix.c */
void mix_tick(struct mbridge *bridge);
void voice_forget(struct mstream *stream);		     /* who spoke does not any more */
void mix_chime(struct mbridge *bridge, struct sound *sound); /* takes the reference */

/* mix_tape.c */
struct mix_tape *mix_tape_free(struct mix_tape *tape);
void mix_tape_set(struct mbridge *bridge, struct mix_tape *tape); /* takes it; NULL: none */
void mix_tape_follow(struct mbridge *bridge);			  /* its rate may be another */
/* A tick: `total` is what all say who are not aside. */
void mix_tape_tick(struct mbridge *bridge, const int32_t *total, unsigned samples);

/* player.c */
void player_start(struct mstream *stream, struct mplayer *player);
void player_end(struct mstream *stream, bool complete);
void player_tick(struct mstream *stream);

/* tap.c */
struct tap *tap_new(struct recorder *recorder, uint64_t number, enum media_side side,
		    unsigned rate);
struct tap *tap_free(struct tap *tap);
void tap_set(struct mstream *stream, struct tap *tap); /* takes it; NULL: none */
void tap_follow(struct mstream *stream);	       /* its codec may be another */
void tap_take(struct mstream *stream, const struct packet *packet);

/* report.c */
void report_send(struct mstream *stream, bool bye);
void report_take(struct mstream *stream, const uint8_t *data, size_t len);
void report_quality(const struct mstream *stream, struct media_quality *ret);
uint64_t report_interval_us(void);

/* crypt.c: SRTP. In place; len grows or shrinks. Return: 0, or not authentic or a replay. */
struct crypt *crypt_new(const struct media_crypto *crypto);
struct crypt *crypt_free(struct crypt *crypt);
int crypt_protect(struct crypt *crypt, uint8_t *data, size_t *len, size_t cap, bool rtcp);
int crypt_unprotect(struct crypt *crypt, uint8_t *data, size_t *len, bool rtcp);

/* intake.c */
struct intake *intake_new(void);
struct intake *intake_free(struct intake *intake);
/* The rate in which PCM is wanted; the decoder follows it as far as the codec can. */
void intake_set(struct intake *intake, enum media_codec codec, unsigned rate);
void intake_put(struct intake *intake, const struct packet *packet, uint64_t now_us);
/* Exactly `samples` at the rate set. Return: false when it is nothing but silence (pcm untouched).
 */
bool intake_pull(struct intake *intake, int16_t *pcm, unsigned samples, uint64_t now_us);
/* Hands out what is still buffered, oldest first, before it turns to relaying. Return: false: no
 * more.
 */
bool intake_unload(struct intake *intake, struct packet *ret);

/* outlet.c */
struct outlet *outlet_new(void);
struct outlet *outlet_free(struct outlet *outlet);
void outlet_set(struct outlet *outlet, const struct media_params *params, unsigned rate);
/* 20 ms of PCM at the rate set, NULL for silence: encodes and sends as many packets as are full. */
void outlet_push(struct mstream *stream, const int16_t *pcm, unsigned samples);
