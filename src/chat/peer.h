/* SPDX-License-Identifier: MIT */
/* Peers: the connections of a shard, as the chat knows them (peer.c).  Most of them are idle nearly always. */
#ifndef CHAT_PEER_H
#define CHAT_PEER_H

#include <assert.h>

#include "base/list.h"
#include "chat/shard.h"

enum { LIMIT_HELD_CONVS = 2000 }; /* conversations that may turn up while a peer syncs */

struct call;

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

#endif
