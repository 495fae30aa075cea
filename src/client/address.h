/* SPDX-License-Identifier: MIT */
/* Where a server is: `HOST`, `HOST:PORT`, `[IPv6]:PORT`, `confab://…`, and with TLS `confabs://…`.
 */
#ifndef CLIENT_ADDRESS_H
#define CLIENT_ADDRESS_H

#include "base/slice.h"

enum { ADDRESS_HOST_MAX = 255, ADDRESS_PORT_MAX = 5, ADDRESS_TEXT_MAX = 288 };
#define ADDRESS_PORT_DEFAULT "7000"

struct address {
	char host[ADDRESS_HOST_MAX + 1]; /* a name or a number, without brackets */
	char port[ADDRESS_PORT_MAX + 1];
	bool tls;
};

/* False if it is not of that form; nothing is looked up. */
bool address_parse(slice text, struct address *ret_address);
/* As a person would write it, `HOST:PORT`, with `confabs://` in front for TLS. */
void address_text(const struct address *address, char ret_text[ADDRESS_TEXT_MAX]);

#endif
