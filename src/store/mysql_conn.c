/* SPDX-License-Identifier: MIT */
#include "store/mysql_conn.h"

#include <errmsg.h>
#include <mysql.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/mysql_error.h"
#include "store/mysql_sql.h"
#include "store/mysql_statement.h"

enum { COLUMN_BYTES = 64 };

/* Once a connection; what it was asked is answered by the caller. */
static void
count_break(struct mysql_conn *conn)
{
	if (!conn->broken)
		stat_add(STAT_STORE_DISCONNECTS, 1);
	conn->broken = true;
}

static int
failed(struct mysql_conn *conn, unsigned code, const char *why)
{
	if (mysql_error_reopen((int)code))
		count_break(conn);
	(void)snprintf(conn->why, sizeof(conn->why), "%s", why);
	return code != 0 ? (int)code : CR_UNKNOWN_ERROR;
}

static int
conn_failed(struct mysql_conn *conn)
{
	return failed(conn, mysql_errno(conn->mysql), mysql_error(conn->mysql));
}

static int
stmt_failed(struct mysql_conn *conn, MYSQL_STMT *stmt)
{
	unsigned code = mysql_stmt_errno(stmt);

	if (code == 0) /* of rows that are not fetched ahead only the connection is told */
		return conn_failed(conn);
	return failed(conn, code, mysql_stmt_error(stmt));
}

/* --- Connecting --- */

static void
library_start(void)
{
	if (mysql_library_init(0, NULL, NULL) != 0)
		panic("store: the client library of MariaDB does not start");
}

static void
set_options(MYSQL *mysql, const struct mysql_address *address)
{
	unsigned connect_s = MYSQL_CONNECT_S, io_s = MYSQL_IO_S, no = 0;
	/* "localhost" would be a socket to the library, whatever the port. */
	unsigned protocol = address->socket[0] != '\0' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	my_bool encrypted = address->tls != MYSQL_TLS_OFF;
	my_bool verify = address->tls == MYSQL_TLS_VERIFY, off = 0;

	(void)mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
	(void)mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	(void)mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &io_s);
	(void)mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &io_s);
	(void)mysql_options(mysql, MYSQL_OPT_RECONNECT, &off);
	(void)mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
	(void)mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (!encrypted)
		return;
	(void)mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &encrypted);
	(void)mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
	if (address->ca[0] != '\0')
		(void)mysql_options(mysql, MYSQL_OPT_SSL_CA, address->ca);
}

/* The variables of MariaDB that MySQL does not have are no error there. */
static int
exec_if_known(struct mysql_conn *conn, const char *sql)
{
	enum { ER_UNKNOWN_SYSTEM_VARIABLE = 1193 };
	int rc = mysql_conn_exec(conn, sql);

	return rc == ER_UNKNOWN_SYSTEM_VARIABLE ? 0 : rc;
}

