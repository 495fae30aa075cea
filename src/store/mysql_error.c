/* SPDX-License-Identifier: MIT */
#include "store/mysql_error.h"

#include <stddef.h>

#include "base/panic.h"
#include "base/slice.h"

struct row {
	int code;
	enum sql_class class;
	bool reopen;
};

#define ERROR_AS_ROW(name, code, before, reopen) {code, CLASS_##before, (reopen) != 0},
static const struct row table[] = {MYSQL_ERRORS(ERROR_AS_ROW)};

static const struct row *
find(int code)
{
	for (size_t i = 0; i < LEN(table); i++)
		if (table[i].code == code)
			return &table[i];
	return NULL;
}

enum sql_class
mysql_error_class(int code, enum sql_phase phase)
{
	const struct row *row = find(code);

	assert(code != 0);
	if (phase == PHASE_COMMIT)
		return CLASS_UNKNOWN;
	return row != NULL ? row->class : CLASS_BUG;
}

bool
mysql_error_reopen(int code)
{
	const struct row *row = find(code);

	return row != NULL && row->reopen;
}

bool
mysql_error_duplicate(int code)
{
	return code == MYSQL_ERROR_DUPLICATE || code == MYSQL_ERROR_DUPLICATE_KEY;
}
