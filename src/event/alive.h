/* event/alive.h - until when the last run lived
 *
 * A file in the data directory that says the time of day, a few seconds old at most. What a crash left open ended then,
 * and not with the last thing that was heard of it. A killed process leaves it right; after a power cut it may
 * be older, as the disk saw it last.
 */
#pragma once

#include "base/base.h"

#define ALIVE_FILE "last-alive"

struct alive;

/* Return: 0 with when the last run was alive (UTC, us; 0: not known), or -1: the file cannot be opened. */
must_check int alive_open(const char *data_dir, struct alive **ret_alive, int64_t *ret_last_us);
struct alive *alive_close(struct alive *alive);
/* Now and then: at most one write every two seconds. A full disk leaves the older time. */
void alive_tell(struct alive *alive);
