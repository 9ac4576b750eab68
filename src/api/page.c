/* Lists as Django REST Framework gives them: PageNumberPagination's links and errors, filters with clear complaints */
#include "api/private.h"

#include <errno.h>
#include <stdio.h>

struct api_done *api_page(struct api_req *req, struct db_page *ret)
{
	const char *number = web_query(req->web, "page"), *size = web_query(req->web, "page_size");
	int64_t value = 0;

	*ret = (struct db_page){ .number = 1,
				 .size = DB_PAGE_DEFAULT,
				 .ordering = web_query(req->web, "ordering") };
	if (number && *number) {
		if (!str_to_i64(number, 1, 1000000000, &value))
			return api_fail(req, DB_PAGE_E_RANGE);
		ret->number = (unsigned)value;
	}
	/* DRF: a size that cannot be is the default, silently; too large a one is the largest. */
	if (size && str_to_i64(size, 1, INT64_MAX, &value))
		ret->size = value > DB_PAGE_MAX ? DB_PAGE_MAX : (unsigned)value;
	return NULL;
}

/* The request's own address with another page. */
static json_t *page_link(struct api_req *req, unsigned number)
{
	const char *host = web_header(req->web, "Host"), *query = web_query_text(req->web);
	const char *proto =
		req->api->setup.trust_forwarded ? web_header(req->web, "X-Forwarded-Proto") : NULL;
	auto_(buf_fini) struct buf link = BUF_MAX(16384);
	json_t *text;
	char mark = '?';

	buf_addf(&link, "%s://%s%s", str_eq(proto, "https") ? "https" : "http",
		 host ? host : "localhost", web_path(req->web));
	while (*query) {
		size_t len = strcspn(query, "&");

		if (len && strncmp(query, "page=", 5) != 0) {
			buf_addc(&link, mark);
			buf_add(&link, query, len);
			mark = '&';
		}
		query += len + (query[len] == '&');
	}
	if (number > 1)
		buf_addf(&link, "%cpage=%u", mark, number);
	text = link.failed ? NULL : json_string(link.data);
	return text ?: json_null(); /* a Host may be anything */
}

struct api_done *api_list(struct api_req *req, const struct db_page_info *info, json_t *results)
{
	json_t *next = info->has_next ? page_link(req, info->number + 1) : json_null();
	json_t *previous = info->has_previous ? page_link(req, info->number - 1) : json_null();

	return api_json(req, 200,
			json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)info->count, "next",
				  next, "previous", previous, "results", results));
}

#define LIST_MAX (64u << 20)

void api_list_begin(struct api_req *req, const struct db_page_info *info, struct api_list_out *ret)
{
	json_t *next = info->has_next ? page_link(req, info->number + 1) : json_null();
	json_t *previous = info->has_previous ? page_link(req, info->number - 1) : json_null();

	ret->text = (struct buf)BUF_MAX(LIST_MAX);
	ret->rows = (struct jot){ .buf = &ret->text, .digits = JOT_DIGITS };
	jot_open(&ret->rows, NULL, '{');
	jot_int(&ret->rows, "count", (int64_t)info->count);
	jot_json(&ret->rows, "next", next);
	jot_json(&ret->rows, "previous", previous);
	jot_open(&ret->rows, "results", '[');
	json_decref(next);
	json_decref(previous);
}

struct api_done *api_list_end(struct api_req *req, struct api_list_out *list)
{
	jot_close(&list->rows, ']');
	jot_close(&list->rows, '}');
	if (list->text.failed) {
		buf_fini(&list->text);
		return api_fail(req, -E2BIG);
	}
	return api_text(req, 200, "application/json", take(list->text.data), list->text.len);
}

void api_filter_id(struct api_req *req, const char *name, struct id *ret, json_t **complaints)
{
	const char *text = web_query(req->web, name);

	if (text && *text && !id_parse(text, ret))
		field_complain(complaints, name, "Must be a valid UUID.");
}

unsigned api_filter_ids(struct api_req *req, const char *name, unsigned max, struct id *ret,
			json_t **complaints)
{
	unsigned count = 0;

	for (size_t i = 0; i < web_query_count(req->web); i++) {
		const char *given, *value;
		char message[64];

		web_query_at(req->web, i, &given, &value);
		while (str_eq(given, name) && *value) {
			size_t len = strcspn(value, ",");

			if (count == max ||
			    !id_parse(arena_strndup(req->arena, value, len), &ret[count])) {
				snprintf(message, sizeof(message),
					 "Must be at most %u valid UUIDs.", max);
				field_complain(complaints, name, message);
				return 0;
			}
			count++;
			value += len + (value[len] == ',');
		}
	}
	return count;
}

int api_filter_word(struct api_req *req, const char *name, const char *const *names,
		    json_t **complaints)
{
	const char *text = web_query(req->web, name);
	char message[320];

	if (!text || !*text)
		return -1;
	for (int i = 0; names[i]; i++)
		if (str_eq(names[i], text))
			return i;
	field_choices(message, sizeof(message), text, names);
	field_complain(complaints, name, message);
	return -1;
}

void api_filter_time(struct api_req *req, const char *name, int64_t *ret, json_t **complaints)
{
	const char *text = web_query(req->web, name);

	if (text && *text && !time_parse(text, ret))
		field_complain(complaints, name,
			       "Enter a valid date and time, such as 2026-01-31T12:00:00Z.");
}

void api_filter_int(struct api_req *req, const char *name, int64_t min, int64_t max, int *ret,
		    json_t **complaints)
{
	const char *text = web_query(req->web, name);
	int64_t value = 0;

	if (!text || !*text)
		return;
	if (str_to_i64(text, min, max, &value))
		*ret = (int)value;
	else
		field_complain(complaints, name, "Enter a whole number that is in range.");
}

const char *api_filter_text(struct api_req *req, const char *name, json_t **complaints)
{
	const char *text = web_query(req->web, name);

	if (!text || !*text)
		return NULL;
	if (strlen(text) > 128) {
		field_complain(complaints, name, "Ensure this value has at most 128 characters.");
		return NULL;
	}
	return text;
}
