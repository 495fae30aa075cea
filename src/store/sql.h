/* SPDX-License-Identifier: MIT */
/*
 * A connection to a database with its statements: every statement that the store runs stands in the
 * table below, is prepared at its first use and kept.  Only bound parameters.  A connection is used
 * by one thread at a time. Functions return the database's result codes (SQLite's extended ones);
 * 0 is SQL_OK.  The texts are SQLite's; mysql_sql.h has those that others say in other words.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include <sqlite3.h>

#include "base/slice.h"
#include "store/sql_group.h"
#include "store/sql_people.h"

/* clang-format off */
#define SQL_NAME(alias) "CASE WHEN " alias ".disabled = 2 THEN 'deleted' ELSE " alias ".name END"
/*
 * What became of an entry is read from the edits and the deletion that name it.  The comment is for MariaDB and
 * MySQL, which carry it out: most entries name none, so that they take the index for a poor one.
 */
#define SQL_BY_RE " /*! FORCE INDEX (msg_re) */ "
#define SQL_EDITS(m) "FROM msg e" SQL_BY_RE "WHERE e.kind = 'edit' AND e.cid = " m ".cid AND e.re = " m ".seq "
#define SQL_EDITED(m) "(SELECT max(e.seq) " SQL_EDITS(m) ")"
#define SQL_DELETED(m) "(SELECT d.seq FROM msg d" SQL_BY_RE "WHERE d.kind = 'delete' AND d.cid = " m ".cid "       \
	"AND d.re = CASE " m ".kind WHEN 'edit' THEN " m ".re ELSE " m ".seq END)"
#define SQL_DATA(m) "coalesce((SELECT e.data " SQL_EDITS(m)                                            \
	"AND e.data IS NOT NULL ORDER BY e.seq DESC LIMIT 1), " m ".data)"
/* As it read when ?5 was the head: what who left may know of later edits. */
#define SQL_EDITS_THEN "FROM msg e" SQL_BY_RE                                                          \
	"WHERE e.kind = 'edit' AND e.cid = m.cid AND e.re = m.seq AND e.seq <= ?5 "
#define SQL_EDITED_THEN "(SELECT max(e.seq) " SQL_EDITS_THEN ")"
#define SQL_BODY_THEN "coalesce((SELECT e.body " SQL_EDITS_THEN "ORDER BY e.seq DESC LIMIT 1), m.body)"
#define SQL_DATA_THEN "coalesce((SELECT e.data " SQL_EDITS_THEN                                        \
	"AND e.data IS NOT NULL ORDER BY e.seq DESC LIMIT 1), m.data)"
/* Asked once a page: most have neither edits nor deletions, and each row that is asked costs as much again. */
#define SQL_ANY_EDIT "EXISTS (SELECT 1 FROM msg WHERE kind = 'edit' AND cid = ?1 AND re BETWEEN ?2 AND ?3)"
#define SQL_ANY_DELETE "EXISTS (SELECT 1 FROM msg WHERE kind = 'delete' AND cid = ?1 AND re BETWEEN 1 AND ?3)"
#define SQL_ENTRY                                                                                      \
	"SELECT m.seq, m.ts, m.sender, m.re, CASE WHEN " SQL_ANY_EDIT " THEN " SQL_EDITED_THEN " END, "  \
	"CASE WHEN " SQL_ANY_DELETE " THEN " SQL_DELETED("m") " END, m.kind, "                         \
	"coalesce(" SQL_NAME("u") ", 'deleted'), m.cmid, "                                             \
	"CASE WHEN " SQL_ANY_EDIT " THEN " SQL_BODY_THEN " ELSE m.body END, "                          \
	"CASE WHEN " SQL_ANY_EDIT " THEN " SQL_DATA_THEN " ELSE m.data END, m.ends "
/*
 * An index that lags: sqlite_index.c.  SQL_LAST: the id of the last entry of a conversation up to seq.  The order
 * of a page is that of the list in it, whose rows are looked up one by one.
 */
