/* sip/msg_in.c - reading headers, and the checks a message must pass */
#include "sip/private.h"

#include <strings.h>

METRIC_COUNTER(malformed, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"malformed\"");

/* libre knows a header by twelve bits of a hash: any name may be made to look like another. */
static const struct header_name {
	enum sip_hdrid id;
	const char *name;
	bool parsed; /* libre fills a member of struct sip_msg from it */
	bool single; /* more than one is an error */
} header_names[] = {
	{ SIP_HDR_VIA, "Via", true, false },
	{ SIP_HDR_FROM, "From", true, true },
	{ SIP_HDR_TO, "To", true, true },
	{ SIP_HDR_CALL_ID, "Call-ID", true, true },
	{ SIP_HDR_CSEQ, "CSeq", true, true },
	{ SIP_HDR_MAX_FORWARDS, "Max-Forwards", true, true },
	{ SIP_HDR_CONTENT_TYPE, "Content-Type", true, true },
	{ SIP_HDR_CONTENT_LENGTH, "Content-Length", true, true },
	{ SIP_HDR_EXPIRES, "Expires", true, true },
	{ SIP_HDR_ALLOW, "Allow", false, false },
	{ SIP_HDR_AUTHENTICATION_INFO, "Authentication-Info", false, false },
	{ SIP_HDR_AUTHORIZATION, "Authorization", false, false },
	{ SIP_HDR_CONTACT, "Contact", false, false },
	{ SIP_HDR_EVENT, "Event", false, false },
	{ SIP_HDR_MIN_EXPIRES, "Min-Expires", false, false },
	{ SIP_HDR_MIN_SE, "Min-SE", false, false },
	{ SIP_HDR_P_ASSERTED_IDENTITY, "P-Asserted-Identity", false, false },
	{ SIP_HDR_P_CALLED_PARTY_ID, "P-Called-Party-ID", false, false },
	{ SIP_HDR_P_EARLY_MEDIA, "P-Early-Media", false, false },
	{ SIP_HDR_P_PREFERRED_IDENTITY, "P-Preferred-Identity", false, false },
	{ SIP_HDR_PATH, "Path", false, false },
	{ SIP_HDR_PRIVACY, "Privacy", false, false },
	{ SIP_HDR_PROXY_AUTHENTICATE, "Proxy-Authenticate", false, false },
	{ SIP_HDR_PROXY_AUTHORIZATION, "Proxy-Authorization", false, false },
	{ SIP_HDR_PROXY_REQUIRE, "Proxy-Require", false, false },
	{ SIP_HDR_RACK, "RAck", false, false },
	{ SIP_HDR_REASON, "Reason", false, false },
	{ SIP_HDR_RECORD_ROUTE, "Record-Route", false, false },
	{ SIP_HDR_REFER_TO, "Refer-To", false, false },
	{ SIP_HDR_REFERRED_BY, "Referred-By", false, false },
	{ SIP_HDR_REPLACES, "Replaces", false, false },
	{ SIP_HDR_REQUIRE, "Require", false, false },
	{ SIP_HDR_RETRY_AFTER, "Retry-After", false, false },
	{ SIP_HDR_ROUTE, "Route", false, false },
	{ SIP_HDR_RSEQ, "RSeq", false, false },
	{ SIP_HDR_SERVER, "Server", false, false },
	{ SIP_HDR_SERVICE_ROUTE, "Service-Route", false, false },
	{ SIP_HDR_SESSION_EXPIRES, "Session-Expires", false, false },
	{ SIP_HDR_SUBSCRIPTION_STATE, "Subscription-State", false, false },
	{ SIP_HDR_SUPPORTED, "Supported", false, false },
	{ SIP_HDR_TIMESTAMP, "Timestamp", false, false },
	{ SIP_HDR_UNSUPPORTED, "Unsupported", false, false },
	{ SIP_HDR_USER_AGENT, "User-Agent", false, false },
	{ SIP_HDR_WARNING, "Warning", false, false },
	{ SIP_HDR_WWW_AUTHENTICATE, "WWW-Authenticate", false, false },
};

#define SINGLES 9 /* the first rows */

static bool header_is(const struct sip_hdr *hdr, const char *name)
{
	return hdr->name.l == 1 || pl_is_nocase(&hdr->name, name);
}

static bool header_match(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	(void)msg;
	return header_is(hdr, arg);
}

const struct sip_hdr *inmsg_header(const struct sip_msg *msg, enum sip_hdrid id)
{
	for (size_t i = 0; i < ARRAY_LEN(header_names); i++)
		if (header_names[i].id == id)
			return sip_msg_hdr_apply(msg, true, id, header_match,
						 (void *)(uintptr_t)header_names[i].name);
	return sip_msg_hdr(msg, id);
}

