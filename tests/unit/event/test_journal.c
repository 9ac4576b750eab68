#include "base/base.h"
#include "event/alive.h"
#include "event/entry.h"
#include "event/journal.h"
#include "event/spool.h"
#include "event/view_row.h"
#include "fixture.h"
#include "make.h"
#include "store/seal.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A daemon's worth of journal: its own data directory beside the test's database. */
struct world {
	const struct fixture *fixture;
	char dir[128];
	struct db *db; /* the test's own eyes */
	struct arena *arena;
	struct event_bus *bus;
	struct journal *journal;
	struct id tenant;
	uint64_t spool_max;
};

static void world_start(struct world *world)
{
	struct journal_opts opts = { .db_url = world->fixture->url,
				     .data_dir = world->dir,
				     .spool_max = world->spool_max,
				     .db = { .statement_ms = 5000 } };

	world->bus = event_bus_new(NULL);
	assert_int_equal(journal_open(&opts, world->bus, &world->journal), 0);
}

static void world_stop(struct world *world)
{
	world->journal = journal_free(world->journal);
	world->bus = event_bus_free(world->bus);
}

static void world_prepare(struct world *world, void **state)
{
	static unsigned number;

	memset(world, 0, sizeof(*world));
	world->fixture = *state;
	snprintf(world->dir, sizeof(world->dir), "%s/data%u", fixture_dir(), ++number);
	assert_int_equal(mkdir(world->dir, 0700), 0);
	world->db = fixture_open(*state);
	world->arena = arena_new();
	world->tenant = id_new();
	assert_int_equal(store_migrate(world->db), 0);
}

static void world_init(struct world *world, void **state)
{
	world_prepare(world, state);
	world_start(world);
	journal_start(world->journal);
}

static void world_fini(struct world *world)
{
	db_fault_hook = NULL;
	world_stop(world);
	arena_free(world->arena);
	db_close(world->db);
}

static int64_t number(struct world *world, const char *sql)
{
	int64_t n = -1;

	assert_int_equal(db_num(world->db, sql, DB_NO_ARGS, &n), 0);
	return n;
}

static char *spool_path(const struct world *world)
{
	return xasprintf("%s/" JOURNAL_SPOOL_FILE, world->dir);
}

static bool spool_exists(const struct world *world)
{
	auto_(free) char *path = spool_path(world);

	return access(path, F_OK) == 0;
}

static void sync_all(struct world *world)
{
	assert_true(journal_sync(world->journal, 10000));
}

/* The whole of a call's life. */
static void one_call(struct world *world, struct id call)
{
	publish(world->bus, world->tenant, call, 1, EVENT_CALL_CREATED, CALL_DIALING);
	publish(world->bus, world->tenant, call, 2, EVENT_CALL_RINGING, CALL_RINGING);
	publish(world->bus, world->tenant, call, 3, EVENT_CALL_ANSWERED, CALL_ANSWERED);
	publish(world->bus, world->tenant, call, 4, EVENT_CALL_UPDATED, CALL_ANSWERED);
	publish(world->bus, world->tenant, call, 5, EVENT_CALL_ENDED, CALL_ENDED);
}

static void a_call_is_in_the_log_with_legs_and_timeline(void **state)
{
	struct call_event_row *timeline;
	struct call_view *view;
	struct id call = id_new();
	struct world world;
	size_t count;
	json_t *was, *is;

	world_init(&world, state);
	one_call(&world, call);
	sync_all(&world);
	assert_int_equal(call_view_get(world.db, world.arena, world.tenant, call, &view), 0);
	assert_int_equal(view->state, CALL_ENDED);
	assert_int_equal(view->end_reason, END_COMPLETED);
	assert_int_equal(view->leg_count, 2);
	assert_int_equal(view->seq, 5);
	/* What the log shows is what the live view showed. */
	view->legs[0].created_at = view->legs[1].created_at = 0;
	is = call_view_json(view);
	free(view);
	view = make_call(world.tenant, call, 5, CALL_ENDED);
	was = call_view_json(view);
	assert_true(json_equal(was, is));
	json_decref(was);
	json_decref(is);
	free(view);
	assert_int_equal(
		call_row_timeline(world.db, world.arena, world.tenant, call, &timeline, &count), 0);
	assert_int_equal(count, 4); /* updates are not in it */
	assert_string_equal(timeline[0].type, "call.created");
	assert_string_equal(timeline[3].type, "call.ended");
	assert_string_equal(timeline[2].state, "answered");
	assert_int_equal(call_view_get(world.db, world.arena, id_new(), call, &view), DB_E_NONE);
	world_fini(&world);
}

