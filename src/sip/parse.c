/* sip/parse.c - URIs, addresses and parameters: cursors over slices, and one table of what a character may be */
#include "sip/parse.h"

#include <strings.h>

enum {
	IS_SPACE = 1 << 0, /* SP, HT, CR, LF: folds are white space too */
	IS_DIGIT = 1 << 1,
	IS_ALPHA = 1 << 2,
	IS_V6 = 1 << 3,	      /* within the brackets of an IPv6 address */
	ENDS_HOST = 1 << 4,   /* begins what follows host and port in a URI */
	ENDS_PATH = 1 << 5,   /* ... and what follows a path */
	ENDS_PARAM = 1 << 6,  /* ends a parameter's name */
	ENDS_SENTBY = 1 << 7, /* begins what follows a Via's sent-by */
};

/* clang-format off */
static const uint8_t classes[256] = {
	['\t'] = IS_SPACE | ENDS_HOST | ENDS_PATH | ENDS_PARAM | ENDS_SENTBY,
	['\n'] = IS_SPACE | ENDS_HOST | ENDS_PATH | ENDS_PARAM | ENDS_SENTBY,
	['\r'] = IS_SPACE | ENDS_HOST | ENDS_PATH | ENDS_PARAM | ENDS_SENTBY,
	[' '] = IS_SPACE | ENDS_HOST | ENDS_PATH | ENDS_PARAM | ENDS_SENTBY,
	['/'] = ENDS_HOST,
	[';'] = ENDS_HOST | ENDS_PATH | ENDS_PARAM | ENDS_SENTBY,
	['?'] = ENDS_HOST | ENDS_PATH,
	['='] = ENDS_PARAM,
	[':'] = IS_V6, ['.'] = IS_V6,
	['0' ... '9'] = IS_DIGIT | IS_V6,
	['A' ... 'F'] = IS_ALPHA | IS_V6, ['G' ... 'Z'] = IS_ALPHA,
	['a' ... 'f'] = IS_ALPHA | IS_V6, ['g' ... 'z'] = IS_ALPHA,
};
/* clang-format on */

static bool is(char c, unsigned class)
{
	return classes[(unsigned char)c] & class;
}

/* ---- cursors: `text` is what is left ---- */

static void skip(struct pl *text, size_t count)
{
	text->p += count;
	text->l -= count;
}

static void skip_space(struct pl *text)
{
	while (text->l && is(*text->p, IS_SPACE))
		skip(text, 1);
}

static bool skip_char(struct pl *text, char c)
{
	if (!text->l || *text->p != c)
		return false;
	skip(text, 1);
	return true;
}

/* `word`, ignoring case, with white space around it. */
static bool skip_word(struct pl *text, const char *word)
{
	size_t len = strlen(word);

	skip_space(text);
	if (text->l < len || strncasecmp(text->p, word, len) != 0)
		return false;
	skip(text, len);
	skip_space(text);
	return true;
}

/* Everything up to the first character of `class`. */
static struct pl take_until(struct pl *text, unsigned class)
{
	struct pl taken = { .p = text->p };

	while (taken.l < text->l && !is(taken.p[taken.l], class))
		taken.l++;
	skip(text, taken.l);
	return taken;
}

static struct pl take_while(struct pl *text, unsigned class)
{
	struct pl taken = { .p = text->p };

	while (taken.l < text->l && is(taken.p[taken.l], class))
		taken.l++;
	skip(text, taken.l);
	return taken;
}

/* Up to `c`, which is not taken; all of it when there is none. */
static struct pl take_to(struct pl *text, char c)
{
	const char *at = text->l ? memchr(text->p, c, text->l) : NULL;
	struct pl taken = { .p = text->p, .l = at ? (size_t)(at - text->p) : text->l };

	skip(text, taken.l);
	return taken;
}

struct pl parse_trimmed(struct pl text)
{
	skip_space(&text);
	while (text.l && is(text.p[text.l - 1], IS_SPACE))
		text.l--;
	return text;
}

/* The length of the quoted string that begins here, quotes included; an open one goes on to the end. */
static size_t quoted_len(const struct pl *text)
{
	size_t i = 1;

	while (i < text->l && text->p[i] != '"')
		i += text->p[i] == '\\' ? 2 : 1;
	return i < text->l ? i + 1 : text->l;
}

static struct pl without_quotes(struct pl text)
{
	if (text.l >= 2 && text.p[0] == '"' && text.p[text.l - 1] == '"') {
		text.p++;
		text.l -= 2;
	}
	return text;
}

