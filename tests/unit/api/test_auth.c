#include "../http/peer.h"
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

static void one_signs_up_logs_in_and_is_oneself(void **state)
{
	struct rig *rig = *state;
	struct person ada, again;
	auto_(free) char *upper = NULL;

	sign_up(rig, &ada);
	log_in(rig, ada.email, PASSWORD, &again);
	assert_string_equal(ada.id, again.id);
	{
		auto_got got;

		ask(rig, "GET", "/api/auth/me", again.access, NULL, NULL, &got);
		assert_int_equal(got.status, 200);
		assert_string_equal(got_str(&got, "email"), ada.email);
		assert_string_equal(got_str(&got, "role"), "admin");
		assert_string_equal(got_str(&got, "extension"), "100");
		assert_string_equal(got_str(&got, "tenant.id"), ada.tenant);
		assert_true(json_is_null(json_object_get(got.json, "default_profile_id")));
		assert_null(strstr(got.text, "password"));
		assert_null(strstr(got.text, "argon2"));
	}
	upper = xasprintf("{\"email\": \"%s\", \"password\": \"" PASSWORD "\"}", ada.email);
	upper[11] = 'U';
	{
		auto_got got;

		ask(rig, "POST", "/api/auth/signup/", NULL, NULL, upper, &got);
		assert_int_equal(got.status, 400);
		assert_true(json_is_array(json_object_get(got.json, "email")));
	}
}

static void bad_sign_ups_name_their_fields(void **state)
{
	static const char *const tries[][2] = {
		{ "{\"email\": \"x\", \"password\": \"" PASSWORD "\"}", "email" },
		{ "{\"password\": \"" PASSWORD "\"}", "email" },
		{ "{\"email\": \"a@example.com\"}", "password" },
		{ "{\"email\": \"a@example.com\", \"password\": \"short\"}", "password" },
		{ "{\"email\": \"a@example.com\", \"password\": \"12345678901\"}", "password" },
		{ "{\"email\": \"a@example.com\\r\\nx\", \"password\": \"" PASSWORD "\"}",
		  "email" },
		{ "{\"email\": 7, \"password\": [1]}", "email" },
		{ "{\"email\": null, \"password\": null}", "password" },
		{ "", "email" },
		{ "{", "non_field_errors" },
		{ "[1]", "non_field_errors" },
	};

	for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
		auto_got got;

		ask(*state, "POST", "/api/auth/signup/", NULL, NULL, tries[i][0], &got);
		assert_int_equal(got.status, 400);
		assert_true(json_is_array(json_object_get(got.json, tries[i][1])));
	}
}

static void other_media_types_are_refused(void **state)
{
	auto_got got;

	ask(*state, "POST", "/api/auth/login/", NULL,
	    "Content-Type: application/x-www-form-urlencoded\r\n", "a=b", &got);
	assert_int_equal(got.status, 415);
	assert_string_equal(got_str(&got, "code"), "unsupported_media_type");
}

static int refresh(const struct rig *rig, const char *token, struct person *ret)
{
	auto_(free) char *body = xasprintf("{\"refresh\": \"%s\"}", token);
	auto_got got;

	ask(rig, "POST", "/api/auth/refresh/", NULL, NULL, body, &got);
	if (ret && got.status == 200) {
		str_copy(ret->access, sizeof(ret->access), got_str(&got, "access"));
		str_copy(ret->refresh, sizeof(ret->refresh), got_str(&got, "refresh"));
	}
	if (got.status == 401) {
		assert_string_equal(got_str(&got, "code"), "token_not_valid");
		assert_non_null(strstr(got.head, "WWW-Authenticate: Bearer"));
	}
	return got.status;
}

/* What time does to a session, without waiting for it. */
static void age_sessions(const struct rig *rig, const char *user)
{
	struct db *db = NULL;
	struct id id;

	assert_true(id_parse(user, &id));
	assert_int_equal(db_open(rig->url, &(struct db_opts){ 0 }, &db), 0);
	assert_int_equal(
		db_exec(db, "UPDATE session SET used_at = used_at - 11000000 WHERE user_id = $1",
			DB_ARGS(V(id)), NULL),
		0);
	db_close(db);
}

static void refresh_tokens_rotate_and_a_stolen_one_ends_all(void **state)
{
	struct rig *rig = *state;
	struct person ada, next;
	auto_got got;

	sign_up(rig, &ada);
	assert_int_equal(refresh(rig, ada.refresh, &next), 200);
	assert_string_not_equal(next.refresh, ada.refresh);
	ask(rig, "GET", "/api/auth/me/", next.access, NULL, NULL, &got);
	assert_int_equal(got.status, 200);
	/* a second tab, just now */
	assert_int_equal(refresh(rig, ada.refresh, NULL), 200);
	/* a thief, later */
	age_sessions(rig, ada.id);
	assert_int_equal(refresh(rig, ada.refresh, NULL), 401);
	assert_int_equal(refresh(rig, next.refresh, NULL), 401);
}

