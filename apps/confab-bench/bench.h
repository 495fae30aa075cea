/* SPDX-License-Identifier: MIT */
/*
 * A load generator that believes nothing: what the parts of it share.
 *
 *   link      a connection over TCP, TLS and WebSocket: bytes in, frames out
 *   client    the protocol: login, sync, sends and their answers, reconnecting
 *   check     the verification: what a delivery must be, and what was wrong
 *   loop      a turn of everything; connecting
 *   groups    the groups that a scenario needs, made if they are not there
 *   scenario  who writes to whom, when, and for how long
 *   report    the figures as JSON
 *
 * One thread.  What comes twice or more (a group's message to each member) is verified in full the first time
 * and then compared with what came first, byte by byte: cheap, and stricter than any checksum.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/buf.h"
#include "base/map.h"
#include "hist.h"
#include "proc.h"

enum { EXIT_VIOLATION = 1, EXIT_USAGE = 2, EXIT_CANNOT = 3 };

enum { BODY_MIN = 64, BODY_MAX = 16384, NAME_BYTES = 40, TOKEN_BYTES = 136, SLOTS_MAX = 16 };

#define SCENARIOS(X)                                                                               \
	X(fanout, "fanout")                                                                        \
	X(direct, "direct")                                                                        \
	X(ingest, "ingest")                                                                        \
	X(idle, "idle")                                                                            \
	X(resume_storm, "resume-storm")                                                            \
	X(slow_readers, "slow-readers")                                                            \
	X(mixed, "mixed")

enum scenario_kind {
#define SCENARIO_AS_ENUM(id, name) SCENARIO_##id,
	SCENARIOS(SCENARIO_AS_ENUM) SCENARIO_MAX
};

struct options {
	enum scenario_kind scenario;
	const char *scenario_name;
	char host[128], port[16];
	bool tls, ws, progress, histogram;
	int pid; /* 0: the server's costs are not looked at */
	const char *tokens;
	bool registers;
	unsigned connections, from, pairs, members, authors, window, burst, slow;
	uint64_t cid, rounds, messages, seed;
	double rate, seconds, warmup, hold, pause, away, rest, stall, deadline;
	unsigned body, opening, backlog, small, large, watch;
};

/* A message as it first came, to compare what others get with. */
struct line {
	uint64_t seq, sched_ns;
	uint32_t len, room;
	char *bytes; /* owned; the whole frame, and a line's end */
};

struct conv {
	/* The highest seq seen by anyone, the highest and the lowest told to a sender. */
	uint64_t cid, newest, answered, answered_first;
	struct line *lines; /* owned; those of the last mask + 1 places */
	bool group;
	uint32_t here; /* streams of ours */
	char
	    to[NAME_BYTES + 4]; /* a group's messages go there, as JSON: as it was the first time */
};

/* A connection's place in a conversation's stream. */
struct stream {
	struct conv *conv;
	uint64_t next;
};

/* A message that was sent; in an author's ring until it was answered and seen. */
struct sent {
	uint64_t number, sched_ns, ms, answered, seen; /* the last two: seq, 0: not yet */
	bool refused;
};

/* A client's outgoing messages to one target. */
struct author {
	char to[NAME_BYTES + 4]; /* JSON */
	struct conv *conv;       /* NULL until the first answer */
	struct client *peer;     /* who must get it too; NULL: all who have the stream */
	struct sent *ring;       /* owned */
	uint64_t first, next, unanswered, last_seen;
	bool disordered; /* something was sent again: its numbers may come out of order */
	bool large;      /* a large group */
};

/* What a gap left out, until history has brought it. */
struct hole {
	uint64_t cid, from, to;
};

enum group_asked { GROUP_IDLE, GROUP_ASKED, GROUP_DONE, GROUP_AGAIN };

enum client_state {
	CLIENT_CLOSED,
	CLIENT_CONNECTING,
	CLIENT_TLS,
	CLIENT_UPGRADE,
	CLIENT_LOGIN,
	CLIENT_SYNC,
	CLIENT_READY,
};

struct client {
	int fd;
	uint8_t state; /* enum client_state */
	uint8_t asked; /* enum group_asked */
	bool registering, unsynced, paused, was_slow, out_waits, dirty, auditor, expects_close,
	    away;
	bool prompt; /* read before others: what it waits for is timed */
	uint32_t index, hint, watches;
	uint64_t made; /* the group that it made */
	void *ssl;     /* owned */
	struct buf in, out;
	struct stream *streams; /* owned */
	uint32_t stream_count, author_count;
	struct author *authors; /* owned */
	struct hole *holes;     /* owned */
	uint32_t hole_count;
	uint64_t opened_ns, written_ns, reopen_ns;
	char epoch[40];
	char name[NAME_BYTES], token[TOKEN_BYTES];
};

struct totals {
	uint64_t sends, answers, deliveries, missing, dups, refused, retried, gaps, history,
	    signals, marks, presences, resumes, goaways, closed;
};

struct bench {
	struct options options;
	char server_version[32];
	char run[9]; /* tells this run's bodies from others' */
	struct client *clients;
	uint32_t client_count, ready, opening;
	struct map convs;
	uint32_t lines_mask, ring_mask;
	uint64_t now_ns, started_ns, active_ns;
	struct totals totals;
	struct hist ack, ack_before, delivery, resume;
	bool listening, setting_up, stopped;
	int epoll_fd, prompt_fd;
};

