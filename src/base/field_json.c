/* base/field_json.c - structs to JSON and back, by field tables
 *
 * Messages are Django REST Framework's where it has one, since that is what clients of the API know.
 */
#include "base/field.h"

#include "base/base.h"

#include <math.h>
#include <stdio.h>

#define STR_MAX_DEFAULT 255
#define STRS_MAX_DEFAULT 64
#define MESSAGE_SIZE 320

void field_complain(json_t **errors, const char *name, const char *message)
{
	json_t *list;

	if (!*errors)
		*errors = json_object();
	list = json_object_get(*errors, name);
	if (!list) {
		list = json_array();
		json_object_set_new(*errors, name, list);
	}
	json_array_append_new(list, json_string(message));
}

static json_t *id_to_json(const struct id *id)
{
	return id_is_none(*id) ? json_null() : json_string(id_str(*id));
}

static json_t *str_to_json(const char *str)
{
	json_t *json = str ? json_string(str) : json_null();

	/* A row written by other hands may hold what is not UTF-8; the member is then null, the reply still whole. */
	return json ? json : json_null();
}

static json_t *strs_to_json(const char *const *strs)
{
	json_t *list;

	if (!strs)
		return json_null();
	list = json_array();
	for (; *strs; strs++)
		json_array_append_new(list, str_to_json(*strs));
	return list;
}

static json_t *enum_to_json(const struct field *field, int value)
{
	for (int i = 0; value >= 0 && field->names[i]; i++)
		if (i == value)
			return json_string(field->names[i]);
	return json_null();
}

static json_t *real_to_json(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *number_to_json(const struct field *field, int64_t value)
{
	return value || !(field->flags & FIELD_ZERO_NULL) ? json_integer(value) : json_null();
}

static json_t *member_to_json(const struct field *field, const void *member)
{
	int64_t time_us;
	json_t *json;

	switch (field->type) {
	case FIELD_ID:
		return id_to_json(member);
	case FIELD_STR:
		return str_to_json(*(const char *const *)member);
	case FIELD_INT:
		return number_to_json(field, *(const int *)member);
	case FIELD_I64:
		return number_to_json(field, *(const int64_t *)member);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)member);
	case FIELD_TIME:
		time_us = *(const int64_t *)member;
		return time_us ? json_string(time_str(time_us)) : json_null();
	case FIELD_REAL:
		return real_to_json(*(const double *)member);
	case FIELD_ENUM:
		return enum_to_json(field, *(const int *)member);
	case FIELD_JSON:
		json = *(json_t *const *)member;
		return json ? json_incref(json) : json_null();
	case FIELD_STRS:
		return strs_to_json(*(const char *const *const *)member);
	}
	bug_on(true);
}

json_t *field_to_json(const struct field *fields, const void *strct)
{
	json_t *object = json_object();

	for (const struct field *f = fields; f->name; f++)
		if (!(f->flags & (FIELD_WRITE_ONLY | FIELD_NO_JSON)))
			json_object_set_new(object, f->name,
					    member_to_json(f, (const char *)strct + f->offset));
	return object;
}

/* One member on its way in. `message` holds a complaint that has numbers or names in it. */
struct intake {
	const struct field *field;
	const json_t *value;
	struct arena *arena;
	void *member;
	char message[MESSAGE_SIZE];
};

static bool str_is_allowed(const struct field *field, const char *str, size_t len)
{
	if (!(field->flags & FIELD_MULTILINE))
		return str_is_clean_utf8(str, len);
	while (len) {
		size_t piece = strcspn(str, "\t\r\n");

		if (!str_is_clean_utf8(str, piece))
			return false;
		str += piece;
		len -= piece;
		if (len) {
			str++;
			len--;
		}
	}
	return true;
}

static const char *check_str(struct intake *in, const char *str, size_t len)
{
	const struct field *field = in->field;
	bool strs = field->type == FIELD_STRS; /* its range counts members */
	int64_t min = strs ? 1 : field->min;
	int64_t max = strs || !(field->min || field->max) ? STR_MAX_DEFAULT : field->max;

	if (strlen(str) != len)
		return "Null characters are not allowed.";
	if (!len && min > 0)
		return "This field may not be blank.";
	if ((int64_t)len > max) {
		snprintf(in->message, sizeof(in->message),
			 "Ensure this field has no more than %lld characters.", (long long)max);
		return in->message;
	}
	if ((int64_t)len < min) {
		snprintf(in->message, sizeof(in->message),
			 "Ensure this field has at least %lld characters.", (long long)min);
		return in->message;
	}
	if (!str_is_allowed(field, str, len))
		return "Control characters are not allowed.";
	return NULL;
}

