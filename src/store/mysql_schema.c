/* SPDX-License-Identifier: MIT */
#include "store/mysql_schema.h"

#include <stdlib.h>

#include "base/panic.h"

#define TABLE " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

/*
 * The same tables and columns as SQLite's (schema.c says what they mean); conv has the head of its
 * log in last_seq and last_ts beside it.  Numbers are signed, as in SQLite.  What is compared byte
 * by byte (names, handles, cmids, kinds, what is searched for) is VARBINARY: there no collation
 * takes two of them for one, nor a trailing blank for nothing.  What people wrote is utf8mb4.
 * There are no partial indexes: msg_re is for edits and deletions, and has every entry; by kind, so
 * that replies do not stand among them.
 * Every statement may be run twice: such a server commits each of them by itself.
 */
static const char *const first[] = {
    "CREATE TABLE IF NOT EXISTS meta (id INT NOT NULL PRIMARY KEY, schema_version INT NOT NULL,"
    " epoch VARBINARY(64), admin_revision BIGINT NOT NULL DEFAULT 0,"
    " opened BIGINT NOT NULL DEFAULT 0, bus_key VARBINARY(64))" TABLE,
    "CREATE TABLE IF NOT EXISTS user (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
    " name VARBINARY(64) NOT NULL, display TEXT NOT NULL, folded VARBINARY(700) NOT NULL,"
    " status TEXT NOT NULL DEFAULT (''), password_hash VARBINARY(255) NOT NULL,"
    " accept TINYINT NOT NULL DEFAULT 0, created BIGINT NOT NULL, seen BIGINT NOT NULL,"
    " disabled TINYINT NOT NULL DEFAULT 0, presence TINYINT NOT NULL DEFAULT 0,"
    " presence_text TEXT, UNIQUE KEY user_name (name), KEY user_folded (folded, name))" TABLE,
    "CREATE TABLE IF NOT EXISTS conv (cid BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
    " kind TINYINT NOT NULL DEFAULT 0, lo BIGINT, hi BIGINT, title TEXT, topic TEXT,"
    " handle VARBINARY(64), open TINYINT NOT NULL DEFAULT 0, history TINYINT NOT NULL DEFAULT 0,"
    " post TINYINT NOT NULL DEFAULT 0, invite TINYINT NOT NULL DEFAULT 0,"
    " min_seq BIGINT NOT NULL DEFAULT 1, acl_ver BIGINT NOT NULL DEFAULT 1,"
    " created BIGINT NOT NULL DEFAULT 0, folded VARBINARY(700),"
    " members BIGINT NOT NULL DEFAULT 0, ended BIGINT,"
    " last_seq BIGINT NOT NULL DEFAULT 0, last_ts BIGINT NOT NULL DEFAULT 0,"
    " UNIQUE KEY conv_handle (handle), KEY conv_open (open, cid), KEY conv_title (open, "
    "folded))" TABLE,
    "CREATE TABLE IF NOT EXISTS msg (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
    " cid BIGINT NOT NULL, seq BIGINT NOT NULL, sender BIGINT NOT NULL, cmid VARBINARY(255),"
    " ts BIGINT NOT NULL, kind VARBINARY(64) NOT NULL, data MEDIUMTEXT, body MEDIUMTEXT,"
    " re BIGINT NOT NULL DEFAULT 0, ends BIGINT NOT NULL DEFAULT 0,"
    " UNIQUE KEY msg_seq (cid, seq), UNIQUE KEY msg_cmid (cmid, cid, sender),"
    " KEY msg_re (cid, kind, re, seq))" TABLE,
    "CREATE TABLE IF NOT EXISTS member (user BIGINT NOT NULL, cid BIGINT NOT NULL,"
    " role TINYINT NOT NULL DEFAULT 1, join_seq BIGINT NOT NULL DEFAULT 1, leave_seq BIGINT,"
    " read_seq BIGINT NOT NULL DEFAULT 0, delivered_seq BIGINT NOT NULL DEFAULT 0,"
    " muted_until BIGINT NOT NULL DEFAULT 0, banned TINYINT NOT NULL DEFAULT 0,"
    " name VARBINARY(64), PRIMARY KEY (user, cid), UNIQUE KEY member_cid (cid, user),"
    " KEY member_name (cid, name), KEY member_role (cid, role, name),"
    " KEY member_banned (cid, banned, name))" TABLE,
    "CREATE TABLE IF NOT EXISTS direct (lo BIGINT NOT NULL, hi BIGINT NOT NULL,"
    " cid BIGINT NOT NULL, PRIMARY KEY (lo, hi))" TABLE,
    "CREATE TABLE IF NOT EXISTS contact (user BIGINT NOT NULL, peer BIGINT NOT NULL,"
    " state TINYINT NOT NULL, note TEXT, PRIMARY KEY (user, peer),"
    " KEY contact_peer (peer, state))" TABLE,
    "CREATE TABLE IF NOT EXISTS token (hash VARBINARY(64) NOT NULL PRIMARY KEY,"
    " session BIGINT NOT NULL, user BIGINT NOT NULL, device TEXT, ip VARBINARY(64),"
    " created BIGINT NOT NULL, seen BIGINT NOT NULL, UNIQUE KEY token_session (session),"
    " KEY token_user (user, seen))" TABLE,
    "CREATE TABLE IF NOT EXISTS tally (cid BIGINT NOT NULL, level INT NOT NULL,"
    " place BIGINT NOT NULL, `read` BIGINT NOT NULL, delivered BIGINT NOT NULL,"
    " PRIMARY KEY (cid, level, place))" TABLE,
    "INSERT IGNORE INTO meta (id, schema_version) VALUES (1, 1)",
    NULL,
};

