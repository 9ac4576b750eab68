/* Recordings' rows: what is seen of them, how long they are kept, and what a deletion leaves. */
#include "fixture.h"
#include "store/store.h"

#define DAY_US (86400ll * 1000000)

struct base {
	struct db *db;
	struct arena *arena;
	struct id tenant, call;
	int number;
};

static struct base *base_free(struct base *base)
{
	db_close(base->db);
	arena_free(base->arena);
	free(base);
	return NULL;
}
DEFINE_CLEANUP(struct base *, base_free)

static struct base *base_new(void **state)
{
	struct base *base = xzalloc(sizeof(*base));
	struct call_row call = { 0 };
	bool applied = false;

	base->db = fixture_open(*state);
	base->arena = arena_new();
	base->tenant = id_new();
	base->call = id_new();
	assert_int_equal(store_migrate(base->db), 0);
	call.id = base->call;
	call.tenant_id = base->tenant;
	call.direction = "outgoing";
	call.state = "ended";
	call.recording = "none";
	call.created_at = call.last_at = 1;
	call.call_seq = 1;
	assert_int_equal(call_row_put(base->db, &call, base->arena, &applied), 0);
	assert_true(applied);
	return base;
}

/* One of the base's call, that began at that time; the call's row names it. */
static struct id put(struct base *base, int64_t started_at, const char *state)
{
	struct recording_row row = {
		.id = id_new(),
		.tenant_id = base->tenant,
		.call_id = base->call,
		.state = state,
		.layout = "stereo",
		.rate = 8000,
		.started_at = started_at,
		.duration_ms = 1000,
		.size = 32044,
		.secret = "sealed",
		.seq = 1,
	};

	row.storage = arena_printf(base->arena, "%032x", ++base->number);
	assert_int_equal(recording_put(base->db, &row, base->arena), 0);
	assert_int_equal(
		db_exec(base->db,
			"UPDATE call SET recording_id = $3 WHERE tenant_id = $1 AND id = $2",
			DB_ARGS(V(base->tenant), V(base->call), V(row.id)), NULL),
		0);
	return row.id;
}

static struct id named_by_call(struct base *base)
{
	struct call_row call;

	assert_int_equal(call_row_get(base->db, base->arena, base->tenant, base->call, &call), 0);
	return call.recording_id;
}

static void a_deletion_destroys_the_key_and_leaves_the_call_the_newest(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct id first = put(base, 10, "ready"), second = put(base, 20, "failed");
	struct id third = put(base, 30, "ready"), running = put(base, 5, "recording"), left;
	struct recording_row row;

	assert_int_equal(recording_delete(base->db, base->tenant, running, &left), DB_E_NONE);
	assert_int_equal(recording_delete(base->db, id_new(), third, &left), DB_E_NONE);
	assert_true(id_eq(named_by_call(base), running));
	assert_int_equal(recording_delete(base->db, base->tenant, third, &left), 0);
	assert_true(id_eq(left, second));
	assert_true(id_eq(named_by_call(base), running)); /* it named another one anyway */
	assert_int_equal(recording_get(base->db, base->arena, base->tenant, third, &row),
			 DB_E_NONE);
	assert_int_equal(recording_of_file(base->db, base->arena, base->tenant,
					   "00000000000000000000000000000003", &row),
			 0);
	assert_string_equal(row.state, "deleted");
	assert_null(row.secret);

	assert_int_equal(db_exec(base->db, "UPDATE call SET recording_id = $1", DB_ARGS(V(second)),
				 NULL),
			 0);
	assert_int_equal(recording_delete(base->db, base->tenant, second, &left), 0);
	assert_true(id_eq(named_by_call(base), left) && id_eq(left, first));
	assert_int_equal(recording_delete(base->db, base->tenant, first, &left), 0);
	assert_true(id_eq(left, running));
	assert_int_equal(recording_delete(base->db, base->tenant, first, &left), DB_E_NONE);
}