static int
set_session(struct mysql_conn *conn)
{
	char sql[256];
	int rc = mysql_conn_exec(conn, "SET SESSION sql_mode = 'STRICT_ALL_TABLES,"
				       "NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'");

	if (rc == 0)
		rc = mysql_conn_exec(conn, "SET NAMES utf8mb4 COLLATE utf8mb4_bin");
	if (rc == 0)
		rc = mysql_conn_exec(conn,
		    conn->snapshots ? "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
				    : "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
	(void)snprintf(sql, sizeof(sql), "SET SESSION innodb_lock_wait_timeout = %d", MYSQL_LOCK_S);
	if (rc == 0)
		rc = mysql_conn_exec(conn, sql);
	(void)snprintf(sql, sizeof(sql), "SET SESSION idle_transaction_timeout = %d", MYSQL_IDLE_S);
	if (rc == 0)
		rc = exec_if_known(conn, sql);
	return rc;
}

static void
take_version(struct mysql_conn *conn)
{
	const char *info = mysql_get_server_info(conn->mysql);
	unsigned long extended = 0;

	conn->version = mysql_get_server_version(conn->mysql);
	conn->mariadb = info != NULL && strstr(info, "MariaDB") != NULL;
	(void)mariadb_get_infov(
	    conn->mysql, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &extended);
	conn->bulk = conn->mariadb && (extended & (MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32)) != 0;
}

static int
connect_to(struct mysql_conn *conn, const struct mysql_address *address)
{
	bool local = address->socket[0] != '\0';

	if ((conn->mysql = mysql_init(NULL)) == NULL)
		panic("store: no memory for a connection");
	set_options(conn->mysql, address);
	if (mysql_real_connect(conn->mysql, local ? "localhost" : address->host, address->user,
		address->password, address->database, local ? 0 : address->port,
		local ? address->socket : NULL, CLIENT_FOUND_ROWS) == NULL)
		return conn_failed(conn);
	take_version(conn);
	return set_session(conn);
}

int
mysql_conn_open(const struct mysql_address *address, bool snapshots, struct mysql_conn **ret_conn,
    char *ret_error, size_t error_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct mysql_conn *conn = mem_zalloc(sizeof(*conn));
	char where[512];
	int rc;

	(void)pthread_once(&once, library_start);
	conn->snapshots = snapshots;
	if ((rc = connect_to(conn, address)) == 0) {
		stat_add(STAT_STORE_CONNECTS, 1);
		*ret_conn = conn;
		return 0;
	}
	count_break(conn);
	mysql_address_text(address, where, sizeof(where));
	(void)snprintf(ret_error, error_size, "%s can't be reached: %s (%d)", where, conn->why, rc);
	mysql_conn_close(&conn);
	return rc;
}

bool
mysql_conn_ping(struct mysql_conn *conn)
{
	if (mysql_ping(conn->mysql) == 0)
		return true;
	(void)conn_failed(conn);
	return false;
}

void
mysql_conn_close(struct mysql_conn **conn)
{
	struct mysql_conn *c = *conn;

	if (c == NULL)
		return;
	for (size_t i = 0; i < STMT_MAX; i++)
		mysql_statement_free(&c->stmts[i]);
	for (size_t i = 0; i < MANY_MAX * MYSQL_MANY_SIZES; i++)
		mysql_statement_free(&c->many[i / MYSQL_MANY_SIZES][i % MYSQL_MANY_SIZES]);
	if (c->mysql != NULL)
		mysql_close(c->mysql);
	mem_free(c);
	*conn = NULL;
}

/* --- As text --- */

int
mysql_conn_exec(struct mysql_conn *conn, const char *sql)
{
	if (mysql_real_query(conn->mysql, sql, strlen(sql)) != 0)
		return conn_failed(conn);
	conn->changes = mysql_affected_rows(conn->mysql);
	return 0;
}

int
mysql_conn_ask(struct mysql_conn *conn, const char *sql, char *ret, size_t size)
{
	MYSQL_RES *result;
	MYSQL_ROW row;

	if (mysql_real_query(conn->mysql, sql, strlen(sql)) != 0 ||
	    (result = mysql_store_result(conn->mysql)) == NULL)
		return conn_failed(conn);
	row = mysql_fetch_row(result);
	(void)snprintf(ret, size, "%s", row != NULL && row[0] != NULL ? row[0] : "");
	mysql_free_result(result);
	return 0;
}

/* --- Preparing --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Numbered parameters become plain ones, in the order of their appearance; mapped says which. */
static void
text_number(struct buf *text, struct buf *mapped, const char *sql, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char which = 0;

		buf_append(text, &sql[i], 1);
		if (sql[i] != '?')
			continue;
		while (i + 1 < len && is_digit(sql[i + 1]))
			which = (unsigned char)(which * 10 + (sql[++i] - '0'));
		buf_append(mapped, &which, 1);
	}
}

static bool
is_number(const MYSQL_FIELD *field)
{
	switch (field->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
		return true;
	default:
		return false;
	}
}

static void
column_bind(struct mysql_statement *s, size_t i, bool number)
{
	struct mysql_column *column = &s->columns[i];
	MYSQL_BIND *bind = &s->results[i];

	column->number = number;
	bind->is_null = &column->null;
	bind->length = &column->length;
	if (number) {
		bind->buffer_type = MYSQL_TYPE_LONGLONG;
		bind->buffer = &column->value;
		return;
	}
	if (column->text == NULL)
		column->text = mem_alloc(column->capacity = COLUMN_BYTES);
	bind->buffer_type = MYSQL_TYPE_STRING;
	bind->buffer = column->text;
	bind->buffer_length = column->capacity;
}

static void
columns_make(struct mysql_statement *s)
{
	MYSQL_RES *meta = mysql_stmt_result_metadata(s->stmt);

	if (meta == NULL)
		return;
	s->column_count = mysql_num_fields(meta);
	s->columns = mem_zalloc(s->column_count * sizeof(*s->columns));
	s->results = mem_zalloc(s->column_count * sizeof(*s->results));
	for (size_t i = 0; i < s->column_count; i++)
		column_bind(s, i, is_number(mysql_fetch_field_direct(meta, (unsigned)i)));
	mysql_free_result(meta);
}

int
mysql_statement_prepare(
    struct mysql_conn *conn, const char *sql, size_t len, struct mysql_statement **ret_statement)
{
	struct mysql_statement *s = mem_zalloc(sizeof(*s));
	struct buf text = {0}, mapped = {0};
	int rc = 0;