/* steps[i] leads from version i to i + 1; a step that was released never changes. */
static const char *const *const steps[] = {first};

static_assert(LEN(steps) == MYSQL_SCHEMA_VERSION, "a step to every version");

static int
ask_number(struct mysql_conn *conn, const char *sql, long long *ret)
{
	char text[64];
	int rc = mysql_conn_ask(conn, sql, text, sizeof(text));

	*ret = rc == 0 ? strtoll(text, NULL, 10) : 0;
	return rc;
}

/* 0: an empty database; -1: one of another program, or half made. */
static int
version_read(struct mysql_conn *conn, long long *ret)
{
	long long tables, ours;
	int rc = ask_number(conn,
	    "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()",
	    &tables);

	if (rc == 0)
		rc = ask_number(conn,
		    "SELECT count(*) FROM information_schema.columns WHERE table_schema = "
		    "database() AND table_name = 'meta' AND column_name = 'schema_version'",
		    &ours);
	*ret = 0;
	if (rc != 0 || tables == 0)
		return rc;
	*ret = -1;
	if (ours == 0)
		return 0;
	rc = ask_number(conn, "SELECT schema_version FROM meta WHERE id = 1", ret);
	return rc; /* no row: 0, it was begun and not finished */
}

static bool
version_fits(long long version, bool create, char *ret_error, size_t error_size)
{
	if (version == MYSQL_SCHEMA_IMPORTING)
		(void)snprintf(ret_error, error_size,
		    "an import into the database is under way, or was interrupted: wait for its end, "
		    "or run `confabd --import` again, which begins anew");
	else if (version < 0)
		(void)snprintf(ret_error, error_size,
		    "the database has tables of another program: give an empty one");
	else if (version > MYSQL_SCHEMA_VERSION)
		(void)snprintf(ret_error, error_size,
		    "the database was written by a newer confabd (schema %lld, this one knows %d): "
		    "run that one, or restore a backup",
		    version, MYSQL_SCHEMA_VERSION);
	else if (version < MYSQL_SCHEMA_VERSION && !create)
		(void)snprintf(ret_error, error_size,
		    "the database has the schema of an older confabd: start this one once");
	else
		return true;
	return false;
}

