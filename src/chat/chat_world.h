/* SPDX-License-Identifier: MIT */
/*
 * The chat core in a world without sockets, files, threads and clocks: shards that exchange mail,
 * the memory store behind a queue, and connections that write down what they were told.  The world
 * moves one step at a time, in an order that a seed picks, so that races happen as often as
 * anything else.
 */
#ifndef CHAT_WORLD_H
#define CHAT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "chat/shard.h"
#include "store/memory.h"

enum { WORLD_SHARDS = 3, LINKS_MAX = 64, TOLD_MAX = 20000 };
enum { WORLD_ENTERING = 8, WORLD_ENTERING_BESIDE = 2 };

/* What a connection was told of one entry, gap or answer. */
struct told {
	enum {
		TOLD_ENTRY,
		TOLD_GAP,
		TOLD_CONV,
		TOLD_MARK,
		TOLD_SIGNAL,
		TOLD_PRESENCE,
		TOLD_CONTACT,
		TOLD_ANSWER,
		TOLD_GOAWAY
	} what;
	uint64_t cid, seq, to; /* entry: to: its last edit; gap: seq to to; answer: seq; who: seq
				users, to: more; presence: seq is the state; contact: the news */
	enum err err;
	unsigned tag;
	bool dup;
	enum answer_kind answer;
	enum conv_change change;
	char text[64]; /* who: the last name */
};

struct link {
	struct world *world;
	struct peer *peer;
	unsigned shard;
	bool full; /* refuses what may be refused */
	bool closed;
	char token[TOKEN_TEXT_BYTES + 1];
	char session[24];
	struct told *told;
	size_t count;
	struct {
		uint64_t cid, next, head, read, unread;
		bool member;
	} convs[16];
	size_t conv_count, listed;
	bool reset, synced;
	unsigned user; /* the test's */
	size_t online;
};

/* What a world is made of beside others that share a store and a bus (cluster_world.h). */
struct world_node {
	struct driver *store;
	const char *name;
	unsigned shards;
	void *cookie;
	void (*ring)(void *cookie, enum ring_scope scope, uint64_t id, slice bytes);
	void (*interest)(void *cookie, enum ring_scope scope, uint64_t id, bool wanted);
};

struct world {
	struct driver *store;
	struct world_node node; /* or zero */
	unsigned shard_count;
	bool dead; /* the store is not there any more, for this node */
	struct shard *shards[WORLD_SHARDS];
	struct {
		struct mail *first, **last;
	} boxes[WORLD_SHARDS], store_queue;
	struct link links[LINKS_MAX];
	size_t link_count;
	uint64_t mono_ms, real_ms;
	uint32_t seed;
	bool store_stopped;
	bool reorders;         /* reads may overtake writes and one another */
	struct op *kept_back;  /* was read, and is told of later */
	unsigned reads;        /* so many were done */
	unsigned fail_reads;   /* so many of the next reads fail */
	unsigned read_faults;  /* one read in so many fails; 0: none */
	unsigned write_faults; /* one batch in so many fails before its commit, or is of unknown
				  outcome after it */
	enum err next_write;   /* what becomes of the next batch: UNAVAILABLE, UNKNOWN_OUTCOME */
	unsigned next_tag;
	struct chat_limits limits; /* what the shards began with */
	struct rate_table *buckets,
	    *known; /* of all shards; only links with a source are limited */
};

/* 0 to bound - 1. */
unsigned pick(struct world *w, unsigned bound);
/* A new world with an empty store; the seed decides the order of everything. */
void world_open(struct world *w, uint32_t seed);
void world_open_node(struct world *w, uint32_t seed, const struct world_node *node);
void world_post(void *cookie, unsigned to, struct mail *mail);
/* The store takes one batch off its queue: writes in one transaction, reads one by one.  False:
 * nothing to do. */
bool store_step(struct world *w);
/* One turn of one shard; false if nothing came of it. */
bool shard_step(struct world *w, unsigned i);
/* One step of anyone. */
void step(struct world *w);
/* One turn of everybody; false: nothing came of it, and nothing is on its way. */
bool world_round(struct world *w);
/* Until nothing moves any more. */
void settle(struct world *w);
/* A connection, ended by link_close() or the world's end. */
struct link *link_open(struct world *w, unsigned shard);
void link_close(struct link *link);
/* Lets everything end, in order, and nothing may be left. */
void world_close(struct world *w);
/* A name for a request, and its number. */
struct call_tag tag(struct world *w, unsigned *ret_tag);
/* NULL: not answered yet. */
const struct told *answer_to(const struct link *link, unsigned wanted);
/* Settles, and what the request was answered. */
enum err answered(struct link *link, unsigned wanted);
/* Registers, logs in or resumes, and settles. */
enum err do_register(struct link *link, const char *name, bool sync);
enum err do_login(struct link *link, const char *name, const char *password, bool sync);
enum err do_resume(struct link *link, const char *token);
/* Sync and send, not waited for; their number.  cid 0: without cursors. */
unsigned start_sync(struct link *link, uint64_t cid, uint64_t cursor, uint32_t backlog);
unsigned start_send(struct link *link, struct target to, const char *body, const char *cmid);
/* Targets. */
struct target at(const char *name);
struct target cid(uint64_t n);
size_t count_told(const struct link *link, int what, uint64_t conv);
/* The stream of a conversation goes from `next` to `head` without a hole or repeat, gaps included.
 */
void assert_stream(const struct link *link, uint64_t conv, uint64_t next, uint64_t head);
/* Time passes for everybody, with its ticks. */
void world_pass(struct world *w, uint64_t ms);

#endif
