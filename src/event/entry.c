#include "event/entry.h"

#include "base/base.h"
#include "event/view_row.h"
#include "event/view_text.h"

#define FORM 1 /* the first byte; raised when old readers could not make sense of an entry */

/* ---- from events ---- */

/* A copy in the arena that the database takes: PostgreSQL refuses what is not UTF-8. */
static const char *text_keep(struct arena *arena, const char *text)
{
	char *copy;

	if (!text)
		return NULL;
	copy = arena_strdup(arena, text);
	view_text_clean(copy);
	return copy;
}

static void texts_keep(const struct field *fields, void *row, struct arena *arena)
{
	for (const struct field *f = fields; f->name; f++) {
		const char **member = (const char **)(void *)((char *)row + f->offset);

		if (f->type == FIELD_STR)
			*member = text_keep(arena, *member);
	}
}

static void json_drop(void *json)
{
	json_decref(json);
}

static json_t *json_keep(const char *text, size_t len, struct arena *arena)
{
	json_t *json = json_loadb(text, len, JSON_DECODE_ANY, NULL);

	if (json)
		arena_defer(arena, json_drop, json);
	return json;
}

static void event_row(const struct event *event, struct arena *arena, struct call_event_row *ret)
{
	*ret = (struct call_event_row){
		.id = event->id,
		.tenant_id = event->tenant,
		.call_id = event->call_id,
		.call_seq = event->call	       ? event->call->seq
			    : event->recording ? event->recording->call_seq
					       : 0,
		.seq = (int64_t)event->seq,
		.type = event_type_names[event->type],
		.time = event->time,
		.state = event->call	    ? call_state_names[event->call->state]
			 : event->recording ? record_state_names[event->recording->state]
					    : NULL,
	};
	if (event->detail)
		ret->detail = json_keep(event->detail, strlen(event->detail), arena);
}

/* Only what the platform did, or was made to do by somebody who could: who, from where, and what it is now. */
static void monitor_rows(const struct event *event, struct arena *arena, struct entry *ret)
{
	const struct monitor_view *view = event->monitor;
	json_t *detail =
		json_pack("{s:s, s:s, s:s?, s:s, s:b, s:s?, s:s?}", "call_id",
			  id_str(view->call_id), "user_id", id_str(view->user_id), "room",
			  view->room[0] ? view->room : NULL, "mode", monitor_mode_names[view->mode],
			  "muted", view->muted, "target_leg",
			  id_is_none(view->target_leg) ? NULL : id_str(view->target_leg), "reason",
			  view->reason[0] ? view->reason : NULL);

	monitor_row_of_view(view, (int64_t)event->seq, &ret->monitor);
	texts_keep(monitor_fields, &ret->monitor, arena);
	ret->audit = (struct audit){
		.id = event->id,
		.tenant_id = event->tenant,
		.user_id = view->actor,
		.action = event_type_names[event->type],
		.object = "monitor",
		.object_id = view->id,
		.client_addr = view->client_addr[0] ? view->client_addr : NULL,
		.detail = detail,
		.time = event->time,
	};
	arena_defer(arena, json_drop, detail);
	texts_keep(audit_fields, &ret->audit, arena);
}

/* Return: false for a detail that is not a device's. */
static bool device_row(const struct event *event, struct arena *arena, struct device_bindings *ret)
{
	json_t *detail =
		event->detail ? json_keep(event->detail, strlen(event->detail), arena) : NULL;

	ret->tenant_id = event->tenant;
	ret->bindings = json_object_get(detail, "bindings");
	return ret->bindings &&
	       id_parse(json_string_value(json_object_get(detail, "device_id")), &ret->id);
}

