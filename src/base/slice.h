/* SPDX-License-Identifier: MIT */
/*
 * A slice is a borrowed run of bytes: it owns nothing, is not terminated by a zero, and is valid
 * until the call that received it returns, unless the receiver's contract says otherwise.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
	const char *ptr;
	size_t len;
} slice;

/* A slice of a string literal. */
#define S(literal) ((slice){"" literal, sizeof(literal) - 1})
#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define SLICE_NONE ((slice){NULL, 0})
/* For printf's "%.*s". */
#define SLICE_ARG(s) ((int)(s).len), ((s).ptr != NULL ? (s).ptr : "")

/* The object that holds `member`, given a pointer to that member. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline slice
slice_of(const char *ptr, size_t len)
{
	return (slice){ptr, len};
}

static inline slice
slice_str(const char *text)
{
	return (slice){text, text != NULL ? strlen(text) : 0};
}

/* Absent (NULL) is not the same as empty. */
static inline bool
slice_given(slice s)
{
	return s.ptr != NULL;
}

static inline bool
slice_eq(slice a, slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order: < 0, 0, > 0. */
static inline int
slice_cmp(slice a, slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool
slice_starts(slice s, slice prefix)
{
	return s.len >= prefix.len &&
	       (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

#endif
