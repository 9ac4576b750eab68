#include "base/base.h"
#include "base/field.h"
#include "unit.h"

#include <math.h>

static const char *const colours[] = { "red", "green", NULL };

struct thing {
	struct id id, owner;
	const char *name, *note, *secret, *hidden;
	int port;
	int64_t size, made_at;
	bool on;
	double ratio;
	int colour;
	json_t *extra;
	const char **tags, **marks;
};

static const char *check_name(const void *value)
{
	return strcmp(value, "root") == 0 ? "Choose another name." : NULL;
}

static const char *check_port(const void *value)
{
	return *(const int *)value == 666 ? "Not that port." : NULL;
}

static const struct field fields[] = {
	FIELD(struct thing, id, FIELD_ID, FIELD_READ_ONLY),
	FIELD(struct thing, owner, FIELD_ID, FIELD_NULLABLE),
	FIELD(struct thing, name, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 10,
	      .check = check_name),
	FIELD(struct thing, note, FIELD_STR, FIELD_NULLABLE | FIELD_MULTILINE),
	FIELD(struct thing, secret, FIELD_STR, FIELD_WRITE_ONLY),
	FIELD(struct thing, hidden, FIELD_STR, FIELD_NO_JSON),
	FIELD(struct thing, port, FIELD_INT, 0, .min = 1, .max = 65535, .check = check_port),
	FIELD(struct thing, size, FIELD_I64, 0),
	FIELD(struct thing, made_at, FIELD_TIME, FIELD_NULLABLE),
	FIELD(struct thing, on, FIELD_BOOL, 0),
	FIELD(struct thing, ratio, FIELD_REAL, 0, .min = 0, .max = 2),
	FIELD(struct thing, colour, FIELD_ENUM, FIELD_NULLABLE, .names = colours),
	FIELD(struct thing, extra, FIELD_JSON, FIELD_NULLABLE),
	FIELD(struct thing, tags, FIELD_STRS, FIELD_NULLABLE, .names = colours),
	FIELD(struct thing, marks, FIELD_STRS, 0, .min = 1, .max = 2),
	{ 0 },
};

struct fixture {
	struct arena *arena;
	struct thing thing;
};

static int set_up(void **state)
{
	struct fixture *f = xzalloc(sizeof(*f));

	f->arena = arena_new();
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	arena_free(f->arena);
	free(f);
	return 0;
}

static json_t *read_body(struct fixture *f, const char *text, bool partial)
{
	json_t *body = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *errors;

	assert_non_null(body);
	errors = field_from_json(fields, body, partial, f->arena, &f->thing);
	json_decref(body);
	return errors;
}

/* The only complaint of a PATCH with that body, "member: message". */
static void assert_complaint(struct fixture *f, const char *text, const char *want)
{
	json_t *errors = read_body(f, text, true);
	json_t *list;
	auto_(free) char *got = NULL;
	const char *name;

	assert_non_null(errors);
	assert_int_equal(json_object_size(errors), 1);
	json_object_foreach(errors, name, list)
		got = xasprintf("%s: %s", name, json_string_value(json_array_get(list, 0)));
	assert_string_equal(got, want);
	json_decref(errors);
}

static const char all[] =
	"{\"id\":\"0190163d-8694-739b-aea5-966c26f8ad90\",\"owner\":\"0190163D-8694-739B-AEA5-966C26F8AD91\",\"name\":\"Zoë\","
	"\"note\":\"a\\nb\\tc\",\"secret\":\"s\",\"hidden\":\"h\",\"port\":5060,\"size\":9007199254740993,"
	"\"made_at\":\"2026-01-31T13:00:00+01:00\",\"on\":true,\"ratio\":1.5,\"colour\":\"green\",\"extra\":{\"a\":[1]},"
	"\"tags\":[\"red\"],\"marks\":[\"x\",\"y\"],\"unknown\":1}";

