/* SPDX-License-Identifier: MIT */
/* Messages that one statement inserts: what is there already, wherever in the batch it stands. */
#include "base/stat.h"
#include "store/sqlite_db.h"
#include "store/test_world.h"

enum { BATCH = 12 };

struct people {
	uint64_t ann, bob, eve, with_bob, with_eve;
};

static int
set_up(void **state)
{
	static struct world world;

	world_init(&world, WORLD_SQLITE);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

static struct people
meet(struct world *w)
{
	struct people p = {.ann = world_user(w, "ann"), .bob = world_user(w, "bob")};

	p.eve = world_user(w, "eve");
	p.with_bob =
	    world_send(w, &(struct letter){.from = p.ann, .to_user = "bob", .cmid = "b1"}).cid;
	p.with_eve =
	    world_send(w, &(struct letter){.from = p.ann, .to_user = "eve", .cmid = "e1"}).cid;
	return p;
}

static struct sqlite *
inside(struct world *w)
{
	return container_of(w->driver, struct sqlite, base);
}

static uint64_t
statements(void)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.counters[STAT_STORE_STATEMENTS];
}

static void
destroy_all(struct op **ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		op_destroy(&ops[i]);
}

static void
check_dense(struct world *w, uint64_t cid, uint64_t head)
{
	assert_true(world_ask(w, "SELECT count(*) FROM msg WHERE cid = %llu",
			(unsigned long long)cid) == head);
	assert_true(world_ask(w, "SELECT max(seq) FROM msg WHERE cid = %llu",
			(unsigned long long)cid) == head);
}

/* To bob and eve in turns; at one place of it, what bob has already. */
static void
check_repeated(struct world *w, size_t place)
{
	struct people p = meet(w);
	struct op *ops[BATCH];
	uint64_t heads[2] = {1, 1};

	for (size_t i = 0; i < LEN(ops); i++) {
		char cmid[20];

		(void)snprintf(cmid, sizeof(cmid), "c%zu", i);
		ops[i] = letter_op(&(struct letter){.from = p.ann,
		    .to = i == place || i % 2 == 0 ? p.with_bob : p.with_eve,
		    .cmid = i == place ? "b1" : cmid});
	}
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		struct sent sent = letter_result(ops[i]);

		assert_int_equal(sent.fault.err, ERR_OK);
		assert_true(sent.dup == (i == place));
		assert_true(sent.seq == (i == place ? 1 : ++heads[i % 2]));
		assert_true(ops[i]->append.entry->seq == sent.seq);
	}
	destroy_all(ops, LEN(ops));
	check_dense(w, p.with_bob, heads[0]);
	check_dense(w, p.with_eve, heads[1]);
}

static void
the_first_is_there_already(void **state)
{
	check_repeated(*state, 0);
}

static void
one_between_is_there_already(void **state)
{
	check_repeated(*state, 5);
}

static void
the_last_is_there_already(void **state)
{
	check_repeated(*state, BATCH - 1);
}

static void
all_are_the_same(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *ops[BATCH];

	for (size_t i = 0; i < LEN(ops); i++)
		ops[i] =
		    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "again"});
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		struct sent sent = letter_result(ops[i]);

		assert_true(sent.fault.err == ERR_OK && sent.seq == 2 && sent.dup == (i > 0));
	}
	destroy_all(ops, LEN(ops));
	check_dense(w, p.with_bob, 2);
	assert_true(world_send(w, &(struct letter){.from = p.ann, .to = p.with_bob}).seq == 3);
}

/* Its number was that of the repeated one, for a while. */
static void
no_reply_is_to_what_was_not_stored(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b1"}),
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .re = 2}),
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .re = 1}),
	};

	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(letter_result(ops[0]).dup && letter_result(ops[0]).seq == 1);
	assert_int_equal(letter_result(ops[1]).fault.err, ERR_NOT_FOUND);
	assert_int_equal(letter_result(ops[2]).fault.err, ERR_OK);
	assert_true(letter_result(ops[2]).seq == 2);
	destroy_all(ops, LEN(ops));
	check_dense(w, p.with_bob, 2);
}

