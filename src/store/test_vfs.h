/* SPDX-License-Identifier: MIT */
/* A file system for SQLite that fails on demand; otherwise the default one. */
#ifndef STORE_TEST_VFS_H
#define STORE_TEST_VFS_H

#include <stdatomic.h>

/* How many of the next calls fail; they may be set by any thread. */
struct test_vfs {
	_Atomic int sync_wal;  /* fsync of a log */
	_Atomic int sync_any;  /* fsync of any file */
	_Atomic int write_wal; /* write to a log: the disk is full */
	_Atomic int short_wal; /* the same, but half of it is written */
	_Atomic int read_db;   /* read of a database */
	/* Not a call that fails, but how many there were. */
	_Atomic int wal_writes;
};

extern struct test_vfs test_vfs;

/* Makes it the default for every connection opened from now on. */
void test_vfs_install(void);
/* Nothing fails any more. */
void test_vfs_heal(void);

#endif
