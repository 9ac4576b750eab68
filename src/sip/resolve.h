/* sip/resolve.h - from a URI's host to addresses: RFC 3263
 *
 * Numeric hosts, then /etc/hosts, then NAPTR, SRV, A and AAAA through libre's DNS client, never
 * blocking, with a cache (TTLs within bounds, failures remembered too). The answer is a list in
 * order of preference; whoever sends tries the next on timeout, 503 or transport error (4.3) and
 * reports it, so that a dead target goes to the end of later answers for a while. Belongs to the
 * call loop.
 */
#pragma once

#include "base/wheel.h"
#include "sip/wire.h"

#define RESOLVE_MAX_TARGETS 16

enum resolve_outcome {
	RESOLVE_OK,
	RESOLVE_E_NOT_FOUND,   /* no such name, or no address in it */
	RESOLVE_E_TIMEOUT,     /* the name servers do not answer */
	RESOLVE_E_NOT_ALLOWED, /* there were addresses, the policy forbids them all */
	RESOLVE_E_BAD,	       /* not a host name, unknown transport */
};
/* For the person whose server it is. Static. */
const char *resolve_outcome_words(enum resolve_outcome outcome);

/* What is to be found: the next hop of a request. */
struct hop {
	char host[256];		   /* name, IPv4, or IPv6 without brackets */
	uint16_t port;		   /* 0: not said */
	enum sip_transp transport; /* SIP_TRANSP_NONE: not said */
	bool secure;		   /* sips: */
	bool unverified;	   /* TLS: any certificate will do */
};

/* From a URI: host or maddr, port, transport parameter, scheme. false: no usable host or transport.
 */
must_check bool hop_from_uri(const struct uri *uri, struct hop *ret_hop);

struct resolver;
struct resolve_query;
/* `targets` lives for the call. Never from inside resolver_start(). */
typedef void resolve_fn(enum resolve_outcome outcome, const struct target *targets, unsigned count,
			void *arg);

struct resolver_setup {
	struct wheel *wheel;
	const struct wire *wire;  /* transports and families that exist here; NULL: all */
	const struct sa *servers; /* NULL: those of /etc/resolv.conf */
	unsigned server_count;
	const char *hosts_file; /* NULL: /etc/hosts; read again when it changes */
	bool no_naptr;		/* go straight to SRV */
};

struct resolver *resolver_new(const struct resolver_setup *setup);
struct resolver *resolver_free(
	struct resolver *resolver); /* open queries end without their callback */
DEFINE_CLEANUP(struct resolver *, resolver_free)

/* The policy on addresses: providers named by users may not be on private networks unless the
 * operator allows it. Asked for each address after resolution, unless the query says `any_address`.
 */
void resolver_set_policy(struct resolver *resolver,
			 bool (*address_allowed)(const struct sa *addr, void *arg), void *arg);
/* Tests: answers in place of the network, for names (numbers are still taken as they are). `answer`
 * is called from the loop for each query and calls resolver_answer(), then or later.
 */
struct resolver *resolver_new_fake(struct wheel *wheel,
				   void (*answer)(struct resolve_query *query,
						  const struct hop *hop, void *arg),
				   void *arg);
void resolver_answer(struct resolve_query *query, enum resolve_outcome outcome,
		     const struct target *targets, unsigned count);

/* The callback comes exactly once, from the loop, unless the query is cancelled (which frees it).
 */
struct resolve_query *resolver_start(struct resolver *resolver, const struct hop *hop,
				     bool any_address, resolve_fn *fn, void *arg);
void resolver_cancel(struct resolve_query *query); /* NULL is fine */

/* What became of a target: a failed one is put last for 30 s, doubling to 10 min; success clears
 * it.
 */
void resolver_report(struct resolver *resolver, const struct target *target, bool ok);
/* Forget cached answers (SIGHUP, a profile edited). */
void resolver_flush(struct resolver *resolver);

/* Loopback, private, link-local, unique local, shared (RFC 6598), unspecified, multicast,
 * documentation, and the IPv4 inside mapped and 6to4 forms.
 */
bool address_is_private(const struct sa *addr);
