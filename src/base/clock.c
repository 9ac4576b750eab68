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

static void put_digits(char *at, unsigned count, unsigned value)
{
	while (count--) {
		at[count] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* Days since 1970 to a date of the Gregorian calendar, by eras of 400 years that begin on a 1st of March: what is odd
 * about February comes at the end then.
 */
static void date_of_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int64_t from_march = days + 719468; /* since 0000-03-01 */
	int64_t era = (from_march >= 0 ? from_march : from_march - 146096) / 146097;
	unsigned of_era = (unsigned)(from_march - era * 146097);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153; /* 0: March */

	*ret_day = of_year - (153 * month + 2) / 5 + 1;
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = (int64_t)year + era * 400 + (*ret_month <= 2);
}

const char *time_print(int64_t wall_us, char buf[static TIME_STR_SIZE])
{
	int64_t s = wall_us / 1000000, us = wall_us % 1000000, days, year;
	unsigned of_day, month, day;

	if (us < 0) {
		us += 1000000;
		s--;
	}
	days = s / 86400;
	if (s % 86400 < 0)
		days--;
	of_day = (unsigned)(s - days * 86400);
	date_of_days(days, &year, &month, &day);
	/* Years beyond 9999 do not fit the form; no clock or row of ours holds one. */
	if (year < 0 || year > 9999) {
		buf[0] = '\0';
		return buf;
	}
	memcpy(buf, "0000-00-00T00:00:00.000000Z", TIME_STR_SIZE);
	put_digits(buf, 4, (unsigned)year);
	put_digits(buf + 5, 2, month);
	put_digits(buf + 8, 2, day);
	put_digits(buf + 11, 2, of_day / 3600);
	put_digits(buf + 14, 2, of_day / 60 % 60);
	put_digits(buf + 17, 2, of_day % 60);
	put_digits(buf + 20, 6, (unsigned)us);
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
