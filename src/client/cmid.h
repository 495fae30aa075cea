/* SPDX-License-Identifier: MIT */
/* Ids for one's own messages: UUIDv7 (RFC 9562), each greater than the one before from the same
 * source. */
#ifndef CLIENT_CMID_H
#define CLIENT_CMID_H

#include "base/slice.h"

enum { CMID_TEXT_BYTES = 36, CMID_MAX = 64 };

/* Zero at the start. */
struct cmid_source {
	uint64_t last_ms;
	uint32_t count; /* within last_ms, 12 bits */
};

/* Terminated by a zero.  real_ms: milliseconds since 1970; may jump back, the ids don't. */
void cmid_make(struct cmid_source *source, uint64_t real_ms, char ret_text[CMID_TEXT_BYTES + 1]);
/* One that can be a file's name: 1 to 64 of A-Z a-z 0-9 _ . : - and no dot in front. */
bool cmid_plain(slice cmid);

#endif
