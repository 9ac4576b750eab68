/* daemon/sweep.c - recordings that have been kept long enough, and files that nobody knows
 *
 * A pass does a bounded piece of work and the next one goes on where it ended, so that neither the database nor the disk
 * has to stand still for it. What has expired loses its key first, as a deletion by hand does. A file is removed when its
 * recording was deleted, or when no recording of its tenant has its name and it has lain there for some days; whatever is
 * not named as ours, or lies in a directory of a tenant that this database does not know, is left alone: the
 * database may be the wrong one.
 */
#include "daemon/private.h"

#include "base/metric.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPIRED_MAX 500 /* recordings a pass */
#define FILES_MAX 2000	/* directory entries a pass */
#define USED_UP_MS 1000
#define NAME_LEN 32
#define DAY_US (86400ll * 1000000)

METRIC_COUNTER(expired_total, "jackfield_recordings_expired_total",
	       "Recordings deleted because their time was over", NULL);
METRIC_COUNTER(orphans_total, "jackfield_recording_files_removed_total",
	       "Files of deleted or unknown recordings that were removed", NULL);

struct sweep {
	pthread_t thread;
	int stop_fd;
	char *dir, *url;
	struct db_opts opts;
	int keep_days, orphan_days, pause_ms;
	struct db *db;
	/* one pass */
	unsigned left;
	int64_t now_us;
	struct id after; /* tenants up to this one have had their turn */
	/* the walk */
	DIR *root, *files;
	struct id tenant; /* whose files */
};

/* ---- time is over ---- */

struct expiry {
	const struct recording_row *row;
	int days;
};

static int expire_row(struct db *db, void *arg)
{
	auto_(arena_free) struct arena *arena = arena_new();
	const struct expiry *expiry = arg;
	const struct recording_row *row = expiry->row;
	struct audit entry = {
		.tenant_id = row->tenant_id,
		.action = "recording.expire",
		.object = "recording",
		.object_id = row->id,
		.detail = json_pack("{s:i}", "days", expiry->days),
	};
	struct id left;
	int r = recording_delete(db, row->tenant_id, row->id, &left);

	if (r == 0)
		r = audit_insert(db, &entry, arena);
	json_decref(entry.detail);
	return r < 0 ? err_pass(r) : r;
}

static void remove_file(const struct sweep *sweep, struct id tenant, const char *name)
{
	auto_(free) char *path = xasprintf("%s/%s/%s", sweep->dir, id_str(tenant), name);

	if (unlink(path) && errno != ENOENT)
		log_rated(LOG_WARN_, "a file of a deleted recording stays", LOG_STR("file", path),
			  LOG_STR("reason", strerror(errno)));
}

static int expire_tenant(struct sweep *sweep, struct id tenant, int days)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct recording_row *rows;
	size_t count;
	int r = recording_expired(sweep->db, arena, tenant, sweep->now_us - days * DAY_US,
				  (int)sweep->left, &rows, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct expiry expiry = { &rows[i], days };

		r = db_transact(sweep->db, expire_row, &expiry);
		if (r == DB_E_NONE) {
			r = 0; /* somebody was faster, or holds it now */
			continue;
		}
		if (r)
			break;
		remove_file(sweep, tenant, rows[i].storage);
		metric_add(&expired_total, 1);
		log_info("recording expired", LOG_ID("recording", rows[i].id),
			 LOG_INT("days", days));
	}
	if (r == 0)
		sweep->left -= (unsigned)count < sweep->left ? (unsigned)count : sweep->left;
	return r < 0 ? err_pass(r) : r;
}

struct turn {
	struct id *ids;
	size_t count, cap;
};

static int note_tenant(void *arg, const struct tenant *tenant)
{
	struct turn *turn = arg;

	if (turn->count == turn->cap) {
		turn->cap = turn->cap ? 2 * turn->cap : 64;
		turn->ids = xrealloc(turn->ids, turn->cap * sizeof(*turn->ids));
	}
	turn->ids[turn->count++] = tenant->id;
	return 0;
}

/* In the order of their ids, from where the last pass ended. */
static int expire(struct sweep *sweep)
{
	struct turn turn = { 0 };
	int r = tenant_each(sweep->db, note_tenant, &turn);

	sweep->left = EXPIRED_MAX;
	for (size_t i = 0; r == 0 && i < turn.count && sweep->left; i++) {
		int days;

		if (id_cmp(turn.ids[i], sweep->after) < 0)
			continue;
		sweep->after = turn.ids[i]; /* again next time, if it used up the pass */
		r = recording_keep_get(sweep->db, turn.ids[i], &days);
		if (r == 0 && days == RECORDING_KEEP_DEFAULT)
			days = sweep->keep_days;
		if (r == 0 && days)
			r = expire_tenant(sweep, turn.ids[i], days);
	}
	if (sweep->left)
		sweep->after = ID_NONE;
	free(turn.ids);
	return r < 0 ? err_pass(r) : r;
}

/* ---- files ---- */

static bool is_name(const char *name)
{
	return strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == NAME_LEN;
}

