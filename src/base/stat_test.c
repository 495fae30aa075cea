/* SPDX-License-Identifier: MIT */
#include "base/stat.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { THREADS = 4, EACH = 50000 };

static void *
count(void *cookie)
{
	(void)cookie;
	for (int i = 0; i < EACH; i++) {
		stat_add(STAT_FRAMES_IN, 1);
		stat_add(STAT_BYTES_IN, 3);
		gauge_add(GAUGE_CONNS, i % 2 == 0 ? 2 : -1);
		stat_error((unsigned)i % 2);
	}
	return NULL;
}

/* Who sums while others count sees numbers that only grow; afterwards nothing is lost, though the
 * threads are. */
static void
threads(void **state)
{
	struct stats before, sum;
	pthread_t ids[THREADS];
	uint64_t last = 0;

	(void)state;
	stats_sum(&before);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, count, NULL), 0);
	for (int i = 0; i < 100; i++) {
		stats_sum(&sum);
		assert_true(sum.counters[STAT_FRAMES_IN] >= last);
		last = sum.counters[STAT_FRAMES_IN];
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	stats_sum(&sum);
	assert_int_equal(
	    sum.counters[STAT_FRAMES_IN] - before.counters[STAT_FRAMES_IN], THREADS * EACH);
	assert_int_equal(
	    sum.counters[STAT_BYTES_IN] - before.counters[STAT_BYTES_IN], THREADS * EACH * 3);
	assert_int_equal(sum.gauges[GAUGE_CONNS] - before.gauges[GAUGE_CONNS], THREADS * EACH / 2);
	assert_int_equal(sum.errors[1] - before.errors[1], THREADS * EACH / 2);
}

/* A gauge that one thread raises and another lowers is right in the sum alone. */
static void *
lower(void *cookie)
{
	(void)cookie;
	gauge_add(GAUGE_SESSIONS, -5);
	return NULL;
}

static void
gauges_across_threads(void **state)
{
	struct stats sum;
	pthread_t id;

	(void)state;
	gauge_add(GAUGE_SESSIONS, 5);
	assert_int_equal(pthread_create(&id, NULL, lower, NULL), 0);
	assert_int_equal(pthread_join(id, NULL), 0);
	stats_sum(&sum);
	assert_int_equal(sum.gauges[GAUGE_SESSIONS], 0);
}

static void
histogram(void **state)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} want[] = {
	    {0, 0},
	    {1, 0},
	    {1024, 0},
	    {1025, 1},
	    {2048, 1},
	    {2049, 2},
	    {1024u << 10, 10},
	    {(uint64_t)1024 << 23, 23},
	    {((uint64_t)1024 << 23) + 1, 24},
	    {UINT64_MAX / 4, 24},
	};
	struct stats before, after;
	uint64_t all = 0;

	(void)state;
	for (size_t i = 0; i < LEN(want); i++) {
		stats_sum(&before);
		histogram_add(HISTOGRAM_COMMIT, want[i].ns);
		stats_sum(&after);
		for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
			assert_int_equal(after.histograms[HISTOGRAM_COMMIT][b],
			    before.histograms[HISTOGRAM_COMMIT][b] + (b == want[i].bucket));
		all += want[i].ns;
		assert_int_equal(after.histogram_sum_ns[HISTOGRAM_COMMIT], all);
		assert_int_equal(after.histogram_sum_ns[HISTOGRAM_QUEUED], 0);
	}
}

static void
own_block(void **state)
{
	struct stats *self = stats_self();
	uint64_t before = self->closes[STAT_CODES - 1];

	(void)state;
	assert_ptr_equal(stats_self(), self);
	stat_close(STAT_CODES - 1);
	assert_int_equal(self->closes[STAT_CODES - 1], before + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads),
	    cmocka_unit_test(gauges_across_threads),
	    cmocka_unit_test(histogram),
	    cmocka_unit_test(own_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
