/* SPDX-License-Identifier: MIT */
/* A header's beginning means "more" or what the whole does; the first two bytes give the cut. */
#include "fuzz.h"
#include "wire/proxy.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	slice in = slice_of((const char *)bytes, len);
	size_t cut = (size_t)fuzz_byte(&in) << 8 | fuzz_byte(&in);
	struct proxy_header header, unused;
	int used = proxy_parse(in, &header);
	int early = proxy_parse(slice_of(in.ptr, cut < in.len ? cut : in.len), &unused);

	assert(early == 0 || early == used);
	assert(used <= (int)in.len && used <= PROXY_HEADER_MAX && used >= PROXY_BAD);
	assert(used <= 0 || header.local || header.source.ss_family == AF_INET ||
	       header.source.ss_family == AF_INET6);
	return 0;
}
