/* SPDX-License-Identifier: MIT */
#include "store/page_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/slice.h"

enum { PAGE = 4096, LOCK_PAGE = 0x40000000 / PAGE + 1 };

static int inner, created, destroyed, truncated;
static unsigned truncated_from;
static sqlite3_pcache_page page;

static sqlite3_pcache *
fake_create(int page_size, int extra, int purgeable)
{
	assert_true(page_size == PAGE && extra == 8 && purgeable == 1);
	return created++ == 0 ? (sqlite3_pcache *)(void *)&inner : NULL;
}

static void
fake_destroy(sqlite3_pcache *cache)
{
	assert_ptr_equal(cache, &inner);
	destroyed++;
}

static sqlite3_pcache_page *
fake_fetch(sqlite3_pcache *cache, unsigned number, int create)
{
	(void)number;
	assert_ptr_equal(cache, &inner);
	return create != 0 ? &page : NULL;
}

static void
fake_rekey(sqlite3_pcache *cache, sqlite3_pcache_page *moved, unsigned old, unsigned number)
{
	assert_true(old != number);
	assert_ptr_equal(cache, &inner);
	assert_ptr_equal(moved, &page);
}

static void
fake_truncate(sqlite3_pcache *cache, unsigned first)
{
	assert_ptr_equal(cache, &inner);
	truncated++;
	truncated_from = first;
}

static const sqlite3_pcache_methods2 fake = {.iVersion = 1,
    .xCreate = fake_create,
    .xDestroy = fake_destroy,
    .xFetch = fake_fetch,
    .xRekey = fake_rekey,
    .xTruncate = fake_truncate};

static void
truncates(const sqlite3_pcache_methods2 *m, sqlite3_pcache *cache, unsigned first, bool expected)
{
	int before = truncated;

	m->xTruncate(cache, first);
	assert_int_equal(truncated - before, expected);
	if (expected)
		assert_int_equal(truncated_from, first);
}

static void
test_walks_only_where_there_is_something_to_drop(void **state)
{
	sqlite3_pcache_methods2 m = page_cache_around(&fake);
	sqlite3_pcache *cache = m.xCreate(PAGE, 8, 1);

	(void)state;
	truncates(&m, cache, 1, false);
	(void)m.xFetch(cache, 7, 2);
	(void)m.xFetch(cache, 9, 0); /* not there, and not made */
	truncates(&m, cache, 8, false);
	truncates(&m, cache, 7, true);
	truncates(&m, cache, 7, false);
	m.xRekey(cache, &page, 3, 20);
	truncates(&m, cache, 21, false);
	truncates(&m, cache, 20, true);
	/* Two pages change places. */
	m.xRekey(cache, &page, 5, LOCK_PAGE);
	m.xRekey(cache, &page, LOCK_PAGE, 6);
	truncates(&m, cache, 20, false);
	/* A file that is larger than that. */
	(void)m.xFetch(cache, LOCK_PAGE + 5, 1);
	truncates(&m, cache, LOCK_PAGE + 6, false);
	truncates(&m, cache, 0, true);
	truncates(&m, cache, 0, true);
	assert_null(m.xCreate(PAGE, 8, 1));
	m.xDestroy(cache);
	assert_int_equal(destroyed, 1);
}

static void
run(sqlite3 *db, const char *sql)
{
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int
one_row(void *cookie, int count, char **values, char **names)
{
	(void)names;
	assert_int_equal(count, 1);
	(void)snprintf(cookie, 32, "%s", values[0]);
	return 0;
}

/* Files that grow, shrink and are rolled back. */
static void
test_sqlite_on_it(void **state)
{
	char answer[32] = "";
	sqlite3 *db;

	(void)state;
	page_cache_install();
	page_cache_install();
	assert_int_equal(sqlite3_open("", &db), SQLITE_OK);
	run(db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER, c TEXT);"
		"CREATE INDEX t_b ON t (b, a);");
	for (int i = 0; i < 20; i++) {
		run(db,
		    "BEGIN;"
		    "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
		    "INSERT INTO t (b, c) SELECT random() % 1000000, hex(zeroblob(50)) FROM n;");
		run(db, i % 3 == 0 ? "ROLLBACK" : "COMMIT");
		if (i % 5 == 4)
			run(db, "DELETE FROM t WHERE b % 3 = 1; VACUUM;");
		assert_int_equal(
		    sqlite3_exec(db, "PRAGMA integrity_check", one_row, answer, NULL), SQLITE_OK);
		assert_string_equal(answer, "ok");
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_sqlite_on_it), /* before the other, which is around a cache of its own */
	    cmocka_unit_test(test_walks_only_where_there_is_something_to_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
