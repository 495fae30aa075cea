/* SPDX-License-Identifier: MIT */
/*
 * Where a MariaDB or MySQL database is:
 *
 *   mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?OPTION=VALUE[&…]]
 *
 *   tls=off|on|verify     on: encrypted, whoever answers; verify (the default but for this host and
 *                         sockets): encrypted, and the certificate is the host's
 *   ca=FILE               what certificates are verified by; without it the system's authorities
 *   socket=PATH           a UNIX socket in place of host and port
 *   pool=N                connections that write, 1 … 16
 *   durability=local|replicated|relaxed   what the database keeps: see mysql_check.h
 *
 * Everything may be percent-encoded.
 */
#ifndef STORE_MYSQL_ADDRESS_H
#define STORE_MYSQL_ADDRESS_H

#include "base/slice.h"

enum { MYSQL_WRITERS_DEFAULT = 4, MYSQL_WRITERS_MAX = 16, MYSQL_PORT_DEFAULT = 3306 };

enum mysql_tls { MYSQL_TLS_OFF, MYSQL_TLS_ON, MYSQL_TLS_VERIFY };

enum mysql_durability { MYSQL_DURABLE_LOCAL, MYSQL_DURABLE_REPLICATED, MYSQL_DURABLE_RELAXED };

struct mysql_address {
	char user[81], password[256], host[256], database[65];
	char ca[1024], socket[108]; /* empty: none */
	unsigned port, writers;
	enum mysql_tls tls;
	enum mysql_durability durability;
};

/* url with or without the scheme.  False with a message for people, which has no password. */
bool mysql_address_parse(
    slice url, struct mysql_address *ret_address, char *ret_error, size_t error_size);
/* As people read it: user@host:port/database. */
void mysql_address_text(const struct mysql_address *address, char *ret_text, size_t text_size);

#endif
