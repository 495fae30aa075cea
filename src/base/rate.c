/* SPDX-License-Identifier: MIT */
/*
 * A place is one word: 16 bits of the key over 48 bits of microseconds, the moment at which the bucket
 * is full again.  So a bucket is read and changed as a whole, by compare and swap.
 */
#include "base/rate.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/panic.h"

enum {
	WAYS = 4,
	RATE_BUCKETS = 1 << 16,
	QUOTA_COUNTERS = 1 << 17,
	TIME_BITS = 48, /* of microseconds: nine years after the machine's start */
};
#define TIME_MASK (((uint64_t)1 << TIME_BITS) - 1)

struct rate_table {
	uint64_t places[RATE_BUCKETS][WAYS]; /* atomic */
};

struct quota_table {
	uint32_t counters[2][QUOTA_COUNTERS]; /* atomic */
};

/* --- Keys --- */

uint64_t
rate_key(unsigned scope, slice id)
{
	uint64_t words[2] = {scope, hash_bytes(id)};
	uint64_t key = hash_bytes(slice_of((const char *)words, sizeof(words)));

	return key != 0 ? key : 1;
}

uint64_t
rate_key_u64(unsigned scope, uint64_t id)
{
	uint64_t words[2] = {scope, id};
	uint64_t key = hash_bytes(slice_of((const char *)words, sizeof(words)));

	return key != 0 ? key : 1;
}

/* --- Places --- */

static uint64_t
tag_of(uint64_t key)
{
	return key & ~TIME_MASK;
}

static uint64_t
place_time(uint64_t place)
{
	return place & TIME_MASK;
}

/* The place that is the key's; if none is, the one that is over, or will be, the soonest. */
static unsigned
place_find(const uint64_t places[WAYS], uint64_t key, uint64_t *ret_place)
{
	unsigned soonest = 0;

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t place = __atomic_load_n(&places[i], __ATOMIC_RELAXED);

		if (i == 0 || place_time(place) < place_time(*ret_place)) {
			soonest = i;
			*ret_place = place;
		}
		if ((place & ~TIME_MASK) == tag_of(key)) {
			*ret_place = place;
			return i;
		}
	}
	return soonest;
}

static uint64_t (*places_of(struct rate_table *table, uint64_t key))[WAYS]
{
	return &table->places[key & (RATE_BUCKETS - 1)];
}

