/* Descriptors: who is told of what, and that nobody hears of one that he watches no more. */
#include "unit.h"

#include "base/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
	int fd, other;
	unsigned calls, events;
	struct end *victim; /* is unwatched, and closed, by this one's call */
	int reborn;	    /* what its number went to */
};

static void on_event(unsigned events, void *arg)
{
	struct end *end = arg;

	end->calls++;
	end->events |= events;
	if (!end->victim)
		return;
	poller_unwatch(end->victim->fd);
	close(end->victim->fd);
	end->reborn = dup(end->other);
	if (end->reborn >= 0 && end->reborn == end->victim->fd)
		assert_int_equal(poller_watch(end->reborn, POLLER_WRITE, on_event, end->victim), 0);
	end->victim = NULL;
}

static struct end end_open(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	return (struct end){ .fd = pair[0], .other = pair[1], .reborn = -1 };
}

static void end_close(struct end *end)
{
	poller_unwatch(end->fd);
	close(end->fd);
	close(end->other);
}

static void what_is_ready_is_told_until_it_is_taken(void **state)
{
	struct poller *poller = poller_new();
	struct end end = end_open();
	char c = 0;

	(void)state;
	assert_int_equal(poller_watch(end.fd, POLLER_READ, on_event, &end), 0);
	assert_int_equal(poller_wait(0), 0);
	assert_int_equal(write(end.other, &c, 1), 1);
	assert_int_equal(poller_wait(1000), 1);
	assert_int_equal(poller_wait(1000), 1);
	assert_int_equal(end.calls, 2);
	assert_int_equal(end.events, POLLER_READ);
	assert_int_equal(read(end.fd, &c, 1), 1);
	assert_int_equal(poller_wait(0), 0);
	assert_int_equal(poller_watch(end.fd, POLLER_READ | POLLER_WRITE, on_event, &end), 0);
	assert_int_equal(poller_wait(0), 1);
	assert_true(end.events & POLLER_WRITE);
	end_close(&end);
	poller_free(poller);
}

static void a_hang_up_is_an_error(void **state)
{
	struct poller *poller = poller_new();
	struct end end = end_open();

	(void)state;
	assert_int_equal(poller_watch(end.fd, 0, on_event, &end), 0);
	close(end.other);
	assert_int_equal(poller_wait(1000), 1);
	assert_int_equal(end.events, POLLER_ERROR);
	poller_unwatch(end.fd);
	assert_int_equal(poller_wait(0), 0);
	poller_unwatch(end.fd);
	close(end.fd);
	poller_free(poller);
}

/* Both are ready in one turn; the first takes the second away and gives its number to another. */
static void a_late_event_does_not_reach_the_next_owner_of_a_number(void **state)
{
	struct poller *poller = poller_new();
	struct end first = end_open(), second = end_open();
	char c = 0;

	(void)state;
	first.victim = &second;
	second.victim = NULL;
	assert_int_equal(poller_watch(first.fd, POLLER_READ, on_event, &first), 0);
	assert_int_equal(write(first.other, &c, 1), 1);
	assert_int_equal(poller_watch(second.fd, POLLER_READ, on_event, &second), 0);
	assert_int_equal(write(second.other, &c, 1), 1);
	assert_int_equal(poller_wait(1000), 2);
	assert_int_equal(first.calls, 1);
	assert_int_equal(first.reborn, second.fd);
	assert_int_equal(second.calls, 0);
	assert_int_equal(poller_wait(1000), 2); /* the new owner is writable */
	assert_int_equal(second.events, POLLER_WRITE);
	poller_unwatch(second.fd);
	close(first.reborn);
	close(second.other);
	end_close(&first);
	poller_free(poller);
}

static void what_cannot_be_waited_for_is_said(void **state)
{
	struct poller *poller = poller_new();
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_int_equal(poller_watch(fd, POLLER_READ, on_event, NULL), -EPERM);
	close(fd);
	assert_int_equal(poller_watch(fd, POLLER_READ, on_event, NULL), -EBADF);
	poller_unwatch(fd);
	poller_free(poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_ready_is_told_until_it_is_taken),
		cmocka_unit_test(a_hang_up_is_an_error),
		cmocka_unit_test(a_late_event_does_not_reach_the_next_owner_of_a_number),
		cmocka_unit_test(what_cannot_be_waited_for_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
