/* engine/engine.h - channels and bridges: all that call/ knows of signalling and media
 *
 * A line is a profile (an account at a provider, or a trunk); a device is a user's phone; a channel is one
 * party's signalling and sound; a bridge decides who hears whom. Everything here belongs to the call loop.
 * The built-in engine puts src/sip and src/media together; another one (a FreeSWITCH host behind its
 * event socket) must be able to stand behind the same header, so nothing of SIP or RTP shows in it.
 *
 * Channels and bridges are handles that stay valid until the engine said ENGINE_ENDED (channels) or the
 * caller freed them (bridges). After ENGINE_ENDED was delivered the channel is gone.
 */
#pragma once

#include "base/id.h"
#include "base/wheel.h"
#include "engine/spec.h"
#include "event/view.h"

struct engine;
struct channel;
struct bridge;
struct tape;

enum engine_event_type {
	/* lines and devices */
	ENGINE_LINE_STATE,   /* registration changed: .registration (borrowed) */
	ENGINE_DEVICE_STATE, /* bindings changed: .text: JSON (borrowed) */
	/* a channel came in: answer with channel_accept/ring/answer/hangup. .from_line or .from_device */
	ENGINE_INCOMING,
	ENGINE_RINGING,	    /* outgoing: the far end rings; no sound from it */
	ENGINE_EARLY_MEDIA, /* outgoing: sound before the answer */
	ENGINE_ANSWERED,    /* outgoing: answered; incoming: our answer was acknowledged */
	ENGINE_AUDIO,	    /* first packet of sound received */
	ENGINE_HELD,	    /* the far end put us on hold */
	ENGINE_RESUMED,
	ENGINE_DTMF, /* a key of the far end: .digit, .duration_ms, .method by which it came */
	/* a channel_dtmf() is over: .operation, .method of its last digit, .ok: all of it went out, .count: how many
	 * digits did, .code: what the far end refused the next one with, or 0
	 */
	ENGINE_DTMF_SENT,
	ENGINE_TRANSFER, /* the far end asks that whom it talks to be put through to .target (a number), or, attended, to
			  * whom it talks to on .other, a second channel of its own: channel_transfer_reply() */
	ENGINE_TRANSFER_STATE, /* channel_transfer(): .code, 202 once it is accepted, then the far end's progress; .last of
				* all: 2xx it is through, but for 202: nothing tells how it went */
	ENGINE_REPLACES, /* a channel came in, as with INCOMING, that is to take the place of .other */
	ENGINE_SOUND_DONE, /* channel_play's sound ended or was stopped, the channel lives on: .sound_id */
	ENGINE_MEDIA_LOST, /* no sound for the watchdog's time although we expect some */
	ENGINE_TALKING,	   /* a member of a watched bridge began to speak (.ok) or stopped */
	ENGINE_QUALITY,	   /* .quality, every few seconds and at the end */
	ENGINE_MODIFIED,   /* outcome of channel_hold/unhold: .ok */
	ENGINE_TAPE_DONE,  /* a recording has ended, .id is its own: .tape; its handle is gone */
	ENGINE_ENDED,	   /* exactly once a channel, the last: .end */
};

/* Why a channel ended. `reason` is from the one table of SIP codes to stable reasons. */
struct channel_end {
	enum end_reason reason;
	int code, q850;		     /* 0: none */
	char text[VIEW_REASON_SIZE]; /* the far side's words */
	bool by_far;		     /* the far end ended it; else we did, or a timeout */
	bool completed_elsewhere;    /* another device took it */
	bool answered_late;	     /* it answered while we cancelled */
};

/* What became of a recording. */
struct tape_end {
	int error;	    /* 0, or the errno that broke it off (ENOSPC: the disk is full) */
	uint64_t bytes, ms; /* of PCM that can be read back */
	char sha256[65];    /* of the WAV file it makes; empty when there is no sound */
};

