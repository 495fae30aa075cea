/* SPDX-License-Identifier: MIT */
#include "store/import_ends.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/mysql_error.h"
#include "store/mysql_schema.h"

enum {
	BATCH_BYTES = 384 * 1024, /* of texts in one statement: well below a packet */
	STATEMENTS_A_COMMIT = 16,
	ALONE_TRIES = 20, /* who has just gone is seen for a moment */
	ALONE_WAIT_MS = 100,
};

#define IMPORT_LOCK "concat('confab.import.', left(database(), 48))"

static bool
failed(struct import_target *t, struct admin_error *ret_error)
{
	(void)import_failed(ret_error, "the database can't be written: %s", t->conn->why);
	return false;
}

static bool
asked(struct import_target *t, const char *sql, uint64_t *ret, struct admin_error *ret_error)
{
	char text[64];

	if (mysql_conn_ask(t->conn, sql, text, sizeof(text)) != 0)
		return failed(t, ret_error);
	*ret = strtoull(text, NULL, 10);
	return true;
}

/* --- Opening --- */

/* While this connection lives no other import gets this lock; one that died has it for a moment. */
static bool
only_import(struct import_target *t, struct admin_error *ret_error)
{
	uint64_t got = 0;

	if (!asked(t, "SELECT get_lock(" IMPORT_LOCK ", 5)", &got, ret_error))
		return false;
	if (got != 1)
		(void)import_failed(
		    ret_error, "another import into this database is under way: wait for its end");
	return got == 1;
}

/* Nodes hold connections as long as they run. */
static bool
is_alone(struct import_target *t, struct admin_error *ret_error)
{
	const struct timespec wait = {.tv_nsec = ALONE_WAIT_MS * 1000000L};
	uint64_t others = 1;

	for (int i = 0; others > 0 && i < ALONE_TRIES; i++) {
		if (i > 0)
			(void)nanosleep(&wait, NULL);
		if (!asked(t,
			"SELECT count(*) FROM information_schema.processlist "
			"WHERE db = database() AND id <> connection_id()",
			&others, ret_error))
			return false;
	}
	if (others > 0)
		(void)import_failed(ret_error,
		    "the database is in use by %llu other connections: stop the nodes (or whatever "
		    "else works with it) first",
		    (unsigned long long)others);
	return others == 0;
}

static bool
is_empty(struct import_target *t, struct admin_error *ret_error)
{
	for (size_t i = 0; i < import_table_count; i++) {
		uint64_t some = 0;
		char sql[80];

		(void)snprintf(
		    sql, sizeof(sql), "SELECT EXISTS (SELECT 1 FROM `%s`)", import_tables[i].name);
		if (!asked(t, sql, &some, ret_error))
			return false;
		if (some != 0) {
			(void)import_failed(ret_error,
			    "the database is not empty (there are rows in `%s`): give an import a "
			    "new one (CREATE DATABASE …)",
			    import_tables[i].name);
			return false;
		}
	}
	return true;
}

/*
 * No node starts on it from here on, and one that was not seen finds no epoch and writes nothing.
 */
static bool
mark(struct import_target *t, struct admin_error *ret_error)
{
	char sql[120];

	(void)snprintf(sql, sizeof(sql),
	    "UPDATE meta SET schema_version = %d, epoch = NULL WHERE id = 1",
	    MYSQL_SCHEMA_IMPORTING);
	return mysql_conn_exec(t->conn, sql) == 0 || failed(t, ret_error);
}

static bool
claim(struct import_target *t, struct admin_error *ret_error)
{
	bool claimed;

	if (!mysql_schema_open(t->conn, ret_error->text, sizeof(ret_error->text)) ||
	    !mysql_schema_lock(t->conn, ret_error->text, sizeof(ret_error->text)))
		return false;
	claimed = is_alone(t, ret_error) && is_empty(t, ret_error) && mark(t, ret_error);
	mysql_schema_unlock(t->conn);
	return claimed;
}

/* What an interrupted import left is of no use to anybody: nothing could work with it. */
static bool
sweep(struct import_target *t, struct admin_error *ret_error)
{
	for (size_t i = 0; i < import_table_count; i++) {
		char sql[80];

		(void)snprintf(sql, sizeof(sql), "TRUNCATE TABLE `%s`", import_tables[i].name);
		if (mysql_conn_exec(t->conn, sql) != 0)
			return failed(t, ret_error);
	}
	return true;
}

