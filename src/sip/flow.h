/* sip/flow.h - one path to a peer, as an object
 *
 * UDP: a local socket and a remote address. TCP, TLS: a connection. WebSocket: a connection that
 * somebody else frames. Requests that must reach a peer behind NAT are sent on the flow that the
 * peer opened (RFC 5626), so registrations and dialogs hold a reference to their flow and watch it.
 *
 * Belongs to the call loop, with everything else in sip/. A flow is reference counted; a flow that
 * has closed stays a valid object that refuses to send until its last reference goes. Streams live
 * as long as they are connected; a UDP flow that nobody refers to is forgotten.
 */
#pragma once

#include "base/base.h"

#include <re/re.h>

/* Largest message that is sent or taken, and largest header block. A peer's larger one closes its
 * stream.
 */
#define FLOW_MAX_MESSAGE 65536
#define FLOW_MAX_HEADERS 32768

enum {
	FLOW_E_CLOSED = 1, /* it is closed or closing */
	FLOW_E_FULL,	   /* its write queue is at its bound: the peer does not read */
	FLOW_E_TOO_LARGE,  /* beyond what the transport carries (UDP: 65507 bytes) */
};

struct flow;
struct flow_watch;
struct wire;

struct flow *flow_ref(struct flow *flow);
struct flow *flow_unref(struct flow *flow); /* Return: NULL; NULL in is fine */
DEFINE_CLEANUP(struct flow *, flow_unref)

/* Sends pos..end of mb, which is left as it was; the bytes are copied if they have to wait. On a
 * stream that is still connecting they wait. Return: 0 (which promises nothing), FLOW_E_*, or
 * negative: the network refused at once (ECONNREFUSED, ENETUNREACH, ...).
 */
must_check int flow_send(struct flow *flow, const struct mbuf *mb);

uint64_t flow_id(const struct flow *flow); /* never used twice in a process; 0 is no flow */
enum sip_transp flow_transport(const struct flow *flow);
bool flow_is_stream(const struct flow *flow);  /* reliable: no retransmission (RFC 3261 17) */
bool flow_is_secure(const struct flow *flow);  /* TLS, WSS */
bool flow_is_open(const struct flow *flow);    /* neither closed nor still connecting */
bool flow_is_inbound(const struct flow *flow); /* the peer connected to us (streams) */
const struct sa *flow_local(
	const struct flow *flow); /* as the peer would see it without NAT; port: the socket's */
const struct sa *flow_remote(const struct flow *flow);
/* "192.0.2.1:5060", "[2001:db8::1]:5061": where new requests for us may be sent on this transport:
 * the listener's port, the configured public address if there is one. For Via and Contact.
 */
const char *flow_sent_by(const struct flow *flow);
/* Why it closed, for people: "Connection refused", "certificate: hostname mismatch"; "" when nobody
 * knows.
 */
const char *flow_why(const struct flow *flow);
const char *flow_via_token(const struct flow *flow); /* "UDP", "TCP", "TLS", "WS", "WSS" */
const char *flow_uri_param(const struct flow *flow); /* ";transport=tcp", or "" for UDP */

/* Closes a stream for all its users (their watches fire from the loop, not from in here). UDP:
 * forgets it.
 */
void flow_close(struct flow *flow);

/* A user that wants to know when the flow dies, embedded in the user. Fires once, after which it is
 * off. `errnum` is a positive errno or 0 (closed in order). Whoever watches holds a reference of
 * its own.
 */
struct flow_watch {
	struct flow_watch *next, **pprev;
	struct flow *flow;
	void (*on_closed)(struct flow_watch *watch, int errnum, void *arg);
	void *arg;
	unsigned keepalive_s;
	/* A datagram of ours was refused on its way (ICMP); the flow lives on. May be set after the start;
	 * anybody can forge these, so nothing that lasts may hang on them.
	 */
	void (*on_bounced)(struct flow_watch *watch, int errnum, void *arg);
	unsigned bounce; /* the last it was told of */
};

/* `keepalive_s` > 0 keeps the path alive at least so often: CRLF CRLF on UDP, the ping of RFC 5626
 * 4.4.1 on streams. A stream whose peer has answered a ping once must answer each within 10 s or is
 * closed with ETIMEDOUT; one that never answers is left to TCP's own timeouts (the peer does not
 * know RFC 5626).
 */
void flow_watch_start(struct flow_watch *watch, struct flow *flow, unsigned keepalive_s,
		      void (*on_closed)(struct flow_watch *watch, int errnum, void *arg),
		      void *arg);
void flow_watch_stop(struct flow_watch *watch); /* a stopped or zeroed one is fine */

/* ---- for who implements a transport (wire_net.c, wire_sim.c, later WebSocket) ---- */

struct flow_ops {
	/* As flow_send(); `flow` is open. */
	int (*send)(struct flow *flow, const struct mbuf *mb);
	/* Close the descriptor. Called once, by the first of flow_close() and flow_gone(). */
	void (*close)(struct flow *flow);
	void (*free)(struct flow *flow); /* the last reference went: free impl */
};

struct flow_setup {
	const struct flow_ops *ops;
	void *impl;
	enum sip_transp transport;
	struct sa local, remote;
	const char *sent_by; /* copied */
	const char *host;    /* the name that was verified (outbound TLS), or NULL; copied */
	bool inbound;
	bool connecting; /* flow_opened() will follow; sends are held until then */
};

/* Return: a flow with one reference, the caller's, that the wire's table knows. */
struct flow *flow_new(struct wire *wire, const struct flow_setup *setup);
void *flow_impl(const struct flow *flow);
struct wire *flow_wire(const struct flow *flow);
const char *flow_host(const struct flow *flow); /* NULL or the name it was opened for */
/* A connecting stream is up: sends what was held. `local` is now known. */
void flow_opened(struct flow *flow, const struct sa *local);
/* To be told by flow_why(); copied. Before flow_gone(). */
void flow_explain(struct flow *flow, const char *why);
/* The transport found it dead. */
void flow_gone(struct flow *flow, int errnum);
/* UDP: the network says that nothing can be delivered there. */
void flow_bounced(struct flow *flow, int errnum);
/* A whole message arrived (streams: framed). Takes over no reference. */
void flow_receive(struct flow *flow, struct mbuf *mb);
/* Bytes of a stream: frames them by Content-Length (RFC 3261 18.3), answers pings, calls
 * flow_receive() for each message. Return: false when the stream is beyond repair (bounds, no
 * Content-Length): it is closing.
 */
bool flow_feed(struct flow *flow, const uint8_t *data, size_t len);
