/* sip/decode.c - a message's bytes to libre's struct sip_msg, and the way to its headers
 *
 * One pass, one allocation for a message of common size. A header is known by its whole name (libre knows it by twelve
 * bits of a hash, so that any name may be made to look like another). Lines are in msg->hdrl; the single values of comma
 * lists are beside them in an index of ours, which hangs at msg->sock, a member that nothing else uses.
 */
#include "sip/private.h"

#include <strings.h>

#define VALUES_FIRST 16 /* room in the message itself */
#define VALUES_MAX 1024 /* 256 lines, and lists in some of them: more is an attack */
#define LINE_MAX 8192	/* of a first line */

enum {
	LIST = 1 << 0, /* values are separated by commas */
	IN_VALUES =
		1
		<< 1 /* hdrl has its values, not its lines: each Via and Route is copied for itself */
};

/* The ones that each message has come first. */
static const struct header_name {
	enum sip_hdrid id;
	const char *name;
	uint8_t len;
	char compact;
	uint8_t flags;
} names[] = {
#define NAME(id, text, compact, flags)                                                             \
	{                                                                                          \
		SIP_HDR_##id, text, sizeof(text) - 1, compact, flags                               \
	}
	NAME(VIA, "Via", 'v', LIST | IN_VALUES),
	NAME(FROM, "From", 'f', 0),
	NAME(TO, "To", 't', 0),
	NAME(CALL_ID, "Call-ID", 'i', 0),
	NAME(CSEQ, "CSeq", 0, 0),
	NAME(CONTACT, "Contact", 'm', LIST),
	NAME(MAX_FORWARDS, "Max-Forwards", 0, 0),
	NAME(CONTENT_LENGTH, "Content-Length", 'l', 0),
	NAME(CONTENT_TYPE, "Content-Type", 'c', 0),
	NAME(ALLOW, "Allow", 0, LIST),
	NAME(SUPPORTED, "Supported", 'k', LIST),
	NAME(USER_AGENT, "User-Agent", 0, 0),
	NAME(ROUTE, "Route", 0, LIST | IN_VALUES),
	NAME(RECORD_ROUTE, "Record-Route", 0, LIST),
	NAME(EXPIRES, "Expires", 0, 0),
	NAME(REQUIRE, "Require", 0, LIST),
	NAME(SERVER, "Server", 0, 0),
	NAME(SESSION_EXPIRES, "Session-Expires", 'x', 0),
	NAME(AUTHORIZATION, "Authorization", 0, 0),
	NAME(WWW_AUTHENTICATE, "WWW-Authenticate", 0, 0),
	NAME(PROXY_AUTHENTICATE, "Proxy-Authenticate", 0, 0),
	NAME(PROXY_AUTHORIZATION, "Proxy-Authorization", 0, 0),
	NAME(ACCEPT, "Accept", 0, LIST),
	NAME(ACCEPT_CONTACT, "Accept-Contact", 'a', LIST),
	NAME(ALLOW_EVENTS, "Allow-Events", 'u', LIST),
	NAME(AUTHENTICATION_INFO, "Authentication-Info", 0, LIST),
	NAME(CONTENT_ENCODING, "Content-Encoding", 'e', LIST),
	NAME(EVENT, "Event", 'o', 0),
	NAME(HISTORY_INFO, "History-Info", 0, LIST),
	NAME(IDENTITY, "Identity", 'y', 0),
	NAME(IDENTITY_INFO, "Identity-Info", 'n', 0),
	NAME(MIN_EXPIRES, "Min-Expires", 0, 0),
	NAME(MIN_SE, "Min-SE", 0, 0),
	NAME(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 0, LIST),
	NAME(P_CALLED_PARTY_ID, "P-Called-Party-ID", 0, 0),
	NAME(P_EARLY_MEDIA, "P-Early-Media", 0, LIST),
	NAME(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 0, LIST),
	NAME(PATH, "Path", 0, LIST),
	NAME(PRIVACY, "Privacy", 0, 0),
	NAME(PROXY_REQUIRE, "Proxy-Require", 0, LIST),
	NAME(RACK, "RAck", 0, 0),
	NAME(REASON, "Reason", 0, LIST),
	NAME(REFER_SUB, "Refer-Sub", 0, 0),
	NAME(REFER_TO, "Refer-To", 'r', 0),
	NAME(REFERRED_BY, "Referred-By", 'b', 0),
	NAME(REJECT_CONTACT, "Reject-Contact", 'j', LIST),
	NAME(REPLACES, "Replaces", 0, 0),
	NAME(REQUEST_DISPOSITION, "Request-Disposition", 'd', LIST),
	NAME(RETRY_AFTER, "Retry-After", 0, 0),
	NAME(RSEQ, "RSeq", 0, 0),
	NAME(SERVICE_ROUTE, "Service-Route", 0, LIST),
	NAME(SUBJECT, "Subject", 's', 0),
	NAME(SUBSCRIPTION_STATE, "Subscription-State", 0, 0),
	NAME(TIMESTAMP, "Timestamp", 0, 0),
	NAME(UNSUPPORTED, "Unsupported", 0, LIST),
	NAME(WARNING, "Warning", 0, LIST),
#undef NAME
};

