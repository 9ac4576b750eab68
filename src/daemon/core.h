/* daemon/core.h - everything that lives on the call loop
 *
 * (Apart from daemon/private.h, because libre's headers and jansson's cannot be read together.)
 */
#pragma once

#include "daemon/settings.h"
#include "event/bus.h"

struct core;
struct call_gate;

/* Return: 0 with *ret_core, or negative or an outcome of what could not be started, said in the log. */
struct seal;
struct core_setup {
	const struct config *config; /* read before core_start() returns */
	struct event_bus *bus;
	const struct seal *seal;
	/* On the recorder's thread: the row of a recording is to be kept before its file begins. */
	void (*before_files)(void *arg);
	void *before_files_arg;
};
must_check int core_start(const struct core_setup *setup, struct core **ret_core);
/* Lets what is being sent leave (unregistrations, BYEs) for at most `linger_ms`, then ends the loop. */
struct core *core_stop(struct core *core, unsigned linger_ms);
struct call_gate *core_gate(struct core *core);
/* Reads the SIP certificate again. */
void core_reload(struct core *core);
/* Milliseconds since the loop last went round. */
uint64_t core_lag_ms(const struct core *core);
