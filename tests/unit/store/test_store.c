/* The schema, what a start reads, and the small tables: prompts, settings, idempotency keys, the audit */
#include "kit.h"

#include <stdio.h>

/* ---- tables agree with their statements ---- */

static void check_cols(const char *cols, const struct field *fields)
{
	char name[64];

	for (; fields->name; fields++) {
		size_t len = strcspn(cols, ",");

		if (fields->flags & FIELD_NO_DB)
			continue;
		if (*cols == '"')
			snprintf(name, sizeof(name), "%.*s", (int)len - 2, cols + 1);
		else
			snprintf(name, sizeof(name), "%.*s", (int)len, cols);
		assert_string_equal(name, fields->name);
		cols += len + strspn(cols + len, ", ");
	}
	assert_string_equal(cols, "");
}

static void columns_are_the_fields_in_order(void **state)
{
	(void)state;
	check_cols(TENANT_COLS, tenant_fields);
	check_cols(USER_COLS, user_fields);
	check_cols(USER_COLS, user_me_fields);
	check_cols(SESSION_COLS, session_fields);
	check_cols(PROFILE_COLS, profile_fields);
	check_cols(DEVICE_COLS, device_fields);
	check_cols(PROMPT_COLS, prompt_fields);
	check_cols(CALL_COLS, call_row_fields);
	check_cols(CALL_LEG_COLS, call_leg_fields);
	check_cols(CALL_EVENT_COLS, call_event_fields);
	check_cols(AUDIT_COLS, audit_fields);
	check_cols(ROOM_COLS, room_fields);
	check_cols(RECORDING_COLS, recording_fields);
}

struct plan {
	int id, parent, notused;
	const char *detail;
};
/* SQLite tells how it goes about a statement; PostgreSQL's choice depends on what is in the tables. */
static void expect_plan(struct base *base, const char *sql, const char *index)
{
	static const struct field fields[] = {
		FIELD(struct plan, id, FIELD_INT, 0),
		FIELD(struct plan, parent, FIELD_INT, 0),
		FIELD(struct plan, notused, FIELD_INT, 0),
		FIELD(struct plan, detail, FIELD_STR, 0),
		{ 0 },
	};
	struct plan *rows = NULL;
	size_t count = 0;

	assert_int_equal(db_list(base->db, sql, DB_NO_ARGS, fields, sizeof(*rows), base->arena,
				 &rows, &count),
			 0);
	assert_int_equal(count, 1); /* nothing is sorted */
	assert_non_null(strstr(rows[0].detail, index));
}

#define PLAN(table, where, order)                                                                  \
	"EXPLAIN QUERY PLAN SELECT * FROM " table " WHERE tenant_id = 'x' AND " where              \
	" ORDER BY " order " DESC, id DESC LIMIT 50"

static void what_is_of_one_thing_is_sought_not_scanned_for(void **state)
{
	auto_(base_free) struct base *base = base_new(state);

	expect_plan(base, PLAN("recording", "state <> 'deleted' AND call_id = 'x'", "started_at"),
		    "recording_call (tenant_id=? AND call_id=?)");
	expect_plan(base, PLAN("audit", "object_id = 'x'", "time"),
		    "audit_object (tenant_id=? AND object_id=?)");
	expect_plan(base, PLAN("call", "ended_at IS NOT NULL AND profile_id = 'x'", "created_at"),
		    "call_profile (tenant_id=? AND profile_id=?)");
	expect_plan(
		base,
		"EXPLAIN QUERY PLAN SELECT count(*) FROM recording WHERE tenant_id = 'x' AND state <>"
		" 'deleted' AND (user_id = 'y' OR other_user_id = 'y' OR profile_id = 'z')",
		"COVERING INDEX recording_started");
}

static int count_one(void *count)
{
	++*(int *)count;
	return 0;
}

static int on_tenant(void *arg, const struct tenant *tenant)
{
	return tenant->name ? count_one(arg) : 1;
}

