/* SPDX-License-Identifier: MIT */
#include "client/inbound.h"

static bool
is_a(struct json value, enum json_type type)
{
	return slice_given(value.text) && json_type(value) == type;
}

static struct json
member(struct json object, slice name)
{
	return is_a(object, JSON_OBJECT) ? json_member(object, name) : (struct json){0};
}

struct json
inbound_member(struct json object, slice name, enum json_type type)
{
	struct json value = member(object, name);

	return is_a(value, type) ? value : (struct json){0};
}

uint64_t
inbound_uint(struct json object, slice name, uint64_t otherwise)
{
	struct json value = member(object, name);
	int64_t number;

	if (!is_a(value, JSON_NUMBER) || !json_integer(value, &number) || number < 0)
		return otherwise;
	return (uint64_t)number;
}

slice
inbound_text(struct json object, slice name, struct buf *scratch)
{
	struct json value = member(object, name);

	return is_a(value, JSON_STRING) ? json_string(value, scratch) : SLICE_NONE;
}

bool
inbound_true(struct json object, slice name)
{
	return is_a(member(object, name), JSON_TRUE);
}

static void
parse_error(struct json error, struct buf *scratch, struct client_error *ret)
{
	struct json data = member(error, S("data")), code = member(error, S("code"));

	*ret = (struct client_error){
	    .name = inbound_text(data, S("name"), scratch),
	    .message = inbound_text(error, S("message"), scratch),
	    .param = inbound_text(data, S("param"), scratch),
	    .retry = inbound_true(data, S("retry")),
	    .retry_after_ms = inbound_uint(data, S("retry_after_ms"), 0),
	};
	if (!is_a(code, JSON_NUMBER) || !json_integer(code, &ret->code) || ret->code == 0)
		ret->code = -1;
	if (!slice_given(ret->name))
		ret->name = S("unknown");
}

bool
inbound_parse(slice line, struct buf *scratch, struct inbound *ret)
{
	struct inbound in = {0};
	struct json frame, error;

	/* Each string is decoded at most once while the line is handled, so that nothing moves. */
	buf_clear(scratch);
	(void)buf_reserve(scratch, line.len + 1);
	if (!json_check(line, &frame) || json_type(frame) != JSON_OBJECT)
		return false;
	in.method = inbound_text(frame, S("method"), scratch);
	if (slice_given(in.method)) {
		in.kind = INBOUND_NOTICE;
		in.params = member(frame, S("params"));
		*ret = in;
		return is_a(in.params, JSON_OBJECT);
	}
	in.id = inbound_uint(frame, S("id"), 0);
	in.result = member(frame, S("result"));
	error = member(frame, S("error"));
	if (is_a(error, JSON_OBJECT)) {
		in.kind = INBOUND_ERROR;
		parse_error(error, scratch, &in.error);
	} else if (!slice_given(in.result.text)) {
		return false;
	}
	*ret = in;
	return true;
}

bool
inbound_entry(struct json params, struct buf *scratch, struct client_entry *ret)
{
	struct client_entry e = {
	    .cid = inbound_uint(params, S("cid"), 0),
	    .seq = inbound_uint(params, S("seq"), 0),
	    .ts_ms = inbound_uint(params, S("ts"), 0),
	    .from = inbound_text(params, S("from"), scratch),
	    .kind = inbound_text(params, S("kind"), scratch),
	    .body = inbound_text(params, S("body"), scratch),
	    .cmid = inbound_text(params, S("cmid"), scratch),
	    .data = member(params, S("data")),
	    .re = inbound_uint(params, S("re"), 0),
	    .edited = inbound_uint(params, S("edited"), 0),
	    .deleted = inbound_uint(params, S("deleted"), 0),
	    .raw = params,
	};
	struct json to = member(params, S("to"));

	e.to = is_a(to, JSON_STRING) ? json_string(to, scratch) : to.text;
	*ret = e;
	return e.cid != 0 && e.seq != 0 && slice_given(e.from) && slice_given(e.kind);
}

bool
inbound_conversation(struct json object, struct buf *scratch, struct client_conversation *ret)
{
	*ret = (struct client_conversation){
	    .cid = inbound_uint(object, S("cid"), 0),
	    .min_seq = inbound_uint(object, S("min_seq"), 1),
	    .next = inbound_uint(object, S("next"), 0),
	    .head = inbound_uint(object, S("head"), 0),
	    .ts_ms = inbound_uint(object, S("ts"), 0),
	    .read = inbound_uint(object, S("read"), 0),
	    .delivered = inbound_uint(object, S("delivered"), 0),
	    .unread = inbound_uint(object, S("unread"), 0),
	    .change = inbound_text(object, S("change"), scratch),
	    .kind = inbound_text(object, S("kind"), scratch),
	    .title = inbound_text(object, S("title"), scratch),
	    .handle = inbound_text(object, S("handle"), scratch),
	    .peer = inbound_text(object, S("peer"), scratch),
	    .role = inbound_text(object, S("role"), scratch),
	    .raw = object,
	};
	return ret->cid != 0;
}
