/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the store: a driver of any kind in a directory of its own, and operations in one
 * line.
 */
#ifndef STORE_TEST_WORLD_H
#define STORE_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "store/driver.h"
#include "store/rows.h"

/* MYSQL: a database of its own on the server that CONFAB_TEST_MARIADB names. */
enum world_kind { WORLD_MEMORY, WORLD_SQLITE, WORLD_FLAKY, WORLD_MYSQL };

struct world {
	enum world_kind kind;
	struct driver *driver;
	struct driver *inner; /* the driver itself, or what flaky wraps */
	char directory[64], path[96];
	char database[48], address[256]; /* MYSQL */
	uint64_t now_ms;                 /* what the drivers take for the real time */
	uint64_t cid, session;           /* counters of the tests */
};

struct sent {
	struct fault fault;
	uint64_t cid, seq, ts, acl_ver, min_seq;
	bool dup, created;
};

/* What a test sends; what is left out is none. */
struct letter {
	uint64_t from, to, re; /* to: a cid */
	const char *to_user, *to_handle, *body, *data, *cmid, *kind;
	uint64_t acl_ver, min_seq, peer;
	uint64_t conversations_max; /* 0: no limit */
	enum err refused;
	enum append_what
	    what; /* EDIT, DELETE: re is the message; kind and a body for none are set */
};

void world_init(struct world *w, enum world_kind kind);
/* Closes and opens the driver (not for memory). */
void world_reopen(struct world *w);
void world_fini(struct world *w);
/* One more driver, on the same store or another of its kind; the caller closes it.  epoch_changed may be NULL. */
struct driver *world_open_at(
    struct world *w, const char *path, void (*epoch_changed)(void *cookie, slice epoch));
/* Removes the files of the store, which is closed. */
void world_remove(struct world *w);

/* Runs it; tries again what a flaky driver refused. */
void world_write(struct world *w, struct op *op);
void world_read(struct world *w, struct op *op);
/* Registers; returns the id. */
uint64_t world_user(struct world *w, const char *name);
struct op *letter_op(const struct letter *letter);
struct sent letter_result(const struct op *op);
struct sent world_send(struct world *w, const struct letter *letter);
/* SQL beside the driver, as an administrator would. */
void world_sql(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first column of the first row. */
uint64_t world_ask(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What no method makes yet, for every kind. */
uint64_t world_group(struct world *w, const struct conv_row *row, const char *title);
void world_member(struct world *w, uint64_t cid, uint64_t user, const struct member_row *row);
void world_contact(struct world *w, uint64_t user, uint64_t peer, enum contact_state state);
void world_account(struct world *w, uint64_t user, enum account account);

struct op *world_page(struct world *w, uint64_t user, uint64_t cid, uint64_t after, uint64_t before,
    uint32_t limit, bool newest);

#endif
