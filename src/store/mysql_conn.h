/* SPDX-License-Identifier: MIT */
/*
 * A connection to MariaDB or MySQL, below store/sql.h, which asks it where its connection is none
 * of SQLite's.  Every statement is prepared at its first use and kept; only bound parameters, never
 * two statements in one packet.  Used by one thread at a time.  Functions return 0, SQL_ROW,
 * SQL_DONE or the server's or the client library's code (mysql_error.h).
 */
#ifndef STORE_MYSQL_CONN_H
#define STORE_MYSQL_CONN_H

#include <stdarg.h>

#include "store/mysql_address.h"
#include "store/sql.h"

enum {
	MYSQL_CONNECT_S = 3,
	MYSQL_IO_S = 10,       /* no answer to a statement for so long: the connection is lost */
	MYSQL_LOCK_S = 2,      /* how long a statement waits for a row of another transaction */
	MYSQL_IDLE_S = 10,     /* MariaDB ends a transaction whose node says nothing for so long */
	MYSQL_PARAMS_MAX = 16, /* of a statement of the table in sql.h */
};

struct mysql_param {
	char type; /* as stmt_start() has them */
	uint64_t number;
	slice text;
};

struct mysql_statement; /* prepared */
struct st_mysql;        /* the library's */

/* Statements over several rows: before, a row, after. */
/* clang-format off */
#define MYSQL_CONV_COLUMNS                                                                         \
	"SELECT cid, kind, lo, hi, acl_ver, min_seq, open, history, post, invite, handle, "        \
	"last_seq, last_ts, ended, members FROM conv WHERE cid IN ("
#define MYSQL_MANY(X)                                                                              \
	X(LOCK_USERS, "SELECT id FROM user WHERE id IN (", "?", ") ORDER BY id FOR UPDATE")        \
	X(LOCK_CONVS, MYSQL_CONV_COLUMNS, "?", ") ORDER BY cid FOR UPDATE")                        \
	X(LOCK_FREE, MYSQL_CONV_COLUMNS, "?", ") ORDER BY cid FOR UPDATE SKIP LOCKED")             \
	X(MSGS, "INSERT INTO msg (cid, seq, sender, cmid, ts, kind, data, body, re) VALUES ",      \
	    "(?,?,?,?,?,?,?,?,?)", "")                                                             \
	X(HEADS, "INSERT INTO conv (cid, last_seq, last_ts) VALUES ", "(?,?,?)",                   \
	    " ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq), last_ts = VALUES(last_ts)")
/* clang-format on */
#define MYSQL_MANY_AS_ENUM(name, before, row, after) MANY_##name,
enum mysql_many { MYSQL_MANY(MYSQL_MANY_AS_ENUM) MANY_MAX };

/* Rows of one statement are a power of two, so that few are prepared. */
enum { MYSQL_MANY_SIZES = 7, MYSQL_MANY_ROWS = 1 << (MYSQL_MANY_SIZES - 1) };

struct mysql_conn {
	struct st_mysql *mysql;                                   /* owned */
	struct mysql_statement *stmts[STMT_MAX];                  /* owned; NULL until used */
	struct mysql_statement *many[MANY_MAX][MYSQL_MANY_SIZES]; /* owned; of 1, 2, 4… rows */
	uint64_t last_id, changes, total_changes;
	unsigned long version; /* of the server, 101106 for 10.11.6 */
	bool mariadb;
	bool bulk; /* it takes many rows as arrays, see mysql_statement_rows() */
	bool in_transaction;
	bool broken;    /* counted */
	bool snapshots; /* a transaction reads one snapshot: for readers */
	char why[512];
};

/* Connects, and sets what every connection needs.  0, or a code with a message for people. */
int mysql_conn_open(const struct mysql_address *address, bool snapshots,
    struct mysql_conn **ret_conn, char *ret_error, size_t error_size);
/* Is it still there? */
bool mysql_conn_ping(struct mysql_conn *conn);
void mysql_conn_close(struct mysql_conn **conn);

/* A statement without parameters that gives no rows, as text. */
int mysql_conn_exec(struct mysql_conn *conn, const char *sql);
/* A question with one value for an answer, as text; an empty one where there is none. */
int mysql_conn_ask(struct mysql_conn *conn, const char *sql, char *ret, size_t size);

/* Parameters are ?1, ?2… or all plain question marks. */
int mysql_statement_prepare(
    struct mysql_conn *conn, const char *sql, size_t len, struct mysql_statement **ret_statement);
void mysql_statement_free(struct mysql_statement **statement);
/* Runs it; SQL_ROW, SQL_DONE or an error.  stream: the rows are not fetched ahead. */
int mysql_statement_start(struct mysql_conn *conn, struct mysql_statement *statement,
    const struct mysql_param *params, bool stream);
/*
 * The same with the parameters of many rows, row after row: one statement all the same.  For what
 * gives no rows; needs conn->bulk.
 */
int mysql_statement_rows(struct mysql_conn *conn, struct mysql_statement *statement,
    const struct mysql_param *params, size_t rows);
int mysql_statement_next(struct mysql_conn *conn, struct mysql_statement *statement);
void mysql_statement_end(struct mysql_statement *statement);
uint64_t mysql_statement_u64(const struct mysql_statement *statement, size_t column);
slice mysql_statement_slice(const struct mysql_statement *statement, size_t column);

/* The one for so many rows, which are a power of two up to MYSQL_MANY_ROWS. */
int mysql_conn_many(
    struct mysql_conn *conn, enum mysql_many many, size_t rows, struct mysql_statement **ret);

/* The same for the table of statements: what store/sql.h promises. */
int mysql_conn_start(struct mysql_conn *conn, enum stmt stmt, const char *types, va_list *params);
int mysql_conn_next(struct mysql_conn *conn, enum stmt stmt);
void mysql_conn_end(struct mysql_conn *conn, enum stmt stmt);
uint64_t mysql_conn_u64(const struct mysql_conn *conn, enum stmt stmt, size_t column);
/* Of a number it says only whether there is one: an empty text. */
slice mysql_conn_slice(const struct mysql_conn *conn, enum stmt stmt, size_t column);
int mysql_conn_overwrite(struct mysql_conn *conn, const char *column, uint64_t id);

#endif
