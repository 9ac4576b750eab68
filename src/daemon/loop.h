/* daemon/loop.h - the call loop's thread: a poller, a wheel, and what is posted to it
 *
 * `begin` and `end` run on the thread itself, so that everything between them belongs to it.
 */
#pragma once

#include "base/base.h"
#include "base/wheel.h"

struct loop;

struct loop_setup {
	/* Builds what lives on the loop. Return: 0, or what loop_start() is to return. */
	int (*begin)(struct loop *loop, void *arg);
	/* Takes it down again; also after a begin that failed half-way. */
	void (*end)(struct loop *loop, void *arg);
	void *arg;
};

/* Returns once `begin` has. Return: 0 with *ret_loop, or what went wrong (the thread is gone then). */
must_check int loop_start(const struct loop_setup *setup, struct loop **ret_loop);
/* Any thread but the loop's: ends it, runs `end`, joins. */
struct loop *loop_stop(struct loop *loop);
/* Any thread: fn(arg) on the loop. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Any thread: milliseconds since the loop last went round; it does at least once a second. */
uint64_t loop_lag_ms(const struct loop *loop);

/* ---- on the loop's thread ---- */
struct wheel *loop_wheel(struct loop *loop);
/* fn(arg) while fd is readable. */
must_check int loop_watch(struct loop *loop, int fd, void (*fn)(void *arg), void *arg);
