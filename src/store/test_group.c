/* SPDX-License-Identifier: MIT */
#include "store/test_group.h"

static const char *const names[] = {"", "ann", "bob", "cat", "dan", "eve"};

static int
flag_of(int given)
{
	return given == 0 ? -1 : given > 0;
}

struct op *
change_op(const struct change *c)
{
	struct op *op = op_create(OP_GROUP);
	struct op_group *g = &op->in.group;
	struct op_person *users = op_alloc(op, LEN(c->users) * sizeof(*users));

	op->user = c->by;
	op->in.target = (struct op_target){.cid = c->cid, .handle = slice_str(c->handle_of)};
	g->what = c->what;
	g->from = slice_str(names[c->by]);
	for (; g->user_count < LEN(c->users) && c->users[g->user_count] != NULL; g->user_count++)
		users[g->user_count].name = slice_str(c->users[g->user_count]);
	g->users = users;
	g->set = (struct group_settings){
	    .title = slice_str(c->title),
	    .topic = slice_str(c->topic),
	    .handle = slice_str(c->handle),
	    .open = flag_of(c->open),
	    .admins_post = flag_of(c->post),
	    .admins_invite = flag_of(c->invite),
	    .history = c->history,
	};
	g->role = c->role;
	g->until = c->until;
	g->ban = c->ban;
	g->groups_max = c->groups_max > 0 ? c->groups_max : 1000;
	g->members_max = c->members_max > 0 ? c->members_max : 1000;
	g->conversations_max = c->conversations_max > 0 ? c->conversations_max : 1000;
	return op;
}

struct op *
change(struct world *w, const struct change *c)
{
	struct op *op = change_op(c);

	world_write(w, op);
	return op;
}

struct changed
outcome_of(struct op *op)
{
	const struct entry *e = op->in.group.entry;
	struct changed result = {
	    .err = op->fault.err, .cid = op->in.target.cid, .renamed = op->in.group.renamed};

	if (op->fault.err != ERR_OK)
		assert_null(e);
	if (e != NULL) {
		assert_true(e->cid == op->in.target.cid && e->sender == op->user);
		result.seq = e->seq;
		result.ends = e->ends;
	}
	op_destroy(&op);
	return result;
}

void
people(struct world *w)
{
	for (size_t i = ANN; i <= EVE; i++)
		assert_int_equal(world_user(w, names[i]), i);
}

uint64_t
group_of_three(struct world *w)
{
	people(w);
	return DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Tea", .users = {"bob", "cat"}).cid;
}
