/* call/app.h - the product behind the command gate: makes calls out of channels
 *
 * One object, living on the call loop: whoever runs that loop watches call_app_fd() and calls call_app_run().
 * It starts empty; the daemon fills it with PUT commands (tenants, users, profiles, devices, in any order).
 */
#pragma once

#include "call/command.h"
#include "engine/engine.h"
#include "event/event.h"

/* What holds for a tenant that has no figures of its own. 0: the built-in default in brackets. */
struct call_limits {
	int tenant_max_calls;	     /* calls at once (1000) */
	int tenant_calls_per_minute; /* outgoing legs begun (0: without limit) */
	int tenant_minutes_per_day;  /* talk minutes of outgoing legs (0: without limit) */
	int ring_timeout_s;	     /* 60 */
	int max_duration_s;	     /* 14400 */
	int max_hold_s; /* 14400: a call that is on hold for so long without a break ends */
};

struct call_app_setup {
	struct engine *engine; /* its handler becomes ours */
	struct event_bus *bus;
	struct call_limits limits;
	const struct seal *seal;    /* for the keys of recordings; outlives the app */
	const char *recordings_dir; /* NULL: nothing can be recorded */
	const char *prompts_dir;    /* TENANT/PROMPT.wav in it; NULL: no hold music but our own */
	size_t gate_capacity;	    /* 0: 65536 commands */
};

struct call_app;
struct seal;

struct call_app *call_app_new(const struct call_app_setup *setup);
/* Forgets all calls without a word; drain first (COMMAND_DRAIN). The gate must have no more users. */
struct call_app *call_app_free(struct call_app *app);
DEFINE_CLEANUP(struct call_app *, call_app_free)

/* For every other thread: call_post(), call_ask(). */
struct call_gate *call_app_gate(struct call_app *app);
int call_app_fd(const struct call_app *app);
/* Carries out what is in the gate, at most a few hundred commands at once so that signalling is not kept
 * waiting; the descriptor stays readable while there is more.
 */
void call_app_run(struct call_app *app);
/* Carries out one command at once, on the call loop (start-up, tests). Takes it as call_post() does. */
void call_app_do(struct call_app *app, struct command *command);

/* Alive right now, for leak checks and metrics. */
struct call_counts {
	unsigned tenants, users, profiles, devices, calls, legs;
};
void call_app_count(const struct call_app *app, struct call_counts *ret);
