/* SPDX-License-Identifier: MIT */
/*
 * What an edit or a deletion does to its message.  An edit is the newest of the entries that name
 * it, and nothing of the message is written.  A deletion writes over the bytes of what was said, in
 * place: a row that changed its size would make SQLite move its neighbours, and leave copies of
 * them behind that nothing erases.
 */
#include "base/panic.h"
#include "store/sqlite_db.h"

int
msg_load(struct sqlite *s, uint64_t cid, uint64_t seq, struct msg_row *ret)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_MSG_NAMED, "ii", cid, seq);

	*ret = (struct msg_row){0};
	if (rc == SQLITE_ROW)
		*ret = (struct msg_row){
		    .exists = true,
		    .sender = column_u64(c, STMT_MSG_NAMED, 0),
		    .is_message = kind_is_message(column_slice(c, STMT_MSG_NAMED, 1)),
		    .has_data = column_u64(c, STMT_MSG_NAMED, 2) != 0,
		    .edits = column_u64(c, STMT_MSG_NAMED, 3),
		    .deleted = column_u64(c, STMT_MSG_NAMED, 4),
		    .deleter = column_u64(c, STMT_MSG_NAMED, 5),
		    .deleted_ts = column_u64(c, STMT_MSG_NAMED, 6),
		};
	stmt_end(c, STMT_MSG_NAMED);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- Erasing --- */

/* Blanks, so that it stays text. */
static int
overwrite(sqlite3_blob *blob)
{
	char blanks[4096];
	int size = sqlite3_blob_bytes(blob), rc = SQLITE_OK;

	memset(blanks, ' ', sizeof(blanks));
	for (int at = 0; rc == SQLITE_OK && at < size; at += (int)sizeof(blanks)) {
		int left = size - at;

		rc = sqlite3_blob_write(
		    blob, blanks, left < (int)sizeof(blanks) ? left : (int)sizeof(blanks), at);
	}
	return rc;
}

static int
column_erase(struct sqlite *s, const char *column, uint64_t id)
{
	sqlite3_blob *blob = NULL;
	int closed, rc = sqlite3_blob_open(
			s->writer.db, "main", "msg", column, (sqlite3_int64)id, 1, &blob);

	if (rc == SQLITE_OK)
		rc = overwrite(blob);
	closed = sqlite3_blob_close(blob); /* NULL is allowed */
	return rc != SQLITE_OK ? rc : closed;
}

struct doomed {
	uint64_t id;
	bool body, data;
};

/* The rows of a message and its edits: read to the end before the first is written over. */
static int
doomed_load(struct sqlite *s, uint64_t cid, uint64_t seq, struct doomed *doomed, size_t *ret_count)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_MSG_AND_EDITS, "ii", cid, seq);
	size_t count = 0;

	for (; rc == SQLITE_ROW; rc = stmt_next(c, STMT_MSG_AND_EDITS)) {
		assert(count <= LIMIT_EDITS);
		doomed[count++] = (struct doomed){
		    .id = column_u64(c, STMT_MSG_AND_EDITS, 0),
		    .body = column_u64(c, STMT_MSG_AND_EDITS, 1) != 0,
		    .data = column_u64(c, STMT_MSG_AND_EDITS, 2) != 0,
		};
	}
	stmt_end(c, STMT_MSG_AND_EDITS);
	*ret_count = count;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
msg_erase(struct sqlite *s, uint64_t cid, uint64_t seq)
{
	struct doomed doomed[LIMIT_EDITS + 1];
	size_t count;
	int rc = doomed_load(s, cid, seq, doomed, &count);

	for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
		if (doomed[i].body)
			rc = column_erase(s, "body", doomed[i].id);
		if (rc == SQLITE_OK && doomed[i].data)
			rc = column_erase(s, "data", doomed[i].id);
	}
	checkpoint_erase(s);
	return rc;
}
