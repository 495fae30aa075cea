/* SPDX-License-Identifier: MIT */
#include "store/sql.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>

#include "base/panic.h"
#include "base/stat.h"
#include "store/gather.h"
#include "store/mysql_conn.h"
#include "store/mysql_error.h"
#include "store/page_cache.h"

#define STATEMENT_AS_TEXT(name, text) [STMT_##name] = text,
static const char *const texts[] = {STATEMENTS(STATEMENT_AS_TEXT)};

const char *
stmt_text(enum stmt stmt)
{
	return texts[stmt];
}

/* --- Connections --- */

static void
say_cannot_open(
    const char *path, int rc, int system_errno, bool create, char *ret_error, size_t size)
{
	const char *why = sqlite3_errstr(rc);
	const char *advice = "";

	if ((rc & 0xff) != SQLITE_CANTOPEN)
		system_errno = 0; /* of some earlier call */
	if (system_errno != 0)
		why = strerror(system_errno);
	if (system_errno == ENOENT && create)
		advice = ": make the directory first";
	else if (system_errno == EACCES || system_errno == EPERM || system_errno == EROFS)
		advice = ": the user that runs confabd must own the directory and the files in it";
	(void)snprintf(ret_error, size, "%s can't be opened: %s%s", path, why, advice);
}

/* Nobody asks SQLite how much memory it takes, and counting it is a lock for each piece. */
static void
configure(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	page_cache_install();
}

int
sql_open(struct sql_conn *conn, const char *path, enum sql_access access, char *ret_error,
    size_t error_size)
{
	static pthread_once_t configured = PTHREAD_ONCE_INIT;
	bool create = access == SQL_CREATE;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	int rc;

	(void)pthread_once(&configured, configure);
	rc = sqlite3_open_v2(path, &conn->db, flags, access == SQL_READ ? NULL : gather_vfs());
	if (rc == SQLITE_OK && access != SQL_READ && sqlite3_db_readonly(conn->db, "main") == 1) {
		(void)snprintf(ret_error, error_size,
		    "%s is read-only: the user that runs confabd must be allowed to write it",
		    path);
		rc = SQLITE_READONLY;
	} else if (rc != SQLITE_OK) {
		say_cannot_open(path, rc, conn->db != NULL ? sqlite3_system_errno(conn->db) : 0,
		    create, ret_error, error_size);
	}
	if (rc != SQLITE_OK) {
		sql_close(conn);
		return rc;
	}
	(void)sqlite3_extended_result_codes(conn->db, 1);
	(void)sqlite3_busy_timeout(conn->db, SQL_BUSY_MS);
	return SQLITE_OK;
}

void
sql_close(struct sql_conn *conn)
{
	int rc;

	mysql_conn_close(&conn->mysql);
	for (size_t i = 0; i < STMT_MAX; i++) {
		(void)sqlite3_finalize(conn->stmts[i]);
		conn->stmts[i] = NULL;
	}
	if (conn->db == NULL)
		return;
	rc = sqlite3_close(conn->db);
	assert(rc != SQLITE_BUSY); /* every statement was finalized */
	conn->db = NULL;
}

int
sql_exec(struct sql_conn *conn, const char *sql)
{
	if (conn->mysql != NULL)
		return mysql_conn_exec(conn->mysql, sql);
	return sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
}

/* --- Statements --- */

static int
stmt_prepare(struct sql_conn *conn, enum stmt stmt)
{
	if (conn->stmts[stmt] != NULL)
		return SQLITE_OK;
	return sqlite3_prepare_v3(
	    conn->db, texts[stmt], -1, SQLITE_PREPARE_PERSISTENT, &conn->stmts[stmt], NULL);
}

static int
bind_one(sqlite3_stmt *prepared, int index, char type, va_list *ap)
{
	slice s;

	switch (type) {
	case 'i':
		return sqlite3_bind_int64(prepared, index, (sqlite3_int64)va_arg(*ap, uint64_t));
	case 's':
		s = va_arg(*ap, slice);
		return sqlite3_bind_text64(
		    prepared, index, s.ptr, s.len, SQLITE_STATIC, SQLITE_UTF8);
	case 'b':
		s = va_arg(*ap, slice);
		return sqlite3_bind_blob64(prepared, index, s.ptr, s.len, SQLITE_STATIC);
	case 'n':
		return sqlite3_bind_null(prepared, index);
	default:
		panic("store: no such parameter type: %c", type);
	}
}

static int
stmt_startv(struct sql_conn *conn, enum stmt stmt, const char *types, va_list *ap)
{
	int rc;

	if (conn->counts)
		stat_add(STAT_STORE_STATEMENTS, 1);
	if (conn->mysql != NULL)
		return mysql_conn_start(conn->mysql, stmt, types, ap);
	rc = stmt_prepare(conn, stmt);
	for (int i = 0; rc == SQLITE_OK && types[i] != '\0'; i++)
		rc = bind_one(conn->stmts[stmt], i + 1, types[i], ap);
	if (rc != SQLITE_OK)
		return rc;
	assert(sqlite3_bind_parameter_count(conn->stmts[stmt]) == (int)strlen(types));
	return sqlite3_step(conn->stmts[stmt]);
}

