/* base/poller.c - a descriptor's watch lies at its number; a count of its changes tells a late event from one that is
 * still wanted, also when the number has gone to another descriptor within the same turn.
 */
#include "base/poller.h"

#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

struct watch {
	poller_fn *fn; /* NULL: not watched */
	void *arg;
	uint32_t change;
};

struct poller {
	int fd;
	struct watch *watches;
	size_t count;
};

static _Thread_local struct poller *mine;

struct poller *poller_new(void)
{
	struct poller *poller = xzalloc(sizeof(*poller));

	bug_on(mine);
	poller->fd = epoll_create1(EPOLL_CLOEXEC);
	bug_on(poller->fd < 0); /* out of descriptors while starting: nothing can be done without */
	mine = poller;
	return poller;
}

struct poller *poller_free(struct poller *poller)
{
	if (!poller)
		return NULL;
	bug_on(mine != poller);
	mine = NULL;
	close(poller->fd);
	free(poller->watches);
	free(poller);
	return NULL;
}

static struct watch *watch_at(struct poller *poller, int fd)
{
	size_t count = poller->count ? poller->count : 64;

	while (count <= (size_t)fd)
		count *= 2;
	if (count > poller->count) {
		poller->watches = xrealloc(poller->watches, count * sizeof(*poller->watches));
		memset(poller->watches + poller->count, 0,
		       (count - poller->count) * sizeof(*poller->watches));
		poller->count = count;
	}
	return &poller->watches[fd];
}

int poller_watch(int fd, unsigned events, poller_fn *fn, void *arg)
{
	struct epoll_event event = { 0 };
	struct watch *watch;

	bug_on(fd < 0);
	if (!mine)
		return -ENODEV; /* nobody would ever come to look */
	watch = watch_at(mine, fd);
	event.events = (events & POLLER_READ ? (unsigned)EPOLLIN : 0) |
		       (events & POLLER_WRITE ? (unsigned)EPOLLOUT : 0);
	event.data.u64 = (uint64_t)(watch->change + 1) << 32 | (uint32_t)fd;
	if (epoll_ctl(mine->fd, watch->fn ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	watch->change++;
	watch->fn = fn;
	watch->arg = arg;
	return 0;
}

void poller_unwatch(int fd)
{
	struct watch *watch =
		mine && fd >= 0 && (size_t)fd < mine->count ? &mine->watches[fd] : NULL;

	if (!watch || !watch->fn)
		return;
	/* It fails for one that is closed already, which epoll has forgotten by itself. */
	(void)epoll_ctl(mine->fd, EPOLL_CTL_DEL, fd, NULL);
	watch->fn = NULL;
	watch->change++;
}

static void deliver(const struct epoll_event *event)
{
	uint32_t fd = (uint32_t)event->data.u64;
	const struct watch *watch = &mine->watches[fd];
	unsigned events = (event->events & EPOLLIN ? POLLER_READ : 0) |
			  (event->events & EPOLLOUT ? POLLER_WRITE : 0) |
			  (event->events & (EPOLLERR | EPOLLHUP) ? POLLER_ERROR : 0);

	if (watch->fn && watch->change == event->data.u64 >> 32)
		watch->fn(events, watch->arg);
}

unsigned poller_wait(uint64_t timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int timeout = timeout_ms == UINT64_MAX ? -1
		      : timeout_ms > INT_MAX   ? INT_MAX
					       : (int)timeout_ms;
	int count;

	bug_on(!mine);
	count = epoll_wait(mine->fd, events, EVENTS_A_TURN, timeout);
	for (int i = 0; i < count; i++)
		deliver(&events[i]);
	return count > 0 ? (unsigned)count : 0;
}