/* What an incoming channel says of itself. */
struct channel_info {
	struct id line_id;   /* came from a provider through this profile; or none */
	struct id device_id; /* came from this phone; or none */
	char from[VIEW_NUMBER_SIZE], from_name[VIEW_NAME_SIZE], to[VIEW_NUMBER_SIZE];
	char forwarded_by[VIEW_NUMBER_SIZE]; /* Diversion, History-Info */
	bool withheld;
	bool unfit; /* we share no sound with what it offers: END_MEDIA_FAILED is all it can be told */
	struct id wanted_profile; /* X-Profile-Id of a phone */
	char far[VIEW_ADDR_SIZE];
};

struct engine_event {
	enum engine_event_type type;
	struct channel *channel;
	void *user; /* what channel_set_user() gave */
	const struct registration_view *registration;
	struct id id; /* line or device */
	const char *text;
	const struct channel_info *info;
	const struct channel_end *end;
	const struct quality_view *quality;
	const struct tape_end *tape;
	struct channel *other;
	const char *target;
	int code;
	bool last;
	uint32_t sound_id, operation;
	unsigned count;
	enum dtmf_mode method;
	char digit;
	int duration_ms;
	bool ok;
};
typedef void engine_event_fn(void *arg, const struct engine_event *event);

/* Called back for every event, from the loop, never from inside one of the calls below. */
void engine_set_handler(struct engine *engine, engine_event_fn *fn, void *arg);
struct wheel *engine_wheel(struct engine *engine);

/* -- lines: one isolated registration each -- */
void engine_line_put(struct engine *engine, const struct line_spec *spec); /* new or edited */
void engine_line_drop(struct engine *engine, struct id line); /* unregisters, then forgets */
void engine_line_register(struct engine *engine, struct id line, bool on);
/* Return: a new view with history, NULL for an unknown line. */
struct registration_view *engine_line_state(struct engine *engine, struct id line);
/* Is the provider being asked just now? Also while it is registered and only refreshes that. */
bool engine_line_asks(struct engine *engine, struct id line);
/* May calls go out through it now? NULL when yes, else why not, as a sentence. */
const char *engine_line_unusable(struct engine *engine, struct id line);
/* Tries an account without keeping it; `done` gets JSON text of the steps (API.md test-sip-profile). */
void engine_line_test(struct engine *engine, const struct line_spec *spec,
		      void (*done)(void *arg, const char *json), void *arg);

/* -- devices: phones that register here -- */
void engine_device_put(struct engine *engine, const struct device_spec *spec);
void engine_device_drop(struct engine *engine, struct id device);
bool engine_device_online(struct engine *engine, struct id device);
/* After a restart, once the device is there: the oldest first. What is over is left out. */
void engine_device_restore(struct engine *engine, struct id device,
			   const struct device_binding *binding);
/* Return: malloc'd JSON of its bindings (address, transport, user_agent, contact, path, expires_at), the newest first. */
char *engine_device_state(struct engine *engine, struct id device);

/* -- channels -- */
struct originate {
	struct id line; /* out through a profile, or */
	struct id
		device; /* to all present contacts of a phone: the first that answers is the channel */
	char to[VIEW_NUMBER_SIZE]; /* line only */
	char from[VIEW_NUMBER_SIZE],
		from_name[VIEW_NAME_SIZE]; /* shown to the far end; line: empty = the profile's */
	bool withheld;
	struct id
		line_next; /* device: the leg after it will go out through this line, so suit its codecs; or none */
	struct channel
		*like; /* prefer the codecs this one has, so that the two can be relayed; or NULL */
	unsigned ring_timeout_ms;
	void *user;
};

enum {
	ORIGINATE_E_LINE = 1, /* unknown, or not usable */
	ORIGINATE_E_OFFLINE,  /* the device has no contact */
	ORIGINATE_E_PORTS,    /* no media port left */
	ORIGINATE_E_NUMBER,   /* cannot be said in SIP */
};
int channel_originate(struct engine *engine, const struct originate *what, struct channel **ret)
	must_check;

