/* SPDX-License-Identifier: MIT */
/*
 * Where names lead, as far as a shard remembers it: 16 bytes for a place.  What it says is a guess
 * that the store checks, so it may forget and, of two names whose 64 bits of hash are the same,
 * mistake one for the other.  Four places share a line of memory; where a fifth belongs there, the
 * table is doubled while it is more than a quarter full and below LIMIT_PLACES, then the least recently
 * used of the four goes.
 */
#ifndef CHAT_PLACES_H
#define CHAT_PLACES_H

#include "base/slice.h"

enum {
	LIMIT_PLACES = 262144, /* 4 MiB; a power of two */
	PLACES_IN_SET = 4,
};

struct place {
	uint64_t hash, cid; /* cid 0: free */
};

struct place_set {
	struct place places[PLACES_IN_SET]; /* most recently used first */
};

struct places {
	struct place_set *sets; /* owned; NULL while empty */
	size_t set_count, count;
};

/* hash: hash_bytes() of what names the place.  0 where it is not known. */
uint64_t places_find(struct places *places, uint64_t hash);
void places_learn(struct places *places, uint64_t hash, uint64_t cid);
void places_fini(struct places *places);

#endif