void entry_of_event(const struct event *event, struct arena *arena, struct entry *ret)
{
	const struct call_view *call = event->call;

	*ret = (struct entry){ .tenant = event->tenant, .seq = (int64_t)event->seq };
	ret->has_call = call != NULL;
	/* Passing measurements are in the call's row; the timeline tells what happened. */
	ret->has_event = (event_type_topic(event->type) == TOPIC_CALLS ||
			  event_type_topic(event->type) == TOPIC_RECORDINGS) &&
			 event->type != EVENT_CALL_UPDATED && !id_is_none(event->call_id);
	ret->has_recording = event->recording != NULL;
	if (ret->has_recording) {
		recording_row_of_view(event->recording, (int64_t)event->seq, &ret->recording);
		texts_keep(recording_fields, &ret->recording, arena);
	}
	ret->has_room = event->room != NULL;
	if (ret->has_room) {
		ret->room_gone = event->room->gone;
		room_row_of_view(event->room, (int64_t)event->seq, &ret->room);
		texts_keep(room_fields, &ret->room, arena);
	}
	if (ret->has_event)
		event_row(event, arena, &ret->event);
	ret->has_monitor = event->monitor != NULL;
	if (ret->has_monitor)
		monitor_rows(event, arena, ret);
	ret->has_device =
		event->type == EVENT_DEVICE_CHANGED && device_row(event, arena, &ret->device);
	if (!call)
		return;
	call_row_of_view(call, event->time, &ret->call);
	texts_keep(call_row_fields, &ret->call, arena);
	ret->leg_count = call->leg_count < ENTRY_LEGS_MAX ? call->leg_count : ENTRY_LEGS_MAX;
	ret->legs = arena_alloc(arena, (ret->leg_count + 1) * sizeof(*ret->legs));
	for (unsigned i = 0; i < ret->leg_count; i++) {
		call_leg_row_of_view(call, i, &ret->legs[i]);
		if (!ret->legs[i].created_at)
			ret->legs[i].created_at = ret->call.created_at;
		texts_keep(call_leg_fields, &ret->legs[i], arena);
	}
}

/* ---- to bytes: little endian, each row as its members that are not null ---- */

enum { KIND_INT = 1, KIND_REAL, KIND_TEXT, KIND_ID };

static void put_num(struct buf *out, uint64_t num, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		buf_addc(out, (char)(num >> (8 * i)));
}

static void put_member(struct buf *out, const char *name, int kind, const void *data, size_t len)
{
	put_num(out, strlen(name), 1);
	buf_adds(out, name);
	put_num(out, (uint64_t)kind, 1);
	put_num(out, len, 4);
	buf_add(out, data, len);
}

static void put_int(struct buf *out, const char *name, int64_t num)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < 8; i++)
		bytes[i] = (uint8_t)((uint64_t)num >> (8 * i));
	put_member(out, name, KIND_INT, bytes, sizeof(bytes));
}

static void put_json(struct buf *out, const char *name, const json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (text)
		put_member(out, name, KIND_TEXT, text, strlen(text));
	free(text);
}

static void put_field(struct buf *out, const struct field *f, const void *member)
{
	const char *text;

	switch (f->type) {
	case FIELD_ID:
		if (!id_is_none(*(const struct id *)member))
			put_member(out, f->name, KIND_ID, member, sizeof(struct id));
		break;
	case FIELD_STR:
		text = *(const char *const *)member;
		if (text)
			put_member(out, f->name, KIND_TEXT, text, strlen(text));
		break;
	case FIELD_INT:
		put_int(out, f->name, *(const int *)member);
		break;
	case FIELD_I64:
	case FIELD_TIME:
		put_int(out, f->name, *(const int64_t *)member);
		break;
	case FIELD_BOOL:
		put_int(out, f->name, *(const bool *)member);
		break;
	case FIELD_REAL:
		put_member(out, f->name, KIND_REAL, member, sizeof(double));
		break;
	case FIELD_JSON:
		put_json(out, f->name, *(json_t *const *)member);
		break;
	case FIELD_ENUM:
	case FIELD_STRS:
		bug_on(true); /* not in the journal's tables */
	}
}

/* A row ends with a member without a name. */
static void put_row(struct buf *out, const struct field *fields, const void *row)
{
	for (const struct field *f = fields; f->name; f++)
		put_field(out, f, (const char *)row + f->offset);
	put_num(out, 0, 1);
}

void entry_encode(const struct entry *entry, struct buf *out)
{
	put_num(out, FORM, 1);
	put_num(out,
		(uint64_t)(entry->has_call | entry->has_event << 1 | entry->has_recording << 2 |
			   entry->has_room << 3 | entry->room_gone << 4 | entry->has_monitor << 5 |
			   entry->has_device << 6),
		1);
	buf_add(out, &entry->tenant, sizeof(entry->tenant));
	put_num(out, (uint64_t)entry->seq, 8);
	if (entry->has_event)
		put_row(out, call_event_fields, &entry->event);
	if (entry->has_recording)
		put_row(out, recording_fields, &entry->recording);
	if (entry->has_room)
		put_row(out, room_fields, &entry->room);
	if (entry->has_monitor) {
		put_row(out, monitor_fields, &entry->monitor);
		put_row(out, audit_fields, &entry->audit);
	}
	if (entry->has_device)
		put_row(out, device_bindings_fields, &entry->device);
	if (!entry->has_call)
		return;
	put_row(out, call_row_fields, &entry->call);
	put_num(out, entry->leg_count, 2);
	for (unsigned i = 0; i < entry->leg_count; i++)
		put_row(out, call_leg_fields, &entry->legs[i]);
}

