/* sip/registrar.h - the registrar for the users' own devices (RFC 3261 section 10)
 *
 * Devices authenticate by digest (SHA-256, MD5) for every REGISTER, and for other requests unless they come on a
 * connection that registered (a datagram's source can be forged, so it is always asked). A binding remembers the
 * flow it was registered over and requests go back on it (NAT). Secrets
 * come from the call layer by value through a lookup, kept nowhere here. Wrong passwords slow their source and
 * their device name down, but never harm a binding that works.
 *
 * Belongs to the call loop.
 */
#pragma once

#include "sip/digest.h"
#include "sip/stack.h"

struct registrar;

#define REGISTRAR_CONTACTS 10 /* bindings a device may have */
#define REGISTRAR_USER_MAX 64

/* What the call layer knows of a device's user name. */
struct registrar_device {
	struct id id;
	char ha1_md5[33]; /* H(username:realm:password); "": none */
	char ha1_sha256[65];
};

struct registrar_binding {
	struct id device;
	const char *contact;	/* URI */
	const char *path;	/* Route values or NULL */
	const char *user_agent; /* "" without */
	struct flow *flow;	/* NULL: it closed; the contact's address may still do */
	const struct sa *source;
	int64_t expires_us; /* wall clock */
	uint64_t ref;	    /* names this binding as long as it lives */
};

struct registrar_handlers {
	/* Copies what is known of `username`. Return: false when there is no such device. At once, from memory. */
	bool (*lookup)(const char *username, struct registrar_device *ret_device, void *arg);
	/* A device's bindings changed: how many it has now, and the newest (NULL when none). */
	void (*on_bindings)(struct id device, unsigned count,
			    const struct registrar_binding *newest, void *arg);
};

struct registrar_setup {
	const char *realm;		   /* copied; also the domain of device addresses */
	unsigned expires_min, expires_max; /* seconds; 0: 60 and 3600 */
	unsigned expires_nat_max;	   /* for UDP devices behind NAT; 0: 120 */
	unsigned max_failures; /* wrong passwords a minute for one name from one source; 0: 10 */
	struct registrar_handlers handlers;
	void *arg;
};

struct registrar *registrar_new(struct stack *stack, const struct registrar_setup *setup);
struct registrar *registrar_free(struct registrar *registrar);
DEFINE_CLEANUP(struct registrar *, registrar_free)

/* The stack's handler of REGISTER. */
void registrar_receive(struct registrar *registrar, const struct inmsg *in);

/* Who sent this request (INVITE, OPTIONS, ...)? Answers 407 or 403 itself when it has to.
 * Return: 0 with *ret_device, or:
 */
enum {
	REGISTRAR_E_ANSWERED = 1, /* challenged or refused: nothing more to do */
	REGISTRAR_E_STRANGER, /* says nothing of being a device of ours: drop, or see who else it may be */
};
must_check int registrar_authenticate(struct registrar *registrar, const struct inmsg *in,
				      struct id *ret_device);
/* Did this message come on a device's flow, or from its registered address? Cheap. */
bool registrar_knows(const struct registrar *registrar, const struct inmsg *in);

/* Worth a look though its source is unknown: a REGISTER or credentials that name a device of ours. */
bool registrar_may_be_device(const struct registrar *registrar, const struct inmsg *in);

/* A device's live bindings, newest first; they live until the loop goes on. Return: number written. */
unsigned registrar_bindings(struct registrar *registrar, struct id device,
			    struct registrar_binding *ret, unsigned max);
/* A binding of before a restart; its flow and ref are not read, `device` is known by `username`. Over UDP it is reached
 * on the path that it registered over, else at its contact. Return: false when it is over, cannot be reached so, or has
 * registered again already.
 */
bool registrar_restore(struct registrar *registrar, const char *username, enum sip_transp transport,
		       const struct registrar_binding *binding);
/* The device was deleted or its password changed: its bindings go. */
void registrar_forget(struct registrar *registrar, struct id device);
size_t registrar_count(const struct registrar *registrar);
const char *registrar_realm(const struct registrar *registrar);
