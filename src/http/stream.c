/* An answer made piece by piece. MHD asks for bytes on the web thread; when the last piece has gone the connection is
 * suspended and the request gets another turn. So a slow reader holds one piece in memory and nobody's thread.
 */
#include "http/private.h"

static ssize_t stream_read(void *arg, uint64_t at, char *buf, size_t max)
{
	struct web_req *req = arg;
	struct web_piece *piece = &req->piece;
	size_t part = piece->len - piece->sent;

	(void)at;
	if (piece->abort)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (part) {
		part = part < max ? part : max;
		memcpy(buf, piece->data + piece->sent, part);
		piece->sent += part;
		return (ssize_t)part;
	}
	if (piece->last)
		return MHD_CONTENT_READER_END_OF_STREAM;
	free(piece->data);
	*piece = (struct web_piece){ 0 };
	return web_want_piece(req) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

struct MHD_Response *stream_response(struct web_req *req)
{
	return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32 * 1024, stream_read, req,
						 NULL);
}

void web_stream(struct web_req *req, int status, const char *type)
{
	bug_on(req->state != REQ_WORKING || req->begun);
	req->streaming = true;
	req->status = status;
	req->type = type;
}

void web_stream_piece(struct web_req *req, char *data, size_t len, bool last)
{
	bug_on(req->state != REQ_WORKING || !req->streaming || len > WEB_PIECE_MAX);
	req->piece = (struct web_piece){ .data = data, .len = data ? len : 0, .last = last };
	web_send(req->web, &(struct web_msg){ .kind = WEB_MSG_ANSWERED, .req = req });
}

void web_stream_abort(struct web_req *req)
{
	bug_on(req->state != REQ_WORKING || !req->streaming);
	req->piece = (struct web_piece){ .abort = true };
	web_send(req->web, &(struct web_msg){ .kind = WEB_MSG_ANSWERED, .req = req });
}

bool web_is_streaming(const struct web_req *req)
{
	return req->streaming;
}
