#include "event/view_row.h"

#include <stdio.h>

static const char *text_or_null(const char *text)
{
	return *text ? text : NULL;
}

void call_row_of_view(const struct call_view *view, int64_t now_us, struct call_row *ret)
{
	*ret = (struct call_row){
		.id = view->id,
		.tenant_id = view->tenant,
		.profile_id = view->profile_id,
		.user_id = view->user_id,
		.direction = call_direction_names[view->direction],
		.state = call_state_names[view->state],
		.from = text_or_null(view->from),
		.to = text_or_null(view->to),
		.from_name = text_or_null(view->from_name),
		.created_at = view->created_at ? view->created_at : now_us,
		.ringing_at = view->ringing_at,
		.answered_at = view->answered_at,
		.ended_at = view->ended_at,
		.ring_s = view->ring_s,
		.talk_s = view->talk_s,
		.hold_s = view->hold_s,
		.hold_local = view->hold_local,
		.hold_remote = view->hold_remote,
		.recording = recording_state_names[view->recording],
		.recording_id = view->recording_id,
		.room = text_or_null(view->room),
		.end_reason = text_or_null(end_reason_names[view->end_reason]),
		.sip_code = view->sip_code,
		.q850 = view->q850,
		.hangup_by = text_or_null(hangup_by_names[view->hangup_by]),
		.transferred_from = view->transferred_from,
		.transferred_to = view->transferred_to,
		.variables = text_or_null(view->variables),
		.call_seq = view->seq,
		.last_at = now_us,
	};
}

void call_leg_row_of_view(const struct call_view *view, unsigned position, struct call_leg_row *ret)
{
	const struct leg_view *leg = &view->legs[position];

	*ret = (struct call_leg_row){
		.id = leg->id,
		.tenant_id = view->tenant,
		.call_id = view->id,
		.position = (int)position,
		.role = leg_role_names[leg->role],
		.kind = leg_kind_names[leg->kind],
		.state = leg_state_names[leg->state],
		.muted = leg->muted,
		.address = text_or_null(leg->address),
		.codec = text_or_null(leg->codec),
		.profile_id = leg->profile_id,
		.device_id = leg->device_id,
		.user_id = leg->user_id,
		.created_at = leg->created_at,
		.ringing_at = leg->ringing_at,
		.answered_at = leg->answered_at,
		.ended_at = leg->ended_at,
		.end_reason = text_or_null(end_reason_names[leg->end_reason]),
		.sip_code = leg->sip_code,
		.quality_known = leg->quality.known,
		.mos = (double)leg->quality.mos,
		.jitter_ms = (double)leg->quality.jitter_ms,
		.loss_pct = (double)leg->quality.loss_pct,
		.rtt_ms = (double)leg->quality.rtt_ms,
	};
}