static int
steps_run(struct mysql_conn *conn, long long version)
{
	char set[80];
	int rc = 0;

	for (; rc == 0 && version < MYSQL_SCHEMA_VERSION; version++) {
		for (const char *const *sql = steps[version]; rc == 0 && *sql != NULL; sql++)
			rc = mysql_conn_exec(conn, *sql);
		(void)snprintf(set, sizeof(set),
		    "UPDATE meta SET schema_version = %lld WHERE id = 1", version + 1);
		if (rc == 0)
			rc = mysql_conn_exec(conn, set);
	}
	return rc;
}

static bool
migrate(struct mysql_conn *conn, char *ret_error, size_t error_size)
{
	long long version;
	int rc = version_read(conn, &version);

	if (rc == 0 && !version_fits(version, true, ret_error, error_size))
		return false;
	if (rc == 0)
		rc = steps_run(conn, version);
	if (rc != 0)
		(void)snprintf(
		    ret_error, error_size, "the tables can't be made: %s (%d)", conn->why, rc);
	return rc == 0;
}

#define LOCK_NAME "concat('confab.', left(database(), 50))"

/* The lock ends with the connection if it must. */
bool
mysql_schema_lock(struct mysql_conn *conn, char *ret_error, size_t error_size)
{
	long long got;

	if (ask_number(conn, "SELECT get_lock(" LOCK_NAME ", 8)", &got) == 0 && got == 1)
		return true;
	(void)snprintf(ret_error, error_size,
	    "another node is changing the tables for a long time: %s", conn->why);
	return false;
}

void
mysql_schema_unlock(struct mysql_conn *conn)
{
	long long got;

	(void)ask_number(conn, "SELECT release_lock(" LOCK_NAME ")", &got);
}

bool
mysql_schema_open(struct mysql_conn *conn, char *ret_error, size_t error_size)
{
	bool done;

	if (!mysql_schema_lock(conn, ret_error, error_size))
		return false;
	done = migrate(conn, ret_error, error_size);
	mysql_schema_unlock(conn);
	return done;
}

int
mysql_schema_importing(struct mysql_conn *conn, bool *ret_importing)
{
	long long version;
	int rc = version_read(conn, &version);

	*ret_importing = version == MYSQL_SCHEMA_IMPORTING;
	return rc;
}

bool
mysql_schema_check(struct mysql_conn *conn, char *ret_error, size_t error_size)
{
	long long version;
	int rc = version_read(conn, &version);

	if (rc == 0)
		return version_fits(version, true, ret_error, error_size);
	(void)snprintf(ret_error, error_size, "the tables can't be read: %s (%d)", conn->why, rc);
	return false;
}

/* --- The server --- */

static bool
is_on(const char *value)
{
	return strcmp(value, "1") == 0 || strcasecmp(value, "ON") == 0;
}

static bool
not_on(const char *value)
{
	return !is_on(value);
}

static bool
is_one(const char *value)
{
	return strcmp(value, "1") == 0;
}

static bool
not_statement(const char *value)
{
	return strcasecmp(value, "STATEMENT") != 0;
}

static bool
is_roomy(const char *value)
{
	return strtoll(value, NULL, 10) >= 1024 * 1024;
}

static bool
is_strict(const char *value)
{
	return strstr(value, "STRICT_ALL_TABLES") != NULL;
}

static bool
is_committed_only(const char *value)
{
	return strcmp(value, "READ-COMMITTED") == 0;
}

static bool
is_utf8mb4(const char *value)
{
	return strcmp(value, "utf8mb4") == 0;
}

enum when { ALWAYS, DURABLE, WITH_BINLOG, DURABLE_WITH_BINLOG };

struct rule {
	const char *variable; /* global, or the session's where a connection sets it */
	enum when when;
	bool (*holds)(const char *value);
	const char *why;
};

