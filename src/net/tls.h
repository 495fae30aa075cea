/* SPDX-License-Identifier: MIT */
/* TLS on one connection: OpenSSL behind what net's files need of it. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/slice.h"

struct conn;
struct tls_context;

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_EOF, TLS_FAILED };

/* -1 without a context.  The bytes are copied. */
int tls_open(struct conn *conn, struct tls_context *context, slice seen);
/*
 * Lets it take LIMIT_TLS_READ_BYTES off the socket; what is left is for the next turn, of which epoll tells.
 * OpenSSL alone would not come back from records that carry nothing for as long as the peer sends them.
 */
void tls_allow(struct conn *conn);
/* > 0 bytes, or 0 and why in *ret_result. */
size_t tls_read(struct conn *conn, char *to, size_t size, enum tls_result *ret_result);
size_t tls_write(struct conn *conn, const char *bytes, size_t len, enum tls_result *ret_result);
/* Sends close_notify. */
enum tls_result tls_finish(struct conn *conn);
/* Bytes are there that epoll does not know of. */
bool tls_pending(const struct conn *conn);
bool tls_established(const struct conn *conn);
void tls_free(struct conn *conn);

#endif
