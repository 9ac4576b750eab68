#include "engine/sdesc.h"

#include <ctype.h>
#include <sodium.h>
#include <strings.h>

/* A slice of the text; no copies while reading. */
struct slice {
	const char *at;
	size_t len;
};

struct reader {
	struct sdesc_remote *remote;
	union media_addr session_addr; /* c= before the first m= */
	bool session_null, have_session_addr;
	enum sdesc_direction session_direction;
	int line;  /* the m= line we are in, -1 before the first */
	bool ours; /* it is the audio line that we take */
	bool have_addr;
	bool version_seen;
};

static bool slice_is(struct slice slice, const char *text)
{
	return slice.len == strlen(text) && !strncasecmp(slice.at, text, slice.len);
}

/* The next word, and the text behind it. */
static struct slice word(struct slice *rest)
{
	struct slice found;

	while (rest->len && *rest->at == ' ') {
		rest->at++;
		rest->len--;
	}
	found.at = rest->at;
	while (rest->len && *rest->at != ' ') {
		rest->at++;
		rest->len--;
	}
	found.len = (size_t)(rest->at - found.at);
	return found;
}

/* Up to `stop`, which is passed over. */
static struct slice until(struct slice *rest, char stop)
{
	const char *end = memchr(rest->at, stop, rest->len);
	struct slice found = { rest->at, end ? (size_t)(end - rest->at) : rest->len };
	size_t skip = found.len + (end != NULL);

	rest->at += skip;
	rest->len -= skip;
	return found;
}

static bool number(struct slice slice, unsigned max, unsigned *ret)
{
	unsigned value = 0;

	if (!slice.len || slice.len > 9)
		return false;
	for (size_t i = 0; i < slice.len; i++) {
		if (!isdigit((unsigned char)slice.at[i]))
			return false;
		value = value * 10 + (unsigned)(slice.at[i] - '0');
	}
	if (value > max)
		return false;
	*ret = value;
	return true;
}

static void copy(char *dst, size_t size, struct slice slice)
{
	size_t len = slice.len < size - 1 ? slice.len : size - 1;

	memcpy(dst, slice.at, len);
	dst[len] = '\0';
}

/* c=IN IP4 192.0.2.1[/ttl]. Return: false for what is no address (a name): nothing will be sent to it. */
static bool connection(struct slice rest, union media_addr *ret, bool *ret_null)
{
	struct slice net = word(&rest), family = word(&rest), host = word(&rest);
	struct slice literal = until(&host, '/');
	char text[64];

	*ret_null = false;
	if (!slice_is(net, "IN") || literal.len >= sizeof(text) ||
	    (!slice_is(family, "IP4") && !slice_is(family, "IP6")))
		return false;
	copy(text, sizeof(text), literal);
	if (!media_addr_parse(text, 0, ret))
		return false;
	*ret_null = str_eq(text, "0.0.0.0") || str_eq(text, "::");
	return true;
}

/* ---- m= ---- */

static bool proto_known(struct slice proto, bool *ret_secure)
{
	*ret_secure = slice_is(proto, "RTP/SAVP") || slice_is(proto, "RTP/SAVPF");
	return *ret_secure || slice_is(proto, "RTP/AVP") || slice_is(proto, "RTP/AVPF");
}

static void static_format(struct sdesc_format *format)
{
	for (int codec = 1; codec < MEDIA_CODEC_COUNT; codec++) {
		const struct media_codec_info *info = media_codec_info(codec);

		if (info && info->static_pt == format->pt) {
			format->codec = info->codec;
			format->clock_rate = info->clock_rate;
		}
	}
}

static void read_formats(struct sdesc_remote *remote, struct slice rest)
{
	struct slice item;
	unsigned pt;

	remote->format_count = 0;
	while ((item = word(&rest)).len && remote->format_count < SDESC_FORMATS_MAX) {
		struct sdesc_format *format = &remote->formats[remote->format_count];

		if (!number(item, 127, &pt))
			continue;
		*format = (struct sdesc_format){ .pt = (uint8_t)pt };
		static_format(format);
		remote->format_count++;
	}
}

