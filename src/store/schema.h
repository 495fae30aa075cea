/* SPDX-License-Identifier: MIT */
/* The tables of the SQLite store and their versions. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include "store/sql.h"

enum { SCHEMA_VERSION = 3 };

/*
 * Opens the file with all that every connection needs (WAL, FULL).  Makes it and migrates it if
 * create; a newer schema, or a file of another program, is refused.  False with a message for
 * people.
 */
bool schema_open(
    struct sql_conn *conn, const char *path, bool create, char *ret_error, size_t error_size);
/* Could schema_open() with create use the file?  It must exist; nothing is changed. */
bool schema_check(const char *path, char *ret_error, size_t error_size);

/* Is it a store of this version, neither older nor newer? */
bool schema_is_current(
    struct sql_conn *conn, const char *path, char *ret_error, size_t error_size);

/*
 * Leads a database from one version to a later one, in the transaction that is under way or none: 0
 * or SQLite's error.  What the file holds otherwise is schema_open()'s business.
 */
int schema_steps(struct sql_conn *conn, int64_t from, int64_t to);

#endif
