#include "media/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "JFVAULT1"
#define HEADER 64
#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES
#define STORED (NONCE + VAULT_CHUNK + TAG)

_Static_assert(VAULT_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the key's length");

struct place {
	uint8_t header[HEADER];
	uint8_t number[8];
};

struct vault {
	int fd, dir_fd, error;
	uint8_t key[VAULT_KEY];
	struct place place;
	uint64_t chunks, tail; /* whole ones on disk; bytes of a last, shorter one */
	size_t filled;
	uint8_t plain[VAULT_CHUNK];
	uint8_t stored[STORED];
};

struct vault_reader {
	int fd;
	uint8_t key[VAULT_KEY];
	struct place place;
	struct vault_form form;
	uint64_t stored_size, size;
	uint64_t cached; /* number of the chunk in `plain`, or UINT64_MAX */
	size_t cached_len;
	uint8_t plain[VAULT_CHUNK];
	uint8_t stored[STORED];
};

static void put_le(uint8_t *out, uint64_t num, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (uint8_t)(num >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, unsigned bytes)
{
	uint64_t num = 0;

	for (unsigned i = 0; i < bytes; i++)
		num |= (uint64_t)in[i] << (8 * i);
	return num;
}

/* magic 8, label 16, rate 4, channels 2, bits 2, chunk 4; the rest is zero */
static void header_fill(uint8_t header[static HEADER], const uint8_t *label,
			const struct vault_form *form)
{
	memset(header, 0, HEADER);
	memcpy(header, MAGIC, 8);
	memcpy(header + 8, label, VAULT_LABEL);
	put_le(header + 24, form->rate, 4);
	put_le(header + 28, form->channels, 2);
	put_le(header + 30, 16, 2);
	put_le(header + 32, VAULT_CHUNK, 4);
}

/* ---- writing ---- */

static int write_all(int fd, const uint8_t *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Its entry in the directory is to last as well. */
static int dir_open(const char *path)
{
	auto_(free) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');

	if (slash)
		*slash = '\0';
	return open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int vault_create(const char *path, const uint8_t key[static VAULT_KEY],
		 const uint8_t label[static VAULT_LABEL], const struct vault_form *form,
		 struct vault **ret)
{
	struct vault *vault = xzalloc(sizeof(*vault));
	int r;

	vault->fd = -1;
	vault->dir_fd = dir_open(path);
	if (vault->dir_fd >= 0)
		vault->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (vault->fd < 0) {
		r = -errno;
		vault_free(vault);
		return r;
	}
	memcpy(vault->key, key, VAULT_KEY);
	header_fill(vault->place.header, label, form);
	r = write_all(vault->fd, vault->place.header, HEADER, 0);
	if (r) {
		(void)unlink(path);
		vault_free(vault);
		return r;
	}
	*ret = vault;
	return 0;
}

/* Seals what is filled under a nonce of its own and puts it at its place. */
static int chunk_write(struct vault *vault)
{
	off_t at = HEADER + (off_t)vault->chunks * (off_t)STORED;
	unsigned long long len;
	int r;

	put_le(vault->place.number, vault->chunks, 8);
	randombytes_buf(vault->stored, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(vault->stored + NONCE, &len, vault->plain,
						   vault->filled, (const uint8_t *)&vault->place,
						   sizeof(vault->place), NULL, vault->stored,
						   vault->key);
	r = write_all(vault->fd, vault->stored, NONCE + (size_t)len, at);
	if (r)
		(void)!ftruncate(vault->fd, at); /* half a chunk is none */
	return r;
}

int vault_append(struct vault *vault, const void *data, size_t len)
{
	const uint8_t *from = data;

	if (!vault->error && vault->chunks * VAULT_CHUNK + vault->filled + len > VAULT_MAX)
		vault->error = -EFBIG;
	while (len && !vault->error) {
		size_t n = VAULT_CHUNK - vault->filled;

		n = n < len ? n : len;
		memcpy(vault->plain + vault->filled, from, n);
		vault->filled += n;
		from += n;
		len -= n;
		if (vault->filled < VAULT_CHUNK)
			break;
		vault->error = chunk_write(vault);
		vault->filled = 0;
		vault->chunks += !vault->error;
	}
	return vault->error;
}

int vault_finish(struct vault *vault)
{
	int r = vault->error;

	if (vault->filled && (!r || r == -EFBIG)) {
		int w = chunk_write(vault);

		vault->tail = w ? 0 : vault->filled;
		vault->filled = 0;
		r = r ? r : w;
	}
	if (fdatasync(vault->fd) && !r)
		r = -errno;
	if (fsync(vault->dir_fd) && !r)
		r = -errno;
	vault->error = r ? r : -EBADF;
	return r;
}

uint64_t vault_written(const struct vault *vault)
{
	return vault->chunks * VAULT_CHUNK + vault->tail;
}

struct vault *vault_free(struct vault *vault)
{
	if (vault) {
		if (vault->fd >= 0)
			close(vault->fd);
		if (vault->dir_fd >= 0)
			close(vault->dir_fd);
		sodium_memzero(vault, sizeof(*vault));
		free(vault);
	}
	return NULL;
}

/* ---- reading ---- */

static bool read_all(int fd, uint8_t *data, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pread(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return true;
}

/* Return: whether the chunk is in `plain` now. */
static bool chunk_read(struct vault_reader *reader, uint64_t number)
{
	uint64_t at = number * STORED;
	unsigned long long plain_len;
	size_t len;

	if (reader->cached == number)
		return true;
	reader->cached = UINT64_MAX;
	if (at >= reader->stored_size)
		return false;
	len = reader->stored_size - at < STORED ? (size_t)(reader->stored_size - at) : STORED;
	if (len <= NONCE + TAG || !read_all(reader->fd, reader->stored, len, (off_t)(HEADER + at)))
		return false;
	put_le(reader->place.number, number, 8);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    reader->plain, &plain_len, NULL, reader->stored + NONCE, len - NONCE,
		    (const uint8_t *)&reader->place, sizeof(reader->place), reader->stored,
		    reader->key))
		return false;
	reader->cached = number;
	reader->cached_len = (size_t)plain_len;
	return true;
}

static bool header_take(struct vault_reader *reader, const uint8_t *label)
{
	uint8_t want[HEADER];
	const uint8_t *header = reader->place.header;

	reader->form.rate = (unsigned)get_le(header + 24, 4);
	reader->form.channels = (unsigned)get_le(header + 28, 2);
	if ((reader->form.rate != 8000 && reader->form.rate != 16000) ||
	    reader->form.channels < 1 || reader->form.channels > 2)
		return false;
	header_fill(want, label, &reader->form);
	return memcmp(want, header, HEADER) == 0;
}

static void find_size(struct vault_reader *reader)
{
	uint64_t whole = reader->stored_size / STORED;

	reader->size = whole * VAULT_CHUNK;
	if (reader->stored_size % STORED && chunk_read(reader, whole))
		reader->size += reader->cached_len;
}

int vault_open(const char *path, const uint8_t key[static VAULT_KEY],
	       const uint8_t label[static VAULT_LABEL], struct vault_reader **ret)
{
	struct vault_reader *reader = xzalloc(sizeof(*reader));
	struct stat st;

	reader->cached = UINT64_MAX;
	memcpy(reader->key, key, VAULT_KEY);
	reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (reader->fd < 0 || fstat(reader->fd, &st)) {
		vault_reader_free(reader);
		return VAULT_E_NONE;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < HEADER ||
	    !read_all(reader->fd, reader->place.header, HEADER, 0) || !header_take(reader, label)) {
		vault_reader_free(reader);
		return VAULT_E_BAD;
	}
	reader->stored_size = (uint64_t)st.st_size - HEADER;
	find_size(reader);
	*ret = reader;
	return 0;
}

struct vault_reader *vault_reader_free(struct vault_reader *reader)
{
	if (reader) {
		if (reader->fd >= 0)
			close(reader->fd);
		sodium_memzero(reader, sizeof(*reader));
		free(reader);
	}
	return NULL;
}

struct vault_form vault_form(const struct vault_reader *reader)
{
	return reader->form;
}

uint64_t vault_size(const struct vault_reader *reader)
{
	return reader->size;
}

void vault_cut(struct vault_reader *reader, uint64_t size)
{
	if (size < reader->size)
		reader->size = size;
}

int vault_read(struct vault_reader *reader, uint64_t at, void *buf, size_t len, size_t *ret_len)
{
	size_t skip = (size_t)(at % VAULT_CHUNK);

	*ret_len = 0;
	if (len > reader->size - (at < reader->size ? at : reader->size))
		len = (size_t)(reader->size - (at < reader->size ? at : reader->size));
	if (!len)
		return 0;
	if (!chunk_read(reader, at / VAULT_CHUNK) || skip >= reader->cached_len)
		return VAULT_E_BAD;
	if (len > reader->cached_len - skip)
		len = reader->cached_len - skip;
	memcpy(buf, reader->plain + skip, len);
	*ret_len = len;
	return 0;
}

/* ---- WAV ---- */

void wav_header(uint8_t ret[static WAV_HEADER], const struct vault_form *form, uint64_t bytes)
{
	memcpy(ret, "RIFF....WAVEfmt ", 16);
	put_le(ret + 4, bytes + WAV_HEADER - 8, 4);
	put_le(ret + 16, 16, 4);
	put_le(ret + 20, 1, 2); /* PCM */
	put_le(ret + 22, form->channels, 2);
	put_le(ret + 24, form->rate, 4);
	put_le(ret + 28, (uint64_t)form->rate * form->channels * 2, 4);
	put_le(ret + 32, form->channels * 2, 2);
	put_le(ret + 34, 16, 2);
	memcpy(ret + 36, "data", 4);
	put_le(ret + 40, bytes, 4);
}

struct wav_hash {
	struct vault_reader *reader;
	uint64_t at;
	bool done, damaged;
	crypto_hash_sha256_state state;
	uint8_t hash[crypto_hash_sha256_BYTES];
};

static void hash_begin(struct wav_hash *hash)
{
	uint8_t header[WAV_HEADER];

	hash->at = 0;
	wav_header(header, &hash->reader->form, hash->reader->size);
	crypto_hash_sha256_init(&hash->state);
	crypto_hash_sha256_update(&hash->state, header, sizeof(header));
}

struct wav_hash *wav_hash_new(struct vault_reader *reader)
{
	struct wav_hash *hash = xzalloc(sizeof(*hash));

	hash->reader = reader;
	hash_begin(hash);
	return hash;
}

struct wav_hash *wav_hash_free(struct wav_hash *hash)
{
	free(hash);
	return NULL;
}

bool wav_hash_step(struct wav_hash *hash, unsigned chunks)
{
	struct vault_reader *reader = hash->reader;

	while (chunks-- && hash->at < reader->size) {
		uint64_t left = reader->size - hash->at;
		size_t len = left < VAULT_CHUNK ? (size_t)left : VAULT_CHUNK;

		if (!chunk_read(reader, hash->at / VAULT_CHUNK) || reader->cached_len < len) {
			hash->damaged = true;
			vault_cut(reader, hash->at);
			hash_begin(hash); /* the header says how long it is */
			continue;
		}
		crypto_hash_sha256_update(&hash->state, reader->plain, len);
		hash->at += len;
	}
	if (hash->at < reader->size)
		return false;
	if (!hash->done)
		crypto_hash_sha256_final(&hash->state, hash->hash);
	hash->done = true;
	return true;
}

bool wav_hash_damaged(const struct wav_hash *hash)
{
	return hash->damaged;
}

void wav_hash_text(const struct wav_hash *hash, char ret[static 65])
{
	sodium_bin2hex(ret, 65, hash->hash, sizeof(hash->hash));
}
