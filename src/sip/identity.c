#include "sip/session_private.h"

#include <stdio.h>

#define NUMBER_MAX 128
#define NAME_LIMIT 128

void text_clean(char *dst, size_t size, const char *src, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size; i++) {
		unsigned char c = (unsigned char)src[i];

		if (c >= 0x20 && c != 0x7f)
			dst[n++] = (char)c;
	}
	dst[n] = 0;
	while (n && !str_is_clean_utf8(dst, n))
		dst[--n] = 0; /* the cut may have split a character */
}

/* ---- what they say ---- */

static void unescape(char *dst, size_t size, const struct pl *src)
{
	char text[256];
	size_t n = 0;

	for (size_t i = 0; i < src->l && n + 1 < sizeof(text); i++) {
		struct pl hex = { .p = src->p + i + 1, .l = 2 };

		if (src->p[i] == '%' && i + 2 < src->l &&
		    strspn(hex.p, "0123456789abcdefABCDEF") >= 2) {
			text[n++] = (char)pl_x32(&hex);
			i += 2;
		} else {
			text[n++] = src->p[i];
		}
	}
	text_clean(dst, size, text, n);
}

static void display_name(char *dst, size_t size, const struct pl *dname)
{
	char text[256];
	size_t n = 0;

	for (size_t i = 0; i < dname->l && n + 1 < sizeof(text); i++) {
		if (dname->p[i] == '\\' && i + 1 < dname->l)
			i++;
		text[n++] = dname->p[i];
	}
	text_clean(dst, size, text, n);
}

static bool peer_take(struct session_peer *peer, const struct pl *value)
{
	struct sip_addr addr;

	if (parse_addr(value, &addr))
		return false;
	if (pl_isset(&addr.uri.user))
		unescape(peer->number, sizeof(peer->number), &addr.uri.user);
	else if (!pl_strcasecmp(&addr.uri.scheme, "tel"))
		unescape(peer->number, sizeof(peer->number), &addr.uri.host);
	else
		peer->number[0] = 0;
	display_name(peer->name, sizeof(peer->name), &addr.dname);
	text_clean(peer->uri, sizeof(peer->uri), addr.auri.p, addr.auri.l);
	return true;
}

static void forwarded_take(struct session_peer *peer, const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header_named(msg, "Diversion");
	struct sip_addr addr;

	if (!hdr && inmsg_count(msg, SIP_HDR_HISTORY_INFO) > 1)
		hdr = inmsg_header(msg, SIP_HDR_HISTORY_INFO);
	if (hdr && !parse_addr(&hdr->val, &addr))
		unescape(peer->forwarded_by, sizeof(peer->forwarded_by), &addr.uri.user);
}

/* PAI only from who may assert it (RFC 3325 5), then RPID, then From. */
void identity_read(const struct sip_msg *msg, bool trusted, struct session_peer *ret_peer)
{
	const struct sip_hdr *pai = trusted ? inmsg_header(msg, SIP_HDR_P_ASSERTED_IDENTITY) : NULL;
	const struct sip_hdr *rpid = trusted ? inmsg_header_named(msg, "Remote-Party-ID") : NULL;
	const struct sip_hdr *privacy = inmsg_header(msg, SIP_HDR_PRIVACY);
	const struct pl *own = msg->req ? &msg->from.val : &msg->to.val;
	struct session_peer peer = { 0 };
	struct pl end;

	if (!(pai && peer_take(&peer, &pai->val)) && !(rpid && peer_take(&peer, &rpid->val)))
		(void)peer_take(&peer, own);
	if (!peer.name[0] && (pai || rpid)) {
		struct sip_addr addr;

		if (!parse_addr(own, &addr))
			display_name(peer.name, sizeof(peer.name), &addr.dname);
	}
	if (privacy && (inmsg_has_token(msg, SIP_HDR_PRIVACY, "id") ||
			inmsg_has_token(msg, SIP_HDR_PRIVACY, "user") ||
			strstr(peer.uri, "anonymous.invalid")))
		peer.anonymous = true;
	if (rpid && parse_param(&rpid->val, "privacy", &end) && !pl_strcasecmp(&end, "full"))
		peer.anonymous = true;
	if (msg->req && !pl_strcasecmp(&msg->from.uri.host, "anonymous.invalid"))
		peer.anonymous = true;
	forwarded_take(&peer, msg);
	*ret_peer = peer;
}

bool identity_equal(const struct session_peer *a, const struct session_peer *b)
{
	return !strcmp(a->number, b->number) && !strcmp(a->name, b->name) &&
	       a->anonymous == b->anonymous;
}

/* ---- what we say ---- */

static bool part_ok(const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;

	return !len || (len <= max && str_is_clean_utf8(text, len));
}

static bool uri_ok(const char *text)
{
	struct uri uri;
	struct pl pl;

	pl_set_str(&pl, text);
	return !strpbrk(text, "<>\" \t") && !parse_uri(&pl, &uri) && !pl_isset(&uri.headers);
}

