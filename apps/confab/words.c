/* SPDX-License-Identifier: MIT */
#include "words.h"

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a quoted word that begins at `at` ends: at its closing quote, with a blank or nothing behind;
 * NULL if it is no quoted one. */
static const char *
closing(const char *at, const char *end)
{
	for (const char *p = at + 1; *at == '"' && p < end; p++)
		if (*p == '"' && (p + 1 == end || blank(p[1])))
			return p;
	return NULL;
}

void
words_typed(struct words *ret, slice line)
{
	const char *at = line.ptr, *end = line.ptr + line.len;

	*ret = (struct words){.end = end};
	for (;;) {
		const char *stop, *quote;

		while (at < end && blank(*at))
			at++;
		if (at == end)
			return;
		if (ret->count == WORDS_MAX) {
			ret->too_many = true;
			return;
		}
		quote = closing(at, end);
		stop = at;
		while (quote == NULL && stop < end && !blank(*stop))
			stop++;
		ret->start[ret->count] = at;
		ret->word[ret->count++] = quote != NULL ? slice_of(at + 1, (size_t)(quote - at - 1))
							: slice_of(at, (size_t)(stop - at));
		at = quote != NULL ? quote + 1 : stop;
	}
}

void
words_given(struct words *ret, char **operands, int count)
{
	*ret = (struct words){.too_many = count > WORDS_MAX};
	for (int i = 0; i < count && ret->count < WORDS_MAX; i++) {
		ret->start[ret->count] = operands[i];
		ret->word[ret->count++] = slice_str(operands[i]);
	}
}

void
words_rest(const struct words *words, size_t from, struct buf *to)
{
	if (from >= words->count)
		return;
	if (words->end != NULL) {
		buf_append(to, words->start[from], (size_t)(words->end - words->start[from]));
		return;
	}
	for (size_t i = from; i < words->count; i++) {
		if (i > from)
			buf_put(to, S(" "));
		buf_put(to, words->word[i]);
	}
}

bool
words_digits(slice word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.ptr[i] < '0' || word.ptr[i] > '9')
			return false;
	return word.len > 0 && word.len <= 15;
}
