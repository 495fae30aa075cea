/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/tally.h"

/* The nodes as a store would keep them. */
struct nodes {
	struct smap by_key;
	struct tally waiting;
};

static slice
key_of(const uint64_t key[3])
{
	return slice_of((const char *)key, 3 * sizeof(*key));
}

static size_t
flush(struct nodes *nodes)
{
	const struct tally_change *change;
	size_t count = 0;

	for (size_t at = 0; (change = tally_next(&nodes->waiting, &at)) != NULL; count++) {
		struct tally_change *node = smap_get(&nodes->by_key, key_of(change->key));

		if (node == NULL) {
			node = mem_zalloc(sizeof(*node));
			memcpy(node->key, change->key, sizeof(node->key));
			smap_put(&nodes->by_key, key_of(node->key), node);
		}
		for (int mark = 0; mark < TALLY_MARKS; mark++) {
			node->by[mark] += change->by[mark];
			assert_true(node->by[mark] >= 0);
		}
	}
	tally_clear(&nodes->waiting);
	return count;
}

static uint64_t
count_from(const struct nodes *nodes, uint64_t cid, enum tally_mark which, uint64_t seq)
{
	uint64_t sum = 0, first, last;

	for (unsigned level = 0; level < TALLY_LEVELS; level++) {
		const struct tally_change *node;

		tally_range(seq, level, &first, &last);
		for (size_t at = 0; (node = smap_next(&nodes->by_key, &at)) != NULL;)
			if (node->key[0] == cid && node->key[1] == level && node->key[2] >= first &&
			    node->key[2] <= last)
				sum += (uint64_t)node->by[which];
	}
	return sum;
}

static void
nodes_fini(struct nodes *nodes)
{
	struct tally_change *node;

	for (size_t at = 0; (node = smap_next(&nodes->by_key, &at)) != NULL;)
		mem_free(node);
	smap_fini(&nodes->by_key);
	tally_clear(&nodes->waiting);
}

enum { MEMBERS = 60, GROUPS = 2 };

static uint64_t
naive(uint64_t marks[MEMBERS][TALLY_MARKS], enum tally_mark which, uint64_t seq)
{
	uint64_t count = 0;

	for (int i = 0; i < MEMBERS; i++)
		count += marks[i][which] != TALLY_OUT && marks[i][which] >= seq;
	return count;
}

/* A mark somewhere: mostly small, sometimes where several levels part. */
static uint64_t
some_seq(void)
{
	static const unsigned widths[] = {3, 7, 13, 19, 25, 31, 40};

	return (uint64_t)random() % ((uint64_t)1 << widths[(size_t)random() % LEN(widths)]);
}

static void
it_counts_as_one_by_one(void **state)
{
	static uint64_t marks[GROUPS][MEMBERS][TALLY_MARKS];
	struct nodes nodes = {0};

	(void)state;
	srandom(7);
	memset(marks, 0xff, sizeof(marks));
	for (int turn = 0; turn < 3000; turn++) {
		uint64_t cid = (uint64_t)random() % GROUPS, seq = some_seq();
		enum tally_mark which = random() % 2 == 0 ? TALLY_READ : TALLY_DELIVERED;
		uint64_t *mark = &marks[cid][random() % MEMBERS][which];
		uint64_t to = random() % 10 == 0 ? TALLY_OUT : some_seq();

		tally_move(&nodes.waiting, cid, which, *mark, to);
		*mark = to;
		if (random() % 8 != 0)
			continue;
		(void)flush(&nodes);
		assert_true(count_from(&nodes, cid, which, seq) == naive(marks[cid], which, seq));
		assert_true(count_from(&nodes, cid, which, 0) == naive(marks[cid], which, 0));
	}
	nodes_fini(&nodes);
}

static void
a_step_changes_few_nodes(void **state)
{
	struct nodes nodes = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		tally_move(&nodes.waiting, 1, TALLY_READ, TALLY_OUT, 4000);
	assert_int_equal(flush(&nodes), TALLY_LEVELS);
	/* A thousand members read the next message: the tree is touched where the two part. */
	for (int i = 0; i < 1000; i++)
		tally_move(&nodes.waiting, 1, TALLY_READ, 4000, 4001);
	assert_int_equal(flush(&nodes), 2);
	for (int i = 0; i < 1000; i++)
		tally_move(&nodes.waiting, 1, TALLY_READ, 4001, 4100);
	assert_int_equal(flush(&nodes), 6); /* another 64² */
	assert_true(count_from(&nodes, 1, TALLY_READ, 4100) == 1000);
	assert_true(count_from(&nodes, 1, TALLY_READ, 4101) == 0);
	tally_move(&nodes.waiting, 1, TALLY_READ, 4100, 4100);
	assert_int_equal(flush(&nodes), 0);
	nodes_fini(&nodes);
}

static void
a_count_sums_few_nodes(void **state)
{
	uint64_t first, last;

	(void)state;
	for (unsigned level = 0; level + 1 < TALLY_LEVELS; level++)
		for (uint64_t seq = 0; seq < 5000; seq++) {
			tally_range(seq, level, &first, &last);
			assert_true(first > last || last - first < 64);
		}
	tally_range(0, TALLY_LEVELS - 1, &first, &last);
	assert_true(first == 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_counts_as_one_by_one),
	    cmocka_unit_test(a_step_changes_few_nodes),
	    cmocka_unit_test(a_count_sums_few_nodes),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
