/* sip/msg_out.c - building requests and responses
 *
 * A response is built whole. A request is built without its first line and its Via, which differ
 * from attempt to attempt; outmsg_request_bytes() puts one together. Every value is looked through
 * for the three characters that would let it become something else than a value.
 */
#include "base/random.h"
#include "sip/private.h"

#include <strings.h>

#define FIRST_SIZE 1024u

struct outmsg {
	struct mbuf *mb; /* header lines, then the body; responses: from the status line on */
	char *uri;
	size_t uri_len;
	char method[32];
	uint16_t code;
	uint8_t max_forwards;
	bool bad, sealed;
	size_t route_at, route_len;   /* value of the topmost Route, in mb */
	size_t to_tag_at, to_tag_len; /* in mb */
};

static void outmsg_destroy(void *arg)
{
	struct outmsg *msg = arg;

	mem_deref(msg->mb);
	free(msg->uri);
}

static struct outmsg *outmsg_new(void)
{
	struct outmsg *msg = mem_zalloc(sizeof(*msg), outmsg_destroy);

	bug_on(!msg);
	msg->mb = mbuf_alloc(FIRST_SIZE);
	msg->max_forwards = 70;
	return msg;
}

/* No line may end early. */
static bool text_is_clean(const void *text, size_t len)
{
	const char *p = text;

	for (size_t i = 0; i < len; i++)
		if (p[i] == '\r' || p[i] == '\n' || p[i] == '\0')
			return false;
	return true;
}

static void out_mem(struct outmsg *msg, const void *data, size_t len)
{
	if (mbuf_write_mem(msg->mb, data, len))
		msg->bad = true;
}

static void out_str(struct outmsg *msg, const char *str)
{
	out_mem(msg, str, strlen(str));
}

/* A foreign value onto one line: folds (RFC 3261 7.3.1) become spaces. */
static void out_unfolded(struct outmsg *msg, const struct pl *value)
{
	size_t start = msg->mb->pos;

	out_mem(msg, value->p, value->l);
	for (size_t i = start; i < msg->mb->pos; i++)
		if (msg->mb->buf[i] == '\r' || msg->mb->buf[i] == '\n' || msg->mb->buf[i] == '\0')
			msg->mb->buf[i] = ' ';
}

struct outmsg *outmsg_request(const char *method, const struct pl *uri)
{
	struct outmsg *msg = outmsg_new();

	if (!str_copy(msg->method, sizeof(msg->method), method))
		msg->bad = true;
	msg->uri = xmemdup(uri->l ? uri->p : "", uri->l);
	msg->uri_len = uri->l;
	if (!uri->l || !text_is_clean(uri->p, uri->l) || memchr(uri->p, ' ', uri->l) ||
	    memchr(uri->p, '<', uri->l) || memchr(uri->p, '>', uri->l))
		msg->bad = true;
	return msg;
}

struct outmsg *outmsg_request_str(const char *method, const char *uri)
{
	struct pl pl;

	pl_set_str(&pl, uri);
	return outmsg_request(method, &pl);
}

struct outmsg *outmsg_lines(void)
{
	return outmsg_new();
}

void outmsg_max_forwards(struct outmsg *msg, uint8_t max_forwards)
{
	msg->max_forwards = max_forwards;
}

void outmsg_header(struct outmsg *msg, const char *name, const char *fmt, ...)
{
	struct mbuf *mb = msg->mb;
	va_list ap;
	int len;

	bug_on(msg->sealed);
	out_str(msg, name);
	out_str(msg, ": ");
	for (int round = 0; round < 2; round++) {
		size_t space = mb->size - mb->pos;

		va_start(ap, fmt);
		len = vsnprintf((char *)mb->buf + mb->pos, space, fmt, ap);
		va_end(ap);
		if (len >= 0 && (size_t)len < space)
			break;
		if (len < 0 || (size_t)len > FLOW_MAX_HEADERS ||
		    mbuf_resize(mb, mb->pos + (size_t)len + FIRST_SIZE)) {
			msg->bad = true;
			return;
		}
	}
	if (!text_is_clean(mb->buf + mb->pos, (size_t)len))
		msg->bad = true;
	mb->pos += (size_t)len;
	mb->end = mb->pos;
	out_str(msg, "\r\n");
}

