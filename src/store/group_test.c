/* SPDX-License-Identifier: MIT */
/* Groups: what every store must do, one suite run against each driver. */
#include "store/test_group.h"

static enum world_kind kind_under_test;

static int
set_up(void **state)
{
	static struct world world;

	world_init(&world, kind_under_test);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

#define assert_slice(actual, expected)                                                             \
	assert_true(slice_eq((actual), slice_str(expected)) && slice_given(actual))
#define assert_none(actual) assert_false(slice_given(actual))

/* The entry at seq as somebody reads it: "kind data", or "" where he can't. */
static const char *
entry_text(struct world *w, uint64_t user, uint64_t cid, uint64_t seq)
{
	static char text[256];
	struct op *op = world_page(w, user, cid, seq - 1, seq + 1, 1, false);

	text[0] = '\0';
	if (op->fault.err == ERR_OK && op->page.count == 1)
		(void)snprintf(text, sizeof(text), "%.*s %.*s", SLICE_ARG(op->page.items[0]->kind),
		    SLICE_ARG(op->page.items[0]->data));
	op_destroy(&op);
	return text;
}

static uint64_t
entry_ends(struct world *w, uint64_t cid, uint64_t seq)
{
	struct op *op = world_page(w, 0, cid, seq - 1, seq + 1, 1, false);
	uint64_t ends;

	assert_true(op->fault.err == ERR_OK && op->page.count == 1);
	ends = op->page.items[0]->ends;
	op_destroy(&op);
	return ends;
}

static enum err
check(struct world *w, uint64_t user, uint64_t cid, uint64_t *ret_acl_ver)
{
	struct op *op = op_create(OP_CHECK);
	enum err err;

	op->user = user;
	op->check.target.cid = cid;
	world_read(w, op);
	err = op->fault.err;
	if (ret_acl_ver != NULL)
		*ret_acl_ver = op->check.acl_ver;
	op_destroy(&op);
	return err;
}

static uint64_t
acl_ver(struct world *w, uint64_t user, uint64_t cid)
{
	uint64_t version = 0;

	assert_int_equal(check(w, user, cid, &version), ERR_OK);
	return version;
}

static uint64_t
send(struct world *w, uint64_t user, uint64_t cid)
{
	struct sent sent = world_send(w, &(struct letter){.from = user, .to = cid});

	return sent.fault.err == ERR_OK ? sent.seq : 0;
}

static struct op *
info(struct world *w, uint64_t user, uint64_t cid)
{
	struct op *op = op_create(OP_GROUP_INFO);

	op->user = user;
	op->in.target.cid = cid;
	world_read(w, op);
	return op;
}

static uint64_t
members_count(struct world *w, uint64_t user, uint64_t cid)
{
	struct op *op = info(w, user, cid);
	uint64_t count = op->fault.err == ERR_OK ? op->in.info.members : 0;

	op_destroy(&op);
	return count;
}

/* What sync says of the group to somebody who names it. */
static struct op_conv
sync_of(struct world *w, uint64_t user, uint64_t cid)
{
	const struct op_cursor cursor = {.cid = cid};
	struct op *op = op_create(OP_SYNC);
	struct op_conv found = {0};

	op->user = user;
	op->sync.cursors = &cursor;
	op->sync.cursor_count = 1;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	for (size_t i = 0; i < op->sync.count; i++)
		if (op->sync.items[i].cid == cid)
			found = op->sync.items[i];
	op_destroy(&op);
	return found;
}

static struct op *
mark(struct world *w, uint64_t user, uint64_t cid, uint64_t read)
{
	struct op *op = op_create(OP_MARK);

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	world_write(w, op);
	return op;
}

static enum err
mark_err(struct world *w, uint64_t user, uint64_t cid, uint64_t read)
{
	struct op *op = mark(w, user, cid, read);
	enum err err = op->fault.err;

	op_destroy(&op);
	return err;
}

/* --- Creating --- */

static void
a_group_begins_with_its_creator(void **state)
{
	struct world *w = *state;
	struct op *op;
	uint64_t cid;

	people(w);
	op = change(w, &(struct change){.by = ANN,
			   .what = GROUP_CREATE,
			   .title = "Tea \"time\"",
			   .handle = "tea",
			   .open = 1,
			   .users = {"bob", "nobody", "ann", "bob"}});
	assert_int_equal(op->fault.err, ERR_OK);
	cid = op->in.target.cid;
	assert_true(cid > 0 && op->in.group.entry->seq == 1 && op->in.group.entry->ends == 0);
	assert_slice(op->in.group.entry->from, "ann");
	assert_true(op->in.group.added_count == 2 && op->in.group.added[0].uid == ANN &&
		    op->in.group.added[1].uid == BOB);
	assert_slice(op->in.group.added[1].name, "bob");
	assert_true(op->in.group.failed_count == 2);
	assert_slice(op->in.group.failed[0].name, "nobody");
	assert_int_equal(op->in.group.failed[0].err, ERR_NOT_FOUND);
	assert_slice(op->in.group.failed[1].name, "ann");
	assert_int_equal(op->in.group.failed[1].err, ERR_ALREADY);
	assert_int_equal(op->in.facts.kind, CONV_GROUP);
	assert_slice(op->in.facts.handle, "tea");
	op_destroy(&op);

	assert_string_equal(entry_text(w, BOB, cid, 1),
	    "create {\"users\":[\"ann\",\"bob\"],\"title\":\"Tea \\\"time\\\"\"}");
	assert_true(send(w, BOB, cid) == 2);
	assert_int_equal(sync_of(w, ANN, cid).role, ROLE_OWNER);
	assert_int_equal(sync_of(w, BOB, cid).role, ROLE_MEMBER);
	assert_true(sync_of(w, BOB, cid).read == 0 && sync_of(w, BOB, cid).min_seq == 1);
	assert_int_equal(check(w, CAT, cid, NULL), ERR_NOT_MEMBER);
}

static void
handles_are_unique(void **state)
{
	struct world *w = *state;
	struct op *op;
	uint64_t cid;

	people(w);
	cid = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Tea", .handle = "tea").cid;
	op = change(
	    w, &(struct change){.by = BOB, .what = GROUP_CREATE, .title = "T", .handle = "tea"});
	assert_int_equal(op->fault.err, ERR_NAME_TAKEN);
	assert_string_equal(op->fault.param, "handle");
	op_destroy(&op);
	assert_int_equal(
	    DO(w, .by = BOB, .what = GROUP_CREATE, .title = "T", .handle = "everyone").err,
	    ERR_NAME_TAKEN);
	/* The name space is not that of users; a handle that is given up is free. */
	assert_int_equal(
	    DO(w, .by = BOB, .what = GROUP_CREATE, .title = "T", .handle = "ann").err, ERR_OK);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .handle = "ann").err, ERR_NAME_TAKEN);
	assert_true(DO(w, .by = ANN, .handle_of = "tea", .what = GROUP_SET, .handle = "").renamed);
	assert_int_equal(DO(w, .by = ANN, .handle_of = "tea", .what = GROUP_SET, .title = "x").err,
	    ERR_NOT_FOUND);
	assert_int_equal(
	    DO(w, .by = BOB, .what = GROUP_CREATE, .title = "T", .handle = "tea").err, ERR_OK);
}

