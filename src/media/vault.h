/* media/vault.h - a file of sound on disk that only the holder of its key can read
 *
 * A header, then chunks of VAULT_CHUNK bytes each sealed on its own (XChaCha20-Poly1305), bound to the file's label
 * and the chunk's place, so that any part can be read without what comes before it, chunks cannot be
 * exchanged or moved, and a crash leaves all chunks but the one being filled. Only the last one may be shorter. What
 * is kept is raw 16-bit PCM, interleaved; a WAV header is made for it where it is wanted (wav_header()).
 *
 * One thread at a time. All of it blocks on the disk.
 */
#pragma once

#include "base/base.h"

#define VAULT_KEY 32
#define VAULT_LABEL 16
#define VAULT_CHUNK 16384
#define VAULT_MAX 0xffff0000u /* bytes of sound: a WAV's lengths have 32 bits */
#define WAV_HEADER 44

struct vault_form {
	unsigned rate, channels;
};

struct vault;

/* The file must not exist. Return: 0 or negative errno (not said in the log: disks fill up). */
must_check int vault_create(const char *path, const uint8_t key[static VAULT_KEY],
			    const uint8_t label[static VAULT_LABEL], const struct vault_form *form,
			    struct vault **ret);
/* Return: 0 or negative errno: -ENOSPC and the like, -EFBIG at VAULT_MAX. What was whole by then stays readable; nothing
 * more is taken.
 */
must_check int vault_append(struct vault *vault, const void *data, size_t len);
/* Writes what is left and makes it last. After a failure: keeps what is whole. Return: as above. */
must_check int vault_finish(struct vault *vault);
uint64_t vault_written(const struct vault *vault); /* bytes of sound that can be read back */
struct vault *vault_free(struct vault *vault);

struct vault_reader;

enum {
	VAULT_E_NONE = 1, /* no such file */
	VAULT_E_BAD,	  /* not a vault, another key or label, or tampered with */
};

must_check int vault_open(const char *path, const uint8_t key[static VAULT_KEY],
			  const uint8_t label[static VAULT_LABEL], struct vault_reader **ret);
struct vault_reader *vault_reader_free(struct vault_reader *reader);
DEFINE_CLEANUP(struct vault_reader *, vault_reader_free)
struct vault_form vault_form(const struct vault_reader *reader);
/* Bytes of sound; an end that was cut by a crash is not counted. */
uint64_t vault_size(const struct vault_reader *reader);
/* From here on it reads as if it ended there; a longer one than there is changes nothing. */
void vault_cut(struct vault_reader *reader, uint64_t size);
/* From `at`, at most `len`, at most to the chunk's end. Return: 0 with *ret_len (0 at the end), or VAULT_E_BAD. */
must_check int vault_read(struct vault_reader *reader, uint64_t at, void *buf, size_t len,
			  size_t *ret_len);

/* RIFF WAVE, PCM: `bytes` of sound follow. */
void wav_header(uint8_t ret[static WAV_HEADER], const struct vault_form *form, uint64_t bytes);

/* The sound as the WAV file that a download gives: its length and SHA-256. A step hashes some chunks, so that a thread
 * can do other things in between. At a chunk that cannot be read the reader is cut, and hashing begins anew:
 * what comes out in the end is the hash of vault_size() bytes that can all be read.
 */
struct wav_hash;
struct wav_hash *wav_hash_new(struct vault_reader *reader); /* the reader stays the caller's */
struct wav_hash *wav_hash_free(struct wav_hash *hash);
must_check bool wav_hash_step(struct wav_hash *hash,
			      unsigned chunks);	    /* false while there is more */
bool wav_hash_damaged(const struct wav_hash *hash); /* it was cut */
void wav_hash_text(const struct wav_hash *hash, char ret[static 65]); /* once it is done */