void outmsg_header_re(struct outmsg *msg, const char *name, const char *fmt, ...)
{
	size_t start;
	va_list ap;

	bug_on(msg->sealed);
	out_str(msg, name);
	out_str(msg, ": ");
	start = msg->mb->pos;
	va_start(ap, fmt);
	if (mbuf_vprintf(msg->mb, fmt, ap))
		msg->bad = true;
	va_end(ap);
	if (!text_is_clean(msg->mb->buf + start, msg->mb->pos - start))
		msg->bad = true;
	out_str(msg, "\r\n");
}

/* A CR or LF is fine only as part of a fold. */
static bool folds_are_clean(const struct pl *value)
{
	for (size_t i = 0; i < value->l; i++) {
		char next = i + 1 < value->l ? value->p[i + 1] : '\0';

		if (value->p[i] == '\0' || (value->p[i] == '\r' && next != '\n') ||
		    (value->p[i] == '\n' && next != ' ' && next != '\t'))
			return false;
	}
	return true;
}

void outmsg_header_pl(struct outmsg *msg, const char *name, const struct pl *value)
{
	bug_on(msg->sealed);
	if (!folds_are_clean(value))
		msg->bad = true;
	out_str(msg, name);
	out_str(msg, ": ");
	out_unfolded(msg, value);
	out_str(msg, "\r\n");
}

void outmsg_ids(struct outmsg *msg, const char *from, const char *to, const char *call_id,
		uint32_t cseq)
{
	outmsg_header(msg, "From", "%s", from);
	outmsg_header(msg, "To", "%s", to);
	outmsg_header(msg, "Call-ID", "%s", call_id);
	outmsg_header(msg, "CSeq", "%u %s", cseq, msg->method);
}

static bool route_is_loose(const struct pl *route, struct sip_addr *addr)
{
	if (parse_addr(route, addr))
		return true; /* not ours to rewrite */
	return parse_has_param(&addr->uri.params, "lr");
}

static void route_line(struct outmsg *msg, const struct pl *route, bool bare)
{
	struct sip_addr addr;

	if (!folds_are_clean(route))
		msg->bad = true;
	out_str(msg, "Route: ");
	/* A bare URI needs its brackets, or its parameters would become the header's (RFC 3261
	 * 20.34).
	 */
	bare = bare || (parse_addr(route, &addr) == 0 && !memchr(route->p, '<', route->l));
	out_str(msg, bare ? "<" : "");
	if (!msg->route_len) {
		msg->route_at = msg->mb->pos;
		msg->route_len = route->l;
	}
	out_unfolded(msg, route);
	out_str(msg, bare ? ">\r\n" : "\r\n");
}

void outmsg_routes(struct outmsg *msg, const struct pl *routes, size_t count)
{
	struct pl target = { .p = msg->uri, .l = msg->uri_len };
	struct sip_addr addr;
	char *old_uri;

	if (!count)
		return;
	if (route_is_loose(&routes[0], &addr)) {
		for (size_t i = 0; i < count; i++)
			route_line(msg, &routes[i], false);
		return;
	}

	/* A strict router (RFC 3261 12.2.1.1): it becomes the Request-URI, the target the last
	 * Route.
	 */
	for (size_t i = 1; i < count; i++)
		route_line(msg, &routes[i], false);
	route_line(msg, &target, true);
	msg->route_len = 0;
	old_uri = msg->uri;
	msg->uri = xmemdup(addr.auri.p, addr.auri.l);
	msg->uri_len = addr.auri.l;
	if (!text_is_clean(msg->uri, msg->uri_len))
		msg->bad = true;
	free(old_uri);
}

void outmsg_body(struct outmsg *msg, const char *content_type, const void *body, size_t len)
{
	if (content_type)
		outmsg_header(msg, "Content-Type", "%s", content_type);
	outmsg_header(msg, "Content-Length", "%zu", len);
	out_str(msg, "\r\n");
	if (len)
		out_mem(msg, body, len);
	if (msg->mb->end > FLOW_MAX_MESSAGE - 4096)
		msg->bad = true;
	msg->sealed = true;
}