static bool is_named(const struct pl *text, const char *name, size_t len)
{
	return text->l == len && strncasecmp(text->p, name, len) == 0;
}

static struct pl or_null(struct pl text)
{
	return text.l ? text : (struct pl){ 0 };
}

/* ---- hosts and URIs ---- */

static uint32_t number_of(const struct pl *digits)
{
	uint32_t number = 0;

	for (size_t i = 0; i < digits->l; i++)
		number = number * 10 + (uint32_t)(digits->p[i] - '0');
	return number;
}

/* Return: false when it is there and no port. */
static bool take_port(struct pl *text, struct pl *ret_port)
{
	*ret_port = (struct pl){ .p = text->p };
	if (!skip_char(text, ':'))
		return true;
	*ret_port = take_while(text, IS_DIGIT);
	return ret_port->l <= 5 && number_of(ret_port) <= 65535;
}

int parse_hostport(const struct pl *text, struct pl *ret_host, struct pl *ret_port)
{
	struct pl rest = *text, host, port;

	if (skip_char(&rest, '[')) {
		host = take_while(&rest, IS_V6);
		if (!skip_char(&rest, ']'))
			return PARSE_E_BAD;
	} else {
		host = take_to(&rest, ':');
	}
	if (!host.l || !take_port(&rest, &port) || rest.l)
		return PARSE_E_BAD;
	*ret_host = host;
	*ret_port = port;
	return 0;
}

/* Names are by far the most: only what could be an address is tried as one. */
static bool address_of(const struct pl *host, struct sa *addr)
{
	bool numeric = memchr(host->p, ':', host->l) != NULL;

	for (size_t i = 0; !numeric; i++) {
		if (i == host->l)
			numeric = true;
		else if (!is(host->p[i], IS_DIGIT) && host->p[i] != '.')
			return false;
	}
	return sa_set(addr, host, 0) == 0;
}

/* RFC 3261 25.1, RFC 3986 3.1 */
static bool scheme_is_fine(const struct pl *scheme)
{
	if (!scheme->l || !is(*scheme->p, IS_ALPHA))
		return false;
	for (size_t i = 1; i < scheme->l; i++)
		if (!is(scheme->p[i], IS_ALPHA | IS_DIGIT) && !memchr("+-.", scheme->p[i], 3))
			return false;
	return true;
}

int parse_uri(const struct pl *text, struct uri *ret)
{
	struct pl rest = *text, hostport, port;
	struct uri uri = { 0 };
	struct sa addr;

	uri.scheme = take_to(&rest, ':');
	if (!scheme_is_fine(&uri.scheme) || !skip_char(&rest, ':'))
		return PARSE_E_BAD;
	if (rest.l && memchr(rest.p, '@', rest.l)) {
		struct pl info = take_to(&rest, '@');

		skip(&rest, 1);
		uri.user = take_to(&info, ':');
		if (skip_char(&info, ':'))
			uri.password = info;
	}
	hostport = take_until(&rest, ENDS_HOST);
	if (!hostport.l || parse_hostport(&hostport, &uri.host, &port))
		return PARSE_E_BAD;
	if (rest.l && is(*rest.p, IS_SPACE))
		return PARSE_E_BAD;
	uri.path = take_until(&rest, ENDS_PATH);
	uri.params = take_to(&rest, '?');
	uri.headers = rest;
	uri.af = address_of(&uri.host, &addr) ? sa_af(&addr) : AF_UNSPEC;
	uri.port = (uint16_t)number_of(&port);
	*ret = uri;
	return 0;
}

/* ---- parameters ---- */

/* From anywhere to behind the next ';' that is in no quoted string. Return: false at the end. */
static bool next_param(struct pl *text)
{
	while (text->l && *text->p != ';')
		skip(text, *text->p == '"' ? quoted_len(text) : 1);
	if (!text->l)
		return false;
	skip(text, 1);
	skip_space(text);
	return true;
}

bool parse_param(const struct pl *text, const char *name, struct pl *ret)
{
	struct pl rest = *text, value;
	size_t len = strlen(name);

	while (next_param(&rest)) {
		struct pl found = take_until(&rest, ENDS_PARAM);

		if (!is_named(&found, name, len))
			continue;
		skip_space(&rest);
		if (!skip_char(&rest, '='))
			continue;
		skip_space(&rest);
		value = (struct pl){ .p = rest.p };
		if (rest.l && *rest.p == '"')
			value.l = quoted_len(&rest);
		else
			value = take_until(&rest, ENDS_SENTBY);
		value = without_quotes(value);
		if (value.l)
			*ret = value;
		return value.l > 0;
	}
	return false;
}

