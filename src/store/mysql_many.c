/* SPDX-License-Identifier: MIT */
/*
 * One statement for many rows, in either of two ways.  Its text has that many: which every server
 * knows.  Or it has one, and the parameters are arrays: the server looks at one row's text and takes
 * row after row, which costs it and us less.  MariaDB knows that, where nothing stands between.
 */
#include <mysql.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/panic.h"
#include "store/mysql_statement.h"

int
mysql_conn_many(
    struct mysql_conn *conn, enum mysql_many many, size_t rows, struct mysql_statement **ret)
{
#define MANY_AS_TEXTS(name, before, row, after) [MANY_##name] = {before, row, after},
	static const char *const texts[][3] = {MYSQL_MANY(MANY_AS_TEXTS)};
	struct buf text = {0};
	size_t size = 0;
	int rc = 0;

	while ((size_t)1 << size < rows)
		size++;
	assert((size_t)1 << size == rows && size < MYSQL_MANY_SIZES);
	if (conn->many[many][size] == NULL) {
		buf_put(&text, slice_str(texts[many][0]));
		for (size_t i = 0; i < rows; i++)
			buf_printf(&text, "%s%s", i > 0 ? "," : "", texts[many][1]);
		buf_put(&text, slice_str(texts[many][2]));
		rc = mysql_statement_prepare(
		    conn, buf_head(&text), buf_len(&text), &conn->many[many][size]);
		buf_fini(&text);
	}
	*ret = conn->many[many][size];
	return rc;
}

/* --- Arrays --- */

union value {
	long long number;
	const char *text;
};

/* Column after column, of as many rows each. */
struct mysql_arrays {
	size_t rows;
	union value *values;
	unsigned long *lengths;
	char *indicators;
};

static struct mysql_arrays *
arrays_alloc(size_t rows, size_t columns)
{
	size_t count = rows * columns;
	size_t each = sizeof(union value) + sizeof(unsigned long) + sizeof(char);
	struct mysql_arrays *arrays = mem_alloc(sizeof(*arrays) + count * each);

	arrays->rows = rows;
	arrays->values = (union value *)(arrays + 1);
	arrays->lengths = (unsigned long *)(arrays->values + count);
	arrays->indicators = (char *)(arrays->lengths + count);
	return arrays;
}

static void
value_put(struct mysql_arrays *arrays, size_t at, const struct mysql_param *param)
{
	arrays->indicators[at] = STMT_INDICATOR_NONE;
	if (param->type == 'i')
		arrays->values[at].number = (long long)param->number;
	else if (slice_given(param->text)) {
		arrays->values[at].text = param->text.ptr;
		arrays->lengths[at] = (unsigned long)param->text.len;
	} else {
		arrays->indicators[at] = STMT_INDICATOR_NULL;
	}
}

/* All of a column are of one type. */
static void
column_bind(MYSQL_BIND *bind, char type, const struct mysql_arrays *arrays, size_t column)
{
	size_t first = column * arrays->rows;

	*bind = (MYSQL_BIND){
	    .buffer = &arrays->values[first], .u.indicator = &arrays->indicators[first]};
	bind->buffer_type = type == 'i' ? MYSQL_TYPE_LONGLONG : MYSQL_TYPE_STRING;
	if (type != 'i')
		bind->length = &arrays->lengths[first];
}

struct mysql_arrays *
mysql_arrays_make(struct mysql_statement *s, const struct mysql_param *params, size_t rows)
{
	struct mysql_arrays *arrays = arrays_alloc(rows, s->param_count);

	for (size_t column = 0; column < s->param_count; column++) {
		for (size_t row = 0; row < rows; row++)
			value_put(
			    arrays, column * rows + row, &params[row * s->param_count + column]);
		column_bind(&s->params[column], params[column].type, arrays, column);
	}
	return arrays;
}