/* ---- from bytes: a file may hold anything ---- */

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static const uint8_t *get_bytes(struct reader *in, size_t len)
{
	const uint8_t *at = in->at;

	if (in->bad || (size_t)(in->end - in->at) < len) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return at;
}

static uint64_t get_num(struct reader *in, unsigned bytes)
{
	const uint8_t *at = get_bytes(in, bytes);
	uint64_t num = 0;

	for (unsigned i = 0; at && i < bytes; i++)
		num |= (uint64_t)at[i] << (8 * i);
	return num;
}

static int64_t int_of(const uint8_t *data)
{
	uint64_t num = 0;

	for (unsigned i = 0; i < 8; i++)
		num |= (uint64_t)data[i] << (8 * i);
	return (int64_t)num;
}

static const struct field *field_find(const struct field *fields, const uint8_t *name, size_t len)
{
	for (const struct field *f = fields; f->name; f++) {
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return f;
	}
	return NULL;
}

static bool set_int(const struct field *f, void *member, int64_t num)
{
	switch (f->type) {
	case FIELD_INT:
		if (num < INT32_MIN || num > INT32_MAX)
			return false;
		*(int *)member = (int)num;
		return true;
	case FIELD_I64:
	case FIELD_TIME:
		*(int64_t *)member = num;
		return true;
	case FIELD_BOOL:
		*(bool *)member = num != 0;
		return true;
	case FIELD_ID:
	case FIELD_STR:
	case FIELD_REAL:
	case FIELD_ENUM:
	case FIELD_JSON:
	case FIELD_STRS:
		return false;
	}
	return false;
}

static bool set_text(const struct field *f, void *member, const uint8_t *data, size_t len,
		     struct arena *arena)
{
	char *text;

	if (f->type == FIELD_JSON) {
		json_t *json = json_keep((const char *)data, len, arena);

		*(json_t **)member = json;
		return json != NULL;
	}
	if (f->type != FIELD_STR || memchr(data, '\0', len))
		return false;
	text = arena_strndup(arena, (const char *)data, len);
	*(const char **)member = text;
	return view_text_is_clean(text);
}

static bool set_member(const struct field *f, void *member, uint64_t kind, const uint8_t *data,
		       size_t len, struct arena *arena)
{
	switch (kind) {
	case KIND_INT:
		return len == 8 && set_int(f, member, int_of(data));
	case KIND_TEXT:
		return set_text(f, member, data, len, arena);
	case KIND_REAL:
		if (len != sizeof(double) || f->type != FIELD_REAL)
			return false;
		memcpy(member, data, len);
		return true;
	case KIND_ID:
		if (len != sizeof(struct id) || f->type != FIELD_ID)
			return false;
		memcpy(member, data, len);
		return true;
	default:
		return false;
	}
}

static void get_row(struct reader *in, const struct field *fields, void *row, struct arena *arena)
{
	for (;;) {
		size_t name_len = get_num(in, 1);
		const uint8_t *name, *data;
		const struct field *f;
		uint64_t kind;
		size_t len;

		if (in->bad || name_len == 0)
			return;
		name = get_bytes(in, name_len);
		kind = get_num(in, 1);
		len = get_num(in, 4);
		data = get_bytes(in, len);
		if (in->bad)
			return;
		f = field_find(fields, name, name_len);
		if (f && !set_member(f, (char *)row + f->offset, kind, data, len, arena))
			in->bad = true;
	}
}

/* What the tables do not take as NULL. */
static bool call_is_whole(const struct entry *entry)
{
	const struct call_row *call = &entry->call;

	if (id_is_none(call->id) || !id_eq(call->tenant_id, entry->tenant) || !call->direction ||
	    !call->state || !call->recording || !call->created_at || !call->last_at)
		return false;
	for (unsigned i = 0; i < entry->leg_count; i++) {
		const struct call_leg_row *leg = &entry->legs[i];

		if (id_is_none(leg->id) || !id_eq(leg->call_id, call->id) ||
		    !id_eq(leg->tenant_id, entry->tenant) || !leg->role || !leg->kind ||
		    !leg->state)
			return false;
	}
	return true;
}

