/* media/opus_file.h - a vault's sound as an Ogg Opus file (RFC 7845) */
#pragma once

#include "media/vault.h"

#include <stdatomic.h>

/* A worker's: takes seconds for an hour of sound. Writes to `fd` from its beginning; the same sound makes the same bytes.
 * Return: 0, OPUS_FILE_E_STOPPED once *stop is true, VAULT_E_BAD, or negative errno.
 */
enum { OPUS_FILE_E_STOPPED = 64 };
must_check int opus_file_write(struct vault_reader *reader, int fd, const atomic_bool *stop);
