#include "base/base.h"
#include "base/wheel.h"
#include "unit.h"

#define COUNT 300

/* The model: every timer's due time and order of start in a plain array, searched from end to end. */
struct model_timer {
	struct timer timer;
	struct model *model;
	bool running;
	uint64_t due_ms;
	uint64_t started; /* a running number */
};

struct model {
	struct wheel *wheel;
	uint64_t starts;
	uint64_t fired;
	uint32_t seed;
	struct model_timer all[COUNT];
};

static uint32_t next_random(struct model *model)
{
	model->seed = model->seed * 1664525u + 1013904223u;
	return model->seed >> 8;
}

static uint64_t random_delay(struct model *model)
{
	static const uint64_t scales[] = { 1, 10, 64, 1000, 5000, 60000, 3600000, 90000000 };

	return next_random(model) % (scales[next_random(model) % ARRAY_LEN(scales)] + 1);
}

static void model_start(struct model_timer *t, uint64_t after_ms)
{
	struct model *model = t->model;

	timer_start(&t->timer, after_ms);
	t->running = true;
	t->due_ms = wheel_now_ms(model->wheel) + after_ms;
	t->started = ++model->starts;
}

static void model_stop(struct model_timer *t)
{
	timer_stop(&t->timer);
	t->running = false;
}

static struct model_timer *model_next(struct model *model)
{
	struct model_timer *best = NULL;

	for (unsigned i = 0; i < COUNT; i++) {
		struct model_timer *t = &model->all[i];

		if (t->running && (!best || t->due_ms < best->due_ms ||
				   (t->due_ms == best->due_ms && t->started < best->started)))
			best = t;
	}
	return best;
}

static void on_fire(struct timer *timer, void *arg)
{
	struct model_timer *t = arg;
	struct model *model = t->model;

	assert_ptr_equal(timer, &t->timer);
	assert_ptr_equal(t, model_next(model));
	assert_int_equal(wheel_now_ms(model->wheel), t->due_ms);
	assert_false(timer_running(timer));
	t->running = false;
	model->fired++;

	/* Callbacks start, restart and stop timers, themselves included. */
	if (next_random(model) % 3 == 0)
		model_start(t, random_delay(model) + 1);
	if (next_random(model) % 4 == 0)
		model_start(&model->all[next_random(model) % COUNT], random_delay(model) + 1);
	if (next_random(model) % 8 == 0)
		model_stop(&model->all[next_random(model) % COUNT]);
}

static size_t model_running(const struct model *model)
{
	size_t n = 0;

	for (unsigned i = 0; i < COUNT; i++)
		n += model->all[i].running;
	return n;
}

static void it_agrees_with_a_naive_model_over_days(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 5; seed++) {
		struct model *model = xzalloc(sizeof(*model));

		model->seed = seed;
		model->wheel = wheel_new_virtual(seed * 123456789ull, 1000000);
		for (unsigned i = 0; i < COUNT; i++) {
			model->all[i].model = model;
			timer_init(&model->all[i].timer, model->wheel, on_fire, &model->all[i]);
		}
		for (unsigned i = 0; i < 20000; i++) {
			struct model_timer *t = &model->all[next_random(model) % COUNT];
			const struct model_timer *next;
			uint64_t now = wheel_now_ms(model->wheel);

			switch (next_random(model) % 4) {
			case 0:
			case 1:
				model_start(t, random_delay(model));
				assert_int_equal(timer_left_ms(&t->timer), t->due_ms - now);
				break;
			case 2:
				model_stop(t);
				break;
			default:
				wheel_advance_to(model->wheel, now + random_delay(model) / 50);
				break;
			}
			next = model_next(model);
			now = wheel_now_ms(model->wheel);
			assert_int_equal(wheel_count(model->wheel), model_running(model));
			if (next)
				assert_true(wheel_wait_ms(model->wheel) <=
					    (next->due_ms > now ? next->due_ms - now : 0));
			else
				assert_int_equal(wheel_wait_ms(model->wheel), UINT64_MAX);
		}
		assert_true(model->fired > 1000);
		wheel_free(model->wheel);
		free(model);
	}
}

static void count_up(struct timer *timer, void *arg)
{
	(void)timer;
	(*(unsigned *)arg)++;
}

