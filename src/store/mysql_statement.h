/* SPDX-License-Identifier: MIT */
/* A prepared statement of a connection, for the files that run it. */
#ifndef STORE_MYSQL_STATEMENT_H
#define STORE_MYSQL_STATEMENT_H

#include "store/mysql_conn.h"

struct st_mysql_stmt; /* the library's, as the next */
struct st_mysql_bind;

struct mysql_column {
	bool number;
	char null; /* the library's my_bool */
	long long value;
	char *text; /* owned; of capacity bytes */
	unsigned long length, capacity;
};

struct mysql_statement {
	struct st_mysql_stmt *stmt;
	/* Which parameter each question mark of the server's text is, and their bindings. */
	unsigned char *mapped;
	struct st_mysql_bind *params;
	size_t param_count;
	struct st_mysql_bind *results;
	struct mysql_column *columns;
	size_t column_count;
	bool open;   /* it has rows that were not given back */
	bool failed; /* amid its rows */
};

/* The client library reads what it is given, but takes it without const. */
static inline void *
unconst(const void *p)
{
	return (void *)(uintptr_t)p;
}

/* mysql_many.c */
struct mysql_arrays;

/* Binds the parameters of many rows, row after row, to arrays; the caller frees them in the end. */
struct mysql_arrays *mysql_arrays_make(
    struct mysql_statement *s, const struct mysql_param *params, size_t rows);

#endif
