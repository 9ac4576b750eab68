/* The ws thread. Whatever a callback does, a connection is taken apart only at the end of a round (ws->reap), and
 * written to only then (ws->flush), many frames to a system call.
 */
#include "http/ws_private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define POSTS 16384

struct post {
	void (*fn)(void *arg);
	void *arg;
};

static void ws_round_end(struct ws *ws)
{
	struct ws_conn *conn = take(ws->flush);

	while (conn) {
		struct ws_conn *next = conn->flush_next;

		conn->in_flush = false;
		if (!conn->dead)
			ws_conn_flush(conn);
		conn = next;
	}
	/* A dead one may still be on the new flush list: take those out first. */
	for (struct ws_conn **at = &ws->flush; *at;) {
		if ((*at)->dead)
			*at = (*at)->flush_next;
		else
			at = &(*at)->flush_next;
	}
	while ((conn = ws->reap)) {
		ws->reap = conn->reap_next;
		ws_conn_free(conn);
	}
}

static void ws_run_posts(struct ws *ws)
{
	struct post post;

	ring_ack(ws->posts);
	while (ring_pop(ws->posts, &post))
		post.fn(post.arg);
}

static void ws_on_source(struct ws *ws, struct source *source, uint32_t events)
{
	struct ws_conn *conn;
	struct watch *watch;

	switch (source->kind) {
	case SOURCE_RING:
		ws_run_posts(ws);
		break;
	case SOURCE_WATCH:
		watch = (struct watch *)source;
		if (watch->fn)
			watch->fn(watch->arg);
		break;
	case SOURCE_CONN:
		conn = (struct ws_conn *)source;
		if (conn->dead)
			break;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			ws_conn_read(conn);
		if ((events & EPOLLOUT) && !conn->dead)
			ws_conn_flush_later(conn);
		break;
	}
}

static int ws_wait_ms(const struct ws *ws)
{
	uint64_t wait = wheel_wait_ms(ws->wheel);

	if (ws->flush)
		return 0;
	if (ws->stopping && wait > 20)
		wait = 20;
	return wait > 60000 ? 60000 : (int)wait;
}

static bool ws_is_done(const struct ws *ws)
{
	return ws->stopping && (ws->conns.count == 0 || clock_mono_ms() > ws->stop_at_ms);
}

static void ws_kill_all(struct ws *ws)
{
	size_t cursor = 0;
	struct hnode *node = NULL;

	while ((node = hmap_iter(&ws->conns, &cursor, node)))
		ws_conn_kill(container_of_(node, struct ws_conn, by_id), 1006);
	ws_round_end(ws);
}

static void *ws_main(void *arg)
{
	struct ws *ws = arg;
	struct epoll_event events[256];

	while (!ws_is_done(ws)) {
		int count = epoll_wait(ws->epoll_fd, events, ARRAY_LEN(events), ws_wait_ms(ws));

		wheel_advance(ws->wheel);
		for (int i = 0; i < count; i++)
			ws_on_source(ws, events[i].data.ptr, events[i].events);
		ws_round_end(ws);
	}
	ws_kill_all(ws);
	ws_run_posts(ws); /* what still waits is run, so that nothing it owns is lost */
	ws_round_end(ws);
	return NULL;
}

static int ws_begin(struct ws *ws)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &ws->ring_source };

	ws->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ws->epoll_fd < 0)
		return err_newf(errno, "epoll_create1");
	if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, ring_fd(ws->posts), &event) < 0)
		return err_newf(errno, "epoll_ctl");
	if (pthread_create(&ws->thread, NULL, ws_main, ws) != 0)
		return err_newf(EAGAIN, "start of the ws thread");
	pthread_setname_np(ws->thread, "ws");
	ws->thread_runs = true;
	return 0;
}

int ws_start(const struct ws_setup *setup, struct ws **ret_ws)
{
	struct ws *ws = xzalloc(sizeof(*ws));
	int r;

	ws->setup = *setup;
	ws->setup.max_clients = setup->max_clients ?: 50000;
	ws->setup.max_per_address = setup->max_per_address ?: 1000;
	ws->setup.ping_ms = setup->ping_ms ?: 25000;
	ws->setup.close_ms = setup->close_ms ?: 5000;
	ws->epoll_fd = -1;
	ws->ring_source.kind = SOURCE_RING;
	ws->posts = ring_new(sizeof(struct post), POSTS);
	ws->wheel = wheel_new();
	for (unsigned i = 0; i < WATCHES; i++)
		ws->watches[i] = (struct watch){ .source.kind = SOURCE_WATCH, .fd = -1 };
	r = ws_begin(ws);
	if (r) {
		ws_stop(ws);
		return err_pass(r);
	}
	*ret_ws = ws;
	return 0;
}

static void on_stop(void *arg)
{
	struct ws *ws = arg;
	size_t cursor = 0;
	struct hnode *node = NULL;

	ws->stopping = true;
	ws->stop_at_ms = clock_mono_ms() + (ws->setup.close_ms < 1000 ? ws->setup.close_ms : 1000);
	while ((node = hmap_iter(&ws->conns, &cursor, node)))
		ws_close(container_of_(node, struct ws_conn, by_id), WS_CLOSE_RESTART,
			 "going away");
}

struct ws *ws_stop(struct ws *ws)
{
	if (!ws)
		return NULL;
	if (ws->thread_runs) {
		while (!ws_post(ws, on_stop, ws))
			usleep(1000);
		pthread_join(ws->thread, NULL);
	}
	if (ws->epoll_fd >= 0)
		close(ws->epoll_fd);
	hmap_fini(&ws->conns);
	hmap_fini(&ws->addresses);
	ring_free(ws->posts);
	wheel_free(ws->wheel);
	free(ws);
	return NULL;
}

bool ws_post(struct ws *ws, void (*fn)(void *arg), void *arg)
{
	return ring_push(ws->posts, &(struct post){ .fn = fn, .arg = arg });
}

struct wheel *ws_wheel(struct ws *ws)
{
	return ws->wheel;
}

int ws_watch(struct ws *ws, int fd, void (*fn)(void *arg), void *arg)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		struct watch *watch = &ws->watches[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &watch->source };

		if (watch->fd >= 0)
			continue;
		if (epoll_ctl(ws->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			return err_newf(errno, "epoll_ctl");
		watch->fd = fd;
		watch->fn = fn;
		watch->arg = arg;
		return 0;
	}
	return err_new(ENOSPC);
}

void ws_unwatch(struct ws *ws, int fd)
{
	for (unsigned i = 0; i < WATCHES; i++) {
		struct watch *watch = &ws->watches[i];

		if (watch->fd != fd)
			continue;
		epoll_ctl(ws->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		watch->fd = -1;
		watch->fn = NULL;
	}
}
