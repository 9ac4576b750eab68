#include "store/sip_profile.h"

#include "store/private.h"
#include "store/profile_check.h"
#include "store/seal.h"

#define TABLE "sip_profile"

const char *const profile_transport_names[] = { "udp", "tcp", "tls", NULL };
const char *const profile_caller_mode_names[] = { "from", "from_pai",  "pai", "ppi",
						  "rpid", "anonymous", NULL };
const char *const profile_codec_names[] = { "opus", "G722", "PCMU", "PCMA", NULL };
const char *const profile_dtmf_mode_names[] = { "auto", "rfc4733", "info", "inband", NULL };
const char *const profile_srtp_names[] = { "off", "optional", "required", NULL };
const char *const profile_record_names[] = { "never", "always", "on_demand", NULL };
const char *const profile_incoming_names[] = { "owner", "api",	      "number", "user",
					       "ivr",	"conference", NULL };

/* caller_* and incoming_* are objects in JSON: profile_json.c. Lengths are those of engine/spec.h. */
const struct field profile_fields[] = {
	FIELD(struct sip_profile, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct sip_profile, tenant_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct sip_profile, name, FIELD_STR, 0, .min = 1, .max = 128),
	FIELD(struct sip_profile, server, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 253,
	      .check = profile_check_host),
	FIELD(struct sip_profile, port, FIELD_INT, FIELD_NULLABLE | FIELD_ZERO_NULL, .min = 1,
	      .max = 65535),
	FIELD(struct sip_profile, transport, FIELD_ENUM, 0, .names = profile_transport_names),
	FIELD(struct sip_profile, username, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 128,
	      .check = profile_check_username),
	FIELD(struct sip_profile, auth_username, FIELD_STR, FIELD_NULLABLE, .min = 1, .max = 128,
	      .check = profile_check_auth_username),
	FIELD(struct sip_profile, secret, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct sip_profile, outbound_proxy, FIELD_STR, FIELD_NULLABLE, .min = 1, .max = 255,
	      .check = profile_check_proxy),
	{ .name = "register",
	  .type = FIELD_BOOL,
	  .offset = offsetof(struct sip_profile, register_) },
	FIELD(struct sip_profile, enabled, FIELD_BOOL, FIELD_NO_JSON),
	FIELD(struct sip_profile, expires, FIELD_INT, 0, .min = 60, .max = 86400),
	FIELD(struct sip_profile, caller_number, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct sip_profile, caller_name, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct sip_profile, caller_mode, FIELD_ENUM, FIELD_NO_JSON,
	      .names = profile_caller_mode_names),
	FIELD(struct sip_profile, codecs, FIELD_STRS, 0, .names = profile_codec_names, .min = 1,
	      .max = 8, .check = profile_check_codecs),
	FIELD(struct sip_profile, dtmf_mode, FIELD_ENUM, 0, .names = profile_dtmf_mode_names),
	FIELD(struct sip_profile, srtp, FIELD_ENUM, 0, .names = profile_srtp_names),
	FIELD(struct sip_profile, max_calls, FIELD_INT, 0, .min = 1, .max = 10000),
	FIELD(struct sip_profile, record, FIELD_ENUM, 0, .names = profile_record_names),
	FIELD(struct sip_profile, owner, FIELD_ID, 0),
	FIELD(struct sip_profile, incoming_type, FIELD_ENUM, FIELD_NO_JSON,
	      .names = profile_incoming_names),
	FIELD(struct sip_profile, incoming_target, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct sip_profile, incoming_id, FIELD_ID, FIELD_NO_JSON),
	FIELD(struct sip_profile, line_token, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct sip_profile, min_expires, FIELD_INT, FIELD_NO_JSON),
	FIELD(struct sip_profile, created_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct sip_profile, updated_at, FIELD_TIME, FIELD_READ_ONLY),
	FIELD(struct sip_profile, mask_dtmf, FIELD_BOOL, 0),
	FIELD(struct sip_profile, hold_music, FIELD_ID, FIELD_NULLABLE),
	FIELD(struct sip_profile, record_beep, FIELD_BOOL, 0),
	FIELD(struct sip_profile, password, FIELD_STR,
	      FIELD_NO_DB | FIELD_WRITE_ONLY | FIELD_NULLABLE, .min = 0, .max = 255),
	{ 0 },
};

static const char *default_codecs[] = { "opus", "G722", "PCMU", "PCMA", NULL };

const struct sip_profile profile_defaults = {
	.transport = PROFILE_UDP,
	.register_ = true,
	.enabled = true,
	.expires = 3600,
	.codecs = default_codecs,
	.max_calls = 10,
	.record = PROFILE_RECORD_ON_DEMAND,
};

