/* SPDX-License-Identifier: MIT */
/*
 * The index of the log by conversation and number, msg_index, lags behind it: the newest entries
 * are in memory (memtable.h), and every statement that looks for an entry asks there first
 * (sqlite_memtable.c), then the index.  Entries come in with the transaction that writes them and
 * leave a part at a time, sorted, in the transactions that follow: a page of the index is written
 * once for many of them.  All up to meta.indexed are in the index; those behind it are read from the
 * log when it is opened.
 */
#include "base/panic.h"
#include "base/stat.h"
#include "store/sqlite_db.h"

enum {
	MERGE_RATE = 2,    /* entries that are merged for each new one, as they come due: */
	MERGE_TIMES = 256, /* more often would write the same pages again and again */
	MERGE_MOST = 2048, /* more at a time would hold up who waits for the commit */
};

void
sqlite_index_init(struct sqlite *s)
{
	memtable_init(&s->memtable);
	s->merge_at = LIMIT_MEMTABLE;
	s->oldest = (struct memtable_order){&s->memtable, .newest_first = false};
	s->newest = (struct memtable_order){&s->memtable, .newest_first = true};
}

static void
tell_lag(struct sqlite *s)
{
	size_t lag = memtable_count(&s->memtable);

	gauge_add(GAUGE_STORE_LAG, (int64_t)lag - (int64_t)s->lag_told);
	s->lag_told = lag;
}

void
sqlite_index_fini(struct sqlite *s)
{
	gauge_add(GAUGE_STORE_LAG, -(int64_t)s->lag_told);
	memtable_fini(&s->memtable);
}

/* --- Merging --- */

static size_t
merging_count(void *cookie)
{
	const struct sqlite *s = cookie;
	size_t count;

	(void)memtable_next(&s->memtable, s->merging, &count);
	return count;
}

static void
merging_column(void *cookie, size_t row, int column, sqlite3_context *to)
{
	const struct sqlite *s = cookie;
	size_t count;
	const struct memtable_entry *entry = memtable_next(&s->memtable, s->merging, &count) + row;
	const uint64_t columns[] = {entry->cid, entry->seq, entry->id};

	assert(row < count && column < (int)LEN(columns));
	sqlite3_result_int64(to, (sqlite3_int64)columns[column]);
}

static int
merging_attach(struct sqlite *s)
{
	s->merging_list = (struct sqlite_list){
	    .columns = "cid, seq, id",
	    .count = merging_count,
	    .column = merging_column,
	    .cookie = s,
	};
	return sqlite_list_attach(s->sql.writer.db, "merging", &s->merging_list);
}

/* Those that were merged before a crash may be there already; no number is given twice. */
static int
check_there(struct sqlite *s)
{
	uint64_t others = 0;
	int rc = stmt_number(&s->sql.writer, &others, STMT_INDEX_OTHERS, "");

	assert(others == 0);
	return rc;
}

/* In the transaction under way. */
static int
merge(struct sqlite *s, size_t most)
{
	struct sql_conn *conn = &s->sql.writer;
	uint64_t indexed;
	size_t count;
	int rc;

	s->merging = most;
	if ((count = merging_count(s)) == 0)
		return SQLITE_OK;
	rc = stmt_run(conn, STMT_INDEX_ADD, "");
	if (rc == SQLITE_OK && sql_changes(conn) < count)
		rc = check_there(s);
	if (rc == SQLITE_OK && memtable_merged(&s->memtable, count, &indexed))
		rc = stmt_run(conn, STMT_META_INDEXED, "i", indexed);
	return rc;
}

void
sqlite_index_begun(struct sqlite *s)
{
	memtable_freeze(&s->memtable, s->merge_at);
	tell_lag(s);
}

int
sqlite_index_ending(struct sqlite *s)
{
	size_t due;

	s->merge_due += MERGE_RATE * memtable_added(&s->memtable);
	due = s->merge_due < MERGE_MOST ? s->merge_due : MERGE_MOST;
	if (due < s->merge_at / MERGE_TIMES)
		return SQLITE_OK;
	s->merge_due -= due;
	return merge(s, due);
}

