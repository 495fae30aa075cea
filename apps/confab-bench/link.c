/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "wire/ws.h"

enum {
	EVENTS = 512,
	STORM_EVENTS = 16, /* so many a turn while somebody's answers are timed */
	PROMPT_EVERY = 8,  /* events of others after which the prompt ones are looked at */
	READ_BYTES = 256 * 1024,
	TLS_RECORD_BYTES = 17 * 1024,
	/* What of a frame may wait for its rest; the server's are at most 256 KiB. */
	KEPT_BYTES = 512 * 1024,
	/* Connections of one address: there are only so many ports, and the more of them are taken, the longer
	 * the kernel looks for another. */
	PER_SOURCE = 2000,
	SLOW_RECEIVE_BYTES = 16 * 1024,
};

static struct sockaddr_storage address;
static socklen_t address_len;
static SSL_CTX *tls;
/* What was read; in front of it what was left over of the last time. */
static char input[KEPT_BYTES + READ_BYTES];

void
link_init(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = getaddrinfo(bench.options.host, bench.options.port, &hints, &found);

	if (error != 0)
		cannot("%s: %s", bench.options.host, gai_strerror(error));
	memcpy(&address, found->ai_addr, found->ai_addrlen);
	address_len = found->ai_addrlen;
	freeaddrinfo(found);
	/* The prompt ones have a set of their own, which is in that of all. */
	bench.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	bench.prompt_fd = epoll_create1(EPOLL_CLOEXEC);
	if (bench.epoll_fd < 0 || bench.prompt_fd < 0 ||
	    epoll_ctl(bench.epoll_fd, EPOLL_CTL_ADD, bench.prompt_fd,
		&(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL}) != 0)
		cannot("epoll: %s", strerror(errno));
	if (!bench.options.tls)
		return;
	tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL)
		cannot("TLS cannot be set up");
	(void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
}

static void
watch(struct client *c, int how)
{
	struct epoll_event event = {.data.ptr = c};

	event.events = (uint32_t)EPOLLIN | (c->out_waits ? (uint32_t)EPOLLOUT : 0);
	if (epoll_ctl(c->prompt ? bench.prompt_fd : bench.epoll_fd, how, c->fd, &event) != 0)
		cannot("epoll_ctl: %s", strerror(errno));
}

/* Loopback has many addresses: each gives ports for some more connections. */
static void
bind_source(const struct client *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	const struct sockaddr_in *to = (const void *)&address;
	int one = 1;

	if (c->index < PER_SOURCE || address.ss_family != AF_INET ||
	    (ntohl(to->sin_addr.s_addr) >> 24) != 127)
		return;
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->index / PER_SOURCE);
	(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(c->fd, (const struct sockaddr *)(const void *)&from, sizeof(from)) != 0)
		cannot("bind: %s", strerror(errno));
}

