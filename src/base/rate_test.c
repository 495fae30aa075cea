/* SPDX-License-Identifier: MIT */
#include "base/rate.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/panic.h"

#define SECOND ((uint64_t)1000000000)
#define MS ((uint64_t)1000000)

static const struct rate ten = {.amount = 10, .burst = 20, .period_ms = 1000};

static int
setup(void **state)
{
	*state = rate_table_create();
	return 0;
}

static int
teardown(void **state)
{
	struct rate_table *table = *state;

	rate_table_destroy(&table);
	return 0;
}

static void
a_burst_then_the_rate(void **state)
{
	struct rate_table *t = *state;
	uint64_t key = rate_key(1, S("a")), now = 5 * SECOND;

	for (int i = 0; i < 20; i++)
		assert_int_equal(rate_take(t, &ten, key, 1, now), 0);
	assert_int_equal(rate_take(t, &ten, key, 1, now), 100);
	assert_int_equal(rate_take(t, &ten, key, 5, now), 500);
	assert_int_equal(rate_wait(t, &ten, key, 2, now), 200);
	now += SECOND / 10;
	assert_int_equal(rate_take(t, &ten, key, 1, now), 0);
	assert_int_equal(rate_take(t, &ten, key, 1, now), 100);
	/* It fills up to the burst, and not beyond. */
	now += 3600 * SECOND;
	assert_int_equal(rate_take(t, &ten, key, 20, now), 0);
	assert_int_equal(rate_take(t, &ten, key, 1, now), 100);
}

static void
after_the_wait_it_is_there(void **state)
{
	struct rate_table *t = *state;
	uint64_t key = rate_key(1, S("a")), now = SECOND;
	static const struct rate odd = {.amount = 7, .burst = 3, .period_ms = 60000};

	for (int i = 0; i < 100; i++) {
		uint32_t wait = rate_take(t, &odd, key, 1, now);

		if (wait == 0)
			continue;
		assert_true(rate_take(t, &odd, key, 1, now + (wait - 1) * MS) > 0);
		now += wait * MS;
		assert_int_equal(rate_take(t, &odd, key, 1, now), 0);
	}
}

static void
no_rate_is_no_limit(void **state)
{
	struct rate_table *t = *state;
	const struct rate off = {.burst = 1, .period_ms = 1000};

	for (int i = 0; i < 1000; i++)
		assert_int_equal(rate_take(t, &off, 1, 50, SECOND), 0);
	rate_give(t, &off, 1, 50, SECOND);
	assert_int_equal(rate_wait(t, &off, 1, 50, SECOND), 0);
}

static void
what_costs_more_than_the_burst_needs_a_full_bucket(void **state)
{
	struct rate_table *t = *state;
	uint64_t key = rate_key(1, S("a"));

	assert_int_equal(rate_take(t, &ten, key, 30, SECOND), 0);
	assert_int_equal(rate_take(t, &ten, key, 1, SECOND), 1100);
	assert_int_equal(rate_take(t, &ten, key, 30, SECOND), 3000);
	assert_int_equal(rate_take(t, &ten, key, 30, 3 * SECOND), 1000);
	assert_int_equal(rate_take(t, &ten, key, 30, 4 * SECOND), 0);
}

static void
what_is_given_back_is_there_again(void **state)
{
	struct rate_table *t = *state;
	uint64_t key = rate_key(1, S("a"));

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(rate_take(t, &ten, key, 3, SECOND), 0);
		rate_give(t, &ten, key, 3, SECOND);
	}
	assert_int_equal(rate_take(t, &ten, key, 15, SECOND), 0);
	rate_give(t, &ten, key, 5, SECOND);
	assert_int_equal(rate_take(t, &ten, key, 11, SECOND), 100);
	/* Not more than it can hold. */
	rate_give(t, &ten, key, 100, SECOND);
	assert_int_equal(rate_take(t, &ten, key, 20, SECOND), 0);
	assert_int_equal(rate_take(t, &ten, key, 1, SECOND), 100);
	/* A bucket that nobody took from gets nothing. */
	rate_give(t, &ten, rate_key(1, S("b")), 5, SECOND);
	assert_int_equal(rate_take(t, &ten, rate_key(1, S("b")), 20, SECOND), 0);
	assert_int_equal(rate_take(t, &ten, rate_key(1, S("b")), 1, SECOND), 100);
}

static void
a_faster_rate_counts_at_once(void **state)
{
	struct rate_table *t = *state;
	uint64_t key = rate_key(1, S("a"));
	static const struct rate slow = {.amount = 1, .burst = 100, .period_ms = 60000};
	static const struct rate fast = {.amount = 100, .burst = 100, .period_ms = 1000};
	uint32_t wait;

	assert_int_equal(rate_take(t, &slow, key, 100, SECOND), 0);
	assert_int_equal(rate_take(t, &slow, key, 1, SECOND), 60000);
	wait = rate_wait(t, &fast, key, 1, SECOND);
	assert_in_range(wait, 1, 1000);
	assert_int_equal(rate_take(t, &fast, key, 1, SECOND + wait * MS), 0);
}

