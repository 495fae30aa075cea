/* SPDX-License-Identifier: MIT */
#include "base/json_put.h"

#include "base/json_plain.h"
#include "base/panic.h"

/* What stands for *ret_used bytes at the front; len 0: they may stand for themselves. */
static slice
escape_of(const char *at, const char *end, char room[6], size_t *ret_used)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char byte = (unsigned char)*at;

	*ret_used = 1;
	switch (byte) {
	case '"':
		return S("\\\"");
	case '\\':
		return S("\\\\");
	case '\b':
		return S("\\b");
	case '\f':
		return S("\\f");
	case '\n':
		return S("\\n");
	case '\r':
		return S("\\r");
	case '\t':
		return S("\\t");
	default:
		break;
	}
	if (byte < 0x20) {
		memcpy(room, "\\u00", 4);
		room[4] = digits[byte >> 4];
		room[5] = digits[byte & 15];
		return slice_of(room, 6);
	}
	/* U+2028 and U+2029 end a line in JavaScript before ES2019. */
	if (byte == 0xE2 && end - at >= 3 && at[1] == '\x80' &&
	    (at[2] == '\xA8' || at[2] == '\xA9')) {
		*ret_used = 3;
		return at[2] == '\xA8' ? S("\\u2028") : S("\\u2029");
	}
	return slice_of(at, 0);
}

void
json_put_string(struct buf *to, slice text)
{
	const char *start = text.len > 0 ? text.ptr : "", *at = start, *end = at + text.len;
	char room[6];

	buf_reserve(to, text.len + 2);
	buf_append(to, "\"", 1);
	while (at < end) {
		size_t used;
		slice escape;

		if ((at = json_plain_end(at, end)) == end)
			break;
		escape = escape_of(at, end, room, &used);
		if (escape.len > 0) {
			buf_append(to, start, (size_t)(at - start));
			buf_put(to, escape);
			start = at + used;
		}
		at += used;
	}
	buf_append(to, start, (size_t)(end - start));
	buf_append(to, "\"", 1);
}

void
json_put_uint(struct buf *to, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	buf_append(to, digits + at, sizeof(digits) - at);
}

void
json_put_int(struct buf *to, int64_t value)
{
	if (value < 0)
		buf_append(to, "-", 1);
	json_put_uint(to, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void
json_comma(struct buf *to)
{
	slice before = buf_slice(to);

	if (before.len > 0 && before.ptr[before.len - 1] != '{' &&
	    before.ptr[before.len - 1] != '[')
		buf_append(to, ",", 1);
}

void
json_key(struct buf *to, const char *key)
{
	size_t len = strlen(key);
	char *at;

	json_comma(to);
	at = buf_reserve(to, len + 3);
	*at = '"';
	memcpy(at + 1, key, len);
	memcpy(at + 1 + len, "\":", 2);
	buf_grew(to, len + 3);
}

void
json_str(struct buf *to, const char *key, slice value)
{
	json_key(to, key);
	json_put_string(to, value);
}

void
json_uint(struct buf *to, const char *key, uint64_t value)
{
	json_key(to, key);
	json_put_uint(to, value);
}

void
json_bool(struct buf *to, const char *key, bool value)
{
	json_key(to, key);
	buf_put(to, value ? S("true") : S("false"));
}

void
json_raw(struct buf *to, const char *key, slice json)
{
	assert(json.len > 0);
	json_key(to, key);
	buf_put(to, json);
}
