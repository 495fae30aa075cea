/* SPDX-License-Identifier: MIT */
/*
 * An entry is what stands at one place of a conversation's log.  It is one block of memory, counted
 * with atomics because it travels between shards; whoever made it fills it, and from the moment it
 * is handed to the store it is read-only but for cid, seq and ts, which the store sets before it
 * hands it back.
 */
#ifndef CHAT_ENTRY_H
#define CHAT_ENTRY_H

#include <stdatomic.h>

#include "base/slice.h"

#define ENTRY_ENDS_ALL (((uint64_t)1 << 53) - 1) /* of a group that is dismissed */

struct entry {
	_Atomic uint32_t refs;
	bool heard; /* of another node, by which it was committed */
	uint64_t cid, seq, ts;
	uint64_t sender; /* user id */
	uint64_t re;     /* 0: none */
	uint64_t ends;   /* whose membership ends with it: a user, ENTRY_ENDS_ALL; 0: nobody's */
	uint64_t edited, deleted; /* seq of the last edit, of the deletion; 0: none */
	slice kind;               /* "text", "x-…", or the kind of a change */
	slice from;               /* the sender's name */
	slice cmid, body, data;   /* ptr NULL: absent; data is JSON without needless white space */
};

/* What a new entry is made of; copied by entry_create(). */
struct entry_parts {
	uint64_t sender, re, ends;
	slice kind, from, cmid, body, data;
};

/* One reference, the caller's. */
struct entry *entry_create(const struct entry_parts *parts);
struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry);
/* Whether a repeated cmid carries the same content: kind, body, data and re. */
bool entry_same_content(const struct entry *a, const struct entry *b);

#endif
