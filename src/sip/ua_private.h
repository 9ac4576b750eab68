/* sip/ua_private.h - the user agent's own data, for the files that make it up */
#pragma once

#include "sip/dialog.h"
#include "sip/ua.h"

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
};

/* Drops control characters and a cut last character. */
void text_clean(char *dst, size_t size, const char *src, size_t len);
/* "Name: value\r\n" lines, as digest.h makes them, into a message; NULL is fine. */
void outmsg_add_lines(struct outmsg *msg, const char *lines);
/* Uniform in [0, below). */
uint32_t ua_random(uint32_t below);

/* The session a Replaces value names ("call-id;to-tag=..;from-tag=.."), or NULL. `ret_early_only` may be NULL. */
struct session *ua_replaced(struct ua *ua, const char *value, bool *ret_early_only);
