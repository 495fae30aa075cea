/* SPDX-License-Identifier: MIT */
/*
 * A gate is where protocols meet the chat on one reactor: it finds out what a connection speaks (wire/detect.h),
 * decodes requests into commands (chat/api.h) and encodes answers and events.  Only this folder knows both
 * protocol words and chat words.  One gate a reactor; all on its thread.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include "chat/api.h"
#include "net/net.h"

struct buf;
struct gate;
struct quota_table;

enum {
	LIMIT_LINE_MS = 10 * 1000,	/* nobody waits longer for room to log in */
	LIMIT_FRAME_BYTES = 64 * 1024,
	LIMIT_FRAME_BEFORE_LOGIN_BYTES = 4 * 1024,
	LIMIT_ANSWER_BYTES = 256 * 1024,
	LIMIT_IN_FLIGHT = 64,		/* requests of one connection, by weight */
	LIMIT_PARSE_ERRORS = 10,
};

struct gate_config {
	const char *node, *version;	/* borrowed for the gate's life */
	const char *durability;		/* "local", "replicated", "relaxed" */
	uint32_t idle_ms, login_ms;	/* 75,000 and 30,000 */
	uint32_t body, data, signal_data, conversations, groups, members, contacts, sessions, connections;
	bool registration_open, directory_open;
	const char *const *origins;	/* allowed beside the host itself; NULL-terminated; may be NULL */
	const char *const *proxies;	/* addresses or CIDR blocks that PROXY headers may come from; NULL-terminated */
	const char *const *exempt;	/* the same for those without rate limits and caps by address */
	uint32_t connections_per_address; /* 0: any number */
	struct quota_table *quota;	/* of all gates; borrowed; NULL: not counted */
	const char *const *monitors;	/* the same for /metrics and readyz's reason; loopback is always allowed */
	/* What HTTP answers with; any reactor's thread. */
	void (*metrics)(void *cookie, struct buf *to);
	bool (*ready)(void *cookie, const char **ret_why);
	void *cookie;
};

struct gate *gate_create(struct reactor *reactor, const struct gate_config *config);
void gate_destroy(struct gate **gate);
/* The way out of the shard that this gate serves. */
void gate_chat_out(struct gate *gate, struct chat_out *ret_out);
/* Before the first connection. */
void gate_set_shard(struct gate *gate, struct shard *shard);
/* Takes over a changed configuration; the old one may be freed afterwards. */
void gate_set_config(struct gate *gate, const struct gate_config *config);
/* The server goes: who begins to speak confab from now on is told to come back later, or elsewhere. */
void gate_goaway(struct gate *gate, uint32_t reconnect_ms);
/*
 * At a turn's end: reads on as many of those who wait to log in as there is room for.  It is work that takes room,
 * not a connection: who is read and asks for nothing takes none.  True if more are to be read at once.
 */
bool gate_turn(struct gate *gate);
/* For listener_open(): the listener's cookie is the array of gates, by reactor index. */
void gate_opened(struct conn *conn);
/* Names and codes of enum err, for the metrics. */
const char *gate_error_name(enum err err);

#endif
