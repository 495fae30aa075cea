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
	slice title, topic;   /* owned */
	uint64_t created;
	struct entry **log; /* counted; seq is log_base + index */
	uint64_t log_base;
	size_t log_count, log_capacity;
	struct map written; /* messages that were edited, by seq, as they were first; counted */
	struct smap sent;   /* by sender and cmid */
	struct map members; /* by user; owned */
};

struct memory {
	struct driver base;
	pthread_mutex_t lock;
	struct driver_options options;
	char epoch[EPOCH_BYTES];
	uint64_t last_user, last_cid, contact_order;
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
/* As of now: who was in a group when it was dismissed counts as left then. */
struct member_row mem_member_row(const struct mem_conv *conv, uint64_t user);
struct member_row mem_member_now(const struct mem_conv *conv, const struct mem_member *member);
/* Conversations that he is in. */
size_t mem_memberships(struct memory *m, uint64_t user);
/* The entry at the end, with its cid, seq and ts; counted.  The row's head and ts follow. */
void mem_log_push(struct mem_conv *conv, struct entry *entry);
void mem_handle_set(struct memory *m, struct mem_conv *conv, const struct short_name *handle);
struct peer_row mem_peer_row(struct memory *m, uint64_t asking, uint64_t peer);
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
/* What the account of peer says to who asks. */
struct peer_row mem_peer_row(struct memory *m, uint64_t asking, uint64_t peer);
/* Names of senders and cmids to the entries that carry them. */
struct mem_sent *mem_sent_of(const struct mem_conv *conv, const struct entry *entry);
/* May op->user write there?  creating: the conversation does not exist yet. */
enum err mem_rights_send(struct memory *m, const struct op *op, const struct op_target *target,
    const struct mem_conv *conv);

void mem_append(struct memory *m, struct op *op, uint64_t now_ms);
/* memory_edit.c: an edit or a deletion was appended; its message (and, deleted, its edits) change. */
void mem_edit_apply(struct mem_conv *conv, const struct entry *edit);
void mem_delete_apply(struct mem_conv *conv, uint64_t seq, uint64_t deletion);
/*
 * How a message that was edited read when the log ended at head: body and data are borrowed until the
 * next change; the result is the edit's seq, 0 for none.
 */
uint64_t mem_edit_then(const struct mem_conv *conv, const struct entry *message, uint64_t head,
    slice *ret_body, slice *ret_data);
struct msg_row mem_msg_row(const struct mem_conv *conv, uint64_t seq);
void mem_receipts(struct memory *m, struct op *op);
void mem_mark(struct memory *m, struct op *op);
/* memory_group.c */
void mem_group(struct memory *m, struct op *op, uint64_t now_ms);
/* As sqlite_groups_leave(). */
void mem_groups_leave(struct memory *m, struct op *op, slice from, uint64_t now_ms);
void mem_group_read(struct memory *m, struct op *op);

void mem_account(struct memory *m, struct op *op, uint64_t now_ms);
void mem_contact(struct memory *m, struct op *op);
void mem_contact_list(struct memory *m, struct op *op);
void mem_contacts_hiding(struct op *op, const struct mem_user *user);
void mem_close_account(struct memory *m, struct op *op, uint64_t now_ms);
void mem_read(struct memory *m, struct op *op);

#endif