static void what_is_held_neither_expires_nor_is_deleted(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct id old = put(base, 1 * DAY_US, "ready"), held = put(base, 2 * DAY_US, "ready");
	struct id young = put(base, 9 * DAY_US, "ready"), running = put(base, DAY_US, "paused");
	struct recording_row *rows;
	struct id left;
	size_t count;

	assert_int_equal(recording_hold(base->db, base->tenant, running, true), DB_E_NONE);
	assert_int_equal(recording_hold(base->db, id_new(), held, true), DB_E_NONE);
	assert_int_equal(recording_hold(base->db, base->tenant, held, true), 0);
	assert_int_equal(recording_delete(base->db, base->tenant, held, &left), DB_E_NONE);
	assert_int_equal(recording_expired(base->db, base->arena, base->tenant, 5 * DAY_US, 10,
					   &rows, &count),
			 0);
	assert_int_equal(count, 1);
	assert_true(id_eq(rows[0].id, old));
	assert_int_equal(recording_hold(base->db, base->tenant, held, false), 0);
	assert_int_equal(recording_expired(base->db, base->arena, base->tenant, 99 * DAY_US, 2,
					   &rows, &count),
			 0);
	assert_int_equal(count, 2); /* the oldest first, no more than asked for */
	assert_true(id_eq(rows[0].id, old) && id_eq(rows[1].id, held));
	assert_int_equal(recording_expired(base->db, base->arena, id_new(), 99 * DAY_US, 10, &rows,
					   &count),
			 0);
	assert_int_equal(count, 0);
	assert_int_equal(recording_delete(base->db, base->tenant, young, &left), 0);
}

static void a_tenant_says_how_long_its_own_are_kept(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	int days = 7;

	assert_int_equal(recording_keep_get(base->db, base->tenant, &days), 0);
	assert_int_equal(days, RECORDING_KEEP_DEFAULT);
	assert_int_equal(recording_keep_put(base->db, base->tenant, 90), 0);
	assert_int_equal(recording_keep_put(base->db, base->tenant, 30), 0);
	assert_int_equal(recording_keep_get(base->db, base->tenant, &days), 0);
	assert_int_equal(days, 30);
	assert_int_equal(recording_keep_get(base->db, id_new(), &days), 0);
	assert_int_equal(days, RECORDING_KEEP_DEFAULT);
	assert_int_equal(recording_keep_put(base->db, base->tenant, RECORDING_KEEP_DEFAULT), 0);
	assert_int_equal(recording_keep_put(base->db, base->tenant, RECORDING_KEEP_DEFAULT), 0);
	assert_int_equal(recording_keep_get(base->db, base->tenant, &days), 0);
	assert_int_equal(days, RECORDING_KEEP_DEFAULT);
}

/* Agents see their own calls, on whichever side of them they are. */
static void both_sides_of_an_internal_call_see_it(void **state)
{
	auto_(base_free) struct base *base = base_new(state);
	struct id caller = id_new(), called = id_new();
	struct recording_row row = {
		.id = id_new(),
		.tenant_id = base->tenant,
		.call_id = base->call,
		.user_id = caller,
		.other_user_id = called,
		.state = "ready",
		.layout = "mono",
		.rate = 16000,
		.started_at = 1,
		.storage = "x",
		.seq = 1,
	};
	struct recording_filter filter = { 0 };
	struct recording_row *rows;
	struct db_page_info info;

	assert_int_equal(recording_put(base->db, &row, base->arena), 0);
	for (unsigned i = 0; i < 3; i++) {
		filter.visible_to = i == 0 ? caller : i == 1 ? called : id_new();
		assert_int_equal(recording_list(base->db, base->arena, base->tenant, &filter, &rows,
						&info),
				 0);
		assert_int_equal(info.count, i < 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_deletion_destroys_the_key_and_leaves_the_call_the_newest),
		BOTH_ENGINES(what_is_held_neither_expires_nor_is_deleted),
		BOTH_ENGINES(a_tenant_says_how_long_its_own_are_kept),
		BOTH_ENGINES(both_sides_of_an_internal_call_see_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
