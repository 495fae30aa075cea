/* SPDX-License-Identifier: MIT */
/*
 * The home of a user: his connections on all shards (home_user.c), and what he shows with them to
 * those who watch (home_presence.c).  Made with his first connection, to any node; gone with the
 * last, or when that has been told.
 */
#ifndef CHAT_HOME_USER_H
#define CHAT_HOME_USER_H

#include "chat/presence.h"

struct afar_user;

/* Packed, since nearly every user has just one and every byte of it is there for each. */
struct attached {
	uint64_t peer, session;
	uint16_t shard;
	bool synced, away;
} __attribute__((packed, aligned(4)));
static_assert(sizeof(struct attached) == 20, "no padding");

struct home_user {
	uint64_t user;
	/* Owned: two strings, the display name ("": the same as the name) and the text ("": none); NULL: both "". */
	char *said;
	union {
		struct attached one;   /* where count is 1 */
		struct attached *many; /* owned, where there are more */
	} __attribute__((packed, aligned(4))) attached;
	uint32_t count : 24;
	uint32_t presence : 4; /* enum presence, what he set; as stored once `known` */
	uint32_t known : 1;
	uint32_t text_news : 1; /* those who watch do not know the text yet */
	uint32_t synced : 24;
	uint32_t told : 4; /* enum presence, what those who watch know */
	char name[];
};
static_assert(
    offsetof(struct home_user, name) == 44, "the memory of an idle connection is a budget");

/* The nth of his connections. */
static inline const struct attached *
home_nth(const struct home_user *home, uint32_t nth)
{
	return home->count > 1 ? &home->attached.many[nth] : &home->attached.one;
}

/* A user who went offline, for as long as that is not told. */
struct leaving {
	struct list link; /* in shard->leavings, by time */
	uint64_t user, due_ms, seen;
};

/* What he is called and says of himself. */
void home_say(struct home_user *home, slice display, slice text);
/* session 0: any; NULL where there is none. */
struct attached *home_attached(
    struct home_user *home, unsigned shard, uint64_t peer, uint64_t session);
slice home_display(const struct home_user *home);
/* ptr NULL: none. */
slice home_text(const struct home_user *home);
void home_user_destroy(struct home_user *home);
/* What he shows at this moment, with all of his connections, or with those to this node. */
enum presence home_shows(const struct shard *shard, const struct home_user *home);
enum presence home_shows_here(const struct home_user *home);
/* He has connections elsewhere. */
void home_user_afar(struct shard *shard, const struct afar_user *user);
/* After anything that may change what he shows: tells, or not yet. */
void home_show(struct shard *shard, struct home_user *home);
/* Takes over what the store says that he set; text: ptr NULL: none. */
void home_presence(struct home_user *home, enum presence presence, slice text);
/* Lets a home go that has no connections and nothing to tell. */
void home_user_release(struct shard *shard, struct home_user *home);

#endif
