/* SPDX-License-Identifier: MIT */
#include "store/sqlite_list.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/panic.h"

struct table {
	sqlite3_vtab base;
	const struct sqlite_list *list;
};

struct cursor {
	sqlite3_vtab_cursor base;
	size_t at;
};

static int
table_connect(sqlite3 *db, void *cookie, int argc, const char *const *argv, sqlite3_vtab **ret,
    char **ret_error)
{
	const struct sqlite_list *list = cookie;
	char declaration[120];
	struct table *table;
	int rc;

	(void)argc;
	(void)argv;
	(void)ret_error;
	(void)snprintf(declaration, sizeof(declaration), "CREATE TABLE list (%s)", list->columns);
	if ((rc = sqlite3_declare_vtab(db, declaration)) != SQLITE_OK)
		return rc;
	table = mem_zalloc(sizeof(*table));
	table->list = list;
	*ret = &table->base;
	return SQLITE_OK;
}

static int
table_disconnect(sqlite3_vtab *base)
{
	mem_free(container_of(base, struct table, base));
	return SQLITE_OK;
}

/* There is one way: from the first to the last. */
static int
table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
	enum { ROWS = 512 };

	(void)base;
	info->estimatedRows = ROWS;
	info->estimatedCost = ROWS;
	return SQLITE_OK;
}

static int
cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct cursor *cursor = mem_zalloc(sizeof(*cursor));

	(void)base;
	*ret = &cursor->base;
	return SQLITE_OK;
}

static struct cursor *
cursor_of(sqlite3_vtab_cursor *base)
{
	return container_of(base, struct cursor, base);
}

static const struct sqlite_list *
list_of(sqlite3_vtab_cursor *base)
{
	return container_of(base->pVtab, struct table, base)->list;
}

static int
cursor_close(sqlite3_vtab_cursor *base)
{
	mem_free(cursor_of(base));
	return SQLITE_OK;
}

static int
cursor_start(
    sqlite3_vtab_cursor *base, int number, const char *name, int argc, sqlite3_value **argv)
{
	(void)number;
	(void)name;
	(void)argc;
	(void)argv;
	cursor_of(base)->at = 0;
	return SQLITE_OK;
}

static int
cursor_next(sqlite3_vtab_cursor *base)
{
	cursor_of(base)->at++;
	return SQLITE_OK;
}

static int
cursor_at_end(sqlite3_vtab_cursor *base)
{
	const struct sqlite_list *list = list_of(base);

	return cursor_of(base)->at >= list->count(list->cookie);
}

static int
cursor_id(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)cursor_of(base)->at;
	return SQLITE_OK;
}

static int
cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
	const struct sqlite_list *list = list_of(base);

	list->column(list->cookie, cursor_of(base)->at, column, to);
	return SQLITE_OK;
}

int
sqlite_list_attach(sqlite3 *db, const char *name, const struct sqlite_list *list)
{
	static const sqlite3_module module = {
	    .xConnect = table_connect,
	    .xDisconnect = table_disconnect,
	    .xBestIndex = table_plan,
	    .xOpen = cursor_open,
	    .xClose = cursor_close,
	    .xFilter = cursor_start,
	    .xNext = cursor_next,
	    .xEof = cursor_at_end,
	    .xColumn = cursor_column,
	    .xRowid = cursor_id,
	};

	return sqlite3_create_module(db, name, &module, (void *)(uintptr_t)list);
}