/* A number is a user part at `domain`; a whole URI stays one. */
static bool identity_uri(const char *number, const char *domain, struct buf *out)
{
	if (!strncasecmp(number, "sip:", 4) || !strncasecmp(number, "sips:", 5)) {
		buf_adds(out, number);
		return uri_ok(number);
	}
	if (strpbrk(number, "<>\" \t@"))
		return false;
	buf_adds(out, "sip:");
	header_user(out, number);
	buf_addf(out, "@%s", domain);
	return true;
}

int identity_lines(const struct session_id *id, const struct account *account, const char *domain,
		   struct buf *ret_from, struct buf *ret_lines)
{
	auto_(buf_fini) struct buf own = BUF_MAX(512), shown = BUF_MAX(512), value = BUF_MAX(1024);
	const char *number = id->number && *id->number ? id->number
			     : account		       ? account->username
						       : "anonymous";
	const char *host = account ? account->from_domain : domain;
	bool own_from = account && (id->mode == SESSION_ID_PPI || id->mode == SESSION_ID_PAI ||
				    id->mode == SESSION_ID_RPID);

	if (!part_ok(id->number, NUMBER_MAX) || !part_ok(id->name, NAME_LIMIT))
		return SESSION_E_BAD;
	if (!identity_uri(number, host, &shown))
		return SESSION_E_BAD;
	if (account)
		account_aor(account, &own);
	header_name_addr(&value, id->name, shown.data);

	if (id->mode ==
	    SESSION_ID_ANONYMOUS) /* both or neither: From hidden and Privacy asked for */
		buf_adds(ret_from, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
	else
		header_name_addr(ret_from, id->name, own_from ? own.data : shown.data);

	switch (id->mode) {
	case SESSION_ID_PLAIN:
	case SESSION_ID_FROM:
		break;
	case SESSION_ID_FROM_PAI:
	case SESSION_ID_PAI:
		buf_addf(ret_lines, "P-Asserted-Identity: %s\r\n", value.data);
		break;
	case SESSION_ID_PPI:
		if (id->number && *id->number)
			buf_addf(ret_lines, "P-Preferred-Identity: %s\r\n", value.data);
		break;
	case SESSION_ID_RPID:
		buf_addf(ret_lines, "Remote-Party-ID: %s;party=calling;privacy=off;screen=no\r\n",
			 value.data);
		break;
	case SESSION_ID_ANONYMOUS:
		buf_addf(ret_lines, "Privacy: id\r\nP-Preferred-Identity: %s\r\n", value.data);
		break;
	}
	return ret_from->failed || ret_lines->failed || shown.failed || value.failed ? SESSION_E_BAD
										     : 0;
}

/* ---- Reason (RFC 3326) ---- */

struct reason_scan {
	uint16_t q850;
	bool elsewhere;
	char *text;
	size_t size;
};

static bool reason_header(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	const struct pl *value = &hdr->val;
	struct reason_scan *scan = arg;
	struct pl cause, text;
	uint32_t number;

	(void)msg;
	if (!parse_param(value, "cause", &cause) || !inmsg_u32(&cause, 699, &number))
		return false;
	if (value->l >= 5 && !strncasecmp(value->p, "Q.850", 5) && number < 128)
		scan->q850 = (uint16_t)number;
	if (value->l >= 3 && !strncasecmp(value->p, "SIP", 3) && number == 200)
		scan->elsewhere = true;
	if (scan->text && !scan->text[0] && parse_param(value, "text", &text))
		text_clean(scan->text, scan->size, text.p, text.l);
	return false;
}

bool reason_read(const struct sip_msg *msg, uint16_t *ret_q850, char *text, size_t text_size)
{
	struct reason_scan scan = { .text = text, .size = text_size };

	if (text)
		text[0] = 0;
	(void)inmsg_each(msg, true, SIP_HDR_REASON, reason_header, &scan);
	*ret_q850 = scan.q850;
	return scan.elsewhere;
}

static const struct {
	uint16_t code, q850;
} causes[] = {
	/* RFC 3398 8.2.6.1, 7.2.4.1 */
	{ 200, 16 },  { 404, 1 },   { 410, 22 }, { 480, 18 },  { 408, 102 }, { 486, 17 },
	{ 600, 17 },  { 603, 21 },  { 403, 21 }, { 401, 21 },  { 407, 21 },  { 484, 28 },
	{ 487, 31 },  { 488, 65 },  { 606, 65 }, { 604, 1 },   { 500, 41 },  { 502, 38 },
	{ 503, 41 },  { 504, 102 }, { 483, 25 }, { 405, 63 },  { 481, 127 }, { 415, 79 },
	{ 420, 127 }, { 402, 21 },  { 406, 79 }, { 413, 127 }, { 414, 127 }, { 416, 127 },
	{ 482, 25 },  { 485, 1 },   { 501, 79 }, { 505, 127 }, { 513, 127 },
};

uint16_t session_q850_of(uint16_t code)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		if (causes[i].code == code)
			return causes[i].q850;
	}
	return 0;
}
