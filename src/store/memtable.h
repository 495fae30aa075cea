/* SPDX-License-Identifier: MIT */
/*
 * The newest entries of the log, by conversation and number: those that the index on disk does not
 * have yet.  An index is written cheaply in its own order only, and messages come in that of time;
 * so they are kept here until there are many, sorted, and merged into the index some at a time, as
 * in a log-structured merge tree (O'Neil and others, 1996).  What is here is lost with the process
 * and read from the log again.
 *
 *   memtable_add -> filling -> memtable_freeze: sorted -> merged, some with each transaction -> forgotten
 *
 * One writer changes it; readers look things up from other threads.  Each of them works on a
 * snapshot of the database, so each says up to which id it sees entries, and an entry that has been
 * merged stays until no reader is left that began before.
 */
#ifndef STORE_MEMTABLE_H
#define STORE_MEMTABLE_H

#include <pthread.h>

#include "base/map.h"

enum { MEMTABLE_READERS = 16 };

struct memtable_entry {
	uint64_t cid, seq, id; /* id: the row's in the log */
};

/* The entries of a conversation, in their order. */
struct memtable_run {
	uint32_t count, capacity;           /* capacity 0: the only one is in first */
	struct memtable_entry first, *more; /* more: owned; NULL while capacity is 0 */
};

struct memtable_filling {
	struct map by_cid;         /* number of its run + 1 */
	struct memtable_run *runs; /* owned */
	size_t run_count, run_capacity, count;
	uint64_t last_id;
};

struct memtable {
	pthread_mutex_t lock;
	struct memtable_filling filling;
	struct memtable_entry *sorted; /* owned; NULL: none are being merged */
	size_t sorted_count;
	uint64_t sorted_last_id;
	size_t merged;      /* the first of the sorted ones, in the transaction under way */
	size_t merged_sure; /* the same, committed */
	size_t count_sure;  /* of filling, committed */
	uint64_t first_id;  /* of those that are not forgotten; all before are in the index */
	uint64_t sure_id;   /* those after it are of the transaction under way */
	/* How often entries were merged to the end; when each reader began, 0: it does not read. */
	uint64_t clock, reading[MEMTABLE_READERS];
};

void memtable_init(struct memtable *m);
void memtable_fini(struct memtable *m);

/* --- The writer's --- */

/* False where it does not come behind the others of its conversation.  Ids rise. */
bool memtable_add(struct memtable *m, uint64_t cid, uint64_t seq, uint64_t id);
/* How many came in with the transaction under way. */
size_t memtable_added(const struct memtable *m);
/* The transaction under way was committed; forgets what can be forgotten. */
void memtable_committed(struct memtable *m);
/* The transaction under way was not: what it added or merged is as it was before. */
void memtable_rolled_back(struct memtable *m);
/*
 * Between transactions: those that came together are to be merged, unless there are others still.
 * at_least: but for less it is not worth it.
 */
void memtable_freeze(struct memtable *m, size_t at_least);
/* The next ones to merge, at most `most`; valid until the next call. */
const struct memtable_entry *memtable_next(
    const struct memtable *m, size_t most, size_t *ret_count);
/* So many of them are merged; *ret_id: those were the last, all up to this id are in the index. */
bool memtable_merged(struct memtable *m, size_t count, uint64_t *ret_id);
/* Entries, merged ones that are not forgotten included. */
size_t memtable_count(const struct memtable *m);
/* In place of all there is come the entries that were added to filling. */
void memtable_replace(struct memtable *m, struct memtable_filling *filling, uint64_t first_id);
/* False where it does not come behind the others of its conversation. */
bool memtable_fill(struct memtable_filling *filling, const struct memtable_entry *entry);
void memtable_filling_fini(struct memtable_filling *filling);

/* --- Any thread --- */

/* Before a reader takes its snapshot, and when it has done with it. */
void memtable_enter(struct memtable *m, unsigned reader);
void memtable_leave(struct memtable *m, unsigned reader);
/* What is looked for, in a snapshot whose last entry is visible_id. */
struct memtable_query {
	uint64_t cid, from, to, visible_id;
	bool newest_first;
};
/* How many there are, at most `most`. */
size_t memtable_find(struct memtable *m, const struct memtable_query *query,
    struct memtable_entry *ret, size_t most);

#endif
