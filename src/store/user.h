/* store/user.h - table app_user: a person who signs in, with a role and an extension in one tenant */
#pragma once

#include "store/tenant.h"

enum user_role { USER_AGENT, USER_SUPERVISOR, USER_ADMIN };
extern const char *const user_role_names[]; /* "agent", "supervisor", "admin" */

struct user {
	struct id id, tenant_id;
	const char *email; /* unique over all tenants; kept in lower case */
	const char *name;
	int role; /* enum user_role */
	const char *
		extension; /* digits, unique in the tenant; NULL on insert: the next free one from 100 */
	struct id default_profile_id; /* none: the user's oldest profile */
	const char *time_zone;	      /* IANA name, "UTC" */
	const char *language;	      /* "en" */
	bool active;
	const char *password;	   /* bodies only */
	const char *password_hash; /* crypto_pwhash_str() */
	int token_epoch;	   /* raised when all access tokens must end */
	int64_t last_login_at, created_at, updated_at;
};

#define USER_DEFAULTS                                                                              \
	{                                                                                          \
		.role = USER_AGENT, .time_zone = "UTC", .language = "en", .active = true,          \
		.name = ""                                                                         \
	}
#define USER_COLS                                                                                        \
	"id, tenant_id, email, name, role, extension, default_profile_id, time_zone, language, active, " \
	"password_hash, token_epoch, last_login_at, created_at, updated_at"

/* As admins see and write it: email, name, role, password, extension, active... */
extern const struct field user_fields[];
/* As people see and PATCH themselves: role, email and extension are read only. */
extern const struct field user_me_fields[];

enum {
	USER_E_EMAIL = 64, /* somebody has that address */
	USER_E_EXTENSION,  /* somebody in the tenant has that extension */
	USER_E_FULL,	   /* no extension is left below 100000 */
	USER_E_LAST_ADMIN, /* the tenant would be left without an active admin */
};

/* id, times and extension are filled in when they are none. Opens its own transaction unless one is open.
 * Return: 0, USER_E_EMAIL, USER_E_EXTENSION, USER_E_FULL.
 */
must_check int user_insert(struct db *db, struct user *user, struct arena *arena);
/* A sign-up: tenant and its first admin, both or neither. Return: 0 or USER_E_EMAIL. */
must_check int user_sign_up(struct db *db, struct tenant *tenant, struct user *user,
			    struct arena *arena);
must_check int user_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			struct user *ret);
/* In a transaction that will change it: nobody else does until that ends, so user_update() undoes no new password. */
must_check int user_get_locked(struct db *db, struct arena *arena, struct id tenant, struct id id,
			       struct user *ret);
/* For login: over all tenants; any case. */
must_check int user_by_email(struct db *db, struct arena *arena, const char *email,
			     struct user *ret);
/* For tokens: over all tenants. */
must_check int user_by_id(struct db *db, struct arena *arena, struct id id, struct user *ret);
must_check int user_by_extension(struct db *db, struct arena *arena, struct id tenant,
				 const char *extension, struct user *ret);
/* Everything but id, tenant and created_at (password_hash and token_epoch included).
 * Return: 0, DB_E_NONE, USER_E_EMAIL, USER_E_EXTENSION, USER_E_LAST_ADMIN.
 */
must_check int user_update(struct db *db, struct user *user, struct arena *arena);
/* With sessions and devices; profiles are handed to `heir` (none: the deletion fails with DB_E_REF while there
 * are any). Return: 0, DB_E_NONE, DB_E_REF, USER_E_LAST_ADMIN.
 */
must_check int user_delete(struct db *db, struct id tenant, struct id id, struct id heir);
/* New hash, epoch raised, every session but `keep_session`'s family ended. Return: 0 or DB_E_NONE. */
must_check int user_set_password(struct db *db, struct id tenant, struct id id,
				 const char *password_hash, struct id keep_family);
must_check int user_touch_login(struct db *db, struct id id, int64_t now_us);

struct user_filter {
	struct db_page page; /* ordering: email, name, role, extension, created_at, last_login_at */
	const char *search;  /* email, name, extension */
	int role;	     /* enum user_role or -1 */
};
must_check int user_list(struct db *db, struct arena *arena, struct id tenant,
			 const struct user_filter *filter, struct user **ret_rows,
			 struct db_page_info *ret_info);
/* Every user of every tenant, for the call loop's start. */
must_check int user_each(struct db *db, int (*on_user)(void *arg, const struct user *user),
			 void *arg);
