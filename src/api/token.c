#include "api/private.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ISSUER "jackfield"
#define AUDIENCE "jackfield-api"
#define KEY_FILE_MAX 4096

struct token_key {
	char *pem; /* private, for signing */
	char *public_pem;
	char id[17];
};

struct token_key *token_key_free(struct token_key *key)
{
	if (!key)
		return NULL;
	if (key->pem)
		explicit_bzero(key->pem, strlen(key->pem));
	free(key->pem);
	free(key->public_pem);
	free(key);
	return NULL;
}

static char *bio_text(BIO *bio)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	return xstrndup(data, (size_t)len);
}

/* Return: the private key's PEM, NULL when OpenSSL cannot. */
static char *key_generate(void)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;

	if (pkey && bio && PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL))
		pem = bio_text(bio);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return pem;
}

static bool file_write(int fd, const char *text)
{
	size_t len = strlen(text);

	return write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
}

/* Written aside and linked into place, so that of two daemons that start at once one key wins, whole. */
static int key_create(const char *path)
{
	auto_(free) char *aside = xasprintf("%s.%d.new", path, (int)getpid());
	auto_(free) char *pem = key_generate();
	int fd, r = 0;

	if (!pem)
		return err_newf(EIO, "making the token key");
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = err_newf(errno, "open %s", aside);
	} else {
		if (!file_write(fd, pem))
			r = err_newf(errno, "write %s", aside);
		close(fd);
	}
	if (!r && link(aside, path) != 0 && errno != EEXIST)
		r = err_newf(errno, "link %s", path);
	unlink(aside);
	explicit_bzero(pem, strlen(pem));
	return r;
}

static int key_read(const char *path, char **ret_pem)
{
	char text[KEY_FILE_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_newf(errno, "open %s", path);
	if (fstat(fd, &st) != 0 || (st.st_mode & 077)) {
		log_error("the token key's file may be read by others: refused",
			  LOG_STR("file", path));
		close(fd);
		return TOKEN_E_KEY;
	}
	len = read(fd, text, KEY_FILE_MAX);
	close(fd);
	if (len <= 0)
		return TOKEN_E_KEY;
	text[len] = '\0';
	*ret_pem = xstrdup(text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

/* The public half, its id, and whether it is of the right kind. */
static int key_complete(struct token_key *key)
{
	BIO *in = BIO_new_mem_buf(key->pem, -1), *out = BIO_new(BIO_s_mem());
	EVP_PKEY *pkey = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
	unsigned char hash[8];
	char group[32] = "";
	int r = TOKEN_E_KEY;

	if (pkey && out && EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) &&
	    str_eq(group, "prime256v1") && PEM_write_bio_PUBKEY(out, pkey)) {
		key->public_pem = bio_text(out);
		crypto_generichash(hash, sizeof(hash), (const unsigned char *)key->public_pem,
				   strlen(key->public_pem), NULL, 0);
		sodium_bin2hex(key->id, sizeof(key->id), hash, sizeof(hash));
		r = 0;
	} else {
		log_error(
			"token.pem of the data directory is not a P-256 key in PEM: put back the right one, "
			"or remove it and everybody logs in again");
	}
	EVP_PKEY_free(pkey);
	BIO_free(in);
	BIO_free(out);
	return r;
}

int token_key_load(const char *dir, struct token_key **ret_key)
{
	auto_(token_key_free) struct token_key *key = xzalloc(sizeof(*key));
	auto_(free) char *path = xasprintf("%s/" TOKEN_KEY_FILE, dir);
	int r = key_read(path, &key->pem);

	if (r == -ENOENT) {
		r = key_create(path);
		if (!r)
			r = key_read(path, &key->pem);
	}
	if (!r)
		r = key_complete(key);
	if (r)
		return r;
	*ret_key = take(key);
	return 0;
}

/* ---- Tokens ---- */

#define SCOPES_TEXT 256

/* RFC 8693 4.2: words with spaces between them */
static void scopes_print(unsigned scopes, char text[static SCOPES_TEXT])
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = SCOPE_SELF; i < SCOPE_COUNT; i++)
		if (scopes & 1u << i)
			len += (size_t)snprintf(text + len, SCOPES_TEXT - len, "%s%s",
						len ? " " : "", api_scope_names[i]);
	bug_on(len >= SCOPES_TEXT);
}

static unsigned scopes_parse(const char *text)
{
	unsigned scopes = 0;

	while (text && *text) {
		size_t len = strcspn(text, " ");

		for (unsigned i = SCOPE_SELF; i < SCOPE_COUNT; i++)
			if (strlen(api_scope_names[i]) == len &&
			    memcmp(api_scope_names[i], text, len) == 0)
				scopes |= 1u << i;
		text += len + (text[len] == ' ');
	}
	return scopes;
}

