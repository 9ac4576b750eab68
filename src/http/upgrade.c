/* The opening handshake of RFC 6455 section 4.2, and the hand-over of the socket to the ws thread */
#include "http/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/evp.h>

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void ws_accept_key(const char *key, char out[static 29])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char text[64 + sizeof(WS_GUID)];

	str_copy(text, 64, key);
	strcat(text, WS_GUID);
	bug_on(!EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL));
	sodium_bin2base64(out, 29, digest, len, sodium_base64_VARIANT_ORIGINAL);
}

/* Calls for each member of a comma-separated header. Return: the first for which `fits`, bounded by *ret_len. */
static const char *list_find(const char *list, const char *want, bool as_prefix, size_t *ret_len)
{
	size_t want_len = strlen(want);

	while (list && *list) {
		size_t len;

		list += strspn(list, " \t,");
		len = strcspn(list, ",");
		while (len && (list[len - 1] == ' ' || list[len - 1] == '\t'))
			len--;
		if (len >= want_len && (as_prefix || len == want_len) &&
		    strncasecmp(list, want, want_len) == 0) {
			*ret_len = len;
			return list;
		}
		list += strcspn(list, ",");
	}
	return NULL;
}

static bool header_lists(const struct web_req *req, const char *header, const char *token)
{
	size_t len = 0;

	return list_find(web_header(req, header), token, false, &len) != NULL;
}

static bool key_is_good(const char *key)
{
	unsigned char nonce[32];
	size_t len = 0;

	return key && strlen(key) == 24 &&
	       sodium_base642bin(nonce, sizeof(nonce), key, 24, NULL, &len, NULL,
				 sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       len == 16;
}

/* A browser says where the page came from; other clients need not say anything. */
static bool origin_is_good(const struct web_req *req)
{
	const char *origin = web_header(req, "Origin"), *host = web_header(req, "Host"), *authority;

	if (!origin)
		return true;
	if (web_cors_origin(req->web, origin))
		return true;
	authority = strstr(origin, "://");
	return authority && host && strcasecmp(authority + 3, host) == 0;
}

bool web_upgradable(struct web_req *req)
{
	const char *version = web_header(req, "Sec-WebSocket-Version");

	if (!web_ws(req->web) || !str_eq(req->method, "GET") ||
	    !header_lists(req, "Upgrade", "websocket") ||
	    !header_lists(req, "Connection", "upgrade")) {
		web_add_header(req, "Upgrade", "websocket");
		web_answer_error(req, 426, "upgrade_required",
				 "This address speaks WebSocket only.");
		return false;
	}
	if (!version || !str_eq(version, "13")) {
		web_add_header(req, "Sec-WebSocket-Version", "13");
		web_answer_error(req, 426, "upgrade_required",
				 "Only version 13 of the WebSocket protocol is spoken.");
		return false;
	}
	if (!key_is_good(web_header(req, "Sec-WebSocket-Key"))) {
		web_answer_error(req, 400, "bad_handshake",
				 "Sec-WebSocket-Key is missing or malformed.");
		return false;
	}
	if (!origin_is_good(req)) {
		web_answer_error(req, 403, "origin_not_allowed", "This origin may not connect.");
		return false;
	}
	return true;
}

bool web_offers_subprotocol(const struct web_req *req, const char *name)
{
	return header_lists(req, "Sec-WebSocket-Protocol", name);
}

const char *web_offered_after(struct web_req *req, const char *prefix)
{
	size_t len = 0, skip = strlen(prefix);
	const char *found =
		list_find(web_header(req, "Sec-WebSocket-Protocol"), prefix, true, &len);

	return found ? arena_strndup(req->arena, found + skip, len - skip) : NULL;
}

/* MHD keeps an upgraded connection on its list of suspended ones, which it walks at every resume. So the socket
 * is duplicated and MHD's own is closed at once: ten thousand WebSockets cost the web thread nothing.
 */
static void on_upgrade(void *cls, struct MHD_Connection *conn, void *req_arg, const char *extra,
		       size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh)
{
	struct web_req *req = req_arg;
	struct ws_birth birth = {
		.endpoint = req->endpoint,
		.arg = take(req->ws_arg),
		.arg_free = req->ws_arg_free,
		.early_len = extra_len,
	};

	(void)cls;
	(void)conn;
	birth.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (birth.fd < 0) {
		err_newf(errno, "dup of a WebSocket");
		if (birth.arg_free)
			birth.arg_free(birth.arg);
	} else {
		if (extra_len)
			birth.early = (uint8_t *)xmemdup(extra, extra_len);
		str_copy(birth.peer, sizeof(birth.peer), req->peer);
		ws_adopt(web_ws(req->web), &birth);
	}
	MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

struct MHD_Response *upgrade_response(struct web_req *req)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, NULL);
	char accept[29];

	if (!response)
		return NULL;
	ws_accept_key(web_header(req, "Sec-WebSocket-Key"), accept);
	MHD_add_response_header(response, "Upgrade", "websocket");
	MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
	return response;
}
