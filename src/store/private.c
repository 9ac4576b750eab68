#include "store/private.h"

#include <sodium.h>

void random_text(char *ret, size_t chars)
{
	static const char alphabet[] = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

	for (size_t i = 0; i < chars; i++)
		ret[i] = alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
	ret[chars] = '\0';
}

void hash_text(const void *data, size_t len, char ret[static HASH_TEXT_SIZE])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, data, len);
	sodium_bin2hex(ret, HASH_TEXT_SIZE, hash, sizeof(hash));
}
