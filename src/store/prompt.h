/* store/prompt.h - table prompt: sounds of a tenant that calls can be given to hear
 *
 * The row says what there is; the sound itself is a file (api/prompts.c).
 */
#pragma once

#include "db/query.h"

enum prompt_source { PROMPT_UPLOAD, PROMPT_SPEECH };
extern const char *const prompt_source_names[];

struct prompt {
	struct id id, tenant_id;
	const char *name;
	int source;	   /* enum prompt_source */
	const char *say;   /* PROMPT_SPEECH: what is said */
	const char *voice; /* PROMPT_SPEECH */
	int duration_ms;
	int64_t size;	    /* of the file, bytes */
	const char *sha256; /* of the file, hexadecimal */
	struct id created_by;
	int64_t created_at, updated_at;
};

#define PROMPT_COLS                                                                                \
	"id, tenant_id, name, source, say, voice, duration_ms, size, sha256, created_by,"          \
	" created_at, updated_at"
extern const struct field prompt_fields[];

enum {
	PROMPT_E_FULL = 64, /* the tenant has as many as it may */
};

/* Makes the id if it has none. Return: 0 or PROMPT_E_FULL when there are `most` already. */
must_check int prompt_insert(struct db *db, struct prompt *prompt, int64_t most,
			     struct arena *arena);
must_check int prompt_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			  struct prompt *ret);
/* With it goes its use as hold music. */
must_check int prompt_delete(struct db *db, struct id tenant, struct id id);

struct prompt_filter {
	struct db_page page; /* ordering: name, created_at, duration_ms */
	const char *search;  /* name, say */
};
must_check int prompt_list(struct db *db, struct arena *arena, struct id tenant,
			   const struct prompt_filter *filter, struct prompt **ret_rows,
			   struct db_page_info *ret_info);
