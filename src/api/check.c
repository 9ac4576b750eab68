/* Members of bodies. Every complaint names its member; nothing that was complained of is used. */
#include "api/private.h"

#include "store/profile_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

static const char required_text[] = "This field is required.";

const char *api_str(const json_t *body, const char *name, bool required, size_t max,
		    json_t **complaints)
{
	const json_t *value = json_object_get(body, name);
	char message[80];

	if (!value) {
		if (required)
			field_complain(complaints, name, required_text);
		return NULL;
	}
	if (json_is_null(value) && !required)
		return NULL;
	if (!json_is_string(value)) {
		field_complain(complaints, name,
			       json_is_null(value) ? "This field may not be null."
						   : "Not a valid string.");
		return NULL;
	}
	if (json_string_length(value) == 0) {
		field_complain(complaints, name, "This field may not be blank.");
		return NULL;
	}
	if (json_string_length(value) > max) {
		snprintf(message, sizeof(message),
			 "Ensure this field has no more than %zu characters.", max);
		field_complain(complaints, name, message);
		return NULL;
	}
	if (!str_is_clean_utf8(json_string_value(value), json_string_length(value))) {
		field_complain(complaints, name, "Control characters are not allowed.");
		return NULL;
	}
	return json_string_value(value);
}

void api_required(const json_t *body, const char *name, json_t **complaints)
{
	const json_t *value = json_object_get(body, name);

	if (!value || json_is_null(value))
		field_complain(complaints, name,
			       value ? "This field may not be null." : required_text);
}

bool api_id(const json_t *body, const char *name, bool required, struct id *ret,
	    json_t **complaints)
{
	const json_t *value = json_object_get(body, name);

	if (!value || json_is_null(value)) {
		if (required)
			field_complain(complaints, name,
				       value ? "This field may not be null." : required_text);
		return false;
	}
	if (!json_is_string(value) || !id_parse(json_string_value(value), ret)) {
		field_complain(complaints, name, "Must be a valid UUID.");
		return false;
	}
	return true;
}

void api_int(const json_t *body, const char *name, int min, int max, int *ret, json_t **complaints)
{
	const json_t *value = json_object_get(body, name);
	char message[96];

	if (!value || json_is_null(value))
		return;
	if (!json_is_integer(value)) {
		field_complain(complaints, name, "A valid integer is required.");
		return;
	}
	if (json_integer_value(value) < min || json_integer_value(value) > max) {
		snprintf(message, sizeof(message), "Ensure this value is between %d and %d.", min,
			 max);
		field_complain(complaints, name, message);
		return;
	}
	*ret = (int)json_integer_value(value);
}

void api_bool(const json_t *body, const char *name, bool *ret, json_t **complaints)
{
	const json_t *value = json_object_get(body, name);

	if (!value || json_is_null(value))
		return;
	if (json_is_boolean(value))
		*ret = json_is_true(value);
	else
		field_complain(complaints, name, "Must be a valid boolean.");
}

int api_word(const json_t *body, const char *name, const char *const *names, int otherwise,
	     json_t **complaints)
{
	const json_t *value = json_object_get(body, name);
	char message[320];

	if (!value || json_is_null(value))
		return otherwise;
	if (json_is_string(value))
		for (int i = 0; names[i]; i++)
			if (str_eq(names[i], json_string_value(value)))
				return i;
	field_choices(message, sizeof(message), json_string_value(value), names);
	field_complain(complaints, name, message);
	return otherwise;
}

/* Digits and the signs a keypad has, an extension's or account's letters, and what people write between digits. */
static const char *number_clean(const char *text, char ret[static VIEW_NUMBER_SIZE])
{
	bool digits = strspn(text, "0123456789+*# -.()/") == strlen(text);
	size_t len = 0;

	for (const char *c = text; *c; c++) {
		bool plain = isalnum((unsigned char)*c) || strchr("+*#._-~", *c);

		if (digits && strchr(" -.()/", *c))
			continue;
		if (!plain || (*c == '+' && len))
			return "Use digits, *, # and a leading +, or letters, digits, '.', '_' and '-' for a name.";
		if (len == VIEW_NUMBER_SIZE - 4)
			return "Ensure this field has no more than 128 characters.";
		ret[len++] = *c;
	}
	ret[len] = '\0';
	return len ? NULL : "This field may not be blank.";
}

