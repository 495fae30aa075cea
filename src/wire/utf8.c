/* SPDX-License-Identifier: MIT */
#include "wire/utf8.h"

#include "base/panic.h"

/* Eight bytes at once; memcpy because they may stand anywhere. */
static inline bool
eight_ascii(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return (word & 0x8080808080808080u) == 0;
}

static const char *
ascii_end(const char *at, const char *end)
{
	while (end - at >= 8 && eight_ascii(at))
		at += 8;
	while (at < end && (unsigned char)*at < 0x80)
		at++;
	return at;
}

/*
 * Begins a sequence of several bytes.  Some leads narrow the byte behind them: E0 and F0 would be
 * overlong, ED a surrogate, F4 above U+10FFFF.
 */
static bool
lead(struct utf8_state *state, unsigned char byte)
{
	if (byte < 0xC2 || byte > 0xF4)
		return false;
	state->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
	state->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
	state->missing = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
	state->code = byte & (0x3Fu >> state->missing);
	return true;
}

static bool
continuation(struct utf8_state *state, unsigned char byte)
{
	if (byte < state->low || byte > state->high)
		return false;
	state->low = 0x80;
	state->high = 0xBF;
	state->code = state->code << 6 | (byte & 0x3Fu);
	state->missing--;
	return true;
}

bool
utf8_feed(struct utf8_state *state, slice bytes)
{
	const char *at = bytes.len > 0 ? bytes.ptr : "", *end = at + bytes.len;

	while (at < end) {
		if (state->missing > 0) {
			if (!continuation(state, (unsigned char)*at++))
				return false;
			continue;
		}
		if ((at = ascii_end(at, end)) < end && !lead(state, (unsigned char)*at++))
			return false;
	}
	return true;
}

bool
utf8_done(const struct utf8_state *state)
{
	return state->missing == 0;
}

size_t
utf8_sequence(slice text)
{
	struct utf8_state state = {0};
	size_t len = 1;

	assert(text.len > 0);
	if ((unsigned char)text.ptr[0] < 0x80)
		return 1;
	if (!lead(&state, (unsigned char)text.ptr[0]))
		return 0;
	while (state.missing > 0) {
		if (len == text.len || !continuation(&state, (unsigned char)text.ptr[len]))
			return 0;
		len++;
	}
	return len;
}

bool
utf8_valid(slice text)
{
	struct utf8_state state = {0};

	return utf8_feed(&state, text) && utf8_done(&state);
}

static bool
is_continuation(char byte)
{
	return ((unsigned char)byte & 0xC0) == 0x80;
}

size_t
utf8_count(slice text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += !is_continuation(text.ptr[i]);
	return count;
}

slice
utf8_cut(slice text, size_t max)
{
	if (text.len <= max)
		return text;
	while (max > 0 && is_continuation(text.ptr[max]))
		max--;
	return slice_of(text.ptr, max);
}

bool
utf8_has_control(slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = (unsigned char)text.ptr[i];

		if (byte < 0x20 || byte == 0x7F)
			return true;
		if (byte == 0xC2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xA0)
			return true;
	}
	return false;
}
