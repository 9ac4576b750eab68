/* Secrets at rest, and the file of the key that opens them */
#include "fixture.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_secret_opens_only_where_it_was_sealed(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	static const uint8_t key[32] = { 7 }, other_key[32] = { 8 };
	auto_(seal_free) struct seal *seal = seal_new(key);
	auto_(seal_free) struct seal *other = seal_new(other_key);
	struct id row = id_new();
	char plain[SEAL_MAX + 1];
	const char *sealed = seal_text(seal, "sip_profile", row, "s3cret", arena);

	(void)state;
	assert_null(strstr(sealed, "s3cret"));
	assert_int_equal(seal_unseal(seal, "sip_profile", row, sealed, plain), 0);
	assert_string_equal(plain, "s3cret");
	assert_int_equal(seal_unseal(seal, "sip_profile", id_new(), sealed, plain), SEAL_E_BAD);
	assert_string_equal(plain, "");
	assert_int_equal(seal_unseal(seal, "device", row, sealed, plain), SEAL_E_BAD);
	assert_int_equal(seal_unseal(other, "sip_profile", row, sealed, plain), SEAL_E_BAD);
	assert_string_not_equal(sealed, seal_text(seal, "sip_profile", row, "s3cret", arena));
	assert_int_equal(seal_unseal(seal, "sip_profile", row, NULL, plain), 0);
	assert_null(seal_text(seal, "sip_profile", row, NULL, arena));
}

static void any_changed_byte_is_noticed(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	static const uint8_t key[32] = { 7 };
	auto_(seal_free) struct seal *seal = seal_new(key);
	struct id row = id_new();
	char plain[SEAL_MAX + 1], *sealed;

	(void)state;
	sealed = arena_strdup(arena, seal_text(seal, "t", row, "a secret of some length", arena));
	for (size_t i = 0; sealed[i]; i++) {
		char was = sealed[i];

		sealed[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(seal_unseal(seal, "t", row, sealed, plain), SEAL_E_BAD);
		sealed[i] = was;
	}
	for (size_t len = strlen(sealed); len-- > 0;) {
		sealed[len] = '\0';
		assert_int_equal(seal_unseal(seal, "t", row, sealed, plain), SEAL_E_BAD);
	}
}

static char *key_dir(const char *name)
{
	char *dir = xasprintf("%s/%s", fixture_dir(), name);

	assert_int_equal(mkdir(dir, 0700), 0);
	return dir;
}

static void the_key_file_is_made_once_and_for_its_owner(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) char *dir = key_dir("key1");
	auto_(free) char *path = xasprintf("%s/" SEAL_FILE, dir);
	auto_(seal_free) struct seal *first = NULL;
	auto_(seal_free) struct seal *second = NULL;
	char plain[SEAL_MAX + 1];
	struct stat st;

	(void)state;
	assert_int_equal(seal_load(dir, &first), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(seal_load(dir, &second), 0);
	assert_int_equal(seal_unseal(second, "t", ID_NONE,
				     seal_text(first, "t", ID_NONE, "x", arena), plain),
			 0);
	assert_string_equal(plain, "x");
}

static void a_key_that_others_can_read_or_that_is_none_is_refused(void **state)
{
	auto_(free) char *dir = key_dir("key2");
	auto_(free) char *path = xasprintf("%s/" SEAL_FILE, dir);
	struct seal *seal = NULL;
	int fd;

	(void)state;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_int_equal(seal_load(dir, &seal), -EBADMSG);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(seal_load(dir, &seal), -EPERM);
	assert_int_equal(seal_load("/no/such/dir", &seal), -ENOENT);
	assert_null(seal);
}

static void *load_key(void *arg)
{
	struct seal *seal = NULL;

	assert_int_equal(seal_load(arg, &seal), 0);
	return seal;
}

static void daemons_that_start_at_once_share_one_key(void **state)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) char *dir = key_dir("key3");
	char plain[SEAL_MAX + 1];
	const char *sealed = NULL;
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_key, dir), 0);
	for (int i = 0; i < 4; i++) {
		void *seal;

		pthread_join(threads[i], &seal);
		if (!sealed)
			sealed = seal_text(seal, "t", ID_NONE, "x", arena);
		assert_int_equal(seal_unseal(seal, "t", ID_NONE, sealed, plain), 0);
		seal_free(seal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_opens_only_where_it_was_sealed),
		cmocka_unit_test(any_changed_byte_is_noticed),
		cmocka_unit_test(the_key_file_is_made_once_and_for_its_owner),
		cmocka_unit_test(a_key_that_others_can_read_or_that_is_none_is_refused),
		cmocka_unit_test(daemons_that_start_at_once_share_one_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
