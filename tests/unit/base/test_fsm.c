#include "base/base.h"
#include "base/fsm.h"
#include "base/metric.h"
#include "unit.h"

enum { TIMEOUT, PUSH, PULL, BREAK };
enum { CLOSED, OPENING, OPEN, BROKEN };

struct door {
	struct fsm fsm;
	char trail[200];
	bool *freed;
};

static void add(struct door *door, const char *what)
{
	strcat(door->trail, what);
	strcat(door->trail, " ");
}

static void closed_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct door *door = owner;

	(void)event;
	add(door, data ? data : "push");
	fsm_send(fsm, PULL, (void *)"later"); /* waits until this handler is done */
	fsm_go(fsm, OPENING);
	add(door, "closed-done");
}

static void opening_enter(struct fsm *fsm, void *owner)
{
	(void)fsm;
	add(owner, "opening");
}

static void opening_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	struct door *door = owner;

	if (event == PULL) {
		add(door, data);
		return;
	}
	add(door, "timeout");
	fsm_go(fsm, OPEN);
}

static void open_handle(struct fsm *fsm, void *owner, int event, void *data)
{
	(void)owner;
	(void)data;
	if (event == BREAK) {
		fsm_send(fsm, PUSH, NULL); /* dies with the door */
		fsm_go(fsm, BROKEN);
	} else {
		fsm_go(fsm, CLOSED);
	}
}

static void broken_enter(struct fsm *fsm, void *owner)
{
	struct door *door = owner;

	*door->freed = true;
	fsm_fini(fsm);
	free(door);
}

static const struct fsm_state states[] = {
	[CLOSED] = {
		.name = "CLOSED",
		.handle = closed_handle,
		.accepts = FSM_BIT(PUSH),
		.leads_to = FSM_BIT(OPENING),
	},
	[OPENING] = {
		.name = "OPENING",
		.timeout_ms = 500,
		.enter = opening_enter,
		.handle = opening_handle,
		.accepts = FSM_BIT(TIMEOUT) | FSM_BIT(PULL),
		.leads_to = FSM_BIT(OPEN),
	},
	[OPEN] = {
		.name = "OPEN",
		.handle = open_handle,
		.accepts = FSM_BIT(BREAK) | FSM_BIT(TIMEOUT),
		.leads_to = FSM_BIT(BROKEN) | FSM_BIT(CLOSED),
	},
	[BROKEN] = { .name = "BROKEN", .enter = broken_enter },
};
static const char *const events[] = { "TIMEOUT", "PUSH", "PULL", "BREAK", NULL };
static const struct fsm_table door_table = { "door", states, ARRAY_LEN(states), events };
FSM_REGISTER(door_table);

static struct door *door_new(struct wheel *wheel, bool *freed)
{
	struct door *door = xzalloc(sizeof(*door));

	door->freed = freed;
	fsm_init(&door->fsm, &door_table, door, wheel, CLOSED);
	return door;
}

static struct door *door_free(struct door *door)
{
	fsm_fini(&door->fsm);
	free(door);
	return NULL;
}

static void events_sent_from_a_handler_wait_for_it(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(0, 0);
	bool freed = false;
	struct door *door = door_new(wheel, &freed);

	(void)state;
	fsm_send(&door->fsm, PUSH, (void *)"first");
	assert_string_equal(door->trail, "first opening closed-done later ");
	assert_string_equal(fsm_state_name(&door->fsm), "OPENING");
	door_free(door);
}

static void a_state_ends_by_its_own_timer_and_no_other(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(0, 0);
	bool freed = false;
	struct door *door = door_new(wheel, &freed);

	(void)state;
	fsm_send(&door->fsm, PUSH, NULL);
	wheel_advance_to(wheel, 499);
	assert_int_equal(door->fsm.state, OPENING);
	wheel_advance_to(wheel, 500);
	assert_int_equal(door->fsm.state, OPEN);
	assert_int_equal(wheel_count(wheel), 0);
	wheel_advance_to(wheel, 100000);
	assert_int_equal(door->fsm.state, OPEN);
	fsm_deadline(&door->fsm, 10);
	wheel_advance_to(wheel, 100010);
	assert_int_equal(door->fsm.state, CLOSED);
	door_free(door);
}

static void an_event_out_of_place_changes_nothing_but_a_counter(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(0, 0);
	auto_(buf_fini) struct buf before = BUF_MAX(65536), after = BUF_MAX(65536);
	bool freed = false;
	struct door *door = door_new(wheel, &freed);

	(void)state;
	metric_print_all(&before);
	fsm_send(&door->fsm, BREAK, NULL);
	fsm_send(&door->fsm, 31, NULL);
	fsm_send(&door->fsm, 500, NULL);
	metric_print_all(&after);
	assert_int_equal(door->fsm.state, CLOSED);
	assert_string_equal(door->trail, "");
	assert_non_null(strstr(before.data, "jackfield_fsm_refused_total 0\n"));
	assert_non_null(strstr(after.data, "jackfield_fsm_refused_total 3\n"));
	door_free(door);
}

static void an_owner_may_die_inside_its_handler(void **state)
{
	auto_(wheel_free) struct wheel *wheel = wheel_new_virtual(0, 0);
	bool freed = false;
	struct door *door = door_new(wheel, &freed);

	(void)state;
	fsm_send(&door->fsm, PUSH, NULL);
	wheel_advance_to(wheel, 500);
	fsm_send(&door->fsm, BREAK, NULL); /* ASan speaks up if it is touched again */
	assert_true(freed);
	assert_int_equal(wheel_count(wheel), 0);
}

static void the_tables_print(void **state)
{
	auto_(buf_fini) struct buf out = BUF_MAX(65536);

	(void)state;
	fsm_print_all(&out);
	assert_string_equal(out.data, "door\n"
				      "  CLOSED\n    on PUSH\n    to OPENING\n"
				      "  OPENING (500 ms)\n    on TIMEOUT PULL\n    to OPEN\n"
				      "  OPEN\n    on TIMEOUT BREAK\n    to CLOSED BROKEN\n"
				      "  BROKEN\n\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_out_of_place_changes_nothing_but_a_counter),
		cmocka_unit_test(events_sent_from_a_handler_wait_for_it),
		cmocka_unit_test(a_state_ends_by_its_own_timer_and_no_other),
		cmocka_unit_test(an_owner_may_die_inside_its_handler),
		cmocka_unit_test(the_tables_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
