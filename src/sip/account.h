/* sip/account.h - whose calls these are: one SIP account at one provider
 *
 * What a registration and the calls of a profile share: the address of record, the credentials, the way out
 * (server, proxy, Service-Route), the Contact. Reference counted, since calls outlive the edit and the deletion of
 * their profile; belongs to the call loop. Values are checked when it is made, so that nothing foreign reaches a
 * header line later.
 */
#pragma once

#include "sip/digest.h"
#include "sip/stack.h"

#define ACCOUNT_LINE_SIZE 25 /* the line token: 24 characters and the NUL */
#define ACCOUNT_ROUTES 8     /* Service-Route entries that are kept */

struct account_setup {
	struct id id;		       /* the profile's */
	const char *username, *server; /* the AOR: sip:username@server */
	uint16_t port;		       /* 0: by RFC 3263 */
	enum sip_transp transport;     /* UDP, TCP, TLS; NONE: by RFC 3263 */
	const char *auth_username;     /* NULL or "": username */
	const char *password;	       /* NULL or "": none */
	const char *realm;	       /* answer only this realm; NULL: any */
	const char *outbound_proxy;    /* "host", "host:port" or a sip: URI; NULL: none */
	const char *from_domain;       /* NULL: server */
	bool unverified;	       /* TLS: take any certificate */
	bool registers;		       /* false: a trunk, known by its addresses */
	unsigned expires;	       /* asked for; 0: 3600 */
};

enum {
	ACCOUNT_E_USERNAME = 1, /* empty, too long, or characters that cannot be in a URI */
	ACCOUNT_E_SERVER,	/* not a host name or address */
	ACCOUNT_E_PROXY,
	ACCOUNT_E_TEXT, /* control characters elsewhere */
};

struct account {
	unsigned refs;
	struct id id;
	char *username, *server, *from_domain, *realm;
	char *route; /* the proxy's Route value "<sip:proxy;lr>", or NULL */
	uint16_t port;
	enum sip_transp transport;
	bool unverified, registers;
	unsigned expires;
	struct digest_creds creds;
	char line
		[ACCOUNT_LINE_SIZE]; /* the Contact's user, so that an INVITE finds its profile: no guessing it, the same after a restart */
	/* What the registration learnt. */
	char *service_route[ACCOUNT_ROUTES];
	unsigned service_routes;
	char *public_hostport; /* our address as the registrar saw it (received, rport), or NULL */
	enum sip_transp public_transport;
	struct way sticky; /* the registrar's address that accepted */
	bool has_sticky;
};

/* Return: 0 with *ret_account, one reference, or ACCOUNT_E_*. */
must_check int account_new(const struct account_setup *setup, struct account **ret_account);
struct account *account_ref(struct account *account);
struct account *account_unref(struct account *account);
DEFINE_CLEANUP(struct account *, account_unref)

/* "sip:user@domain", the AOR, and "sip:server[:port][;transport=]", what REGISTER is addressed to. */
void account_aor(const struct account *account, struct buf *out);
void account_registrar_uri(const struct account *account, struct buf *out);
/* Where a dialled string leads: a number becomes sip:number@server, "sip:..." and "user@host" stay what they are. */
must_check bool account_dial_uri(const struct account *account, const char *dialled,
				 struct buf *out);
/* "sip:line@address;transport=tcp" for messages on that flow. */
void account_contact_uri(const struct account *account, const struct flow *flow, struct buf *out);
/* Adds Route lines: the outbound proxy, behind it the Service-Route; none without either. */
void account_routes(const struct account *account, struct outmsg *msg, bool with_service_route);
/* The next hop when there is no Route: server, port and transport of the account. false: bad (cannot be, once made). */
must_check bool account_hop(const struct account *account, bool with_service_route,
			    struct hop *ret_hop);
/* The same of its server, whatever proxy is before it. */
must_check bool account_server_hop(const struct account *account, struct hop *ret_hop);
/* A SIP URI's host:port is the account's own domain: where a 3xx may lead. */
bool account_owns_host(const struct account *account, const struct pl *host);