static void logging_out_ends_the_session_only(void **state)
{
	struct rig *rig = *state;
	struct person ada, other;
	auto_(free) char *body = NULL;
	auto_got got;

	sign_up(rig, &ada);
	log_in(rig, ada.email, PASSWORD, &other);
	body = xasprintf("{\"refresh\": \"%s\"}", ada.refresh);
	ask(rig, "POST", "/api/auth/logout/", NULL, NULL, body, &got);
	assert_int_equal(got.status, 204);
	assert_int_equal(refresh(rig, ada.refresh, NULL), 401);
	assert_int_equal(refresh(rig, other.refresh, NULL), 200);
}

struct racer {
	const struct rig *rig;
	const char *path, *body;
	int status;
	char refresh[128];
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	auto_got got;

	ask(racer->rig, "POST", racer->path, NULL, NULL, racer->body, &got);
	racer->status = got.status;
	str_copy(racer->refresh, sizeof(racer->refresh), got_str(&got, "refresh"));
	return NULL;
}

#define RACERS 16

static void race_all(const struct rig *rig, const char *path, const char *body,
		     struct racer racers[RACERS])
{
	pthread_t threads[RACERS];

	for (unsigned i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ .rig = rig, .path = path, .body = body };
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
}

static void many_tabs_may_refresh_at_once(void **state)
{
	struct rig *rig = *state;
	struct racer racers[RACERS];
	struct person ada;
	auto_(free) char *body = NULL;

	sign_up(rig, &ada);
	body = xasprintf("{\"refresh\": \"%s\"}", ada.refresh);
	race_all(rig, "/api/auth/refresh/", body, racers);
	for (unsigned i = 0; i < RACERS; i++) {
		assert_int_equal(racers[i].status, 200);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(racers[i].refresh, racers[k].refresh);
	}
	/* once it is late, one old token ends every successor */
	age_sessions(rig, ada.id);
	assert_int_equal(refresh(rig, ada.refresh, NULL), 401);
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(refresh(rig, racers[i].refresh, NULL), 401);
}

static void guessing_at_once_is_throttled_too(void **state)
{
	struct rig *rig = *state;
	struct racer racers[RACERS];
	struct person ada, eve;
	auto_(free) char *body = NULL;
	unsigned tried = 0;
	auto_got got;

	sign_up(rig, &ada);
	sign_up(rig, &eve);
	body = xasprintf("{\"email\": \"%s\", \"password\": \"not this one\"}", ada.email);
	race_all(rig, "/api/auth/login/", body, racers);
	for (unsigned i = 0; i < RACERS; i++) {
		assert_true(racers[i].status == 401 || racers[i].status == 429);
		tried += racers[i].status == 401;
	}
	assert_in_range(tried, 1, 6);
	ask(rig, "POST", "/api/auth/login/", NULL, NULL, body, &got);
	assert_int_equal(got.status, 429);
	assert_string_equal(got_str(&got, "code"), "too_many_attempts");
	assert_non_null(strstr(got.head, "Retry-After: "));
	log_in(rig, eve.email, PASSWORD, &eve); /* others are not held up */
}

static void unknown_and_wrong_look_the_same(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	auto_(free) char *body = NULL;
	auto_got wrong;
	auto_got unknown;

	sign_up(rig, &ada);
	body = xasprintf("{\"email\": \"%s\", \"password\": \"wrong wrong\"}", ada.email);
	ask(rig, "POST", "/api/auth/login/", NULL, NULL, body, &wrong);
	ask(rig, "POST", "/api/auth/login/", NULL, NULL,
	    "{\"email\": \"nobody-at-all@example.com\", \"password\": \"wrong wrong\"}", &unknown);
	assert_int_equal(wrong.status, 401);
	assert_int_equal(unknown.status, 401);
	assert_string_equal(wrong.text, unknown.text);
	assert_string_equal(got_str(&wrong, "code"), "invalid_credentials");
}

static int me_status(const struct rig *rig, const char *token)
{
	auto_got got;

	ask(rig, "GET", "/api/auth/me/", token, NULL, NULL, &got);
	return got.status;
}

static void a_new_password_ends_the_others(void **state)
{
	struct rig *rig = *state;
	struct person ada, other;

	sign_up(rig, &ada);
	log_in(rig, ada.email, PASSWORD, &other);
	assert_int_equal(me_status(rig, other.access), 200);
	{
		auto_got got;

		ask(rig, "POST", "/api/auth/change-password/", ada.access, NULL,
		    "{\"old_password\": \"not it\", \"new_password\": \"another long one\"}", &got);
		assert_int_equal(got.status, 400);
		assert_true(json_is_array(json_object_get(got.json, "old_password")));
	}
	{
		auto_got got;

		ask(rig, "POST", "/api/auth/change-password/", ada.access, NULL,
		    "{\"old_password\": \"" PASSWORD "\", \"new_password\": \"another long one\"}",
		    &got);
		assert_int_equal(got.status, 204);
	}
	assert_int_equal(me_status(rig, other.access), 401);
	assert_int_equal(refresh(rig, other.refresh, NULL), 401);
	assert_int_equal(refresh(rig, ada.refresh, &ada), 200);
	assert_int_equal(me_status(rig, ada.access), 200);
	log_in(rig, ada.email, "another long one", &other);
}

