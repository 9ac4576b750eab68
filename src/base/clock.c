/* base/clock.c - clocks, and ISO 8601 both ways */
#include "base/clock.h"

#include "base/err.h"

#include <stdio.h>
#include <time.h>

static struct timespec clock_read(clockid_t clock)
{
	struct timespec ts;

	bug_on(clock_gettime(clock, &ts));
	return ts;
}

int64_t clock_wall_us(void)
{
	struct timespec ts = clock_read(CLOCK_REALTIME);

	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
	struct timespec ts = clock_read(CLOCK_MONOTONIC);

	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

uint64_t clock_thread_cpu_us(void)
{
	struct timespec ts = clock_read(CLOCK_THREAD_CPUTIME_ID);

	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

const char *time_print(int64_t wall_us, char buf[static TIME_STR_SIZE])
{
	time_t s = wall_us / 1000000;
	int us = (int)(wall_us % 1000000);
	struct tm tm;

	if (us < 0) {
		us += 1000000;
		s--;
	}
	/* Years beyond 9999 do not fit the form; no clock or row of ours holds one. */
	if (!gmtime_r(&s, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0) {
		buf[0] = '\0';
		return buf;
	}
	snprintf(buf, TIME_STR_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
		 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		 (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		 (unsigned)tm.tm_sec % 100, (unsigned)us % 1000000);
	return buf;
}

/* Return: the number in exactly `digits` digits at *at, which moves on; -1 when they are not all digits. */
static int take_digits(const char **at, unsigned digits)
{
	int value = 0;

	for (unsigned i = 0; i < digits; i++) {
		char c = **at;

		if (c < '0' || c > '9')
			return -1;
		value = value * 10 + (c - '0');
		(*at)++;
	}
	return value;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool take_fraction(const char **at, int *ret_us)
{
	int us = 0;
	int unit = 100000;

	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		us += (**at - '0') * unit; /* digits past the sixth fall away */
		unit /= 10;
	}
	*ret_us = us;
	return true;
}

static bool take_offset(const char **at, int *ret_s)
{
	int sign = **at == '-' ? -1 : 1;
	int hours, minutes;

	if (take_char(at, 'Z') || take_char(at, 'z')) {
		*ret_s = 0;
		return true;
	}
	if (!take_char(at, '+') && !take_char(at, '-'))
		return false;
	hours = take_digits(at, 2);
	take_char(at, ':');
	minutes = take_digits(at, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*ret_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool date_is_valid(int year, int month, int day)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (year < 0 || month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && is_leap(year));
}

bool time_parse(const char *str, int64_t *ret_wall_us)
{
	struct tm tm = { 0 };
	int us = 0, offset_s = 0;
	int year, month, day;

	if (!str)
		return false;
	year = take_digits(&str, 4);
	if (!take_char(&str, '-'))
		return false;
	month = take_digits(&str, 2);
	if (!take_char(&str, '-'))
		return false;
	day = take_digits(&str, 2);
	if (!date_is_valid(year, month, day))
		return false;
	if (!take_char(&str, 'T') && !take_char(&str, 't') && !take_char(&str, ' '))
		return false;

	tm.tm_hour = take_digits(&str, 2);
	if (tm.tm_hour < 0 || tm.tm_hour > 23 || !take_char(&str, ':'))
		return false;
	tm.tm_min = take_digits(&str, 2);
	if (tm.tm_min < 0 || tm.tm_min > 59)
		return false;
	if (take_char(&str, ':')) {
		tm.tm_sec = take_digits(&str, 2);
		if (tm.tm_sec < 0 || tm.tm_sec > 60) /* 60: a leap second */
			return false;
		if (take_char(&str, '.') && !take_fraction(&str, &us))
			return false;
	}
	if (!take_offset(&str, &offset_s) || *str)
		return false;

	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	*ret_wall_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + us;
	return true;
}
