/* The journal's thread: ring -> batch -> one transaction, or the spool while the database is away.
 *
 * Order is kept by one rule: while anything is in the spool, new batches go behind it, never past it. That an event
 * may be applied twice (a commit whose answer was lost, a replay that was cut short) does no harm: a call's row takes
 * only a higher call_seq, the timeline takes an event's id once.
 */
#include "event/journal.h"

#include "base/base.h"
#include "base/hmap.h"
#include "base/metric.h"
#include "event/alive.h"
#include "event/entry.h"
#include "event/spool.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define SPOOL_MAX_DEFAULT (1ull << 30)
#define BATCH_DEFAULT 2000
#define LINGER_DEFAULT_MS 20
#define AWAY_POLL_MS 200
#define IDLE_POLL_MS 1000
#define STUCK_MS 500
#define DRAIN_BATCHES 8 /* of the spool, between two looks at the ring */

METRIC_COUNTER(applied_total, "jackfield_journal_events_total", "Events written to the database",
	       NULL);
METRIC_COUNTER(dropped_total, "jackfield_journal_dropped_total", "Events that could not be kept",
	       NULL);
METRIC_GAUGE(spool_now, "jackfield_journal_spool_bytes", "Bytes waiting in the journal's spool",
	     NULL);
METRIC_HISTOGRAM(commit_time, "jackfield_journal_commit_seconds", "Time to write a batch", NULL);

struct batch {
	struct arena *arena;
	struct entry *entries;
	bool *superseded; /* a later entry of the batch has the same call */
	unsigned count;
};

struct journal {
	struct journal_opts opts;
	char *url, *spool_path;
	struct event_bus *bus;
	struct ring *ring;
	struct db *db;
	struct spool *spool;
	struct alive *alive;
	struct batch batch, replay;
	struct ticket **tickets;
	unsigned ticket_count;
	pthread_t thread;
	bool started, announced;
	atomic_bool stop, away;
	atomic_uint_fast64_t spool_bytes, applied, dropped;
};

static void batch_init(struct batch *batch, unsigned max)
{
	batch->arena = arena_new();
	batch->entries = xzalloc_array(max, sizeof(*batch->entries));
	batch->superseded = xzalloc_array(max, sizeof(*batch->superseded));
}

static void batch_fini(struct batch *batch)
{
	arena_free(batch->arena);
	free(batch->entries);
	free(batch->superseded);
}

static void batch_reset(struct batch *batch)
{
	arena_reset(batch->arena);
	batch->count = 0;
}

static void dropped(struct journal *journal, unsigned count, const char *why)
{
	if (!count)
		return;
	metric_add(&dropped_total, count);
	atomic_fetch_add(&journal->dropped, count);
	log_rated(LOG_ERROR_, "call data lost", LOG_STR("why", why), LOG_INT("events", count));
}

/* ---- to the database ---- */

struct seen {
	struct hnode node;
	struct id id;
};

/* Return: false when the id was in the map already. */
static bool seen_add(struct hmap *map, struct arena *arena, struct id id)
{
	uint64_t hash = id_hash(id);
	struct seen *seen;

	for (struct hnode *n = hmap_first(map, hash); n; n = hmap_same(n)) {
		if (id_eq(container_of_(n, struct seen, node)->id, id))
			return false;
	}
	seen = arena_alloc(arena, sizeof(*seen));
	seen->id = id;
	hmap_add(map, &seen->node, hash);
	return true;
}

/* Of a call that changed several times in a batch only the last state is written. */
static void batch_supersede(struct batch *batch)
{
	struct hmap calls = { 0 };

	for (unsigned i = batch->count; i-- > 0;) {
		const struct entry *entry = &batch->entries[i];

		batch->superseded[i] =
			entry->has_call && !seen_add(&calls, batch->arena, entry->call.id);
	}
	hmap_fini(&calls);
}

static int apply_call(struct db *db, struct entry *entry, struct arena *arena)
{
	bool applied;
	int r = call_row_put(db, &entry->call, arena, &applied);

	for (unsigned i = 0; r == 0 && applied && i < entry->leg_count; i++)
		r = call_leg_put(db, &entry->legs[i], arena);
	return r < 0 ? err_pass(r) : r;
}

/* The last seq of each tenant in the batch. */
static int apply_seqs(struct db *db, struct batch *batch, struct arena *arena)
{
	struct hmap tenants = { 0 };
	int r = 0;

	for (unsigned i = batch->count; r == 0 && i-- > 0;) {
		const struct entry *entry = &batch->entries[i];

		if (seen_add(&tenants, arena, entry->tenant))
			r = call_row_seq_put(db, entry->tenant, entry->seq);
	}
	hmap_fini(&tenants);
	return r < 0 ? err_pass(r) : r;
}