#define SQL_VISIBLE "(SELECT max(id) FROM msg)"
#define SQL_MAX "9223372036854775806"
#define SQL_LAST(cid_, seq_) "coalesce(memtable_last(" cid_ ", " seq_ ", " SQL_VISIBLE "), "           \
	"(SELECT id FROM msg_index WHERE cid = " cid_ " AND seq <= " seq_ " ORDER BY seq DESC LIMIT 1))"
#define SQL_PAGE(memtable, order) SQL_ENTRY                                                            \
	"FROM (SELECT seq, id FROM msg_index WHERE cid = ?1 AND seq >= ?2 "                            \
	"AND seq <= min(?3, coalesce(memtable_first(?1, " SQL_VISIBLE ") - 1, ?3)) "                   \
	"UNION ALL SELECT seq, id FROM " memtable "(?1, ?2, ?3, ?4, " SQL_VISIBLE ") "                 \
	"ORDER BY seq " order " LIMIT ?4) i CROSS JOIN msg m ON m.id = i.id "                          \
	"LEFT JOIN user u ON u.id = m.sender "
#define SQL_IS "m.id = " SQL_LAST("?1", "?2") " AND m.seq = ?2"
#define SQL_CONV SQL_CONV_OF("x.seq, x.ts", "LEFT JOIN msg x ON x.id = " SQL_LAST("c.cid", SQL_MAX) " ")
/* head: the number and the time of its last entry, where from. */
#define SQL_CONV_OF(head, from)                                                                        \
	"SELECT c.kind, c.lo, c.hi, c.acl_ver, c.min_seq, c.open, c.history, c.post, c.handle, "       \
	SQL_NAME("a") ", " SQL_NAME("b") ", " head ", c.ended, c.members, c.invite, c.cid "            \
	"FROM conv c LEFT JOIN user a ON a.id = c.lo LEFT JOIN user b ON b.id = c.hi " from
/*
 * named: those that are listed though he left them.  entry: which is x, the last that he may see, at
 * most SQL_SYNC_UNTIL; it is as it was written: what would have changed it comes after it, and where
 * he left it is his leaving.
 */
#define SQL_SYNC_OF(named, entry)                                                                      \
	"SELECT c.cid, c.kind, c.lo, c.hi, c.min_seq, c.history, c.handle, c.title, "                  \
	SQL_NAME("o") ", o.display, "                                                                  \
	"m.role, m.join_seq, coalesce(m.leave_seq, c.ended), m.read_seq, m.delivered_seq, "            \
	"m.muted_until, "                                                                              \
	"p.read_seq, p.delivered_seq, x.seq, x.ts, x.sender, x.re, "                                   \
	"NULL, NULL, "                                                                                 \
	"CASE WHEN ?2 THEN x.kind END, coalesce(" SQL_NAME("s") ", 'deleted'), x.cmid, "               \
	"CASE WHEN ?2 THEN substr(x.body, 1, 256) END "                                                \
	"FROM member m JOIN conv c ON c.cid = m.cid "                                                  \
	"LEFT JOIN user o ON o.id = CASE WHEN c.lo = m.user THEN c.hi ELSE c.lo END "                  \
	"LEFT JOIN member p ON p.user = o.id AND p.cid = m.cid "                                       \
	"AND NOT EXISTS (" SQL_BLOCKS "user = m.user AND peer = o.id) "                                \
	"AND NOT EXISTS (" SQL_BLOCKS "user = o.id AND peer = m.user) "                                \
	"LEFT JOIN msg x ON " entry " "                                                                \
	"LEFT JOIN user s ON s.id = CASE WHEN ?2 THEN x.sender END "                                  \
	"WHERE m.user = ?1 AND (coalesce(m.leave_seq, c.ended) IS NULL OR "                            \
	"(coalesce(m.leave_seq, c.ended) > 0 AND m.cid IN (" named "))) "
#define SQL_SYNC_UNTIL "coalesce(m.leave_seq, c.ended, 9007199254740991)"
#define SQL_SYNC SQL_SYNC_OF("SELECT value FROM json_each(?3)",                                        \
	"x.id = " SQL_LAST("m.cid", SQL_SYNC_UNTIL))
