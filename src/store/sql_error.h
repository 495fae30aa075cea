/* SPDX-License-Identifier: MIT */
/* What an error of SQLite means for a transaction: one table, a test for each line. */
#ifndef STORE_SQL_ERROR_H
#define STORE_SQL_ERROR_H

#include <sqlite3.h>
#include <stdbool.h>

enum sql_class {
	CLASS_RETRY,       /* roll back and run the transaction again at once, a few times */
	CLASS_UNAVAILABLE, /* nothing was stored and nothing will be for now */
	CLASS_UNKNOWN,     /* it may have been committed: reopen and look */
	CLASS_BUG,         /* the transaction itself is wrong */
	CLASS_DIVIDE,      /* part of it must wait for others: sql_engine's divide() */
};

enum sql_phase { PHASE_BEFORE_COMMIT, PHASE_COMMIT };

/*
 * code, its class before COMMIT, and two questions: at COMMIT, does it prove that the commit record
 * is not whole in the log?  Then what is not found after reopening is not there; otherwise the
 * record may come back with a recovery, and the log must be put right first.  And before COMMIT,
 * may another connection do better?  (Files that could only be opened for reading, say, stay so.)
 */
/* clang-format off */
#define SQL_ERRORS(X)                                                                              \
	X(SQLITE_BUSY, UNAVAILABLE, 0, 0) /* the busy time-out has passed by then */               \
	X(SQLITE_BUSY_SNAPSHOT, RETRY, 0, 0)                                                       \
	X(SQLITE_BUSY_RECOVERY, RETRY, 0, 0)                                                       \
	X(SQLITE_LOCKED, RETRY, 0, 0)                                                              \
	X(SQLITE_SCHEMA, RETRY, 0, 0)                                                              \
	X(SQLITE_ABORT, RETRY, 0, 0)                                                               \
	X(SQLITE_FULL, UNAVAILABLE, 1, 0)                                                          \
	X(SQLITE_READONLY, UNAVAILABLE, 0, 1)                                                      \
	X(SQLITE_IOERR, UNAVAILABLE, 0, 1)                                                         \
	X(SQLITE_IOERR_WRITE, UNAVAILABLE, 1, 1)                                                   \
	X(SQLITE_IOERR_FSYNC, UNAVAILABLE, 0, 1)                                                   \
	X(SQLITE_CANTOPEN, UNAVAILABLE, 0, 1)                                                      \
	X(SQLITE_PROTOCOL, UNAVAILABLE, 0, 1)                                                      \
	X(SQLITE_CORRUPT, UNAVAILABLE, 0, 1)                                                       \
	X(SQLITE_NOTADB, UNAVAILABLE, 0, 1)                                                        \
	X(SQLITE_NOMEM, UNAVAILABLE, 0, 0)                                                         \
	X(SQLITE_INTERRUPT, UNAVAILABLE, 0, 0)                                                     \
	X(SQLITE_PERM, UNAVAILABLE, 0, 1)                                                          \
	X(SQLITE_AUTH, UNAVAILABLE, 0, 1)                                                          \
	X(SQLITE_NOLFS, UNAVAILABLE, 0, 1)                                                         \
	X(SQLITE_CONSTRAINT, BUG, 0, 0) /* those that are expected were handled where they arose */ \
	X(SQLITE_TOOBIG, BUG, 0, 0)                                                                \
	X(SQLITE_MISMATCH, BUG, 0, 0)                                                              \
	X(SQLITE_MISUSE, BUG, 0, 0)                                                                \
	X(SQLITE_RANGE, BUG, 0, 0)                                                                 \
	X(SQLITE_INTERNAL, BUG, 0, 0)                                                              \
	X(SQLITE_ERROR, BUG, 0, 0)
/* clang-format on */

/* By the exact code if it has a line, else by its primary code, else BUG.  At COMMIT: UNKNOWN. */
enum sql_class sql_error_class(int code, enum sql_phase phase);
bool sql_error_not_whole(int code);
bool sql_error_reopen(int code);

#endif
