/* SPDX-License-Identifier: MIT */
/* The tables of the memory store, for the files that work on them; all under memory.lock. */
#ifndef STORE_MEMORY_DB_H
#define STORE_MEMORY_DB_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "store/driver.h"
#include "store/rows.h"

struct mem_user {
	uint64_t id;
	slice name, display, folded, status, password_hash; /* owned */
	bool contacts_only;
	enum presence presence;
	slice presence_text; /* owned */
	uint64_t created, seen;
	enum account account;
	struct list tokens;
	struct map members;  /* by cid */
	struct map contacts; /* by peer; owned */
	struct map hiding;   /* by user: those who block him */
};

struct mem_token {
	struct list of_user;
	unsigned char hash[SECRET_HASH_BYTES];
	uint64_t session, user;
	slice device, ip; /* owned */
	uint64_t created, seen;
};

struct mem_contact {
	uint64_t peer;
	enum contact_state state;
	slice note; /* owned */
};

struct mem_member {
	uint64_t cid, user;
	struct member_row row;
};

struct mem_pair {
	uint64_t lo, hi;
};

/* Names an entry by its sender and cmid; key points behind it. */
struct mem_sent {
	struct entry *entry; /* the log's */
	size_t len;
	char key[];
};

struct mem_conv {
	struct conv_row row;
	struct mem_pair pair; /* key of directs */
	slice title;          /* owned */
	struct entry **log;   /* counted; seq is log_base + index */
	uint64_t log_base;
	size_t log_count, log_capacity;
	struct smap sent;   /* by sender and cmid */
	struct map members; /* by user; owned */
};

struct memory {
	struct driver base;
	pthread_mutex_t lock;
	struct driver_options options;
	char epoch[EPOCH_BYTES];
	uint64_t last_user, last_cid;
	struct map users, sessions, convs;
	struct smap names, tokens, handles, directs;
};

/* A copy on the heap; absent stays absent. */
slice mem_own(slice s);
/* Replaces an owned slice. */
void mem_own_set(slice *field, slice s);

struct mem_user *mem_user_get(struct memory *m, uint64_t id);
/* NULL for deleted accounts too. */
struct mem_user *mem_user_named(struct memory *m, slice name);
slice mem_user_name(struct memory *m, uint64_t id);
struct mem_conv *mem_direct(struct memory *m, uint64_t a, uint64_t b);
struct mem_conv *mem_conv_add(struct memory *m, const struct conv_row *row, slice title);
struct mem_member *mem_member_put(struct memory *m, struct mem_conv *conv, uint64_t user);
struct member_row mem_member_row(const struct mem_conv *conv, uint64_t user);
struct entry *mem_entry_at(const struct mem_conv *conv, uint64_t seq);
enum contact_state mem_contact_state(struct memory *m, uint64_t user, uint64_t peer);
/* Adds, changes or (CONTACT_NONE) drops the row of peer in the user's list. */
void mem_contact_set(
    struct memory *m, uint64_t user, uint64_t peer, enum contact_state state, slice note);
/* Does one of the two block the other? */
bool mem_blocked(struct memory *m, uint64_t a, uint64_t b);
void mem_token_drop(struct memory *m, struct mem_token *token);
void mem_tokens_drop_but(struct memory *m, struct mem_user *user, uint64_t except);
/*
 * Completes a target for op->user.  ERR_OK with *ret_conv NULL: a person to whom there is no
 * conversation yet.
 */
enum err mem_resolve(struct memory *m, const struct op *op, struct op_target *target,
    struct mem_conv **ret_conv, const char **ret_param);
/* May op->user write there?  creating: the conversation does not exist yet. */
enum err mem_rights_send(struct memory *m, const struct op *op, const struct op_target *target,
    const struct mem_conv *conv);

void mem_append(struct memory *m, struct op *op, uint64_t now_ms);
void mem_mark(struct memory *m, struct op *op);
void mem_account(struct memory *m, struct op *op, uint64_t now_ms);
void mem_contact(struct memory *m, struct op *op);
void mem_contact_list(struct memory *m, struct op *op);
void mem_contacts_hiding(struct op *op, const struct mem_user *user);
void mem_close_account(struct memory *m, struct op *op);
void mem_read(struct memory *m, struct op *op);

#endif
