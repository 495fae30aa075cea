/* SPDX-License-Identifier: MIT */
/*
 * The bare SQLite log: floor_rows PATH BATCH ROWS plain|confab appends ROWS rows of 200 bytes, BATCH to a
 * transaction, and prints the rows per CPU second of this process.  plain: a table without an index; confab: the
 * message table of our schema with its two indexes.  PATH must not exist.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/panic.h"
#include "base/slice.h"
#include "common.h"

enum { BODY_BYTES = 200 };

static const char plain_schema[] =
    "CREATE TABLE log (id INTEGER PRIMARY KEY, cid INTEGER, seq INTEGER, sender INTEGER, cmid TEXT, ts INTEGER,"
    " body TEXT)";
static const char plain_insert[] = "INSERT INTO log (cid, seq, sender, cmid, ts, body) VALUES (1,?,2,?,?,?)";

static const char confab_schema[] =
    "CREATE TABLE msg (id INTEGER PRIMARY KEY, cid INTEGER NOT NULL, seq INTEGER NOT NULL, sender INTEGER NOT NULL,"
    " cmid TEXT, ts INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT, body TEXT, re INTEGER NOT NULL DEFAULT 0,"
    " edited INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX msg_seq ON msg (cid, seq);"
    "CREATE UNIQUE INDEX msg_cmid ON msg (cmid, cid, sender) WHERE cmid IS NOT NULL";
static const char confab_insert[] =
    "INSERT INTO msg (cid, seq, sender, cmid, ts, kind, body) VALUES (1,?,2,?,?,'text',?)";

static double
cpu_s(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void
append(sqlite3 *db, sqlite3_stmt *insert, long seq)
{
	static char body[BODY_BYTES];
	char cmid[32];
	int len = snprintf(cmid, sizeof(cmid), "%013lx-%ld", 1795303866126000000L + seq * 1000, seq % 1024);

	memset(body, 'x', sizeof(body));
	(void)sqlite3_bind_int64(insert, 1, seq);
	(void)sqlite3_bind_text(insert, 2, cmid, len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(insert, 3, 1795303866126L + seq);
	(void)sqlite3_bind_text(insert, 4, body, sizeof(body), SQLITE_STATIC);
	if (sqlite3_step(insert) != SQLITE_DONE)
		panic("%s", sqlite3_errmsg(db));
	(void)sqlite3_reset(insert);
}

int
main(int argc, char **argv)
{
	bool ours = argc == 5 && strcmp(argv[4], "confab") == 0;
	sqlite3_stmt *insert, *begin, *commit;
	long batch, rows, done = 0;
	sqlite3 *db;
	double start;

	if (argc != 5 || (batch = strtol(argv[2], NULL, 10)) < 1 ||
	    (rows = strtol(argv[3], NULL, 10)) < 1) {
		fputs("usage: floor_rows PATH BATCH ROWS plain|confab\n", stderr);
		return 2;
	}
	db = floor_db(argv[1]);
	floor_sql(db, ours ? confab_schema : plain_schema);
	insert = floor_prepare(db, ours ? confab_insert : plain_insert);
	begin = floor_prepare(db, "BEGIN IMMEDIATE");
	commit = floor_prepare(db, "COMMIT");
	start = cpu_s();
	while (done < rows) {
		(void)sqlite3_step(begin);
		(void)sqlite3_reset(begin);
		for (long i = 0; i < batch; i++)
			append(db, insert, ++done);
		if (sqlite3_step(commit) != SQLITE_DONE)
			panic("%s", sqlite3_errmsg(db));
		(void)sqlite3_reset(commit);
	}
	start = cpu_s() - start;
	printf("{\"rows\":%ld,\"batch\":%ld,\"cpu_s\":%.4f,\"cpu_us_per_row\":%.3f,\"rows_per_cpu_s\":%.0f}\n", done, batch,
	    start, start * 1e6 / (double)done, (double)done / start);
	return 0;
}
