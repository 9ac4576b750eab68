/* base/poller.h - descriptors that somebody waits for: one epoll set a loop thread
 *
 * A poller belongs to the thread that made it and is found by that thread alone, so nothing needs to be handed around.
 * Epoll is level triggered: what is not read up comes again at the next turn.
 */
#pragma once

#include "base/mem.h"

struct poller;

enum {
	POLLER_READ = 1 << 0,
	POLLER_WRITE = 1 << 1,
	POLLER_ERROR = 1 << 2, /* an error or a hang-up: told without being asked for */
};

typedef void poller_fn(unsigned events, void *arg);

/* A thread has one at a time. */
struct poller *poller_new(void);
struct poller *poller_free(struct poller *poller);

/* On the calling thread's poller. What was watched of that descriptor before is replaced. Return: 0, or a negative errno
 * (the thread has none, there are no more watches to be had, or it cannot be waited for).
 */
must_check int poller_watch(int fd, unsigned events, poller_fn *fn, void *arg);
/* Before the descriptor is closed. Events that were fetched already are not delivered. Not watched: nothing happens. */
void poller_unwatch(int fd);
/* Waits for at most timeout_ms (UINT64_MAX: for ever) and calls what is ready. Return: how many were. */
unsigned poller_wait(uint64_t timeout_ms);