static void
keys_and_scopes_are_apart(void **state)
{
	struct rate_table *t = *state;
	uint64_t keys[] = {rate_key(1, S("a")), rate_key(2, S("a")), rate_key(1, S("b")),
	    rate_key_u64(1, 7), rate_key_u64(2, 7), rate_key_u64(1, 8)};

	for (size_t i = 0; i < LEN(keys); i++) {
		assert_int_not_equal(keys[i], 0);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(keys[i], keys[k]);
	}
	assert_int_equal(rate_key(1, S("a")), keys[0]);
	assert_int_equal(rate_key_u64(1, 7), keys[3]);
	assert_int_equal(rate_take(t, &ten, keys[0], 20, SECOND), 0);
	assert_int_equal(rate_take(t, &ten, keys[1], 20, SECOND), 0);
	assert_int_equal(rate_take(t, &ten, keys[2], 20, SECOND), 0);
}

/* Keys made by hand: the lower bits choose the four places, the upper ones are compared. */
static uint64_t
crowded(unsigned i)
{
	return (uint64_t)(i + 1) << 48 | 77;
}

static void
four_have_a_place_the_fifth_shares_the_one_free_the_soonest(void **state)
{
	struct rate_table *t = *state;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rate_take(t, &ten, crowded(i), 20 - i, SECOND), 0);
	/* What the four left over. */
	for (uint32_t left = 3; left > 0; left--)
		assert_int_equal(rate_take(t, &ten, crowded(4), left, SECOND), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(rate_take(t, &ten, crowded(i), 1, SECOND), 100);
	/* A full bucket is nobody's. */
	assert_int_equal(rate_take(t, &ten, crowded(4), 20, 10 * SECOND), 0);
	assert_int_equal(rate_take(t, &ten, crowded(4), 1, 10 * SECOND), 100);
	assert_int_equal(rate_take(t, &ten, crowded(3), 20, 10 * SECOND), 0);
}

/* --- Against the plain bucket --- */

enum { MODEL_KEYS = 50, MODEL_STEPS = 200000 };

/* Contents in parts of 1 / period of a unit, so that they are whole numbers. */
struct plain {
	int64_t holds;
	uint64_t at_us;
};

static void
plain_fill(struct plain *b, const struct rate *rate, uint64_t now_us)
{
	int64_t most = (int64_t)rate->burst * rate->period_ms * 1000;

	b->holds += (int64_t)((now_us - b->at_us) * rate->amount);
	b->at_us = now_us;
	if (b->holds > most)
		b->holds = most;
}

static bool
plain_take(struct plain *b, const struct rate *rate, uint32_t cost)
{
	int64_t need = (int64_t)(cost < rate->burst ? cost : rate->burst) * rate->period_ms * 1000;

	if (b->holds < need)
		return false;
	b->holds -= (int64_t)cost * rate->period_ms * 1000;
	return true;
}

static void
as_a_plain_bucket(void **state)
{
	/* Rates of which a unit takes whole microseconds. */
	static const struct rate rates[] = {{10, 20, 1000}, {1, 1, 1000}, {100000, 5000, 1000},
	    {6, 10, 60000}, {50, 500, 1000}, {2, 7, 1000}};
	uint64_t seed = 1, now_us = 1000;

	(void)state;
	for (size_t r = 0; r < LEN(rates); r++) {
		struct rate_table *t = rate_table_create();
		struct plain plain[MODEL_KEYS];
		uint64_t unit_us = rates[r].period_ms * 1000 / rates[r].amount;

		for (size_t k = 0; k < MODEL_KEYS; k++)
			plain[k] = (struct plain){
			    (int64_t)rates[r].burst * rates[r].period_ms * 1000, now_us};
		for (int i = 0; i < MODEL_STEPS; i++) {
			uint64_t dice = hash_u64(seed++), key = rate_key_u64(9, dice % MODEL_KEYS);
			struct plain *b = &plain[dice % MODEL_KEYS];
			uint32_t cost = 1 + (uint32_t)(dice >> 20) % 16;
			bool may;

			now_us += (dice >> 40) % (unit_us / 3 + 1);
			plain_fill(b, &rates[r], now_us);
			may = rate_wait(t, &rates[r], key, cost, now_us * 1000) == 0;
			assert_int_equal(
			    may, rate_take(t, &rates[r], key, cost, now_us * 1000) == 0);
			assert_int_equal(may, plain_take(b, &rates[r], cost));
		}
		rate_table_destroy(&t);
	}
}

/* --- Threads --- */

enum { THREADS = 4, THREAD_KEYS = 8, THREAD_TAKES = 20000 };

