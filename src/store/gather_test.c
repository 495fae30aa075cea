/* SPDX-License-Identifier: MIT */
/* What is gathered is there when it is asked for, and what fails is as if it had not been. */
#include "store/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/slice.h"
#include "store/test_vfs.h"

struct world {
	char directory[40], path[64];
	sqlite3 *db; /* gathers */
};

static int
run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void
check(sqlite3 *db, const char *sql)
{
	int rc = run(db, sql);

	if (rc != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *
connect(const struct world *w, const char *vfs)
{
	sqlite3 *db = NULL;

	assert_int_equal(
	    sqlite3_open_v2(w->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs),
	    SQLITE_OK);
	(void)sqlite3_extended_result_codes(db, 1);
	(void)sqlite3_busy_timeout(db, 20000);
	check(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		  "PRAGMA wal_autocheckpoint = 0;");
	return db;
}

static int
set_up(void **state)
{
	static struct world w;

	(void)snprintf(w.directory, sizeof(w.directory), "/tmp/confab-gather-XXXXXX");
	assert_non_null(mkdtemp(w.directory));
	(void)snprintf(w.path, sizeof(w.path), "%s/db", w.directory);
	w.db = connect(&w, gather_vfs());
	check(w.db, "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT) STRICT");
	*state = &w;
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = {"db", "db-wal", "db-shm"};
	struct world *w = *state;
	char path[64];

	test_vfs_heal();
	(void)sqlite3_close(w->db);
	for (size_t i = 0; i < LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->directory, names[i]);
		(void)unlink(path);
	}
	return rmdir(w->directory);
}

static int
ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *prepared = NULL;
	int number;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &prepared, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(prepared), SQLITE_ROW);
	number = sqlite3_column_int(prepared, 0);
	assert_int_equal(sqlite3_finalize(prepared), SQLITE_OK);
	return number;
}

/* As many rows, each of nearly a page. */
static int
add(sqlite3 *db, int rows)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
	    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
	    "INSERT INTO t (body) SELECT hex(zeroblob(1900)) FROM n",
	    rows);
	return run(db, sql);
}

