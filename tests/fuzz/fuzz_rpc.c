/* SPDX-License-Identifier: MIT */
/* Any frame has an answer that is JSON, unless it wants none. */
#include "fuzz.h"
#include "wire/rpc.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf scratch = {0}, answer = {0};
	struct rpc_request request;
	struct json value;
	struct json_notes notes;
	enum rpc_result result = rpc_parse(slice_of((const char *)bytes, len), &scratch, &notes, &request);

	assert(result != RPC_PARSE_ERROR || request.id.kind == RPC_ID_NULL);
	assert(result != RPC_INVALID_REQUEST || request.id.kind != RPC_ID_NONE);
	assert(result != RPC_OK || slice_given(request.method));
	assert(!slice_given(request.params.text) || json_type(request.params) == JSON_OBJECT);
	(void)json_member(request.params, S("to"));
	if (request.id.kind != RPC_ID_NONE) {
		rpc_put_head(&answer, &request.id);
		buf_put(&answer, S("\"result\":{}}"));
		bool fine = json_check(buf_slice(&answer), &value);
		assert(fine);
	}
	buf_fini(&scratch);
	buf_fini(&answer);
	return 0;
}
