/* SPDX-License-Identifier: MIT */
#include "store/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/fold.h"
#include "store/mysql_schema.h"
#include "store/schema.h"
#include "store/store.h"

static int fail(struct admin_error *ret_error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
fail(struct admin_error *ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(ret_error->text, sizeof(ret_error->text), format, ap);
	va_end(ap);
	return -1;
}

/* NULL with a message for any other store. */
static const char *
path_of(const char *url, struct admin_error *ret_error)
{
	char text[256];

	if (slice_starts(slice_str(url), S("sqlite:")))
		return url + strlen("sqlite:");
	store_url_text(url, text, sizeof(text));
	(void)fail(ret_error, "%s can't be worked on from here: only sqlite:PATH can", text);
	return NULL;
}

/* Connected to the server, which must be as the store needs it. */
static int
mysql_connect(struct sql_conn *conn, const char *url, struct admin_error *ret_error)
{
	const char *warning = NULL;
	struct mysql_address address;
	size_t size = sizeof(ret_error->text);

	if (!mysql_address_parse(slice_str(url), &address, ret_error->text, size) ||
	    mysql_conn_open(&address, false, &conn->mysql, ret_error->text, size) != 0)
		return -1;
	if (mysql_server_check(conn->mysql, address.durability, &warning, ret_error->text, size))
		return 0;
	sql_close(conn);
	return -1;
}

static int
mysql_open_store(struct sql_conn *conn, const char *url, bool create, struct admin_error *ret_error)
{
	size_t size = sizeof(ret_error->text);

	if (mysql_connect(conn, url, ret_error) != 0)
		return -1;
	if (create ? mysql_schema_open(conn->mysql, ret_error->text, size)
		   : mysql_schema_check(conn->mysql, ret_error->text, size))
		return 0;
	sql_close(conn);
	return -1;
}

static int
open_store(struct sql_conn *conn, const char *url, bool create, struct admin_error *ret_error)
{
	const char *path;

	if (slice_starts(slice_str(url), S("mysql://")))
		return mysql_open_store(conn, url, create, ret_error);
	path = path_of(url, ret_error);
	if (path == NULL ||
	    !schema_open(conn, path, create, ret_error->text, sizeof(ret_error->text)))
		return -1;
	return 0;
}

/* --- Users --- */

static int
user_insert(struct sql_conn *conn, slice name, slice display, slice password_hash)
{
	slice folded;
	int rc;

	if (!slice_given(display))
		display = name;
	text_fold(display, &folded);
	rc = stmt_run(
	    conn, STMT_USER_ADD, "ssssi", name, display, folded, password_hash, clock_real_ms());
	text_fold_free(&folded);
	return rc;
}

int
admin_user_add(
    const char *url, slice name, slice display, slice password_hash, struct admin_error *ret_error)
{
	struct sql_conn conn = {0};
	int rc, failed = 0;

	if (open_store(&conn, url, true, ret_error) != 0)
		return -1;
	rc = user_insert(&conn, name, display, password_hash);
	if (sql_is_duplicate(&conn, rc))
		failed = fail(ret_error, "%.*s is taken: choose another name", SLICE_ARG(name));
	else if (rc != SQLITE_OK)
		failed = fail(ret_error, "nothing was changed: %s", sql_why(&conn));
	sql_close(&conn);
	return failed;
}

/* The password changes where there is a new one, otherwise the account is disabled. */
static int
user_change(struct sql_conn *conn, uint64_t user, slice password_hash)
{
	int rc = slice_given(password_hash)
		     ? stmt_run(conn, STMT_USER_SET_HASH, "is", user, password_hash)
		     : stmt_run(conn, STMT_USER_DISABLE, "i", user);

	if (rc == SQLITE_OK)
		rc = stmt_run(conn, STMT_TOKENS_DROP_BUT, "ii", user, (uint64_t)0);
	if (rc == SQLITE_OK)
		rc = stmt_run(conn, STMT_META_ADMIN, "");
	return rc;
}

static int
user_change_named(const char *url, slice name, slice password_hash, struct admin_error *ret_error)
{
	struct sql_conn conn = {0};
	uint64_t user = 0;
	int rc, failed = 0;

	if (open_store(&conn, url, false, ret_error) != 0)
		return -1;
	if ((rc = stmt_run(&conn, STMT_BEGIN, "")) == SQLITE_OK)
		rc = stmt_number(&conn, &user, STMT_USER_ID, "s", name);
	if (rc == SQLITE_OK && user != 0)
		rc = user_change(&conn, user, password_hash);
	if (rc == SQLITE_OK)
		rc = stmt_run(&conn, STMT_COMMIT, "");
	if (rc != SQLITE_OK)
		failed = fail(ret_error, "nothing was changed: %s", sql_why(&conn));
	else if (user == 0)
		failed = fail(ret_error, "there is no user %.*s", SLICE_ARG(name));
	sql_close(&conn);
	return failed;
}

int
admin_user_passwd(const char *url, slice name, slice password_hash, struct admin_error *ret_error)
{
	return user_change_named(url, name, password_hash, ret_error);
}

int
admin_user_disable(const char *url, slice name, struct admin_error *ret_error)
{
	return user_change_named(url, name, SLICE_NONE, ret_error);
}

/* --- Backup --- */

static int
copy_pages(struct sql_conn *from, struct sql_conn *to)
{
	sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
	int rc;

	if (backup == NULL)
		return sqlite3_errcode(to->db);
	rc = sqlite3_backup_step(backup, -1);
	(void)sqlite3_backup_finish(backup);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Into an empty file; what comes out is one file without a log, and without an epoch. */
static int
copy_store(struct sql_conn *from, const char *file, struct admin_error *ret_error)
{
	struct sql_conn to = {0};
	int rc, failed = 0;

	if (sql_open(&to, file, SQL_WRITE, ret_error->text, sizeof(ret_error->text)) != SQLITE_OK)
		return -1;
	rc = copy_pages(from, &to);
	if (rc == SQLITE_OK)
		rc = sql_exec(&to, "UPDATE meta SET epoch = NULL; PRAGMA journal_mode = DELETE;");
	if (rc != SQLITE_OK)
		failed = fail(ret_error, "the copy failed: %s", sqlite3_errstr(rc));
	sql_close(&to);
	return failed;
}

static int
sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	(void)close(fd);
	return rc;
}

static int
sync_directory_of(const char *file)
{
	const char *end = strrchr(file, '/');
	char *directory =
	    end == NULL ? mem_dup(S(".")) : mem_dup(slice_of(file, (size_t)(end - file) + 1));
	int rc = sync_path(directory, O_RDONLY | O_DIRECTORY);

	mem_free(directory);
	return rc;
}

/* Gives the finished copy its name, never over another file. */
static int
publish(const char *partial, const char *file, struct admin_error *ret_error)
{
	if (sync_path(partial, O_RDWR) != 0)
		return fail(ret_error, "%s can't be synced: %s", partial, strerror(errno));
	if (link(partial, file) != 0)
		return fail(ret_error, "%s can't be made: %s", file, strerror(errno));
	if (sync_directory_of(file) != 0)
		return fail(ret_error, "%s can't be synced: %s", file, strerror(errno));
	return 0;
}

int
admin_backup(const char *url, const char *file, struct admin_error *ret_error)
{
	struct sql_conn from = {0};
	char partial[4096];
	int fd, failed;

	if (slice_starts(slice_str(url), S("mysql://")))
		return fail(ret_error,
		    "this copies the file of an SQLite store; MariaDB and MySQL have tools of "
		    "their "
		    "own: mariadb-dump --single-transaction, as docs/operate.md has it");
	if (access(file, F_OK) == 0)
		return fail(ret_error, "%s is there already: give another file", file);
	if (snprintf(partial, sizeof(partial), "%s.partial-XXXXXX", file) >= (int)sizeof(partial))
		return fail(ret_error, "the file's name is too long");
	if (open_store(&from, url, false, ret_error) != 0)
		return -1;
	if ((fd = mkstemp(partial)) < 0) {
		failed = fail(ret_error, "%s can't be made: %s", file, strerror(errno));
		sql_close(&from);
		return failed;
	}
	(void)close(fd);
	if ((failed = copy_store(&from, partial, ret_error)) == 0)
		failed = publish(partial, file, ret_error);
	(void)unlink(partial);
	sql_close(&from);
	return failed;
}

/* --- Check --- */

int
admin_check_store(const char *url, struct admin_error *ret_error)
{
	struct sql_conn conn = {0};
	const char *path;

	if (slice_starts(slice_str(url), S("mysql://"))) {
		if (mysql_open_store(&conn, url, false, ret_error) != 0)
			return -1;
		sql_close(&conn);
		return 0;
	}
	path = path_of(url, ret_error);
	return path != NULL && schema_check(path, ret_error->text, sizeof(ret_error->text)) ? 0
											    : -1;
}
