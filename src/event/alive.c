#include "event/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define TELL_MS 2000
#define DIGITS 17

struct alive {
	int fd;
	uint64_t told_ms;
};

static int64_t last_of(int fd)
{
	char text[DIGITS + 1] = { 0 };
	int64_t last_us;

	if (pread(fd, text, DIGITS, 0) != DIGITS || !str_to_i64(text, 1, clock_wall_us(), &last_us))
		return 0;
	return last_us;
}

int alive_open(const char *data_dir, struct alive **ret_alive, int64_t *ret_last_us)
{
	auto_(free) char *path = xasprintf("%s/" ALIVE_FILE, data_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_newf(errno, "open %s", path);
	*ret_last_us = last_of(fd);
	*ret_alive = xzalloc(sizeof(struct alive));
	(*ret_alive)->fd = fd;
	return 0;
}

struct alive *alive_close(struct alive *alive)
{
	if (alive) {
		close(alive->fd);
		free(alive);
	}
	return NULL;
}

void alive_tell(struct alive *alive)
{
	uint64_t now_ms = clock_mono_ms();
	char text[DIGITS + 2];

	if (alive->told_ms && now_ms - alive->told_ms < TELL_MS)
		return;
	alive->told_ms = now_ms;
	snprintf(text, sizeof(text), "%0*" PRId64 "\n", DIGITS, clock_wall_us());
	(void)!pwrite(alive->fd, text, DIGITS + 1, 0);
}
