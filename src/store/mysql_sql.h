/* SPDX-License-Identifier: MIT */
/*
 * Statements that MariaDB and MySQL say in other words than store/sql.h; all others are the same.
 * "read" is a reserved word there; what an index holds for searching is cut to what it can hold;
 * max(seq) of a conversation that another table names reads all of its index, so that the head is
 * taken from conv; the index of the log does not lag.
 */
#ifndef STORE_MYSQL_SQL_H
#define STORE_MYSQL_SQL_H

#include "store/sql.h"

/* clang-format off */
#define MYSQL_USER SQL_USER_OF("least", "greatest")
#define MYSQL_EACH(parameter) "SELECT j.value FROM JSON_TABLE(" parameter ", '$[*]' "                  \
	"COLUMNS (value BIGINT PATH '$')) AS j"
#define MYSQL_SYNC SQL_SYNC_OF(MYSQL_EACH("?3"),                                                    \
	"x.cid = m.cid AND x.seq = least(c.last_seq, " SQL_SYNC_UNTIL ")")
#define MYSQL_CONV SQL_CONV_OF("c.last_seq, c.last_ts", "")
#define MYSQL_PAGE SQL_ENTRY "FROM msg m LEFT JOIN user u ON u.id = m.sender "                       \
	"WHERE m.cid = ?1 AND m.seq BETWEEN ?2 AND ?3 ORDER BY m.seq "
#define MYSQL_IS "m.cid = ?1 AND m.seq = ?2"
#define MYSQL_FOLDED(parameter) "left(cast(" parameter " AS BINARY), 700)"

