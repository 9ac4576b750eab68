/* engine/private.h - what the files of the built-in engine share */
#pragma once

#include "base/base.h"
#include "base/chain.h"
#include "engine/builtin.h"
#include "engine/sdesc.h"
#include "media/speech.h"
#include "sip/dialog.h"
#include "sip/ua.h"

/* A profile. */
struct line {
	struct hnode node;
	struct id id;
	struct sdesc_taste taste;
	enum caller_id_mode caller_mode;
	char *caller_number, *caller_name; /* NULL: none */
	enum srtp_mode srtp;
	enum dtmf_mode dtmf;
	bool registers, registered;
	bool moved; /* it is reached another way now; its calls have not said so yet */
	enum media_codec
		last_codec; /* what it agreed to last: phones that call through it are offered that first */
};

/* A user's phone. */
struct phone {
	struct hnode node, name_node;
	struct registrar_device keys;
	char username[64];
	unsigned bindings;
};

/* One INVITE of a channel: a device's contacts are rung in parallel, one each. */
struct branch {
	struct chain_link in_channel;
	struct channel *channel;
	struct session *session;
};

/* What the channel hears in place of its bridge. */
struct playing {
	uint32_t id; /* 0: nothing */
	struct media_id player;
	uint64_t speech; /* ticket of the text being spoken to a sound */
	struct load *load;
	bool loop, echo;
};

/* Digits on their way out, and the last one that came in. */
struct digits {
	struct chain queue; /* struct dialling */
	unsigned waiting;   /* digits in it */
	struct timer timer;
	bool busy;	/* a digit or a pause is under way */
	bool info_open; /* it went as an INFO which has not been answered */
	bool no_info;	/* the far end has refused one as something it does not know */
	bool listening; /* for tones in its audio, */
	bool take_out;	/* which the others do not hear */
	bool no_tones;	/* the far end has sent a digit in a better way than in its audio */
	enum dtmf_mode method;
	struct {
		char digit;
		enum dtmf_mode method;
		uint64_t from_ms, to_ms;
	} last;
};

/* Whether the far end is on hold here: what is wanted, what it was told last, what is being asked. */
struct holding {
	bool wanted, told, asked;
	bool offering;	/* an offer about it is open */
	bool overtaken; /* and an answer of ours has said something since */
	enum sdesc_direction before;
	struct timer again; /* another offer is open */
	uint64_t until_ms;
};

enum channel_state {
	CHANNEL_NEW /* incoming, or not answered */,
	CHANNEL_UP,
	CHANNEL_LEAVING,
	CHANNEL_GONE
};

struct channel {
	struct hnode node; /* by number */
	struct chain_link in_bridge;
	uint64_t number; /* owner of its stream */
	struct engine *engine;
	void *user;
	enum channel_state state;
	bool incoming, is_device, ringing, early, held, must_secure, muted, deaf, guest;
	bool moved; /* its line has moved, and it could not say so yet */
	bool silent; /* nothing comes from the far end, which has been asked whether it is still there */
	struct id line, device;
	char address[VIEW_ADDR_SIZE];
	char *reference; /* Call-ID; outlives its session */
	struct chain branches;
	struct branch *main; /* incoming: the one; outgoing: the one that answered */
	/* sound */
	struct media_id stream;
	struct sdesc_local local;
	struct sdesc_remote *offer; /* incoming, until it is answered; NULL: none, or none yet */
	const char *unfit;	    /* why that cannot be answered, as a Warning */
	struct sdesc_taste taste;
	enum media_codec codec;
	bool have_media, peer_nat;
	unsigned expect_ms; /* silence for so long is told at once; 0: the far end is asked */
	struct media_quality quality;
	struct playing playing;
	struct digits digits;
	struct holding holding;
	bool takes_events; /* telephone-event was agreed in our direction */
	struct bridge *bridge;
	struct channel_end best; /* of the branches that ended, the most telling */
	bool have_best;
	enum end_reason leaving; /* why we hung up */
	bool leaving_elsewhere;
};

struct bridge {
	struct engine *engine;
	struct media_id id; /* none before the first member */
	struct chain channels;
	bool watched;
	uint64_t tape; /* the recording of all it says; 0: none */
	bool tape_wideband;
};

/* A recording that has not ended yet. */
struct tape {
	struct hnode node; /* by number */
	struct engine *engine;
	struct id id;
	uint64_t number;
	bool wideband;
};

struct queued {
	struct chain_link in_engine;
	struct engine_event event;
	struct channel_end end;
	struct channel_info *info;
	struct registration_view *registration;
	struct tape_end tape;
	char *text;
};

/* A sound that is kept for its next use. */
struct shelf_sound {
	char *path; /* NULL: an empty place */
	struct sound *sound;
	uint64_t used_ms;
};

