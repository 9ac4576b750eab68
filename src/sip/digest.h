/* sip/digest.h - digest authentication, both sides (RFC 3261 section 22, RFC 7616, RFC 8760)
 *
 * Client: the credentials belong to an account; what was learnt from challenges lives in a jar. A registration
 * keeps one jar for ever and each call keeps one of its own, so that a nonce is reused with a rising count
 * inside its own sequence of requests and nowhere else. One request that is challenged and tried again is a
 * round.
 *
 * Server: nonces hold their own time and proof (HMAC), so that a flood of requests without credentials leaves no
 * state behind; only nonces that were answered correctly take a slot of a fixed table, which catches replays.
 *
 * One thread. Nothing here logs; secrets are wiped before their memory is freed.
 */
#pragma once

#include "base/base.h"
#include "base/wheel.h"

#include <re/re.h>

enum digest_alg {
	DIGEST_MD5,
	DIGEST_MD5_SESS,
	DIGEST_SHA256,
	DIGEST_SHA256_SESS,
	DIGEST_SHA512_256,
	DIGEST_SHA512_256_SESS,
	DIGEST_ALGS,
};

enum digest_qop { DIGEST_QOP_NONE, DIGEST_QOP_AUTH, DIGEST_QOP_AUTH_INT };

#define DIGEST_HEX_SIZE 65 /* the longest hash in hexadecimal, and the NUL */
#define DIGEST_REALMS 4	   /* realms one jar answers at once */
#define DIGEST_REQUESTS                                                                            \
	3	       /* sent for one request before we call it refused; stale ones do not count */
#define DIGEST_STALE 2 /* nonces called stale that are replaced silently within one request */
#define DIGEST_VALUE_MAX 1024 /* longest realm, nonce or opaque that is taken */
#define DIGEST_CHALLENGES 16  /* challenges of one response that are looked at */

/* ---- the arithmetic ---- */

struct digest_input {
	enum digest_alg alg;
	enum digest_qop qop;
	struct pl username, realm, nonce, cnonce, nc; /* as printed, without quotes */
	struct pl secret;			      /* plain */
	const char *ha1; /* hex, instead of the secret: H(user:realm:secret) */
	struct pl method, uri;
	const void *body; /* auth-int */
	size_t body_len;
};

/* The response directive (RFC 7616 3.4.1). */
void digest_compute(const struct digest_input *in, char ret_hex[static DIGEST_HEX_SIZE]);
/* H(user:realm:secret), what a server may keep instead of the secret. */
void digest_ha1(enum digest_alg alg, struct pl username, struct pl realm, struct pl secret,
		char ret_hex[static DIGEST_HEX_SIZE]);
/* Return: the algorithm's token, "SHA-256". */
const char *digest_alg_name(enum digest_alg alg);

/* Directives of one challenge or one credentials header; values without quotes, escapes left as they came. */
struct digest_params {
	struct pl scheme;
	struct pl realm, nonce, opaque, algorithm, qop, stale;
	struct pl username, uri, response, cnonce, nc;
};

/* Reads the next `scheme directive=value, ...` of a header value that may hold several, and moves `cursor` behind it.
 * Return: false at the end, or when what follows is not understandable.
 */
must_check bool digest_params_read(struct pl *cursor, struct digest_params *ret);

/* ---- client ---- */

struct digest_creds {
	char *username;
	char *secret;
	char *secret_old; /* tried once when the new one is refused, after an edit; or NULL */
};

void digest_creds_set(struct digest_creds *creds, const char *username, const char *secret);
/* Changes the secret (and perhaps the name); the present one becomes the old one. */
void digest_creds_change(struct digest_creds *creds, const char *username, const char *secret);
void digest_creds_fini(struct digest_creds *creds);

struct digest_jar;

struct digest_jar *digest_jar_new(void);
struct digest_jar *digest_jar_free(struct digest_jar *jar);
DEFINE_CLEANUP(struct digest_jar *, digest_jar_free)
/* Forgets every nonce (the credentials or the server changed). */
void digest_jar_clear(struct digest_jar *jar);

/* One request and its retries: zero it before the first is sent. */
struct digest_round {
	uint8_t requests; /* that were challenged */
	uint8_t stale;
	uint8_t answered; /* bits: realms whose own challenge this round has answered */
	uint8_t old;	  /* bits: realms that now get the old secret */
};

enum {
	DIGEST_E_UNSUPPORTED = 1, /* no challenge that we can answer */
	DIGEST_E_REFUSED, /* the credentials were answered with another challenge: they are wrong */
	DIGEST_E_LOOP,	  /* nonces go stale again and again */
};

/* Takes in the challenges of a 401 or 407. For each realm the topmost one whose algorithm we know counts.
 * Return: 0 when the request should be signed and sent again, or DIGEST_E_*.
 */
must_check int digest_jar_challenged(struct digest_jar *jar, const struct digest_creds *creds,
				     struct digest_round *round, const struct sip_msg *response);

struct digest_request {
	const char *method;
	const char *uri; /* as in the request line */
	const void *body;
	size_t body_len;
	const char
		*realm; /* answer only this one, when the account is pinned to a realm; or NULL */
};

/* Adds an Authorization or Proxy-Authorization line for every realm in the jar; nothing when it is empty. */
void digest_jar_sign(struct digest_jar *jar, const struct digest_creds *creds,
		     const struct digest_round *round, const struct digest_request *request,
		     struct buf *out);

/* ---- server ---- */

struct digest_server;

struct digest_server *digest_server_new(struct wheel *wheel);
struct digest_server *digest_server_free(struct digest_server *server);
DEFINE_CLEANUP(struct digest_server *, digest_server_free)

enum digest_offer {
	DIGEST_OFFER_BOTH, /* SHA-256, then MD5 (RFC 8760 2.3) */
	DIGEST_OFFER_MD5,  /* for phones that give up when they see an algorithm they do not know */
};

/* Adds WWW-Authenticate (or Proxy-Authenticate) lines with a new nonce. */
void digest_server_challenge(struct digest_server *server, const char *realm, bool proxy,
			     bool stale, enum digest_offer offer, struct buf *out);

/* What a request presented for our realm; slices into the message. */
struct digest_claim {
	struct digest_params params;
	enum digest_alg alg;
	enum digest_qop qop;
	uint32_t nc;
};

struct digest_secret {
	const char *plain;   /* either this ... */
	const char *ha1_md5; /* ... or these, hexadecimal; NULL: that algorithm is refused */
	const char *ha1_sha256;
};

enum {
	DIGEST_E_MISSING = 1, /* no credentials for this realm */
	DIGEST_E_MALFORMED,
	DIGEST_E_STALE, /* the proof was right but the nonce is too old or was used before: challenge with stale=true */
	DIGEST_E_WRONG, /* no such secret, or a nonce that we never gave */
};

/* Finds the credentials for `realm`, so that the caller can look the username up. */
must_check int digest_server_read(const struct sip_msg *request, const char *realm, bool proxy,
				  struct digest_claim *ret);
/* Compares in constant time; an unknown user is checked against a secret that cannot match (give NULL), so that
 * names cannot be found out by timing.
 */
must_check int digest_server_check(struct digest_server *server, const struct sip_msg *request,
				   const struct digest_claim *claim,
				   const struct digest_secret *secret);
