/* call/monitor.h - live monitoring: private to call/
 *
 *     call --< monitor -- own call -- leg      a supervisor on a call; the leg is rung like any party
 *
 * The supervisor's leg has a call of its own, which rings it, watches it and ends with it. That call is nobody else's
 * business: it is in no list and no log and tells nothing; what there is to tell is told of the monitor, to those alone who
 * may monitor. The leg's channel is a guest in the bridge where the watched call's parties are (or in their room), and
 * follows them (monitor_follow()).
 */
#pragma once

#include "call/room.h"

#define CALL_MONITORS_MAX 16
#define MONITOR_WAIT_MS 1800000 /* for the agent's next call */

struct monitor {
	struct hnode node;
	struct chain_link in_call, in_tenant;
	struct call_app *app;
	struct tenant *tenant;
	struct fsm fsm;
	struct id id, user; /* user: the supervisor */
	struct call *call;  /* that is watched; NULL: over, or waiting */
	struct call *own;
	struct leg *leg;       /* the supervisor's, once it has answered; NULL: not yet, or gone */
	struct bridge *bridge; /* that it is in with two parties, or NULL */
	struct room_guest guest; /* in a room */
	enum monitor_mode mode;
	bool muted, beep, follow_agent;
	bool heard;	  /* by all, as it is now */
	bool on_tape;	  /* what it says may be recorded */
	struct id target; /* a leg, or none: the agent's */
	struct id agent;  /* whose calls it follows; or none */
	/* Of the watched call, which may be over already. */
	struct id call_id, profile_id;
	char room[VIEW_NAME_SIZE];
	int64_t created_at, started_at, ended_at;
	const char *reason;   /* why it ended; static */
	struct id actor;      /* who did what is told next; none: nobody */
	char client_addr[48]; /* from where */
};

enum monitor_event {
	MONITOR_EV_TIMEOUT,
	MONITOR_EV_ANSWERED, /* the supervisor's phone was */
	MONITOR_EV_MOVED,    /* the parties are somewhere else, or hear one another otherwise */
	MONITOR_EV_CHANGE,   /* const struct monitor_wish */
	MONITOR_EV_OVER,     /* the watched call */
	MONITOR_EV_NEXT,     /* struct call: the agent talks again */
	MONITOR_EV_LOST,     /* the supervisor's leg is gone: own->end_reason says why */
	MONITOR_EV_STOP,     /* reason is set */
};

/* monitor.c */
struct monitor *monitor_new(struct call_app *app, struct call *watched, const struct asker *asker);
struct monitor *monitor_known(struct call_app *app, struct id id);
struct monitor_view *monitor_view_make(const struct monitor *monitor);
bool monitor_is_over(const struct monitor *monitor);
/* By somebody who may; for this reason (static). Again is fine. */
void monitor_stop(struct monitor *monitor, const char *reason);
/* The supervisor's leg, if it is on the call and has a channel; or NULL. */
struct leg *monitor_leg(const struct monitor *monitor);
/* Whom a whisper reaches: the leg that is named (none: our side's), if it is there. */
struct leg *monitor_target(const struct call *call, struct id leg);
