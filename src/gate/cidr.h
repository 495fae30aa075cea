/* SPDX-License-Identifier: MIT */
/* Addresses against lists of addresses and CIDR blocks.  IPv4 mapped into IPv6 counts as IPv4. Pure
 * functions. */
#ifndef GATE_CIDR_H
#define GATE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { CIDR_TEXT_BYTES = 64 };

/* Whether the text is "10.1.2.3", "10.0.0.0/8", "fd00::/8"…, for whoever checks a configuration. */
bool cidr_valid(const char *block);
/* Whether the address lies in any block of the NULL-terminated list; a NULL list holds none. */
bool cidr_any(const char *const *blocks, const struct sockaddr_storage *address);
bool cidr_loopback(const struct sockaddr_storage *address);
/*
 * A key for all that comes from one place: an address of IPv4, or the first 64 bits of IPv6, of which one
 * customer has at least as many.  0 for what is no IP address.  Nobody outside the process can guess it.
 */
uint64_t cidr_source(const struct sockaddr_storage *address);
/* The address without its port, zero-terminated; "local" for what is no IP address.  Returns
 * ret_text. */
const char *cidr_text(const struct sockaddr_storage *address, char ret_text[CIDR_TEXT_BYTES]);

#endif