/* Which of the two: an owner that is not in the tenant, or the pair (server, username). */
static int profile_outcome(int r)
{
	if (r == DB_E_DUP)
		return PROFILE_E_EXISTS;
	if (r == DB_E_REF)
		return PROFILE_E_OWNER;
	return r < 0 ? err_pass(r) : r;
}

static void profile_seal(const struct seal *seal, struct sip_profile *profile, struct arena *arena)
{
	if (profile->password)
		profile->secret = *profile->password ? seal_text(seal, TABLE, profile->id,
								 profile->password, arena)
						     : NULL;
}

int profile_insert(struct db *db, const struct seal *seal, struct sip_profile *profile,
		   struct arena *arena)
{
	char token[25];

	row_stamp(&profile->id, &profile->created_at, &profile->updated_at);
	if (!profile->line_token) {
		random_text(token, sizeof(token) - 1);
		profile->line_token = arena_strdup(arena, token);
	}
	if (!profile->name || !*profile->name)
		profile->name =
			arena_printf(arena, "%.60s@%.60s", profile->username, profile->server);
	profile_seal(seal, profile, arena);
	return profile_outcome(db_exec(
		db,
		"INSERT INTO sip_profile (" PROFILE_COLS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
		" $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,"
		" $27, $28, $29, $30, $31, $32)",
		db_args_of(profile_fields, profile, DB_NO_ARGS, arena), NULL));
}

int profile_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
		struct sip_profile *ret)
{
	int r = db_get(db,
		       "SELECT " PROFILE_COLS " FROM sip_profile WHERE tenant_id = $1 AND id = $2",
		       DB_ARGS(V(tenant), V(id)), profile_fields, arena, ret);

	if (r == 0)
		ret->password = NULL; /* not a column */
	return r < 0 ? err_pass(r) : r;
}

int profile_get_locked(struct db *db, struct arena *arena, struct id tenant, struct id id,
		       struct sip_profile *ret)
{
	int64_t one = 0;
	int r;

	bug_on(!db_in_transaction(db));
	/* SQLite has one writer, who began with BEGIN IMMEDIATE. */
	if (db_engine(db) == DB_POSTGRESQL) {
		r = db_num(db,
			   "SELECT 1 FROM sip_profile WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
			   DB_ARGS(V(tenant), V(id)), &one);
		if (r)
			return r < 0 ? err_pass(r) : r;
	}
	return profile_get(db, arena, tenant, id, ret);
}

int profile_update(struct db *db, const struct seal *seal, struct sip_profile *profile,
		   struct arena *arena)
{
	row_stamp(NULL, NULL, &profile->updated_at);
	profile_seal(seal, profile, arena);
	return profile_outcome(db_change(
		db,
		"UPDATE sip_profile SET name = $3, server = $4, port = $5, transport = $6, username = $7,"
		" auth_username = $8, secret = CASE WHEN $33 THEN $9 ELSE secret END, outbound_proxy = $10,"
		" register = $11, enabled = $12, expires = $13, caller_number = $14, caller_name = $15,"
		" caller_mode = $16, codecs = $17, dtmf_mode = $18, srtp = $19, max_calls = $20, record = $21,"
		" owner = $22, incoming_type = $23, incoming_target = $24, incoming_id = $25,"
		" min_expires = $27, updated_at = $29, mask_dtmf = $30, hold_music = $31,"
		" record_beep = $32 WHERE id = $1 AND tenant_id = $2",
		db_args_of(profile_fields, profile, DB_ARGS(V((bool)(profile->password != NULL))),
			   arena)));
}

struct profile_gone {
	struct id tenant, id;
};

static int delete_body(struct db *db, void *arg)
{
	struct profile_gone *gone = arg;
	int r;

	r = db_exec(
		db,
		"UPDATE app_user SET default_profile_id = NULL WHERE tenant_id = $1 AND default_profile_id = $2",
		DB_ARGS(V(gone->tenant), V(gone->id)), NULL);
	if (r == 0)
		r = db_change(db, "DELETE FROM sip_profile WHERE tenant_id = $1 AND id = $2",
			      DB_ARGS(V(gone->tenant), V(gone->id)));
	return r < 0 ? err_pass(r) : r;
}

int profile_delete(struct db *db, struct id tenant, struct id id)
{
	struct profile_gone gone = { tenant, id };
	int r = db_transact(db, delete_body, &gone);

	return r < 0 ? err_pass(r) : r;
}

