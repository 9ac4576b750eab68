/* multipart/form-data, by MHD's parser; here is what becomes of the parts, and every bound on them */
#include "http/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#define BOUNDARY_MAX 70 /* RFC 2046 5.1.1 */
#define TEXTS_MAX 16
#define NAME_MAX_ 64
#define FILE_NAME_MAX 255
#define PARTS_MAX 64
#define PARSER_BUFFER 4096
#define HEADERS_ROOM (64u << 10) /* of all parts together */

struct form_text {
	char name[NAME_MAX_ + 1];
	struct buf value;
};

struct form {
	struct web_form_limits limits;
	struct MHD_PostProcessor *parser;
	struct form_text texts[TEXTS_MAX], *text; /* text: the part that comes in now */
	unsigned text_count, parts;
	char part[NAME_MAX_ + 1]; /* its name */
	bool in_file, has_file;
	int fd;
	uint64_t size;
	char file_name[FILE_NAME_MAX + 1];
	int status; /* why it was refused */
};

struct form *form_free(struct form *form)
{
	if (!form)
		return NULL;
	if (form->parser)
		MHD_destroy_post_processor(form->parser);
	for (unsigned i = 0; i < form->text_count; i++)
		buf_fini(&form->texts[i].value);
	if (form->fd >= 0)
		close(form->fd);
	free(form);
	return NULL;
}

/* Without the path that some browsers send */
static void file_name_take(struct form *form, const char *name)
{
	const char *at = name + strlen(name);

	while (at > name && at[-1] != '/' && at[-1] != '\\')
		at--;
	if (str_is_clean_utf8(at, strlen(at)) && strlen(at) <= FILE_NAME_MAX)
		str_copy(form->file_name, sizeof(form->file_name), at);
}

static int part_begin(struct form *form, const char *name, const char *file_name)
{
	form->text = NULL;
	form->in_file = false;
	if (++form->parts > PARTS_MAX || !str_copy(form->part, sizeof(form->part), name))
		return 400;
	if (file_name) {
		if (form->has_file || !str_eq(name, form->limits.file))
			return 400;
		form->in_file = form->has_file = true;
		file_name_take(form, file_name);
		return 0;
	}
	if (form->text_count >= form->limits.texts_max)
		return 400;
	form->text = &form->texts[form->text_count++];
	str_copy(form->text->name, sizeof(form->text->name), name);
	form->text->value = (struct buf)BUF_MAX(form->limits.text_max + 1);
	return 0;
}

static int file_write(struct form *form, const char *data, size_t len)
{
	if (len > form->limits.file_max - form->size)
		return 413;
	form->size += len;
	while (len) {
		ssize_t put = write(form->fd, data, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			log_rated(LOG_ERROR_, "an upload could not be stored",
				  LOG_INT("errno", errno));
			return 507;
		}
		data += put;
		len -= (size_t)put;
	}
	return 0;
}

static int part_take(struct form *form, const char *data, size_t len)
{
	if (form->in_file)
		return file_write(form, data, len);
	if (!form->text)
		return 400;
	buf_add(&form->text->value, data, len);
	return form->text->value.failed ? 413 : 0;
}

static enum MHD_Result on_part(void *arg, enum MHD_ValueKind kind, const char *name,
			       const char *file_name, const char *type, const char *encoding,
			       const char *data, uint64_t at, size_t len)
{
	struct form *form = arg;
	bool same = form->parts && (form->in_file || form->text) && at > 0;

	(void)kind;
	(void)type;
	if (!name || (encoding && strcasecmp(encoding, "binary") != 0 &&
		      strcasecmp(encoding, "8bit") != 0 && strcasecmp(encoding, "7bit") != 0))
		form->status = 400;
	else if (!same)
		form->status = part_begin(form, name, file_name);
	if (!form->status && len)
		form->status = part_take(form, data, len);
	return form->status ? MHD_NO : MHD_YES;
}

static int form_put(void *arg, const char *data, size_t len)
{
	struct form *form = arg;

	if (MHD_post_process(form->parser, data, len) == MHD_YES && !form->status)
		return 0;
	return form->status ? form->status : 400;
}

static int form_end(void *arg)
{
	struct form *form = arg;
	enum MHD_Result whole = MHD_destroy_post_processor(form->parser);

	form->parser = NULL;
	if (form->status || whole != MHD_YES || !form->parts)
		return form->status ? form->status : 400;
	for (unsigned i = 0; i < form->text_count; i++) {
		const struct buf *value = &form->texts[i].value;

		if (value->data && !str_is_clean_utf8(value->data, value->len))
			return 400;
	}
	return form->has_file && lseek(form->fd, 0, SEEK_SET) < 0 ? 507 : 0;
}

/* ---- The worker's side ---- */

bool web_is_form(const struct web_req *req)
{
	const char *type = web_header(req, "Content-Type");

	return type && strncasecmp(type, "multipart/form-data", 19) == 0 &&
	       (!type[19] || strchr("; \t", type[19]));
}

static bool boundary_is_good(const struct web_req *req)
{
	const char *at = strcasestr(web_header(req, "Content-Type"), "boundary=");
	size_t len;

	if (!at)
		return false;
	at += 9;
	if (*at == '"')
		len = strcspn(++at, "\"");
	else
		len = strcspn(at, "; \t");
	return len >= 1 && len <= BOUNDARY_MAX;
}

static int file_open(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[4096];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	snprintf(path, sizeof(path), "%s/upload-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

void web_receive_form(struct web_req *req, const struct web_form_limits *limits)
{
	struct form *form;
	struct web_sink sink = { .put = form_put, .end = form_end };

	bug_on(limits->texts_max > TEXTS_MAX || req->form);
	req->form = form = xzalloc(sizeof(*form));
	form->limits = *limits;
	form->fd = file_open(limits->dir);
	if (form->fd < 0) {
		log_rated(LOG_ERROR_, "no file for an upload", LOG_INT("errno", errno));
		web_answer_error(req, 507, "no_space", "There is no room to store this.");
		return;
	}
	if (boundary_is_good(req))
		form->parser = MHD_create_post_processor(req->conn, PARSER_BUFFER, on_part, form);
	if (!form->parser) {
		web_answer_error(req, 400, "bad_body",
				 "The Content-Type has no boundary that can be used.");
		return;
	}
	sink.arg = form;
	sink.max = limits->file_max + (uint64_t)limits->texts_max * limits->text_max + HEADERS_ROOM;
	web_receive(req, &sink);
}

const char *web_form_text(const struct web_req *req, const char *name)
{
	const struct form *form = req->form;

	for (unsigned i = 0; form && i < form->text_count; i++)
		if (str_eq(form->texts[i].name, name))
			return form->texts[i].value.data ? form->texts[i].value.data : "";
	return NULL;
}

int web_form_file(const struct web_req *req, uint64_t *ret_size, const char **ret_name)
{
	const struct form *form = req->form;

	if (!form || !form->has_file)
		return -1;
	*ret_size = form->size;
	*ret_name = *form->file_name ? form->file_name : NULL;
	return form->fd;
}
