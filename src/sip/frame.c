/* sip/frame.c - messages out of a stream's bytes (RFC 3261 18.3, 7.5; RFC 5626 4.4.1)
 *
 * A message ends where Content-Length says. A stream where that cannot be told (no Content-Length,
 * two that differ, nonsense, beyond the bounds) has no next message: the one at hand goes up
 * without a body, so that it can be answered 400, and the stream is closed.
 */
#include "sip/flow_private.h"

#include <strings.h>

METRIC_COUNTER(stream_broken, "jackfield_sip_dropped_total", "Messages dropped",
	       "reason=\"framing\"");

static const uint8_t *header_value(const uint8_t *line, const uint8_t *end, const char *name)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) <= len || strncasecmp((const char *)line, name, len) != 0)
		return NULL;
	line += len;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	return line < end && *line == ':' ? line + 1 : NULL;
}

/* Return: false unless it is a number that fits. */
static bool length_parse(const uint8_t *p, const uint8_t *end, size_t *ret)
{
	size_t n = 0;
	bool any = false;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (size_t)(*p - '0');
		any = true;
		if (n > FLOW_MAX_MESSAGE)
			return false;
	}
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	*ret = n;
	return any && p == end;
}

/* Return: false when the headers do not say, once and for all, how long the body is. */
static bool content_length(const uint8_t *headers, size_t len, size_t *ret)
{
	const uint8_t *line = headers, *end = headers + len;
	bool found = false;
	size_t value = 0;

	while (line < end) {
		const uint8_t *eol = memchr(line, '\n', (size_t)(end - line));
		const uint8_t *next = eol ? eol + 1 : end;
		const uint8_t *text;
		size_t n;

		eol = eol ? eol : end;
		text = header_value(line, eol, "Content-Length");
		if (!text)
			text = header_value(line, eol, "l");
		line = next;
		if (!text)
			continue;
		if (!length_parse(text, eol, &n) || (found && n != value))
			return false;
		found = true;
		value = n;
	}
	*ret = value;
	return found;
}

/* Keeps what is between two messages out of the next one. Return: false when more bytes must come
 * first.
 */
static bool skip_crlf(struct flow *flow, size_t *pos)
{
	while (flow->rx_len - *pos >= 2 && flow->rx[*pos] == '\r' && flow->rx[*pos + 1] == '\n') {
		size_t left = flow->rx_len - *pos;

		if (flow->ping_out) {
			flow_ponged(flow);
			*pos += 2;
		} else if (left >= 4 && memcmp(flow->rx + *pos, "\r\n\r\n", 4) == 0) {
			flow_pinged(flow);
			*pos += 4;
		} else if (left < 4 && (left == 2 || flow->rx[*pos + 2] == '\r')) {
			return false; /* half a ping, or an empty line before a message (7.5) */
		} else {
			*pos += 2;
		}
	}
	return flow->rx_len > *pos;
}

/* Return: false when the header block is not complete yet. *ret_bad: it never will be. */
static bool message_measure(struct flow *flow, const uint8_t *start, size_t left, bool *ret_bad)
{
	size_t from = flow->rx_seen > 3 ? flow->rx_seen - 3 : 0;
	const uint8_t *end = left > from ? memmem(start + from, left - from, "\r\n\r\n", 4) : NULL;
	size_t headers, body = 0;

	if (!end) {
		flow->rx_seen = left;
		*ret_bad = left > FLOW_MAX_HEADERS;
		return false;
	}
	headers = (size_t)(end - start) + 4;
	if (headers > FLOW_MAX_HEADERS) {
		*ret_bad = true;
		return false;
	}
	if (!content_length(start, headers, &body) || headers + body > FLOW_MAX_MESSAGE) {
		body = 0;
		flow->rx_last = true;
	}
	flow->rx_message = headers + body;
	return true;
}

static void message_deliver(struct flow *flow, const uint8_t *start, size_t len)
{
	struct mbuf *mb = mbuf_alloc(len);

	mbuf_write_mem(mb, start, len);
	mb->pos = 0;
	flow_receive(flow, mb);
	mem_deref(mb);
}

static void rx_append(struct flow *flow, const uint8_t *data, size_t len)
{
	if (!len)
		return;
	if (flow->rx_len + len > flow->rx_cap) {
		flow->rx_cap = flow->rx_len + len + 2048;
		flow->rx = xrealloc(flow->rx, flow->rx_cap);
	}
	memcpy(flow->rx + flow->rx_len, data, len);
	flow->rx_len += len;
}

/* Handles every whole message of the buffer. Return: false when the stream is broken. */
static bool rx_consume(struct flow *flow, size_t *pos)
{
	bool bad = false;

	while (flow->state != FLOW_CLOSED) {
		size_t left;

		if (!flow->rx_message && !flow->rx_seen && !skip_crlf(flow, pos))
			return true;
		left = flow->rx_len - *pos;
		if (!flow->rx_message && !message_measure(flow, flow->rx + *pos, left, &bad))
			return !bad;
		if (left < flow->rx_message)
			return true;
		message_deliver(flow, flow->rx + *pos, flow->rx_message);
		*pos += flow->rx_message;
		flow->rx_message = flow->rx_seen = 0;
		if (flow->rx_last)
			return false;
	}
	return true;
}

bool flow_feed(struct flow *flow, const uint8_t *data, size_t len)
{
	auto_(flow_unref) struct flow *keep = flow_ref(flow);
	size_t pos = 0;
	bool fine;

	rx_append(flow, data, len);
	fine = rx_consume(keep, &pos);
	flow->rx_len -= pos;
	if (flow->rx_len)
		memmove(flow->rx, flow->rx + pos, flow->rx_len);
	else if (flow->rx_cap > 16384) {
		/* a rare large message must not be paid for by an idle connection */
		free(flow->rx);
		flow->rx = NULL;
		flow->rx_cap = 0;
	}
	if (fine)
		return flow->state != FLOW_CLOSED;
	metric_add(&stream_broken, 1);
	flow_gone(flow, EBADMSG);
	return false;
}
