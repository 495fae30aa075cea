/* SPDX-License-Identifier: MIT */
#include "chat/places.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

enum { SETS_MIN = 16 };

static struct place_set *
set_of(const struct places *places, uint64_t hash)
{
	return &places->sets[hash & (places->set_count - 1)];
}

/* The place at that index comes to the front. */
static void
set_use(struct place_set *set, size_t at)
{
	struct place used = set->places[at];

	memmove(set->places + 1, set->places, at * sizeof(used));
	set->places[0] = used;
}

/* PLACES_IN_SET where there is none. */
static size_t
set_find(const struct place_set *set, uint64_t hash)
{
	size_t at = 0;

	while (at < PLACES_IN_SET && (set->places[at].hash != hash || set->places[at].cid == 0))
		at++;
	return at;
}

uint64_t
places_find(struct places *places, uint64_t hash)
{
	struct place_set *set;
	size_t at;

	if (places->sets == NULL)
		return 0;
	set = set_of(places, hash);
	if ((at = set_find(set, hash)) == PLACES_IN_SET)
		return 0;
	set_use(set, at);
	return set->places[0].cid;
}

/* In front of the others; the last of four goes. */
static void
put(struct places *places, struct place place)
{
	struct place_set *set = set_of(places, place.hash);
	struct place *last = &set->places[PLACES_IN_SET - 1];

	if (last->cid != 0)
		stat_add(STAT_PLACES_FORGOTTEN, 1);
	else
		places->count++;
	*last = place;
	set_use(set, PLACES_IN_SET - 1);
}

/* The places of a set are dealt to two; put back to front they keep their order. */
static void
resize(struct places *places, size_t set_count)
{
	struct places old = *places;

	*places = (struct places){
	    .sets = mem_zalloc(set_count * sizeof(*places->sets)), .set_count = set_count};
	for (size_t i = 0; i < old.set_count; i++)
		for (size_t at = PLACES_IN_SET; at-- > 0;)
			if (old.sets[i].places[at].cid != 0)
				put(places, old.sets[i].places[at]);
	mem_free(old.sets);
}

static bool
should_grow(const struct places *places, uint64_t hash)
{
	if (places->sets == NULL)
		return true;
	return set_of(places, hash)->places[PLACES_IN_SET - 1].cid != 0 &&
	       places->count > places->set_count * PLACES_IN_SET / 4 &&
	       places->set_count * PLACES_IN_SET < LIMIT_PLACES;
}

void
places_learn(struct places *places, uint64_t hash, uint64_t cid)
{
	assert(cid != 0);
	if (places_find(places, hash) != 0) {
		set_of(places, hash)->places[0].cid = cid;
		return;
	}
	if (should_grow(places, hash))
		resize(places, places->sets == NULL ? SETS_MIN : places->set_count * 2);
	put(places, (struct place){hash, cid});
}

void
places_fini(struct places *places)
{
	mem_free(places->sets);
	*places = (struct places){0};
}
