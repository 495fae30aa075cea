/* SPDX-License-Identifier: MIT */
/*
 * For tests: what a connection was told of a group, held against the log.  The log says with which
 * entries a user joins and leaves; between them he hears every entry once and in order, or of a gap.
 */
#ifndef CHAT_HEARD_H
#define CHAT_HEARD_H

#include "chat/chat_world.h"

enum { HEARD_ENTRIES = 1000 }; /* of a log that can be held against */

/* What the log of a group says. */
struct group_log {
	uint64_t cid, head;
	/* By seq: who joins and who leaves with it, a bit for each user; the first has id 1. */
	unsigned joins[HEARD_ENTRIES + 1], ends[HEARD_ENTRIES + 1];
};

/* cid is given; names[i] is the user of bit i. */
void group_log_read(
    struct driver *store, const char (*names)[8], unsigned users, struct group_log *ret);
/* The place of the last entry. */
uint64_t group_log_head(struct driver *store, uint64_t cid);

/* Of one group, by one connection; seen: the entry came, or was said to be skipped. */
struct heard {
	bool follows, past; /* past: left before the sync */
	uint64_t next, end, from;
	uint64_t edited; /* the last edit that showed since it began */
	bool seen[HEARD_ENTRIES + 2];
};

/* Goes through all that the link was told; asserts that nothing came twice, out of order, or to nobody. */
void heard_by(const struct link *link, const struct group_log *group, struct heard *ret);

#endif
