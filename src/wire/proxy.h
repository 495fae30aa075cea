/* SPDX-License-Identifier: MIT */
/* The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt), receiver's side. */
#ifndef WIRE_PROXY_H
#define WIRE_PROXY_H

#include <sys/socket.h>

#include "base/slice.h"

enum { PROXY_HEADER_MAX = 536, PROXY_BAD = -1 };

struct proxy_header {
	bool local;                     /* LOCAL or UNKNOWN: keep the connection's own address */
	struct sockaddr_storage source; /* AF_INET or AF_INET6 otherwise */
};

/* > 0 bytes used, 0 more needed, PROXY_BAD if the bytes are no PROXY header. */
int proxy_parse(slice in, struct proxy_header *ret_header);

#endif
