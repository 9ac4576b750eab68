/* base/field.h - one table that describes a struct's members to the database and to JSON
 *
 * The same table serves row -> struct (db/), struct -> JSON and JSON -> struct (base/field_json.c).
 * Strings belong to the arena that the reader was given.
 */
#pragma once

#include "base/id.h"

#include <jansson.h>

enum field_type {
	FIELD_ID,   /* struct id; none is null */
	FIELD_STR,  /* const char *; NULL is null */
	FIELD_INT,  /* int */
	FIELD_I64,  /* int64_t */
	FIELD_BOOL, /* bool */
	FIELD_TIME, /* int64_t microseconds; 0 is null; ISO 8601 in JSON */
	FIELD_REAL, /* double */
	FIELD_ENUM, /* int, an index into names */
	FIELD_JSON, /* json_t *, its reference held by the reader's arena (arena_defer); text in the database */
	FIELD_STRS, /* const char **, NULL-terminated, in the arena; JSON array of strings, JSON text in the database */
};

enum {
	FIELD_READ_ONLY = 1 << 0,  /* in replies, ignored in bodies */
	FIELD_WRITE_ONLY = 1 << 1, /* in bodies, never in replies (secrets) */
	FIELD_REQUIRED = 1 << 2,   /* a body that creates must have it */
	FIELD_NULLABLE = 1 << 3,   /* a body may say null */
	FIELD_NO_DB = 1 << 4,	   /* not a column */
	FIELD_NO_JSON = 1 << 5,	   /* neither in bodies nor in replies (tenant_id, hashes) */
	FIELD_MULTILINE = 1 << 6,  /* a string that may hold tabs and line ends */
	FIELD_ZERO_NULL = 1 << 7,  /* a number that is null in replies when it is 0 */
};

struct field {
	const char *name; /* the column's and the JSON member's */
	enum field_type type;
	unsigned flags;
	size_t offset;
	const char *const
		*names;	  /* FIELD_ENUM: NULL-terminated; FIELD_STRS: allowed members or NULL */
	int64_t min, max; /* numbers: range; strings: length in bytes; FIELD_STRS: how many.
				    * both 0: any number, 0..255 bytes, 0..64 strings */
	/* A further check, after those above: the complaint, or NULL. Given the string, the array of FIELD_STRS or
	 * the json_t itself, else a pointer to the member. Not asked about null.
	 */
	const char *(*check)(const void *value);
};

/* Tables end with { 0 }. FIELD(struct sip_profile, port, FIELD_INT, 0, .min = 1, .max = 65535) */
#define FIELD(strct, member, field_type_, field_flags, ...)                                        \
	{                                                                                          \
		.name = #member, .type = (field_type_), .flags = (field_flags),                    \
		.offset = offsetof(strct, member), ##__VA_ARGS__                                   \
	}

struct arena;

/* Struct to JSON: members with READ_ONLY or no flag, in the table's order, nulls explicit. Return: new reference. */
json_t *field_to_json(const struct field *fields, const void *strct);

/* JSON to struct, writable members only. `partial` (PATCH): absent members stay as they are; else absent
 * required ones are complained of and absent others keep what the struct has (its defaults).
 * Unknown members are ignored. Return: NULL when all is well, else a new object {field: ["message"]} naming
 * every bad member; *strct is then half written and to be thrown away.
 */
json_t *field_from_json(const struct field *fields, const json_t *body, bool partial,
			struct arena *arena, void *strct) must_check;
/* One more complaint into such an object (made when *errors is NULL). */
void field_complain(json_t **errors, const char *name, const char *message);
/* The complaint about a word that is none of `names` (NULL-terminated), with what it may be. sent: NULL for no text. */
void field_choices(char *ret, size_t size, const char *sent, const char *const *names);
