/* SPDX-License-Identifier: MIT */
/* Contacts, blocks and the end of accounts: what every store must do. */
#include "base/mem.h"
#include "store/contact_rules.h"
#include "store/test_world.h"

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

static struct op *
change_op(uint64_t user, enum contact_change what, const char *name)
{
	struct op *op = op_create(OP_CONTACT);

	op->user = user;
	op->contact.what = what;
	op->contact.name = slice_str(name);
	op->contact.contacts_max = 3;
	return op;
}

static enum err
change(struct world *w, uint64_t user, enum contact_change what, const char *name)
{
	struct op *op = change_op(user, what, name);
	enum err err;

	world_write(w, op);
	err = op->fault.err;
	op_destroy(&op);
	return err;
}

/* The user's list as "bob=3 carol=4". */
static const char *
listed(struct world *w, uint64_t user)
{
	static char text[200];
	struct op *op = op_create(OP_CONTACT_LIST);
	size_t len = 0;

	op->user = user;
	op->contact_list.limit = 100;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	text[0] = '\0';
	for (size_t i = 0; i < op->contact_list.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s=%d",
		    i > 0 ? " " : "", SLICE_ARG(op->contact_list.items[i].name),
		    (int)op->contact_list.items[i].state);
	op_destroy(&op);
	return text;
}

/* --- The rules --- */

/* Every pair that the changes lead to fits together, and no change leads out of these. */
static void
rows_always_fit_together(void **state)
{
	static const struct contact_pair pairs[] = {
	    {CONTACT_NONE, CONTACT_NONE},
	    {CONTACT_REQUESTED, CONTACT_INCOMING},
	    {CONTACT_INCOMING, CONTACT_REQUESTED},
	    {CONTACT_BOTH, CONTACT_BOTH},
	    {CONTACT_BLOCKED, CONTACT_NONE},
	    {CONTACT_NONE, CONTACT_BLOCKED},
	    {CONTACT_BLOCKED, CONTACT_BLOCKED},
	};

	(void)state;
	for (size_t i = 0; i < LEN(pairs); i++)
		for (int what = CONTACT_ADD; what <= CONTACT_UNBLOCK; what++) {
			struct contact_outcome to = {0};
			bool fits = false;

			if (contact_decide((enum contact_change)what, pairs[i], &to) != ERR_OK)
				continue;
			for (size_t k = 0; k < LEN(pairs); k++)
				fits |= pairs[k].mine == to.after.mine &&
					pairs[k].theirs == to.after.theirs;
			assert_true(fits);
			/* Who made it hears of it; the other never of a block. */
			assert_int_not_equal(to.mine, NEWS_NONE);
			assert_int_not_equal(to.theirs, NEWS_BLOCKED);
			assert_int_not_equal(to.theirs, NEWS_UNBLOCKED);
		}
}

/* --- Changes --- */

static void
a_request_stands_in_both_lists(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *op = change_op(ann, CONTACT_ADD, "bob");

	op->contact.note = S("it's me");
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->contact.peer, bob);
	assert_int_equal(op->contact.state, CONTACT_REQUESTED);
	assert_int_equal(op->contact.mine, NEWS_REQUESTED);
	assert_int_equal(op->contact.theirs, NEWS_INCOMING);
	assert_slice(op->contact.shown_note, "it's me");
	op_destroy(&op);
	assert_string_equal(listed(w, ann), "bob=1");
	assert_string_equal(listed(w, bob), "ann=2");

	op = op_create(OP_CONTACT_LIST);
	op->user = bob;
	op->contact_list.limit = 1;
	world_read(w, op);
	assert_int_equal(op->contact_list.items[0].uid, ann);
	assert_slice(op->contact_list.items[0].note, "it's me");
	assert_false(op->contact_list.more);
	op_destroy(&op);

	assert_int_equal(change(w, ann, CONTACT_ADD, "bob"), ERR_ALREADY);
	assert_int_equal(change(w, bob, CONTACT_ACCEPT, "ann"), ERR_OK);
	assert_string_equal(listed(w, ann), "bob=3");
	assert_string_equal(listed(w, bob), "ann=3");
	op = op_create(OP_CONTACT_LIST);
	op->user = bob;
	op->contact_list.limit = 1;
	world_read(w, op);
	assert_false(slice_given(op->contact_list.items[0].note));
	op_destroy(&op);
	assert_int_equal(change(w, ann, CONTACT_REMOVE, "bob"), ERR_OK);
	assert_string_equal(listed(w, bob), "");
}