static int on_user(void *arg, const struct user *user)
{
	return user->email ? count_one(arg) : 1;
}

static int on_profile(void *arg, const struct sip_profile *profile)
{
	return profile->line_token ? count_one(arg) : 1;
}

static int on_device(void *arg, const struct device *device)
{
	return device->username ? count_one(arg) : 1;
}

static void a_start_reads_everything(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct device device = { .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .name = "Desk" };
	struct sip_profile profile = new_profile(base, "a.example", "u");
	char password[DEVICE_PASSWORD_SIZE];
	struct tenant tenant;
	struct user user;
	int count = 0;

	sign_up(base, "o@x.y", &tenant, &user);
	assert_int_equal(profile_insert(base->db, base->seal, &profile, base->arena), 0);
	assert_int_equal(device_insert(base->db, base->seal, &device, base->arena, password), 0);
	assert_int_equal(tenant_each(base->db, on_tenant, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(user_each(base->db, on_user, &count), 0);
	assert_int_equal(count, 4);
	assert_int_equal(profile_each(base->db, on_profile, &count), 0);
	assert_int_equal(device_each(base->db, on_device, &count), 0);
	assert_int_equal(count, 6);
}

/* ---- small ones ---- */

static void prompts_belong_to_their_tenant_up_to_a_limit(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct prompt greeting = { .name = "Greeting",
				   .source = PROMPT_SPEECH,
				   .say = "Good morning",
				   .voice = "en",
				   .duration_ms = 900,
				   .size = 28844,
				   .sha256 = "00",
				   .tenant_id = base->tenant.id,
				   .created_by = base->admin.id };
	struct prompt second = greeting, got, *rows;
	struct prompt_filter filter = { .search = "MORN" };
	struct db_page_info info;

	second.name = "Closing";
	second.say = NULL;
	second.source = PROMPT_UPLOAD;
	assert_int_equal(prompt_insert(base->db, &greeting, 2, base->arena), 0);
	assert_int_equal(prompt_insert(base->db, &second, 2, base->arena), 0);
	got = (struct prompt){ .name = "Third", .sha256 = "00", .tenant_id = base->tenant.id };
	assert_int_equal(prompt_insert(base->db, &got, 2, base->arena), PROMPT_E_FULL);
	assert_int_equal(prompt_get(base->db, base->arena, base->tenant.id, greeting.id, &got), 0);
	assert_string_equal(got.say, "Good morning");
	assert_int_equal(got.size, 28844);
	assert_int_equal(prompt_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].name, "Greeting");
	assert_int_equal(prompt_get(base->db, base->arena, id_new(), greeting.id, &got), DB_E_NONE);
	assert_int_equal(prompt_delete(base->db, id_new(), greeting.id), DB_E_NONE);
	assert_int_equal(prompt_delete(base->db, base->tenant.id, greeting.id), 0);
	assert_int_equal(prompt_get(base->db, base->arena, base->tenant.id, greeting.id, &got),
			 DB_E_NONE);
}

static void settings_are_a_tenants_own(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	json_t *one = json_pack("{s:i}", "n", 1), *two = json_string("two"), *got = NULL;

	assert_int_equal(setting_get(base->db, base->tenant.id, "k", &got), DB_E_NONE);
	assert_int_equal(setting_put(base->db, base->tenant.id, "k", one, NOW), 0);
	assert_int_equal(setting_get(base->db, ID_NONE, "k", &got), DB_E_NONE);
	assert_int_equal(setting_init(base->db, base->tenant.id, "k", two, NOW, &got), 0);
	assert_true(json_equal(got, one));
	json_decref(got);
	assert_int_equal(setting_put(base->db, base->tenant.id, "k", two, NOW), 0);
	assert_int_equal(setting_get(base->db, base->tenant.id, "k", &got), 0);
	assert_true(json_equal(got, two));
	json_decref(got);
	assert_int_equal(setting_init(base->db, ID_NONE, "k", one, NOW, &got), 0);
	assert_true(json_equal(got, one));
	json_decref(got);
	assert_int_equal(setting_delete(base->db, base->tenant.id, "k"), 0);
	assert_int_equal(setting_delete(base->db, base->tenant.id, "k"), DB_E_NONE);
	json_decref(one);
	json_decref(two);
}

static void a_key_answers_again_what_it_answered_first(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct idempotency request = { .tenant = base->tenant.id,
				       .user = base->admin.id,
				       .key = "abc",
				       .route = "makeCall",
				       .request_hash = "h1" };
	struct idempotency other = request;
	struct idempotency_answer answer = { 0 };

	other.request_hash = "h2";
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW, &answer), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 1, &answer),
			 IDEMPOTENCY_E_RUNNING);
	assert_int_equal(idempotency_claim(base->db, base->arena, &other, NOW + 1, &answer),
			 IDEMPOTENCY_E_OTHER);
	assert_int_equal(idempotency_finish(base->db, &request, 201, "{}", "/x/"), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 2, &answer),
			 IDEMPOTENCY_E_DONE);
	assert_int_equal(answer.status, 201);
	assert_string_equal(answer.body, "{}");
	assert_string_equal(answer.location, "/x/");
	assert_int_equal(idempotency_drop(base->db, &request), 0); /* an answer is not dropped */
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW + 2, &answer),
			 IDEMPOTENCY_E_DONE);
	assert_int_equal(idempotency_claim(base->db, base->arena, &other,
					   NOW + IDEMPOTENCY_LIFE_US + 1, &answer),
			 0);
	/* Its request dies: after a minute the key is free again. */
	assert_int_equal(idempotency_claim(base->db, base->arena, &other,
					   NOW + IDEMPOTENCY_LIFE_US + IDEMPOTENCY_STALE_US + 2,
					   &answer),
			 0);
	assert_int_equal(idempotency_drop(base->db, &other), 0);
	assert_int_equal(idempotency_claim(base->db, base->arena, &request, NOW, &answer), 0);
	assert_int_equal(idempotency_prune(base->db, NOW + 2 * IDEMPOTENCY_LIFE_US), 0);
}

