/* SPDX-License-Identifier: MIT */
/*
 * How many members of a group have come as far as some seq, without looking at each of them.  Their
 * marks are counted in a tree of radix 64: the node (level, place) counts the marks m for which
 * m >> 6 * level is place.  A mark that moves changes the nodes below where its old and its new
 * place part, and those that have come to seq are the sum of at most 63 nodes a level (of the top:
 * of all that are there).  Pure: the nodes are kept by the store; changes are added up here first,
 * so that a thousand members who read the same message touch a handful of nodes.
 */
#ifndef STORE_TALLY_H
#define STORE_TALLY_H

#include "base/map.h"

enum { TALLY_LEVELS = 5, TALLY_BITS = 6 };
#define TALLY_OUT UINT64_MAX /* not counted: before joining, after leaving */

enum tally_mark { TALLY_READ, TALLY_DELIVERED, TALLY_MARKS };

/* What is to be added to the counts of one node. */
struct tally_change {
	uint64_t key[3]; /* cid, level, place */
	int64_t by[TALLY_MARKS];
};

/* Changes that wait, by key; starts zeroed. */
struct tally {
	struct smap changes;
};

/* A member's mark moves; from or to may be TALLY_OUT. */
void tally_move(
    struct tally *tally, uint64_t cid, enum tally_mark which, uint64_t from, uint64_t to);
/* Walks in no order: start with *at = 0; NULL at the end. */
const struct tally_change *tally_next(const struct tally *tally, size_t *at);
void tally_clear(struct tally *tally);

/*
 * The places of one level whose nodes count towards the marks at or beyond seq; none if *ret_first
 * is above *ret_last.
 */
void tally_range(uint64_t seq, unsigned level, uint64_t *ret_first, uint64_t *ret_last);

#endif
