/* base/log.h - structured logs: one line an event, logfmt or JSON, to standard error
 *
 *     log_info("registered", LOG_ID("profile", id), LOG_STR("registrar", addr), LOG_INT("expires", 3600));
 *
 * Any thread. Values are escaped. Personal data (numbers, names, addresses of people) goes through
 * LOG_PII and is masked unless `[log] personal = yes`. Secrets are never given to a log at all.
 * What a packet can trigger uses log_rated(), which lets ten a second pass for each place and counts the rest.
 */
#pragma once

#include "base/id.h"

#include <stdatomic.h>

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

struct log_pair {
	enum { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_ID, LOG_KIND_PII } kind;
	const char *key;
	const char *str;
	int64_t num;
	struct id id;
};

#define LOG_STR(k, v)                                                                              \
	{                                                                                          \
		.kind = LOG_KIND_STR, .key = (k), .str = (v)                                       \
	}
#define LOG_PII(k, v)                                                                              \
	{                                                                                          \
		.kind = LOG_KIND_PII, .key = (k), .str = (v)                                       \
	}
#define LOG_INT(k, v)                                                                              \
	{                                                                                          \
		.kind = LOG_KIND_INT, .key = (k), .num = (int64_t)(v)                              \
	}
#define LOG_ID(k, v)                                                                               \
	{                                                                                          \
		.kind = LOG_KIND_ID, .key = (k), .id = (v)                                         \
	}

#define LOG_PAIRS_MAX 20 /* in one line */

#define log_at(level, text, ...)                                                                   \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write((level), __FILE__, __LINE__, (text),                             \
				  (struct log_pair[LOG_PAIRS_MAX + 1]){ __VA_ARGS__ });            \
	} while (0)
#define log_debug(text, ...) log_at(LOG_DEBUG_, text, ##__VA_ARGS__)
#define log_info(text, ...) log_at(LOG_INFO_, text, ##__VA_ARGS__)
#define log_warn(text, ...) log_at(LOG_WARN_, text, ##__VA_ARGS__)
#define log_error(text, ...) log_at(LOG_ERROR_, text, ##__VA_ARGS__)
#define log_rated(level, text, ...)                                                                \
	do {                                                                                       \
		static struct log_rate _rate;                                                      \
		unsigned _held;                                                                    \
		if (log_enabled(level) && log_rate_pass(&_rate, &_held))                           \
			log_at(level, text, ##__VA_ARGS__, LOG_HELD(_held));                       \
	} while (0)

/* How many lines were held back before this one; left out when none were. */
#define LOG_HELD(n)                                                                                \
	{                                                                                          \
		.kind = LOG_KIND_INT, .key = (n) ? "held" : NULL, .num = (int64_t)(n)              \
	}

struct log_rate {
	atomic_int_fast64_t window_s;
	atomic_uint passed;
	atomic_uint held; /* reported with the next line that passes */
};

struct log_setup {
	enum log_level level;
	bool json;
	bool personal; /* print personal data in full */
};

/* Any thread, any time (SIGHUP calls it again). Until then: logfmt, info, masked. */
void log_init(const struct log_setup *setup);
bool log_enabled(enum log_level level);
/* Return: false when this second's lines are used up, else true with *ret_held = lines held back meanwhile. */
bool log_rate_pass(struct log_rate *rate, unsigned *ret_held);
/* `pairs` ends with a NULL key. */
void log_write(enum log_level level, const char *file, int line, const char *text,
	       const struct log_pair *pairs);
