/* SPDX-License-Identifier: MIT */
/* For the tests of this folder: a reactor driven turn by turn, and a handler that writes down what happens. */
#ifndef NET_NET_FIXTURE_H
#define NET_NET_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/stat.h"
#include "net/net_internal.h"

/* What a connection's handler does and saw. */
struct probe {
	struct conn *conn; /* NULL once closed */
	uint64_t id;
	bool lines;	/* consumes whole lines only */
	bool echo;	/* answers with what it consumed */
	unsigned pause_after; /* pauses when so many lines were consumed; 0: never */
	unsigned line_count, inputs, eofs, drained, deadlines, closed;
	enum close_reason reason;
	struct buf got;
	void (*on_input)(struct probe *probe); /* after each input */
	void (*on_drained)(struct probe *probe);
	void (*on_closed)(struct probe *probe);
	void *cookie;
};

static uint64_t fake_now_ms;

static inline uint64_t
fake_clock_ms(void)
{
	return fake_now_ms;
}

static inline size_t
probe_wants(struct probe *p, const char *bytes, size_t len)
{
	size_t used = 0;

	if (!p->lines)
		return len;
	for (size_t i = 0; i < len; i++)
		if (bytes[i] == '\n') {
			used = i + 1;
			if (++p->line_count == p->pause_after) {
				conn_pause(p->conn);
				break;
			}
		}
	return used;
}

static inline size_t
probe_input(struct conn *conn, char *bytes, size_t len)
{
	struct probe *p = conn_cookie(conn);
	size_t used = probe_wants(p, bytes, len);

	p->inputs++;
	buf_append(&p->got, bytes, used);
	if (p->echo)
		conn_write(conn, slice_of(bytes, used));
	if (p->on_input != NULL)
		p->on_input(p);
	return used;
}

static inline void
probe_eof(struct conn *conn)
{
	struct probe *p = conn_cookie(conn);

	p->eofs++;
}

static inline void
probe_drained(struct conn *conn)
{
	struct probe *p = conn_cookie(conn);

	p->drained++;
	if (p->on_drained != NULL)
		p->on_drained(p);
}

static inline void
probe_deadline(struct conn *conn)
{
	struct probe *p = conn_cookie(conn);

	p->deadlines++;
}

static inline void
probe_closed(struct conn *conn, enum close_reason reason)
{
	struct probe *p = conn_cookie(conn);

	p->closed++;
	p->reason = reason;
	p->conn = NULL;
	if (p->on_closed != NULL)
		p->on_closed(p);
}

static const struct conn_ops probe_ops = {
	.input = probe_input,
	.eof = probe_eof,
	.drained = probe_drained,
	.deadline = probe_deadline,
	.closed = probe_closed,
};

static struct probe *probe_opening;

static inline void
probe_opened(struct conn *conn)
{
	conn_set_ops(conn, &probe_ops);
	conn_set_cookie(conn, probe_opening);
	probe_opening->conn = conn;
	probe_opening->id = conn_id(conn);
}

/* Gives the server's end to the reactor. */
static inline void
probe_open(struct reactor *r, struct probe *p, int fd)
{
	struct peer peer = {0};

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	probe_opening = p;
	(void)__atomic_add_fetch(&r->conns, 1, __ATOMIC_RELAXED);
	assert_int_equal(conn_open(r, fd, NULL, &peer, probe_opened), 0);
}

static inline void
probe_fini(struct probe *p)
{
	buf_fini(&p->got);
}

/* Two ends of a TCP connection over loopback. */
static inline void
tcp_pair(int *ret_client, int *ret_server)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(listener, 1), 0);
	*ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_client, (struct sockaddr *)&at, len), 0);
	*ret_server = accept(listener, NULL, NULL);
	assert_true(*ret_server >= 0);
	(void)close(listener);
}

/* A client of a probe. */
static inline int
tcp_probe(struct reactor *r, struct probe *p)
{
	int client, server;

	tcp_pair(&client, &server);
	probe_open(r, p, server);
	return client;
}

/* Turns until it is so; a hang is a failure, not a time-out of the whole run. */
#define turns_until(r, condition)                                       \
	do {                                                            \
		int turns_ = 0;                                         \
		while (!(condition) && turns_++ < 3000)                 \
			reactor_turn((r), 5);                           \
		if (!(condition))                                       \
			fail_msg("never came true: %s", #condition);    \
	} while (0)

/* Nothing is left to do now, and epoll would wait. */
static inline void
turns_settle(struct reactor *r)
{
	for (int i = 0; i < 4; i++)
		reactor_turn(r, 0);
}

static inline void
put_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads what is there without waiting; -1 at the end or on an error, which *ret_error tells. */
static inline ssize_t
take_some(int fd, char *to, size_t size, int *ret_error)
{
	ssize_t n = recv(fd, to, size, MSG_DONTWAIT);

	*ret_error = n < 0 ? errno : 0;
	if (n > 0)
		return n;
	return n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Turns while the client reads, until `want` bytes are there or the stream has ended; returns how many. */
static inline size_t
take_all(struct reactor *r, int fd, struct buf *to, size_t want, bool *ret_ended, int *ret_error)
{
	*ret_ended = false;
	for (int i = 0; i < 20000 && buf_len(to) < want && !*ret_ended; i++) {
		ssize_t n = take_some(fd, buf_reserve(to, 65536), 65536, ret_error);

		if (n > 0)
			buf_grew(to, (size_t)n);
		*ret_ended = n < 0;
		reactor_turn(r, n == 0 ? 2 : 0);
	}
	return buf_len(to);
}

static inline uint64_t
counter(enum stat_counter which)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.counters[which];
}

static inline int64_t
gauge(enum stat_gauge which)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.gauges[which];
}

#endif
