/* SPDX-License-Identifier: MIT */
/*
 * What the drivers know about a conversation and its people when they decide, and the decisions:
 * pure functions, the same for every driver.
 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "chat/op.h"

enum account { ACCOUNT_ACTIVE, ACCOUNT_DISABLED, ACCOUNT_DELETED };
enum {
	LIMIT_SYNC_CONVS = 10000, /* conversations in one answer; older ones are left out */
	LIMIT_PAGE_ENTRIES = 1000,
	LIMIT_FOUND = 1000,
	LIMIT_CONTACTS = 10000,
	LIMIT_SESSIONS = 1000,
	ENTRY_OVERHEAD_BYTES = 100, /* what an entry counts in a page beside body and data */
	PREVIEW_BYTES = 256,
};

/* A name or handle by value. */
struct short_name {
	uint8_t len; /* 0: none */
	char text[32];
};

struct conv_row {
	uint64_t cid;
	enum conv_kind kind;
	uint64_t lo, hi; /* direct */
	uint64_t acl_ver, min_seq;
	uint64_t head, ts; /* of the newest entry; head is min_seq - 1 where there is none */
	bool open, history, admins_post; /* group */
	struct short_name lo_name, hi_name, handle;
};

/* A row of member; exists is false where there is none. */
struct member_row {
	bool exists, left, banned;
	enum role role;
	uint64_t join_seq, leave_seq; /* leave_seq if left; 0: was never in */
	uint64_t read, delivered, muted_until;
};

/* What a user's account and contacts say about another who wants to write to him. */
struct peer_row {
	bool exists;  /* false for a deleted account too */
	bool blocked; /* one of the two blocks the other */
	bool contacts_only, is_contact;
	bool asker_gone; /* his own account is deleted meanwhile */
};

enum standing { STANDING_NONE, STANDING_LEFT, STANDING_MEMBER };

struct short_name short_name_of(slice name);
slice short_name_slice(const struct short_name *name);

bool conv_has(const struct conv_row *conv, uint64_t user);
/* The other one of a direct conversation. */
uint64_t conv_other(const struct conv_row *conv, uint64_t user);
/* Filled for as long as the operation lives. */
void conv_facts_fill(struct op *op, const struct conv_row *conv, struct conv_facts *ret_facts);

enum standing member_standing(const struct member_row *member);
/* The lowest and highest seq that a member or former member may see. */
uint64_t member_min_seq(const struct conv_row *conv, const struct member_row *member);
uint64_t member_head(const struct conv_row *conv, const struct member_row *member);

/* May he write to this person?  creating: by the first message. */
enum err rights_direct(const struct peer_row *peer, bool creating);
/* May he write to this group now? */
enum err rights_group(
    const struct conv_row *conv, const struct member_row *member, uint64_t now_ms);
/* May he read (and, with be_member, mark) this conversation? */
enum err rights_see(
    const struct conv_row *conv, uint64_t user, const struct member_row *member, bool be_member);

/*
 * Grows the marks of row as the operation asks, to head at most; fills op's out and says what
 * changed.
 */
bool marks_grow(struct op *op, uint64_t head, uint64_t *read, uint64_t *delivered);
/* Settles an append by what its cmid found: dup, or CONFLICT. */
void append_found(struct op *op, const struct entry *found);
void append_done(struct op *op, const struct conv_row *conv, uint64_t seq, uint64_t ts);
/* What the page may hold of the log: rows from…to, both included; empty if from > to. */
void page_range(const struct op *op, uint64_t *ret_from, uint64_t *ret_to);
/* s cut to at most max bytes at a boundary of characters. */
slice text_cut(slice s, size_t max);
void op_fail(struct op *op, enum err err, const char *param);
/* Whether a sorted list of cursors names the conversation. */
bool cursors_name(const struct op_cursor *cursors, size_t count, uint64_t cid);
/* Forgets what an attempt to end an account found that came to nothing. */
void close_reset(struct op *op);
/* "unavailable" in full. */
void op_unavailable(struct op *op);

#endif
