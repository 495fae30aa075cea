/* SPDX-License-Identifier: MIT */
/* A list in memory that statements read as a table, from the first row to the last. */
#ifndef STORE_SQLITE_LIST_H
#define STORE_SQLITE_LIST_H

#include <sqlite3.h>

#include "base/slice.h"

struct sqlite_list {
	const char *columns; /* "a, b, c" */
	size_t (*count)(void *cookie);
	void (*column)(void *cookie, size_t row, int column, sqlite3_context *to);
	void *cookie;
};

/* A table of that name in this connection; the list lives longer than it.  0 or SQLite's error. */
int sqlite_list_attach(sqlite3 *db, const char *name, const struct sqlite_list *list);

#endif