static void every_member_of_a_view_survives_the_database(void **state)
{
	struct call_view *view = NULL, *got;
	struct event *event;
	struct world world;
	json_t *was, *is;

	world_init(&world, state);
	event = make_event(world.tenant, id_new(), 7, EVENT_CALL_ENDED, CALL_ENDED);
	view = event->call;
	view->profile_id = id_new();
	view->user_id = id_new();
	view->direction = CALL_CONFERENCE;
	strcpy(view->from_name,
	       "Bj\xc3\xb6rn \"B\" O'Hara \xff<script>"); /* one byte is not UTF-8 */
	view->ringing_at = view->created_at + 1;
	view->ring_s = 3;
	view->hold_s = 4;
	view->hold_local = true;
	view->recording = RECORDING_PAUSED;
	view->recording_id = id_new();
	strcpy(view->room, "sales");
	view->sip_code = 200;
	view->q850 = 16;
	view->transferred_from = id_new();
	view->transferred_to = id_new();
	strcpy(view->variables, "{\"order\":[1,2]}");
	view->legs[0].profile_id = view->profile_id;
	view->legs[0].device_id = id_new();
	view->legs[0].user_id = id_new();
	view->legs[0].muted = true;
	view->legs[0].created_at = view->legs[1].created_at = 5;
	view->legs[0].quality = (struct quality_view){ true, 4.4f, 2.5f, 0.25f, 31.0f };
	strcpy(view->legs[0].codec, "opus");
	view->legs[1].end_reason = END_BUSY;
	view->legs[1].sip_code = 486;
	was = call_view_json(view);
	event_ref(event);
	event_publish(world.bus, event);
	sync_all(&world);
	assert_int_equal(call_view_get(world.db, world.arena, world.tenant, view->id, &got), 0);
	is = call_view_json(got);
	assert_true(json_equal(was, is));
	free(got);
	json_decref(was);
	json_decref(is);
	event_unref(event);
	world_fini(&world);
}

static void ten_thousand_events_are_in_order_and_once(void **state)
{
	struct world world;
	struct id *calls = xzalloc_array(1000, sizeof(*calls));

	world_init(&world, state);
	for (int i = 0; i < 1000; i++)
		calls[i] = id_new();
	for (uint32_t seq = 1; seq <= 10; seq++) {
		for (int i = 0; i < 1000; i++)
			publish(world.bus, world.tenant, calls[i], seq,
				seq == 10 ? EVENT_CALL_ENDED : EVENT_CALL_HELD,
				seq == 10 ? CALL_ENDED : CALL_HELD);
	}
	assert_true(journal_sync(world.journal, 60000));
	assert_int_equal(number(&world, "SELECT count(*) FROM call"), 1000);
	assert_int_equal(
		number(&world, "SELECT count(*) FROM call WHERE call_seq = 10 AND state = 'ended'"),
		1000);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 10000);
	assert_int_equal(number(&world, "SELECT count(DISTINCT seq) FROM call_event"), 10000);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_leg"), 2000);
	assert_int_equal(number(&world, "SELECT seq FROM tenant_seq"), 10000);
	/* seq and call_seq rise together */
	assert_int_equal(
		number(&world,
		       "SELECT count(*) FROM call_event a JOIN call_event b ON a.call_id = b.call_id"
		       " AND a.call_seq < b.call_seq AND a.seq >= b.seq"),
		0);
	free(calls);
	world_fini(&world);
}

static void an_event_that_comes_again_or_late_changes_nothing(void **state)
{
	struct event *ended, *answered;
	struct world world;
	struct id call = id_new();

	world_init(&world, state);
	ended = make_event(world.tenant, call, 5, EVENT_CALL_ENDED, CALL_ENDED);
	answered = make_event(world.tenant, call, 3, EVENT_CALL_ANSWERED, CALL_ANSWERED);
	event_publish(world.bus, event_ref(ended));
	sync_all(&world);
	event_publish(world.bus, event_ref(ended));
	event_publish(world.bus, event_ref(answered));
	sync_all(&world);
	assert_int_equal(number(&world,
				"SELECT count(*) FROM call WHERE state = 'ended' AND call_seq = 5"),
			 1);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 2);
	event_unref(ended);
	event_unref(answered);
	world_fini(&world);
}

static void seqs_rise_over_restarts(void **state)
{
	struct world world;
	struct event *event;
	uint64_t before;

	world_init(&world, state);
	one_call(&world, id_new());
	before = event_bus_seq(world.bus, world.tenant);
	event = event_new(EVENT_REGISTRATION_CHANGED,
			  world.tenant); /* counts, though it is no call's */
	event_publish(world.bus, event);
	world_stop(&world);
	assert_int_equal(number(&world, "SELECT seq FROM tenant_seq"), (int64_t)before + 1);
	world_start(&world);
	assert_true(event_bus_seq(world.bus, world.tenant) > before + 1);
	world_fini(&world);
}

