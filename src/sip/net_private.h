/* sip/net_private.h - the real wire's inside: wire_net.c, stream.c, tls.c */
#pragma once

#include <openssl/ssl.h>

#include "base/poller.h"
#include "sip/flow_private.h"

#define NET_MAX_LISTENERS 16u

struct net;

struct listener {
	struct net *net;
	enum sip_transp transport;
	struct sa addr; /* as bound */
	int fd;
	struct timer pause; /* no descriptors left: try again later */
};

struct source { /* how many streams came from an address */
	struct hnode node;
	struct sa addr;
	unsigned count;
};

struct net {
	struct wire *wire;
	struct wheel *wheel;
	struct listener listeners[NET_MAX_LISTENERS];
	unsigned listener_count;
	char *public_addr, *cert_file, *key_file, *data_dir, *ca_file;
	SSL_CTX *tls_client, *tls_server;
	struct hmap sources;
	unsigned stream_count;
};

/* The listener whose socket or address is right for talking to `remote`, or NULL. */
struct listener *net_listener_for(struct net *net, enum sip_transp transport,
				  const struct sa *remote, const struct sa *local);
/* What new requests for us are sent to, seen from `remote`. */
void net_sent_by(const struct net *net, enum sip_transp transport, const struct sa *local,
		 const struct sa *remote, char *buf, size_t size);

/* ---- stream.c ---- */

int stream_open(struct net *net, const struct target *target, struct flow **ret_flow);
void stream_accept(struct listener *listener);
void net_sources_free(struct net *net);

/* ---- tls.c ---- */

/* Return: 0, or negative; named in the log. Both NULL before. */
must_check int tls_contexts_make(struct net *net, SSL_CTX **ret_client, SSL_CTX **ret_server);
/* NULL when out of memory. */
SSL *tls_accept_new(struct net *net, int fd);
/* `host`: a name or an address that the peer must prove; NULL: any. */
SSL *tls_connect_new(struct net *net, int fd, const char *host);
/* What went wrong, for people: "certificate: hostname mismatch". */
void tls_explain(const SSL *ssl, char *buf, size_t size);
