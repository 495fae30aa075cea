/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share: the gate of a reactor and its state of one connection.
 *
 *   gate.c     makes sessions, finds out what they speak, ends them; the way out of the shard
 *   admit.c    caps and rates
 *   line.c     who waits until there is room to log in
 *   confab.c   frames and requests of the confab protocol, over lines and over WebSocket
 *   method.c   the table of methods
 *   web.c      HTTP, and the upgrade to WebSocket
 *   decode.c, encode.c, cidr.c   pure functions
 */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

#include "base/panic.h"
#include "gate/decode.h"
#include "gate/gate.h"
#include "wire/rpc.h"
#include "wire/ws.h"

enum { FORM_LINES, FORM_WS };

enum phase {
	PHASE_PROXY, /* a PROXY header comes first */
	PHASE_DETECT, /* the first bytes decide */
	PHASE_LINES,
	PHASE_WS,
	PHASE_HTTP,
};

/* Kept small: an idle connection costs this, and net's and chat's share. */
struct session {
	uint32_t magic;
	uint8_t phase; /* enum phase */
	uint8_t parse_errors;
	uint8_t in_flight; /* weight of the requests that wait for an answer */
	bool blocked : 1; /* by a request that is finished before the next is looked at */
	bool out_full : 1; /* drained is to come before more is read */
	bool leaving : 1; /* nothing more is read; closed when all is answered */
	bool finishing : 1; /* nothing more is read or written */
	bool paused : 1;
	bool in_input : 1; /* input is being worked on: who called will settle */
	bool counted : 1; /* counts among the connections of its address */
	bool held : 1; /* nothing is read until the deadline: it was refused too often */
	uint8_t refused; /* requests in a row, by rate limits */
	uint8_t revision; /* of the configuration that its address was looked at under */
	uint16_t sends_from; /* not 0: sends are refused until then, in ticks of admit.c */
	uint16_t close_code; /* of WebSocket, for the end of a session that is leaving */
	uint8_t close_reason; /* enum close_reason, for the same */
	bool waiting : 1; /* in the gate's line: not read until there is room to log in */
	bool called : 1; /* out of that line: its next request is looked at */
	struct gate *gate; /* borrowed */
	struct conn *conn; /* borrowed; its cookie is the session */
	struct peer *peer; /* owned; NULL until confab is spoken */
	struct ws_decoder *decoder; /* owned; only inside a fragmented message */
	uint64_t since_ms; /* a login is waited for since then; over HTTP a request */
};
static_assert(sizeof(struct session) <= 96, "the memory of an idle connection is a budget");

/*
 * Who waits until there is room to log in, by the connections' ids, first come first served: a ring that grows,
 * at most to about twice the connections, since those that are gone are sorted out before it does.
 */
struct line {
	uint64_t *ids; /* owned */
	uint32_t at, count, capacity; /* capacity: 0 or a power of two */
};

struct gate {
	uint32_t magic;
	struct reactor *reactor;
	struct shard *shard; /* borrowed */
	struct gate_config config;
	struct decoder decoder;
	uint32_t goaway_ms; /* not 0: the server goes */
	uint8_t revision; /* of the configuration; not 0 */
	struct buf out; /* one frame, or some entries, on the way out */
	struct line line;
};

/* --- gate.c --- */

/* Whether another request may be looked at now. */
bool session_may_read(struct session *s);
/* After anything that may let it read on, or end it.  Does nothing inside its input. */
void session_settle(struct session *s);
/*
 * From now on the time runs that its state allows: for a login (over HTTP, for a request), or to be silent
 * once it is logged in.
 */
void session_await(struct session *s);
/* Confab is spoken from here on: the chat gets a peer. */
void session_meet(struct session *s, enum phase phase);
/* Reads no more; ends with that code and reason once all requests in flight are answered. */
void session_leave(struct session *s, uint16_t close_code, enum close_reason reason);
/* Reads no more and writes no more than what is queued; over WebSocket a close frame (code 0:
 * without one). */
void session_finish(struct session *s, uint16_t close_code, enum close_reason reason);
void session_goaway(struct session *s, enum goaway reason, uint32_t reconnect_ms);
/*
 * A frame on the way out: begin, append one JSON object to what it returns, end.  The form's header
 * or line's end goes around it.  One at a time.
 */
struct buf *session_frame(struct session *s);
void session_send_frame(struct session *s);

/* --- admit.c --- */

/* Its address is known.  False: it may not come in, and is closed. */
bool session_admit(struct session *s);
/* It is over. */
void session_dismiss(struct session *s);
/*
 * A request of that weight and length is to be carried out.  ERR_OK, or RATE_LIMITED.  in_order: when one
 * is refused, those behind it are too, until the client can have heard of it.
 */
struct fault session_spend(struct session *s, unsigned weight, size_t bytes, bool in_order);

/* --- line.c --- */

/*
 * Whether its next request may be looked at: once it is logged in always, before that if there is room.  If not
 * it waits in line and isn't read meanwhile.
 */
bool session_may_enter(struct session *s);
/* It is over. */
void session_leave_line(struct session *s);

/* --- confab.c --- */

size_t confab_input_lines(struct session *s, char *bytes, size_t len);
size_t confab_input_ws(struct session *s, char *bytes, size_t len);
/* One frame's text: a request, or what is not one. */
void confab_frame(struct session *s, slice frame);
/* The shard's answer to one of its requests; tags are made and read here only. */
void confab_answer(
    struct session *s, const struct call_tag *tag, const struct answer *answer, size_t *ret_used);
void confab_fault(struct session *s, const struct rpc_id *id, const struct fault *fault);
/* Which enum encode_flags the answer is to be encoded with. */
void confab_tag_flags(struct call_tag *tag, unsigned flags);

/* --- method.c --- */

enum need { NEED_NOTHING, NEED_NO_SESSION, NEED_SESSION };

struct call {
	struct session *session;
	struct call_tag tag;
	const struct rpc_id *id;
	struct value v[PARAMS_MAX]; /* by the order of the method's table */
	struct json params;
	struct fault fault; /* what decoding found */
};

struct method {
	const char *name;
	size_t name_len;
	enum need need;
	bool blocking; /* finished before the server looks at what follows */
	bool ends; /* the connection is closed after it */
	bool keeps_fault; /* run() is called with call->fault set too */
	uint8_t weight;
	const struct param *params;
	/* Hands the command to the chat, or returns why not. */
	struct fault (*run)(struct call *call);
};

/* NULL if there is none of that name. */
const struct method *method_find(slice name);
unsigned method_index(const struct method *method);
const struct method *method_at(unsigned index);

/* --- web.c --- */

size_t web_input(struct session *s, char *bytes, size_t len);

#endif
