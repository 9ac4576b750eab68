#include "base/base.h"
#include "base/ring.h"
#include "base/work.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#define WRITERS 4
#define PER_WRITER 50000

struct message {
	unsigned writer;
	unsigned number;
	uint64_t check;
};

struct writer {
	pthread_t thread;
	struct ring *ring;
	unsigned index;
};

static void *writer_main(void *arg)
{
	struct writer *writer = arg;

	for (unsigned i = 0; i < PER_WRITER; i++) {
		struct message msg = { writer->index, i, (uint64_t)writer->index * 1000003 + i };

		while (!ring_push(writer->ring, &msg))
			sched_yield();
	}
	return NULL;
}

static bool is_readable(const struct ring *ring, int timeout_ms)
{
	struct pollfd fd = { .fd = ring_fd(ring), .events = POLLIN };

	return poll(&fd, 1, timeout_ms) == 1;
}

static void every_message_of_every_writer_arrives_once_and_in_order(void **state)
{
	auto_(ring_free) struct ring *ring = ring_new(sizeof(struct message), 256);
	struct writer writers[WRITERS];
	unsigned next[WRITERS] = { 0 };
	unsigned total = 0;

	(void)state;
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .ring = ring, .index = i };
		assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]),
				 0);
	}
	while (total < WRITERS * PER_WRITER) {
		struct message msg;

		assert_true(is_readable(ring, 10000)); /* a lost wake-up ends the test here */
		ring_ack(ring);
		while (ring_pop(ring, &msg)) {
			assert_in_range(msg.writer, 0, WRITERS - 1);
			assert_int_equal(msg.number, next[msg.writer]);
			assert_int_equal(msg.check, (uint64_t)msg.writer * 1000003 + msg.number);
			next[msg.writer]++;
			total++;
		}
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	assert_int_equal(ring_depth(ring), 0);
}

static void a_full_ring_refuses_and_a_popped_one_takes_again(void **state)
{
	auto_(ring_free) struct ring *ring = ring_new(sizeof(int), 5);
	int n;

	(void)state;
	for (n = 0; n < 8; n++)
		assert_true(ring_push(ring, &n)); /* 5 rounds up to 8 */
	assert_false(ring_push(ring, &n));
	assert_int_equal(ring_depth(ring), 8);
	assert_true(ring_pop(ring, &n));
	assert_int_equal(n, 0);
	n = 8;
	assert_true(ring_push(ring, &n));
	for (int want = 1; want <= 8; want++) {
		assert_true(ring_pop(ring, &n));
		assert_int_equal(n, want);
	}
	assert_false(ring_pop(ring, &n));
}

static void the_descriptor_is_readable_while_messages_wait(void **state)
{
	auto_(ring_free) struct ring *ring = ring_new(sizeof(int), 8);
	int n = 7;

	(void)state;
	assert_false(is_readable(ring, 0));
	assert_true(ring_push(ring, &n));
	assert_true(ring_push(ring, &n));
	assert_true(is_readable(ring, 0));
	ring_ack(ring);
	assert_false(is_readable(ring, 0));
	assert_true(ring_pop(ring, &n));
	assert_true(ring_pop(ring, &n));
	assert_true(ring_push(ring, &n));
	assert_true(is_readable(ring, 0));
}

static atomic_int freed;

static void a_hushed_ring_wakes_nobody_until_its_reader_acks(void **state)
{
	auto_(ring_free) struct ring *ring = ring_new(sizeof(int), 8);
	int number = 1;

	(void)state;
	assert_true(ring_push(ring, &number));
	ring_hush(ring);
	assert_true(ring_pop(ring, &number));
	assert_true(ring_push(ring, &number));
	assert_false(is_readable(ring, 0));

	ring_ack(ring); /* what came meanwhile is there to be popped after it */
	assert_true(ring_pop(ring, &number));
	assert_false(ring_pop(ring, &number));
	assert_true(ring_push(ring, &number));
	assert_true(is_readable(ring, 0));
	assert_true(ring_pop(ring, &number));
}

static void answer_free(void *answer)
{
	atomic_fetch_add(&freed, 1);
	free(answer);
}

struct giver {
	struct ticket *ticket;
	unsigned delay_us;
};