/* The values in the order in which they came: whole, or the parts of a list. */
struct values {
	unsigned count, cap;
	bool outgrown; /* `list` is no more the message's own */
	struct sip_hdr *list;
	struct sip_hdr *lines; /* of lists, for hdrl */
	unsigned line_count, line_cap;
};

struct message {
	struct sip_msg msg; /* first: libre's counted object */
	struct values values;
	struct sip_hdr first[VALUES_FIRST];
};

/* ---- names ---- */

static const struct header_name *name_find(const struct pl *name)
{
	char first = (char)(*name->p | 0x20);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct header_name *row = &names[i];

		if (name->l == 1 ? row->compact == first
				 : row->len == name->l && (*row->name | 0x20) == first &&
					   strncasecmp(row->name, name->p, name->l) == 0)
			return row;
	}
	return NULL;
}

/* ---- values ---- */

static int value_add(struct values *values, const struct sip_hdr *hdr)
{
	struct sip_hdr *more;

	if (values->count + values->line_count == VALUES_MAX)
		return INMSG_E_MANY;
	if (values->count == values->cap) {
		values->cap *= 2;
		more = xrealloc(values->outgrown ? values->list : NULL,
				values->cap * sizeof(*more));
		if (!values->outgrown)
			memcpy(more, values->list, values->count * sizeof(*more));
		values->list = more;
		values->outgrown = true;
	}
	values->list[values->count++] = *hdr;
	return 0;
}

static int line_add(struct values *values, const struct sip_hdr *hdr)
{
	if (values->count + values->line_count == VALUES_MAX)
		return INMSG_E_MANY;
	if (values->line_count == values->line_cap) {
		values->line_cap = values->line_cap ? 2 * values->line_cap : 4;
		values->lines = xrealloc(values->lines, values->line_cap * sizeof(*values->lines));
	}
	values->lines[values->line_count++] = *hdr;
	return 0;
}

/* To the comma that ends the first value of a list, or to the end: not one in a quoted string, nor in brackets. */
static size_t value_len(const struct pl *text)
{
	bool quoted = false, bracket = false;
	size_t i;

	for (i = 0; i < text->l; i++) {
		char c = text->p[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '<' || c == '>'))
			bracket = c == '<';
		else if (c == ',' && !quoted && !bracket)
			return i;
	}
	return text->l;
}

static int list_add(struct values *values, struct sip_hdr *line, bool in_values)
{
	struct pl rest = line->val;
	struct sip_hdr hdr = *line;
	int r = 0;

	if (value_len(&rest) == rest.l)
		return value_add(values, line);
	for (;;) {
		size_t len = value_len(&rest);

		hdr.val = parse_trimmed((struct pl){ .p = rest.p, .l = len });
		rest.p += len;
		rest.l -= len;
		r = value_add(values, &hdr);
		if (r || !rest.l)
			break;
		rest.p++; /* the comma */
		rest.l--;
	}
	if (r || in_values)
		return r;
	return line_add(values, line);
}

/* ---- the headers that are understood ---- */

static int person_take(struct sip_taddr *person, const struct pl *value)
{
	struct sip_addr addr;

	if (parse_addr(value, &addr))
		return PARSE_E_BAD;
	*person = (struct sip_taddr){ .dname = addr.dname,
				      .auri = addr.auri,
				      .uri = addr.uri,
				      .params = addr.params,
				      .val = *value };
	(void)parse_param(&addr.params, "tag", &person->tag);
	return 0;
}

