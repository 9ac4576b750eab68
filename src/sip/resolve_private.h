/* sip/resolve_private.h - the resolver's inside: what resolve.c, dns.c and hosts.c share */
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

/* ---- /etc/hosts ---- */

struct hosts;

struct hosts *hosts_new(const char *path, struct wheel *wheel);
struct hosts *hosts_free(struct hosts *hosts);
/* Return: how many addresses the name has there, at most `max`. */
unsigned hosts_get(struct hosts *hosts, const char *name, struct sa *addrs, unsigned max);
