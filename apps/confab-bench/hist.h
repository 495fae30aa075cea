/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times: 64 buckets to each doubling, so that a value read back is less than 1.6 % off, from
 * a nanosecond to hours, in 32 KiB that recording never grows.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum {
	HIST_SUB_BITS = 6,
	HIST_SUB = 1 << HIST_SUB_BITS,
	HIST_BUCKETS = HIST_SUB * (64 - HIST_SUB_BITS + 1)
};

struct hist {
	uint64_t count, max, sum;
	uint64_t buckets[HIST_BUCKETS];
};

static inline unsigned
hist_bucket(uint64_t value)
{
	unsigned top, shift;

	if (value < HIST_SUB)
		return (unsigned)value;
	top = 63 - (unsigned)__builtin_clzll(value);
	shift = top - HIST_SUB_BITS;
	return (unsigned)((shift + 1) << HIST_SUB_BITS) +
	       (unsigned)((value >> shift) & (HIST_SUB - 1));
}

static inline void
hist_add(struct hist *h, uint64_t value)
{
	h->buckets[hist_bucket(value)]++;
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

/* The value that `share` (0 to 1) of all are not above; 0 if there are none. */
uint64_t hist_at(const struct hist *h, double share);
/* The highest value that a bucket holds. */
uint64_t hist_bucket_top(unsigned bucket);
void hist_clear(struct hist *h);

#endif
