/* SPDX-License-Identifier: MIT */
/*
 * Reactors, connections, listeners, timers.  One reactor is one thread with its own epoll; it owns its
 * connections, and only its thread touches them.  Net never looks inside a payload.
 *
 * A turn has phases: events (at most 64 KiB read a connection, 256 events), mail, timers, the turn hooks,
 * flush (one write a dirty connection), reap (the only place that frees connections).  Handlers mark; no
 * function reports "the connection is gone".
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <sys/socket.h>

#include "base/list.h"
#include "base/mail.h"
#include "base/run.h"
#include "base/slice.h"

struct reactor;
struct conn;
struct listener;
struct tls_context;

enum {
	LIMIT_READ_BYTES = 64 * 1024,	  /* of one connection in one turn */
	LIMIT_IN_BYTES = 256 * 1024,	  /* left over unconsumed: closed (TOO_LARGE) */
	LIMIT_OUT_SOFT_BYTES = 256 * 1024, /* above: droppable things and runs are refused */
	LIMIT_OUT_LOW_BYTES = 64 * 1024,  /* at or below, after a refusal: ops->drained */
	LIMIT_OUT_HARD_BYTES = 4 * 1024 * 1024, /* answers beyond this close the connection (SLOW) */
	LIMIT_STALL_MS = 30 * 1000,	  /* accepted nothing for so long with output waiting: closed (SLOW) */
	LIMIT_FINISH_MS = 5 * 1000,	  /* conn_finish(): so long to take what is queued */
};

#define CLOSE_REASONS(X) /* name, label in metrics and logs */ \
	X(PEER, "peer")			/* the peer closed */ \
	X(ERROR, "error")		/* a socket error */ \
	X(SLOW, "slow")			/* accepted nothing for LIMIT_STALL_MS, or queued too much */ \
	X(IDLE, "idle")			/* nothing arrived for too long */ \
	X(LOGIN, "login_deadline")	/* no login in time */ \
	X(PROTOCOL, "protocol")		/* malformed input that can't be answered */ \
	X(TOO_LARGE, "too_large") \
	X(ERRORS, "errors")		/* too many parse errors */ \
	X(DONE, "done")			/* answered all, as asked */ \
	X(REVOKED, "session_revoked") \
	X(BUSY, "busy") \
	X(EPOCH, "epoch") \
	X(TLS, "tls")			/* the handshake failed, or TLS was demanded or is not configured */ \
	X(SHUTDOWN, "shutdown")

#define CLOSE_AS_ENUM(name, label) CLOSE_##name,
enum close_reason { CLOSE_REASONS(CLOSE_AS_ENUM) CLOSE_MAX };
const char *close_reason_name(enum close_reason reason);

enum queued { QUEUED, QUEUED_NOT };
enum on_full {
	ON_FULL_REFUSE, /* refuse over the soft limit; ops->drained follows once there is room */
	ON_FULL_KEEP,	/* queue all the same, up to the hard limit: answers, what must arrive */
};

/* What happens on a connection; all on its reactor's thread. */
struct conn_ops {
	/*
	 * Bytes are there: consume from the front, return how many were used.  What is left is kept and
	 * offered again, with more, when more arrives or after conn_resume().  The bytes may be written to
	 * (unmasking).  Not called while paused, closing or finishing.  If it sets other ops and leaves bytes,
	 * these are offered to the new ones at once.
	 */
	size_t (*input)(struct conn *conn, char *bytes, size_t len);
	/*
	 * The peer has shut down its sending side; all input was offered before, so this does not come while
	 * paused.  What was not consumed is conn_unread().  The connection stays until it is closed or finished.
	 */
	void (*eof)(struct conn *conn);
	/* After ON_FULL_REFUSE said QUEUED_NOT or conn_want_drained(): the queue has drained. */
	void (*drained)(struct conn *conn);
	/* The moment set by conn_set_deadline() has come. */
	void (*deadline)(struct conn *conn);
	/* The last call: the connection is freed after it returns. */
	void (*closed)(struct conn *conn, enum close_reason reason);
};

/* --- Connections --- */

/* reactor index << 56 | generation << 32 | slot: never reused in practice, safe across threads. */
uint64_t conn_id(const struct conn *conn);
/* NULL once it is gone, closing or finishing. */
struct conn *conn_find(struct reactor *reactor, uint64_t id);
struct reactor *conn_reactor(const struct conn *conn);
void *conn_cookie(const struct conn *conn);
void conn_set_cookie(struct conn *conn, void *cookie);
void conn_set_ops(struct conn *conn, const struct conn_ops *ops);
const struct listener *conn_listener(const struct conn *conn);
/* The peer's address; conn_set_address() overrides it (PROXY). */
const struct sockaddr_storage *conn_address(const struct conn *conn, struct sockaddr_storage *ret_address);
void conn_set_address(struct conn *conn, const struct sockaddr_storage *address);
bool conn_is_tls(const struct conn *conn);
/* When bytes last arrived (reactor_now_ms() of that turn). */
uint64_t conn_last_input_ms(const struct conn *conn);
/* Bytes queued for it. */
size_t conn_out_bytes(const struct conn *conn);

/*
 * Queues a slice of a run (a reference is taken) and marks the connection dirty.  Adjacent slices of one
 * run are merged.  QUEUED_NOT if it is closing, or for ON_FULL_REFUSE over the soft limit or while finishing.
 */
enum queued conn_queue(struct conn *conn, struct run *run, uint32_t offset, uint32_t len,
    enum on_full on_full);
/* Copies the bytes to the queue's end (into a private run that the next write shares): ON_FULL_KEEP. */
void conn_write(struct conn *conn, slice bytes);

