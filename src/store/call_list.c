/* The log: call-logs' filters */
#include "store/call.h"

static const char *const type_words[] = { "incoming", "outgoing", "conference",
					  "internal", "recorded", NULL };
static const char *const status_words[] = { "answered", "missed", "no_answer", "busy",
					    "canceled", "failed", NULL };

static bool words_parse(const char *words, const char *const *table, unsigned *ret_bits)
{
	unsigned bits = 0;

	for (;;) {
		size_t len = strcspn(words, ",");
		int i = 0;

		while (table[i] && (strlen(table[i]) != len || memcmp(table[i], words, len) != 0))
			i++;
		if (!table[i])
			return false;
		bits |= 1u << i;
		if (!words[len])
			break;
		words += len + 1;
	}
	*ret_bits = bits;
	return true;
}

bool call_type_parse(const char *words, unsigned *ret_types)
{
	return words_parse(words, type_words, ret_types);
}

bool call_status_parse(const char *words, unsigned *ret_statuses)
{
	return words_parse(words, status_words, ret_statuses);
}

/* Directions are alternatives; a call that was put into a room counts as a conference too. */
static void where_types(struct db_query *query, unsigned types)
{
	struct db_val directions[4];
	unsigned count = 0;

	if (types & CALL_TYPE_RECORDED)
		db_where_only(query, "recording_id IS NOT NULL");
	types &= ~(unsigned)CALL_TYPE_RECORDED;
	for (unsigned i = 0; i < 4; i++) {
		if (types & (1u << i))
			directions[count++] = V(type_words[i]);
	}
	if (types & CALL_TYPE_CONFERENCE)
		db_where_in(query,
			    "CASE WHEN room IS NOT NULL THEN 'conference' ELSE direction END",
			    directions, count);
	else if (count)
		db_where_in(query, "direction", directions, count);
}

/* Each ended call has one status. Calls that are up have one only when they are answered. */
#define STATUS_CASE                                                                                \
	"CASE WHEN answered_at IS NOT NULL THEN 'answered' WHEN ended_at IS NULL THEN ''"          \
	" WHEN direction = 'incoming' THEN 'missed'"                                               \
	" WHEN end_reason IN ('no_answer', 'timeout') THEN 'no_answer'"                            \
	" WHEN end_reason IN ('busy', 'declined') THEN 'busy'"                                     \
	" WHEN end_reason = 'canceled' THEN 'canceled' ELSE 'failed' END"

static void where_statuses(struct db_query *query, unsigned statuses)
{
	struct db_val vals[6];
	unsigned count = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (statuses & (1u << i))
			vals[count++] = V(status_words[i]);
	}
	db_where_in(query, STATUS_CASE, vals, count);
}

static void where_people(struct db_query *query, const struct call_filter *filter)
{
	struct db_val profiles[CALL_FILTER_IDS];

	for (unsigned i = 0; i < filter->profile_count && i < CALL_FILTER_IDS; i++)
		profiles[i] = V(filter->profiles[i]);
	if (filter->profile_count)
		db_where_in(query, "profile_id", profiles,
			    filter->profile_count < CALL_FILTER_IDS ? filter->profile_count
								    : CALL_FILTER_IDS);
	if (!id_is_none(filter->user))
		db_where(query, "user_id = ?", V(filter->user));
	if (!id_is_none(filter->visible_to))
		db_where(query,
			 "(user_id = ? OR profile_id IN (SELECT p.id FROM sip_profile p"
			 " WHERE p.tenant_id = call.tenant_id AND p.owner = ?))",
			 V(filter->visible_to));
}

static void where_all(struct db_query *query, struct arena *arena, struct id tenant,
		      const struct call_filter *filter)
{
	db_where(query, "tenant_id = ?", V(tenant));
	if (!filter->live)
		db_where_only(query, "ended_at IS NOT NULL");
	if (filter->types)
		where_types(query, filter->types);
	if (filter->statuses)
		where_statuses(query, filter->statuses);
	where_people(query, filter);
	if (filter->from)
		db_where(query, "\"from\" = ?", V(filter->from));
	if (filter->to)
		db_where(query, "\"to\" = ?", V(filter->to));
	if (filter->started_after)
		db_where(query, "created_at >= ?", V(filter->started_after));
	if (filter->started_before)
		db_where(query, "created_at < ?", V(filter->started_before));
	if (filter->min_talk_s > 0)
		db_where(query, "talk_s >= ?", V(filter->min_talk_s));
	if (filter->search)
		db_search(query, arena,
			  "(lower(\"from\") LIKE ? ESCAPE '\\' OR lower(\"to\") LIKE ? ESCAPE '\\'"
			  " OR lower(from_name) LIKE ? ESCAPE '\\')",
			  filter->search);
}

static const struct db_list call_list_table = {
	.select = "SELECT " CALL_COLS " FROM call",
	.count = "SELECT count(*) FROM call",
	.fields = call_row_fields,
	.row_size = sizeof(struct call_row),
	.orders = (const struct db_order[]){ { "started_at", "created_at" },
					     { "created_at" },
					     { "answered_at" },
					     { "ended_at" },
					     { "talk_s" },
					     { "ring_s" },
					     { "from", "\"from\"" },
					     { "to", "\"to\"" },
					     { 0 } },
	.order = "created_at DESC",
	.tie = "id",
};

int call_row_list(struct db *db, struct arena *arena, struct id tenant,
		  const struct call_filter *filter, struct call_row **ret_rows,
		  struct db_page_info *ret_info)
{
	struct db_query query = { 0 };
	int r;

	where_all(&query, arena, tenant, filter);
	r = db_page(db, &query, &call_list_table, &filter->page, arena, ret_rows, ret_info);
	return r < 0 ? err_pass(r) : r;
}

int call_row_each(struct db *db, struct arena *arena, struct id tenant,
		  const struct call_filter *filter,
		  int (*on_call)(void *arg, const struct call_row *call), void *arg)
{
	struct db_query query = { 0 };
	int r;

	where_all(&query, arena, tenant, filter);
	r = db_page_each(db, &query, &call_list_table, filter->page.ordering,
			 (int (*)(void *, const void *))on_call, arg);
	return r < 0 ? err_pass(r) : r;
}

int call_row_legs_of(struct db *db, struct arena *arena, struct id tenant, const struct id *calls,
		     unsigned call_count, struct call_leg_row **ret_rows, size_t *ret_count)
{
	auto_(buf_fini) struct buf sql = BUF_MAX(16384);
	struct db_query query = { 0 };
	struct db_val vals[DB_PAGE_MAX];
	int r;

	bug_on(call_count > DB_PAGE_MAX);
	for (unsigned i = 0; i < call_count; i++)
		vals[i] = V(calls[i]);
	db_where(&query, "tenant_id = ?", V(tenant));
	db_where_in(&query, "call_id", vals, call_count);
	bug_on(query.failed);
	buf_addf(&sql, "SELECT " CALL_LEG_COLS " FROM call_leg%s ORDER BY call_id, position, id",
		 query.where);
	r = db_list(db, sql.data, (struct db_args){ query.vals, query.count }, call_leg_fields,
		    sizeof(**ret_rows), arena, ret_rows, ret_count);
	return r < 0 ? err_pass(r) : r;
}
