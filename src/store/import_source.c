/* SPDX-License-Identifier: MIT */
#include "store/import_ends.h"

#include <stdarg.h>

#include "base/panic.h"
#include "store/schema.h"

int
import_failed(struct admin_error *ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(ret_error->text, sizeof(ret_error->text), format, ap);
	va_end(ap);
	return -1;
}

static bool
failed(struct import_source *s, struct admin_error *ret_error)
{
	(void)import_failed(ret_error, "%s can't be read: %s", s->path, sqlite3_errmsg(s->conn.db));
	return false;
}

/*
 * Every connection to a file with a write-ahead log holds a shared lock on it, a server's from its
 * start to its end: whoever gets the exclusive one is alone, and stays so.
 */
static bool
lock(struct import_source *s, struct admin_error *ret_error)
{
	int rc = sql_exec(&s->conn,
	    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE");

	if (rc == SQLITE_OK)
		return true;
	if ((rc & 0xff) != SQLITE_BUSY)
		return failed(s, ret_error);
	(void)import_failed(ret_error,
	    "%s is in use: stop the confabd that serves it (or whatever has it open), so that "
	    "nothing is written that would be missed",
	    s->path);
	return false;
}

/* The newest entries may not be in it. */
static bool
complete_index(struct import_source *s, struct admin_error *ret_error)
{
	int rc = sql_exec(&s->conn,
	    "INSERT OR IGNORE INTO msg_index (cid, seq, id) "
	    "SELECT cid, seq, id FROM msg "
	    "WHERE id > (SELECT indexed FROM meta WHERE id = 1) ORDER BY cid, seq");

	return rc == SQLITE_OK || failed(s, ret_error);
}

bool
import_source_open(struct import_source *s, const char *path, struct admin_error *ret_error)
{
	size_t size = sizeof(ret_error->text);

	*s = (struct import_source){.path = path};
	if (sql_open(&s->conn, path, SQL_WRITE, ret_error->text, size) != SQLITE_OK)
		return false;
	if (lock(s, ret_error) && schema_is_current(&s->conn, path, ret_error->text, size) &&
	    complete_index(s, ret_error))
		return true;
	import_source_close(s);
	return false;
}

void
import_source_close(struct import_source *s)
{
	import_source_end(s);
	sql_close(&s->conn);
}

/* --- Rows --- */

bool
import_source_start(
    struct import_source *s, const struct import_table *table, struct admin_error *ret_error)
{
	struct buf text = {0};
	int rc;

	assert(s->rows == NULL);
	import_select_here(&text, table);
	rc = sqlite3_prepare_v2(s->conn.db, buf_head(&text), (int)buf_len(&text), &s->rows, NULL);
	buf_fini(&text);
	s->table = table;
	return rc == SQLITE_OK || failed(s, ret_error);
}

static void
take_column(sqlite3_stmt *rows, int i, size_t most, struct mysql_param *ret)
{
	int type = sqlite3_column_type(rows, i);
	const char *text;
	size_t len;

	*ret = (struct mysql_param){.type = 'n'};
	if (type == SQLITE_NULL)
		return;
	if (type == SQLITE_INTEGER) {
		ret->type = 'i';
		ret->number = (uint64_t)sqlite3_column_int64(rows, i);
		return;
	}
	assert(type != SQLITE_FLOAT); /* no table has a column for one */
	ret->type = type == SQLITE_BLOB ? 'b' : 's';
	text = sqlite3_column_blob(rows, i);
	len = (size_t)sqlite3_column_bytes(rows, i);
	ret->text = slice_of(text != NULL ? text : "", most > 0 && len > most ? most : len);
}

bool
import_source_next(struct import_source *s, struct mysql_param *ret_row, bool *ret_there,
    struct admin_error *ret_error)
{
	int rc = sqlite3_step(s->rows);

	*ret_there = rc == SQLITE_ROW;
	if (rc == SQLITE_DONE)
		return true;
	if (rc != SQLITE_ROW)
		return failed(s, ret_error);
	for (int i = 0; s->table->columns[i].name != NULL; i++)
		take_column(s->rows, i, s->table->columns[i].most_bytes, &ret_row[i]);
	return true;
}

void
import_source_end(struct import_source *s)
{
	(void)sqlite3_finalize(s->rows);
	s->rows = NULL;
}

/* --- Numbers --- */

static bool
ask(struct import_source *s, const char *sql, const char *word, uint64_t *ret,
    struct admin_error *ret_error)
{
	sqlite3_stmt *prepared = NULL;
	int rc = sqlite3_prepare_v2(s->conn.db, sql, -1, &prepared, NULL);

	*ret = 0;
	if (rc == SQLITE_OK && word != NULL)
		rc = sqlite3_bind_text(prepared, 1, word, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(prepared);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(prepared, 0);
	(void)sqlite3_finalize(prepared);
	return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, ret_error);
}

bool
import_source_count(struct import_source *s, const struct import_table *table, uint64_t *ret_rows,
    struct admin_error *ret_error)
{
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table->name);
	return ask(s, sql, NULL, ret_rows, ret_error);
}

bool
import_source_last_id(struct import_source *s, const struct import_table *table, uint64_t *ret_id,
    struct admin_error *ret_error)
{
	return ask(
	    s, "SELECT seq FROM sqlite_sequence WHERE name = ?1", table->name, ret_id, ret_error);
}

bool
import_source_retire(struct import_source *s, struct admin_error *ret_error)
{
	int rc = sql_exec(&s->conn, "UPDATE meta SET epoch = NULL WHERE id = 1; COMMIT");

	return rc == SQLITE_OK || failed(s, ret_error);
}