/* Arms ops->drained as a refusal does: once, when at most LIMIT_OUT_LOW_BYTES are queued. */
void conn_want_drained(struct conn *conn);
/* Input that is buffered and was not consumed; valid until the callback returns. */
slice conn_unread(const struct conn *conn);

/* Stops reading, and offering input, until resumed; resuming offers what is buffered in this or the next turn. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
/* One deadline a connection, on the reactor's clock; 0 takes it away. */
void conn_set_deadline(struct conn *conn, uint64_t at_ms);
/* Marks it to be freed at the turn's end; what is queued is thrown away. */
void conn_close(struct conn *conn, enum close_reason reason);
/*
 * Reads no more, writes what is queued, shuts our side down and waits for the peer to do so (all within
 * LIMIT_FINISH_MS), then closes: what was written is not lost to a reset.
 */
void conn_finish(struct conn *conn, enum close_reason reason);

/*
 * Begins TLS as server: `seen` are the bytes that arrived already; all of them are taken.  From now on input
 * and output are what is inside.  Returns 0, or -1 if the listener has no certificate.
 */
int conn_start_tls(struct conn *conn, slice seen) __attribute__((warn_unused_result));

/* --- Reactors --- */

/* index: 0 to 255.  NULL with errno if epoll or eventfd can't be had. */
struct reactor *reactor_create(unsigned index);
/* Only after reactor_run() has returned, or before it was called.  Armed timers are taken out. */
void reactor_destroy(struct reactor **reactor);
/*
 * Runs turns on the calling thread until reactor_stop(); what connections are open then are closed (SHUTDOWN)
 * before it returns, so that ops->closed finds everything else still there.
 */
void reactor_run(struct reactor *reactor);
/* Any thread. */
void reactor_stop(struct reactor *reactor);
/* Makes the reactor's next wait return at once; any thread, also a signal handler. */
void reactor_wake(void *reactor);
unsigned reactor_index(const struct reactor *reactor);
/* Monotonic, read once a turn. */
uint64_t reactor_now_ms(const struct reactor *reactor);
/* Connections open on it; any thread (a relaxed read). */
unsigned reactor_conn_count(const struct reactor *reactor);
/* Calls each(conn, cookie) for every open connection. */
void reactor_each_conn(struct reactor *reactor, void (*each)(struct conn *conn, void *cookie), void *cookie);

/* A mailbox that is drained in the mail phase: deliver(cookie, first) gets the linked list, oldest first. */
struct reactor_mailbox {
	struct mailbox box;
	void (*deliver)(void *cookie, struct mail *first);
	void *cookie;
	struct reactor_mailbox *next;
};
/* Initialises box so that posting wakes the reactor; before reactor_run(). */
void reactor_add_mailbox(struct reactor *reactor, struct reactor_mailbox *mailbox,
    void (*deliver)(void *cookie, struct mail *first), void *cookie);
/* A hook at the beginning of each turn, when the clock has been read; before reactor_run(). */
void reactor_on_wake(struct reactor *reactor, void (*hook)(void *cookie), void *cookie);
/*
 * A hook at the end of each turn, before the flush.  Returns true to be called again at once (there is work
 * left that must not hold up I/O), so that the next wait does not block.
 */
void reactor_on_turn(struct reactor *reactor, bool (*hook)(void *cookie), void *cookie);

/* --- Timers of a reactor; resolution of some ten milliseconds --- */
struct timer {
	struct list link;
	uint64_t due_ms; /* 0 while not armed */
	void (*fire)(struct timer *timer);
};
/* Arms or re-arms; the timer's memory is the caller's.  The reactor's thread only. */
void timer_set(struct reactor *reactor, struct timer *timer, uint64_t due_ms, void (*fire)(struct timer *));
void timer_clear(struct timer *timer);

/* --- Listeners --- */

struct listener_options {
	bool proxy;			/* a PROXY header comes first */
	bool tls_only;			/* plain connections are closed */
	struct tls_context *tls;	/* borrowed; NULL: no TLS here */
	void *cookie;			/* the opener's */
};

/*
 * Binds and listens on "127.0.0.1:7000", "[::1]:0", "*:7000" or an inherited descriptor "fd:3"; accepts on the
 * first reactor and deals connections to the reactor with the fewest.  On each, opened(conn) is called on its
 * reactor's thread; it must conn_set_ops() there.  Returns 0, or -1 with errno.
 */
int listener_open(struct reactor *const *reactors, unsigned reactor_count, const char *address,
    const struct listener_options *options, void (*opened)(struct conn *conn), struct listener **ret_listener)
    __attribute__((warn_unused_result));
/* Whether an address could be listened on: binds it and lets it go.  0, or -1 with errno. */
int listener_try(const char *address) __attribute__((warn_unused_result));
/* Connections over this number, process-wide, are refused with ops BUSY semantics: accepted and closed. */
void listener_set_max(unsigned max_connections);
/* The address in text with the real port, "127.0.0.1:41873". */
const char *listener_address(const struct listener *listener);
int listener_fd(const struct listener *listener);
const struct listener_options *listener_options(const struct listener *listener);
/* Stops accepting; connections live on.  Thread of reactor 0, or while no reactor runs. */
void listener_stop(struct listener *listener);
void listener_close(struct listener **listener);

/* --- TLS (OpenSSL) --- */
/* PEM files.  NULL with a message for people in ret_error. */
struct tls_context *tls_context_create(const char *cert_file, const char *key_file, char *ret_error,
    size_t error_size);
/*
 * Takes renewed files for the connections to come; any thread.  0, or -1 with a message, and all stays as it was.
 */
int tls_context_reload(struct tls_context *context, const char *cert_file, const char *key_file,
    char *ret_error, size_t error_size) __attribute__((warn_unused_result));
void tls_context_destroy(struct tls_context **context);

#endif