static void
quotas_hold(void **state)
{
	struct world *w = *state;
	struct op *op;
	uint64_t cid;

	people(w);
	cid = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "1", .open = 1).cid;
	op = change(
	    w, &(struct change){.by = ANN, .what = GROUP_CREATE, .title = "2", .groups_max = 1});
	assert_true(op->fault.err == ERR_LIMIT && op->fault.max == 1);
	op_destroy(&op);
	assert_int_equal(
	    DO(w, .by = ANN, .what = GROUP_CREATE, .title = "2", .conversations_max = 1).err,
	    ERR_LIMIT);
	assert_int_equal(
	    DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN, .members_max = 1).err, ERR_LIMIT);
	op = change(w, &(struct change){.by = ANN,
			   .cid = cid,
			   .what = GROUP_INVITE,
			   .users = {"bob", "cat"},
			   .members_max = 2});
	assert_true(op->fault.err == ERR_OK && op->in.group.added_count == 1);
	assert_true(op->in.group.failed_count == 1 && op->in.group.failed[0].err == ERR_LIMIT);
	op_destroy(&op);
	op = change(w, &(struct change){.by = CAT,
			   .what = GROUP_CREATE,
			   .title = "3",
			   .users = {"bob", "dan"},
			   .conversations_max = 1});
	assert_true(op->fault.err == ERR_OK && op->in.group.added_count == 2);
	assert_true(op->in.group.failed_count == 1 && op->in.group.failed[0].err == ERR_LIMIT);
	op_destroy(&op);
	/* What was dismissed or left counts no more. */
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_DISMISS).err, ERR_OK);
	assert_int_equal(DO(w, .by = ANN, .what = GROUP_CREATE, .title = "2", .groups_max = 1,
			     .conversations_max = 1)
			     .err,
	    ERR_OK);
}

/* --- Coming --- */