static bool is_old(const struct sweep *sweep, const char *name)
{
	struct stat st;

	return sweep->orphan_days &&
	       !fstatat(dirfd(sweep->files), name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(st.st_mode) &&
	       (int64_t)st.st_mtim.tv_sec * 1000000 < sweep->now_us - sweep->orphan_days * DAY_US;
}

static int look_at(struct sweep *sweep, const char *name)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct recording_row row;
	bool unknown;
	int r;

	if (!is_name(name))
		return 0;
	r = recording_of_file(sweep->db, arena, sweep->tenant, name, &row);
	if (r && r != DB_E_NONE)
		return r < 0 ? err_pass(r) : r;
	unknown = r == DB_E_NONE;
	if (unknown ? !is_old(sweep, name) : !str_eq(row.state, "deleted"))
		return 0;
	remove_file(sweep, sweep->tenant, name);
	metric_add(&orphans_total, 1);
	log_info("recording's file removed", LOG_STR("file", name),
		 LOG_STR("why", unknown ? "unknown" : "deleted"));
	return 0;
}

/* The next tenant's directory. Return: 0, or 1 at the end of all. */
static int open_next(struct sweep *sweep)
{
	auto_(arena_free) struct arena *arena = arena_new();
	struct tenant tenant;
	struct dirent *entry;
	int fd;

	if (!sweep->root)
		sweep->root = opendir(sweep->dir);
	entry = sweep->root ? readdir(sweep->root) : NULL;
	if (!entry) {
		if (sweep->root)
			closedir(sweep->root);
		sweep->root = NULL;
		return 1;
	}
	if (!id_parse(entry->d_name, &sweep->tenant) ||
	    tenant_get(sweep->db, arena, sweep->tenant, &tenant))
		return 0;
	fd = openat(dirfd(sweep->root), entry->d_name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	sweep->files = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !sweep->files)
		close(fd);
	return 0;
}

static int walk(struct sweep *sweep)
{
	int r = 0;

	for (unsigned seen = 0; r == 0 && seen < FILES_MAX; seen++) {
		struct dirent *entry;

		if (!sweep->files) {
			r = open_next(sweep);
			continue;
		}
		entry = readdir(sweep->files);
		if (entry) {
			r = look_at(sweep, entry->d_name);
			continue;
		}
		closedir(sweep->files);
		sweep->files = NULL;
	}
	return r == 1 ? 0 : r;
}

/* ---- the thread ---- */

static int connected(struct sweep *sweep)
{
	int r = sweep->db ? 0 : db_open(sweep->url, &sweep->opts, &sweep->db);

	return r < 0 ? err_pass(r) : r;
}

static void pass(struct sweep *sweep)
{
	int r = connected(sweep);

	sweep->now_us = clock_wall_us();
	if (!r)
		r = expire(sweep);
	if (!r)
		r = walk(sweep);
	if (!r)
		return;
	log_rated(LOG_WARN_, "expired recordings stay for now", LOG_INT("outcome", r));
	sweep->db = db_close(sweep->db); /* anew next time */
}

static void *sweep_main(void *arg)
{
	struct sweep *sweep = arg;
	struct pollfd stop = { .fd = sweep->stop_fd, .events = POLLIN };

	pthread_setname_np(pthread_self(), "sweep");
	sweep->left = 1;
	/* A pass that was used up has more to do. */
	while (poll(&stop, 1, sweep->left ? sweep->pause_ms : USED_UP_MS) == 0)
		pass(sweep);
	return NULL;
}

void sweep_start(const struct config *config, struct sweep **ret_sweep)
{
	struct sweep *sweep = xzalloc(sizeof(*sweep));
	auto_(buf_fini) struct buf url = BUF_MAX(4096);

	settings_db_url(config, &url);
	sweep->url = xstrdup(url.data);
	sweep->opts.connect_ms = (unsigned)config_int(config, "db", "connect_ms");
	sweep->opts.statement_ms = (unsigned)config_int(config, "db", "statement_ms");
	sweep->keep_days = (int)config_int(config, "recordings", "retention_days");
	sweep->orphan_days = (int)config_int(config, "recordings", "orphan_days");
	sweep->pause_ms = (int)config_int(config, "recordings", "sweep_s") * 1000;
	sweep->dir = settings_recordings_dir(config);
	sweep->stop_fd = eventfd(0, EFD_CLOEXEC);
	bug_on(sweep->stop_fd < 0);
	bug_on(pthread_create(&sweep->thread, NULL, sweep_main, sweep) != 0);
	*ret_sweep = sweep;
}

struct sweep *sweep_stop(struct sweep *sweep)
{
	uint64_t one = 1;

	if (!sweep)
		return NULL;
	bug_on(write(sweep->stop_fd, &one, sizeof(one)) != sizeof(one));
	pthread_join(sweep->thread, NULL);
	if (sweep->files)
		closedir(sweep->files);
	if (sweep->root)
		closedir(sweep->root);
	db_close(sweep->db);
	close(sweep->stop_fd);
	explicit_bzero(sweep->url, strlen(sweep->url));
	free(sweep->url);
	free(sweep->dir);
	free(sweep);
	return NULL;
}
