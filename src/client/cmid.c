/* SPDX-License-Identifier: MIT */
#include "client/cmid.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/secret.h"

enum { COUNT_MAX = 0xfff };

void
cmid_make(struct cmid_source *source, uint64_t real_ms, char ret_text[CMID_TEXT_BYTES + 1])
{
	uint64_t tail;

	if (real_ms > source->last_ms) {
		source->last_ms = real_ms;
		source->count = random_below(COUNT_MAX / 2);
	} else if (++source->count > COUNT_MAX) {
		source->last_ms++;
		source->count = 0;
	}
	random_bytes(&tail, sizeof(tail));
	tail = (tail & 0x3fffffffffffffffu) | 0x8000000000000000u;
	(void)snprintf(ret_text, CMID_TEXT_BYTES + 1,
	    "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx32 "-%04" PRIx64 "-%012" PRIx64,
	    (source->last_ms >> 16) & 0xffffffffu, source->last_ms & 0xffffu, source->count,
	    tail >> 48, tail & 0xffffffffffffu);
}

bool
cmid_plain(slice cmid)
{
	if (cmid.len == 0 || cmid.len > CMID_MAX || cmid.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < cmid.len; i++) {
		char c = cmid.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '.' && c != ':' && c != '-')
			return false;
	}
	return true;
}
