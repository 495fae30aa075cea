/* SPDX-License-Identifier: MIT */
/*
 * The two ends of an import: import_source.c reads SQLite, import_target.c writes the other store.
 * What returns bool is false with a message for people.  A row is an array of parameters, one for
 * each column of its table.
 */
#ifndef STORE_IMPORT_ENDS_H
#define STORE_IMPORT_ENDS_H

#include "store/admin.h"
#include "store/import_table.h"
#include "store/mysql_conn.h"

/* Puts the message there; -1. */
int import_failed(struct admin_error *ret_error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- The source --- */

struct import_source {
	struct sql_conn conn;
	const char *path;   /* borrowed */
	sqlite3_stmt *rows; /* owned; of the table that is read */
	const struct import_table *table;
};

/* Opens and locks it: no other process has it open, or opens it, until it is closed. */
bool import_source_open(struct import_source *s, const char *path, struct admin_error *ret_error);
bool import_source_start(
    struct import_source *s, const struct import_table *table, struct admin_error *ret_error);
/* A row, which holds until the next; *ret_there: false behind the last one. */
bool import_source_next(struct import_source *s, struct mysql_param *ret_row, bool *ret_there,
    struct admin_error *ret_error);
void import_source_end(struct import_source *s);
bool import_source_count(struct import_source *s, const struct import_table *table,
    uint64_t *ret_rows, struct admin_error *ret_error);
/* The highest id that this table ever gave. */
bool import_source_last_id(struct import_source *s, const struct import_table *table,
    uint64_t *ret_id, struct admin_error *ret_error);
/* From now on it is a copy: a server that is started on it announces another life. */
bool import_source_retire(struct import_source *s, struct admin_error *ret_error);
void import_source_close(struct import_source *s);

/* --- The target --- */

/* Rows of one statement are a power of two, so that few are prepared. */
enum { IMPORT_BATCH_SIZES = 9, IMPORT_BATCH_ROWS = 1 << (IMPORT_BATCH_SIZES - 1) };

struct import_target {
	struct mysql_conn *conn;          /* owned */
	const struct import_table *table; /* the one at work */
	size_t columns;
	/* Rows that wait to be written. */
	struct mysql_param *params; /* owned */
	char *text;                 /* owned; what they borrow */
	size_t waiting, used, room;
	struct mysql_statement *inserts[IMPORT_BATCH_SIZES]; /* owned; of 1, 2, 4… rows */
	unsigned uncommitted;                                /* statements */
	struct mysql_statement *rows;                        /* owned; while it is read back */
};

/*
 * Connects, makes the tables, and marks them as being imported to; one that holds anything or that
 * others work with is refused.  *ret_anew: it held what an interrupted import had left.
 */
bool import_target_open(
    struct import_target *t, const char *url, bool *ret_anew, struct admin_error *ret_error);
bool import_target_begin(
    struct import_target *t, const struct import_table *table, struct admin_error *ret_error);
bool import_target_add(
    struct import_target *t, const struct mysql_param *row, struct admin_error *ret_error);
/* Commits what waits; last_id: the highest id that was ever given, 0: the database gives none. */
bool import_target_end(struct import_target *t, uint64_t last_id, struct admin_error *ret_error);

/* Reads a table back; row by row it must be what the source has, NULL for its end. */
bool import_target_reread(
    struct import_target *t, const struct import_table *table, struct admin_error *ret_error);
bool import_target_same(
    struct import_target *t, const struct mysql_param *row, struct admin_error *ret_error);
void import_target_reread_end(struct import_target *t);

/* The mark goes, and the one row of meta gets this. */
bool import_target_finish(
    struct import_target *t, const struct mysql_param *meta, struct admin_error *ret_error);
void import_target_close(struct import_target *t);

#endif