static void grant_id(jwt_t *jwt, const char *name, struct id id)
{
	jwt_add_grant(jwt, name, id_str(id));
}

char *token_make(const struct token_key *key, const struct token_claims *claims)
{
	jwt_t *jwt = NULL;
	char *made, *token = NULL;
	char scopes[SCOPES_TEXT];

	if (jwt_new(&jwt) != 0)
		return NULL;
	scopes_print(claims->scopes, scopes);
	jwt_add_header(jwt, "kid", key->id);
	jwt_add_header(jwt, "typ", "JWT");
	jwt_add_grant(jwt, "iss", ISSUER);
	jwt_add_grant(jwt, "aud", AUDIENCE);
	grant_id(jwt, "sub", claims->user);
	grant_id(jwt, "tenant", claims->tenant);
	grant_id(jwt, "sid", claims->family);
	grant_id(jwt, "jti", claims->jti);
	jwt_add_grant(jwt, "role", user_role_names[claims->role]);
	jwt_add_grant(jwt, "scope", scopes);
	jwt_add_grant_int(jwt, "epoch", claims->epoch);
	jwt_add_grant_int(jwt, "iat", claims->issued_at);
	jwt_add_grant_int(jwt, "nbf", claims->issued_at);
	jwt_add_grant_int(jwt, "exp", claims->expires_at);
	if (jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)key->pem,
			(int)strlen(key->pem)) == 0) {
		made = jwt_encode_str(jwt);
		token = xstrdup(made);
		free(made);
	}
	jwt_free(jwt);
	if (!token)
		err_newf(EIO, "signing a token");
	return token;
}

/* The header is looked at before anything is verified: a token that names another algorithm, "none" above all,
 * never gets to choose how it is checked (RFC 8725 3.1).
 */
static bool header_is_ours(const struct token_key *key, const char *token)
{
	unsigned char text[512];
	const char *dot = strchr(token, '.');
	size_t len = 0;
	json_t *header;
	bool ours;

	if (!dot || sodium_base642bin(text, sizeof(text), token, (size_t)(dot - token), NULL, &len,
				      NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return false;
	header = json_loadb((const char *)text, len, 0, NULL);
	ours = header && str_eq(json_string_value(json_object_get(header, "alg")), "ES256") &&
	       str_eq(json_string_value(json_object_get(header, "kid")), key->id);
	json_decref(header);
	return ours;
}

static bool claim_id(jwt_t *jwt, const char *name, struct id *ret)
{
	const char *text = jwt_get_grant(jwt, name);

	return text && id_parse(text, ret);
}

static bool claim_role(jwt_t *jwt, int *ret)
{
	const char *text = jwt_get_grant(jwt, "role");

	for (int i = 0; text && user_role_names[i]; i++) {
		if (str_eq(user_role_names[i], text)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool claims_read(jwt_t *jwt, struct token_claims *ret)
{
	if (!str_eq(jwt_get_grant(jwt, "iss"), ISSUER) ||
	    !str_eq(jwt_get_grant(jwt, "aud"), AUDIENCE))
		return false;
	if (!claim_id(jwt, "sub", &ret->user) || !claim_id(jwt, "tenant", &ret->tenant) ||
	    !claim_id(jwt, "sid", &ret->family) || !claim_id(jwt, "jti", &ret->jti) ||
	    !claim_role(jwt, &ret->role))
		return false;
	ret->scopes = scopes_parse(jwt_get_grant(jwt, "scope"));
	ret->epoch = (int)jwt_get_grant_int(jwt, "epoch");
	ret->issued_at = jwt_get_grant_int(jwt, "nbf");
	ret->expires_at = jwt_get_grant_int(jwt, "exp");
	return true;
}

int token_check(const struct token_key *key, const char *token, int64_t now_s,
		struct token_claims *ret)
{
	struct token_claims claims = { 0 };
	jwt_t *jwt = NULL;
	bool good;

	if (strlen(token) > TOKEN_MAX || !header_is_ours(key, token))
		return TOKEN_E_BAD;
	if (jwt_decode(&jwt, token, (const unsigned char *)key->public_pem,
		       (int)strlen(key->public_pem)) != 0)
		return TOKEN_E_BAD;
	good = jwt_get_alg(jwt) == JWT_ALG_ES256 && claims_read(jwt, &claims);
	jwt_free(jwt);
	if (!good || claims.issued_at > now_s + TOKEN_LEEWAY_S)
		return TOKEN_E_BAD;
	if (claims.expires_at + TOKEN_LEEWAY_S <= now_s)
		return TOKEN_E_EXPIRED;
	*ret = claims;
	return 0;
}