static bool event_is_whole(const struct entry *entry)
{
	const struct call_event_row *event = &entry->event;

	return !id_is_none(event->id) && !id_is_none(event->call_id) &&
	       id_eq(event->tenant_id, entry->tenant) && event->type && event->time;
}

static bool recording_is_whole(const struct entry *entry)
{
	const struct recording_row *row = &entry->recording;

	return !id_is_none(row->id) && !id_is_none(row->call_id) &&
	       id_eq(row->tenant_id, entry->tenant) && row->state && row->layout &&
	       row->started_at && row->storage;
}

static bool room_is_whole(const struct entry *entry)
{
	const struct room_row *row = &entry->room;

	return !id_is_none(row->id) && id_eq(row->tenant_id, entry->tenant) && row->name &&
	       row->created_at;
}

static bool monitor_is_whole(const struct entry *entry)
{
	const struct monitor_row *row = &entry->monitor;
	const struct audit *audit = &entry->audit;

	return !id_is_none(row->id) && !id_is_none(row->call_id) &&
	       id_eq(row->tenant_id, entry->tenant) && row->mode && row->state && row->created_at &&
	       !id_is_none(audit->id) && id_eq(audit->tenant_id, entry->tenant) && audit->action &&
	       audit->time;
}

static bool device_is_whole(const struct entry *entry)
{
	return !id_is_none(entry->device.id) && id_eq(entry->device.tenant_id, entry->tenant) &&
	       entry->device.bindings;
}

static void get_call(struct reader *in, struct arena *arena, struct entry *entry)
{
	get_row(in, call_row_fields, &entry->call, arena);
	entry->leg_count = (unsigned)get_num(in, 2);
	/* Each leg takes a byte at least, so that a small file cannot ask for much memory. */
	if (in->bad || entry->leg_count > ENTRY_LEGS_MAX ||
	    entry->leg_count > (size_t)(in->end - in->at)) {
		entry->leg_count = 0;
		in->bad = true;
		return;
	}
	entry->legs = arena_alloc(arena, (entry->leg_count + 1) * sizeof(*entry->legs));
	memset(entry->legs, 0, (entry->leg_count + 1) * sizeof(*entry->legs));
	for (unsigned i = 0; i < entry->leg_count; i++)
		get_row(in, call_leg_fields, &entry->legs[i], arena);
}

bool entry_decode(const uint8_t *data, size_t len, struct arena *arena, struct entry *ret)
{
	struct reader in = { .at = data, .end = data + len };
	struct entry entry = { 0 };
	const uint8_t *tenant;
	uint64_t form = get_num(&in, 1), flags = get_num(&in, 1);

	tenant = get_bytes(&in, sizeof(entry.tenant));
	entry.seq = (int64_t)get_num(&in, 8);
	if (in.bad || form != FORM || entry.seq < 0)
		return false;
	memcpy(&entry.tenant, tenant, sizeof(entry.tenant));
	entry.has_call = flags & 1;
	entry.has_event = (flags & 2) != 0;
	entry.has_recording = (flags & 4) != 0;
	entry.has_room = (flags & 8) != 0;
	entry.room_gone = (flags & 16) != 0;
	entry.has_monitor = (flags & 32) != 0;
	entry.has_device = (flags & 64) != 0;
	if (entry.has_event)
		get_row(&in, call_event_fields, &entry.event, arena);
	if (entry.has_recording && !in.bad)
		get_row(&in, recording_fields, &entry.recording, arena);
	if (entry.has_room && !in.bad)
		get_row(&in, room_fields, &entry.room, arena);
	if (entry.has_monitor && !in.bad)
		get_row(&in, monitor_fields, &entry.monitor, arena);
	if (entry.has_monitor && !in.bad)
		get_row(&in, audit_fields, &entry.audit, arena);
	if (entry.has_device && !in.bad)
		get_row(&in, device_bindings_fields, &entry.device, arena);
	if (entry.has_call && !in.bad)
		get_call(&in, arena, &entry);
	if (in.bad || in.at != in.end || id_is_none(entry.tenant))
		return false;
	if ((entry.has_event && !event_is_whole(&entry)) ||
	    (entry.has_recording && !recording_is_whole(&entry)) ||
	    (entry.has_room && !room_is_whole(&entry)) ||
	    (entry.has_monitor && !monitor_is_whole(&entry)) ||
	    (entry.has_device && !device_is_whole(&entry)) ||
	    (entry.has_call && !call_is_whole(&entry)))
		return false;
	*ret = entry;
	return true;
}
