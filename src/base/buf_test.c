/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
empty_owns_nothing(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_append(&b, "", 0);
	buf_append(&b, NULL, 0);
	buf_put(&b, S(""));
	buf_put(&b, SLICE_NONE);
	assert_null(b.bytes);
	assert_int_equal(buf_len(&b), 0);
	assert_true(slice_eq(buf_slice(&b), S("")));
	buf_fini(&b);
	buf_fini(&b);
}

static void
append_and_consume(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_put(&b, S("hello "));
	buf_printf(&b, "%s %d%s", "world", 42, "");
	assert_true(slice_eq(buf_slice(&b), S("hello world 42")));
	buf_consume(&b, 6);
	assert_true(slice_eq(buf_slice(&b), S("world 42")));
	assert_memory_equal(buf_head(&b), "world", 5);
	buf_consume(&b, 0);
	buf_consume(&b, 8);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(b.end, 0);
	buf_put(&b, S("again"));
	buf_clear(&b);
	assert_int_equal(buf_len(&b), 0);
	assert_non_null(b.bytes);
	buf_fini(&b);
	assert_null(b.bytes);
}

static void
reserve_then_grew(void **state)
{
	struct buf b = {0};
	char *at = buf_reserve(&b, 1000);

	(void)state;
	memset(at, 'x', 1000);
	buf_grew(&b, 1000);
	assert_int_equal(buf_len(&b), 1000);
	/* What is reserved does not move while it is filled. */
	at = buf_reserve(&b, 100);
	buf_append(&b, "y", 1);
	assert_ptr_equal(at, buf_head(&b) + 1000);
	buf_fini(&b);
}

/* A stream through the buffer: the content is right all along, and what was consumed is used again.
 */
static void
stream(void **state)
{
	struct buf b = {0};
	unsigned put = 0, got = 0, step = 1;

	(void)state;
	while (got < 100000) {
		for (unsigned n = step % 97; n > 0; n--) {
			unsigned char byte = (unsigned char)(put++ % 251);

			buf_append(&b, &byte, 1);
		}
		for (unsigned n = step % 89; n > 0 && buf_len(&b) > 0; n--) {
			assert_int_equal((unsigned char)buf_head(&b)[0], got++ % 251);
			buf_consume(&b, 1);
		}
		if (buf_len(&b) > 1000) {
			got += 1000;
			buf_consume(&b, 1000);
		}
		step = step * 7 + 3;
	}
	assert_int_equal(buf_len(&b), put - got);
	assert_true(b.capacity <= 4096);
	buf_fini(&b);
}

static void
long_printf(void **state)
{
	struct buf b = {0};

	(void)state;
	for (int width = 0; width < 600; width += 7) {
		buf_clear(&b);
		buf_printf(&b, "%*d", width, 5);
		assert_int_equal(buf_len(&b), width > 1 ? width : 1);
		assert_int_equal(buf_head(&b)[buf_len(&b) - 1], '5');
	}
	buf_fini(&b);
}

static void
slices(void **state)
{
	(void)state;
	assert_true(slice_eq(SLICE_NONE, S("")));
	assert_false(slice_given(SLICE_NONE));
	assert_true(slice_given(S("")));
	assert_false(slice_given(slice_str(NULL)));
	assert_true(slice_cmp(S("a"), S("b")) < 0);
	assert_true(slice_cmp(S("b"), S("a")) > 0);
	assert_true(slice_cmp(S("a"), S("ab")) < 0);
	assert_true(slice_cmp(S("ab"), S("a")) > 0);
	assert_true(slice_cmp(S("\xFF"), S("a")) > 0);
	assert_int_equal(slice_cmp(S("ab"), S("ab")), 0);
	assert_int_equal(slice_cmp(SLICE_NONE, S("")), 0);
	assert_true(slice_starts(S("abc"), S("ab")));
	assert_true(slice_starts(S("abc"), S("")));
	assert_true(slice_starts(SLICE_NONE, SLICE_NONE));
	assert_false(slice_starts(S("ab"), S("abc")));
	assert_false(slice_starts(S("abc"), S("b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_owns_nothing),
	    cmocka_unit_test(append_and_consume),
	    cmocka_unit_test(reserve_then_grew),
	    cmocka_unit_test(stream),
	    cmocka_unit_test(long_printf),
	    cmocka_unit_test(slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
