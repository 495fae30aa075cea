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
	LIMIT_EDITS = 1000, /* of one message: its deletion erases them all at once; LIMIT */
	LIMIT_RECEIPTS = 1000,
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
	/* group: */
	bool open, history, admins_post, admins_invite;
	uint64_t members;
	uint64_t ended; /* seq of the dismissal; 0: none */
	struct short_name lo_name, hi_name, handle;
};

/*
 * A row of member; exists is false where there is none.  Who was in a group when it was dismissed
 * counts as left then: whoever loads a row fills it in so.
 */
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

/* The message that an edit or a deletion names. */
struct msg_row {
	bool exists, is_message; /* otherwise a change */
	bool has_data;
	uint64_t sender, edits;                /* edits: how many */
	uint64_t deleted, deleter, deleted_ts; /* the deletion's seq (0: none), author and time */
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

/* Who may know what group.info tells; who may list the members, or those who are banned. */
enum err rights_info(const struct conv_row *conv, const struct member_row *member);
enum err rights_members(const struct conv_row *conv, const struct member_row *member, bool banned);
/* What the two rows say of it. */
void info_fill(
    struct op_group_info *info, const struct conv_row *conv, const struct member_row *member);

/* May op's author, who may write there, edit that message? */
struct fault rights_edit(const struct op *op, const struct msg_row *msg);
/* May op->user delete it?  peer: of a direct conversation; whom he may not write to, blocked or
 * muted, he may still take his words from. */
struct fault rights_delete(const struct op *op, const struct conv_row *conv,
    const struct member_row *member, const struct peer_row *peer, const struct msg_row *msg);
/* Is it a message, not a change, by its kind? */
bool kind_is_message(slice kind);

/* May he ask for these receipts? */
struct fault receipts_allowed(
    const struct op *op, const struct conv_row *conv, const struct member_row *member);
/* Takes the author, who is a member, out of what was counted. */
void receipts_without(struct op_receipts *of, const struct member_row *author);
/* A direct conversation: the other one than the author, who comes with his marks. */
void receipts_of_one(struct op *op, const struct op_member *member);

/*
 * Grows the marks of row as the operation asks, to head at most; fills op's out and says what
 * changed.
 */
bool marks_grow(struct op *op, uint64_t head, uint64_t *read, uint64_t *delivered);
/* Settles an append by what its cmid found: dup, or CONFLICT. */
void append_found(struct op *op, const struct entry *found);
void append_done(struct op *op, const struct conv_row *conv, uint64_t seq, uint64_t ts);
/* A deletion that was made before, by the same author or another. */
void append_deleted(struct op *op, const struct conv_row *conv, const struct msg_row *msg);
/* Where the log ends, and its edits with it, as the page shows it. */
uint64_t page_until(const struct op *op);
/* What the page may hold of the log: rows from…to, both included; empty if from > to. */
void page_range(const struct op *op, uint64_t *ret_from, uint64_t *ret_to);
/* s cut to at most max bytes at a boundary of characters. */
slice text_cut(slice s, size_t max);
void op_fail(struct op *op, enum err err, const char *param);
/* Sorts what a sync found by its last entry, and drops what is beyond LIMIT_SYNC_CONVS. */
void sync_newest_first(struct op *op);
/* Whether a sorted list of cursors names the conversation. */
bool cursors_name(const struct op_cursor *cursors, size_t count, uint64_t cid);
/* Forgets what an attempt to end an account found that came to nothing. */
void close_reset(struct op *op);
/* "unavailable" in full. */
void op_unavailable(struct op *op);

#endif
