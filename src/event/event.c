#include "event/event.h"

#include "base/base.h"

const char *const event_type_names[] = {
	[EVENT_CALL_CREATED] = "call.created",
	[EVENT_CALL_RINGING] = "call.ringing",
	[EVENT_CALL_EARLY_MEDIA] = "call.early_media",
	[EVENT_CALL_ANSWERED] = "call.answered",
	[EVENT_CALL_HELD] = "call.held",
	[EVENT_CALL_RESUMED] = "call.resumed",
	[EVENT_CALL_DTMF] = "call.dtmf",
	[EVENT_CALL_DTMF_SENT] = "call.dtmf_sent",
	[EVENT_CALL_TRANSFERRING] = "call.transferring",
	[EVENT_CALL_TRANSFERRED] = "call.transferred",
	[EVENT_CALL_TRANSFER_FAILED] = "call.transfer_failed",
	[EVENT_CALL_TRANSFER_UNCONFIRMED] = "call.transfer_unconfirmed",
	[EVENT_CALL_ENDED] = "call.ended",
	[EVENT_CALL_UPDATED] = "call.updated",
	[EVENT_REGISTRATION_CHANGED] = "registration.changed",
	[EVENT_DEVICE_CHANGED] = "device.changed",
	[EVENT_CONFERENCE_STARTED] = "conference.started",
	[EVENT_CONFERENCE_JOINED] = "conference.member_joined",
	[EVENT_CONFERENCE_CHANGED] = "conference.member_changed",
	[EVENT_CONFERENCE_LEFT] = "conference.member_left",
	[EVENT_CONFERENCE_TALKING] = "conference.talking",
	[EVENT_CONFERENCE_FAILED] = "conference.member_failed",
	[EVENT_CONFERENCE_ENDED] = "conference.ended",
	[EVENT_RECORDING_STARTED] = "recording.started",
	[EVENT_RECORDING_PAUSED] = "recording.paused",
	[EVENT_RECORDING_RESUMED] = "recording.resumed",
	[EVENT_RECORDING_READY] = "recording.ready",
	[EVENT_RECORDING_FAILED] = "recording.failed",
	[EVENT_MONITOR_STARTED] = "monitor.started",
	[EVENT_MONITOR_CHANGED] = "monitor.changed",
	[EVENT_MONITOR_STOPPED] = "monitor.stopped",
	[EVENT_TYPE_COUNT] = NULL,
};

const char *const event_topic_names[] = { "calls",	"registrations", "conferences",
					  "recordings", "monitoring",	 NULL };

enum event_topic event_type_topic(enum event_type type)
{
	if (type >= EVENT_MONITOR_STARTED && type <= EVENT_MONITOR_STOPPED)
		return TOPIC_MONITORING;
	if (type >= EVENT_RECORDING_STARTED && type <= EVENT_RECORDING_FAILED)
		return TOPIC_RECORDINGS;
	if (type >= EVENT_CONFERENCE_STARTED)
		return TOPIC_CONFERENCES;
	return type >= EVENT_REGISTRATION_CHANGED ? TOPIC_REGISTRATIONS : TOPIC_CALLS;
}

struct event *event_new(enum event_type type, struct id tenant)
{
	struct event *event = xzalloc(sizeof(*event));

	atomic_init(&event->refs, 1);
	event->type = type;
	event->id = id_new();
	event->tenant = tenant;
	return event;
}

struct event *event_ref(struct event *event)
{
	atomic_fetch_add_explicit(&event->refs, 1, memory_order_relaxed);
	return event;
}

struct event *event_unref(struct event *event)
{
	if (!event || atomic_fetch_sub_explicit(&event->refs, 1, memory_order_acq_rel) > 1)
		return NULL;
	free(event->call);
	free(event->registration);
	free(event->conference);
	free(event->recording);
	free(event->room);
	free(event->monitor);
	free(event->detail);
	free(event);
	return NULL;
}

struct event_snapshot *event_snapshot_free(struct event_snapshot *snapshot)
{
	if (!snapshot)
		return NULL;
	for (size_t i = 0; i < snapshot->call_count; i++)
		free(snapshot->calls[i]);
	for (size_t i = 0; i < snapshot->registration_count; i++)
		free(snapshot->registrations[i]);
	for (size_t i = 0; i < snapshot->conference_count; i++)
		free(snapshot->conferences[i]);
	for (size_t i = 0; i < snapshot->recording_count; i++)
		free(snapshot->recordings[i]);
	free(snapshot->recordings);
	for (size_t i = 0; i < snapshot->monitor_count; i++)
		free(snapshot->monitors[i]);
	free(snapshot->monitors);
	free(snapshot->conferences);
	free(snapshot->calls);
	free(snapshot->registrations);
	free(snapshot);
	return NULL;
}