	text_number(&text, &mapped, sql, len);
	if ((s->stmt = mysql_stmt_init(conn->mysql)) == NULL)
		panic("store: no memory for a statement");
	if (mysql_stmt_prepare(s->stmt, buf_head(&text), buf_len(&text)) != 0) {
		rc = stmt_failed(conn, s->stmt);
	} else {
		s->param_count = mysql_stmt_param_count(s->stmt);
		assert(s->param_count == buf_len(&mapped));
		s->mapped = mem_zalloc(s->param_count + 1);
		if (s->param_count > 0)
			memcpy(s->mapped, buf_head(&mapped), s->param_count);
		s->params = mem_zalloc((s->param_count + 1) * sizeof(*s->params));
		columns_make(s);
		*ret_statement = s;
	}
	buf_fini(&text);
	buf_fini(&mapped);
	if (rc != 0)
		mysql_statement_free(&s);
	return rc;
}

void
mysql_statement_free(struct mysql_statement **statement)
{
	struct mysql_statement *s = *statement;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->column_count; i++)
		mem_free(s->columns[i].text);
	(void)mysql_stmt_close(s->stmt);
	mem_free(s->columns);
	mem_free(s->results);
	mem_free(s->params);
	mem_free(s->mapped);
	mem_free(s);
	*statement = NULL;
}

/* --- Running --- */

static void
param_bind(MYSQL_BIND *bind, const struct mysql_param *param)
{
	*bind = (MYSQL_BIND){0};
	if (param->type == 'n' || (param->type != 'i' && !slice_given(param->text))) {
		bind->buffer_type = MYSQL_TYPE_NULL;
		return;
	}
	if (param->type == 'i') {
		bind->buffer_type = MYSQL_TYPE_LONGLONG;
		bind->buffer = unconst(&param->number);
		return;
	}
	bind->buffer_type = param->type == 'b' ? MYSQL_TYPE_BLOB : MYSQL_TYPE_STRING;
	bind->buffer = unconst(param->text.ptr);
	bind->buffer_length = (unsigned long)param->text.len;
}

/* A longer value than there was room for is fetched once more. */
static int
column_complete(struct mysql_statement *s, size_t i)
{
	struct mysql_column *column = &s->columns[i];

	if (column->number || column->null || column->length <= column->capacity)
		return 0;
	mem_free(column->text);
	column->capacity = column->length;
	column->text = mem_alloc(column->capacity);
	column_bind(s, i, false);
	return mysql_stmt_fetch_column(s->stmt, &s->results[i], (unsigned)i, 0) != 0 ? -1 : 0;
}

static int
rows_failed(struct mysql_conn *conn, struct mysql_statement *s)
{
	s->failed = true;
	return stmt_failed(conn, s->stmt);
}

int
mysql_statement_next(struct mysql_conn *conn, struct mysql_statement *s)
{
	bool rebind = false;
	int rc = mysql_stmt_fetch(s->stmt);

	if (rc == MYSQL_NO_DATA)
		return SQL_DONE;
	if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
		return rows_failed(conn, s);
	for (size_t i = 0; i < s->column_count; i++) {
		unsigned long before = s->columns[i].capacity;

		if (column_complete(s, i) != 0)
			return stmt_failed(conn, s->stmt);
		rebind = rebind || s->columns[i].capacity != before;
	}
	if (rebind && mysql_stmt_bind_result(s->stmt, s->results) != 0)
		return stmt_failed(conn, s->stmt);
	return SQL_ROW;
}

/* Its parameters are bound. */
static int
statement_run(struct mysql_conn *conn, struct mysql_statement *s)
{
	if (mysql_stmt_execute(s->stmt) != 0)
		return stmt_failed(conn, s->stmt);
	if (s->column_count > 0)
		return SQL_ROW;
	conn->changes = mysql_stmt_affected_rows(s->stmt);
	conn->total_changes += conn->changes;
	conn->last_id = mysql_stmt_insert_id(s->stmt);
	return SQL_DONE;
}

int
mysql_statement_start(struct mysql_conn *conn, struct mysql_statement *s,
    const struct mysql_param *params, bool stream)
{
	int rc;

	assert(!s->open);
	for (size_t i = 0; i < s->param_count; i++)
		param_bind(&s->params[i], &params[s->mapped[i] > 0 ? s->mapped[i] - 1u : i]);
	if (s->param_count > 0 && mysql_stmt_bind_param(s->stmt, s->params) != 0)
		return stmt_failed(conn, s->stmt);
	if ((rc = statement_run(conn, s)) != SQL_ROW)
		return rc;
	s->open = true;
	if (mysql_stmt_bind_result(s->stmt, s->results) != 0 ||
	    (!stream && mysql_stmt_store_result(s->stmt) != 0))
		return rows_failed(conn, s);
	return mysql_statement_next(conn, s);
}

