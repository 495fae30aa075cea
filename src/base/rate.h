/* SPDX-License-Identifier: MIT */
/*
 * Rate limits and quotas for keys that outsiders choose: two tables of fixed size that all threads
 * use without a lock.  No clock: callers say what time it is.
 *
 * A rate table holds token buckets by the generic cell rate algorithm (ITU-T I.371, "virtual
 * scheduling"): all that is kept of a bucket is the moment at which it will be full again.  One that is
 * full is the same as none, so nothing has to be deleted.  Keys are hashes (rate_key).  A key has four
 * places where it can be; where other keys fill all four, it shares the one that is free the soonest,
 * and may then be refused for what another did.  Nobody can aim at that, since the hash has a secret.
 *
 * A quota table counts things that come and go, in two counters a key, of which the lower one
 * counts: it is never too low, and too high only where both are shared.
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include "base/slice.h"

struct rate_table;
struct quota_table;

enum {
	LIMIT_RATE_AMOUNT = 100000, /* above it the microsecond would be too coarse */
	LIMIT_RATE_BURST = 1000000,
	LIMIT_RATE_DEBT = 64, /* no cost is higher, and no bucket owes more */
};

/* A bucket holds `burst` and gets `amount` more in each period.  amount 0: no limit. */
struct rate {
	uint32_t amount, burst;
	uint32_t period_ms; /* at least a second */
};

/* The key of one thing in one scope: never 0, the same in one process. */
uint64_t rate_key(unsigned scope, slice id);
uint64_t rate_key_u64(unsigned scope, uint64_t id);

struct rate_table *rate_table_create(void);
void rate_table_destroy(struct rate_table **table);
/*
 * After how many milliseconds the bucket will hold `cost`; 0: it does.  What costs more than the bucket
 * can hold needs a full one.  Takes nothing.
 */
uint32_t rate_wait(struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost,
    uint64_t now_ns);
/* Takes the cost if it is there.  0, or the wait. */
uint32_t rate_take(struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost,
    uint64_t now_ns) __attribute__((warn_unused_result));
/* Puts back what was taken. */
void rate_give(struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost,
    uint64_t now_ns);

/*
 * The same places as a memory: the key is known until then.  In a full table what ends the soonest is
 * forgotten.  A table is for buckets or a memory, not both.
 */
void rate_remember(struct rate_table *table, uint64_t key, uint64_t until_ns);
bool rate_remembers(const struct rate_table *table, uint64_t key, uint64_t now_ns);

struct quota_table *quota_table_create(void);
void quota_table_destroy(struct quota_table **table);
/* One more, unless there are max; 0: any number.  False: it was not counted. */
bool quota_take(struct quota_table *table, uint64_t key, uint32_t max)
    __attribute__((warn_unused_result));
void quota_give(struct quota_table *table, uint64_t key);

#endif