static bool
place_swap(uint64_t *place, uint64_t *was, uint64_t tag, uint64_t time_us)
{
	return __atomic_compare_exchange_n(
	    place, was, tag | (time_us & TIME_MASK), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* --- Buckets --- */

static uint64_t
to_us(uint64_t now_ns)
{
	return now_ns / 1000;
}

/* How long it takes until so much has come. */
static uint64_t
time_of(const struct rate *rate, uint64_t amount)
{
	assert(amount <= LIMIT_RATE_BURST + LIMIT_RATE_DEBT);
	return (amount * rate->period_ms * 1000 + rate->amount - 1) / rate->amount;
}

/* The wait for `cost` in a bucket that is full again at full_us. */
static uint32_t
wait_for(const struct rate *rate, uint64_t full_us, uint32_t cost, uint64_t now_us)
{
	uint64_t room = time_of(rate, cost < rate->burst ? rate->burst - cost : 0), wait_ms;

	if (full_us <= now_us + room)
		return 0;
	wait_ms = (full_us - now_us - room + 999) / 1000;
	return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}

/*
 * The bucket's place as it is now.  What was written under a slower rate, before the configuration
 * changed or by another key that shares the place, is cut to what this one can owe.
 */
static unsigned
bucket_find(uint64_t places[WAYS], const struct rate *rate, uint64_t key, uint64_t now_us,
    uint64_t *ret_place)
{
	uint64_t latest = now_us + time_of(rate, (uint64_t)rate->burst + LIMIT_RATE_DEBT);
	unsigned i;

	while (true) {
		i = place_find(places, key, ret_place);
		if (place_time(*ret_place) <= latest)
			return i;
		(void)place_swap(&places[i], ret_place, *ret_place & ~TIME_MASK, latest);
	}
}

static uint64_t
full_at(uint64_t place, uint64_t now_us)
{
	uint64_t at = place_time(place);

	return at > now_us ? at : now_us;
}

uint32_t
rate_wait(
    struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost, uint64_t now_ns)
{
	uint64_t place, now_us = to_us(now_ns);

	if (rate->amount == 0)
		return 0;
	(void)bucket_find(*places_of(table, key), rate, key, now_us, &place);
	return wait_for(rate, full_at(place, now_us), cost, now_us);
}

uint32_t
rate_take(
    struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost, uint64_t now_ns)
{
	uint64_t place, at, tag, now_us = to_us(now_ns);
	uint64_t(*places)[WAYS] = places_of(table, key);
	uint32_t wait;
	unsigned i;

	if (rate->amount == 0)
		return 0;
	do {
		i = bucket_find(*places, rate, key, now_us, &place);
		at = full_at(place, now_us);
		wait = wait_for(rate, at, cost, now_us);
		if (wait > 0)
			return wait;
		/* A place that is still another's stays his, and is shared. */
		tag = place_time(place) > now_us ? place & ~TIME_MASK : tag_of(key);
	} while (!place_swap(&(*places)[i], &place, tag, at + time_of(rate, cost)));
	return 0;
}

void
rate_give(
    struct rate_table *table, const struct rate *rate, uint64_t key, uint32_t cost, uint64_t now_ns)
{
	uint64_t place, at, given, now_us = to_us(now_ns);
	uint64_t(*places)[WAYS] = places_of(table, key);
	unsigned i;

	if (rate->amount == 0)
		return;
	given = time_of(rate, cost);
	do {
		i = place_find(*places, key, &place);
		at = place_time(place);
		if (at <= now_us)
			return;
	} while (!place_swap(
	    &(*places)[i], &place, place & ~TIME_MASK, at - now_us > given ? at - given : now_us));
}

/* --- A memory --- */

void
rate_remember(struct rate_table *table, uint64_t key, uint64_t until_ns)
{
	uint64_t(*places)[WAYS] = places_of(table, key);
	uint64_t place, until;
	unsigned i;

	do {
		i = place_find(*places, key, &place);
		until = to_us(until_ns);
		if ((place & ~TIME_MASK) == tag_of(key) && place_time(place) > until)
			until = place_time(place);
	} while (!place_swap(&(*places)[i], &place, tag_of(key), until));
}

bool
rate_remembers(const struct rate_table *table, uint64_t key, uint64_t now_ns)
{
	uint64_t place;

	(void)place_find(table->places[key & (RATE_BUCKETS - 1)], key, &place);
	return (place & ~TIME_MASK) == tag_of(key) && place_time(place) > to_us(now_ns);
}

struct rate_table *
rate_table_create(void)
{
	/* So large that its pages come from the system when they are first used. */
	return mem_zalloc(sizeof(struct rate_table));
}

void
rate_table_destroy(struct rate_table **table)
{
	mem_free(*table);
	*table = NULL;
}

/* --- Quotas --- */

static uint32_t *
counter_of(struct quota_table *table, unsigned row, uint64_t key)
{
	return &table->counters[row][(row == 0 ? key : key >> 32) & (QUOTA_COUNTERS - 1)];
}

bool
quota_take(struct quota_table *table, uint64_t key, uint32_t max)
{
	uint32_t first = __atomic_add_fetch(counter_of(table, 0, key), 1, __ATOMIC_RELAXED);
	uint32_t second = __atomic_add_fetch(counter_of(table, 1, key), 1, __ATOMIC_RELAXED);

	if (max == 0 || (first < second ? first : second) <= max)
		return true;
	quota_give(table, key);
	return false;
}

void
quota_give(struct quota_table *table, uint64_t key)
{
	for (unsigned row = 0; row < 2; row++) {
		uint32_t was = __atomic_fetch_sub(counter_of(table, row, key), 1, __ATOMIC_RELAXED);

		assert(was > 0);
	}
}

struct quota_table *
quota_table_create(void)
{
	return mem_zalloc(sizeof(struct quota_table));
}

void
quota_table_destroy(struct quota_table **table)
{
	mem_free(*table);
	*table = NULL;
}
