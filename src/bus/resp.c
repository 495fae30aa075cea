/* SPDX-License-Identifier: MIT */
#include "bus/resp.h"

void
resp_array(struct buf *out, size_t words)
{
	buf_printf(out, "*%zu\r\n", words);
}

void
resp_bulk(struct buf *out, slice word)
{
	buf_printf(out, "$%zu\r\n", word.len);
	buf_put(out, word);
	buf_put(out, S("\r\n"));
}

void
resp_command(struct buf *out, const char *const *words)
{
	size_t count = 0;

	while (words[count] != NULL)
		count++;
	resp_array(out, count);
	for (size_t i = 0; i < count; i++)
		resp_bulk(out, slice_str(words[i]));
}
