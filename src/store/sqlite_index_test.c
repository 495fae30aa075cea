/* SPDX-License-Identifier: MIT */
/* An index that lags: what is read of the log is the same before, while and after entries are merged. */
#include "base/stat.h"
#include "store/admin.h"
#include "store/schema.h"
#include "store/sqlite_db.h"
#include "store/test_vfs.h"
#include "store/test_world.h"

enum { PEERS = 5, PAGE = 6 };

struct log {
	struct world w;
	uint64_t ann, cids[PEERS], heads[PEERS], sent;
	uint64_t cmids; /* so many were made */
};

static struct sqlite *
inside(struct log *l)
{
	return container_of(l->w.driver, struct sqlite, base);
}

static void
send_to(struct log *l, size_t peer)
{
	char cmid[24];
	struct sent sent;

	(void)snprintf(cmid, sizeof(cmid), "c%llu", (unsigned long long)++l->cmids);
	sent =
	    world_send(&l->w, &(struct letter){.from = l->ann, .to = l->cids[peer], .cmid = cmid});
	assert_true(sent.fault.err == ERR_OK && !sent.dup && sent.seq == l->heads[peer] + 1);
	l->heads[peer]++;
	l->sent++;
}

static int
set_up(void **state)
{
	static struct log log;
	struct log *l = &log;
	char name[16];

	*l = (struct log){0};
	world_init(&l->w, WORLD_SQLITE);
	l->ann = world_user(&l->w, "ann");
	for (size_t i = 0; i < PEERS; i++) {
		(void)snprintf(name, sizeof(name), "peer%zu", i);
		(void)world_user(&l->w, name);
		l->cids[i] =
		    world_send(&l->w, &(struct letter){.from = l->ann, .to_user = name}).cid;
		l->heads[i] = 1;
	}
	*state = l;
	return 0;
}

static int
tear_down(void **state)
{
	struct log *l = *state;

	test_vfs_heal();
	world_fini(&l->w);
	return 0;
}

static void
check_page(struct log *l, size_t peer, uint64_t after, bool newest)
{
	uint64_t head = l->heads[peer], count = head - after < PAGE ? head - after : PAGE;
	uint64_t first = newest ? head + 1 - count : after + 1;
	struct op *op = world_page(&l->w, l->ann, l->cids[peer], after, 0, PAGE, newest);

	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->page.count, count);
	for (size_t i = 0; i < count; i++)
		assert_true(op->page.items[i]->seq == first + i);
	op_destroy(&op);
}

static void
check_heads(struct log *l)
{
	struct op *op = op_create(OP_SYNC);

	op->user = l->ann;
	world_read(&l->w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->sync.count, PEERS);
	for (size_t i = 0; i < PEERS; i++)
		for (size_t k = 0; k < PEERS; k++)
			if (op->sync.items[k].cid == l->cids[i])
				assert_true(op->sync.items[k].head == l->heads[i]);
	op_destroy(&op);
}

static void
check_log(struct log *l)
{
	check_heads(l);
	for (size_t i = 0; i < PEERS; i++) {
		check_page(l, i, 0, false);
		check_page(l, i, 0, true);
		check_page(l, i, l->heads[i] / 2, false);
	}
}

static size_t
lag(struct log *l)
{
	return memtable_count(&inside(l)->memtable);
}

static uint64_t
indexed(struct log *l)
{
	return world_ask(&l->w, "SELECT count(*) FROM msg_index i JOIN msg m ON m.id = i.id AND "
				"m.cid = i.cid AND m.seq = i.seq");
}

static void
check_complete(struct log *l)
{
	uint64_t entries = PEERS + l->sent;

	assert_true(world_ask(&l->w, "SELECT count(*) FROM msg") == entries);
	assert_true(indexed(l) == entries);
	assert_true(world_ask(&l->w, "SELECT count(*) FROM msg_index") == entries);
	assert_true(world_ask(&l->w, "SELECT indexed = (SELECT max(id) FROM msg) FROM meta") == 1);
}

static void
the_log_reads_the_same_at_every_step(void **state)
{
	struct log *l = *state;
	bool lagged = false, between = false;

	for (size_t i = 0; i < 60; i++) {
		send_to(l, (i * i) % PEERS);
		check_log(l);
		lagged = lagged || indexed(l) < PEERS + l->sent;
		between = between || (inside(l)->memtable.merged > 0 && lag(l) > 0);
		assert_true(lag(l) <= 2 * inside(l)->merge_at);
	}
	assert_true(lagged && between);
	world_reopen(&l->w);
	check_complete(l);
	check_log(l);
}

static void
copy_file(const char *from, const char *to, const char *suffix)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "cp '%s%s' '%s%s'", from, suffix, to, suffix);
	assert_int_equal(system(command), 0);
}