static void timers_fire_on_their_millisecond_and_not_before(void **state)
{
	static const uint64_t delays[] = { 1,	 63,   64,     65,	4095,
					   4096, 4097, 262144, 3600000, 86400000ull * 400 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(delays); i++) {
		auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(1000003, 0);
		struct timer timer;
		unsigned fired = 0;

		timer_init(&timer, wheel, count_up, &fired);
		timer_start(&timer, delays[i]);
		wheel_advance_to(wheel, 1000003 + delays[i] - 1);
		assert_int_equal(fired, 0);
		assert_int_equal(timer_left_ms(&timer), 1);
		wheel_advance_to(wheel, 1000003 + delays[i]);
		assert_int_equal(fired, 1);
		assert_int_equal(wheel_count(wheel), 0);
	}
}

static void the_longest_delay_does_not_overflow(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(1000, 0);
	struct timer timer;
	unsigned fired = 0;

	(void)state;
	timer_init(&timer, wheel, count_up, &fired);
	timer_start(&timer, UINT64_MAX);
	wheel_advance_to(wheel, 1ull << 60);
	assert_int_equal(fired, 0);
	assert_true(timer_running(&timer));
}

static void virtual_wall_time_moves_with_the_wheel(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(500, 1700000000000000);

	(void)state;
	wheel_advance_to(wheel, 500 + 3600000);
	assert_int_equal(wheel_wall_us(wheel), 1700000000000000 + 3600000000ll);
}

static void freeing_a_wheel_forgets_its_timers(void **state)
{
	struct wheel *wheel = wheel_new_virtual(0, 0);
	struct timer near_one, far_one;
	unsigned fired = 0;

	(void)state;
	timer_init(&near_one, wheel, count_up, &fired);
	timer_init(&far_one, wheel, count_up, &fired);
	timer_start(&near_one, 5);
	timer_start(&far_one, 100000);
	wheel_free(wheel);
	assert_int_equal(fired, 0);
	assert_false(timer_running(&near_one));
	timer_stop(&far_one); /* as its owner will */
}

static void stopping_what_never_ran_is_fine(void **state)
{
	struct timer timer = { 0 };

	(void)state;
	timer_stop(&timer);
	assert_int_equal(timer_left_ms(&timer), 0);
}

static void a_real_wheel_follows_the_clock(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new();
	struct timer timer;
	unsigned fired = 0;
	uint64_t began = clock_mono_ms();

	(void)state;
	timer_init(&timer, wheel, count_up, &fired);
	timer_start(&timer, 20);
	while (!fired)
		wheel_advance(wheel);
	assert_true(clock_mono_ms() - began >= 20);
	assert_int_equal(wheel_wait_ms(wheel), UINT64_MAX);
}

struct alarm {
	unsigned rings;
	uint64_t at_ms;
};

static void on_alarm(void *arg, uint64_t at_ms)
{
	struct alarm *alarm = arg;

	alarm->rings++;
	alarm->at_ms = at_ms;
}

static void the_alarm_tells_of_every_nearer_time_and_misses_no_timer(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(0, 0);
	struct alarm alarm = { 0 };
	struct timer late, early;
	unsigned fired = 0;

	(void)state;
	timer_init(&late, wheel, count_up, &fired);
	timer_init(&early, wheel, count_up, &fired);
	timer_start(&late, 100000);
	wheel_set_alarm(wheel, on_alarm, &alarm);
	assert_true(alarm.at_ms > 0 && alarm.at_ms <= 100000);
	timer_start(&early, 500);
	assert_int_equal(alarm.at_ms, 500);
	timer_start(&early, 900); /* later: the alarm at 500 does no harm */
	assert_int_equal(alarm.at_ms, 500);
	/* A loop that wakes only when told fires everything in time. */
	while (fired < 2) {
		assert_true(alarm.at_ms > wheel_now_ms(wheel));
		wheel_advance_to(wheel, alarm.at_ms);
	}
	assert_int_equal(wheel_now_ms(wheel), 100000);
	assert_in_range(alarm.rings, 4, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_agrees_with_a_naive_model_over_days),
		cmocka_unit_test(timers_fire_on_their_millisecond_and_not_before),
		cmocka_unit_test(the_longest_delay_does_not_overflow),
		cmocka_unit_test(virtual_wall_time_moves_with_the_wheel),
		cmocka_unit_test(freeing_a_wheel_forgets_its_timers),
		cmocka_unit_test(stopping_what_never_ran_is_fine),
		cmocka_unit_test(a_real_wheel_follows_the_clock),
		cmocka_unit_test(the_alarm_tells_of_every_nearer_time_and_misses_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
