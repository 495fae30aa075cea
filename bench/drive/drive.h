/* SPDX-License-Identifier: MIT */
/*
 * One generator for confabd, the floors and the peers, so that all are read by the same hand.
 *
 *	main ── scenario ── client (connections, one epoll set) ── carrier (TCP, WebSocket, TLS)
 *	            │            └ protocol (confab, floor, redis, nats, mqtt, irc, xmpp): bytes to messages
 *	            └ mark (the server's CPU, time, latencies)
 *
 * Every message is checked for its place and content when it comes; the first that is wrong ends the run.  One
 * thread; what is here belongs to the whole run.
 */
#ifndef BENCH_DRIVE_DRIVE_H
#define BENCH_DRIVE_DRIVE_H

#include <stdint.h>

#include "base/buf.h"

enum { BODY_BYTES = 200, TEXT_HEAD = 12, CLIENTS_MAX = 20000, PORTS_MAX = 16 };
/* In ns: a server that is silent for so long has lost something. */
#define PATIENCE 30000000000ULL

struct protocol;
struct ssl_st;

struct user {
	char name[40], token[64];
};

struct client {
	int fd;
	struct ssl_st *tls; /* owned, of the TLS carrier only */
	struct buf raw,
	    wire; /* of the WebSocket carrier: frames that came in part, frames to be sent */
	struct buf in, out; /* of the protocol: a unit that came in part, what is to be sent */
	uint64_t next;      /* the number that the next message must have; 0: any */
	uint64_t sent, answers, received;
	unsigned stage; /* how far the protocol's login is */
};

/* What the command line said, as main.c reads it. */
struct order {
	const char *style, *carrier, *tokens, *group, *port, *pid;
	uint64_t members, burst, rounds, pairs, spread, window, messages, rate, senders, users,
	    resumes, frame, at_once, apart;
};

struct protocol {
	const char *name;
	/* The author gets nothing back and is a further connection. */
	bool author_apart;
	/* Begins the login of client `number`; login_done() when the server has said that it is complete. */
	void (*hello)(struct client *c, size_t number);
	/* Takes whole units of what came; returns how many bytes they were. */
	size_t (*take)(struct client *c, const char *bytes, size_t len);
	/* Queues one message to the whole group. */
	void (*say_to_all)(struct client *c);
};

extern const struct protocol protocol_confab, protocol_floor, protocol_redis, protocol_nats,
    protocol_mqtt0, protocol_mqtt1, protocol_irc, protocol_xmpp;

extern struct order order;
extern const struct protocol *protocol;
extern struct user *users;
extern size_t user_count;
extern struct client *clients;
extern size_t client_count;
extern uint64_t answers, deliveries, logins, closed, bytes_in;
extern bool in_order;  /* messages to one connection are numbered without a hole */
extern bool with_sync; /* confab: a login asks for the stream */
extern char body[BODY_BYTES + 1];

/* --- client.c --- */

void clients_init(void);
void client_connect(struct client *c);
void client_flush(struct client *c);
/* Ends the connection from here; the slot can be connected again. */
void client_close(struct client *c);
/* Connects and logs in until there are `count`. */
void clients_open(size_t count);
/* Waits for input once, at most so long; each client that got some is handed to `then`, unless it is NULL. */
void clients_turn(void (*then)(struct client *c), uint64_t patience_ns);

/* For protocols: what they found. */
void login_done(void);
/* Number n of that connection is answered; that connection got its n-th message. */
void took_answer(struct client *c, uint64_t number);
void took_delivery(struct client *c, uint64_t number);
void took_message(struct client *c, uint64_t number, const char *text, size_t len);
/* A message that begins with its number: text_print()'s, `len` bytes long. */
void took_text(struct client *c, const char *text, size_t len);
/* The next number of that author, and the rest as `x`; `len` bytes, at most BODY_BYTES. */
void text_print(struct client *c, char ret_text[BODY_BYTES + 1], size_t len);
/* Splits into lines, hands them on without their end, \n or \r\n; returns how many bytes they were. */
size_t lines_take(struct client *c, const char *bytes, size_t len,
    void (*line)(struct client *c, const char *line, size_t len));
/* The number behind key, which must be in the line; where it stands. */
uint64_t number_after(const char *line, size_t len, const char *key, const char **ret_at);

/* confab only: `to` is JSON; the cmid is time-ordered and unique in this run. */
void confab_say(struct client *c, const char *to);

/* --- scenario.c, direct.c --- */

void scenario_fanout(void);
void scenario_direct(void);
void scenario_ingest(void);
void scenario_resume(void);
void scenario_idle(void);

#endif
