/* SPDX-License-Identifier: MIT */
/*
 * The log on disk behind worker threads: operations (chat/op.h) are submitted from any thread and
 * come back through done() from a worker's.  One writer, or each of a pool, commits all that queued
 * meanwhile in one transaction (group commit clocks itself: no linger timer); readers work apart on
 * snapshots.  What
 * was answered without error is committed; what failed before COMMIT is UNAVAILABLE and not there;
 * an error at COMMIT is settled by reopening and looking the batch up, and is UNKNOWN_OUTCOME where
 * even that fails.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "chat/op.h"

struct store;
struct store_driver;

enum {
	LIMIT_STORE_WRITES = 65536, /* operations that wait for the writer; more are BUSY */
	LIMIT_STORE_READS = 16384,  /* the same for the readers */
	LIMIT_STORE_BYTES = 128 * 1024 * 1024, /* what the operations that wait hold; the same */
	LIMIT_STORE_BATCH = 512,               /* operations in one transaction */
};

struct store_options {
	const char *url;  /* "sqlite:PATH", "mysql://…" (mysql_address.h), "memory:" */
	unsigned readers; /* reader threads; 0: two */
	/* On a worker's thread; the operation is the receiver's. */
	void (*done)(void *cookie, struct op *op);
	/*
	 * The same for all operations of a batch, in their order: what was committed together is told
	 * together.  The array may be written to.  NULL: done() for each.
	 */
	void (*done_all)(void *cookie, struct op **ops, size_t count);
	/* On a worker's thread: the store was reopened and lives another life. */
	void (*epoch_changed)(void *cookie, slice epoch);
	void *cookie;
};

/* Opens, creates or migrates.  NULL with a message for people in ret_error. */
struct store *store_open(const struct store_options *options, char *ret_error, size_t error_size);
/* Finishes what was submitted, writes what is coalesced, joins the threads. */
void store_close(struct store **store);
/* Any thread; the store owns the operation until done().  Completes in a later turn in any case. */
void store_submit(struct store *store, struct op *op);
/*
 * The same for operations that write, linked by mail.next: a writer that sleeps is woken when all of his are
 * there, and begins with all of them.
 */
void store_submit_writes(struct store *store, struct mail *first);
/* How many readers it has. */
unsigned store_readers(const struct store *store);
/* The epoch's text into ret_epoch, at least 40 bytes.  Any thread. */
void store_epoch(struct store *store, char ret_epoch[40]);
/* What an answered write outlives: the protocol's word. */
const char *store_durability(struct store *store);
/* The url for logs and people: without a password. */
void store_url_text(const char *url, char *ret_text, size_t text_size);
/* A secret that the nodes of this store share.  Any thread. */
void store_bus_key(struct store *store, unsigned char ret_key[32]);
/*
 * True while the last attempt to write succeeded, and none hangs (a disk or database that does not
 * answer holds the writer for longer); otherwise *ret_why is a constant text.  Any thread.
 */
bool store_writable(struct store *store, const char **ret_why);
/*
 * A number that changes whenever another process changed accounts (user passwd, user disable).  Any
 * thread.
 */
uint64_t store_admin_revision(struct store *store);

#endif
