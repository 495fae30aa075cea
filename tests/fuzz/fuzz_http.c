/* SPDX-License-Identifier: MIT */
/* A head's beginning means "more" or what the whole does; the first two bytes give the cut. */
#include "fuzz.h"
#include "wire/http.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	slice in = slice_of((const char *)bytes, len);
	size_t cut = (size_t)fuzz_byte(&in) << 8 | fuzz_byte(&in);
	struct http_request request, unused;
	struct buf value = {0};
	int used = http_parse(in, &request);
	int early = http_parse(slice_of(in.ptr, cut < in.len ? cut : in.len), &unused);

	assert(early == 0 || early == used);
	assert(used <= (int)in.len && used <= HTTP_HEAD_MAX && used >= -599);
	if (used > 0) {
		assert(request.path.ptr[0] == '/' && request.header_count <= HTTP_HEADERS_MAX);
		assert(memcmp(in.ptr + used - 4, "\r\n\r\n", 4) == 0);
		(void)http_query(request.query, S("a"), &value);
		(void)http_has_token(http_header(&request, S("Connection")), S("upgrade"));
	}
	buf_fini(&value);
	return 0;
}
