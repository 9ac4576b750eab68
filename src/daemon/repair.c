/* daemon/repair.c - recordings that the last run did not finish
 *
 * What they are is read before the call loop starts, so that no new one is among them; their files are then read
 * through by a thread of its own, however long they are, and what comes of each goes the way of all news: the call
 * loop publishes it, the journal writes it.
 */
#include "daemon/private.h"

#include "call/command.h"
#include "event/view_row.h"
#include "media/vault.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define STEP_CHUNKS 64
#define FULL_WAIT_US 5000

struct repair {
	struct arena *arena;
	struct recording_row *rows;
	size_t count;
	char *dir;
	const struct seal *seal;
	struct call_gate *gate;
	pthread_t thread;
	bool started;
	atomic_bool stop;
};

int repair_find(struct db *db, const struct config *config, const struct seal *seal,
		struct repair **ret_repair)
{
	struct repair *repair = xzalloc(sizeof(*repair));
	int r;

	repair->arena = arena_new();
	repair->seal = seal;
	repair->dir = settings_recordings_dir(config);
	r = recording_open_ones(db, repair->arena, &repair->rows, &repair->count);
	if (r) {
		repair_free(repair);
		return r < 0 ? err_pass(r) : r;
	}
	*ret_repair = repair;
	return 0;
}

static void fail(struct recording_view *view, const char *reason)
{
	view->state = RECORD_FAILED;
	(void)str_copy(view->reason, sizeof(view->reason), reason);
}

/* Return: false when we are to stop. */
static bool read_through(struct repair *repair, struct vault_reader *reader,
			 struct recording_view *view)
{
	struct vault_form form = vault_form(reader);
	struct wav_hash *hash = wav_hash_new(reader);
	bool done = false;

	while (!atomic_load(&repair->stop) && !(done = wav_hash_step(hash, STEP_CHUNKS)))
		;
	view->repaired = true;
	view->state = RECORD_READY;
	if (wav_hash_damaged(hash))
		fail(view, "damaged"); /* what comes before is heard all the same */
	if (done && vault_size(reader)) {
		view->size = (int64_t)vault_size(reader) + WAV_HEADER;
		view->duration_ms =
			(int64_t)(vault_size(reader) * 1000 / (form.rate * form.channels * 2));
		wav_hash_text(hash, view->sha256);
	}
	wav_hash_free(hash);
	return done;
}

static bool look_at(struct repair *repair, const struct recording_row *row,
		    struct recording_view *view)
{
	auto_(vault_reader_free) struct vault_reader *reader = NULL;
	auto_(free) char *path =
		xasprintf("%s/%s/%s", repair->dir, id_str(row->tenant_id), row->storage);
	uint8_t key[RECORDING_KEY];
	bool more = true;
	int r;

	r = recording_open_key(repair->seal, row, key);
	if (r) {
		fail(view, "key_lost");
		return true;
	}
	r = vault_open(path, key, row->id.byte, &reader);
	seal_forget(key, sizeof(key));
	if (r)
		fail(view, r == VAULT_E_BAD ? "damaged" : "interrupted");
	else if (!vault_size(reader))
		fail(view, "interrupted");
	else
		more = read_through(repair, reader, view);
	if (!view->ended_at)
		view->ended_at = view->started_at + view->duration_ms * 1000;
	return more;
}

static void tell(struct repair *repair, struct recording_view *view)
{
	struct command command = { .type = COMMAND_RECORDING_REPAIRED, .body = view };

	while (!call_gate_has_room(repair->gate) && !atomic_load(&repair->stop))
		usleep(FULL_WAIT_US);
	log_info("recording looked at after a crash", LOG_ID("recording", view->id),
		 LOG_STR("state", record_state_names[view->state]),
		 LOG_INT("ms", view->duration_ms));
	if (!call_post(repair->gate, &command))
		log_warn("a repaired recording waits for the next start");
}

static void *repair_main(void *arg)
{
	struct repair *repair = arg;

	pthread_setname_np(pthread_self(), "repair");
	for (size_t i = 0; i < repair->count && !atomic_load(&repair->stop); i++) {
		struct recording_view *view = recording_view_of_row(&repair->rows[i]);

		if (look_at(repair, &repair->rows[i], view))
			tell(repair, view);
		else
			free(view);
	}
	return NULL;
}

void repair_start(struct repair *repair, struct call_gate *gate)
{
	if (!repair->count)
		return;
	repair->gate = gate;
	bug_on(pthread_create(&repair->thread, NULL, repair_main, repair) != 0);
	repair->started = true;
}

struct repair *repair_free(struct repair *repair)
{
	if (!repair)
		return NULL;
	atomic_store(&repair->stop, true);
	if (repair->started)
		pthread_join(repair->thread, NULL);
	arena_free(repair->arena);
	free(repair->dir);
	free(repair);
	return NULL;
}
