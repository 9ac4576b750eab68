/* base/work.c - a bounded queue and the threads that serve it */
#include "base/work.h"

#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define THREADS_MAX 64
#define NAME_MAX_ 16 /* with the NUL, what the kernel takes */

struct work_pool {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct work *queue; /* a circle */
	size_t capacity, head, count;
	bool stopping;
	char name[NAME_MAX_];
	unsigned thread_count;
	pthread_t threads[THREADS_MAX];
};

static bool pool_next(struct work_pool *pool, struct work *ret)
{
	bool found;

	pthread_mutex_lock(&pool->lock);
	while (!pool->count && !pool->stopping)
		pthread_cond_wait(&pool->filled, &pool->lock);
	found = pool->count > 0;
	if (found) {
		*ret = pool->queue[pool->head];
		pool->head = (pool->head + 1) % pool->capacity;
		pool->count--;
	}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

/* A finished job must not be lost; its reader is only busy. */
static void send_home(const struct work *work)
{
	struct timespec pause = { .tv_nsec = 1000000 };

	while (!ring_push(work->home, work))
		nanosleep(&pause, NULL);
}

static void *worker_main(void *arg)
{
	struct work_pool *pool = arg;
	struct work work;

	pthread_setname_np(pthread_self(), pool->name);
	while (pool_next(pool, &work)) {
		if (work.run)
			work.run(work.arg);
		if (work.home)
			send_home(&work);
		else if (work.done)
			work.done(work.arg);
	}
	return NULL;
}

struct work_pool *work_pool_new(const char *name, unsigned threads, size_t capacity)
{
	struct work_pool *pool = xzalloc(sizeof(*pool));
	sigset_t all, before;

	bug_on(!threads || threads > THREADS_MAX || !capacity);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->filled, NULL);
	pool->queue = xzalloc_array(capacity, sizeof(*pool->queue));
	pool->capacity = capacity;
	snprintf(pool->name, sizeof(pool->name), "%s", name);

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; pool->thread_count < threads; pool->thread_count++) {
		int r = pthread_create(&pool->threads[pool->thread_count], NULL, worker_main, pool);

		bug_on(r && !pool->thread_count); /* none at all: the daemon cannot start */
		if (r) {
			(void)err_newf(r, "start thread %u of pool %s", pool->thread_count, name);
			break;
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pool;
}

struct work_pool *work_pool_free(struct work_pool *pool)
{
	if (!pool)
		return NULL;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->filled);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->filled);
	pthread_mutex_destroy(&pool->lock);
	free(pool->queue);
	free(pool);
	return NULL;
}

bool work_submit(struct work_pool *pool, const struct work *work)
{
	bool taken;

	pthread_mutex_lock(&pool->lock);
	taken = !pool->stopping && pool->count < pool->capacity;
	if (taken) {
		pool->queue[(pool->head + pool->count) % pool->capacity] = *work;
		pool->count++;
		pthread_cond_signal(&pool->filled);
	}
	pthread_mutex_unlock(&pool->lock);
	return taken;
}

void work_reap(struct ring *home)
{
	struct work work;

	ring_ack(home);
	while (ring_pop(home, &work))
		if (work.done)
			work.done(work.arg);
}