static int apply_body(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct batch *batch = arg;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < batch->count; i++) {
		struct entry *entry = &batch->entries[i];

		if (entry->has_call && !batch->superseded[i])
			r = apply_call(db, entry, arena);
		if (r == 0 && entry->has_recording)
			r = recording_put(db, &entry->recording, arena);
		if (r == 0 && entry->has_room)
			r = entry->room_gone ? room_drop(db, entry->tenant, entry->room.id)
					     : room_put(db, &entry->room, arena);
		if (r == 0 && entry->has_monitor)
			r = monitor_put(db, &entry->monitor, arena);
		if (r == 0 && entry->has_monitor)
			r = audit_put(db, &entry->audit, arena);
		if (r == 0 && entry->has_device)
			r = device_bindings_put(db, &entry->device, arena);
		if (r == 0 && entry->has_event)
			r = call_event_put(db, &entry->event, arena);
	}
	if (r == 0)
		r = apply_seqs(db, batch, arena);
	return r < 0 ? err_pass(r) : r;
}

/* The whole batch failed for a reason of its own: each event alone, so that one bad one does not take the others along. */
static int apply_singly(struct journal *journal, struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++) {
		bool alone = false;
		struct batch one = { .arena = batch->arena,
				     .entries = &batch->entries[i],
				     .superseded = &alone,
				     .count = 1 };
		int r = db_transact(journal->db, apply_body, &one);

		if (r == DB_E_AWAY || r == DB_E_BUSY)
			return r;
		if (r)
			dropped(journal, 1, "the database refuses it");
	}
	return 0;
}

static void away_tell(struct journal *journal, bool away)
{
	if (away && !journal->announced)
		log_warn("journal: database away, call data goes to the spool",
			 LOG_STR("reason", db_reason(journal->db)));
	if (!away && journal->announced)
		log_info("journal: database back");
	journal->announced = away;
	atomic_store(&journal->away, away);
}

/* Return: 0, DB_E_AWAY or DB_E_BUSY (nothing was applied, or it does no harm again). */
static int batch_apply(struct journal *journal, struct batch *batch)
{
	uint64_t start = clock_mono_us();
	int r;

	if (!batch->count)
		return 0;
	batch_supersede(batch);
	r = db_transact(journal->db, apply_body, batch);
	if (r && r != DB_E_AWAY && r != DB_E_BUSY)
		r = apply_singly(journal, batch);
	if (r == 0) {
		metric_observe_us(&commit_time, (int64_t)(clock_mono_us() - start));
		metric_add(&applied_total, batch->count);
		atomic_fetch_add(&journal->applied, batch->count);
	}
	away_tell(journal, r != 0);
	return r;
}

/* ---- to the spool and back ---- */

static void spool_tell(struct journal *journal)
{
	atomic_store(&journal->spool_bytes, spool_left(journal->spool));
	metric_set(&spool_now, (int64_t)spool_left(journal->spool));
}

static void entry_frame(const struct entry *entry, struct buf *out)
{
	auto_(buf_fini) struct buf bytes = BUF_MAX(ENTRY_MAX);

	entry_encode(entry, &bytes);
	if (!bytes.failed)
		spool_frame(out, bytes.data, bytes.len);
}

/* Return: 0 when the batch needs no more care (written, or dropped because the spool is full), negative when the disk
 * fails it: it is to be kept and tried again.
 */
static int batch_spool(struct journal *journal, struct batch *batch)
{
	auto_(buf_fini) struct buf framed = BUF_MAX(1u << 30);
	struct hmap tenants = { 0 };
	bool *last = arena_alloc(batch->arena, (batch->count + 1) * sizeof(*last));
	int r;

	/* What has neither call nor timeline only raises its tenant's seq: the last one does. */
	for (unsigned i = batch->count; i-- > 0;)
		last[i] = seen_add(&tenants, batch->arena, batch->entries[i].tenant);
	hmap_fini(&tenants);
	batch_supersede(batch);
	for (unsigned i = 0; i < batch->count; i++) {
		struct entry entry = batch->entries[i];

		entry.has_call = entry.has_call && !batch->superseded[i];
		if (entry.has_call || entry.has_event || entry.has_recording || entry.has_room ||
		    entry.has_monitor || last[i])
			entry_frame(&entry, &framed);
	}
	bug_on(framed.failed);
	r = spool_append(journal->spool, &framed);
	if (r == SPOOL_E_FULL) {
		dropped(journal, batch->count, "the spool is full");
		r = 0;
	}
	spool_tell(journal);
	return r < 0 ? err_pass(r) : r;
}

