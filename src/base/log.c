/* base/log.c - lines are built on the caller's stack and written whole with one write(2), so that threads need no
 * lock and lines never mix
 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_ 4096
#define VALUE_MAX 1024 /* a longer value is cut, marked by an ellipsis */
#define RATE_PER_SECOND 10

static atomic_int min_level = LOG_INFO_;
static atomic_bool as_json;
static atomic_bool show_personal;

struct line {
	size_t len;
	char text[LINE_MAX_ + 1]; /* and the newline */
};

void log_init(const struct log_setup *setup)
{
	atomic_store_explicit(&as_json, setup->json, memory_order_relaxed);
	atomic_store_explicit(&show_personal, setup->personal, memory_order_relaxed);
	atomic_store_explicit(&min_level, (int)setup->level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* Several threads may pass here at once; a count that is off by a few in the second of change is fine. */
bool log_rate_pass(struct log_rate *rate, unsigned *ret_held)
{
	int64_t now_s =
		(int64_t)(clock_mono_ms() / 1000) + 1; /* never 0, the value of a fresh struct */
	int64_t window_s = atomic_load_explicit(&rate->window_s, memory_order_relaxed);

	if (window_s != now_s &&
	    atomic_compare_exchange_strong_explicit(&rate->window_s, &window_s, now_s,
						    memory_order_relaxed, memory_order_relaxed))
		atomic_store_explicit(&rate->passed, 0, memory_order_relaxed);

	if (atomic_fetch_add_explicit(&rate->passed, 1, memory_order_relaxed) >= RATE_PER_SECOND) {
		atomic_fetch_add_explicit(&rate->held, 1, memory_order_relaxed);
		return false;
	}
	*ret_held = atomic_exchange_explicit(&rate->held, 0, memory_order_relaxed);
	return true;
}

static void line_add(struct line *line, const char *text, size_t len)
{
	size_t room = LINE_MAX_ - line->len;

	if (len > room)
		len = room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_adds(struct line *line, const char *text)
{
	line_add(line, text, strlen(text));
}

/* Escapes as JSON does, which logfmt readers take as well. Bytes that are not UTF-8 or are control characters are
 * written as \u00XX, so that no foreign text can forge a line or drive a terminal.
 */
static void line_add_escaped(struct line *line, const char *value)
{
	size_t left = strnlen(value, VALUE_MAX + 1);
	bool cut = left > VALUE_MAX;

	if (cut)
		left = VALUE_MAX;
	while (left) {
		size_t n = 1;
		char code[8];

		if ((unsigned char)*value >= 0x80)
			while (n < 4 && n < left && ((unsigned char)value[n] & 0xc0) == 0x80)
				n++;
		if (*value == '"' || *value == '\\') {
			line_add(line, "\\", 1);
			line_add(line, value, 1);
		} else if (*value == '\n') {
			line_add(line, "\\n", 2);
		} else if (!str_is_clean_utf8(value, n)) {
			n = 1;
			snprintf(code, sizeof(code), "\\u%04x", (unsigned char)*value);
			line_adds(line, code);
		} else {
			line_add(line, value, n);
		}
		value += n;
		left -= n;
	}
	if (cut)
		line_adds(line, "…");
}

static void line_add_quoted(struct line *line, const char *value)
{
	line_add(line, "\"", 1);
	line_add_escaped(line, value);
	line_add(line, "\"", 1);
}

/* In logfmt a value needs quotes unless it is a plain word. */
static bool is_plain(const char *value)
{
	if (!*value)
		return false;
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\"=\\", *p))
			return false;
	return true;
}

static void line_add_str(struct line *line, bool json, const char *value)
{
	if (!value)
		line_adds(line, json ? "null" : "-");
	else if (json || !is_plain(value) || strlen(value) > VALUE_MAX)
		line_add_quoted(line, value);
	else
		line_adds(line, value);
}

static void line_add_key(struct line *line, bool json, const char *key)
{
	if (json) {
		line_adds(line, line->len ? "," : "{");
		line_add_quoted(line, key);
		line_add(line, ":", 1);
	} else {
		if (line->len)
			line_add(line, " ", 1);
		line_adds(line, key);
		line_add(line, "=", 1);
	}
}

/* Keeps what helps to tell two apart, the last two characters of something long: "+49301234567" is "***67". */
static void line_add_masked(struct line *line, bool json, const char *value)
{
	char masked[8];
	size_t len = value ? strlen(value) : 0;

	if (!value) {
		line_add_str(line, json, NULL);
		return;
	}
	snprintf(masked, sizeof(masked), "***%.2s",
		 len >= 7 && is_plain(value + len - 2) ? value + len - 2 : "");
	line_add_str(line, json, masked);
}

static void line_add_pair(struct line *line, bool json, const struct log_pair *pair)
{
	char number[24];

	line_add_key(line, json, pair->key);
	switch (pair->kind) {
	case LOG_KIND_STR:
		line_add_str(line, json, pair->str);
		break;
	case LOG_KIND_PII:
		if (atomic_load_explicit(&show_personal, memory_order_relaxed))
			line_add_str(line, json, pair->str);
		else
			line_add_masked(line, json, pair->str);
		break;
	case LOG_KIND_INT:
		snprintf(number, sizeof(number), "%lld", (long long)pair->num);
		line_adds(line, number);
		break;
	case LOG_KIND_ID:
		line_add_str(line, json, id_is_none(pair->id) ? NULL : id_str(pair->id));
		break;
	}
}

static void line_write(struct line *line, size_t end)
{
	const char *at = line->text;

	line->text[end] = '\n';
	end++;
	while (end) {
		ssize_t n = write(STDERR_FILENO, at, end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere to tell of it */
		at += n;
		end -= (size_t)n;
	}
}

void log_write(enum log_level level, const char *file, int line_no, const char *text,
	       const struct log_pair *pairs)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
	int saved_errno = errno;
	struct line line;
	size_t last_whole = 0;

	line.len = 0;
	line_add_key(&line, json, "time");
	line_add_str(&line, json, time_str(clock_wall_us()));
	line_add_key(&line, json, "level");
	line_add_str(&line, json, names[level]);
	line_add_key(&line, json, "msg");
	line_add_str(&line, json, text);
	last_whole = line.len;
	for (; pairs->key; pairs++) {
		line_add_pair(&line, json, pairs);
		if (line.len > LINE_MAX_ - 256)
			break; /* this pair and the rest do not fit: the line stays well-formed without them */
		last_whole = line.len;
	}
	line.len = last_whole;
	if (level == LOG_DEBUG_ || level == LOG_ERROR_) {
		char place[160];
		const char *src = strstr(file, "src/");

		snprintf(place, sizeof(place), "%s:%d", src ? src + 4 : file, line_no);
		line_add_key(&line, json, "at");
		line_add_str(&line, json, place);
	}
	if (json)
		line_add(&line, "}", 1);
	line_write(&line, line.len);
	errno = saved_errno;
}
