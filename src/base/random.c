#include "base/random.h"

#include <sodium.h>
#include <string.h>

#define POOL 1024

void random_fill(void *ret, size_t len)
{
	static _Thread_local uint8_t pool[POOL];
	static _Thread_local size_t left;

	if (len > sizeof(pool)) {
		randombytes_buf(ret, len);
		return;
	}
	if (left < len) {
		randombytes_buf(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= len;
	memcpy(ret, pool + left, len);
	memset(pool + left, 0, len); /* what was given is nowhere else */
}

uint32_t random_u32(void)
{
	uint32_t value;

	random_fill(&value, sizeof(value));
	return value;
}
