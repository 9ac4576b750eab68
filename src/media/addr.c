#include "media/media.h"

#include <arpa/inet.h>
#include <stdio.h>

bool media_addr_parse(const char *ip, uint16_t port, union media_addr *ret)
{
	union media_addr addr = { 0 };

	if (!ip)
		return false;
	if (inet_pton(AF_INET, ip, &addr.in.sin_addr) == 1) {
		addr.in.sin_family = AF_INET;
		addr.in.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, ip, &addr.in6.sin6_addr) == 1) {
		addr.in6.sin6_family = AF_INET6;
		addr.in6.sin6_port = htons(port);
	} else {
		return false;
	}
	*ret = addr;
	return true;
}

const char *media_addr_print(const union media_addr *addr, char buf[static MEDIA_ADDR_STR_SIZE])
{
	char ip[INET6_ADDRSTRLEN] = "";

	buf[0] = '\0';
	if (addr->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &addr->in.sin_addr, ip, sizeof(ip));
		snprintf(buf, MEDIA_ADDR_STR_SIZE, "%s:%u", ip, media_addr_port(addr));
	} else if (addr->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, ip, sizeof(ip));
		snprintf(buf, MEDIA_ADDR_STR_SIZE, "[%s]:%u", ip, media_addr_port(addr));
	}
	return buf;
}

uint16_t media_addr_port(const union media_addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return ntohs(addr->in.sin_port);
	if (addr->sa.sa_family == AF_INET6)
		return ntohs(addr->in6.sin6_port);
	return 0;
}

void media_addr_set_port(union media_addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET)
		addr->in.sin_port = htons(port);
	else if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
}

bool media_addr_ip_eq(const union media_addr *a, const union media_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	if (a->sa.sa_family == AF_INET6)
		return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
	return false;
}

bool media_addr_eq(const union media_addr *a, const union media_addr *b)
{
	return media_addr_ip_eq(a, b) && media_addr_port(a) == media_addr_port(b);
}

bool media_addr_is_any(const union media_addr *addr)
{
	return !media_addr_port(addr) || media_addr_host_is_any(addr);
}

bool media_addr_host_is_any(const union media_addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->sa.sa_family != AF_INET6 || IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}
