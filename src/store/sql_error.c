/* SPDX-License-Identifier: MIT */
#include "store/sql_error.h"

#include <stddef.h>

#include "base/panic.h"
#include "base/slice.h"

struct row {
	int code;
	enum sql_class class;
	bool not_whole, reopen;
};

#define ERROR_AS_ROW(code, before, not_whole, reopen)                                              \
	{code, CLASS_##before, (not_whole) != 0, (reopen) != 0},
static const struct row table[] = {SQL_ERRORS(ERROR_AS_ROW)};

static const struct row *
find(int code)
{
	for (size_t i = 0; i < LEN(table); i++)
		if (table[i].code == code)
			return &table[i];
	return NULL;
}

static const struct row *
find_nearest(int code)
{
	const struct row *row = find(code);

	return row != NULL ? row : find(code & 0xff);
}

enum sql_class
sql_error_class(int code, enum sql_phase phase)
{
	const struct row *row = find_nearest(code);

	assert(code != SQLITE_OK);
	if (phase == PHASE_COMMIT)
		return CLASS_UNKNOWN;
	return row != NULL ? row->class : CLASS_BUG;
}

bool
sql_error_not_whole(int code)
{
	const struct row *row = find_nearest(code);

	return row != NULL && row->not_whole;
}

bool
sql_error_reopen(int code)
{
	const struct row *row = find_nearest(code);

	return row != NULL && row->reopen;
}
