/* Takes connections in. MHD could do so itself, but once it has met the limit of descriptors it takes no more until one of
 * its own connections ends, and here calls use descriptors as well: it would stay shut long after they are free again.
 */
#include "http/private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define PAUSE_MS 100

static int door_watch(struct door *door)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = door->fd };

	if (epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, door->fd, &event) < 0)
		return err_newf(errno, "epoll_ctl");
	return 0;
}

static void on_pause_over(struct timer *timer, void *arg)
{
	struct door *door = arg;

	if (door_watch(door))
		timer_start(timer, PAUSE_MS);
}

/* Who waits outside would wake us for ever. */
static void door_pause(struct door *door)
{
	epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, door->fd, NULL);
	timer_start(&door->pause, PAUSE_MS);
}

static bool is_full(const struct door *door)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(door->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info && info->num_connections >= door->max;
}

/* Return: false when there is nobody, or nothing to take them with. */
static bool take_one(struct door *door)
{
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(door->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		/* Too many from that address: MHD has closed it. */
		(void)MHD_add_connection(door->mhd, fd, (struct sockaddr *)&from, len);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_rated(LOG_WARN_, "no descriptors left for HTTP connections");
		door_pause(door);
	}
	return errno == ECONNABORTED || errno == EINTR;
}

void door_take(struct door *door)
{
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		if (is_full(door)) {
			door_pause(door);
			return;
		}
		if (!take_one(door))
			return;
	}
}

int door_open(struct door *door, struct wheel *wheel, unsigned max)
{
	struct rlimit files;

	timer_init(&door->pause, wheel, on_pause_over, door);
	door->max = max;
	/* Calls, files and the database need descriptors, too. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 2 < max)
		door->max = (unsigned)(files.rlim_cur / 2);
	return door_watch(door);
}

void door_shut(struct door *door)
{
	timer_stop(&door->pause);
	if (door->fd >= 0)
		close(door->fd);
	door->fd = -1;
}
