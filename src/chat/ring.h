/* SPDX-License-Identifier: MIT */
/*
 * What nodes say to each other: some of the mail between shards, as bytes.  Pure functions of bytes;
 * what is decoded is a mail that its taker handles like one of this node, and knows as heard.
 */
#ifndef CHAT_RING_H
#define CHAT_RING_H

#include "base/buf.h"
#include "chat/mail.h"

enum {
	LIMIT_RING_BYTES = 64 * 1024, /* of entries and of users in one ring, about */
	LIMIT_RING_MAX = 256 * 1024,  /* of any ring that is heard */
	LIMIT_RING_ENTRIES = 1024,    /* in one ring */
	LIMIT_RING_USERS = 2048,      /* the same */
	LIMIT_RING_SESSIONS = 256,    /* of one user in one ring */
	NODE_NAME_BYTES = 64,         /* with its end */
};

/* A user's connections on one node: what they show, or that there are none. */
struct afar_user {
	uint64_t user;
	enum presence state; /* OFFLINE: none of them is synced; INVISIBLE: here, and hidden */
	slice name, display, text; /* text: ptr NULL: none */
	const uint64_t *sessions;  /* of his connections; none: he has none there */
	size_t session_count;
};

/*
 * PRESENCE: users of one shard of one node.  Its rings are numbered, so that whoever misses one
 * knows; from one that BEGINS to one that ENDS all of its users are told.
 */
enum { AFAR_BEGINS = 1, AFAR_ENDS = 2 };
struct afar_mail {
	struct mail mail;
	char node[NODE_NAME_BYTES]; /* set by who hears it */
	uint64_t life;              /* of the shard; another one after each start */
	uint64_t number;            /* rising by one */
	uint32_t part;              /* which of the node's shards */
	uint8_t flags;
	size_t count;
	struct afar_user *users; /* owned, in one block with what they point to */
};

/* To the shard that is so named: it tells all of its users again. */
struct tell_mail {
	struct mail mail;
	uint32_t part; /* SHARDS_MAX: to all of the node */
	char node[NODE_NAME_BYTES];
};

/* Appends the mail, of a kind that travels; what is known to this node alone is left out. */
void ring_encode(struct buf *to, const struct mail *mail);
/*
 * NULL: not one of ours, or not about `id`.  Otherwise the mail is its taker's, or goes by
 * ring_mail_destroy().
 */
struct mail *ring_decode(enum ring_scope scope, uint64_t id, slice bytes);
void ring_mail_destroy(struct mail *mail);
void afar_mail_destroy(struct afar_mail *mail);

#endif