bool api_number(const json_t *body, const char *name, bool required,
		char ret[static VIEW_NUMBER_SIZE], json_t **complaints)
{
	const char *text = api_str(body, name, required, 256, complaints), *complaint;

	if (!text)
		return false;
	complaint = number_clean(text, ret);
	if (complaint) {
		ret[0] = '\0';
		field_complain(complaints, name, complaint);
		return false;
	}
	return true;
}

void api_room(const json_t *body, const char *name, char ret[static VIEW_NAME_SIZE],
	      json_t **complaints)
{
	const char *text = api_str(body, name, true, ROOM_NAME_MAX, complaints);
	const char *complaint = text ? profile_check_room(text) : NULL;

	if (complaint)
		field_complain(complaints, name, complaint);
	else if (text)
		(void)str_copy(ret, VIEW_NAME_SIZE, text);
}

/* Loopback, private, link-local, shared (RFC 6598), unspecified, multicast and reserved addresses */
static bool ipv4_is_private(uint32_t addr)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} nets[] = {
		{ 0x00000000, 8 },  { 0x0a000000, 8 },	{ 0x64400000, 10 }, { 0x7f000000, 8 },
		{ 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0a80000, 16 },
		{ 0xc6120000, 15 }, { 0xe0000000, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		if ((addr ^ nets[i].net) >> (32 - nets[i].bits) == 0)
			return true;
	return false;
}

static bool ipv6_is_private(const struct in6_addr *addr)
{
	const uint8_t *b = addr->s6_addr;

	if (IN6_IS_ADDR_V4MAPPED(addr) || IN6_IS_ADDR_V4COMPAT(addr))
		return ipv4_is_private((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 |
				       (uint32_t)b[14] << 8 | b[15]);
	return IN6_IS_ADDR_UNSPECIFIED(addr) || IN6_IS_ADDR_LOOPBACK(addr) ||
	       IN6_IS_ADDR_MULTICAST(addr) || (b[0] & 0xfe) == 0xfc ||
	       (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

/* RFC 1123 2.1 host names, with the underscore that some zones have */
static bool host_is_name(const char *host)
{
	size_t label = 0;

	if (!*host || strlen(host) > 253)
		return false;
	for (const char *c = host; *c; c++) {
		if (*c == '.') {
			if (!label || c[-1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)*c) && *c != '_' && (*c != '-' || !label))
			return false;
		if (++label > 63)
			return false;
	}
	return host[strlen(host) - 1] != '-';
}

static bool host_is_local_name(const char *host)
{
	size_t len = strlen(host);

	return str_eq_nocase(host, "localhost") ||
	       (len > 10 && str_eq_nocase(host + len - 10, ".localhost"));
}

/* The table's own check has seen that it is a host at all; names are looked at again once they are resolved. */
const char *api_server_complaint(const struct api *api, const char *server)
{
	static const char is_private[] = "Private and loopback addresses are not allowed here.";
	size_t len = strlen(server);
	struct in6_addr six;
	struct in_addr four;
	char host[64];

	if (api->setup.allow_private)
		return NULL;
	if (*server == '[' && len > 2 && len < sizeof(host)) {
		str_copy(host, sizeof(host), server + 1);
		host[len - 2] = '\0';
		server = host;
	}
	if (inet_pton(AF_INET6, server, &six) == 1)
		return ipv6_is_private(&six) ? is_private : NULL;
	if (inet_pton(AF_INET, server, &four) == 1)
		return ipv4_is_private(ntohl(four.s_addr)) ? is_private : NULL;
	return host_is_local_name(server) ? is_private : NULL;
}

/* Enough to catch slips of the pen: whether it takes mail only mail can tell. */
const char *api_email_complaint(const char *email)
{
	static const char complaint[] = "Enter a valid email address.";
	const char *at = strrchr(email, '@');

	if (!at || at == email || at - email > 64 || strlen(email) > 254 || !strchr(at, '.') ||
	    !host_is_name(at + 1))
		return complaint;
	for (const char *c = email; c < at; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".!#$%&'*+/=?^_`{|}~-", *c) &&
		    !((unsigned char)*c & 0x80))
			return complaint;
	return email[0] == '.' || at[-1] == '.' || strstr(email, "..") ? complaint : NULL;
}