static void *giver_main(void *arg)
{
	struct giver *giver = arg;
	struct timespec pause = { .tv_nsec = (long)giver->delay_us * 1000 };

	nanosleep(&pause, NULL);
	ticket_give(giver->ticket, xstrdup("done"));
	return NULL;
}

static void a_ticket_brings_its_answer(void **state)
{
	struct giver giver = { .ticket = ticket_new(answer_free), .delay_us = 2000 };
	pthread_t thread;
	void *answer = NULL;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, giver_main, &giver), 0);
	assert_true(ticket_await(giver.ticket, 5000, &answer));
	assert_string_equal(answer, "done");
	free(answer);
	pthread_join(thread, NULL);
}

static void an_answer_that_comes_too_late_is_freed(void **state)
{
	struct ticket *ticket = ticket_new(answer_free);
	void *answer = NULL;

	(void)state;
	atomic_store(&freed, 0);
	assert_false(ticket_await(ticket, 5, &answer));
	assert_null(answer);
	ticket_give(ticket, xstrdup("late"));
	assert_int_equal(atomic_load(&freed), 1);
}

static void answer_and_time_out_may_cross(void **state)
{
	unsigned got = 0;

	(void)state;
	atomic_store(&freed, 0);
	for (unsigned i = 0; i < 200; i++) {
		struct giver giver = { .ticket = ticket_new(answer_free), .delay_us = 900 + i };
		pthread_t thread;
		void *answer;

		assert_int_equal(pthread_create(&thread, NULL, giver_main, &giver), 0);
		if (ticket_await(giver.ticket, 1, &answer)) {
			free(answer);
			got++;
		}
		pthread_join(thread, NULL);
	}
	assert_int_equal(got + (unsigned)atomic_load(&freed), 200);
}

struct job {
	atomic_int ran, finished;
	pthread_t done_on;
};

static void job_run(void *arg)
{
	atomic_fetch_add(&((struct job *)arg)->ran, 1);
}

static void job_done(void *arg)
{
	((struct job *)arg)->done_on = pthread_self();
	atomic_fetch_add(&((struct job *)arg)->finished, 1);
}

static void jobs_run_elsewhere_and_end_at_home(void **state)
{
	auto_(ring_free) struct ring *home = ring_new(sizeof(struct work), 4);
	struct work_pool *pool = work_pool_new("test", 3, 64);
	struct job job = { 0 };
	struct work work = { .run = job_run, .done = job_done, .arg = &job, .home = home };

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		assert_true(work_submit(pool, &work));
	while (atomic_load(&job.finished) < 32) {
		assert_true(is_readable(home, 5000));
		work_reap(home);
		assert_true(pthread_equal(job.done_on, pthread_self()));
	}
	assert_int_equal(atomic_load(&job.ran), 32);
	work_pool_free(pool);
}

struct gate {
	pthread_mutex_t lock;
	atomic_int entered;
};

static void gate_run(void *arg)
{
	struct gate *gate = arg;

	atomic_fetch_add(&gate->entered, 1);
	pthread_mutex_lock(&gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void a_full_pool_refuses_and_freeing_it_finishes_the_queue(void **state)
{
	struct work_pool *pool = work_pool_new("test", 1, 2);
	struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct work work = { .run = gate_run, .arg = &gate };

	(void)state;
	pthread_mutex_lock(&gate.lock);
	assert_true(work_submit(pool, &work));
	while (!atomic_load(&gate.entered))
		sched_yield();
	assert_true(work_submit(pool, &work));
	assert_true(work_submit(pool, &work));
	assert_false(work_submit(pool, &work));
	pthread_mutex_unlock(&gate.lock);
	work_pool_free(pool);
	assert_int_equal(atomic_load(&gate.entered), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_of_every_writer_arrives_once_and_in_order),
		cmocka_unit_test(a_full_ring_refuses_and_a_popped_one_takes_again),
		cmocka_unit_test(the_descriptor_is_readable_while_messages_wait),
		cmocka_unit_test(a_hushed_ring_wakes_nobody_until_its_reader_acks),
		cmocka_unit_test(a_ticket_brings_its_answer),
		cmocka_unit_test(an_answer_that_comes_too_late_is_freed),
		cmocka_unit_test(answer_and_time_out_may_cross),
		cmocka_unit_test(jobs_run_elsewhere_and_end_at_home),
		cmocka_unit_test(a_full_pool_refuses_and_freeing_it_finishes_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
