/* store/private.h - small things the tables share */
#pragma once

#include "db/db.h"

/* Fills in id and times that are none. */
static inline void row_stamp(struct id *id, int64_t *created_at, int64_t *updated_at)
{
	int64_t now = clock_wall_us();

	if (id && id_is_none(*id))
		*id = id_new();
	if (created_at && !*created_at)
		*created_at = now;
	if (updated_at)
		*updated_at = now;
}

/* A random text of so many characters that are hard to mistake for each other. */
void random_text(char *ret, size_t chars);
/* SHA-256 as hexadecimal. */
#define HASH_TEXT_SIZE 65
void hash_text(const void *data, size_t len, char ret[static HASH_TEXT_SIZE]);
