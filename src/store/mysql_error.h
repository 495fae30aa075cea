/* SPDX-License-Identifier: MIT */
/* What an error of MariaDB or MySQL means for a transaction: one table, a test for each line. */
#ifndef STORE_MYSQL_ERROR_H
#define STORE_MYSQL_ERROR_H

#include "store/sql_error.h"

/*
 * name, code, its class before COMMIT, and whether the connection is of no use any more.  Codes of
 * 2000 and above are the client library's.
 */
/* clang-format off */
#define MYSQL_ERRORS(X)                                                                            \
	X(NOT_LOCKED_AGAIN, 1020, RETRY, 0)        /* a row changed since it was read */           \
	X(DISK_FULL, 1021, UNAVAILABLE, 0)                                                         \
	X(DUPLICATE, 1022, RETRY, 0)               /* another was faster: decide again */          \
	X(OUT_OF_MEMORY, 1037, UNAVAILABLE, 0)                                                     \
	X(TOO_MANY_CONNECTIONS, 1040, UNAVAILABLE, 1)                                              \
	X(OUT_OF_RESOURCES, 1041, UNAVAILABLE, 0)                                                  \
	X(DATABASE_DENIED, 1044, UNAVAILABLE, 1)                                                   \
	X(ACCESS_DENIED, 1045, UNAVAILABLE, 1)                                                     \
	X(DATABASE_UNKNOWN, 1049, UNAVAILABLE, 1)                                                  \
	X(SERVER_SHUTDOWN, 1053, UNAVAILABLE, 1)                                                   \
	X(DUPLICATE_KEY, 1062, RETRY, 0)           /* the same, by a unique index */               \
	X(NORMAL_SHUTDOWN, 1077, UNAVAILABLE, 1)                                                   \
	X(SHUTDOWN_COMPLETE, 1079, UNAVAILABLE, 1)                                                 \
	X(FORCED_CLOSE, 1080, RETRY, 1)                                                            \
	X(HOST_BLOCKED, 1129, UNAVAILABLE, 1)                                                      \
	X(HOST_DENIED, 1130, UNAVAILABLE, 1)                                                       \
	X(TABLE_FULL, 1114, UNAVAILABLE, 0)                                                        \
	X(TABLE_DENIED, 1142, UNAVAILABLE, 0)      /* grants; another statement may do */          \
	X(ABORTED, 1152, UNAVAILABLE, 1)                                                           \
	X(PACKET_TOO_LARGE, 1153, BUG, 1)                                                          \
	X(READ_PACKET, 1158, RETRY, 1)                                                             \
	X(READ_TIMEOUT, 1159, UNAVAILABLE, 1)                                                      \
	X(WRITE_PACKET, 1160, RETRY, 1)                                                            \
	X(WRITE_TIMEOUT, 1161, UNAVAILABLE, 1)                                                     \
	X(ABORTED_CONNECTION, 1184, UNAVAILABLE, 1)                                                \
	X(TOO_MANY_OF_USER, 1203, UNAVAILABLE, 1)                                                  \
	X(LOCK_TIMEOUT, 1205, UNAVAILABLE, 0)      /* the time-out has passed by then */           \
	X(LOCK_TABLE_FULL, 1206, UNAVAILABLE, 0)                                                   \
	X(READ_ONLY_TRANSACTION, 1207, UNAVAILABLE, 1)                                             \
	X(DEADLOCK, 1213, RETRY, 0)                                                                \
	X(LIMIT_REACHED, 1226, UNAVAILABLE, 1)                                                     \
	X(READ_ONLY_OPTION, 1290, UNAVAILABLE, 1)  /* --read-only: the primary is elsewhere */     \
	X(INTERRUPTED, 1317, UNAVAILABLE, 0)                                                       \
	X(TOO_MANY_STATEMENTS, 1461, UNAVAILABLE, 1)                                               \
	X(LOCK_ABORTED, 1689, RETRY, 0)                                                            \
	X(READ_ONLY_TRANSACTION_2, 1792, UNAVAILABLE, 1)                                           \
	X(READ_ONLY_MODE, 1836, UNAVAILABLE, 1)                                                    \
	X(KILLED, 1927, RETRY, 1)                                                                  \
	X(STATEMENT_TIMEOUT, 1969, UNAVAILABLE, 0)                                                 \
	X(STATEMENT_TIMEOUT_MYSQL, 3024, UNAVAILABLE, 0)                                           \
	X(NO_WAIT, 3572, RETRY, 0)                                                                 \
	X(INNODB_READ_ONLY, 1874, UNAVAILABLE, 1)                                                  \
	X(DISK_FULL_TABLESPACE, 3170, UNAVAILABLE, 0)                                              \
	X(IDLE_CLOSED, 4031, RETRY, 1)                                                             \
	X(ERROR_ON_READ, 1024, UNAVAILABLE, 0)                                                     \
	X(ERROR_ON_WRITE, 1026, UNAVAILABLE, 0)                                                    \
	X(STORAGE_ENGINE, 1030, UNAVAILABLE, 0)                                                    \
	X(CRASHED, 1194, UNAVAILABLE, 0)                                                           \
	X(GALERA_NOT_READY, 1047, UNAVAILABLE, 1)  /* WSREP has not yet prepared node */           \
	X(CHANGED_PREPARED, 1615, RETRY, 1)        /* statement needs to be re-prepared */         \
	X(UNKNOWN_STATEMENT, 1243, RETRY, 1)                                                       \
	X(CLIENT_SOCKET, 2001, UNAVAILABLE, 1)                                                     \
	X(CLIENT_CONNECT_LOCAL, 2002, UNAVAILABLE, 1)                                              \
	X(CLIENT_CONNECT, 2003, UNAVAILABLE, 1)                                                    \
	X(CLIENT_HOST_UNKNOWN, 2005, UNAVAILABLE, 1)                                               \
	X(CLIENT_GONE, 2006, RETRY, 1)                                                             \
	X(CLIENT_MEMORY, 2008, UNAVAILABLE, 1)                                                     \
	X(CLIENT_HANDSHAKE, 2012, UNAVAILABLE, 1)                                                  \
	X(CLIENT_LOST, 2013, RETRY, 1)             /* before COMMIT: nothing of it is stored */    \
	X(CLIENT_OUT_OF_SYNC, 2014, BUG, 1)                                                        \
	X(CLIENT_PACKET_TOO_LARGE, 2020, BUG, 1)                                                   \
	X(CLIENT_TLS, 2026, UNAVAILABLE, 1)                                                        \
	X(CLIENT_MALFORMED, 2027, UNAVAILABLE, 1)                                                  \
	X(CLIENT_SERVER_LOST_EXTENDED, 2055, RETRY, 1)                                             \
	X(SYNTAX, 1064, BUG, 0)                                                                    \
	X(COLUMN_UNKNOWN, 1054, BUG, 0)                                                            \
	X(TABLE_UNKNOWN, 1146, BUG, 0)                                                             \
	X(NOT_NULL, 1048, BUG, 0)                                                                  \
	X(OUT_OF_RANGE, 1264, BUG, 0)                                                              \
	X(DATA_TOO_LONG, 1406, BUG, 0)                                                             \
	X(BAD_TEXT, 1366, BUG, 0)
/* clang-format on */

#define MYSQL_ERROR_AS_ENUM(name, code, before, reopen) MYSQL_ERROR_##name = (code),
enum mysql_error { MYSQL_ERRORS(MYSQL_ERROR_AS_ENUM) };

/* A code without a line is a bug before COMMIT.  At COMMIT, every one: UNKNOWN. */
enum sql_class mysql_error_class(int code, enum sql_phase phase);
bool mysql_error_reopen(int code);
bool mysql_error_duplicate(int code);

#endif
