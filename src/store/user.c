#include "store/user.h"

#include "store/private.h"
#include "store/session.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define EXTENSION_FIRST 100
#define EXTENSION_LIMIT 100000
#define ZONE_DIR "/usr/share/zoneinfo"

const char *const user_role_names[] = { "agent", "supervisor", "admin", NULL };

static const char *check_email(const void *value)
{
	static const char bad[] = "Enter a valid email address.";
	const char *email = value;
	const char *at = strchr(email, '@');

	if (!at || at == email || at - email > 64 || strchr(at + 1, '@') || !strchr(at + 1, '.'))
		return bad;
	if (at[1] == '.' || at[strlen(at) - 1] == '.' || strstr(at, ".."))
		return bad;
	for (const char *p = email; *p; p++) {
		if (isspace((unsigned char)*p) || strchr("\"<>()[],;:\\", *p))
			return bad;
	}
	return NULL;
}

static const char *check_extension(const void *value)
{
	const char *extension = value;

	for (const char *p = extension; *p; p++) {
		if (*p < '0' || *p > '9')
			return "Only digits are allowed.";
	}
	return NULL;
}

static const char *check_time_zone(const void *value)
{
	static const char bad[] = "Not a known time zone.";
	const char *zone = value;
	auto_(free) char *path = NULL;

	for (const char *p = zone; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("/_+-", *p))
			return bad;
	}
	if (zone[0] == '/' || strcmp(zone, "UTC") == 0)
		return zone[0] == '/' ? bad : NULL;
	path = xasprintf(ZONE_DIR "/%s", zone);
	return access(ZONE_DIR, F_OK) == 0 && access(path, R_OK) != 0 ? bad : NULL;
}

static const char *check_language(const void *value)
{
	for (const char *p = value; *p; p++) {
		if (!isalnum((unsigned char)*p) && *p != '-')
			return "Not a language tag.";
	}
	return NULL;
}

/* `mine`: as people see themselves, where what an admin decides is read only. */
#define USER_TABLE(mine)                                                                           \
	{                                                                                          \
		FIELD(struct user, id, FIELD_ID, FIELD_READ_ONLY),                                 \
			FIELD(struct user, tenant_id, FIELD_ID, FIELD_NO_JSON),                    \
			FIELD(struct user, email, FIELD_STR,                                       \
			      (mine) ? FIELD_READ_ONLY : FIELD_REQUIRED, .min = 3, .max = 254,     \
			      .check = check_email),                                               \
			FIELD(struct user, name, FIELD_STR, 0, .min = 0, .max = 128),              \
			FIELD(struct user, role, FIELD_ENUM, (mine) ? FIELD_READ_ONLY : 0,         \
			      .names = user_role_names),                                           \
			FIELD(struct user, extension, FIELD_STR, (mine) ? FIELD_READ_ONLY : 0,     \
			      .min = 2, .max = 8, .check = check_extension),                       \
			FIELD(struct user, default_profile_id, FIELD_ID, FIELD_NULLABLE),          \
			FIELD(struct user, time_zone, FIELD_STR, 0, .min = 1, .max = 64,           \
			      .check = check_time_zone),                                           \
			FIELD(struct user, language, FIELD_STR, 0, .min = 2, .max = 16,            \
			      .check = check_language),                                            \
			FIELD(struct user, active, FIELD_BOOL, (mine) ? FIELD_READ_ONLY : 0),      \
			FIELD(struct user, password_hash, FIELD_STR, FIELD_NO_JSON),               \
			FIELD(struct user, token_epoch, FIELD_INT, FIELD_NO_JSON),                 \
			FIELD(struct user, last_login_at, FIELD_TIME, FIELD_READ_ONLY),            \
			FIELD(struct user, created_at, FIELD_TIME, FIELD_READ_ONLY),               \
			FIELD(struct user, updated_at, FIELD_TIME, FIELD_READ_ONLY),               \
			FIELD(struct user, password, FIELD_STR,                                    \
			      FIELD_NO_DB | ((mine) ? FIELD_NO_JSON                                \
						    : FIELD_WRITE_ONLY | FIELD_REQUIRED),          \
			      .min = 8, .max = 256),                                               \
			{ 0 },                                                                     \
	}