static const char *take_str(struct intake *in)
{
	const char *str = json_string_value(in->value);
	const char *bad;

	if (!str)
		return "Not a valid string.";
	bad = check_str(in, str, json_string_length(in->value));
	if (bad)
		return bad;
	*(const char **)in->member = arena_strdup(in->arena, str);
	return NULL;
}

static const char *take_id(struct intake *in)
{
	struct id id;

	if (!id_parse(json_string_value(in->value), &id))
		return "Must be a valid UUID.";
	*(struct id *)in->member = id;
	return NULL;
}

/* A number with no fraction counts as an integer (JSON has but one kind), if it is exact as a double. */
static bool json_to_i64(const json_t *value, int64_t *ret)
{
	double real = json_real_value(value);

	if (json_is_integer(value)) {
		*ret = json_integer_value(value);
		return true;
	}
	if (!json_is_real(value) || fabs(real) > 9007199254740992.0 || rint(real) < real ||
	    rint(real) > real)
		return false;
	*ret = (int64_t)real;
	return true;
}

static const char *check_range(struct intake *in, double value)
{
	const struct field *field = in->field;

	if (!field->min && !field->max)
		return NULL;
	if (value < (double)field->min)
		snprintf(in->message, sizeof(in->message),
			 "Ensure this value is greater than or equal to %lld.",
			 (long long)field->min);
	else if (value > (double)field->max)
		snprintf(in->message, sizeof(in->message),
			 "Ensure this value is less than or equal to %lld.", (long long)field->max);
	else
		return NULL;
	return in->message;
}

static const char *take_integer(struct intake *in)
{
	bool is_int = in->field->type == FIELD_INT;
	const char *bad;
	int64_t value;

	if (!json_to_i64(in->value, &value))
		return "A valid integer is required.";
	bad = check_range(in, (double)value);
	if (bad)
		return bad;
	if (is_int && (value < INT32_MIN || value > INT32_MAX))
		return "Integer value too large.";
	if (is_int)
		*(int *)in->member = (int)value;
	else
		*(int64_t *)in->member = value;
	return NULL;
}

static const char *take_real(struct intake *in)
{
	const char *bad;

	if (!json_is_number(in->value))
		return "A valid number is required.";
	bad = check_range(in, json_number_value(in->value));
	if (!bad)
		*(double *)in->member = json_number_value(in->value);
	return bad;
}

static const char *take_bool(struct intake *in)
{
	if (!json_is_boolean(in->value))
		return "Must be a valid boolean.";
	*(bool *)in->member = json_is_true(in->value);
	return NULL;
}

static const char *take_time(struct intake *in)
{
	int64_t wall_us;

	if (!time_parse(json_string_value(in->value), &wall_us))
		return "Datetime has wrong format. Use one of these formats instead: "
		       "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
	*(int64_t *)in->member = wall_us;
	return NULL;
}

static int name_index(const char *const *names, const char *str)
{
	for (int i = 0; str && names[i]; i++)
		if (strcmp(names[i], str) == 0)
			return i;
	return -1;
}

void field_choices(char *ret, size_t size, const char *sent, const char *const *names)
{
	size_t len;

	/* Quotes what was sent only when it is short and clean. */
	if (!sent || strlen(sent) > 40 || !str_is_clean_utf8(sent, strlen(sent)))
		(void)str_copy(ret, size, "Not a valid choice: ");
	else
		snprintf(ret, size, "\"%s\" is not a valid choice: ", sent);
	for (int i = 0; names[i]; i++) {
		len = strlen(ret);
		snprintf(ret + len, size - len, "%s%s", names[i],
			 !names[i + 1]	? "."
			 : names[i + 2] ? ", "
					: " or ");
	}
}

static const char *bad_choice(struct intake *in, const char *str)
{
	field_choices(in->message, sizeof(in->message), str, in->field->names);
	return in->message;
}

static const char *take_enum(struct intake *in)
{
	const char *str = json_string_value(in->value);
	int index = name_index(in->field->names, str);

	if (index < 0)
		return bad_choice(in, str);
	*(int *)in->member = index;
	return NULL;
}

