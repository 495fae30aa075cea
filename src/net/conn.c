/* SPDX-License-Identifier: MIT */
/*
 * One connection's life: opened by its listener, input offered to its handler, paused and resumed,
 * finished or closed, reaped at the end of the turn.
 *
 *   open -> [paused] -> eof -> finishing -> lingering -> closing -> reaped      (any step may be left out)
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/stat.h"
#include "net/net_internal.h"

#define CLOSE_AS_NAME(name, label) label,
static const char *const reason_names[] = { CLOSE_REASONS(CLOSE_AS_NAME) };
static_assert((int)CLOSE_MAX <= (int)STAT_CODES, "every close reason has a counter");

const char *
close_reason_name(enum close_reason reason)
{
	return (unsigned)reason < LEN(reason_names) ? reason_names[reason] : "?";
}

static inline void
conn_check(const struct conn *conn)
{
	OBJ_CHECK(conn, CONN_MAGIC);
	reactor_assert(conn->reactor);
}

/* --- Small facts --- */

uint64_t
conn_id(const struct conn *conn)
{
	return conn->id;
}

struct conn *
conn_find(struct reactor *reactor, uint64_t id)
{
	struct conn *conn;

	reactor_assert(reactor);
	conn = slots_find(reactor, id);
	return conn != NULL && !conn_is(conn, CONN_CLOSING | CONN_FINISHING) ? conn : NULL;
}

struct reactor *
conn_reactor(const struct conn *conn)
{
	return conn->reactor;
}

void *
conn_cookie(const struct conn *conn)
{
	return conn->cookie;
}

void
conn_set_cookie(struct conn *conn, void *cookie)
{
	conn->cookie = cookie;
}

void
conn_set_ops(struct conn *conn, const struct conn_ops *ops)
{
	conn_check(conn);
	assert(ops->input != NULL);
	conn->ops = ops;
}

const struct listener *
conn_listener(const struct conn *conn)
{
	return conn->listener;
}

const struct sockaddr_storage *
conn_address(const struct conn *conn, struct sockaddr_storage *ret_address)
{
	peer_get(&conn->peer, ret_address);
	return ret_address;
}

void
conn_set_address(struct conn *conn, const struct sockaddr_storage *address)
{
	conn_check(conn);
	peer_set(&conn->peer, address);
}

bool
conn_is_tls(const struct conn *conn)
{
	return conn->tls != NULL;
}

uint64_t
conn_last_input_ms(const struct conn *conn)
{
	return conn->last_input_ms;
}

size_t
conn_out_bytes(const struct conn *conn)
{
	return conn->out != NULL ? conn->out->bytes : 0;
}

slice
conn_unread(const struct conn *conn)
{
	return conn->in != NULL ? buf_slice(conn->in) : S("");
}

/* --- The timer: deadline, stall, finish --- */

static void
earlier(uint64_t *due_ms, uint64_t at_ms)
{
	if (at_ms != 0 && (*due_ms == 0 || at_ms < *due_ms))
		*due_ms = at_ms;
}

static uint64_t
stall_at(const struct conn *conn)
{
	return conn->out != NULL ? conn->out->accepted_ms + LIMIT_STALL_MS : 0;
}

static void
conn_timer_fired(struct timer *timer)
{
	struct conn *conn = container_of(timer, struct conn, timer);
	uint64_t now_ms = conn->reactor->now_ms;

	conn_check(conn);
	if (conn_is(conn, CONN_CLOSING))
		return;
	if (conn_is(conn, CONN_FINISHING) && conn->deadline_ms <= now_ms) {
		conn_close(conn, conn->reason);
	} else if (conn->out != NULL && stall_at(conn) <= now_ms) {
		conn_close(conn, CLOSE_SLOW);
	} else {
		if (!conn_is(conn, CONN_FINISHING) && conn->deadline_ms != 0 &&
		    conn->deadline_ms <= now_ms) {
			conn->deadline_ms = 0;
			if (conn->ops->deadline != NULL)
				conn->ops->deadline(conn);
		}
		conn_arm(conn);
	}
}