const struct field user_fields[] = USER_TABLE(0);
const struct field user_me_fields[] = USER_TABLE(1);

/* Whoever changes extensions or roles in a tenant holds its row: on PostgreSQL by this update, on SQLite anyway. */
static int tenant_lock(struct db *db, struct id tenant, int64_t *ret_next_extension)
{
	int r = db_num(
		db,
		"UPDATE tenant SET next_extension = next_extension WHERE id = $1 RETURNING next_extension",
		DB_ARGS(V(tenant)), ret_next_extension);

	if (r == DB_E_NONE)
		return DB_E_REF;
	return r < 0 ? err_pass(r) : r;
}

/* Return: 0 when it is nobody's but `self`'s, USER_E_EXTENSION, ... */
static int extension_check(struct db *db, struct id tenant, const char *extension, struct id self)
{
	int64_t count;
	int r = db_num(
		db,
		"SELECT count(*) FROM app_user WHERE tenant_id = $1 AND extension = $2 AND id <> $3",
		DB_ARGS(V(tenant), V(extension), V(self)), &count);

	if (r)
		return r < 0 ? err_pass(r) : r;
	return count ? USER_E_EXTENSION : 0;
}

/* Counts up, never back: a number given up is not soon someone else's. Only chosen ones can be in the way. */
static int extension_next(struct db *db, struct user *user, int64_t next, struct arena *arena)
{
	int r = USER_E_EXTENSION;

	for (; r == USER_E_EXTENSION && next < EXTENSION_LIMIT; next++) {
		user->extension = arena_printf(arena, "%lld", (long long)next);
		r = extension_check(db, user->tenant_id, user->extension, user->id);
	}
	if (r == USER_E_EXTENSION)
		return USER_E_FULL;
	if (r == 0)
		r = db_change(db, "UPDATE tenant SET next_extension = $2 WHERE id = $1",
			      DB_ARGS(V(user->tenant_id), V(next)));
	return r < 0 ? err_pass(r) : r;
}

