/* SPDX-License-Identifier: MIT */
#include "wire/rpc.h"

#include "wire/split_test.h"

#define SIXTEEN "0123456789abcdef"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN

/* id: as it is echoed, NULL: there is none.  params: as written, NULL: absent. */
static const struct {
	const char *frame;
	enum rpc_result result;
	const char *id, *method, *params;
} table[] = {
    {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", RPC_OK, "1", "ping", NULL},
    {"{\"id\":1,\"method\":\"ping\",\"params\":{}}", RPC_OK, "1", "ping", "{}"},
    {" {\"id\" : 1 , \"method\" : \"m\" , \"params\" : {\"a\": 1} } \r", RPC_OK, "1", "m",
	"{\"a\": 1}"},
    {"{\"method\":\"ping\"}", RPC_OK, NULL, "ping", NULL},
    {"{\"method\":\"ping\",\"params\":null}", RPC_OK, NULL, "ping", NULL},
    {"{\"method\":\"p\\u0069ng\",\"id\":\"a\\\"b\"}", RPC_OK, "\"a\\\"b\"", "ping", NULL},
    {"{\"\\u006dethod\":\"ping\",\"i\\u0064\":7}", RPC_OK, "7", "ping", NULL},
    {"{\"id\":1,\"id\":2,\"method\":\"a\",\"method\":\"b\",\"params\":[],\"params\":{}}", RPC_OK,
	"2", "b", "{}"},
    {"{\"id\":\"\",\"method\":\"\"}", RPC_OK, "\"\"", "", NULL},
    {"{\"id\":-9007199254740991,\"method\":\"m\"}", RPC_OK, "-9007199254740991", "m", NULL},
    {"{\"id\":\"" SIXTY_FOUR "\",\"method\":\"m\"}", RPC_OK, "\"" SIXTY_FOUR "\"", "m", NULL},
    {"{\"id\":\"\\u0041\\u00e9\",\"method\":\"m\"}", RPC_OK, "\"A\xC3\xA9\"", "m", NULL},
    {"{\"x\":{\"method\":1},\"id\":1,\"method\":\"m\",\"y\":[]}", RPC_OK, "1", "m", NULL},

    {"", RPC_PARSE_ERROR, "null", NULL, NULL},
    {"{", RPC_PARSE_ERROR, "null", NULL, NULL},
    {"{\"id\":1,\"method\":\"ping\"}x", RPC_PARSE_ERROR, "null", NULL, NULL},
    {"{\"id\":1,\"method\":\"\xFF\"}", RPC_PARSE_ERROR, "null", NULL, NULL},
    {"{\"id\":1,\"method\":\"\\ud800\"}", RPC_PARSE_ERROR, "null", NULL, NULL},

    {"[]", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"[{\"id\":1,\"method\":\"ping\"}]", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"1", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":5}", RPC_INVALID_REQUEST, "5", NULL, NULL},
    {"{\"id\":5,\"method\":1}", RPC_INVALID_REQUEST, "5", NULL, NULL},
    {"{\"id\":5,\"method\":null}", RPC_INVALID_REQUEST, "5", NULL, NULL},
    {"{\"method\":1}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"jsonrpc\":\"1.0\",\"id\":5,\"method\":\"m\"}", RPC_INVALID_REQUEST, "5", NULL, NULL},
    {"{\"jsonrpc\":2.0,\"id\":\"x\",\"method\":\"m\"}", RPC_INVALID_REQUEST, "\"x\"", NULL, NULL},
    {"{\"jsonrpc\":null,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":null,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":1.5,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":1e2,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":9007199254740992,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":true,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":{},\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},
    {"{\"id\":\"" SIXTY_FOUR "x\",\"method\":\"m\"}", RPC_INVALID_REQUEST, "null", NULL, NULL},

    {"{\"id\":5,\"method\":\"m\",\"params\":[]}", RPC_INVALID_PARAMS, "5", "m", NULL},
    {"{\"id\":5,\"method\":\"m\",\"params\":\"x\"}", RPC_INVALID_PARAMS, "5", "m", NULL},
    {"{\"method\":\"m\",\"params\":[]}", RPC_INVALID_PARAMS, NULL, "m", NULL},
};

static void
check_id(const struct rpc_id *id, const char *want)
{
	struct buf head = {0}, expected = {0};

	assert_true((id->kind == RPC_ID_NONE) == (want == NULL));
	if (want == NULL)
		return;
	rpc_put_head(&head, id);
	buf_printf(&expected, "{\"jsonrpc\":\"2.0\",\"id\":%s,", want);
	assert_true(slice_eq(buf_slice(&head), buf_slice(&expected)));
	buf_fini(&head);
	buf_fini(&expected);
}

static void
envelopes(void **state)
{
	struct buf scratch = {0};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		slice frame = slice_str(table[i].frame);
		char *copy = exact_copy(frame);
		struct rpc_request request;
		struct json_notes notes;

		buf_clear(&scratch);
		assert_int_equal(rpc_parse(slice_of(copy, frame.len), &scratch, &notes, &request),
		    table[i].result);
		check_id(&request.id, table[i].id);
		if (table[i].method != NULL)
			assert_true(slice_eq(request.method, slice_str(table[i].method)));
		assert_true(slice_given(request.params.text) == (table[i].params != NULL));
		assert_true(slice_eq(request.params.text, slice_str(table[i].params)));
		mem_free(copy);
	}
	buf_fini(&scratch);
}

static void
no_prefix_is_a_frame(void **state)
{
	struct buf scratch = {0};
	slice frame = slice_str(table[5].frame);

	(void)state;
	for (size_t len = 0; len < frame.len; len++) {
		char *copy = exact_copy(slice_of(frame.ptr, len));
		struct rpc_request request;
		struct json_notes notes;

		assert_int_equal(
		    rpc_parse(slice_of(copy, len), &scratch, &notes, &request), RPC_PARSE_ERROR);
		mem_free(copy);
	}
	buf_fini(&scratch);
}

/* The longest id in its longest form: 64 control characters, each written as six bytes. */
static void
longest_id(void **state)
{
	struct buf frame = {0}, scratch = {0}, head = {0};
	struct rpc_request request;
	struct json_notes notes;

	(void)state;
	buf_put(&frame, S("{\"method\":\"m\",\"id\":\""));
	for (int i = 0; i < RPC_ID_MAX; i++)
		buf_put(&frame, S("\\u0001"));
	buf_put(&frame, S("\"}"));
	assert_int_equal(rpc_parse(buf_slice(&frame), &scratch, &notes, &request), RPC_OK);
	assert_int_equal(request.id.len, RPC_ID_MAX);
	rpc_put_head(&head, &request.id);
	assert_int_equal(
	    buf_len(&head), strlen("{\"jsonrpc\":\"2.0\",\"id\":\"\",") + RPC_ID_MAX * 6);
	buf_fini(&frame);
	buf_fini(&scratch);
	buf_fini(&head);
}

/* What was decoded stays where it is while the rest of the frame is decoded. */
static void
scratch_holds_a_whole_frame(void **state)
{
	slice frame = S(
	    "{\"method\":\"\\u0061bc\",\"params\":{\"a\":\"\\n1\",\"b\":\"\\n2\",\"c\":[\"\\n3\"]},"
	    "\"id\":\"\\n4\"}");
	struct buf scratch = {0};
	struct rpc_request request;
	struct json_notes notes;
	struct json_iter it;
	struct json key, value;
	const char *memory;

	(void)state;
	assert_int_equal(rpc_parse(frame, &scratch, &notes, &request), RPC_OK);
	memory = scratch.bytes;
	json_iter_init(&it, request.params);
	while (json_next_member(&it, &key, &value))
		if (json_type(value) == JSON_STRING)
			assert_int_equal(json_string(value, &scratch).len, 2);
	assert_ptr_equal(scratch.bytes, memory);
	assert_true(slice_eq(request.method, S("abc")));
	buf_fini(&scratch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(envelopes),
	    cmocka_unit_test(no_prefix_is_a_frame),
	    cmocka_unit_test(longest_id),
	    cmocka_unit_test(scratch_holds_a_whole_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
