/* SPDX-License-Identifier: MIT */
/* A command's operands as words: of a line that a person typed, or of a program's arguments. */
#ifndef CONFAB_WORDS_H
#define CONFAB_WORDS_H

#include "base/buf.h"

enum { WORDS_MAX = 160 };

/* Borrows the line or the arguments. */
struct words {
	slice word[WORDS_MAX];
	const char *start[WORDS_MAX]; /* where each begins, before its quote */
	size_t count;
	const char *end; /* of the line; NULL: they are arguments */
	bool too_many;
};

/* Between blanks; "two words" in double quotes are one. */
void words_typed(struct words *ret, slice line);
void words_given(struct words *ret, char **operands, int count);
/* Everything from that word on: a line as it was typed, arguments with single blanks between. */
void words_rest(const struct words *words, size_t from, struct buf *to);
bool words_digits(slice word);

#endif
