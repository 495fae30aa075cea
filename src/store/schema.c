/* SPDX-License-Identifier: MIT */
#include "store/schema.h"

#include <assert.h>

/*
 * steps[i] leads from version i to i + 1; a step that was released never changes.
 *
 * msg is append-only, and its id is nobody's cursor.  No row of it ever changes its size: where one
 * does, SQLite may spread the rows of a page anew and leave copies of them behind in the file, which
 * no deletion of them would find.  So what an edit says is read from the edit's own row, and a
 * deletion writes over the bytes of what it erases.  msg.edited and msg.deleted are not used.  cmid leads the index that finds duplicates,
 * so that clients with time-ordered cmids touch few of its pages.  There is no UPDATE per message:
 * the head of a conversation is its newest row. user.disabled: 0 active, 1 disabled, 2 deleted
 * user.accept: 0 all, 1 contacts
 * user.presence: enum presence
 * msg_index: where an entry is; it lags, see sqlite_index.c.  confabd deletes no row of msg, but who does so by hand shall
 * not have to know of it
 * meta.indexed: all rows of msg up to this id are in msg_index
 * meta.bus_key: where several nodes share the store, what signs what they tell each other
 * conv.kind: 1 direct, 2 group
 * conv.post, conv.invite: 0 all, 1 admins
 * conv.folded: the title as it is searched for
 * conv.members: how many are in a group now
 * conv.ended: the seq of a group's dismissal; NULL: none.  It ended for all who were in it then
 * member.role: 1 member, 2 admin, 3 owner
 * member.leave_seq: NULL while he is in, 0 if he never was
 * member.name: the user's, in groups only: members are listed by it
 * msg.ends: struct entry's
 * tally: store/tally.h, of groups
 * contact.state: 1 requested, 2 incoming, 3 contact, 4 blocked
 */
