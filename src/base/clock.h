/* base/clock.h - time: microseconds and milliseconds, wall and monotonic
 *
 * Rows and events carry wall time: int64 microseconds since 1970 UTC, 0 = never. Timers use monotonic
 * milliseconds. A thread that has a wheel asks the wheel, so that tests can run it on a virtual clock.
 */
#pragma once

#include "base/mem.h"

#define TIME_STR_SIZE 28 /* 2026-01-31T12:00:00.123456Z and the NUL */

int64_t clock_wall_us(void);
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_thread_cpu_us(void);

const char *time_print(int64_t wall_us, char buf[static TIME_STR_SIZE]);
#define time_str(us) time_print((us), (char[TIME_STR_SIZE]){ 0 })
/* ISO 8601 with Z or an offset, seconds fraction optional. false on anything else. */
must_check bool time_parse(const char *str, int64_t *ret_wall_us);