/* Later moments than the one armed are found when it fires, so that moving a deadline on costs a store. */
void
conn_arm(struct conn *conn)
{
	uint64_t due_ms = 0;

	if (conn_is(conn, CONN_CLOSING))
		return;
	earlier(&due_ms, conn->deadline_ms);
	earlier(&due_ms, stall_at(conn));
	if (due_ms != 0 && (conn->timer.due_ms == 0 || due_ms < conn->timer.due_ms))
		wheel_set(&conn->reactor->wheel, &conn->timer, due_ms, conn_timer_fired);
}

void
conn_set_deadline(struct conn *conn, uint64_t at_ms)
{
	conn_check(conn);
	if (conn_is(conn, CONN_FINISHING))
		return;
	conn->deadline_ms = at_ms;
	conn_arm(conn);
}

/* --- Opening and ending --- */

int
conn_open(struct reactor *reactor, int fd, struct listener *listener, const struct peer *peer,
    void (*opened)(struct conn *conn))
{
	struct conn *conn;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };

	reactor_assert(reactor);
	conn = slots_take(reactor);
	event.data.u64 = conn->id << 8 >> 8;
	if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		slots_give(conn);
		(void)close(fd);
		return -1;
	}
	conn->fd = fd;
	conn->interest = (uint16_t)event.events;
	conn->peer = *peer;
	conn->listener = listener != NULL ? listener_ref(listener) : NULL;
	conn->last_input_ms = reactor->now_ms;
	gauge_add(GAUGE_CONNS, 1);
	opened(conn);
	assert(conn->ops != NULL || conn_is(conn, CONN_CLOSING));
	return 0;
}

void
conn_close(struct conn *conn, enum close_reason reason)
{
	conn_check(conn);
	if (conn_is(conn, CONN_CLOSING))
		return;
	if (!conn_is(conn, CONN_FINISHING))
		conn->reason = (uint8_t)reason;
	conn_flag(conn, CONN_CLOSING);
	conn_unflag(conn, CONN_OFFERED);
	list_remove(&conn->work);
	list_push_back(&conn->reactor->closing, &conn->work);
}

void
conn_finish(struct conn *conn, enum close_reason reason)
{
	conn_check(conn);
	if (conn_is(conn, CONN_CLOSING | CONN_FINISHING))
		return;
	if (conn->tls != NULL && !tls_established(conn)) {
		conn_close(conn, reason); /* nothing can be told to it */
		return;
	}
	conn->reason = (uint8_t)reason;
	conn_flag(conn, CONN_FINISHING);
	conn->deadline_ms = conn->reactor->now_ms + LIMIT_FINISH_MS;
	conn_unflag(conn, CONN_OFFERED);
	conn_touch(conn);
	conn_arm(conn);
}

void
conn_fail(struct conn *conn, int error)
{
	bool gone = error == ECONNRESET || error == EPIPE;

	conn_close(conn, gone ? CLOSE_PEER : CLOSE_ERROR);
}

static void
in_free(struct conn *conn)
{
	if (conn->in == NULL)
		return;
	gauge_add(GAUGE_HELD_INPUT, -(int64_t)conn->in->capacity);
	buf_fini(conn->in);
	mem_free(conn->in);
	conn->in = NULL;
}