static void
what_can_be_wrong(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *op = change_op(ann, CONTACT_ADD, "ann");

	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_INVALID_PARAMS);
	assert_string_equal(op->fault.param, "user");
	op_destroy(&op);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "nobody"), ERR_NOT_FOUND);
	assert_int_equal(change(w, ann, CONTACT_ACCEPT, "bob"), ERR_NOT_FOUND);
	assert_int_equal(change(w, ann, CONTACT_UNBLOCK, "bob"), ERR_NOT_FOUND);
	world_account(w, bob, ACCOUNT_DELETED);
	assert_int_equal(change(w, ann, CONTACT_ADD, "bob"), ERR_NOT_FOUND);
	assert_int_equal(change(w, bob, CONTACT_ADD, "ann"), ERR_SESSION_REVOKED);
	assert_string_equal(listed(w, ann), "");
}

/* In one transaction, too. */
static void
requests_that_cross_make_contacts(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *ops[] = {change_op(ann, CONTACT_ADD, "bob"), change_op(bob, CONTACT_ADD, "ann")};

	do {
		w->driver->type->write(w->driver, ops, 2);
	} while (ops[0]->fault.err == ERR_UNAVAILABLE);
	assert_int_equal(ops[0]->contact.state, CONTACT_REQUESTED);
	assert_int_equal(ops[1]->contact.state, CONTACT_BOTH);
	assert_int_equal(ops[1]->contact.theirs, NEWS_CONTACT);
	op_destroy(&ops[0]);
	op_destroy(&ops[1]);
	assert_string_equal(listed(w, ann), "bob=3");
	assert_string_equal(listed(w, bob), "ann=3");
}

static void
lists_are_bounded(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), uids[5];
	char name[8];

	for (unsigned i = 0; i < LEN(uids); i++) {
		(void)snprintf(name, sizeof(name), "u%u", i);
		uids[i] = world_user(w, name);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(change(w, uids[i], CONTACT_ADD, "ann"), ERR_OK);
	assert_int_equal(change(w, uids[3], CONTACT_ADD, "ann"), ERR_LIMIT);
	assert_int_equal(change(w, ann, CONTACT_ADD, "u3"), ERR_LIMIT);
	/* What has a row already needs no room. */
	assert_int_equal(change(w, ann, CONTACT_ACCEPT, "u0"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "u1"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "u3"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "u4"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "u2"), ERR_LIMIT);
	assert_string_equal(listed(w, ann), "u0=3 u1=4 u2=2 u3=4 u4=4");
}

static void
pages_go_by_name(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	static const char *const names[] = {"cid", "bob", "dan"};
	struct op *op;

	for (size_t i = 0; i < LEN(names); i++) {
		(void)world_user(w, names[i]);
		assert_int_equal(change(w, ann, CONTACT_ADD, names[i]), ERR_OK);
	}
	op = op_create(OP_CONTACT_LIST);
	op->user = ann;
	op->contact_list.limit = 2;
	world_read(w, op);
	assert_int_equal(op->contact_list.count, 2);
	assert_slice(op->contact_list.items[0].name, "bob");
	assert_slice(op->contact_list.items[1].name, "cid");
	assert_true(op->contact_list.more);
	op_destroy(&op);
	op = op_create(OP_CONTACT_LIST);
	op->user = ann;
	op->contact_list.after = S("cid");
	op->contact_list.limit = 2;
	world_read(w, op);
	assert_int_equal(op->contact_list.count, 1);
	assert_slice(op->contact_list.items[0].name, "dan");
	assert_false(op->contact_list.more);
	op_destroy(&op);
}

/* --- Blocks --- */

static uint64_t
mark(struct world *w, uint64_t user, uint64_t cid, uint64_t read)
{
	struct op *op = op_create(OP_MARK);
	uint64_t told;

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->mark.read, read);
	told = op->mark.target.peer;
	op_destroy(&op);
	return told;
}

