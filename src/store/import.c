/* SPDX-License-Identifier: MIT */
#include "store/import.h"

#include "store/import_ends.h"

enum { PROGRESS_ROWS = 512 };

struct import {
	const struct import_options *options;
	struct import_result *result;
	struct admin_error *error;
	struct import_source source;
	struct import_target target;
	struct mysql_param row[IMPORT_COLUMNS_MAX];
	uint64_t total; /* rows of the table at work */
};

static void
tell(const struct import *im, const struct import_table *table, uint64_t rows, bool comparing)
{
	const struct import_progress progress = {
	    .table = table->name, .rows = rows, .total = im->total, .comparing = comparing};

	if (im->options->progress != NULL)
		im->options->progress(im->options->cookie, &progress);
}

/* --- Copying --- */

static bool
copy_rows(struct import *im, const struct import_table *table, uint64_t *ret_rows)
{
	bool there = true;

	for (*ret_rows = 0;; ++*ret_rows) {
		if (!import_source_next(&im->source, im->row, &there, im->error))
			return false;
		if (!there)
			return true;
		if (!import_target_add(&im->target, im->row, im->error))
			return false;
		if (*ret_rows % PROGRESS_ROWS == 0)
			tell(im, table, *ret_rows, false);
	}
}

static bool
copy_table(struct import *im, const struct import_table *table, uint64_t *ret_rows)
{
	uint64_t last_id = 0;
	bool done =
	    import_source_count(&im->source, table, &im->total, im->error) &&
	    (!table->numbered || import_source_last_id(&im->source, table, &last_id, im->error)) &&
	    import_source_start(&im->source, table, im->error) &&
	    import_target_begin(&im->target, table, im->error) && copy_rows(im, table, ret_rows) &&
	    import_target_end(&im->target, last_id, im->error);

	import_source_end(&im->source);
	if (done)
		tell(im, table, *ret_rows, false);
	return done;
}

/* --- Comparing --- */

static bool
compare_rows(struct import *im, const struct import_table *table, uint64_t expected)
{
	bool there = true;
	uint64_t rows;

	for (rows = 0;; rows++) {
		if (!import_source_next(&im->source, im->row, &there, im->error) ||
		    !import_target_same(&im->target, there ? im->row : NULL, im->error))
			return false;
		if (!there)
			break;
		if (rows % PROGRESS_ROWS == 0)
			tell(im, table, rows, true);
	}
	if (rows != expected)
		(void)import_failed(
		    im->error, "the table %s changed while it was read", table->name);
	return rows == expected;
}

static bool
compare_table(struct import *im, const struct import_table *table, uint64_t rows)
{
	bool done;

	im->total = rows;
	done = import_source_start(&im->source, table, im->error) &&
	       import_target_reread(&im->target, table, im->error) && compare_rows(im, table, rows);

	import_source_end(&im->source);
	import_target_reread_end(&im->target);
	if (done)
		tell(im, table, rows, true);
	return done;
}

/* --- All of it --- */

static void
advise(struct admin_error *error)
{
	size_t len = strlen(error->text);

	(void)snprintf(error->text + len, sizeof(error->text) - len,
	    "; the import is not finished: run it again, which begins anew");
}

static bool
take_meta(struct import *im)
{
	bool there = false;
	bool done = import_source_start(&im->source, &import_meta, im->error) &&
		    import_source_next(&im->source, im->row, &there, im->error);

	if (done && !there)
		(void)import_failed(
		    im->error, "%s has no row in meta: it is damaged", im->source.path);
	else if (done)
		done = import_target_finish(&im->target, im->row, im->error);
	if (done && there)
		im->result->other_life = im->row[0].type == 'n';
	import_source_end(&im->source);
	return done && there;
}

/* From here on the target is the store, whatever becomes of the source. */
static void
retire(struct import *im)
{
	struct admin_error why;

	if (!import_source_retire(&im->source, &why))
		(void)snprintf(im->result->warning, sizeof(im->result->warning),
		    "%.200s could not be marked as a copy (%.200s): do not start a server on it",
		    im->source.path, why.text);
}

static bool
take_all(struct import *im)
{
	uint64_t *rows = im->result->rows;

	for (size_t i = 0; i < import_table_count; i++)
		if (!copy_table(im, &import_tables[i], &rows[i]))
			return false;
	for (size_t i = 0; i < import_table_count; i++)
		if (!compare_table(im, &import_tables[i], rows[i]))
			return false;
	if (!take_meta(im))
		return false;
	retire(im);
	return true;
}

int
import_store(const struct import_options *options, struct import_result *ret_result,
    struct admin_error *ret_error)
{
	struct import im = {.options = options, .result = ret_result, .error = ret_error};
	slice from = slice_str(options->from), scheme = S("sqlite:");
	bool done = false;

	*ret_result = (struct import_result){0};
	if (!slice_starts(from, scheme) || from.len == scheme.len)
		return import_failed(ret_error, "an import is from a store in SQLite: sqlite:PATH");
	if (!slice_starts(slice_str(options->to), S("mysql://")))
		return import_failed(
		    ret_error, "an import goes to MariaDB or MySQL: give --store mysql://…");
	if (!import_source_open(&im.source, options->from + scheme.len, ret_error))
		return -1;
	if (import_target_open(&im.target, options->to, &ret_result->anew, ret_error)) {
		if (!(done = take_all(&im)))
			advise(ret_error);
		import_target_close(&im.target);
	}
	import_source_close(&im.source);
	return done ? 0 : -1;
}