#define SQL_USER SQL_USER_OF("min", "max")
#define SQL_USER_OF(least, greatest) "SELECT u.id, u.name, u.display, u.status, u.created, u.seen, "                       \
	"EXISTS (SELECT 1 FROM contact WHERE user = ?1 AND peer = u.id AND state = 3) OR "             \
	"EXISTS (SELECT 1 FROM direct WHERE lo = " least "(?1, u.id) "                   \
	"AND hi = " greatest "(?1, u.id)), "              \
	"EXISTS (SELECT 1 FROM contact WHERE user = u.id AND peer = ?1 AND state = 4), "              \
	"(SELECT state FROM contact WHERE user = ?1 AND peer = u.id), u.presence = 2 "
#define SQL_MSG_BY_SEQ "SELECT m.sender, m.ts, m.cmid, m.body, m.kind, m.re, " SQL_DELETED("m") " "    \
	"FROM msg m WHERE "
#define SQL_MSG_NAMED "SELECT m.sender, m.kind, " SQL_DATA("m") " IS NOT NULL, "                       \
	"(SELECT count(*) " SQL_EDITS("m") "), d.seq, d.sender, d.ts FROM msg m "                      \
	"LEFT JOIN msg d ON d.kind = 'delete' AND d.cid = m.cid AND d.re = m.seq WHERE "
#define SQL_MSG_AND_EDITS(is) "SELECT m.id, m.body IS NOT NULL, m.data IS NOT NULL FROM msg m "        \
	"WHERE " is " UNION ALL "                                                                      \
	"SELECT e.id, e.body IS NOT NULL, e.data IS NOT NULL FROM msg e "                              \
	"WHERE e.kind = 'edit' AND e.cid = ?1 AND e.re = ?2"
#define SQL_MSG_SENDER "SELECT m.sender FROM msg m WHERE "
#define SQL_BLOCKS "SELECT 1 FROM contact WHERE state = 4 AND "