struct engine {
	struct stack *stack;
	struct ua *ua;
	struct media *media;
	struct speech *speech;
	struct work_pool *pool;
	struct ring *home;
	struct wheel *wheel;
	struct sound *ringback, *music, *chimes[CHIME_COUNT];
	char *voice;
	union media_addr media_addr, public_addr;
	unsigned watchdog_ms, max_channels;
	engine_event_fn *fn;
	void *arg;
	struct hmap lines, phones, phone_names, channels, tapes;
	struct chain loads; /* files being read */
	struct shelf_sound shelf[8];
	struct chain events;
	struct timer flush, moved;
	unsigned inside; /* > 0: events must wait */
	unsigned lines_registered, devices_online, bridges;
	uint64_t next_number;
	uint32_t next_sound, next_operation;
	bool draining;
};

/* engine.c: events. They wait while anything of the engine is at work. Every entry from above (call/) is between enter
 * and leave: what happened is told from the loop, later; every entry from below (sip/, media/, workers) between
 * enter and settle: what happened is told as the last thing.
 */
void engine_enter(struct engine *engine);
void engine_leave(struct engine *engine);
void engine_settle(struct engine *engine);
struct queued *event_for(struct channel *channel, enum engine_event_type type);
struct queued *event_of(struct engine *engine, enum engine_event_type type);
void event_emit(struct engine *engine, struct queued *queued);

/* line.c */
struct line *line_get(struct engine *engine, struct id id);
enum session_id_mode line_id_mode(enum caller_id_mode mode);
void line_on_report(const struct reg_report *report, void *arg);
void lines_moved(struct timer *timer, void *arg);
void lines_fini(struct engine *engine);

/* phone.c */
struct phone *phone_get(struct engine *engine, struct id id);
bool phone_lookup(const char *username, struct registrar_device *ret, void *arg);
void phone_on_bindings(struct id device, unsigned count, const struct registrar_binding *newest,
		       void *arg);
void phones_fini(struct engine *engine);

/* channel.c */
struct channel *channel_make(struct engine *engine);
struct channel *channel_get(struct engine *engine, uint64_t number);
void channel_gone(struct channel *channel, const struct channel_end *end); /* ENDED is on its way */
void channel_free(struct channel *channel);
struct branch *branch_new(struct channel *channel);
/* It is by this one that the channel is known from now on. */
void channel_refer(struct channel *channel, const struct session *session);
void branch_drop(struct branch *branch);
void branch_on_event(struct session *session, const struct session_event *event, void *arg);
void incoming_session(struct session *session, const struct ua_incoming *incoming, void *arg);

/* talk.c: a channel's offers and answers */
must_check int talk_open(struct channel *channel,
			 const struct channel *near); /* its stream: 0 or MEDIA_E_* */
void talk_close(struct channel *channel);
void talk_offer(struct channel *channel, struct buf *out);
/* The answer to `remote` as text. Return: 0 or SDESC_E_*. */
must_check int talk_answer(struct channel *channel, const struct sdesc_remote *remote,
			   struct buf *out);
/* Their answer to our offer. Return: 0 or SDESC_E_*. */
must_check int talk_accept(struct channel *channel, const struct session_body *body);
void talk_on_offer(struct channel *channel, const struct session_event *event);
/* Our address may be another now: the far end is told. Return: false when it must wait for another offer's end. */
must_check bool talk_moved(struct channel *channel);
void talk_on_media(const struct media_event *event, void *arg);
struct sdesc_taste talk_taste_like(const struct sdesc_taste *own, const struct channel *like);

/* hold.c */
void hold_init(struct channel *channel);
void hold_fini(struct channel *channel);
enum sdesc_direction hold_wish(
	const struct channel *channel);		  /* our direction, if the far end lets us */
void hold_answered(struct channel *channel);	  /* an answer of ours said so */
void hold_done(struct channel *channel, bool ok); /* an offer of ours came to its end */
/* What a description says of the far end's own hold. `offered`: it answers an offer of ours. */
void hold_heard(struct channel *channel, const struct sdesc_remote *remote, bool offered);

/* digits.c */
void digits_init(struct channel *channel);
/* Whom it is in a bridge with, or what they can take, has changed. */
void digits_bridged(struct bridge *bridge);
void digits_alone(struct channel *channel);
void digits_fini(struct channel *channel);
void digits_agreed(struct channel *channel,
		   bool far_sends_events);		       /* after each offer and answer */
void digits_info_done(struct channel *channel, uint16_t code); /* ours was answered */
/* Return: false when the body is no digit's. */
bool digits_of_info(const struct session_body *body, char *ret_digit, int *ret_duration_ms);
void digits_on_info(struct channel *channel, const struct session_body *body);
void digits_on_media(struct channel *channel, const struct media_event *event);

/* tape.c */
void tape_on_media(struct engine *engine, const struct media_recorded *recorded);
void tapes_fini(struct engine *engine);

/* play.c */
void playing_end(struct channel *channel,
		 bool ok); /* SOUND_DONE for what plays, if anything does */
void playing_done(struct channel *channel, struct media_id player, bool complete);
void loads_fini(struct engine *engine);

/* shelf.c: files that are played over and over. get: borrowed, or NULL */
struct sound *shelf_get(struct engine *engine, const char *path);
void shelf_put(struct engine *engine, const char *path, struct sound *sound);
void shelf_fini(struct engine *engine);
