/* SPDX-License-Identifier: MIT */
#include "server/shown.h"

#include <ctype.h>
#include <stdio.h>

#include "base/log.h"

static bool
has(slice text, slice part)
{
	return text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

/* The scheme and what separates it from the rest; nothing where there is none. */
static slice
scheme_of(slice text)
{
	size_t len = 0;

	while (len < text.len && isalnum((unsigned char)text.ptr[len]))
		len++;
	if (len == text.len || text.ptr[len] != ':')
		return slice_of(text.ptr, 0);
	while (++len < text.len && text.ptr[len] == '/')
		;
	return slice_of(text.ptr, len);
}

static bool
may_hold_a_password(slice text, bool address)
{
	return has(text, S("@")) || has(text, S("://")) || (address && has(text, S(":")));
}

const char *
shown(slice text, bool address, char ret_shown[SHOWN_BYTES])
{
	slice scheme = scheme_of(text);
	char cut[SHOWN_BYTES];

	if (scheme.len == text.len || !may_hold_a_password(text, address))
		return log_text(text, ret_shown, SHOWN_BYTES);
	(void)snprintf(cut, sizeof(cut), "%.*s...", SLICE_ARG(scheme));
	return log_text(slice_str(cut), ret_shown, SHOWN_BYTES);
}