static void what_was_done_is_on_record(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct audit audit = { .tenant_id = base->tenant.id,
			       .user_id = base->admin.id,
			       .action = "profile.create",
			       .object = "sip_profile",
			       .object_id = id_new() },
		     *rows;
	struct audit_filter filter = { .action = "profile.create" };
	struct db_page_info info;

	audit.detail = json_pack("{s:s}", "server", "x");
	assert_int_equal(audit_insert(base->db, &audit, base->arena), 0);
	assert_int_equal(audit_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_true(json_equal(rows[0].detail, audit.detail));
	assert_int_equal(audit_list(base->db, base->arena, id_new(), &filter, &rows, &info), 0);
	assert_int_equal(info.count, 0);
	json_decref(audit.detail);
}

static void a_newer_schema_is_left_alone(void **state)
{
	auto_(base_free) struct base *base = base_new(state);

	assert_int_equal(store_migrate(base->db), 0);
	assert_int_equal(
		db_exec(base->db,
			"INSERT INTO schema_version (version, name, applied_at) VALUES (999, 'x', 1)",
			DB_NO_ARGS, NULL),
		0);
	assert_int_equal(store_migrate(base->db), DB_MIGRATE_E_NEWER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_the_fields_in_order),
		BOTH_ENGINES(prompts_belong_to_their_tenant_up_to_a_limit),
		BOTH_ENGINES(a_start_reads_everything),
		BOTH_ENGINES(settings_are_a_tenants_own),
		BOTH_ENGINES(a_key_answers_again_what_it_answered_first),
		BOTH_ENGINES(what_was_done_is_on_record),
		BOTH_ENGINES(a_newer_schema_is_left_alone),
		{ "what_is_of_one_thing_is_sought_not_scanned_for",
		  what_is_of_one_thing_is_sought_not_scanned_for, fixture_setup_sqlite,
		  fixture_teardown, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
