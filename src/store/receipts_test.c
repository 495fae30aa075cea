/* SPDX-License-Identifier: MIT */
/* Receipts: what every store must do; the memory store counts one by one, SQLite by its tally. */
#include <stdlib.h>

#include "store/schema.h"
#include "store/test_world.h"

static void
change_group(struct world *w, uint64_t user, const char *name, uint64_t cid, enum group_change what)
{
	struct op *op = op_create(OP_GROUP);

	op->user = user;
	op->in.target.cid = cid;
	op->in.group.what = what;
	op->in.group.from = slice_str(name);
	op->in.group.groups_max = op->in.group.members_max = op->in.group.conversations_max = 1000;
	op->in.group.set.open = op->in.group.set.admins_post = op->in.group.set.admins_invite = -1;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

static uint64_t
create_group(struct world *w, uint64_t owner, const char *name)
{
	struct op *op = op_create(OP_GROUP);
	uint64_t cid;

	op->user = owner;
	op->in.group.what = GROUP_CREATE;
	op->in.group.from = slice_str(name);
	op->in.group.set = (struct group_settings){.title = S("g"), .open = 1};
	op->in.group.groups_max = op->in.group.members_max = op->in.group.conversations_max = 1000;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	cid = op->in.target.cid;
	op_destroy(&op);
	return cid;
}

static void
mark(struct world *w, uint64_t user, uint64_t cid, uint64_t read, uint64_t delivered)
{
	struct op *op = op_create(OP_MARK);

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	op->mark.delivered = delivered;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

static struct op *
receipts(
    struct world *w, uint64_t user, uint64_t cid, uint64_t seq, uint32_t limit, const char *after)
{
	struct op *op = op_create(OP_RECEIPTS);

	op->user = user;
	op->in.target.cid = cid;
	op->in.receipts.seq = seq;
	op->in.receipts.page.limit = limit;
	op->in.receipts.page.after = slice_str(after);
	world_write(w, op);
	return op;
}

static void
check_counts(struct world *w, uint64_t user, uint64_t cid, uint64_t seq, uint64_t read,
    uint64_t delivered, uint64_t members)
{
	struct op *op = receipts(w, user, cid, seq, 10, NULL);
	const struct op_receipts *of = &op->in.receipts;

	assert_int_equal(op->fault.err, ERR_OK);
	if (of->read != read || of->delivered != delivered || of->members != members)
		fail_msg("%d read, %d delivered of %d", (int)of->read, (int)of->delivered,
		    (int)of->members);
	op_destroy(&op);
}

static enum err
refusal(struct world *w, uint64_t user, uint64_t cid, uint64_t seq)
{
	struct op *op = receipts(w, user, cid, seq, 10, NULL);
	enum err err = op->fault.err;

	op_destroy(&op);
	return err;
}

static void
of_two_the_other_counts(struct world *w)
{
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	uint64_t cid =
	    world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c"}).cid;
	struct op *op;

	(void)world_send(w, &(struct letter){.from = bob, .to = cid});
	check_counts(w, ann, cid, 1, 0, 0, 1);
	mark(w, bob, cid, 0, 2);
	mark(w, bob, cid, 1, 0);
	check_counts(w, ann, cid, 1, 1, 1, 1);
	check_counts(w, bob, cid, 1, 1, 1, 1);
	check_counts(w, ann, cid, 2, 0, 0, 1); /* ann's marks */
	op = receipts(w, ann, cid, 1, 10, NULL);
	assert_true(op->in.receipts.page.count == 1 && !op->in.receipts.page.more);
	assert_true(slice_eq(op->in.receipts.page.items[0].name, S("bob")));
	assert_true(op->in.receipts.page.items[0].read == 1 &&
		    op->in.receipts.page.items[0].delivered == 2);
	op_destroy(&op);
	op = receipts(w, ann, cid, 1, 10, "bob");
	assert_true(op->in.receipts.page.count == 0);
	op_destroy(&op);
	assert_int_equal(refusal(w, eve, cid, 1), ERR_NOT_FOUND);
	assert_int_equal(refusal(w, ann, cid, 3), ERR_NOT_FOUND);
	assert_int_equal(refusal(w, ann, cid, 0), ERR_NOT_FOUND);
	assert_int_equal(refusal(w, ann, cid + 7, 1), ERR_NOT_FOUND);
}

static void
who_left_neither_asks_nor_counts(struct world *w)
{
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	uint64_t cid = create_group(w, ann, "ann");

	change_group(w, bob, "bob", cid, GROUP_JOIN); /* 2 */
	change_group(w, eve, "eve", cid, GROUP_JOIN); /* 3 */
	(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	mark(w, bob, cid, 4, 0);
	mark(w, eve, cid, 0, 4);
	check_counts(w, ann, cid, 4, 1, 2, 2);
	check_counts(w, bob, cid, 3, 1, 1, 2);                    /* eve's own entry */
	assert_int_equal(refusal(w, eve, cid, 2), ERR_NOT_FOUND); /* before her time */
	change_group(w, bob, "bob", cid, GROUP_LEAVE);            /* 5 */
	check_counts(w, ann, cid, 4, 0, 1, 1);
	assert_int_equal(refusal(w, bob, cid, 4), ERR_NOT_MEMBER);
	change_group(w, bob, "bob", cid, GROUP_JOIN); /* 6 */
	check_counts(w, ann, cid, 4, 1, 2, 2);
	check_counts(w, ann, cid, 6, 0, 0, 2); /* bob's entry: of ann and eve */
	change_group(w, ann, "ann", cid, GROUP_DISMISS);
	assert_int_equal(refusal(w, ann, cid, 4), ERR_NOT_MEMBER);
}

/* --- The same in both --- */

enum { PEOPLE = 12, TURNS = 600 };

static void
check_same(
    struct world *a, struct world *b, uint64_t user, uint64_t cid_a, uint64_t cid_b, uint64_t seq)
{
	uint32_t limit = 1 + (uint32_t)random() % (PEOPLE + 1);
	const char *after = random() % 2 == 0 ? NULL : "u05";
	struct op *x = receipts(a, user, cid_a, seq, limit, after);
	struct op *y = receipts(b, user, cid_b, seq, limit, after);
	const struct op_receipts *p = &x->in.receipts, *q = &y->in.receipts;

	assert_int_equal(x->fault.err, y->fault.err);
	assert_true(p->read == q->read && p->delivered == q->delivered && p->members == q->members);
	assert_true(p->page.count == q->page.count && p->page.more == q->page.more);
	for (size_t i = 0; i < p->page.count; i++) {
		assert_true(slice_eq(p->page.items[i].name, q->page.items[i].name));
		assert_true(p->page.items[i].read == q->page.items[i].read);
		assert_true(p->page.items[i].delivered == q->page.items[i].delivered);
	}
	op_destroy(&x);
	op_destroy(&y);
}

static void
a_tally_counts_as_one_by_one(void **state)
{
	struct world worlds[2];
	uint64_t users[PEOPLE], cids[2] = {0}, head = 1;
	bool in[PEOPLE] = {true};
	char names[PEOPLE][8];

	(void)state;
	srandom(5);
	world_init(&worlds[0], WORLD_MEMORY);
	world_init(&worlds[1], WORLD_SQLITE);
	for (int i = 0; i < PEOPLE; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u%02d", i);
		for (int w = 0; w < 2; w++)
			users[i] = world_user(&worlds[w], names[i]);
	}
	for (int w = 0; w < 2; w++)
		cids[w] = create_group(&worlds[w], users[0], "u00");
	for (int turn = 0; turn < TURNS; turn++) {
		int who = (int)(random() % PEOPLE), what = (int)(random() % 6);
		uint64_t seq = 1 + (uint64_t)random() % head,
			 other = (uint64_t)random() % (head + 1);

		for (int w = 0; w < 2; w++) {
			if (who != 0 && (!in[who] || what == 0))
				change_group(&worlds[w], users[who], names[who], cids[w],
				    in[who] ? GROUP_LEAVE : GROUP_JOIN);
			else if (what < 3)
				(void)world_send(&worlds[w],
				    &(struct letter){.from = users[who], .to = cids[w]});
			else
				mark(&worlds[w], users[who], cids[w], seq, other);
		}
		if (who != 0 && (!in[who] || what == 0)) {
			in[who] = !in[who];
			head++;
		} else if (what < 3) {
			head++;
		}
		if (turn % 100 == 99)
			world_reopen(&worlds[1]);
		check_same(&worlds[0], &worlds[1], users[random() % 3 == 0 ? who : 0], cids[0],
		    cids[1], seq);
	}
	assert_true(head > 130); /* two levels of the tree */
	assert_true(
	    world_ask(&worlds[1], "SELECT count(*) FROM tally "
				  "WHERE read < 0 OR delivered < 0 OR read + delivered = 0") == 0);
	world_fini(&worlds[0]);
	world_fini(&worlds[1]);
}

/* --- An older schema --- */

static void
make_version_1(const char *path)
{
	struct sql_conn conn = {0};
	char why[256];

	assert_int_equal(sql_open(&conn, path, SQL_CREATE, why, sizeof(why)), SQLITE_OK);
	assert_int_equal(schema_steps(&conn, 0, 1), SQLITE_OK);
	assert_int_equal(
	    sql_exec(&conn,
		"INSERT INTO user (name, display, folded, password_hash, created, seen) VALUES "
		"('ann', 'A', 'a', 'hash', 1, 1), ('bob', 'B', 'b', 'hash', 1, 1), "
		"('cat', 'C', 'c', 'hash', 1, 1);"
		"INSERT INTO conv (cid, kind, title, created) VALUES (7, 2, 'Tea', 5);"
		"INSERT INTO member (user, cid, role, leave_seq, read_seq, delivered_seq) VALUES "
		"(1, 7, 3, NULL, 1, 70), (2, 7, 1, NULL, 65, 66), (3, 7, 1, 2, 1, 1);"
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70) "
		"INSERT INTO msg (cid, seq, sender, ts, kind, body) "
		"SELECT 7, i, 3, 5, 'text', 'words' FROM n;"),
	    SQLITE_OK);
	sql_close(&conn);
}

static void
groups_of_version_1_are_counted(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, WORLD_SQLITE);
	w.driver->type->close(&w.driver);
	world_remove(&w);
	make_version_1(w.path);
	world_reopen(&w);
	check_counts(&w, 1, 7, 1, 2, 2, 2);
	check_counts(&w, 1, 7, 65, 1, 2, 2);
	check_counts(&w, 1, 7, 66, 0, 2, 2);
	check_counts(&w, 1, 7, 67, 0, 1, 2);
	mark(&w, 1, 7, 68, 0);
	check_counts(&w, 2, 7, 66, 1, 2, 2);
	world_fini(&w);
}

static void
run_in(enum world_kind kind, void (*test)(struct world *w))
{
	struct world w;

	world_init(&w, kind);
	test(&w);
	world_fini(&w);
}

static void
direct(void **state)
{
	(void)state;
	for (int kind = WORLD_MEMORY; kind <= WORLD_MYSQL; kind++)
		run_in((enum world_kind)kind, of_two_the_other_counts);
}

static void
group(void **state)
{
	(void)state;
	for (int kind = WORLD_MEMORY; kind <= WORLD_MYSQL; kind++)
		run_in((enum world_kind)kind, who_left_neither_asks_nor_counts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(direct),
	    cmocka_unit_test(group),
	    cmocka_unit_test(a_tally_counts_as_one_by_one),
	    cmocka_unit_test(groups_of_version_1_are_counted),
	};

	return cmocka_run_group_tests_name("receipts", tests, NULL, NULL);
}
