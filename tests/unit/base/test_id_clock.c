#include "base/base.h"
#include "unit.h"

#include <pthread.h>

static void ids_of_a_thread_rise(void **state)
{
	struct id last = id_new();

	(void)state;
	/* Far more than the 4096 counter values of a millisecond. */
	for (unsigned i = 0; i < 200000; i++) {
		struct id id = id_new();

		assert_true(id_cmp(last, id) < 0);
		last = id;
	}
}

static void an_id_is_a_uuid_of_version_7_with_the_present_time(void **state)
{
	int64_t before_ms = clock_wall_us() / 1000;
	struct id id = id_new();
	int64_t ms = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		ms = ms << 8 | id.byte[i];
	assert_in_range(ms, before_ms, before_ms + 2000);
	assert_int_equal(id.byte[6] >> 4, 7);
	assert_int_equal(id.byte[8] >> 6, 2);
}

static void ids_survive_printing_and_parsing(void **state)
{
	struct id back, id = id_new();
	char upper[ID_STR_SIZE];

	(void)state;
	assert_int_equal(strlen(id_str(id)), 36);
	assert_true(id_parse(id_str(id), &back));
	assert_true(id_eq(id, back));
	id_print(id, upper);
	for (char *p = upper; *p; p++)
		*p = (char)(*p >= 'a' ? *p - 32 : *p);
	assert_true(id_parse(upper, &back));
	assert_true(id_eq(id, back));
	assert_string_equal(id_str(ID_NONE), "");
}

static void what_is_no_id_is_refused_and_leaves_the_result_alone(void **state)
{
	static const char *const bad[] = {
		"",
		"0190163d-8694-739b-aea5-966c26f8ad9",
		"0190163d-8694-739b-aea5-966c26f8ad900",
		"0190163d-8694-739b-aea5-966c26f8ad9g",
		"0190163d8694739baea5966c26f8ad9000000",
		"0190163d-8694-739b-aea5_966c26f8ad90",
		"{190163d-8694-739b-aea5-966c26f8ad9}",
	};
	struct id kept = id_new(), id = kept;

	(void)state;
	assert_false(id_parse(NULL, &id));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(id_parse(bad[i], &id));
	assert_true(id_eq(id, kept));
}

static void *make_ids(void *arg)
{
	struct id *ids = arg;

	for (unsigned i = 0; i < 10000; i++)
		ids[i] = id_new();
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id));
}

static void ids_of_several_threads_differ(void **state)
{
	auto_(free) struct id *ids = xzalloc_array(40000, sizeof(*ids));
	pthread_t threads[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids + i * 10000), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	qsort(ids, 40000, sizeof(*ids), compare);
	for (unsigned i = 1; i < 40000; i++)
		assert_false(id_eq(ids[i - 1], ids[i]));
}

static void times_print_as_iso_8601(void **state)
{
	(void)state;
	assert_string_equal(time_str(0), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(time_str(1769860800123456), "2026-01-31T12:00:00.123456Z");
	assert_string_equal(time_str(-1), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(time_str(INT64_MAX), "");
	assert_string_equal(time_str(INT64_MIN), "");
}

static void times_parse_in_the_forms_of_iso_8601(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_us;
	} good[] = {
		{ "2026-01-31T12:00:00.123456Z", 1769860800123456 },
		{ "2026-01-31T12:00:00.1234569Z", 1769860800123456 },
		{ "2026-01-31T12:00:00.5Z", 1769860800500000 },
		{ "2026-01-31T12:00:00Z", 1769860800000000 },
		{ "2026-01-31T12:00Z", 1769860800000000 },
		{ "2026-01-31 12:00:00z", 1769860800000000 },
		{ "2026-01-31T14:00:00+02:00", 1769860800000000 },
		{ "2026-01-31T06:30:00-0530", 1769860800000000 },
		{ "2024-02-29T00:00:00Z", 1709164800000000 },
		{ "1969-12-31T23:59:59Z", -1000000 },
	};
	static const char *const bad[] = {
		"",
		"2026-01-31",
		"2026-01-31T12:00:00",
		"2026-1-31T12:00:00Z",
		"2026-02-29T00:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-01-31T24:00:00Z",
		"2026-01-31T12:60:00Z",
		"2026-01-31T12:00:00.Z",
		"2026-01-31T12:00:00Z ",
		"2026-01-31T12:00:00+24:00",
		"2026-01-31T12:00:00+2",
		"-026-01-31T12:00:00Z",
		"now",
	};
	int64_t wall_us = 42;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(time_parse(bad[i], &wall_us));
	assert_false(time_parse(NULL, &wall_us));
	assert_int_equal(wall_us, 42);
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(time_parse(good[i].text, &wall_us));
		assert_int_equal(wall_us, good[i].wall_us);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_of_a_thread_rise),
		cmocka_unit_test(an_id_is_a_uuid_of_version_7_with_the_present_time),
		cmocka_unit_test(ids_survive_printing_and_parsing),
		cmocka_unit_test(what_is_no_id_is_refused_and_leaves_the_result_alone),
		cmocka_unit_test(ids_of_several_threads_differ),
		cmocka_unit_test(times_print_as_iso_8601),
		cmocka_unit_test(times_parse_in_the_forms_of_iso_8601),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
