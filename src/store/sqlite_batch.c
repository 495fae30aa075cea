/* SPDX-License-Identifier: MIT */
/*
 * Messages wait in a list until the operations are through, then one statement inserts all of them:
 *
 *   INSERT OR FAIL INTO msg (…) SELECT … FROM later
 *
 * later is a virtual table over that list.  What a statement costs by itself (cursors on the table
 * and on each index, parameters, allocations) is so paid once a batch and not once a message, and
 * the cursors stay where the row before was put.
 *
 * OR FAIL leaves in place what came before a row that is there already.  From that row on heads are
 * taken back, and the operations run again one by one, which finds out whose cmid was used before.
 */
#include "base/mem.h"
#include "base/panic.h"
#include "store/sqlite_db.h"

/* --- The table --- */

struct later_table {
	sqlite3_vtab base;
	struct sqlite *s;
};

struct later_cursor {
	sqlite3_vtab_cursor base;
	size_t at;
};

static int
table_connect(sqlite3 *db, void *cookie, int argc, const char *const *argv, sqlite3_vtab **ret,
    char **ret_error)
{
	struct later_table *table;
	int rc = sqlite3_declare_vtab(
	    db, "CREATE TABLE later (cid, seq, sender, cmid, ts, kind, data, body, re)");

	(void)argc;
	(void)argv;
	(void)ret_error;
	if (rc != SQLITE_OK)
		return rc;
	table = mem_zalloc(sizeof(*table));
	table->s = cookie;
	*ret = &table->base;
	return SQLITE_OK;
}

static int
table_disconnect(sqlite3_vtab *base)
{
	mem_free(container_of(base, struct later_table, base));
	return SQLITE_OK;
}

/* There is one way: from the first to the last. */
static int
table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
	(void)base;
	info->estimatedRows = LIMIT_STORE_BATCH;
	info->estimatedCost = LIMIT_STORE_BATCH;
	return SQLITE_OK;
}

static int
cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct later_cursor *cursor = mem_zalloc(sizeof(*cursor));

	(void)base;
	*ret = &cursor->base;
	return SQLITE_OK;
}

static struct later_cursor *
cursor_of(sqlite3_vtab_cursor *base)
{
	return container_of(base, struct later_cursor, base);
}

static const struct sqlite *
store_of(sqlite3_vtab_cursor *base)
{
	return container_of(base->pVtab, struct later_table, base)->s;
}

static int
cursor_close(sqlite3_vtab_cursor *base)
{
	mem_free(cursor_of(base));
	return SQLITE_OK;
}

static int
cursor_start(
    sqlite3_vtab_cursor *base, int number, const char *name, int argc, sqlite3_value **argv)
{
	(void)number;
	(void)name;
	(void)argc;
	(void)argv;
	cursor_of(base)->at = 0;
	return SQLITE_OK;
}

static int
cursor_next(sqlite3_vtab_cursor *base)
{
	cursor_of(base)->at++;
	return SQLITE_OK;
}

static int
cursor_at_end(sqlite3_vtab_cursor *base)
{
	return cursor_of(base)->at >= store_of(base)->later_count;
}

static int
cursor_id(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)cursor_of(base)->at;
	return SQLITE_OK;
}

static void
give_number(sqlite3_context *to, uint64_t number)
{
	sqlite3_result_int64(to, (sqlite3_int64)number);
}

/* It lives as long as its operation, which is longer than the statement runs. */
static void
give_text(sqlite3_context *to, slice text)
{
	sqlite3_result_text64(to, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int
cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
	const struct later *later = &store_of(base)->later[cursor_of(base)->at];
	const struct entry *e = later->op->append.entry;

	switch (column) {
	case 0:
		give_number(to, later->at.cid);
		break;
	case 1:
		give_number(to, later->at.seq);
		break;
	case 2:
		give_number(to, e->sender);
		break;
	case 3:
		give_text(to, e->cmid);
		break;
	case 4:
		give_number(to, later->at.ts);
		break;
	case 5:
		give_text(to, e->kind);
		break;
	case 6:
		give_text(to, e->data);
		break;
	case 7:
		give_text(to, e->body);
		break;
	case 8:
		give_number(to, e->re);
		break;
	default:
		panic("store: there is no column %d", column);
	}
	return SQLITE_OK;
}

int
sqlite_later_attach(struct sqlite *s)
{
	static const sqlite3_module module = {
	    .xConnect = table_connect,
	    .xDisconnect = table_disconnect,
	    .xBestIndex = table_plan,
	    .xOpen = cursor_open,
	    .xClose = cursor_close,
	    .xFilter = cursor_start,
	    .xNext = cursor_next,
	    .xEof = cursor_at_end,
	    .xColumn = cursor_column,
	    .xRowid = cursor_id,
	};

	return sqlite3_create_module(s->sql.writer.db, "later", &module, s);
}

/* --- The list --- */

static_assert(LEN(((struct sqlite *)0)->later) == LIMIT_STORE_BATCH, "room for a batch");

void
sqlite_later_clear(struct sqlite *s)
{
	s->later_count = 0;
	s->at_once = false;
}

/* The first message of a conversation is not run again: that would find the conversation. */
bool
sqlite_later(struct sql_store *store, struct op *op, const struct place *place)
{
	struct sqlite *s = sqlite_of(store);

	if (s->at_once || op->append.what != APPEND_MESSAGE || op->append.created)
		return false;
	assert(s->later_count < LEN(s->later));
	s->later[s->later_count++] = (struct later){.op = op, .at = *place};
	return true;
}

/* A conversation that is not in the cache any more was read anew, or will be. */
static void
take_back(struct sqlite *s, const struct later *later)
{
	struct cached_conv *conv = map_get(&s->sql.convs.by_cid, later->at.cid);

	if (conv == NULL)
		return;
	conv->row.head = later->at.seq - 1;
	conv->row.ts = later->at.ts_before;
}

static int
run_again(struct sqlite *s, size_t from)
{
	size_t count = s->later_count;
	int rc = SQL_OK;

	s->later_count = 0;
	for (size_t i = count; i-- > from;)
		take_back(s, &s->later[i]);
	s->at_once = true;
	for (size_t i = from; rc == SQL_OK && i < count; i++)
		rc = sql_append(&s->sql, s->later[i].op);
	s->at_once = false;
	return rc;
}

int
sqlite_later_write(struct sql_store *store)
{
	struct sqlite *s = sqlite_of(store);
	size_t written;
	int rc;

	if (s->later_count == 0)
		return SQL_OK;
	rc = stmt_run(&store->writer, STMT_MSG_ADD_LATER, "");
	if (!sql_is_duplicate(&store->writer, rc)) {
		s->later_count = 0;
		return rc;
	}
	written = sql_changes(&store->writer);
	assert(written < s->later_count);
	return run_again(s, written);
}
