#include "api/private.h"

#include <jansson.h>
#include <jwt.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define NOW 1800000000

struct fixture {
	char dir[64];
	struct token_key *key;
};

static int setup(void **state)
{
	struct fixture *fix = xzalloc(sizeof(*fix));

	str_copy(fix->dir, sizeof(fix->dir), "/tmp/jackfield-token-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	assert_int_equal(token_key_load(fix->dir, &fix->key), 0);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;
	auto_(free) char *path = xasprintf("%s/" TOKEN_KEY_FILE, fix->dir);

	unlink(path);
	rmdir(fix->dir);
	token_key_free(fix->key);
	free(fix);
	return 0;
}

static struct token_claims some_claims(void)
{
	return (struct token_claims){
		.user = id_new(),
		.tenant = id_new(),
		.family = id_new(),
		.jti = id_new(),
		.role = USER_SUPERVISOR,
		.scopes = 1u << SCOPE_SELF | 1u << SCOPE_CALLS_READ,
		.epoch = 3,
		.issued_at = NOW,
		.expires_at = NOW + TOKEN_LIFE_S,
	};
}

static void a_token_says_what_it_was_given(void **state)
{
	struct fixture *fix = *state;
	struct token_claims claims = some_claims(), back = { 0 };
	auto_(free) char *token = token_make(fix->key, &claims);

	assert_int_equal(token_check(fix->key, token, NOW + 10, &back), 0);
	assert_true(id_eq(claims.user, back.user) && id_eq(claims.tenant, back.tenant));
	assert_true(id_eq(claims.family, back.family) && id_eq(claims.jti, back.jti));
	assert_int_equal(claims.role, back.role);
	assert_int_equal(claims.scopes, back.scopes);
	assert_int_equal(claims.epoch, back.epoch);
	assert_int_equal(claims.issued_at, back.issued_at);
	assert_int_equal(claims.expires_at, back.expires_at);
}

static void a_token_lives_from_then_to_then(void **state)
{
	struct fixture *fix = *state;
	struct token_claims claims = some_claims(), back;
	auto_(free) char *token = token_make(fix->key, &claims);

	assert_int_equal(token_check(fix->key, token, NOW - TOKEN_LEEWAY_S, &back), 0);
	assert_int_equal(token_check(fix->key, token, NOW - TOKEN_LEEWAY_S - 1, &back),
			 TOKEN_E_BAD);
	assert_int_equal(
		token_check(fix->key, token, NOW + TOKEN_LIFE_S + TOKEN_LEEWAY_S - 1, &back), 0);
	assert_int_equal(token_check(fix->key, token, NOW + TOKEN_LIFE_S + TOKEN_LEEWAY_S, &back),
			 TOKEN_E_EXPIRED);
}

static void the_key_stays_and_is_private(void **state)
{
	struct fixture *fix = *state;
	auto_(free) char *path = xasprintf("%s/" TOKEN_KEY_FILE, fix->dir);
	struct token_claims claims = some_claims(), back;
	auto_(free) char *token = token_make(fix->key, &claims);
	auto_(token_key_free) struct token_key *again = NULL;
	struct token_key *never = NULL;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(token_key_load(fix->dir, &again), 0);
	assert_int_equal(token_check(again, token, NOW, &back), 0);
	chmod(path, 0644);
	assert_int_equal(token_key_load(fix->dir, &never), TOKEN_E_KEY);
	chmod(path, 0600);
	assert_null(never);
}

static void another_keys_token_is_none(void **state)
{
	struct fixture *fix = *state;
	struct token_claims claims = some_claims(), back;
	void *other_state = NULL;
	struct fixture *other;
	char *token;

	setup(&other_state);
	other = other_state;
	token = token_make(other->key, &claims);
	assert_int_equal(token_check(fix->key, token, NOW, &back), TOKEN_E_BAD);
	free(token);
	teardown(&other_state);
}

static char *encode(const char *text)
{
	size_t size =
		sodium_base64_encoded_len(strlen(text), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char *out = xzalloc(size);

	sodium_bin2base64(out, size, (const unsigned char *)text, strlen(text),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return out;
}

/* A good token's claims under another header, signed by whoever (RFC 8725 2.1). */
static void no_header_chooses_how_it_is_checked(void **state)
{
	struct fixture *fix = *state;
	static const char *const headers[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES384\"}",
		"{}",
		"[]",
		"",
		"{\"alg\":7}",
	};
	struct token_claims claims = some_claims(), back;
	auto_(free) char *token = token_make(fix->key, &claims);
	const char *payload = strchr(token, '.'), *signature = strrchr(token, '.');

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		auto_(free) char *header = encode(headers[i]);
		auto_(free) char *with = xasprintf("%s%s", header, payload);
		auto_(free) char *without =
			xasprintf("%s%.*s.", header, (int)(signature - payload), payload);

		assert_int_equal(token_check(fix->key, with, NOW, &back), TOKEN_E_BAD);
		assert_int_equal(token_check(fix->key, without, NOW, &back), TOKEN_E_BAD);
	}
}

static void any_change_spoils_it(void **state)
{
	struct fixture *fix = *state;
	struct token_claims claims = some_claims(), back;
	auto_(free) char *token = token_make(fix->key, &claims);
	size_t len = strlen(token);

	/* The last character of a part holds bits that no byte has: change those before it. */
	for (size_t i = 0; i + 3 < len; i += 7) {
		char was = token[i];

		if (was == '.' || token[i + 1] == '.')
			continue;
		token[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(token_check(fix->key, token, NOW, &back), TOKEN_E_BAD);
		token[i] = was;
	}
	assert_int_equal(token_check(fix->key, token, NOW, &back), 0);
	for (size_t i = len; i > 0; i -= i > 40 ? 40 : i) {
		auto_(free) char *cut = xstrndup(token, i - 1);

		assert_int_equal(token_check(fix->key, cut, NOW, &back), TOKEN_E_BAD);
	}
}

static void throttles_let_a_burst_through_then_make_one_wait(void **state)
{
	struct throttle *throttle = throttle_new();
	uint64_t now = clock_mono_ms();
	unsigned passed = 0, wait;

	(void)state;
	while (!(wait = throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1", now)) &&
	       passed < 100)
		passed++;
	assert_int_equal(passed, 6);
	assert_in_range(wait, 1, 30);
	assert_int_equal(throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.2", now),
			 0);
	assert_int_equal(throttle_take(throttle, THROTTLE_LOGIN_PAIR, "x@b.c", "192.0.2.1", now),
			 0);
	assert_true(throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1",
				  now + 29000) > 0);
	assert_int_equal(
		throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1", now + 30200), 0);
	assert_true(throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1",
				  now + 30200) > 0);
	throttle_give_back(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1");
	assert_int_equal(
		throttle_take(throttle, THROTTLE_LOGIN_PAIR, "a@b.c", "192.0.2.1", now + 30300), 0);
	throttle_free(throttle);
}

static void a_flood_of_names_does_not_lock_others_out(void **state)
{
	struct throttle *throttle = throttle_new();
	uint64_t now = clock_mono_ms();
	unsigned refused = 0;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(name, sizeof(name), "bot%u", i);
		refused += throttle_take(throttle, THROTTLE_LOGIN_PAIR, name, "192.0.2.1", now) > 0;
	}
	assert_true(refused < 10);
	assert_int_equal(throttle_take(throttle, THROTTLE_LOGIN_PAIR, "ada@example.com",
				       "198.51.100.1", now),
			 0);
	throttle_free(throttle);
}

static void private_servers_need_leave(void **state)
{
	static const char *const closed[] = {
		"127.0.0.1",  "10.1.2.3",  "192.168.0.1", "172.31.255.255",  "169.254.169.254",
		"100.64.0.1", "0.0.0.0",   "224.0.0.1",	  "255.255.255.255", "::1",
		"[::1]",      "fe80::1",   "fd00::1",	  "::ffff:10.0.0.1", "::",
		"localhost",  "LOCALHOST", "a.localhost",
	};
	static const char *const open[] = { "192.0.3.1",      "8.8.8.8",
					    "172.32.0.1",     "100.128.0.1",
					    "2001:4860::1",   "sip.example.com",
					    "[2001:4860::1]", "localhost.example.com" };
	struct api *api = xzalloc(sizeof(*api));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		if (!api_server_complaint(api, closed[i]))
			fail_msg("%s passed", closed[i]);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		assert_null(api_server_complaint(api, open[i]));
	api->setup.allow_private = true;
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		assert_null(api_server_complaint(api, closed[i]));
	free(api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_says_what_it_was_given),
		cmocka_unit_test(a_token_lives_from_then_to_then),
		cmocka_unit_test(the_key_stays_and_is_private),
		cmocka_unit_test(another_keys_token_is_none),
		cmocka_unit_test(no_header_chooses_how_it_is_checked),
		cmocka_unit_test(any_change_spoils_it),
		cmocka_unit_test(throttles_let_a_burst_through_then_make_one_wait),
		cmocka_unit_test(a_flood_of_names_does_not_lock_others_out),
		cmocka_unit_test(private_servers_need_leave),
	};

	if (sodium_init() < 0)
		return 1;
	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	return cmocka_run_group_tests(tests, setup, teardown);
}
