/* SPDX-License-Identifier: MIT */
/*
 * The changes of groups, written once for every store: who may, what follows, what the log says.
 * What is read and written they do through a table of functions that a store offers for its rows.
 * Everything is decided before the first row is changed, so that a refused change leaves nothing
 * behind.
 *
 *   group_change.c: rights, settings, roles    group_join.c: who comes    group_leave.c: who goes
 */
#ifndef STORE_GROUP_CHANGE_H
#define STORE_GROUP_CHANGE_H

#include "base/buf.h"
#include "store/rows.h"

enum { LIMIT_OWNERS_SHOWN = 100 };

struct group_tables;

/* One change under way; the head of a store's own structure. */
struct group_work {
	const struct group_tables *tables;
	struct op *op;         /* OP_GROUP or OP_CLOSE */
	struct conv_row *conv; /* the store's; NULL before CREATE made it */
	slice from;            /* the name of op->user */
	uint64_t now_ms;
};

struct group_person {
	uint64_t uid; /* 0: unknown or deleted */
	bool active;  /* not disabled either */
};

/* 0, or an error of the store that ends its transaction. */
struct group_tables {
	int (*person)(struct group_work *w, slice name, struct group_person *ret);
	/* What uid says about op->user, see rights_direct(). */
	int (*peer)(struct group_work *w, uint64_t uid, struct peer_row *ret);
	int (*member)(struct group_work *w, uint64_t uid, struct member_row *ret);
	int (*owners)(struct group_work *w, uint64_t *ret); /* counted up to 2 */
	/* How many conversations he is in; how many groups he owns. */
	int (*memberships)(struct group_work *w, uint64_t uid, uint64_t *ret);
	int (*owned)(struct group_work *w, uint64_t uid, uint64_t *ret);
	int (*by_handle)(struct group_work *w, slice handle, uint64_t *ret_cid);
	/* Title and topic, for as long as the operation lives. */
	int (*texts)(struct group_work *w, slice *ret_title, slice *ret_topic);
	/* Who comes after op->user as owner: the eldest admin, else member; 0 if nobody is left. */
	int (*heir)(struct group_work *w, struct op_person *ret);

	/* A new group; sets w->conv. */
	int (*create)(
	    struct group_work *w, const struct conv_row *row, const struct group_settings *set);
	/* The group's row as it is from now on; title and topic where they are given. */
	int (*save)(
	    struct group_work *w, const struct conv_row *row, const struct group_settings *set);
	/* A member from seq on, his marks right before it. */
	int (*join)(
	    struct group_work *w, const struct op_person *who, enum role role, uint64_t seq);
	int (*leave)(struct group_work *w, uint64_t uid, uint64_t seq, bool banned);
	/* Of who is no member. */
	int (*ban)(struct group_work *w, const struct op_person *who, bool banned);
	int (*set_role)(struct group_work *w, uint64_t uid, enum role role);
	int (*set_muted)(struct group_work *w, uint64_t uid, uint64_t until);
	/* The entry at the end of the log: its cid, seq and ts are set; the row's head follows. */
	int (*push)(struct group_work *w, struct entry *entry);
};

/* OP_GROUP, with the group that was found (or none, for CREATE). */
int group_change(struct group_work *w);
/*
 * The end of an account: op->user leaves this group, in which he may be; where he is the last owner
 * the heir becomes one first, and the last member dismisses it.  The entries go to the end of
 * op->close.entries.
 */
int group_abandon(struct group_work *w, size_t *capacity);
/* Takes back what an attempt at OP_GROUP put out. */
void group_outputs_reset(struct op *op);

/* --- Between the three files --- */

/* What entry->seq will be. */
uint64_t group_next_seq(const struct group_work *w);
/* Logs; data (taken, may be NULL) is what the entry says. */
int group_log(struct group_work *w, enum group_change what, uint64_t ends, struct buf *data,
    struct entry **ret_entry);
/* op_fail() and 0: what was asked is refused, the transaction goes on. */
int group_refuse(struct group_work *w, enum err err, const char *param);
int group_refuse_limit(struct group_work *w, uint64_t max);
/* Whom REMOVE, ROLE… mean, and his row; refuses who is unknown. */
int group_subject(struct group_work *w, struct op_person *ret_who, struct member_row *ret_row);
/* Is the handle free (or the group's own)?  Refuses otherwise. */
int group_check_handle(struct group_work *w, slice handle);

int group_create(struct group_work *w);
int group_join(struct group_work *w);
int group_invite(struct group_work *w);
int group_leave(struct group_work *w, const struct member_row *me);
int group_remove(struct group_work *w, const struct member_row *me);
int group_unban(struct group_work *w);
int group_dismiss(struct group_work *w, struct entry **ret_entry);

#endif
