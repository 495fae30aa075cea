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
#include "base/panic.h"
#include "store/sqlite_db.h"

/* --- The table --- */

static size_t
later_count(void *cookie)
{
	const struct sqlite *s = cookie;

	return s->later_count;
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

static void
later_column(void *cookie, size_t row, int column, sqlite3_context *to)
{
	const struct sqlite *s = cookie;
	const struct later *later = &s->later[row];
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
}

int
sqlite_later_attach(struct sqlite *s)
{
	s->later_list = (struct sqlite_list){
	    .columns = "cid, seq, sender, cmid, ts, kind, data, body, re",
	    .count = later_count,
	    .column = later_column,
	    .cookie = s,
	};
	return sqlite_list_attach(s->sql.writer.db, "later", &s->later_list);
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

/* SQLite gives the rows of one statement numbers in their order. */
static int
note_written(struct sqlite *s, size_t count)
{
	uint64_t first_id = sql_last_id(&s->sql.writer) + 1 - count;

	assert(count <= s->later_count);
	for (size_t i = 0; i < count; i++)
		if (!memtable_add(
			&s->memtable, s->later[i].at.cid, s->later[i].at.seq, first_id + i))
			return SQLITE_INTERNAL; /* a head was wrong: all once more, with others */
	return SQLITE_OK;
}

int
sqlite_later_write(struct sql_store *store)
{
	struct sqlite *s = sqlite_of(store);
	size_t written;
	int noted, rc;

	if (s->later_count == 0)
		return SQL_OK;
	rc = stmt_run(&store->writer, STMT_MSG_ADD_LATER, "");
	if (rc != SQL_OK && !sql_is_duplicate(&store->writer, rc)) {
		s->later_count = 0;
		return rc;
	}
	written = rc == SQL_OK ? s->later_count : sql_changes(&store->writer);
	noted = note_written(s, written);
	if (noted == SQL_OK && rc != SQL_OK)
		return run_again(s, written);
	s->later_count = 0;
	return noted;
}
