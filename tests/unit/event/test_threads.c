/* The bus between three threads, as in the daemon: one publishes, one journals, one serves clients */
#include "base/base.h"
#include "event/hub.h"
#include "event/journal.h"
#include "fixture.h"
#include "make.h"
#include "store/store.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALLS 400
#define CLIENTS 8

struct reader {
	struct hub_client *client;
	uint64_t last;
	unsigned seen;
	bool closed;
};

struct world {
	struct event_bus *bus;
	struct hub *hub;
	struct id tenant;
	struct reader readers[CLIENTS];
};

/* Events carry their seq first: enough to see order without a parser a thousand times. */
static bool reader_send(void *arg, struct hub_frame *frame)
{
	struct reader *reader = arg;
	unsigned long long seq;

	if (sscanf(frame->text, "{\"seq\":%llu,", &seq) == 1) {
		assert_true(seq == reader->last + 1);
		reader->last = seq;
		reader->seen++;
	}
	return true;
}

static void reader_close(void *arg, int code, const char *reason)
{
	struct reader *reader = arg;

	(void)code;
	(void)reason;
	reader->closed = true;
}

static const struct hub_client_ops reader_ops = { reader_send, reader_close };

static bool no_snapshot(void *arg, uint64_t client, struct id tenant, struct id user)
{
	(void)arg;
	(void)client;
	(void)tenant;
	(void)user;
	return false;
}

static void *hub_main(void *arg)
{
	static const char text[] = "{\"type\":\"subscribe\",\"since\":0}";
	struct world *world = arg;
	struct hub_who who = { .tenant = world->tenant };
	struct pollfd fd = { .fd = hub_fd(world->hub), .events = POLLIN };

	for (int i = 0; i < CLIENTS; i++) {
		struct reader *reader = &world->readers[i];

		reader->client = hub_client_add(world->hub, &who, &reader_ops, reader);
		assert_true(hub_client_text(reader->client, text, strlen(text)));
	}
	while (world->readers[0].seen < CALLS * 4) {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		hub_drain(world->hub);
		hub_tick(world->hub, clock_wall_us());
	}
	return NULL;
}

static void *publisher_main(void *arg)
{
	struct world *world = arg;
	struct id *calls = xzalloc_array(CALLS, sizeof(*calls));

	for (uint32_t seq = 1; seq <= 4; seq++) {
		for (int i = 0; i < CALLS; i++) {
			if (seq == 1)
				calls[i] = id_new();
			publish(world->bus, world->tenant, calls[i], seq,
				seq == 4 ? EVENT_CALL_ENDED : EVENT_CALL_HELD,
				seq == 4 ? CALL_ENDED : CALL_HELD);
		}
	}
	while (event_bus_flush(world->bus))
		usleep(1000);
	free(calls);
	return NULL;
}

static void events_reach_log_and_clients_whole_and_in_order(void **state)
{
	const struct fixture *fixture = *state;
	auto_(free) char *dir = xasprintf("%s/threads", fixture_dir());
	struct journal_opts jopts = { .db_url = fixture->url, .data_dir = dir };
	struct hub_opts hopts = { .ask_snapshot = no_snapshot };
	struct journal *journal;
	pthread_t hub, publisher;
	struct world world = { 0 };
	struct db *db = fixture_open(fixture);
	int64_t n;

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(store_migrate(db), 0);
	world.tenant = id_new();
	world.bus = event_bus_new(NULL);
	assert_int_equal(journal_open(&jopts, world.bus, &journal), 0);
	world.hub = hub_new(&hopts, world.bus);
	journal_start(journal);
	assert_int_equal(pthread_create(&hub, NULL, hub_main, &world), 0);
	assert_int_equal(pthread_create(&publisher, NULL, publisher_main, &world), 0);
	pthread_join(publisher, NULL);
	pthread_join(hub, NULL);
	assert_true(journal_sync(journal, 60000));
	journal_free(journal);
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(world.readers[i].seen, CALLS * 4);
		assert_false(world.readers[i].closed);
	}
	hub_free(world.hub);
	event_bus_free(world.bus);
	assert_int_equal(db_num(db, "SELECT count(*) FROM call WHERE call_seq = 4", DB_NO_ARGS, &n),
			 0);
	assert_int_equal(n, CALLS);
	assert_int_equal(db_num(db, "SELECT count(*) FROM call_event", DB_NO_ARGS, &n), 0);
	assert_int_equal(n, CALLS * 4);
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(events_reach_log_and_clients_whole_and_in_order,
						fixture_setup_sqlite, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
