/* SPDX-License-Identifier: MIT */
/* What a fuzz target is: libFuzzer calls it with made bytes, replay.c with those of the corpus. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

#include "base/buf.h"
#include "base/panic.h"
#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Takes a byte off the front, 0 where there is none. */
static inline unsigned
fuzz_byte(slice *in)
{
	unsigned byte = in->len > 0 ? (unsigned char)*in->ptr : 0;

	if (in->len > 0)
		*in = slice_of(in->ptr + 1, in->len - 1);
	return byte;
}

#endif
