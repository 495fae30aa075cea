/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <pthread.h>

#include <sodium.h>

#include "base/mem.h"
#include "base/panic.h"

enum { MAP_MIN = 8 };

static unsigned char hash_secret[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_secret_once = PTHREAD_ONCE_INIT;

static void
hash_secret_make(void)
{
	if (sodium_init() < 0)
		panic("libsodium does not start");
	randombytes_buf(hash_secret, sizeof(hash_secret));
}

uint64_t
hash_u64(uint64_t key)
{
	/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014). */
	key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
	key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
	return key ^ (key >> 31);
}

uint64_t
hash_bytes(slice bytes)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t hash;

	static_assert(sizeof(out) == sizeof(hash), "SipHash-2-4 gives 64 bits");
	(void)pthread_once(&hash_secret_once, hash_secret_make);
	(void)crypto_shorthash(out, (const unsigned char *)bytes.ptr, bytes.len, hash_secret);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

static size_t
map_find(const struct map *m, uint64_t key)
{
	size_t at = hash_u64(key) & (m->capacity - 1);

	while (m->slots[at].value != NULL && m->slots[at].key != key)
		at = (at + 1) & (m->capacity - 1);
	return at;
}

static void
map_resize(struct map *m, size_t capacity)
{
	struct map old = *m;

	m->slots = mem_zalloc(capacity * sizeof(*m->slots));
	m->capacity = capacity;
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].value != NULL)
			m->slots[map_find(m, old.slots[i].key)] = old.slots[i];
	mem_free(old.slots);
}

void *
map_get(const struct map *m, uint64_t key)
{
	return m->count > 0 ? m->slots[map_find(m, key)].value : NULL;
}

void
map_ahead(const struct map *m, uint64_t key)
{
	if (m->count > 0)
		__builtin_prefetch(&m->slots[hash_u64(key) & (m->capacity - 1)]);
}

void
map_put(struct map *m, uint64_t key, void *value)
{
	size_t at;

	assert(value != NULL);
	if (m->capacity == 0 || m->count + 1 > m->capacity / 4 * 3)
		map_resize(m, m->capacity > 0 ? m->capacity * 2 : MAP_MIN);
	at = map_find(m, key);
	m->count += m->slots[at].value == NULL;
	m->slots[at] = (struct map_slot){key, value};
}

void *
map_remove(struct map *m, uint64_t key)
{
	size_t mask = m->capacity - 1, hole, at;
	void *value;

	if (m->count == 0)
		return NULL;
	hole = map_find(m, key);
	if ((value = m->slots[hole].value) == NULL)
		return NULL;
	/* Close the gap: whoever was pushed past the hole moves back into it. */
	for (at = (hole + 1) & mask; m->slots[at].value != NULL; at = (at + 1) & mask) {
		size_t home = hash_u64(m->slots[at].key) & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->slots[hole] = m->slots[at];
			hole = at;
		}
	}
	m->slots[hole].value = NULL;
	m->count--;
	if (m->capacity > MAP_MIN && m->count < m->capacity / 8)
		map_resize(m, m->capacity / 2);
	return value;
}

void *
map_next(const struct map *m, size_t *at)
{
	while (*at < m->capacity) {
		void *value = m->slots[(*at)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}

void
map_fini(struct map *m)
{
	mem_free(m->slots);
	*m = (struct map){0};
}

static size_t
smap_find(const struct smap *m, slice key, uint64_t hash)
{
	size_t at = hash & (m->capacity - 1);

	while (m->slots[at].value != NULL &&
	       (m->slots[at].hash != hash || !slice_eq(m->slots[at].key, key)))
		at = (at + 1) & (m->capacity - 1);
	return at;
}

static void
smap_resize(struct smap *m, size_t capacity)
{
	struct smap old = *m;

	m->slots = mem_zalloc(capacity * sizeof(*m->slots));
	m->capacity = capacity;
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].value != NULL)
			m->slots[smap_find(m, old.slots[i].key, old.slots[i].hash)] = old.slots[i];
	mem_free(old.slots);
}

void *
smap_get(const struct smap *m, slice key)
{
	return m->count > 0 ? m->slots[smap_find(m, key, hash_bytes(key))].value : NULL;
}

void
smap_put(struct smap *m, slice key, void *value)
{
	uint64_t hash = hash_bytes(key);
	size_t at;

	assert(value != NULL);
	if (m->capacity == 0 || m->count + 1 > m->capacity / 4 * 3)
		smap_resize(m, m->capacity > 0 ? m->capacity * 2 : MAP_MIN);
	at = smap_find(m, key, hash);
	m->count += m->slots[at].value == NULL;
	m->slots[at] = (struct smap_slot){key, hash, value};
}

void *
smap_remove(struct smap *m, slice key)
{
	size_t mask = m->capacity - 1, hole, at;
	void *value;

	if (m->count == 0)
		return NULL;
	hole = smap_find(m, key, hash_bytes(key));
	if ((value = m->slots[hole].value) == NULL)
		return NULL;
	for (at = (hole + 1) & mask; m->slots[at].value != NULL; at = (at + 1) & mask) {
		size_t home = m->slots[at].hash & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->slots[hole] = m->slots[at];
			hole = at;
		}
	}
	m->slots[hole].value = NULL;
	m->count--;
	if (m->capacity > MAP_MIN && m->count < m->capacity / 8)
		smap_resize(m, m->capacity / 2);
	return value;
}

void *
smap_next(const struct smap *m, size_t *at)
{
	while (*at < m->capacity) {
		void *value = m->slots[(*at)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}

void
smap_fini(struct smap *m)
{
	mem_free(m->slots);
	*m = (struct smap){0};
}
