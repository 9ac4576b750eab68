/* store/device.h - table device: a user's own SIP phone, which registers to us */
#pragma once

#include "db/query.h"

struct seal;

#define DEVICE_PASSWORD_SIZE 33

struct device {
	struct id id, tenant_id, user_id;
	const char *name;
	const char *username; /* unique over all tenants, made here */
	const char *secret;   /* the password, sealed */
	int64_t created_at, updated_at;
};

#define DEVICE_COLS "id, tenant_id, user_id, name, username, secret, created_at, updated_at"
extern const struct field device_fields[];

/* Makes id, user name and password (to be shown once; zero it after use).
 * Return: 0 or DB_E_REF when there is no such user in the tenant.
 */
must_check int device_insert(struct db *db, const struct seal *seal, struct device *device,
			     struct arena *arena, char ret_password[static DEVICE_PASSWORD_SIZE]);
must_check int device_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			  struct device *ret);
must_check int device_update(struct db *db, struct device *device,
			     struct arena *arena); /* name only */
must_check int device_delete(struct db *db, struct id tenant, struct id id);
/* For the registrar: over all tenants. */
must_check int device_by_username(struct db *db, struct arena *arena, const char *username,
				  struct device *ret);
/* Into a buffer of SEAL_MAX + 1 bytes; zero it after use. Return: 0 or SEAL_E_BAD. */
must_check int device_password(const struct seal *seal, const struct device *device,
			       char *ret_plain);

struct device_filter {
	struct db_page page; /* ordering: name, username, created_at */
	const char *search;  /* name, username */
	struct id user;	     /* none: anybody's */
};
must_check int device_list(struct db *db, struct arena *arena, struct id tenant,
			   const struct device_filter *filter, struct device **ret_rows,
			   struct db_page_info *ret_info);
/* Where a device is registered from, for the next start: the journal's. */
struct device_bindings {
	struct id id, tenant_id;
	json_t *bindings; /* as device.changed tells them */
};
extern const struct field device_bindings_fields[];
/* Of a device that is gone nothing is kept. */
must_check int device_bindings_put(struct db *db, struct device_bindings *row, struct arena *arena);
/* All that had any. */
must_check int device_bindings_each(struct db *db,
				    int (*on_row)(void *arg, const struct device_bindings *row),
				    void *arg);

/* Every device of every tenant, for the call loop's start. */
must_check int device_each(struct db *db, int (*on_device)(void *arg, const struct device *device),
			   void *arg);