/* The first live audio line that speaks RTP is ours. */
static int read_media(struct reader *reader, struct slice rest)
{
	struct sdesc_remote *remote = reader->remote;
	struct slice kind = word(&rest), port_text = word(&rest), proto = word(&rest),
		     formats = rest;
	struct slice first = word(&rest);
	struct sdesc_refused *line;
	unsigned port;
	bool secure, known;

	port_text = until(&port_text, '/');
	if (remote->line_count >= SDESC_MEDIA_MAX || !kind.len || !proto.len || !first.len ||
	    !number(port_text, 65535, &port))
		return SDESC_E_BAD;
	line = &remote->lines[remote->line_count];
	/* What does not fit could not be echoed as it was. */
	if (kind.len >= sizeof(line->kind) || proto.len >= sizeof(line->proto) ||
	    first.len >= sizeof(line->format))
		return SDESC_E_BAD;
	copy(line->kind, sizeof(line->kind), kind);
	copy(line->proto, sizeof(line->proto), proto);
	copy(line->format, sizeof(line->format), first);
	reader->line = (int)remote->line_count++;
	known = proto_known(proto, &secure);
	reader->ours = remote->audio < 0 && port && known && slice_is(kind, "audio");
	reader->have_addr = false;
	if (!reader->ours)
		return 0;
	remote->audio = reader->line;
	remote->port = (uint16_t)port;
	remote->secure = secure;
	remote->direction = reader->session_direction;
	read_formats(remote, formats);
	return 0;
}

/* ---- a= ---- */

static struct sdesc_format *format_of(struct sdesc_remote *remote, unsigned pt)
{
	for (unsigned i = 0; i < remote->format_count; i++)
		if (remote->formats[i].pt == pt)
			return &remote->formats[i];
	return NULL;
}

static void rtpmap(struct sdesc_remote *remote, struct slice value)
{
	struct slice pt_text = word(&value), encoding = word(&value);
	struct slice name = until(&encoding, '/'), rate_text = until(&encoding, '/');
	const struct media_codec_info *info;
	struct sdesc_format *format;
	unsigned pt, rate, channels = 1;
	char text[32];

	if (!number(pt_text, 127, &pt) || !number(rate_text, 192000, &rate) ||
	    name.len >= sizeof(text))
		return;
	format = format_of(remote, pt);
	if (!format)
		return;
	if (encoding.len && !number(encoding, 8, &channels))
		return;
	copy(text, sizeof(text), name);
	info = media_codec_find(text, rate);
	format->codec = MEDIA_CODEC_NONE;
	format->clock_rate = rate;
	/* The same name with more channels is another sound (L16/44100/2); Opus always says two. */
	if (info && (channels == info->channels || !info->audio))
		format->codec = info->codec;
}

static void fmtp(struct sdesc_remote *remote, struct slice value)
{
	struct slice pt_text = word(&value);
	struct sdesc_format *format;
	unsigned pt;

	if (!number(pt_text, 127, &pt))
		return;
	format = format_of(remote, pt);
	while (format && value.len) {
		struct slice item = until(&value, ';');

		while (item.len && *item.at == ' ') {
			item.at++;
			item.len--;
		}
		if (slice_is(item, "useinbandfec=1"))
			format->fec = true;
	}
}

static const struct {
	const char *name;
	enum media_crypto_suite suite;
} suites[] = {
	{ "AEAD_AES_128_GCM", MEDIA_CRYPTO_AEAD_AES_128_GCM },
	{ "AEAD_AES_256_GCM", MEDIA_CRYPTO_AEAD_AES_256_GCM },
	{ "AES_CM_128_HMAC_SHA1_80", MEDIA_CRYPTO_AES_CM_128_SHA1_80 },
	{ "AES_CM_128_HMAC_SHA1_32", MEDIA_CRYPTO_AES_CM_128_SHA1_32 },
};

/* a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY||lifetime|MKI (RFC 4568 9.1). With an MKI it is not for us. */
static void crypto(struct sdesc_remote *remote, struct slice value)
{
	struct slice tag_text = word(&value), suite = word(&value), key = word(&value);
	struct media_crypto read = { MEDIA_CRYPTO_NONE };
	size_t len = 0;
	unsigned tag;

	if (remote->crypto.suite || !number(tag_text, 999999999, &tag) || value.len > 128)
		return;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		if (slice_is(suite, suites[i].name))
			read.suite = suites[i].suite;
	if (!read.suite || key.len < 7 || strncasecmp(key.at, "inline:", 7))
		return;
	key.at += 7;
	key.len -= 7;
	if (memchr(key.at, ':', key.len))
		return;
	key = until(&key, '|');
	if (sodium_base642bin(read.key, sizeof(read.key), key.at, key.len, NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) &&
	    sodium_base642bin(read.key, sizeof(read.key), key.at, key.len, NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL_NO_PADDING))
		return;
	if (len != media_crypto_key_len(read.suite))
		return;
	remote->crypto = read;
	remote->crypto_tag = tag;
}

