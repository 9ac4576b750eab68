/* A request's body on its way in: into memory, into a sink, or away. What is not wanted is still read, up to a
 * bound, because a peer whose bytes meet a closed socket gets a reset instead of our answer.
 */
#include "http/private.h"

#include <strings.h>

static void body_refuse(struct web_req *req)
{
	req_error(req, 413, "too_large", "The body is too large.");
}

bool body_begin(struct web_req *req)
{
	const char *length = web_header(req, "Content-Length");
	bool later = req->route->flags & WEB_BODY_LATER;

	req->body_max = req->route->body_max ?: web_default_body_max(req->web);
	req->drain_max = later ? WEB_DRAIN_LARGE : WEB_DRAIN_MAX;
	if (web_header(req, "Transfer-Encoding"))
		req->body_declared = -1;
	else if (length && !str_to_i64(length, 0, INT64_MAX, &req->body_declared))
		req->body_declared = INT64_MAX;
	if (req->body_declared > 0 &&
	    (uint64_t)req->body_declared > req->body_max + req->drain_max) {
		body_refuse(req);
		return false;
	}
	if (later || req->body_declared <= 0 || (uint64_t)req->body_declared <= req->body_max)
		return true;
	req->too_large = true;
	/* Whoever asks first is told at once (RFC 9110 10.1.1); others get to finish. */
	if (!web_header(req, "Expect"))
		return true;
	body_refuse(req);
	return false;
}

bool body_is_unwanted(const struct web_req *req)
{
	return req->body_declared == 0 || web_header(req, "Expect") != NULL;
}

static bool body_drain(struct web_req *req, size_t len)
{
	req->drained += len;
	return req->drained <= req->drain_max;
}

static void body_keep(struct web_req *req, const char *data, size_t len)
{
	if (req->body_len + len + 1 > req->body_cap) {
		size_t cap = req->body_cap ? req->body_cap * 2 : 2048;

		while (cap < req->body_len + len + 1)
			cap *= 2;
		req->body = xrealloc(req->body, cap);
		req->body_cap = cap;
	}
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
	req->body[req->body_len] = '\0';
}

bool body_take(struct web_req *req, const char *data, size_t len)
{
	/* Answered already, or not wanted any more */
	if (req->state != REQ_READING || req->too_large || req->sink_status)
		return body_drain(req, len);
	if (len > req->body_max - req->body_len - req->sunk) {
		req->too_large = true;
		return body_drain(req, len);
	}
	if (req->has_sink) {
		req->sunk += len;
		req->sink_status = req->sink.put(req->sink.arg, data, len);
	} else {
		body_keep(req, data, len);
	}
	return true;
}

bool body_end(struct web_req *req)
{
	int status = req->too_large ? 413 : req->sink_status;

	if (!status && req->has_sink && req->sink.end)
		status = req->sink.end(req->sink.arg);
	if (status == 413)
		body_refuse(req);
	else if (status == 507)
		req_error(req, 507, "no_space", "There is no room to store this.");
	else if (status)
		req_error(req, 400, "bad_body", "The body is not what its Content-Type says.");
	return !status;
}

void web_receive(struct web_req *req, const struct web_sink *sink)
{
	bug_on(req->state != REQ_WORKING || !req->before_body);
	if (sink) {
		req->has_sink = true;
		req->sink = *sink;
		if (sink->max)
			req->body_max = sink->max;
	} else {
		req->body_max = web_default_body_max(req->web);
	}
	if (req->body_declared > 0 && (uint64_t)req->body_declared > req->body_max) {
		req->too_large = true;
		if (web_header(req, "Expect")) {
			web_answer_error(req, 413, "too_large", "The body is too large.");
			return;
		}
	}
	web_send(req->web, &(struct web_msg){ .kind = WEB_MSG_RECEIVE, .req = req });
}