/* Return: 0 with a batch from the spool, SPOOL_E_END when there is none, negative when the disk fails it. */
static int replay_collect(struct journal *journal)
{
	struct batch *replay = &journal->replay;
	const uint8_t *data;
	size_t len;
	int r = 0;

	batch_reset(replay);
	while (replay->count < journal->opts.batch_max) {
		r = spool_read(journal->spool, &data, &len);
		if (r)
			break;
		if (entry_decode(data, len, replay->arena, &replay->entries[replay->count]))
			replay->count++;
		else
			dropped(journal, 1, "not readable in the spool");
	}
	if (r < 0)
		return err_pass(r);
	return r && !replay->count ? r : 0;
}

/* Applies up to `batches` batches of the spool. Return: true when nothing is left in it. */
static bool replay_run(struct journal *journal, unsigned batches)
{
	int r = 0;

	while (spool_left(journal->spool) && batches--) {
		r = replay_collect(journal);
		if (r == SPOOL_E_END) {
			r = spool_clear(journal->spool);
			break;
		}
		if (r == 0)
			r = batch_apply(journal, &journal->replay);
		if (r) {
			spool_rewind(journal->spool);
			break;
		}
		spool_mark(journal->spool);
		if (!spool_left(journal->spool))
			r = spool_clear(journal->spool);
	}
	spool_tell(journal);
	return r == 0 && !spool_left(journal->spool);
}

/* ---- the thread ---- */

static void collect(struct journal *journal)
{
	struct batch *batch = &journal->batch;
	struct event_msg msg;

	while (batch->count < journal->opts.batch_max &&
	       journal->ticket_count < journal->opts.batch_max && ring_pop(journal->ring, &msg)) {
		if (msg.event) {
			entry_of_event(msg.event, batch->arena, &batch->entries[batch->count++]);
			event_unref(msg.event);
		}
		if (msg.sync)
			journal->tickets[journal->ticket_count++] = msg.sync;
	}
}

/* Return: false when the batch could be kept nowhere and must be tried again. */
static bool settle(struct journal *journal)
{
	struct batch *batch = &journal->batch;
	int r;

	if (spool_left(journal->spool))
		r = batch_spool(journal, batch);
	else
		r = batch_apply(journal, batch) ? batch_spool(journal, batch) : 0;
	if (r)
		return false;
	batch_reset(batch);
	for (unsigned i = 0; i < journal->ticket_count; i++)
		ticket_give(journal->tickets[i], NULL);
	journal->ticket_count = 0;
	return true;
}

static void await(struct journal *journal)
{
	struct pollfd fd = { .fd = ring_fd(journal->ring), .events = POLLIN };

	if (ring_depth(journal->ring))
		return;
	if (poll(&fd, 1, spool_left(journal->spool) ? AWAY_POLL_MS : IDLE_POLL_MS) > 0)
		ring_ack(journal->ring);
}

static void *journal_main(void *arg)
{
	struct journal *journal = arg;
	bool stop, settled = true;

	pthread_setname_np(pthread_self(), "journal");
	for (;;) {
		/* Read before the ring is: what was published before the stop is in it. */
		stop = atomic_load(&journal->stop);
		alive_tell(journal->alive);
		if (!stop)
			await(journal);
		if (journal->opts.linger_ms && !stop && ring_depth(journal->ring))
			usleep(journal->opts.linger_ms * 1000);
		collect(journal);
		settled = settle(journal);
		if (stop && (!settled || !ring_depth(journal->ring)))
			break;
		if (!settled)
			usleep(STUCK_MS * 1000);
		if (spool_left(journal->spool))
			(void)replay_run(journal, DRAIN_BATCHES);
	}
	if (!settled)
		dropped(journal, journal->batch.count, "neither database nor disk at the end");
	if (spool_left(journal->spool))
		(void)replay_run(journal, UINT32_MAX);
	return NULL;
}

static int seed(void *arg, struct id tenant, int64_t seq)
{
	event_bus_seed(arg, tenant, (uint64_t)seq + EVENT_SEQ_JUMP);
	return 0;
}

