/* Limits as permits: taken before a leg is begun, given back when its channel is gone, so that what is counted
 * is what really occupies the provider's lines.
 */
#include "call/private.h"

#define DAY_US (86400ll * 1000000)
#define MINUTE_MS 60000
/* How often a running call looks at the day's minutes again, at the latest. */
#define BUDGET_LOOK_MS 60000

static int limit_of(int own, int operators)
{
	return own > 0 ? own : operators;
}

bool permit_call(struct call_app *app, struct tenant *tenant)
{
	int max =
		limit_of(tenant->spec ? tenant->spec->max_calls : 0, app->limits.tenant_max_calls);

	if (tenant->calls_now >= (unsigned)max)
		return false;
	tenant->calls_now++;
	return true;
}

struct reply *permit_refusal(void)
{
	struct reply *reply =
		reply_error(REPLY_LIMIT, NULL, "There are as many calls as there may be at once.");

	reply->retry_after_s = 10;
	return reply;
}

void permit_call_end(struct tenant *tenant)
{
	tenant->calls_now--;
}

bool permit_leg(struct profile *profile)
{
	if (profile->legs_now >= (unsigned)profile->spec->max_calls)
		return false;
	profile->legs_now++;
	profile_ref(profile);
	return true;
}

void permit_leg_end(struct profile *profile)
{
	profile->legs_now--;
	profile_unref(profile);
}

bool permit_rate(struct call_app *app, struct tenant *tenant)
{
	int max = limit_of(tenant->spec ? tenant->spec->calls_per_minute : 0,
			   app->limits.tenant_calls_per_minute);
	uint64_t now = wheel_now_ms(app->wheel);

	if (now - tenant->minute_start_ms >= MINUTE_MS) {
		tenant->minute_start_ms = now;
		tenant->minute_count = 0;
	}
	if (max > 0 && tenant->minute_count >= max)
		return false;
	tenant->minute_count++;
	return true;
}

/* A new day begins with nothing used; calls that run over midnight count from midnight on. */
static void day_turn(struct tenant *tenant, int64_t now_us)
{
	int64_t day = now_us / DAY_US;

	if (tenant->day == day)
		return;
	tenant->day = day;
	tenant->used_us = 0;
	tenant->running_since_us = (int64_t)tenant->running * day * DAY_US;
}

int64_t budget_left_us(struct call_app *app, struct tenant *tenant)
{
	int max = limit_of(tenant->spec ? tenant->spec->minutes_per_day : 0,
			   app->limits.tenant_minutes_per_day);
	int64_t now_us = wheel_wall_us(app->wheel);

	if (max <= 0)
		return INT64_MAX;
	day_turn(tenant, now_us);
	return (int64_t)max * 60000000 - tenant->used_us -
	       ((int64_t)tenant->running * now_us - tenant->running_since_us);
}

static void budget_arm(struct call *call)
{
	int64_t left_us = budget_left_us(call->app, call->tenant);
	int64_t share_ms;

	if (left_us == INT64_MAX)
		return;
	share_ms = left_us / 1000 / (call->tenant->running ? call->tenant->running : 1);
	if (share_ms < 0)
		share_ms = 0;
	timer_start(&call->budget,
		    share_ms < BUDGET_LOOK_MS ? (uint64_t)share_ms + 1 : BUDGET_LOOK_MS);
}

static bool is_metered(const struct call *call)
{
	const struct leg *leg;

	chain_each(leg, &call->legs, in_call)
		if (leg->metered)
			return true;
	return false;
}

static void budget_look(struct timer *timer, void *arg)
{
	struct call *call = arg;

	(void)timer;
	if (!is_metered(call))
		return; /* it was put through to somebody here, and costs nothing any more */
	if (budget_left_us(call->app, call->tenant) <= 0)
		fsm_send(&call->fsm, CALL_EV_HANGUP, &(struct ending){ .cause = ENDING_BUDGET });
	else
		budget_arm(call);
}

void budget_begin(struct call *call, struct leg *leg)
{
	int64_t now_us = wheel_wall_us(call->app->wheel);

	if (leg->metered)
		return;
	leg->metered = true;
	day_turn(call->tenant, now_us);
	call->tenant->running++;
	call->tenant->running_since_us += leg->answered_at;
	if (!call->budget.fn)
		timer_init(&call->budget, call->app->wheel, budget_look, call);
	budget_arm(call);
}

void budget_end(struct call *call, struct leg *leg)
{
	int64_t now_us = wheel_wall_us(call->app->wheel);
	int64_t since_us = leg->answered_at;

	if (!leg->metered)
		return;
	leg->metered = false;
	day_turn(call->tenant, now_us);
	if (since_us < call->tenant->day * DAY_US)
		since_us = call->tenant->day * DAY_US;
	call->tenant->running--;
	call->tenant->running_since_us -= since_us;
	call->tenant->used_us += now_us - since_us;
}
