/* SPDX-License-Identifier: MIT */
/*
 * The confab protocol on one connection, the same over lines and over WebSocket: bytes are cut into
 * frames here and in one place only, a frame is a request, and a request is in flight until it is
 * answered.
 *
 *   input -> frame -> request -> method table -> chat … answer -> frame
 */
#include "gate/session.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/secret.h"
#include "base/stat.h"
#include "gate/encode.h"
#include "wire/lines.h"
#include "wire/rpc.h"

enum { WS_CLOSE_TOO_LARGE = 1009, WS_CLOSE_NO_CODE = 1005, WS_CLOSE_ENDED = 1000 };

/* --- Tags: what a request's answer needs to know of it, by value --- */

struct tag {
	uint8_t id_kind, id_len, method, flags;
	union {
		int64_t integer;
		char text[RPC_ID_MAX];
	};
};
static_assert(sizeof(struct tag) <= sizeof(struct call_tag), "a tag travels in the chat's");

static void
tag_pack(struct call_tag *to, const struct rpc_id *id, const struct method *method)
{
	struct tag tag = {
	    .id_kind = id->kind, .id_len = id->len, .method = (uint8_t)method_index(method)};

	if (id->kind == RPC_ID_STRING)
		memcpy(tag.text, id->text, id->len);
	else
		tag.integer = id->integer;
	memcpy(to->bytes, &tag, sizeof(tag));
}

static const struct method *
tag_unpack(const struct call_tag *from, struct rpc_id *ret_id, unsigned *ret_flags)
{
	struct tag tag;

	memcpy(&tag, from->bytes, sizeof(tag));
	*ret_id = (struct rpc_id){.kind = tag.id_kind, .len = tag.id_len};
	if (tag.id_kind == RPC_ID_STRING)
		memcpy(ret_id->text, tag.text, tag.id_len);
	else
		ret_id->integer = tag.integer;
	*ret_flags = tag.flags;
	return method_at(tag.method);
}

void
confab_tag_flags(struct call_tag *tag, unsigned flags)
{
	tag->bytes[offsetof(struct tag, flags)] = (uint8_t)flags;
}

/* --- Answers --- */

/* A fault of the server is told by a name that the log has too. */
static const char *
note_internal(const struct session *s, const struct fault *fault, char ret_trace[17])
{
	uint64_t id;

	if (fault->err != ERR_INTERNAL)
		return NULL;
	random_bytes(&id, sizeof(id));
	snprintf(ret_trace, 17, "%016" PRIx64, id);
	log_error("gate", "internal", "conn=%" PRIx64 " trace=%s", conn_id(s->conn), ret_trace);
	return ret_trace;
}

void
confab_fault(struct session *s, const struct rpc_id *id, const struct fault *fault)
{
	char trace[17];
	const char *noted = note_internal(s, fault, trace);

	stat_error(fault->err);
	if (id->kind == RPC_ID_NONE || s->finishing)
		return;
	encode_fault(session_frame(s), id, fault, noted);
	session_send_frame(s);
}

static void
write_answer(struct session *s, const struct rpc_id *id, const struct answer *answer,
    unsigned flags, size_t *ret_used)
{
	*ret_used = 0;
	if (answer->kind == ANSWER_FAULT) {
		confab_fault(s, id, &answer->fault);
		return;
	}
	if (id->kind == RPC_ID_NONE || s->finishing)
		return;
	encode_answer(session_frame(s), id, &s->gate->config, answer, flags, ret_used);
	session_send_frame(s);
}

void
confab_answer(
    struct session *s, const struct call_tag *tag, const struct answer *answer, size_t *ret_used)
{
	struct rpc_id id;
	unsigned flags;
	const struct method *method = tag_unpack(tag, &id, &flags);

	write_answer(s, &id, answer, flags, ret_used);
	assert(s->in_flight >= method->weight);
	s->in_flight = (uint8_t)(s->in_flight - method->weight);
	if (method->blocking)
		s->blocked = false;
	if (method->need == NEED_NO_SESSION)
		session_await(s); /* who failed gets as long again */
	if (method->ends && answer->kind != ANSWER_FAULT)
		session_leave(s, WS_CLOSE_ENDED, CLOSE_DONE);
	session_settle(s);
}

/* --- Requests --- */

/* Whether the connection may call this now. */
static enum err
may_call(const struct session *s, const struct method *method)
{
	if (method->need == NEED_NOTHING)
		return ERR_OK;
	if (peer_revoked(s->peer))
		return ERR_SESSION_REVOKED;
	if (method->need == NEED_SESSION)
		return peer_logged_in(s->peer) ? ERR_OK : ERR_NOT_LOGGED_IN;
	if (listener_options(conn_listener(s->conn))->tls_only && !conn_is_tls(s->conn))
		return ERR_FORBIDDEN;
	return peer_logged_in(s->peer) ? ERR_ALREADY_LOGGED_IN : ERR_OK;
}

static void
run(struct session *s, const struct method *method, const struct rpc_request *request,
    const struct fault *limited)
{
	struct call call; /* large: what is not written below is not read */
	struct fault fault;
	size_t used;

	call.session = s;
	call.id = &request->id;
	call.params = request->params;
	call.fault = decode_params(&s->gate->decoder, method->params, request->params, call.v);
	if (limited->err != ERR_OK)
		call.fault = *limited;
	fault = call.fault;
	tag_pack(&call.tag, &request->id, method);
	s->in_flight = (uint8_t)(s->in_flight + method->weight);
	s->blocked = method->blocking;
	if (fault.err == ERR_OK || method->keeps_fault)
		fault = method->run(&call);
	if (fault.err != ERR_OK)
		confab_answer(
		    s, &call.tag, &(struct answer){.kind = ANSWER_FAULT, .fault = fault}, &used);
}

