/* Text written straight must be the bytes that jansson writes for the same values. */
#include "base/base.h"
#include "base/field.h"
#include "base/jot.h"
#include "base/random.h"
#include "unit.h"

#include <math.h>
#include <time.h>

struct row {
	struct id id, none;
	const char *text, *null;
	int number, zero;
	int64_t big, time, never;
	bool yes;
	double real;
	int word;
	json_t *json, *no_json;
	const char **list, **no_list;
	const char *secret;
};

static const char *const words[] = { "a", "b", NULL };

static const struct field fields[] = {
	FIELD(struct row, id, FIELD_ID, 0),
	FIELD(struct row, none, FIELD_ID, 0),
	FIELD(struct row, text, FIELD_STR, 0),
	FIELD(struct row, null, FIELD_STR, 0),
	FIELD(struct row, number, FIELD_INT, 0),
	FIELD(struct row, zero, FIELD_INT, FIELD_ZERO_NULL),
	FIELD(struct row, big, FIELD_I64, 0),
	FIELD(struct row, time, FIELD_TIME, 0),
	FIELD(struct row, never, FIELD_TIME, 0),
	FIELD(struct row, yes, FIELD_BOOL, 0),
	FIELD(struct row, real, FIELD_REAL, 0),
	FIELD(struct row, word, FIELD_ENUM, 0, .names = words),
	FIELD(struct row, json, FIELD_JSON, 0),
	FIELD(struct row, no_json, FIELD_JSON, 0),
	FIELD(struct row, list, FIELD_STRS, 0),
	FIELD(struct row, no_list, FIELD_STRS, 0),
	FIELD(struct row, secret, FIELD_STR, FIELD_WRITE_ONLY),
	{ 0 },
};

static void assert_as_jansson(const struct row *row)
{
	auto_(buf_fini) struct buf text = BUF_MAX(65536);
	struct jot out = { .buf = &text };
	json_t *json = field_to_json(fields, row);
	char *expected = json_dumps(json, JSON_COMPACT);

	jot_open(&out, NULL, '{');
	jot_fields(&out, fields, row);
	jot_close(&out, '}');
	assert_false(text.failed);
	assert_string_equal(text.data, expected);
	free(expected);
	json_decref(json);
}

static void a_row_is_what_jansson_makes_of_it(void **state)
{
	static const char *const texts[] = {
		"",
		"plain",
		"\"q\\\" \\ / \b\f\n\r\t\x01\x1f\x7f",
		"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		"ends in \xc3\xa9",
	};
	static const double reals[] = {
		0, 4.3, -0.01, 4, 100, 1e20, 1e-7, 0.1 + 0.2, NAN, INFINITY
	};
	static const int64_t ints[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 1700000000000000 };
	const char *list[] = { "x", "y \"z\"", NULL }, *empty[] = { NULL };

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		struct row row = {
			.id = id_new(),
			.text = texts[i % ARRAY_LEN(texts)],
			.number = (int)i - 5,
			.zero = (int)(i % 2),
			.big = ints[i % ARRAY_LEN(ints)],
			.time = 1700000000123456 + (int64_t)i,
			.yes = i % 2,
			.real = reals[i],
			.word = (int)(i % 4) - 1,
			.json = json_pack("{s:[i, f, s, n]}", "k", 1, 2.5, "v"),
			.list = i % 2 ? list : empty,
			.secret = "hidden",
		};

		assert_as_jansson(&row);
		json_decref(row.json);
	}
}

static void what_is_not_utf8_does_not_get_out(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(1024);
	struct jot out = { .buf = &text };

	(void)state;
	jot_open(&out, NULL, '[');
	jot_text(&out, NULL,
		 "a\xff"
		 "b\xc3");
	jot_text(&out, NULL, NULL);
	jot_word(&out, NULL, "");
	jot_open(&out, NULL, '{');
	jot_close(&out, '}');
	jot_open(&out, NULL, '[');
	jot_close(&out, ']');
	jot_bool(&out, NULL, true);
	jot_close(&out, ']');
	assert_string_equal(text.data, "[\"a?b?\",null,null,{},[],true]");
}

static void what_does_not_fit_is_known(void **state)
{
	auto_(buf_fini) struct buf text = BUF_MAX(16);
	struct jot out = { .buf = &text };

	(void)state;
	jot_open(&out, NULL, '[');
	for (unsigned i = 0; i < 10; i++)
		jot_int(&out, NULL, 1000000);
	jot_close(&out, ']');
	assert_true(text.failed);
}

static void assert_time(int64_t us)
{
	time_t s = (time_t)(us / 1000000 - (us % 1000000 < 0));
	char expected[64], part[16];
	struct tm tm;

	assert_non_null(gmtime_r(&s, &tm));
	strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.", &tm);
	snprintf(part, sizeof(part), "%06dZ", (int)(us - (int64_t)s * 1000000));
	strcat(expected, part);
	assert_string_equal(time_str(us), expected);
}

static void a_time_is_what_the_system_makes_of_it(void **state)
{
	(void)state;
	for (int64_t day = -135140; day < 2932896; day += 3) /* 1600 to 9999 */
		assert_time(day * 86400000000 + (day * 7919 + 13) % 86400000000);
	assert_time(-1);
	assert_time(951782399999999);			       /* 2000-02-28 */
	assert_time(951868800000000);			       /* 2000-03-01 */
	assert_time(4107542399999999);			       /* 2100-02-28 */
	assert_string_equal(time_str(253402300800000000), ""); /* the year 10000 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_what_jansson_makes_of_it),
		cmocka_unit_test(what_is_not_utf8_does_not_get_out),
		cmocka_unit_test(what_does_not_fit_is_known),
		cmocka_unit_test(a_time_is_what_the_system_makes_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