static uint64_t
peer_read(struct world *w, uint64_t user)
{
	struct op *op = op_create(OP_SYNC);
	uint64_t read;

	op->user = user;
	world_read(w, op);
	assert_int_equal(op->sync.count, 1);
	read = op->sync.items[0].peer_read;
	op_destroy(&op);
	return read;
}

static bool
hides(struct world *w, uint64_t viewer, uint64_t from)
{
	struct op *op = op_create(OP_PROFILES);
	bool hidden;

	op->user = viewer;
	op->profiles.uids = &from;
	op->profiles.want = 1;
	world_read(w, op);
	assert_int_equal(op->profiles.count, 1);
	hidden = op->profiles.items[0].hides;
	op_destroy(&op);
	return hidden;
}

static size_t
hiding(struct world *w, uint64_t user)
{
	struct op *op = op_create(OP_CONTACTS);
	size_t count;

	op->user = user;
	world_read(w, op);
	count = op->contacts.hiding_count;
	op_destroy(&op);
	return count;
}

static void
a_block_refuses_what_was_allowed(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct sent sent = world_send(w, &(struct letter){.from = bob, .to_user = "ann"});
	struct letter stamped = {
	    .from = bob, .to = sent.cid, .acl_ver = sent.acl_ver, .min_seq = 1, .cmid = "c"};

	assert_int_equal(world_send(w, &stamped).fault.err, ERR_OK);
	assert_int_equal(mark(w, bob, sent.cid, 1), ann);
	assert_int_equal(peer_read(w, ann), 1);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "bob"), ERR_OK);
	assert_true(hides(w, bob, ann) && !hides(w, ann, bob));
	assert_true(hiding(w, bob) == 1 && hiding(w, ann) == 1);
	assert_true(world_send(w, &stamped).dup);
	stamped.cmid = NULL;
	assert_int_equal(world_send(w, &stamped).fault.err, ERR_BLOCKED);
	stamped.from = ann;
	assert_int_equal(world_send(w, &stamped).fault.err, ERR_BLOCKED);
	assert_int_equal(mark(w, bob, sent.cid, 2), 0);
	assert_int_equal(mark(w, ann, sent.cid, 1), 0);
	assert_int_equal(peer_read(w, ann), 0);
	assert_int_equal(peer_read(w, bob), 0);
	assert_int_equal(change(w, bob, CONTACT_BLOCK, "ann"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_UNBLOCK, "bob"), ERR_OK);
	assert_int_equal(world_send(w, &stamped).fault.err, ERR_BLOCKED);
	assert_int_equal(change(w, bob, CONTACT_UNBLOCK, "ann"), ERR_OK);
	assert_int_equal(world_send(w, &stamped).fault.err, ERR_OK);
	assert_int_equal(mark(w, ann, sent.cid, 2), bob);
	assert_int_equal(peer_read(w, ann), 2);
	assert_true(hiding(w, bob) == 0 && hiding(w, ann) == 0 && !hides(w, bob, ann));
}

/* --- The end of an account --- */

static struct op *
close_op(uint64_t user, const char *name, const char *hash)
{
	struct op *op = op_create(OP_CLOSE);

	op->user = user;
	op->close.name = slice_str(name);
	op->close.password_hash = slice_str(hash);
	return op;
}

static void
close_account(struct world *w, uint64_t user, const char *name)
{
	struct op *op = close_op(user, name, "hash");

	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

static void
it_needs_the_password(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *op = close_op(ann, "ann", "another");

	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_BAD_CREDENTIALS);
	op_destroy(&op);
	close_account(w, ann, "ann");
	op = close_op(ann, "ann", "hash");
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_BAD_CREDENTIALS); /* once */
	op_destroy(&op);
}

static void
contacts_go_with_it(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid, dan;
	struct op *op;

	cid = world_user(w, "cid");
	dan = world_user(w, "dan");
	(void)world_user(w, "eva");
	assert_int_equal(change(w, ann, CONTACT_ADD, "bob"), ERR_OK);
	assert_int_equal(change(w, cid, CONTACT_ADD, "ann"), ERR_OK);
	assert_int_equal(change(w, dan, CONTACT_BLOCK, "ann"), ERR_OK);
	assert_int_equal(change(w, ann, CONTACT_BLOCK, "eva"), ERR_OK);
	op = close_op(ann, "ann", "hash");
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->close.contact_count, 2);
	assert_int_equal(op->close.contacts[0] + op->close.contacts[1], bob + cid);
	op_destroy(&op);
	assert_string_equal(listed(w, bob), "");
	assert_string_equal(listed(w, cid), "");
	assert_string_equal(listed(w, dan), "");
}

