/* SPDX-License-Identifier: MIT */
#include "chat/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Hashes as they come: the same low bits lead to the same set. */
enum { SAME_SET = 1 << 24 };

static void
what_is_learned_is_found(void **state)
{
	struct places places = {0};

	(void)state;
	assert_int_equal(places_find(&places, 0), 0);
	assert_int_equal(places_find(&places, 7), 0);
	places_learn(&places, 7, 70);
	places_learn(&places, 0, 1);
	assert_int_equal(places_find(&places, 7), 70);
	assert_int_equal(places_find(&places, 0), 1);
	assert_int_equal(places_find(&places, 8), 0);
	places_fini(&places);
	assert_int_equal(places_find(&places, 7), 0);
	places_fini(&places);
}

static void
the_newest_lesson_counts(void **state)
{
	struct places places = {0};

	(void)state;
	places_learn(&places, 7, 70);
	places_learn(&places, 7, 71);
	assert_int_equal(places_find(&places, 7), 71);
	assert_int_equal(places.count, 1);
	places_fini(&places);
}

static void
the_least_recently_used_of_a_set_goes(void **state)
{
	struct places places = {0};

	(void)state;
	for (uint64_t i = 0; i < PLACES_IN_SET; i++)
		places_learn(&places, i * SAME_SET, 1 + i);
	assert_int_equal(places_find(&places, 0), 1);
	places_learn(&places, PLACES_IN_SET * SAME_SET, 100);
	assert_int_equal(places_find(&places, 0), 1);
	assert_int_equal(places_find(&places, SAME_SET), 0);
	for (uint64_t i = 2; i < PLACES_IN_SET; i++)
		assert_int_equal(places_find(&places, i * SAME_SET), 1 + i);
	assert_int_equal(places_find(&places, PLACES_IN_SET * SAME_SET), 100);
	places_fini(&places);
}

static void
it_grows_with_what_it_holds(void **state)
{
	enum { COUNT = 10000 };
	struct places places = {0};
	size_t found = 0;

	(void)state;
	for (uint64_t i = 1; i <= COUNT; i++)
		places_learn(&places, i * 0x9e3779b97f4a7c15u >> 13, i);
	for (uint64_t i = 1; i <= COUNT; i++) {
		uint64_t cid = places_find(&places, i * 0x9e3779b97f4a7c15u >> 13);

		assert_true(cid == 0 || cid == i);
		found += cid != 0;
	}
	assert_int_equal(found, places.count);
	assert_true(found >= COUNT - COUNT / 10);
	assert_true(places.set_count * PLACES_IN_SET <= 4 * COUNT);
	places_fini(&places);
}

static void
it_holds_no_more_than_its_limit(void **state)
{
	struct places places = {0};

	(void)state;
	for (uint64_t i = 1; i <= 2 * LIMIT_PLACES; i++)
		places_learn(&places, i, i);
	assert_int_equal(places.set_count * PLACES_IN_SET, LIMIT_PLACES);
	assert_int_equal(places.count, LIMIT_PLACES);
	assert_int_equal(places_find(&places, 1), 0);
	assert_int_equal(places_find(&places, 2 * LIMIT_PLACES), 2 * LIMIT_PLACES);
	places_fini(&places);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_learned_is_found),
	    cmocka_unit_test(the_newest_lesson_counts),
	    cmocka_unit_test(the_least_recently_used_of_a_set_goes),
	    cmocka_unit_test(it_grows_with_what_it_holds),
	    cmocka_unit_test(it_holds_no_more_than_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
