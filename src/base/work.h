/* base/work.h - threads that may block: hashing, files, name look-ups, speech, HTTP clients
 *
 * A job runs on some worker; its `done` then runs on the thread that reads the ring given with it.
 */
#pragma once

#include "base/ring.h"

struct work_pool;
struct work {
	void (*run)(void *arg);	 /* on a worker */
	void (*done)(void *arg); /* on the reader of `home`; owns arg from here on. May be NULL */
	void *arg;
	struct ring *home; /* of struct work; NULL: `done` runs on the worker itself */
};

struct work_pool *work_pool_new(const char *name, unsigned threads, size_t capacity);
/* Finishes what is queued, then joins. Workers wait for room in a full home ring, so a home must be read until its
 * pools are freed, or hold as many messages as its reader lets jobs be out.
 */
struct work_pool *work_pool_free(struct work_pool *pool);
DEFINE_CLEANUP(struct work_pool *, work_pool_free)
/* Any thread. Return: false when the queue is full; the job was not taken. */
must_check bool work_submit(struct work_pool *pool, const struct work *work);
/* The reader of a home ring: runs the `done` of each finished job. */
void work_reap(struct ring *home);