/* The files as they are now, as a crash would leave them, opened by another driver in place of this one. */
static void
crash(struct log *l)
{
	struct world crashed = l->w;

	(void)snprintf(crashed.path, sizeof(crashed.path), "%s/crashed.db", l->w.directory);
	copy_file(l->w.path, crashed.path, "");
	copy_file(l->w.path, crashed.path, "-wal");
	l->w.driver->type->close(&l->w.driver);
	world_remove(&l->w);
	copy_file(crashed.path, l->w.path, "");
	copy_file(crashed.path, l->w.path, "-wal");
	world_remove(&crashed);
	world_reopen(&l->w);
}

static void
a_crash_loses_nothing_of_it(void **state)
{
	struct log *l = *state;

	for (size_t i = 0; i < 40; i++) {
		send_to(l, i % 3);
		if (i % 4 != 3)
			continue;
		crash(l);
		check_log(l);
	}
	world_reopen(&l->w);
	check_complete(l);
}

static void
a_batch_that_fails_leaves_nothing_in_it(void **state)
{
	struct log *l = *state;

	for (size_t i = 0; i < 30; i++) {
		size_t peer = i % PEERS;
		char cmid[24];
		struct sent sent;

		(void)snprintf(cmid, sizeof(cmid), "f%zu", i);
		atomic_store(i % 2 == 0 ? &test_vfs.write_wal : &test_vfs.sync_wal, 1);
		sent = world_send(
		    &l->w, &(struct letter){.from = l->ann, .to = l->cids[peer], .cmid = cmid});
		test_vfs_heal();
		if (sent.fault.err == ERR_OK) {
			l->heads[peer]++;
			l->sent++;
		}
		check_log(l);
		send_to(l, peer);
		check_log(l);
	}
	world_reopen(&l->w);
	check_complete(l);
}

static void
a_transaction_that_can_not_begin_takes_nothing_back(void **state)
{
	struct log *l = *state;
	sqlite3 *other;

	send_to(l, 0);
	assert_int_equal(sqlite3_open(l->w.path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_busy_timeout(inside(l)->sql.writer.db, 0);
	assert_int_equal(
	    world_send(&l->w, &(struct letter){.from = l->ann, .to = l->cids[0], .cmid = "x"})
		.fault.err,
	    ERR_UNAVAILABLE);
	check_log(l);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	send_to(l, 0);
	check_log(l);
}

/* His snapshot is from before entries were merged; meanwhile they are, and many come after them. */
static void
an_old_snapshot_reads_as_before(void **state)
{
	struct log *l = *state;
	struct sqlite_reader *reader = &inside(l)->readers[0];
	struct conv_row row;
	struct log then;
	size_t kept;

	do
		send_to(l, 0);
	while (lag(l) < 7);
	kept = lag(l);
	check_log(l); /* opens the reader's connection */
	memtable_enter(&inside(l)->memtable, 1);
	assert_int_equal(sql_exec(&reader->conn, "BEGIN; SELECT count(*) FROM msg"), SQLITE_OK);
	then = *l;
	for (size_t i = 0; i < 50; i++) {
		send_to(l, i % 2);
		assert_true(lag(l) >= kept);
	}
	for (uint64_t seq = 1; seq <= then.heads[0]; seq++) {
		uint64_t sender = 0;

		assert_int_equal(
		    stmt_number(&reader->conn, &sender, STMT_MSG_SENDER, "ii", then.cids[0], seq),
		    SQLITE_OK);
		assert_true(sender == l->ann);
	}
	assert_int_equal(conv_load(&reader->conn, then.cids[0], &row), SQLITE_OK);
	assert_true(row.head == then.heads[0]);
	assert_int_equal(sql_exec(&reader->conn, "COMMIT"), SQLITE_OK);
	memtable_leave(&inside(l)->memtable, 1);
	check_log(l);
	for (size_t i = 0; i < 60; i++)
		send_to(l, 2);
	assert_true(lag(l) <= 2 * inside(l)->merge_at); /* and then what he kept is forgotten */
	check_log(l);
}

static void
what_another_process_wrote_is_found(void **state)
{
	struct log *l = *state;

	send_to(l, 0);
	world_sql(&l->w,
	    "INSERT INTO msg (cid, seq, sender, ts, kind, body) VALUES (%llu, 3, %llu, 5, 'text', "
	    "'by hand')",
	    (unsigned long long)l->cids[0], (unsigned long long)l->ann);
	l->heads[0]++;
	l->sent++;
	send_to(l, 0);
	check_log(l);
	world_reopen(&l->w);
	check_complete(l);
}

/* Those of the highest ids: theirs are given anew. */
static void
what_was_deleted_by_hand_is_gone(void **state)
{
	struct log *l = *state;

	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < 9; i++)
			send_to(l, 1);
		if (round == 1)
			world_reopen(&l->w); /* all is in the index */
		world_sql(&l->w, "DELETE FROM msg WHERE cid = %llu AND seq > %llu",
		    (unsigned long long)l->cids[1], (unsigned long long)l->heads[1] - 4);
		l->heads[1] -= 4;
		l->sent -= 4;
		send_to(l, 0);
		check_log(l);
		send_to(l, 1);
		check_log(l);
		crash(l);
		check_log(l);
	}
	world_reopen(&l->w);
	check_complete(l);
}

