/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdlib.h>

#include "base/panic.h"

void *
mem_alloc(size_t size)
{
	void *block = malloc(size > 0 ? size : 1);

	if (block == NULL)
		panic("out of memory: %zu bytes were wanted", size);
	return block;
}

void *
mem_zalloc(size_t size)
{
	void *block = calloc(1, size > 0 ? size : 1);

	if (block == NULL)
		panic("out of memory: %zu bytes were wanted", size);
	return block;
}

void *
mem_resize(void *block, size_t count, size_t element_size)
{
	size_t size;

	if (__builtin_mul_overflow(count, element_size, &size))
		panic("array of %zu elements of %zu bytes", count, element_size);
	block = realloc(block, size > 0 ? size : 1);
	if (block == NULL)
		panic("out of memory: %zu bytes were wanted", size);
	return block;
}

char *
mem_dup(slice s)
{
	char *copy = mem_alloc(s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

void
mem_free(void *block)
{
	free(block);
}
