#include "daemon/private.h"

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir -p: parents as the umask has them, the directory itself for us alone. */
static int make_dirs(const char *dir)
{
	auto_(free) char *path = xstrdup(dir);

	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			return err_newf(errno, "make directory %s", path);
		*p = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_newf(errno, "make directory %s", path);
	return 0;
}

int place_take(const char *dir, int *ret_lock_fd)
{
	auto_(free) char *path = xasprintf("%s/lock", dir);
	int r = make_dirs(dir);
	int fd;

	if (r)
		return err_pass(r);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_newf(errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		r = err_newf(errno, "hold %s: is another jackfield running on this directory?",
			     path);
		close(fd);
		return r;
	}
	*ret_lock_fd = fd;
	return 0;
}

int place_open_db(const struct config *config, struct db **ret_db)
{
	const struct db_opts opts = {
		.connect_ms = (unsigned)config_int(config, "db", "connect_ms"),
		.statement_ms = (unsigned)config_int(config, "db", "statement_ms"),
	};
	auto_(buf_fini) struct buf url = BUF_MAX(4096);
	int r;

	settings_db_url(config, &url);
	r = db_open(url.data, &opts, ret_db);
	if (r)
		return r;
	r = store_migrate(*ret_db);
	if (r == DB_MIGRATE_E_NEWER)
		log_error("the database was made by a newer version of this program");
	return r;
}
