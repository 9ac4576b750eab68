/* sip/ua_private.h - the user agent's own data, for the files that make it up */
#pragma once

#include "sip/dialog.h"
#include "sip/ua.h"

#define UA_ENDED 4096

struct farewell;

struct ua {
	struct ua_setup setup;
	struct stack *stack;
	struct wheel *wheel;
	struct dialog_table *dialogs;
	struct regs *regs;
	struct registrar *registrar;
	struct session *sessions;
	size_t session_count;
	struct farewell *farewells;
	size_t farewell_count;
	bool draining;
	uint64_t ended[UA_ENDED]; /* of calls that have ended: so that Replaces can be told so */
	unsigned ended_next;
};

/* Drops control characters and a cut last character. */
void text_clean(char *dst, size_t size, const char *src, size_t len);
/* A URI's user part, unescaped and cleaned. */
void user_copy(char *dst, size_t size, const struct pl *user);
/* "Name: value\r\n" lines, as digest.h makes them, into a message; NULL is fine. */
void outmsg_add_lines(struct outmsg *msg, const char *lines);
/* Uniform in [0, below). */
uint32_t ua_random(uint32_t below);

/* A dialog has ended: remembered for a while. */
void ua_ended(struct ua *ua, const struct dialog *dialog);
/* The session a Replaces value names ("call-id;to-tag=..;from-tag=.."), or NULL. */
struct session *ua_replaced(struct ua *ua, const char *value);
