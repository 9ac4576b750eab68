/* base/buf.c - bounded growing strings, and small helpers for C strings */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define LIKELY 160

/* Makes room for `more` bytes and the NUL. Return: false, with the buffer failed, when that exceeds its maximum. */
static bool buf_reserve(struct buf *buf, size_t more)
{
	size_t cap;

	if (buf->failed)
		return false;
	if (more > buf->max || buf->len > buf->max - more) {
		buf->failed = true;
		return false;
	}
	if (buf->len + more + 1 <= buf->cap)
		return true;
	cap = buf->cap ? buf->cap * 2 : 64;
	if (cap < buf->len + more + 1)
		cap = buf->len + more + 1;
	if (cap > buf->max + 1)
		cap = buf->max + 1;
	buf->data = xrealloc(buf->data, cap);
	buf->cap = cap;
	return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (!buf_reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_adds(struct buf *buf, const char *str)
{
	if (str)
		buf_add(buf, str, strlen(str));
}

void buf_addc(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_addu(struct buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	buf_add(buf, digits + at, sizeof(digits) - at);
}

/* Room for what most formats come to: counting first costs as much as writing. */
static size_t buf_room(struct buf *buf)
{
	size_t left = buf->max - buf->len, likely = left < LIKELY ? left : LIKELY;

	if (buf->cap < buf->len + likely + 1)
		(void)buf_reserve(buf, likely);
	return buf->cap - buf->len;
}

void buf_addf(struct buf *buf, const char *fmt, ...)
{
	va_list ap, again;
	size_t room;
	int n;

	if (buf->failed)
		return;
	room = buf_room(buf);
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(buf->data + buf->len, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		buf->failed = true;
	} else if ((size_t)n < room && buf->len + (size_t)n <= buf->max) {
		buf->len += (size_t)n;
	} else {
		buf->data[buf->len] = '\0'; /* undo the cut attempt */
		if (buf_reserve(buf, (size_t)n)) {
			vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
			buf->len += (size_t)n;
		}
	}
	va_end(again);
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ .max = buf->max };
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t len;

	if (!size)
		return false;
	len = src ? strlen(src) : 0;
	if (len < size) {
		memcpy(dst, src ? src : "", len);
		dst[len] = '\0';
		return true;
	}
	memcpy(dst, src, size - 1);
	dst[size - 1] = '\0';
	return false;
}

bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_eq_nocase(const char *a, const char *b)
{
	return a == b || (a && b && strcasecmp(a, b) == 0);
}

bool str_has_prefix(const char *str, const char *prefix)
{
	return str && strncmp(str, prefix, strlen(prefix)) == 0;
}

bool str_to_i64(const char *str, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	long long value;
	const char *digits = str;

	if (!str)
		return false;
	if (*digits == '-')
		digits++;
	/* strtoll would also take spaces and a plus sign. */
	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	value = strtoll(str, &end, 10);
	if (errno || *end || value < min || value > max)
		return false;
	*ret = value;
	return true;
}

size_t str_utf8_len(const char *text, size_t left)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t len;
	uint8_t low = 0x80,
		high = 0xbf; /* bounds of the second byte: no overlong form, no surrogate */

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		len = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		low = p[0] == 0xe0 ? 0xa0 : low;
		high = p[0] == 0xed ? 0x9f : high;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		low = p[0] == 0xf0 ? 0x90 : low;
		high = p[0] == 0xf4 ? 0x8f : high;
	} else {
		return 0;
	}
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool str_is_clean_utf8(const char *str, size_t len)
{
	const uint8_t *p = (const uint8_t *)str;

	while (len) {
		size_t n = str_utf8_len((const char *)p, len);

		if (!n || p[0] < 0x20 || p[0] == 0x7f)
			return false;
		if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls */
			return false;
		p += n;
		len -= n;
	}
	return true;
}
