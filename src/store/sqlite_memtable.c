/* SPDX-License-Identifier: MIT */
/*
 * What statements ask of the memtable:
 *
 *   memtable_last(cid, seq, visible)              id of the last entry up to seq, if it is there
 *   memtable_first(cid, visible)                  number of the first entry that is there
 *   memtable_oldest(cid, low, high, most, visible)
 *   memtable_newest(cid, low, high, most, visible)  tables of (seq, id), in that order
 *
 * visible is the last id that the statement's snapshot has.
 */
#include "base/mem.h"
#include "base/panic.h"
#include "store/sqlite_db.h"

/* --- What statements ask --- */

static uint64_t
number_of(sqlite3_value *value)
{
	return (uint64_t)sqlite3_value_int64(value);
}

static void
last_of(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct memtable_query query = {
	    .cid = number_of(argv[0]),
	    .to = number_of(argv[1]),
	    .visible_id = number_of(argv[2]),
	    .newest_first = true,
	};
	struct memtable_entry found;

	(void)argc;
	if (memtable_find(sqlite3_user_data(context), &query, &found, 1) == 1)
		sqlite3_result_int64(context, (sqlite3_int64)found.id);
}

static void
first_of(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct memtable_query query = {
	    .cid = number_of(argv[0]),
	    .to = INT64_MAX,
	    .visible_id = number_of(argv[1]),
	};
	struct memtable_entry found;

	(void)argc;
	if (memtable_find(sqlite3_user_data(context), &query, &found, 1) == 1)
		sqlite3_result_int64(context, (sqlite3_int64)found.seq);
}

/* --- The tables of them --- */

enum { COLUMN_SEQ, COLUMN_ID, COLUMN_FIRST_ARGUMENT };
enum { ARGUMENTS = 5 };

struct range_table {
	sqlite3_vtab base;
	const struct memtable_order *order;
};

struct range_cursor {
	sqlite3_vtab_cursor base;
	struct memtable_entry *entries; /* owned */
	size_t count, at;
};

static int
range_connect(sqlite3 *db, void *cookie, int argc, const char *const *argv, sqlite3_vtab **ret,
    char **ret_error)
{
	struct range_table *table;
	int rc = sqlite3_declare_vtab(db, "CREATE TABLE range (seq, id, cid HIDDEN, low HIDDEN, "
					  "high HIDDEN, most HIDDEN, visible HIDDEN)");

	(void)argc;
	(void)argv;
	(void)ret_error;
	if (rc != SQLITE_OK)
		return rc;
	table = mem_zalloc(sizeof(*table));
	table->order = cookie;
	*ret = &table->base;
	return SQLITE_OK;
}

static int
range_disconnect(sqlite3_vtab *base)
{
	mem_free(container_of(base, struct range_table, base));
	return SQLITE_OK;
}

/* With all of its arguments or not at all. */
static int
range_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
	bool newest_first = container_of(base, struct range_table, base)->order->newest_first;
	int given = 0;

	for (int i = 0; i < info->nConstraint; i++) {
		int argument = info->aConstraint[i].iColumn - COLUMN_FIRST_ARGUMENT;

		if (argument < 0 || info->aConstraint[i].usable == 0 ||
		    info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
			continue;
		info->aConstraintUsage[i].argvIndex = argument + 1;
		info->aConstraintUsage[i].omit = 1;
		given |= 1 << argument;
	}
	if (given != (1 << ARGUMENTS) - 1)
		return SQLITE_CONSTRAINT;
	info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn == COLUMN_SEQ &&
				(info->aOrderBy[0].desc != 0) == newest_first;
	info->estimatedCost = 1;
	info->estimatedRows = 1;
	return SQLITE_OK;
}

static int
range_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct range_cursor *cursor = mem_zalloc(sizeof(*cursor));

	(void)base;
	*ret = &cursor->base;
	return SQLITE_OK;
}

static struct range_cursor *
range_of(sqlite3_vtab_cursor *base)
{
	return container_of(base, struct range_cursor, base);
}

static int
range_close(sqlite3_vtab_cursor *base)
{
	mem_free(range_of(base)->entries);
	mem_free(range_of(base));
	return SQLITE_OK;
}

static int
range_start(sqlite3_vtab_cursor *base, int number, const char *name, int argc, sqlite3_value **argv)
{
	const struct memtable_order *order =
	    container_of(base->pVtab, struct range_table, base)->order;
	struct range_cursor *cursor = range_of(base);
	struct memtable_query query = {
	    .cid = number_of(argv[0]),
	    .from = number_of(argv[1]),
	    .to = number_of(argv[2]),
	    .visible_id = number_of(argv[4]),
	    .newest_first = order->newest_first,
	};
	size_t most = number_of(argv[3]);

	(void)number;
	(void)name;
	assert(argc == ARGUMENTS);
	cursor->entries = mem_resize(cursor->entries, most + 1, sizeof(*cursor->entries));
	cursor->count = memtable_find(order->memtable, &query, cursor->entries, most);
	cursor->at = 0;
	return SQLITE_OK;
}

static int
range_next(sqlite3_vtab_cursor *base)
{
	range_of(base)->at++;
	return SQLITE_OK;
}

static int
range_at_end(sqlite3_vtab_cursor *base)
{
	return range_of(base)->at >= range_of(base)->count;
}

static int
range_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
	const struct memtable_entry *entry = &range_of(base)->entries[range_of(base)->at];

	assert(column < COLUMN_FIRST_ARGUMENT); /* nobody asks what he said himself */
	sqlite3_result_int64(to, (sqlite3_int64)(column == COLUMN_SEQ ? entry->seq : entry->id));
	return SQLITE_OK;
}

static int
range_id(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)range_of(base)->at;
	return SQLITE_OK;
}

static int
range_attach(sqlite3 *db, const char *name, struct memtable_order *order)
{
	/* Without xCreate: it is there by its name, and has arguments like a function. */
	static const sqlite3_module module = {
	    .xConnect = range_connect,
	    .xDisconnect = range_disconnect,
	    .xBestIndex = range_plan,
	    .xOpen = range_open,
	    .xClose = range_close,
	    .xFilter = range_start,
	    .xNext = range_next,
	    .xEof = range_at_end,
	    .xColumn = range_column,
	    .xRowid = range_id,
	};

	return sqlite3_create_module(db, name, &module, order);
}

int
sqlite_memtable_attach(struct sqlite *s, struct sql_conn *conn)
{
	int rc = sqlite3_create_function_v2(
	    conn->db, "memtable_last", 3, SQLITE_UTF8, &s->memtable, last_of, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(conn->db, "memtable_first", 2, SQLITE_UTF8,
		    &s->memtable, first_of, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = range_attach(conn->db, "memtable_oldest", &s->oldest);
	if (rc == SQLITE_OK)
		rc = range_attach(conn->db, "memtable_newest", &s->newest);
	return rc;
}
