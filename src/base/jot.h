/* base/jot.h - JSON written straight as text, for what is written often: lists of rows, events
 *
 * The same bytes as jansson's JSON_COMPACT gives for the same values. Commas put themselves; `key` is NULL for the
 * members of an array and for the outermost value, and ours (nothing in it needs escaping).
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"

struct field;
struct json_t; /* jansson.h clashes with libre's headers */

#define JOT_DIGITS 15 /* 4.38 comes out as that, not as 4.3799999999999999 */

struct jot {
	struct buf *buf;
	int digits; /* of a real number; 0: all that it has (17) */
};

void jot_open(struct jot *out, const char *key, char bracket); /* '{' or '[' */
void jot_close(struct jot *out, char bracket);		       /* '}' or ']' */
void jot_null(struct jot *out, const char *key);
void jot_bool(struct jot *out, const char *key, bool value);
void jot_int(struct jot *out, const char *key, int64_t value);
void jot_real(struct jot *out, const char *key, double value); /* what is not finite is null */
/* Escaped; a byte that is no part of a well-formed character (RFC 3629) becomes '?'. NULL is null. */
void jot_text(struct jot *out, const char *key, const char *text);
void jot_word(struct jot *out, const char *key,
	      const char *word); /* nothing in it needs escaping; "" is null */
void jot_id(struct jot *out, const char *key, struct id id);	  /* none is null */
void jot_time(struct jot *out, const char *key, int64_t wall_us); /* 0 is null */
void jot_json(struct jot *out, const char *key, const struct json_t *json);
/* The members that field_to_json() would give, in the object that is open. */
void jot_fields(struct jot *out, const struct field *fields, const void *strct);