static enum err
invite_one(struct world *w, uint64_t by, uint64_t cid, const char *name)
{
	struct op *op = change(
	    w, &(struct change){.by = by, .cid = cid, .what = GROUP_INVITE, .users = {name}});
	enum err err = op->fault.err;

	if (err == ERR_OK && op->in.group.failed_count == 1) {
		assert_true(op->in.group.entry == NULL && op->in.group.added_count == 0);
		err = op->in.group.failed[0].err;
	} else if (err == ERR_OK) {
		assert_true(op->in.group.entry != NULL && op->in.group.added_count == 1);
	}
	op_destroy(&op);
	return err;
}

static void
who_may_be_invited(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct op *op;

	world_account(w, EVE, ACCOUNT_DISABLED);
	assert_int_equal(invite_one(w, ANN, cid, "eve"), ERR_NOT_FOUND);
	world_account(w, EVE, ACCOUNT_DELETED);
	assert_int_equal(invite_one(w, ANN, cid, "eve"), ERR_NOT_FOUND);
	assert_int_equal(invite_one(w, ANN, cid, "bob"), ERR_ALREADY);
	world_contact(w, DAN, ANN, CONTACT_BLOCKED);
	assert_int_equal(invite_one(w, ANN, cid, "dan"), ERR_BLOCKED);
	world_contact(w, DAN, ANN, CONTACT_INCOMING);
	op = op_create(OP_PROFILE_SET);
	op->user = DAN;
	op->profile_set.accept = 1;
	world_write(w, op);
	op_destroy(&op);
	assert_int_equal(invite_one(w, ANN, cid, "dan"), ERR_FORBIDDEN);
	world_contact(w, DAN, ANN, CONTACT_BOTH);
	assert_true(send(w, ANN, cid) == 2);
	assert_int_equal(invite_one(w, ANN, cid, "dan"), ERR_OK);
	assert_string_equal(entry_text(w, ANN, cid, 3), "join {\"users\":[\"dan\"]}");
	assert_string_equal(entry_text(w, DAN, cid, 2), "");
	assert_true(sync_of(w, DAN, cid).min_seq == 3 && sync_of(w, DAN, cid).read == 2);
	assert_true(members_count(w, ANN, cid) == 4);
}

static void
who_may_invite(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);

	assert_int_equal(invite_one(w, BOB, cid, "dan"), ERR_FORBIDDEN);
	assert_int_equal(invite_one(w, DAN, cid, "eve"), ERR_NOT_FOUND);
	assert_true(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .invite = -1).seq == 2);
	assert_int_equal(invite_one(w, BOB, cid, "dan"), ERR_OK);
}

static void
open_groups_are_joined(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);

	assert_int_equal(DO(w, .by = DAN, .cid = cid, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN).err, ERR_ALREADY);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).err, ERR_OK);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN).err, ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .open = 1, .handle = "tea").seq, 3);
	assert_int_equal(DO(w, .by = DAN, .handle_of = "tea", .what = GROUP_JOIN).seq, 4);
	assert_string_equal(entry_text(w, DAN, cid, 4), "join {\"users\":[\"dan\"]}");
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN).seq, 5);
	assert_int_equal(DO(w, .by = EVE, .cid = 4711, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	world_account(w, EVE, ACCOUNT_DELETED);
	assert_int_equal(DO(w, .by = EVE, .cid = cid, .what = GROUP_JOIN).err, ERR_SESSION_REVOKED);
}

static void
a_direct_conversation_is_no_group(void **state)
{
	struct world *w = *state;
	struct op *op;
	uint64_t cid;

	people(w);
	cid = world_send(w, &(struct letter){.from = ANN, .to_user = "bob"}).cid;
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_LEAVE).err, ERR_NOT_FOUND);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	op = change_op(&(struct change){.by = ANN, .what = GROUP_LEAVE});
	op->in.target.user = S("ann");
	world_write(w, op);
	assert_true(op->fault.err == ERR_NOT_FOUND && op->fault.param == NULL);
	op_destroy(&op);
}

static void
who_comes_back_begins_anew(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct op *op;

	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_ADMIN)
		.seq,
	    2);
	assert_int_equal(mark_err(w, BOB, cid, 1), ERR_OK);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).seq, 3);
	assert_true(send(w, ANN, cid) == 4);
	assert_int_equal(invite_one(w, ANN, cid, "bob"), ERR_OK);
	assert_int_equal(sync_of(w, BOB, cid).role, ROLE_MEMBER);
	assert_true(sync_of(w, BOB, cid).min_seq == 5 && sync_of(w, BOB, cid).head == 5);
	assert_true(sync_of(w, BOB, cid).read == 4);
	op = mark(w, BOB, cid, 2);
	assert_true(op->mark.read == 4 && op->mark.delivered == 4 && !op->mark.changed);
	op_destroy(&op);
	op = mark(w, BOB, cid, 5);
	assert_true(op->mark.read == 5 && op->mark.changed);
	op_destroy(&op);
	if (kind_under_test == WORLD_SQLITE) {
		world_reopen(w);
		assert_true(sync_of(w, BOB, cid).read == 5);
	}
	assert_string_equal(entry_text(w, BOB, cid, 4), "");
}

