/* SPDX-License-Identifier: MIT */
/*
 * What an edit or a deletion does to its message.  An edit is the newest of the entries that name
 * it, and nothing of the message is written.  A deletion writes over the bytes of what was said, in
 * place: a row that changed its size would make SQLite move its neighbours, and leave copies of
 * them behind that nothing erases.
 */
#include "base/panic.h"
#include "store/sql_db.h"

int
msg_load(struct sql_store *s, uint64_t cid, uint64_t seq, struct msg_row *ret)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_MSG_NAMED, "ii", cid, seq);

	*ret = (struct msg_row){0};
	if (rc == SQL_ROW)
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
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

/* --- Erasing --- */

struct doomed {
	uint64_t id;
	bool body, data;
};

/* The rows of a message and its edits: read to the end before the first is written over. */
static int
doomed_load(
    struct sql_store *s, uint64_t cid, uint64_t seq, struct doomed *doomed, size_t *ret_count)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_MSG_AND_EDITS, "ii", cid, seq);
	size_t count = 0;

	for (; rc == SQL_ROW; rc = stmt_next(c, STMT_MSG_AND_EDITS)) {
		assert(count <= LIMIT_EDITS);
		doomed[count++] = (struct doomed){
		    .id = column_u64(c, STMT_MSG_AND_EDITS, 0),
		    .body = column_u64(c, STMT_MSG_AND_EDITS, 1) != 0,
		    .data = column_u64(c, STMT_MSG_AND_EDITS, 2) != 0,
		};
	}
	stmt_end(c, STMT_MSG_AND_EDITS);
	*ret_count = count;
	return rc == SQL_DONE ? SQL_OK : rc;
}

int
msg_erase(struct sql_store *s, uint64_t cid, uint64_t seq)
{
	struct doomed doomed[LIMIT_EDITS + 1];
	size_t count;
	int rc = doomed_load(s, cid, seq, doomed, &count);

	for (size_t i = 0; rc == SQL_OK && i < count; i++) {
		if (doomed[i].body)
			rc = sql_overwrite(&s->writer, "body", doomed[i].id);
		if (rc == SQL_OK && doomed[i].data)
			rc = sql_overwrite(&s->writer, "data", doomed[i].id);
	}
	s->engine->erased(s);
	return rc;
}
