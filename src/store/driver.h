/* SPDX-License-Identifier: MIT */
/*
 * A driver is one kind of store behind a small table of functions: sqlite, memory, and flaky, which
 * wraps another one and fails on purpose.  worker.c gives it threads; a test may call it directly.
 * write() and tick() are called by one thread, read() with the number of a reader by one thread
 * each, the rest by any. Operations come back filled in, with op->fault set; they are never
 * completed or freed in here.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "chat/op.h"

struct driver_options {
	const char *path;                 /* what stands behind the URL's colon */
	unsigned readers;                 /* read() is called with 0 … readers - 1; at least 1 */
	uint64_t (*now_ms)(void *cookie); /* real time; NULL: the clock's */
	/* In write() or tick(): the store was reopened and lives another life.  May be NULL. */
	void (*epoch_changed)(void *cookie, slice epoch);
	void *cookie;
};

/* An open store; the first member of every driver's own state. */
struct driver {
	const struct store_driver *type;
};

enum { EPOCH_BYTES = 40, BUS_KEY_BYTES = 32 };

struct store_driver {
	const char *name;
	/* NULL with a message for people in ret_error. */
	struct driver *(*open)(
	    const struct driver_options *options, char *ret_error, size_t error_size);
	/* Writes what is still coalesced. */
	void (*close)(struct driver **driver);
	/*
	 * One transaction for all of them, in this order, each with its own fault.  If the
	 * transaction fails before COMMIT all are UNAVAILABLE; if its outcome cannot be settled all
	 * are UNKNOWN_OUTCOME.
	 */
	void (*write)(struct driver *driver, struct op **ops, size_t count);
	/*
	 * Does what is due (coalesced marks, checkpoints, probes); in how many ms at most it must
	 * be called again.
	 */
	uint32_t (*tick)(struct driver *driver);
	/*
	 * A pool: the writer with that number, which does no more than write() and tick(), called
	 * by one thread each; NULL behind the last one.  What the driver's own write() and tick()
	 * do is the first one's.  May be NULL: the driver is its own only writer.
	 */
	struct driver *(*writer)(struct driver *driver, unsigned index);
	void (*read)(struct driver *driver, unsigned reader, struct op *op);
	void (*epoch)(struct driver *driver, char ret_epoch[EPOCH_BYTES]);
	bool (*writable)(struct driver *driver, const char **ret_why);
	uint64_t (*admin_revision)(struct driver *driver);
	/* What an answered write outlives; NULL: "local". */
	const char *(*durability)(struct driver *driver);
	/* What all who have the same store open know and nobody else: made when there is none.  May
	 * be NULL: nobody else has it open. */
	void (*bus_key)(struct driver *driver, unsigned char ret_key[BUS_KEY_BYTES]);
};

extern const struct store_driver memory_driver;
extern const struct store_driver sqlite_driver;
extern const struct store_driver mysql_driver;

struct store;
struct store_options;

/*
 * store_open() with a driver that is open already and becomes the store's; options->url is not
 * looked at.
 */
struct store *store_start(const struct store_options *options, struct driver *driver);
/* The options' clock, or the real one. */
uint64_t driver_now_ms(const struct driver_options *options);
/* A new random epoch. */
void epoch_make(char ret_epoch[EPOCH_BYTES]);

#endif
