/* SPDX-License-Identifier: MIT */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/panic.h"

/* --- A socket --- */

static void
socket_send(struct client *c, struct buf *out)
{
	while (buf_len(out) > 0) {
		ssize_t n = send(c->fd, buf_head(out), buf_len(out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return; /* the rest goes when something comes */
		if (n < 0)
			panic("send: %s", strerror(errno));
		buf_consume(out, (size_t)n);
	}
}

static ssize_t
socket_read(struct client *c, char *bytes)
{
	ssize_t n = recv(c->fd, bytes, CARRIER_READ_BYTES, MSG_DONTWAIT);

	if (n > 0)
		return n;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void
tcp_begin(struct client *c)
{
	(void)c;
}

static void
tcp_flush(struct client *c)
{
	socket_send(c, &c->out);
}

/* --- WebSocket: a line is a frame --- */

enum { WS_FIN_TEXT = 0x81, WS_PING = 0x89, WS_PONG = 0x8a, WS_CLOSE = 0x88, WS_MASKED = 0x80 };

static void
ws_begin(struct client *c)
{
	static const char ask[] =
	    "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	char answer[2048];
	size_t len = 0;

	if (send(c->fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ask) - 1)
		panic("send: %s", strerror(errno));
	/* Byte by byte, so that nothing of what follows is taken. */
	while (len < 4 || memcmp(answer + len - 4, "\r\n\r\n", 4) != 0)
		if (len == sizeof(answer) || recv(c->fd, answer + len++, 1, 0) != 1)
			panic("no answer to the upgrade");
	if (memcmp(answer, "HTTP/1.1 101", 12) != 0 ||
	    memmem(answer, len, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28) == NULL)
		panic("the upgrade was refused: %.*s", (int)len, answer);
}

static void
ws_frame(struct buf *out, unsigned char first, const char *bytes, size_t len)
{
	static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
	unsigned char head[8] = {first, (unsigned char)(WS_MASKED | (len < 126 ? len : 126))};
	size_t head_len = 2;
	char *to;

	if (len > 65535)
		panic("a frame of %zu bytes", len);
	if (len >= 126) {
		head[head_len++] = (unsigned char)(len >> 8);
		head[head_len++] = (unsigned char)len;
	}
	memcpy(head + head_len, key, sizeof(key));
	buf_append(out, head, head_len + sizeof(key));
	to = buf_reserve(out, len);
	for (size_t i = 0; i < len; i++)
		to[i] = (char)((unsigned char)bytes[i] ^ key[i % 4]);
	buf_grew(out, len);
}

static void
ws_flush(struct client *c)
{
	const char *end;

	while (buf_len(&c->out) > 0 &&
	       (end = memchr(buf_head(&c->out), '\n', buf_len(&c->out))) != NULL) {
		size_t len = (size_t)(end - buf_head(&c->out));

		ws_frame(&c->wire, WS_FIN_TEXT, buf_head(&c->out), len);
		buf_consume(&c->out, len + 1);
	}
	socket_send(c, &c->wire);
}

/* The next whole frame of the server's, which aren't masked; how long it is with its head, 0: not all there. */
static size_t
ws_next(const unsigned char *at, size_t len, const unsigned char **ret_payload, size_t *ret_len)
{
	size_t head = 2, size;

	if (len < 2)
		return 0;
	if ((size = at[1]) >= 126) {
		head = size == 126 ? 4 : 10;
		if (len < head)
			return 0;
		size = 0;
		for (size_t i = 2; i < head; i++)
			size = size << 8 | at[i];
	}
	if (size > CARRIER_READ_BYTES / 4)
		panic("a frame of %zu bytes", size);
	if (len - head < size)
		return 0;
	*ret_payload = at + head;
	*ret_len = size;
	return head + size;
}

/* Payloads become lines again, never longer than their frames. */
static ssize_t
ws_read(struct client *c, char *bytes)
{
	char *room = buf_reserve(&c->raw, CARRIER_READ_BYTES / 2), *to = bytes;
	ssize_t n = recv(c->fd, room, CARRIER_READ_BYTES / 2, MSG_DONTWAIT);
	const unsigned char *payload;
	size_t used, len;

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	buf_grew(&c->raw, (size_t)n);
	while ((used = ws_next((const unsigned char *)buf_head(&c->raw), buf_len(&c->raw), &payload,
		    &len)) > 0) {
		unsigned char first = (unsigned char)*buf_head(&c->raw);

		if (first == WS_CLOSE)
			return -1;
		if (first == WS_FIN_TEXT) {
			memcpy(to, payload, len);
			to += len;
			*to++ = '\n';
		} else if (first == WS_PING) {
			ws_frame(&c->wire, WS_PONG, (const char *)payload, len);
		} else if (first != WS_PONG) {
			panic("a frame of kind %#x", first);
		}
		buf_consume(&c->raw, used);
	}
	if (buf_len(&c->raw) == 0)
		buf_fini(&c->raw);
	return to - bytes;
}

static void
ws_end(struct client *c)
{
	buf_fini(&c->raw);
	buf_fini(&c->wire);
}

/* --- TLS --- */

static void
tls_begin(struct client *c)
{
	static SSL_CTX *context;

	if (context == NULL) {
		if ((context = SSL_CTX_new(TLS_client_method())) == NULL)
			panic("SSL_CTX_new");
		/* The certificate is the run's own. */
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		(void)SSL_CTX_set_mode(
		    context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	}
	if ((c->tls = SSL_new(context)) == NULL || SSL_set_fd(c->tls, c->fd) != 1)
		panic("SSL_new");
	if (SSL_connect(c->tls) != 1)
		panic("the TLS handshake failed: %s", ERR_reason_error_string(ERR_get_error()));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
		panic("fcntl: %s", strerror(errno));
}

static void
tls_flush(struct client *c)
{
	while (buf_len(&c->out) > 0) {
		size_t len = buf_len(&c->out) < 16384 ? buf_len(&c->out) : 16384;
		int n;

		ERR_clear_error();
		if ((n = SSL_write(c->tls, buf_head(&c->out), (int)len)) > 0)
			buf_consume(&c->out, (size_t)n);
		else if (SSL_get_error(c->tls, n) == SSL_ERROR_WANT_WRITE)
			return;
		else
			panic("SSL_write: %s", ERR_reason_error_string(ERR_get_error()));
	}
}

static ssize_t
tls_read(struct client *c, char *bytes)
{
	int n;

	ERR_clear_error();
	if ((n = SSL_read(c->tls, bytes, CARRIER_READ_BYTES)) > 0)
		return n;
	return SSL_get_error(c->tls, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void
tls_end(struct client *c)
{
	SSL_free(c->tls);
	c->tls = NULL;
}

const struct carrier *
carrier_find(const char *name)
{
	static const struct carrier all[] = {
	    {"tcp", tcp_begin, tcp_flush, socket_read, tcp_begin, false},
	    {"ws", ws_begin, ws_flush, ws_read, ws_end, false},
	    {"tls", tls_begin, tls_flush, tls_read, tls_end, true},
	};

	for (size_t i = 0; i < LEN(all); i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	panic("no such carrier: %s", name);
}
