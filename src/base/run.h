/* SPDX-License-Identifier: MIT */
/*
 * A run is an immutable, counted block of wire bytes that many connections of one shard send slices
 * of. The count is a plain integer: a run never leaves the thread that made it.
 */
#ifndef BASE_RUN_H
#define BASE_RUN_H

#include "base/slice.h"

struct run {
	uint32_t refs;
	uint32_t len;
	uint32_t capacity; /* only its first owner may append, and only while refs is 1 */
	char bytes[];
};

/* An empty run with room for capacity bytes; one reference, the caller's. */
struct run *run_create(size_t capacity);
/* A run holding a copy of the bytes. */
struct run *run_copy(slice bytes);
void run_free(struct run *run);

static inline struct run *
run_ref(struct run *run)
{
	run->refs++;
	return run;
}

static inline void
run_unref(struct run *run)
{
	if (--run->refs == 0)
		run_free(run);
}

#endif
