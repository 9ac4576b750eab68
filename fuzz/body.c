/* fuzz/body.c - request bodies: JSON through a field table of every type, and back */
#include "base/base.h"
#include "base/field.h"
#include "fuzz/target.h"

static const char *const colours[] = { "red", "green", NULL };

struct thing {
	struct id id;
	const char *name, *note;
	int port;
	int64_t size, made_at;
	bool on;
	double ratio;
	int colour;
	json_t *extra;
	const char **tags;
};

static const struct field fields[] = {
	FIELD(struct thing, id, FIELD_ID, FIELD_NULLABLE),
	FIELD(struct thing, name, FIELD_STR, FIELD_REQUIRED, .min = 1, .max = 10),
	FIELD(struct thing, note, FIELD_STR, FIELD_NULLABLE | FIELD_MULTILINE),
	FIELD(struct thing, port, FIELD_INT, 0, .min = 1, .max = 65535),
	FIELD(struct thing, size, FIELD_I64, 0),
	FIELD(struct thing, made_at, FIELD_TIME, FIELD_NULLABLE),
	FIELD(struct thing, on, FIELD_BOOL, 0),
	FIELD(struct thing, ratio, FIELD_REAL, 0),
	FIELD(struct thing, colour, FIELD_ENUM, FIELD_NULLABLE, .names = colours),
	FIELD(struct thing, extra, FIELD_JSON, FIELD_NULLABLE),
	FIELD(struct thing, tags, FIELD_STRS, FIELD_NULLABLE),
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct thing thing = { 0 }, again = { 0 };
	json_t *body = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *errors, *back;

	if (!body)
		return 0;
	errors = field_from_json(fields, body, false, arena, &thing);
	json_decref(body);
	if (errors) {
		json_decref(errors);
		return 0;
	}
	/* What was taken is given back in a form that is taken again. */
	back = field_to_json(fields, &thing);
	errors = field_from_json(fields, back, true, arena, &again);
	if (errors) {
		const char *name;
		json_t *list;

		/* 0 as a number within 1.. is how an absent one reads. */
		json_object_foreach(errors, name, list)
			if (strcmp(name, "port") != 0 || thing.port)
				abort();
	}
	json_decref(errors);
	json_decref(back);
	return 0;
}
