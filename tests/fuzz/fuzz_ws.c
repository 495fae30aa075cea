/* SPDX-License-Identifier: MIT */
/* The bytes give the same units whole and in parts; the first byte says how large the parts are. */
#include "fuzz.h"
#include "wire/ws.h"

static void
decode(slice bytes, size_t part, struct buf *notes)
{
	struct ws_decoder d = {0};
	struct buf in = {0};
	struct ws_unit unit;
	bool ended = false, has_unit;
	size_t used;

	while (!ended && bytes.len > 0) {
		size_t len = part < bytes.len ? part : bytes.len;

		buf_append(&in, bytes.ptr, len);
		bytes = slice_of(bytes.ptr + len, bytes.len - len);
		while (!ended && (used = ws_next(&d, in.bytes + in.start, buf_len(&in), 200,
				      &has_unit, &unit)) > 0) {
			if (has_unit) {
				assert(unit.kind != WS_MESSAGE ||
				       (unit.payload.len <= 200 && utf8_valid(unit.payload)));
				buf_printf(notes, "%d %u %zu:", (int)unit.kind, unit.close_code,
				    unit.payload.len);
				buf_put(notes, unit.payload);
				ended = unit.kind == WS_FAIL || unit.kind == WS_CLOSE;
			}
			buf_consume(&in, used);
		}
	}
	buf_fini(&in);
	ws_decoder_fini(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf whole = {0}, parts = {0};
	slice in = slice_of((const char *)bytes, len);
	size_t part = 1 + fuzz_byte(&in);

	decode(in, in.len, &whole);
	decode(in, part, &parts);
	assert(slice_eq(buf_slice(&whole), buf_slice(&parts)));
	buf_fini(&whole);
	buf_fini(&parts);
	return 0;
}
