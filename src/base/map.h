/* SPDX-License-Identifier: MIT */
/*
 * Hash maps with open addressing and linear probing.  `map` has integer keys, `smap` byte strings
 * that are borrowed from the value (they must live as long as the entry).  Values are pointers that
 * the map does not own; NULL is no value.  Keys are mixed with a secret of the process, so that
 * whoever picks names cannot pick collisions.  Not shared between threads.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_slot {
	uint64_t key;
	void *value;
};

struct map {
	struct map_slot *slots; /* owned; NULL while empty */
	size_t count, capacity;
};

/* NULL where there is none. */
void *map_get(const struct map *m, uint64_t key);
/* That key will be asked for soon: its place comes into the processor's caches meanwhile. */
void map_ahead(const struct map *m, uint64_t key);
/* Adds or replaces. */
void map_put(struct map *m, uint64_t key, void *value);
/* Returns what was taken out, or NULL. */
void *map_remove(struct map *m, uint64_t key);
/* Walks in no order: start with *at = 0; NULL at the end.  No changes while walking. */
void *map_next(const struct map *m, size_t *at);
void map_fini(struct map *m);

struct smap_slot {
	slice key;
	uint64_t hash;
	void *value;
};

struct smap {
	struct smap_slot *slots; /* owned */
	size_t count, capacity;
};

void *smap_get(const struct smap *m, slice key);
void smap_put(struct smap *m, slice key, void *value);
void *smap_remove(struct smap *m, slice key);
void *smap_next(const struct smap *m, size_t *at);
void smap_fini(struct smap *m);

/* The mixing that both use, also for dealing keys to shards: well spread, the same in one process.
 */
uint64_t hash_u64(uint64_t key);
uint64_t hash_bytes(slice bytes);

#endif
