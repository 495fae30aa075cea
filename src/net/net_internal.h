/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share.  A reactor owns its connections by value, in chunks of slots that
 * never move; epoll events and other threads name them by slot and generation.
 *
 *   reactor.c  turns, mail, hooks      slots.c   the table of connections    timer.c     the wheel
 *   conn.c     input, states, reaping  outq.c    the queue of one            flush.c     writing it
 *   listener.c accepting and dealing   address.c addresses and their text    tls.c       OpenSSL
 */
#ifndef NET_NET_INTERNAL_H
#define NET_NET_INTERNAL_H

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/panic.h"
#include "net/net.h"
#include "net/tls.h"

enum {
	LIMIT_EVENTS = 256,	   /* of one turn */
	LIMIT_IOV = 64,		   /* slices of one write */
	LIMIT_RECORD_BYTES = 16 * 1024, /* of one TLS record, and what is gathered for it */
	LIMIT_RECORDS = 4,	   /* TLS records of one connection in one turn */
	LIMIT_TLS_READ_BYTES = 32 * 1024, /* encrypted, of one connection in one turn */
	LIMIT_ACCEPTS = 16,	   /* of one listener in one turn: who is here waits meanwhile */
	LIMIT_REAPS = 32,	   /* closed connections that are freed in one turn */
	LIMIT_OUTQ_KEPT = 4096,	   /* empty queues that a reactor keeps for the next who needs one */
	OUTQ_KEPT_MS = 1000,	   /* of which those go that nobody needed for so long, */
	OUTQ_SPARE = 64,	   /* but for so many */
	LIMIT_HOOKS = 8,
	ACCEPT_PAUSE_MS = 100,	   /* no descriptor and none to spare: leave the backlog alone so long */
	TICK_MS = 16,
	WHEEL_SLOTS = 4096,	   /* a power of two; timers further away than a round pass by and stay */
	CHUNK_CONNS = 256,
};

/* --- Timers (timer.c) --- */

struct wheel {
	uint64_t tick;			    /* done up to here */
	uint64_t used[WHEEL_SLOTS / 64];    /* may say yes for a slot that is empty by now */
	struct list slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
void wheel_fini(struct wheel *wheel);
void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_ms, void (*fire)(struct timer *));
void wheel_run(struct wheel *wheel, uint64_t now_ms);
/* Milliseconds until something may be due; -1 if nothing is armed. */
int wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms);

/* --- Addresses (address.c) --- */

/* An address in the form that a connection can afford. */
struct peer {
	uint8_t ip[16];
	uint16_t port;
	uint8_t version; /* 4, 6, or 0: none */
} __attribute__((packed));

void peer_set(struct peer *peer, const struct sockaddr_storage *address);
void peer_get(const struct peer *peer, struct sockaddr_storage *ret_address);
/* "127.0.0.1:7000", "[::1]:0", "*:7000", "localhost:0"; 0, or -1 with EINVAL. */
int address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len);
void address_print(const struct sockaddr_storage *address, char *ret_text, size_t size);

/* --- The queue of output (outq.c) --- */

struct out_slice {
	struct run *run; /* a reference is held */
	uint32_t offset, len;
};

struct outq {
	struct outq *next_kept;
	uint64_t accepted_ms;	/* when the socket last took a byte, or the queue was begun */
	size_t bytes;
	uint32_t head, count, capacity; /* capacity is a power of two */
	uint32_t chunk;		/* size of the last private run */
	struct out_slice slices[];
};

struct outq *outq_take(struct reactor *reactor);
/* Lets go of all runs. */
void outq_give(struct reactor *reactor, struct outq *q);
/* Once a turn: lets go of kept queues that have not been needed. */
void outq_trim(struct reactor *reactor);
void outq_free_kept(struct reactor *reactor);
/* Both may move the queue. */
void outq_push(struct outq **q, struct run *run, uint32_t offset, uint32_t len);
void outq_write(struct outq **q, slice bytes);
/* The first slices; returns how many, *ret_bytes how much. */
unsigned outq_peek(const struct outq *q, struct iovec *iov, unsigned max, size_t *ret_bytes);
/* The first bytes, at most size: where they lie, or gathered in scratch if that is in pieces. */
slice outq_front(const struct outq *q, char *scratch, size_t size);
void outq_consume(struct outq *q, size_t bytes);

/* --- Connections (conn.c, slots.c, flush.c) --- */

enum conn_flag {
	CONN_OPEN = 1 << 0,	  /* the slot is in use */
	CONN_PAUSED = 1 << 1,
	CONN_EOF = 1 << 2,	  /* the peer's end of input was read */
	CONN_PEER_SHUT = 1 << 3,  /* it was noticed while paused: epoll need not tell again */
	CONN_BLOCKED = 1 << 4,	  /* the socket takes no output: wait for EPOLLOUT */
	CONN_READ_BLOCKED = 1 << 5, /* TLS must write before it can read on */
	CONN_WANT_DRAINED = 1 << 6,
	CONN_FINISHING = 1 << 7,
	CONN_LINGERING = 1 << 8,  /* our side is shut down; input is discarded until theirs is */
	CONN_CLOSING = 1 << 9,	  /* on the reactor's closing list */
	CONN_DETACHED = 1 << 10,  /* taken out of epoll: a hung-up peer whose input waits for resume */
	CONN_OFFERED = 1 << 11,	  /* among those to be offered input */
};

