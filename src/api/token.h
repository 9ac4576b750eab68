/* api/token.h - access tokens: JWTs signed with ES256 (RFC 7519, RFC 8725)
 *
 * The key is a file in the data directory, made at the first run with mode 0600. The algorithm, issuer, audience and
 * key id are pinned; the clock may be off by 30 s. A token is good for ten minutes at most; a user's epoch ends all
 * of them sooner.
 */
#pragma once

#include "base/base.h"

#define TOKEN_LIFE_S 600
#define TOKEN_LEEWAY_S 30
#define TOKEN_KEY_FILE "token.pem"
#define TOKEN_MAX 4096

struct token_key;

struct token_claims {
	struct id user, tenant, family, jti;
	int role;
	unsigned scopes;
	int epoch;
	int64_t issued_at, expires_at; /* seconds since 1970 */
};

enum {
	TOKEN_E_BAD = 1, /* not one of ours, or tampered with, or not of our kind */
	TOKEN_E_EXPIRED,
	TOKEN_E_KEY, /* the key's file is there but cannot be used */
};

/* Return: 0, TOKEN_E_KEY or negative. */
must_check int token_key_load(const char *dir, struct token_key **ret_key);
struct token_key *token_key_free(struct token_key *key);
DEFINE_CLEANUP(struct token_key *, token_key_free)

/* Any thread. Return: the token, malloc; NULL on an unexpected error (logged). */
char *token_make(const struct token_key *key, const struct token_claims *claims);
/* Any thread. Return: 0, TOKEN_E_BAD, TOKEN_E_EXPIRED. */
must_check int token_check(const struct token_key *key, const char *token, int64_t now_s,
			   struct token_claims *ret);
