/* SPDX-License-Identifier: MIT */
/* Both maps against an array that is searched: thousands of operations, the same answers. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { KEYS = 600, STEPS = 60000 };

static uint64_t seed = 0x2545F4914F6CDD1Du;

static unsigned
below(unsigned bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % bound;
}

/* Phases of filling and of emptying, so that the map grows and shrinks. */
static bool
fills(unsigned step)
{
	return below(100) < (step / 6000 % 2 == 0 ? 75u : 25u);
}

/* Keys that are near each other, far apart, and the extremes. */
static uint64_t
number_key(unsigned i)
{
	return i == 0 ? 0 : i == 1 ? UINT64_MAX : i % 2 == 0 ? i : (uint64_t)i << 40;
}

static void
same_numbers(const struct map *m, char *const have[KEYS])
{
	size_t at = 0, count = 0, want = 0;
	void *value;

	for (unsigned i = 0; i < KEYS; i++) {
		assert_ptr_equal(map_get(m, number_key(i)), have[i]);
		want += have[i] != NULL;
	}
	while ((value = map_next(m, &at)) != NULL) {
		count++;
		assert_non_null(value);
	}
	assert_int_equal(count, want);
	assert_int_equal(m->count, want);
}

static void
numbers(void **state)
{
	static char values[KEYS * 2];
	char *have[KEYS] = {NULL};
	struct map m = {0};

	(void)state;
	assert_null(map_get(&m, 1));
	assert_null(map_remove(&m, 1));
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = below(KEYS);

		if (fills(step)) {
			have[i] = &values[below(KEYS * 2)];
			map_put(&m, number_key(i), have[i]);
		} else {
			assert_ptr_equal(map_remove(&m, number_key(i)), have[i]);
			have[i] = NULL;
		}
		if (step % 500 == 0)
			same_numbers(&m, have);
	}
	for (unsigned i = 0; i < KEYS; i++) {
		assert_ptr_equal(map_remove(&m, number_key(i)), have[i]);
		have[i] = NULL;
	}
	same_numbers(&m, have);
	assert_true(m.capacity <= 16);
	map_fini(&m);
	assert_null(map_get(&m, 1));
}

struct named {
	char name[16];
	slice key;
};

static void
named_init(struct named *named, unsigned i)
{
	int len =
	    i == 0 ? 0
		   : snprintf(named->name, sizeof(named->name), "%s%u", i % 2 == 0 ? "k" : "", i);

	if (i == 1) /* a zero is a byte like others */
		memcpy(named->name, "\0\0", 3);
	named->key = slice_of(named->name, i == 1 ? 2 : (size_t)len);
}

static void
same_names(const struct smap *m, const struct named *all, const bool have[KEYS])
{
	size_t at = 0, count = 0, want = 0;
	const struct named *value;

	for (unsigned i = 0; i < KEYS; i++) {
		assert_ptr_equal(smap_get(m, all[i].key), have[i] ? &all[i] : NULL);
		want += have[i];
	}
	while ((value = smap_next(m, &at)) != NULL) {
		assert_true(have[value - all]);
		count++;
	}
	assert_int_equal(count, want);
	assert_int_equal(m->count, want);
}

static void
names(void **state)
{
	static struct named all[KEYS];
	bool have[KEYS] = {false};
	struct smap m = {0};

	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		named_init(&all[i], i);
	assert_null(smap_get(&m, S("x")));
	assert_null(smap_remove(&m, S("x")));
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = below(KEYS);

		if (fills(step)) {
			smap_put(&m, all[i].key, &all[i]);
			have[i] = true;
		} else {
			assert_ptr_equal(smap_remove(&m, all[i].key), have[i] ? &all[i] : NULL);
			have[i] = false;
		}
		if (step % 500 == 0)
			same_names(&m, all, have);
	}
	smap_fini(&m);
	assert_null(smap_get(&m, S("x")));
}

/* The key is borrowed from the value: a replacement brings its own. */
static void
replacing_takes_the_new_key(void **state)
{
	char old[] = "same", new[] = "same";
	struct smap m = {0};

	(void)state;
	smap_put(&m, slice_of(old, 4), old);
	smap_put(&m, slice_of(new, 4), new);
	memset(old, 'x', sizeof(old));
	assert_int_equal(m.count, 1);
	assert_ptr_equal(smap_get(&m, S("same")), new);
	smap_fini(&m);
}

static void
hashes(void **state)
{
	unsigned buckets[16] = {0};

	(void)state;
	assert_int_equal(hash_u64(7), hash_u64(7));
	assert_int_equal(hash_bytes(S("a")), hash_bytes(S("a")));
	assert_true(hash_bytes(S("a")) != hash_bytes(S("b")));
	for (uint64_t i = 0; i < 16000; i++)
		buckets[hash_u64(i) & 15]++;
	for (size_t i = 0; i < LEN(buckets); i++)
		assert_in_range(buckets[i], 800, 1200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(names),
	    cmocka_unit_test(replacing_takes_the_new_key),
	    cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
