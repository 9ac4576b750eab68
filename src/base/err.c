/* base/err.c - errors leave a trace where they are made and where they are handed up */
#include "base/err.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>

/* errno values are small and positive; anything else here is a mistaken call. */
static int as_result(int errnum)
{
	errnum = errnum < 0 ? -errnum : errnum;
	return errnum ? -errnum : -EIO;
}

int err_new_at(int errnum, const char *what, const char *file, int line, const char *func)
{
	int r = as_result(errnum);
	char text[128];

	if (log_enabled(LOG_ERROR_))
		log_write(LOG_ERROR_, file, line, what ? what : "failed",
			  (struct log_pair[]){
				  LOG_STR("func", func),
				  LOG_STR("error", strerror_r(-r, text, sizeof(text))),
				  { .key = NULL },
			  });
	return r;
}

int err_newf_at(int errnum, const char *file, int line, const char *func, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_new_at(errnum, what, file, line, func);
}

int err_pass_at(int r, const char *file, int line, const char *func)
{
	char text[128];

	if (r < 0 && log_enabled(LOG_DEBUG_))
		log_write(LOG_DEBUG_, file, line, "passed on",
			  (struct log_pair[]){
				  LOG_STR("func", func),
				  LOG_STR("error", strerror_r(-r, text, sizeof(text))),
				  { .key = NULL },
			  });
	return r;
}

_Noreturn void bug_at(const char *what, const char *file, int line, const char *func)
{
	log_write(LOG_ERROR_, file, line, "bug",
		  (struct log_pair[]){
			  LOG_STR("func", func), LOG_STR("condition", what), { .key = NULL } });
	abort();
}