void
link_open(struct client *c)
{
	int one = 1, receive = SLOW_RECEIVE_BYTES;

	c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		cannot("socket: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->was_slow)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	bind_source(c);
	if (connect(c->fd, (const struct sockaddr *)(const void *)&address, address_len) != 0 &&
	    errno != EINPROGRESS)
		cannot("connect to %s:%s: %s", bench.options.host, bench.options.port,
		    strerror(errno));
	c->state = CLIENT_CONNECTING;
	c->out_waits = true;
	watch(c, EPOLL_CTL_ADD);
}

void
link_cut(struct client *c)
{
	struct linger linger = {.l_onoff = 1};

	if (c->fd >= 0)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void
link_close(struct client *c)
{
	if (c->fd < 0)
		return;
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	c->ssl = NULL;
	(void)close(c->fd);
	c->fd = -1;
	c->state = CLIENT_CLOSED;
	c->out_waits = c->paused = c->dirty = false;
	buf_fini(&c->in);
	buf_fini(&c->out);
}

/* Bytes written, 0: not now, -1: the connection is gone. */
static ssize_t
write_some(struct client *c)
{
	size_t len = buf_len(&c->out);
	ssize_t n;
	int error;

	if (c->ssl == NULL) {
		n = send(c->fd, buf_head(&c->out), len, MSG_NOSIGNAL);
		return n < 0 && errno == EAGAIN ? 0 : n;
	}
	ERR_clear_error();
	n = SSL_write(c->ssl, buf_head(&c->out), len > INT32_MAX ? INT32_MAX : (int)len);
	if (n > 0)
		return n;
	error = SSL_get_error(c->ssl, (int)n);
	return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
}

void
link_flush(struct client *c)
{
	bool waits = false;

	if (c->state < CLIENT_UPGRADE)
		return;
	while (buf_len(&c->out) > 0) {
		ssize_t n = write_some(c);

		if (n < 0)
			return; /* what comes in tells why */
		if (n == 0) {
			waits = true;
			break;
		}
		buf_consume(&c->out, (size_t)n);
		c->written_ns = bench.now_ns;
	}
	if (waits != c->out_waits && !c->paused) {
		c->out_waits = waits;
		watch(c, EPOLL_CTL_MOD);
	}
}

void
link_put(struct client *c, slice json)
{
	static uint32_t mask;

	if (c->state == CLIENT_CLOSED)
		return;
	if (bench.options.ws) {
		mask = mask * 1664525 + 1013904223;
		ws_put_masked(&c->out, WS_OP_TEXT, json, (const unsigned char *)&mask);
	} else {
		buf_put(&c->out, json);
		buf_put(&c->out, S("\n"));
	}
}

void
link_pause(struct client *c, bool pause)
{
	if (c->paused == pause || c->state == CLIENT_CLOSED)
		return;
	c->paused = pause;
	watch(c, pause ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
}

static void
upgrade_ask(struct client *c)
{
	c->state = CLIENT_UPGRADE;
	buf_printf(&c->out,
	    "GET /ws HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: confab.v1\r\n"
	    "Sec-WebSocket-Key: Y29uZmFiLWJlbmNoLWtleQ==\r\n\r\n",
	    bench.options.host, bench.options.port);
	link_flush(c);
}

static void
link_is_open(struct client *c)
{
	if (bench.options.ws)
		upgrade_ask(c);
	else
		client_connected(c);
}

static void
tls_shake(struct client *c)
{
	int n, error;

	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		link_is_open(c);
		return;
	}
	error = SSL_get_error(c->ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		client_gone(c);
}

static void
connected(struct client *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		cannot("connect to %s:%s: %s", bench.options.host, bench.options.port,
		    strerror(error));
	c->out_waits = false;
	watch(c, EPOLL_CTL_MOD);
	if (!bench.options.tls) {
		link_is_open(c);
		return;
	}
	c->state = CLIENT_TLS;
	c->ssl = SSL_new(tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		cannot("TLS cannot be set up");
	SSL_set_connect_state(c->ssl);
	tls_shake(c);
}

/* The head of the answer to the upgrade; returns the bytes used. */
static size_t
take_upgrade(struct client *c, const char *at, size_t len)
{
	const char *end = memmem(at, len, "\r\n\r\n", 4);

	if (end == NULL)
		return 0;
	if (len < 12 || memcmp(at, "HTTP/1.1 101", 12) != 0)
		cannot("the server refuses WebSocket: %.*s", (int)(len < 60 ? len : 60), at);
	client_connected(c);
	return (size_t)(end - at) + 4;
}

static size_t
take_lines(struct client *c, const char *at, size_t len)
{
	const char *start = at, *end = at + len;

	while (at < end && c->state != CLIENT_CLOSED && !c->paused) {
		size_t used = check_fast(c, at, (size_t)(end - at), true);
		const char *stop;

		if (used > 0) {
			at += used;
			continue;
		}
		if ((stop = memchr(at, '\n', (size_t)(end - at))) == NULL)
			break;
		client_frame(c, slice_of(at, (size_t)(stop - at)));
		at = stop + 1;
	}
	return (size_t)(at - start);
}

/* The length of a frame's header, 0 if it isn't there yet; the server doesn't mask. */
static size_t
frame_header(const unsigned char *at, size_t len, uint64_t *ret_payload)
{
	size_t header = len < 2 ? 2 : at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;

	if (len < header)
		return 0;
	*ret_payload = at[1];
	if (header > 2) {
		*ret_payload = 0;
		for (size_t i = 2; i < header; i++)
			*ret_payload = *ret_payload << 8 | at[i];
	}
	return header;
}

static void
take_control(struct client *c, unsigned op, slice payload)
{
	static const unsigned char mask[4] = {1, 2, 3, 4};

	if (op == WS_OP_PING) {
		ws_put_masked(&c->out, WS_OP_PONG, payload, mask);
		c->dirty = true;
	} else if (op == WS_OP_CLOSE) {
		client_gone(c);
	} else if (op != WS_OP_PONG) {
		cannot("the server sent a WebSocket frame with opcode %u", op);
	}
}

static size_t
take_frames(struct client *c, const char *at, size_t len)
{
	const char *start = at, *end = at + len;
	uint64_t payload;
	size_t header;

	while (
	    c->state != CLIENT_CLOSED && !c->paused &&
	    (header = frame_header((const unsigned char *)at, (size_t)(end - at), &payload)) > 0) {
		unsigned first = (unsigned char)at[0];

		if ((first & 0xf0) != 0x80)
			cannot("the server sent a WebSocket fragment");
		if ((uint64_t)(end - at) < header + payload)
			break;
		at += header;
		if (first != (0x80 | WS_OP_TEXT))
			take_control(c, first & 0xf, slice_of(at, payload));
		else if (check_fast(c, at, payload, false) == 0)
			client_frame(c, slice_of(at, payload));
		at += payload;
	}
	return (size_t)(at - start);
}

static void
take(struct client *c, const char *at, size_t len)
{
	size_t used = 0;

	if (c->state == CLIENT_UPGRADE && (used = take_upgrade(c, at, len)) == 0)
		return;
	used += bench.options.ws ? take_frames(c, at + used, len - used)
				 : take_lines(c, at + used, len - used);
	if (c->state == CLIENT_CLOSED)
		return;
	if (len - used > KEPT_BYTES)
		cannot("the server sent a frame of more than %d bytes", KEPT_BYTES);
	if (used < len)
		buf_append(&c->in, at + used, len - used);
}

/* Bytes read, 0: none now, -1: the end. */
static ssize_t
read_some(struct client *c, char *to)
{
	ssize_t n, all = 0;
	int error;

	if (c->ssl == NULL) {
		n = recv(c->fd, to, READ_BYTES, 0);
		return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
	}
	while (READ_BYTES - all >= TLS_RECORD_BYTES) {
		ERR_clear_error();
		n = SSL_read(c->ssl, to + all, (int)(READ_BYTES - all));
		if (n <= 0) {
			error = SSL_get_error(c->ssl, (int)n);
			if (all == 0 && error != SSL_ERROR_WANT_READ &&
			    error != SSL_ERROR_WANT_WRITE)
				return -1;
			break;
		}
		all += n;
	}
	return all;
}

static void
link_read(struct client *c)
{
	bool more;

	do {
		size_t kept = buf_len(&c->in);
		ssize_t n;

		if (kept > 0) {
			memcpy(input, buf_head(&c->in), kept);
			buf_fini(&c->in);
		}
		n = read_some(c, input + kept);
		if (n < 0) {
			take(c, input, kept);
			if (c->state != CLIENT_CLOSED)
				client_gone(c);
			return;
		}
		if (n > 0 || kept > 0)
			take(c, input, kept + (size_t)n);
		more =
		    c->state != CLIENT_CLOSED && c->ssl != NULL && n > 0 && SSL_pending(c->ssl) > 0;
	} while (more);
}

static void
event(struct client *c, uint32_t events)
{
	if (c->state == CLIENT_CLOSED || c->paused)
		return;
	if (c->state == CLIENT_CONNECTING)
		connected(c);
	else if (c->state == CLIENT_TLS)
		tls_shake(c);
	else if ((events & ~(uint32_t)EPOLLOUT) != 0)
		link_read(c);
	if (c->state > CLIENT_TLS && (c->dirty || (events & EPOLLOUT) != 0)) {
		c->dirty = false;
		link_flush(c);
	}
}

static void
prompt_turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(bench.prompt_fd, events, EVENTS, 0);

	bench.now_ns = clock_mono_ns();
	for (int i = 0; i < n; i++)
		event(events[i].data.ptr, events[i].events);
}

void
link_turn(uint64_t until_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec wait = {0};
	int n, most = bench.options.scenario == SCENARIO_resume_storm ? STORM_EVENTS : EVENTS;

	if (until_ns > bench.now_ns) {
		wait.tv_sec = (time_t)((until_ns - bench.now_ns) / 1000000000);
		wait.tv_nsec = (long)((until_ns - bench.now_ns) % 1000000000);
	}
	n = epoll_pwait2(bench.epoll_fd, events, most, &wait, NULL);
	if (n < 0 && errno != EINTR)
		cannot("epoll: %s", strerror(errno));
	bench.now_ns = clock_mono_ns();
	if (n > 0)
		bench.active_ns = bench.now_ns;
	for (int i = 0; i < n; i++) {
		/* The time that a delivery counts with is that of its reading, not of the turn's beginning. */
		if (bench.options.scenario == SCENARIO_resume_storm && i % PROMPT_EVERY == 0)
			prompt_turn();
		else if (i % 16 == 15)
			bench.now_ns = clock_mono_ns();
		if (events[i].data.ptr != NULL)
			event(events[i].data.ptr, events[i].events);
	}
}
