/* daemon/loop.c - a turn after the other: wait for descriptors or the next timer, do what there is to do
 *
 * While hundreds of turns a second come they are kept apart: the work that gathers meanwhile shares one wake-up, which
 * costs more than a message does. A loop with little to do answers at once.
 */
#include "daemon/loop.h"

#include "base/poller.h"
#include "base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <re/re_types.h>
#include <re/re_main.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define WATCHES_MAX 16
#define BEAT_MS 500
#define TURN_APART_US 2000
#define LOOK_US 100000
#define LOOK_TURNS 30 /* in that time: turns are many */

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
	struct poller *poller;
	struct wheel *wheel;
	struct timer beat;
	bool ending;
	bool busy; /* turns are many */
	unsigned turns;
	uint64_t look_us, next_us;
	atomic_uint_fast64_t beat_ms;
	unsigned watch_count;
	struct watch watches[WATCHES_MAX];
};

static void on_readable(unsigned events, void *arg)
{
	struct watch *watch = arg;

	(void)events;
	watch->fn(watch->arg);
}

int loop_watch(struct loop *loop, int fd, void (*fn)(void *arg), void *arg)
{
	struct watch *watch;
	int r;

	bug_on(loop->watch_count == WATCHES_MAX);
	watch = &loop->watches[loop->watch_count];
	*watch = (struct watch){ .fd = fd, .fn = fn, .arg = arg };
	r = poller_watch(fd, POLLER_READ, on_readable, watch);
	if (r)
		return err_newf(-r, "watch descriptor %d", fd);
	loop->watch_count++;
	return 0;
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
	loop->poller = poller_new();
	loop->wheel = wheel_new();
	timer_init(&loop->beat, loop->wheel, on_beat, loop);
	on_beat(&loop->beat, loop);
	return loop_watch(loop, ring_fd(loop->posts), on_posts, loop);
}

static void loop_dismantle(struct loop *loop)
{
	on_posts(loop); /* what was posted too late for the loop itself */
	while (loop->watch_count)
		poller_unwatch(loop->watches[--loop->watch_count].fd);
	timer_stop(&loop->beat);
	loop->wheel = wheel_free(loop->wheel);
	loop->poller = poller_free(loop->poller);
	re_thread_close();
}

/* ---- turns ---- */

static void turns_count(struct loop *loop, uint64_t now_us)
{
	loop->turns++;
	if (now_us - loop->look_us < LOOK_US)
		return;
	loop->busy = loop->turns >= LOOK_TURNS;
	loop->turns = 0;
	loop->look_us = now_us;
}

/* Until a turn's time is over. One whose work takes longer, or that comes after a while of rest, pauses not at all. */
static void turn_end(struct loop *loop)
{
	uint64_t now_us = clock_mono_us();

	turns_count(loop, now_us);
	if (loop->busy && now_us < loop->next_us) {
		usleep((useconds_t)(loop->next_us - now_us));
		now_us = loop->next_us;
	}
	loop->next_us = now_us + TURN_APART_US;
}

static void loop_run(struct loop *loop)
{
	while (!loop->ending) {
		(void)poller_wait(wheel_wait_ms(loop->wheel));
		wheel_advance(loop->wheel);
		if (!loop->ending)
			turn_end(loop);
	}
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

	if (!r)
		loop_run(loop);
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

static void end(void *arg)
{
	struct loop *loop = arg;

	loop->ending = true;
}

struct loop *loop_stop(struct loop *loop)
{
	if (!loop)
		return NULL;
	loop_post(loop, end, loop);
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
