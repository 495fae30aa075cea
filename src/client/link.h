/* SPDX-License-Identifier: MIT */
/*
 * A byte pipe to a server: TCP, and TLS on it where the address says so.  Never blocks but in
 * looking a name up, once per link_open().  Its owner polls link_fd for link_wants and calls
 * link_step() until it is open.  The process must ignore SIGPIPE.
 */
#ifndef CLIENT_LINK_H
#define CLIENT_LINK_H

#include <sys/types.h>

#include "client/address.h"

struct addrinfo;
struct ssl_ctx_st;
struct ssl_st;

enum { LINK_ADDRESS_MS = 10 * 1000, LINK_TROUBLE_MAX = 256 };
enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_SHAKING, LINK_OPEN };

struct link {
	enum link_state state;
	int fd;      /* owned; -1 while closed */
	short wants; /* poll events that a TLS operation waits for */
	bool tls;
	char host[ADDRESS_HOST_MAX + 1];
	struct addrinfo *found, *at;    /* owned; what the name led to, and which of it is tried */
	uint64_t give_up_ms;            /* on this address */
	struct ssl_ctx_st *tls_context; /* owned, kept over closing */
	struct ssl_st *tls_session;     /* owned */
	char trouble[LINK_TROUBLE_MAX]; /* why the last thing failed, for people */
};

void link_init(struct link *link);
/* Closed and nothing owned any more. */
void link_fini(struct link *link);
/* Begins to connect; < 0 if it failed at once (trouble says why). */
int link_open(struct link *link, const struct address *address, uint64_t now_ms);
/* Takes over a connected descriptor instead; it is made non-blocking. */
void link_adopt(struct link *link, int fd);
/* Goes on connecting: > 0 open, 0 wait for link_wants() or give_up_ms, < 0 failed. */
int link_step(struct link *link, uint64_t now_ms);
/* What to poll for, given whether there is something to write. */
short link_wants(const struct link *link, bool output);
/* > 0 bytes; 0 nothing now; < 0 the end (trouble says why). */
ssize_t link_read(struct link *link, char *to, size_t room);
/* Bytes taken, 0 if none now, < 0 the end. */
ssize_t link_write(struct link *link, slice bytes);
void link_close(struct link *link);

#endif
