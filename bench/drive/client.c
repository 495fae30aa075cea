/* SPDX-License-Identifier: MIT */
/* The connections, their one epoll set, and the check of what comes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "carrier.h"
#include "drive.h"

enum { EVENTS = 256 };

struct client *clients;
size_t client_count;
uint64_t deliveries, logins, closed, bytes_in;
bool in_order = true;
char body[BODY_BYTES + 1];

static const struct carrier *carrier;
static int epoll_fd;
static uint16_t ports[PORTS_MAX];
static size_t port_count;

static void
ports_take(const char *text)
{
	char *end;

	for (; port_count < PORTS_MAX && *text != '\0'; text = *end == ',' ? end + 1 : end)
		ports[port_count++] = (uint16_t)strtoul(text, &end, 10);
	if (port_count == 0 || *text != '\0')
		panic("a number of ports from 1 to %d is wanted", PORTS_MAX);
}

/* Which node a client is on, see main.c. */
static uint16_t
port_of(size_t index)
{
	if (order.pairs == 0)
		return ports[index == 0 ? 0 : port_count - 1];
	return ports[(index / 2 + (index % 2 != 0 ? order.apart : 0)) % port_count];
}

void
clients_init(void)
{
	memset(body, 'x', BODY_BYTES);
	clients = mem_zalloc(CLIENTS_MAX * sizeof(*clients));
	carrier = carrier_find(order.carrier);
	ports_take(order.port);
	if ((epoll_fd = epoll_create1(0)) < 0)
		panic("epoll_create1: %s", strerror(errno));
}

void
client_flush(struct client *c)
{
	if (buf_len(&c->out) > 0 || buf_len(&c->wire) > 0)
		carrier->flush(c);
}

void
client_connect(struct client *c)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(port_of((size_t)(c - clients))),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)(void *)&to, sizeof(to)) != 0)
		panic("connect: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	carrier->begin(c);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		panic("epoll_ctl: %s", strerror(errno));
}

void
client_close(struct client *c)
{
	carrier->end(c);
	(void)close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->fd = -1;
}

void
login_done(void)
{
	logins++;
}

void
took_message(struct client *c, uint64_t number, const char *text, size_t len)
{
	if (in_order && c->next != 0 && number != c->next)
		panic("message %llu where %llu was due", (unsigned long long)number,
		    (unsigned long long)c->next);
	if (len < BODY_BYTES / 2 || memcmp(text, body, len < BODY_BYTES ? len : BODY_BYTES) != 0)
		panic("an altered message: %.*s", (int)len, text);
	c->next = number + 1;
	deliveries++;
	took_delivery(c, ++c->received);
}

void
took_text(struct client *c, const char *text, size_t len)
{
	if (len < TEXT_HEAD || len > BODY_BYTES || text[TEXT_HEAD - 1] != ' ')
		panic("an altered message: %.*s", (int)len, text);
	took_message(c, strtoull(text, NULL, 10), text + TEXT_HEAD, len - TEXT_HEAD);
}

void
text_print(struct client *c, char ret_text[BODY_BYTES + 1], size_t len)
{
	c->sent++;
	(void)snprintf(ret_text, len + 1, "%011llu %.*s", (unsigned long long)c->sent,
	    (int)(len - TEXT_HEAD), body);
}

uint64_t
number_after(const char *line, size_t len, const char *key, const char **ret_at)
{
	const char *at = memmem(line, len, key, strlen(key));

	if (at == NULL)
		panic("no %s in %.*s", key, (int)len, line);
	*ret_at = at + strlen(key);
	return strtoull(*ret_at, NULL, 10);
}

size_t
lines_take(struct client *c, const char *bytes, size_t len,
    void (*line)(struct client *c, const char *line, size_t len))
{
	const char *at = bytes, *end;

	for (; at < bytes + len && (end = memchr(at, '\n', len - (size_t)(at - bytes))) != NULL;
	     at = end + 1) {
		size_t line_len = (size_t)(end - at);

		if (line_len > 0 && at[line_len - 1] == '\r')
			line_len--;
		if (line_len > 0)
			line(c, at, line_len);
	}
	return (size_t)(at - bytes);
}

/* What is left over waits in c->in; most of the time that is nothing, and nothing is copied. */
static void
client_bytes(struct client *c, const char *bytes, size_t len)
{
	size_t used;

	bytes_in += len;
	if (buf_len(&c->in) > 0) {
		buf_append(&c->in, bytes, len);
		buf_consume(&c->in, protocol->take(c, buf_head(&c->in), buf_len(&c->in)));
		if (buf_len(&c->in) == 0)
			buf_fini(&c->in);
	} else if ((used = protocol->take(c, bytes, len)) < len) {
		buf_append(&c->in, bytes + used, len - used);
	}
}

static void
client_read(struct client *c)
{
	static char bytes[CARRIER_READ_BYTES];
	ssize_t n;

	do {
		if ((n = carrier->read(c, bytes)) > 0)
			client_bytes(c, bytes, (size_t)n);
	} while (n > 0 && carrier->again);
	if (n < 0) {
		closed++;
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	}
}

void
clients_turn(void (*then)(struct client *c), uint64_t patience_ns)
{
	struct timespec patience = {.tv_sec = (time_t)(patience_ns / 1000000000),
	    .tv_nsec = (long)(patience_ns % 1000000000)};
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(epoll_fd, events, EVENTS, &patience, NULL);

	if (n == 0 && patience_ns == PATIENCE)
		panic("nothing came for %llu seconds: %llu logins, %llu answers, %llu deliveries, "
		      "%llu closed",
		    PATIENCE / 1000000000ULL, (unsigned long long)logins,
		    (unsigned long long)answers, (unsigned long long)deliveries,
		    (unsigned long long)closed);
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		client_read(c);
		client_flush(c);
		if (then != NULL)
			then(c);
	}
}

void
clients_open(size_t count)
{
	if (count > CLIENTS_MAX)
		panic("at most %d connections", CLIENTS_MAX);
	for (; client_count < count; client_count++) {
		client_connect(&clients[client_count]);
		protocol->hello(&clients[client_count], client_count);
		client_flush(&clients[client_count]);
		while (client_count >= logins + order.at_once)
			clients_turn(NULL, PATIENCE);
	}
	while (logins < count)
		clients_turn(NULL, PATIENCE);
}
