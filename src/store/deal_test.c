/* SPDX-License-Identifier: MIT */
#include "store/deal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t
key_of_append(uint64_t user, struct op_target target)
{
	struct op *op = op_create(OP_APPEND);
	uint64_t key;

	op->user = user;
	op->append.target = target;
	key = deal_key(op);
	op_destroy(&op);
	return key;
}

static void
a_conversation_has_one_key(void **state)
{
	struct op *mark = op_create(OP_MARK), *group = op_create(OP_GROUP);
	uint64_t key = key_of_append(1, (struct op_target){.cid = 7});

	(void)state;
	mark->user = 3;
	mark->mark.target.cid = 7;
	group->user = 4;
	group->in.target = (struct op_target){.cid = 7, .handle = S("ops")};
	assert_int_equal(key, key_of_append(2, (struct op_target){.cid = 7, .user = S("bob")}));
	assert_int_equal(key, deal_key(mark));
	assert_int_equal(key, deal_key(group));
	assert_int_not_equal(key, key_of_append(1, (struct op_target){.cid = 8}));
	op_destroy(&mark);
	op_destroy(&group);
}

static void
a_name_has_one_key_for_who_says_it(void **state)
{
	struct op_target bob = {.user = S("bob")}, ops = {.handle = S("ops")};

	(void)state;
	assert_int_equal(key_of_append(1, bob), key_of_append(1, bob));
	assert_int_not_equal(key_of_append(1, bob), key_of_append(2, bob));
	assert_int_equal(key_of_append(1, ops), key_of_append(2, ops));
}

static void
an_account_has_one_key(void **state)
{
	struct op *login = op_create(OP_LOGIN), *touch = op_create(OP_TOUCH);
	struct op *close = op_create(OP_CLOSE), *password = op_create(OP_PASSWORD);

	(void)state;
	login->session.uid = touch->touch.user = close->user = password->user = 5;
	assert_int_equal(deal_key(login), deal_key(touch));
	assert_int_equal(deal_key(login), deal_key(close));
	assert_int_equal(deal_key(login), deal_key(password));
	op_destroy(&login);
	op_destroy(&touch);
	op_destroy(&close);
	op_destroy(&password);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_conversation_has_one_key),
	    cmocka_unit_test(a_name_has_one_key_for_who_says_it),
	    cmocka_unit_test(an_account_has_one_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
