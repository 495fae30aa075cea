/* SPDX-License-Identifier: MIT */
/* What operations on contacts, presence and accounts carry; part of chat/op.h. */
#ifndef CHAT_OP_PEOPLE_H
#define CHAT_OP_PEOPLE_H

#include "chat/entry.h"
#include "chat/error.h"

/* What a user's contact list says of another; the values stand in the store. */
enum contact_state {
	CONTACT_NONE,
	CONTACT_REQUESTED,
	CONTACT_INCOMING,
	CONTACT_BOTH,
	CONTACT_BLOCKED
};

enum contact_change {
	CONTACT_ADD,
	CONTACT_ACCEPT,
	CONTACT_REJECT,
	CONTACT_REMOVE,
	CONTACT_BLOCK,
	CONTACT_UNBLOCK
};

/* What one side is told; by the protocol's words. */
enum contact_news {
	NEWS_NONE,
	NEWS_REQUESTED,
	NEWS_INCOMING,
	NEWS_CONTACT,
	NEWS_REJECTED,
	NEWS_REMOVED,
	NEWS_BLOCKED,
	NEWS_UNBLOCKED,
};

/* OP_CONTACT; to block raises acl_ver of the direct conversation of the two. */
struct op_contact {
	enum contact_change what;
	slice name, note; /* in: the other; note of ADD, ptr NULL: none */
	slice from;       /* the shard's: the asker's name */
	uint64_t contacts_max;
	uint64_t peer;                  /* out */
	enum contact_state state;       /* out: how the asker's list stands now */
	enum contact_news mine, theirs; /* out */
	slice shown_note;               /* out: the note that belongs to the news */
	uint64_t order; /* out: of changes between two users the later has more; 0: not known */
};

struct op_contact_listed {
	uint64_t uid, seen;
	slice name, display, note;
	enum contact_state state;
};

struct op_contacts_page {
	slice after;
	uint32_t limit;
	struct op_contact_listed *items; /* out, by name */
	size_t count;
	bool more;
};

/* What a user shows; the values stand in the store.  OFFLINE is never stored, AWAY is a connection's. */
enum presence {
	PRESENCE_ONLINE,
	PRESENCE_BUSY,
	PRESENCE_INVISIBLE,
	PRESENCE_AWAY,
	PRESENCE_OFFLINE,
};

struct op_presence {
	int state;         /* in: enum presence; -1: stays */
	slice text;        /* ptr NULL: stays; empty: none */
	enum presence now; /* out: what they are, whoever set them */
	slice now_text;    /* ptr NULL: none */
	uint64_t peer;     /* the shard's: the connection, and whether it is away */
	bool away;
};

/* OP_CLOSE: the end of an account. */
struct op_close {
	slice password_hash;    /* in: BAD_CREDENTIALS if it is not the stored one any more */
	slice name;             /* in: his */
	struct entry **entries; /* out: what was logged in his groups; owned references */
	size_t count;
	uint64_t *contacts; /* out: users whose lists he was on, but those who block him */
	size_t contact_count;
};

/* What a connection that syncs must know of the people around its user. */
struct op_around {
	enum presence presence; /* out: his own */
	slice text;             /* ptr NULL: none */
	uint64_t *contacts;     /* out: those in state CONTACT_BOTH */
	size_t count;
};

#endif