int
stmt_start(struct sql_conn *conn, enum stmt stmt, const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = stmt_startv(conn, stmt, types, &ap);
	va_end(ap);
	return rc;
}

int
stmt_next(struct sql_conn *conn, enum stmt stmt)
{
	if (conn->mysql != NULL)
		return mysql_conn_next(conn->mysql, stmt);
	return sqlite3_step(conn->stmts[stmt]);
}

void
stmt_end(struct sql_conn *conn, enum stmt stmt)
{
	if (conn->mysql != NULL)
		mysql_conn_end(conn->mysql, stmt);
	else
		(void)sqlite3_reset(conn->stmts[stmt]);
}

int
stmt_run(struct sql_conn *conn, enum stmt stmt, const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = stmt_startv(conn, stmt, types, &ap);
	va_end(ap);
	stmt_end(conn, stmt);
	assert(rc != SQLITE_ROW);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
stmt_number(struct sql_conn *conn, uint64_t *ret, enum stmt stmt, const char *types, ...)
{
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = stmt_startv(conn, stmt, types, &ap);
	va_end(ap);
	if (rc == SQLITE_ROW)
		*ret = column_u64(conn, stmt, 0);
	else if (rc == SQLITE_DONE)
		*ret = 0;
	stmt_end(conn, stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

uint64_t
column_u64(struct sql_conn *conn, enum stmt stmt, int column)
{
	if (conn->mysql != NULL)
		return mysql_conn_u64(conn->mysql, stmt, (size_t)column);
	return (uint64_t)sqlite3_column_int64(conn->stmts[stmt], column);
}

bool
column_null(struct sql_conn *conn, enum stmt stmt, int column)
{
	if (conn->mysql != NULL)
		return !slice_given(mysql_conn_slice(conn->mysql, stmt, (size_t)column));
	return sqlite3_column_type(conn->stmts[stmt], column) == SQLITE_NULL;
}

slice
column_slice(struct sql_conn *conn, enum stmt stmt, int column)
{
	const char *text;

	if (conn->mysql != NULL)
		return mysql_conn_slice(conn->mysql, stmt, (size_t)column);
	if (column_null(conn, stmt, column))
		return SLICE_NONE;
	text = (const char *)sqlite3_column_blob(conn->stmts[stmt], column);
	return slice_of(
	    text != NULL ? text : "", (size_t)sqlite3_column_bytes(conn->stmts[stmt], column));
}

uint64_t
sql_last_id(struct sql_conn *conn)
{
	if (conn->mysql != NULL)
		return conn->mysql->last_id;
	return (uint64_t)sqlite3_last_insert_rowid(conn->db);
}

uint64_t
sql_changes(struct sql_conn *conn)
{
	if (conn->mysql != NULL)
		return conn->mysql->changes;
	return (uint64_t)sqlite3_changes(conn->db);
}

uint64_t
sql_total_changes(struct sql_conn *conn)
{
	if (conn->mysql != NULL)
		return conn->mysql->total_changes;
	return (uint64_t)sqlite3_total_changes(conn->db);
}

bool
sql_is_open(const struct sql_conn *conn)
{
	return conn->db != NULL || conn->mysql != NULL;
}

bool
sql_is_duplicate(const struct sql_conn *conn, int code)
{
	if (conn->mysql != NULL)
		return mysql_error_duplicate(code);
	return (code & 0xff) == SQLITE_CONSTRAINT;
}

const char *
sql_why(struct sql_conn *conn)
{
	if (conn->mysql != NULL)
		return conn->mysql->why;
	if (conn->db == NULL)
		return "there is no connection";
	return sqlite3_errmsg(conn->db);
}

/* --- Erasing --- */

/* Blanks, so that it stays text. */
static int
overwrite(sqlite3_blob *blob)
{
	char blanks[4096];
	int size = sqlite3_blob_bytes(blob), rc = SQLITE_OK;

	memset(blanks, ' ', sizeof(blanks));
	for (int at = 0; rc == SQLITE_OK && at < size; at += (int)sizeof(blanks)) {
		int left = size - at;

		rc = sqlite3_blob_write(
		    blob, blanks, left < (int)sizeof(blanks) ? left : (int)sizeof(blanks), at);
	}
	return rc;
}

int
sql_overwrite(struct sql_conn *conn, const char *column, uint64_t id)
{
	sqlite3_blob *blob = NULL;
	int closed, rc;

	if (conn->mysql != NULL)
		return mysql_conn_overwrite(conn->mysql, column, id);
	rc = sqlite3_blob_open(conn->db, "main", "msg", column, (sqlite3_int64)id, 1, &blob);

	if (rc == SQLITE_OK)
		rc = overwrite(blob);
	closed = sqlite3_blob_close(blob); /* NULL is allowed */
	return rc != SQLITE_OK ? rc : closed;
}
