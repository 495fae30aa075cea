/* SPDX-License-Identifier: MIT */
/* What is sent to Redis: commands as arrays of byte strings (RESP 2). */
#ifndef BUS_RESP_H
#define BUS_RESP_H

#include "base/buf.h"

/* The head of a command of so many words; resp_bulk() for each of them follows. */
void resp_array(struct buf *out, size_t words);
void resp_bulk(struct buf *out, slice word);
/* A whole command; a word of NULL ends the list. */
void resp_command(struct buf *out, const char *const *words);

#endif