int profile_set_enabled(struct db *db, struct id tenant, struct id id, bool enabled)
{
	int r = db_change(db,
			  "UPDATE sip_profile SET enabled = $3 WHERE tenant_id = $1 AND id = $2",
			  DB_ARGS(V(tenant), V(id), V(enabled)));

	return r < 0 ? err_pass(r) : r;
}

int profile_set_min_expires(struct db *db, struct id tenant, struct id id, int min_expires)
{
	int r = db_change(
		db, "UPDATE sip_profile SET min_expires = $3 WHERE tenant_id = $1 AND id = $2",
		DB_ARGS(V(tenant), V(id), V(min_expires)));

	return r < 0 ? err_pass(r) : r;
}

int profile_password(const struct seal *seal, const struct sip_profile *profile, char *ret_plain)
{
	return seal_unseal(seal, TABLE, profile->id, profile->secret, ret_plain);
}

static const struct db_list profile_list_table = {
	.select = "SELECT " PROFILE_COLS " FROM sip_profile",
	.count = "SELECT count(*) FROM sip_profile",
	.fields = profile_fields,
	.row_size = sizeof(struct sip_profile),
	.orders = (const struct db_order[]){ { "name" },
					     { "server" },
					     { "username" },
					     { "created_at" },
					     { "updated_at" },
					     { 0 } },
	.order = "created_at",
	.tie = "id",
};

static void where_ids(struct db_query *query, const struct id *ids, unsigned count)
{
	struct db_val vals[DB_MAX_ARGS];

	for (unsigned i = 0; i < count && i < DB_MAX_ARGS; i++)
		vals[i] = V(ids[i]);
	db_where_in(query, "id", vals, count < DB_MAX_ARGS ? count : DB_MAX_ARGS);
}

int profile_list(struct db *db, struct arena *arena, struct id tenant,
		 const struct profile_filter *filter, struct sip_profile **ret_rows,
		 struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	db_where(&query, "tenant_id = ?", V(tenant));
	if (!id_is_none(filter->owner))
		db_where(&query, "owner = ?", V(filter->owner));
	if (filter->ids)
		where_ids(&query, filter->ids, filter->id_count);
	if (filter->search)
		db_search(
			&query, arena,
			"(lower(name) LIKE ? ESCAPE '\\' OR lower(server) LIKE ? ESCAPE '\\'"
			" OR lower(username) LIKE ? ESCAPE '\\' OR lower(caller_number) LIKE ? ESCAPE '\\')",
			filter->search);
	r = db_page(db, &query, &profile_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}

struct just_id {
	struct id id;
};

static const struct field just_id_fields[] = { FIELD(struct just_id, id, FIELD_ID, 0), { 0 } };

int profile_ids(struct db *db, struct arena *arena, struct id tenant, struct id owner, unsigned max,
		struct id **ret_ids, size_t *ret_count)
{
	_Static_assert(sizeof(struct just_id) == sizeof(struct id),
		       "an array of one is an array of the other");
	int r = db_list(
		db,
		"SELECT id FROM sip_profile WHERE tenant_id = $1 AND ($2 IS NULL OR owner = $2)"
		" ORDER BY created_at, id LIMIT $3",
		DB_ARGS(V(tenant), V(owner), V(max)), just_id_fields, sizeof(struct just_id), arena,
		ret_ids, ret_count);

	return r < 0 ? err_pass(r) : r;
}

int profile_default(struct db *db, struct arena *arena, struct id tenant, struct id user,
		    struct sip_profile *ret)
{
	int r = db_get(db,
		       "SELECT " PROFILE_COLS
		       " FROM sip_profile WHERE tenant_id = $1 AND id = (SELECT"
		       " default_profile_id FROM app_user WHERE tenant_id = $1 AND id = $2)",
		       DB_ARGS(V(tenant), V(user)), profile_fields, arena, ret);

	if (r == DB_E_NONE)
		r = db_get(db,
			   "SELECT " PROFILE_COLS
			   " FROM sip_profile WHERE tenant_id = $1 AND owner = $2"
			   " ORDER BY created_at, id LIMIT 1",
			   DB_ARGS(V(tenant), V(user)), profile_fields, arena, ret);
	if (r == 0)
		ret->password = NULL;
	return r < 0 ? err_pass(r) : r;
}

int profile_each(struct db *db, int (*on_profile)(void *arg, const struct sip_profile *profile),
		 void *arg)
{
	int r = db_each(db, "SELECT " PROFILE_COLS " FROM sip_profile ORDER BY id", DB_NO_ARGS,
			profile_fields, sizeof(struct sip_profile),
			(int (*)(void *, const void *))on_profile, arg);

	return r < 0 ? err_pass(r) : r;
}
