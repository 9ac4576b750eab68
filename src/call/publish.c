#include "call/private.h"

static char *text_of(json_t *detail)
{
	char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;

	json_decref(detail);
	return text;
}

void call_publish(struct call *call, enum event_type type, json_t *detail)
{
	struct event *event;

	if (call->supervises) { /* what there is to say of it is said of the monitor */
		json_decref(detail);
		return;
	}
	event = event_new(type, call->tenant->id);
	call->seq++;
	event->call_id = call->id;
	event->call = call_view_make(call);
	event->profile_id = event->call->profile_id;
	event->user_id = event->call->user_id;
	if (call->seats[1].user)
		event->other_user_id = call->seats[1].user->id;
	event->detail = text_of(detail);
	event_publish(call->app->bus, event);
}

void call_publish_leg(struct call *call, const struct leg *leg, const char *what)
{
	call_publish(call, EVENT_CALL_UPDATED,
		     json_pack("{s:s, s:s, s:s}", "what", what, "leg_id", id_str(leg->id),
			       "leg_state", leg_state_names[leg_shown(leg)]));
}

void registration_publish(struct call_app *app, struct profile *profile,
			  const struct registration_view *view)
{
	struct event *event = event_new(EVENT_REGISTRATION_CHANGED, profile->tenant->id);

	if (view->state != REG_REGISTERING && view->state != REG_UNREGISTERING)
		log_info("registration", LOG_ID("profile", profile->spec->id),
			 LOG_STR("state", registration_state_names[view->state]),
			 LOG_INT("code", view->code), LOG_STR("said", view->reason));
	event->profile_id = profile->spec->id;
	event->user_id = profile->spec->owner;
	event->registration = registration_view_new(0);
	*event->registration = *view;
	event->registration->history_count = 0;
	event->registration->history = NULL;
	event->registration->profile_id = profile->spec->id;
	event->registration->tenant = profile->tenant->id;
	event->registration->user_id = profile->spec->owner;
	event_publish(app->bus, event);
}

void device_publish(struct call_app *app, struct device *device, const char *text)
{
	struct event *event = event_new(EVENT_DEVICE_CHANGED, device->user->tenant->id);
	json_t *bindings = text ? json_loads(text, 0, NULL) : NULL;

	event->user_id = device->user->id;
	event->detail = text_of(json_pack("{s:s, s:o}", "device_id", id_str(device->id), "bindings",
					  bindings ? bindings : json_array()));
	event_publish(app->bus, event);
}
