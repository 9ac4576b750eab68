/* base/err.h - what a function's int means
 *
 * 0 is done. Negative is unexpected: an errno, made by err_new() where it is met and handed up by
 * err_pass(), a trace line each (level debug for the passes, error for the first). Positive is an outcome
 * that the function's header names (X_E_*) and its direct caller handles.
 * A peer's bad input is an outcome, never an error.
 */
#pragma once

#include "base/mem.h"

#define err_new(errnum) err_new_at((errnum), NULL, __FILE__, __LINE__, __func__)
/* With what was attempted, for the log: err_newf(errno, "bind %s", addr). No secrets. */
#define err_newf(errnum, ...) err_newf_at((errnum), __FILE__, __LINE__, __func__, __VA_ARGS__)
#define err_pass(r) err_pass_at((r), __FILE__, __LINE__, __func__)

int err_new_at(int errnum, const char *what, const char *file, int line, const char *func);
int err_newf_at(int errnum, const char *file, int line, const char *func, const char *fmt, ...)
	format_printf(5, 6);
int err_pass_at(int r, const char *file, int line, const char *func);

/* Our own bug: logs and aborts, in every build. Never reachable by input. */
#define bug_on(cond)                                                                               \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			bug_at(#cond, __FILE__, __LINE__, __func__);                               \
	} while (0)
#ifdef __cppcheck__ /* it does not see that bug_at() never returns */
#undef bug_on
#define bug_on(cond)                                                                               \
	do {                                                                                       \
		if (cond)                                                                          \
			abort();                                                                   \
	} while (0)
#endif
_Noreturn void bug_at(const char *what, const char *file, int line, const char *func);
