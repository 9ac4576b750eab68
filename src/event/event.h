/* event/event.h - what happened: the one stream that the log, the WebSocket clients and (later) webhooks read
 *
 * The call loop makes an event, numbers it (`seq`, rising within a tenant) and publishes it once. From then on
 * it is immutable and counted: the journal's ring and the hub's ring each hold a reference. Order within a
 * tenant is the order of publication. Publishing never blocks; see event_publish().
 */
#pragma once

#include "event/view.h"

#include <stdatomic.h>

enum event_type {
	/* topic calls */
	EVENT_CALL_CREATED,
	EVENT_CALL_RINGING,
	EVENT_CALL_EARLY_MEDIA,
	EVENT_CALL_ANSWERED,
	EVENT_CALL_HELD,
	EVENT_CALL_RESUMED,
	EVENT_CALL_DTMF,
	EVENT_CALL_DTMF_SENT,
	EVENT_CALL_TRANSFERRING,
	EVENT_CALL_TRANSFERRED,
	EVENT_CALL_TRANSFER_FAILED,
	EVENT_CALL_TRANSFER_UNCONFIRMED, /* the far end was asked to do it, and did not say how it went */
	EVENT_CALL_ENDED,
	EVENT_CALL_UPDATED, /* anything else about it changed: a leg came or went, quality, mute */
	/* topic registrations */
	EVENT_REGISTRATION_CHANGED,
	EVENT_DEVICE_CHANGED,
	/* topic conferences */
	EVENT_CONFERENCE_STARTED, /* the first is in it */
	EVENT_CONFERENCE_JOINED,
	EVENT_CONFERENCE_CHANGED, /* of a member, or of the room: made, other settings, lock, recording */
	EVENT_CONFERENCE_LEFT,
	EVENT_CONFERENCE_TALKING, /* passing */
	EVENT_CONFERENCE_FAILED,  /* somebody could not be got in: detail says who and why */
	EVENT_CONFERENCE_ENDED,
	/* topic recordings */
	EVENT_RECORDING_STARTED,
	EVENT_RECORDING_PAUSED,
	EVENT_RECORDING_RESUMED,
	EVENT_RECORDING_READY,
	EVENT_RECORDING_FAILED,
	/* topic monitoring; agents never see these */
	EVENT_MONITOR_STARTED, /* the supervisor is on the call */
	EVENT_MONITOR_CHANGED, /* mode, mute, whom it whispers to, which call */
	EVENT_MONITOR_STOPPED, /* also when it never came to start: its reason says why */
	EVENT_TYPE_COUNT,
};
extern const char *const event_type_names[]; /* "call.created", ... */

enum event_topic {
	TOPIC_CALLS,
	TOPIC_REGISTRATIONS,
	TOPIC_CONFERENCES,
	TOPIC_RECORDINGS,
	TOPIC_MONITORING,
	TOPIC_COUNT
};
extern const char *const event_topic_names[];
enum event_topic event_type_topic(enum event_type type);

struct event {
	atomic_int refs; /* event_ref/event_unref only */
	enum event_type type;
	struct id id, tenant, profile_id, user_id, call_id;
	struct id
		other_user_id; /* who may see it as well: the called one of an internal call; or none */
	uint64_t seq;
	int64_t time;
	struct call_view *call;			/* whole call after the change, or NULL */
	struct registration_view *registration; /* or NULL */
	struct conference_view *conference;	/* or NULL; agents in it see the event */
	struct room_view *room;			/* or NULL; for the journal alone */
	struct recording_view *recording; /* or NULL; beside a call it is for the journal alone */
	struct monitor_view *monitor; /* or NULL; then user_id is none, so that no agent sees it */
	char *detail; /* JSON text of what only this event says (dtmf digits, a device's bindings), or NULL */
};

/* Return: a new event holding one reference; views and detail given to it become its own. */
struct event *event_new(enum event_type type, struct id tenant);
struct event *event_ref(struct event *event);
struct event *event_unref(struct event *event);

/* Where the call loop sends events: the rings of the journal and the hub, and each tenant's next seq.
 * Belongs to the call loop.
 */
struct event_bus;

/* Takes the caller's reference. Stamps seq, and time unless it has one, and gives the event to both readers. If
 * the journal's ring is full (the journal spools to a file long before), the event waits in the bus's own bounded
 * list; the hub's full ring makes all its clients resync. Never blocks.
 */
void event_publish(struct event_bus *bus, struct event *event);

/* For what is worth nothing a moment later (who speaks): clients that are connected and keep up get it, nobody can ask
 * for it again; it has no seq. Takes the reference.
 */
void event_pass(struct event_bus *bus, struct event *event);

/* The answer to a client that wants the present state: travels the same ring as events, so that every event
 * up to as_of_seq is in it and every later one follows it.
 */
struct event_snapshot {
	uint64_t client; /* the hub's handle of who asked */
	struct id tenant,
		user_id; /* user_id: only what this user may see; none: the whole tenant */
	uint64_t as_of_seq;
	size_t call_count, registration_count, conference_count, recording_count, monitor_count;
	struct call_view **calls;		  /* own */
	struct registration_view **registrations; /* own */
	struct conference_view **conferences;	  /* own */
	struct recording_view **recordings; /* own: that run, are paused or are being finished */
	struct monitor_view **monitors;	    /* own */
};
struct event_snapshot *event_snapshot_free(struct event_snapshot *snapshot);
/* Fills in as_of_seq and gives the snapshot to the hub, which frees it. */
void event_snapshot_send(struct event_bus *bus, struct event_snapshot *snapshot);
