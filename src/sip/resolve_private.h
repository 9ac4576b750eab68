/* sip/resolve_private.h - the resolver's inside
 *
 *   resolve.c        RFC 3263: which records lead to which targets, in which order
 *   resolve_cache.c  records that are known, and who waits for those that are not
 *   dns.c            the client of name servers
 *   hosts.c          /etc/hosts
 *   failing.c        targets that failed
 */
#pragma once

#include "base/hmap.h"
#include "sip/resolve.h"

/* Answers that need no waiting. Return: true with at least one target. */
bool resolver_now(struct resolver *resolver, const struct hop *hop, bool any_address,
		  struct target targets[static RESOLVE_MAX_TARGETS], unsigned *ret_count);
bool resolver_is_failing(const struct resolver *resolver, const struct target *target);

/* ---- records ---- */

#define DNS_MAX_RECORDS 32

struct dns_record {
	union {
		struct sa addr; /* A, AAAA */
		struct {
			uint16_t priority, weight, port;
		} srv;
		struct {
			uint16_t order, preference;
			char service[16]; /* "SIP+D2U" */
			char flag;	  /* 's', 'a', 0 */
		} naptr;
	};
	char name[256]; /* SRV's target, NAPTR's replacement */
};

/* What a name has of one type; count 0: nothing (and why). */
struct dns_records {
	enum resolve_outcome outcome;
	uint32_t ttl_s;
	unsigned count;
	struct dns_record *record; /* of count */
};

/* ---- the name servers' client ---- */

struct dns_client;
struct dns_lookup;
typedef void dns_done_fn(struct dns_records *records,
			 void *arg); /* the records are the callee's to free */

struct dns_client *dns_client_new(struct wheel *wheel, const struct sa *servers, unsigned count);
struct dns_client *dns_client_free(struct dns_client *client);
/* Calls back once, from the loop. The lookup is freed after. */
struct dns_lookup *dns_lookup_start(struct dns_client *client, const char *name, uint16_t type,
				    dns_done_fn *fn, void *arg);
void dns_lookup_cancel(struct dns_lookup *lookup);

/* ---- what they said ---- */

struct dns_cache;

/* Embedded in whoever waits; `timer` fires once the records are there. */
struct dns_waiter {
	struct dns_waiter *next, **pprev; /* pprev NULL: waits for nothing */
	struct timer *timer;
};

struct dns_cache *dns_cache_new(struct wheel *wheel, struct dns_client *client);
struct dns_cache *dns_cache_free(struct dns_cache *cache); /* nobody may wait any more */
void dns_cache_flush(struct dns_cache *cache);
void dns_cache_forget(struct dns_cache *cache, const char *name, uint16_t type);
/* Return: the records, within their time or learnt since then (they serve a computation to its end); or NULL. */
const struct dns_records *dns_cache_get(const struct dns_cache *cache, const char *name,
					uint16_t type, uint64_t since_ms);
/* Asks for them, unless that is under way. */
void dns_cache_wait(struct dns_cache *cache, const char *name, uint16_t type,
		    struct dns_waiter *waiter);
void dns_waiter_leave(struct dns_waiter *waiter);

/* ---- targets that failed ---- */

struct failing;

struct failing_set {
	struct wheel *wheel;
	struct hmap map;
	struct failing *oldest, *newest;
};

void failing_init(struct failing_set *set, struct wheel *wheel);
void failing_fini(struct failing_set *set);
bool failing_has(const struct failing_set *set, const struct target *target);
void failing_report(struct failing_set *set, const struct target *target, bool ok);
/* The good ones first; otherwise they keep their order. */
void failing_sort(const struct failing_set *set, struct target *targets, unsigned count);

/* ---- /etc/hosts ---- */

struct hosts;

struct hosts *hosts_new(const char *path, struct wheel *wheel);
struct hosts *hosts_free(struct hosts *hosts);
/* Return: how many addresses the name has there, at most `max`. */
unsigned hosts_get(struct hosts *hosts, const char *name, struct sa *addrs, unsigned max);