static void
a_copy_has_all_of_it(void **state)
{
	struct log *l = *state;
	struct admin_error error;
	char url[160], file[128];

	for (size_t i = 0; i < 21; i++)
		send_to(l, i % 2);
	assert_true(lag(l) > 0);
	(void)snprintf(url, sizeof(url), "sqlite:%s", l->w.path);
	(void)snprintf(file, sizeof(file), "%s/copy.db", l->w.directory);
	assert_int_equal(admin_backup(url, file, &error), 0);
	l->w.driver->type->close(&l->w.driver);
	world_remove(&l->w);
	assert_int_equal(rename(file, l->w.path), 0);
	world_reopen(&l->w);
	check_log(l);
	world_reopen(&l->w);
	check_complete(l);
}

static void
an_index_of_version_2_is_taken_over(void **state)
{
	struct log *l = *state;
	struct sql_conn conn = {0};
	char why[256];

	l->w.driver->type->close(&l->w.driver);
	world_remove(&l->w);
	assert_int_equal(sql_open(&conn, l->w.path, SQL_CREATE, why, sizeof(why)), SQLITE_OK);
	assert_int_equal(schema_steps(&conn, 0, 2), SQLITE_OK);
	assert_int_equal(
	    sql_exec(&conn,
		"INSERT INTO user (name, display, folded, password_hash, created, seen) VALUES "
		"('ann', 'A', 'a', 'hash', 1, 1), ('bob', 'B', 'b', 'hash', 1, 1);"
		"INSERT INTO conv (cid, kind, lo, hi) VALUES (8, 1, 1, 2);"
		"INSERT INTO direct (lo, hi, cid) VALUES (1, 2, 8);"
		"INSERT INTO member (user, cid) VALUES (1, 8), (2, 8);"
		"INSERT INTO msg (cid, seq, sender, ts, kind, body) VALUES "
		"(8, 1, 1, 5, 'text', 'one'), (8, 2, 1, 6, 'text', 'two'), (8, 3, 2, 7, 'text', "
		"'x')"),
	    SQLITE_OK);
	sql_close(&conn);
	world_reopen(&l->w);
	assert_true(indexed(l) == 3 && lag(l) == 0);
	l->cids[0] = 8;
	l->heads[0] = 3;
	l->ann = 1;
	check_page(l, 0, 0, false);
	send_to(l, 0);
	check_page(l, 0, 0, true);
}

/* Two entries of one number: no order of reading them would be right. */
static void
a_number_that_stands_twice_is_an_error(void **state)
{
	struct log *l = *state;
	struct driver_options options = {.path = l->w.path, .readers = 1};
	char why[256] = "";

	world_sql(&l->w,
	    "INSERT INTO msg (cid, seq, sender, ts, kind) VALUES (%llu, 9, 1, 5, 'text'), "
	    "(%llu, 9, 1, 5, 'text')",
	    (unsigned long long)l->cids[0], (unsigned long long)l->cids[0]);
	l->w.driver->type->close(&l->w.driver);
	assert_null(sqlite_driver.open(&options, why, sizeof(why)));
	assert_non_null(strstr(why, "malformed"));
	world_sql(&l->w, "DELETE FROM msg WHERE seq = 9");
	world_reopen(&l->w);
	check_log(l);
}

static void
a_head_that_was_wrong_is_read_again(void **state)
{
	struct log *l = *state;
	struct cached_conv *conv;

	for (size_t i = 0; i < 21; i++) {
		send_to(l, 0);
		assert_int_equal(convs_get(&inside(l)->sql, l->cids[0], &conv), SQLITE_OK);
		conv->row.head = lag(l) > 0 ? l->heads[0] - 1 : l->heads[0];
	}
	check_log(l);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_log_reads_the_same_at_every_step),
	    TEST(a_crash_loses_nothing_of_it),
	    TEST(a_batch_that_fails_leaves_nothing_in_it),
	    TEST(a_transaction_that_can_not_begin_takes_nothing_back),
	    TEST(an_old_snapshot_reads_as_before),
	    TEST(what_another_process_wrote_is_found),
	    TEST(what_was_deleted_by_hand_is_gone),
	    TEST(a_copy_has_all_of_it),
	    TEST(an_index_of_version_2_is_taken_over),
	    TEST(a_number_that_stands_twice_is_an_error),
	    TEST(a_head_that_was_wrong_is_read_again),
	};

	test_vfs_install();
	return cmocka_run_group_tests_name("sqlite index", tests, NULL, NULL);
}
