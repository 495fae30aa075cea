/* SPDX-License-Identifier: MIT */
/* How a batch is written, and what its rows are read by. */
#include "base/mem.h"
#include "base/stat.h"
#include "store/mysql_db.h"
#include "store/test_group.h"

static struct world world;

static int
set_up(void **state)
{
	world_init(&world, WORLD_MYSQL);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

/* --- Many rows --- */

/* As before a server that takes no arrays; to be called before its first batch. */
static void
without_arrays(struct driver *node)
{
	struct mysql *m = container_of(node, struct mysql, base);

	assert_true(m->writers[0].sql.writer.mysql->bulk);
	m->writers[0].sql.writer.mysql->bulk = false;
}

/* However many there are, and repeated ones among them. */
static void
write_large_batches(struct world *w)
{
	enum { COUNT = 300 };
	uint64_t ann = world_user(w, "ann"), cid;
	struct op *ops[COUNT];
	char cmids[COUNT][16];

	(void)world_user(w, "bob");
	cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c-7"}).cid;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < COUNT; i++) {
			(void)snprintf(cmids[i], sizeof(cmids[i]), "c-%d", i + round * COUNT / 2);
			ops[i] =
			    letter_op(&(struct letter){.from = ann, .to = cid, .cmid = cmids[i]});
		}
		w->driver->type->write(w->driver, ops, COUNT);
		for (int i = 0; i < COUNT; i++) {
			bool dup = round == 0 ? i == 7 : i < COUNT / 2;

			assert_int_equal(ops[i]->fault.err, ERR_OK);
			assert_int_equal(ops[i]->append.dup, dup);
			op_destroy(&ops[i]);
		}
	}
	assert_int_equal(world_ask(w, "SELECT count(DISTINCT seq) FROM msg"), COUNT * 3 / 2);
	assert_int_equal(world_ask(w, "SELECT max(seq) FROM msg"), COUNT * 3 / 2);
	assert_int_equal(world_ask(w, "SELECT last_seq FROM conv"), COUNT * 3 / 2);
}

static void
a_large_batch_is_numbered_without_holes(void **state)
{
	write_large_batches(*state);
}

static void
a_large_batch_without_arrays_is_numbered_without_holes(void **state)
{
	struct world *w = *state;

	without_arrays(w->driver);
	write_large_batches(w);
}

/* In a packet there is room for two of the long ones. */
static void
write_of_all_sorts(struct driver *node, uint64_t from, uint64_t to)
{
	enum { LONG = 200 * 1024 };
	char *large = mem_alloc(LONG + 1);
	const struct letter letters[] = {
	    {.body = "hello"},
	    {.body = "", .cmid = "c-1"},
	    {.body = "\xe6\xbc\xa2 \xf0\x9f\x98\x80 ", .cmid = "c-2 ", .re = 1},
	    {.body = large, .cmid = "c-3"},
	    {.data = "{\"a\":1}", .kind = "card"},
	    {.body = large, .cmid = "c-4"},
	    {.body = large, .data = "[]", .re = 2},
	    {.body = "last", .cmid = "c-5"},
	};
	struct op *ops[LEN(letters)];

	memset(large, 'x', LONG);
	large[LONG] = '\0';
	for (size_t i = 0; i < LEN(letters); i++) {
		struct letter letter = letters[i];

		letter.from = from;
		letter.to = to;
		ops[i] = letter_op(&letter);
	}
	node->type->write(node, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_int_equal(ops[i]->fault.err, ERR_OK);
		assert_int_equal(ops[i]->append.seq, i + 2);
		op_destroy(&ops[i]);
	}
	mem_free(large);
}

static void
a_row_is_the_same_with_arrays_and_without(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), with, without;
	struct driver *node = world_open_at(w, w->address, NULL);

	(void)world_user(w, "bob");
	(void)world_user(w, "cid");
	with = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	without = world_send(w, &(struct letter){.from = ann, .to_user = "cid"}).cid;
	without_arrays(node);
	write_of_all_sorts(w->driver, ann, with);
	write_of_all_sorts(node, ann, without);
	node->type->close(&node);
	assert_int_equal(world_ask(w,
			     "SELECT count(*) FROM msg a JOIN msg b ON b.seq = a.seq WHERE "
			     "a.cid = %llu AND b.cid = %llu AND a.sender = b.sender AND "
			     "a.cmid <=> b.cmid AND a.ts = b.ts AND a.kind = b.kind AND "
			     "a.data <=> b.data AND BINARY a.body <=> BINARY b.body AND "
			     "a.re = b.re AND a.ends = b.ends AND a.seq > 1",
			     (unsigned long long)with, (unsigned long long)without),
	    8);
	assert_int_equal(world_ask(w,
			     "SELECT count(*) FROM msg WHERE cid = %llu AND data IS NULL "
			     "AND seq > 1",
			     (unsigned long long)with),
	    6);
	assert_int_equal(world_ask(w, "SELECT count(*) FROM conv WHERE last_seq = 9"), 2);
}

/* What is prepared is prepared anew by the server. */
static void
tables_that_were_altered_are_written_to(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), cid;

	(void)world_user(w, "bob");
	cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	world_sql(w, "ALTER TABLE msg ADD KEY msg_more (ts)");
	world_sql(w, "ALTER TABLE conv ADD COLUMN more INT");
	assert_int_equal(world_send(w, &(struct letter){.from = ann, .to = cid}).seq, 2);
	assert_int_equal(world_ask(w, "SELECT last_seq FROM conv"), 2);
}

