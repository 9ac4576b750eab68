/* sip/address.c - which addresses are nobody's business outside */
#include "sip/resolve.h"

static const struct {
	uint32_t net;
	uint8_t bits;
} private4[] = {
	{ 0x00000000, 8 },  /* this network */
	{ 0x0a000000, 8 },  /* RFC 1918 */
	{ 0x64400000, 10 }, /* RFC 6598 */
	{ 0x7f000000, 8 },  /* loopback */
	{ 0xa9fe0000, 16 }, /* link-local, and the clouds' metadata */
	{ 0xac100000, 12 }, /* RFC 1918 */
	{ 0xc0000000, 24 }, /* RFC 6890 */
	{ 0xc0000200, 24 }, /* documentation */
	{ 0xc0a80000, 16 }, /* RFC 1918 */
	{ 0xc6120000, 15 }, /* benchmarks */
	{ 0xc6336400, 24 }, /* documentation */
	{ 0xcb007100, 24 }, /* documentation */
	{ 0xe0000000, 3 },  /* multicast, reserved, broadcast */
};

static bool is_private4(uint32_t addr)
{
	for (size_t i = 0; i < ARRAY_LEN(private4); i++)
		if ((addr ^ private4[i].net) >> (32 - private4[i].bits) == 0)
			return true;
	return false;
}

static uint32_t read32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_private6(const uint8_t *a)
{
	static const uint8_t zero[16], nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (memcmp(a, zero, 10) == 0 && ((a[10] == 0xff && a[11] == 0xff) || (!a[10] && !a[11])))
		return is_private4(read32(a + 12)); /* mapped, compatible, :: and ::1 */
	if (memcmp(a, nat64, 12) == 0)
		return is_private4(read32(a + 12));
	if (a[0] == 0x20 && a[1] == 0x02)
		return is_private4(read32(a + 2)); /* 6to4 */
	if (read32(a) == 0x20010db8 || read32(a) == 0x20010000)
		return true; /* documentation; Teredo */
	return (a[0] & 0xfe) == 0xfc || a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0x80));
}

bool address_is_private(const struct sa *addr)
{
	uint8_t bytes[16];

	switch (sa_af(addr)) {
	case AF_INET:
		return is_private4(sa_in(addr));
	case AF_INET6:
		memcpy(bytes, &addr->u.in6.sin6_addr, sizeof(bytes));
		return is_private6(bytes);
	default:
		return true;
	}
}