static void
history_is_shown_where_the_group_says_so(void **state)
{
	struct world *w = *state;
	uint64_t cid;

	people(w);
	cid = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Log", .history = true).cid;
	assert_true(send(w, ANN, cid) == 2);
	assert_int_equal(invite_one(w, ANN, cid, "bob"), ERR_OK);
	assert_true(sync_of(w, BOB, cid).min_seq == 1 && sync_of(w, BOB, cid).read == 2);
	assert_string_equal(entry_text(w, BOB, cid, 2), "text ");
}

/* --- Going --- */

static void
who_leaves_reads_so_far(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), version = acl_ver(w, BOB, cid);
	struct changed left = DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE);

	assert_true(left.err == ERR_OK && left.seq == 2 && left.ends == BOB);
	assert_true(entry_ends(w, cid, 2) == BOB);
	assert_true(acl_ver(w, ANN, cid) > version);
	assert_true(send(w, ANN, cid) == 3);
	assert_true(sync_of(w, BOB, cid).head == 2);
	assert_int_equal(sync_of(w, BOB, cid).role, ROLE_NONE);
	assert_string_equal(entry_text(w, BOB, cid, 2), "leave ");
	assert_string_equal(entry_text(w, BOB, cid, 3), "");
	assert_int_equal(check(w, BOB, cid, NULL), ERR_NOT_MEMBER);
	assert_int_equal(mark_err(w, BOB, cid, 2), ERR_NOT_MEMBER);
	/* With the rights of before. */
	assert_int_equal(
	    world_send(w, &(struct letter){.from = BOB, .to = cid, .acl_ver = version}).fault.err,
	    ERR_NOT_MEMBER);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).err, ERR_NOT_MEMBER);
	assert_true(members_count(w, ANN, cid) == 2);
}

static void
one_owner_always_remains(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);

	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_LEAVE).err, ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"ann"}, .role = ROLE_MEMBER)
		.err,
	    ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_OWNER)
		.seq,
	    2);
	assert_string_equal(
	    entry_text(w, CAT, cid, 2), "role {\"user\":\"bob\",\"role\":\"owner\"}");
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_LEAVE).seq, 3);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).err, ERR_FORBIDDEN);
	assert_int_equal(DO(w, .by = CAT, .cid = cid, .what = GROUP_LEAVE).seq, 4);
	assert_true(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).ends == ENTRY_ENDS_ALL);
	assert_string_equal(entry_text(w, BOB, cid, 5), "dismiss ");
	assert_true(sync_of(w, BOB, cid).head == 5);
	assert_int_equal(sync_of(w, BOB, cid).role, ROLE_NONE);
}

