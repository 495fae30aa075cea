/* SPDX-License-Identifier: MIT */
#include "chat/op.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct entry *
entry_of(slice body, slice data)
{
	return entry_create(&(struct entry_parts){
	    .sender = 7, .kind = S("text"), .from = S("ann"), .body = body, .data = data});
}

static void
an_entry_copies_its_parts(void **state)
{
	char body[] = "hello";
	struct entry *e = entry_create(&(struct entry_parts){.sender = 7,
	    .re = 3,
	    .kind = S("text"),
	    .from = S("ann"),
	    .cmid = S("c1"),
	    .body = slice_str(body)});

	(void)state;
	body[0] = 'x';
	assert_true(slice_eq(e->body, S("hello")));
	assert_true(slice_eq(e->kind, S("text")) && slice_eq(e->from, S("ann")));
	assert_true(slice_eq(e->cmid, S("c1")) && !slice_given(e->data));
	assert_true(e->sender == 7 && e->re == 3 && e->seq == 0);
	assert_ptr_equal(entry_ref(e), e);
	entry_unref(e);
	entry_unref(e);
}

static void
absent_is_not_empty(void **state)
{
	struct entry *absent = entry_of(SLICE_NONE, S("{}"));
	struct entry *empty = entry_of(S(""), S("{}"));

	(void)state;
	assert_true(slice_given(empty->body) && empty->body.len == 0);
	assert_false(entry_same_content(absent, empty));
	assert_true(entry_same_content(empty, empty));
	entry_unref(absent);
	entry_unref(empty);
}

static void
content_is_kind_body_data_and_re(void **state)
{
	struct entry *a = entry_of(S("hi"), S("{}"));
	struct entry *b = entry_create(&(struct entry_parts){
	    .sender = 8, .kind = S("text"), .cmid = S("other"), .body = S("hi"), .data = S("{}")});

	(void)state;
	assert_true(entry_same_content(a, b));
	b->re = 1;
	assert_false(entry_same_content(a, b));
	b->re = 0;
	b->kind = S("x-a");
	assert_false(entry_same_content(a, b));
	b->kind = a->kind;
	b->body = S("ho");
	assert_false(entry_same_content(a, b));
	entry_unref(a);
	entry_unref(b);
}

static void
an_operation_owns_what_it_points_to(void **state)
{
	struct op *op = op_create(OP_PAGE);
	char text[] = "ann";
	slice copy = op_copy(op, slice_str(text));

	(void)state;
	text[0] = 'x';
	assert_true(slice_eq(copy, S("ann")));
	assert_false(slice_given(op_copy(op, SLICE_NONE)));
	assert_true(slice_given(op_copy(op, S(""))));
	op->page.items = op_alloc(op, 2 * sizeof(*op->page.items));
	assert_null(op->page.items[1]);
	op->page.items[0] = entry_of(S("a"), SLICE_NONE);
	op->page.count = 2; /* the second was taken away by the receiver */
	op_destroy(&op);
	assert_null(op);
	op_destroy(&op);
}

static void
the_table_says_who_writes(void **state)
{
	(void)state;
	assert_true(op_writes(OP_APPEND) && op_writes(OP_TOUCH) && op_writes(OP_REGISTER));
	assert_false(op_writes(OP_SYNC) || op_writes(OP_LIVE) || op_writes(OP_AUTH));
	assert_string_equal(op_name(OP_PROFILE_SET), "profile_set");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_entry_copies_its_parts),
	    cmocka_unit_test(absent_is_not_empty),
	    cmocka_unit_test(content_is_kind_body_data_and_re),
	    cmocka_unit_test(an_operation_owns_what_it_points_to),
	    cmocka_unit_test(the_table_says_who_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
