/* store/tenant.h - table tenant: an organisation; everything else belongs to one */
#pragma once

#include "db/query.h"

struct tenant {
	struct id id;
	const char *name;
	int max_calls, calls_per_minute, minutes_per_day; /* 0: the operator's default */
	const char **allowed; /* destinations that outside parties may cause, as number prefixes */
	const char **blocked; /* destinations that nobody may call */
	int64_t created_at, updated_at;
};

#define TENANT_COLS                                                                                \
	"id, name, max_calls, calls_per_minute, minutes_per_day, allowed, blocked, created_at, updated_at"
extern const struct field tenant_fields[];

/* id and times are filled in when they are none. */
must_check int tenant_insert(struct db *db, struct tenant *tenant, struct arena *arena);
must_check int tenant_get(struct db *db, struct arena *arena, struct id id, struct tenant *ret);
/* All but id and created_at. Return: 0 or DB_E_NONE. */
must_check int tenant_update(struct db *db, struct tenant *tenant, struct arena *arena);
/* Every tenant, for the call loop's start. */
must_check int tenant_each(struct db *db, int (*on_tenant)(void *arg, const struct tenant *tenant),
			   void *arg);
