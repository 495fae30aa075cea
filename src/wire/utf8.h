/* SPDX-License-Identifier: MIT */
/* UTF-8 (RFC 3629) as bytes come: strict, also across fragments. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include "base/slice.h"

/* Where a sequence stands between two fragments; zero at the start. */
struct utf8_state {
	uint32_t code;     /* what has been gathered */
	uint8_t missing;   /* continuation bytes still to come */
	uint8_t low, high; /* bounds of the next continuation byte */
};

/* False as soon as the bytes can't be UTF-8 any more. */
bool utf8_feed(struct utf8_state *state, slice bytes);
/* True if no sequence is cut off at the end. */
bool utf8_done(const struct utf8_state *state);
/* The length of the well-formed sequence at the front of a text that is not empty, 1 to 4; 0 if there is none. */
size_t utf8_sequence(slice text);
/* Whole text: well formed? */
bool utf8_valid(slice text);
/* Code points in well-formed text. */
size_t utf8_count(slice text);
/* The longest prefix of well-formed text of at most max bytes that cuts no sequence. */
slice utf8_cut(slice text, size_t max);
/* Whether well-formed text holds a control character (U+0000–001F, 007F–009F). */
bool utf8_has_control(slice text);

#endif
