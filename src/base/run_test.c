/* SPDX-License-Identifier: MIT */
#include "base/run.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
copies(void **state)
{
	char bytes[] = "hello";
	struct run *run = run_copy(slice_of(bytes, 5));

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(run->refs, 1);
	assert_int_equal(run->len, 5);
	assert_int_equal(run->capacity, 5);
	assert_memory_equal(run->bytes, "hello", 5);
	run_unref(run);
	run = run_copy(SLICE_NONE);
	assert_int_equal(run->len, 0);
	run_unref(run);
}

/* The sanitizer sees a run that is freed too early, twice or never. */
static void
counting(void **state)
{
	struct run *run = run_create(64), *other;

	(void)state;
	assert_int_equal(run->len, 0);
	assert_int_equal(run->capacity, 64);
	memset(run->bytes, 'a', 64);
	run->len = 64;
	other = run_ref(run);
	assert_ptr_equal(other, run);
	assert_int_equal(run->refs, 2);
	run_unref(run);
	assert_int_equal(other->refs, 1);
	assert_int_equal(other->bytes[63], 'a');
	run_unref(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(copies),
	    cmocka_unit_test(counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
