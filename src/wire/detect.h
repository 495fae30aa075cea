/* SPDX-License-Identifier: MIT */
/* What a connection speaks, told by its first bytes: eight are enough. */
#ifndef WIRE_DETECT_H
#define WIRE_DETECT_H

#include "base/slice.h"

enum wire_protocol {
	WIRE_MORE,  /* not decided yet: fewer than eight bytes */
	WIRE_TLS,   /* 0x16 */
	WIRE_HTTP,  /* a method of HTTP and a space */
	WIRE_LINES, /* one JSON object a line; all that is nothing else */
	WIRE_OTHER, /* kept for protocols to come: IRC's CAP, NICK, PASS, USER and MQTT's 0x10 */
};

enum wire_protocol wire_detect(slice first);

#endif
