/* store/setting.h - table setting: a tenant's own values, JSON by key; ID_NONE's are the installation's */
#pragma once

#include "db/db.h"

/* *ret_value: new reference. Return: 0 or DB_E_NONE. */
must_check int setting_get(struct db *db, struct id tenant, const char *key, json_t **ret_value);
must_check int setting_put(struct db *db, struct id tenant, const char *key, json_t *value,
			   int64_t now_us);
must_check int setting_delete(struct db *db, struct id tenant, const char *key);
/* Stores `value` unless the key has one; *ret_value is what holds now (new reference): a race has one winner. */
must_check int setting_init(struct db *db, struct id tenant, const char *key, json_t *value,
			    int64_t now_us, json_t **ret_value);
