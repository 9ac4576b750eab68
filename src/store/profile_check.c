#include "store/profile_check.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <ctype.h>

static bool all_of(const char *text, const char *more)
{
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr(more, *text))
			return false;
	}
	return true;
}

static bool is_ipv6(const char *text, size_t len)
{
	char copy[64];
	struct in6_addr addr;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return inet_pton(AF_INET6, copy, &addr) == 1;
}

static bool is_label(const char *label, size_t len)
{
	if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
			return false;
	}
	return true;
}

/* A name whose last label is all digits can only be meant as an address, so it must be one. */
static bool is_name(const char *text, size_t len)
{
	const char *last = text;
	char copy[256];
	struct in_addr addr;

	if (len == 0 || len > 253)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (copy[len - 1] == '.') /* the root's own dot */
		copy[--len] = '\0';
	for (const char *label = copy;;) {
		size_t n = strcspn(label, ".");

		if (!is_label(label, n))
			return false;
		last = label;
		if (!label[n])
			break;
		label += n + 1;
	}
	if (strspn(last, "0123456789") == strlen(last))
		return inet_pton(AF_INET, copy, &addr) == 1;
	return true;
}

static bool is_host(const char *text, size_t len)
{
	return is_name(text, len) || is_ipv6(text, len);
}

const char *profile_check_host(const void *value)
{
	const char *host = value;

	return is_host(host, strlen(host))
		       ? NULL
		       : "Not a host name or IP address. Give it alone: without sip: or https:, the "
			 "port in a field of its own.";
}

static bool is_host_port(const char *text, size_t len)
{
	const char *end = text + len;
	const char *colon = memchr(text, ':', len);
	const char *bracket = text[0] == '[' ? memchr(text, ']', len) : NULL;
	char copy[6] = "";
	int64_t port;

	if (bracket)
		colon = bracket + 1 < end && bracket[1] == ':' ? bracket + 1 : NULL;
	else if (is_ipv6(text, len))
		colon = NULL;
	if (!colon)
		return is_host(text, len);
	if ((size_t)(end - colon - 1) >= sizeof(copy))
		return false;
	memcpy(copy, colon + 1, (size_t)(end - colon - 1));
	return str_to_i64(copy, 1, 65535, &port) && is_host(text, (size_t)(colon - text));
}

const char *profile_check_proxy(const void *value)
{
	static const char bad[] = "Not a host, a host:port or a sip: URI.";
	const char *proxy = value;
	bool uri = strncasecmp(proxy, "sip:", 4) == 0 || strncasecmp(proxy, "sips:", 5) == 0;
	size_t len;

	if (uri)
		proxy = strchr(proxy, ':') + 1;
	len = uri ? strcspn(proxy, ";") : strlen(proxy);
	if (!is_host_port(proxy, len))
		return bad;
	return all_of(proxy + len, ";=-._~!*'()%[]:/&+$") ? NULL : bad;
}

const char *profile_check_username(const void *value)
{
	if (all_of(value, "-_.!~*'()&=+$,?/#"))
		return NULL;
	return strchr(value, '@')
		       ? "Give what stands before the @ alone; what stands behind it is the server. (A "
			 "name to sign in with that has an @ is auth_username.)"
		       : "Only letters, digits and -_.!~*'()&=+$,?/# may be in a SIP user name.";
}

const char *profile_check_auth_username(const void *value)
{
	for (const char *p = value; *p; p++) {
		if (*p <= ' ' || *p == '"' || *p == '\\' || *p == 0x7f)
			return "Spaces, quotes and backslashes are not allowed.";
	}
	return NULL;
}

const char *profile_check_number(const void *value)
{
	const char *number = value;

	if (*number && all_of(number, "+*#-_."))
		return NULL;
	return "A number has digits, letters and + * # - _ . only, no spaces.";
}

const char *profile_check_room(const void *value)
{
	const char *name = value;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "A room's name is more than dots.";
	return strchr(name, '/') ? "A room's name has no slash." : NULL;
}

const char *profile_check_codecs(const void *value)
{
	const char *const *codecs = value;

	for (int i = 0; codecs[i]; i++) {
		for (int k = 0; k < i; k++) {
			if (strcmp(codecs[i], codecs[k]) == 0)
				return "Each codec may be named once.";
		}
	}
	return NULL;
}
