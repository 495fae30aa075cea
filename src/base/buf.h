/* SPDX-License-Identifier: MIT */
/*
 * A growable byte buffer: bytes are appended at the end and consumed from the front.  An empty
 * buffer owns no memory until something is appended.  Not shared between threads.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	char *bytes;  /* owned */
	size_t start; /* consumed before here */
	size_t end;
	size_t capacity;
};

/* Frees the memory; the buffer is empty and usable again. */
void buf_fini(struct buf *b);
/* buf_reserve() where there is no room yet. */
char *buf_make_room(struct buf *b, size_t more);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops n bytes from the front, at most what is there. */
void buf_consume(struct buf *b, size_t n);

/* Room for `more` bytes behind the end; returns where they go.  Fill, then buf_grew(). */
static inline char *
buf_reserve(struct buf *b, size_t more)
{
	if (__builtin_expect(b->capacity - b->end < more, 0))
		return buf_make_room(b, more);
	return b->bytes + b->end;
}

/* Here, because most of what is appended is a few bytes of known length. */
static inline void
buf_append(struct buf *b, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	memcpy(buf_reserve(b, len), bytes, len);
	b->end += len;
}

static inline const char *
buf_head(const struct buf *b)
{
	return b->bytes + b->start;
}

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline slice
buf_slice(const struct buf *b)
{
	return slice_of(b->bytes != NULL ? b->bytes + b->start : "", b->end - b->start);
}

static inline void
buf_grew(struct buf *b, size_t n)
{
	b->end += n;
}

/* Forgets the content, keeps the memory. */
static inline void
buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

static inline void
buf_put(struct buf *b, slice s)
{
	buf_append(b, s.ptr, s.len);
}

#endif