bool
conn_detach(struct conn *conn)
{
	if (conn_is(conn, CONN_DETACHED))
		return false;
	(void)epoll_ctl(conn->reactor->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn_flag(conn, CONN_DETACHED);
	return true;
}

void
conn_reap(struct conn *conn)
{
	struct reactor *r = conn->reactor;

	assert(conn_is(conn, CONN_CLOSING));
	list_remove(&conn->work);
	if (conn->ops != NULL && conn->ops->closed != NULL)
		conn->ops->closed(conn, conn->reason);
	stat_close(conn->reason);
	gauge_add(GAUGE_CONNS, -1);
	(void)__atomic_sub_fetch(&r->conns, 1, __ATOMIC_RELAXED);
	timer_clear(&conn->timer);
	if (conn->out != NULL) {
		r->out_bytes -= (int64_t)conn->out->bytes;
		outq_give(r, conn->out);
	}
	in_free(conn);
	if (conn->tls != NULL)
		tls_free(conn);
	(void)close(conn->fd); /* which also takes it out of epoll */
	if (conn->listener != NULL)
		listener_unref(conn->listener);
	slots_give(conn);
}

/* --- Input --- */

static bool
takes_input(const struct conn *conn)
{
	return !conn_is(conn, CONN_PAUSED | CONN_CLOSING | CONN_FINISHING);
}

/* A handler that hands the connection on to another need not offer it the rest itself. */
static size_t
input_offer(struct conn *conn, char *bytes, size_t len)
{
	const struct conn_ops *ops;
	size_t used = 0;

	do {
		const struct tls *tls = conn->tls;
		size_t n;

		ops = conn->ops;
		n = ops->input(conn, bytes + used, len - used);
		assert(n <= len - used);
		used += n;
		assert(tls == conn->tls || used == len || conn_is(conn, CONN_CLOSING));
	} while (used < len && conn->ops != ops && takes_input(conn));
	return used;
}

static void
input_offer_kept(struct conn *conn)
{
	struct buf *in = conn->in;

	buf_consume(in, input_offer(conn, in->bytes + in->start, buf_len(in)));
	if (buf_len(in) == 0 || conn_is(conn, CONN_CLOSING | CONN_FINISHING))
		in_free(conn);
}

static void
input_keep(struct conn *conn, const char *bytes, size_t len)
{
	size_t before;

	if (conn->in == NULL)
		conn->in = mem_zalloc(sizeof(*conn->in));
	before = conn->in->capacity;
	buf_append(conn->in, bytes, len);
	gauge_add(GAUGE_HELD_INPUT, (int64_t)(conn->in->capacity - before));
}

/* Bytes have arrived, in the reactor's scratch; only what is left of them gets memory of its own. */
static void
input_arrived(struct conn *conn, char *bytes, size_t len)
{
	conn->last_input_ms = conn->reactor->now_ms;
	if (conn->in != NULL) {
		input_keep(conn, bytes, len);
		input_offer_kept(conn);
	} else {
		size_t used = input_offer(conn, bytes, len);

		if (used < len && !conn_is(conn, CONN_CLOSING | CONN_FINISHING))
			input_keep(conn, bytes + used, len - used);
	}
	if (conn->in != NULL && buf_len(conn->in) > LIMIT_IN_BYTES)
		conn_close(conn, CLOSE_TOO_LARGE);
}

static void
input_ended(struct conn *conn)
{
	conn_flag(conn, CONN_EOF);
	conn_touch(conn);
	if (conn->ops->eof != NULL)
		conn->ops->eof(conn);
	else
		conn_close(conn, CLOSE_PEER);
}

static void
offer_soon(struct conn *conn)
{
	struct reactor *r = conn->reactor;

	if (conn_is(conn, CONN_OFFERED))
		return;
	conn_flag(conn, CONN_OFFERED);
	if (r->offer_count == r->offer_capacity) {
		r->offer_capacity += r->offer_capacity / 2 + 16;
		r->offers = mem_resize(r->offers, r->offer_capacity, sizeof(*r->offers));
	}
	r->offers[r->offer_count++] = conn->id;
}

static void
read_plain(struct conn *conn)
{
	struct reactor *r = conn->reactor;
	ssize_t n = recv(conn->fd, r->scratch, LIMIT_READ_BYTES, 0);

	if (n > 0) {
		r->bytes_in += (uint64_t)n;
		input_arrived(conn, r->scratch, (size_t)n);
	} else if (n == 0) {
		input_ended(conn);
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_fail(conn, errno);
	}
}

static void
read_tls_stopped(struct conn *conn, enum tls_result why)
{
	if ((why == TLS_FAILED || why == TLS_EOF) && !tls_established(conn)) {
		conn_close(conn, CLOSE_TLS);
	} else if (why == TLS_EOF) {
		input_ended(conn);
	} else if (why == TLS_FAILED) {
		conn_close(conn, CLOSE_ERROR);
	} else if (why == TLS_WANT_WRITE) {
		conn_flag(conn, CONN_READ_BLOCKED);
		conn_touch(conn);
	}
}

static void
read_tls(struct conn *conn)
{
	enum tls_result why = TLS_DONE;
	size_t got = 0, n = 1;

	tls_allow(conn);
	while (takes_input(conn) && got < LIMIT_READ_BYTES && n > 0) {
		n = tls_read(conn, conn->reactor->scratch, LIMIT_READ_BYTES, &why);
		got += n;
		if (n > 0)
			input_arrived(conn, conn->reactor->scratch, n);
		else
			read_tls_stopped(conn, why);
	}
	/* Epoll doesn't know of what was decrypted already. */
	if (n > 0 && takes_input(conn) && tls_pending(conn))
		offer_soon(conn);
	/* What is to be written may have waited for the handshake. */
	if (conn->out != NULL)
		conn_touch(conn);
}

static void
conn_read(struct conn *conn)
{
	if (conn_is(conn, CONN_EOF) || !takes_input(conn))
		return;
	if (conn->tls != NULL)
		read_tls(conn);
	else
		read_plain(conn);
}

void
conn_offer_again(struct conn *conn)
{
	if (takes_input(conn) && conn->in != NULL)
		input_offer_kept(conn);
	if (conn->tls != NULL)
		conn_read(conn);
}

void
conn_pause(struct conn *conn)
{
	conn_check(conn);
	if (conn_is(conn, CONN_PAUSED | CONN_CLOSING | CONN_FINISHING))
		return;
	conn_flag(conn, CONN_PAUSED);
	conn_touch(conn);
}

void
conn_resume(struct conn *conn)
{
	conn_check(conn);
	if (!conn_is(conn, CONN_PAUSED) || conn_is(conn, CONN_CLOSING | CONN_FINISHING))
		return;
	conn_unflag(conn, CONN_PAUSED | CONN_PEER_SHUT);
	conn_touch(conn);
	if (conn->in != NULL || conn->tls != NULL)
		offer_soon(conn);
}

int
conn_start_tls(struct conn *conn, slice seen)
{
	conn_check(conn);
	assert(conn->tls == NULL && conn->out == NULL);
	if (conn->listener == NULL || tls_open(conn, listener_options(conn->listener)->tls, seen) < 0)
		return -1;
	offer_soon(conn);
	return 0;
}

/* --- Events --- */

/* After our side was shut down: what still comes is thrown away, so that it can't reset what we sent. */
static void
linger_read(struct conn *conn)
{
	struct reactor *r = conn->reactor;
	ssize_t n = recv(conn->fd, r->scratch, LIMIT_READ_BYTES, 0);

	if (n > 0)
		r->bytes_in += (uint64_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_close(conn, conn->reason);
}

static int
socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

/*
 * The peer is gone in both directions, and nothing is being read that would find out why.  Without an
 * error its last input may still be wanted after a pause; epoll would tell of the hang-up all the while.
 */
static void
conn_hung_up(struct conn *conn, uint32_t events)
{
	int error = socket_error(conn->fd);

	if (error == 0 && (events & EPOLLERR) == 0 && conn_is(conn, CONN_PAUSED) &&
	    !conn_is(conn, CONN_EOF | CONN_FINISHING)) {
		(void)conn_detach(conn);
		return;
	}
	conn_fail(conn, error != 0 ? error : ECONNRESET);
}

void
conn_event(struct conn *conn, uint32_t events)
{
	if ((events & EPOLLOUT) != 0) {
		conn_unflag(conn, CONN_BLOCKED);
		conn_touch(conn);
	}
	if (conn_is(conn, CONN_LINGERING)) {
		linger_read(conn);
	} else if (takes_input(conn) && !conn_is(conn, CONN_EOF)) {
		bool retry = (events & EPOLLOUT) != 0 && conn_is(conn, CONN_READ_BLOCKED);

		if (retry)
			conn_unflag(conn, CONN_READ_BLOCKED);
		/* What was kept over a pause is offered first, later in this turn. */
		if (conn_is(conn, CONN_OFFERED))
			return;
		if (retry || (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
			conn_read(conn);
	} else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
		conn_hung_up(conn, events);
	} else if ((events & EPOLLRDHUP) != 0) {
		conn_flag(conn, CONN_PEER_SHUT);
		conn_touch(conn);
	}
}
