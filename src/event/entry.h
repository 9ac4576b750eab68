/* event/entry.h - what the journal keeps of an event: rows, and their bytes in the spool
 *
 * The bytes name their members, so that a spool written by one version is read by the next.
 */
#pragma once

#include "event/event.h"
#include "store/audit.h"
#include "store/call.h"
#include "store/device.h"
#include "store/monitor.h"
#include "store/recording.h"
#include "store/room.h"

#define ENTRY_MAX (1u << 20) /* bytes of one entry; a call with hundreds of legs stays far below */
#define ENTRY_LEGS_MAX 1024

struct entry {
	struct id tenant;
	int64_t seq;
	bool has_call, has_event, has_recording, has_room, has_monitor, has_device;
	bool room_gone; /* its row goes */
	struct call_row call;
	struct call_event_row event; /* the timeline's row */
	struct call_leg_row *legs;
	unsigned leg_count;
	struct recording_row recording;
	struct room_row room;
	struct monitor_row monitor;
	struct device_bindings device;
	struct audit audit; /* of the monitor: what was done, by whom */
};

/* Texts and legs live in the arena; nothing points into the event. */
void entry_of_event(const struct event *event, struct arena *arena, struct entry *ret);
void entry_encode(const struct entry *entry, struct buf *out);
/* Return: false for bytes that are no entry. */
must_check bool entry_decode(const uint8_t *data, size_t len, struct arena *arena,
			     struct entry *ret);
