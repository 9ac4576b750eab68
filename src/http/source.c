/* Large bodies on their way out. MHD asks for bytes on the web thread, which must not wait for a disk: what is not there
 * yet is read by one of a few threads, a piece at a time, while the connection is suspended. The next piece is read once
 * the last one has left, so a slow client holds one piece in memory and nobody's thread, and many downloads
 * take turns.
 */
#include "http/private.h"

#include "base/work.h"

#define PIECE (64u << 10)

struct spout {
	struct web *web;
	struct web_req *req; /* while MHD asks it is there */
	struct web_source source;
	uint64_t at, len; /* of the source, still to be read */
	char *piece;
	size_t filled, sent;
	bool failed;
};

/* On a reader. */
static void spout_fill(void *arg)
{
	struct spout *spout = arg;
	struct web_source *source = &spout->source;
	size_t want = spout->len < PIECE ? (size_t)spout->len : PIECE;

	while (spout->filled < want && !spout->failed) {
		ssize_t n = source->read(source->arg, spout->at, spout->piece + spout->filled,
					 want - spout->filled);

		spout->failed = n <= 0;
		spout->filled += n > 0 ? (size_t)n : 0;
		spout->at += n > 0 ? (uint64_t)n : 0;
	}
	spout->len -= spout->filled;
	web_send(spout->web, &(struct web_msg){ .kind = WEB_MSG_FILLED, .req = spout->req });
}

static ssize_t spout_read(void *arg, uint64_t at, char *buf, size_t max)
{
	struct spout *spout = arg;
	struct work work = { .run = spout_fill, .arg = spout };
	size_t part = spout->filled - spout->sent;

	(void)at;
	if (part) {
		part = part < max ? part : max;
		memcpy(buf, spout->piece + spout->sent, part);
		spout->sent += part;
		return (ssize_t)part;
	}
	if (spout->failed)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (!spout->piece)
		spout->piece = xzalloc(PIECE);
	spout->filled = spout->sent = 0;
	return web_read(spout->req, &work) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void spout_free(void *arg)
{
	struct spout *spout = arg;

	spout->source.free(spout->source.arg);
	web_sources_less(spout->web);
	free(spout->piece);
	free(spout);
}

struct MHD_Response *source_response(struct web_req *req)
{
	struct spout *spout = xzalloc(sizeof(*spout));
	struct MHD_Response *response;

	spout->web = req->web;
	spout->req = req;
	spout->source = req->source;
	spout->at = req->file_at;
	spout->len = req->file_len;
	req->source.free = NULL;
	response = MHD_create_response_from_callback(req->file_len, 32 * 1024, spout_read, spout,
						     spout_free);
	if (!response)
		spout_free(spout);
	return response;
}
