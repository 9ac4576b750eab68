/* Files that go out: preconditions and ranges (RFC 9110 sections 13 and 14), and the name to save them under */
#include "http/private.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_etag_listed(const char *list, const char *etag, bool weak)
{
	size_t want = etag ? strlen(etag) : 0;

	list += strspn(list, " \t");
	if (*list == '*')
		return true;
	while (*list) {
		bool is_weak;
		size_t len;

		list += strspn(list, ", \t");
		is_weak = strncmp(list, "W/", 2) == 0;
		if (is_weak)
			list += 2;
		if (*list != '"')
			return false;
		len = strcspn(++list, "\"");
		if (!list[len])
			return false;
		if (etag && len == want && memcmp(list, etag, len) == 0 && (weak || !is_weak))
			return true;
		list += len + 1;
	}
	return false;
}

static bool digits_take(const char **text, uint64_t *ret)
{
	uint64_t num = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++) {
		if (num > UINT64_MAX / 10 - 1)
			num = UINT64_MAX / 10 - 1; /* beyond any file, and no overflow */
		num = num * 10 + (unsigned)(**text - '0');
	}
	*ret = num;
	return true;
}

enum file_range file_range_parse(const char *text, uint64_t size, uint64_t *ret_at,
				 uint64_t *ret_len)
{
	uint64_t first = 0, last = UINT64_MAX;
	bool has_first;

	if (!text || strncasecmp(text, "bytes=", 6) != 0)
		return RANGE_NONE;
	text += 6;
	text += strspn(text, " \t");
	has_first = digits_take(&text, &first);
	if (*text++ != '-')
		return RANGE_NONE;
	if (!digits_take(&text, &last) && !has_first)
		return RANGE_NONE;
	text += strspn(text, " \t");
	if (*text || (has_first && last < first))
		return RANGE_NONE;
	if (!has_first) {
		if (!last || !size)
			return RANGE_BEYOND;
		first = last < size ? size - last : 0;
		last = size - 1;
	}
	if (first >= size)
		return RANGE_BEYOND;
	*ret_at = first;
	*ret_len = (last < size ? last : size - 1) - first + 1;
	return RANGE_GOOD;
}

/* RFC 6266, RFC 8187: a plain name for old clients, the whole one for the others. */
static void disposition_add(struct web_req *req, const struct web_file *file)
{
	auto_(buf_fini) struct buf text = BUF_MAX(4096);

	buf_adds(&text, file->attachment ? "attachment" : "inline");
	if (file->name) {
		buf_adds(&text, "; filename=\"");
		for (const char *c = file->name; *c; c++)
			buf_addc(&text, *c < 0x20 || *c > 0x7e || strchr("\"\\/%", *c) ? '_' : *c);
		buf_adds(&text, "\"; filename*=UTF-8''");
		for (const char *c = file->name; *c; c++)
			if (isalnum((unsigned char)*c) || (*c && strchr("!#$&+-.^_`|~", *c)))
				buf_addc(&text, *c);
			else
				buf_addf(&text, "%%%02X", (unsigned char)*c);
	}
	if (!text.failed)
		web_add_header(req, "Content-Disposition", text.data);
}

/* 0, or the status that answers without the file */
static int preconditions(const struct web_req *req, const struct web_file *file)
{
	const char *match = web_header(req, "If-Match"), *none = web_header(req, "If-None-Match");

	if (match && !file_etag_listed(match, file->etag, false))
		return 412;
	return none && file_etag_listed(none, file->etag, true) ? 304 : 0;
}

/* Whether Range is to be looked at. Dates in If-Range never match: we give none. */
static bool range_holds(const struct web_req *req, const struct web_file *file)
{
	const char *condition = web_header(req, "If-Range");

	return !req->head && (!condition || (*condition == '"' &&
					     file_etag_listed(condition, file->etag, false)));
}

static void file_describe(struct web_req *req, const struct web_file *file)
{
	if (file->etag)
		web_add_header(req, "ETag", arena_printf(req->arena, "\"%s\"", file->etag));
	web_add_header(req, "Accept-Ranges", "bytes");
}

/* ---- a regular file as a source ---- */

static ssize_t fd_read(void *arg, uint64_t at, char *buf, size_t max)
{
	return pread(*(int *)arg, buf, max, (off_t)at);
}

static void fd_free(void *arg)
{
	close(*(int *)arg);
	free(arg);
}

/* Takes the descriptor. Return: false when it is none of a regular file. */
static bool fd_source(int fd, struct web_source *ret)
{
	struct stat st = { 0 };

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_error("http: what was to be sent is no file");
		close(fd);
		return false;
	}
	*ret = (struct web_source){
		.size = (uint64_t)st.st_size,
		.read = fd_read,
		.free = fd_free,
		.arg = xmemdup(&fd, sizeof(fd)),
	};
	return true;
}

/* ---- the answer ---- */

static void file_send(struct web_req *req, const struct web_file *file,
		      const struct web_source *source)
{
	uint64_t size = source->size, at = 0, len = size;
	enum file_range range =
		range_holds(req, file) ? file_range_parse(web_header(req, "Range"), size, &at, &len)
				       : RANGE_NONE;

	if (range == RANGE_BEYOND) {
		source->free(source->arg);
		web_add_header(req, "Content-Range",
			       arena_printf(req->arena, "bytes */%llu", (unsigned long long)size));
		web_answer_error(req, 416, "range_not_satisfiable",
				 "The range asked for is not in the file.");
		return;
	}
	if (range == RANGE_GOOD)
		web_add_header(
			req, "Content-Range",
			arena_printf(req->arena, "bytes %llu-%llu/%llu", (unsigned long long)at,
				     (unsigned long long)(at + len - 1), (unsigned long long)size));
	disposition_add(req, file);
	if (len) {
		req->source = *source;
		req->file_at = at;
		req->file_len = len;
	} else {
		source->free(source->arg);
	}
	web_answer(req, range == RANGE_GOOD ? 206 : 200, file->type, NULL, 0);
}

void web_answer_file(struct web_req *req, const struct web_file *file)
{
	int status = preconditions(req, file);
	struct web_source source = { 0 };

	if (file->source) {
		source = *file->source;
	} else if (!fd_source(file->fd, &source)) {
		web_answer_error(req, 500, "error", "A server error occurred.");
		return;
	}
	file_describe(req, file);
	if (!status) {
		file_send(req, file, &source);
		return;
	}
	source.free(source.arg);
	if (status == 304)
		web_answer(req, 304, NULL, NULL, 0);
	else
		web_answer_error(req, 412, "precondition_failed",
				 "The file is not the one that was asked for.");
}
