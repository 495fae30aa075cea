/* SPDX-License-Identifier: MIT */
#include "store/sql_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

/* Written out once more, so that no line changes by accident. */
static const struct {
	int code;
	enum sql_class before;
	bool not_whole, reopen;
} expected[] = {
    {SQLITE_BUSY, CLASS_UNAVAILABLE, false, false},
    {SQLITE_BUSY_SNAPSHOT, CLASS_RETRY, false, false},
    {SQLITE_BUSY_RECOVERY, CLASS_RETRY, false, false}, {SQLITE_LOCKED, CLASS_RETRY, false, false},
    {SQLITE_LOCKED_SHAREDCACHE, CLASS_RETRY, false, false},
    {SQLITE_SCHEMA, CLASS_RETRY, false, false}, {SQLITE_ABORT, CLASS_RETRY, false, false},
    {SQLITE_ABORT_ROLLBACK, CLASS_RETRY, false, false},
    {SQLITE_FULL, CLASS_UNAVAILABLE, true, false},
    {SQLITE_READONLY, CLASS_UNAVAILABLE, false, true},
    {SQLITE_READONLY_DBMOVED, CLASS_UNAVAILABLE, false, true},
    {SQLITE_IOERR, CLASS_UNAVAILABLE, false, true},
    {SQLITE_IOERR_WRITE, CLASS_UNAVAILABLE, true, true},
    {SQLITE_IOERR_FSYNC, CLASS_UNAVAILABLE, false, true},
    {SQLITE_IOERR_SHMSIZE, CLASS_UNAVAILABLE, false, true},
    {SQLITE_CANTOPEN, CLASS_UNAVAILABLE, false, true},
    {SQLITE_PROTOCOL, CLASS_UNAVAILABLE, false, true},
    {SQLITE_CORRUPT, CLASS_UNAVAILABLE, false, true},
    {SQLITE_NOTADB, CLASS_UNAVAILABLE, false, true},
    {SQLITE_NOMEM, CLASS_UNAVAILABLE, false, false},
    {SQLITE_INTERRUPT, CLASS_UNAVAILABLE, false, false},
    {SQLITE_PERM, CLASS_UNAVAILABLE, false, true}, {SQLITE_AUTH, CLASS_UNAVAILABLE, false, true},
    {SQLITE_NOLFS, CLASS_UNAVAILABLE, false, true}, {SQLITE_CONSTRAINT, CLASS_BUG, false, false},
    {SQLITE_CONSTRAINT_UNIQUE, CLASS_BUG, false, false}, {SQLITE_TOOBIG, CLASS_BUG, false, false},
    {SQLITE_MISMATCH, CLASS_BUG, false, false}, {SQLITE_MISUSE, CLASS_BUG, false, false},
    {SQLITE_RANGE, CLASS_BUG, false, false}, {SQLITE_INTERNAL, CLASS_BUG, false, false},
    {SQLITE_ERROR, CLASS_BUG, false, false},
    {SQLITE_EMPTY, CLASS_BUG, false, false}, /* no line of its own */
};

static void
every_line_has_its_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(expected); i++) {
		assert_int_equal(
		    sql_error_class(expected[i].code, PHASE_BEFORE_COMMIT), expected[i].before);
		assert_int_equal(sql_error_class(expected[i].code, PHASE_COMMIT), CLASS_UNKNOWN);
		assert_int_equal(sql_error_not_whole(expected[i].code), expected[i].not_whole);
		assert_int_equal(sql_error_reopen(expected[i].code), expected[i].reopen);
	}
}

static void
every_line_is_expected(void **state)
{
#define ERROR_AS_CODE(code, before, not_whole, reopen) code,
	static const int codes[] = {SQL_ERRORS(ERROR_AS_CODE)};

	(void)state;
	for (size_t i = 0; i < LEN(codes); i++) {
		bool found = false;

		for (size_t j = 0; j < LEN(expected); j++)
			found = found || expected[j].code == codes[i];
		assert_true(found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_line_has_its_class),
	    cmocka_unit_test(every_line_is_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
