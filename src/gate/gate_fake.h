/* SPDX-License-Identifier: MIT */
/*
 * For the tests of this folder: a connection without a socket and a chat that notes what it is
 * told.  What the gate calls of net/net.h and chat/api.h is defined in gate_fake.c.
 */
#ifndef GATE_FAKE_H
#define GATE_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "gate/gate.h"

struct reactor {
	uint64_t now_ms;
};

struct conn {
	uint64_t id;
	struct reactor *reactor;
	const struct conn_ops *ops;
	void *cookie;
	struct listener *listener;
	struct sockaddr_storage address;
	struct buf in, out;
	size_t stuck; /* bytes that wait beside those of out */
	uint64_t deadline_ms, last_input_ms;
	bool tls, paused, offer, want_drained, closing, finishing;
	enum close_reason reason;
};

struct listener {
	struct listener_options options;
};

struct peer {
	void *out;
	unsigned form, drained;
	bool logged_in, revoked;
	char ip[64];
	uint64_t source;
};

enum { FAKE_PENDING = 128 };

/* One world a test: a gate, a listener, the last connection and what the chat was told. */
struct world {
	struct reactor reactor;
	struct listener listener;
	struct gate *gate;
	struct gate *gates[1];
	struct gate_config config;
	struct chat_out chat_out;
	struct conn *conn; /* owned */
	struct peer *peer; /* of conn; NULL until there is one */
	struct buf told; /* a line a command */
	struct call_tag pending[FAKE_PENDING];
	size_t pending_count;
	bool auto_answer; /* with EMPTY, inside the call */
	bool ready;
	const char *why;
	uint32_t wait_ms; /* not 0: whoever is not exempt is refused by rate */
	uint64_t spent; /* the costs that were asked for */
	unsigned room; /* for so many to log in */
	uint64_t dialled; /* connections so far */
};

extern struct world world;

void world_begin(void);
void world_end(void);
/* A connection from that address; the last one is closed first. */
void dial(const char *address);
/* Bytes arrive; what was left over is offered with them. */
void feed(slice bytes);
void feed_text(const char *text);
/* A connection that speaks lines and is logged in. */
void dial_logged_in(void);
/* The end of a turn. */
void turn(void);
/* The peer ends its sending side. */
void feed_eof(void);
/* Everything queued was written; fires drained if that was wanted. */
void drain(void);
/* The clock moves on, and the deadline fires if it has come. */
void pass_ms(uint64_t ms);

/* What was written since the last take, terminated; the caller frees it. */
char *take_out(void);
/* The next line of what was written as JSON; the caller decrefs. */
json_t *take_line(void);
void expect_silence(void);
/* What the chat was told since the last take, without the last line's end; the caller frees it. */
char *take_told(void);
void expect_told(const char *text);
/* The next line is an error of that name; param NULL and max 0: none. */
void expect_error(const char *id, const char *name, const char *param, uint64_t max);
/* The next line is a result with that id. */
void expect_result(const char *id);

/* Answers the request at `index` of those pending. */
size_t answer_pending(size_t index, const struct answer *answer);
void answer_empty(void);

#endif
