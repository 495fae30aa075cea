/* SPDX-License-Identifier: MIT */
/* Groups in the SQLite store: failed transactions, an older schema, the indexes that are used. */
#include "base/stat.h"
#include "store/schema.h"
#include "store/sqlite_db.h"
#include "store/test_group.h"
#include "store/test_vfs.h"

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
	test_vfs_heal();
	world_fini(*state);
	return 0;
}

static struct sqlite *
inside(struct world *w)
{
	return container_of(w->driver, struct sqlite, base);
}

/* --- Transactions that fail --- */

/* SQLite reports what its hook says, though the commit has happened. */
static int
commit_reports_error(void *cookie, sqlite3 *db, const char *name, int pages)
{
	(void)cookie;
	(void)db;
	(void)name;
	(void)pages;
	return SQLITE_IOERR;
}

/* A commit whose record is not whole, then one that is, but for what was said about it. */
static struct changed
done_the_hard_way(struct world *w, const struct change *c)
{
	struct op *op = change_op(c);

	atomic_store(&test_vfs.sync_wal, 1);
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_UNAVAILABLE);
	assert_true(op->in.group.entry == NULL && op->in.group.added_count == 0);
	(void)sqlite3_wal_hook(inside(w)->sql.writer.db, commit_reports_error, NULL);
	world_write(w, op);
	return outcome_of(op);
}

#define HARD(world, ...) done_the_hard_way((world), &(struct change){__VA_ARGS__})

static void
every_change_is_settled(void **state)
{
	struct world *w = *state;
	uint64_t cid;

	people(w);
	cid = HARD(w, .by = ANN, .what = GROUP_CREATE, .title = "T", .open = 1, .handle = "t",
	    .users = {"bob"})
		  .cid;
	assert_int_equal(HARD(w, .by = CAT, .handle_of = "t", .what = GROUP_JOIN).seq, 2);
	assert_int_equal(
	    HARD(w, .by = ANN, .cid = cid, .what = GROUP_INVITE, .users = {"dan"}).seq, 3);
	assert_int_equal(HARD(w, .by = DAN, .cid = cid, .what = GROUP_LEAVE).seq, 4);
	assert_int_equal(
	    HARD(w, .by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"dan"}, .ban = true).seq,
	    5);
	assert_int_equal(
	    HARD(w, .by = ANN, .cid = cid, .what = GROUP_UNBAN, .users = {"dan"}).err, ERR_OK);
	assert_int_equal(
	    HARD(w, .by = ANN, .cid = cid, .what = GROUP_ROLE, .users = {"cat"}, .role = ROLE_ADMIN)
		.seq,
	    6);
	assert_int_equal(HARD(w, .by = CAT, .cid = cid, .what = GROUP_MUTE, .users = {"bob"},
			     .until = w->now_ms + 5000)
			     .seq,
	    7);
	assert_int_equal(HARD(w, .by = CAT, .cid = cid, .what = GROUP_SET, .title = "U").seq, 8);
	assert_int_equal(HARD(w, .by = ANN, .cid = cid, .what = GROUP_DISMISS).seq, 9);
	assert_true(world_ask(w, "SELECT count(*) FROM msg") == 9);
	assert_true(world_ask(w, "SELECT count(*) FROM member WHERE leave_seq IS NULL") == 3);
	assert_true(world_ask(w, "SELECT ended FROM conv") == 9);
}

/* What a transaction that failed had in its cache must not be believed. */
static void
what_was_rolled_back_is_forgotten(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w), session = 1;
	struct op *ops[3];

	ops[0] = change_op(&(struct change){
	    .by = ANN, .cid = cid, .what = GROUP_SET, .title = "x", .handle = "tea", .post = 1});
	ops[1] = op_create(OP_REGISTER);
	ops[1]->session.name = S("joe");
	ops[1]->session.password_hash = S("hash");
	ops[1]->session.session = session; /* taken: the whole transaction fails */
	ops[2] = change_op(&(struct change){.by = ANN, .cid = cid, .what = GROUP_DISMISS});
	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_int_equal(ops[1]->fault.err, ERR_INTERNAL);
	op_destroy(&ops[1]);
	assert_int_equal(outcome_of(ops[0]).seq, 2);
	assert_int_equal(outcome_of(ops[2]).seq, 3);
	assert_true(world_ask(w, "SELECT acl_ver FROM conv") == 3);
	assert_true(world_ask(w, "SELECT count(*) FROM msg") == 3);
}

