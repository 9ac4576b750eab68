/* event/view_row.h - calls between the database and the outside: rows to views and back */
#pragma once

#include "event/view.h"
#include "store/call.h"
#include "store/monitor.h"
#include "store/recording.h"
#include "store/room.h"

/* Strings point into the view, which outlives the row, or are static. */
void call_row_of_view(const struct call_view *view, int64_t now_us, struct call_row *ret);
void call_leg_row_of_view(const struct call_view *view, unsigned position,
			  struct call_leg_row *ret);
void recording_row_of_view(const struct recording_view *view, int64_t seq,
			   struct recording_row *ret);
void room_row_of_view(const struct room_view *view, int64_t seq, struct room_row *ret);
void monitor_row_of_view(const struct monitor_view *view, int64_t seq, struct monitor_row *ret);
/* Return: a new view (free() it). A word that no table has reads as the first of its table. */
struct recording_view *recording_view_of_row(const struct recording_row *row);
struct monitor_view *monitor_view_of_row(const struct monitor_row *row); /* without its leg */
struct call_view *call_view_of_row(const struct call_row *row, const struct call_leg_row *legs,
				   size_t leg_count);

/* For the API: one call with its legs, or a page of them, from the database. */
must_check int call_view_get(struct db *db, struct arena *arena, struct id tenant, struct id id,
			     struct call_view **ret_view);
/* *ret_views: an array in the arena of views that the caller frees one by one. */
must_check int call_view_list(struct db *db, struct arena *arena, struct id tenant,
			      const struct call_filter *filter, struct call_view ***ret_views,
			      struct db_page_info *ret_info);
