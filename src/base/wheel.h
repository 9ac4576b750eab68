/* base/wheel.h - timers: one hierarchical wheel a loop thread, O(1) start and stop, 1 ms ticks
 *
 * A wheel is also its loop's clock. A real wheel follows the machine's clocks each time it is advanced; a
 * virtual one (tests) goes only where wheel_advance_to() says, wall time included.
 * Belongs to one thread. Timers are embedded in their owners, who stop them before they go away.
 */
#pragma once

#include "base/mem.h"

struct wheel;
struct timer;
typedef void timer_fn(struct timer *timer, void *arg);

struct timer {
	struct timer *next, **pprev; /* the wheel's */
	struct wheel *wheel;
	timer_fn *fn;
	void *arg;
	uint64_t due_ms;
};

struct wheel *wheel_new(void); /* real clocks */
struct wheel *wheel_new_virtual(uint64_t mono_ms, int64_t wall_us);
/* Timers still running are forgotten, not fired. */
struct wheel *wheel_free(struct wheel *wheel);
DEFINE_CLEANUP(struct wheel *, wheel_free)

/* Real wheels: the machine's clocks, read now. Virtual ones: while a timer fires, its own due time. */
uint64_t wheel_now_ms(const struct wheel *wheel);
int64_t wheel_wall_us(const struct wheel *wheel);

/* How long the loop may sleep. Return: milliseconds, 0 if a timer is due, UINT64_MAX without timers. It may be
 * shorter than the time to the next timer (a long one moves down the wheel on its way), never longer.
 */
uint64_t wheel_wait_ms(const struct wheel *wheel);
/* Real wheels: read the clock and fire what is due, in order of due time (same tick: order of start). */
void wheel_advance(struct wheel *wheel);
/* Virtual wheels: step to mono_ms firing every timer at its own due time; wall time moves along. */
void wheel_advance_to(struct wheel *wheel, uint64_t mono_ms);
size_t wheel_count(const struct wheel *wheel);
/* For loops that cannot ask wheel_wait_ms() before they sleep: `fn` hears the time (monotonic milliseconds) at which
 * wheel_advance() must be called, whenever that comes nearer, and after each advance while timers run.
 */
void wheel_set_alarm(struct wheel *wheel, void (*fn)(void *arg, uint64_t at_ms), void *arg);

void timer_init(struct timer *timer, struct wheel *wheel, timer_fn *fn, void *arg);
/* Starts, or restarts, the timer; never fires from inside this call. One that restarts itself with 0 each time it
 * fires would keep the advance from ending.
 */
void timer_start(struct timer *timer, uint64_t after_ms);
void timer_stop(struct timer *timer); /* a stopped or merely zeroed timer is fine */
static inline bool timer_running(const struct timer *timer)
{
	return timer->pprev != NULL;
}
/* Return: milliseconds left, 0 when not running. */
uint64_t timer_left_ms(const struct timer *timer);