static void
changes_and_messages_share_a_transaction(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = BOB, .to = cid, .acl_ver = 1, .min_seq = 1}),
	    change_op(
		&(struct change){.by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"bob"}}),
	    letter_op(&(struct letter){.from = BOB, .to = cid, .acl_ver = 1, .min_seq = 1}),
	    change_op(
		&(struct change){.by = ANN, .cid = cid, .what = GROUP_INVITE, .users = {"bob"}}),
	    letter_op(&(struct letter){.from = BOB, .to = cid, .acl_ver = 1, .min_seq = 1}),
	};

	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(ops[0]->fault.err == ERR_OK && ops[0]->append.seq == 2);
	assert_true(ops[1]->fault.err == ERR_OK && ops[1]->in.group.entry->seq == 3);
	assert_int_equal(ops[2]->fault.err, ERR_NOT_MEMBER);
	assert_true(ops[3]->fault.err == ERR_OK && ops[3]->in.group.entry->seq == 4);
	assert_true(ops[4]->fault.err == ERR_OK && ops[4]->append.seq == 5);
	assert_true(ops[4]->append.min_seq == 4);
	for (size_t i = 0; i < LEN(ops); i++)
		op_destroy(&ops[i]);
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
		"('cat', 'C', 'c', 'hash', 1, 1), ('dan', 'D', 'd', 'hash', 1, 1);"
		"INSERT INTO conv (cid, kind, title, open, created) VALUES (7, 2, 'Tea', 1, 5);"
		"INSERT INTO conv (cid, kind, lo, hi) VALUES (8, 1, 1, 2);"
		"INSERT INTO direct (lo, hi, cid) VALUES (1, 2, 8);"
		"INSERT INTO member (user, cid, role, leave_seq) VALUES (1, 7, 3, NULL), "
		"(2, 7, 1, NULL), (3, 7, 1, 2), (1, 8, 1, NULL), (2, 8, 1, NULL);"
		"INSERT INTO msg (cid, seq, sender, ts, kind, body) VALUES "
		"(7, 1, 1, 5, 'text', 'one'), (7, 2, 1, 6, 'text', 'two'), "
		"(8, 1, 1, 7, 'text', 'hello');"),
	    SQLITE_OK);
	sql_close(&conn);
}

static struct op *
members(struct world *w, uint64_t user, uint64_t cid, enum role role)
{
	struct op *op = op_create(OP_MEMBERS);

	op->user = user;
	op->in.target.cid = cid;
	op->in.members.role = role;
	op->in.members.limit = 10;
	world_read(w, op);
	return op;
}

static void
a_group_of_version_1_is_one_of_now(void **state)
{
	struct world *w = *state;
	struct op *op;

	w->driver->type->close(&w->driver);
	world_remove(w);
	make_version_1(w->path);
	world_reopen(w);
	assert_true(world_ask(w, "SELECT schema_version FROM meta") == SCHEMA_VERSION);

	op = members(w, BOB, 7, ROLE_NONE);
	assert_true(op->fault.err == ERR_OK && op->in.members.count == 2);
	assert_true(slice_eq(op->in.members.items[1].name, S("bob")));
	op_destroy(&op);
	op = op_create(OP_GROUPS);
	op->groups.query = S("TEA");
	op->groups.limit = 10;
	world_read(w, op);
	assert_true(op->groups.count == 1 && op->groups.items[0].members == 2);
	op_destroy(&op);
	assert_int_equal(DO(w, .by = ANN, .cid = 7, .what = GROUP_INVITE, .users = {"cat"}).seq, 3);
	assert_int_equal(DO(w, .by = DAN, .cid = 7, .what = GROUP_JOIN).seq, 4);
	assert_int_equal(DO(w, .by = BOB, .cid = 7, .what = GROUP_LEAVE).ends, BOB);
	assert_true(world_ask(w, "SELECT members FROM conv WHERE cid = 7") == 3);
	assert_int_equal(world_send(w, &(struct letter){.from = ANN, .to_user = "bob"}).seq, 2);
}

/* --- Indexes --- */

#define STATEMENT_AS_TEXT(name, text) [STMT_##name] = text,
static const char *const texts[] = {STATEMENTS(STATEMENT_AS_TEXT)};

/* The query plan, a step a line. */
static const char *
plan_of(struct world *w, enum stmt stmt)
{
	static char plan[2048];
	sqlite3 *db;
	sqlite3_stmt *prepared;
	char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", texts[stmt]);
	size_t len = 0;

	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &prepared, NULL), SQLITE_OK);
	plan[0] = '\0';
	while (sqlite3_step(prepared) == SQLITE_ROW)
		len += (size_t)snprintf(plan + len, sizeof(plan) - len, "%s\n",
		    (const char *)sqlite3_column_text(prepared, 3));
	assert_int_equal(sqlite3_finalize(prepared), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	sqlite3_free(sql);
	return plan;
}

static void
assert_plan(struct world *w, enum stmt stmt, const char *index, bool in_order)
{
	const char *plan = plan_of(w, stmt);

	if (strstr(plan, index) == NULL || (in_order && strstr(plan, "TEMP B-TREE") != NULL) ||
	    strstr(plan, "SCAN member") != NULL || strstr(plan, "SCAN conv") != NULL)
		fail_msg("%s: %s", texts[stmt], plan);
}

static void
a_page_costs_what_it_shows(void **state)
{
	struct world *w = *state;

	assert_plan(w, STMT_GROUP_MEMBERS, "member_name (cid=? AND name>?)", true);
	assert_plan(w, STMT_GROUP_MEMBERS_ROLE, "member_role (cid=? AND role=? AND name>?)", true);
	assert_plan(w, STMT_GROUP_MEMBERS_BANNED, "member_banned (cid=? AND name>?)", true);
	assert_plan(w, STMT_GROUP_OWNERS, "member_role (cid=? AND role=?)", true);
	assert_plan(w, STMT_GROUP_HEIR_ADMIN, "member_role (cid=? AND role=?)", false);
	assert_plan(w, STMT_GROUPS_ALL, "conv_open", true);
	assert_plan(w, STMT_GROUPS_FIND, "COVERING INDEX conv_title", false);
	assert_plan(w, STMT_GROUPS_FIND, "COVERING INDEX conv_handle", false);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(every_change_is_settled),
	    T(what_was_rolled_back_is_forgotten),
	    T(changes_and_messages_share_a_transaction),
	    T(a_group_of_version_1_is_one_of_now),
	    T(a_page_costs_what_it_shows),
	};
#undef T

	test_vfs_install();
	return cmocka_run_group_tests_name("groups in sqlite", tests, NULL, NULL);
}
