/* SPDX-License-Identifier: MIT */
/* The inside of JSON strings: where it stops being plain, for who reads and who writes them. */
#ifndef BASE_JSON_PLAIN_H
#define BASE_JSON_PLAIN_H

#include "base/slice.h"

#define JSON_EACH_BYTE(value) (0x0101010101010101u * (value))

static inline bool
json_is_plain(char c)
{
	unsigned char byte = (unsigned char)c;

	return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/*
 * The first byte of a string's inside that is not plain ASCII: a quote, a backslash, a control
 * character or one above 0x7F.  Eight at once: each difference below sets a byte's top bit for one
 * of those, and what a borrow spoils stands behind the first of them.
 */
static inline const char *
json_plain_end(const char *at, const char *end)
{
	while (end - at >= 8) {
		uint64_t word, stops;

		memcpy(&word, at, sizeof(word));
		stops = word | (word - JSON_EACH_BYTE(0x20)) |
			((word ^ JSON_EACH_BYTE('"')) - JSON_EACH_BYTE(1)) |
			((word ^ JSON_EACH_BYTE('\\')) - JSON_EACH_BYTE(1));
		stops &= JSON_EACH_BYTE(0x80);
		if (stops != 0) {
			if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
				return at + __builtin_ctzll(stops) / 8;
			break;
		}
		at += 8;
	}
	while (at < end && json_is_plain(*at))
		at++;
	return at;
}

#endif
