#include "db/query.h"

#include "db/private.h"

#include <stdio.h>

static void where_text(struct db_query *query, const char *text, size_t len)
{
	if (query->len + len + 1 > sizeof(query->where)) {
		query->failed = true;
		return;
	}
	memcpy(query->where + query->len, text, len);
	query->len += len;
	query->where[query->len] = '\0';
}

static void where_and(struct db_query *query)
{
	const char *word = query->len ? " AND " : " WHERE ";

	where_text(query, word, strlen(word));
}

/* Return: the value's number, 0 when there is no room. */
static unsigned where_val(struct db_query *query, struct db_val val)
{
	/* Two are kept for the page's LIMIT and OFFSET. */
	if (query->count + 2 >= DB_MAX_ARGS) {
		query->failed = true;
		return 0;
	}
	query->vals[query->count++] = val;
	return query->count;
}

static void where_number(struct db_query *query, unsigned number)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "$%u", number);

	where_text(query, text, (size_t)len);
}

void db_where_add(struct db_query *query, const char *fragment, struct db_val val)
{
	unsigned number = where_val(query, val);
	const char *mark;

	where_and(query);
	while ((mark = strchr(fragment, '?'))) {
		where_text(query, fragment, (size_t)(mark - fragment));
		where_number(query, number);
		fragment = mark + 1;
	}
	where_text(query, fragment, strlen(fragment));
}

void db_where_add_only(struct db_query *query, const char *fragment)
{
	where_and(query);
	where_text(query, fragment, strlen(fragment));
}

void db_where_add_in(struct db_query *query, const char *column, const struct db_val *vals,
		     unsigned count)
{
	unsigned rounded = 1;

	where_and(query);
	if (count == 0) {
		where_text(query, "1 = 0", 5);
		return;
	}
	/* Rounded up by repeating the last one, so that few different statements need preparing. */
	while (rounded < count)
		rounded *= 2;
	if (rounded + query->count + 2 > DB_MAX_ARGS)
		rounded = count;
	where_text(query, column, strlen(column));
	for (unsigned i = 0; i < rounded; i++) {
		unsigned number = where_val(query, vals[i < count ? i : count - 1]);

		where_text(query, i ? ", " : " IN (", i ? 2 : 5);
		where_number(query, number);
	}
	where_text(query, ")", 1);
}

/* Folds the case of ASCII here and leaves the rest to the engine's lower(), which the fragment applies to the column. */
void db_search_add(struct db_query *query, struct arena *arena, const char *fragment,
		   const char *text)
{
	char *pattern = arena_alloc(arena, strlen(text) * 2 + 3);
	char *p = pattern;

	*p++ = '%';
	for (; *text; text++) {
		if (*text == '%' || *text == '_' || *text == '\\')
			*p++ = '\\';
		*p++ = *text >= 'A' && *text <= 'Z' ? (char)(*text | 0x20) : *text;
	}
	*p++ = '%';
	*p = '\0';
	db_where_add(query, fragment, db_val_str(pattern));
}

static const struct db_order *order_find(const struct db_order *orders, const char *name,
					 size_t len)
{
	for (; orders->name; orders++) {
		if (strlen(orders->name) == len && memcmp(orders->name, name, len) == 0)
			return orders;
	}
	return NULL;
}

/* "-started_at,talk_s" to " ORDER BY created_at DESC, talk_s, id". */
static void order_add(struct buf *sql, const struct db_list *list, const char *ordering)
{
	unsigned used = 0;
	bool descending = false;

	buf_adds(sql, " ORDER BY ");
	while (ordering && *ordering && used < 4) {
		size_t len = strcspn(ordering, ",");
		bool minus = *ordering == '-';
		const struct db_order *order =
			order_find(list->orders, ordering + minus, len - minus);

		if (order) {
			buf_addf(sql, "%s%s%s", used ? ", " : "",
				 order->column ? order->column : order->name, minus ? " DESC" : "");
			descending = used++ ? descending : minus;
		}
		ordering += len + (ordering[len] == ',');
	}
	if (!used) {
		buf_adds(sql, list->order);
		descending = strstr(list->order, "DESC") != NULL;
	}
	/* The same way round as the first, so that one index serves both. */
	buf_addf(sql, ", %s%s", list->tie, descending ? " DESC" : "");
}

static struct db_args query_args(const struct db_query *query)
{
	return (struct db_args){ query->vals, query->count };
}

int db_page(struct db *db, const struct db_query *query, const struct db_list *list,
	    const struct db_page *page, struct arena *arena, void *ret_rows,
	    struct db_page_info *ret_info)
{
	auto_(buf_fini) struct buf sql = BUF_MAX(16384);
	struct db_page_info info = { .number = page->number ? page->number : 1,
				     .size = page->size ? page->size : DB_PAGE_DEFAULT };
	struct db_query paged = *query;
	int64_t skip;
	int r;

	if (query->failed)
		return DB_QUERY_E_TOO_MUCH;
	if (info.size > DB_PAGE_MAX)
		info.size = DB_PAGE_MAX;
	skip = (int64_t)(info.number - 1) * info.size;

	buf_addf(&sql, "%s%s", list->count, query->where);
	r = db_num(db, sql.data, query_args(query), &info.count);
	if (r)
		return r < 0 ? err_pass(r) : r;
	if (info.number > 1 && skip >= info.count)
		return DB_PAGE_E_RANGE;

	buf_reset(&sql);
	buf_addf(&sql, "%s%s", list->select, query->where);
	order_add(&sql, list, page->ordering);
	paged.vals[paged.count++] = db_val_int(info.size);
	paged.vals[paged.count++] = db_val_int(skip);
	buf_addf(&sql, " LIMIT $%u OFFSET $%u", paged.count - 1, paged.count);
	bug_on(sql.failed);
	r = db_list(db, sql.data, query_args(&paged), list->fields, list->row_size, arena, ret_rows,
		    &info.rows);
	if (r)
		return r < 0 ? err_pass(r) : r;
	info.has_previous = info.number > 1;
	info.has_next = skip + info.size < info.count;
	*ret_info = info;
	return 0;
}

int db_page_each(struct db *db, const struct db_query *query, const struct db_list *list,
		 const char *ordering, int (*on_row)(void *arg, const void *row), void *arg)
{
	auto_(buf_fini) struct buf sql = BUF_MAX(16384);
	int r;

	if (query->failed)
		return DB_QUERY_E_TOO_MUCH;
	buf_addf(&sql, "%s%s", list->select, query->where);
	order_add(&sql, list, ordering);
	bug_on(sql.failed);
	r = db_each(db, sql.data, query_args(query), list->fields, list->row_size, on_row, arg);
	return r < 0 ? err_pass(r) : r;
}
