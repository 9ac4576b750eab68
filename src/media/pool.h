/* media/pool.h - the pool's inside, for the call loop's half of this folder (pool.c, media.c) */
#pragma once

#include "media/port.h"
#include "media/private.h"

#include <stdatomic.h>

#define CNAME_SIZE 32

struct waiting {
	struct waiting *next;
	struct command command;
};

struct queue {
	struct waiting *first, **last;
};

struct slot {
	uint32_t gen;
	uint32_t next_free;
	enum object_kind kind; /* 0: free */
	unsigned loop;
	bool closing, moving;
	struct queue waiting; /* while moving */
	/* streams */
	uint64_t owner;
	uint16_t port;
	union media_addr local;
	struct media_quality quality;
	struct media_id player; /* without loops: what would be playing */
};

struct media {
	struct media_config config;
	char cname[CNAME_SIZE];
	struct port_pool *ports;
	struct ring *events;
	struct recorder *recorder;
	uint64_t records; /* numbers given to recordings */
	struct mloop **loops;
	struct queue *backlog; /* a loop: commands that did not fit its ring */
	unsigned *load;	       /* streams of a loop */
	struct slot *slots;
	uint32_t cap, first_free;
	uint32_t players;
	unsigned streams;
	unsigned running; /* loops whose threads run */
	atomic_bool ending;
};

/* NULL: no such thing, or it is closing. */
struct slot *slot_get(const struct media *media, struct media_id id, enum object_kind kind);
struct slot *slot_take(struct media *media, enum object_kind kind, struct media_id *ret_id);
void slot_give(struct media *media, struct slot *slot);
/* Takes a stream's slot into, or out of, account. */
void pool_count_stream(struct media *media, struct slot *slot, int change);
unsigned choose_loop(const struct media *media, struct media_id near);
/* To the loop that owns it; behind it, when it is on its way to another. */
void dispatch(struct media *media, const struct command *command);
/* The same for what the command's stream has to exist for; else what it carries is freed. */
void dispatch_stream(struct media *media, struct command command);
void stream_move(struct media *media, struct media_id stream, unsigned to);
