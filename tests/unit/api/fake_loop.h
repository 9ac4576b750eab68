/* A call loop for tests: a thread that takes commands and answers them from a small memory */
#pragma once

#include "call/command.h"
#include "event/bus.h"

struct fake_loop;

struct fake_loop *fake_loop_new(struct event_bus *bus);
struct fake_loop *fake_loop_free(struct fake_loop *loop);
struct call_gate *fake_loop_gate(struct fake_loop *loop);

/* How many commands of this type came so far. */
unsigned fake_loop_count(const struct fake_loop *loop, enum command_type type);
/* What the next commands of this type are answered with; REPLY_OK again: as usual. */
void fake_loop_answer(struct fake_loop *loop, enum command_type type, enum reply_code code);
/* PROFILE_WAIT is answered after so long. */
void fake_loop_wait_ms(struct fake_loop *loop, unsigned ms);
