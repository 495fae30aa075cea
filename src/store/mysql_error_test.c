/* SPDX-License-Identifier: MIT */
#include "store/mysql_error.h"

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
	bool reopen;
} expected[] = {
    {1020, CLASS_RETRY, false}, {1021, CLASS_UNAVAILABLE, false}, {1022, CLASS_RETRY, false},
    {1037, CLASS_UNAVAILABLE, false}, {1040, CLASS_UNAVAILABLE, true},
    {1041, CLASS_UNAVAILABLE, false}, {1044, CLASS_UNAVAILABLE, true},
    {1045, CLASS_UNAVAILABLE, true}, {1049, CLASS_UNAVAILABLE, true},
    {1053, CLASS_UNAVAILABLE, true}, {1062, CLASS_RETRY, false}, {1077, CLASS_UNAVAILABLE, true},
    {1079, CLASS_UNAVAILABLE, true}, {1080, CLASS_RETRY, true}, {1129, CLASS_UNAVAILABLE, true},
    {1130, CLASS_UNAVAILABLE, true}, {1114, CLASS_UNAVAILABLE, false},
    {1142, CLASS_UNAVAILABLE, false}, {1152, CLASS_UNAVAILABLE, true}, {1153, CLASS_BUG, true},
    {1158, CLASS_RETRY, true}, {1159, CLASS_UNAVAILABLE, true}, {1160, CLASS_RETRY, true},
    {1161, CLASS_UNAVAILABLE, true}, {1184, CLASS_UNAVAILABLE, true},
    {1203, CLASS_UNAVAILABLE, true}, {1205, CLASS_UNAVAILABLE, false},
    {1206, CLASS_UNAVAILABLE, false}, {1207, CLASS_UNAVAILABLE, true}, {1213, CLASS_RETRY, false},
    {1226, CLASS_UNAVAILABLE, true}, {1290, CLASS_UNAVAILABLE, true},
    {1317, CLASS_UNAVAILABLE, false}, {1461, CLASS_UNAVAILABLE, true}, {1689, CLASS_RETRY, false},
    {1792, CLASS_UNAVAILABLE, true}, {1836, CLASS_UNAVAILABLE, true}, {1927, CLASS_RETRY, true},
    {1969, CLASS_UNAVAILABLE, false}, {3024, CLASS_UNAVAILABLE, false}, {3572, CLASS_RETRY, false},
    {1874, CLASS_UNAVAILABLE, true}, {3170, CLASS_UNAVAILABLE, false}, {4031, CLASS_RETRY, true},
    {1024, CLASS_UNAVAILABLE, false}, {1026, CLASS_UNAVAILABLE, false},
    {1030, CLASS_UNAVAILABLE, false}, {1194, CLASS_UNAVAILABLE, false},
    {1047, CLASS_UNAVAILABLE, true}, {1615, CLASS_RETRY, true}, {1243, CLASS_RETRY, true},
    {2001, CLASS_UNAVAILABLE, true}, {2002, CLASS_UNAVAILABLE, true},
    {2003, CLASS_UNAVAILABLE, true}, {2005, CLASS_UNAVAILABLE, true}, {2006, CLASS_RETRY, true},
    {2008, CLASS_UNAVAILABLE, true}, {2012, CLASS_UNAVAILABLE, true}, {2013, CLASS_RETRY, true},
    {2014, CLASS_BUG, true}, {2020, CLASS_BUG, true}, {2026, CLASS_UNAVAILABLE, true},
    {2027, CLASS_UNAVAILABLE, true}, {2055, CLASS_RETRY, true}, {1064, CLASS_BUG, false},
    {1054, CLASS_BUG, false}, {1146, CLASS_BUG, false}, {1048, CLASS_BUG, false},
    {1264, CLASS_BUG, false}, {1406, CLASS_BUG, false}, {1366, CLASS_BUG, false},
    {1105, CLASS_BUG, false}, /* no line of its own */
};

static void
every_line_has_its_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(expected); i++) {
		assert_int_equal(
		    mysql_error_class(expected[i].code, PHASE_BEFORE_COMMIT), expected[i].before);
		assert_int_equal(mysql_error_class(expected[i].code, PHASE_COMMIT), CLASS_UNKNOWN);
		assert_int_equal(mysql_error_reopen(expected[i].code), expected[i].reopen);
		assert_int_equal(mysql_error_duplicate(expected[i].code),
		    expected[i].code == 1022 || expected[i].code == 1062);
	}
}

static void
every_line_is_expected_once(void **state)
{
#define ERROR_AS_CODE(name, code, before, reopen) code,
	static const int codes[] = {MYSQL_ERRORS(ERROR_AS_CODE)};

	(void)state;
	assert_int_equal(LEN(codes) + 1, LEN(expected));
	for (size_t i = 0; i < LEN(codes); i++) {
		int found = 0;

		for (size_t j = 0; j < LEN(expected); j++)
			found += expected[j].code == codes[i];
		assert_int_equal(found, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_line_has_its_class),
	    cmocka_unit_test(every_line_is_expected_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
