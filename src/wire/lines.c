/* SPDX-License-Identifier: MIT */
#include "wire/lines.h"

#include <limits.h>

#include "base/panic.h"

int
lines_next(slice in, size_t max, slice *ret_line)
{
	size_t window = in.len < max + 2 ? in.len : max + 2, len;
	const char *newline;

	assert(max <= INT_MAX - 2);
	newline = window > 0 ? memchr(in.ptr, '\n', window) : NULL;
	if (newline == NULL) {
		/* One byte over may still be the carriage return of the line's end. */
		if (in.len > max + 1 || (in.len == max + 1 && in.ptr[max] != '\r'))
			return LINES_TOO_LONG;
		return 0;
	}
	len = (size_t)(newline - in.ptr);
	if (len > 0 && newline[-1] == '\r')
		len--;
	if (len > max)
		return LINES_TOO_LONG;
	*ret_line = slice_of(in.ptr, len);
	return (int)(newline - in.ptr) + 1;
}
