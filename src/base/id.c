/* base/id.c - UUIDv7: 48 bits of milliseconds, a 12-bit counter, 62 random bits
 *
 * The counter (RFC 9562 6.2, method 1) starts low at random each millisecond and rises, so that ids of one thread
 * sort as they were made; when it runs over, or the clock steps back, the time part runs ahead of the clock.
 */
#include "base/id.h"

#include "base/clock.h"
#include "base/random.h"

#define COUNTER_MAX 0xfff
#define COUNTER_SEED_MASK 0x3ff

static _Thread_local struct {
	uint64_t last_ms;
	unsigned counter;
} maker;

struct id id_new(void)
{
	uint64_t now_ms = (uint64_t)clock_wall_us() / 1000;
	struct id id;
	uint16_t seed;

	random_fill(id.byte + 8, 8);
	if (now_ms <= maker.last_ms && maker.counter < COUNTER_MAX) {
		maker.counter++;
	} else {
		maker.last_ms = now_ms > maker.last_ms ? now_ms : maker.last_ms + 1;
		random_fill(&seed, sizeof(seed));
		maker.counter = seed & COUNTER_SEED_MASK;
	}

	for (unsigned i = 0; i < 6; i++)
		id.byte[i] = (uint8_t)(maker.last_ms >> (40 - 8 * i));
	id.byte[6] = (uint8_t)(0x70 | (maker.counter >> 8));
	id.byte[7] = (uint8_t)maker.counter;
	id.byte[8] = (uint8_t)((id.byte[8] & 0x3f) | 0x80);
	return id;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool is_dash_place(unsigned i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

bool id_parse(const char *str, struct id *ret)
{
	struct id id = ID_NONE;
	unsigned digit = 0;

	if (!str || strnlen(str, ID_STR_SIZE) != ID_STR_SIZE - 1)
		return false;
	for (unsigned i = 0; i < ID_STR_SIZE - 1; i++) {
		int value = hex_value(str[i]);

		if (is_dash_place(i)) {
			if (str[i] != '-')
				return false;
			continue;
		}
		if (value < 0)
			return false;
		id.byte[digit / 2] = (uint8_t)(id.byte[digit / 2] << 4 | value);
		digit++;
	}
	*ret = id;
	return true;
}

const char *id_print(struct id id, char buf[static ID_STR_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	char *p = buf;

	if (id_is_none(id)) {
		buf[0] = '\0';
		return buf;
	}
	for (unsigned i = 0; i < sizeof(id.byte); i++) {
		if (is_dash_place((unsigned)(p - buf)))
			*p++ = '-';
		*p++ = hex[id.byte[i] >> 4];
		*p++ = hex[id.byte[i] & 15];
	}
	*p = '\0';
	return buf;
}
