/* SPDX-License-Identifier: MIT */
/* What is asked about accounts, contacts and sessions; part of the table of statements in
 * store/sql.h. */
#ifndef STORE_SQL_PEOPLE_H
#define STORE_SQL_PEOPLE_H

/* clang-format off */
#define PEOPLE_STATEMENTS(X)                                                                           \
	/* Accounts */                                                                                 \
	X(USER_ADD, "INSERT INTO user (name, display, folded, password_hash, created, seen) "          \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?5)")                                                         \
	X(USER_NAME, "SELECT " SQL_NAME("u") " FROM user u WHERE u.id = ?1")                           \
	X(USER_ID, "SELECT id FROM user WHERE name = ?1 AND disabled <> 2")                            \
	X(USER_HASH, "SELECT password_hash FROM user WHERE id = ?1 AND disabled = 0")                  \
	X(USER_SET_HASH, "UPDATE user SET password_hash = ?2 WHERE id = ?1")                           \
	X(USER_SET_PROFILE, "UPDATE user SET display = coalesce(?2, display), folded = coalesce(?3, folded), " \
	    "status = coalesce(?4, status), accept = coalesce(?5, accept) WHERE id = ?1 AND disabled <> 2") \
	X(USER_SEEN, "UPDATE user SET seen = max(seen, ?2) WHERE id = ?1")                             \
	X(USER_DISABLE, "UPDATE user SET disabled = 1 WHERE id = ?1")                                  \
	X(USER_PROFILE, "SELECT display, status, accept FROM user WHERE id = ?1")                      \
	X(AUTH_NAME, "SELECT id, name, display, password_hash FROM user WHERE name = ?1 AND disabled = 0") \
	X(AUTH_ID, "SELECT id, name, display, password_hash FROM user WHERE id = ?1 AND disabled = 0") \
	X(PROFILE_NAME, SQL_USER "FROM user u WHERE u.name = ?2 AND u.disabled <> 2")                  \
	X(PROFILE_ID, SQL_USER "FROM user u WHERE u.id = ?2 AND u.disabled <> 2")                      \
	X(FIND, SQL_USER "FROM user u WHERE u.disabled = 0 AND u.id IN ("                              \
	    "SELECT * FROM (SELECT id FROM user WHERE name >= ?2 AND name < ?3 AND disabled = 0 "      \
	    "ORDER BY name LIMIT ?4) UNION "                                                           \
	    "SELECT * FROM (SELECT id FROM user WHERE folded >= ?2 AND folded < ?3 AND disabled = 0 "  \
	    "ORDER BY folded, name LIMIT ?4)) ORDER BY u.name LIMIT ?4")                               \
	X(FIND_EXACT, SQL_USER "FROM user u WHERE u.name = ?2 AND u.disabled = 0")                     \
	X(USER_THERE, "SELECT 1 FROM user WHERE id = ?1 AND disabled <> 2")                            \
	/* Contacts */                                                                                 \
	X(CONTACTS, "SELECT peer FROM contact WHERE user = ?1 AND state = 3 LIMIT ?2")                 \
	X(CONTACTS_HIDING, "SELECT user FROM contact WHERE peer = ?1 AND state = 4 UNION "           \
	    "SELECT peer FROM contact WHERE user = ?1 AND state = 4 LIMIT ?2") \
	X(AROUND, "SELECT 0, presence, presence_text FROM user WHERE id = ?1 UNION ALL "               \
	    "SELECT peer, NULL, NULL FROM contact WHERE user = ?1 AND state = 3 LIMIT ?2")             \
	X(PRESENCE, "SELECT presence, presence_text FROM user WHERE id = ?1 AND disabled <> 2")        \
	X(PRESENCE_SET, "UPDATE user SET presence = coalesce(?2, presence), presence_text = "          \
	    "CASE WHEN ?3 IS NULL THEN presence_text ELSE nullif(?3, '') END WHERE id = ?1 AND disabled <> 2") \
	X(CONTACT_ORDER, "SELECT 0")                                                                   \
	X(CONTACT_PAIR, "SELECT (SELECT state FROM contact WHERE user = ?1 AND peer = ?2), "           \
	    "(SELECT state FROM contact WHERE user = ?2 AND peer = ?1)")                               \
	X(CONTACT_PUT, "INSERT INTO contact (user, peer, state, note) VALUES (?1, ?2, ?3, ?4) "        \
	    "ON CONFLICT (user, peer) DO UPDATE SET state = excluded.state, note = excluded.note")     \
	X(CONTACT_DROP, "DELETE FROM contact WHERE user = ?1 AND peer = ?2")                           \
	X(CONTACT_COUNT, "SELECT count(*) FROM contact WHERE user = ?1 AND (state = 4) = ?2")          \
	X(CONTACT_LIST, "SELECT k.peer, u.name, u.display, k.state, k.note, "                           \
	    "CASE WHEN u.presence = 2 THEN 0 ELSE u.seen END "                                         \
	    "FROM contact k JOIN user u ON u.id = k.peer "                                             \
	    "WHERE k.user = ?1 AND u.name > ?2 AND u.disabled <> 2 ORDER BY u.name LIMIT ?3")          \
	X(CONV_ACL, "UPDATE conv SET acl_ver = acl_ver + 1 WHERE cid = ?1")                            \
	/* The end of an account */                                                                    \
	X(CLOSE_BANS, "UPDATE member SET banned = 0 WHERE user = ?1 AND banned = 1")                   \
	X(CLOSE_CONTACTS, "SELECT k.peer FROM contact k JOIN contact p ON p.user = k.peer "            \
	    "AND p.peer = k.user WHERE k.user = ?1 AND p.state <> 4")                                  \
	X(CLOSE_LISTED, "DELETE FROM contact WHERE peer = ?1 "                                         \
	    "AND user IN (SELECT peer FROM contact WHERE user = ?1)")                                  \
	X(CLOSE_BLOCKED, "DELETE FROM contact WHERE peer = ?1 AND state = 4")                          \
	X(CLOSE_LIST, "DELETE FROM contact WHERE user = ?1")                                           \
	X(CLOSE_USER, "UPDATE user SET disabled = 2, password_hash = '', display = '', folded = '', "  \
	    "status = '', accept = 0, presence = 0, presence_text = NULL WHERE id = ?1")               \
	X(CLOSE_DIRECTS_ACL, "UPDATE conv SET acl_ver = acl_ver + 1 "                                  \
	    "WHERE kind = 1 AND cid IN (SELECT cid FROM member WHERE user = ?1)")                      \
	X(CLOSE_DIRECTS, "SELECT m.cid FROM member m JOIN conv c ON c.cid = m.cid "                    \
	    "WHERE m.user = ?1 AND c.kind = 1")                                                        \
	/* Sessions */                                                                                 \
	X(TOKEN_ADD, "INSERT INTO token (hash, session, user, device, ip, created, seen) "             \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)")                                                     \
	X(TOKEN, "SELECT t.user, t.session, u.name, u.display FROM token t JOIN user u ON u.id = t.user " \
	    "WHERE t.hash = ?1 AND t.seen >= ?2 AND u.disabled = 0")                                   \
	X(TOKEN_USER, "SELECT user FROM token WHERE hash = ?1")                                        \
	X(TOKENS, "SELECT session, device, ip, created, seen FROM token WHERE user = ?1 "              \
	    "ORDER BY seen, session LIMIT ?2")                                                         \
	X(TOKEN_SEEN, "UPDATE token SET seen = max(seen, ?2), ip = coalesce(?3, ip) WHERE session = ?1") \
	X(TOKENS_LIVE, "SELECT session FROM token WHERE session IN (SELECT value FROM json_each(?1))") \
	X(TOKEN_OF, "SELECT 1 FROM token WHERE session = ?1 AND user = ?2")                            \
	X(TOKEN_OTHERS, "SELECT 1 FROM token WHERE user = ?1 AND session <> ?2 LIMIT 1")               \
	X(TOKEN_DROP, "DELETE FROM token WHERE session = ?1 AND user = ?2")                            \
	X(TOKENS_DROP_BUT, "DELETE FROM token WHERE user = ?1 AND session <> ?2")                      \
	X(TOKENS_EXPIRE, "DELETE FROM token WHERE user = ?1 AND seen < ?2")
/* clang-format on */

#endif