static void
a_dismissed_group_is_left_by_all(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), version = acl_ver(w, BOB, cid);
	struct changed gone;
	struct op *op;

	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .handle = "tea", .open = 1).seq, 2);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_DISMISS).err, ERR_FORBIDDEN);
	gone = DO(w, .by = ANN, .cid = cid, .what = GROUP_DISMISS);
	assert_true(gone.seq == 3 && gone.ends == ENTRY_ENDS_ALL && gone.renamed);
	assert_true(entry_ends(w, cid, 3) == ENTRY_ENDS_ALL);
	for (uint64_t user = ANN; user <= CAT; user++) {
		assert_true(sync_of(w, user, cid).head == 3 && sync_of(w, user, cid).ts > 0);
		assert_int_equal(sync_of(w, user, cid).role, ROLE_NONE);
		assert_string_equal(entry_text(w, user, cid, 3), "dismiss ");
		assert_int_equal(check(w, user, cid, NULL), ERR_NOT_MEMBER);
		assert_int_equal(mark_err(w, user, cid, 1), ERR_NOT_MEMBER);
		assert_int_equal(
		    world_send(w, &(struct letter){.from = user, .to = cid, .acl_ver = version})
			.fault.err,
		    ERR_NOT_MEMBER);
	}
	op = op_create(OP_SYNC);
	op->user = BOB;
	world_read(w, op);
	assert_int_equal(op->sync.count, 0);
	op_destroy(&op);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_DISMISS).err, ERR_NOT_MEMBER);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_LEAVE).err, ERR_NOT_MEMBER);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	assert_int_equal(DO(w, .by = DAN, .cid = cid, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	assert_int_equal(
	    DO(w, .by = DAN, .handle_of = "tea", .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	assert_int_equal(
	    DO(w, .by = DAN, .what = GROUP_CREATE, .title = "Tea", .handle = "tea").err, ERR_OK);
}

static void
admins_remove_lower_roles(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct changed gone;

	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_REMOVE, .users = {"cat"}).err,
	    ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_ADMIN)
		.seq,
	    2);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_REMOVE, .users = {"ann"}).err,
	    ERR_FORBIDDEN);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_REMOVE, .users = {"bob"}).err,
	    ERR_INVALID_PARAMS);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_REMOVE, .users = {"dan"}).err,
	    ERR_NOT_FOUND);
	gone = DO(w, .by = BOB, .cid = cid, .what = GROUP_REMOVE, .users = {"cat"});
	assert_true(gone.seq == 3 && gone.ends == CAT && entry_ends(w, cid, 3) == CAT);
	assert_string_equal(entry_text(w, CAT, cid, 3), "remove {\"user\":\"cat\",\"ban\":false}");
	assert_int_equal(check(w, CAT, cid, NULL), ERR_NOT_MEMBER);
	assert_int_equal(invite_one(w, BOB, cid, "cat"), ERR_OK);
}

static void
who_is_banned_stays_out(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct changed gone;

	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .open = 1).seq, 2);
	gone = DO(w, .by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"bob"}, .ban = true);
	assert_true(gone.seq == 3 && gone.ends == BOB);
	assert_string_equal(entry_text(w, ANN, cid, 3), "remove {\"user\":\"bob\",\"ban\":true}");
	gone = DO(w, .by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"dan"}, .ban = true);
	assert_true(gone.seq == 4 && gone.ends == 0);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"dan"}, .ban = true).err,
	    ERR_ALREADY);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_JOIN).err, ERR_FORBIDDEN);
	assert_int_equal(DO(w, .by = DAN, .cid = cid, .what = GROUP_JOIN).err, ERR_FORBIDDEN);
	assert_int_equal(invite_one(w, ANN, cid, "bob"), ERR_FORBIDDEN);
	assert_int_equal(invite_one(w, ANN, cid, "dan"), ERR_FORBIDDEN);
	assert_true(sync_of(w, DAN, cid).cid == 0);
	assert_true(members_count(w, ANN, cid) == 2);
	/* A closed group isn't there for him who never was in it. */
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .open = -1).seq, 5);
	assert_int_equal(DO(w, .by = DAN, .cid = cid, .what = GROUP_JOIN).err, ERR_NOT_FOUND);
	assert_int_equal(check(w, DAN, cid, NULL), ERR_NOT_FOUND);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .open = 1).seq, 6);

	gone = DO(w, .by = ANN, .cid = cid, .what = GROUP_UNBAN, .users = {"dan"});
	assert_true(gone.err == ERR_OK && gone.seq == 0);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_UNBAN, .users = {"dan"}).err, ERR_NOT_FOUND);
	assert_int_equal(
	    DO(w, .by = CAT, .cid = cid, .what = GROUP_UNBAN, .users = {"bob"}).err, ERR_FORBIDDEN);
	assert_int_equal(DO(w, .by = DAN, .cid = cid, .what = GROUP_JOIN).seq, 7);
	assert_true(sync_of(w, DAN, cid).min_seq == 7 && sync_of(w, DAN, cid).read == 6);
}

/* --- The end of an account --- */

static struct op *
end_account(struct world *w, uint64_t user)
{
	struct op *op = op_create(OP_CLOSE);

	op->user = user;
	op->close.password_hash = S("hash");
	op->close.name = S("ann");
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	return op;
}

static void
assert_entry(const struct entry *entry, uint64_t cid, uint64_t seq, const char *kind)
{
	assert_true(entry->cid == cid && entry->seq == seq && entry->sender == ANN);
	assert_slice(entry->kind, kind);
	assert_slice(entry->from, "ann");
}