static int journal_recover(struct journal *journal, int64_t alive_us)
{
	uint64_t bytes = spool_left(journal->spool);
	int64_t closed = 0, monitors = 0;
	int r;

	if (bytes && !replay_run(journal, UINT32_MAX))
		return DB_E_AWAY;
	if (bytes)
		log_info("journal: spool applied", LOG_INT("bytes", bytes));
	r = call_row_close_open(journal->db, alive_us, &closed);
	if (r == 0 && closed)
		log_warn("calls closed as interrupted", LOG_INT("calls", closed));
	if (r == 0)
		r = monitor_close_open(journal->db, &monitors);
	if (r == 0 && monitors)
		log_warn("monitors closed as interrupted", LOG_INT("monitors", monitors));
	if (r == 0)
		r = call_row_seq_each(journal->db, seed, journal->bus);
	return r < 0 ? err_pass(r) : r;
}

static void journal_fini(struct journal *journal)
{
	for (unsigned i = 0; i < journal->ticket_count; i++)
		ticket_give(journal->tickets[i], NULL);
	batch_fini(&journal->batch);
	batch_fini(&journal->replay);
	spool_close(journal->spool);
	alive_close(journal->alive);
	db_close(journal->db);
	free(journal->tickets);
	free(journal->spool_path);
	free(journal->url);
	free(journal);
}

int journal_open(const struct journal_opts *opts, struct event_bus *bus,
		 struct journal **ret_journal)
{
	struct journal *journal = xzalloc(sizeof(*journal));
	struct journal_opts *o = &journal->opts;
	uint64_t cut = 0;
	int64_t alive_us = 0;
	int r;

	*o = *opts;
	o->spool_max = o->spool_max ? o->spool_max : SPOOL_MAX_DEFAULT;
	o->batch_max = o->batch_max ? o->batch_max : BATCH_DEFAULT;
	o->linger_ms = o->linger_ms ? o->linger_ms : LINGER_DEFAULT_MS;
	journal->bus = bus;
	journal->ring = event_bus_journal_ring(bus);
	journal->spool_path = xasprintf("%s/" JOURNAL_SPOOL_FILE, opts->data_dir);
	journal->tickets = xzalloc_array(o->batch_max, sizeof(struct ticket *));
	batch_init(&journal->batch, o->batch_max);
	batch_init(&journal->replay, o->batch_max);

	r = alive_open(opts->data_dir, &journal->alive, &alive_us);
	if (r == 0)
		r = spool_open(journal->spool_path, o->spool_max, &journal->spool, &cut);
	if (cut)
		log_error("journal: the spool's end was not whole", LOG_INT("bytes", cut));
	if (r == 0)
		r = db_open(opts->db_url, &opts->db, &journal->db);
	if (r == 0)
		r = journal_recover(journal, alive_us);
	if (r) {
		journal_fini(journal);
		return r < 0 ? err_pass(r) : r;
	}
	*ret_journal = journal;
	return 0;
}

void journal_start(struct journal *journal)
{
	bug_on(pthread_create(&journal->thread, NULL, journal_main, journal) != 0);
	journal->started = true;
}

struct journal *journal_free(struct journal *journal)
{
	struct event_msg wake = { 0 };

	if (!journal)
		return NULL;
	if (journal->started) {
		for (int i = 0; i < 500 && event_bus_flush(journal->bus); i++)
			usleep(10000);
		atomic_store(&journal->stop, true);
		(void)!ring_push(journal->ring, &wake); /* a full ring wakes it too */
		pthread_join(journal->thread, NULL);
	}
	journal_fini(journal);
	return NULL;
}

void journal_status(struct journal *journal, struct journal_status *ret)
{
	*ret = (struct journal_status){
		.away = atomic_load(&journal->away),
		.spool_bytes = atomic_load(&journal->spool_bytes),
		.applied = atomic_load(&journal->applied),
		.dropped = atomic_load(&journal->dropped),
		.waiting = ring_depth(journal->ring),
	};
}

bool journal_sync(struct journal *journal, unsigned timeout_ms)
{
	struct event_msg msg = { .sync = ticket_new(NULL) };
	uint64_t until_ms = clock_mono_ms() + timeout_ms, now_ms;
	void *answer;

	while (!ring_push(journal->ring, &msg)) { /* full: what it holds comes first anyway */
		if (clock_mono_ms() >= until_ms) {
			ticket_drop(msg.sync);
			return false;
		}
		usleep(1000);
	}
	now_ms = clock_mono_ms();
	return ticket_await(msg.sync, until_ms > now_ms ? (unsigned)(until_ms - now_ms) : 0,
			    &answer);
}