#define STATEMENTS(X)                                                                                  \
	/* Transactions and the store itself */                                                        \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
	X(BEGIN_READ, "BEGIN")                                                                         \
	X(COMMIT, "COMMIT")                                                                            \
	X(ROLLBACK, "ROLLBACK")                                                                        \
	X(DATA_VERSION, "PRAGMA data_version")                                                         \
	X(META, "SELECT epoch, admin_revision, schema_version FROM meta WHERE id = 1")                 \
	X(CIDS_SKIP, "UPDATE sqlite_sequence SET seq = seq + 1000000 WHERE name = 'conv' "         \
		     "AND (SELECT epoch FROM meta WHERE id = 1) IS NULL")                          \
	X(META_OPENED, "UPDATE meta SET opened = opened + 1, epoch = coalesce(epoch, ?1) WHERE id = 1") \
	X(META_ADMIN, "UPDATE meta SET admin_revision = admin_revision + 1 WHERE id = 1")              \
	/* Where several nodes write: rows that are decided on, and heads that are kept beside the log */ \
	X(LOCK_CONV, "SELECT cid FROM conv WHERE cid = ?1 FOR UPDATE")                                 \
	X(LOCK_USER, "SELECT id FROM user WHERE id = ?1 FOR UPDATE")                                   \
	X(LOCK_MEMBER, "SELECT user FROM member WHERE user = ?1 AND cid = ?2 FOR UPDATE")              \
	X(LOCK_TOKEN, "SELECT session FROM token WHERE hash = ?1 FOR UPDATE")                          \
	X(BUS_KEY_MAKE, "UPDATE meta SET bus_key = ?1 WHERE id = 1 AND bus_key IS NULL")               \
	X(BUS_KEY, "SELECT bus_key FROM meta WHERE id = 1")                                            \
	/* Conversations and who may write there */                                                    \
	X(CONV, SQL_CONV "WHERE c.cid = ?1")                                                           \
	X(CONVS, SQL_CONV "WHERE c.cid IN (SELECT value FROM json_each(?1))")                          \
	X(CONV_BY_HANDLE, "SELECT cid FROM conv WHERE handle = ?1")                                    \
	X(CONV_ADD, "INSERT INTO conv (kind, lo, hi, created) VALUES (1, ?1, ?2, ?3)")                 \
	X(DIRECT, "SELECT cid FROM direct WHERE lo = ?1 AND hi = ?2")                                  \
	X(DIRECT_ADD, "INSERT INTO direct (lo, hi, cid) VALUES (?1, ?2, ?3)")                          \
	X(MEMBER, "SELECT role, join_seq, "                                                            \
	    "coalesce(leave_seq, (SELECT ended FROM conv WHERE cid = ?2)), read_seq, delivered_seq, muted_until, banned "    \
	    "FROM member WHERE user = ?1 AND cid = ?2")                                                \
	X(MEMBER_ADD, "INSERT INTO member (user, cid, role, join_seq) VALUES (?1, ?2, 1, 1)")          \
	X(MEMBER_COUNT, "SELECT count(*) FROM member m JOIN conv c ON c.cid = m.cid "                  \
	    "WHERE m.user = ?1 AND m.leave_seq IS NULL AND c.ended IS NULL")                           \
	X(MEMBER_MARKS, "UPDATE member SET read_seq = max(read_seq, ?3), "                             \
	    "delivered_seq = max(delivered_seq, ?4) WHERE user = ?1 AND cid = ?2")                     \
	X(PEER, "SELECT u.accept, EXISTS (SELECT 1 FROM contact WHERE user = ?1 AND peer = ?2 AND state = 4) " \
	    "OR EXISTS (SELECT 1 FROM contact WHERE user = ?2 AND peer = ?1 AND state = 4), "          \
	    "EXISTS (SELECT 1 FROM contact WHERE user = ?2 AND peer = ?1 AND state = 3), "             \
	    "EXISTS (SELECT 1 FROM user WHERE id = ?1 AND disabled <> 2) "                             \
	    "FROM user u WHERE u.id = ?2 AND u.disabled <> 2")                                         \
	/* Entries */                                                                                  \
	X(MSG_ADD, "INSERT INTO msg (cid, seq, sender, cmid, ts, kind, data, body, re) "               \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                                             \
	/* later: sqlite_batch.c */                                                                    \
	X(MSG_ADD_LATER, "INSERT OR FAIL INTO msg (cid, seq, sender, cmid, ts, kind, data, body, re) " \
	    "SELECT cid, seq, sender, cmid, ts, kind, data, body, re FROM later")                      \
	X(MSG_BY_CMID, "SELECT m.seq, m.ts, m.re, " SQL_EDITED("m") ", " SQL_DELETED("m") ", m.kind, " \
	    "m.body, m.data FROM msg m WHERE m.cmid = ?1 AND m.cid = ?2 AND m.sender = ?3")            \
	/* Of those that the index does not have yet, and into it: sqlite_index.c */                   \
	X(INDEXED, "SELECT indexed FROM meta WHERE id = 1")                                            \
	X(MSG_LAST, "SELECT max(id) FROM msg")                                                         \
	X(META_INDEXED, "UPDATE meta SET indexed = ?1 WHERE id = 1")                                   \
	X(MSG_BEHIND, "SELECT id, cid, seq FROM msg WHERE id > ?1 ORDER BY id")                        \
	X(INDEX_ADD, "INSERT OR IGNORE INTO msg_index (cid, seq, id) SELECT cid, seq, id FROM merging") \
	X(INDEX_OTHERS, "SELECT count(*) FROM merging m JOIN msg_index i ON i.cid = m.cid AND i.seq = m.seq " \
	    "WHERE i.id <> m.id")                                                                      \
	X(MSG_BY_SEQ, SQL_MSG_BY_SEQ SQL_IS)                                                           \
	X(MSG_NAMED, SQL_MSG_NAMED SQL_IS)                                                             \
	X(MSG_AND_EDITS, SQL_MSG_AND_EDITS(SQL_IS))                                                    \
	X(PAGE_OLDEST, SQL_PAGE("memtable_oldest", ""))                                                \
	X(PAGE_NEWEST, SQL_PAGE("memtable_newest", "DESC"))                                            \
	X(HEADS, "SELECT c.cid, c.kind, c.handle, "                                                    \
	    "coalesce((SELECT seq FROM msg WHERE id = " SQL_LAST("c.cid", SQL_MAX) "), c.min_seq - 1) " \
	    "FROM conv c WHERE c.cid IN (SELECT value FROM json_each(?1))")                            \
	X(SYNC, SQL_SYNC)                                                                              \
	X(SYNC_ONE, SQL_SYNC "AND m.cid = ?4")                                                         \
	GROUP_STATEMENTS(X)                                                                            \
	PEOPLE_STATEMENTS(X)
/* clang-format on */

#define STATEMENT_AS_ENUM(name, text) STMT_##name,
enum stmt { STATEMENTS(STATEMENT_AS_ENUM) STMT_MAX };

enum { SQL_BUSY_MS = 2000 };

/* A statement's text as SQLite has it. */
const char *stmt_text(enum stmt stmt);

/* What a statement comes to, if not an error of the database. */
/* HELD: rows that it needs are locked by others, see sql_engine's divide(). */
enum { SQL_OK = SQLITE_OK, SQL_ROW = SQLITE_ROW, SQL_DONE = SQLITE_DONE, SQL_HELD = 198 };

/*
 * READ does with a file that may not be written (any more), the others refuse it; CREATE makes a
 * missing one.
 */
enum sql_access { SQL_READ, SQL_WRITE, SQL_CREATE };

struct mysql_conn;

struct sql_conn {
	sqlite3 *db; /* owned; NULL while closed, or where it is one to another database: */
	struct mysql_conn *mysql; /* owned; see mysql_conn.h */
	sqlite3_stmt *stmts[STMT_MAX];
	bool counts; /* its statements are the writer's, and counted */
};

/*
 * An existing file is opened, a missing one made where create says so; on failure with SQLite's or
 * the system's words.
 */
int sql_open(struct sql_conn *conn, const char *path, enum sql_access access, char *ret_error,
    size_t error_size);
/* Also rolls back. */
void sql_close(struct sql_conn *conn);
/* SQL without parameters, several statements. */
int sql_exec(struct sql_conn *conn, const char *sql);

/*
 * Binds and takes the first step: SQLITE_ROW, SQLITE_DONE or an error.  types has a letter for each
 * parameter: 'i' uint64_t, 's' slice as text (absent: NULL), 'b' slice as blob, 'n' NULL.
 * stmt_end() must follow.
 */
int stmt_start(struct sql_conn *conn, enum stmt stmt, const char *types, ...);
int stmt_next(struct sql_conn *conn, enum stmt stmt);
void stmt_end(struct sql_conn *conn, enum stmt stmt);
/* All of it for a statement that gives no rows: SQLITE_OK or an error. */
int stmt_run(struct sql_conn *conn, enum stmt stmt, const char *types, ...);
/* The first column of the only row as a number; 0 where there is no row. */
int stmt_number(struct sql_conn *conn, uint64_t *ret, enum stmt stmt, const char *types, ...);

/* Of the last INSERT; how many rows the last statement changed. */
uint64_t sql_last_id(struct sql_conn *conn);
uint64_t sql_changes(struct sql_conn *conn);
/* By all statements so far. */
uint64_t sql_total_changes(struct sql_conn *conn);
bool sql_is_open(const struct sql_conn *conn);
/* Does this error say that there is such a row already? */
bool sql_is_duplicate(const struct sql_conn *conn, int code);
/* The last error in words. */
const char *sql_why(struct sql_conn *conn);
/* Writes over the bytes of a column (a name that is a constant) of a row of msg, in place. */
int sql_overwrite(struct sql_conn *conn, const char *column, uint64_t id);

uint64_t column_u64(struct sql_conn *conn, enum stmt stmt, int column);
/* Valid until the next step or end; absent where it is NULL. */
slice column_slice(struct sql_conn *conn, enum stmt stmt, int column);
bool column_null(struct sql_conn *conn, enum stmt stmt, int column);

#endif