static void
an_account_ends_in_its_groups_too(void **state)
{
	struct world *w = *state;
	uint64_t elder = group_of_three(w), admins, alone, shared, others;
	struct op *op;

	admins = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "2", .users = {"bob", "cat"}).cid;
	assert_int_equal(DO(w, .by = ANN, .cid = admins, .what = GROUP_ROLE, .users = {"cat"},
			     .role = ROLE_ADMIN)
			     .seq,
	    2);
	alone = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "3", .handle = "three").cid;
	shared = DO(w, .by = ANN, .what = GROUP_CREATE, .title = "4", .users = {"bob"}).cid;
	assert_int_equal(DO(w, .by = ANN, .cid = shared, .what = GROUP_ROLE, .users = {"bob"},
			     .role = ROLE_OWNER)
			     .seq,
	    2);
	others = DO(w, .by = BOB, .what = GROUP_CREATE, .title = "5", .users = {"cat"}).cid;
	assert_true(world_send(w, &(struct letter){.from = ANN, .to_user = "bob"}).seq == 1);

	op = end_account(w, ANN);
	assert_int_equal(op->close.count, 6);
	assert_entry(op->close.entries[0], elder, 2, "role");
	assert_slice(op->close.entries[0]->data, "{\"user\":\"bob\",\"role\":\"owner\"}");
	assert_entry(op->close.entries[1], elder, 3, "leave");
	assert_true(op->close.entries[1]->ends == ANN);
	assert_entry(op->close.entries[2], admins, 3, "role");
	assert_slice(op->close.entries[2]->data, "{\"user\":\"cat\",\"role\":\"owner\"}");
	assert_entry(op->close.entries[3], admins, 4, "leave");
	assert_entry(op->close.entries[4], alone, 2, "dismiss");
	assert_true(op->close.entries[4]->ends == ENTRY_ENDS_ALL);
	assert_entry(op->close.entries[5], shared, 3, "leave");
	op_destroy(&op);

	assert_int_equal(sync_of(w, BOB, elder).role, ROLE_OWNER);
	assert_int_equal(sync_of(w, CAT, admins).role, ROLE_OWNER);
	assert_true(members_count(w, BOB, shared) == 1 && members_count(w, BOB, others) == 2);
	assert_int_equal(
	    DO(w, .by = BOB, .what = GROUP_CREATE, .title = "6", .handle = "three").err, ERR_OK);
	assert_int_equal(
	    DO(w, .by = ANN, .what = GROUP_CREATE, .title = "7").err, ERR_SESSION_REVOKED);
}

/* --- Roles and settings --- */

static void
roles_are_given_by_owners(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), version;
	struct changed same;

	assert_int_equal(
	    DO(w, .by = BOB, .cid = cid, .what = GROUP_ROLE, .users = {"cat"}, .role = ROLE_ADMIN)
		.err,
	    ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"dan"}, .role = ROLE_ADMIN)
		.err,
	    ERR_NOT_FOUND);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_ADMIN)
		.seq,
	    2);
	same =
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_ADMIN);
	assert_true(same.err == ERR_OK && same.seq == 0);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .post = 1).seq, 3);
	version = acl_ver(w, BOB, cid);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_MEMBER)
		.seq,
	    4);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = BOB, .to = cid, .acl_ver = version}).fault.err,
	    ERR_FORBIDDEN);
	assert_int_equal(check(w, BOB, cid, NULL), ERR_FORBIDDEN);
}

static void
who_is_muted_may_read(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), version = acl_ver(w, BOB, cid);
	struct changed same;

	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_MUTE, .users = {"cat"},
			     .until = w->now_ms + 5000)
			     .err,
	    ERR_FORBIDDEN);
	same = DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"bob"});
	assert_true(same.err == ERR_OK && same.seq == 0);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"bob"},
			     .until = w->now_ms + 5000)
			     .seq,
	    2);
	assert_string_equal(
	    entry_text(w, BOB, cid, 2), "mute {\"user\":\"bob\",\"until\":1005000}");
	assert_true(sync_of(w, BOB, cid).muted_until == 1005000);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = BOB, .to = cid, .acl_ver = version}).fault.err,
	    ERR_FORBIDDEN);
	/* To leave and come back is no way out. */
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).seq, 3);
	assert_int_equal(invite_one(w, ANN, cid, "bob"), ERR_OK);
	assert_int_equal(check(w, BOB, cid, NULL), ERR_FORBIDDEN);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"bob"}).seq, 5);
	assert_string_equal(entry_text(w, BOB, cid, 5), "mute {\"user\":\"bob\",\"until\":0}");
	assert_true(send(w, BOB, cid) == 6);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"bob"},
			     .until = w->now_ms + 5000)
			     .seq,
	    7);
	w->now_ms += 6000;
	assert_true(send(w, BOB, cid) == 8);
	same = DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"bob"});
	assert_true(same.err == ERR_OK && same.seq == 0);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_MUTE, .users = {"ann"},
			     .until = w->now_ms + 5000)
			     .err,
	    ERR_FORBIDDEN);
}