extern struct bench bench;

/* Says why on stderr and ends with EXIT_CANNOT. */
_Noreturn void cannot(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- link.c --- */
/* Resolves the server's address and sets up TLS. */
void link_init(void);
void link_open(struct client *c);
void link_close(struct client *c);
/* What is closed next is reset: no port stays behind. */
void link_cut(struct client *c);
/* Writes what is in c->out, as far as it goes. */
void link_flush(struct client *c);
/* Appends one request, in the framing of the connection. */
void link_put(struct client *c, slice json);
/* Stops and resumes reading. */
void link_pause(struct client *c, bool pause);
/* Waits at most until `until_ns` for input, reads and handles all that came. */
void link_turn(uint64_t until_ns);

/* --- client.c --- */
void client_init(struct client *c, const char *name, const char *token);
/* Opens, keeping cursors. */
void client_open(struct client *c);
/* Closes without a word, as a broken network does. */
void client_abort(struct client *c);
/* Opens at that time, by clients_tick(). */
void client_reopen(struct client *c, uint64_t at_ns);
/* Asks for the server's version, to be kept in bench.server_version. */
void client_hello(struct client *c);
/* What the link calls: it is open; one frame came; it was closed by the other side. */
void client_connected(struct client *c);
void client_frame(struct client *c, slice frame);
void client_gone(struct client *c);
/* Registers that c writes to `to` (JSON); returns its slot. */
unsigned client_author(struct client *c, const char *to, struct client *peer);
/* Whether another message fits in. */
bool client_may_send(const struct client *c, unsigned slot, unsigned window);
void client_send(struct client *c, unsigned slot, uint64_t sched_ns);
void client_mark(struct client *c);
void client_signal(struct client *c, unsigned slot);
void client_history(struct client *c, uint64_t cid, uint64_t from, uint64_t to);
/* Wants to hear of the presence of so many clients, those after it; again whenever it is connected. */
void client_watch(struct client *c, uint32_t count);
/* Goes away, or is back. */
void client_presence(struct client *c);
/* Asks for a group with these members (cid 0), or for more members of one; c->asked and c->made say how it went. */
void client_group(struct client *c, uint64_t cid, struct client *const *members, unsigned count);
/* Pings, reopens and sends again what is due. */
void clients_tick(void);
/* The other side of a client's writing: called when an answer to its slot came. */
extern void (*client_answered)(struct client *c, unsigned slot);

/* --- check.c --- */
enum violation {
	VIOLATION_LOST,
	VIOLATION_TWICE,
	VIOLATION_ORDER,
	VIOLATION_ALTERED,
	VIOLATION_MISPLACED,
	VIOLATION_UNANSWERED,
	VIOLATION_CLOSED,
	VIOLATION_REFUSED,
	VIOLATION_MAX,
};
extern const char *const violation_names[VIOLATION_MAX];
extern uint64_t violation_counts[VIOLATION_MAX];

void violation(enum violation what, const struct client *c, uint64_t cid, uint64_t seq,
    const char *format, ...) __attribute__((format(printf, 5, 6)));
uint64_t violations(void);
/* The body of a message, and its cmid. */
void body_write(char *ret, size_t len, uint32_t sender, unsigned slot, const struct sent *sent);
void cmid_write(char ret[32], uint32_t sender, unsigned slot, const struct sent *sent);
struct conv *conv_of(uint64_t cid);
struct stream *stream_of(struct client *c, uint64_t cid);
void stream_begin(struct client *c, uint64_t cid, uint64_t next, bool group);
/* A message came in c's stream. */
void check_message(struct client *c, slice frame);
/* An entry came as part of a history; its place was checked by the caller. */
void check_entry(struct client *c, slice entry);
/* The server says that it skips. */
void check_gap(struct client *c, uint64_t cid, uint64_t from, uint64_t to);
void check_answer(
    struct client *c, struct author *author, struct sent *sent, uint64_t cid, uint64_t seq);
/* Whether all that was answered came to all. */
bool check_complete(void);
/* What is missing at the end are violations. */
void check_end(void);

/*
 * What came first and is due next, compared with what is here: the bytes that it takes, 0 if it is not that.
 * With `line_end` its end belongs to it and more may follow; without, it is just these bytes.  Counts the
 * delivery.
 */
static inline size_t
check_fast(struct client *c, const char *at, size_t len, bool line_end)
{
	size_t need;

	const struct line *line;
	struct stream *stream;

	if (c->hint >= c->stream_count)
		return 0;
	stream = &c->streams[c->hint];
	line = &stream->conv->lines[stream->next & bench.lines_mask];
	need = line->len + (size_t)line_end;
	if (line->seq != stream->next || len < need || (!line_end && len != need) ||
	    memcmp(at, line->bytes, need) != 0)
		return 0;
	stream->next++;
	bench.totals.deliveries++;
	if (line->sched_ns != 0)
		hist_add(&bench.delivery, bench.now_ns - line->sched_ns);
	return need;
}

/* --- scenario.c --- */
/* Connects, loads, marks, drains and verifies. */
void scenario_run(void);

#endif
