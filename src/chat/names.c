/* SPDX-License-Identifier: MIT */
#include "chat/names.h"

#include "chat/common_passwords.h"

static bool
is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
name_fold(slice name, char ret_name[NAME_MAX_BYTES], slice *ret_folded)
{
	if (name.len < 2 || name.len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!is_lower_or_digit(c) && (i == 0 || (c != '_' && c != '.' && c != '-')))
			return false;
		ret_name[i] = c;
	}
	*ret_folded = slice_of(ret_name, name.len);
	return true;
}

bool
name_reserved(slice folded)
{
	static const char *const reserved[] = {"all", "deleted", "everyone", "here", "server"};

	for (size_t i = 0; i < LEN(reserved); i++)
		if (slice_eq(folded, slice_str(reserved[i])))
			return true;
	return false;
}

static bool
kind_valid_extension(slice kind)
{
	if (!slice_starts(kind, S("x-")) || kind.len < 3 || kind.len > KIND_MAX_BYTES)
		return false;
	for (size_t i = 2; i < kind.len; i++)
		if (!is_lower_or_digit(kind.ptr[i]) && kind.ptr[i] != '-')
			return false;
	return true;
}

bool
kind_valid_message(slice kind)
{
	return slice_eq(kind, S("text")) || kind_valid_extension(kind);
}

bool
kind_valid_signal(slice kind)
{
	return slice_eq(kind, S("typing")) || kind_valid_extension(kind);
}

bool
text_valid(slice text, size_t min_chars, size_t max_chars)
{
	size_t chars = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		/* U+0080 to U+009F are C2 80 to C2 9F. */
		if (c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0)
			return false;
		chars += (c & 0xc0) != 0x80;
	}
	return chars >= min_chars && chars <= max_chars;
}

bool
password_strong(slice password)
{
	size_t chars = 0;

	for (size_t i = 0; i < password.len; i++)
		chars += ((unsigned char)password.ptr[i] & 0xc0) != 0x80;
	if (chars < PASSWORD_MIN_CHARS)
		return false;
	for (size_t i = 0; i < LEN(common_passwords); i++)
		if (slice_eq(password, slice_str(common_passwords[i])))
			return false;
	return true;
}
