/* base/ring.c - a bounded queue after Dmitry Vyukov's idea, and tickets for single answers
 *
 * Every cell carries a turn number. A writer claims the next position by a compare-and-swap on `tail` once the
 * cell's turn says it is free, copies the message in, and publishes it by raising the turn; the one reader takes
 * cells whose turn says they are full. `signalled` keeps a burst at one write to the eventfd: only who turns it
 * from false to true writes, and the reader turns it back before it pops, so a message is either seen by that pop
 * or wakes the reader again.
 */
#include "base/ring.h"

#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LINE 64

/* `turn` counts the rounds of the cell times the ring's size, less the cell's own number: a fresh ring is all zeros
 * and its pages are not touched before they are used.
 */
struct cell {
	atomic_size_t turn;
	_Alignas(8) char msg[];
};

struct ring {
	size_t msg_size, cell_size, mask;
	int fd;
	char *cells;
	_Alignas(CACHE_LINE) atomic_size_t tail;
	_Alignas(CACHE_LINE) atomic_size_t head;
	_Alignas(CACHE_LINE) atomic_bool signalled;
};

static struct cell *ring_cell(const struct ring *ring, size_t position)
{
	return (struct cell *)(ring->cells + (position & ring->mask) * ring->cell_size);
}

struct ring *ring_new(size_t msg_size, size_t capacity)
{
	size_t slots = 2;
	struct ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));

	bug_on(!ring || !msg_size);
	memset(ring, 0, sizeof(*ring));
	while (slots < capacity)
		slots *= 2;
	ring->msg_size = msg_size;
	ring->cell_size = (sizeof(struct cell) + msg_size + 7) & ~(size_t)7;
	ring->mask = slots - 1;
	ring->cells = xzalloc_array(slots, ring->cell_size);
	ring->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bug_on(ring->fd < 0); /* out of descriptors while starting: nothing can be done without */
	return ring;
}

struct ring *ring_free(struct ring *ring)
{
	if (!ring)
		return NULL;
	close(ring->fd);
	free(ring->cells);
	free(ring);
	return NULL;
}

static size_t cell_turn(const struct ring *ring, const struct cell *cell, size_t position)
{
	return atomic_load_explicit(&cell->turn, memory_order_acquire) + (position & ring->mask);
}

static void cell_set_turn(const struct ring *ring, struct cell *cell, size_t position, size_t turn)
{
	atomic_store_explicit(&cell->turn, turn - (position & ring->mask), memory_order_release);
}

static void ring_signal(struct ring *ring)
{
	uint64_t one = 1;

	if (atomic_exchange_explicit(&ring->signalled, true, memory_order_acq_rel))
		return;
	while (write(ring->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool ring_push(struct ring *ring, const void *msg)
{
	size_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	struct cell *cell;

	for (;;) {
		size_t turn;

		cell = ring_cell(ring, position);
		turn = cell_turn(ring, cell, position);
		if (turn == position) {
			if (atomic_compare_exchange_weak_explicit(
				    &ring->tail, &position, position + 1, memory_order_relaxed,
				    memory_order_relaxed))
				break;
		} else if ((ptrdiff_t)(turn - position) < 0) {
			return false; /* a whole round behind: full */
		} else {
			position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
		}
	}
	memcpy(cell->msg, msg, ring->msg_size);
	cell_set_turn(ring, cell, position, position + 1);
	ring_signal(ring);
	return true;
}

bool ring_pop(struct ring *ring, void *ret_msg)
{
	size_t position = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct cell *cell = ring_cell(ring, position);

	if (cell_turn(ring, cell, position) != position + 1)
		return false;
	memcpy(ret_msg, cell->msg, ring->msg_size);
	cell_set_turn(ring, cell, position, position + ring->mask + 1);
	atomic_store_explicit(&ring->head, position + 1, memory_order_relaxed);
	return true;
}

int ring_fd(const struct ring *ring)
{
	return ring->fd;
}

void ring_hush(struct ring *ring)
{
	uint64_t count;

	/* Whoever raised the flag has written, or is about to: that wake-up comes late and finds little. */
	atomic_store_explicit(&ring->signalled, true, memory_order_release);
	while (read(ring->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void ring_ack(struct ring *ring)
{
	uint64_t count;

	/* In this order: were the flag lowered first, a writer could raise it and have its wake-up read away. */
	while (read(ring->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	atomic_exchange_explicit(&ring->signalled, false, memory_order_acq_rel);
}

void ring_wake(struct ring *ring)
{
	ring_signal(ring);
}

size_t ring_depth(const struct ring *ring)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	return tail > head ? tail - head : 0;
}

struct ticket {
	pthread_mutex_t lock;
	pthread_cond_t given_cond;
	void (*answer_free)(void *answer);
	void *answer;
	bool given, abandoned;
};

struct ticket *ticket_new(void (*answer_free)(void *answer))
{
	struct ticket *ticket = xzalloc(sizeof(*ticket));
	pthread_condattr_t attr;

	ticket->answer_free = answer_free;
	pthread_mutex_init(&ticket->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ticket->given_cond, &attr);
	pthread_condattr_destroy(&attr);
	return ticket;
}

void ticket_drop(struct ticket *ticket)
{
	if (!ticket)
		return;
	if (ticket->answer && ticket->answer_free)
		ticket->answer_free(ticket->answer);
	pthread_cond_destroy(&ticket->given_cond);
	pthread_mutex_destroy(&ticket->lock);
	free(ticket);
}

void ticket_give(struct ticket *ticket, void *answer)
{
	bool abandoned;

	pthread_mutex_lock(&ticket->lock);
	bug_on(ticket->given);
	ticket->answer = answer;
	ticket->given = true;
	abandoned = ticket->abandoned;
	/* Under the lock: after it the asker may free the ticket at once. */
	pthread_cond_signal(&ticket->given_cond);
	pthread_mutex_unlock(&ticket->lock);
	if (abandoned)
		ticket_drop(ticket);
}

bool ticket_await(struct ticket *ticket, unsigned timeout_ms, void **ret_answer)
{
	struct timespec until;
	bool given;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}

	pthread_mutex_lock(&ticket->lock);
	while (!ticket->given && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&ticket->given_cond, &ticket->lock, &until);
	given = ticket->given;
	ticket->abandoned = !given;
	pthread_mutex_unlock(&ticket->lock);

	if (!given)
		return false; /* the answerer drops it */
	*ret_answer = take(ticket->answer);
	ticket_drop(ticket);
	return true;
}
