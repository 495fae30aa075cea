/* SPDX-License-Identifier: MIT */
/* The JSON-RPC 2.0 envelope of a request, as the protocol narrows it. */
#ifndef WIRE_RPC_H
#define WIRE_RPC_H

#include "base/slice.h"
#include "wire/json.h"

enum { RPC_ID_MAX = 64 };

enum rpc_id_kind { RPC_ID_NONE, RPC_ID_INTEGER, RPC_ID_STRING, RPC_ID_NULL };

/* A request's id by value, to be echoed. */
struct rpc_id {
	uint8_t
	    kind; /* enum rpc_id_kind; NONE: not to be answered; NULL: answered with "id":null */
	uint8_t len;
	char text[RPC_ID_MAX]; /* decoded string */
	int64_t integer;
};

enum rpc_result { RPC_OK, RPC_PARSE_ERROR, RPC_INVALID_REQUEST, RPC_INVALID_PARAMS };

struct rpc_request {
	struct rpc_id id;
	slice method;
	struct json params; /* an object, or absent */
};

/*
 * Reads one frame.  scratch gets room for every string of the frame to be decoded once; the method may be
 * in it.  params of null count as left out.  On RPC_INVALID_REQUEST and RPC_INVALID_PARAMS the id is set as far as it could be told
 * (RPC_ID_NULL otherwise), so that the error can be answered; on RPC_PARSE_ERROR it is RPC_ID_NULL.  A
 * frame whose id is absent but otherwise valid has RPC_ID_NONE, also with RPC_INVALID_PARAMS: it is a request
 * that wants no answer.  The notes must live as long as the params.
 */
enum rpc_result rpc_parse(
    slice frame, struct buf *scratch, struct json_notes *notes, struct rpc_request *ret_request);

/* `{"jsonrpc":"2.0","id":…,` : then comes "result":… or "error":… and `}`. */
void rpc_put_head(struct buf *to, const struct rpc_id *id);

#endif