static unsigned name_find(const char *const *names, const char *name)
{
	for (unsigned i = 0; name && names[i]; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return 0;
}

/* NULL reads as empty. */
#define TEXT(member, text) (void)str_copy((member), sizeof(member), (text) ? (text) : "")

static void leg_of_row(struct leg_view *leg, const struct call_leg_row *row)
{
	*leg = (struct leg_view){
		.id = row->id,
		.role = name_find(leg_role_names, row->role),
		.kind = name_find(leg_kind_names, row->kind),
		.state = name_find(leg_state_names, row->state),
		.muted = row->muted,
		.profile_id = row->profile_id,
		.device_id = row->device_id,
		.user_id = row->user_id,
		.created_at = row->created_at,
		.ringing_at = row->ringing_at,
		.answered_at = row->answered_at,
		.ended_at = row->ended_at,
		.end_reason = name_find(end_reason_names, row->end_reason),
		.sip_code = row->sip_code,
		.quality = { .known = row->quality_known,
			     .mos = (float)row->mos,
			     .jitter_ms = (float)row->jitter_ms,
			     .loss_pct = (float)row->loss_pct,
			     .rtt_ms = (float)row->rtt_ms },
	};
	TEXT(leg->address, row->address);
	TEXT(leg->codec, row->codec);
}

static void call_of_row(struct call_view *view, const struct call_row *row)
{
	view->id = row->id;
	view->tenant = row->tenant_id;
	view->profile_id = row->profile_id;
	view->user_id = row->user_id;
	view->direction = name_find(call_direction_names, row->direction);
	view->state = name_find(call_state_names, row->state);
	TEXT(view->from, row->from);
	TEXT(view->to, row->to);
	TEXT(view->from_name, row->from_name);
	view->created_at = row->created_at;
	view->ringing_at = row->ringing_at;
	view->answered_at = row->answered_at;
	view->ended_at = row->ended_at;
	view->ring_s = row->ring_s;
	view->talk_s = row->talk_s;
	view->hold_s = row->hold_s;
	view->hold_local = row->hold_local;
	view->hold_remote = row->hold_remote;
	view->recording = name_find(recording_state_names, row->recording);
	view->recording_id = row->recording_id;
	TEXT(view->room, row->room);
	view->end_reason = name_find(end_reason_names, row->end_reason);
	view->sip_code = row->sip_code;
	view->q850 = row->q850;
	view->hangup_by = name_find(hangup_by_names, row->hangup_by);
	view->transferred_from = row->transferred_from;
	view->transferred_to = row->transferred_to;
	TEXT(view->variables, row->variables);
	view->seq = (uint32_t)row->call_seq;
}

struct call_view *call_view_of_row(const struct call_row *row, const struct call_leg_row *legs,
				   size_t leg_count)
{
	struct call_view *view = call_view_new((unsigned)leg_count);

	call_of_row(view, row);
	for (size_t i = 0; i < leg_count; i++)
		leg_of_row(&view->legs[i], &legs[i]);
	return view;
}

int call_view_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
		  struct call_view **ret_view)
{
	struct call_leg_row *legs;
	struct call_row row;
	size_t leg_count;
	int r = call_row_get(db, arena, tenant, id, &row);

	if (r == 0)
		r = call_row_legs(db, arena, tenant, id, &legs, &leg_count);
	if (r)
		return r < 0 ? err_pass(r) : r;
	*ret_view = call_view_of_row(&row, legs, leg_count);
	return 0;
}

/* The legs of each call in a list that is sorted by call: found by halving. */
static size_t legs_find(const struct call_leg_row *legs, size_t count, struct id call,
			size_t *ret_first)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (id_cmp(legs[mid].call_id, call) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_first = low;
	for (high = low; high < count && id_eq(legs[high].call_id, call); high++)
		continue;
	return high - low;
}

int call_view_list(struct db *db, struct arena *arena, struct id tenant,
		   const struct call_filter *filter, struct call_view ***ret_views,
		   struct db_page_info *ret_info)
{
	struct call_row *rows;
	struct call_leg_row *legs = NULL;
	struct call_view **views;
	struct id *ids;
	size_t leg_count = 0, first;
	int r = call_row_list(db, arena, tenant, filter, &rows, ret_info);

	if (r)
		return r < 0 ? err_pass(r) : r;
	ids = arena_alloc(arena, (ret_info->rows + 1) * sizeof(*ids));
	views = arena_alloc(arena, (ret_info->rows + 1) * sizeof(struct call_view *));
	for (size_t i = 0; i < ret_info->rows; i++)
		ids[i] = rows[i].id;
	if (ret_info->rows)
		r = call_row_legs_of(db, arena, tenant, ids, (unsigned)ret_info->rows, &legs,
				     &leg_count);
	if (r)
		return r < 0 ? err_pass(r) : r;
	for (size_t i = 0; i < ret_info->rows; i++) {
		size_t own = legs_find(legs, leg_count, rows[i].id, &first);

		views[i] = call_view_of_row(&rows[i], legs + first, own);
	}
	*ret_views = views;
	return 0;
}