bool outmsg_is_bad(const struct outmsg *msg)
{
	return msg->bad;
}

const char *outmsg_method(const struct outmsg *msg)
{
	return msg->code ? NULL : msg->method;
}

uint16_t outmsg_code(const struct outmsg *msg)
{
	return msg->code;
}

struct pl outmsg_uri(const struct outmsg *msg)
{
	return (struct pl){ .p = msg->uri, .l = msg->uri_len };
}

struct pl outmsg_next_route(const struct outmsg *msg)
{
	return (struct pl){ .p = (const char *)msg->mb->buf + msg->route_at, .l = msg->route_len };
}

struct pl outmsg_to_tag(const struct outmsg *msg)
{
	return (struct pl){ .p = (const char *)msg->mb->buf + msg->to_tag_at,
			    .l = msg->to_tag_len };
}

size_t outmsg_size(const struct outmsg *msg)
{
	return msg->mb->end + msg->uri_len;
}

static void outmsg_seal(struct outmsg *msg)
{
	if (!msg->sealed)
		outmsg_body(msg, NULL, NULL, 0);
}

struct mbuf *outmsg_response_bytes(struct outmsg *msg)
{
	outmsg_seal(msg);
	if (msg->bad)
		return NULL;
	msg->mb->pos = 0;
	return mem_ref(msg->mb);
}

struct mbuf *outmsg_request_bytes(struct outmsg *msg, const struct flow *flow, const char *branch,
				  const struct outmsg *lines, const char *software)
{
	struct mbuf *mb;
	int err;

	outmsg_seal(msg);
	if (msg->bad || (lines && lines->bad))
		return NULL;
	mb = mbuf_alloc(msg->mb->end + msg->uri_len + (lines ? lines->mb->end : 0) + 320);
	bug_on(!mb);
	/* rport also on streams: what comes back in it tells a peer behind NAT its address. */
	err = mbuf_printf(
		mb, "%s %b SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s;rport\r\nMax-Forwards: %u\r\n",
		msg->method, msg->uri, msg->uri_len, flow_via_token(flow), flow_sent_by(flow),
		branch, msg->max_forwards);
	if (lines)
		err |= mbuf_write_mem(mb, lines->mb->buf, lines->mb->end);
	if (software)
		err |= mbuf_printf(mb, "User-Agent: %s\r\n", software);
	err |= mbuf_write_mem(mb, msg->mb->buf, msg->mb->end);
	bug_on(err);
	mb->pos = 0;
	return mb;
}

/* ---- responses ---- */

/* ";rport", "; rport=5060" */
static bool param_is(const struct pl *param, const char *name)
{
	struct pl text = *param;
	size_t len = strlen(name);

	while (text.l && (*text.p == ';' || *text.p == ' ' || *text.p == '\t' || *text.p == '\r' ||
			  *text.p == '\n'))
		pl_advance(&text, 1);
	if (text.l < len || strncasecmp(text.p, name, len) != 0)
		return false;
	return text.l == len || text.p[len] == '=' || text.p[len] == ' ' || text.p[len] == '\t' ||
	       text.p[len] == '\r' || text.p[len] == '\n';
}

/* The topmost Via as it came, with where it really came from (RFC 3261 18.2.1, RFC 3581 4). What a
 * peer says of itself in received and rport is not for it to say.
 */
static void out_top_via(struct outmsg *msg, const struct sip_msg *req, const struct pl *via)
{
	bool differs =
		!sa_isset(&req->via.addr, SA_ADDR) || !sa_cmp(&req->via.addr, &req->src, SA_ADDR);
	struct pl rest = req->via.params;
	struct pl head = { .p = via->p, .l = (rest.l ? (size_t)(rest.p - via->p) : via->l) };
	bool has_rport = false;

	out_unfolded(msg, &head);
	while (rest.l) {
		struct pl param = { .p = rest.p, .l = 1 };

		while (param.l < rest.l && param.p[param.l] != ';')
			param.l++;
		pl_advance(&rest, (ssize_t)param.l);
		if (param_is(&param, "rport"))
			has_rport = true;
		else if (!param_is(&param, "received"))
			out_unfolded(msg, &param);
	}
	if (has_rport || differs)
		mbuf_printf(msg->mb, ";received=%j", &req->src);
	if (has_rport)
		mbuf_printf(msg->mb, ";rport=%u", sa_port(&req->src));
}

