/* base/fsm.h - state machines as tables
 *
 * A machine is a table of states; each says which events it accepts, where it may lead, how long it may
 * last, and what handles its events. An event outside `accepts` is logged and counted; a step outside
 * `leads_to` is our bug. Events sent from inside a handler queue until it returns. `jackfield fsm` prints
 * every table that was registered with FSM_REGISTER.
 */
#pragma once

#include "base/wheel.h"

#define FSM_MAX_STATES 32
#define FSM_QUEUE 8
#define FSM_BIT(n) (1u << (n))

struct fsm;

struct fsm_state {
	const char *name;
	uint32_t timeout_ms; /* 0: none. When it passes, event 0 (timeout, by convention) is sent */
	uint32_t accepts;    /* FSM_BIT(event) | ... */
	uint32_t leads_to;   /* FSM_BIT(state) | ... */
	void (*enter)(struct fsm *fsm, void *owner);
	void (*handle)(struct fsm *fsm, void *owner, int event, void *data);
};

struct fsm_table {
	const char *name;
	const struct fsm_state *states;
	unsigned state_count;
	const char *const *event_names; /* NULL-terminated; event 0 is the timeout */
};

struct fsm {
	const struct fsm_table *table;
	void *owner;
	struct timer timer;
	int state;
	bool busy;
	bool *gone; /* the running fsm_send's: set by fsm_fini, so that it does not touch what was freed */
	unsigned queued;
	struct {
		int event;
		void *data;
	} queue[FSM_QUEUE];
};

#define FSM_REGISTER(table_var)                                                                    \
	static const struct fsm_table *const table_var##_entry                                     \
		__attribute__((used, retain, section("fsms"))) = &table_var

/* Begins in `state` with that state's timer running; its `enter` is not called. */
void fsm_init(struct fsm *fsm, const struct fsm_table *table, void *owner, struct wheel *wheel,
	      int state);
/* The owner may be freed by the last thing a handler does only if it calls fsm_fini() first. */
void fsm_fini(struct fsm *fsm);
/* From inside a handler: queued (more than FSM_QUEUE is our bug), so `data` must live until then. */
void fsm_send(struct fsm *fsm, int event, void *data);
/* Take the step now, usually from a handler: stops the state's timer, starts the new one's, calls its `enter`.
 * After it the machine may be gone if that `enter` ends its owner.
 */
void fsm_go(struct fsm *fsm, int state);
/* Give the present state another deadline than its table's. */
void fsm_deadline(struct fsm *fsm, uint32_t after_ms);
const char *fsm_state_name(const struct fsm *fsm);
/* All registered tables as text, one block a machine. */
struct buf;
void fsm_print_all(struct buf *out);