void channel_set_user(struct channel *channel, void *user);
void *channel_user(const struct channel *channel);
void channel_address(const struct channel *channel, char buf[static VIEW_ADDR_SIZE]);
const char *channel_codec(const struct channel *channel); /* "" before there is one */
/* What the far end's own logs know it by (SIP: the Call-ID; of several phones that ring, the first one's until one
 * has answered); "": nothing. Valid as long as the channel is.
 */
const char *channel_reference(const struct channel *channel);
void channel_quality(const struct channel *channel, struct quality_view *ret);

/* Incoming channels. ring: 180; progress: 183 with sound from whatever it is bridged with or played;
 * answer: 200. `like` as in struct originate.
 */
void channel_ring(struct channel *channel);
void channel_progress(struct channel *channel);
void channel_answer(struct channel *channel, struct channel *like);
/* Either direction, any state: CANCEL, a final refusal or BYE, whichever fits. The event ENDED follows. */
void channel_hangup(struct channel *channel, enum end_reason reason, bool completed_elsewhere);

/* Tells the far end that it is on hold (true) or not; what it hears is said by bridge_hear() and channel_play(). One
 * ENGINE_MODIFIED follows when the last that was asked for is agreed (.ok) or refused: the far end then stays as it was.
 */
void channel_hold(struct channel *channel, bool hold);
/* Says ENGINE_MEDIA_LOST when nothing came from the far end for that long, counted from now on. 0: as a call of two
 * has it (the far end is asked whether it is still there; if it is not, the channel ends by itself).
 */
void channel_expect(struct channel *channel, unsigned within_ms);
/* Asks the far end to call that number itself, through the provider it is at (REFER). Return: false: it cannot be
 * asked, or it is being asked already. Else ENGINE_TRANSFER_STATE follows, the last unless the channel ends before.
 */
must_check bool channel_transfer(struct channel *channel, const char *number);
/* Tells the far end who it talks to now, if its display can be trusted with that: own phones, and providers that are
 * told callers in P-Asserted-Identity.
 */
void channel_identify(struct channel *channel, const char *number, const char *name);
/* Answers ENGINE_TRANSFER: 0 accepts (reports go out as the target's progress comes in), else a SIP code. */
void channel_transfer_reply(struct channel *channel, int code);
void channel_transfer_progress(struct channel *channel, int code);

/* -- sound -- */
struct sound_spec {
	const char *file; /* WAV and friends, or */
	const char *say;  /* text to speak, or */
	enum { SOUND_FILE, SOUND_SAY, SOUND_ECHO, SOUND_RINGBACK, SOUND_SILENCE, SOUND_MUSIC } kind;
	bool loop;
};
/* Replaces what the channel hears (bridge included) until it ends, then the bridge is heard again. Return: sound_id
 * of the ENGINE_SOUND_DONE that will follow (also when the file cannot be read: .ok false).
 */
uint32_t channel_play(struct channel *channel, const struct sound_spec *sound);
void channel_play_stop(struct channel *channel);

/* -- digits -- */
struct dtmf_spec {
	const char *digits; /* 0-9 * # A-D; ',' waits 1 s, 'w' 0.5 s; at most DTMF_DIGITS_MAX */
	unsigned duration_ms, gap_ms; /* of each digit, and after it */
	enum dtmf_mode method;	      /* DTMF_AUTO: the profile's, or what the far end can take */
};
enum {
	DTMF_E_METHOD = 1, /* the far end cannot take digits that way, or there is no sound yet */
	DTMF_E_FULL,	   /* too many wait already */
};
/* Sends them after those that wait already, in place of sound. Return: 0 with the operation of the ENGINE_DTMF_SENT that
 * will follow (unless the channel ends before), or DTMF_E_*.
 */
must_check int channel_dtmf(struct channel *channel, const struct dtmf_spec *spec,
			    uint32_t *ret_operation);
