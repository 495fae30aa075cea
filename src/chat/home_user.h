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

struct attached {
	uint64_t peer, session;
	uint16_t shard;
	bool synced, away;
};

struct home_user {
	uint64_t user;
	struct attached *attached; /* owned */
	uint32_t count, synced;
	char *display;    /* owned; NULL: the same as the name */
	char *text;       /* owned; NULL: none */
	uint8_t presence; /* enum presence, what he set; as stored once `known` */
	uint8_t told;     /* enum presence, what those who watch know */
	bool known;
	bool text_news; /* they do not know the text yet */
	char name[];
};

/* A user who went offline, for as long as that is not told. */
struct leaving {
	struct list link; /* in shard->leavings, by time */
	uint64_t user, due_ms, seen;
};

/* session 0: any; NULL where there is none. */
struct attached *home_attached(
    struct home_user *home, unsigned shard, uint64_t peer, uint64_t session);
slice home_display(const struct home_user *home);
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
