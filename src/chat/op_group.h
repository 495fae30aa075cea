/* SPDX-License-Identifier: MIT */
/* What operations on groups carry; part of chat/op.h. */
#ifndef CHAT_OP_GROUP_H
#define CHAT_OP_GROUP_H

#include "chat/entry.h"
#include "chat/error.h"

enum role { ROLE_NONE, ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER };

/* What is changed, and the kind of entry that says so in the log (none for UNBAN). */
#define GROUP_CHANGES(X)                                                                           \
	X(CREATE, "create")                                                                        \
	X(JOIN, "join")                                                                            \
	X(INVITE, "join")                                                                          \
	X(LEAVE, "leave")                                                                          \
	X(REMOVE, "remove")                                                                        \
	X(UNBAN, "")                                                                               \
	X(ROLE, "role")                                                                            \
	X(MUTE, "mute")                                                                            \
	X(SET, "set")                                                                              \
	X(DISMISS, "dismiss")
#define GROUP_CHANGE_AS_ENUM(name, kind) GROUP_##name,
enum group_change { GROUP_CHANGES(GROUP_CHANGE_AS_ENUM) };

/* A user by id and name; or one who could not be added, and why. */
struct op_person {
	uint64_t uid;
	slice name;
	enum err err;
};

/* The settings of a group as `group.create` and `group.set` name them. */
struct group_settings {
	slice title, topic, handle; /* ptr NULL: stays; an empty topic or handle is taken away */
	int open, admins_post, admins_invite; /* -1: stays, 0, 1 */
	bool history;                         /* CREATE only */
};

/*
 * OP_GROUP: one change of one group, its rights read in the transaction.  What takes effect takes
 * an entry, made by the store because what it says depends on what was found; what changes nothing
 * takes none.  What takes rights away raises the conversation's acl_ver.  Errors as the protocol's
 * table has them; fault.param names user, handle…
 */
struct op_group {
	enum group_change what;
	struct group_settings set;
	slice from;                    /* the name of op->user */
	const struct op_person *users; /* CREATE, INVITE: names; REMOVE, UNBAN, ROLE, MUTE: one */
	size_t user_count;
	enum role role;                                      /* ROLE */
	uint64_t until;                                      /* MUTE: real time in ms; 0 ends it */
	bool ban;                                            /* REMOVE */
	uint64_t groups_max, members_max, conversations_max; /* LIMIT */
	/* out */
	struct entry *entry;     /* owned; NULL: nothing changed */
	struct op_person *added; /* members from entry->seq on, the creator too */
	size_t added_count;
	struct op_person *failed; /* CREATE, INVITE: with err */
	size_t failed_count;
	bool renamed;        /* the handle is another one: facts */
	uint64_t started_ns; /* the shard's */
};

struct op_group_info {
	slice title, topic; /* out; the handle is in the facts */
	bool open, history, admins_post, admins_invite;
	uint64_t members, created;
	struct op_person *owners; /* by name, at most LIMIT_OWNERS_SHOWN */
	size_t owner_count;
	enum role role; /* of op->user; ROLE_NONE: not a member */
};

struct op_member {
	uint64_t uid;
	slice name, display;
	enum role role;
	uint64_t read, delivered; /* RECEIPTS only */
};

/* A page of members in the order of their names. */
struct op_members {
	slice after;    /* in: a name, or ptr NULL */
	enum role role; /* in: only these; ROLE_NONE: all */
	bool banned;    /* in: those who are banned, for admins */
	uint32_t limit;
	struct op_member *items; /* out */
	size_t count;
	bool more;
};

struct op_group_listed {
	uint64_t cid, members;
	slice title, topic, handle;
};

/* Open groups, by prefix of title or handle, in the order of their cids. */
struct op_groups {
	slice query; /* in: case folded by the store; ptr NULL: all */
	uint64_t after;
	uint32_t limit;
	struct op_group_listed *items; /* out */
	size_t count;
	bool more;
};

/* OP_HEADS: how far conversations are; the server asks, no rights are read. */
struct op_heads {
	const uint64_t *cids; /* in: at most LIMIT_HEADS */
	size_t want;
	struct op_head {
		uint64_t cid, seq;
		bool group;
		slice handle; /* of a group; ptr NULL if it has none */
	} *items; /* out: those that exist */
	size_t count;
};
enum { LIMIT_HEADS = 1000 };

/* How many members have come as far as seq, its author not counted, and a page of their marks. */
struct op_receipts {
	uint64_t seq;                      /* in */
	uint64_t read, delivered, members; /* out */
	struct op_members page;            /* after, limit; items */
};

#endif
