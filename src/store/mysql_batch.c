/* SPDX-License-Identifier: MIT */
/*
 * Many rows in one question: the fewer round trips a transaction has, the shorter its rows are
 * locked, and the more of them there are.  Messages wait in a list until the operations are through,
 * then they are inserted together, and the heads of their conversations with them.
 */
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/mysql_db.h"
#include "store/mysql_error.h"

enum { PADDED_ROWS = 16 };

/* The largest power of two that is not above count and not above the limit. */
static size_t
chunk_of(size_t count)
{
	size_t rows = MYSQL_MANY_ROWS;

	while (rows > count)
		rows /= 2;
	return rows;
}

/* The same where a row may be named twice: a short rest goes into one statement, filled up. */
static size_t
padded_chunk_of(size_t count)
{
	size_t rows = chunk_of(count);

	return rows < count && count <= PADDED_ROWS ? rows * 2 : rows;
}

static int
many_start(struct mysql_conn *conn, enum mysql_many many, size_t rows,
    const struct mysql_param *params, struct mysql_statement **ret)
{
	int rc = mysql_conn_many(conn, many, rows, ret);

	stat_add(STAT_STORE_STATEMENTS, 1);
	return rc == 0 ? mysql_statement_start(conn, *ret, params, false) : rc;
}

/* The same for a statement that changes the rows; as one of arrays there may be any number. */
static int
many_write(
    struct mysql_conn *conn, enum mysql_many many, size_t rows, const struct mysql_param *params)
{
	struct mysql_statement *statement;
	int rc;

	if (!conn->bulk)
		return many_start(conn, many, rows, params, &statement);
	if ((rc = mysql_conn_many(conn, many, 1, &statement)) != 0)
		return rc;
	stat_add(STAT_STORE_STATEMENTS, 1);
	return mysql_statement_rows(conn, statement, params, rows);
}

int
mysql_lock_many(struct mysql_conn *conn, enum mysql_many many, const uint64_t *ids, size_t count,
    mysql_take *take, void *cookie)
{
	struct mysql_param params[MYSQL_MANY_ROWS];
	struct mysql_statement *statement = NULL;
	int rc = SQL_DONE;

	for (size_t at = 0, rows; rc == SQL_DONE && at < count; at += rows) {
		rows = padded_chunk_of(count - at);
		for (size_t i = 0; i < rows; i++)
			params[i] = (struct mysql_param){
			    .type = 'i', .number = ids[at + i < count ? at + i : count - 1]};
		rc = many_start(conn, many, rows, params, &statement);
		for (; rc == SQL_ROW; rc = mysql_statement_next(conn, statement))
			if (take != NULL)
				take(statement, cookie);
		mysql_statement_end(statement);
	}
	return rc == SQL_DONE ? SQL_OK : rc;
}

/* --- Messages --- */

bool
mysql_later(struct sql_store *s, struct op *op, const struct place *place)
{
	struct mysql_writer *w = mysql_writer_of(s);

	if (w->at_once || op->append.what != APPEND_MESSAGE || w->later_count == LEN(w->later))
		return false;
	w->later[w->later_count++] = (struct mysql_later){.entry = op->append.entry, .at = *place};
	return true;
}

static size_t
row_bytes(const struct mysql_later *later)
{
	return 200 + later->entry->body.len + later->entry->data.len;
}

static void
row_params(struct mysql_param *p, const struct mysql_later *later)
{
	const struct entry *e = later->entry;
	const struct mysql_param params[] = {
	    {.type = 'i', .number = later->at.cid},
	    {.type = 'i', .number = later->at.seq},
	    {.type = 'i', .number = e->sender},
	    {.type = 's', .text = e->cmid},
	    {.type = 'i', .number = later->at.ts},
	    {.type = 's', .text = e->kind},
	    {.type = 's', .text = e->data},
	    {.type = 's', .text = e->body},
	    {.type = 'i', .number = e->re},
	};

	static_assert(LEN(params) == MSG_COLUMNS, "the columns of MANY_MSGS");
	memcpy(p, params, sizeof(params));
}

/* How many of them go into one packet, and one statement. */
static size_t
rows_fit(const struct mysql_conn *conn, const struct mysql_later *later, size_t count)
{
	size_t rows = 0, bytes = 0;

	while (rows < count && (rows == 0 || bytes + row_bytes(&later[rows]) <= PACKET_BYTES))
		bytes += row_bytes(&later[rows++]);
	return conn->bulk ? rows : chunk_of(rows);
}

static int
messages_write(struct mysql_writer *w)
{
	struct mysql_param *params = mem_alloc(w->later_count * MSG_COLUMNS * sizeof(*params) + 1);
	struct mysql_conn *conn = w->sql.writer.mysql;
	int rc = SQL_DONE;

	for (size_t at = 0, rows; rc == SQL_DONE && at < w->later_count; at += rows) {
		rows = rows_fit(conn, &w->later[at], w->later_count - at);
		for (size_t i = 0; i < rows; i++)
			row_params(&params[i * MSG_COLUMNS], &w->later[at + i]);
		rc = many_write(conn, MANY_MSGS, rows, params);
	}
	mem_free(params);
	w->later_count = 0;
	return rc == SQL_DONE ? SQL_OK : rc;
}

int
mysql_later_write(struct sql_store *s)
{
	struct mysql_writer *w = mysql_writer_of(s);
	int rc = messages_write(w);

	if (mysql_error_duplicate(rc))
		w->at_once = true; /* the transaction is begun again */
	return rc;
}

/* --- Heads --- */

/* params: room for MYSQL_MANY_ROWS. */
static int
heads_flush(struct sql_store *s, struct mysql_param *params, size_t count)
{
	struct mysql_conn *conn = s->writer.mysql;
	int rc = SQL_DONE;

	for (size_t at = 0, rows; rc == SQL_DONE && at < count; at += rows) {
		rows = conn->bulk ? count : padded_chunk_of(count - at);
		for (size_t i = count; i < at + rows; i++)
			memcpy(&params[i * HEAD_COLUMNS], &params[(count - 1) * HEAD_COLUMNS],
			    HEAD_COLUMNS * sizeof(*params));
		rc = many_write(conn, MANY_HEADS, rows, &params[at * HEAD_COLUMNS]);
	}
	return rc == SQL_DONE ? SQL_OK : rc;
}

int
mysql_heads_write(struct sql_store *s)
{
	struct mysql_param params[MYSQL_MANY_ROWS * HEAD_COLUMNS];
	size_t count = 0;
	int rc = SQL_OK;

	for (struct list *at = s->convs.used.next; rc == SQL_OK && at != &s->convs.used;
	     at = at->next) {
		struct cached_conv *conv = container_of(at, struct cached_conv, used);
		struct mysql_param *p = &params[count * HEAD_COLUMNS];

		if (!conv->moved)
			continue;
		conv->moved = false;
		p[0] = (struct mysql_param){.type = 'i', .number = conv->row.cid};
		p[1] = (struct mysql_param){.type = 'i', .number = conv->row.head};
		p[2] = (struct mysql_param){.type = 'i', .number = conv->row.ts};
		if (++count < MYSQL_MANY_ROWS)
			continue;
		rc = heads_flush(s, params, count);
		count = 0;
	}
	return rc == SQL_OK ? heads_flush(s, params, count) : rc;
}