/* What has not been sent yet never will be. */
void channel_dtmf_stop(struct channel *channel);

/* -- bridges: the matrix of who hears whom -- */
struct bridge *bridge_new(struct engine *engine);
void bridge_free(struct bridge *bridge); /* its channels stay, in silence */
/* A new member hears and is heard by all the others, until said otherwise. A channel is in at most one bridge. */
void bridge_add(struct bridge *bridge, struct channel *channel);
void bridge_remove(struct bridge *bridge, struct channel *channel);
void bridge_hear(struct bridge *bridge, struct channel *listener, struct channel *source,
		 bool hears);
/* From now on it says who speaks (ENGINE_TALKING; some may be lost). */
void bridge_watch(struct bridge *bridge);
/* A short sound over the voices, for all who are not deaf and have no sound of their own. */
enum bridge_chime { CHIME_JOINED, CHIME_LEFT, CHIME_RECORDED, CHIME_COUNT };
void bridge_chime(struct bridge *bridge, enum bridge_chime chime);

/* Nobody hears this channel, whatever bridge it is in or comes to; it hears as before. */
void channel_mute(struct channel *channel, bool muted);
/* It hears nobody in whatever bridge it is in or comes to; a sound that is played to it it hears. */
void channel_deafen(struct channel *channel, bool deaf);

/* It is a guest from now on: whoever is in a bridge with it goes on with the others as if it were not there, and it is
 * always sent something. When it comes into a bridge nobody hears it, until channel_aside() says who does.
 */
void channel_guest(struct channel *channel);
/* In its bridge nobody but `to`, who is there too, hears this channel, and the bridge's recording does not have it; when
 * `to` goes nobody does. NULL: all hear it again. Ends when it leaves the bridge.
 */
void channel_aside(struct channel *channel, struct channel *to);
/* In its bridge nobody hears it until channel_aside(). Ends when it leaves the bridge. */
void channel_hush(struct channel *channel);
/* What its bridge hears of it: -40..12 dB. Ends when it leaves the bridge. */
void channel_volume(struct channel *channel, int gain_db);

/* -- recordings: a handle is valid until tape_stop() was called and until ENGINE_TAPE_DONE came, whichever is first -- */
struct tape_spec {
	struct id id;	  /* the recording's; bound into its file */
	const char *path; /* of the file to make (media/vault.h) */
	uint8_t key[32];
	bool stereo;   /* left and right apart, else together */
	bool wideband; /* 16 kHz, else 8 */
};
enum tape_side { TAPE_LEFT, TAPE_RIGHT };
/* Time runs from now on, also while nobody speaks. ENGINE_TAPE_DONE follows: after tape_stop(), or when the disk fails. */
struct tape *tape_new(struct engine *engine, const struct tape_spec *spec);
/* What this channel says is recorded from now until it is removed or ends. A channel is on one tape at most. */
void tape_add(struct tape *tape, struct channel *channel, enum tape_side side);
void tape_remove(struct channel *channel); /* from whatever tape it is on */
/* What is said in this bridge, all together, is recorded from now until the bridge or the tape ends, or until another tape
 * (NULL: none) hears it. A bridge is on one tape at most.
 */
void tape_bridge(struct tape *tape, struct bridge *bridge);
/* The recording of its bridge does not have this channel's voice. Ends when it leaves the bridge. */
void channel_unrecorded(struct channel *channel, bool unrecorded);
/* What is said meanwhile becomes silence of the same length. */
void tape_pause(struct tape *tape, bool paused);
void tape_stop(struct tape *tape);

/* What is alive, for /readyz, /metrics and leak checks. */
struct engine_counts {
	unsigned lines, lines_registered, devices, devices_online, channels, bridges, streams,
		transactions, dialogs, tapes;
};
void engine_count(const struct engine *engine, struct engine_counts *ret);
/* Draining: unregisters all lines, refuses new calls with 503 + Retry-After. */
void engine_drain(struct engine *engine);