static void out_vias(struct outmsg *msg, const struct sip_msg *req)
{
	const struct le *le;
	bool top = true;

	for (le = list_head(&req->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (hdr->id != SIP_HDR_VIA)
			continue;
		out_str(msg, "Via: ");
		if (top)
			out_top_via(msg, req, &hdr->val);
		else
			out_unfolded(msg, &hdr->val);
		top = false;
		out_str(msg, "\r\n");
	}
}

static void out_copied(struct outmsg *msg, const char *name, const struct pl *value)
{
	out_str(msg, name);
	out_str(msg, ": ");
	out_unfolded(msg, value);
	out_str(msg, "\r\n");
}

static void out_to(struct outmsg *msg, const struct inmsg *in, const char *to_tag)
{
	char made[TOKEN_SIZE];

	out_str(msg, "To: ");
	out_unfolded(msg, &in->msg->to.val);
	if (in->msg->to.tag.l) {
		msg->to_tag_at = msg->mb->pos - in->msg->to.val.l +
				 (size_t)(in->msg->to.tag.p - in->msg->to.val.p);
		msg->to_tag_len = in->msg->to.tag.l;
	} else if (msg->code > 100) {
		if (!to_tag)
			to_tag = token_to_tag(in, made);
		out_str(msg, ";tag=");
		msg->to_tag_at = msg->mb->pos;
		msg->to_tag_len = strlen(to_tag);
		out_str(msg, to_tag);
	}
	out_str(msg, "\r\n");
}

static void out_record_routes(struct outmsg *msg, const struct sip_msg *req)
{
	const struct le *le;

	for (le = list_head(&req->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (hdr->id == SIP_HDR_RECORD_ROUTE && pl_is_nocase(&hdr->name, "Record-Route"))
			out_copied(msg, "Record-Route", &hdr->val);
	}
}

struct outmsg *outmsg_reply(const struct inmsg *in, uint16_t code, const char *reason,
			    const char *to_tag, bool record_route)
{
	struct outmsg *msg = outmsg_new();
	const struct sip_msg *req = in->msg;
	const struct sip_hdr *timestamp;

	bug_on(code < 100 || code > 699);
	msg->code = code;
	if (!reason)
		reason = outmsg_reason(code);
	if (!text_is_clean(reason, strlen(reason)))
		msg->bad = true;
	mbuf_printf(msg->mb, "SIP/2.0 %u %s\r\n", code, reason);
	out_vias(msg, req);
	if (record_route)
		out_record_routes(msg, req);
	out_copied(msg, "From", &req->from.val);
	out_to(msg, in, to_tag);
	out_copied(msg, "Call-ID", &req->callid);
	mbuf_printf(msg->mb, "CSeq: %u %r\r\n", req->cseq.num, &req->cseq.met);
	if (code == 100 && (timestamp = inmsg_header(req, SIP_HDR_TIMESTAMP)))
		out_copied(msg, "Timestamp", &timestamp->val);
	if (code > 100 && in->stack && in->stack->software)
		outmsg_header(msg, "Server", "%s", in->stack->software);
	return msg;
}

/* ---- values and tokens ---- */

void header_name_addr(struct buf *out, const char *name, const char *uri)
{
	if (name && *name) {
		buf_addc(out, '"');
		for (const char *p = name; *p; p++) {
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				continue;
			if (*p == '"' || *p == '\\')
				buf_addc(out, '\\');
			buf_addc(out, *p);
		}
		buf_adds(out, "\" ");
	}
	buf_addc(out, '<');
	for (const char *p = uri; *p; p++)
		if ((unsigned char)*p > 0x20 && *p != '<' && *p != '>' && *p != 0x7f)
			buf_addc(out, *p);
	buf_addc(out, '>');
}

void header_user(struct buf *out, const char *user)
{
	for (const char *p = user; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-_.!~*'()&=+$,;?/", *p);

		if (plain)
			buf_addc(out, *p);
		else
			buf_addf(out, "%%%02X", (unsigned char)*p);
	}
}

static void hex_print(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

const char *token_tag(char buf[static TOKEN_SIZE])
{
	uint8_t bytes[8];

	random_fill(bytes, sizeof(bytes));
	hex_print(buf, bytes, sizeof(bytes));
	return buf;
}

const char *token_call_id(char buf[static TOKEN_SIZE])
{
	uint8_t bytes[16];

	random_fill(bytes, sizeof(bytes));
	hex_print(buf, bytes, sizeof(bytes));
	return buf;
}

const char *token_branch(char buf[static TOKEN_SIZE])
{
	uint8_t bytes[12];

	random_fill(bytes, sizeof(bytes));
	memcpy(buf, "z9hG4bK", 7);
	hex_print(buf + 7, bytes, sizeof(bytes));
	return buf;
}

const char *token_to_tag(const struct inmsg *in, char buf[static TOKEN_SIZE])
{
	const struct sip_msg *msg = in->msg;
	uint64_t hash[4] = {
		hkey_bytes(msg->via.branch.p, msg->via.branch.l),
		hkey_bytes(msg->callid.p, msg->callid.l),
		hkey_bytes(msg->from.tag.p, msg->from.tag.l),
		hkey_bytes(msg->ruri.p, msg->ruri.l),
	};
	uint64_t tag = hkey_bytes(hash, sizeof(hash));

	hex_print(buf, (const uint8_t *)&tag, sizeof(tag));
	return buf;
}

static const struct {
	uint16_t code;
	const char *reason;
} reasons[] = {
	{ 100, "Trying" },
	{ 180, "Ringing" },
	{ 181, "Call Is Being Forwarded" },
	{ 182, "Queued" },
	{ 183, "Session Progress" },
	{ 199, "Early Dialog Terminated" },
	{ 200, "OK" },
	{ 202, "Accepted" },
	{ 204, "No Notification" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Moved Temporarily" },
	{ 305, "Use Proxy" },
	{ 380, "Alternative Service" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 410, "Gone" },
	{ 412, "Conditional Request Failed" },
	{ 413, "Request Entity Too Large" },
	{ 414, "Request-URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Unsupported URI Scheme" },
	{ 420, "Bad Extension" },
	{ 421, "Extension Required" },
	{ 422, "Session Interval Too Small" },
	{ 423, "Interval Too Brief" },
	{ 429, "Provide Referrer Identity" },
	{ 430, "Flow Failed" },
	{ 433, "Anonymity Disallowed" },
	{ 439, "First Hop Lacks Outbound Support" },
	{ 469, "Bad Info Package" },
	{ 480, "Temporarily Unavailable" },
	{ 481, "Call/Transaction Does Not Exist" },
	{ 482, "Loop Detected" },
	{ 483, "Too Many Hops" },
	{ 484, "Address Incomplete" },
	{ 485, "Ambiguous" },
	{ 486, "Busy Here" },
	{ 487, "Request Terminated" },
	{ 488, "Not Acceptable Here" },
	{ 489, "Bad Event" },
	{ 491, "Request Pending" },
	{ 493, "Undecipherable" },
	{ 494, "Security Agreement Required" },
	{ 500, "Server Internal Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Server Time-out" },
	{ 505, "Version Not Supported" },
	{ 513, "Message Too Large" },
	{ 580, "Precondition Failure" },
	{ 600, "Busy Everywhere" },
	{ 603, "Decline" },
	{ 604, "Does Not Exist Anywhere" },
	{ 606, "Not Acceptable" },
};

const char *outmsg_reason(uint16_t code)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].code == code)
			return reasons[i].reason;
	return "Unknown";
}