static bool direction(struct slice name, enum sdesc_direction *ret)
{
	if (slice_is(name, "sendrecv"))
		*ret = SDESC_SENDRECV;
	else if (slice_is(name, "sendonly"))
		*ret = SDESC_SENDONLY;
	else if (slice_is(name, "recvonly"))
		*ret = SDESC_RECVONLY;
	else if (slice_is(name, "inactive"))
		*ret = SDESC_INACTIVE;
	else
		return false;
	return true;
}

/* a=rtcp:port [IN IP4 address] (RFC 3605) */
static void rtcp(struct sdesc_remote *remote, struct slice value)
{
	struct slice port_text = word(&value);
	bool null;
	unsigned port;

	if (!number(port_text, 65535, &port) || !port)
		return;
	if (!connection(value, &remote->rtcp, &null) || null)
		remote->rtcp = (union media_addr){ 0 };
	remote->rtcp_port = (uint16_t)port;
	if (remote->rtcp.sa.sa_family != AF_UNSPEC)
		media_addr_set_port(&remote->rtcp, (uint16_t)port);
}

static void attribute(struct reader *reader, struct slice rest)
{
	struct slice name = until(&rest, ':');
	unsigned ms;

	if (reader->line < 0) {
		(void)direction(name, &reader->session_direction);
		return;
	}
	if (!reader->ours || direction(name, &reader->remote->direction))
		return;
	if (slice_is(name, "rtpmap"))
		rtpmap(reader->remote, rest);
	else if (slice_is(name, "fmtp"))
		fmtp(reader->remote, rest);
	else if (slice_is(name, "ptime") && number(rest, 200, &ms))
		reader->remote->ptime_ms = ms;
	else if (slice_is(name, "rtcp-mux"))
		reader->remote->mux = true;
	else if (slice_is(name, "rtcp"))
		rtcp(reader->remote, rest);
	else if (slice_is(name, "crypto"))
		crypto(reader->remote, rest);
}

/* ---- lines ---- */

static void address(struct reader *reader, struct slice rest)
{
	union media_addr addr;
	bool null;
	bool good = connection(rest, &addr, &null);

	if (reader->line < 0) {
		reader->have_session_addr = good;
		reader->session_null = null;
		if (good)
			reader->session_addr = addr;
	} else if (reader->ours) {
		reader->have_addr = true;
		reader->remote->null_addr = null;
		reader->remote->addr = good ? addr : (union media_addr){ 0 };
	}
}

/* The audio line is complete: its address is its own or the session's. */
static void settle(struct reader *reader)
{
	struct sdesc_remote *remote = reader->remote;

	if (!reader->ours)
		return;
	if (!reader->have_addr && reader->have_session_addr) {
		remote->addr = reader->session_addr;
		remote->null_addr = reader->session_null;
	}
	if (remote->null_addr)
		remote->addr = (union media_addr){ 0 };
	if (remote->addr.sa.sa_family != AF_UNSPEC)
		media_addr_set_port(&remote->addr, remote->port);
	reader->ours = false;
}

static int read_line(struct reader *reader, struct slice line)
{
	struct slice value;

	if (line.len < 2 || line.at[1] != '=')
		return line.len ? SDESC_E_BAD : 0;
	value = (struct slice){ line.at + 2, line.len - 2 };
	switch (line.at[0]) {
	case 'v':
		reader->version_seen = slice_is(value, "0");
		return reader->version_seen ? 0 : SDESC_E_BAD;
	case 'c':
		address(reader, value);
		return 0;
	case 'm':
		settle(reader);
		return read_media(reader, value);
	case 'a':
		attribute(reader, value);
		return 0;
	default:
		return 0;
	}
}

int sdesc_parse(const void *text, size_t len, struct sdesc_remote *ret)
{
	struct slice rest = { text, len };
	struct sdesc_remote remote = { .audio = -1, .direction = SDESC_SENDRECV };
	struct reader reader = { .remote = &remote,
				 .session_direction = SDESC_SENDRECV,
				 .line = -1 };
	union media_addr rtcp_addr;

	if (!len || memchr(text, '\0', len))
		return SDESC_E_BAD;
	while (rest.len) {
		struct slice line = until(&rest, '\n');

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (read_line(&reader, line))
			return SDESC_E_BAD;
	}
	settle(&reader);
	if (!reader.version_seen || !remote.line_count)
		return SDESC_E_BAD;
	/* a=rtcp with a port alone means the audio's address. */
	if (remote.rtcp.sa.sa_family == AF_UNSPEC && remote.rtcp_port) {
		rtcp_addr = remote.addr;
		if (rtcp_addr.sa.sa_family != AF_UNSPEC)
			media_addr_set_port(&rtcp_addr, remote.rtcp_port);
		remote.rtcp = rtcp_addr;
	}
	*ret = remote;
	return 0;
}
