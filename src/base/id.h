/* base/id.h - identifiers: UUIDv7 (RFC 9562 5.7), made here, ordered by their time */
#pragma once

#include "base/mem.h"

#define ID_STR_SIZE 37 /* 36 characters and the NUL */

struct id {
	uint8_t byte[16];
};

#define ID_NONE ((struct id){ { 0 } })

/* Any thread. Rising within a thread even inside one millisecond. */
struct id id_new(void);
/* Return: true and *ret set for the 36-character form in either case, else false and *ret untouched. */
must_check bool id_parse(const char *str, struct id *ret);
/* Return: buf. ID_NONE prints as the empty string. */
const char *id_print(struct id id, char buf[static ID_STR_SIZE]);
/* `id_str(id)` for log lines and formats: lives until the end of the enclosing block. */
#define id_str(id) id_print((id), (char[ID_STR_SIZE]){ 0 })

static inline bool id_eq(struct id a, struct id b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}
static inline int id_cmp(struct id a, struct id b)
{
	return memcmp(&a, &b, sizeof(a));
}
static inline bool id_is_none(struct id id)
{
	return id_eq(id, ID_NONE);
}
/* For hash tables (the random tail; never a security boundary). */
static inline uint64_t id_hash(struct id id)
{
	uint64_t h;

	memcpy(&h, id.byte + 8, sizeof(h));
	return h * 0x9e3779b97f4a7c15ull;
}
