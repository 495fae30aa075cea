/* SPDX-License-Identifier: MIT */
/*
 * Answers and events as JSON-RPC objects, appended to a buffer without a line's end or a frame's
 * header. Pure functions.
 */
#ifndef GATE_ENCODE_H
#define GATE_ENCODE_H

#include "base/buf.h"
#include "gate/gate.h"
#include "wire/rpc.h"

enum encode_flags {
	ENCODE_OLDEST =
	    1, /* of a history that does not fit the oldest entries stay, not the newest */
};

/* trace: what the log calls a fault of the server, or NULL. */
void encode_fault(
    struct buf *to, const struct rpc_id *id, const struct fault *fault, const char *trace);
/*
 * Any answer but a fault, at most LIMIT_ANSWER_BYTES: a list that would be longer ends early.
 * *ret_used is how many conversations went into a sync's list, otherwise 0.
 */
void encode_answer(struct buf *to, const struct rpc_id *id, const struct gate_config *config,
    const struct answer *answer, unsigned flags, size_t *ret_used);
void encode_hello(struct buf *to, const struct rpc_id *id, const struct gate_config *config);
void encode_pong(struct buf *to, const struct rpc_id *id, uint64_t ts);
void encode_event(struct buf *to, const struct event *event);
/* The `message` notification of an entry. */
void encode_entry(
    struct buf *to, uint64_t cid, const struct conv_facts *facts, const struct entry *entry);
void encode_goaway(struct buf *to, enum goaway reason, uint32_t reconnect_ms);

#endif
