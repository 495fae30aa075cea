/* SPDX-License-Identifier: MIT */
/* Who watches whom on this shard (watch.c), and the reading of what stands between two users (relation.c). */
#ifndef CHAT_WATCH_H
#define CHAT_WATCH_H

#include "chat/presence.h"

/* A user who is watched by peers of this shard. */
struct watched {
	uint64_t user;
	struct list watches;
	uint64_t seen;
	char *text; /* owned; NULL: none */
	uint32_t serial;
	bool waiting; /* for WATCHED; what comes before that is older */
	uint8_t state;
	char name[33]; /* once he showed himself */
};

enum {
	WATCH_CONTACT = 1, /* because he is a contact */
	WATCH_LISTED = 2,  /* because the peer's list names him */
	WATCH_RELATED = 4, /* is seen also with a closed directory */
	WATCH_APART = 8,   /* a block stands between the two */
	WATCH_MISSED = 16, /* what was told last did not reach the peer */
};

struct watch {
	struct list of_watched, of_peer;
	struct watched *watched; /* borrowed; it lives as long as it is watched */
	struct peer *peer;       /* borrowed; it ends its watches before itself */
	uint8_t flags;
};

struct watching {
	struct list watches;
	uint32_t changes;           /* of what stands between the user and others */
	bool reread;                /* all contacts once more, after the sync */
	struct relation *relations; /* owned; those that are being read */
	uint32_t relation_count;
};

/* What stands between a peer's user and another is being read. */
struct relation {
	uint64_t other;
	uint32_t serial; /* of its reading */
	bool again;      /* it changed since: what is read may be too old */
};

/* The peer's; made where there is none yet. */
struct watching *watching_of(struct peer *peer);
/* NULL: the peer does not watch him. */
struct watch *watch_find(const struct peer *peer, uint64_t user);
/* These are the contacts of the peer's user. */
void watch_contacts(struct peer *peer, const uint64_t *uids, size_t count);
/* How a user and the peer's own stand to each other was read now. */
void watch_relate(struct peer *peer, const struct op_user *user);
/* What stands between two users is back from the store. */
void relation_op_done(struct shard *shard, const struct op *op);

#endif
