/* base/ring.h - messages by value between threads
 *
 * Many writers, one reader, bounded, in order for each writer. The reader waits on ring_fd() in its loop;
 * a burst costs one wake-up. Messages hold values, ids, or objects whose ownership travels with them.
 */
#pragma once

#include "base/mem.h"

struct ring;

struct ring *ring_new(size_t msg_size,
		      size_t capacity);	   /* capacity: rounded up to a power of two */
struct ring *ring_free(struct ring *ring); /* messages left inside are the caller's to pop first */
DEFINE_CLEANUP(struct ring *, ring_free)

/* Any thread, never blocks. Return: false when full (the message was not taken). */
must_check bool ring_push(struct ring *ring, const void *msg);
/* The reader only. Return: false when empty. */
must_check bool ring_pop(struct ring *ring, void *ret_msg);
/* Readable while messages wait; the reader calls ring_ack() before it pops until empty. */
int ring_fd(const struct ring *ring);
void ring_ack(struct ring *ring);
/* In the place of ring_ack(), by a reader that will come again by itself soon: ring_fd() tells of nothing until the
 * next ring_ack(), so that writers need no system call meanwhile. It pops as usual.
 */
void ring_hush(struct ring *ring);
/* The reader: wakes itself again, for what it leaves in the ring after ring_ack(). */
void ring_wake(struct ring *ring);
size_t ring_depth(const struct ring *ring);

/* A place where one thread awaits one answer from another. The asker makes it and sends its pointer along
 * as a ticket; the answerer gives it exactly once. If the asker's time runs out it abandons the ticket and
 * the answer is freed by whoever comes last, so neither can hurt the other.
 */
struct ticket;

struct ticket *ticket_new(void (*answer_free)(void *answer));
/* The answerer: hands over the answer (may be NULL) and forgets the ticket. */
void ticket_give(struct ticket *ticket, void *answer);
/* The asker: waits and forgets the ticket. Return: true with *ret_answer, or false when time ran out. */
must_check bool ticket_await(struct ticket *ticket, unsigned timeout_ms, void **ret_answer);
/* The asker, when the message could not even be sent. */
void ticket_drop(struct ticket *ticket);
