/* SPDX-License-Identifier: MIT */
#include "store/tally.h"

#include "base/mem.h"
#include "base/panic.h"

static slice
change_key(const uint64_t key[3])
{
	return slice_of((const char *)key, 3 * sizeof(*key));
}

static void
node_add(struct tally *tally, const uint64_t key[3], enum tally_mark which, int64_t by)
{
	struct tally_change *change = smap_get(&tally->changes, change_key(key));

	if (change == NULL) {
		change = mem_zalloc(sizeof(*change));
		memcpy(change->key, key, sizeof(change->key));
		smap_put(&tally->changes, change_key(change->key), change);
	}
	change->by[which] += by;
}

void
tally_move(struct tally *tally, uint64_t cid, enum tally_mark which, uint64_t from, uint64_t to)
{
	for (unsigned level = 0; level < TALLY_LEVELS; level++) {
		uint64_t before = from >> TALLY_BITS * level, after = to >> TALLY_BITS * level;

		if (from == to || (from != TALLY_OUT && to != TALLY_OUT && before == after))
			return;
		if (from != TALLY_OUT)
			node_add(tally, (uint64_t[]){cid, level, before}, which, -1);
		if (to != TALLY_OUT)
			node_add(tally, (uint64_t[]){cid, level, after}, which, 1);
	}
}

const struct tally_change *
tally_next(const struct tally *tally, size_t *at)
{
	return smap_next(&tally->changes, at);
}

void
tally_clear(struct tally *tally)
{
	struct tally_change *change;

	for (size_t at = 0; (change = smap_next(&tally->changes, &at)) != NULL;)
		mem_free(change);
	smap_fini(&tally->changes);
}

/* Below the top: from the place itself (above level 0, from the next one) to the end of its 64. */
void
tally_range(uint64_t seq, unsigned level, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t place = seq >> TALLY_BITS * level, top = (uint64_t)1 << 53;

	assert(level < TALLY_LEVELS && seq < top);
	*ret_first = level == 0 ? place : place + 1;
	*ret_last = level == TALLY_LEVELS - 1 ? top : place | ((1 << TALLY_BITS) - 1);
}
