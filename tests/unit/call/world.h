/* A tenant with two users, a profile each, phones, and everything call/ says about them. */
#pragma once

#include "call/app.h"
#include "fake_engine.h"
#include "store/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct event_bus {
	struct event *events[4096];
	unsigned count;
	struct event_snapshot *snapshot;
};

struct world {
	struct wheel *wheel;
	uint64_t now_ms;
	struct engine *engine;
	struct seal *seal;
	struct event_bus bus;
	struct call_app *app;
	struct id tenant, anna, ben, line, line_ben, phone, phone2, phone_ben;
	struct id stranger_tenant, stranger;
	struct reply *reply; /* the last one */
};

struct world *world_new(void);
void world_free(struct world *world);
void world_advance(struct world *world, uint64_t ms);

/* Carries out a command as that user; the reply is in world->reply. */
struct reply *world_do(struct world *world, struct command *command);
struct asker world_anna(const struct world *world);
struct asker world_as(struct id tenant, struct id user, int role);

void world_put_line(struct world *world, struct id id, struct id owner,
		    void (*change)(struct line_spec *spec));
void world_put_tenant(struct world *world, void (*change)(struct tenant_spec *spec));
/* make-call by anna through her profile. */
struct reply *world_call(struct world *world, const char *to, enum connect_kind kind);
struct reply *world_hangup(struct world *world, struct id call, enum hangup_reason reason);
struct channel *world_rings_in(struct world *world, const char *from);
struct channel *world_phone_dials(struct world *world, struct id phone, const char *to);

/* What was last said of calls. */
const struct call_view *world_view(const struct world *world);
const struct event *world_event(const struct world *world, enum event_type type);
unsigned world_events(const struct world *world, enum event_type type);
/* Nothing is left: no call, channel, bridge; ended calls have been forgotten. */
void world_expect_clean(struct world *world);
/* The last call ended like this. */
void world_expect_end(const struct world *world, enum end_reason reason, int code,
		      enum hangup_by by);