#define MYSQL_STATEMENTS(X)                                                                            \
	X(BEGIN, "START TRANSACTION")                                                                  \
	X(BEGIN_READ, "START TRANSACTION READ ONLY")                                                   \
	X(MEMBER_MARKS, "UPDATE member SET read_seq = greatest(read_seq, ?3), "                        \
	    "delivered_seq = greatest(delivered_seq, ?4) WHERE user = ?1 AND cid = ?2")                \
	X(CONV, MYSQL_CONV "WHERE c.cid = ?1")                                                         \
	X(CONTACT_ORDER, "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))")          \
	X(CONVS, MYSQL_CONV "WHERE c.cid IN (" MYSQL_EACH("?1") ")")                                   \
	X(TOKENS_LIVE, "SELECT session FROM token WHERE session IN (SELECT j.value FROM "              \
	    "JSON_TABLE(?1, '$[*]' COLUMNS (value BIGINT PATH '$')) AS j)")                            \
	X(MSG_BY_SEQ, SQL_MSG_BY_SEQ MYSQL_IS)                                                         \
	X(MSG_NAMED, SQL_MSG_NAMED MYSQL_IS)                                                           \
	X(MSG_AND_EDITS, SQL_MSG_AND_EDITS(MYSQL_IS))                                                  \
	X(MSG_SENDER, SQL_MSG_SENDER MYSQL_IS)                                                         \
	X(PAGE_OLDEST, MYSQL_PAGE "LIMIT ?4")                                                          \
	X(PAGE_NEWEST, MYSQL_PAGE "DESC LIMIT ?4")                                                     \
	X(HEADS, "SELECT c.cid, c.kind, c.handle, greatest(c.last_seq, c.min_seq - 1) "                \
	    "FROM conv c WHERE c.cid IN (" MYSQL_EACH("?1") ")")                                       \
	X(SYNC, MYSQL_SYNC)                                                                            \
	X(SYNC_ONE, MYSQL_SYNC "AND m.cid = ?4")                                                       \
	X(USER_ADD, "INSERT INTO user (name, display, folded, password_hash, created, seen) "          \
	    "VALUES (?1, ?2, " MYSQL_FOLDED("?3") ", ?4, ?5, ?5)")                                     \
	X(USER_SET_PROFILE, "UPDATE user SET display = coalesce(?2, display), "                        \
	    "folded = coalesce(" MYSQL_FOLDED("?3") ", folded), status = coalesce(?4, status), "       \
	    "accept = coalesce(?5, accept) WHERE id = ?1 AND disabled <> 2")                           \
	X(USER_SEEN, "UPDATE user SET seen = greatest(seen, ?2) WHERE id = ?1")                        \
	X(PROFILE_NAME, MYSQL_USER "FROM user u WHERE u.name = ?2 AND u.disabled <> 2")                \
	X(PROFILE_ID, MYSQL_USER "FROM user u WHERE u.id = ?2 AND u.disabled <> 2")                    \
	X(FIND, MYSQL_USER "FROM user u WHERE u.disabled = 0 AND u.id IN ("                            \
	    "SELECT id FROM (SELECT id FROM user WHERE name >= ?2 AND name < ?3 AND disabled = 0 "     \
	    "ORDER BY name LIMIT ?4) AS n UNION "                                                      \
	    "SELECT id FROM (SELECT id FROM user WHERE folded >= ?2 AND folded < ?3 AND disabled = 0 " \
	    "ORDER BY folded, name LIMIT ?4) AS f) ORDER BY u.name LIMIT ?4")                          \
	X(FIND_EXACT, MYSQL_USER "FROM user u WHERE u.name = ?2 AND u.disabled = 0")                   \
	X(CONTACT_PUT, "INSERT INTO contact (user, peer, state, note) VALUES (?1, ?2, ?3, ?4) "        \
	    "ON DUPLICATE KEY UPDATE state = VALUES(state), note = VALUES(note)")                      \
	X(CLOSE_LISTED, "DELETE c FROM contact c JOIN contact k ON k.user = ?1 AND k.peer = c.user "   \
	    "WHERE c.peer = ?1")                                                                       \
	X(TOKEN_SEEN, "UPDATE token SET seen = greatest(seen, ?2), ip = coalesce(?3, ip) "             \
	    "WHERE session = ?1")                                                                      \
	X(GROUP_OWNERS, "SELECT count(*) FROM (SELECT 1 FROM member WHERE cid = ?1 AND role = 3 "      \
	    "AND leave_seq IS NULL LIMIT 2) AS o")                                                     \
	X(GROUP_ADD, "INSERT INTO conv (kind, title, folded, topic, handle, open, history, post, "     \
	    "invite, members, created) VALUES (2, ?1, " MYSQL_FOLDED("?2") ", ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)") \
	X(GROUP_SET, "UPDATE conv SET title = coalesce(?2, title), "                                   \
	    "folded = coalesce(" MYSQL_FOLDED("?3") ", folded), topic = coalesce(?4, topic), "         \
	    "handle = ?5, open = ?6, post = ?7, invite = ?8 WHERE cid = ?1")                           \
	X(GROUP_JOIN, "INSERT INTO member (user, cid, role, join_seq, read_seq, delivered_seq, name) " \
	    "VALUES (?1, ?2, ?3, ?4, ?4 - 1, ?4 - 1, ?5) ON DUPLICATE KEY UPDATE "                     \
	    "role = VALUES(role), join_seq = VALUES(join_seq), leave_seq = NULL, "                     \
	    "read_seq = greatest(read_seq, VALUES(read_seq)), "                                        \
	    "delivered_seq = greatest(delivered_seq, VALUES(delivered_seq)), name = VALUES(name)")     \
	X(GROUP_BAN, "INSERT INTO member (user, cid, join_seq, leave_seq, name, banned) "              \
	    "VALUES (?1, ?2, 0, 0, ?3, 1) ON DUPLICATE KEY UPDATE banned = 1, name = VALUES(name)")    \
	X(CHANGE_THERE, "SELECT 1 FROM msg WHERE cid = ?1 AND seq = ?2 AND sender = ?3 AND ts = ?4 "   \
	    "AND kind = ?5 AND data <=> ?6")                                                           \
	X(TALLY_ADD, "INSERT INTO tally (cid, level, place, `read`, delivered) "                       \
	    "VALUES (?1, ?2, ?3, ?4, ?5) ON DUPLICATE KEY UPDATE `read` = `read` + VALUES(`read`), "   \
	    "delivered = delivered + VALUES(delivered)")                                               \
	X(TALLY_DROP, "DELETE FROM tally WHERE cid = ?1 AND level = ?2 AND place = ?3 "                \
	    "AND `read` = 0 AND delivered = 0")                                                        \
	X(TALLY_SUM, "SELECT sum(`read`), sum(delivered) FROM tally "                                  \
	    "WHERE cid = ?1 AND level = ?2 AND place BETWEEN ?3 AND ?4")                               \
	X(GROUP_MEMBERS_ROLE, "SELECT m.user, m.name, u.display, m.role FROM member m "                \
	    "FORCE INDEX (member_role) JOIN user u ON u.id = m.user WHERE m.cid = ?1 AND m.name > ?2 " \
	    "AND m.leave_seq IS NULL AND m.role = ?4 ORDER BY m.name LIMIT ?3")                        \
	X(GROUPS_FIND, "SELECT cid, members, title, topic, handle FROM conv WHERE cid IN ("            \
	    "SELECT cid FROM (SELECT cid FROM conv WHERE open = 1 AND folded >= ?3 AND folded < ?4 "   \
	    "AND cid > ?1 ORDER BY cid LIMIT ?2) AS t UNION "                                          \
	    "SELECT cid FROM (SELECT cid FROM conv WHERE open = 1 AND handle >= ?3 AND handle < ?4 "   \
	    "AND cid > ?1 ORDER BY cid LIMIT ?2) AS h) ORDER BY cid LIMIT ?2")
/* clang-format on */

const char *mysql_text(enum stmt stmt);

#endif
