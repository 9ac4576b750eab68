/* daemon/loop.c - libre's loop asks nobody before it sleeps, so a timerfd stands for the wheel: the wheel's alarm
 * sets it whenever the next timer comes nearer.
 */
#include "daemon/loop.h"

#include "base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <re/re_types.h>
#include <re/re_main.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WATCHES_MAX 16
#define BEAT_MS 500

struct post {
	void (*fn)(void *arg);
	void *arg;
};

struct watch {
	int fd;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct loop_setup setup;
	pthread_t thread;
	sem_t begun;
	int begin_result;
	struct ring *posts;
	struct wheel *wheel;
	int timer_fd;
	struct timer beat;
	atomic_uint_fast64_t beat_ms;
	unsigned watch_count;
	struct watch watches[WATCHES_MAX];
};

static void on_readable(int flags, void *arg)
{
	struct watch *watch = arg;

	(void)flags;
	watch->fn(watch->arg);
}

int loop_watch(struct loop *loop, int fd, void (*fn)(void *arg), void *arg)
{
	struct watch *watch;
	int r;

	bug_on(loop->watch_count == WATCHES_MAX);
	watch = &loop->watches[loop->watch_count];
	*watch = (struct watch){ .fd = fd, .fn = fn, .arg = arg };
	r = fd_listen(fd, FD_READ, on_readable, watch);
	if (r)
		return err_newf(r, "watch descriptor %d", fd);
	loop->watch_count++;
	return 0;
}

/* An absolute time that has passed makes the descriptor readable at once; zero would disarm it. */
static void on_alarm(void *arg, uint64_t at_ms)
{
	struct loop *loop = arg;
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ms / 1000),
		.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000 + 1,
	};

	bug_on(timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL));
}

static void on_timer_fd(void *arg)
{
	struct loop *loop = arg;
	uint64_t count;

	while (read(loop->timer_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	wheel_advance(loop->wheel);
}

static void on_beat(struct timer *timer, void *arg)
{
	struct loop *loop = arg;

	atomic_store_explicit(&loop->beat_ms, clock_mono_ms(), memory_order_relaxed);
	timer_start(timer, BEAT_MS);
}

static void on_posts(void *arg)
{
	struct loop *loop = arg;
	struct post post;

	ring_ack(loop->posts);
	while (ring_pop(loop->posts, &post))
		post.fn(post.arg);
}

static int loop_prepare(struct loop *loop)
{
	int r = re_thread_init();

	if (r)
		return err_newf(r, "libre's loop");
	r = fd_setsize((int)loop->setup.max_fds);
	if (r)
		return err_newf(r, "room for %u descriptors", loop->setup.max_fds);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0)
		return err_newf(errno, "timerfd");
	loop->wheel = wheel_new();
	wheel_set_alarm(loop->wheel, on_alarm, loop);
	timer_init(&loop->beat, loop->wheel, on_beat, loop);
	on_beat(&loop->beat, loop);
	r = loop_watch(loop, loop->timer_fd, on_timer_fd, loop);
	if (r)
		return r;
	return loop_watch(loop, ring_fd(loop->posts), on_posts, loop);
}

static void loop_dismantle(struct loop *loop)
{
	on_posts(loop); /* what was posted too late for the loop itself */
	while (loop->watch_count)
		fd_close(loop->watches[--loop->watch_count].fd);
	timer_stop(&loop->beat);
	loop->wheel = wheel_free(loop->wheel);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	re_thread_close();
}

static void *loop_main(void *arg)
{
	struct loop *loop = arg;
	int r;

	pthread_setname_np(pthread_self(), "call-loop");
	r = loop_prepare(loop);
	if (!r)
		r = loop->setup.begin(loop, loop->setup.arg);
	loop->begin_result = r;
	sem_post(&loop->begun);

	if (!r) {
		r = re_main(NULL);
		if (r)
			(void)err_newf(r, "the call loop ended");
	}
	loop->setup.end(loop, loop->setup.arg);
	loop_dismantle(loop);
	return NULL;
}

static void loop_free(struct loop *loop)
{
	ring_free(loop->posts);
	sem_destroy(&loop->begun);
	free(loop);
}

int loop_start(const struct loop_setup *setup, struct loop **ret_loop)
{
	struct loop *loop = xzalloc(sizeof(*loop));
	int r;

	loop->setup = *setup;
	loop->timer_fd = -1;
	loop->posts = ring_new(sizeof(struct post), 256);
	sem_init(&loop->begun, 0, 0);
	r = pthread_create(&loop->thread, NULL, loop_main, loop);
	if (r) {
		loop_free(loop);
		return err_newf(r, "start the call loop");
	}
	while (sem_wait(&loop->begun) < 0 && errno == EINTR)
		;
	r = loop->begin_result;
	if (r) {
		pthread_join(loop->thread, NULL);
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

static void cancel(void *arg)
{
	(void)arg;
	re_cancel();
}

struct loop *loop_stop(struct loop *loop)
{
	if (!loop)
		return NULL;
	loop_post(loop, cancel, NULL);
	pthread_join(loop->thread, NULL);
	loop_free(loop);
	return NULL;
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct post post = { fn, arg };
	struct timespec pause = { .tv_nsec = 1000000 };

	while (!ring_push(loop->posts, &post))
		nanosleep(&pause, NULL);
}

uint64_t loop_lag_ms(const struct loop *loop)
{
	uint64_t beat_ms = atomic_load_explicit(&loop->beat_ms, memory_order_relaxed);
	uint64_t now_ms = clock_mono_ms();

	return now_ms > beat_ms ? now_ms - beat_ms : 0;
}

struct wheel *loop_wheel(struct loop *loop)
{
	return loop->wheel;
}
