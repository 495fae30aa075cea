/* SPDX-License-Identifier: MIT */
#include "store/fold.h"

#include <utf8proc.h>

#include "base/mem.h"

enum {
	FOLDING = UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD |
		  UTF8PROC_IGNORE,
};

void
text_fold(slice text, slice *ret_folded)
{
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t len = -1;

	if (text.len > 0)
		len = utf8proc_map((const utf8proc_uint8_t *)text.ptr, (utf8proc_ssize_t)text.len,
		    &folded, (utf8proc_option_t)FOLDING);
	if (len >= 0)
		text = slice_of((const char *)folded, (size_t)len);
	ret_folded->ptr = mem_dup(text);
	ret_folded->len = text.len;
	free(folded);
}

void
text_fold_free(slice *folded)
{
	mem_free((void *)(uintptr_t)folded->ptr);
	*folded = SLICE_NONE;
}