struct taker {
	pthread_t thread;
	struct rate_table *table;
	struct quota_table *quota;
	unsigned taken[THREAD_KEYS], admitted;
};

static void *
take_all(void *cookie)
{
	static const struct rate rate = {.amount = 1, .burst = 1000, .period_ms = 3600 * 1000};
	struct taker *taker = cookie;

	for (unsigned i = 0; i < THREAD_TAKES; i++) {
		unsigned k = i % THREAD_KEYS;

		if (rate_take(taker->table, &rate, rate_key_u64(3, k), 1, SECOND) == 0)
			taker->taken[k]++;
		if (quota_take(taker->quota, rate_key_u64(4, k), THREADS)) {
			taker->admitted++;
			quota_give(taker->quota, rate_key_u64(4, k));
		}
	}
	return NULL;
}

/* However many take at once: nobody gets what is not there, and nothing is lost. */
static void
threads_share_one_bucket(void **state)
{
	struct taker takers[THREADS] = {0};
	struct quota_table *quota = quota_table_create();

	for (unsigned i = 0; i < THREADS; i++) {
		takers[i].table = *state;
		takers[i].quota = quota;
		assert_int_equal(pthread_create(&takers[i].thread, NULL, take_all, &takers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(takers[i].thread, NULL), 0);
	for (unsigned k = 0; k < THREAD_KEYS; k++) {
		unsigned sum = 0;

		for (unsigned i = 0; i < THREADS; i++)
			sum += takers[i].taken[k];
		assert_int_equal(sum, 1000);
		assert_true(quota_take(quota, rate_key_u64(4, k), 1));
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(takers[i].admitted, THREAD_TAKES);
	quota_table_destroy(&quota);
}

/* --- The memory, and quotas --- */

static void
a_memory_knows_until_its_time(void **state)
{
	struct rate_table *t = *state;
	uint64_t a = rate_key(5, S("a")), b = rate_key(5, S("b"));

	assert_false(rate_remembers(t, a, SECOND));
	rate_remember(t, a, 10 * SECOND);
	assert_true(rate_remembers(t, a, SECOND));
	assert_false(rate_remembers(t, b, SECOND));
	assert_true(rate_remembers(t, a, 10 * SECOND - 1000));
	assert_false(rate_remembers(t, a, 10 * SECOND));
	rate_remember(t, a, 5 * SECOND);
	assert_true(rate_remembers(t, a, 9 * SECOND));
	rate_remember(t, a, 20 * SECOND);
	assert_true(rate_remembers(t, a, 19 * SECOND));
}

static void
a_full_memory_forgets_what_ends_the_soonest(void **state)
{
	struct rate_table *t = *state;

	for (unsigned i = 0; i < 5; i++)
		rate_remember(t, crowded(i), (10 + i) * SECOND);
	assert_false(rate_remembers(t, crowded(0), SECOND));
	for (unsigned i = 1; i < 5; i++)
		assert_true(rate_remembers(t, crowded(i), SECOND));
}

static void
a_quota_counts_up_and_down(void **state)
{
	struct quota_table *t = quota_table_create();
	uint64_t a = rate_key(6, S("a")), b = rate_key(6, S("b"));

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5; i++)
			assert_true(quota_take(t, a, 5));
		assert_false(quota_take(t, a, 5));
		assert_false(quota_take(t, a, 1));
		assert_true(quota_take(t, b, 1));
		assert_true(quota_take(t, a, 0));
		quota_give(t, a);
		for (int i = 0; i < 5; i++)
			quota_give(t, a);
		quota_give(t, b);
	}
	quota_table_destroy(&t);
}

/* One of two counters is shared with many: the other one counts. */
static void
a_quota_that_shares_one_counter_is_right(void **state)
{
	struct quota_table *t = quota_table_create();
	uint64_t key = (uint64_t)1 << 32 | 5;

	(void)state;
	for (uint64_t i = 2; i < 100; i++)
		assert_true(quota_take(t, i << 32 | 5, 1));
	assert_true(quota_take(t, key, 1));
	assert_false(quota_take(t, key, 1));
	quota_table_destroy(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_burst_then_the_rate),
	    TEST(after_the_wait_it_is_there),
	    TEST(no_rate_is_no_limit),
	    TEST(what_costs_more_than_the_burst_needs_a_full_bucket),
	    TEST(what_is_given_back_is_there_again),
	    TEST(a_faster_rate_counts_at_once),
	    TEST(keys_and_scopes_are_apart),
	    TEST(four_have_a_place_the_fifth_shares_the_one_free_the_soonest),
	    TEST(as_a_plain_bucket),
	    TEST(threads_share_one_bucket),
	    TEST(a_memory_knows_until_its_time),
	    TEST(a_full_memory_forgets_what_ends_the_soonest),
	    TEST(a_quota_counts_up_and_down),
	    TEST(a_quota_that_shares_one_counter_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
