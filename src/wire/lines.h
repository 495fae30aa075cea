/* SPDX-License-Identifier: MIT */
/* Newline-delimited frames: a codec of bytes, > 0 used, 0 more needed, < 0 error. */
#ifndef WIRE_LINES_H
#define WIRE_LINES_H

#include "base/slice.h"

enum { LINES_TOO_LONG = -1 };

/*
 * Takes the first line off the front: *ret_line is it, without "\n" or "\r\n" (may be empty); returns the
 * bytes used.  0 if no line is complete yet.  LINES_TOO_LONG if a line, complete or not, has more than max
 * bytes before its end.
 */
int lines_next(slice in, size_t max, slice *ret_line);

#endif
