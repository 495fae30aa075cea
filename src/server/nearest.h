/* SPDX-License-Identifier: MIT */
/* The nearest word, for "did you mean". */
#ifndef SERVER_NEAREST_H
#define SERVER_NEAREST_H

#include "base/slice.h"

enum { NEAREST_MAX_BYTES = 48 }; /* longer words are near nothing */

/* How many single-character edits (insert, delete, replace, swap of neighbours) lie between two
 * words. */
unsigned edit_distance(slice a, slice b);

/*
 * Keeps the best candidate seen so far: start with {0}, offer each, then read `word`: NULL if none
 * was near enough (a third of the longer word, at least two edits).
 */
struct nearest {
	const char *word; /* borrowed from the candidates */
	unsigned distance;
};
void nearest_offer(struct nearest *best, slice given, const char *candidate);

#endif
