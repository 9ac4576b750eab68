/* tests/unit/sip/kit.h - a stack on a net in memory, and a peer that a test plays by hand
 *
 * Ours is 10.0.0.1:5060, the peer 10.0.0.2:5060. Time stands still but for kit_run(). Texts are
 * written with plain newlines.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sip/stack.h"
#include "sip/wire_sim.h"

#define KIT_OURS "10.0.0.1:5060"
#define KIT_PEER "10.0.0.2:5060"
#define KIT_SEEN 512

struct kit_seen {
	uint64_t at_ms; /* since kit_open() */
	enum sip_transp transport;
	struct sa from;
	char *text;
};

struct kit {
	struct wheel *wheel;
	struct sim_net *net;
	struct wire *wire;
	struct resolver *resolver;
	struct stack *stack;
	uint64_t start_ms;
	struct kit_seen seen[KIT_SEEN];
	unsigned seen_count;

	/* what came up */
	unsigned responses, ended, cancels, failed, requests, acks, strays;
	uint16_t last_code;
	enum trans_end end;
	enum request_failure failure;
	uint64_t end_at_ms;
	struct strans *st;
	struct request *req;
	char last_method[32];
};

void kit_open(struct kit *kit);
void kit_close(struct kit *kit);
void kit_run(struct kit *kit, uint64_t ms);
uint64_t kit_now(const struct kit *kit);
/* The peer says this. `%` sequences are printf's. */
void kit_say(struct kit *kit, enum sip_transp transport, const char *fmt, ...) format_printf(3, 4);
void kit_say_from(struct kit *kit, enum sip_transp transport, const char *from, const char *fmt,
		  ...) format_printf(4, 5);
/* The n-th message the peer got, or fails. */
const char *kit_heard(const struct kit *kit, unsigned n);
const char *kit_last(const struct kit *kit);
/* The messages the peer got came at these times, no others; ends with UINT64_MAX. */
void kit_assert_times(const struct kit *kit, const uint64_t *times);
#define kit_times(kit, ...) kit_assert_times((kit), (const uint64_t[]){ __VA_ARGS__, UINT64_MAX })
void kit_forget(struct kit *kit);
/* A header's value in a text; empty when missing. Valid till the next call but seven. */
const char *kit_header(const char *text, const char *name);
/* A response to the request with that text, with Via, From, To (tagged), Call-ID and CSeq of it. */
void kit_respond(struct kit *kit, enum sip_transp transport, const char *request, unsigned code,
		 const char *to_tag);
