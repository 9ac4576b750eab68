/* sip/register.h - registrations: one isolated state machine a profile
 *
 * A profile that registers keeps its binding at its provider; a profile that does not (a trunk) keeps the
 * addresses of its server resolved. Either way the table can say whose an incoming request is: by line token, or
 * by source address among those resolved for the profile. Nothing is shared between profiles but the pacer, which
 * spreads first registrations and keeps one host from being hammered. Nothing is linear in their number.
 *
 * Belongs to the call loop. Passwords are given by value and wiped when replaced.
 */
#pragma once

#include "event/view.h"
#include "sip/account.h"

struct ua;
struct regs;

#define REG_HISTORY 50
#define REG_REASON_SIZE 96

/* States are event/view.h's enum registration_state, with these meanings:
 *     REG_DISABLED      asked to be unregistered; also a trunk whose addresses are not known yet: never registers
 *     REG_REGISTERED    a trunk: its server's addresses are known
 *     REG_RETRY_WAIT    a passing failure; next_attempt_us says when
 *     REG_AUTH_FAILED   credentials refused; tried again after 1, 5, 15, 30 min, then only after an edit
 *     REG_REJECTED      403, 404, 6xx or such: tried again every 30 min at most
 *     REG_UNREACHABLE   nobody answered or the name is not found; tried again as retry_wait
 */
const char *reg_state_name(enum registration_state state); /* "retry_wait" */

struct reg_change {
	int64_t at_us;
	uint16_t code;
	uint8_t state;
};

/* All that API.md's `registration` object shows. Strings live for the call. */
struct reg_report {
	struct id id;
	enum registration_state state;
	uint16_t code; /* of the last final response; 0: none */
	const char *
		reason; /* its phrase, or what failed: "timeout", "name not found", ...; never NULL */
	const char *registrar;				 /* "192.0.2.1:5060" or "" */
	int64_t expires_us, next_attempt_us, changed_us; /* wall clock; 0: none */
	unsigned other_bindings; /* contacts in the registrar's answer that are not ours */
	bool gone;		 /* it was deleted and this is its last report */
	bool moved; /* we are reached another way than before: calls that are up must say so (RFC 5626 4.4) */
	bool asking; /* a REGISTER waits for its answer, a refresh as well */
	bool lingering; /* with gone or disabled: the registrar did not confirm; calls may come until expires_us */
};

struct regs_handlers {
	/* Each change of state, code or expiry. Never from inside regs_put() and its like. */
	void (*on_report)(const struct reg_report *report, void *arg);
};

struct regs_setup {
	unsigned per_second;	  /* first registrations a second over all; 0: 200 */
	unsigned per_host_second; /* and towards one server name; 0: 20 */
	unsigned at_once;	  /* this many go at once before any pacing; 0: 20 */
	uint32_t seed;		  /* of the jitter; 0: random */
	struct regs_handlers handlers;
	void *arg;
};

struct regs *regs_new(struct ua *ua, const struct regs_setup *setup);
struct regs *regs_free(struct regs *regs); /* at once, without unregistering: see regs_stop() */
DEFINE_CLEANUP(struct regs *, regs_free)

/* Adds a profile or takes in its edit. An edit of a registered one unregisters the old contact with the old secret and
 * registers anew; an edit that changes nothing the provider sees does nothing. Return: 0 or ACCOUNT_E_*.
 */
must_check int regs_put(struct regs *regs, const struct account_setup *setup);
/* Unregisters within 4 s and forgets; the last report has `gone`. Unknown ids are fine. */
void regs_remove(struct regs *regs, struct id id);
/* Register now, whatever it was waiting for (also re-arms auth_failed). false: unknown. */
bool regs_register(struct regs *regs, struct id id);
/* Unregister and stay so until regs_register(). */
bool regs_unregister(struct regs *regs, struct id id);
/* Unregisters all, for the shutdown; `done` when all are off or 4 s have passed. */
void regs_stop(struct regs *regs, void (*done)(void *arg), void *arg);

/* The account to dial through, without a reference of its own: NULL when unknown. */
struct account *regs_account(struct regs *regs, struct id id);
/* Fit for calls: registered, or a trunk. */
bool regs_usable(struct regs *regs, struct id id);
must_check bool regs_report(struct regs *regs, struct id id, struct reg_report *ret_report);
/* Newest first. Return: number written. */
unsigned regs_history(struct regs *regs, struct id id, struct reg_change *ret_changes,
		      unsigned max);
size_t regs_count(const struct regs *regs);

/* Whose is this INVITE? By the line token in the Request-URI, from anyone who is the profile's flow or registrar; else
 * by Request-URI user, To, P-Called-Party-ID among the profiles whose resolved addresses include the source. NULL:
 * nobody's, or not to be told apart: drop it.
 */
struct account *regs_identify(struct regs *regs, const struct inmsg *in);
/* Is this address one of a provider's, as resolved? Cheap: asked for every stranger's request. */
bool regs_knows_source(const struct regs *regs, const struct sa *addr);

/* ---- trying a profile before it is saved (POST /api/test-sip-profile/) ---- */

#define PROBE_STEPS 5

struct probe_step {
	const char *name; /* "DNS", "reach", "TLS", "OPTIONS", "REGISTER" */
	bool ran, ok;
	uint32_t ms;
	char detail[160];
	/* The last message of ours and its answer as they went over the wire, or NULL: printable ASCII and newlines,
	 * without what proves the password.
	 */
	char *sent, *received;
};

enum probe_nat { PROBE_NAT_UNKNOWN, PROBE_NAT_NONE, PROBE_NAT_BEHIND };

struct probe_result {
	bool ok;
	enum probe_nat nat; /* by the Via of the answers: are we where we say we are? */
	char seen_as[64];   /* our address as the server sees it, or "" */
	unsigned count;
	struct probe_step steps[PROBE_STEPS];
};

struct probe;

/* Resolves, reaches, asks OPTIONS, and fetches the bindings with a REGISTER that has no Contact (which proves the
 * password and changes nothing). `done` exactly once (the result lives no longer), within 15 s, never from inside; then
 * the probe is gone.
 * Return: 0 or ACCOUNT_E_*.
 */
must_check int probe_start(struct ua *ua, const struct account_setup *setup,
			   void (*done)(const struct probe_result *result, void *arg), void *arg,
			   struct probe **ret_probe);
struct probe *probe_cancel(struct probe *probe);