static const char *const steps[] = {
    "CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL,"
    " epoch TEXT, admin_revision INTEGER NOT NULL DEFAULT 0, opened INTEGER NOT NULL DEFAULT 0) "
    "STRICT;"
    "CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " display TEXT NOT NULL, folded TEXT NOT NULL, status TEXT NOT NULL DEFAULT '',"
    " password_hash TEXT NOT NULL, accept INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL,"
    " seen INTEGER NOT NULL, disabled INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX user_folded ON user (folded, name);"
    "CREATE TABLE conv (cid INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, lo INTEGER,"
    " hi INTEGER, title TEXT, topic TEXT, handle TEXT UNIQUE, open INTEGER NOT NULL DEFAULT 0,"
    " history INTEGER NOT NULL DEFAULT 0, post INTEGER NOT NULL DEFAULT 0,"
    " invite INTEGER NOT NULL DEFAULT 0, min_seq INTEGER NOT NULL DEFAULT 1,"
    " acl_ver INTEGER NOT NULL DEFAULT 1, created INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE msg (id INTEGER PRIMARY KEY, cid INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " sender INTEGER NOT NULL, cmid TEXT, ts INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT, body "
    "TEXT,"
    " re INTEGER NOT NULL DEFAULT 0, edited INTEGER NOT NULL DEFAULT 0,"
    " deleted INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX msg_seq ON msg (cid, seq);"
    "CREATE UNIQUE INDEX msg_cmid ON msg (cmid, cid, sender) WHERE cmid IS NOT NULL;"
    "CREATE TABLE member (user INTEGER NOT NULL, cid INTEGER NOT NULL, role INTEGER NOT NULL "
    "DEFAULT 1,"
    " join_seq INTEGER NOT NULL DEFAULT 1, leave_seq INTEGER, read_seq INTEGER NOT NULL DEFAULT 0,"
    " delivered_seq INTEGER NOT NULL DEFAULT 0, muted_until INTEGER NOT NULL DEFAULT 0,"
    " banned INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (user, cid)) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX member_cid ON member (cid, user);"
    "CREATE TABLE direct (lo INTEGER NOT NULL, hi INTEGER NOT NULL, cid INTEGER NOT NULL,"
    " PRIMARY KEY (lo, hi)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE contact (user INTEGER NOT NULL, peer INTEGER NOT NULL, state INTEGER NOT NULL,"
    " note TEXT, PRIMARY KEY (user, peer)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE token (hash BLOB PRIMARY KEY, session INTEGER NOT NULL UNIQUE, user INTEGER NOT "
    "NULL,"
    " device TEXT, ip TEXT, created INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX token_user ON token (user, seen);"
    "INSERT INTO meta (id, schema_version) VALUES (1, 1);"
    "PRAGMA application_id = 1668247142;",

    "ALTER TABLE meta ADD COLUMN bus_key BLOB;"
    "ALTER TABLE user ADD COLUMN presence INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE user ADD COLUMN presence_text TEXT;"
    "ALTER TABLE conv ADD COLUMN folded TEXT;"
    "ALTER TABLE conv ADD COLUMN members INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE conv ADD COLUMN ended INTEGER;"
    "CREATE INDEX conv_open ON conv (cid) WHERE open = 1;"
    "CREATE INDEX conv_title ON conv (folded, open) WHERE open = 1;"
    "CREATE INDEX conv_handle ON conv (handle, open) WHERE open = 1;"
    "ALTER TABLE msg ADD COLUMN ends INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX msg_edits ON msg (cid, re, seq) WHERE kind = 'edit';"
    "CREATE INDEX msg_edits_data ON msg (cid, re, seq) WHERE kind = 'edit' AND data IS NOT NULL;"
    "CREATE INDEX msg_deletes ON msg (cid, re, seq) WHERE kind = 'delete';"
    "ALTER TABLE member ADD COLUMN name TEXT;"
    "UPDATE member SET name = (SELECT name FROM user WHERE id = member.user) "
    "WHERE cid IN (SELECT cid FROM conv WHERE kind = 2);"
    "UPDATE conv SET folded = lower(title), members = (SELECT count(*) FROM member "
    "WHERE cid = conv.cid AND leave_seq IS NULL) WHERE kind = 2;"
    "CREATE INDEX member_name ON member (cid, name) WHERE name IS NOT NULL AND leave_seq IS NULL;"
    "CREATE INDEX member_role ON member (cid, role, name) WHERE role <> 1 AND leave_seq IS NULL;"
    "CREATE INDEX member_banned ON member (cid, name) WHERE banned = 1;"
    "CREATE INDEX contact_blocked ON contact (peer) WHERE state = 4;"
    "CREATE TABLE tally (cid INTEGER NOT NULL, level INTEGER NOT NULL, place INTEGER NOT NULL,"
    " read INTEGER NOT NULL, delivered INTEGER NOT NULL, PRIMARY KEY (cid, level, place)) "
    "STRICT, WITHOUT ROWID;"
    "WITH levels (level) AS (VALUES (0), (1), (2), (3), (4)), "
    "marks (cid, mark, read, delivered) AS ("
    "SELECT cid, read_seq, 1, 0 FROM member WHERE name IS NOT NULL AND leave_seq IS NULL "
    "UNION ALL "
    "SELECT cid, delivered_seq, 0, 1 FROM member WHERE name IS NOT NULL AND leave_seq IS NULL) "
    "INSERT INTO tally SELECT cid, level, mark >> (6 * level), sum(read), sum(delivered) "
    "FROM marks, levels GROUP BY 1, 2, 3;",

    "CREATE TABLE msg_index (cid INTEGER NOT NULL, seq INTEGER NOT NULL, id INTEGER NOT NULL,"
    " PRIMARY KEY (cid, seq)) STRICT, WITHOUT ROWID;"
    "INSERT INTO msg_index (cid, seq, id) SELECT cid, seq, id FROM msg ORDER BY cid, seq;"
    "DROP INDEX msg_seq;"
    "CREATE TRIGGER msg_gone AFTER DELETE ON msg BEGIN "
    "DELETE FROM msg_index WHERE cid = old.cid AND seq = old.seq; END;"
    "ALTER TABLE meta ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;"
    "UPDATE meta SET indexed = coalesce((SELECT max(id) FROM msg), 0);",
};

static_assert(LEN(steps) == SCHEMA_VERSION, "a step to every version");

/* A small question to the database with one number for an answer. */
static int
ask(struct sql_conn *conn, const char *sql, int64_t *ret)
{
	sqlite3_stmt *prepared = NULL;
	int rc = sqlite3_prepare_v2(conn->db, sql, -1, &prepared, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(prepared);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(prepared, 0);
		rc = SQLITE_OK;
	}
	(void)sqlite3_finalize(prepared);
	return rc;
}

