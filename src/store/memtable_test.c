/* SPDX-License-Identifier: MIT */
#include "store/memtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CID = 7, OTHER = 3, LENGTH = 20 };

static int
set_up(void **state)
{
	static struct memtable m;

	memtable_init(&m);
	*state = &m;
	return 0;
}

static int
tear_down(void **state)
{
	memtable_fini(*state);
	return 0;
}

/* Entry seq of CID has id 2 * seq - 1, that of OTHER 2 * seq. */
static void
add_pairs(struct memtable *m, uint64_t first, uint64_t last)
{
	for (uint64_t seq = first; seq <= last; seq++) {
		assert_true(memtable_add(m, CID, seq, 2 * seq - 1));
		assert_true(memtable_add(m, OTHER, seq, 2 * seq));
	}
}

static void
check_range(
    struct memtable *m, struct memtable_query query, size_t most, uint64_t first, uint64_t last)
{
	struct memtable_entry found[LENGTH];
	size_t count = memtable_find(m, &query, found, most);

	assert_true(count == (first > last ? first - last : last - first) + 1);
	for (size_t i = 0; i < count; i++) {
		assert_true(found[i].cid == CID);
		assert_true(found[i].seq == (first > last ? first - i : first + i));
		assert_true(found[i].id == 2 * found[i].seq - 1);
	}
}

/* All that can be asked of CID, which has the entries first to last. */
static void
check_all(struct memtable *m, uint64_t first, uint64_t last)
{
	struct memtable_query all = {.cid = CID, .to = 1000, .visible_id = 1000}, q;

	check_range(m, all, LENGTH, first, last);
	check_range(m, all, 2, first, first + 1);
	q = all;
	q.newest_first = true;
	check_range(m, q, LENGTH, last, first);
	check_range(m, q, 1, last, last);
	q.to = last - 1;
	check_range(m, q, 1, last - 1, last - 1);
	q.visible_id = 2 * (last - 2) - 1;
	check_range(m, q, 1, last - 2, last - 2);
	q = all;
	q.from = first + 1;
	q.to = last - 1;
	check_range(m, q, LENGTH, first + 1, last - 1);
	q = all;
	q.visible_id = 2 * last - 2;
	check_range(m, q, LENGTH, first, last - 1);
	q.visible_id = 2 * first - 2;
	assert_int_equal(memtable_find(m, &q, &(struct memtable_entry){0}, 1), 0);
	q = (struct memtable_query){.cid = 99, .to = 1000, .visible_id = 1000};
	assert_int_equal(memtable_find(m, &q, &(struct memtable_entry){0}, 1), 0);
	q = (struct memtable_query){.cid = CID, .from = 5, .to = 4, .visible_id = 1000};
	assert_int_equal(memtable_find(m, &q, &(struct memtable_entry){0}, 1), 0);
}

/* What is being merged and what came after it are found as one. */
static void
entries_are_found_wherever_they_are(void **state)
{
	struct memtable *m = *state;

	add_pairs(m, 3, 12);
	check_all(m, 3, 12);
	memtable_committed(m);
	memtable_freeze(m, 1);
	check_all(m, 3, 12);
	add_pairs(m, 13, 15);
	check_all(m, 3, 15);
}

static void
they_are_merged_in_order(void **state)
{
	struct memtable *m = *state;
	const struct memtable_entry *next;
	size_t count;
	uint64_t id;

	add_pairs(m, 1, 4);
	assert_int_equal(memtable_added(m), 8);
	memtable_committed(m);
	assert_int_equal(memtable_added(m), 0);
	memtable_freeze(m, 9);
	(void)memtable_next(m, 5, &count);
	assert_int_equal(count, 0); /* too few to begin with */
	memtable_freeze(m, 8);
	next = memtable_next(m, 5, &count);
	assert_int_equal(count, 5);
	for (size_t i = 0; i < count; i++)
		assert_true(next[i].cid == (i < 4 ? OTHER : CID) && next[i].seq == i % 4 + 1);
	assert_false(memtable_merged(m, 5, &id));
	memtable_rolled_back(m);
	(void)memtable_next(m, 5, &count);
	assert_int_equal(count, 5); /* the same ones once more */
	assert_false(memtable_merged(m, 5, &id));
	memtable_committed(m);
	assert_int_equal(memtable_count(m), 8); /* not to the end yet */
	next = memtable_next(m, 5, &count);
	assert_true(count == 3 && next->cid == CID && next->seq == 2);
	assert_true(memtable_merged(m, 3, &id) && id == 8);
	memtable_committed(m);
	assert_int_equal(memtable_count(m), 0);
	assert_true(m->first_id == 9);
}