void recording_row_of_view(const struct recording_view *view, int64_t seq,
			   struct recording_row *ret)
{
	*ret = (struct recording_row){
		.id = view->id,
		.tenant_id = view->tenant,
		.call_id = view->call_id,
		.profile_id = view->profile_id,
		.user_id = view->user_id,
		.state = record_state_names[view->state],
		.layout = view->stereo ? "stereo" : "mono",
		.rate = view->rate,
		.started_at = view->started_at,
		.ended_at = view->ended_at,
		.duration_ms = view->duration_ms,
		.size = view->size,
		.sha256 = text_or_null(view->sha256),
		.reason = text_or_null(view->reason),
		.repaired = view->repaired,
		.storage = view->storage,
		.secret = text_or_null(view->secret),
		.seq = seq,
		.other_user_id = view->other_user_id,
	};
}

struct recording_view *recording_view_of_row(const struct recording_row *row)
{
	struct recording_view *view = xzalloc(sizeof(*view));

	view->id = row->id;
	view->tenant = row->tenant_id;
	view->call_id = row->call_id;
	view->profile_id = row->profile_id;
	view->user_id = row->user_id;
	view->other_user_id = row->other_user_id;
	view->state = name_find(record_state_names, row->state);
	view->stereo = row->layout && strcmp(row->layout, "stereo") == 0;
	view->rate = row->rate;
	view->started_at = row->started_at;
	view->ended_at = row->ended_at;
	view->duration_ms = row->duration_ms;
	view->size = row->size;
	view->repaired = row->repaired;
	TEXT(view->sha256, row->sha256);
	TEXT(view->reason, row->reason);
	TEXT(view->storage, row->storage);
	TEXT(view->secret, row->secret);
	return view;
}

void room_row_of_view(const struct room_view *view, int64_t seq, struct room_row *ret)
{
	*ret = (struct room_row){
		.id = view->id,
		.tenant_id = view->tenant,
		.created_by = view->created_by,
		.name = view->name,
		.pin = text_or_null(view->pin),
		.moderator_pin = text_or_null(view->moderator_pin),
		.max_members = view->max_members,
		.grace_s = view->grace_s,
		.join_muted = view->join_muted,
		.tones = view->tones,
		.wait_for_moderator = view->wait_for_moderator,
		.end_on_moderator_exit = view->end_on_moderator_exit,
		.record = view->record,
		.keys = view->keys,
		.locked = view->locked,
		.created_at = view->created_at,
		.seq = seq,
	};
}

void monitor_row_of_view(const struct monitor_view *view, int64_t seq, struct monitor_row *ret)
{
	*ret = (struct monitor_row){
		.id = view->id,
		.tenant_id = view->tenant,
		.call_id = view->call_id,
		.profile_id = view->profile_id,
		.user_id = view->user_id,
		.room = text_or_null(view->room),
		.mode = monitor_mode_names[view->mode],
		.state = monitor_state_names[view->state],
		.muted = view->muted,
		.beep = view->beep,
		.follow_agent = view->follow_agent,
		.target_leg = view->target_leg,
		.leg_id = view->leg.id,
		.address = text_or_null(view->leg.address),
		.created_at = view->created_at,
		.started_at = view->started_at,
		.ended_at = view->ended_at,
		.reason = text_or_null(view->reason),
		.seq = seq,
	};
}

struct monitor_view *monitor_view_of_row(const struct monitor_row *row)
{
	struct monitor_view *view = xzalloc(sizeof(*view));

	view->id = row->id;
	view->tenant = row->tenant_id;
	view->call_id = row->call_id;
	view->profile_id = row->profile_id;
	view->user_id = row->user_id;
	view->target_leg = row->target_leg;
	view->mode = name_find(monitor_mode_names, row->mode);
	view->state = name_find(monitor_state_names, row->state);
	view->muted = row->muted;
	view->beep = row->beep;
	view->follow_agent = row->follow_agent;
	view->created_at = row->created_at;
	view->started_at = row->started_at;
	view->ended_at = row->ended_at;
	TEXT(view->room, row->room);
	TEXT(view->reason, row->reason);
	return view;
}
