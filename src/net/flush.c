/* SPDX-License-Identifier: MIT */
/*
 * Output: queued by whoever has something to say, written in one place, once a connection and turn.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/net_internal.h"

/* --- Queueing --- */

void
conn_touch(struct conn *conn)
{
	if (!conn_is(conn, CONN_CLOSING) && !list_linked(&conn->work))
		list_push_back(&conn->reactor->dirty, &conn->work);
}

/* A slice costs memory too: many small ones must not get around the limit on bytes. */
static bool
over_hard_limit(const struct conn *conn, size_t more)
{
	size_t held = more;

	if (conn->out != NULL)
		held += conn->out->bytes + conn->out->count * sizeof(struct out_slice);
	return held > LIMIT_OUT_HARD_BYTES;
}

/* A queue for `more` bytes; NULL if none may be added. */
static struct outq **
out_for(struct conn *conn, size_t more)
{
	if (conn_is(conn, CONN_CLOSING | CONN_LINGERING))
		return NULL;
	if (over_hard_limit(conn, more)) {
		conn_close(conn, CLOSE_SLOW);
		return NULL;
	}
	if (conn->out == NULL)
		conn->out = outq_take(conn->reactor);
	conn->reactor->out_bytes += (int64_t)more;
	if (!conn_is(conn, CONN_BLOCKED))
		conn_touch(conn);
	return &conn->out;
}

enum queued
conn_queue(struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full)
{
	struct outq **q;

	OBJ_CHECK(conn, CONN_MAGIC);
	reactor_assert(conn->reactor);
	assert(offset <= run->len && len <= run->len - offset);
	if (on_full == ON_FULL_REFUSE && conn_is(conn, CONN_FINISHING | CONN_CLOSING))
		return QUEUED_NOT;
	if (on_full == ON_FULL_REFUSE && conn_out_bytes(conn) >= LIMIT_OUT_SOFT_BYTES) {
		conn_flag(conn, CONN_WANT_DRAINED);
		return QUEUED_NOT;
	}
	if (len == 0)
		return QUEUED;
	if ((q = out_for(conn, len)) == NULL)
		return QUEUED_NOT;
	outq_push(q, run, offset, len);
	return QUEUED;
}

void
conn_write(struct conn *conn, slice bytes)
{
	struct outq **q;

	OBJ_CHECK(conn, CONN_MAGIC);
	reactor_assert(conn->reactor);
	if (bytes.len > 0 && (q = out_for(conn, bytes.len)) != NULL)
		outq_write(q, bytes);
}

void
conn_want_drained(struct conn *conn)
{
	reactor_assert(conn->reactor);
	conn_flag(conn, CONN_WANT_DRAINED);
	conn_touch(conn);
}

/* --- Writing --- */

static void
out_accepted(struct conn *conn, size_t bytes)
{
	struct reactor *r = conn->reactor;

	conn->out->accepted_ms = r->now_ms;
	outq_consume(conn->out, bytes);
	r->out_bytes -= (int64_t)bytes;
	if (conn->out->bytes == 0) {
		outq_give(r, conn->out);
		conn->out = NULL;
	}
}

/* As send(), less what glibc does around each for threads that may be cancelled: ours are not. */
static ssize_t
send_plain(int fd, const struct iovec *bytes)
{
	return syscall(SYS_sendto, fd, bytes->iov_base, bytes->iov_len, MSG_NOSIGNAL, NULL, 0);
}

static void
write_plain(struct conn *conn)
{
	struct reactor *r = conn->reactor;
	struct iovec iov[LIMIT_IOV];
	struct msghdr msg = { .msg_iov = iov };
	size_t bytes;
	ssize_t n;

	msg.msg_iovlen = outq_peek(conn->out, iov, LIMIT_IOV, &bytes);
	if (msg.msg_iovlen == 1)
		n = send_plain(conn->fd, iov);
	else
		n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
	r->writes++;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_fail(conn, errno);
		return;
	}
	if (n > 0) {
		r->bytes_out += (uint64_t)n;
		out_accepted(conn, (size_t)n);
	}
	if (n < (ssize_t)bytes && !(n < 0 && errno == EINTR))
		conn_flag(conn, CONN_BLOCKED);
}

