/* SPDX-License-Identifier: MIT */
/* Whole, in two parts (the first byte says where) and sequence by sequence the verdict is one. */
#include "fuzz.h"
#include "wire/utf8.h"

static bool
valid_by_sequences(slice text, size_t *ret_count)
{
	for (*ret_count = 0; text.len > 0; ++*ret_count) {
		size_t len = utf8_sequence(text);

		if (len == 0)
			return false;
		text = slice_of(text.ptr + len, text.len - len);
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	slice text = slice_of((const char *)bytes, len);
	size_t cut = fuzz_byte(&text), count;
	struct utf8_state state = {0};
	bool valid = utf8_valid(text);

	if (cut > text.len)
		cut = text.len;
	bool in_parts = utf8_feed(&state, slice_of(text.ptr, cut)) &&
			utf8_feed(&state, slice_of(text.ptr + cut, text.len - cut)) &&
			utf8_done(&state);
	assert(valid == in_parts && valid == valid_by_sequences(text, &count));
	if (valid) {
		assert(count == utf8_count(text));
		assert(utf8_valid(utf8_cut(text, cut)) && utf8_cut(text, cut).len + 4 > cut);
		(void)utf8_has_control(text);
	}
	return 0;
}
