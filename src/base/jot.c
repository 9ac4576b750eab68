/* base/jot.c - whether a comma is due is seen at the last byte: only an opening bracket needs none after it */
#include "base/jot.h"

#include "base/base.h"
#include "base/field.h"

#include <math.h>
#include <stdio.h>

static void lead(struct jot *out, const char *key)
{
	struct buf *buf = out->buf;
	char last = buf->len ? buf->data[buf->len - 1] : '[';

	if (last != '{' && last != '[')
		buf_addc(buf, ',');
	if (!key)
		return;
	buf_addc(buf, '"');
	buf_adds(buf, key);
	buf_add(buf, "\":", 2);
}

void jot_open(struct jot *out, const char *key, char bracket)
{
	lead(out, key);
	buf_addc(out->buf, bracket);
}

void jot_close(struct jot *out, char bracket)
{
	buf_addc(out->buf, bracket);
}

void jot_null(struct jot *out, const char *key)
{
	lead(out, key);
	buf_add(out->buf, "null", 4);
}

void jot_bool(struct jot *out, const char *key, bool value)
{
	lead(out, key);
	buf_adds(out->buf, value ? "true" : "false");
}

void jot_int(struct jot *out, const char *key, int64_t value)
{
	lead(out, key);
	if (value < 0)
		buf_addc(out->buf, '-');
	buf_addu(out->buf, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void jot_real(struct jot *out, const char *key, double value)
{
	json_t *json = isfinite(value) ? json_real(value) : json_null();
	int flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(out->digits);
	char text[64];
	size_t len = json_dumpb(json, text, sizeof(text), (size_t)flags);

	lead(out, key);
	buf_add(out->buf, text, len <= sizeof(text) ? len : 0);
	json_decref(json);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void escape(struct buf *buf, unsigned char c)
{
	static const char letters[0x20] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};

	if (c >= 0x20)
		buf_addf(buf, "\\%c", c);
	else if (letters[c])
		buf_addf(buf, "\\%c", letters[c]);
	else
		buf_addf(buf, "\\u%04X", c);
}

void jot_text(struct jot *out, const char *key, const char *text)
{
	struct buf *buf = out->buf;
	size_t left;

	if (!text) {
		jot_null(out, key);
		return;
	}
	lead(out, key);
	buf_addc(buf, '"');
	left = strlen(text);
	while (left) {
		size_t run = 0, len;

		while (run < left && is_plain((unsigned char)text[run]))
			run++;
		buf_add(buf, text, run);
		text += run;
		left -= run;
		if (!left)
			break;
		len = str_utf8_len(text, left);
		if ((unsigned char)*text < 0x80)
			escape(buf, (unsigned char)*text);
		else
			buf_add(buf, len ? text : "?", len ? len : 1);
		text += len ? len : 1;
		left -= len ? len : 1;
	}
	buf_addc(buf, '"');
}

void jot_word(struct jot *out, const char *key, const char *word)
{
	if (!*word) {
		jot_null(out, key);
		return;
	}
	lead(out, key);
	buf_addc(out->buf, '"');
	buf_adds(out->buf, word);
	buf_addc(out->buf, '"');
}

void jot_id(struct jot *out, const char *key, struct id id)
{
	jot_word(out, key, id_str(id)); /* none is "" */
}

void jot_time(struct jot *out, const char *key, int64_t wall_us)
{
	jot_word(out, key, wall_us ? time_str(wall_us) : "");
}

static int buf_take(const char *text, size_t len, void *arg)
{
	buf_add(arg, text, len);
	return 0;
}

void jot_json(struct jot *out, const char *key, const json_t *json)
{
	int flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(out->digits);

	lead(out, key);
	(void)json_dump_callback(json, buf_take, out->buf, (size_t)flags);
}

static void jot_strs(struct jot *out, const char *key, const char *const *strs)
{
	if (!strs) {
		jot_null(out, key);
		return;
	}
	jot_open(out, key, '[');
	for (; *strs; strs++)
		jot_text(out, NULL, *strs);
	jot_close(out, ']');
}

static void jot_enum(struct jot *out, const struct field *f, int value)
{
	for (int i = 0; value >= 0 && f->names[i]; i++) {
		if (i == value) {
			jot_text(out, f->name, f->names[i]);
			return;
		}
	}
	jot_null(out, f->name);
}

static void jot_number(struct jot *out, const struct field *f, int64_t value)
{
	if (!value && (f->flags & FIELD_ZERO_NULL))
		jot_null(out, f->name);
	else
		jot_int(out, f->name, value);
}

static void jot_member(struct jot *out, const struct field *f, const void *member)
{
	switch (f->type) {
	case FIELD_ID:
		jot_id(out, f->name, *(const struct id *)member);
		return;
	case FIELD_STR:
		jot_text(out, f->name, *(const char *const *)member);
		return;
	case FIELD_INT:
		jot_number(out, f, *(const int *)member);
		return;
	case FIELD_I64:
		jot_number(out, f, *(const int64_t *)member);
		return;
	case FIELD_BOOL:
		jot_bool(out, f->name, *(const bool *)member);
		return;
	case FIELD_TIME:
		jot_time(out, f->name, *(const int64_t *)member);
		return;
	case FIELD_REAL:
		jot_real(out, f->name, *(const double *)member);
		return;
	case FIELD_ENUM:
		jot_enum(out, f, *(const int *)member);
		return;
	case FIELD_JSON:
		if (*(json_t *const *)member)
			jot_json(out, f->name, *(json_t *const *)member);
		else
			jot_null(out, f->name);
		return;
	case FIELD_STRS:
		jot_strs(out, f->name, *(const char *const *const *)member);
		return;
	}
	bug_on(true);
}

void jot_fields(struct jot *out, const struct field *fields, const void *strct)
{
	for (const struct field *f = fields; f->name; f++)
		if (!(f->flags & (FIELD_WRITE_ONLY | FIELD_NO_JSON)))
			jot_member(out, f, (const char *)strct + f->offset);
}