static void
who_blocks_after_sending_has_sent(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *block = op_create(OP_CONTACT);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b1"}),
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b2"}), block,
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b3"})};

	block->user = p.ann;
	block->contact.what = CONTACT_BLOCK;
	block->contact.name = S("bob");
	block->contact.contacts_max = 10;
	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(letter_result(ops[0]).dup);
	assert_true(letter_result(ops[1]).fault.err == ERR_OK && letter_result(ops[1]).seq == 2);
	assert_int_equal(block->fault.err, ERR_OK);
	assert_int_not_equal(letter_result(ops[3]).fault.err, ERR_OK);
	destroy_all(ops, LEN(ops));
	check_dense(w, p.with_bob, 2);
}

/* The first of two may wait still when the second is refused. */
static void
what_waits_is_found_before_a_refusal(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b1"}),
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b2"}),
	    letter_op(&(struct letter){
		.from = p.ann, .to = p.with_bob, .cmid = "b2", .refused = ERR_RATE_LIMITED}),
	};

	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(letter_result(ops[0]).dup && !letter_result(ops[1]).dup);
	assert_true(letter_result(ops[2]).fault.err == ERR_OK && letter_result(ops[2]).dup);
	assert_true(letter_result(ops[2]).seq == 2);
	destroy_all(ops, LEN(ops));
	check_dense(w, p.with_bob, 2);
}

static void
a_conversation_begins_within_a_batch(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = p.ann, .to = p.with_bob, .cmid = "b1"}),
	    letter_op(&(struct letter){.from = p.bob, .to_user = "eve", .cmid = "n1"}),
	    letter_op(&(struct letter){.from = p.eve, .to_user = "bob", .cmid = "n2"}),
	    letter_op(&(struct letter){.from = p.bob, .to_user = "eve", .cmid = "n1"}),
	};

	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(letter_result(ops[1]).created && letter_result(ops[1]).seq == 1);
	assert_true(!letter_result(ops[2]).created && letter_result(ops[2]).seq == 2);
	assert_true(letter_result(ops[3]).dup && letter_result(ops[3]).seq == 1);
	check_dense(w, letter_result(ops[1]).cid, 2);
	destroy_all(ops, LEN(ops));
}

/* A head that is forgotten while what moved it waits is read from the log, too early. */
static void
heads_that_fall_out_of_the_cache_are_put_right(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	uint64_t others =
	    world_send(w, &(struct letter){.from = p.bob, .to_user = "eve", .cmid = "o1"}).cid;
	uint64_t cids[] = {p.with_bob, p.with_eve, others};
	struct op *ops[BATCH];

	inside(w)->sql.convs.limit = 2;
	for (size_t i = 0; i < LEN(ops); i++)
		ops[i] = letter_op(&(struct letter){
		    .from = i % 3 == 2 ? p.bob : p.ann, .to = cids[i % LEN(cids)]});
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++)
		assert_true(letter_result(ops[i]).fault.err == ERR_OK &&
			    letter_result(ops[i]).seq == 2 + i / 3);
	destroy_all(ops, LEN(ops));
	for (size_t i = 0; i < LEN(cids); i++)
		check_dense(w, cids[i], 1 + BATCH / 3);
}

static void
a_batch_is_one_statement(void **state)
{
	struct world *w = *state;
	struct people p = meet(w);
	struct op *ops[BATCH];
	uint64_t before;

	for (size_t i = 0; i < LEN(ops); i++)
		ops[i] = letter_op(&(struct letter){.from = p.ann,
		    .to = p.with_bob,
		    .acl_ver = 1,
		    .min_seq = 1,
		    .body = i % 2 == 0 ? "" : "text"});
	before = statements();
	w->driver->type->write(w->driver, ops, LEN(ops));
	/* BEGIN, has another process written, INSERT, COMMIT */
	assert_true(statements() - before == 4);
	for (size_t i = 0; i < LEN(ops); i++)
		assert_true(letter_result(ops[i]).seq == i + 2);
	destroy_all(ops, LEN(ops));
	assert_true(world_ask(w, "SELECT count(*) FROM msg WHERE body = ''") == BATCH / 2);
	assert_true(world_ask(w, "SELECT count(*) FROM msg WHERE cmid IS NULL") == BATCH);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(the_first_is_there_already),
	    T(one_between_is_there_already),
	    T(the_last_is_there_already),
	    T(all_are_the_same),
	    T(no_reply_is_to_what_was_not_stored),
	    T(who_blocks_after_sending_has_sent),
	    T(what_waits_is_found_before_a_refusal),
	    T(a_conversation_begins_within_a_batch),
	    T(heads_that_fall_out_of_the_cache_are_put_right),
	    T(a_batch_is_one_statement),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