bool parse_has_param(const struct pl *text, const char *name)
{
	struct pl rest = *text;
	size_t len = strlen(name);

	while (next_param(&rest)) {
		struct pl found = take_until(&rest, ENDS_PARAM);

		if (is_named(&found, name, len))
			return true;
	}
	return false;
}

bool parse_uri_header(const struct pl *headers, const char *name, struct pl *ret)
{
	struct pl rest = *headers;
	size_t len = strlen(name);

	while (rest.l) {
		struct pl pair, found;

		skip(&rest, 1); /* '?' or '&' */
		pair = take_to(&rest, '&');
		found = take_to(&pair, '=');
		if (is_named(&found, name, len) && pair.l > 1) {
			skip(&pair, 1);
			*ret = pair;
			return true;
		}
	}
	return false;
}

/* ---- header values ---- */

/* Where the '<' is that begins the address, or text->l. */
static size_t bracket_at(const struct pl *text)
{
	struct pl rest = *text;

	while (rest.l && *rest.p != '<')
		skip(&rest, *rest.p == '"' ? quoted_len(&rest) : 1);
	return text->l - rest.l;
}

int parse_addr(const struct pl *text, struct sip_addr *ret)
{
	struct sip_addr addr = { 0 };
	struct pl rest = *text;
	size_t at = text->l ? bracket_at(text) : 0;

	if (at < text->l) {
		addr.dname = or_null(
			without_quotes(parse_trimmed((struct pl){ .p = text->p, .l = at })));
		skip(&rest, at + 1);
		addr.auri = take_to(&rest, '>');
		if (!skip_char(&rest, '>'))
			return PARSE_E_BAD;
	} else {
		addr.auri = parse_trimmed(take_to(&rest, ';'));
	}
	addr.params = or_null(rest);
	if (parse_uri(&addr.auri, &addr.uri))
		return PARSE_E_BAD;
	*ret = addr;
	return 0;
}

int parse_via(const struct pl *text, struct sip_via *ret)
{
	struct sip_via via = { .tp = SIP_TRANSP_NONE, .val = *text };
	struct pl rest = *text, transport, host, port;

	if (!skip_word(&rest, "SIP") || !skip_word(&rest, "/") || !skip_word(&rest, "2.0") ||
	    !skip_word(&rest, "/"))
		return PARSE_E_BAD;
	transport = take_until(&rest, ENDS_SENTBY);
	if (!transport.l || !is(*transport.p, IS_ALPHA))
		return PARSE_E_BAD;
	if (is_named(&transport, "UDP", 3))
		via.tp = SIP_TRANSP_UDP;
	else if (is_named(&transport, "TCP", 3))
		via.tp = SIP_TRANSP_TCP;
	else if (is_named(&transport, "TLS", 3))
		via.tp = SIP_TRANSP_TLS;
	skip_space(&rest);
	via.sentby = take_until(&rest, ENDS_SENTBY);
	skip_space(&rest);
	via.params = rest;
	if (parse_hostport(&via.sentby, &host, &port) ||
	    !parse_param(&via.params, "branch", &via.branch))
		return PARSE_E_BAD;
	sa_init(&via.addr, AF_INET);
	(void)address_of(&host, &via.addr);
	sa_set_port(&via.addr, (uint16_t)number_of(&port));
	*ret = via;
	return 0;
}

int parse_cseq(const struct pl *text, struct sip_cseq *ret)
{
	struct pl rest = *text, digits = take_while(&rest, IS_DIGIT), space;
	struct pl method;

	space = take_while(&rest, IS_SPACE);
	method = take_until(&rest, IS_SPACE);
	if (!digits.l || !space.l || !method.l)
		return PARSE_E_BAD;
	*ret = (struct sip_cseq){ .num = number_of(&digits), .met = method };
	return 0;
}

int parse_content_type(const struct pl *text, struct msg_ctype *ret)
{
	struct msg_ctype type = { 0 };
	struct pl rest = *text;

	skip_space(&rest);
	type.type = take_until(&rest, ENDS_HOST); /* white space, '/', ';' */
	skip_space(&rest);
	if (!type.type.l || !skip_char(&rest, '/'))
		return PARSE_E_BAD;
	skip_space(&rest);
	type.subtype = take_until(&rest, ENDS_SENTBY);
	if (!type.subtype.l)
		return PARSE_E_BAD;
	type.params = rest;
	*ret = type;
	return 0;
}
