/* SPDX-License-Identifier: MIT */
/*
 * A file system for SQLite: the default one, but that a commit goes to the write-ahead log in few
 * large writes.  SQLite writes each page of it in two pieces, one behind the other, which costs more
 * than what is written.  Here they are gathered until something else happens to the log: most of
 * all the sync of the commit, before which no other connection is told of the pages.
 *
 * So only for connections with synchronous = FULL.  What a write would have failed with the sync
 * fails with.
 */
#ifndef STORE_GATHER_H
#define STORE_GATHER_H

/* Its name for sqlite3_open_v2(); around what is the default at the first call. */
const char *gather_vfs(void);

#endif