static void
call_method(struct session *s, const struct rpc_request *request, size_t bytes)
{
	const struct method *method = method_find(request->method);
	struct fault limited = session_spend(
	    s, method != NULL ? method->weight : 0, bytes, method != NULL && method->keeps_fault);
	struct fault fault = {.err = ERR_UNKNOWN_METHOD};

	if (method != NULL)
		fault.err = may_call(s, method);
	if (fault.err == ERR_OK && (limited.err == ERR_OK || method->keeps_fault))
		run(s, method, request, &limited);
	else
		confab_fault(s, &request->id, limited.err != ERR_OK ? &limited : &fault);
}

static void
count_parse_error(struct session *s)
{
	if (++s->parse_errors == LIMIT_PARSE_ERRORS)
		session_goaway(s, GOAWAY_ERRORS, 0);
}

static bool
is_blank(slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != ' ' && text.ptr[i] != '\t' && text.ptr[i] != '\r' &&
		    text.ptr[i] != '\n')
			return false;
	return true;
}

void
confab_frame(struct session *s, slice frame)
{
	static const enum err errors[] = {
	    [RPC_PARSE_ERROR] = ERR_PARSE_ERROR,
	    [RPC_INVALID_REQUEST] = ERR_INVALID_REQUEST,
	    [RPC_INVALID_PARAMS] = ERR_INVALID_PARAMS,
	};
	struct json_notes notes;
	struct rpc_request request;
	struct fault fault;
	enum rpc_result result;

	if (is_blank(frame))
		return;
	stat_add(STAT_FRAMES_IN, 1);
	decode_begin(&s->gate->decoder, frame.len);
	result = rpc_parse(frame, &s->gate->decoder.scratch, &notes, &request);
	if (result == RPC_OK) {
		call_method(s, &request, frame.len);
		return;
	}
	fault = session_spend(s, 0, frame.len, false);
	if (fault.err == ERR_OK || result == RPC_PARSE_ERROR)
		fault = (struct fault){.err = errors[result]};
	confab_fault(s, &request.id, &fault);
	if (result == RPC_PARSE_ERROR)
		count_parse_error(s);
}

/* --- Frames --- */

static size_t
frame_max(const struct session *s)
{
	return peer_logged_in(s->peer) ? LIMIT_FRAME_BYTES : LIMIT_FRAME_BEFORE_LOGIN_BYTES;
}

static void
refuse_large(struct session *s)
{
	static const struct rpc_id null = {.kind = RPC_ID_NULL};

	confab_fault(s, &null, &(struct fault){.err = ERR_TOO_LARGE, .max = frame_max(s)});
	session_finish(s, WS_CLOSE_TOO_LARGE, CLOSE_TOO_LARGE);
}

size_t
confab_input_lines(struct session *s, char *bytes, size_t len)
{
	size_t used = 0;

	while (used < len && session_may_read(s) && session_may_enter(s)) {
		slice line;
		int n = lines_next(slice_of(bytes + used, len - used), frame_max(s), &line);
		if (n == 0)
			break;
		if (n < 0) {
			refuse_large(s);
			return len;
		}
		used += (size_t)n;
		confab_frame(s, line);
	}
	return s->finishing ? len : used;
}

static void
take_unit(struct session *s, const struct ws_unit *unit)
{
	switch (unit->kind) {
	case WS_MESSAGE:
		confab_frame(s, unit->payload);
		break;
	case WS_PING: {
		struct buf *out = &s->gate->out;
		if (session_spend(s, 0, 0, false).err != ERR_OK)
			break;
		buf_clear(out);
		ws_put_frame(out, WS_OP_PONG, unit->payload);
		conn_write(s->conn, buf_slice(out));
		buf_clear(out);
		break;
	}
	case WS_PONG:
		break;
	case WS_CLOSE:
		/* As with a half-closed socket, what was asked is answered first. */
		session_leave(
		    s, unit->close_code == WS_CLOSE_NO_CODE ? 0 : unit->close_code, CLOSE_PEER);
		break;
	case WS_FAIL:
		if (unit->close_code == WS_CLOSE_TOO_LARGE)
			refuse_large(s);
		else
			session_finish(s, unit->close_code, CLOSE_PROTOCOL);
		break;
	}
}

/* A decoder is kept only while a fragmented message is under way. */
static void
keep_decoder(struct session *s, struct ws_decoder *used)
{
	if (used->in_message && s->decoder == NULL) {
		s->decoder = mem_alloc(sizeof(*s->decoder));
		*s->decoder = *used;
	} else if (!used->in_message) {
		ws_decoder_fini(used);
		mem_free(s->decoder);
		s->decoder = NULL;
	}
}

size_t
confab_input_ws(struct session *s, char *bytes, size_t len)
{
	struct ws_decoder fresh = {0};
	struct ws_decoder *decoder = s->decoder != NULL ? s->decoder : &fresh;
	size_t used = 0;

	while (used < len && session_may_read(s) && session_may_enter(s)) {
		struct ws_unit unit;
		bool has_unit;
		size_t n =
		    ws_next(decoder, bytes + used, len - used, frame_max(s), &has_unit, &unit);
		if (n == 0 && !has_unit)
			break;
		used += n;
		if (has_unit)
			take_unit(s, &unit);
	}
	keep_decoder(s, decoder);
	return s->finishing || s->leaving ? len : used;
}
