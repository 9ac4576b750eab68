/* sip/salvage.c - an answer to a request that could not be decoded
 *
 * RFC 4475 wants malformed requests answered where that can be done. All that an answer needs are
 * the header lines it repeats; they are taken as text, with no understanding, and only if each is
 * there.
 */
#include "sip/private.h"

#include <strings.h>

struct scraps {
	struct pl vias[32];
	unsigned via_count;
	struct pl from, to, call_id, cseq;
};

/* One logical line, folds included. Return: false at the end of the headers. */
static bool line_next(struct pl *text, struct pl *ret_line)
{
	size_t i = 0;

	ret_line->p = text->p;
	while (i < text->l) {
		if (text->p[i++] != '\n')
			continue;
		if (i < text->l && (text->p[i] == ' ' || text->p[i] == '\t'))
			continue;
		break;
	}
	ret_line->l = i;
	pl_advance(text, (ssize_t)i);
	while (ret_line->l &&
	       (ret_line->p[ret_line->l - 1] == '\n' || ret_line->p[ret_line->l - 1] == '\r'))
		ret_line->l--;
	return ret_line->l > 0;
}

static bool line_split(const struct pl *line, struct pl *ret_name, struct pl *ret_value)
{
	const char *colon = line->l ? memchr(line->p, ':', line->l) : NULL;

	if (!colon)
		return false;
	ret_name->p = line->p;
	ret_name->l = (size_t)(colon - line->p);
	while (ret_name->l &&
	       (ret_name->p[ret_name->l - 1] == ' ' || ret_name->p[ret_name->l - 1] == '\t'))
		ret_name->l--;
	ret_value->p = colon + 1;
	ret_value->l = (size_t)(line->p + line->l - ret_value->p);
	while (ret_value->l && strchr(" \t\r\n", *ret_value->p))
		pl_advance(ret_value, 1);
	return true;
}

static void scraps_take(struct scraps *scraps, const struct pl *name, const struct pl *value)
{
	if (pl_is_nocase(name, "Via") || pl_is_nocase(name, "v")) {
		if (scraps->via_count < ARRAY_LEN(scraps->vias))
			scraps->vias[scraps->via_count++] = *value;
	} else if (pl_is_nocase(name, "From") || pl_is_nocase(name, "f")) {
		scraps->from = *value;
	} else if (pl_is_nocase(name, "To") || pl_is_nocase(name, "t")) {
		scraps->to = *value;
	} else if (pl_is_nocase(name, "Call-ID") || pl_is_nocase(name, "i")) {
		scraps->call_id = *value;
	} else if (pl_is_nocase(name, "CSeq")) {
		scraps->cseq = *value;
	}
}

static int value_print(struct re_printf *pf, const struct pl *value)
{
	int err = 0;

	for (size_t i = 0; i < value->l && !err; i++) {
		char c = value->p[i];

		err = pf->vph(c == '\r' || c == '\n' || c == '\0' ? " " : &value->p[i], 1, pf->arg);
	}
	return err;
}

/* Is the first line a request's? *ret_code: what to answer. ACK is never answered (17.1.1.3). */
static bool start_line(const struct pl *whole, uint16_t *ret_code)
{
	struct pl line = *whole, version;
	const char *last;

	while (line.l && line.p[line.l - 1] == ' ')
		line.l--;
	last = pl_strrchr(&line, ' ');
	if (!last || line.l < 10 || strncmp(line.p, "SIP/", 4) == 0 ||
	    strncmp(line.p, "ACK ", 4) == 0)
		return false;
	version.p = last + 1;
	version.l = (size_t)(line.p + line.l - version.p);
	if (version.l < 5 || strncasecmp(version.p, "SIP/", 4) != 0)
		return false;
	*ret_code = pl_is(&version, "SIP/2.0") ? 400 : 505;
	return true;
}

struct mbuf *salvage_reply(const struct flow *flow, const uint8_t *data, size_t len)
{
	struct pl text = { .p = (const char *)data, .l = len }, line, name, value;
	struct scraps scraps = { .via_count = 0 };
	struct mbuf *mb;
	uint16_t code;
	int err;

	if (!line_next(&text, &line) || !start_line(&line, &code))
		return NULL;
	while (line_next(&text, &line))
		if (line_split(&line, &name, &value))
			scraps_take(&scraps, &name, &value);
	if (!scraps.via_count || !scraps.from.l || !scraps.to.l || !scraps.call_id.l ||
	    !scraps.cseq.l)
		return NULL;

	mb = mbuf_alloc(1024);
	err = mbuf_printf(mb, "SIP/2.0 %u %s\r\n", code, outmsg_reason(code));
	for (unsigned i = 0; i < scraps.via_count; i++) {
		err |= mbuf_printf(mb, "Via: %H", value_print, &scraps.vias[i]);
		if (i == 0 && !pl_strchr(&scraps.vias[i], ','))
			err |= mbuf_printf(mb, ";received=%j", flow_remote(flow));
		err |= mbuf_write_str(mb, "\r\n");
	}
	err |= mbuf_printf(
		mb, "From: %H\r\nTo: %H\r\nCall-ID: %H\r\nCSeq: %H\r\nContent-Length: 0\r\n\r\n",
		value_print, &scraps.from, value_print, &scraps.to, value_print, &scraps.call_id,
		value_print, &scraps.cseq);
	/* No answer may be a louder echo than the call. */
	if (err || mb->end > len + 512)
		return mem_deref(mb);
	mb->pos = 0;
	return mb;
}