int
mysql_statement_rows(struct mysql_conn *conn, struct mysql_statement *s,
    const struct mysql_param *params, size_t rows)
{
	struct mysql_arrays *arrays = mysql_arrays_make(s, params, rows);
	unsigned size = (unsigned)rows;
	int rc;

	assert(conn->bulk && !s->open && s->column_count == 0);
	(void)mysql_stmt_attr_set(s->stmt, STMT_ATTR_ARRAY_SIZE, &size);
	rc = mysql_stmt_bind_param(s->stmt, s->params) != 0 ? stmt_failed(conn, s->stmt)
							    : statement_run(conn, s);
	mem_free(arrays);
	return rc;
}

/*
 * After an error amid the rows, a lock that was not had in time, the library takes them for unread:
 * run again, the statement would wait for the rest of them until the connection is given up.
 */
void
mysql_statement_end(struct mysql_statement *s)
{
	if (s == NULL || !s->open)
		return;
	if (s->failed)
		(void)mysql_stmt_reset(s->stmt);
	else
		(void)mysql_stmt_free_result(s->stmt);
	s->open = s->failed = false;
}

uint64_t
mysql_statement_u64(const struct mysql_statement *s, size_t at)
{
	const struct mysql_column *column = &s->columns[at];
	uint64_t n = 0;

	assert(at < s->column_count);
	if (column->null)
		return 0;
	if (column->number)
		return (uint64_t)column->value;
	for (size_t i = 0; i < column->length && is_digit(column->text[i]); i++)
		n = n * 10 + (uint64_t)(column->text[i] - '0');
	return n;
}

slice
mysql_statement_slice(const struct mysql_statement *s, size_t at)
{
	const struct mysql_column *column = &s->columns[at];

	assert(at < s->column_count);
	if (column->null)
		return SLICE_NONE;
	if (column->number)
		return S("");
	return slice_of(column->text, column->length);
}

/* --- The table of statements --- */

static bool
is_streamed(enum stmt stmt)
{
	return stmt == STMT_PAGE_OLDEST || stmt == STMT_PAGE_NEWEST;
}

static int
transaction_turn(struct mysql_conn *conn, enum stmt stmt)
{
	int rc = mysql_conn_exec(conn, mysql_text(stmt));

	conn->in_transaction = stmt == STMT_BEGIN || stmt == STMT_BEGIN_READ;
	return rc == 0 ? SQL_DONE : rc;
}

static void
params_take(struct mysql_param *params, const char *types, va_list *ap)
{
	for (size_t i = 0; types[i] != '\0'; i++) {
		assert(i < MYSQL_PARAMS_MAX);
		params[i] = (struct mysql_param){.type = types[i]};
		if (types[i] == 'i')
			params[i].number = va_arg(*ap, uint64_t);
		else if (types[i] != 'n')
			params[i].text = va_arg(*ap, slice);
	}
}

int
mysql_conn_start(struct mysql_conn *conn, enum stmt stmt, const char *types, va_list *ap)
{
	struct mysql_param params[MYSQL_PARAMS_MAX];
	const char *text = mysql_text(stmt);
	int rc = 0;

	if (stmt == STMT_BEGIN || stmt == STMT_BEGIN_READ || stmt == STMT_COMMIT ||
	    stmt == STMT_ROLLBACK)
		return transaction_turn(conn, stmt);
	params_take(params, types, ap);
	if (conn->stmts[stmt] == NULL)
		rc = mysql_statement_prepare(conn, text, strlen(text), &conn->stmts[stmt]);
	if (rc != 0)
		return rc;
	return mysql_statement_start(conn, conn->stmts[stmt], params, is_streamed(stmt));
}

int
mysql_conn_next(struct mysql_conn *conn, enum stmt stmt)
{
	return mysql_statement_next(conn, conn->stmts[stmt]);
}

void
mysql_conn_end(struct mysql_conn *conn, enum stmt stmt)
{
	mysql_statement_end(conn->stmts[stmt]);
}

uint64_t
mysql_conn_u64(const struct mysql_conn *conn, enum stmt stmt, size_t column)
{
	return mysql_statement_u64(conn->stmts[stmt], column);
}

slice
mysql_conn_slice(const struct mysql_conn *conn, enum stmt stmt, size_t column)
{
	return mysql_statement_slice(conn->stmts[stmt], column);
}

/* As long as before, so that the engine puts it where the old text was. */
int
mysql_conn_overwrite(struct mysql_conn *conn, const char *column, uint64_t id)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql),
	    "UPDATE msg SET %s = repeat(' ', octet_length(%s)) WHERE id = %llu", column, column,
	    (unsigned long long)id);
	return mysql_conn_exec(conn, sql);
}
