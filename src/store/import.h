/* SPDX-License-Identifier: MIT */
/*
 * Takes a whole store in SQLite to an empty one in MariaDB or MySQL, with all ids, so that clients
 * go on with their tokens and cursors as if nothing had happened:
 *
 *   source locked -> target marked -> tables copied -> read back and compared -> mark taken away
 *
 * The source is locked as long as it takes, and lives another life from then on (its epoch goes):
 * what is one log must not be served twice.  The mark is the schema's version in the target: from
 * the first row to the last comparison no confabd works with it.  What was interrupted is begun
 * anew by the next import.
 */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/admin.h"
#include "store/import_table.h"

struct import_progress {
	const char *table;
	uint64_t rows, total;
	bool comparing;
};

struct import_options {
	const char *from; /* "sqlite:PATH" */
	const char *to;   /* "mysql://…" */
	/* Every few hundred rows, and at the end of each table. */
	void (*progress)(void *cookie, const struct import_progress *progress);
	void *cookie;
};

struct import_result {
	uint64_t rows[IMPORT_TABLES_MAX]; /* as import_tables has them */
	bool anew;                        /* what an interrupted one had left was thrown away */
	bool other_life;                  /* the source has no epoch: a backup, or never served */
	char warning[512];                /* "": none */
};

/* 0, or -1 with a message for people. */
int import_store(const struct import_options *options, struct import_result *ret_result,
    struct admin_error *ret_error) __attribute__((warn_unused_result));

#endif
