/* SPDX-License-Identifier: MIT */
#include "hist.h"

#include <string.h>

uint64_t
hist_bucket_top(unsigned bucket)
{
	unsigned shift;

	if (bucket < HIST_SUB)
		return bucket;
	shift = (bucket >> HIST_SUB_BITS) - 1;
	return ((((uint64_t)HIST_SUB + (bucket & (HIST_SUB - 1))) + 1) << shift) - 1;
}

uint64_t
hist_at(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->count + 0.999999), seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= want && seen > 0) {
			uint64_t top = hist_bucket_top(i);

			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}

void
hist_clear(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}