static void
what_is_rolled_back_was_never_there(void **state)
{
	struct memtable *m = *state;

	add_pairs(m, 1, 6);
	memtable_committed(m);
	add_pairs(m, 7, 9);
	assert_true(memtable_add(m, 50, 1, 19));
	memtable_rolled_back(m);
	assert_int_equal(memtable_count(m), 12);
	check_all(m, 1, 6);
	add_pairs(m, 7, 9); /* ids are given anew */
	check_all(m, 1, 9);
	memtable_committed(m);
	memtable_freeze(m, 1);
	assert_int_equal(memtable_count(m), 18);
	add_pairs(m, 10, 11);
	memtable_rolled_back(m);
	check_all(m, 1, 9);
}

static void
numbers_only_rise(void **state)
{
	struct memtable *m = *state;

	add_pairs(m, 4, 6);
	assert_false(memtable_add(m, CID, 6, 100));
	assert_false(memtable_add(m, CID, 2, 100));
	memtable_committed(m);
	memtable_freeze(m, 1);
	assert_false(memtable_add(m, CID, 6, 100));
	assert_true(memtable_add(m, CID, 7, 100));
	assert_true(memtable_add(m, CID, 9, 101)); /* a gap is not its business */
}

static void
merge_to_the_end(struct memtable *m)
{
	size_t count;
	uint64_t id;

	memtable_committed(m);
	memtable_freeze(m, 1);
	(void)memtable_next(m, 1000, &count);
	assert_true(memtable_merged(m, count, &id));
}

/* He may read a snapshot in which the index does not have them. */
static void
a_reader_keeps_what_was_merged(void **state)
{
	struct memtable *m = *state;

	add_pairs(m, 1, 5);
	memtable_enter(m, 1);
	merge_to_the_end(m);
	memtable_enter(m, 2); /* the commit may have been after his beginning */
	memtable_committed(m);
	check_all(m, 1, 5);
	memtable_leave(m, 1);
	memtable_committed(m);
	check_all(m, 1, 5);
	memtable_enter(m, 3); /* sees the index as it is now */
	memtable_leave(m, 2);
	memtable_committed(m);
	assert_int_equal(memtable_count(m), 0);
	memtable_leave(m, 3);
}

static void
all_is_replaced(void **state)
{
	struct memtable *m = *state;
	struct memtable_filling filling = {.last_id = 4};

	add_pairs(m, 1, 4);
	memtable_committed(m);
	memtable_freeze(m, 1);
	add_pairs(m, 5, 6);
	for (uint64_t seq = 3; seq <= 9; seq++)
		assert_true(
		    memtable_fill(&filling, &(struct memtable_entry){CID, seq, 2 * seq - 1}));
	assert_false(memtable_fill(&filling, &(struct memtable_entry){CID, 9, 100}));
	memtable_replace(m, &filling, 5);
	check_all(m, 3, 9);
	assert_true(memtable_count(m) == 7 && memtable_added(m) == 0 && m->first_id == 5);
	add_pairs(m, 10, 12);
	check_all(m, 3, 12);
	memtable_rolled_back(m);
	check_all(m, 3, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(entries_are_found_wherever_they_are, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(they_are_merged_in_order, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_rolled_back_was_never_there, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(numbers_only_rise, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_reader_keeps_what_was_merged, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(all_is_replaced, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("memtable", tests, NULL, NULL);
}
