/* SPDX-License-Identifier: MIT */
/*
 * What an import takes from a store in SQLite to one in MariaDB or MySQL: every table with every
 * column.  A test holds this list equal to the schemas of both, so that none is forgotten.
 */
#ifndef STORE_IMPORT_TABLE_H
#define STORE_IMPORT_TABLE_H

#include "base/buf.h"

enum { IMPORT_TABLES_MAX = 16, IMPORT_COLUMNS_MAX = 24 };

struct import_column {
	const char *name;  /* there; NULL ends a list */
	const char *from;  /* what it is in SQLite's words; NULL: the column of that name */
	size_t most_bytes; /* an index there holds no more of it; 0: all */
};

struct import_table {
	const char *name;
	const char *order; /* its primary key: rows come in this order from both */
	struct import_column columns[IMPORT_COLUMNS_MAX];
	const char *left_out
	    [4]; /* columns that stay behind, or are the other store's own; the last is NULL */
	bool numbered; /* the database gives the ids, and never one of them twice */
};

/* In the order in which they are taken. */
extern const struct import_table import_tables[];
extern const size_t import_table_count;
/* The one row of meta, written last: it makes a store of what was imported. */
extern const struct import_table import_meta;

size_t import_column_count(const struct import_table *table);
/* SELECT of all columns, by key: as SQLite is asked, and the other. */
void import_select_there(struct buf *to, const struct import_table *table);
void import_select_here(struct buf *to, const struct import_table *table);
/* INSERT of that many rows; a question mark for each column of each. */
void import_insert(struct buf *to, const struct import_table *table, size_t rows);

#endif
