/* A user's phone dials: a service, an extension of the tenant, or out through a profile. */
#include "call/private.h"

#include <stdio.h>

static void echo(struct call *call)
{
	call->plan.kind = PLAN_ECHO;
	call_up(call);
}

/* Digits one by one: a number is not to be read as millions. */
static void read_back(struct call *call)
{
	struct buf words = BUF_MAX(1024);

	buf_adds(&words, "Your number is ");
	for (const char *at = call->from; *at; at++) {
		if (*at == '+')
			buf_adds(&words, "plus, ");
		else
			buf_addf(&words, "%c, ", *at);
	}
	call->plan.kind = PLAN_SAY;
	call->plan.text = xstrdup(words.failed ? "" : words.data);
	buf_fini(&words);
	call_up(call);
}

static const struct service {
	const char *code;
	void (*begin)(struct call *call);
} services[] = {
	{ "*43", echo },
	{ "*44", read_back },
};

static const struct service *service_find(const char *number)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (str_eq(services[i].code, number))
			return &services[i];
	return NULL;
}

/* Through the profile the phone named, or its user's own choice. */
static struct profile *profile_for(struct call_app *app, struct user *user, struct id wanted)
{
	struct profile *profile;

	if (id_is_none(wanted))
		return known_profile_default(app, user);
	profile = known_profile(app, wanted);
	return profile && profile->owner == user ? profile : NULL;
}

static void begin_internal(struct call *call)
{
	struct user *callee = call->seats[1].user ? call->seats[1].user : call->seats[0].user;

	call_dial(call);
	if (!callee->spec.active || !party_user(call, callee, LEG_REMOTE, call->first->device))
		call_finish(call, ENDING_NO_DEVICE, NULL);
}

static void begin_out(struct call *call)
{
	struct outbound outbound = { 0 };
	int r;

	call_dial(call);
	if (!call->profile) {
		call_finish(call, ENDING_NO_ROUTE, NULL);
		return;
	}
	r = outbound_admit(call->app, call->profile, call->to, OUTBOUND_BY_USER, &outbound);
	if (r) {
		call_finish(call, outbound_ending(r), NULL);
		return;
	}
	(void)str_copy(call->to, sizeof(call->to), outbound.number);
	call_dial_out(call, &outbound, LEG_REMOTE);
}

static void begin_service(struct call *call)
{
	service_find(call->to)->begin(call);
}

static void begin_refused(struct call *call)
{
	enum ending_cause cause = call->app->draining		      ? ENDING_INTERRUPTED
				  : !call->seats[0].user->spec.active ? ENDING_REFUSED
								      : ENDING_LIMIT;

	call_finish(call, cause, NULL);
}

static void begin_unfit(struct call *call)
{
	call_finish(call, ENDING_OFFER, NULL);
}

static struct call *phone_call(struct call_app *app, struct device *device,
			       const struct engine_event *event, enum call_direction direction)
{
	struct user *user = device->user;
	struct call *call = call_new(app, user->tenant, direction);
	struct leg *first = leg_new(call, LEG_AGENT, LEG_KIND_DEVICE);

	call_add_user(call, user);
	(void)str_copy(call->from, sizeof(call->from),
		       user->spec.extension[0] ? user->spec.extension : event->info->from);
	(void)str_copy(call->from_name, sizeof(call->from_name), user->spec.name);
	(void)str_copy(call->to, sizeof(call->to), event->info->to);
	first->device = device->id;
	first->user = user->id;
	first->incoming = true;
	first->is_caller = true;
	leg_attach(first, event->channel);
	call->first = first;
	/* A phone outlives its user's account being closed: it calls nobody then. */
	call->counted = !app->draining && user->spec.active && permit_call(app, user->tenant);
	return call;
}

void phone_begin(struct call_app *app, struct device *device, const struct engine_event *event)
{
	const char *to = event->info->to;
	struct user *user = device->user, *callee = known_user_by_extension(app, user->tenant, to);
	const struct service *service = service_find(to);
	struct profile *profile = NULL;
	struct call *call;

	if (!service && !callee)
		profile = profile_for(app, user, event->info->wanted_profile);
	call = phone_call(app, device, event, service || callee ? CALL_INTERNAL : CALL_OUTGOING);
	if (profile) {
		const struct profile_spec *spec = profile->spec;

		call_set_profile(call, profile);
		(void)str_copy(call->from, sizeof(call->from),
			       spec->caller_number[0] ? spec->caller_number : spec->username);
		(void)str_copy(call->from_name, sizeof(call->from_name), spec->caller_name);
	}
	if (callee)
		call_add_user(call, callee);
	if (!call->counted)
		call_start(call, begin_refused);
	else if (event->info->unfit)
		call_start(call, begin_unfit);
	else
		call_start(call, service ? begin_service : callee ? begin_internal : begin_out);
}