static void
settings_that_change_are_told(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), version = acl_ver(w, BOB, cid);
	struct changed set;

	assert_int_equal(
	    DO(w, .by = BOB, .cid = cid, .what = GROUP_SET, .title = "x").err, ERR_FORBIDDEN);
	set = DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .title = "Tea", .topic = "leaves",
	    .open = 1, .invite = 1);
	assert_true(set.seq == 2 && !set.renamed);
	assert_string_equal(entry_text(w, BOB, cid, 2), "set {\"topic\":\"leaves\",\"open\":true}");
	set = DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .title = "Tea", .topic = "leaves",
	    .handle = "", .open = 1);
	assert_true(set.err == ERR_OK && set.seq == 0);
	assert_true(acl_ver(w, BOB, cid) == version);
	set = DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .title = "Coffee", .topic = "",
	    .handle = "coffee", .post = 1, .invite = -1);
	assert_true(set.seq == 3 && set.renamed);
	assert_string_equal(entry_text(w, BOB, cid, 3),
	    "set {\"title\":\"Coffee\",\"topic\":\"\",\"handle\":\"coffee\",\"post\":\"admins\","
	    "\"invite\":\"all\"}");
	assert_int_equal(
	    world_send(w, &(struct letter){.from = BOB, .to = cid, .acl_ver = version}).fault.err,
	    ERR_FORBIDDEN);
	/* Admins set most of it. */
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"bob"}, .role = ROLE_ADMIN)
		.seq,
	    4);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_SET, .post = -1).seq, 5);
	assert_int_equal(
	    DO(w, .by = BOB, .cid = cid, .what = GROUP_SET, .handle = "").err, ERR_FORBIDDEN);
	assert_int_equal(
	    DO(w, .by = BOB, .cid = cid, .what = GROUP_SET, .open = -1).err, ERR_FORBIDDEN);
}

/* --- What is read --- */

static void
info_is_for_members_and_of_open_groups(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct op *op = info(w, BOB, cid);

	assert_int_equal(op->fault.err, ERR_OK);
	assert_slice(op->in.info.title, "Tea");
	assert_true(op->in.info.members == 3 && op->in.info.created == w->now_ms);
	assert_true(op->in.info.role == ROLE_MEMBER && op->in.info.admins_invite);
	assert_true(op->in.info.owner_count == 1 && op->in.info.owners[0].uid == ANN);
	assert_slice(op->in.info.owners[0].name, "ann");
	op_destroy(&op);
	op = info(w, DAN, cid);
	assert_int_equal(op->fault.err, ERR_NOT_FOUND);
	op_destroy(&op);
	assert_int_equal(DO(w, .by = BOB, .cid = cid, .what = GROUP_LEAVE).seq, 2);
	op = info(w, BOB, cid);
	assert_int_equal(op->fault.err, ERR_NOT_MEMBER);
	op_destroy(&op);
	assert_int_equal(DO(w, .by = ANN, .cid = cid, .what = GROUP_SET, .open = 1, .handle = "tea",
			     .topic = "leaves")
			     .seq,
	    3);
	op = info(w, DAN, cid);
	assert_true(op->fault.err == ERR_OK && op->in.info.role == ROLE_NONE && op->in.info.open);
	assert_slice(op->in.info.topic, "leaves");
	assert_slice(op->in.facts.handle, "tea");
	op_destroy(&op);
}

/* The names of a page: "ann bob …" and "+" if there are more. */
static const char *
members_text(struct world *w, uint64_t user, uint64_t cid, const struct op_members *page)
{
	static char text[128];
	struct op *op = op_create(OP_MEMBERS);
	size_t len = 0;

	op->user = user;
	op->in.target.cid = cid;
	op->in.members = *page;
	world_read(w, op);
	text[0] = '\0';
	if (op->fault.err != ERR_OK)
		(void)snprintf(text, sizeof(text), "%d", (int)op->fault.err);
	for (size_t i = 0; op->fault.err == ERR_OK && i < op->in.members.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", i > 0 ? " " : "",
		    SLICE_ARG(op->in.members.items[i].name));
	if (op->in.members.more)
		(void)snprintf(text + len, sizeof(text) - len, "+");
	op_destroy(&op);
	return text;
}

#define MEMBERS(world, user, cid, ...)                                                             \
	members_text((world), (user), (cid), &(struct op_members){__VA_ARGS__})

