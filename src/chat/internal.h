/* SPDX-License-Identifier: MIT */
/*
 * The inside of the chat core: what its files share.  Three parts a shard plays:
 *   - it holds peers (connections) and their streams: peer.c, topic.c, feed.c (topic.h);
 *   - it is home of some conversations, which it alone orders and hands on: home_conv.c;
 *   - it is home of some users, whose connections it knows wherever they are: home_user.c.
 * Parts of different shards talk by mail (mail.h), also where the two are the same shard.
 */
#ifndef CHAT_INTERNAL_H
#define CHAT_INTERNAL_H

#include <inttypes.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "chat/peer.h"
#include "chat/places.h"
#include "chat/shard.h"

enum {
	PEER_MAGIC = 0x5e55109e,
	TOPIC_MAGIC = 0x70b1c5ed,

	LIMIT_FEED_BYTES = 64 * 1024, /* of one peer in one turn */
	LIMIT_FEED_PEERS = 64,        /* peers fed in one turn */
	LIMIT_PAGE_ENTRIES = 64,      /* a page's alignment */
	LIMIT_PAGE_BYTES = 128 * 1024,
	LIMIT_PAGE_READS = 32,                    /* page reads of one shard in flight */
	LIMIT_PAGE_CACHE_BYTES = 4 * 1024 * 1024, /* of one shard; over it the least used go */
	LIMIT_PAGE_IDLE_MS = 2000,                /* a page nobody asked for goes */
	LIMIT_SYNC_LIST = 200,                    /* conversations in the answer of sync */
	LIMIT_SYNC_ENTRIES = 5000, /* after so many waiting entries backlog counts as 0 */
	LIMIT_AUTHORS = 64,        /* authors whose rights a home conversation remembers */
	SEEN_EVERY_MS =
	    6 * 60 * 60 * 1000, /* a connection is use of its session: so often that is noted */
	LIMIT_HOME_IDLE_MS = 60 * 1000, /* a home conversation without listeners is kept so long */
	LIMIT_REVOKED = 256, /* endings of sessions that a shard remembers, against racing logins */
	LIMIT_LEFT = 64,     /* ends of memberships that a peer remembers */
	LIMIT_JOININGS = 64, /* of one conversation; beyond it the oldest are not told of */

	AHEAD = 4,       /* places between two steps of what is fetched ahead of its turn */
	AHEAD_STEPS = 3, /* where it is to be found, itself, what it points to */
};

/* --- Calls: requests that wait for their answer (call.c) --- */

struct call {
	uint64_t id;
	struct list by_time;                     /* in shard->calls */
	struct call *next_of_peer, **of_peer_at; /* in peer->calls; at: what points here */
	struct peer *peer;                       /* borrowed; a call does not outlive its peer */
	uint64_t started_ms, started_ns;
	bool writes; /* timed out it is UNKNOWN_OUTCOME, otherwise UNAVAILABLE */
	struct call_tag tag;
	void *context; /* owned, ended by context_free */
	void (*context_free)(void *context);
};

struct call *call_begin(struct peer *peer, const struct call_tag *tag, bool writes);
/* NULL if it was answered (time) or its peer is gone. */
struct call *call_find(struct shard *shard, uint64_t id);
/* Answers and ends the call. */
void call_answer(struct call *call, const struct answer *answer);
void call_done(struct call *call);
void call_fault(struct call *call, struct fault fault);
void call_fail(struct call *call, enum err err);
void call_fail_param(struct call *call, enum err err, const char *param);
/* True, and the call is answered BUSY, if memory is so short that such requests are refused. */
bool call_shed(struct call *call, enum pressure from);
/* The fault of a request that is refused for that reason, or none. */
struct fault pressure_fault(const struct shard *shard, enum pressure from);
/* Ends it without an answer. */
void call_drop(struct call *call);
/* Answers those that waited too long. */
void calls_tick(struct shard *shard);

/* --- The shard (shard.c) --- */

struct home_conv;
struct home_user;
struct cluster;

struct revoked {
	uint64_t user, session, except;
	bool heard;     /* it ended by way of another node */
	uint64_t at_ns; /* when the shard that ended it had done so */
};

struct shard {
	struct chat_config config;
	uint64_t mono_ms, real_ms, mono_ns;
	enum pressure pressure;
	uint64_t seen_ms;          /* when open connections were last noted as use */
	struct peer_chunk **peers; /* owned */
	struct peer *free_peers;   /* linked by out */
	uint32_t peer_capacity;
	size_t peer_count;
	struct list busy, settling; /* of peers */
	struct map calls_by_id;
	struct list calls; /* oldest first */
	uint64_t next_call;
	struct map topics_by_cid;
	struct topic **topics;
	uint32_t *free_topics, topic_capacity, free_topic_count;
	struct list feed;  /* peers to be fed */
	struct list pages; /* least used first */
	size_t page_bytes;
	unsigned page_reads;
	unsigned entering;    /* readings for logins and syncs that are under way */
	unsigned appending;   /* messages that are being stored */
	struct places places; /* who and where → cid (send.c) */
	struct map home_convs, home_users;
	struct map home_watched;     /* by user: the shards that watch him, a bit each */
	struct list leavings;        /* of users, not told yet: home_presence.c */
	struct map leavings_by_user; /* the same */
	struct map watched;          /* by user: watch.c */
	uint32_t watch_serial;
	struct list dirty_convs; /* have entries to publish */
	struct revoked revoked[LIMIT_REVOKED];
	unsigned revoked_at;
	struct mail *local_first, **local_last; /* mail to itself */
	struct op *failed;  /* questions to be put again at the next tick; linked by mail.next */
	uint64_t check_ms;  /* not 0: the sessions are looked at again then */
	struct map gathers; /* who.c */
	uint64_t next_gather;
	struct cluster *cluster; /* owned; NULL: there is one node */
};

/* Of a slot; free ones have no magic. */
static inline struct peer *
peer_at(const struct shard *shard, uint32_t slot)
{
	return &shard->peers[slot / PEERS_OF_CHUNK]->peers[slot % PEERS_OF_CHUNK];
}
/* NULL where the slot is free. */
static inline struct peer *
peer_there(const struct shard *shard, uint32_t slot)
{
	struct peer *peer = peer_at(shard, slot);

	return peer->magic != 0 ? peer : NULL;
}

unsigned shard_of(const struct shard *shard, uint64_t id);
void shard_post(struct shard *shard, unsigned to, struct mail *mail);
void shard_submit(struct shard *shard, struct op *op);
/* To complete on another shard, `by`, which tells the others of it in the order of the store, and
 * then hands it on to op->origin, this one (MAIL_TOLD). */
void shard_submit_by(struct shard *shard, unsigned by, struct op *op);
/* The store could not say: at the next tick the question is put again. */
void shard_retry(struct shard *shard, struct op *op);

#endif