/* The rows that others see, and that the file is whole. */
static void
check_others(const struct world *w, int rows)
{
	sqlite3 *db = connect(w, NULL);

	assert_int_equal(ask(db, "SELECT count(*) FROM t"), rows);
	assert_int_equal(ask(db, "SELECT count(*) FROM t WHERE length(body) <> 3800"), 0);
	assert_int_equal(ask(db, "SELECT count(*) FROM pragma_integrity_check "
				 "WHERE integrity_check <> 'ok'"),
	    0);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
a_commit_takes_few_writes(void **state)
{
	struct world *w = *state;
	int before = atomic_load(&test_vfs.wal_writes), writes;

	assert_int_equal(add(w->db, 100), SQLITE_OK);
	writes = atomic_load(&test_vfs.wal_writes) - before;
	assert_in_range(writes, 1, 10);
	check_others(w, 100);

	before = atomic_load(&test_vfs.wal_writes);
	assert_int_equal(add(w->db, 1), SQLITE_OK);
	assert_int_equal(atomic_load(&test_vfs.wal_writes) - before, 1);
	check_others(w, 101);
}

static void
what_left_the_cache_is_read_again(void **state)
{
	struct world *w = *state;

	check(w->db, "PRAGMA cache_size = 10; BEGIN IMMEDIATE");
	for (int i = 1; i <= 20; i++) {
		assert_int_equal(add(w->db, 17), SQLITE_OK);
		assert_int_equal(
		    ask(w->db, "SELECT count(*) FROM t WHERE length(body) = 3800"), i * 17);
		check_others(w, 0);
		check(w->db, "UPDATE t SET body = lower(body) WHERE id % 7 = 0");
	}
	check(w->db, "COMMIT");
	check_others(w, 340);
}

/* Others write where it would have stood. */
static void
what_was_rolled_back_disturbs_nobody(void **state)
{
	struct world *w = *state;
	sqlite3 *other = connect(w, NULL);

	check(w->db, "PRAGMA cache_size = 10");
	for (int i = 1; i <= 8; i++) {
		check(w->db, "BEGIN IMMEDIATE");
		assert_int_equal(add(w->db, 20 + i), SQLITE_OK);
		check(w->db, "ROLLBACK");
		assert_int_equal(add(other, 3), SQLITE_OK);
		check_others(w, i * 5 - 2);
		assert_int_equal(add(w->db, 2), SQLITE_OK);
		check_others(w, i * 5);
	}
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
}

static void
a_savepoint_is_taken_back(void **state)
{
	struct world *w = *state;

	check(w->db, "PRAGMA cache_size = 10; BEGIN IMMEDIATE");
	assert_int_equal(add(w->db, 30), SQLITE_OK);
	check(w->db, "SAVEPOINT here");
	assert_int_equal(add(w->db, 50), SQLITE_OK);
	check(w->db, "ROLLBACK TO here");
	assert_int_equal(add(w->db, 5), SQLITE_OK);
	check(w->db, "COMMIT");
	check_others(w, 35);
}

static void
a_log_begins_anew(void **state)
{
	struct world *w = *state;

	for (int i = 1; i <= 4; i++) {
		assert_int_equal(add(w->db, 40), SQLITE_OK);
		assert_int_equal(
		    sqlite3_wal_checkpoint_v2(w->db, NULL,
			i % 2 == 0 ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, NULL,
			NULL),
		    SQLITE_OK);
		check_others(w, 40 * i);
	}
}

/* failing: one of test_vfs; the commit ends with code.  First in one piece, then in several. */
static void
check_failure(struct world *w, _Atomic int *failing, int code)
{
	assert_int_equal(add(w->db, 10), SQLITE_OK);
	for (int i = 1; i <= 3; i++) {
		check(w->db, "BEGIN IMMEDIATE");
		assert_int_equal(add(w->db, i * 20 - 19), SQLITE_OK);
		atomic_store(failing, 1);
		assert_int_equal(run(w->db, "COMMIT"), code);
		assert_int_equal(atomic_load(failing), 0);
		if (sqlite3_get_autocommit(w->db) == 0)
			check(w->db, "ROLLBACK");
		check_others(w, 9 + i);
		assert_int_equal(add(w->db, 1), SQLITE_OK);
		check_others(w, 10 + i);
	}
}

static void
a_full_disk_fails_the_commit(void **state)
{
	check_failure(*state, &test_vfs.write_wal, SQLITE_FULL);
}

static void
half_a_write_fails_the_commit(void **state)
{
	check_failure(*state, &test_vfs.short_wal, SQLITE_FULL);
}

static void
a_sync_that_fails_fails_the_commit(void **state)
{
	check_failure(*state, &test_vfs.sync_wal, SQLITE_IOERR_FSYNC);
}

/* Pages that leave the cache, and are not committed yet. */
static void
a_write_before_the_commit_fails(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w->db, 10), SQLITE_OK);
	check(w->db, "PRAGMA cache_size = 10; BEGIN IMMEDIATE");
	atomic_store(&test_vfs.short_wal, 1);
	assert_int_equal(add(w->db, 100), SQLITE_FULL);
	if (sqlite3_get_autocommit(w->db) == 0)
		check(w->db, "ROLLBACK");
	check_others(w, 10);
	assert_int_equal(add(w->db, 100), SQLITE_OK);
	check_others(w, 110);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_commit_takes_few_writes),
	    T(what_left_the_cache_is_read_again),
	    T(what_was_rolled_back_disturbs_nobody),
	    T(a_savepoint_is_taken_back),
	    T(a_log_begins_anew),
	    T(a_full_disk_fails_the_commit),
	    T(half_a_write_fails_the_commit),
	    T(a_sync_that_fails_fails_the_commit),
	    T(a_write_before_the_commit_fails),
	};
#undef T

	test_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
