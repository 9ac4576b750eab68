/* sip/wire_sim.h - a network in memory, under a virtual clock, for tests and fuzzing
 *
 * A net joins wires; each wire has one address (all transports on it). A datagram takes the delay
 * of the net and may be lost, doubled or overtaken, by a seeded generator; streams keep order and
 * lose nothing, but can be cut. A raw endpoint is an address without a wire: the test reads and
 * writes its messages as text.
 */
#pragma once

#include "sip/wire.h"

struct sim_net;

struct sim_net *sim_net_new(struct wheel *wheel, uint32_t seed);
struct sim_net *sim_net_free(struct sim_net *net); /* after its wires */
DEFINE_CLEANUP(struct sim_net *, sim_net_free)

struct sim_weather {
	unsigned delay_ms;	/* one way; default 1 */
	unsigned jitter_ms;	/* 0..jitter more, each by itself: reordering (UDP) */
	unsigned loss_percent;	/* UDP */
	unsigned twice_percent; /* UDP: delivered twice */
};
void sim_net_weather(struct sim_net *net, const struct sim_weather *weather);

struct wire *wire_sim_new(struct sim_net *net, const char *addr_port,
			  const struct wire_limits *limits);

/* A raw endpoint at an address. */
typedef void sim_raw_fn(enum sip_transp transport, const struct sa *from, const char *text,
			size_t len, void *arg);
void sim_raw_bind(struct sim_net *net, const char *addr_port, sim_raw_fn *fn, void *arg);
/* From a raw endpoint (its address need not be bound) to anyone. Streams: a connection for each
 * pair of addresses and transport, made by the first send in either direction.
 */
void sim_raw_send(struct sim_net *net, enum sip_transp transport, const char *from, const char *to,
		  const void *data, size_t len);

/* A hole: datagrams to that address vanish, connects to it fail by timeout. */
void sim_net_silence(struct sim_net *net, const char *addr_port, bool silent);
/* Nobody listens: connects are refused, datagrams bounce (flow_bounced()). */
void sim_net_refuse(struct sim_net *net, const char *addr_port, bool refuse);
/* Cuts every stream to or from that address; both sides learn of it. */
void sim_net_cut(struct sim_net *net, const char *addr_port);
/* Every message once when it is put on the net, lost or not. */
void sim_net_tap(struct sim_net *net,
		 void (*fn)(enum sip_transp transport, const struct sa *from, const struct sa *to,
			    const char *text, size_t len, void *arg),
		 void *arg);