static void every_type_is_read(void **state)
{
	struct fixture *f = *state;
	struct thing *t = &f->thing;

	assert_null(read_body(f, all, false));
	assert_true(id_is_none(t->id)); /* read-only */
	assert_null(t->hidden);
	assert_string_equal(id_str(t->owner), "0190163d-8694-739b-aea5-966c26f8ad91");
	assert_string_equal(t->name, "Zoë");
	assert_string_equal(t->note, "a\nb\tc");
	assert_string_equal(t->secret, "s");
	assert_int_equal(t->port, 5060);
	assert_true(t->size == 9007199254740993);
	assert_true(t->made_at == 1769860800000000);
	assert_true(t->on);
	assert_true(fabs(t->ratio - 1.5) < 1e-9);
	assert_int_equal(t->colour, 1);
	assert_int_equal(json_array_size(json_object_get(t->extra, "a")), 1);
	assert_string_equal(t->tags[0], "red");
	assert_null(t->tags[1]);
	assert_string_equal(t->marks[1], "y");
}

static void every_type_is_written_with_explicit_nulls(void **state)
{
	struct fixture *f = *state;
	json_t *json;
	char *text;

	assert_null(read_body(f, all, false));
	f->thing.hidden = "h";
	json = field_to_json(fields, &f->thing);
	text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(
		text,
		"{\"id\":null,\"owner\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"name\":\"Zoë\","
		"\"note\":\"a\\nb\\tc\",\"port\":5060,\"size\":9007199254740993,"
		"\"made_at\":\"2026-01-31T12:00:00.000000Z\",\"on\":true,\"ratio\":1.5,"
		"\"colour\":\"green\",\"extra\":{\"a\":[1]},\"tags\":[\"red\"],\"marks\":[\"x\",\"y\"]}");
	free(text);
	json_decref(json);

	f->thing = (struct thing){ .colour = -1, .ratio = NAN, .name = "\xff" };
	json = field_to_json(fields, &f->thing);
	text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(
		text,
		"{\"id\":null,\"owner\":null,\"name\":null,\"note\":null,\"port\":0,\"size\":0,"
		"\"made_at\":null,\"on\":false,\"ratio\":null,\"colour\":null,\"extra\":null,"
		"\"tags\":null,\"marks\":null}");
	free(text);
	json_decref(json);
}

static void nulls_are_taken_where_allowed(void **state)
{
	struct fixture *f = *state;

	assert_null(read_body(f, all, false));
	assert_null(read_body(
		f,
		"{\"owner\":null,\"note\":null,\"made_at\":null,\"colour\":null,\"extra\":null,\"tags\":null}",
		true));
	assert_true(id_is_none(f->thing.owner));
	assert_null(f->thing.note);
	assert_true(f->thing.made_at == 0);
	assert_int_equal(f->thing.colour, -1);
	assert_null(f->thing.extra);
	assert_null(f->thing.tags);
	assert_string_equal(f->thing.name, "Zoë"); /* absent: as it was */
	assert_complaint(f, "{\"name\":null}", "name: This field may not be null.");
}

static void absent_members_keep_their_defaults(void **state)
{
	struct fixture *f = *state;

	f->thing.port = 5060;
	assert_null(read_body(f, "{\"name\":\"n\"}", false));
	assert_int_equal(f->thing.port, 5060);
	assert_null(read_body(f, "{}", true));
}

