/* SPDX-License-Identifier: MIT */
/*
 * The same random changes, messages and marks on the memory store and on SQLite, which is opened
 * anew now and then: both must say the same at every step.
 */
#include "store/test_group.h"

enum { STEPS = 1500, CONVS = 4 };

struct twins {
	struct world memory, sqlite;
	uint64_t dice, newest; /* newest: the cid of the group that was made last */
};

/* Numerical Recipes' generator: the same walk on every machine. */
static unsigned
roll(struct twins *t, unsigned sides)
{
	t->dice = t->dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(t->dice >> 33) % sides;
}

/* One of those that were made last; 0: there is none yet. */
static uint64_t
some_group(struct twins *t)
{
	uint64_t back = roll(t, CONVS);

	return t->newest > back ? t->newest - back : t->newest;
}

static const char *
one_of(struct twins *t)
{
	static const char *const names[] = {"ann", "bob", "cat", "dan", "eve", "nobody"};

	return names[roll(t, LEN(names))];
}

static struct change
random_change(struct twins *t)
{
	static const char *const handles[] = {NULL, NULL, "one", "two", ""};
	struct change c = {
	    .by = ANN + roll(t, 5),
	    .cid = some_group(t),
	    .what = (enum group_change)roll(t, GROUP_DISMISS + 1),
	    .users = {one_of(t), roll(t, 2) != 0 ? one_of(t) : NULL},
	    .title = roll(t, 2) != 0 ? "Tea" : "Milk",
	    .topic = roll(t, 2) != 0 ? "x" : NULL,
	    .handle = handles[roll(t, LEN(handles))],
	    .open = (int)roll(t, 3) - 1,
	    .post = (int)roll(t, 3) - 1,
	    .invite = (int)roll(t, 3) - 1,
	    .ban = roll(t, 3) == 0,
	    .role = (enum role)(ROLE_MEMBER + roll(t, 3)),
	    .until = roll(t, 2) * (t->memory.now_ms + roll(t, 5000)),
	    .groups_max = 3,
	    .members_max = 4,
	    .conversations_max = 5,
	};

	if (c.what == GROUP_REMOVE || c.what == GROUP_UNBAN || c.what == GROUP_ROLE ||
	    c.what == GROUP_MUTE)
		c.users[1] = NULL;
	if ((c.what == GROUP_DISMISS || c.what == GROUP_LEAVE || c.what == GROUP_CREATE) &&
	    roll(t, c.what == GROUP_DISMISS ? 20 : 4) != 0)
		c.what = GROUP_JOIN;
	if (c.what == GROUP_CREATE && c.handle != NULL && c.handle[0] == '\0')
		c.handle = NULL;
	return c;
}

static void
assert_people(const struct op_person *a, const struct op_person *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_true(
		    a[i].uid == b[i].uid && a[i].err == b[i].err && slice_eq(a[i].name, b[i].name));
}

static void
assert_entries(const struct entry *a, const struct entry *b)
{
	assert_true((a == NULL) == (b == NULL));
	if (a == NULL)
		return;
	assert_true(a->cid == b->cid && a->seq == b->seq && a->ts == b->ts);
	assert_true(a->ends == b->ends && a->sender == b->sender);
	assert_true(slice_eq(a->from, b->from) && entry_same_content(a, b));
}

static void
change_both(struct twins *t)
{
	struct change c = random_change(t);
	struct op *a = change(&t->memory, &c), *b = change(&t->sqlite, &c);

	assert_int_equal(a->fault.err, b->fault.err);
	assert_true(a->fault.max == b->fault.max && a->fault.param == b->fault.param);
	assert_entries(a->in.group.entry, b->in.group.entry);
	assert_true(a->in.group.added_count == b->in.group.added_count);
	assert_true(a->in.group.failed_count == b->in.group.failed_count);
	assert_true(a->in.group.renamed == b->in.group.renamed);
	assert_people(a->in.group.added, b->in.group.added, a->in.group.added_count);
	assert_people(a->in.group.failed, b->in.group.failed, a->in.group.failed_count);
	if (c.what == GROUP_CREATE && a->fault.err == ERR_OK)
		t->newest = a->in.target.cid;
	assert_true(slice_eq(a->in.facts.handle, b->in.facts.handle));
	op_destroy(&a);
	op_destroy(&b);
}

static void
send_both(struct twins *t)
{
	const struct letter letter = {.from = ANN + roll(t, 5), .to = some_group(t)};
	struct sent a = world_send(&t->memory, &letter), b = world_send(&t->sqlite, &letter);

	assert_true(a.fault.err == b.fault.err && a.seq == b.seq && a.acl_ver == b.acl_ver);
	assert_true(a.fault.err != ERR_OK || a.min_seq == b.min_seq);
}

static void
mark_both(struct twins *t)
{
	uint64_t user = ANN + roll(t, 5), cid = some_group(t), read = roll(t, 100);
	struct op *ops[2];

	for (size_t i = 0; i < 2; i++) {
		ops[i] = op_create(OP_MARK);
		ops[i]->user = user;
		ops[i]->mark.target.cid = cid;
		ops[i]->mark.read = read;
		world_write(i == 0 ? &t->memory : &t->sqlite, ops[i]);
	}
	assert_int_equal(ops[0]->fault.err, ops[1]->fault.err);
	assert_true(
	    ops[0]->fault.err != ERR_OK || (ops[0]->mark.read == ops[1]->mark.read &&
					       ops[0]->mark.changed == ops[1]->mark.changed));
	op_destroy(&ops[0]);
	op_destroy(&ops[1]);
}

