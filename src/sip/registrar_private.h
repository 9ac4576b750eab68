/* sip/registrar_private.h - what the registrar's files share
 *
 *   registrar.c       bindings and REGISTER
 *   registrar_auth.c  who a request is from
 */
#pragma once

#include "base/hmap.h"
#include "sip/registrar.h"
#include "sip/ua_private.h"

#define REGISTRAR_FAILURES 4096 /* slots for sources and names that guessed wrongly */

struct device;

struct binding {
	struct hnode by_flow, by_source;
	struct binding *next;
	struct device *device;
	struct flow *flow;
	struct flow_watch watch;
	uint64_t flow_key;
	struct sa source;
	char *contact, *path, *user_agent, *call_id;
	uint32_t cseq;
	uint64_t ref;
	struct timer expiry;
	int64_t expires_us;
};

struct device {
	struct hnode node;
	struct registrar *registrar;
	struct id id;
	char username[REGISTRAR_USER_MAX];
	struct binding *bindings; /* newest first */
	unsigned count;
};

struct failures {
	uint64_t key, since_ms;
	unsigned count;
};

struct registrar {
	struct stack *stack;
	struct wheel *wheel;
	struct registrar_setup setup;
	char *realm;
	struct digest_server *digest;
	struct hmap devices, flows, sources;
	struct failures *failures;
	size_t bindings;
	uint64_t refs;
};

uint64_t registrar_source_key(const struct sa *addr);
bool registrar_lookup(struct registrar *registrar, const struct pl *username,
		      struct registrar_device *ret);
/* Return: 0 with *ret_device, REGISTRAR_E_ANSWERED, or REGISTRAR_E_STRANGER. `name`: who it says it is. */
must_check int registrar_verify(struct registrar *registrar, const struct inmsg *in,
				const struct pl *name, bool proxy,
				struct registrar_device *ret_device);
