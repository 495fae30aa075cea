/* SPDX-License-Identifier: MIT */
/* The tables of the store on MariaDB or MySQL and their versions, and what the server must be. */
#ifndef STORE_MYSQL_SCHEMA_H
#define STORE_MYSQL_SCHEMA_H

#include "store/mysql_conn.h"

enum { MYSQL_SCHEMA_VERSION = 1, MYSQL_SCHEMA_IMPORTING = -1000 };

/*
 * Makes the tables and leads them to this version; several nodes that start at once do it one after
 * the other.  A newer version, or tables of another program, are refused.  False with a message for
 * people.
 */
bool mysql_schema_open(struct mysql_conn *conn, char *ret_error, size_t error_size);
/* No node changes the tables meanwhile; ends with the connection. */
bool mysql_schema_lock(struct mysql_conn *conn, char *ret_error, size_t error_size);
void mysql_schema_unlock(struct mysql_conn *conn);
/* Whether an import began (import.h) that is not finished: the version is MYSQL_SCHEMA_IMPORTING. */
int mysql_schema_importing(struct mysql_conn *conn, bool *ret_importing);
/* Could mysql_schema_open() use the database?  Nothing is changed. */
bool mysql_schema_check(struct mysql_conn *conn, char *ret_error, size_t error_size);

/*
 * Whether the server keeps what the store promises with this durability (local, say): its version,
 * flushing at commit, what it writes to its own log, isolation, strictness, size of packets, not
 * read-only.  False with a message that names what is wrong and why.  *ret_warning is a constant
 * text about what works but should be known, or NULL.
 */
bool mysql_server_check(struct mysql_conn *conn, enum mysql_durability durability,
    const char **ret_warning, char *ret_error, size_t error_size);

#endif