/*
 * A retry must show OpenSSL the same bytes, and no fewer: the queue's front is what it was, and what was queued
 * meanwhile only makes it longer.
 */
static void
write_tls(struct conn *conn)
{
	struct reactor *r = conn->reactor;
	enum tls_result why = TLS_DONE;

	for (int i = 0; i < LIMIT_RECORDS && conn->out != NULL; i++) {
		slice front = outq_front(conn->out, r->record, LIMIT_RECORD_BYTES);
		size_t n = tls_write(conn, front.ptr, front.len, &why);

		if (n == 0)
			break;
		out_accepted(conn, n);
	}
	if (why == TLS_FAILED || why == TLS_EOF)
		conn_close(conn, CLOSE_PEER);
	else if (why == TLS_WANT_WRITE)
		conn_flag(conn, CONN_BLOCKED);
}

/* All is written: our side ends, and the peer is given the time to read it and end its own. */
static void
finish_output(struct conn *conn)
{
	if (conn->tls != NULL) {
		enum tls_result result = tls_finish(conn);

		if (result == TLS_WANT_WRITE) {
			conn_flag(conn, CONN_BLOCKED);
			return;
		}
	}
	if (conn_is(conn, CONN_EOF) || shutdown(conn->fd, SHUT_WR) < 0)
		conn_close(conn, conn->reason);
	else
		conn_flag(conn, CONN_LINGERING);
}

static uint32_t
interest_of(const struct conn *conn)
{
	uint32_t want = 0;

	if (conn_is(conn, CONN_LINGERING))
		return EPOLLIN | EPOLLRDHUP;
	if (conn_is(conn, CONN_BLOCKED | CONN_READ_BLOCKED))
		want |= EPOLLOUT;
	if (conn_is(conn, CONN_EOF | CONN_FINISHING | CONN_READ_BLOCKED))
		return want;
	if (!conn_is(conn, CONN_PAUSED))
		want |= EPOLLIN | EPOLLRDHUP;
	else if (!conn_is(conn, CONN_PEER_SHUT))
		want |= EPOLLRDHUP;
	return want;
}

static void
tell_epoll(struct conn *conn)
{
	struct epoll_event event = { .events = interest_of(conn), .data.u64 = conn->id << 8 >> 8 };
	bool detached = conn_is(conn, CONN_DETACHED);
	int how = detached ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (detached && conn_is(conn, CONN_PAUSED) && !conn_is(conn, CONN_FINISHING))
		return;
	if (!detached && event.events == conn->interest)
		return;
	if (epoll_ctl(conn->reactor->epoll_fd, how, conn->fd, &event) < 0) {
		conn_close(conn, CLOSE_ERROR);
		return;
	}
	conn_unflag(conn, CONN_DETACHED);
	conn->interest = (uint16_t)event.events;
}

static bool
waits(const struct conn *conn)
{
	return conn_is(conn, CONN_BLOCKED) || (conn->tls != NULL && !tls_established(conn));
}

void
conn_flush(struct conn *conn)
{
	if (conn->out != NULL && !conn_is(conn, CONN_BLOCKED)) {
		if (conn->tls != NULL)
			write_tls(conn);
		else
			write_plain(conn);
	}
	if (!conn_is(conn, CONN_CLOSING) && conn_is(conn, CONN_WANT_DRAINED) &&
	    !conn_is(conn, CONN_FINISHING) && conn_out_bytes(conn) <= LIMIT_OUT_LOW_BYTES) {
		conn_unflag(conn, CONN_WANT_DRAINED);
		conn->reactor->again = true;
		if (conn->ops->drained != NULL)
			conn->ops->drained(conn);
	}
	if (conn->out == NULL && conn_is(conn, CONN_FINISHING) &&
	    !conn_is(conn, CONN_CLOSING | CONN_LINGERING | CONN_BLOCKED))
		finish_output(conn);
	if (conn_is(conn, CONN_CLOSING))
		return;
	if (conn->out != NULL) {
		conn_arm(conn);
		if (!waits(conn))
			conn_touch(conn); /* more than one write's worth: the rest next turn */
	}
	tell_epoll(conn);
}
