/* The server's side. A nonce is hex of: 8 bytes of time, 8 random bytes, 16 bytes of an HMAC over both and the realm.
 * The table of answered nonces is direct-mapped: two live nonces that fall on one slot push each other out, and
 * the loser is asked again with stale=true, which costs it one round trip and nothing else.
 */
#include "sip/digest.h"

#include "sip/msg.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>

#define NONCE_LIFE_MS (300 * 1000)
#define NONCE_BYTES 32
#define NONCE_HEX (2 * NONCE_BYTES)
#define SEEN_SLOTS 16384

struct seen {
	uint64_t nonce;	 /* its random bytes */
	uint32_t top;	 /* the highest nc that was taken */
	uint32_t window; /* bit n: top-n was taken. Requests over UDP overtake each other */
};

struct digest_server {
	struct wheel *wheel;
	uint8_t key[32];
	struct seen *seen;
};

struct digest_server *digest_server_new(struct wheel *wheel)
{
	struct digest_server *server = xzalloc(sizeof(*server));

	server->wheel = wheel;
	server->seen = xzalloc_array(SEEN_SLOTS, sizeof(*server->seen));
	bug_on(RAND_bytes(server->key, sizeof(server->key)) != 1);
	return server;
}

struct digest_server *digest_server_free(struct digest_server *server)
{
	if (!server)
		return NULL;
	OPENSSL_cleanse(server->key, sizeof(server->key));
	free(server->seen);
	free(server);
	return NULL;
}

static void nonce_proof(const struct digest_server *server, const uint8_t head[16], struct pl realm,
			uint8_t ret_proof[16])
{
	auto_(buf_fini) struct buf text = BUF_MAX(16 + DIGEST_VALUE_MAX);
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len;

	buf_add(&text, head, 16);
	buf_add(&text, realm.p, realm.l);
	bug_on(!HMAC(EVP_sha256(), server->key, sizeof(server->key), (unsigned char *)text.data,
		     text.len, sum, &len));
	memcpy(ret_proof, sum, 16);
}

static void nonce_make(struct digest_server *server, const char *realm,
		       char ret_hex[static NONCE_HEX + 1])
{
	uint64_t now = wheel_now_ms(server->wheel);
	uint8_t nonce[NONCE_BYTES];

	memcpy(nonce, &now, sizeof(now));
	bug_on(RAND_bytes(nonce + 8, 8) != 1);
	nonce_proof(server, nonce, (struct pl){ .p = realm, .l = strlen(realm) }, nonce + 16);
	for (unsigned i = 0; i < NONCE_BYTES; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", nonce[i]);
}

void digest_server_challenge(struct digest_server *server, const char *realm, bool proxy,
			     bool stale, enum digest_offer offer, struct buf *out)
{
	static const enum digest_alg order[] = { DIGEST_SHA256, DIGEST_MD5 };
	char nonce[NONCE_HEX + 1];

	nonce_make(server, realm, nonce);
	for (unsigned i = offer == DIGEST_OFFER_MD5 ? 1 : 0; i < ARRAY_LEN(order); i++)
		buf_addf(out,
			 "%s: Digest realm=\"%s\", nonce=\"%s\", algorithm=%s, qop=\"auth\"%s\r\n",
			 proxy ? "Proxy-Authenticate" : "WWW-Authenticate", realm, nonce,
			 digest_alg_name(order[i]), stale ? ", stale=true" : "");
}

/* ---- checking ---- */

struct claim_scan {
	const char *realm;
	struct digest_claim *claim;
	bool found;
};

static bool claim_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct claim_scan *scan = arg;
	struct pl cursor = hdr->val;
	struct digest_params params;

	(void)msg;
	if (!digest_params_read(&cursor, &params) || pl_strcasecmp(&params.scheme, "Digest") ||
	    pl_strcmp(&params.realm, scan->realm))
		return false;
	scan->claim->params = params;
	scan->found = true;
	return true;
}

static bool claim_finish(struct digest_claim *claim)
{
	const struct digest_params *params = &claim->params;

	if (!pl_isset(&params->algorithm) || !pl_strcasecmp(&params->algorithm, "MD5"))
		claim->alg = DIGEST_MD5;
	else if (!pl_strcasecmp(&params->algorithm, "SHA-256"))
		claim->alg = DIGEST_SHA256;
	else
		return false;
	/* We always offer qop, so an answer without it is a downgrade, except from RFC 2069 phones using MD5. */
	if (!params->qop.p)
		claim->qop = DIGEST_QOP_NONE;
	else if (!pl_strcasecmp(&params->qop, "auth"))
		claim->qop = DIGEST_QOP_AUTH;
	else
		return false;
	if (claim->qop == DIGEST_QOP_AUTH) {
		if (params->nc.l != 8 || !pl_isset(&params->cnonce))
			return false;
		claim->nc = pl_x32(&params->nc);
	} else {
		claim->nc = 1;
	}
	return params->nonce.p && params->uri.p && params->username.p &&
	       pl_isset(&params->response) && claim->nc;
}

