/* fuzz/parse.c - our decoders beside libre's, wherever libre's mean what RFC 3261 says
 *
 * The first byte picks the decoder. libre's search for a match from every character on, know no quoted strings in
 * parameters and stop where they like; so only texts without those are compared, and of those each that we take libre
 * must take, with the same parts.
 */
#include "sip/msg.h"

#include "fuzz/target.h"

static void same(const struct pl *ours, const struct pl *theirs)
{
	if (ours->l != theirs->l || (ours->l && memcmp(ours->p, theirs->p, ours->l) != 0))
		abort();
}

static bool has(const struct pl *text, const char *chars)
{
	for (size_t i = 0; i < text->l; i++)
		if (!text->p[i] || strchr(chars, text->p[i]))
			return true;
	return false;
}

static void within(const struct pl *part, const struct pl *text)
{
	if (part->l && (part->p < text->p || part->p + part->l > text->p + text->l))
		abort();
}

static void uri_same(const struct uri *ours, const struct uri *theirs)
{
	same(&ours->scheme, &theirs->scheme);
	same(&ours->user, &theirs->user);
	same(&ours->password, &theirs->password);
	same(&ours->host, &theirs->host);
	same(&ours->path, &theirs->path);
	same(&ours->params, &theirs->params);
	same(&ours->headers, &theirs->headers);
	if (ours->port != theirs->port || ours->af != theirs->af)
		abort();
}

static void uri_try(const struct pl *text)
{
	struct uri ours, theirs;

	if (parse_uri(text, &ours))
		return;
	within(&ours.host, text);
	within(&ours.params, text);
	within(&ours.headers, text);
	if (has(text, " \t\r\n[") || memmem(text->p, text->l, "::", 2))
		return;
	if (uri_decode(&theirs, text))
		abort();
	uri_same(&ours, &theirs);
}

static void addr_try(const struct pl *text)
{
	struct sip_addr ours, theirs;

	if (parse_addr(text, &ours))
		return;
	within(&ours.dname, text);
	within(&ours.auri, text);
	within(&ours.params, text);
	if (has(text, " \t\r\n[\"\\") || memmem(text->p, text->l, "::", 2))
		return;
	if (sip_addr_decode(&theirs, text))
		abort();
	same(&ours.dname, &theirs.dname);
	same(&ours.auri, &theirs.auri);
	same(&ours.params, &theirs.params);
	uri_same(&ours.uri, &theirs.uri);
}

static void param_try(const struct pl *text)
{
	struct pl ours = pl_null, theirs;
	bool found = parse_param(text, "tag", &ours);

	within(&ours, text);
	if (found && !parse_has_param(text, "tag"))
		abort();
	if (has(text, " \t\r\n\"\\"))
		return;
	if (found != !msg_param_decode(text, "tag", &theirs)) {
		/* an empty one is none to us; libre looks for the next */
		if (found || !parse_has_param(text, "tag"))
			abort();
		return;
	}
	if (found)
		same(&ours, &theirs);
}

static void via_try(const struct pl *text)
{
	struct sip_via ours, theirs = { 0 };

	if (parse_via(text, &ours))
		return;
	within(&ours.sentby, text);
	within(&ours.params, text);
	within(&ours.branch, text);
	/* of other transports libre takes the letters and what follows them for the host; to it a CR is no space */
	if (has(text, "\"\\[\r\n") || ours.tp == SIP_TRANSP_NONE)
		return;
	if (sip_via_decode(&theirs, text))
		abort();
	same(&ours.sentby, &theirs.sentby);
	same(&ours.params, &theirs.params);
	same(&ours.branch, &theirs.branch);
	/* libre wants the transport in capitals; RFC 3261 7.3.1 does not care */
	if ((theirs.tp != SIP_TRANSP_NONE && ours.tp != theirs.tp) ||
	    !sa_cmp(&ours.addr, &theirs.addr, SA_ALL))
		abort();
}

static bool has_bare_newline(const struct pl *text)
{
	for (size_t i = 0; i < text->l; i++)
		if (text->p[i] == '\n' && (!i || text->p[i - 1] != '\r'))
			return true;
	return false;
}

/* A header whose name has the same twelve bits of hash, which are all that libre knows it by. */
static bool mistaken(const struct sip_msg *theirs, enum sip_hdrid id, const char *name,
		     const char *compact)
{
	for (const struct le *le = list_head(&theirs->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (hdr->id == id && pl_strcasecmp(&hdr->name, name) &&
		    pl_strcasecmp(&hdr->name, compact))
			return true;
	}
	return false;
}

static void message_try(const struct pl *text)
{
	struct mbuf *mb = mbuf_alloc(text->l + 1), *mb2 = mbuf_alloc(text->l + 1);
	struct sip_msg *ours = NULL, *theirs = NULL;
	/* to libre a line goes on behind an empty one that ends in LF alone */
	bool plain = !has(text, "\"\\,[<\t") && !memmem(text->p, text->l, "::", 2) &&
		     !has_bare_newline(text);

	(void)mbuf_write_mem(mb, (const uint8_t *)text->p, text->l);
	(void)mbuf_write_mem(mb2, (const uint8_t *)text->p, text->l);
	mb->pos = mb2->pos = 0;
	if (inmsg_decode(&ours, mb) == 0) {
		for (const struct le *le = list_head(&ours->hdrl); le; le = le->next) {
			const struct sip_hdr *hdr = le->data;
			struct pl whole = { .p = (const char *)mb->buf, .l = mb->end };

			within(&hdr->name, &whole);
			within(&hdr->val, &whole);
		}
		/* without a header libre takes the empty line for the end of the first */
		if (plain && list_head(&ours->hdrl) && sip_msg_decode(&theirs, mb2) == 0 &&
		    theirs->req == ours->req) {
			same(&ours->met, &theirs->met);
			same(&ours->ruri, &theirs->ruri);
			same(&ours->ver, &theirs->ver);
			same(&ours->reason, &theirs->reason);
			if (!mistaken(theirs, SIP_HDR_CALL_ID, "Call-ID", "i"))
				same(&ours->callid, &theirs->callid);
			if (!mistaken(theirs, SIP_HDR_MAX_FORWARDS, "Max-Forwards", "Max-Forwards"))
				same(&ours->maxfwd, &theirs->maxfwd);
			if (ours->scode != theirs->scode || mb->pos != mb2->pos)
				abort();
		}
	}
	mem_deref(ours);
	mem_deref(theirs);
	mem_deref(mb);
	mem_deref(mb2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const struct pl *text) = { uri_try, addr_try, param_try,
								via_try, message_try };
	char *copy;
	struct pl text;

	if (size < 2)
		return 0;
	copy = xmemdup(data + 1, size - 1); /* of its own, so that the sanitizer sees its end */
	text = (struct pl){ .p = copy, .l = size - 1 };
	tries[data[0] % ARRAY_LEN(tries)](&text);
	free(copy);
	return 0;
}