static bool
connect_to(struct import_target *t, const char *url, struct admin_error *ret_error)
{
	size_t size = sizeof(ret_error->text);
	const char *warning = NULL;
	struct mysql_address address;

	return mysql_address_parse(slice_str(url), &address, ret_error->text, size) &&
	       mysql_conn_open(&address, false, &t->conn, ret_error->text, size) == 0 &&
	       mysql_server_check(t->conn, address.durability, &warning, ret_error->text, size);
}

static bool
prepare(struct import_target *t, bool *ret_anew, struct admin_error *ret_error)
{
	if (!only_import(t, ret_error))
		return false;
	if (mysql_schema_importing(t->conn, ret_anew) != 0)
		return failed(t, ret_error);
	return *ret_anew ? sweep(t, ret_error) : claim(t, ret_error);
}

bool
import_target_open(
    struct import_target *t, const char *url, bool *ret_anew, struct admin_error *ret_error)
{
	*t = (struct import_target){0};
	if (connect_to(t, url, ret_error) && prepare(t, ret_anew, ret_error))
		return true;
	import_target_close(t);
	return false;
}

static void
inserts_free(struct import_target *t)
{
	for (size_t i = 0; i < IMPORT_BATCH_SIZES; i++)
		mysql_statement_free(&t->inserts[i]);
}

void
import_target_close(struct import_target *t)
{
	import_target_reread_end(t);
	inserts_free(t);
	mem_free(t->params);
	mem_free(t->text);
	mysql_conn_close(&t->conn);
	*t = (struct import_target){0};
}

/* --- Writing --- */

bool
import_target_begin(
    struct import_target *t, const struct import_table *table, struct admin_error *ret_error)
{
	size_t columns = import_column_count(table);

	assert(t->waiting == 0 && t->uncommitted == 0);
	inserts_free(t);
	t->table = table;
	t->columns = columns;
	t->params = mem_resize(t->params, IMPORT_BATCH_ROWS * columns, sizeof(*t->params));
	if (t->text == NULL)
		t->text = mem_alloc(t->room = BATCH_BYTES);
	return mysql_conn_exec(t->conn, "START TRANSACTION") == 0 || failed(t, ret_error);
}

/* The first 1 << size of the rows that are left from row number `from` on. */
static bool
insert(struct import_target *t, size_t from, size_t size, struct admin_error *ret_error)
{
	struct buf text = {0};
	int rc = 0;

	if (t->inserts[size] == NULL) {
		import_insert(&text, t->table, (size_t)1 << size);
		rc = mysql_statement_prepare(
		    t->conn, buf_head(&text), buf_len(&text), &t->inserts[size]);
		buf_fini(&text);
	}
	if (rc == 0)
		rc = mysql_statement_start(
		    t->conn, t->inserts[size], t->params + from * t->columns, false);
	return rc == SQL_DONE || failed(t, ret_error);
}

static bool
commit(struct import_target *t, struct admin_error *ret_error)
{
	t->uncommitted = 0;
	return mysql_conn_exec(t->conn, "COMMIT") == 0 || failed(t, ret_error);
}

static bool
flush(struct import_target *t, struct admin_error *ret_error)
{
	size_t from = 0;

	for (size_t size = IMPORT_BATCH_SIZES; size-- > 0;)
		while (t->waiting - from >= (size_t)1 << size) {
			if (!insert(t, from, size, ret_error))
				return false;
			from += (size_t)1 << size;
		}
	t->waiting = t->used = 0;
	if (++t->uncommitted < STATEMENTS_A_COMMIT)
		return true;
	return commit(t, ret_error) &&
	       (mysql_conn_exec(t->conn, "START TRANSACTION") == 0 || failed(t, ret_error));
}

static size_t
row_bytes(const struct import_target *t, const struct mysql_param *row)
{
	size_t bytes = 0;

	for (size_t i = 0; i < t->columns; i++)
		bytes += row[i].text.len;
	return bytes;
}

/* The row's texts are copied: the source's are gone with its next row. */
static void
keep(struct import_target *t, const struct mysql_param *row)
{
	struct mysql_param *to = t->params + t->waiting++ * t->columns;

	memcpy(to, row, t->columns * sizeof(*row));
	for (size_t i = 0; i < t->columns; i++) {
		if (to[i].text.len == 0)
			continue;
		memcpy(t->text + t->used, to[i].text.ptr, to[i].text.len);
		to[i].text.ptr = t->text + t->used;
		t->used += to[i].text.len;
	}
	for (size_t i = 0; i < t->columns; i++)
		if (slice_given(to[i].text) && to[i].text.len == 0)
			to[i].text = S("");
}

