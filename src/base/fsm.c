/* base/fsm.c - runs the tables */
#include "base/fsm.h"

#include "base/base.h"
#include "base/metric.h"

METRIC_COUNTER(fsm_refused, "jackfield_fsm_refused_total",
	       "Events that came in a state which does not accept them", NULL);

static const struct fsm_state *state_of(const struct fsm *fsm)
{
	return &fsm->table->states[fsm->state];
}

static const char *event_name(const struct fsm_table *table, int event)
{
	for (int i = 0; table->event_names && table->event_names[i]; i++)
		if (i == event)
			return table->event_names[i];
	return "?";
}

static void on_timeout(struct timer *timer, void *arg)
{
	(void)timer;
	fsm_send(arg, 0, NULL);
}

static void state_clock(struct fsm *fsm)
{
	timer_stop(&fsm->timer);
	if (state_of(fsm)->timeout_ms)
		timer_start(&fsm->timer, state_of(fsm)->timeout_ms);
}

void fsm_init(struct fsm *fsm, const struct fsm_table *table, void *owner, struct wheel *wheel,
	      int state)
{
	bug_on(table->state_count > FSM_MAX_STATES || state < 0 ||
	       (unsigned)state >= table->state_count);
	*fsm = (struct fsm){ .table = table, .owner = owner, .state = state };
	timer_init(&fsm->timer, wheel, on_timeout, fsm);
	state_clock(fsm);
}

void fsm_fini(struct fsm *fsm)
{
	timer_stop(&fsm->timer);
	fsm->queued = 0;
	if (fsm->gone)
		*fsm->gone = true;
	fsm->gone = NULL;
}

/* Handles one event. Afterwards the machine may be gone, which only *fsm->gone tells. */
static void deliver(struct fsm *fsm, int event, void *data)
{
	const struct fsm_state *state = state_of(fsm);

	if (event >= 0 && event < 32 && (state->accepts & FSM_BIT(event)) && state->handle) {
		state->handle(fsm, fsm->owner, event, data);
		return;
	}
	metric_add(&fsm_refused, 1);
	log_rated(LOG_INFO_, "event not accepted", LOG_STR("machine", fsm->table->name),
		  LOG_STR("state", state->name), LOG_STR("event", event_name(fsm->table, event)));
}

/* After the outermost handler: those it queued, one by one, oldest first. */
static void drain(struct fsm *fsm, const bool *gone)
{
	while (!*gone && fsm->queued) {
		int event = fsm->queue[0].event;
		void *data = fsm->queue[0].data;

		fsm->queued--;
		memmove(fsm->queue, fsm->queue + 1, fsm->queued * sizeof(fsm->queue[0]));
		deliver(fsm, event, data);
	}
	if (!*gone) {
		fsm->busy = false;
		fsm->gone = NULL;
	}
}

void fsm_send(struct fsm *fsm, int event, void *data)
{
	bool gone = false;

	if (fsm->busy) {
		bug_on(fsm->queued == FSM_QUEUE);
		fsm->queue[fsm->queued].event = event;
		fsm->queue[fsm->queued].data = data;
		fsm->queued++;
		return;
	}
	fsm->busy = true;
	fsm->gone = &gone;
	deliver(fsm, event, data);
	drain(fsm, &gone);
}

static void step(struct fsm *fsm, int to)
{
	bug_on(to < 0 || (unsigned)to >= fsm->table->state_count);
	if (!(state_of(fsm)->leads_to & FSM_BIT(to))) {
		log_error("forbidden step", LOG_STR("machine", fsm->table->name),
			  LOG_STR("from", state_of(fsm)->name),
			  LOG_STR("to", fsm->table->states[to].name));
		bug_on(true);
	}
	fsm->state = to;
	state_clock(fsm);
	if (state_of(fsm)->enter)
		state_of(fsm)->enter(fsm, fsm->owner);
}

void fsm_go(struct fsm *fsm, int state)
{
	bool gone = false;

	if (fsm->busy) {
		step(fsm, state);
		return;
	}
	fsm->busy = true;
	fsm->gone = &gone;
	step(fsm, state);
	drain(fsm, &gone);
}

void fsm_deadline(struct fsm *fsm, uint32_t after_ms)
{
	timer_start(&fsm->timer, after_ms);
}

const char *fsm_state_name(const struct fsm *fsm)
{
	return state_of(fsm)->name;
}

extern const struct fsm_table *const __start_fsms[] __attribute__((weak));
extern const struct fsm_table *const __stop_fsms[] __attribute__((weak));

static void print_bits(struct buf *out, const char *label, uint32_t bits,
		       const struct fsm_table *table, bool states)
{
	if (!bits)
		return;
	buf_addf(out, "    %s", label);
	for (int i = 0; i < 32; i++)
		if (bits & FSM_BIT(i))
			buf_addf(out, " %s", states ? table->states[i].name : event_name(table, i));
	buf_addc(out, '\n');
}

static void print_table(struct buf *out, const struct fsm_table *table)
{
	buf_addf(out, "%s\n", table->name);
	for (unsigned i = 0; i < table->state_count; i++) {
		const struct fsm_state *state = &table->states[i];

		buf_addf(out, "  %s", state->name);
		if (state->timeout_ms)
			buf_addf(out, " (%u ms)", state->timeout_ms);
		buf_addc(out, '\n');
		print_bits(out, "on", state->accepts, table, false);
		print_bits(out, "to", state->leads_to, table, true);
	}
	buf_addc(out, '\n');
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct fsm_table *const *)a)->name,
		      (*(const struct fsm_table *const *)b)->name);
}

void fsm_print_all(struct buf *out)
{
	size_t count = __start_fsms ? (size_t)(__stop_fsms - __start_fsms) : 0;
	auto_(free) const struct fsm_table **all = xzalloc_array(count, sizeof(*all));

	for (size_t i = 0; i < count; i++)
		all[i] = __start_fsms[i];
	qsort(all, count, sizeof(*all), by_name);
	for (size_t i = 0; i < count; i++)
		print_table(out, all[i]);
}