static void each_wrong_value_has_its_message(void **state)
{
	static const char *const cases[][2] = {
		{ "[]", "non_field_errors: Invalid data. Expected an object." },
		{ "\"x\"", "non_field_errors: Invalid data. Expected an object." },
		{ "{\"name\":5}", "name: Not a valid string." },
		{ "{\"name\":\"\"}", "name: This field may not be blank." },
		{ "{\"name\":\"01234567890\"}",
		  "name: Ensure this field has no more than 10 characters." },
		{ "{\"name\":\"a\\r\\nb\"}", "name: Control characters are not allowed." },
		{ "{\"name\":\"a\\u0000b\"}", "name: Null characters are not allowed." },
		{ "{\"name\":\"root\"}", "name: Choose another name." },
		{ "{\"note\":\"a\\u001bb\"}", "note: Control characters are not allowed." },
		{ "{\"owner\":\"1\"}", "owner: Must be a valid UUID." },
		{ "{\"owner\":{}}", "owner: Must be a valid UUID." },
		{ "{\"port\":\"5060\"}", "port: A valid integer is required." },
		{ "{\"port\":1.5}", "port: A valid integer is required." },
		{ "{\"port\":0}", "port: Ensure this value is greater than or equal to 1." },
		{ "{\"port\":70000}", "port: Ensure this value is less than or equal to 65535." },
		{ "{\"port\":666}", "port: Not that port." },
		{ "{\"size\":1e300}", "size: A valid integer is required." },
		{ "{\"size\":true}", "size: A valid integer is required." },
		{ "{\"on\":1}", "on: Must be a valid boolean." },
		{ "{\"on\":\"true\"}", "on: Must be a valid boolean." },
		{ "{\"ratio\":\"1\"}", "ratio: A valid number is required." },
		{ "{\"ratio\":2.1}", "ratio: Ensure this value is less than or equal to 2." },
		{ "{\"colour\":\"blue\"}",
		  "colour: \"blue\" is not a valid choice: red or green." },
		{ "{\"colour\":1}", "colour: Not a valid choice: red or green." },
		{ "{\"colour\":\"a\\nb\"}", "colour: Not a valid choice: red or green." },
		{ "{\"tags\":\"red\"}", "tags: Expected a list of strings." },
		{ "{\"tags\":[1]}", "tags: Not a valid string." },
		{ "{\"tags\":[\"red\",\"blue\"]}",
		  "tags: \"blue\" is not a valid choice: red or green." },
		{ "{\"marks\":[]}", "marks: Ensure this list has between 1 and 2 members." },
		{ "{\"marks\":[\"a\",\"b\",\"c\"]}",
		  "marks: Ensure this list has between 1 and 2 members." },
		{ "{\"marks\":[\"\"]}", "marks: This field may not be blank." },
		{ "{\"made_at\":\"yesterday\"}",
		  "made_at: Datetime has wrong format. Use one of these formats instead: "
		  "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]." },
		{ "{\"made_at\":5}",
		  "made_at: Datetime has wrong format. Use one of these formats instead: "
		  "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]." },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		assert_complaint(*state, cases[i][0], cases[i][1]);
}

static void all_bad_members_are_named_at_once(void **state)
{
	json_t *errors = read_body(*state, "{\"port\":0,\"on\":5,\"colour\":\"x\"}", false);

	assert_int_equal(json_object_size(errors), 4);
	assert_string_equal(json_string_value(json_array_get(json_object_get(errors, "name"), 0)),
			    "This field is required.");
	field_complain(&errors, "port", "And again.");
	assert_int_equal(json_array_size(json_object_get(errors, "port")), 2);
	json_decref(errors);
}

static void whole_reals_count_as_integers(void **state)
{
	struct fixture *f = *state;

	assert_null(read_body(f, "{\"port\":5061.0}", true));
	assert_int_equal(f->thing.port, 5061);
}

static void a_kept_json_member_outlives_its_body(void **state)
{
	struct fixture *f = *state;

	assert_null(read_body(f, "{\"extra\":{\"k\":\"v\"}}", true));
	assert_string_equal(json_string_value(json_object_get(f->thing.extra, "k")), "v");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_type_is_read),
		TEST(every_type_is_written_with_explicit_nulls),
		TEST(nulls_are_taken_where_allowed),
		TEST(absent_members_keep_their_defaults),
		TEST(each_wrong_value_has_its_message),
		TEST(all_bad_members_are_named_at_once),
		TEST(whole_reals_count_as_integers),
		TEST(a_kept_json_member_outlives_its_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
