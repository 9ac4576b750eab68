/* An engine without signalling or sound: remembers what it was told, and says what the test wants it to say. */
#pragma once

#include "engine/engine.h"

#define FAKE_MAX 256

struct channel {
	struct engine *engine;
	void *user;
	struct originate what; /* outgoing */
	bool up;	       /* it said that it was answered */
	bool incoming, rung, progressed, answered, ended, hung_up, elsewhere;
	enum end_reason reason; /* of our hangup */
	struct bridge *bridge;
	struct channel *like;
	bool playing, muted, deaf, unrecorded, guest, hushed;
	int volume;
	struct channel *aside; /* who alone hears it */
	unsigned expect_ms;
	char digits[512];      /* all that it was given to send */
	struct dtmf_spec dtmf; /* the last; without its digits */
	uint32_t operation;
	int fail_dtmf;
	bool told_hold; /* by channel_hold() */
	unsigned holds; /* how often that was called */
	int sound_kind;
	char said[256];
	uint32_t sound_id;
	int transfer_code; /* the last that was said to a REFER */
	bool cannot_refer;
	char referred[64], shown[64];
	int taped; /* 0, 1: left, 2: right */
};

struct bridge {
	struct engine *engine;
	unsigned members, chimes;
	bool watched, taped;
	struct channel *deaf_source, *deaf_listener; /* the one cell that is off, if any */
};

struct tape {
	struct engine *engine;
};

struct fake_device {
	struct id id;
	bool online;
};

struct engine {
	struct wheel *wheel;
	engine_event_fn *fn;
	void *arg;
	struct channel *channels[FAKE_MAX];
	unsigned channel_count, live, bridges;
	struct fake_device devices[16];
	unsigned device_count;
	const char *unusable; /* what engine_line_unusable() says */
	unsigned restored;    /* bindings of before the start */
	char restored_last[64];
	bool asks;		       /* and engine_line_asks() */
	enum registration_state state; /* of every line */
	int fail_originate;
	bool mute_ends; /* hung-up channels never say ENDED */
	uint32_t next_sound;
	unsigned lines_put, lines_dropped;
	bool drained;
	struct tape tape;
	struct tape_spec tape_spec; /* of the last one; its path is gone */
	unsigned tapes, tapes_stopped;
	bool tape_paused;
};

struct engine *fake_engine_new(struct wheel *wheel);
void fake_engine_free(struct engine *engine);
void fake_online(struct engine *engine, struct id device, bool online);

/* The last channel that was dialled, counted from the end: 0 the newest. */
struct channel *fake_dialled(struct engine *engine, unsigned from_end);
struct channel *fake_incoming(struct engine *engine, const struct channel_info *info);
struct channel *fake_replaces(struct engine *engine, const struct channel_info *info,
			      struct channel *other);
void fake_refer(struct channel *channel, const char *target, struct channel *other);
void fake_refer_state(struct channel *channel, int code, bool last);
void fake_say(struct channel *channel, enum engine_event_type type);
void fake_digits(struct channel *channel, const char *digits);
void fake_talks(struct channel *channel, bool talks);
/* The far end ends it. */
void fake_end(struct channel *channel, enum end_reason reason, int code);
/* Every channel we hung up says that it has ended. */
void fake_settle(struct engine *engine);
/* What the last channel_dtmf() asked for is over. */
void fake_digits_done(struct channel *channel, bool ok);
void fake_tape_done(struct engine *engine, int error, uint64_t bytes); /* the last one */
/* The outcome of channel_hold(). */
void fake_modified(struct channel *channel, bool ok);
void fake_sound_done(struct channel *channel, bool ok);
