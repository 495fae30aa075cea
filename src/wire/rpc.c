/* SPDX-License-Identifier: MIT */
#include "wire/rpc.h"

#include "base/panic.h"

/* The members of the envelope as they were found, of several the last. */
struct envelope {
	struct json jsonrpc, id, method, params;
};

static void
envelope_read(struct json frame, struct envelope *ret_envelope)
{
	struct {
		slice name;
		struct json *member;
	} known[] = {
	    {S("jsonrpc"), &ret_envelope->jsonrpc},
	    {S("id"), &ret_envelope->id},
	    {S("method"), &ret_envelope->method},
	    {S("params"), &ret_envelope->params},
	};
	struct json key, value;
	struct json_iter it;

	*ret_envelope = (struct envelope){0};
	json_iter_init(&it, frame);
	while (json_next_member(&it, &key, &value))
		for (size_t i = 0; i < LEN(known); i++)
			if (json_string_is(key, known[i].name))
				*known[i].member = value;
}

static bool
is_type(struct json value, enum json_type type)
{
	return slice_given(value.text) && json_type(value) == type;
}

/* False if it is an id that can't be echoed. */
static bool
id_read(struct json value, struct buf *scratch, struct rpc_id *ret_id)
{
	size_t end = scratch->end;
	slice text;

	if (!slice_given(value.text)) {
		ret_id->kind = RPC_ID_NONE;
		return true;
	}
	ret_id->kind = RPC_ID_NULL;
	if (json_type(value) == JSON_NUMBER && json_integer(value, &ret_id->integer)) {
		ret_id->kind = RPC_ID_INTEGER;
		return true;
	}
	/* The longest escape, \uXXXX, makes a byte out of six. */
	if (json_type(value) != JSON_STRING || value.text.len > RPC_ID_MAX * 6 + 2)
		return false;
	text = json_string(value, scratch);
	if (text.len <= RPC_ID_MAX) {
		ret_id->kind = RPC_ID_STRING;
		ret_id->len = (uint8_t)text.len;
		memcpy(ret_id->text, text.ptr, text.len);
	}
	scratch->end = end;
	return ret_id->kind == RPC_ID_STRING;
}

enum rpc_result
rpc_parse(
    slice frame, struct buf *scratch, struct json_notes *notes, struct rpc_request *ret_request)
{
	struct rpc_request *r = ret_request;
	struct envelope envelope;
	struct json value;

	*r = (struct rpc_request){.id = {.kind = RPC_ID_NULL}};
	if (!json_check_noting(frame, &value, notes))
		return RPC_PARSE_ERROR;
	if (json_type(value) != JSON_OBJECT)
		return RPC_INVALID_REQUEST;
	if (!value.plain)
		(void)buf_reserve(scratch, frame.len);
	envelope_read(value, &envelope);
	if (!id_read(envelope.id, scratch, &r->id))
		return RPC_INVALID_REQUEST;
	if (!is_type(envelope.method, JSON_STRING) ||
	    (slice_given(envelope.jsonrpc.text) &&
		!(is_type(envelope.jsonrpc, JSON_STRING) &&
		    json_string_is(envelope.jsonrpc, S("2.0"))))) {
		if (r->id.kind == RPC_ID_NONE)
			r->id.kind = RPC_ID_NULL;
		return RPC_INVALID_REQUEST;
	}
	r->method = json_string(envelope.method, scratch);
	if (slice_given(envelope.params.text) && json_type(envelope.params) != JSON_NULL) {
		if (json_type(envelope.params) != JSON_OBJECT)
			return RPC_INVALID_PARAMS;
		r->params = envelope.params;
	}
	return RPC_OK;
}

void
rpc_put_head(struct buf *to, const struct rpc_id *id)
{
	assert(id->kind != RPC_ID_NONE);
	buf_put(to, S("{\"jsonrpc\":\"2.0\",\"id\":"));
	if (id->kind == RPC_ID_INTEGER)
		json_put_int(to, id->integer);
	else if (id->kind == RPC_ID_STRING)
		json_put_string(to, slice_of(id->text, id->len));
	else
		buf_put(to, S("null"));
	buf_append(to, ",", 1);
}
