#include "sip/digest.h"

#include "sip/msg.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#define CNONCE_SIZE 25

/* ---- the arithmetic ---- */

static const struct {
	const char *name;
	const EVP_MD *(*md)(void);
	bool sess;
} algs[DIGEST_ALGS] = {
	[DIGEST_MD5] = { "MD5", EVP_md5, false },
	[DIGEST_MD5_SESS] = { "MD5-sess", EVP_md5, true },
	[DIGEST_SHA256] = { "SHA-256", EVP_sha256, false },
	[DIGEST_SHA256_SESS] = { "SHA-256-sess", EVP_sha256, true },
	[DIGEST_SHA512_256] = { "SHA-512-256", EVP_sha512_256, false },
	[DIGEST_SHA512_256_SESS] = { "SHA-512-256-sess", EVP_sha512_256, true },
};

const char *digest_alg_name(enum digest_alg alg)
{
	return algs[alg].name;
}

static bool alg_find(const struct pl *name, enum digest_alg *ret)
{
	if (!pl_isset(name)) {
		*ret = DIGEST_MD5; /* RFC 7616 3.3: absent means MD5 */
		return true;
	}
	for (unsigned i = 0; i < DIGEST_ALGS; i++) {
		if (!pl_strcasecmp(name, algs[i].name)) {
			*ret = (enum digest_alg)i;
			return true;
		}
	}
	return false;
}

