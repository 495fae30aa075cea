/* SPDX-License-Identifier: MIT */
#include "server/nearest.h"

#include <ctype.h>

static unsigned
min_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static char
folded(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

unsigned
edit_distance(slice a, slice b)
{
	/* Three rows of the usual table; the oldest is for swaps. */
	unsigned rows[3][NEAREST_MAX_BYTES + 1];

	if (a.len > NEAREST_MAX_BYTES || b.len > NEAREST_MAX_BYTES)
		return NEAREST_MAX_BYTES;
	for (unsigned j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3],
			 *before = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			bool same = folded(a.ptr[i - 1]) == folded(b.ptr[j - 1]);

			row[j] = min_of(above[j] + 1, row[j - 1] + 1);
			row[j] = min_of(row[j], above[j - 1] + !same);
			if (i > 1 && j > 1 && folded(a.ptr[i - 1]) == folded(b.ptr[j - 2]) &&
			    folded(a.ptr[i - 2]) == folded(b.ptr[j - 1]))
				row[j] = min_of(row[j], before[j - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

void
nearest_offer(struct nearest *best, slice given, const char *candidate)
{
	slice word = slice_str(candidate);
	size_t longer = given.len > word.len ? given.len : word.len;
	unsigned far = longer / 3 > 2 ? (unsigned)(longer / 3) : 2;
	unsigned distance = edit_distance(given, word);

	if (distance > far || distance >= longer)
		return;
	if (best->word == NULL || distance < best->distance)
		*best = (struct nearest){candidate, distance};
}
