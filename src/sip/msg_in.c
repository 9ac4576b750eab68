/* sip/msg_in.c - reading headers, and the checks a message must pass */
#include "sip/private.h"

#include <strings.h>

METRIC_COUNTER(malformed, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"malformed\"");

/* Headers of which each message may have one; the first five it must have. */
static const struct {
	enum sip_hdrid id;
	bool single;
} counted[] = {
	{ SIP_HDR_VIA, false },		{ SIP_HDR_FROM, true },
	{ SIP_HDR_TO, true },		{ SIP_HDR_CALL_ID, true },
	{ SIP_HDR_CSEQ, true },		{ SIP_HDR_MAX_FORWARDS, true },
	{ SIP_HDR_CONTENT_TYPE, true }, { SIP_HDR_CONTENT_LENGTH, true },
	{ SIP_HDR_EXPIRES, true },
};

bool inmsg_is(const struct sip_msg *msg, const char *method)
{
	return pl_is(msg->req ? &msg->met : &msg->cseq.met, method);
}

const char *inmsg_source(const struct inmsg *in)
{
	static char text[64];

	addr_print(&in->msg->src, text, sizeof(text));
	return text;
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
	unsigned count[ARRAY_LEN(counted)] = { 0 };

	for (const struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
			if (hdr->id == counted[i].id && ++count[i] > 1 && counted[i].single)
				return "Repeated Header";
		}
	}
	for (size_t i = 0; i < 5; i++) /* Via, From, To, Call-ID, CSeq */
		if (!count[i])
			return "Missing Header";
	return NULL;
}

/* The number that was parsed has wrapped when it was too large: look at the text (RFC 3261
 * 8.1.1.5).
 */
static const char *check_cseq(const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = inmsg_header(msg, SIP_HDR_CSEQ);
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
	return val->l && !memchr(val->p, '<', val->l) && memchr(val->p, '?', val->l);
}

static const char *check_addresses(const struct sip_msg *msg)
{
	if (!address_is_fine(&msg->from))
		return "Bad From";
	if (!address_is_fine(&msg->to))
		return "Bad To";
	if (!msg->from.tag.l)
		return "Missing From Tag";
	if (inmsg_each(msg, true, SIP_HDR_CONTACT, contact_is_bad, NULL))
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
	if (parse_hostport(&msg->via.sentby, &host, &port) || !pl_isset(&host))
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
			    inmsg_count(msg, SIP_HDR_VIA) == 1;

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
