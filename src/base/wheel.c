/* base/wheel.c - a hierarchical timing wheel (Varghese and Lauck, scheme 7)
 *
 * Level 0 has 64 slots of 1 ms, level n slots of 64^n ms; eleven levels hold every 64-bit time. A timer lies at the
 * level of the highest group of six bits in which its due time differs from the wheel's position, so everything at
 * a level is ahead of the position in the same turn: a bitmap a level finds the next slot at once, and the lowest
 * level in use has the earliest. When the position reaches a slot of a higher level, its timers move down; each
 * moves at most ten times. Slots are stacks that are reversed when emptied, which keeps the order of starting.
 */
#include "base/wheel.h"

#include "base/clock.h"
#include "base/err.h"

#define LEVEL_BITS 6
#define LEVEL_SLOTS 64
#define LEVELS 11

struct wheel {
	uint64_t position_ms; /* every timer due before it has fired */
	size_t count;
	bool advancing;
	bool is_virtual;
	uint64_t now_ms;	/* virtual only */
	int64_t wall_offset_us; /* virtual only: wall time less monotonic time */
	void (*alarm_fn)(void *arg, uint64_t at_ms);
	void *alarm_arg;
	uint64_t alarm_ms; /* what alarm_fn was last told; UINT64_MAX: nothing that still holds */
	uint64_t used[LEVELS]; /* a bit a slot that is not empty */
	struct timer *slot[LEVELS][LEVEL_SLOTS];
};

struct wheel *wheel_new(void)
{
	struct wheel *wheel = xzalloc(sizeof(*wheel));

	wheel->alarm_ms = UINT64_MAX;
	wheel->position_ms = clock_mono_ms();
	return wheel;
}

struct wheel *wheel_new_virtual(uint64_t mono_ms, int64_t wall_us)
{
	struct wheel *wheel = xzalloc(sizeof(*wheel));

	wheel->is_virtual = true;
	wheel->alarm_ms = UINT64_MAX;
	wheel->now_ms = wheel->position_ms = mono_ms;
	wheel->wall_offset_us = wall_us - (int64_t)mono_ms * 1000;
	return wheel;
}

static void timer_unlink(struct timer *timer)
{
	struct wheel *wheel = timer->wheel;
	uintptr_t first = (uintptr_t)&wheel->slot[0][0];
	uintptr_t place = (uintptr_t)timer->pprev;

	*timer->pprev = timer->next;
	if (timer->next)
		timer->next->pprev = timer->pprev;
	else if (place >= first && place < first + sizeof(wheel->slot)) {
		/* It was the only one of its slot (else pprev would point into another timer). */
		size_t index = (place - first) / sizeof(struct timer *);

		wheel->used[index / LEVEL_SLOTS] &= ~(1ull << (index % LEVEL_SLOTS));
	}
	timer->next = NULL;
	timer->pprev = NULL;
}

static void list_push(struct timer **list, struct timer *timer)
{
	timer->next = *list;
	timer->pprev = list;
	if (*list)
		(*list)->pprev = &timer->next;
	*list = timer;
}

static void wheel_place(struct wheel *wheel, struct timer *timer)
{
	uint64_t differs = timer->due_ms ^ wheel->position_ms;
	unsigned level = differs ? (63u - (unsigned)__builtin_clzll(differs)) / LEVEL_BITS : 0;
	unsigned index = (timer->due_ms >> (level * LEVEL_BITS)) & (LEVEL_SLOTS - 1);

	list_push(&wheel->slot[level][index], timer);
	wheel->used[level] |= 1ull << index;
}

/* Return: false without timers; else the level and slot that come next and the time at which that slot begins. */
static bool wheel_next(const struct wheel *wheel, unsigned *ret_level, unsigned *ret_index,
		       uint64_t *ret_at_ms)
{
	for (unsigned level = 0; level < LEVELS; level++) {
		unsigned shift = level * LEVEL_BITS;
		uint64_t turn = shift + LEVEL_BITS < 64 ? ~0ull << (shift + LEVEL_BITS) : 0;
		unsigned index;

		if (!wheel->used[level])
			continue;
		index = (unsigned)__builtin_ctzll(wheel->used[level]);
		*ret_level = level;
		*ret_index = index;
		*ret_at_ms = (wheel->position_ms & turn) | (uint64_t)index << shift;
		return true;
	}
	return false;
}

/* Moves a slot's timers to `list`, the first started first. */
static void slot_detach(struct wheel *wheel, unsigned level, unsigned index, struct timer **list)
{
	struct timer *timer = wheel->slot[level][index];

	wheel->slot[level][index] = NULL;
	wheel->used[level] &= ~(1ull << index);
	while (timer) {
		struct timer *next = timer->next;

		list_push(list, timer);
		timer = next;
	}
}

