/* base/random.h - unpredictable bytes for ids, tags and sequence numbers
 *
 * A system call is shared by many takers, so the bytes have lain in memory: keys are made with libsodium instead.
 * Any thread; each has a pool of its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_fill(void *ret, size_t len);
uint32_t random_u32(void);