struct conn {
	uint32_t magic;
	int fd;
	uint64_t id;
	struct reactor *reactor;
	const struct conn_ops *ops;
	void *cookie;
	struct listener *listener; /* a reference is held; NULL: opened without one */
	struct buf *in;		   /* owned; NULL while nothing is left over */
	struct outq *out;	   /* owned; NULL while nothing is queued */
	struct tls *tls;	   /* owned; NULL: plain */
	struct timer timer;	   /* one for deadline, stall and finish: fires early, looks, re-arms */
	uint64_t deadline_ms;	   /* its handler's; from finishing on the end of that */
	uint64_t last_input_ms;
	struct list work;	   /* in reactor's dirty, closing or free list */
	struct peer peer;
	uint8_t reason;		   /* enum close_reason, while finishing or closing */
	uint16_t flags;
	uint16_t interest;	   /* what epoll was told */
};
static_assert(sizeof(struct conn) <= 160, "the memory of an idle connection is a budget");

#define CONN_MAGIC 0x636f6e6eu

static inline bool
conn_is(const struct conn *conn, unsigned flags)
{
	return (conn->flags & flags) != 0;
}

static inline void
conn_flag(struct conn *conn, unsigned flags)
{
	conn->flags = (uint16_t)(conn->flags | flags);
}

static inline void
conn_unflag(struct conn *conn, unsigned flags)
{
	conn->flags = (uint16_t)(conn->flags & ~flags);
}

/* Takes the descriptor over, which is closed where this fails (-1).  Its count is the dealer's to add. */
int conn_open(struct reactor *reactor, int fd, struct listener *listener, const struct peer *peer,
    void (*opened)(struct conn *conn));
void conn_event(struct conn *conn, uint32_t events);
/* Offers what is left over, and what TLS has decrypted. */
void conn_offer_again(struct conn *conn);
/* Puts it on the dirty list: written, and epoll told what is wanted, in the flush phase. */
void conn_touch(struct conn *conn);
void conn_flush(struct conn *conn);
/* A socket error. */
void conn_fail(struct conn *conn, int error);
/* Arms the timer for the earliest of what it watches. */
void conn_arm(struct conn *conn);
/* The only place that ends one. */
void conn_reap(struct conn *conn);
/* Epoll tells no more of it.  False if it didn't before. */
bool conn_detach(struct conn *conn);

struct conn *slots_take(struct reactor *reactor);
void slots_give(struct conn *conn);
/* Any open one of that slot and generation, closing or not. */
struct conn *slots_find(const struct reactor *reactor, uint64_t id);
void slots_fini(struct reactor *reactor);

/* --- Listeners (listener.c) --- */

struct listener *listener_ref(struct listener *listener);
void listener_unref(struct listener *listener);
/* For the reactor's own mailbox of dealt connections. */
void listener_deliver(void *reactor, struct mail *first);
void listener_discard(struct mail *first);

/* --- The reactor (reactor.c) --- */

/* A descriptor that is no connection. */
struct watch {
	int fd;
	uint32_t slot;
	void (*ready)(struct watch *watch);
};

int watch_add(struct reactor *reactor, struct watch *watch);
/* Allowed from within ready(). */
void watch_remove(struct reactor *reactor, struct watch *watch);

struct turn_hook {
	bool (*hook)(void *cookie);
	void *cookie;
};

struct wake_hook {
	void (*hook)(void *cookie);
	void *cookie;
};

struct chunk {
	struct conn conns[CHUNK_CONNS];
};

struct reactor {
	unsigned index;
	int epoll_fd, wake_fd;
	uint64_t now_ms;
	uint64_t (*clock_ms)(void); /* tests bring their own */
	bool running;		/* on the thread that said reactor_run() */
	int stopping;		/* atomic */
	unsigned conns;		/* atomic: whoever deals adds, the owner takes away */
	bool again;		/* the next wait must not block */
	struct list dirty, closing;
	uint64_t *offers;	/* owned: ids of connections with input to be offered, perhaps gone by now */
	uint32_t offer_count, offer_capacity;

	struct chunk **chunks;	/* owned, as are they */
	uint32_t chunk_count;
	struct list free_slots;

	struct reactor_mailbox *mailboxes;
	struct reactor_mailbox deals;
	struct turn_hook hooks[LIMIT_HOOKS];
	unsigned hook_count;
	struct wake_hook wakes[LIMIT_HOOKS];
	unsigned wake_count;
	struct watch **watches; /* by slot; NULL where free */
	uint32_t watch_count;

	/* Told to base/stat.h once a turn. */
	uint64_t bytes_in, bytes_out, writes;
	int64_t out_bytes;

	struct outq *outq_kept;
	unsigned outq_kept_count;
	unsigned outq_unused;	/* the least that it has been since outq_trim_ms */
	uint64_t outq_trim_ms;
	char *scratch;		/* LIMIT_READ_BYTES */
	char *record;		/* LIMIT_RECORD_BYTES */
	struct epoll_event fired[LIMIT_EVENTS];
	struct wheel wheel;
};

extern _Thread_local const struct reactor *reactor_current;

/* Everything below a reactor belongs to its thread, once that runs. */
static inline void
reactor_assert(const struct reactor *reactor)
{
	assert(!reactor->running || reactor_current == reactor);
}

/* One turn; max_wait_ms < 0: as long as nothing is to be done.  reactor_run() is a loop of it. */
void reactor_turn(struct reactor *reactor, int max_wait_ms);

#endif
