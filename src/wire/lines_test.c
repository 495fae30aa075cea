/* SPDX-License-Identifier: MIT */
#include "wire/lines.h"

#include "wire/split_test.h"

static size_t max;

static int
codec(slice in)
{
	slice line;

	return lines_next(in, max, &line);
}

static const struct {
	slice in;
	size_t max;
	int result;
	slice line;
} table[] = {
    {S(""), 8, 0, SLICE_NONE},
    {S("\n"), 8, 1, S("")},
    {S("\r\n"), 8, 2, S("")},
    {S("\n"), 0, 1, S("")},
    {S("\r\n"), 0, 2, S("")},
    {S("\r"), 0, 0, SLICE_NONE},
    {S("\rx"), 0, LINES_TOO_LONG, SLICE_NONE},
    {S("abc"), 8, 0, SLICE_NONE},
    {S("abc\ndef\n"), 8, 4, S("abc")},
    {S("abc\r\ndef"), 8, 5, S("abc")},
    {S("a\rb\n"), 8, 4, S("a\rb")},
    {S("a\r\r\n"), 8, 4, S("a\r")},
    {S("12345678\n"), 8, 9, S("12345678")},
    {S("12345678\r\n"), 8, 10, S("12345678")},
    {S("12345678"), 8, 0, SLICE_NONE},
    {S("12345678\r"), 8, 0, SLICE_NONE},
    {S("12345678\rx"), 8, LINES_TOO_LONG, SLICE_NONE},
    {S("12345678\r\r\n"), 8, LINES_TOO_LONG, SLICE_NONE},
    {S("123456789"), 8, LINES_TOO_LONG, SLICE_NONE},
    {S("123456789\n"), 8, LINES_TOO_LONG, SLICE_NONE},
    {S("a\0b\n"), 8, 4, S("a\0b")},
};

static void
lines_are_found_and_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		slice line = SLICE_NONE;

		max = table[i].max;
		assert_int_equal(run_prefixes(codec, table[i].in), table[i].result);
		(void)lines_next(table[i].in, max, &line);
		assert_true(slice_given(line) == slice_given(table[i].line));
		assert_true(slice_eq(line, table[i].line));
	}
}

static void
lines_follow_each_other(void **state)
{
	slice in = S("one\n\r\ntwo\r\n{}\nrest"), line;
	const char *want[] = {"one", "", "two", "{}"};
	size_t n = 0;
	int used;

	(void)state;
	while ((used = lines_next(in, 64, &line)) > 0) {
		assert_true(n < LEN(want) && slice_eq(line, slice_str(want[n])));
		in = slice_of(in.ptr + used, in.len - (size_t)used);
		n++;
	}
	assert_int_equal(used, 0);
	assert_int_equal(n, LEN(want));
	assert_true(slice_eq(in, S("rest")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_found_and_bounded),
	    cmocka_unit_test(lines_follow_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
