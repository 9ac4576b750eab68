/* sip/flow_private.h - a flow's inside, for flow.c, frame.c and wire.c */
#pragma once

#include "sip/private.h"

struct flow {
	unsigned refs;
	enum { FLOW_OPENING, FLOW_OPEN, FLOW_CLOSED } state;
	uint64_t id;
	struct wire *wire;
	const struct flow_ops *ops;
	void *impl;
	enum sip_transp transport;
	bool inbound, listed;
	bool ping_out; /* a pong is awaited */
	bool ponged;   /* the peer answers pings: it must go on doing so */
	int errnum;
	unsigned bounces;
	uint64_t bounced_ms;
	unsigned keepalive_s;	  /* the shortest that a watch asked for */
	unsigned keepalive_users; /* watches that asked for just that */
	struct sa local, remote;
	char sent_by[64];
	char *host, *why;
	struct hnode id_node, remote_node;
	struct flow_watch *watches;
	struct flow_watch *bounce_next; /* to be told of a bounce under way */
	struct timer keepalive, pong, farewell;
	struct mbuf *held; /* until the stream is connected */

	/* the part of a message that has come so far (frame.c) */
	uint8_t *rx;
	size_t rx_len, rx_cap;
	size_t rx_seen;	   /* searched for the end of the headers up to here */
	size_t rx_message; /* whole length once the headers are complete, else 0 */
	bool rx_last;	   /* the stream cannot be followed beyond this message */
	bool rx_any;	   /* a whole message has come */
};

struct flow *wire_stream_to(const struct wire *wire, const struct target *target);
void flow_ponged(struct flow *flow);
void flow_pinged(struct flow *flow);
/* Fires the watches now (the wire goes away and no timer will). */
void flow_say_farewell(struct flow *flow);
