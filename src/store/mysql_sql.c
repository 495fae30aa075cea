/* SPDX-License-Identifier: MIT */
#include "store/mysql_sql.h"

const char *
mysql_text(enum stmt stmt)
{
#define MYSQL_STATEMENT_AS_TEXT(name, text) [STMT_##name] = text,
	static const char *const texts[STMT_MAX] = {MYSQL_STATEMENTS(MYSQL_STATEMENT_AS_TEXT)};

	return texts[stmt] != NULL ? texts[stmt] : stmt_text(stmt);
}
