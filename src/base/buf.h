/* base/buf.h - a growing string that states its maximum */
#pragma once

#include "base/mem.h"

struct buf {
	char *data; /* NUL-terminated once anything was added, else NULL */
	size_t len;
	size_t cap;
	size_t max;
	bool failed; /* something did not fit: the content is not to be used */
};

#define BUF_MAX(maximum)                                                                           \
	{                                                                                          \
		.max = (maximum)                                                                   \
	}

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_adds(struct buf *buf, const char *str);
void buf_addc(struct buf *buf, char c);
void buf_addu(struct buf *buf, uint64_t value); /* decimal */
void buf_addf(struct buf *buf, const char *fmt, ...) format_printf(2, 3);
void buf_reset(struct buf *buf);
void buf_fini(struct buf *buf);
static inline void buf_fini_p(struct buf *buf)
{
	buf_fini(buf);
}
/* `auto_(buf_fini) struct buf out = BUF_MAX(4096);` */

/* Copies at most size-1 bytes and terminates. Return: false when it had to cut. */
bool str_copy(char *dst, size_t size, const char *src);
bool str_eq(const char *a, const char *b); /* NULL equals NULL */
bool str_eq_nocase(const char *a, const char *b);
bool str_has_prefix(const char *str, const char *prefix);
/* Whole string, decimal, within [min, max]. */
must_check bool str_to_i64(const char *str, int64_t min, int64_t max, int64_t *ret);
/* Return: the length of the well-formed character (RFC 3629 4) at `text`, of which `left` bytes are there; 0: none. */
size_t str_utf8_len(const char *text, size_t left);
/* UTF-8 that is well formed (RFC 3629) and has no control characters. */
bool str_is_clean_utf8(const char *str, size_t len);