bool
import_target_add(
    struct import_target *t, const struct mysql_param *row, struct admin_error *ret_error)
{
	size_t bytes = row_bytes(t, row);

	if ((t->waiting == IMPORT_BATCH_ROWS || t->used + bytes > t->room) && t->waiting > 0 &&
	    !flush(t, ret_error))
		return false;
	if (bytes > t->room) /* nothing waits, nothing borrows it */
		t->text = mem_resize(t->text, 1, t->room = bytes);
	keep(t, row);
	return true;
}

bool
import_target_end(struct import_target *t, uint64_t last_id, struct admin_error *ret_error)
{
	char sql[120];

	if (!flush(t, ret_error) || !commit(t, ret_error))
		return false;
	inserts_free(t);
	if (last_id == 0)
		return true;
	(void)snprintf(sql, sizeof(sql), "ALTER TABLE `%s` AUTO_INCREMENT = %llu", t->table->name,
	    (unsigned long long)last_id + 1);
	return mysql_conn_exec(t->conn, sql) == 0 || failed(t, ret_error);
}

/* --- Reading back --- */

bool
import_target_reread(
    struct import_target *t, const struct import_table *table, struct admin_error *ret_error)
{
	struct buf text = {0};
	int rc;

	assert(t->rows == NULL);
	t->table = table;
	import_select_there(&text, table);
	rc = mysql_statement_prepare(t->conn, buf_head(&text), buf_len(&text), &t->rows);
	buf_fini(&text);
	t->columns = 0; /* the first row is not here yet */
	return rc == 0 || failed(t, ret_error);
}

void
import_target_reread_end(struct import_target *t)
{
	mysql_statement_end(t->rows);
	mysql_statement_free(&t->rows);
}

static bool
same_value(const struct mysql_statement *rows, size_t column, const struct mysql_param *value)
{
	slice there = mysql_statement_slice(rows, column);

	switch (value->type) {
	case 'n':
		return !slice_given(there);
	case 'i':
		return slice_given(there) && mysql_statement_u64(rows, column) == value->number;
	default:
		return slice_given(there) && slice_eq(there, value->text);
	}
}

static bool
differs(const struct import_target *t, const char *column, struct admin_error *ret_error)
{
	(void)import_failed(ret_error,
	    "what was written to `%s` does not read back as it was (%s): the database changes "
	    "what it is given, or somebody else writes to it",
	    t->table->name, column);
	return false;
}

bool
import_target_same(
    struct import_target *t, const struct mysql_param *row, struct admin_error *ret_error)
{
	int rc = t->columns == 0 ? mysql_statement_start(t->conn, t->rows, NULL, true)
				 : mysql_statement_next(t->conn, t->rows);

	t->columns = import_column_count(t->table);
	if (rc != SQL_ROW && rc != SQL_DONE) {
		(void)import_failed(ret_error, "the database can't be read: %s", t->conn->why);
		return false;
	}
	if ((rc == SQL_ROW) != (row != NULL))
		return differs(t, row != NULL ? "a row is missing" : "a row too many", ret_error);
	for (size_t i = 0; row != NULL && i < t->columns; i++)
		if (!same_value(t->rows, i, &row[i]))
			return differs(t, t->table->columns[i].name, ret_error);
	return true;
}

/* --- The last step --- */

static void
put_finish(struct buf *to)
{
	buf_printf(to, "UPDATE meta SET schema_version = %d", MYSQL_SCHEMA_VERSION);
	for (const struct import_column *c = import_meta.columns; c->name != NULL; c++)
		buf_printf(to, ", %s = ?", c->name);
	buf_printf(to, " WHERE id = 1 AND schema_version = %d", MYSQL_SCHEMA_IMPORTING);
}

bool
import_target_finish(
    struct import_target *t, const struct mysql_param *meta, struct admin_error *ret_error)
{
	struct mysql_statement *update = NULL;
	struct buf text = {0};
	int rc;

	put_finish(&text);
	rc = mysql_statement_prepare(t->conn, buf_head(&text), buf_len(&text), &update);
	buf_fini(&text);
	if (rc != 0)
		return failed(t, ret_error);
	rc = mysql_statement_start(t->conn, update, meta, false);
	mysql_statement_free(&update);
	if (rc == SQL_DONE && t->conn->changes == 1)
		return true;
	if (rc == SQL_DONE)
		(void)import_failed(ret_error, "somebody else has changed the database meanwhile");
	else
		(void)import_failed(ret_error,
		    "it is not known whether the last step was done (%s): `confabd --check` with "
		    "this store says it; if it was, all is there",
		    t->conn->why);
	return false;
}