static void a_new_role_is_felt_at_once(void **state)
{
	struct rig *rig = *state;
	struct person ada, bob;
	auto_(free) char *path = NULL;

	sign_up(rig, &ada);
	add_user(rig, &ada, "agent", &bob);
	assert_int_equal(me_status(rig, bob.access), 200);
	path = xasprintf("/api/users/%s/", bob.id);
	{
		auto_got got;

		ask(rig, "GET", "/api/users/", bob.access, NULL, NULL, &got);
		assert_int_equal(got.status, 403);
		assert_string_equal(got_str(&got, "code"), "permission_denied");
	}
	{
		auto_got got;

		ask(rig, "PATCH", path, ada.access, NULL, "{\"role\": \"admin\"}", &got);
		assert_int_equal(got.status, 200);
	}
	assert_int_equal(me_status(rig, bob.access), 401);
	assert_int_equal(refresh(rig, bob.refresh, &bob), 200);
	{
		auto_got got;

		ask(rig, "GET", "/api/users/", bob.access, NULL, NULL, &got);
		assert_int_equal(got.status, 200);
		assert_int_equal(json_integer_value(json_object_get(got.json, "count")), 2);
	}
	{
		auto_got got;

		ask(rig, "PATCH", path, ada.access, NULL, "{\"active\": false}", &got);
		assert_int_equal(got.status, 200);
	}
	assert_int_equal(me_status(rig, bob.access), 401);
	assert_int_equal(refresh(rig, bob.refresh, NULL), 401);
}

static void the_last_admin_stays(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	auto_(free) char *path = NULL;
	auto_got got;

	sign_up(rig, &ada);
	path = xasprintf("/api/users/%s/", ada.id);
	ask(rig, "PATCH", path, ada.access, NULL, "{\"role\": \"agent\"}", &got);
	assert_int_equal(got.status, 409);
	assert_string_equal(got_str(&got, "code"), "last_admin");
}

static void a_removed_user_is_gone(void **state)
{
	struct rig *rig = *state;
	struct person ada, bob;
	char profile[40];
	auto_(free) char *path = NULL, *profile_path = NULL;

	sign_up(rig, &ada);
	add_user(rig, &ada, "agent", &bob);
	add_profile(rig, &bob, "bobs", profile);
	path = xasprintf("/api/users/%s/", bob.id);
	profile_path = xasprintf("/api/sip-profiles/%s/", profile);
	{
		auto_got got;

		ask(rig, "DELETE", path, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 204);
	}
	{
		auto_got got;

		ask(rig, "GET", path, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 404);
	}
	{
		auto_got got;

		ask(rig, "GET", profile_path, ada.access, NULL, NULL, &got);
		assert_int_equal(got.status, 200);
		assert_string_equal(got_str(&got, "owner"), ada.id);
	}
	assert_int_equal(me_status(rig, bob.access), 401);
	assert_int_equal(refresh(rig, bob.refresh, NULL), 401);
}

static void what_is_no_token_opens_nothing(void **state)
{
	struct rig *rig = *state;
	struct person ada;
	char broken[2048];
	size_t len;

	sign_up(rig, &ada);
	assert_int_equal(me_status(rig, NULL), 401);
	assert_int_equal(me_status(rig, "nonsense"), 401);
	assert_int_equal(me_status(rig, ""), 401);
	str_copy(broken, sizeof(broken), ada.access);
	len = strlen(broken);
	broken[len - 10] = broken[len - 10] == 'A' ? 'B' : 'A';
	assert_int_equal(me_status(rig, broken), 401);
	/* {"alg":"none","typ":"JWT"} before the same claims, without a signature */
	snprintf(broken, sizeof(broken), "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0%s",
		 strchr(ada.access, '.'));
	*strrchr(broken, '.') = '\0';
	strcat(broken, ".");
	assert_int_equal(me_status(rig, broken), 401);
}

#define TEST(fn) cmocka_unit_test(fn)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_signs_up_logs_in_and_is_oneself),
		TEST(bad_sign_ups_name_their_fields),
		TEST(other_media_types_are_refused),
		TEST(refresh_tokens_rotate_and_a_stolen_one_ends_all),
		TEST(logging_out_ends_the_session_only),
		TEST(many_tabs_may_refresh_at_once),
		TEST(guessing_at_once_is_throttled_too),
		TEST(unknown_and_wrong_look_the_same),
		TEST(a_new_password_ends_the_others),
		TEST(a_new_role_is_felt_at_once),
		TEST(the_last_admin_stays),
		TEST(a_removed_user_is_gone),
		TEST(what_is_no_token_opens_nothing),
	};

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