int digest_server_read(const struct sip_msg *request, const char *realm, bool proxy,
		       struct digest_claim *ret)
{
	struct digest_claim claim = { 0 };
	struct claim_scan scan = { .realm = realm, .claim = &claim };

	(void)inmsg_each(request, true, proxy ? SIP_HDR_PROXY_AUTHORIZATION : SIP_HDR_AUTHORIZATION,
			 claim_header, &scan);
	if (!scan.found)
		return DIGEST_E_MISSING;
	if (!claim_finish(&claim))
		return DIGEST_E_MALFORMED;
	*ret = claim;
	return 0;
}

static bool response_matches(const struct sip_msg *request, const struct digest_claim *claim,
			     const struct digest_secret *secret)
{
	/* An unknown user costs the same time as a known one. */
	static const struct digest_secret nobody = { .plain = "" };
	const struct digest_params *params = &claim->params;
	char expected[DIGEST_HEX_SIZE];
	const struct digest_secret *use = secret ? secret : &nobody;
	const char *ha1 = claim->alg == DIGEST_MD5 ? use->ha1_md5 : use->ha1_sha256;
	struct digest_input in = {
		.alg = claim->alg,
		.qop = claim->qop,
		.username = params->username,
		.realm = params->realm,
		.nonce = params->nonce,
		.cnonce = params->cnonce,
		.nc = params->nc,
		.method = request->met,
		.uri = params->uri,
		.ha1 = ha1,
	};

	if (use->plain)
		pl_set_str(&in.secret, use->plain);
	else if (!ha1)
		return false;
	digest_compute(&in, expected);
	return secret && params->response.l == strlen(expected) &&
	       CRYPTO_memcmp(expected, params->response.p, params->response.l) == 0;
}

/* Return: 0 ours and fresh, DIGEST_E_STALE ours but old, DIGEST_E_WRONG never ours. */
static int nonce_check(const struct digest_server *server, const struct digest_params *params,
		       uint64_t *ret_key)
{
	uint8_t nonce[NONCE_BYTES], proof[16];
	uint64_t now = wheel_now_ms(server->wheel), made;

	if (params->nonce.l != NONCE_HEX)
		return DIGEST_E_WRONG;
	for (unsigned i = 0; i < NONCE_BYTES; i++) {
		struct pl pair = { .p = params->nonce.p + 2 * i, .l = 2 };

		if (!strchr("0123456789abcdef", pair.p[0]) ||
		    !strchr("0123456789abcdef", pair.p[1]))
			return DIGEST_E_WRONG;
		nonce[i] = (uint8_t)pl_x32(&pair);
	}
	nonce_proof(server, nonce, params->realm, proof);
	if (CRYPTO_memcmp(proof, nonce + 16, sizeof(proof)) != 0)
		return DIGEST_E_WRONG;
	memcpy(&made, nonce, sizeof(made));
	if (now - made > NONCE_LIFE_MS)
		return DIGEST_E_STALE;
	memcpy(ret_key, nonce + 8, sizeof(*ret_key));
	return 0;
}

/* Return: true when this nonce and count were not used before. */
static bool seen_take(struct digest_server *server, uint64_t key, uint32_t nc)
{
	struct seen *seen = &server->seen[key % SEEN_SLOTS];
	uint32_t back;

	if (seen->nonce != key) {
		if (nc != 1)
			return false; /* its history was pushed out: a new nonce costs one round trip */
		*seen = (struct seen){ .nonce = key, .top = 1, .window = 1 };
		return true;
	}
	if (nc > seen->top) {
		uint32_t step = nc - seen->top;

		seen->window = step >= 32 ? 1 : (seen->window << step) | 1;
		seen->top = nc;
		return true;
	}
	back = seen->top - nc;
	if (back >= 32 || (seen->window & (1u << back)))
		return false;
	seen->window |= 1u << back;
	return true;
}

int digest_server_check(struct digest_server *server, const struct sip_msg *request,
			const struct digest_claim *claim, const struct digest_secret *secret)
{
	bool matches = response_matches(request, claim, secret);
	uint64_t key = 0;
	int r;

	r = nonce_check(server, &claim->params, &key);
	if (!matches)
		return DIGEST_E_WRONG;
	/* A restart forgets the key: a right answer to an unknown nonce is as good as a stale one. */
	if (r)
		return DIGEST_E_STALE;
	return seen_take(server, key, claim->nc) ? 0 : DIGEST_E_STALE;
}
