#include "store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_SIZE crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FORM "1:" /* what comes before the base64 of nonce, text and tag */
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define BOX_MAX (NONCE_SIZE + SEAL_MAX + TAG_SIZE)

_Static_assert(KEY_SIZE == 32, "seal_new() says 32");

struct seal {
	uint8_t key[KEY_SIZE];
};

struct seal *seal_new(const uint8_t key[static 32])
{
	struct seal *seal;

	bug_on(sodium_init() < 0);
	seal = sodium_malloc(sizeof(*seal)); /* locked and guarded; zeroed by its free */
	if (!seal)
		abort();
	memcpy(seal->key, key, KEY_SIZE);
	sodium_mprotect_readonly(seal);
	return seal;
}

struct seal *seal_free(struct seal *seal)
{
	sodium_free(seal);
	return NULL;
}

static int key_write(int fd, const uint8_t key[static KEY_SIZE])
{
	if (write(fd, key, KEY_SIZE) != (ssize_t)KEY_SIZE || fsync(fd))
		return err_new(errno ? errno : EIO);
	return 0;
}

static int dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return err_newf(errno, "open %s", dir);
	if (fsync(fd))
		r = err_newf(errno, "fsync %s", dir);
	close(fd);
	return r;
}

/* Written whole under a name of our own, then linked to the real one, which fails when somebody was faster: the
 * file is never seen empty or half.
 */
static int key_make(const char *dir, const char *path)
{
	uint8_t key[KEY_SIZE];
	auto_(free) char *tmp = xasprintf("%s.XXXXXX", path);
	int fd, r;

	fd = mkostemp(tmp, O_CLOEXEC); /* O_EXCL, 0600 */
	if (fd < 0)
		return err_newf(errno, "create %s", tmp);
	randombytes_buf(key, sizeof(key));
	r = key_write(fd, key);
	sodium_memzero(key, sizeof(key));
	close(fd);
	if (r == 0 && link(tmp, path) && errno != EEXIST)
		r = err_newf(errno, "link %s", path);
	unlink(tmp);
	if (r == 0)
		r = dir_sync(dir);
	return r;
}

static int key_read(int fd, const char *path, struct seal **ret_seal)
{
	uint8_t key[KEY_SIZE + 1];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return err_newf(errno, "stat %s", path);
	if (st.st_mode & 077)
		return err_newf(EPERM, "%s may be read by others: chmod 600 it", path);
	n = read(fd, key, sizeof(key));
	if (n == (ssize_t)KEY_SIZE)
		*ret_seal = seal_new(key);
	sodium_memzero(key, sizeof(key));
	return n == (ssize_t)KEY_SIZE ? 0 : err_newf(EBADMSG, "%s is not a key", path);
}

int seal_load(const char *dir, struct seal **ret_seal)
{
	auto_(free) char *path = xasprintf("%s/" SEAL_FILE, dir);
	int fd, r;

	if (sodium_init() < 0)
		return err_newf(EIO, "libsodium has no random numbers");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		r = key_make(dir, path);
		if (r)
			return err_pass(r);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return err_newf(errno, "open %s", path);
	r = key_read(fd, path, ret_seal);
	close(fd);
	return r;
}

/* The associated data: which place the text was sealed for. */
static size_t seal_place(char place[static 128], const char *table, struct id row)
{
	return (size_t)snprintf(place, 128, "%s/%s", table, id_str(row));
}

const char *seal_text(const struct seal *seal, const char *table, struct id row, const char *plain,
		      struct arena *arena)
{
	uint8_t box[BOX_MAX];
	unsigned long long len;
	char place[128];
	size_t plain_len, text_size;
	char *text;

	if (!plain)
		return NULL;
	plain_len = strlen(plain);
	bug_on(plain_len > SEAL_MAX);
	randombytes_buf(box, NONCE_SIZE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE_SIZE, &len, (const uint8_t *)plain,
						   plain_len, (const uint8_t *)place,
						   seal_place(place, table, row), NULL, box,
						   seal->key);
	text_size = sodium_base64_encoded_len(NONCE_SIZE + (size_t)len, VARIANT);
	text = arena_alloc(arena, strlen(FORM) + text_size);
	memcpy(text, FORM, strlen(FORM));
	sodium_bin2base64(text + strlen(FORM), text_size, box, NONCE_SIZE + (size_t)len, VARIANT);
	return text;
}

int seal_unseal(const struct seal *seal, const char *table, struct id row, const char *sealed,
		char ret_plain[static SEAL_MAX + 1])
{
	uint8_t box[BOX_MAX];
	unsigned long long len;
	char place[128];
	size_t box_len;

	memset(ret_plain, 0, SEAL_MAX + 1);
	if (!sealed)
		return 0;
	if (!str_has_prefix(sealed, FORM) ||
	    sodium_base642bin(box, sizeof(box), sealed + strlen(FORM),
			      strlen(sealed) - strlen(FORM), NULL, &box_len, NULL, VARIANT) ||
	    box_len < NONCE_SIZE + TAG_SIZE)
		return SEAL_E_BAD;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    (uint8_t *)ret_plain, &len, NULL, box + NONCE_SIZE, box_len - NONCE_SIZE,
		    (const uint8_t *)place, seal_place(place, table, row), box, seal->key)) {
		sodium_memzero(ret_plain, SEAL_MAX + 1);
		return SEAL_E_BAD;
	}
	return 0;
}

void seal_forget(void *secret, size_t size)
{
	sodium_memzero(secret, size);
}
