/* Refresh tokens: rotation, grace, and what thieves get */
#include "kit.h"

#include <pthread.h>

static void begin(struct base *base, char token[static SESSION_TOKEN_SIZE], struct session *ret)
{
	*ret = (struct session){ .tenant_id = base->tenant.id,
				 .user_id = base->admin.id,
				 .client_addr = "192.0.2.1" };
	assert_int_equal(session_start(base->db, ret, NOW, token), 0);
}

static int rotate(struct base *base, const char *token, int64_t now,
		  char next[static SESSION_TOKEN_SIZE])
{
	struct session session;

	return session_rotate(base->db, base->arena, token, "192.0.2.2", "test", now, &session,
			      next);
}

static void a_refresh_token_works_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char first[SESSION_TOKEN_SIZE], second[SESSION_TOKEN_SIZE], third[SESSION_TOKEN_SIZE];
	struct session session;

	begin(base, first, &session);
	assert_int_equal(rotate(base, first, NOW + 1000000, second), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(rotate(base, second, NOW + 60000000, third), 0);
	/* The first again, a minute after its use: stolen. Everybody of that login is out. */
	assert_int_equal(rotate(base, first, NOW + 61000000, second), SESSION_E_REUSED);
	assert_int_equal(rotate(base, third, NOW + 61000000, second), SESSION_E_UNKNOWN);
	assert_int_equal(rotate(base, "no such token", NOW, second), SESSION_E_UNKNOWN);
}

static void a_lost_answer_is_forgiven_for_ten_seconds(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char first[SESSION_TOKEN_SIZE], a[SESSION_TOKEN_SIZE], b[SESSION_TOKEN_SIZE],
		c[SESSION_TOKEN_SIZE];
	struct session session;

	begin(base, first, &session);
	assert_int_equal(rotate(base, first, NOW, a), 0);
	assert_int_equal(rotate(base, first, NOW + SESSION_GRACE_US, b), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(rotate(base, a, NOW + 20000000, c), 0);
	assert_int_equal(rotate(base, b, NOW + 20000000, c), 0);
}

static void sessions_end_in_time_whatever_their_use(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE], next[SESSION_TOKEN_SIZE];
	struct session session;
	int64_t now = NOW;
	int r = 0;

	begin(base, token, &session);
	assert_int_equal(rotate(base, token, NOW + SESSION_LIFE_US, next), SESSION_E_UNKNOWN);
	begin(base, token, &session);
	for (int i = 0; i < 12 && r == 0; i++) {
		now += SESSION_LIFE_US - 1000000;
		r = rotate(base, token, now, next);
		memcpy(token, next, sizeof(token));
	}
	assert_int_equal(r, SESSION_E_UNKNOWN);
	assert_true(now >= NOW + SESSION_FAMILY_US);
	assert_int_equal(store_prune(base->db, now + SESSION_FAMILY_US), 0);
	assert_int_equal(session_by_token(base->db, base->arena, token, &session),
			 SESSION_E_UNKNOWN);
}

static void logging_out_ends_one_family_a_new_password_all_others(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char a[SESSION_TOKEN_SIZE], b[SESSION_TOKEN_SIZE], c[SESSION_TOKEN_SIZE],
		next[SESSION_TOKEN_SIZE];
	struct session sa, sb, sc;
	struct user user;

	begin(base, a, &sa);
	begin(base, b, &sb);
	begin(base, c, &sc);
	assert_int_equal(session_end(base->db, a, NOW), 0);
	assert_int_equal(session_end(base->db, "unknown", NOW), 0);
	assert_int_equal(rotate(base, a, NOW, next), SESSION_E_UNKNOWN);
	assert_int_equal(user_set_password(base->db, base->tenant.id, base->admin.id, "new",
					   sb.family_id),
			 0);
	assert_int_equal(rotate(base, b, NOW, next), 0);
	assert_int_equal(rotate(base, c, NOW, next), SESSION_E_UNKNOWN);
	assert_int_equal(user_by_id(base->db, base->arena, base->admin.id, &user), 0);
	assert_string_equal(user.password_hash, "new");
	assert_int_equal(user.token_epoch, 1);
}

struct spinner {
	void *fixture;
	const char *token;
	pthread_barrier_t *barrier;
	int64_t now;
	int outcome;
	pthread_t thread;
};

static void *spin(void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct spinner *spinner = arg;
	auto_(db_close) struct db *db = fixture_open(spinner->fixture);
	char next[SESSION_TOKEN_SIZE];
	struct session session;

	pthread_barrier_wait(spinner->barrier);
	spinner->outcome =
		session_rotate(db, arena, spinner->token, NULL, NULL, spinner->now, &session, next);
	return NULL;
}

static void race(void **state, const char *token, int64_t now, int outcomes[4])
{
	struct spinner spinners[4];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 4; i++) {
		spinners[i] = (struct spinner){
			.fixture = *state, .token = token, .barrier = &barrier, .now = now
		};
		assert_int_equal(pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(spinners[i].thread, NULL);
		outcomes[i] = spinners[i].outcome;
	}
	pthread_barrier_destroy(&barrier);
}

static void tabs_that_refresh_at_once_all_stay_signed_in(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE];
	struct session session;
	int outcomes[4];

	begin(base, token, &session);
	race(state, token, NOW + 5000000, outcomes);
	for (int i = 0; i < 4; i++)
		assert_int_equal(outcomes[i], 0);
}

static void thieves_at_once_end_the_family_once(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	char token[SESSION_TOKEN_SIZE], next[SESSION_TOKEN_SIZE];
	struct session session;
	int outcomes[4], reused = 0;

	begin(base, token, &session);
	assert_int_equal(rotate(base, token, NOW, next), 0);
	race(state, token, NOW + 60000000, outcomes);
	for (int i = 0; i < 4; i++) {
		assert_true(outcomes[i] == SESSION_E_REUSED || outcomes[i] == SESSION_E_UNKNOWN);
		reused += outcomes[i] == SESSION_E_REUSED;
	}
	assert_true(reused >= 1);
	assert_int_equal(rotate(base, next, NOW + 61000000, token), SESSION_E_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_refresh_token_works_once),
		BOTH_ENGINES(a_lost_answer_is_forgiven_for_ten_seconds),
		BOTH_ENGINES(sessions_end_in_time_whatever_their_use),
		BOTH_ENGINES(logging_out_ends_one_family_a_new_password_all_others),
		BOTH_ENGINES(tabs_that_refresh_at_once_all_stay_signed_in),
		BOTH_ENGINES(thieves_at_once_end_the_family_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
