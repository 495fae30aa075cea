/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/panic.h"

void
buf_fini(struct buf *b)
{
	mem_free(b->bytes);
	*b = (struct buf){0};
}

char *
buf_make_room(struct buf *b, size_t more)
{
	if (b->start > 0) {
		memmove(b->bytes, b->bytes + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
	}
	if (b->capacity - b->end < more) {
		size_t want = b->capacity > 0 ? b->capacity : 128;

		assert(more < SIZE_MAX / 4);
		while (want - b->end < more)
			want *= 2;
		b->bytes = mem_resize(b->bytes, want, 1);
		b->capacity = want;
	}
	return b->bytes + b->end;
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	assert(n >= 0);
	(void)vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, format, again);
	va_end(again);
	b->end += (size_t)n;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}
