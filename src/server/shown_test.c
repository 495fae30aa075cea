/* SPDX-License-Identifier: MIT */
#include "server/shown.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
what_may_be_a_password_is_left_out(void **state)
{
	static const struct {
		const char *text;
		bool address;
		const char *shown;
	} cases[] = {
	    {"log_levl", false, "\"log_levl\""},
	    {"/var/lib/confab.db", true, "\"/var/lib/confab.db\""},
	    {"mysql://", true, "\"mysql://\""},
	    {"memory", true, "\"memory\""},
	    {"sqlit:/var/lib/confab.db", true, "\"sqlit:/...\""},
	    {"sqlit:/var/lib/confab.db", false, "\"sqlit:/var/lib/confab.db\""},
	    {"mysq://ann:hush@db/confab", true, "\"mysq://...\""},
	    {"mysq://ann:hush@db/confab", false, "\"mysq://...\""},
	    {"mysq://ann:hush", true, "\"mysq://...\""},
	    {"mysql:ann:hush@db/confab", true, "\"mysql:...\""},
	    {"mysql//ann:hush@db/confab", true, "\"...\""},
	    {"mysql ann:hush@db", false, "\"...\""},
	    {"ann:hush@db/confab", true, "\"ann:...\""},
	    {"hush@db:3306/confab", true, "\"...\""},
	    {"--stor=mysql://ann:hush@db/confab", false, "\"...\""},
	    {"store: mysql://ann:hush@db/confab", false, "\"store:...\""},
	    {"store mysql://ann:hush/db", false, "\"...\""},
	    {"", true, "\"\""},
	};
	char text[SHOWN_BYTES];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		assert_string_equal(
		    shown(slice_str(cases[i].text), cases[i].address, text), cases[i].shown);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_may_be_a_password_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