void
sqlite_index_committed(struct sql_store *store)
{
	memtable_committed(&sqlite_of(store)->memtable);
}

void
sqlite_index_failed(struct sqlite *s)
{
	memtable_rolled_back(&s->memtable);
	s->merge_due = 0;
}

int
sqlite_index_added(struct sql_store *store, uint64_t cid, uint64_t seq)
{
	bool added =
	    memtable_add(&sqlite_of(store)->memtable, cid, seq, sql_last_id(&store->writer));

	return added ? SQLITE_OK : SQLITE_INTERNAL; /* a head was wrong: once more */
}

static int
merge_all(struct sqlite *s)
{
	int rc = stmt_run(&s->sql.writer, STMT_BEGIN, "");

	if (rc == SQLITE_OK)
		rc = merge(s, SIZE_MAX);
	if (rc == SQLITE_OK)
		rc = stmt_run(&s->sql.writer, STMT_COMMIT, "");
	if (rc == SQLITE_OK)
		memtable_committed(&s->memtable);
	return rc;
}

void
sqlite_index_finish(struct sqlite *s)
{
	size_t before = SIZE_MAX;
	int rc = s->sql.writer.db == NULL ? SQLITE_CANTOPEN : SQLITE_OK;

	while (rc == SQLITE_OK && memtable_count(&s->memtable) < before) {
		before = memtable_count(&s->memtable);
		memtable_freeze(&s->memtable, 1);
		rc = merge_all(s);
	}
}

/* --- Reading it from the log --- */

static int
load_from(struct sqlite *s, uint64_t after_id, struct memtable_filling *filling)
{
	struct sql_conn *conn = &s->sql.writer;
	int rc = stmt_start(conn, STMT_MSG_BEHIND, "i", after_id);

	filling->last_id = after_id;
	for (; rc == SQLITE_ROW; rc = stmt_next(conn, STMT_MSG_BEHIND)) {
		const struct memtable_entry entry = {
		    .id = column_u64(conn, STMT_MSG_BEHIND, 0),
		    .cid = column_u64(conn, STMT_MSG_BEHIND, 1),
		    .seq = column_u64(conn, STMT_MSG_BEHIND, 2),
		};

		if (!memtable_fill(filling, &entry)) {
			rc = SQLITE_CORRUPT; /* a number twice, or before others */
			break;
		}
	}
	stmt_end(conn, STMT_MSG_BEHIND);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Whoever deletes the last rows by hand makes SQLite give their ids anew. */
static int
indexed_id(struct sqlite *s, uint64_t *ret)
{
	struct sql_conn *conn = &s->sql.writer;
	uint64_t last = 0;
	int rc = stmt_number(conn, ret, STMT_INDEXED, "");

	if (rc == SQLITE_OK)
		rc = stmt_number(conn, &last, STMT_MSG_LAST, "");
	if (rc != SQLITE_OK || last >= *ret)
		return rc;
	*ret = last;
	return stmt_run(conn, STMT_META_INDEXED, "i", last);
}

int
sqlite_index_load(struct sqlite *s)
{
	struct memtable_filling filling = {0};
	uint64_t after_id = 0;
	int rc = indexed_id(s, &after_id);

	/* Readers may still have snapshots in which the index lacks what it has by now. */
	if (s->memtable.first_id > 0 && after_id >= s->memtable.first_id)
		after_id = s->memtable.first_id - 1;
	if (rc == SQLITE_OK)
		rc = load_from(s, after_id, &filling);
	if (rc == SQLITE_OK)
		memtable_replace(&s->memtable, &filling, after_id + 1);
	memtable_filling_fini(&filling);
	s->merge_due = 0;
	return rc;
}

int
sqlite_index_open(struct sqlite *s)
{
	int rc = sqlite_memtable_attach(s, &s->sql.writer);

	if (rc == SQLITE_OK)
		rc = merging_attach(s);
	return rc == SQLITE_OK ? sqlite_index_load(s) : rc;
}