static void last_alive_set(const struct world *world, const char *text)
{
	auto_(free) char *path = xasprintf("%s/" ALIVE_FILE, world->dir);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void a_call_left_open_ends_when_the_last_run_did(void **state)
{
	static const struct {
		const char *last_alive;
		int64_t ended_s;
	} cases[] = {
		{ "01700000030000000\n", 30 },
		{ "01700000003000000\n", 9 }, /* older than its last event */
		{ "99999999999999999\n", 9 }, /* yet to come */
		{ "0170000003", 9 },	      /* a power cut in between */
		{ "", 9 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct id open = id_new();
		struct world world;
		struct call_row row;

		world_init(&world, state);
		publish(world.bus, world.tenant, open, 1, EVENT_CALL_CREATED, CALL_DIALING);
		publish(world.bus, world.tenant, open, 9, EVENT_CALL_ANSWERED, CALL_ANSWERED);
		world_stop(&world);
		last_alive_set(&world, cases[i].last_alive);
		world_start(&world);
		assert_int_equal(call_row_get(world.db, world.arena, world.tenant, open, &row), 0);
		assert_int_equal(row.ended_at, 1700000000000000 + cases[i].ended_s * 1000000);
		assert_int_equal(row.talk_s, cases[i].ended_s - 2);
		assert_int_equal(
			number(&world, "SELECT count(*) FROM call_leg WHERE ended_at IS NULL"), 0);
		world_fini(&world);
	}
}

static void while_it_runs_the_journal_says_so(void **state)
{
	int64_t last_us = 0, until_us;
	struct alive *alive;
	struct world world;

	world_init(&world, state);
	until_us = clock_wall_us() + 5000000;
	while (!last_us && clock_wall_us() < until_us) {
		usleep(10000);
		assert_int_equal(alive_open(world.dir, &alive, &last_us), 0);
		alive_close(alive);
	}
	assert_in_range(last_us, until_us - 6000000, until_us);
	world_fini(&world);
}

static void calls_left_open_are_interrupted_at_the_next_start(void **state)
{
	struct call_event_row *timeline;
	struct id open = id_new(), done = id_new();
	struct world world;
	struct call_row row;
	size_t count;

	world_init(&world, state);
	one_call(&world, done);
	publish(world.bus, world.tenant, open, 1, EVENT_CALL_CREATED, CALL_DIALING);
	publish(world.bus, world.tenant, open, 9, EVENT_CALL_ANSWERED, CALL_ANSWERED);
	world_stop(&world);
	last_alive_set(&world, "");
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE ended_at IS NULL"), 1);
	world_start(&world);
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE ended_at IS NULL"), 0);
	assert_int_equal(call_row_get(world.db, world.arena, world.tenant, open, &row), 0);
	assert_string_equal(row.state, "ended");
	assert_string_equal(row.end_reason, "interrupted");
	assert_string_equal(row.hangup_by, "platform");
	assert_true(row.ended_at == 1700000000000000 + 9 * 1000000);
	assert_int_equal(row.talk_s, 7);
	assert_int_equal(
		call_row_timeline(world.db, world.arena, world.tenant, open, &timeline, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(timeline[2].type, "call.ended");
	assert_int_equal(number(&world, "SELECT count(*) FROM call_leg WHERE ended_at IS NULL"), 0);
	assert_int_equal(call_row_get(world.db, world.arena, world.tenant, done, &row), 0);
	assert_string_equal(row.end_reason, "completed");
	world_fini(&world);
}

/* ---- the database away ---- */

static atomic_bool gone;

static int away_while_gone(const char *sql)
{
	(void)sql;
	return atomic_load(&gone) ? DB_E_AWAY : 0;
}

static void wait_for_spool(struct world *world, bool there)
{
	struct journal_status status;

	for (int i = 0; i < 1000; i++) {
		journal_status(world->journal, &status);
		if ((status.spool_bytes > 0) == there && spool_exists(world) == there)
			return;
		usleep(10000);
	}
	fail_msg("%s", there ? "nothing was spooled" : "the spool was not applied");
}

static void what_happens_while_the_database_is_away_is_not_lost(void **state)
{
	struct journal_status status;
	struct world world;
	struct id during = id_new();

	world_init(&world, state);
	one_call(&world, id_new());
	publish(world.bus, world.tenant, during, 1, EVENT_CALL_CREATED, CALL_DIALING);
	sync_all(&world);
	atomic_store(&gone, true);
	db_fault_hook = away_while_gone;
	for (int i = 0; i < 100; i++)
		one_call(&world, id_new());
	publish(world.bus, world.tenant, during, 2, EVENT_CALL_ANSWERED, CALL_ANSWERED);
	sync_all(&world); /* safe: on the disk */
	wait_for_spool(&world, true);
	journal_status(world.journal, &status);
	assert_true(status.away);
	publish(world.bus, world.tenant, during, 3, EVENT_CALL_ENDED, CALL_ENDED);
	sync_all(&world);
	atomic_store(&gone, false);
	wait_for_spool(&world, false);
	journal_status(world.journal, &status);
	assert_false(status.away);
	assert_int_equal(status.dropped, 0);
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE state = 'ended'"), 102);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 4 * 101 + 3);
	assert_int_equal(number(&world, "SELECT seq FROM tenant_seq"), 508);
	world_fini(&world);
}

static void a_server_that_dies_and_comes_back_loses_nothing(void **state)
{
	struct world world;

	world_init(&world, state);
	for (int i = 0; i < 50; i++)
		one_call(&world, id_new());
	fixture_pg_stop();
	for (int i = 0; i < 50; i++) {
		one_call(&world, id_new());
		usleep(2000);
	}
	assert_true(journal_sync(world.journal, 20000));
	wait_for_spool(&world, true);
	fixture_pg_start();
	wait_for_spool(&world, false);
	for (int i = 0; i < 100 && db_ping(world.db); i++)
		usleep(50000);
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE state = 'ended'"), 100);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 400);
	world_fini(&world);
}

static void a_spool_is_applied_at_the_next_start_before_open_calls_are_closed(void **state)
{
	struct id call = id_new();
	struct world world;
	struct call_row row;

	world_init(&world, state);
	publish(world.bus, world.tenant, call, 1, EVENT_CALL_CREATED, CALL_DIALING);
	sync_all(&world);
	atomic_store(&gone, true);
	db_fault_hook = away_while_gone;
	publish(world.bus, world.tenant, call, 2, EVENT_CALL_ENDED, CALL_ENDED);
	sync_all(&world);
	world_stop(&world);
	assert_true(spool_exists(&world));
	db_fault_hook = NULL;
	world_start(&world);
	assert_false(spool_exists(&world));
	assert_int_equal(call_row_get(world.db, world.arena, world.tenant, call, &row), 0);
	assert_string_equal(row.end_reason, "completed");
	world_fini(&world);
}

static void tell_room(struct world *world, struct id id, int max_members, bool ended)
{
	struct event *event = event_new(EVENT_CONFERENCE_CHANGED, world->tenant);
	struct room_view *view = xzalloc(sizeof(*view));

	*view = (struct room_view){ .id = id,
				    .tenant = world->tenant,
				    .created_by = id_new(),
				    .name = "sales",
				    .pin = "sealed",
				    .max_members = max_members,
				    .grace_s = 3,
				    .tones = true,
				    .keys = true,
				    .locked = true,
				    .gone = ended,
				    .created_at = 1700000000000000 };
	event->room = view;
	event_publish(world->bus, event);
	sync_all(world);
}

static struct room_row room_seen;

static int on_room(void *arg, const struct room_row *row)
{
	unsigned *count = arg;

	room_seen = *row;
	room_seen.name = room_seen.pin = room_seen.moderator_pin = NULL;
	assert_string_equal(row->name, "sales");
	assert_string_equal(row->pin, "sealed");
	assert_null(row->moderator_pin);
	(*count)++;
	return 0;
}

static unsigned rooms(struct world *world)
{
	unsigned count = 0;

	assert_int_equal(room_each(world->db, on_room, &count), 0);
	return count;
}

static void monitored(struct world *world, struct id id, enum event_type type,
		      enum monitor_mode mode, struct id actor)
{
	struct event *event = event_new(type, world->tenant);
	struct monitor_view *view = xzalloc(sizeof(*view));

	view->id = id;
	view->tenant = world->tenant;
	view->call_id = event->call_id = id_new();
	view->user_id = view->actor = actor;
	view->mode = mode;
	view->created_at = view->started_at = 1800000000ll * 1000000;
	strcpy(view->client_addr, "127.0.0.9");
	if (type == EVENT_MONITOR_STOPPED) {
		view->state = MONITOR_ENDED;
		view->ended_at = view->created_at + 5;
		strcpy(view->reason, "stopped");
	} else {
		view->state = MONITOR_ACTIVE;
	}
	event->monitor = view;
	event_publish(world->bus, event);
}

static int64_t audited(struct world *world, struct id id, const char *action)
{
	struct audit_filter filter = { .object = id, .action = action };
	struct db_page_info info;
	struct audit *rows;

	assert_int_equal(audit_list(world->db, world->arena, world->tenant, &filter, &rows, &info),
			 0);
	return info.count;
}

static void monitors_are_kept_and_audited_also_by_way_of_the_spool_and_a_crash(void **state)
{
	struct id one = id_new(), two = id_new(), boss = id_new();
	struct monitor_row row;
	struct world world;

	world_init(&world, state);
	monitored(&world, one, EVENT_MONITOR_STARTED, MONITOR_LISTEN, boss);
	sync_all(&world);
	assert_int_equal(monitor_get(world.db, world.arena, world.tenant, one, &row), 0);
	assert_string_equal(row.mode, "listen");
	assert_string_equal(row.state, "active");
	assert_int_equal(row.ended_at, 0);
	assert_int_equal(monitor_get(world.db, world.arena, id_new(), one, &row), DB_E_NONE);
	db_fault_hook = away_while_gone;
	atomic_store(&gone, true);
	monitored(&world, one, EVENT_MONITOR_CHANGED, MONITOR_BARGE, boss);
	monitored(&world, one, EVENT_MONITOR_STOPPED, MONITOR_BARGE, ID_NONE);
	monitored(&world, two, EVENT_MONITOR_STARTED, MONITOR_WHISPER, boss);
	wait_for_spool(&world, true);
	atomic_store(&gone, false);
	wait_for_spool(&world, false);
	db_fault_hook = NULL;
	assert_int_equal(monitor_get(world.db, world.arena, world.tenant, one, &row), 0);
	assert_string_equal(row.mode, "barge");
	assert_string_equal(row.reason, "stopped");
	assert_int_equal(audited(&world, one, NULL), 3);
	assert_int_equal(audited(&world, one, "monitor.changed"), 1);
	/* The next start finds the other one open. */
	world_stop(&world);
	world_start(&world);
	journal_start(world.journal);
	assert_int_equal(monitor_get(world.db, world.arena, world.tenant, two, &row), 0);
	assert_string_equal(row.state, "ended");
	assert_string_equal(row.reason, "interrupted");
	assert_true(row.ended_at > 0);
	assert_int_equal(audited(&world, two, "monitor.stopped"), 1);
	assert_int_equal(audited(&world, one, NULL), 3);
	world_fini(&world);
}

static void device_changed(struct world *world, struct id device, const char *bindings)
{
	struct event *event = event_new(EVENT_DEVICE_CHANGED, world->tenant);

	event->detail =
		xasprintf("{\"device_id\":\"%s\",\"bindings\":%s}", id_str(device), bindings);
	event_publish(world->bus, event);
}

static int on_bindings(void *arg, const struct device_bindings *row)
{
	json_t **ret = arg;

	json_decref(*ret);
	*ret = json_incref(row->bindings);
	return 0;
}

/* The contact of the one device's one binding, or NULL. */
static const char *contact_kept(struct world *world)
{
	json_t *bindings = NULL;
	const char *contact;

	assert_int_equal(device_bindings_each(world->db, on_bindings, &bindings), 0);
	contact = json_string_value(json_object_get(json_array_get(bindings, 0), "contact"));
	if (contact)
		contact = arena_strdup(world->arena, contact);
	json_decref(bindings);
	return contact;
}

/* A device, its user and their tenant, which is the world's from now on. */
static struct id device_made(struct world *world)
{
	static const uint8_t key[32] = { 7 };
	auto_(seal_free) struct seal *seal = seal_new(key);
	struct tenant tenant = { .name = "Acme" };
	struct user user = { .email = "anna@example.com",
			     .name = "Anna",
			     .password_hash = "x",
			     .extension = "100",
			     .time_zone = "UTC",
			     .language = "en",
			     .active = true };
	struct device device = { .name = "desk" };
	char password[DEVICE_PASSWORD_SIZE];

	assert_int_equal(tenant_insert(world->db, &tenant, world->arena), 0);
	world->tenant = user.tenant_id = device.tenant_id = tenant.id;
	assert_int_equal(user_insert(world->db, &user, world->arena), 0);
	device.user_id = user.id;
	assert_int_equal(device_insert(world->db, seal, &device, world->arena, password), 0);
	return device.id;
}

static void where_a_phone_is_is_kept_also_by_way_of_the_spool(void **state)
{
	struct world world;
	struct id device;

	world_init(&world, state);
	device = device_made(&world);
	assert_null(contact_kept(&world));
	device_changed(&world, device, "[{\"contact\":\"sip:a@10.0.0.2\"}]");
	device_changed(&world, id_new(), "[{\"contact\":\"sip:nobody@10.0.0.2\"}]");
	sync_all(&world);
	assert_string_equal(contact_kept(&world), "sip:a@10.0.0.2");
	db_fault_hook = away_while_gone;
	atomic_store(&gone, true);
	device_changed(&world, device, "[{\"contact\":\"sip:b@10.0.0.2\"}]");
	wait_for_spool(&world, true);
	atomic_store(&gone, false);
	wait_for_spool(&world, false);
	db_fault_hook = NULL;
	assert_string_equal(contact_kept(&world), "sip:b@10.0.0.2");
	device_changed(&world, device, "[]");
	sync_all(&world);
	assert_null(contact_kept(&world));
	world_fini(&world);
}

static void rooms_are_kept_changed_and_dropped_also_by_way_of_the_spool(void **state)
{
	struct id first = id_new(), second = id_new();
	struct world world;

	world_init(&world, state);
	tell_room(&world, first, 500, false);
	assert_int_equal(rooms(&world), 1);
	assert_true(id_eq(room_seen.id, first) && room_seen.max_members == 500);
	assert_true(room_seen.tones && room_seen.keys && room_seen.locked && !room_seen.record);
	assert_int_equal(room_seen.grace_s, 3);
	tell_room(&world, first, 7, false);
	assert_int_equal(rooms(&world), 1);
	assert_int_equal(room_seen.max_members, 7);
	/* One of the same name whose end got lost gives way. */
	tell_room(&world, second, 8, false);
	assert_int_equal(rooms(&world), 1);
	assert_true(id_eq(room_seen.id, second));
	atomic_store(&gone, true);
	db_fault_hook = away_while_gone;
	tell_room(&world, second, 9, false);
	tell_room(&world, second, 9, true);
	tell_room(&world, first, 10, false);
	world_stop(&world);
	db_fault_hook = NULL;
	assert_int_equal(rooms(&world), 1);
	assert_int_equal(room_seen.max_members, 8);
	world_start(&world);
	assert_int_equal(rooms(&world), 1);
	assert_true(id_eq(room_seen.id, first) && room_seen.max_members == 10);
	journal_start(world.journal);
	tell_room(&world, first, 10, true);
	assert_int_equal(rooms(&world), 0);
	world_fini(&world);
}

static void a_torn_tail_costs_only_itself(void **state)
{
	struct world world;
	auto_(free) char *path = NULL;
	struct stat st;

	world_init(&world, state);
	atomic_store(&gone, true);
	db_fault_hook = away_while_gone;
	for (int i = 0; i < 3; i++) {
		publish(world.bus, world.tenant, id_new(), 1, EVENT_CALL_ENDED, CALL_ENDED);
		sync_all(&world);
	}
	world_stop(&world);
	db_fault_hook = NULL;
	path = spool_path(&world);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 7), 0);
	world_start(&world);
	assert_int_equal(number(&world, "SELECT count(*) FROM call"), 2);
	world_fini(&world);
}

static void a_full_spool_drops_the_newest_and_says_so(void **state)
{
	struct journal_status status;
	struct world world;

	world_prepare(&world, state);
	world.spool_max = 20000;
	world_start(&world);
	journal_start(world.journal);
	atomic_store(&gone, true);
	db_fault_hook = away_while_gone;
	for (int i = 0; i < 50; i++) {
		publish(world.bus, world.tenant, id_new(), 1, EVENT_CALL_ENDED, CALL_ENDED);
		sync_all(&world);
	}
	journal_status(world.journal, &status);
	assert_true(status.dropped > 0 && status.dropped < 50);
	assert_true(status.spool_bytes <= 20000);
	atomic_store(&gone, false);
	wait_for_spool(&world, false);
	assert_int_equal(number(&world, "SELECT count(*) FROM call"), 50 - (int64_t)status.dropped);
	world_fini(&world);
}

static atomic_int refuse_in;

static int busy_now_and_then(const char *sql)
{
	(void)sql;
	return atomic_fetch_add(&refuse_in, 1) % 7 == 3 ? DB_E_BUSY
	       : atomic_load(&refuse_in) % 31 == 30	? DB_E_AWAY
							: 0;
}

static void statements_that_fail_here_and_there_lose_nothing(void **state)
{
	struct world world;

	world_init(&world, state);
	atomic_store(&refuse_in, 0);
	db_fault_hook = busy_now_and_then;
	for (int i = 0; i < 20; i++) {
		one_call(&world, id_new());
		usleep(10000);
	}
	sync_all(&world);
	db_fault_hook = NULL;
	wait_for_spool(&world, false);
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE state = 'ended'"), 20);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 80);
	world_fini(&world);
}

/* A daemon that is killed in the middle: what it reported as safe is there, nothing is there twice, nothing is open. */
static void killed(struct world *world, bool away)
{
	int report[2];
	int64_t safe = 0, calls;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(report), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		world_start(world);
		if (away) {
			atomic_store(&gone, true);
			db_fault_hook = away_while_gone;
		}
		journal_start(world->journal);
		for (int64_t i = 1;; i++) {
			one_call(world, id_new());
			publish(world->bus, world->tenant, id_new(), 1, EVENT_CALL_CREATED,
				CALL_DIALING);
			if (i % 10)
				continue;
			if (!journal_sync(world->journal, 10000) ||
			    write(report[1], &i, sizeof(i)) != sizeof(i))
				_exit(1);
		}
	}
	close(report[1]);
	for (int i = 0; i < 20; i++) {
		n = read(report[0], &safe, sizeof(safe));
		assert_int_equal(n, sizeof(safe));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (read(report[0], &safe, sizeof(safe)) == sizeof(safe))
		continue;
	close(report[0]);

	world_start(world);
	calls = number(world, "SELECT count(*) FROM call WHERE end_reason = 'completed'");
	assert_true(calls >= safe);
	assert_true(number(world, "SELECT count(*) FROM call WHERE end_reason = 'interrupted'") >=
		    safe);
	assert_int_equal(number(world, "SELECT count(*) FROM call WHERE ended_at IS NULL"), 0);
	assert_int_equal(number(world,
				"SELECT count(*) FROM call_event WHERE type = 'call.created'"),
			 number(world, "SELECT count(*) FROM call"));
}

static void a_kill_in_the_middle_loses_nothing_that_was_safe(void **state)
{
	struct world world;

	world_prepare(&world, state);
	killed(&world, false);
	world_fini(&world);
}

static void a_kill_while_spooling_loses_nothing_that_was_safe(void **state)
{
	struct world world;

	world_prepare(&world, state);
	killed(&world, true);
	world_fini(&world);
}

/* ---- the log ---- */

static void logged(struct world *world, enum call_direction direction, enum end_reason reason,
		   bool answered)
{
	static int number;
	struct event *event = make_event(world->tenant, id_new(), 1, EVENT_CALL_ENDED, CALL_ENDED);
	struct call_view *view = event->call;

	view->created_at += ++number * 1000000ll;
	view->direction = direction;
	view->end_reason = reason;
	view->answered_at = answered ? view->created_at + 1 : 0;
	view->talk_s = answered ? number : 0;
	event_publish(world->bus, event);
}

static int64_t log_count(struct world *world, const struct call_filter *filter)
{
	struct db_page_info info;
	struct call_view **views;

	assert_int_equal(
		call_view_list(world->db, world->arena, world->tenant, filter, &views, &info), 0);
	for (size_t i = 0; i < info.rows; i++)
		free(views[i]);
	return info.count;
}

static int64_t type_count(struct world *world, const char *types, const char *statuses)
{
	struct call_filter filter = { 0 };

	if (types)
		assert_true(call_type_parse(types, &filter.types));
	if (statuses)
		assert_true(call_status_parse(statuses, &filter.statuses));
	return log_count(world, &filter);
}

static void the_log_is_filtered_by_type_and_status(void **state)
{
	struct world world;
	struct event *event;
	unsigned bits;

	world_init(&world, state);
	logged(&world, CALL_INCOMING, END_COMPLETED, true);
	logged(&world, CALL_INCOMING, END_CANCELED, false);
	logged(&world, CALL_INCOMING, END_NO_ANSWER, false);
	logged(&world, CALL_OUTGOING, END_COMPLETED, true);
	logged(&world, CALL_OUTGOING, END_BUSY, false);
	logged(&world, CALL_OUTGOING, END_DECLINED, false);
	logged(&world, CALL_OUTGOING, END_NO_ANSWER, false);
	logged(&world, CALL_OUTGOING, END_CANCELED, false);
	logged(&world, CALL_OUTGOING, END_TRUNK_FAILED, false);
	logged(&world, CALL_INTERNAL, END_NOT_FOUND, false);
	logged(&world, CALL_CONFERENCE, END_COMPLETED, true);
	event = make_event(world.tenant, id_new(), 1, EVENT_CALL_ENDED, CALL_ENDED);
	event->call->direction = CALL_INCOMING;
	event->call->recording_id = id_new();
	strcpy(event->call->room, "sales");
	event_publish(world.bus, event);
	publish(world.bus, world.tenant, id_new(), 1, EVENT_CALL_CREATED,
		CALL_DIALING); /* live: not in the log */
	sync_all(&world);
	assert_int_equal(type_count(&world, NULL, NULL), 12);
	assert_int_equal(type_count(&world, "incoming", NULL), 4);
	assert_int_equal(type_count(&world, "outgoing", NULL), 6);
	assert_int_equal(type_count(&world, "conference", NULL), 2);
	assert_int_equal(type_count(&world, "outgoing,conference", NULL), 8);
	assert_int_equal(type_count(&world, "recorded", NULL), 1);
	assert_int_equal(type_count(&world, "incoming,recorded", NULL), 1);
	assert_int_equal(type_count(&world, "outgoing,recorded", NULL), 0);
	assert_int_equal(type_count(&world, NULL, "answered"), 4);
	assert_int_equal(type_count(&world, NULL, "missed"), 2);
	assert_int_equal(type_count(&world, NULL, "busy"), 2);
	assert_int_equal(type_count(&world, NULL, "no_answer"), 1);
	assert_int_equal(type_count(&world, NULL, "canceled"), 1);
	assert_int_equal(type_count(&world, NULL, "failed"), 2);
	assert_int_equal(type_count(&world, "outgoing", "failed,busy"), 3);
	assert_false(call_type_parse("incoming,", &bits));
	assert_false(call_status_parse("lost", &bits));
	world_fini(&world);
}

static int on_call(void *arg, const struct call_row *call)
{
	int64_t *last = arg;

	assert_true(call->created_at < *last);
	*last = call->created_at;
	return 0;
}

static void the_log_is_filtered_by_people_time_and_text(void **state)
{
	struct world world;
	struct call_filter filter;
	struct event *event;
	struct id profile = id_new(), user = id_new();
	int64_t last = INT64_MAX, start = 1700000000000000;

	world_init(&world, state);
	for (int i = 0; i < 30; i++) {
		event = make_event(world.tenant, id_new(), 1, EVENT_CALL_ENDED, CALL_ENDED);
		event->call->created_at = start + i * 1000000ll;
		event->call->talk_s = i;
		event->call->profile_id = i % 3 ? id_new() : profile;
		event->call->user_id = i % 5 ? id_new() : user;
		snprintf(event->call->to, sizeof(event->call->to), "+49%02d", i);
		strcpy(event->call->from_name, i == 7 ? "Frau M\xc3\xbcller" : "Nobody");
		event_publish(world.bus, event);
	}
	sync_all(&world);
	filter = (struct call_filter){ .profiles = { profile, id_new() }, .profile_count = 2 };
	assert_int_equal(log_count(&world, &filter), 10);
	filter = (struct call_filter){ .user = user };
	assert_int_equal(log_count(&world, &filter), 6);
	filter = (struct call_filter){ .visible_to = user };
	assert_int_equal(log_count(&world, &filter), 6);
	filter = (struct call_filter){ .to = "+4905" };
	assert_int_equal(log_count(&world, &filter), 1);
	filter = (struct call_filter){ .from = "+4930123", .min_talk_s = 20 };
	assert_int_equal(log_count(&world, &filter), 10);
	filter = (struct call_filter){ .started_after = start + 10000000,
				       .started_before = start + 20000000 };
	assert_int_equal(log_count(&world, &filter), 10);
	filter = (struct call_filter){ .search = "FRAU M" };
	assert_int_equal(log_count(&world, &filter), 1);
	filter = (struct call_filter){ .search = "+4911" };
	assert_int_equal(log_count(&world, &filter), 1);
	filter = (struct call_filter){ .page = { .size = 7, .number = 5, .ordering = "talk_s" } };
	assert_int_equal(log_count(&world, &filter), 30);
	filter = (struct call_filter){ 0 };
	assert_int_equal(
		call_row_each(world.db, world.arena, world.tenant, &filter, on_call, &last), 0);
	assert_true(last == start);
	world_fini(&world);
}

/* ---- the bus under pressure ---- */

static void a_full_ring_delays_but_loses_nothing(void **state)
{
	struct event_bus_opts opts = { .journal_ring = 16, .hub_ring = 16 };
	struct world world;
	struct journal_opts jopts = { 0 };

	world_prepare(&world, state);
	jopts.db_url = world.fixture->url;
	jopts.data_dir = world.dir;
	world.bus = event_bus_new(&opts);
	assert_int_equal(journal_open(&jopts, world.bus, &world.journal), 0);
	for (int i = 0; i < 100; i++)
		one_call(&world, id_new());
	assert_true(event_bus_flush(world.bus) > 400);
	journal_start(world.journal);
	for (int i = 0; i < 1000 && event_bus_flush(world.bus); i++)
		usleep(5000);
	assert_true(journal_sync(world.journal, 10000));
	assert_int_equal(number(&world, "SELECT count(*) FROM call WHERE call_seq = 5"), 100);
	assert_int_equal(number(&world, "SELECT count(*) FROM call_event"), 400);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_ENGINES(a_call_is_in_the_log_with_legs_and_timeline),
		BOTH_ENGINES(every_member_of_a_view_survives_the_database),
		BOTH_ENGINES(ten_thousand_events_are_in_order_and_once),
		BOTH_ENGINES(an_event_that_comes_again_or_late_changes_nothing),
		BOTH_ENGINES(seqs_rise_over_restarts),
		BOTH_ENGINES(calls_left_open_are_interrupted_at_the_next_start),
		BOTH_ENGINES(a_call_left_open_ends_when_the_last_run_did),
		BOTH_ENGINES(while_it_runs_the_journal_says_so),
		BOTH_ENGINES(what_happens_while_the_database_is_away_is_not_lost),
		cmocka_unit_test_setup_teardown(a_server_that_dies_and_comes_back_loses_nothing,
						fixture_setup_pg, fixture_teardown),
		BOTH_ENGINES(a_spool_is_applied_at_the_next_start_before_open_calls_are_closed),
		BOTH_ENGINES(where_a_phone_is_is_kept_also_by_way_of_the_spool),
		BOTH_ENGINES(rooms_are_kept_changed_and_dropped_also_by_way_of_the_spool),
		BOTH_ENGINES(monitors_are_kept_and_audited_also_by_way_of_the_spool_and_a_crash),
		BOTH_ENGINES(a_torn_tail_costs_only_itself),
		BOTH_ENGINES(a_full_spool_drops_the_newest_and_says_so),
		BOTH_ENGINES(statements_that_fail_here_and_there_lose_nothing),
		BOTH_ENGINES(a_kill_in_the_middle_loses_nothing_that_was_safe),
		BOTH_ENGINES(a_kill_while_spooling_loses_nothing_that_was_safe),
		BOTH_ENGINES(the_log_is_filtered_by_type_and_status),
		BOTH_ENGINES(the_log_is_filtered_by_people_time_and_text),
		BOTH_ENGINES(a_full_ring_delays_but_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
