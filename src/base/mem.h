/* SPDX-License-Identifier: MIT */
/*
 * Allocation that cannot fail for its caller: when the machine has no memory left, the process says
 * so and ends.  Everything fed from outside is bounded before it is allocated, and a crash loses
 * nothing that was acknowledged, so that a thousand half-walked error paths would buy nothing.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/slice.h"

/* Never NULL; the caller owns the block and ends it with mem_free().  Any thread. */
void *mem_alloc(size_t size);
/* The same, filled with zeros. */
void *mem_zalloc(size_t size);
/* Grow or shrink an array to count elements; the product is checked for overflow. */
void *mem_resize(void *block, size_t count, size_t element_size);
/* A copy with a zero behind it, owned by the caller. */
char *mem_dup(slice s);
/* NULL is allowed. */
void mem_free(void *block);

/* All of a block will be read soon: it comes into the processor's caches meanwhile.  It need not be there. */
static inline void
mem_ahead(const void *block, size_t size)
{
	enum { CACHE_LINE = 64 };

	for (size_t at = 0; at < size; at += CACHE_LINE)
		__builtin_prefetch((const char *)block + at);
}

#endif
