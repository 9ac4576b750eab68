/* sip/wire.h - where flows come from: the network, or a fake one under a virtual clock
 *
 * wire_net_new() is the real one (sockets in the thread's poller), wire_sim_new() (sip/wire_sim.h) carries
 * messages between named endpoints in one process with loss, delay, duplication and reordering.
 */
#pragma once

#include "base/wheel.h"
#include "sip/flow.h"

enum {
	WIRE_E_UNREACHABLE =
		1,   /* no such transport or address family here, or the system refused at once */
	WIRE_E_FULL, /* connection bounds */
};

/* Where a request goes: what the resolver finds and the wire opens. */
struct target {
	enum sip_transp transport;
	struct sa addr;
	/* TLS: the name for SNI and to be verified (RFC 5922); "": the address itself */
	char host[256];
	bool unverified; /* TLS: take any certificate (a profile's explicit wish) */
};

/* As much of a target as tells it from the others of its name. */
struct way {
	enum sip_transp transport;
	struct sa addr;
};

struct wire *wire_free(struct wire *wire); /* closes every flow; watches fire first */
DEFINE_CLEANUP(struct wire *, wire_free)

/* The flow to a target: one that is open or opening, else a new one. Return: 0 with a reference in
 * *ret_flow, or WIRE_E_*. `from`, when not NULL, names the flow whose local socket is to be used
 * (responses, UDP).
 */
must_check int wire_open(struct wire *wire, const struct target *target, const struct flow *from,
			 struct flow **ret_flow);
/* Does the wire carry this transport (and family) at all? */
bool wire_has(const struct wire *wire, enum sip_transp transport, int af);
/* The flow with that id while it is open, without a new reference, or NULL. */
struct flow *wire_flow_by_id(const struct wire *wire, uint64_t id);
struct wheel *wire_wheel(const struct wire *wire);
size_t wire_flow_count(const struct wire *wire);
/* Is this one of our own listening addresses? (loops, requests to ourselves) */
bool wire_is_own(const struct wire *wire, const struct sa *addr);

/* The one receiver: the stack. Called for every message that passed the flood guard and the
 * framing.
 */
typedef void wire_receive_fn(struct flow *flow, struct mbuf *mb, void *arg);
void wire_set_receiver(struct wire *wire, wire_receive_fn *fn, void *arg);
/* Sees every message, after it was sent or before it is handled; for a trace. NULL: none. */
typedef void wire_trace_fn(const struct flow *flow, bool sent, const uint8_t *data, size_t len,
			   void *arg);
void wire_set_trace(struct wire *wire, wire_trace_fn *fn, void *arg);

/* The flood guard: a token bucket for each source address (IPv6: /64) before anything is parsed, in
 * a table of fixed size. Trusted addresses (registered devices, providers as resolved) never meet
 * it. Counted: as many wire_untrust() as wire_trust(). Ports do not matter.
 */
void wire_trust(struct wire *wire, const struct sa *addr);
void wire_untrust(struct wire *wire, const struct sa *addr);
bool wire_is_trusted(const struct wire *wire, const struct sa *addr);
/* A source misbehaved beyond one message (wrong password, 400): takes `cost` messages out of its
 * bucket.
 */
void wire_penalize(struct wire *wire, const struct sa *addr, unsigned cost);

struct wire_limits { /* 0: the default */
	/* messages a second and at once from a source that is not trusted: 20, 60 */
	unsigned rate, burst;
	unsigned connections; /* streams at once: 20000 */
	unsigned per_source;  /* inbound streams at once from an untrusted source: 32 */
	unsigned idle_s;      /* an inbound stream nobody refers to and nothing comes from: 300 */
	unsigned first_message_s; /* an inbound stream must have sent a whole message by then: 10 */
	unsigned write_queue;	  /* bytes that wait for a peer that does not read: 256 KiB */
	unsigned connect_s;	  /* connect and TLS handshake: 10 */
};

/* ---- the real one ---- */

struct wire_listen {
	enum sip_transp transport; /* UDP, TCP, TLS */
	struct sa addr;
};

struct wire_net_setup {
	struct wheel *wheel;
	const struct wire_listen *listens;
	unsigned listen_count;
	const char *public_addr; /* for Via and Contact instead of the local address; NULL: none */
	/* PEM files of the server's certificate chain and key; NULL: a self-signed P-256 one in
	 * `data_dir`/sip.pem, made (mode 0600) when it is not there.
	 */
	const char *cert_file, *key_file;
	const char *data_dir;
	const char *ca_file; /* trusted as well as the system's (SSL_CERT_FILE); NULL: none */
	struct wire_limits limits;
};

/* Return: 0, or negative (address in use, unreadable certificate, ...; named in the log). */
must_check int wire_net_new(const struct wire_net_setup *setup, struct wire **ret_wire);
/* Reads the certificate again (SIGHUP); connections stay. On failure the old one stays. */
must_check int wire_net_reload_tls(struct wire *wire);
/* The address a listener really has (port 0 in the setup). Return: false without such a listener.
 */
bool wire_net_bound(const struct wire *wire, enum sip_transp transport, struct sa *ret_addr);
