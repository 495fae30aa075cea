/* SPDX-License-Identifier: MIT */
/*
 * jansson behind a wall, for json_judge_test.c: its names are also ours, so the two never meet in one file.
 *
 * What a text means is told as a dump that both sides make: n, t, f, `i12;` for an integer within 53 bits,
 * `r;` for any other number, `s3:abc` for a string, and `[…]` and `{…}` around elements and around members
 * in the byte order of their names.
 */
#ifndef WIRE_JUDGE_H
#define WIRE_JUDGE_H

#include "base/buf.h"
#include "base/slice.h"

enum judgement {
	JUDGE_TAKES,
	JUDGE_REFUSES,
	JUDGE_CANNOT, /* sound, but beyond what jansson holds: a number out of range, U+0000 in a name */
};

/* Appends the dump if it takes the text. */
enum judgement judge_read(slice text, struct buf *to);

#endif