const struct sip_hdr *inmsg_header_named(const struct sip_msg *msg, const char *name)
{
	for (const struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (pl_is_nocase(&hdr->name, name))
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
	return inmsg_header(msg, id) &&
	       sip_msg_hdr_apply(msg, true, id, token_match, (void *)(uintptr_t)token) != NULL;
}

bool inmsg_is(const struct sip_msg *msg, const char *method)
{
	return pl_is(msg->req ? &msg->met : &msg->cseq.met, method);
}

bool inmsg_u32(const struct pl *pl, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;

	if (!pl->l)
		return false;
	for (size_t i = 0; i < pl->l; i++) {
		if (pl->p[i] < '0' || pl->p[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(pl->p[i] - '0');
		if (n > max)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

/* RFC 3261 25.1 */
static bool is_token(const struct pl *pl)
{
	for (size_t i = 0; i < pl->l; i++) {
		char c = pl->p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("-.!%*_+`'~", c))))
			return false;
	}
	return pl->l > 0;
}

/* Header values, each of which is a line of its own in what copies them: "Via: a,a,a..." would make our answers many
 * times as long as the request, beyond what fits into a message.
 */
#define VALUES_MAX 512

static bool has_too_many_values(const struct sip_msg *msg)
{
	unsigned count = 0;

	for (const struct le *le = list_head(&msg->hdrl); le; le = le->next)
		if (++count > VALUES_MAX)
			return true;
	return false;
}

/* ---- the checks, each: NULL or the complaint ---- */

static const char *check_counts(const struct sip_msg *msg)
{
	unsigned count[SINGLES] = { 0 };

	for (const struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		for (size_t i = 0; i < SINGLES; i++) {
			if (hdr->id != header_names[i].id)
				continue;
			if (!header_is(hdr, header_names[i].name))
				return "Bad Header Name";
			if (++count[i] > 1 && header_names[i].single)
				return "Repeated Header";
		}
	}
	for (size_t i = 0; i < 5; i++) /* Via, From, To, Call-ID, CSeq */
		if (!count[i])
			return "Missing Header";
	return NULL;
}

/* The number that libre parsed has wrapped when it was too large: look at the text (RFC 3261
 * 8.1.1.5).
 */
static const char *check_cseq(const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, SIP_HDR_CSEQ);
	struct pl num = hdr->val;
	uint32_t n;

	num.l = 0;
	while (num.l < hdr->val.l && hdr->val.p[num.l] >= '0' && hdr->val.p[num.l] <= '9')
		num.l++;
	if (!inmsg_u32(&num, INT32_MAX, &n))
		return "Bad CSeq";
	if (msg->cseq.met.p + msg->cseq.met.l != hdr->val.p + hdr->val.l ||
	    !is_token(&msg->cseq.met))
		return "Bad CSeq";
	if (msg->req && pl_cmp(&msg->cseq.met, &msg->met) != 0)
		return "CSeq Method Mismatch";
	return NULL;
}

static const char *check_numbers(const struct sip_msg *msg)
{
	uint32_t n;

	if (msg->maxfwd.p && !inmsg_u32(&msg->maxfwd, 255, &n))
		return "Bad Max-Forwards";
	if (msg->expires.p && !inmsg_u32(&msg->expires, UINT32_MAX, &n)) {
		/* RFC 3261 20.19: too large a number is not an error of the sender's */
		for (size_t i = 0; i < msg->expires.l; i++)
			if (msg->expires.p[i] < '0' || msg->expires.p[i] > '9')
				return "Bad Expires";
	}
	return NULL;
}

static const char *check_length(const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	size_t left = mbuf_get_left(msg->mb);
	uint32_t n;

	if (!msg->clen.p)
		return flow_is_stream(in->flow) && flow_transport(in->flow) <= SIP_TRANSP_TLS
			       ? "Missing Content-Length"
			       : NULL;
	if (!inmsg_u32(&msg->clen, FLOW_MAX_MESSAGE, &n) || n > left)
		return "Bad Content-Length";
	msg->mb->end = msg->mb->pos + n; /* 18.3: what follows on a datagram is discarded */
	return NULL;
}

static bool brackets_are_paired(const struct pl *val)
{
	unsigned open = 0, quotes = 0;

	for (size_t i = 0; i < val->l; i++) {
		char c = val->p[i];

		if (c == '\\' && (quotes & 1)) {
			i++;
			continue;
		}
		quotes += c == '"';
		if (quotes & 1)
			continue;
		if (c == '<' && open++)
			return false;
		if (c == '>' && (open == 0 || --open))
			return false;
	}
	return !open && !(quotes & 1);
}

static bool has_space(const struct pl *text)
{
	for (size_t i = 0; i < text->l; i++)
		if (strchr(" \t\r\n", text->p[i]))
			return true;
	return false;
}

static bool address_is_fine(const struct sip_taddr *addr)
{
	return brackets_are_paired(&addr->val) && pl_isset(&addr->uri.host) &&
	       (!memchr(addr->val.p, '<', addr->val.l) || !has_space(&addr->auri));
}

static bool contact_is_bad(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	const struct pl *val = &hdr->val;

	(void)msg;
	(void)arg;
	/* 20.10: outside of brackets a URI's headers would be the Contact's parameters, or nobody's
	 */
	return header_is(hdr, "Contact") && val->l && !memchr(val->p, '<', val->l) &&
	       memchr(val->p, '?', val->l);
}

static const char *check_addresses(const struct sip_msg *msg)
{
	if (!address_is_fine(&msg->from))
		return "Bad From";
	if (!address_is_fine(&msg->to))
		return "Bad To";
	if (!msg->from.tag.l)
		return "Missing From Tag";
	if (sip_msg_hdr_apply(msg, true, SIP_HDR_CONTACT, contact_is_bad, NULL))
		return "Bad Contact";
	return NULL;
}

/* "SIP/2.0 200 OK": libre's number has wrapped if there were more digits. */
static bool status_is_fine(const struct sip_msg *msg)
{
	const char *text = msg->ver.p + msg->ver.l + 1;

	return pl_is(&msg->ver, "SIP/2.0") && msg->reason.p - text == 4 && text[0] >= '1' &&
	       text[0] <= '6';
}

static const char *check_via(const struct sip_msg *msg)
{
	struct pl host, port;
	uint32_t n;

	if (!pl_isset(&msg->via.branch) || !pl_isset(&msg->via.sentby))
		return "Bad Via";
	if (uri_decode_hostport(&msg->via.sentby, &host, &port) || !pl_isset(&host))
		return "Bad Via";
	if (port.l && (!inmsg_u32(&port, 65535, &n) || n == 0))
		return "Bad Via Port";
	return NULL;
}

static const char *check_common(const struct inmsg *in)
{
	const struct sip_msg *msg = in->msg;
	const char *bad = check_counts(msg);

	if (!bad)
		bad = check_length(in);
	if (!bad)
		bad = check_via(msg);
	if (!bad)
		bad = check_cseq(msg);
	if (!bad)
		bad = check_numbers(msg);
	if (!bad)
		bad = check_addresses(msg);
	if (!bad && !msg->callid.l)
		bad = "Empty Call-ID";
	return bad;
}

static bool uri_text_is_fine(const struct pl *uri)
{
	for (size_t i = 0; i < uri->l; i++)
		if ((unsigned char)uri->p[i] <= 0x20 || uri->p[i] == 0x7f ||
		    strchr("<>\"", uri->p[i]))
			return false;
	return true;
}

static enum check_verdict check_request(const struct sip_msg *msg, uint16_t *ret_code,
					const char **ret_reason)
{
	*ret_code = 400;
	*ret_reason = NULL;
	if (!is_token(&msg->met)) {
		*ret_reason = "Bad Method";
		return CHECK_REPLY;
	}
	if (!uri_text_is_fine(&msg->ruri)) {
		*ret_reason = "Bad Request-URI";
		return CHECK_REPLY;
	}
	if (pl_is_nocase(&msg->uri.scheme, "sip") || pl_is_nocase(&msg->uri.scheme, "sips")) {
		if (msg->uri.headers.l) { /* 19.1.1: not allowed there */
			*ret_reason = "Headers in Request-URI";
			return CHECK_REPLY;
		}
		return CHECK_OK;
	}
	if (pl_is_nocase(&msg->uri.scheme, "tel"))
		return CHECK_OK;
	*ret_code = 416;
	return CHECK_REPLY;
}

enum check_verdict inmsg_check(const struct inmsg *in, uint16_t *ret_code, const char **ret_reason)
{
	const struct sip_msg *msg = in->msg;
	const char *bad;

	if (has_too_many_values(msg)) {
		metric_add(&malformed, 1);
		return CHECK_DROP;
	}
	bad = check_common(in);
	if (!msg->req) {
		/* 8.1.3.3: a user agent's responses have one Via. */
		bool fine = !bad && status_is_fine(msg) && msg->scode >= 100 &&
			    sip_msg_hdr_count(msg, SIP_HDR_VIA) == 1;

		if (!fine)
			metric_add(&malformed, 1);
		return fine ? CHECK_OK : CHECK_DROP;
	}
	if (bad) {
		metric_add(&malformed, 1);
		*ret_code = 400;
		*ret_reason = bad;
		/* Without these there is nobody to answer, or nothing to answer with. */
		if (!msg->via.sentby.l || !msg->callid.l || !msg->cseq.met.l || !msg->from.val.l ||
		    !msg->to.val.l)
			return CHECK_DROP;
		return CHECK_REPLY;
	}
	return check_request(msg, ret_code, ret_reason);
}
