/* SPDX-License-Identifier: MIT */
/*
 * For the tests of codecs without a state: input that grows by one byte at a time must be answered with
 * "more" until it is decided, and then always the same.
 */
#ifndef WIRE_SPLIT_TEST_H
#define WIRE_SPLIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/slice.h"

/* A copy that ends where its memory ends, so that the sanitizer sees who reads past it. */
static inline char *
exact_copy(slice s)
{
	char *copy = mem_alloc(s.len);

	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

/* Runs the codec on every prefix; returns what it says of the whole. */
static inline int
run_prefixes(int (*codec)(slice in), slice whole)
{
	char *copy = exact_copy(whole);
	int result = codec(slice_of(copy, whole.len));
	bool decided = false;

	mem_free(copy);
	for (size_t len = 0; len < whole.len; len++) {
		slice prefix = slice_of(whole.ptr, len);
		int early;

		copy = exact_copy(prefix);
		early = codec(slice_of(copy, len));
		mem_free(copy);
		if (decided || early != 0)
			assert_int_equal(early, result);
		decided = early != 0;
		if (result > 0)
			assert_int_equal(decided, len >= (size_t)result);
	}
	return result;
}

#endif
