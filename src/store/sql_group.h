/* SPDX-License-Identifier: MIT */
/* What SQLite is asked about groups; part of the table of statements in store/sql.h. */
#ifndef STORE_SQL_GROUP_H
#define STORE_SQL_GROUP_H

/* clang-format off */
/*
 * The terms that repeat what others say already name a partial index.  A name that is greater than
 * something is not NULL.
 */
#define GROUP_STATEMENTS(X)                                                                            \
	/* What their changes read and write */                                                        \
	X(GROUP_PERSON, "SELECT id, disabled FROM user WHERE name = ?1 AND disabled <> 2")             \
	X(GROUP_OWNERS, "SELECT count(*) FROM (SELECT 1 FROM member WHERE cid = ?1 AND role = 3 "      \
	    "AND role <> 1 AND leave_seq IS NULL LIMIT 2)")                                            \
	X(GROUPS_OWNED, "SELECT count(*) FROM member m JOIN conv c ON c.cid = m.cid "                  \
	    "WHERE m.user = ?1 AND m.role = 3 AND m.leave_seq IS NULL AND c.ended IS NULL")            \
	X(GROUPS_OF, "SELECT m.cid FROM member m JOIN conv c ON c.cid = m.cid WHERE m.user = ?1 "      \
	    "AND m.leave_seq IS NULL AND c.ended IS NULL AND c.kind = 2 ORDER BY m.cid")               \
	X(GROUP_TEXTS, "SELECT title, topic, created FROM conv WHERE cid = ?1")                        \
	X(GROUP_HEIR_ADMIN, "SELECT user, name FROM member WHERE cid = ?1 AND role = 2 AND role <> 1 " \
	    "AND leave_seq IS NULL AND user <> ?2 ORDER BY join_seq, user LIMIT 1")                    \
	X(GROUP_HEIR, "SELECT user, name FROM member WHERE cid = ?1 AND leave_seq IS NULL "            \
	    "AND user <> ?2 ORDER BY join_seq, user LIMIT 1")                                          \
	X(GROUP_ADD, "INSERT INTO conv (kind, title, folded, topic, handle, open, history, post, "     \
	    "invite, members, created) VALUES (2, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")           \
	X(GROUP_SAVE, "UPDATE conv SET acl_ver = ?2, members = ?3, ended = nullif(?4, 0) WHERE cid = ?1") \
	X(GROUP_SET, "UPDATE conv SET title = coalesce(?2, title), folded = coalesce(?3, folded), "    \
	    "topic = coalesce(?4, topic), handle = ?5, open = ?6, post = ?7, invite = ?8 WHERE cid = ?1") \
	X(GROUP_JOIN, "INSERT INTO member (user, cid, role, join_seq, read_seq, delivered_seq, name) " \
	    "VALUES (?1, ?2, ?3, ?4, ?4 - 1, ?4 - 1, ?5) ON CONFLICT (user, cid) DO UPDATE SET "       \
	    "role = excluded.role, join_seq = excluded.join_seq, leave_seq = NULL, "                   \
	    "read_seq = max(read_seq, excluded.read_seq), "                                            \
	    "delivered_seq = max(delivered_seq, excluded.delivered_seq), name = excluded.name")        \
	X(GROUP_LEAVE, "UPDATE member SET leave_seq = ?3, banned = ?4 WHERE user = ?1 AND cid = ?2")   \
	X(GROUP_BAN, "INSERT INTO member (user, cid, join_seq, leave_seq, name, banned) "              \
	    "VALUES (?1, ?2, 0, 0, ?3, 1) ON CONFLICT (user, cid) DO UPDATE SET banned = 1, "          \
	    "name = excluded.name")                                                                    \
	X(GROUP_UNBAN, "UPDATE member SET banned = 0 WHERE user = ?1 AND cid = ?2")                    \
	X(GROUP_ROLE, "UPDATE member SET role = ?3 WHERE user = ?1 AND cid = ?2")                      \
	X(GROUP_MUTE, "UPDATE member SET muted_until = ?3 WHERE user = ?1 AND cid = ?2")               \
	X(CHANGE_ADD, "INSERT INTO msg (cid, seq, sender, ts, kind, data, ends) "                      \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                     \
	X(CHANGE_THERE, "SELECT 1 FROM msg m WHERE " SQL_IS " AND m.sender = ?3 AND m.ts = ?4 "         \
	    "AND m.kind = ?5 AND m.data IS ?6")                                                            \
	/* How far members have come */                                                                \
	X(TALLY_ADD, "INSERT INTO tally (cid, level, place, read, delivered) VALUES (?1, ?2, ?3, ?4, ?5) " \
	    "ON CONFLICT DO UPDATE SET read = read + excluded.read, "                                  \
	    "delivered = delivered + excluded.delivered")                                              \
	X(TALLY_DROP, "DELETE FROM tally WHERE cid = ?1 AND level = ?2 AND place = ?3 "                \
	    "AND read = 0 AND delivered = 0")                                                          \
	X(TALLY_SUM, "SELECT sum(read), sum(delivered) FROM tally "                                    \
	    "WHERE cid = ?1 AND level = ?2 AND place BETWEEN ?3 AND ?4")                               \
	X(RECEIPTS, "SELECT m.user, m.name, m.read_seq, m.delivered_seq FROM member m "                \
	    "WHERE m.cid = ?1 AND m.name > ?2 AND m.name IS NOT NULL AND m.leave_seq IS NULL "         \
	    "AND m.user <> ?3 ORDER BY m.name LIMIT ?4")                                               \
	X(RECEIPT, "SELECT " SQL_NAME("u") ", m.read_seq, m.delivered_seq FROM member m "              \
	    "JOIN user u ON u.id = m.user WHERE m.user = ?1 AND m.cid = ?2")                           \
	X(MSG_SENDER, SQL_MSG_SENDER SQL_IS)                                                           \
	/* What is shown of them */                                                                    \
	X(GROUP_MEMBER_IDS, "SELECT user FROM member WHERE cid = ?1 AND leave_seq IS NULL LIMIT ?2")   \
	X(GROUP_MEMBERS, "SELECT m.user, m.name, u.display, m.role FROM member m CROSS JOIN user u "   \
	    "WHERE u.id = m.user AND m.cid = ?1 AND m.name > ?2 AND m.leave_seq IS NULL "              \
	    "AND (?4 = 0 OR m.role = ?4) ORDER BY m.name LIMIT ?3")                                    \
	X(GROUP_MEMBERS_ROLE, "SELECT m.user, m.name, u.display, m.role FROM member m "                \
	    "INDEXED BY member_role CROSS JOIN user u WHERE u.id = m.user AND m.cid = ?1 AND m.name > ?2 " \
	    "AND m.leave_seq IS NULL AND m.role <> 1 AND m.role = ?4 ORDER BY m.name LIMIT ?3")        \
	X(GROUP_MEMBERS_BANNED, "SELECT m.user, m.name, u.display, m.role FROM member m "              \
	    "CROSS JOIN user u WHERE u.id = m.user AND m.cid = ?1 AND m.name > ?2 AND m.banned = 1 "   \
	    "AND u.disabled <> 2 ORDER BY m.name LIMIT ?3")                                            \
	X(GROUPS_ALL, "SELECT cid, members, title, topic, handle FROM conv WHERE open = 1 "            \
	    "AND cid > ?1 ORDER BY cid LIMIT ?2")                                                      \
	X(GROUPS_FIND, "SELECT cid, members, title, topic, handle FROM conv WHERE cid IN ("            \
	    "SELECT * FROM (SELECT cid FROM conv INDEXED BY conv_title "                               \
	    "WHERE open = 1 AND folded >= ?3 AND folded < ?4 "                                         \
	    "AND cid > ?1 ORDER BY cid LIMIT ?2) UNION "                                               \
	    "SELECT * FROM (SELECT cid FROM conv INDEXED BY conv_handle "                              \
	    "WHERE open = 1 AND handle >= ?3 AND handle < ?4 "                                         \
	    "AND cid > ?1 ORDER BY cid LIMIT ?2)) ORDER BY cid LIMIT ?2")
/* clang-format on */

#endif