static int value_take(struct sip_msg *msg, const struct sip_hdr *hdr)
{
	switch ((int)hdr->id) {
	case SIP_HDR_VIA:
		return pl_isset(&msg->via.sentby) ? 0 : parse_via(&hdr->val, &msg->via);
	case SIP_HDR_TO:
		return person_take(&msg->to, &hdr->val);
	case SIP_HDR_FROM:
		return person_take(&msg->from, &hdr->val);
	case SIP_HDR_CALL_ID:
		msg->callid = hdr->val;
		return 0;
	case SIP_HDR_CSEQ:
		return parse_cseq(&hdr->val, &msg->cseq);
	case SIP_HDR_MAX_FORWARDS:
		msg->maxfwd = hdr->val;
		return 0;
	case SIP_HDR_CONTENT_TYPE:
		return parse_content_type(&hdr->val, &msg->ctyp);
	case SIP_HDR_CONTENT_LENGTH:
		msg->clen = hdr->val;
		return 0;
	case SIP_HDR_EXPIRES:
		msg->expires = hdr->val;
		return 0;
	default:
		return 0;
	}
}

/* ---- lines ---- */

/* A header with its folds (7.3.1): up to a line end that no white space follows. Return: false without one. */
static bool line_next(struct pl *text, struct pl *ret_line)
{
	const char *end;

	while (text->l && *text->p == '\r') {
		text->p++;
		text->l--;
	}
	/* The empty line has no folds: a body may begin with white space. */
	end = text->p;
	if (text->l && *end == '\n') {
		*ret_line = (struct pl){ .p = end, .l = 1 };
		text->p++;
		text->l--;
		return true;
	}
	do {
		end = memchr(end, '\n', text->l - (size_t)(end - text->p));
		if (!end)
			return false;
		end++;
	} while (end < text->p + text->l && (*end == ' ' || *end == '\t'));
	*ret_line = (struct pl){ .p = text->p, .l = (size_t)(end - text->p) };
	text->p += ret_line->l;
	text->l -= ret_line->l;
	return true;
}

static int header_take(struct values *values, const struct pl *line)
{
	const char *colon = memchr(line->p, ':', line->l);
	const struct header_name *known;
	struct sip_hdr hdr = { .id = SIP_HDR_NONE };

	if (!colon)
		return PARSE_E_BAD;
	hdr.name = parse_trimmed((struct pl){ .p = line->p, .l = (size_t)(colon - line->p) });
	if (!hdr.name.l)
		return PARSE_E_BAD;
	hdr.val = parse_trimmed(
		(struct pl){ .p = colon + 1, .l = (size_t)(line->p + line->l - colon) - 1 });
	known = name_find(&hdr.name);
	if (!known)
		return value_add(values, &hdr);
	hdr.id = known->id;
	return known->flags & LIST ? list_add(values, &hdr, known->flags & IN_VALUES)
				   : value_add(values, &hdr);
}

/* Return: 0 with *text behind the empty line. */
static int headers_take(struct values *values, struct pl *text)
{
	struct pl line;

	while (line_next(text, &line)) {
		int r;

		if (*line.p == '\n')
			return 0;
		r = header_take(values, &line);
		if (r)
			return r;
	}
	return PARSE_E_BAD;
}

/* One of a scheme that we do not know is left to the checks, which answer 416: only its scheme is taken. */
static int request_uri_take(struct sip_msg *msg)
{
	static const char *const known[] = { "sip", "sips", "tel" };
	const char *colon = memchr(msg->ruri.p, ':', msg->ruri.l);
	struct pl scheme = { .p = msg->ruri.p };

	if (!parse_uri(&msg->ruri, &msg->uri))
		return 0;
	if (!colon || colon == msg->ruri.p)
		return PARSE_E_BAD;
	scheme.l = (size_t)(colon - msg->ruri.p);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (pl_is_nocase(&scheme, known[i]))
			return PARSE_E_BAD;
	msg->uri.scheme = scheme;
	return 0;
}

/* "METHOD uri SIP/2.0", "SIP/2.0 200 reason" */
static int first_line_take(struct sip_msg *msg, struct pl *text)
{
	const char *end = memchr(text->p, '\n', text->l);
	struct pl line, part[2];

	if (!end || end - text->p > LINE_MAX)
		return PARSE_E_BAD;
	line = (struct pl){ .p = text->p, .l = (size_t)(end - text->p) };
	text->p += line.l + 1;
	text->l -= line.l + 1;
	while (line.l && line.p[line.l - 1] == '\r')
		line.l--;
	if (memchr(line.p, '\r', line.l))
		return PARSE_E_BAD;
	for (unsigned i = 0; i < 2; i++) {
		const char *space = memchr(line.p, ' ', line.l);

		if (!space || space == line.p)
			return PARSE_E_BAD;
		part[i] = (struct pl){ .p = line.p, .l = (size_t)(space - line.p) };
		if (memchr(part[i].p, '\t', part[i].l))
			return PARSE_E_BAD;
		line.p += part[i].l + 1;
		line.l -= part[i].l + 1;
	}
	msg->req = pl_is(&line, "SIP/2.0");
	if (msg->req) {
		msg->met = part[0];
		msg->ruri = part[1];
		msg->ver = line;
		return request_uri_take(msg);
	}
	msg->ver = part[0];
	msg->reason = line;
	msg->scode = (uint16_t)pl_u32(&part[1]);
	return msg->scode ? 0 : PARSE_E_BAD;
}