/* --- Round trips --- */

static uint64_t
statements_so_far(void)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.counters[STAT_STORE_STATEMENTS];
}

enum { CONVS = 10, EACH = 20 };

static uint64_t
statements_of_a_batch(struct world *w, uint64_t from, const uint64_t cids[CONVS])
{
	struct op *ops[CONVS * EACH];
	char names[CONVS][16];
	uint64_t before = statements_so_far();

	for (size_t i = 0; i < LEN(ops); i++) {
		struct letter letter = {.from = from, .to_user = names[i % CONVS]};

		(void)snprintf(names[i % CONVS], sizeof(names[0]), "user%zu", i % CONVS);
		ops[i] = letter_op(&letter);
		ops[i]->append.target.cid = cids[i % CONVS];
		ops[i]->append.acl_ver = 1;
	}
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_int_equal(ops[i]->fault.err, ERR_OK);
		assert_int_equal(ops[i]->append.target.cid, cids[i % CONVS]);
		op_destroy(&ops[i]);
	}
	return statements_so_far() - before;
}

/* The transaction's two ends, rows locked, our life, messages, heads; before that names once. */
static void
a_batch_takes_six_statements(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), cids[CONVS];

	for (size_t i = 0; i < CONVS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "user%zu", i);
		(void)world_user(w, name);
		cids[i] = world_send(w, &(struct letter){.from = ann, .to_user = name}).cid;
	}
	world_reopen(w);
	assert_int_equal(statements_of_a_batch(w, ann, cids), 7);
	assert_int_equal(statements_of_a_batch(w, ann, cids), 6);
}

/* --- Names --- */

static void
end_account(struct driver *node, uint64_t user, slice name)
{
	struct op *op = op_create(OP_CLOSE);

	op->user = user;
	op->close.name = name;
	op->close.password_hash = S("hash");
	node->type->write(node, &op, 1);
	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

/* A repeated message is answered with the facts as they are now. */
static void
repeat(struct world *w, uint64_t from, uint64_t cid, const char *name)
{
	struct op *op = letter_op(&(struct letter){.from = from, .to = cid, .cmid = "c-1"});

	op->append.want_facts = true;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->append.dup);
	assert_true(slice_eq(op->append.facts.hi_name, slice_str(name)));
	op_destroy(&op);
}

static void
a_name_ends_with_its_account_on_another_node(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct letter letter = {.from = ann, .to_user = "bob", .cmid = "c-1"};
	struct driver *node = world_open_at(w, w->address, NULL);
	struct sent sent = world_send(w, &letter);

	repeat(w, ann, sent.cid, "bob");
	end_account(node, bob, S("bob"));
	repeat(w, ann, sent.cid, "deleted");
	letter.cmid = "c-2";
	letter.to = sent.cid;
	letter.acl_ver = sent.acl_ver;
	assert_int_equal(world_send(w, &letter).fault.err, ERR_NOT_FOUND);
	node->type->close(&node);
}

/* There a number may be another conversation's. */
static void
names_end_with_the_store_s_life(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct letter letter = {.from = ann, .to_user = "bob"};
	struct sent sent;

	(void)world_user(w, "bob");
	(void)world_user(w, "eve");
	sent = world_send(w, &letter);
	letter.to = sent.cid;
	assert_int_equal(world_send(w, &letter).fault.err, ERR_OK);
	world_sql(w, "UPDATE conv SET hi = (SELECT id FROM user WHERE name = 'eve')");
	world_sql(w, "UPDATE meta SET epoch = 'another'");
	assert_int_equal(world_send(w, &letter).fault.err, ERR_UNAVAILABLE);
	letter.to_user = "eve";
	sent = world_send(w, &letter);
	assert_int_equal(sent.fault.err, ERR_OK);
	assert_int_equal(sent.cid, letter.to);
}

/* More of them than are remembered: each is read again when it is needed. */
static void
names_are_bounded(void **state)
{
	struct mysql_names names = {0};
	struct conv_row row = {.kind = CONV_DIRECT, .acl_ver = 1};

	(void)state;
	for (row.cid = 1; row.cid <= LIMIT_NAMES + 1; row.cid++) {
		row.lo_name = short_name_of(S("ann"));
		row.hi_name = short_name_of(S("bob"));
		mysql_names_put(&names, &row);
		row.lo_name = row.hi_name = short_name_of(SLICE_NONE);
		assert_true(mysql_names_get(&names, &row));
		assert_true(slice_eq(short_name_slice(&row.lo_name), slice_str("ann")));
		assert_true(slice_eq(short_name_slice(&row.hi_name), slice_str("bob")));
	}
	assert_int_equal(names.by_cid.count, 1);
	row.cid = LIMIT_NAMES + 1;
	row.acl_ver = 2;
	assert_false(mysql_names_get(&names, &row));
	mysql_names_put(&names, &row);
	assert_true(mysql_names_get(&names, &row));
	mysql_names_clear(&names);
	assert_false(mysql_names_get(&names, &row));
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_large_batch_is_numbered_without_holes),
	    T(a_large_batch_without_arrays_is_numbered_without_holes),
	    T(a_row_is_the_same_with_arrays_and_without),
	    T(tables_that_were_altered_are_written_to),
	    T(a_batch_takes_six_statements),
	    T(a_name_ends_with_its_account_on_another_node),
	    T(names_end_with_the_store_s_life),
	    cmocka_unit_test(names_are_bounded),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
