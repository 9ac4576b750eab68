/* Tenants, users and their devices */
#include "kit.h"

#include <pthread.h>
#include <unistd.h>

static void a_tenant_keeps_its_limits(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	const char *allowed[] = { "+49", "+43", NULL };
	struct tenant got;

	base->tenant.max_calls = 7;
	base->tenant.allowed = allowed;
	assert_int_equal(tenant_update(base->db, &base->tenant, base->arena), 0);
	assert_int_equal(tenant_get(base->db, base->arena, base->tenant.id, &got), 0);
	assert_int_equal(got.max_calls, 7);
	assert_string_equal(got.allowed[1], "+43");
	assert_null(got.blocked);
	assert_int_equal(tenant_get(base->db, base->arena, id_new(), &got), DB_E_NONE);
}

static void emails_are_one_over_all_tenants_in_any_case(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct tenant tenant = { .name = "Other" };
	struct user user = USER_DEFAULTS, got;

	user.email = "ADMIN@example.COM";
	assert_int_equal(user_sign_up(base->db, &tenant, &user, base->arena), USER_E_EMAIL);
	assert_int_equal(tenant_get(base->db, base->arena, tenant.id, &tenant), DB_E_NONE);
	assert_int_equal(user_by_email(base->db, base->arena, "aDMIN@example.com", &got), 0);
	assert_true(id_eq(got.id, base->admin.id));
	assert_int_equal(add_user(base, "admin@example.com", NULL, &user), USER_E_EMAIL);
}

static void extensions_count_up_around_chosen_ones(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user a, b, c, d;

	assert_string_equal(base->admin.extension, "100");
	assert_int_equal(add_user(base, "a@x.y", "101", &a), 0);
	assert_int_equal(add_user(base, "b@x.y", NULL, &b), 0);
	assert_string_equal(b.extension, "102");
	assert_int_equal(add_user(base, "c@x.y", "102", &c), USER_E_EXTENSION);
	assert_int_equal(user_delete(base->db, base->tenant.id, b.id, ID_NONE), 0);
	assert_int_equal(add_user(base, "d@x.y", NULL, &d), 0);
	assert_string_equal(d.extension, "103");
	assert_int_equal(user_by_extension(base->db, base->arena, base->tenant.id, "103", &c), 0);
	assert_true(id_eq(c.id, d.id));
}

struct racer {
	void *fixture;
	struct id tenant;
	int number;
	pthread_t thread;
};

static void *race_users(void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct racer *racer = arg;
	auto_(db_close) struct db *db = fixture_open(racer->fixture);

	for (int i = 0; i < 10; i++) {
		struct user user = USER_DEFAULTS;

		user.tenant_id = racer->tenant;
		user.email = arena_printf(arena, "u%d-%d@x.y", racer->number, i);
		assert_int_equal(user_insert(db, &user, arena), 0);
	}
	return NULL;
}

static void extensions_are_given_once_when_many_sign_up_at_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct racer racers[4];
	int64_t n;

	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ *state, base->tenant.id, i, 0 };
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race_users, &racers[i]),
				 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(racers[i].thread, NULL);
	assert_int_equal(db_num(base->db, "SELECT count(DISTINCT extension) FROM app_user",
				DB_NO_ARGS, &n),
			 0);
	assert_int_equal(n, 41);
	assert_int_equal(
		db_num(base->db, "SELECT max(length(extension)) FROM app_user", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, 3);
}

static void a_tenant_is_never_left_without_an_admin(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user other, admin = base->admin;

	admin.role = USER_AGENT;
	assert_int_equal(user_update(base->db, &admin, base->arena), USER_E_LAST_ADMIN);
	assert_int_equal(user_delete(base->db, base->tenant.id, admin.id, ID_NONE),
			 USER_E_LAST_ADMIN);
	assert_int_equal(add_user(base, "o@x.y", NULL, &other), 0);
	other.role = USER_ADMIN;
	assert_int_equal(user_update(base->db, &other, base->arena), 0);
	assert_int_equal(user_update(base->db, &admin, base->arena), 0);
	assert_int_equal(user_delete(base->db, base->tenant.id, other.id, ID_NONE),
			 USER_E_LAST_ADMIN);
	assert_int_equal(user_delete(base->db, base->tenant.id, admin.id, ID_NONE), 0);
}

static void another_tenants_user_is_not_there(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct tenant tenant;
	struct user stranger, got;

	sign_up(base, "else@where.org", &tenant, &stranger);
	assert_int_equal(user_get(base->db, base->arena, base->tenant.id, stranger.id, &got),
			 DB_E_NONE);
	assert_int_equal(user_delete(base->db, base->tenant.id, stranger.id, ID_NONE), DB_E_NONE);
	stranger.tenant_id = base->tenant.id;
	assert_int_equal(user_update(base->db, &stranger, base->arena), DB_E_NONE);
	assert_int_equal(user_by_id(base->db, base->arena, stranger.id, &got), 0);
	assert_string_equal(got.extension, "100");
}