static void slot_fire(struct wheel *wheel, unsigned index)
{
	struct timer *due = NULL;

	slot_detach(wheel, 0, index, &due);
	while (due) {
		struct timer *timer = due;

		timer_unlink(timer);
		wheel->count--;
		timer->fn(timer, timer->arg);
	}
}

static void slot_move_down(struct wheel *wheel, unsigned level, unsigned index)
{
	struct timer *moving = NULL;

	slot_detach(wheel, level, index, &moving);
	while (moving) {
		struct timer *timer = moving;

		timer_unlink(timer);
		wheel_place(wheel, timer);
	}
}

static void alarm_set(struct wheel *wheel, uint64_t at_ms)
{
	wheel->alarm_ms = at_ms;
	if (wheel->alarm_fn)
		wheel->alarm_fn(wheel->alarm_arg, at_ms);
}

/* Timers that were stopped may leave an alarm that is too early; it is put right when it goes off. */
static void alarm_renew(struct wheel *wheel)
{
	unsigned level, index;
	uint64_t at_ms;

	wheel->alarm_ms = UINT64_MAX;
	if (wheel_next(wheel, &level, &index, &at_ms))
		alarm_set(wheel, at_ms);
}

static void wheel_run_to(struct wheel *wheel, uint64_t until_ms)
{
	unsigned level, index;
	uint64_t at_ms;

	bug_on(wheel->advancing);
	wheel->advancing = true;
	while (wheel_next(wheel, &level, &index, &at_ms) && at_ms <= until_ms) {
		wheel->position_ms = at_ms;
		if (wheel->is_virtual)
			wheel->now_ms = at_ms;
		if (level == 0)
			slot_fire(wheel, index);
		else
			slot_move_down(wheel, level, index);
	}
	/* No slot in use begins between here and there, so the jump changes no timer's level. */
	wheel->position_ms = until_ms;
	wheel->now_ms = until_ms;
	wheel->advancing = false;
	alarm_renew(wheel);
}

void wheel_advance(struct wheel *wheel)
{
	bug_on(wheel->is_virtual);
	wheel_run_to(wheel, clock_mono_ms());
}

void wheel_advance_to(struct wheel *wheel, uint64_t mono_ms)
{
	bug_on(!wheel->is_virtual || mono_ms < wheel->now_ms);
	wheel_run_to(wheel, mono_ms);
}

struct wheel *wheel_free(struct wheel *wheel)
{
	if (!wheel)
		return NULL;
	for (unsigned level = 0; level < LEVELS; level++)
		for (unsigned index = 0; index < LEVEL_SLOTS; index++)
			while (wheel->slot[level][index])
				timer_unlink(wheel->slot[level][index]);
	free(wheel);
	return NULL;
}

uint64_t wheel_now_ms(const struct wheel *wheel)
{
	return wheel->is_virtual ? wheel->now_ms : clock_mono_ms();
}

int64_t wheel_wall_us(const struct wheel *wheel)
{
	if (!wheel->is_virtual)
		return clock_wall_us();
	return (int64_t)wheel->now_ms * 1000 + wheel->wall_offset_us;
}

uint64_t wheel_wait_ms(const struct wheel *wheel)
{
	unsigned level, index;
	uint64_t at_ms;
	uint64_t now_ms;

	if (!wheel_next(wheel, &level, &index, &at_ms))
		return UINT64_MAX;
	now_ms = wheel_now_ms(wheel);
	return at_ms > now_ms ? at_ms - now_ms : 0;
}

size_t wheel_count(const struct wheel *wheel)
{
	return wheel->count;
}

void wheel_set_alarm(struct wheel *wheel, void (*fn)(void *arg, uint64_t at_ms), void *arg)
{
	wheel->alarm_fn = fn;
	wheel->alarm_arg = arg;
	alarm_renew(wheel);
}

void timer_init(struct timer *timer, struct wheel *wheel, timer_fn *fn, void *arg)
{
	*timer = (struct timer){ .wheel = wheel, .fn = fn, .arg = arg };
}

void timer_start(struct timer *timer, uint64_t after_ms)
{
	struct wheel *wheel = timer->wheel;
	uint64_t now_ms = wheel_now_ms(wheel);

	timer_stop(timer);
	timer->due_ms = after_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + after_ms;
	wheel_place(wheel, timer);
	wheel->count++;
	if (timer->due_ms < wheel->alarm_ms && !wheel->advancing)
		alarm_set(wheel, timer->due_ms);
}

void timer_stop(struct timer *timer)
{
	if (!timer->pprev)
		return;
	timer_unlink(timer);
	timer->wheel->count--;
}

uint64_t timer_left_ms(const struct timer *timer)
{
	uint64_t now_ms;

	if (!timer->pprev)
		return 0;
	now_ms = wheel_now_ms(timer->wheel);
	return timer->due_ms > now_ms ? timer->due_ms - now_ms : 0;
}
