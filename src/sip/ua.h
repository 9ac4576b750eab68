/* sip/ua.h - the user agent: stack, dialogs, sessions, registrations and registrar made one
 *
 * It decides whose an incoming request is: a dialog's, a profile's (by line token, else by user among those whose
 * resolved addresses include the source), a device's (by flow, else by digest), or a stranger's, which is dropped
 * without an answer and counted. Belongs to the call loop.
 */
#pragma once

#include "sip/register.h"
#include "sip/registrar.h"
#include "sip/session.h"

struct ua;

/* An INVITE that passed identification. Strings live for the call. */
struct ua_incoming {
	struct account *account; /* it came for this profile, or NULL */
	struct id device;	 /* it came from this device (account is NULL) */
	const char *
		called; /* unescaped: a profile's: To's or P-Called-Party-ID's user; a device's: what it dialled */
	const char *called_uri;	   /* a device's Request-URI */
	struct id profile;	   /* a device's X-Profile-Id, or ID_NONE */
	struct session_body offer; /* none: make the offer in session_accept() */
	struct session *
		replaces; /* Replaces matched this session: take its place, then hang it up; or NULL */
	const char *verstat; /* of From or PAI, "" without */
};

struct ua_handlers {
	/* A new session (its peer: session_peer()). Bind it and ring, accept or reject it, now or later. */
	void (*on_incoming)(struct session *session, const struct ua_incoming *incoming, void *arg);
};

struct ua_setup {
	struct stack *stack;
	unsigned max_sessions; /* 0: 20000 */
	bool no_session_timers;
	uint32_t session_expires; /* seconds; 0: 1800 */
	uint32_t min_se;	  /* seconds; 0: 90 */
	struct regs_setup regs;
	struct registrar_setup registrar; /* realm NULL: no devices */
	struct ua_handlers handlers;
	void *arg;
};

struct ua *ua_new(const struct ua_setup *setup);
/* Sessions end without events, registrations without unregistering. */
struct ua *ua_free(struct ua *ua);
DEFINE_CLEANUP(struct ua *, ua_free)

struct stack *ua_stack(const struct ua *ua);
struct wheel *ua_wheel(const struct ua *ua);
struct regs *ua_regs(const struct ua *ua);
struct registrar *ua_registrar(const struct ua *ua); /* NULL without devices */
struct dialog_table *ua_dialogs(const struct ua *ua);
size_t ua_sessions(const struct ua *ua);
/* No new calls: INVITEs are answered 503 with Retry-After (draining). */
void ua_drain(struct ua *ua, bool draining);