static char *lower(struct arena *arena, const char *text)
{
	char *out = arena_strdup(arena, text);

	for (char *p = out; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	return out;
}

struct user_put {
	struct user *user;
	struct tenant *tenant;
	struct arena *arena;
};

static int insert_body(struct db *db, void *arg)
{
	struct user_put *put = arg;
	struct user copy = *put->user; /* the body may run again */
	int64_t next;
	int r = tenant_lock(db, copy.tenant_id, &next);

	if (r)
		return r < 0 ? err_pass(r) : r;
	if (copy.extension)
		r = extension_check(db, copy.tenant_id, copy.extension, copy.id);
	else
		r = extension_next(db, &copy, next, put->arena);
	if (r)
		return r < 0 ? err_pass(r) : r;
	r = db_exec(db,
		    "INSERT INTO app_user (" USER_COLS ")"
		    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		    db_args_of(user_fields, &copy, DB_NO_ARGS, put->arena), NULL);
	if (r == DB_E_DUP)
		return USER_E_EMAIL;
	if (r)
		return r < 0 ? err_pass(r) : r;
	put->user->extension = copy.extension;
	return 0;
}

int user_insert(struct db *db, struct user *user, struct arena *arena)
{
	struct user_put put = { .user = user, .arena = arena };
	const char *extension = user->extension;
	int r;

	row_stamp(&user->id, &user->created_at, &user->updated_at);
	user->email = lower(arena, user->email);
	r = db_transact(db, insert_body, &put);
	if (r)
		user->extension = extension;
	return r < 0 ? err_pass(r) : r;
}

static int sign_up_body(struct db *db, void *arg)
{
	struct user_put *put = arg;
	int r;

	r = tenant_insert(db, put->tenant, put->arena);
	if (r == 0)
		r = insert_body(db, put);
	return r < 0 ? err_pass(r) : r;
}

int user_sign_up(struct db *db, struct tenant *tenant, struct user *user, struct arena *arena)
{
	struct user_put put = { .user = user, .tenant = tenant, .arena = arena };
	int r;

	row_stamp(&tenant->id, &tenant->created_at, &tenant->updated_at);
	row_stamp(&user->id, &user->created_at, &user->updated_at);
	user->tenant_id = tenant->id;
	user->email = lower(arena, user->email);
	r = db_transact(db, sign_up_body, &put);
	return r < 0 ? err_pass(r) : r;
}

static int user_found(int r, struct user *user)
{
	if (r == 0)
		user->password = NULL; /* not a column */
	return r < 0 ? err_pass(r) : r;
}

int user_get(struct db *db, struct arena *arena, struct id tenant, struct id id, struct user *ret)
{
	return user_found(
		db_get(db, "SELECT " USER_COLS " FROM app_user WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), user_fields, arena, ret),
		ret);
}

/* The tenant's row first, as everywhere: two that change users wait for each other and do not deadlock. */
int user_get_locked(struct db *db, struct arena *arena, struct id tenant, struct id id,
		    struct user *ret)
{
	int64_t next, one;
	int r = tenant_lock(db, tenant, &next);

	bug_on(!db_in_transaction(db));
	if (r == DB_E_REF)
		return DB_E_NONE;
	if (r == 0 && db_engine(db) == DB_POSTGRESQL)
		r = db_num(db, "SELECT 1 FROM app_user WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
			   DB_ARGS(V(tenant), V(id)), &one);
	if (r)
		return r < 0 ? err_pass(r) : r;
	return user_get(db, arena, tenant, id, ret);
}

int user_by_email(struct db *db, struct arena *arena, const char *email, struct user *ret)
{
	return user_found(db_get(db, "SELECT " USER_COLS " FROM app_user WHERE email = $1",
				 DB_ARGS(V(lower(arena, email))), user_fields, arena, ret),
			  ret);
}

int user_by_id(struct db *db, struct arena *arena, struct id id, struct user *ret)
{
	return user_found(db_get(db, "SELECT " USER_COLS " FROM app_user WHERE id = $1",
				 DB_ARGS(V(id)), user_fields, arena, ret),
			  ret);
}

int user_by_extension(struct db *db, struct arena *arena, struct id tenant, const char *extension,
		      struct user *ret)
{
	return user_found(db_get(db,
				 "SELECT " USER_COLS
				 " FROM app_user WHERE tenant_id = $1 AND extension = $2",
				 DB_ARGS(V(tenant), V(extension)), user_fields, arena, ret),
			  ret);
}

/* Return: 0 when an active admin besides this user is there, or this one is none. */
static int admin_check(struct db *db, struct id tenant, struct id self)
{
	int64_t others, is_admin;
	int r;

	r = db_num(
		db,
		"SELECT count(*) FROM app_user WHERE tenant_id = $1 AND role = 'admin' AND active AND id <> $2",
		DB_ARGS(V(tenant), V(self)), &others);
	if (r == 0)
		r = db_num(
			db,
			"SELECT count(*) FROM app_user WHERE tenant_id = $1 AND role = 'admin' AND active AND id = $2",
			DB_ARGS(V(tenant), V(self)), &is_admin);
	if (r)
		return r < 0 ? err_pass(r) : r;
	return is_admin && !others ? USER_E_LAST_ADMIN : 0;
}

static int update_body(struct db *db, void *arg)
{
	struct user_put *put = arg;
	struct user *user = put->user;
	int64_t next;
	int r = tenant_lock(db, user->tenant_id, &next);

	if (r == 0)
		r = db_num(db, "SELECT 1 FROM app_user WHERE tenant_id = $1 AND id = $2",
			   DB_ARGS(V(user->tenant_id), V(user->id)), &next);
	if (r == DB_E_REF)
		return DB_E_NONE;
	if (r == 0 && (user->role != USER_ADMIN || !user->active))
		r = admin_check(db, user->tenant_id, user->id);
	if (r == 0)
		r = extension_check(db, user->tenant_id, user->extension, user->id);
	if (r)
		return r < 0 ? err_pass(r) : r;
	r = db_change(
		db,
		"UPDATE app_user SET email = $3, name = $4, role = $5, extension = $6,"
		" default_profile_id = $7, time_zone = $8, language = $9, active = $10,"
		" password_hash = $11, token_epoch = $12, last_login_at = $13, updated_at = $15"
		" WHERE id = $1 AND tenant_id = $2",
		db_args_of(user_fields, user, DB_NO_ARGS, put->arena));
	if (r == DB_E_DUP)
		return USER_E_EMAIL;
	return r < 0 ? err_pass(r) : r;
}

int user_update(struct db *db, struct user *user, struct arena *arena)
{
	struct user_put put = { .user = user, .arena = arena };
	int r;

	row_stamp(NULL, NULL, &user->updated_at);
	user->email = lower(arena, user->email);
	r = db_transact(db, update_body, &put);
	return r < 0 ? err_pass(r) : r;
}

struct user_gone {
	struct id tenant, id, heir;
};

static int delete_body(struct db *db, void *arg)
{
	struct user_gone *gone = arg;
	int64_t next;
	int r = tenant_lock(db, gone->tenant, &next);

	if (r == DB_E_REF)
		return DB_E_NONE;
	if (r == 0)
		r = admin_check(db, gone->tenant, gone->id);
	if (r == 0 && !id_is_none(gone->heir))
		r = db_exec(db,
			    "UPDATE sip_profile SET owner = $3 WHERE tenant_id = $1 AND owner = $2",
			    DB_ARGS(V(gone->tenant), V(gone->id), V(gone->heir)), NULL);
	if (r == 0)
		r = db_change(db, "DELETE FROM app_user WHERE tenant_id = $1 AND id = $2",
			      DB_ARGS(V(gone->tenant), V(gone->id)));
	return r < 0 ? err_pass(r) : r;
}

int user_delete(struct db *db, struct id tenant, struct id id, struct id heir)
{
	struct user_gone gone = { tenant, id, heir };
	int r = db_transact(db, delete_body, &gone);

	return r < 0 ? err_pass(r) : r;
}

struct user_secret {
	struct id tenant, id, keep_family;
	const char *hash;
};

static int password_body(struct db *db, void *arg)
{
	struct user_secret *secret = arg;
	int64_t now = clock_wall_us();
	int r;

	r = db_change(
		db,
		"UPDATE app_user SET password_hash = $3, token_epoch = token_epoch + 1, updated_at = $4"
		" WHERE tenant_id = $1 AND id = $2",
		DB_ARGS(V(secret->tenant), V(secret->id), V(secret->hash), V(now)));
	if (r == 0)
		r = session_end_user(db, secret->tenant, secret->id, secret->keep_family, now);
	return r < 0 ? err_pass(r) : r;
}

int user_set_password(struct db *db, struct id tenant, struct id id, const char *password_hash,
		      struct id keep_family)
{
	struct user_secret secret = { tenant, id, keep_family, password_hash };
	int r = db_transact(db, password_body, &secret);

	return r < 0 ? err_pass(r) : r;
}

int user_touch_login(struct db *db, struct id id, int64_t now_us)
{
	int r = db_change(db, "UPDATE app_user SET last_login_at = $2 WHERE id = $1",
			  DB_ARGS(V(id), V(now_us)));

	return r < 0 ? err_pass(r) : r;
}

static const struct db_list user_list_table = {
	.select = "SELECT " USER_COLS " FROM app_user",
	.count = "SELECT count(*) FROM app_user",
	.fields = user_fields,
	.row_size = sizeof(struct user),
	.orders = (const struct db_order[]){ { "email" },
					     { "name" },
					     { "role" },
					     { "extension" },
					     { "created_at" },
					     { "last_login_at" },
					     { 0 } },
	.order = "created_at",
	.tie = "id",
};

int user_list(struct db *db, struct arena *arena, struct id tenant,
	      const struct user_filter *filter, struct user **ret_rows,
	      struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (filter->role >= 0)
		db_where(&query, "role = ?", V(user_role_names[filter->role]));
	if (filter->search)
		db_search(&query, arena,
			  "(lower(email) LIKE ? ESCAPE '\\' OR lower(name) LIKE ? ESCAPE '\\'"
			  " OR extension LIKE ? ESCAPE '\\')",
			  filter->search);
	r = db_page(db, &query, &user_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}

int user_each(struct db *db, int (*on_user)(void *arg, const struct user *user), void *arg)
{
	int r = db_each(db, "SELECT " USER_COLS " FROM app_user ORDER BY id", DB_NO_ARGS,
			user_fields, sizeof(struct user), (int (*)(void *, const void *))on_user,
			arg);

	return r < 0 ? err_pass(r) : r;
}
