/* db/query.h - the lists' filters, order and pages, the only SQL made at run time
 *
 * Fragments are string literals (the macros see to it); values are always parameters; columns come from
 * the list's own table.
 *
 *     struct db_query q = { 0 };
 *     db_where(&q, "tenant_id = ?", V(tenant));
 *     if (filter->search)
 *             db_search(&q, arena, "lower(name) LIKE ? ESCAPE '\\'", filter->search);
 *     r = db_page(db, &q, &profile_list, &filter->page, arena, &ret->rows, &ret->info);
 */
#pragma once

#include "db/db.h"

#define DB_PAGE_DEFAULT 50
#define DB_PAGE_MAX 500

struct db_query {
	char where[8192];
	size_t len;
	struct db_val vals[DB_MAX_ARGS];
	unsigned count;
	bool failed; /* too many conditions for its room: DB_QUERY_E_TOO_MUCH */
};

enum {
	DB_PAGE_E_RANGE = 32, /* no such page: 404 "Invalid page." */
	DB_QUERY_E_TOO_MUCH,  /* more filter values than a query takes: 400 */
};

/* AND fragment; each `?` in it stands for the one value. */
#define db_where(query, fragment, val) db_where_add((query), "" fragment "", (val))
/* AND fragment without a value. */
#define db_where_only(query, fragment) db_where_add_only((query), "" fragment "")
/* AND column IN (...); no values: nothing matches. */
#define db_where_in(query, column, vals, count)                                                    \
	db_where_add_in((query), "" column "", (vals), (count))
/* AND fragment, where `?` is a pattern that finds `text` anywhere: write it as
 * "(lower(a) LIKE ? ESCAPE '\\' OR lower(b) LIKE ? ESCAPE '\\')". Case is folded on both sides.
 */
#define db_search(query, arena, fragment, text)                                                    \
	db_search_add((query), (arena), "" fragment "", (text))

void db_where_add(struct db_query *query, const char *fragment, struct db_val val);
void db_where_add_only(struct db_query *query, const char *fragment);
void db_where_add_in(struct db_query *query, const char *column, const struct db_val *vals,
		     unsigned count);
void db_search_add(struct db_query *query, struct arena *arena, const char *fragment,
		   const char *text);

/* A list: what it selects from and what it may be ordered by. */
struct db_order {
	const char *name;   /* as clients say it */
	const char *column; /* SQL; NULL: the same */
};

struct db_list {
	const char *select; /* "SELECT a, b FROM t" */
	const char *count;  /* "SELECT count(*) FROM t" */
	const struct field *fields;
	size_t row_size;
	const struct db_order *orders; /* ends with a NULL name */
	const char *order;	       /* the default: "created_at DESC" */
	const char *tie;	       /* what makes any order total: "id" */
};

struct db_page {
	unsigned number; /* 1.. ; 0: 1 */
	unsigned size;	 /* 0: DB_PAGE_DEFAULT; at most DB_PAGE_MAX */
	const char *
		ordering; /* "-started_at,talk_s" or NULL; names that the list does not know are ignored */
};

struct db_page_info {
	int64_t count; /* of all that match */
	size_t rows;   /* on this page */
	unsigned number, size;
	bool has_next, has_previous;
};

/* One page and the count. Return: 0 with *ret_rows an array in the arena; DB_PAGE_E_RANGE (never for page 1);
 * DB_QUERY_E_TOO_MUCH; DB_E_AWAY, DB_E_BUSY.
 */
must_check int db_page(struct db *db, const struct db_query *query, const struct db_list *list,
		       const struct db_page *page, struct arena *arena, void *ret_rows,
		       struct db_page_info *ret_info);

/* The whole of it, row by row, in the same order. */
must_check int db_page_each(struct db *db, const struct db_query *query, const struct db_list *list,
			    const char *ordering, int (*on_row)(void *arg, const void *row),
			    void *arg);
