/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct item {
	int number;
	struct list link;
};

static void
order(void **state)
{
	struct item items[4] = {{0, {NULL, NULL}}};
	struct list head, *at;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
	for (int i = 0; i < 4; i++) {
		items[i].number = i;
		assert_false(list_linked(&items[i].link));
		list_push_back(&head, &items[i].link);
		assert_true(list_linked(&items[i].link));
	}
	for (int i = 0; i < 4; i++) {
		at = list_pop(&head);
		assert_int_equal(container_of(at, struct item, link)->number, i);
		assert_false(list_linked(at));
	}
	assert_true(list_empty(&head));
}

static void
removing(void **state)
{
	struct item items[3] = {{0, {NULL, NULL}}};
	struct list head;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_push_back(&head, &items[i].link);
	list_remove(&items[1].link);
	assert_false(list_linked(&items[1].link));
	list_remove(&items[1].link);
	assert_ptr_equal(head.next, &items[0].link);
	assert_ptr_equal(head.prev, &items[2].link);
	assert_ptr_equal(items[0].link.next, &items[2].link);
	assert_ptr_equal(items[2].link.prev, &items[0].link);
	list_push_back(&head, &items[1].link);
	assert_ptr_equal(head.prev, &items[1].link);
	list_remove(&items[0].link);
	list_remove(&items[2].link);
	list_remove(&items[1].link);
	assert_true(list_empty(&head));
	assert_ptr_equal(head.prev, &head);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order),
	    cmocka_unit_test(removing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
