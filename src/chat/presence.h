/* SPDX-License-Identifier: MIT */
/*
 * Presence.  A user's home knows what he shows (home_presence.c).  A shard knows which of its peers
 * watch whom, and what those were told last (watch.c, relation.c); it has a place in the list of each home
 * whose users somebody here watches.  who.c asks all homes what users show at one moment.
 */
#ifndef CHAT_PRESENCE_H
#define CHAT_PRESENCE_H

#include "chat/mail.h"

/* What a user shows to those who may see it. */
struct shown {
	uint64_t user;
	uint64_t seen; /* 0: not told */
	enum presence state;
	char name[33];
	char *text; /* owned; NULL: none */
};

struct shown_mail {
	struct mail mail;
	struct shown shown;
};

/* WATCH and UNWATCH to a home of all these users; WATCHED back with what they show. */
struct watch_mail {
	struct mail mail;
	unsigned from;
	uint32_t serial;
	size_t count;
	struct shown *shown; /* owned; of WATCHED: those who are not offline */
	size_t shown_count;
	uint64_t users[];
};

struct online_record {
	uint64_t user;
	char name[33];
	enum presence state;
	char *display, *text; /* owned; text may be NULL */
};

struct query_mail {
	struct mail mail;
	enum { QUERY_ALL, QUERY_CONV, QUERY_USERS } what;
	uint64_t gather, cid;
	unsigned from;
	bool everyone; /* not only those behind `after`, up to `limit` */
	bool counts;   /* how many there are, not who */
	uint32_t limit;
	char after[33];
	/* Owned; asked for by QUERY_USERS (of each home its own), found by QUERY_CONV, left out by
	 * QUERY_ALL (sorted). */
	uint64_t *users;
	size_t user_count;
	size_t online; /* found */
	/* Owned; found, in no order, those that make the first limit + 1 among them. */
	struct online_record *items;
	size_t count;
};

/* --- Watching (watch.c, relation.c) --- */

/*
 * Contact or block between the peer's user and another began or ended: what of him may be seen is
 * read again, and he is watched or not from then on.  For each peer of either user, whether or not
 * there is anything to tell.
 */
void presence_relation(struct peer *peer, uint64_t other);
/* The two have a direct conversation from now on: he may be seen also with a closed directory. */
void presence_met(struct peer *peer, uint64_t other);
/* The peer is synced: its contacts are watched. */
void presence_synced(struct peer *peer, const struct op_around *around);
/* Its queue has room again for what was dropped. */
void presence_catch_up(struct peer *peer);
/* The peer watches nobody any more. */
void presence_forget(struct peer *peer);
/* The moment at which a reading for presence_watch_set() begins. */
uint64_t presence_mark(const struct peer *peer);
/* The users that were read are the peer's list.  False: the reading is too old by now. */
bool presence_watch_set(struct peer *peer, const struct op *op, uint64_t mark);
/*
 * Of those users that the peer watches, what it was told last: that is newer than what they said
 * when they were asked.
 */
void presence_overlay(
    struct peer *peer, const uint64_t *uids, size_t count, struct online_user *users);
/* Whether an operation of presence.set has anything for the store. */
bool presence_op_stores(const struct op *op);
void watch_mail_destroy(struct watch_mail *mail);

/* --- Asking (who.c, people.c) --- */

/* presence.get and presence.watch go on when the store has told of the users; owns the operation. */
void who_presence(struct call *call, struct op *op);
void query_mail_destroy(struct query_mail *mail);
/* Reads the users of these names, folded; what is no name is not found. */
struct op *profiles_op(struct call *call, const slice *names, size_t count);
void uids_sort(uint64_t *uids, size_t count);
bool uids_have(const uint64_t *sorted, size_t count, uint64_t uid);

#endif