static struct op *
read_op(enum op_kind kind, uint64_t user, uint64_t cid, const struct op_cursor *cursors)
{
	struct op *op = op_create(kind);

	op->user = user;
	if (kind == OP_SYNC) {
		op->sync.cursors = cursors;
		op->sync.cursor_count = CONVS;
	} else if (kind == OP_GROUPS) {
		op->groups.query = cid % 2 == 0 ? S("t") : SLICE_NONE;
		op->groups.limit = 3;
	} else {
		op->in.target.cid = cid;
	}
	if (kind == OP_MEMBERS) {
		op->in.members.limit = 3;
		op->in.members.banned = user % 2 == 0;
	}
	return op;
}

static void
assert_syncs(const struct op *a, const struct op *b)
{
	assert_true(a->sync.count == b->sync.count);
	for (size_t i = 0; i < a->sync.count; i++) {
		const struct op_conv *x = &a->sync.items[i], *y = &b->sync.items[i];

		assert_true(x->cid == y->cid && x->role == y->role && x->head == y->head);
		assert_true(x->min_seq == y->min_seq && x->ts == y->ts && x->read == y->read);
		assert_true(x->delivered == y->delivered && x->muted_until == y->muted_until);
		assert_true(
		    slice_eq(x->title, y->title) && slice_eq(x->facts.handle, y->facts.handle));
	}
}

static void
assert_members(const struct op_members *a, const struct op_members *b)
{
	assert_true(a->count == b->count && a->more == b->more);
	for (size_t i = 0; i < a->count; i++)
		assert_true(a->items[i].uid == b->items[i].uid &&
			    a->items[i].role == b->items[i].role &&
			    slice_eq(a->items[i].name, b->items[i].name));
}

static void
assert_groups(const struct op_groups *a, const struct op_groups *b)
{
	assert_true(a->count == b->count && a->more == b->more);
	for (size_t i = 0; i < a->count; i++)
		assert_true(a->items[i].cid == b->items[i].cid &&
			    a->items[i].members == b->items[i].members &&
			    slice_eq(a->items[i].handle, b->items[i].handle));
}

static void
assert_infos(const struct op_group_info *a, const struct op_group_info *b)
{
	assert_true(a->members == b->members && a->role == b->role && a->created == b->created);
	assert_true(a->open == b->open && a->admins_post == b->admins_post);
	assert_true(a->admins_invite == b->admins_invite && a->owner_count == b->owner_count);
	assert_true(slice_eq(a->title, b->title) && slice_eq(a->topic, b->topic));
	assert_people(a->owners, b->owners, a->owner_count);
}

static void
read_both(struct twins *t, enum op_kind kind)
{
	uint64_t user = ANN + roll(t, 5), cid = some_group(t);
	const struct op_cursor cursors[CONVS] = {
	    {.cid = cid}, {.cid = cid + 1}, {.cid = cid + 2}, {.cid = cid + 3}};
	struct op *a = read_op(kind, user, cid, cursors), *b = read_op(kind, user, cid, cursors);

	world_read(&t->memory, a);
	world_read(&t->sqlite, b);
	assert_int_equal(a->fault.err, b->fault.err);
	if (a->fault.err == ERR_OK && kind == OP_SYNC)
		assert_syncs(a, b);
	else if (a->fault.err == ERR_OK && kind == OP_MEMBERS)
		assert_members(&a->in.members, &b->in.members);
	else if (a->fault.err == ERR_OK && kind == OP_GROUPS)
		assert_groups(&a->groups, &b->groups);
	else if (a->fault.err == ERR_OK)
		assert_infos(&a->in.info, &b->in.info);
	op_destroy(&a);
	op_destroy(&b);
}

/* What the counts and the marks of the file must say whatever happened. */
static void
assert_consistent(struct world *w)
{
	assert_true(world_ask(w, "SELECT count(*) FROM conv c WHERE kind = 2 AND members <> "
				 "(SELECT count(*) FROM member WHERE cid = c.cid AND leave_seq "
				 "IS NULL AND c.ended IS NULL)") == 0);
	assert_true(world_ask(w, "SELECT count(*) FROM conv c WHERE kind = 2 AND ended IS NULL AND "
				 "NOT EXISTS (SELECT 1 FROM member WHERE cid = c.cid AND role = 3 "
				 "AND leave_seq IS NULL)") == 0);
	assert_true(world_ask(w, "SELECT count(*) FROM member WHERE leave_seq IS NULL AND "
				 "(read_seq < join_seq - 1 OR banned = 1)") == 0);
	assert_true(
	    world_ask(w, "SELECT count(*) FROM conv c WHERE ended IS NOT "
			 "(SELECT max(seq) FROM msg WHERE cid = c.cid AND kind = 'dismiss')") == 0);
}

static void
step(struct twins *t, unsigned number)
{
	t->memory.now_ms += roll(t, 300);
	t->sqlite.now_ms = t->memory.now_ms;
	for (int i = 0; i < 5; i++)
		change_both(t);
	send_both(t);
	mark_both(t);
	read_both(t, OP_SYNC);
	read_both(t, OP_MEMBERS);
	read_both(t, OP_GROUPS);
	read_both(t, OP_GROUP_INFO);
	if (number % 300 == 299) {
		world_reopen(&t->sqlite);
		assert_consistent(&t->sqlite);
	}
}

static void
the_twins_agree(void **state)
{
	static struct twins t = {.dice = 4711};

	(void)state;
	world_init(&t.memory, WORLD_MEMORY);
	world_init(&t.sqlite, WORLD_SQLITE);
	people(&t.memory);
	people(&t.sqlite);
	for (unsigned i = 0; i < STEPS; i++)
		step(&t, i);
	world_fini(&t.memory);
	world_fini(&t.sqlite);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_twins_agree)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
