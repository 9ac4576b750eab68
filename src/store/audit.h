/* store/audit.h - table audit: who did what; written in the transaction of what was done */
#pragma once

#include "db/query.h"

struct audit {
	struct id id, tenant_id, user_id;
	const char *action; /* "profile.create" */
	const char *object; /* table */
	struct id object_id;
	const char *client_addr;
	json_t *detail; /* never secrets */
	int64_t time;
};

#define AUDIT_COLS "id, tenant_id, user_id, action, object, object_id, client_addr, detail, time"
extern const struct field audit_fields[];

/* id and time are filled in when they are none. */
must_check int audit_insert(struct db *db, struct audit *audit, struct arena *arena);

/* The same for who may come twice with it (the journal): id and time are set, the second does nothing. */
must_check int audit_put(struct db *db, struct audit *audit, struct arena *arena);

struct audit_filter {
	struct db_page page; /* ordering: time */
	struct id user, object;
	const char *action;
};
must_check int audit_list(struct db *db, struct arena *arena, struct id tenant,
			  const struct audit_filter *filter, struct audit **ret_rows,
			  struct db_page_info *ret_info);
