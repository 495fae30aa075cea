/* SPDX-License-Identifier: MIT */
/* What bytes travel on: a socket, WebSocket frames on it, or TLS on it. */
#ifndef BENCH_DRIVE_CARRIER_H
#define BENCH_DRIVE_CARRIER_H

#include <sys/types.h>

#include "drive.h"

enum { CARRIER_READ_BYTES = 256 * 1024 };

struct carrier {
	const char *name;
	/* The socket is connected and blocks. */
	void (*begin)(struct client *c);
	/* Sends of c->out what fits without waiting. */
	void (*flush)(struct client *c);
	/* Up to CARRIER_READ_BYTES; 0: nothing more now; < 0: the server has closed. */
	ssize_t (*read)(struct client *c, char *bytes);
	void (*end)(struct client *c);
	/* One read shows that there may be more, of which epoll doesn't know. */
	bool again;
};

/* tcp, ws, tls; panics at another name. */
const struct carrier *carrier_find(const char *name);

#endif
