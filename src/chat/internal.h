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
	LIMIT_HELD_CONVS = 2000, /* conversations that may turn up while a peer syncs */
	LIMIT_LEFT = 64,         /* ends of memberships that a peer remembers */
	LIMIT_JOININGS = 64,     /* of one conversation; beyond it the oldest are not told of */
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

/* --- Peers (peer.c) --- */

enum peer_state {
	PEER_NEW,
	PEER_ENTERING, /* a login of some kind is under way */
	PEER_READY,    /* has a user */
	PEER_SYNCING,
	PEER_SYNCED,
};

/* A peer's place in a topic; both know each other's index. */
struct sub {
	uint32_t topic; /* index in shard->topics */
	uint32_t at;    /* index in topic->streams */
};

/* What a peer that sends needs beyond the rest: there only while sends are in flight (send.c). */
struct sending {
	uint32_t in_flight;
	bool unplaced;               /* those in flight went without a known conversation */
	char target[1 + 32 + 1];     /* then: to whom */
	struct op *held, *held_last; /* wait until they are answered; linked by mail.next */
};

/* What turned up while a peer synced, and is looked at afterwards. */
struct held_convs {
	size_t count;
	struct held_conv {
		uint64_t cid, joined;
	} convs[LIMIT_HELD_CONVS];
};

/*
 * What a synced peer knows of conversations whose memberships come and go: which the store is being
 * asked about, and which joinings were announced and are not told yet (sync.c).
 */
struct ask {
	uint64_t cid;   /* 0: all of them */
	uint64_t known; /* the client was told of all memberships up to this seq */
	bool asking;
	bool again; /* something happened since: that answer may be too old */
	uint8_t joining_count;
	uint64_t *joinings; /* owned, rising: seqs beyond `known` */
};

struct peer {
	uint32_t magic;
	uint8_t state; /* enum peer_state */
	uint8_t form;
	bool revoked : 1, attached : 1;
	bool name_far : 1;
	struct shard *shard; /* borrowed */
	void *out;           /* the gate's */
	uint64_t id;         /* generation << 32 | slot */
	uint64_t user, session;
	uint64_t source; /* where it comes from, for rate limits; 0: not limited */
	union {
		char near[16];
		char *far; /* owned: one that is longer than that */
	} name;            /* the user's */
	struct sub *subs;  /* owned */
	uint32_t sub_count, sub_capacity;
	struct call *calls;
	struct sending *sending;   /* owned, NULL while nothing is sent */
	struct watching *watching; /* owned; NULL while it watches nobody: watch.c */
	struct busy *busy;         /* owned; NULL while it is idle */
};
static_assert(sizeof(struct peer) <= 120, "the memory of an idle connection is a budget");

/* Peers lie in the shard by value, in chunks that stay where they are. */
enum { PEERS_OF_CHUNK = 64 };
struct peer_chunk {
	struct peer peers[PEERS_OF_CHUNK];
};

/* What an idle peer, synced and with nothing to read, can do without: made at need, and taken away at a turn's end. */
struct busy {
	struct list link;      /* in shard->busy or shard->settling */
	struct list feed_link; /* in shard->feed while there may be something to feed */
	struct peer *peer;     /* borrowed; it owns this */
	uint64_t entering;     /* the call of a login or sync that is under way */
	char *ip;              /* owned; until the login is over */
	struct apart *aparts; /* owned; for each sub; NULL while no stream has a place of its own */
	uint32_t apart_count, behind_count, feed_at;
	uint32_t ask_count;
	struct ask *asks;        /* owned */
	struct held_convs *held; /* owned, NULL but while syncing */
};

struct peer *peer_find(struct shard *shard, uint64_t id);
/* What is made at need. */
struct busy *peer_busy(struct peer *peer);
/* Perhaps it is idle now: looked at when the turn ends. */
void peer_settle_soon(struct peer *peer);
/* Takes away what is not needed any more. */
void peers_settle(struct shard *shard);
/* About once a second: looks at all. */
void peers_settle_all(struct shard *shard);
void peers_destroy(struct shard *shard);
/* The call of a login or sync that is under way, or was. */
static inline uint64_t
peer_entering(const struct peer *peer)
{
	return peer->busy != NULL ? peer->busy->entering : 0;
}
static inline slice
peer_name(const struct peer *peer)
{
	return slice_str(peer->name_far ? peer->name.far : peer->name.near);
}
void peer_set_name(struct peer *peer, slice name);
/* Whether it may use methods that need a session; otherwise the call is answered. */
bool peer_check(struct call *call);
/* The session is no more: nothing is handed on, and every request refused. */
void peer_end(struct peer *peer);
/* The same, and the client is told. */
void peer_kill(struct peer *peer, enum goaway reason);
/* A login or sync came to nothing: the peer is as before it; one that logged in to sync is logged
 * out. */
void peer_retreat(struct peer *peer);
/* Encodes and queues one event; what need not arrive may be dropped for a slow reader. */
bool peer_event(struct peer *peer, const struct event *event, bool must);

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