static void
nothing_of_it_is_left_but_its_words(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct sent sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	struct letter back = {.from = bob, .to = sent.cid, .acl_ver = sent.acl_ver, .min_seq = 1};
	struct letter late = {.from = ann, .to = sent.cid, .acl_ver = sent.acl_ver, .min_seq = 1};
	struct op *op;

	assert_int_equal(world_send(w, &back).fault.err, ERR_OK);
	close_account(w, ann, "ann");
	assert_int_equal(world_send(w, &back).fault.err, ERR_NOT_FOUND);
	assert_int_equal(world_send(w, &late).fault.err, ERR_SESSION_REVOKED);
	back.to = 0;
	back.to_user = "ann";
	assert_int_equal(world_send(w, &back).fault.err, ERR_NOT_FOUND);

	op = world_page(w, bob, sent.cid, 0, 0, 10, false);
	assert_int_equal(op->page.count, 2);
	assert_slice(op->page.items[0]->from, "deleted");
	assert_slice(op->page.items[1]->from, "bob");
	op_destroy(&op);

	op = op_create(OP_SYNC);
	op->user = bob;
	world_read(w, op);
	assert_int_equal(op->sync.count, 1);
	assert_slice(op->sync.items[0].peer_name, "deleted");
	assert_slice(op->sync.items[0].title, "deleted");
	op_destroy(&op);

	op = op_create(OP_LIVE);
	op->live.sessions = &(uint64_t){1};
	op->live.want = 1;
	world_read(w, op);
	assert_int_equal(op->live.count, 1);
	op_destroy(&op);

	op = op_create(OP_PROFILE_SET);
	op->user = ann;
	op->profile_set.display = S("still here");
	op->profile_set.accept = -1;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_NOT_FOUND);
	op_destroy(&op);
}

static void
in_the_file_is_no_word_about_him(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *late = op_create(OP_PRESENCE_SET); /* on its way when the account ends */

	late->user = ann;
	late->presence.state = PRESENCE_BUSY;
	late->presence.text = S("writing my memoirs");
	close_account(w, ann, "ann");
	world_write(w, late);
	assert_int_equal(late->fault.err, ERR_NOT_FOUND);
	op_destroy(&late);
	if (w->kind == WORLD_MEMORY)
		return;
	assert_int_equal(world_ask(w,
			     "SELECT count(*) FROM user WHERE id = %llu AND disabled = 2 AND "
			     "password_hash = '' AND display = '' AND folded = '' AND status = '' "
			     "AND presence = 0 AND presence_text IS NULL AND name = 'ann'",
			     (unsigned long long)ann),
	    1);
	assert_int_equal(
	    world_ask(w, "SELECT count(*) FROM token WHERE user = %llu", (unsigned long long)ann),
	    0);
}

static int
run_suite(const char *name, enum world_kind kind)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_request_stands_in_both_lists),
	    T(what_can_be_wrong),
	    T(requests_that_cross_make_contacts),
	    T(lists_are_bounded),
	    T(pages_go_by_name),
	    T(a_block_refuses_what_was_allowed),
	    T(it_needs_the_password),
	    T(contacts_go_with_it),
	    T(nothing_of_it_is_left_but_its_words),
	    T(in_the_file_is_no_word_about_him),
	};
#undef T

	kind_under_test = kind;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest rules[] = {cmocka_unit_test(rows_always_fit_together)};
	int failed = cmocka_run_group_tests_name("rules", rules, NULL, NULL);

	failed += run_suite("memory", WORLD_MEMORY);
	failed += run_suite("sqlite", WORLD_SQLITE);
	failed += run_suite("flaky", WORLD_FLAKY);
	failed += run_suite("mysql", WORLD_MYSQL);
	return failed;
}