static void
members_come_in_pages(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	char refused[8];

	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"cat"}, .role = ROLE_ADMIN)
		.seq,
	    2);
	assert_int_equal(
	    DO(w, .by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"dan"}, .ban = true).seq,
	    3);
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 2), "ann bob+");
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 2, .after = S("bob")), "cat");
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 3), "ann bob cat");
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 9, .role = ROLE_ADMIN), "cat");
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 9, .role = ROLE_OWNER), "ann");
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 9, .role = ROLE_MEMBER), "bob");
	assert_string_equal(MEMBERS(w, CAT, cid, .limit = 9, .banned = true), "dan");
	(void)snprintf(refused, sizeof(refused), "%d", (int)ERR_FORBIDDEN);
	assert_string_equal(MEMBERS(w, BOB, cid, .limit = 9, .banned = true), refused);
	(void)snprintf(refused, sizeof(refused), "%d", (int)ERR_NOT_FOUND);
	assert_string_equal(MEMBERS(w, EVE, cid, .limit = 9), refused);
}

static const char *
groups_text(struct world *w, const char *query, uint64_t after, uint32_t limit)
{
	static char text[128];
	struct op *op = op_create(OP_GROUPS);
	size_t len = 0;

	op->user = EVE;
	op->groups.query = slice_str(query);
	op->groups.after = after;
	op->groups.limit = limit;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	text[0] = '\0';
	for (size_t i = 0; i < op->groups.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s:%llu",
		    i > 0 ? " " : "", SLICE_ARG(op->groups.items[i].title),
		    (unsigned long long)op->groups.items[i].members);
	if (op->groups.more)
		(void)snprintf(text + len, sizeof(text) - len, "+");
	op_destroy(&op);
	return text;
}

static void
open_groups_are_found(void **state)
{
	struct world *w = *state;
	uint64_t first, second;

	people(w);
	first =
	    DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Ümlaut", .open = 1, .users = {"bob"})
		.cid;
	second =
	    DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Tea", .handle = "umbrella", .open = 1)
		.cid;
	assert_true(
	    DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Team", .open = 1).cid > second);
	assert_true(DO(w, .by = ANN, .what = GROUP_CREATE, .title = "Tease").cid > second);
	assert_string_equal(groups_text(w, NULL, 0, 9), "Ümlaut:2 Tea:1 Team:1");
	assert_string_equal(groups_text(w, NULL, 0, 2), "Ümlaut:2 Tea:1+");
	assert_string_equal(groups_text(w, NULL, second, 2), "Team:1");
	assert_string_equal(groups_text(w, "üM", 0, 9), "Ümlaut:2");
	assert_string_equal(groups_text(w, "umb", 0, 9), "Tea:1");
	assert_string_equal(groups_text(w, "TEA", 0, 9), "Tea:1 Team:1");
	assert_string_equal(groups_text(w, "tea", 0, 1), "Tea:1+");
	assert_string_equal(groups_text(w, "tea", second, 1), "Team:1");
	assert_string_equal(groups_text(w, "nothing", 0, 9), "");
	assert_int_equal(
	    DO(w, .by = ANN, .cid = first, .what = GROUP_SET, .title = "Oolong").seq, 2);
	assert_string_equal(groups_text(w, "ü", 0, 9), "");
	assert_string_equal(groups_text(w, "ool", 0, 9), "Oolong:2");
	assert_int_equal(DO(w, .by = ANN, .cid = first, .what = GROUP_DISMISS).seq, 3);
	assert_string_equal(groups_text(w, "ool", 0, 9), "");
}

static int
run_suite(const char *name, enum world_kind kind)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_group_begins_with_its_creator),
	    T(handles_are_unique),
	    T(quotas_hold),
	    T(who_may_be_invited),
	    T(who_may_invite),
	    T(open_groups_are_joined),
	    T(a_direct_conversation_is_no_group),
	    T(who_comes_back_begins_anew),
	    T(history_is_shown_where_the_group_says_so),
	    T(who_leaves_reads_so_far),
	    T(one_owner_always_remains),
	    T(a_dismissed_group_is_left_by_all),
	    T(admins_remove_lower_roles),
	    T(who_is_banned_stays_out),
	    T(an_account_ends_in_its_groups_too),
	    T(roles_are_given_by_owners),
	    T(who_is_muted_may_read),
	    T(settings_that_change_are_told),
	    T(info_is_for_members_and_of_open_groups),
	    T(members_come_in_pages),
	    T(open_groups_are_found),
	};
#undef T

	kind_under_test = kind;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int
main(void)
{
	int failed = run_suite("memory", WORLD_MEMORY);

	failed += run_suite("sqlite", WORLD_SQLITE);
	failed += run_suite("flaky", WORLD_FLAKY);
	failed += run_suite("mysql", WORLD_MYSQL);
	return failed;
}