static void message_destroy(void *arg)
{
	struct message *message = arg;

	if (message->values.outgrown)
		free(message->values.list);
	free(message->values.lines);
	mem_deref(message->msg.mb);
}

static struct message *message_new(struct mbuf *mb)
{
	struct message *message = mem_alloc(sizeof(*message), message_destroy);

	bug_on(!message);
	memset(message, 0, offsetof(struct message, first));
	message->values.list = message->first;
	message->values.cap = VALUES_FIRST;
	message->msg.sock = &message->values;
	message->msg.mb = mem_ref(mb);
	return message;
}

/* hdrl: lines in order, the values of a Via or Route each for itself. A list's line comes where its first value is. */
static void lines_link(struct sip_msg *msg, struct values *values)
{
	unsigned line = 0;

	for (unsigned i = 0; i < values->count; i++) {
		struct sip_hdr *hdr = &values->list[i];
		struct sip_hdr *of = line < values->line_count ? &values->lines[line] : NULL;

		if (of && hdr->val.p >= of->val.p && hdr->val.p <= of->val.p + of->val.l) {
			list_append(&msg->hdrl, &of->le, of);
			while (i + 1 < values->count &&
			       values->list[i + 1].val.p <= of->val.p + of->val.l)
				i++;
			line++;
			continue;
		}
		list_append(&msg->hdrl, &hdr->le, hdr);
	}
}

int inmsg_decode(struct sip_msg **ret_msg, struct mbuf *mb)
{
	struct pl text = { .p = (const char *)mbuf_buf(mb), .l = mbuf_get_left(mb) };
	struct message *message;
	int r;

	if (!text.l)
		return PARSE_E_BAD;
	message = message_new(mb);
	r = first_line_take(&message->msg, &text);
	if (!r)
		r = headers_take(&message->values, &text);
	for (unsigned i = 0; !r && i < message->values.count; i++)
		r = value_take(&message->msg, &message->values.list[i]);
	if (r) {
		mem_deref(message);
		return r;
	}
	lines_link(&message->msg, &message->values);
	mb->pos = mb->end - text.l;
	*ret_msg = &message->msg;
	return 0;
}

/* ---- the way to them ---- */

const struct sip_hdr *inmsg_each(const struct sip_msg *msg, bool forward, enum sip_hdrid id,
				 inmsg_header_fn *fn, void *arg)
{
	const struct values *values = msg->sock;
	unsigned count = values ? values->count : 0;

	for (unsigned n = 0; n < count; n++) {
		const struct sip_hdr *hdr = &values->list[forward ? n : count - 1 - n];

		if (hdr->id == id && (!fn || fn(hdr, msg, arg)))
			return hdr;
	}
	return NULL;
}

const struct sip_hdr *inmsg_header(const struct sip_msg *msg, enum sip_hdrid id)
{
	return inmsg_each(msg, true, id, NULL, NULL);
}

static bool header_count(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	(void)hdr;
	(void)msg;
	++*(unsigned *)arg;
	return false;
}

unsigned inmsg_count(const struct sip_msg *msg, enum sip_hdrid id)
{
	unsigned count = 0;

	(void)inmsg_each(msg, true, id, header_count, &count);
	return count;
}

const struct sip_hdr *inmsg_header_named(const struct sip_msg *msg, const char *name)
{
	size_t len = strlen(name);

	for (const struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (hdr->name.l == len && strncasecmp(hdr->name.p, name, len) == 0)
			return hdr;
	}
	return NULL;
}

static bool token_match(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	(void)msg;
	return pl_is_nocase(&hdr->val, arg);
}

bool inmsg_has_token(const struct sip_msg *msg, enum sip_hdrid id, const char *token)
{
	return inmsg_each(msg, true, id, token_match, (void *)(uintptr_t)token) != NULL;
}