static const struct rule rules[] = {
    {"innodb_flush_log_at_trx_commit", DURABLE, is_one,
	"set it to 1, or an answered message may be lost with the power"},
    {"sync_binlog", DURABLE_WITH_BINLOG, is_one,
	"set it to 1, or what replicas have and what the primary has may part in a crash"},
    {"binlog_format", WITH_BINLOG, not_statement,
	"set it to ROW or MIXED: READ COMMITTED can't be written as statements"},
    {"read_only", ALWAYS, not_on, "it is a replica, or closed: give the primary's address"},
    {"innodb_read_only", ALWAYS, not_on, "the server was started to be read only"},
    {"max_allowed_packet", ALWAYS, is_roomy, "set it to 1048576 at least: a batch is one packet"},
    {"sql_mode", ALWAYS, is_strict, "it can't be made strict: text would be cut without a word"},
    {"transaction_isolation", ALWAYS, is_committed_only,
	"READ COMMITTED can't be had: nodes would not see each other's messages"},
    {"character_set_connection", ALWAYS, is_utf8mb4, "there is no utf8mb4: text would be lost"},
};

/* Empty where the server has no such variable. */
static void
variable(struct mysql_conn *conn, const char *name, char *ret, size_t size)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql), "SELECT @@%s", name);
	if (mysql_conn_ask(conn, sql, ret, size) != 0)
		ret[0] = '\0';
}

static void
rule_value(struct mysql_conn *conn, const struct rule *rule, char *ret, size_t size)
{
	variable(conn, rule->variable, ret, size);
	if (ret[0] == '\0' && strcmp(rule->variable, "transaction_isolation") == 0)
		variable(conn, "tx_isolation", ret, size);
}

static bool
rule_counts(enum when when, bool durable, bool binlog)
{
	switch (when) {
	case ALWAYS:
		return true;
	case DURABLE:
		return durable;
	case WITH_BINLOG:
		return binlog;
	case DURABLE_WITH_BINLOG:
		return durable && binlog;
	}
	panic("store: no such condition");
}

static bool
version_is_known(struct mysql_conn *conn, char *ret_error, size_t error_size)
{
	unsigned long least = conn->mariadb ? 100600 : 80001;

	if (conn->version >= least)
		return true;
	(void)snprintf(ret_error, error_size,
	    "the server's version %lu.%lu is too old: MariaDB 10.6 or MySQL 8.0.1 is needed",
	    conn->version / 10000, conn->version / 100 % 100);
	return false;
}

/* What is answered stands on another machine too. */
static bool
is_replicated(struct mysql_conn *conn)
{
	static const char *const switches[] = {
	    "rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled", "wsrep_on"};
	char value[64];

	for (size_t i = 0; i < LEN(switches); i++) {
		variable(conn, switches[i], value, sizeof(value));
		if (is_on(value))
			return true;
	}
	return false;
}

static const char *
warning_of(struct mysql_conn *conn)
{
	char value[64];

	variable(conn, "wsrep_on", value, sizeof(value));
	if (is_on(value))
		return "it is a node of a Galera cluster: let all nodes of confab write to one and "
		       "the same of them";
	variable(conn, "innodb_doublewrite", value, sizeof(value));
	if (strcmp(value, "0") == 0 || strcasecmp(value, "OFF") == 0)
		return "innodb_doublewrite is off: a crash may tear pages";
	return NULL;
}

bool
mysql_server_check(struct mysql_conn *conn, enum mysql_durability durability,
    const char **ret_warning, char *ret_error, size_t error_size)
{
	bool durable = durability != MYSQL_DURABLE_RELAXED;
	char value[512];
	bool binlog;

	if (!version_is_known(conn, ret_error, error_size))
		return false;
	variable(conn, "log_bin", value, sizeof(value));
	binlog = is_on(value);
	for (size_t i = 0; i < LEN(rules); i++) {
		const struct rule *rule = &rules[i];

		if (!rule_counts(rule->when, durable, binlog))
			continue;
		rule_value(conn, rule, value, sizeof(value));
		if (rule->holds(value))
			continue;
		(void)snprintf(ret_error, error_size, "the database's %s is %s: %s", rule->variable,
		    value[0] != '\0' ? value : "not there", rule->why);
		return false;
	}
	if (durability == MYSQL_DURABLE_REPLICATED && !is_replicated(conn)) {
		(void)snprintf(ret_error, error_size,
		    "durability=replicated is asked for, but the database replicates neither "
		    "semi-synchronously nor as a Galera cluster");
		return false;
	}
	*ret_warning = warning_of(conn);
	return true;
}
