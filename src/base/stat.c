/* SPDX-License-Identifier: MIT */
#include "base/stat.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/panic.h"

/* Blocks are linked for good: what an ended thread counted still counts. */
struct block {
	struct stats stats;
	struct block *next;
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static _Thread_local struct block *self;

struct stats *
stats_self(void)
{
	if (self == NULL) {
		self = mem_zalloc(sizeof(*self));
		(void)pthread_mutex_lock(&blocks_lock);
		self->next = blocks;
		blocks = self;
		(void)pthread_mutex_unlock(&blocks_lock);
	}
	return &self->stats;
}

/* Only the owner writes, so a plain add between a relaxed load and store is enough. */
static void
bump(uint64_t *number, uint64_t n)
{
	__atomic_store_n(number, __atomic_load_n(number, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void
stat_add(enum stat_counter which, uint64_t n)
{
	bump(&stats_self()->counters[which], n);
}

void
gauge_add(enum stat_gauge which, int64_t n)
{
	int64_t *number = &stats_self()->gauges[which];

	__atomic_store_n(number, __atomic_load_n(number, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void
stat_error(unsigned err)
{
	assert(err < STAT_CODES);
	bump(&stats_self()->errors[err], 1);
}

void
stat_close(unsigned reason)
{
	assert(reason < STAT_CODES);
	bump(&stats_self()->closes[reason], 1);
}

void
histogram_add(enum stat_histogram which, uint64_t ns)
{
	struct stats *s = stats_self();
	unsigned bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS - 1 && ns > (uint64_t)1024 << bucket)
		bucket++;
	bump(&s->histograms[which][bucket], 1);
	bump(&s->histogram_sum_ns[which], ns);
}

/* All members are 64 bits wide, so that a block can be summed as an array of numbers. */
static_assert(sizeof(struct stats) % sizeof(uint64_t) == 0, "only 64-bit numbers in struct stats");

void
stats_sum(struct stats *ret_sum)
{
	uint64_t *to = (uint64_t *)(void *)ret_sum;

	*ret_sum = (struct stats){0};
	(void)pthread_mutex_lock(&blocks_lock);
	for (struct block *b = blocks; b != NULL; b = b->next) {
		uint64_t *from = (uint64_t *)(void *)&b->stats;

		for (size_t i = 0; i < sizeof(struct stats) / sizeof(uint64_t); i++)
			to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
	(void)pthread_mutex_unlock(&blocks_lock);
}
