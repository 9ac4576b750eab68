/* fuzz/vault.c - recordings on a disk that did what it wanted with them
 *
 * The first byte is 'f' for a file of the bytes that follow, as they are. Otherwise the input is a length (2 bytes) of
 * sound that is written, and edits to its file: what (1 byte), where (2 bytes), with what (1 byte).
 * Whatever was done, what can still be read is what was said, from its beginning to vault_size().
 */
#include "base/base.h"
#include "fuzz/target.h"
#include "media/vault.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#define SOUND_MAX 65536

static const uint8_t key[VAULT_KEY] = { 1, 2, 3 }, label[VAULT_LABEL] = { 4, 5 };
static uint8_t sound[SOUND_MAX];
static char path[64];

static void path_make(void)
{
	const char *dir = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	if (sodium_init() < 0)
		abort();
	(void)snprintf(path, sizeof(path), "%s/fuzz-vault-%d", dir, (int)getpid());
	for (size_t i = 0; i < sizeof(sound); i++)
		sound[i] = (uint8_t)(i * 7 + i / 251);
}

static void write_sound(size_t len)
{
	struct vault_form form = { 8000, 1 };
	struct vault *vault;

	if (vault_create(path, key, label, &form, &vault) || vault_append(vault, sound, len) ||
	    vault_finish(vault) || vault_written(vault) != len)
		abort();
	vault_free(vault);
}

/* Return: whether nothing was really done. */
static bool edit(int fd, const uint8_t *op)
{
	off_t at = (op[1] << 8 | op[2]) % (SOUND_MAX + 4096);
	uint8_t byte = 0;

	switch (op[0] % 4) {
	case 0: /* bits turned */
		if (pread(fd, &byte, 1, at) == 1) {
			byte ^= op[3];
			if (pwrite(fd, &byte, 1, at) != 1)
				abort();
		}
		return !op[3];
	case 1: /* cut, or longer by a hole */
		if (ftruncate(fd, at))
			abort();
		return false;
	case 2: /* something appended */
		if (lseek(fd, 0, SEEK_END) < 0 || write(fd, op, 4) != 4)
			abort();
		return false;
	default: /* a block of zeros, as a disk leaves it that lost power */
		for (off_t i = 0; i < 64; i++)
			if (pread(fd, &byte, 1, at + i) == 1 && pwrite(fd, "", 1, at + i) != 1)
				abort();
		return false;
	}
}

static uint64_t hash_size(struct vault_reader *reader, bool *ret_damaged)
{
	struct wav_hash *hash = wav_hash_new(reader);

	for (unsigned steps = 0; !wav_hash_step(hash, 1); steps++)
		if (steps > 2 * (SOUND_MAX / VAULT_CHUNK + 2))
			abort(); /* it never ends */
	*ret_damaged = wav_hash_damaged(hash);
	wav_hash_free(hash);
	return vault_size(reader);
}

static void check(size_t len, bool untouched)
{
	struct vault_reader *reader = NULL;
	uint8_t got[4096];
	uint64_t size, at;
	bool damaged;
	size_t n;

	if (vault_open(path, key, label, &reader)) {
		if (untouched)
			abort();
		return;
	}
	size = hash_size(reader, &damaged);
	if (size > len || (untouched && (size != len || damaged)))
		abort();
	for (at = 0; at < size; at += n)
		if (vault_read(reader, at, got, sizeof(got), &n) || !n || at + n > size ||
		    memcmp(got, sound + at, n) != 0)
			abort();
	vault_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool untouched = true;
	size_t len;
	int fd;

	if (!*path)
		path_make();
	(void)unlink(path);
	if (size < 3)
		return 0;
	if (data[0] == 'f') {
		fd = open(path, O_RDWR | O_CREAT, 0600);
		if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
			abort();
		close(fd);
		check(0, false);
		(void)unlink(path);
		return 0;
	}
	len = (size_t)(data[1] << 8 | data[2]);
	write_sound(len);
	fd = open(path, O_RDWR);
	if (fd < 0)
		abort();
	for (data += 3, size -= 3; size >= 4; data += 4, size -= 4)
		untouched = edit(fd, data) && untouched;
	close(fd);
	check(len, untouched);
	(void)unlink(path);
	return 0;
}