/* -1: a file of another program. */
static int
version_read(struct sql_conn *conn, int64_t *ret_version)
{
	int64_t tables = 0, ours = 0;
	int rc = ask(conn, "SELECT count(*) FROM sqlite_schema", &tables);

	if (rc == SQLITE_OK)
		rc = ask(conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", &ours);
	if (rc != SQLITE_OK)
		return rc;
	*ret_version = tables == 0 ? 0 : -1;
	if (ours == 0)
		return SQLITE_OK;
	if (ask(conn, "SELECT schema_version FROM meta WHERE id = 1", ret_version) != SQLITE_OK)
		*ret_version = -1;
	return SQLITE_OK;
}

int
schema_steps(struct sql_conn *conn, int64_t from, int64_t to)
{
	char set[80];
	int rc = SQLITE_OK;

	for (int64_t version = from; rc == SQLITE_OK && version < to; version++)
		rc = sql_exec(conn, steps[version]);
	if (rc != SQLITE_OK)
		return rc;
	(void)snprintf(
	    set, sizeof(set), "UPDATE meta SET schema_version = %lld WHERE id = 1", (long long)to);
	return sql_exec(conn, set);
}

static bool
version_fits(const char *path, int64_t version, bool create, char *ret_error, size_t error_size)
{
	if (version < 0 || (version == 0 && !create))
		(void)snprintf(
		    ret_error, error_size, "%s is not a store of confab: give another path", path);
	else if (version > SCHEMA_VERSION)
		(void)snprintf(ret_error, error_size,
		    "%s was written by a newer confabd (schema %lld, this one knows %d): run that "
		    "one, or restore a backup",
		    path, (long long)version, SCHEMA_VERSION);
	else if (version < SCHEMA_VERSION && !create)
		(void)snprintf(ret_error, error_size,
		    "%s has the schema of an older confabd: start this one once to bring it up to "
		    "date",
		    path);
	else
		return true;
	return false;
}

/* In a transaction, so that two programs that start at once do not both migrate. */
static bool
migrate(struct sql_conn *conn, const char *path, bool create, char *ret_error, size_t error_size)
{
	int64_t version = 0;
	int rc = sql_exec(conn, create ? "BEGIN IMMEDIATE" : "BEGIN");

	if (rc == SQLITE_OK)
		rc = version_read(conn, &version);
	if (rc == SQLITE_OK && !version_fits(path, version, create, ret_error, error_size)) {
		(void)sql_exec(conn, "ROLLBACK");
		return false;
	}
	if (rc == SQLITE_OK && version < SCHEMA_VERSION)
		rc = schema_steps(conn, version, SCHEMA_VERSION);
	if (rc == SQLITE_OK)
		rc = sql_exec(conn, "COMMIT");
	if (rc == SQLITE_OK)
		return true;
	(void)snprintf(
	    ret_error, error_size, "%s can't be used: %s", path, sqlite3_errmsg(conn->db));
	if (sqlite3_get_autocommit(conn->db) == 0)
		(void)sql_exec(conn, "ROLLBACK");
	return false;
}

/*
 * An error here is mostly a directory in which the log (PATH-wal) can't be made, or a file that is
 * no database. secure_delete: what was deleted is overwritten.
 */
static bool
configure(struct sql_conn *conn, const char *path, char *ret_error, size_t error_size)
{
	int rc = sql_exec(conn,
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
	    "PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = "
	    "MEMORY;");

	if (rc == SQLITE_OK)
		return true;
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY)
		(void)snprintf(ret_error, error_size,
		    "%s-wal can't be made: the user that runs confabd must be allowed to write the "
		    "directory",
		    path);
	else
		(void)snprintf(
		    ret_error, error_size, "%s can't be used: %s", path, sqlite3_errmsg(conn->db));
	return false;
}

bool
schema_open(
    struct sql_conn *conn, const char *path, bool create, char *ret_error, size_t error_size)
{
	if (sql_open(conn, path, create ? SQL_CREATE : SQL_WRITE, ret_error, error_size) !=
	    SQLITE_OK)
		return false;
	if (configure(conn, path, ret_error, error_size) &&
	    migrate(conn, path, create, ret_error, error_size))
		return true;
	sql_close(conn);
	return false;
}

bool
schema_check(const char *path, char *ret_error, size_t error_size)
{
	struct sql_conn conn = {0};
	int64_t version = 0;
	bool fits = false;

	if (sql_open(&conn, path, SQL_WRITE, ret_error, error_size) != SQLITE_OK)
		return false;
	if (version_read(&conn, &version) != SQLITE_OK)
		(void)snprintf(
		    ret_error, error_size, "%s can't be used: %s", path, sqlite3_errmsg(conn.db));
	else
		fits = version_fits(path, version, true, ret_error, error_size);
	sql_close(&conn);
	return fits;
}

bool
schema_is_current(struct sql_conn *conn, const char *path, char *ret_error, size_t error_size)
{
	int64_t version = 0;

	if (version_read(conn, &version) == SQLITE_OK)
		return version_fits(path, version, false, ret_error, error_size);
	(void)snprintf(
	    ret_error, error_size, "%s can't be used: %s", path, sqlite3_errmsg(conn->db));
	return false;
}
