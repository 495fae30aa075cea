/* SPDX-License-Identifier: MIT */
/*
 * One connection to Redis: connecting, signing in, sending, taking answers apart (hiredis parses
 * them; the socket, its bounds and deadlines are ours).  Nothing here waits but the look-up of a
 * host's name.  An answer is borrowed for the call; a connection that failed leaves nothing behind.
 *
 *   DOWN ─ link_open ─ CONNECTING ─ HELLO: AUTH, ROLE ─ UP
 */
#ifndef BUS_LINK_H
#define BUS_LINK_H

#include <hiredis/hiredis.h>

#include "base/buf.h"
#include "bus/url.h"

enum {
	LINK_HELLO_MS = 3000,                  /* to connect and sign in */
	LIMIT_LINK_ANSWER_BYTES = 1024 * 1024, /* one answer */
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_HELLO, LINK_UP };

struct link {
	enum link_state state;
	int fd;
	redisReader *reader; /* owned; of this connection */
	struct buf out;      /* what Redis has not taken yet; whoever fills it bounds it */
	uint64_t until_ms;   /* CONNECTING, HELLO: the deadline */
	unsigned owed;       /* HELLO: answers; UP: the user's to count */
	bool auth, role;     /* HELLO: what the answers are to */
	bool need_master;    /* that its role is not to be had is an error */
	bool role_denied;    /* it may not be asked for */
};

struct link_login {
	const char *user, *password; /* "": none */
	bool role;                   /* ask, and take only a master */
	bool need_master;            /* even if it may not say its role */
};

/* NULL, or why not: a constant. */
const char *link_open(struct link *link, const struct place *place, unsigned attempt,
    const struct link_login *login, uint64_t now_ms);
void link_close(struct link *link);
/* What poll() is to wait for; 0: nothing, fd is -1. */
short link_wants(const struct link *link);
/* Sends what it can.  NULL, or why the connection is over. */
const char *link_flush(struct link *link);
/* What poll() returned, or 0 for a look at the clock.  NULL, or why the connection is over. */
const char *link_ready(struct link *link, short events, uint64_t now_ms);
/* The next answer of an UP connection: freed by the caller with freeReplyObject(); NULL: none yet, or
 * *ret_why is set. */
redisReply *link_answer(struct link *link, const char **ret_why);

#endif
