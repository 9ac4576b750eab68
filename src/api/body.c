/* What clients send: JSON bodies, forms, and the key that makes a request safe to send again */
#include "api/private.h"

#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>

static bool type_is_json(const char *type)
{
	size_t len = type ? strcspn(type, "; \t") : 0;

	return !type || (len == 16 && strncasecmp(type, "application/json", 16) == 0);
}

static struct api_done *body_wrong(struct api_req *req, const json_error_t *error)
{
	char message[256];

	snprintf(message, sizeof(message), "JSON parse error at line %d column %d: %.100s",
		 error->line, error->column, error->text);
	for (char *c = message; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return api_invalid_field(req, "non_field_errors", message);
}

struct api_done *api_take_body(struct api_req *req)
{
	const char *type = web_header(req->web, "Content-Type"), *text;
	json_error_t error;
	size_t len = 0;

	text = web_body(req->web, &len);
	if (!len) {
		req->body = json_object();
		return NULL;
	}
	if (!type_is_json(type))
		return api_error_detail(
			req, 415, "unsupported_media_type",
			"Unsupported media type in request. Send application/json.");
	/* A NUL inside a string is the member's fault, and named there. */
	req->body = json_loadb(text, len, JSON_ALLOW_NUL, &error);
	if (!req->body)
		return body_wrong(req, &error);
	if (!json_is_object(req->body))
		return api_invalid_field(req, "non_field_errors",
					 "Invalid data. Expected a JSON object.");
	return NULL;
}

/* The body's, or, of a form, what is in its fields: its boundaries differ each time. */
static const char *request_hash(struct api_req *req)
{
	const char *text, *hash, *name;
	uint64_t size = 0;
	size_t len = 0;
	void *map;
	int fd;

	if (!req->route->upload_max || !web_is_form(req->web)) {
		text = web_body(req->web, &len);
		return idempotency_hash(req->arena, text, len);
	}
	fd = web_form_file(req->web, &size, &name);
	map = fd >= 0 && size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	hash = idempotency_hash(req->arena, map == MAP_FAILED ? "" : map,
				map == MAP_FAILED ? 0 : size);
	if (map != MAP_FAILED)
		munmap(map, size);
	text = arena_printf(req->arena, "%s %s", hash, web_form_text(req->web, "name") ?: "");
	return idempotency_hash(req->arena, text, strlen(text));
}

/* Idempotency-Key: the first request claims it, whoever comes again gets the first one's answer. */
struct api_done *api_claim_key(struct api_req *req)
{
	const char *key = web_header(req->web, "Idempotency-Key");
	struct idempotency request = { .route = req->route->operation };
	struct idempotency_answer answer = { 0 };
	int r;

	if (!(req->route->flags & API_CREATES) || !key || !*key)
		return NULL;
	if (strlen(key) > IDEMPOTENCY_KEY_MAX || !str_is_clean_utf8(key, strlen(key)))
		return api_invalid_field(
			req, "Idempotency-Key",
			"Ensure this header has at most 255 printable characters.");
	request.tenant = req->user->tenant;
	request.user = req->user->id;
	request.key = arena_strdup(req->arena, key);
	request.request_hash = request_hash(req);
	r = idempotency_claim(req->db, req->arena, &request, clock_wall_us(), &answer);
	if (r == IDEMPOTENCY_E_RUNNING)
		return api_error(req, 409, "idempotency_running");
	if (r == IDEMPOTENCY_E_OTHER)
		return api_error(req, 409, "idempotency_key_reused");
	if (r == IDEMPOTENCY_E_DONE) {
		char *body = xstrdup(answer.body);

		if (answer.location)
			web_add_header(req->web, "Location", answer.location);
		web_add_header(req->web, "Idempotency-Replayed", "true");
		return api_text(req, answer.status, body ? "application/json" : NULL, body,
				body ? strlen(body) : 0);
	}
	if (r)
		return api_fail(req, r);
	req->idempotency_key = request.key;
	req->request_hash = request.request_hash;
	return NULL;
}