/* Hashes the parts joined by ':'. */
static void hash_joined(enum digest_alg alg, const struct pl *parts, size_t count,
			char ret_hex[static DIGEST_HEX_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	bug_on(!ctx || !EVP_DigestInit_ex(ctx, algs[alg].md(), NULL));
	for (size_t i = 0; i < count; i++) {
		if (i)
			bug_on(!EVP_DigestUpdate(ctx, ":", 1));
		if (parts[i].l)
			bug_on(!EVP_DigestUpdate(ctx, parts[i].p, parts[i].l));
	}
	bug_on(!EVP_DigestFinal_ex(ctx, sum, &len) || len * 2 >= DIGEST_HEX_SIZE);
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; i < len; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", sum[i]);
	OPENSSL_cleanse(sum, sizeof(sum));
}

static struct pl pl_of(const char *str)
{
	return (struct pl){ .p = str, .l = str ? strlen(str) : 0 };
}

void digest_ha1(enum digest_alg alg, struct pl username, struct pl realm, struct pl secret,
		char ret_hex[static DIGEST_HEX_SIZE])
{
	const struct pl parts[] = { username, realm, secret };

	hash_joined(alg, parts, ARRAY_LEN(parts), ret_hex);
}

static void a2_hash(const struct digest_input *in, char ret_hex[static DIGEST_HEX_SIZE])
{
	char body[DIGEST_HEX_SIZE];
	struct pl parts[3] = { in->method, in->uri };
	size_t count = 2;

	if (in->qop == DIGEST_QOP_AUTH_INT) {
		const struct pl whole = { .p = in->body, .l = in->body_len };

		hash_joined(in->alg, &whole, 1, body);
		parts[count++] = pl_of(body);
	}
	hash_joined(in->alg, parts, count, ret_hex);
}

void digest_compute(const struct digest_input *in, char ret_hex[static DIGEST_HEX_SIZE])
{
	char ha1[DIGEST_HEX_SIZE], ha2[DIGEST_HEX_SIZE];

	if (in->ha1)
		str_copy(ha1, sizeof(ha1), in->ha1);
	else
		digest_ha1(in->alg, in->username, in->realm, in->secret, ha1);
	if (algs[in->alg].sess) {
		const struct pl parts[] = { pl_of(ha1), in->nonce, in->cnonce };

		hash_joined(in->alg, parts, ARRAY_LEN(parts), ha1);
	}
	a2_hash(in, ha2);
	if (in->qop == DIGEST_QOP_NONE) {
		const struct pl parts[] = { pl_of(ha1), in->nonce, pl_of(ha2) };

		hash_joined(in->alg, parts, ARRAY_LEN(parts), ret_hex);
	} else {
		const struct pl parts[] = { pl_of(ha1),
					    in->nonce,
					    in->nc,
					    in->cnonce,
					    pl_of(in->qop == DIGEST_QOP_AUTH ? "auth" : "auth-int"),
					    pl_of(ha2) };

		hash_joined(in->alg, parts, ARRAY_LEN(parts), ret_hex);
	}
	OPENSSL_cleanse(ha1, sizeof(ha1));
}

/* ---- reading directives ---- */

static void skip(struct pl *in, const char *set)
{
	while (in->l && strchr(set, *in->p) && *in->p)
		pl_advance(in, 1);
}

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-.!%*_+`'~$&#^|", c));
}

static struct pl read_token(struct pl *in)
{
	struct pl token = { .p = in->p, .l = 0 };

	while (in->l && is_token(*in->p)) {
		token.l++;
		pl_advance(in, 1);
	}
	return token;
}

/* Without its quotes. Control characters are refused: values are echoed into our own headers. */
static bool read_quoted(struct pl *in, struct pl *ret)
{
	pl_advance(in, 1);
	*ret = (struct pl){ .p = in->p, .l = 0 };
	while (in->l && *in->p != '"') {
		size_t step = *in->p == '\\' && in->l > 1 ? 2 : 1;

		for (size_t i = 0; i < step; i++) {
			if ((unsigned char)in->p[i] < 0x20 || in->p[i] == 0x7f)
				return false;
		}
		ret->l += step;
		pl_advance(in, (ssize_t)step);
	}
	if (!in->l || ret->l > DIGEST_VALUE_MAX)
		return false;
	pl_advance(in, 1);
	return true;
}

static bool read_bare(struct pl *in, struct pl *ret)
{
	*ret = (struct pl){ .p = in->p, .l = 0 };
	while (in->l && !strchr(", \t\r\n\"", *in->p) && (unsigned char)*in->p > 0x20 &&
	       *in->p != 0x7f) {
		ret->l++;
		pl_advance(in, 1);
	}
	return ret->l > 0 && ret->l <= DIGEST_VALUE_MAX;
}

static void params_keep(struct digest_params *params, const struct pl *name, const struct pl *value)
{
	const struct {
		const char *name;
		struct pl *slot;
	} known[] = {
		{ "realm", &params->realm },
		{ "nonce", &params->nonce },
		{ "opaque", &params->opaque },
		{ "algorithm", &params->algorithm },
		{ "qop", &params->qop },
		{ "stale", &params->stale },
		{ "username", &params->username },
		{ "uri", &params->uri },
		{ "response", &params->response },
		{ "cnonce", &params->cnonce },
		{ "nc", &params->nc },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (pl_strcasecmp(name, known[i].name))
			continue;
		if (!known[i].slot->p) /* the first of two counts */
			*known[i].slot = *value;
		return;
	}
}

/* Looks past a comma: is what follows `scheme SP`, the next challenge, and not `name=value`? */
static bool starts_scheme(struct pl in)
{
	struct pl token = read_token(&in);

	if (!token.l || !in.l || (*in.p != ' ' && *in.p != '\t'))
		return false;
	skip(&in, " \t\r\n");
	return !in.l || *in.p != '=';
}

bool digest_params_read(struct pl *cursor, struct digest_params *ret)
{
	struct digest_params params = { 0 };

	skip(cursor, " \t\r\n,");
	params.scheme = read_token(cursor);
	if (!params.scheme.l)
		return false;
	skip(cursor, " \t\r\n");
	while (cursor->l) {
		struct pl name, value;

		name = read_token(cursor);
		skip(cursor, " \t\r\n");
		if (!name.l || !cursor->l || *cursor->p != '=')
			return false;
		pl_advance(cursor, 1);
		skip(cursor, " \t\r\n");
		if (!cursor->l)
			return false;
		if (*cursor->p == '"' ? !read_quoted(cursor, &value) : !read_bare(cursor, &value))
			return false;
		params_keep(&params, &name, &value);
		skip(cursor, " \t\r\n");
		if (!cursor->l)
			break;
		if (*cursor->p != ',')
			return false;
		skip(cursor, " \t\r\n,");
		if (starts_scheme(*cursor))
			break;
	}
	*ret = params;
	return true;
}

/* ---- credentials ---- */

static void secret_free(char **secret)
{
	if (*secret)
		OPENSSL_cleanse(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

void digest_creds_set(struct digest_creds *creds, const char *username, const char *secret)
{
	digest_creds_fini(creds);
	creds->username = xstrdup(username ? username : "");
	creds->secret = xstrdup(secret ? secret : "");
}

void digest_creds_change(struct digest_creds *creds, const char *username, const char *secret)
{
	char *old = take(creds->secret);
	bool same_name = str_eq(creds->username, username);

	digest_creds_set(creds, username, secret);
	if (same_name && old && !str_eq(old, creds->secret))
		creds->secret_old = old;
	else
		secret_free(&old);
}

void digest_creds_fini(struct digest_creds *creds)
{
	free(creds->username);
	creds->username = NULL;
	secret_free(&creds->secret);
	secret_free(&creds->secret_old);
}

/* ---- the jar ---- */

struct digest_entry {
	bool proxy;
	enum digest_alg alg;
	enum digest_qop qop;
	uint32_t nc;
	char cnonce
		[CNONCE_SIZE]; /* one for a nonce's life, so that -sess means the same to every server */
	char *realm, *nonce, *opaque;
};

struct digest_jar {
	struct digest_entry *entries[DIGEST_REALMS];
};

struct digest_jar *digest_jar_new(void)
{
	return xzalloc(sizeof(struct digest_jar));
}

static void entry_free(struct digest_entry *entry)
{
	if (!entry)
		return;
	free(entry->realm);
	free(entry->nonce);
	free(entry->opaque);
	free(entry);
}

void digest_jar_clear(struct digest_jar *jar)
{
	for (unsigned i = 0; i < DIGEST_REALMS; i++)
		entry_free(take(jar->entries[i]));
}

struct digest_jar *digest_jar_free(struct digest_jar *jar)
{
	if (!jar)
		return NULL;
	digest_jar_clear(jar);
	free(jar);
	return NULL;
}

/* Return: the realm's place, the first free one for a new realm, or -1 when all are taken. */
static int jar_place(const struct digest_jar *jar, const struct pl *realm, bool proxy)
{
	int unused = -1;

	for (int i = 0; i < DIGEST_REALMS; i++) {
		const struct digest_entry *entry = jar->entries[i];

		if (!entry) {
			if (unused < 0)
				unused = i;
			continue;
		}
		if (entry->proxy == proxy && !pl_strcmp(realm, entry->realm))
			return i;
	}
	return unused;
}

/* auth-int only where it is offered alone: bodies are rewritten on the way more often than not. */
static bool qop_choose(const struct pl *offered, enum digest_qop *ret)
{
	struct pl rest = *offered;
	bool integrity = false;

	if (!pl_isset(offered)) {
		*ret = DIGEST_QOP_NONE;
		return true;
	}
	while (rest.l) {
		struct pl token;

		skip(&rest, " \t,");
		token = read_token(&rest);
		if (!token.l)
			break;
		if (!pl_strcasecmp(&token, "auth")) {
			*ret = DIGEST_QOP_AUTH;
			return true;
		}
		integrity = integrity || !pl_strcasecmp(&token, "auth-int");
	}
	*ret = DIGEST_QOP_AUTH_INT;
	return integrity;
}

static void cnonce_make(char cnonce[static CNONCE_SIZE])
{
	unsigned char random[(CNONCE_SIZE - 1) / 2];

	bug_on(RAND_bytes(random, sizeof(random)) != 1);
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(cnonce + 2 * i, 3, "%02x", random[i]);
}

struct challenge_scan {
	struct digest_jar *jar;
	const struct digest_creds *creds;
	struct digest_round *round;
	bool proxy;
	unsigned seen;
	uint8_t taken;	 /* bits: realms this response has challenged and we can answer */
	uint8_t refused; /* bits: of those, the ones that refuse what we sent */
	bool stale;
};

static void entry_fill(struct digest_entry *entry, const struct digest_params *params)
{
	free(entry->realm);
	free(entry->nonce);
	free(entry->opaque);
	entry->realm = xstrndup(params->realm.p, params->realm.l);
	entry->nonce = xstrndup(params->nonce.p, params->nonce.l);
	entry->opaque = params->opaque.p ? xstrndup(params->opaque.p, params->opaque.l) : NULL;
	entry->nc = 0;
	cnonce_make(entry->cnonce);
}

static void challenge_take(struct challenge_scan *scan, const struct digest_params *params)
{
	bool stale = !pl_strcasecmp(&params->stale, "true");
	enum digest_alg alg;
	enum digest_qop qop;
	uint8_t bit;
	int place;

	if (pl_strcasecmp(&params->scheme, "Digest") || !params->realm.p ||
	    !pl_isset(&params->nonce))
		return;
	if (!alg_find(&params->algorithm, &alg) || !qop_choose(&params->qop, &qop))
		return;
	place = jar_place(scan->jar, &params->realm, scan->proxy);
	if (place < 0)
		return;
	bit = (uint8_t)(1u << place);
	if (scan->taken & bit)
		return; /* a lower preference for the same realm: the topmost counts (RFC 8760 2.4) */
	scan->taken |= bit;

	if (stale) {
		scan->stale = true;
	} else if (scan->round->answered & bit) {
		/* answered with a nonce of this very round: the secret itself is refused */
		if (scan->creds->secret_old && !(scan->round->old & bit))
			scan->round->old |= bit;
		else
			scan->refused |= bit;
	}
	scan->round->answered |= bit;
	if (!scan->jar->entries[place])
		scan->jar->entries[place] = xzalloc(sizeof(struct digest_entry));
	scan->jar->entries[place]->proxy = scan->proxy;
	scan->jar->entries[place]->alg = alg;
	scan->jar->entries[place]->qop = qop;
	entry_fill(scan->jar->entries[place], params);
}

static bool challenge_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct challenge_scan *scan = arg;
	struct pl cursor = hdr->val;
	struct digest_params params;

	(void)msg;
	while (scan->seen < DIGEST_CHALLENGES && digest_params_read(&cursor, &params)) {
		scan->seen++;
		challenge_take(scan, &params);
	}
	return scan->seen >= DIGEST_CHALLENGES;
}

int digest_jar_challenged(struct digest_jar *jar, const struct digest_creds *creds,
			  struct digest_round *round, const struct sip_msg *response)
{
	struct challenge_scan scan = { .jar = jar, .creds = creds, .round = round };

	/* Several realms may challenge at once: a proxy and the server behind it (RFC 3261 22.3). */
	(void)inmsg_each(response, true, SIP_HDR_WWW_AUTHENTICATE, challenge_header, &scan);
	scan.proxy = true;
	(void)inmsg_each(response, true, SIP_HDR_PROXY_AUTHENTICATE, challenge_header, &scan);

	if (!scan.taken)
		return DIGEST_E_UNSUPPORTED;
	if (scan.refused)
		return DIGEST_E_REFUSED;
	if (scan.stale)
		return ++round->stale > DIGEST_STALE ? DIGEST_E_LOOP : 0;
	return ++round->requests >= DIGEST_REQUESTS ? DIGEST_E_REFUSED : 0;
}

static void add_quoted(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *text);
	}
}

static void entry_sign(struct digest_entry *entry, const char *username, const char *secret,
		       const struct digest_request *request, struct buf *out)
{
	char response[DIGEST_HEX_SIZE], nc[9];
	struct digest_input in = {
		.alg = entry->alg,
		.qop = entry->qop,
		.username = pl_of(username),
		.realm = pl_of(entry->realm),
		.nonce = pl_of(entry->nonce),
		.cnonce = pl_of(entry->cnonce),
		.secret = pl_of(secret),
		.method = pl_of(request->method),
		.uri = pl_of(request->uri),
		.body = request->body,
		.body_len = request->body_len,
	};

	entry->nc++;
	snprintf(nc, sizeof(nc), "%08x", entry->nc);
	in.nc = pl_of(nc);
	digest_compute(&in, response);

	buf_adds(out, entry->proxy ? "Proxy-Authorization: Digest username=\""
				   : "Authorization: Digest username=\"");
	add_quoted(out, username);
	buf_addf(out, "\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=%s",
		 entry->realm, entry->nonce, request->uri, response, algs[entry->alg].name);
	if (entry->opaque)
		buf_addf(out, ", opaque=\"%s\"", entry->opaque);
	if (entry->qop != DIGEST_QOP_NONE)
		buf_addf(out, ", qop=%s, nc=%s, cnonce=\"%s\"",
			 entry->qop == DIGEST_QOP_AUTH ? "auth" : "auth-int", nc, entry->cnonce);
	else if (algs[entry->alg].sess)
		buf_addf(out, ", cnonce=\"%s\"", entry->cnonce);
	buf_adds(out, "\r\n");
}

void digest_jar_sign(struct digest_jar *jar, const struct digest_creds *creds,
		     const struct digest_round *round, const struct digest_request *request,
		     struct buf *out)
{
	for (unsigned i = 0; i < DIGEST_REALMS; i++) {
		struct digest_entry *entry = jar->entries[i];
		bool old = round && (round->old & (1u << i)) && creds->secret_old;

		if (!entry || (request->realm && !str_eq(request->realm, entry->realm)))
			continue;
		entry_sign(entry, creds->username, old ? creds->secret_old : creds->secret, request,
			   out);
	}
}