static void users_are_listed_by_filter(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct user_filter filter = { .role = -1, .page = { .ordering = "-extension" } };
	struct db_page_info info;
	struct user user, *rows;

	assert_int_equal(add_user(base, "anna@x.y", NULL, &user), 0);
	assert_int_equal(add_user(base, "bert@x.y", NULL, &user), 0);
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 3);
	assert_string_equal(rows[0].email, "bert@x.y");
	filter.search = "ANNA";
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	filter.search = NULL;
	filter.role = USER_ADMIN;
	assert_int_equal(user_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].email, "admin@example.com");
}

static bool user_body_ok(const char *text)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct user user = USER_DEFAULTS;
	json_t *body = json_loads(text, 0, NULL);
	json_t *bad = field_from_json(user_fields, body, true, arena, &user);
	bool ok = !bad;

	assert_non_null(body);
	json_decref(bad);
	json_decref(body);
	return ok;
}

static void user_bodies_are_checked(void **state)
{
	(void)state;
	assert_true(user_body_ok(
		"{\"email\": \"a.b+c@example.co.uk\", \"time_zone\": \"Europe/Berlin\"}"));
	assert_false(user_body_ok("{\"email\": \"nobody\"}"));
	assert_false(user_body_ok("{\"email\": \"a b@c.d\"}"));
	assert_false(user_body_ok("{\"email\": \"a@b..c\"}"));
	assert_false(user_body_ok("{\"email\": \"a@b.c\\r\\nBcc: x@y.z\"}"));
	assert_false(user_body_ok("{\"extension\": \"12a\"}"));
	assert_false(user_body_ok("{\"role\": \"root\"}"));
	assert_false(user_body_ok("{\"time_zone\": \"../../etc/passwd\"}"));
	assert_false(user_body_ok("{\"time_zone\": \"Mars/Olympus\"}"));
	assert_false(user_body_ok("{\"password\": \"short\"}"));
}

struct password_change {
	void *fixture;
	struct base *base;
	int outcome;
};

static void *change_password(void *arg)
{
	struct password_change *change = arg;
	auto_(db_close) struct db *db = fixture_open(change->fixture);

	change->outcome = user_set_password(db, change->base->tenant.id, change->base->admin.id,
					    "new", ID_NONE);
	return NULL;
}

static void another_change_at_the_same_time_undoes_no_new_password(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct password_change change = { *state, base, -1 };
	struct user user;
	pthread_t thread;

	assert_int_equal(db_begin(base->db), 0);
	assert_int_equal(
		user_get_locked(base->db, base->arena, base->tenant.id, base->admin.id, &user), 0);
	assert_int_equal(pthread_create(&thread, NULL, change_password, &change), 0);
	usleep(200000); /* it would be through by now */
	user.name = "Ada";
	assert_int_equal(user_update(base->db, &user, base->arena), 0);
	assert_int_equal(db_commit(base->db), 0);
	pthread_join(thread, NULL);
	assert_int_equal(change.outcome, 0);
	assert_int_equal(user_by_id(base->db, base->arena, base->admin.id, &user), 0);
	assert_string_equal(user.password_hash, "new");
	assert_string_equal(user.name, "Ada");
	assert_int_equal(user.token_epoch, 1);
}

static void a_device_gets_its_credentials_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct device device = { .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .name = "Desk" },
		      got, *rows;
	struct device_filter filter = { .user = base->admin.id, .search = "desk" };
	char password[DEVICE_PASSWORD_SIZE], plain[SEAL_MAX + 1];
	struct db_page_info info;
	struct device stray = { .tenant_id = base->tenant.id, .user_id = id_new(), .name = "x" };

	assert_int_equal(device_insert(base->db, base->seal, &device, base->arena, password), 0);
	assert_int_equal(device_by_username(base->db, base->arena, device.username, &got), 0);
	assert_true(id_eq(got.id, device.id));
	assert_int_equal(device_password(base->seal, &got, plain), 0);
	assert_string_equal(plain, password);
	device.name = "Kitchen desk";
	assert_int_equal(device_update(base->db, &device, base->arena), 0);
	assert_int_equal(device_list(base->db, base->arena, base->tenant.id, &filter, &rows, &info),
			 0);
	assert_int_equal(info.count, 1);
	assert_string_equal(rows[0].name, "Kitchen desk");
	assert_int_equal(device_insert(base->db, base->seal, &stray, base->arena, password),
			 DB_E_REF);
	assert_int_equal(device_get(base->db, base->arena, id_new(), device.id, &got), DB_E_NONE);
	assert_int_equal(device_delete(base->db, base->tenant.id, device.id), 0);
	assert_int_equal(device_by_username(base->db, base->arena, device.username, &got),
			 DB_E_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_tenant_keeps_its_limits),
		BOTH_ENGINES(emails_are_one_over_all_tenants_in_any_case),
		BOTH_ENGINES(extensions_count_up_around_chosen_ones),
		BOTH_ENGINES(extensions_are_given_once_when_many_sign_up_at_once),
		BOTH_ENGINES(a_tenant_is_never_left_without_an_admin),
		BOTH_ENGINES(another_tenants_user_is_not_there),
		BOTH_ENGINES(users_are_listed_by_filter),
		cmocka_unit_test(user_bodies_are_checked),
		BOTH_ENGINES(a_device_gets_its_credentials_once),
		BOTH_ENGINES(another_change_at_the_same_time_undoes_no_new_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
