/* sip/rand.c - libre's random numbers, drawn from our pool
 *
 * libre's decoder makes a tag for every message it reads and asks OpenSSL for it, which costs as much as a quarter of
 * the decoding. A program's own functions come before a shared library's of the same name, so libre calls these.
 */
#include "base/random.h"

#include <re/re.h>

uint32_t rand_u32(void)
{
	return random_u32();
}

uint64_t rand_u64(void)
{
	uint64_t value;

	random_fill(&value, sizeof(value));
	return value;
}
