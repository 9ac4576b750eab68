/* SRTP and SRTCP (RFC 3711, RFC 7714) by libre, one context a direction. libre's mbufs are laid
 * over our own buffers with room for the tag, so that it never has to allocate.
 */
#include "media/private.h"

#include <errno.h>
#include <re/re.h>

struct crypt {
	struct srtp *srtp;
};

static const struct suite {
	enum srtp_suite suite;
	size_t key_len;
} suites[] = {
	[MEDIA_CRYPTO_AES_CM_128_SHA1_80] = { SRTP_AES_CM_128_HMAC_SHA1_80, 30 },
	[MEDIA_CRYPTO_AES_CM_128_SHA1_32] = { SRTP_AES_CM_128_HMAC_SHA1_32, 30 },
	[MEDIA_CRYPTO_AEAD_AES_128_GCM] = { SRTP_AES_128_GCM, 28 },
	[MEDIA_CRYPTO_AEAD_AES_256_GCM] = { SRTP_AES_256_GCM, 44 },
};

size_t media_crypto_key_len(enum media_crypto_suite suite)
{
	return (size_t)suite < ARRAY_LEN(suites) ? suites[suite].key_len : 0;
}

struct crypt *crypt_new(const struct media_crypto *crypto)
{
	size_t key_len = media_crypto_key_len(crypto->suite);
	struct crypt *crypt;
	struct srtp *srtp;
	int r;

	if (!key_len)
		return NULL;
	r = srtp_alloc(&srtp, suites[crypto->suite].suite, crypto->key, key_len, 0);
	if (r) {
		(void)err_newf(r, "SRTP context");
		return NULL;
	}
	crypt = xzalloc(sizeof(*crypt));
	crypt->srtp = srtp;
	return crypt;
}

struct crypt *crypt_free(struct crypt *crypt)
{
	if (crypt) {
		mem_deref(crypt->srtp);
		free(crypt);
	}
	return NULL;
}

int crypt_protect(struct crypt *crypt, uint8_t *data, size_t *len, size_t cap, bool rtcp)
{
	struct mbuf mb = { .buf = data, .size = cap, .pos = 0, .end = *len };
	int r;

	if (*len + PACKET_TRAILER > cap)
		return EMSGSIZE;
	r = rtcp ? srtcp_encrypt(crypt->srtp, &mb) : srtp_encrypt(crypt->srtp, &mb);
	if (!r)
		*len = mb.end;
	return r;
}

int crypt_unprotect(struct crypt *crypt, uint8_t *data, size_t *len, bool rtcp)
{
	struct mbuf mb = { .buf = data, .size = *len, .pos = 0, .end = *len };
	int r = rtcp ? srtcp_decrypt(crypt->srtp, &mb) : srtp_decrypt(crypt->srtp, &mb);

	if (!r)
		*len = mb.end;
	return r;
}
