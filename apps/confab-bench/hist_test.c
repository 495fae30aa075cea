/* SPDX-License-Identifier: MIT */
#include "hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct hist h;

static void
buckets_hold_what_they_say(void **state)
{
	(void)state;
	assert_int_equal(hist_bucket(0), 0);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	for (unsigned shift = 0; shift < 64; shift++) {
		for (int around = -2; around <= 2; around++) {
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)(int64_t)around;
			unsigned bucket = hist_bucket(value);

			assert_true(bucket < HIST_BUCKETS);
			assert_true(value <= hist_bucket_top(bucket));
			assert_true(bucket == 0 || value > hist_bucket_top(bucket - 1));
		}
	}
}

static void
buckets_are_narrow(void **state)
{
	(void)state;
	for (unsigned i = 1; i < HIST_BUCKETS; i++) {
		uint64_t low = hist_bucket_top(i - 1) + 1, top = hist_bucket_top(i);

		assert_true(top >= low && top - low <= low / HIST_SUB);
	}
}

static void
shares_are_found(void **state)
{
	(void)state;
	hist_clear(&h);
	assert_int_equal(hist_at(&h, 0.99), 0);
	for (uint64_t us = 1; us <= 10000; us++)
		hist_add(&h, us * 1000);
	assert_int_equal(h.count, 10000);
	assert_int_equal(h.max, 10000000);
	for (unsigned percent = 1; percent <= 100; percent++) {
		double exact = 100000.0 * percent, found = (double)hist_at(&h, percent / 100.0);

		assert_true(found >= exact && found <= exact * 1.016);
	}
	assert_int_equal(hist_at(&h, 1), h.max);
}

static void
one_slow_among_many_is_the_greatest_only(void **state)
{
	(void)state;
	hist_clear(&h);
	for (unsigned i = 0; i < 999; i++)
		hist_add(&h, 50);
	hist_add(&h, UINT64_C(3600) * 1000000000);
	assert_int_equal(hist_at(&h, 0.999), 50);
	assert_int_equal(hist_at(&h, 0.9991), h.max);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buckets_hold_what_they_say),
	    cmocka_unit_test(buckets_are_narrow),
	    cmocka_unit_test(shares_are_found),
	    cmocka_unit_test(one_slow_among_many_is_the_greatest_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
