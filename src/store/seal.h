/* store/seal.h - secrets at rest: XChaCha20-Poly1305 under a key that is not in the database
 *
 * The key is a file in the data directory, made at the first run with mode 0600. A sealed text is bound to its
 * table and row: copied into another row it does not open.
 * A struct seal does not change once loaded: any thread may use it.
 */
#pragma once

#include "base/base.h"

#define SEAL_FILE "secret.key"
#define SEAL_MAX 1024 /* longest plain text, in bytes */

enum {
	SEAL_E_BAD = 1, /* wrong key, other row, or tampered with */
};

struct seal;

/* Loads `dir`/secret.key, making it when it is not there (two daemons that start at once end up with one key).
 * A key file that others may read or that has the wrong size is an error: -EPERM, -EBADMSG.
 */
must_check int seal_load(const char *dir, struct seal **ret_seal);
/* With a key of the caller's (tests). */
struct seal *seal_new(const uint8_t key[static 32]);
/* Zeroes the key. */
struct seal *seal_free(struct seal *seal);
DEFINE_CLEANUP(struct seal *, seal_free)

/* Return: the sealed text, in the arena; NULL for NULL. More than SEAL_MAX is our bug: check before. */
const char *seal_text(const struct seal *seal, const char *table, struct id row, const char *plain,
		      struct arena *arena);
/* Writes the plain text with its NUL into ret_plain, which the caller zeroes after use (seal_forget()).
 * A NULL sealed text opens as the empty one. Return: 0 or SEAL_E_BAD with *ret_plain emptied.
 */
must_check int seal_unseal(const struct seal *seal, const char *table, struct id row,
			   const char *sealed, char ret_plain[static SEAL_MAX + 1]);
void seal_forget(void *secret, size_t size);