static void json_release(void *json)
{
	json_decref(json);
}

static const char *take_json(struct intake *in)
{
	json_t *value = json_incref((json_t *)in->value);

	arena_defer(in->arena, json_release, value);
	*(json_t **)in->member = value;
	return NULL;
}

static const char *take_strs(struct intake *in)
{
	const struct field *field = in->field;
	size_t count = json_array_size(in->value);
	size_t max = field->min || field->max ? (size_t)field->max : STRS_MAX_DEFAULT;
	const char **strs;

	if (!json_is_array(in->value))
		return "Expected a list of strings.";
	if (count < (size_t)field->min || count > max) {
		snprintf(in->message, sizeof(in->message),
			 "Ensure this list has between %lld and %zu members.",
			 (long long)field->min, max);
		return in->message;
	}
	strs = arena_alloc(in->arena, (count + 1) * sizeof(*strs));
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(in->value, i);
		const char *str = json_string_value(item);
		const char *bad;

		if (!str)
			return "Not a valid string.";
		bad = check_str(in, str, json_string_length(item));
		if (bad)
			return bad;
		if (field->names && name_index(field->names, str) < 0)
			return bad_choice(in, str);
		strs[i] = arena_strdup(in->arena, str);
	}
	*(const char ***)in->member = strs;
	return NULL;
}

static const char *take_null(struct intake *in)
{
	static const size_t sizes[] = {
		[FIELD_ID] = sizeof(struct id),	 [FIELD_STR] = sizeof(char *),
		[FIELD_INT] = sizeof(int),	 [FIELD_I64] = sizeof(int64_t),
		[FIELD_BOOL] = sizeof(bool),	 [FIELD_TIME] = sizeof(int64_t),
		[FIELD_REAL] = sizeof(double),	 [FIELD_ENUM] = sizeof(int),
		[FIELD_JSON] = sizeof(json_t *), [FIELD_STRS] = sizeof(char **),
	};

	if (!(in->field->flags & FIELD_NULLABLE))
		return "This field may not be null.";
	memset(in->member, 0, sizes[in->field->type]);
	if (in->field->type == FIELD_ENUM)
		*(int *)in->member = -1; /* 0 is a name */
	return NULL;
}

static const char *take_value(struct intake *in)
{
	switch (in->field->type) {
	case FIELD_ID:
		return take_id(in);
	case FIELD_STR:
		return take_str(in);
	case FIELD_INT:
	case FIELD_I64:
		return take_integer(in);
	case FIELD_BOOL:
		return take_bool(in);
	case FIELD_TIME:
		return take_time(in);
	case FIELD_REAL:
		return take_real(in);
	case FIELD_ENUM:
		return take_enum(in);
	case FIELD_JSON:
		return take_json(in);
	case FIELD_STRS:
		return take_strs(in);
	}
	bug_on(true);
}

static const char *run_check(const struct intake *in)
{
	const struct field *field = in->field;
	bool is_pointer =
		field->type == FIELD_STR || field->type == FIELD_JSON || field->type == FIELD_STRS;

	if (!field->check)
		return NULL;
	return field->check(is_pointer ? *(void **)in->member : in->member);
}

static const char *take_member(struct intake *in)
{
	const char *bad;

	if (json_is_null(in->value))
		return take_null(in);
	bad = take_value(in);
	return bad ? bad : run_check(in);
}

json_t *field_from_json(const struct field *fields, const json_t *body, bool partial,
			struct arena *arena, void *strct)
{
	json_t *errors = NULL;

	if (!json_is_object(body)) {
		field_complain(&errors, "non_field_errors", "Invalid data. Expected an object.");
		return errors;
	}
	for (const struct field *f = fields; f->name; f++) {
		struct intake in = {
			.field = f,
			.value = json_object_get(body, f->name),
			.arena = arena,
			.member = (char *)strct + f->offset,
		};
		const char *bad = NULL;

		if (f->flags & (FIELD_READ_ONLY | FIELD_NO_JSON))
			continue;
		if (in.value)
			bad = take_member(&in);
		else if (!partial && (f->flags & FIELD_REQUIRED))
			bad = "This field is required.";
		if (bad)
			field_complain(&errors, f->name, bad);
	}
	return errors;
}
